"""Making proof files (docs/spec/proof.md): a sealed entry, and what ties it to a checkpoint that the log's key signed.

Everything comes from the log's own ref, so any clone that has it can prove any sealed entry, without a journal and without a key.
Of the checkpoints that cover the entry the first is taken: it says least about the rest of the log, and was signed soonest. What
lies on the ref and does not continue the log there is passed over; what comes out was checked as its reader will check it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ledger.core.checkpoint import check_checkpoint, format_origin, log_key, parse_checkpoint
from ledger.core.ed25519 import check_message, check_sshsig
from ledger.core.entry import log_id, parse_record
from ledger.core.merkle import Frontier, build_inclusion, build_reader, hash_leaf
from ledger.core.note import Note, parse_note
from ledger.core.proof import Proof, Proven, check_proof
from ledger.core.seal import format_ref, parse_segment
from ledger.core.sshsig import parse_public_key
from ledger.errors import FormatError, Refused, TrustError
from ledger.repo.catfile import ObjectReader
from ledger.repo.gitdir import GitDir
from ledger.repo.seals import Stray, read_chain, read_seals, read_tip

_ROTATED = b'"kind":"key.rotated"'


class Made(NamedTuple):
    """A proof, and what it shows to somebody who trusts the log's keys."""

    proof: Proof
    proven: Proven


class _Sealed:
    """A log as far as its seals were read: leaf hashes, tree, keys, and the one record that is looked for."""

    def __init__(self, log: str, seq: int) -> None:
        self.log = log
        self.seq = seq
        self.leaves: list[bytes] = []
        self.frontier = Frontier()
        self.keys: dict[bytes, None] = {}
        self.record = b""

    def take(self, segment: bytes, note_bytes: bytes) -> Note | None:
        """Go on with the next seal and return its note, or None where it does not continue the log; then nothing changed."""
        try:
            records = parse_segment(segment)
            note = parse_note(note_bytes)
            checkpoint = parse_checkpoint(note.text)
            if checkpoint.origin != format_origin(self.log) or checkpoint.size != len(self.leaves) + len(records):
                return None
            keys = self.keys | dict.fromkeys(self._find_keys(records))
            check_checkpoint(note, [log_key(self.log, key) for key in keys], check_message)
        except (FormatError, TrustError):
            return None
        leaves = [hash_leaf(record) for record in records]
        frontier = Frontier(self.frontier.size, self.frontier.hashes)
        frontier.extend(leaves)
        if frontier.root() != checkpoint.root:
            return None
        start = len(self.leaves)
        if start <= self.seq < start + len(records):
            self.record = records[self.seq - start]
        self.leaves += leaves
        self.frontier, self.keys = frontier, keys
        return note

    def _find_keys(self, records: Sequence[bytes]) -> list[bytes]:
        """Return the keys that these records put in force. Raises FormatError where the first is not this log's genesis."""
        keys = []
        for seq, data in enumerate(records, len(self.leaves)):
            if seq == 0 or _ROTATED in data:
                record = parse_record(data)
                if seq == 0 and log_id(record.entry_bytes) != self.log:
                    raise FormatError("the first record is another log's")
                if record.entry.kind in ("log.opened", "key.rotated"):
                    keys.append(parse_public_key(str(record.entry.body.get("public_key"))))
        return keys


def build_proof(record: bytes, seq: int, leaves: Sequence[bytes], note: Note) -> Proof:
    """Return the proof of `record` under the checkpoint in `note`, whose tree has the leaf hashes `leaves`."""
    return Proof(record, seq, build_inclusion(seq, len(leaves), build_reader(leaves)), note)


def prove_entry(repo: GitDir, prefix: str, log: str, seq: int, remedy: str) -> Made:
    """Return the proof of entry `seq` of `log`, whose ref lies under `prefix`.

    Raises Refused, with `remedy`, where no seal here covers the entry, and RepoError where git fails.
    """
    tip = read_tip(repo, format_ref(prefix, log))
    if tip is None:
        raise Refused(f"no seal of the log {log} is here, so nothing proves {log}/{seq}", remedy=remedy)
    sealed = _Sealed(log, seq)
    with ObjectReader(repo) as reader:
        for seal in read_seals(reader, read_chain(repo, tip)):
            note = None if isinstance(seal, Stray) else sealed.take(seal.segment, seal.note)
            if note is not None and seq < len(sealed.leaves):
                proof = build_proof(sealed.record, seq, sealed.leaves, note)
                return Made(proof, check_proof(proof, list(sealed.keys), check_message, check_sshsig))
    raise Refused(f"{log}/{seq} is not sealed here: the seals of this log end below {len(sealed.leaves)}", remedy=remedy)
