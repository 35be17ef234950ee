"""Which signatures are checked, and by whom.

The chain carries the rest: a signature over the last record of a key fixes every record before it. So by default one signature
is checked at the end of every run of records that name the same key, at every `key.rotated`, and at the head. `--full` checks
every one.
Many signatures are checked by several processes, which get chunks of bytes; where none can be started, this process does it.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import NamedTuple, Protocol

from ledger.core.ed25519 import sshsig_checker
from ledger.core.entry import Record
from ledger.core.sshsig import ENTRY_NAMESPACE
from ledger.errors import TrustError

CHUNK = 256
WORTH_A_POOL = 4096  # below, starting processes takes longer than checking

Bad = Callable[[int], None]
Progress = Callable[[int], None]


class Signed(NamedTuple):
    """One signature to check: that of record `seq`."""

    seq: int
    entry_bytes: bytes
    signature: bytes


class Signatures(Protocol):
    """Takes the records of a log in order, each with the raw key that must have signed it, and reports the bad ones.

    Where it does not want all, it is enough to hand it the last of each run that one key signed, every rotation, and the head.
    """

    wants_all: bool

    def take(self, record: Record, signer: bytes) -> None:
        """Take one record."""
        ...

    def finish(self) -> int:
        """Check what is left, and return how many signatures were checked."""
        ...


class SomeSignatures:
    """Checks the ends of runs, the rotations and the head; calls `bad` with the seq of each bad signature."""

    wants_all = False

    def __init__(self, bad: Bad) -> None:
        self._bad = bad
        self._last: Record | None = None
        self._signer = b""
        self._key = ""
        self._checked = 0

    def take(self, record: Record, signer: bytes) -> None:
        """Take one record, and check the one before where it was the last of its key."""
        entry = record.entry
        if self._last is not None and self._key != entry.key:
            self._check(self._last, self._signer)
        self._key = entry.key
        if entry.kind == "key.rotated":
            self._check(record, signer)
            self._last = None
        else:
            self._last, self._signer = record, signer

    def finish(self) -> int:
        """Check the head."""
        if self._last is not None:
            self._check(self._last, self._signer)
        return self._checked

    def _check(self, record: Record, signer: bytes) -> None:
        self._checked += 1
        for seq in check_chunk(signer, [Signed(record.entry.seq, record.entry_bytes, record.signature)]):
            self._bad(seq)


class EverySignature:
    """Checks all of them, on all cores where that pays; calls `bad` with each bad one's seq, not in order."""

    wants_all = True

    def __init__(self, bad: Bad, progress: Progress, *, cores: int | None = None) -> None:
        self._bad = bad
        self._progress = progress
        self._cores = cores or _usable_cores()
        self._signer = b""
        self._chunk: list[Signed] = []
        self._waiting: list[tuple[bytes, list[Signed]]] = []
        self._pool: ProcessPoolExecutor | None = None
        self._running: dict[Future[list[int]], tuple[bytes, list[Signed]]] = {}
        self._checked = 0

    def take(self, record: Record, signer: bytes) -> None:
        """Put one record's signature into a chunk; hand a full chunk on."""
        if signer != self._signer or len(self._chunk) >= CHUNK:
            self._close_chunk()
            self._signer = signer
        self._chunk.append(Signed(record.entry.seq, record.entry_bytes, record.signature))

    def finish(self) -> int:
        """Check what is left and stop the helpers."""
        self._close_chunk()
        for signer, chunk in self._waiting:
            self._done(check_chunk(signer, chunk), len(chunk))
        self._waiting = []
        while self._running:
            self._collect()
        if self._pool is not None:
            self._pool.shutdown()
        return self._checked

    def _close_chunk(self) -> None:
        if not self._chunk:
            return
        task = (self._signer, self._chunk)
        self._chunk = []
        if self._pool is None and (self._cores < 2 or len(self._waiting) * CHUNK < WORTH_A_POOL):
            self._waiting.append(task)
            if self._cores < 2:
                self._check_here()
            return
        self._waiting.append(task)
        try:
            self._hand_out()
        except (BrokenProcessPool, OSError, ImportError, RuntimeError):
            # No semaphores, no memory, no processes: slower is better than not at all.
            self._cores = 1
            self._check_here()

    def _hand_out(self) -> None:
        if self._pool is None:
            # spawn, for a fork would take SQLite's open files and the progress bar's thread along.
            self._pool = ProcessPoolExecutor(self._cores, mp_context=multiprocessing.get_context("spawn"))
        while self._waiting:
            signer, chunk = self._waiting[-1]
            self._running[self._pool.submit(check_chunk, signer, chunk)] = (signer, chunk)
            self._waiting.pop()
        while len(self._running) > 4 * self._cores:  # else a long log would be in memory as a whole
            self._collect()

    def _collect(self) -> None:
        """Take in what is finished, waiting for at least one; what a dead helper had is checked here."""
        for future in wait(self._running, return_when=FIRST_COMPLETED).done:
            signer, chunk = self._running.pop(future)
            try:
                bad = future.result()
            except (BrokenProcessPool, OSError, RuntimeError):
                bad = check_chunk(signer, chunk)
            self._done(bad, len(chunk))

    def _check_here(self) -> None:
        while self._waiting:
            signer, chunk = self._waiting.pop()
            self._done(check_chunk(signer, chunk), len(chunk))

    def _done(self, bad: list[int], count: int) -> None:
        self._checked += count
        for seq in bad:
            self._bad(seq)
        self._progress(self._checked)


def check_chunk(signer: bytes, chunk: list[Signed]) -> list[int]:
    """Return the seqs of those records in `chunk` that the raw key `signer` did not sign."""
    try:
        is_signed = sshsig_checker(signer, ENTRY_NAMESPACE)
    except TrustError:
        return [signed.seq for signed in chunk]
    return [signed.seq for signed in chunk if not is_signed(signed.entry_bytes, signed.signature)]


def _usable_cores() -> int:
    """Return on how many cores this process may run; a container often has fewer than the machine."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
