"""The walk over the records of one log: form, links, keys, and whatever else wants to see every record once.

A `Walker` takes records from wherever they lie, and may go on from what an earlier run found (`Known`); `walk` feeds it from a
journal, `ledger.verify.sealed` from a ref. What it keeps does not grow with the log: hashes and roots only where they are wanted.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import islice
from typing import Any

from ledger.core import sshsig
from ledger.core.chain import Break, Chain
from ledger.core.ed25519 import check_sshsig
from ledger.core.entry import GENESIS_PREV, Entry, Record, log_id, parse_record
from ledger.core.merkle import Frontier, hash_leaf
from ledger.errors import FormatError, TrustError
from ledger.store.reader import JournalReader
from ledger.verify.known import NOTHING, Held, Known, Wanted
from ledger.verify.notes import ORDINARY, Notes
from ledger.verify.payloads import Payloads
from ledger.verify.records import RecordReader
from ledger.verify.signatures import Signatures
from ledger.verify.verdict import Findings

_FROM_THE_FIRST = -(2**63)  # rows that a journal should not have are read too
_STEP = 1024  # records that are hashed at once

_CHANGING = frozenset({"log.opened", "key.rotated"})  # what follows is signed by another key
ROTATED = b'"kind":"key.rotated"'

Progress = Callable[[int], None]
Row = tuple[int, Any]  # (the number that the row has, the record's bytes: a database may hold anything)


@dataclass(slots=True)
class Walked:
    """What is known of a log after the walk. `size` is the last record's seq + 1, `head` its hash.

    `hashes` of records and `roots` by size are here as far as they were wanted; `frontier` is that of the whole log.
    """

    log: str
    size: int = 0
    head: str = GENESIS_PREV
    genesis: Entry | None = None
    keys: list[Held] = field(default_factory=list)
    hashes: dict[int, str] = field(default_factory=dict)
    roots: dict[int, bytes] = field(default_factory=dict)
    frontier: Frontier = field(default_factory=Frontier)
    version: int = 0
    latest: str = ""
    opening: bytes = b""

    def hash_at(self, seq: int) -> str | None:
        """Return the hash of record `seq` where it was wanted, or is the last one."""
        return self.head if seq == self.size - 1 else self.hashes.get(seq)

    def key_at(self, size: int) -> bytes | None:
        """Return the key that signs a checkpoint of the first `size` records: the one in force for the record behind them."""
        at = bisect_right(self.keys, size, key=lambda held: held.seq)
        return self.keys[at - 1].public_key if at else None


class Walker:
    """Reads records in order, reports what is wrong with them, and gathers what is known of their log.

    One broken record breaks its own form or link and its successor's, and nothing else: the walk goes on from what it found.
    With `known`, `notes` must be fresh, and is brought to what they were then.
    """

    def __init__(
        self,
        log: str,
        findings: Findings,
        signatures: Signatures,
        notes: Notes,
        *,
        payloads: Payloads | None = None,
        wanted: Iterable[int] = (),
        known: Known | None = None,
    ) -> None:
        self.walked = Walked(log)
        self.chain = Chain(log, check_sshsig)
        self._findings, self._signatures, self._notes, self._payloads = findings, signatures, notes, payloads
        self._wanted = frozenset(wanted)
        self._read = RecordReader().read
        self._latest = ""
        self._first_at = self._last_at = ""  # of the key in force
        self._pending: tuple[Record, bytes] | None = None  # the last record and its key, not handed on for checking yet
        if known is not None:
            self._resume(known)

    def _resume(self, known: Known) -> None:
        walked, chain, held = self.walked, self.chain, known.keys[-1]
        walked.keys, walked.hashes, walked.opening = list(known.keys), dict(known.hashes), known.genesis
        walked.genesis = parse_record(known.genesis).entry
        walked.frontier = Frontier(known.size, known.frontier)
        walked.roots = {seal.size: seal.root for seal in known.seals}
        chain.size, chain.head, chain.version = known.size, known.head, known.version
        chain.public_key, chain.key = held.public_key, held.fingerprint
        self._latest, self._first_at, self._last_at = known.latest, held.first_at, held.last_at
        self._notes.load(known.notes)

    def take(self, rows: Iterable[Row]) -> None:
        """Read the next records, each with its row's number."""
        # Every record of every log comes here: no call, no test and no attribute more than it takes.
        walked, chain, findings, notes, wanted = self.walked, self.chain, self._findings, self._notes, self._wanted
        log, read, hashes, payloads = walked.log, self._read, walked.hashes, self._payloads
        latest, last_at, pending = self._latest, self._last_at, self._pending
        size, head, key, signer, version = chain.size, chain.head, chain.key, chain.public_key, chain.version
        sign = self._signatures.take if self._signatures.wants_all else None
        for row, data in rows:
            if type(data) is not bytes:
                findings.add("record.form", log, row, "the row holds no bytes", "bytes", type(data).__name__)
                data = b""
            record_hash = sha256(data).hexdigest()
            try:
                record = read(data, head)
            except FormatError as error:
                findings.add("record.form", log, row, f"not a well-formed record: {error.message}")
                size, head = row + 1, record_hash
                if row in wanted:
                    hashes[row] = record_hash
                if payloads is not None:
                    payloads.skip(row)
                continue
            entry = record.entry
            seq, at, kind = entry.seq, entry.at, entry.kind
            if seq != row:
                findings.add("journal.row", log, row, "the row's number is not its entry's seq", row, seq)
            if seq in wanted:
                hashes[seq] = record_hash
            if at > last_at:
                self._first_at = self._first_at or at
                last_at = at
            must_sign = signer
            if (
                seq == size
                and entry.prev == head
                and entry.key == key
                and entry.log == log
                and entry.v == version
                and seq
                and kind not in _CHANGING
            ):
                size, head = seq + 1, record_hash  # what Chain.follow would do: nearly every record is as it should be
            else:
                chain.size, chain.head = size, head
                breaks = chain.follow(entry, record_hash, None if seq else log_id(record.entry_bytes))
                if breaks:
                    _report(breaks, log, seq, findings)
                if chain.public_key is not signer:
                    self._last_at = last_at
                    must_sign = self._change_key(record, data, signer)
                    last_at = self._last_at
                size, head, key, signer, version = chain.size, chain.head, chain.key, chain.public_key, chain.version
                if sign is None and pending is not None:  # perhaps the last record of a key
                    self._signatures.take(*pending)
                    pending = None
                if sign is None and must_sign is not None and kind in _CHANGING:
                    self._signatures.take(record, must_sign)
                    must_sign = None
            if must_sign is not None:
                if sign is not None:
                    sign(record, must_sign)
                else:
                    pending = record, must_sign
            if entry.payloads and payloads is not None:
                payloads.take(entry)
            if kind not in ORDINARY:
                notes.take(entry)
            if at >= latest or notes.is_day_earlier(entry, latest):
                latest = at
        chain.size, chain.head = size, head
        self._latest, self._last_at, self._pending = latest, last_at, pending

    def _change_key(self, record: Record, data: bytes, before: bytes | None) -> bytes | None:
        """Note the key that is in force from here on, and return the one that must have signed `record`."""
        walked, chain, seq = self.walked, self.chain, record.entry.seq
        assert chain.public_key is not None and chain.key is not None
        if seq == 0:
            if walked.genesis is None:
                walked.genesis, walked.opening = record.entry, data
            walked.keys.append(Held(0, chain.public_key, chain.key))
            return chain.public_key
        self._close_key()
        walked.keys.append(Held(seq + 1, chain.public_key, chain.key))
        self._first_at = self._last_at = ""
        return before

    def _close_key(self) -> None:
        keys = self.walked.keys
        if keys:
            keys[-1] = keys[-1]._replace(first_at=self._first_at, last_at=self._last_at)

    def finish(self) -> Walked:
        """Check what is left, and return what is known."""
        walked, chain = self.walked, self.chain
        self._close_key()
        walked.size, walked.head, walked.version, walked.latest = chain.size, chain.head, chain.version, self._latest
        if self._pending is not None:
            self._signatures.take(*self._pending)
        self._signatures.finish()
        if self._payloads is not None:
            self._payloads.finish(frozenset(self._notes.erased))
        return walked


def walk(
    journal: JournalReader,
    log: str,
    findings: Findings,
    signatures: Signatures,
    notes: Notes,
    progress: Progress = lambda done: None,
    *,
    wanted: Wanted = NOTHING,
    known: Known | None = None,
) -> Walked:
    """Read every record of `log` in `journal`, or those behind what is `known`, and return what is known of the log."""
    rows = journal.payloads() if known is None else journal.payloads(known.size)
    payloads = Payloads(log, rows, findings)
    walker = Walker(log, findings, signatures, notes, payloads=payloads, wanted=wanted.seqs, known=known)
    walked = walker.walked
    frontier, done = walked.frontier, walked.frontier.size
    records = journal.records(_FROM_THE_FIRST if known is None else known.size)
    for size, chunk in cut_chunks(records, done, wanted.sizes):
        walker.take(chunk)
        frontier.extend(map(hash_leaf, _bytes_of(chunk)))
        done = size
        if size in wanted.sizes:
            walked.roots[size] = frontier.root()
        progress(done)
    if not done:
        findings.add("log.empty", log, None, "the journal holds no records, not even a genesis")
    return walker.finish()


def cut_chunks(rows: Iterator[Row], start: int, sizes: Iterable[int]) -> Iterator[tuple[int, list[Row]]]:
    """Yield runs of rows, each with the number of rows so far, `start` included; runs end where a size is in `sizes`."""
    done = start
    cuts = sorted(size for size in sizes if size > start)
    at = 0
    while True:
        while at < len(cuts) and cuts[at] <= done:
            at += 1
        most = min(_STEP, cuts[at] - done) if at < len(cuts) else _STEP
        chunk = list(islice(rows, most))
        if not chunk:
            return
        done += len(chunk)
        yield done, chunk


def _bytes_of(rows: list[Row]) -> Iterator[bytes]:
    return (data if type(data) is bytes else b"" for _, data in rows)


def find_signer(log: str, public_key: bytes | None, records: Iterable[bytes], start: int) -> bytes | None:
    """Return the key in force behind `records`, of which the first is number `start`; None where there is none.

    `public_key` is the one before them, None where they begin with the genesis. Nothing is believed that whoever lacks the key
    could have written, or repeated: a rotation counts where it stands, and if the key before it signed it.
    """
    chain = Chain(log, check_sshsig)
    chain.public_key = public_key
    chain.key = None if public_key is None else sshsig.fingerprint(public_key)
    for seq, record in enumerate(records, start):
        if chain.public_key is None or ROTATED in record:
            _follow_key(chain, record, seq)
            if chain.public_key is None:
                return None
    return chain.public_key


def _follow_key(chain: Chain, data: bytes, seq: int) -> None:
    """Let the chain adopt the key of a genesis or rotation, as far as it is to be believed."""
    before = chain.public_key, chain.key
    try:
        record = parse_record(data)
        entry = record.entry
        if entry.kind != ("log.opened" if before[0] is None else "key.rotated"):
            return
        chain.size, chain.head = seq, entry.prev
        if chain.follow(entry, "", None if entry.seq else log_id(record.entry_bytes)):
            raise TrustError("the entry breaks the chain")
        signer = before[0] or chain.public_key
        assert signer is not None
        check_sshsig(signer, sshsig.ENTRY_NAMESPACE, record.entry_bytes, record.signature)
    except (FormatError, TrustError):
        chain.public_key, chain.key = before


def _report(breaks: list[Break], log: str, seq: int, findings: Findings) -> None:
    for found in breaks:
        findings.add(found.code, log, seq, found.message, found.expected, found.found)
