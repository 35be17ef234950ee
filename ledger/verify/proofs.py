"""What a proof file shows, to somebody who trusts some keys (docs/spec/proof.md, section 2, and verify.md, section 4)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from ledger.core import revocations as revoked
from ledger.core.checkpoint import check_checkpoint, log_key, parse_checkpoint, parse_origin
from ledger.core.ed25519 import check_message, check_sshsig
from ledger.core.entry import hash_record, log_id, parse_record
from ledger.core.note import NoteKey
from ledger.core.proof import HEADER, Proof, Proven, check_proof, parse_proof
from ledger.core.revocations import Revocations
from ledger.core.signers import ALWAYS, is_over, may_sign
from ledger.core.sshsig import fingerprint, parse_public_key
from ledger.errors import FormatError, TrustError
from ledger.repo.gitdir import GitDir
from ledger.store.pins import Pin, read_pins
from ledger.store.reader import JournalReader
from ledger.store.state import journal_path
from ledger.verify.trust import Keys, read_signers, read_trust, say_windows, seconds_of
from ledger.verify.verdict import Finding, Findings

SUFFIX = ".tlog-proof"
_ROTATED = b'"kind":"key.rotated"'


class Believed(NamedTuple):
    """The keys that a reader trusts, why (`given`, `pinned` or `repository`), and what was revoked."""

    keys: Keys
    trust: str
    revocations: Revocations = revoked.NONE


class Witness(NamedTuple):
    """A known witness that cosigned, and when by its own clock, in seconds since 1970."""

    name: str
    at_s: int


class Shown(NamedTuple):
    """The answer. `proven` is None where nothing is shown."""

    verdict: str
    trust: str
    proven: Proven | None
    witnesses: tuple[Witness, ...]
    findings: tuple[Finding, ...]


def is_proof(name: str, beginning: bytes) -> bool:
    """Say whether a file of this name and beginning is meant to be a proof."""
    return name.endswith(SUFFIX) or beginning.startswith(HEADER.encode())


def believe_file(path: str) -> Believed:
    """Return trust in the keys of a file of allowed signers. Raises StoreError."""
    return Believed(read_signers(path), "given")


def believe_repository(repo: GitDir, state: str, data: bytes, option: str | None) -> Believed | None:
    """Return whom to trust for the proof `data` in a repository, in the order of verify.md, section 4, or None: nobody.

    Raises StoreError for a named file, pins or a journal that cannot be read.
    """
    trust = read_trust(repo, option)
    if trust.given is not None:
        return Believed(trust.given, "given", trust.revocations)
    log = _claimed_log(data)
    pin = read_pins(state).get(log)
    pinned = _pinned_keys(state, pin) if pin is not None else []
    if pinned:
        committed = trust.committed or {}
        return Believed({key: committed.get(key, (ALWAYS,)) for key in pinned}, "pinned", trust.revocations)
    return Believed(trust.committed, "repository", trust.revocations) if trust.committed else None


def judge_proof(data: bytes, believed: Believed, witnesses: Sequence[NoteKey], now_s: int) -> Shown:
    """Return what the proof file `data` shows to whoever believes that, knows these witnesses, and has this clock."""
    # 1. form  2. what ties it together, and to trusted keys  3. revocations and windows of both keys  4. witnesses
    findings = Findings()
    try:
        proof = parse_proof(data)
        proven = check_proof(proof, list(believed.keys), check_message, check_sshsig, witnesses)
    except FormatError as error:
        findings.add("proof.form", None, None, error.message)
    except TrustError as error:
        findings.add("proof.mismatch", None, None, error.message)
    else:
        _check_record(proven, believed, findings)
        _check_signer(proof, proven, believed, now_s, findings)
        seen = {item.key: Witness(item.key.name, item.at_s) for item in reversed(proven.checkpoint.witnessed)}
        verdict = "anchored" if seen and findings.overall() == "consistent" else findings.overall()
        return Shown(verdict, believed.trust, proven, tuple(seen.values())[::-1], findings.listed())
    return Shown(findings.overall(), believed.trust, None, (), findings.listed())


def _check_record(proven: Proven, believed: Believed, findings: Findings) -> None:
    """Report that the key that signed the record may not have: not at this place, or not at the time that it claims."""
    entry = proven.record.entry
    bad = believed.revocations.first_bad(entry.key, proven.log)
    if bad is not None and bad <= entry.seq:
        findings.add("key.revoked", proven.log, entry.seq, "the key that signed this is revoked", "another key", entry.key)
    windows = next(windows for key, windows in believed.keys.items() if fingerprint(key) == entry.key)
    if not may_sign(windows, seconds_of(entry.at)):
        message = "the key signed an entry outside the time in which it may, by the entry's own claim"
        findings.add("key.window", proven.log, entry.seq, message, say_windows(windows), entry.at)


def _check_signer(proof: Proof, proven: Proven, believed: Believed, now_s: int, findings: Findings) -> None:
    """Report that no key may have signed the checkpoint, or that its time is over and no witness saw it in time."""
    size, seen = proven.checkpoint.checkpoint.size, [item.at_s for item in proven.checkpoint.witnessed]
    signers = [key for key in believed.keys if _has_signed(key, proof, proven.log)]
    good = []
    for key in signers:
        bad = believed.revocations.first_bad(fingerprint(key), proven.log)
        if bad is None or bad >= size:
            good.append(key)
    if not good:
        message = f"the key that signed the checkpoint of {size} records is revoked"
        findings.add("key.revoked", proven.log, size - 1, message, "another key", fingerprint(signers[0]))
    elif all(is_over(believed.keys[key], now_s) and not any(may_sign(believed.keys[key], at_s) for at_s in seen) for key in good):
        message = "the key that signed the checkpoint may sign no more, and no known witness saw it while it might"
        findings.add("key.expired", proven.log, size - 1, message, say_windows(believed.keys[good[0]]), fingerprint(good[0]))


def _has_signed(key: bytes, proof: Proof, log: str) -> bool:
    try:
        check_checkpoint(proof.note, [log_key(log, key)], check_message)
    except TrustError:
        return False
    return True


def _claimed_log(data: bytes) -> str:
    """Return the log that a proof says it is of, or nothing where it is malformed: then nothing in it will hold."""
    try:
        return parse_origin(parse_checkpoint(parse_proof(data).note.text).origin)
    except FormatError:
        return ""


def _pinned_keys(state: str, pin: Pin) -> list[bytes]:
    """Return the keys of a log that was pinned, where its journal is here and bears the pin out."""
    path = journal_path(state, pin.log)
    if not os.path.exists(path):
        return []
    with JournalReader(path) as reader:
        last, genesis = reader.record(pin.size - 1), reader.record(0)
        if last is None or genesis is None or hash_record(last) != pin.hash:
            return []
        changes = [genesis, *(record for _, record in reader.records(1) if _ROTATED in record)]
        try:
            first = parse_record(genesis)
            if log_id(first.entry_bytes) != pin.log or first.entry.key != pin.key:
                return []
            entries = [parse_record(record).entry for record in changes]
            return [
                parse_public_key(str(one.body.get("public_key"))) for one in entries if one.kind in ("log.opened", "key.rotated")
            ]
        except FormatError:
            return []
