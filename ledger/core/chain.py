"""What ties the records of one log together (docs/spec/entry.md, section 6).

`Chain.follow` takes the entries of a log in order and returns what is wrong with each link. It decides nothing and never
raises: the verifier collects every break. Entry signatures are checked elsewhere; here only *which* key must have signed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ledger.core import sshsig
from ledger.core.entry import GENESIS_PREV, Entry
from ledger.errors import FormatError, TrustError

# (public key, namespace, message, signature) → None, or TrustError: `core.ed25519.check_sshsig`, handed in so that this
# module does not load the cryptography package.
CheckSignature = Callable[[bytes, str, bytes, bytes], None]


class Break(NamedTuple):
    """One thing that is wrong with a link: a stable code, and what was expected and found."""

    code: str
    message: str
    expected: str
    found: str


class Chain:
    """The state of a log up to some record: how many there are, the last one's hash, its version, and which key signs next."""

    def __init__(self, log: str, check_signature: CheckSignature) -> None:
        self.log = log
        self.size = 0
        self.head = GENESIS_PREV
        self.version = 0
        self.public_key: bytes | None = None
        self.key: str | None = None
        self._check_signature = check_signature

    def follow(self, entry: Entry, record_hash: str, genesis_log: str | None = None) -> list[Break]:
        """Take `entry`, whose record hashes to `record_hash`, as the next of this log; return what is wrong with it.

        `genesis_log` is `log_id` of the entry's bytes where it is the first. After a break the chain goes on from what
        was found, so that one change is one finding and not a thousand.
        """
        breaks: list[Break] = []
        if entry.seq != self.size:
            breaks.append(Break("chain.seq", "records are missing or out of order", str(self.size), str(entry.seq)))
        if entry.prev != self.head:
            breaks.append(Break("chain.prev", "the record before this one is not the one it names", entry.prev, self.head))
        if entry.v < self.version:
            message = "an entry of an older version follows a newer one"
            breaks.append(Break("version.downgrade", message, str(self.version), str(entry.v)))
        else:
            self.version = entry.v
        if (entry.seq == 0) != (entry.kind == "log.opened"):
            found = f"{entry.kind} at {entry.seq}"
            breaks.append(Break("genesis.kind", "only the genesis is log.opened", "log.opened at 0", found))
        if entry.seq == 0:
            self._open(entry, genesis_log, breaks)
        elif entry.log != self.log:
            breaks.append(Break("log.id", "the entry belongs to another log", self.log, entry.log))
        if self.key is not None and entry.key != self.key:
            breaks.append(Break("key.unexpected", "another key signed than the log says", self.key, entry.key))
        if entry.kind == "key.rotated":
            self._rotate(entry, breaks)
        self.size = entry.seq + 1
        self.head = record_hash
        return breaks

    def _open(self, entry: Entry, genesis_log: str | None, breaks: list[Break]) -> None:
        if genesis_log != self.log:
            breaks.append(Break("log.id", "the genesis entry is not the one the log is named after", self.log, str(genesis_log)))
        if entry.kind == "log.opened":
            self._adopt(entry, breaks, "genesis.key")

    def _rotate(self, entry: Entry, breaks: list[Break]) -> None:
        """Let the new key of a `key.rotated` sign what follows, if it proves that it agrees."""
        before = self.public_key, self.key
        self._adopt(entry, breaks, "key.rotation")
        try:
            proof = sshsig.parse_armoured(str(entry.body.get("proof")))
            if proof.namespace != sshsig.ROTATION_NAMESPACE or proof.public_key != self.public_key:
                raise TrustError("the proof is for another key or another purpose")
            self._check_signature(proof.public_key, proof.namespace, entry.prev.encode(), proof.signature)
        except (FormatError, TrustError) as error:
            breaks.append(Break("key.rotation", "the new key does not prove the rotation", "a valid proof", error.message))
            self.public_key, self.key = before

    def _adopt(self, entry: Entry, breaks: list[Break], code: str) -> None:
        try:
            public_key = sshsig.parse_public_key(str(entry.body.get("public_key")))
            sshsig.check_public_key(public_key)
        except (FormatError, TrustError) as error:
            breaks.append(Break(code, "the entry names no usable public key", "ssh-ed25519 AAAA…", error.message))
            return
        self.public_key, self.key = public_key, sshsig.fingerprint(public_key)
