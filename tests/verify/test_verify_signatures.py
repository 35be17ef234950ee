"""Which signatures are checked, by one process or several."""

from __future__ import annotations

from concurrent.futures.process import BrokenProcessPool
from typing import Any

import pytest
from simulator import LogSimulator, resign_with_stranger

from ledger.core.entry import Record, parse_record
from ledger.core.sshsig import parse_public_key
from ledger.verify import signatures
from ledger.verify.signatures import EverySignature, Signatures, SomeSignatures


def log_with_rotation() -> list[tuple[Record, bytes]]:
    """Return the records 0 to 9 of a log that rotates its key at 4, each with the key that signed it."""
    sim = LogSimulator()
    keys = [parse_public_key(sim.public_key)]
    for seq in range(1, 10):
        if seq == 4:
            sim.rotate()
            keys.append(parse_public_key(sim.public_key))
        else:
            sim.append("message.sent")
    return [(parse_record(record), keys[seq > 4]) for seq, record in enumerate(sim.records())]


def spoil(signed: list[tuple[Record, bytes]], *seqs: int) -> list[tuple[Record, bytes]]:
    """Return the records with the signatures of some made by a stranger."""
    out = list(signed)
    for seq in seqs:
        record, key = signed[seq]
        raw = b'{"entry":' + record.entry_bytes + b',"sig":"' + b"A" * 86 + b'=="}'
        out[seq] = (parse_record(resign_with_stranger([raw], 0)[0]), key)
    return out


def run(checker: Signatures, signed: list[tuple[Record, bytes]]) -> int:
    """Give all records to `checker` and return how many signatures it checked."""
    for record, key in signed:
        checker.take(record, key)
    return checker.finish()


@pytest.mark.parametrize("seq", range(10))
def test_by_default_run_ends_rotations_and_the_head_are_checked(seq: int) -> None:
    """Of a log with a rotation at 4, the signatures of 4 and of the head are checked; the chain carries the rest."""
    bad: list[int] = []
    assert run(SomeSignatures(bad.append), spoil(log_with_rotation(), seq)) == 2
    assert bad == ([seq] if seq in (4, 9) else [])


def test_a_change_of_key_without_rotation_is_checked_on_both_sides() -> None:
    """Where entries name another key all of a sudden, the last record before it and the last of the run are checked."""
    signed = log_with_rotation()[5:]
    strange = [
        (r._replace(entry=r.entry._replace(key="SHA256:" + "A" * 43)) if n == 2 else r, k) for n, (r, k) in enumerate(signed)
    ]
    bad: list[int] = []
    assert run(SomeSignatures(bad.append), spoil(strange, 1)) == 3
    assert bad == [6]


@pytest.mark.parametrize("cores", [1, 2])
def test_full_checks_each_one_on_any_number_of_cores(cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every bad signature is found, once, by one process and by several; progress ends at the number checked."""
    monkeypatch.setattr(signatures, "WORTH_A_POOL", 0)
    monkeypatch.setattr(signatures, "CHUNK", 3)
    bad: list[int] = []
    seen: list[int] = []
    assert run(EverySignature(bad.append, seen.append, cores=cores), spoil(log_with_rotation(), 0, 3, 4, 5, 9)) == 10
    assert sorted(bad) == [0, 3, 4, 5, 9] and max(seen) == 10


@pytest.mark.parametrize("error", [BrokenProcessPool("gone"), OSError(28, "no semaphores"), ImportError("no sem_open")])
def test_where_no_process_can_be_started_this_one_checks(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without helpers the same signatures are checked, only slower."""

    class NoPool:
        def __init__(self, *_: Any, **__: Any) -> None:
            raise error

    monkeypatch.setattr(signatures, "ProcessPoolExecutor", NoPool)
    monkeypatch.setattr(signatures, "WORTH_A_POOL", 0)
    monkeypatch.setattr(signatures, "CHUNK", 2)
    bad: list[int] = []
    assert run(EverySignature(bad.append, lambda done: None, cores=4), spoil(log_with_rotation(), 1, 8)) == 10
    assert sorted(bad) == [1, 8]


def test_helpers_that_die_lose_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a helper had when it was killed is checked here."""

    class DyingPool:
        def __init__(self, *_: Any, **__: Any) -> None:
            self.left = 2

        def submit(self, *_: Any) -> Any:
            from concurrent.futures import Future

            if not self.left:
                raise BrokenProcessPool("gone")
            self.left -= 1
            future: Future[list[int]] = Future()
            future.set_exception(BrokenProcessPool("killed"))
            return future

        def shutdown(self) -> None:
            pass

    monkeypatch.setattr(signatures, "ProcessPoolExecutor", DyingPool)
    monkeypatch.setattr(signatures, "WORTH_A_POOL", 0)
    monkeypatch.setattr(signatures, "CHUNK", 2)
    bad: list[int] = []
    assert run(EverySignature(bad.append, lambda done: None, cores=2), spoil(log_with_rotation(), *range(10))) == 10
    assert sorted(bad) == list(range(10))


def test_a_key_that_identifies_nobody_signs_nothing() -> None:
    """Under a key of small order every signature is bad."""
    assert signatures.check_chunk(bytes(32), [signatures.Signed(7, b"{}", bytes(64))]) == [7]
