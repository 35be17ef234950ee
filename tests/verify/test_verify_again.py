"""A second run reads what is new, finds what the first one would have, and believes nothing that it cannot check."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import simulator
from scene import Scene, codes, fill
from test_verify_sealed import auditor, enroll, fetch

from ledger.store import state as places
from ledger.verify.chain import Walker
from ledger.verify.known import format_known, parse_known


class Counter:
    """How many records were read and judged."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        take = Walker.take

        def counting(walker: Walker, rows: Any) -> None:
            rows = list(rows)
            self.count += len(rows)
            take(walker, rows)

        monkeypatch.setattr(Walker, "take", counting)

    def of(self, scene: Scene, **options: Any) -> tuple[str, list[str], int]:
        """Return a run's verdict, the codes that it found, and how many records it read."""
        self.count = 0
        report = scene.verify(**options)
        return report.verdict, codes(report), self.count


@pytest.fixture
def counter(monkeypatch: pytest.MonkeyPatch) -> Counter:
    """A counter of records."""
    return Counter(monkeypatch)


def more(scene: Scene, count: int = 5) -> None:
    """Append entries of which something must be remembered, and some others."""
    scene.record_commit(scene.sandbox.git("rev-parse", "HEAD", cwd=scene.path))
    scene.sim.append("gap.noted", {"reason": "x", "count": 1, "size": 1})
    scene.sim.append("future.kind")
    for _ in range(count - 3):
        scene.sim.append("message.sent", payloads={"text": b"x"})


def known_file(scene: Scene, source: str) -> Path:
    """Return what a run left for the next one."""
    return Path(scene.state) / "verified" / f"{scene.sim.name}.{source}"


def test_a_journal_is_read_from_where_the_last_run_ended(scene: Scene, counter: Counter) -> None:
    """Only new records are judged, the findings are those of a full run, and the answer says what was taken over."""
    more(scene)
    scene.install()
    size = len(scene.sim.records())
    first = counter.of(scene)
    assert first == ("consistent", ["gap.noted", "kind.unknown"], size)
    assert counter.of(scene) == (*first[:2], 0)
    scene.sim.rotate()
    more(scene)
    scene.install()
    report = scene.verify()
    assert any(f"the first {size} records" in line for line in report.unchecked)
    assert counter.of(scene, full=True)[2] == len(scene.sim.records())
    again = scene.verify(full=True)
    assert [f for f in again.findings if f.code != "x"] == list(report.findings)
    assert not any("earlier run" in line for line in again.unchecked)


def test_a_ref_is_read_from_its_last_genuine_seal_on(scene: Scene, counter: Counter) -> None:
    """In a clone without a journal only new segments are read; an earlier record that is quoted now is found without the rest."""
    enroll(scene, scene.sim)
    sizes = [3, 9, len(scene.sim.records())]
    scene.set_ref(scene.seal(*sizes))
    clone = auditor(scene)
    assert counter.of(clone) == ("consistent", [], sizes[-1])
    assert counter.of(clone) == ("anchored", [], 0)
    more(scene)
    scene.set_ref(scene.seal(*sizes, len(scene.sim.records())))
    fetch(clone, scene)
    scene.commit_with_trailer(scene.sim.head(4))
    scene.sandbox.git("fetch", "-q", str(scene.path), "+HEAD:refs/remotes/origin/main", cwd=clone.path)
    assert counter.of(clone) == ("anchored", ["gap.noted", "kind.unknown"], 5)
    (log,) = clone.verify().logs
    assert {(anchor.type, anchor.size) for anchor in log.anchors} == {("pin", sizes[-1] + 5), ("commit", 5)}
    assert counter.of(clone, full=True)[1:] == (["gap.noted", "kind.unknown"], sizes[-1] + 5)


TAMPERED: dict[str, Callable[[Scene], list[bytes]]] = {
    "a record edited": lambda scene: simulator.flip(scene.sim.records(), 4, 40),
    "a record dropped": lambda scene: simulator.drop(scene.sim.records(), 4),
    "two swapped": lambda scene: simulator.swap(scene.sim.records(), 4, 5),
    "all made anew": lambda scene: scene.sim.edit_and_rehash(4, lambda members: members.update(body={})),
    "cut": lambda scene: scene.sim.records()[:6],
}


@pytest.mark.parametrize("name", TAMPERED)
def test_a_changed_journal_is_read_in_full(scene: Scene, counter: Counter, name: str) -> None:
    """Whatever changed in the part that was verified before, the findings are those of a machine that keeps only its pins."""
    assert scene.verify().verdict == "consistent"
    scene.install(TAMPERED[name](scene), [row for row in scene.sim.payload_rows() if name != "cut" or row.seq < 6])
    verdict, found, count = counter.of(scene)
    assert verdict in ("invalid", "diverged") and count > 0
    known_file(scene, "journal").unlink()
    assert counter.of(scene)[:2] == (verdict, found)


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE payload SET bytes = x'21' || substr(bytes, 2) WHERE seq = 2",
        "DELETE FROM payload WHERE seq = 2",
        "INSERT INTO payload VALUES (3, 'stray', x'00', x'00')",
        "INSERT INTO record VALUES (-1, x'00')",
        "UPDATE record SET bytes = bytes || x'0a' WHERE seq = 3",
        "UPDATE record SET bytes = (SELECT bytes || x'0a' FROM record WHERE seq = 3) || bytes WHERE seq = 4",
        "UPDATE record SET bytes = CAST(bytes AS TEXT) WHERE seq = 3",
        "UPDATE payload SET seq = 'x' WHERE seq = 2",
    ],
)
def test_changed_rows_of_the_known_part_are_found(scene: Scene, sql: str) -> None:
    """Rows that were verified before are compared as they lie there, whatever was done to them."""
    assert scene.verify().verdict == "consistent"
    db = sqlite3.connect(places.journal_path(scene.state, scene.sim.name))
    with db:
        db.execute(sql)
    db.close()
    report = scene.verify()
    assert report.verdict in ("invalid", "incomplete") and codes(report) == codes(scene.verify(full=True))


def test_a_changed_ref_is_read_in_full(scene: Scene, counter: Counter) -> None:
    """Where the last genuine seal is not on the ref any more, everything is read; a ref cut anew with the same records is fine."""
    enroll(scene, scene.sim)
    size = len(scene.sim.records())
    scene.set_ref(scene.seal(3, size))
    clone = auditor(scene)
    assert clone.verify().verdict == "consistent"
    scene.set_ref(scene.seal(5, 9, size))
    fetch(clone, scene)
    assert counter.of(clone) == ("anchored", [], size)
    scene.set_ref(scene.seal(5, 9, records=scene.sim.fork(8)))
    fetch(clone, scene)
    verdict, found, _ = counter.of(clone)
    assert verdict == "diverged" and found == ["pin.rollback"]


SPOILT: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda data: data[:-1],
    "empty": lambda data: b"",
    "one bit": lambda data: data[:100] + bytes([data[100] ^ 1]) + data[101:],
    "another version": lambda data: rewrite(data, v=2),
    "another log": lambda data: rewrite(data, log="ab" * 16),
    "another frontier": lambda data: rewrite(data, frontier=[]),
    "no key": lambda data: rewrite(data, keys=[]),
    "other types": lambda data: rewrite(data, seals=7),
}


def rewrite(data: bytes, **changes: Any) -> bytes:
    """Return a file with members replaced and a digest that fits."""
    from hashlib import sha256

    text = json.dumps(json.loads(data.partition(b"\n")[2]) | changes).encode()
    return sha256(text).hexdigest().encode() + b"\n" + text


@pytest.mark.parametrize("name", SPOILT)
def test_a_spoilt_memory_is_no_memory(scene: Scene, counter: Counter, name: str) -> None:
    """What an earlier run left and is damaged, or not of this version or log, is as good as nothing."""
    expected = counter.of(scene)
    path = known_file(scene, "journal")
    path.write_bytes(SPOILT[name](path.read_bytes()))
    assert counter.of(scene) == expected
    assert counter.of(scene)[2] == 0  # it was written anew


def test_what_is_left_is_read_back(scene: Scene) -> None:
    """The file's form has exact twins."""
    scene.set_ref(scene.seal(3, 9))
    scene.verify()
    known = parse_known(known_file(scene, "journal").read_bytes(), scene.sim.name)
    assert known is not None and parse_known(format_known(known), scene.sim.name) == known
    assert [seal.size for seal in known.seals] == [3, 9] and known.seals[0].note == b"" and known.seals[1].note
    assert parse_known(format_known(known), "ab" * 16) is None


def test_a_bad_log_leaves_nothing(scene: Scene) -> None:
    """Where a walk finds an error, the next run begins at the beginning."""
    scene.install(simulator.drop(scene.sim.records(), 3))
    assert scene.verify().verdict == "invalid"
    assert not known_file(scene, "journal").exists()


def test_seals_made_after_the_journal_was_verified(scene: Scene, counter: Counter) -> None:
    """Checkpoints of sizes inside the known part are held against its tree without judging its records again."""
    scene.verify()
    scene.set_ref(scene.seal(2, 7, len(scene.sim.records())))
    assert counter.of(scene) == ("consistent", [], 0)
    assert scene.verify().logs[0].sealed == len(scene.sim.records())
    scene.set_ref(scene.seal(2, 10, records=scene.sim.fork(9)))
    assert counter.of(scene)[:2] == ("diverged", ["seal.mismatch"])


def test_removing_what_earlier_runs_left_improves_nothing(sandbox: Any) -> None:
    """With the memory of earlier runs gone the verdict is the same, for a good log and for bad ones."""
    scene = fill(Scene(sandbox, sandbox.make_repo(commit=True)))
    scene.install()
    scene.verify()
    for change in TAMPERED.values():
        scene.install(change(scene), [])
        before = scene.verify().verdict
        known_file(scene, "journal").unlink(missing_ok=True)
        assert scene.verify().verdict == before
