"""The walk over the records of one log: form, links, keys, and whatever else wants to see every record once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import NamedTuple

from ledger.core.chain import Break, Chain
from ledger.core.ed25519 import check_sshsig
from ledger.core.entry import GENESIS_PREV, Entry, Record, log_id
from ledger.errors import FormatError
from ledger.store.reader import JournalReader
from ledger.verify.hashes import RecordHashes
from ledger.verify.notes import ORDINARY, Notes
from ledger.verify.payloads import Payloads
from ledger.verify.records import RecordReader
from ledger.verify.signatures import Signatures
from ledger.verify.verdict import Findings

_FROM_THE_FIRST = -(2**63)  # rows that a journal should not have are read too
_STEP = 4096  # records between two words to the progress bar


class Held(NamedTuple):
    """A key that the log says was in force from record `seq` on."""

    seq: int
    public_key: bytes
    fingerprint: str


@dataclass(slots=True)
class Walked:
    """What is known of a log after the walk. `size` is the last record's seq + 1, `head` its hash."""

    log: str
    size: int = 0
    head: str = GENESIS_PREV
    genesis: Entry | None = None
    hashes: RecordHashes = field(default_factory=RecordHashes)
    keys: list[Held] = field(default_factory=list)


def walk(
    journal: JournalReader,
    log: str,
    findings: Findings,
    signatures: Signatures,
    notes: Notes,
    progress: Callable[[int], None] = lambda done: None,
) -> Walked:
    """Read every record of `log` in `journal`, report what is wrong with it, and return what is known of the log.

    One broken record breaks its own form or link and its successor's, and nothing else: the walk goes on from what it found.
    """
    walked = Walked(log)
    chain = Chain(log, check_sshsig)
    payloads = Payloads(log, journal.payloads(), findings)
    read = RecordReader().read
    put, note, sign = walked.hashes.put, notes.take, signatures.take
    done, latest = 0, ""
    for row, data in journal.records(_FROM_THE_FIRST):
        done += 1
        if not done % _STEP:
            progress(done)
        if type(data) is not bytes:
            findings.add("record.form", log, row, "the row holds no bytes", "bytes", type(data).__name__)
            data = b""
        digest = sha256(data).digest()
        record_hash = digest.hex()
        try:
            record = read(data, chain.head)
        except FormatError as error:
            findings.add("record.form", log, row, f"not a well-formed record: {error.message}")
            chain.size, chain.head = row + 1, record_hash
            put(row, digest)
            payloads.skip(row)
            continue
        entry = record.entry
        seq, at, kind = entry.seq, entry.at, entry.kind
        if seq != row:
            findings.add("journal.row", log, row, "the row's number is not its entry's seq", row, seq)
        signer = chain.public_key
        breaks = chain.follow(entry, record_hash, None if seq else log_id(record.entry_bytes))
        if breaks:
            _report(breaks, log, seq, findings)
        if chain.public_key is not signer:
            signer = _change_key(walked, record, chain, signer)
        put(seq, digest)
        if signer is not None:
            sign(record, signer)
        if entry.payloads:
            payloads.take(entry)
        if kind not in ORDINARY:
            note(entry)
        if at >= latest or notes.is_day_earlier(entry, latest):
            latest = at
    walked.size, walked.head = chain.size, chain.head
    if not done:
        findings.add("log.empty", log, None, "the journal holds no records, not even a genesis")
    signatures.finish()
    payloads.finish(frozenset(notes.erased))
    progress(done)
    return walked


def _report(breaks: list[Break], log: str, seq: int, findings: Findings) -> None:
    for found in breaks:
        findings.add(found.code, log, seq, found.message, found.expected, found.found)


def _change_key(walked: Walked, record: Record, chain: Chain, before: bytes | None) -> bytes | None:
    """Note the key that is in force from here on, and return the one that must have signed `record`."""
    entry = record.entry
    assert chain.public_key is not None and chain.key is not None
    if entry.seq == 0:
        if walked.genesis is None:
            walked.genesis = entry
        walked.keys.append(Held(0, chain.public_key, chain.key))
        return chain.public_key
    walked.keys.append(Held(entry.seq + 1, chain.public_key, chain.key))
    return before
