"""The walk over a ref: which commits are genuine seals, and what the others are."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import pytest
import simulator
from scene import Scene, fill
from simulator import LogSimulator

from ledger.core.entry import hash_record
from ledger.core.merkle import Frontier, hash_leaf
from ledger.core.seal import SealTree, format_segment, format_tree
from ledger.verify.known import Wanted
from ledger.verify.notes import Notes
from ledger.verify.sealed import WalkedRef, walk_ref
from ledger.verify.signatures import SomeSignatures
from ledger.verify.verdict import Findings

Found = list[tuple[str, int | None]]


def read(scene: Scene, tip: str, **more: Any) -> tuple[WalkedRef, Found]:
    """Walk the ref of the scene's log and return what it holds, and the code and seq of each finding."""
    findings, log = Findings(), scene.sim.name
    signatures = SomeSignatures(lambda seq: findings.add("signature.bad", log, seq, "bad"))
    seen = walk_ref(scene.repo, log, tip, findings, signatures, Notes(log), **more)
    return seen, [(finding.code, finding.seq) for finding in findings.listed()]


def root_of(records: Sequence[bytes]) -> bytes:
    """Return the root of the tree over `records`."""
    frontier = Frontier()
    frontier.extend(map(hash_leaf, records))
    return frontier.root()


@pytest.fixture
def long(sandbox: Any) -> Scene:
    """A scene whose log has thirty records and a rotation in its middle; no journal is installed."""
    scene = Scene(sandbox, sandbox.make_repo(commit=True))
    fill(scene)
    for _ in range(30 - len(scene.sim.records())):
        scene.sim.append("message.sent")
    return scene


def test_a_good_ref_is_walked_from_its_first_seal_on(long: Scene) -> None:
    """Every seal is genuine, every record is handed on in order, and the end is that of the log."""
    records = long.sim.records()
    tip = long.seal(1, 5, 9, 20, 30)
    taken: list[tuple[int, bytes]] = []
    seen, found = read(long, tip, take=lambda seq, record: taken.append((seq, record)), wanted=Wanted({3, 17}, {20, 7}))
    assert found == [] and taken == list(enumerate(records))
    assert [(seal.size, seal.root) for seal in seen.seals] == [(size, root_of(records[:size])) for size in (1, 5, 9, 20, 30)]
    assert (seen.tip, seen.genuine_tip, seen.frontier.root()) == (tip, tip, root_of(records))
    assert seen.walked.head == hash_record(records[-1]) and seen.heads[0] == hash_record(records[0])
    assert seen.walked.hashes == {seq: hash_record(records[seq]) for seq in (3, 17)}
    assert seen.walked.roots[7] == root_of(records[:7])
    assert (len(seen.walked.keys), seen.strays, seen.forks, seen.missing) == (2, [], [], 0)


def test_an_empty_segment_takes_a_foreign_commit_in(long: Scene) -> None:
    """A seal of the same size and root, with nothing in it, is genuine; one that repeats records is passed over."""
    tip = long.seal(30)
    again = long.put_seal(long.sim.note(30), b"", tip)
    seen, found = read(long, again)
    assert found == [] and seen.genuine_tip == again and [seal.size for seal in seen.seals] == [30, 30]
    copied = long.put_seal(long.sim.note(30), format_segment(long.sim.records()[:3]), tip)
    seen, found = read(long, copied)
    assert found == [("ref.foreign", None)] and seen.genuine_tip == tip


def test_segments_cut_anew_are_fine_where_the_root_fits(long: Scene) -> None:
    """A seal that begins before the log's end repeats what is known and goes on from there."""
    tip = long.seal(5, 20)
    tip = long.seal(30, tip=tip, start=12)
    seen, found = read(long, tip)
    assert found == [] and [seal.size for seal in seen.seals] == [5, 20, 30] and seen.walked.size == 30


def strays(scene: Scene) -> dict[str, str]:
    """Return commits that are no seals of the scene's log, each on top of its seal of 20 records, by what is wrong."""
    git, records, sim = scene.sandbox.git, scene.sim.records(), scene.sim
    below = scene.seal(20)
    other, stranger = LogSimulator(), os.urandom(32)
    other.append("message.sent")
    segment = format_segment(records[20:])

    def tree(*lines: str) -> str:
        made = git("mktree", "--missing", cwd=scene.path, input="".join(f"{line}\n" for line in lines))
        oid: str = git("commit-tree", "-p", below, "-m", "x", made, cwd=scene.path)
        return oid

    def blob(text: str) -> str:
        oid: str = git("hash-object", "-w", "--stdin", cwd=scene.path, input=text)
        return oid

    def lie(empty: str) -> str:
        raw = scene.path / "raw"
        raw.write_bytes(format_tree(SealTree(empty, below)))
        made = git("hash-object", "-t", "tree", "-w", "--literally", str(raw), cwd=scene.path)
        oid: str = git("commit-tree", "-p", below, "-m", "x", made, cwd=scene.path)
        return oid

    empty, huge = blob(""), blob("x" * (3 << 20))
    inner = git("mktree", cwd=scene.path, input="")
    return {
        "an ordinary commit": git("commit-tree", "-p", below, "-m", "x", inner, cwd=scene.path),
        "another tree": tree(f"100644 blob {empty}\tcheckpoint", f"100644 blob {empty}\tother"),
        "a folder for a segment": tree(f"100644 blob {empty}\tcheckpoint", f"040000 tree {inner}\tsegment.jsonl"),
        "a commit said to be a blob": lie(empty),
        "a huge segment": tree(f"100644 blob {blob(sim.note(30).decode())}\tcheckpoint", f"100644 blob {huge}\tsegment.jsonl"),
        "a huge note": tree(f"100644 blob {huge}\tcheckpoint", f"100644 blob {empty}\tsegment.jsonl"),
        "a malformed note": scene.put_seal(b"nonsense", segment, below),
        "a note that is no checkpoint": scene.put_seal("x\n\n— a AAAAAAA=\n".encode(), segment, below),
        "another log's seal": scene.put_seal(other.note(2), format_segment(other.records()), below),
        "another log's note for ours": scene.put_seal(other.note(2, log=sim.name), format_segment(other.records()), below),
        "a stranger's signature": scene.put_seal(sim.note(30, seed=stranger), segment, below),
        "the key from before the rotation": scene.put_seal(sim.note(30, seed=next(iter(sim.seeds.values()))), segment, below),
        "an old seal again": scene.put_seal(sim.note(20), format_segment(records[:20]), below),
        "an old checkpoint with other records": scene.put_seal(sim.note(20), segment, below),
        "more records than counted": scene.put_seal(sim.note(1), format_segment(records[:9]), below),
        "half a line": scene.put_seal(sim.note(20), b"half", below),
    }


def test_whatever_is_no_seal_is_passed_over(long: Scene) -> None:
    """Commits of every wrong sort are strays with a reason, and the log goes on behind them."""
    for name, oid in strays(long).items():
        tip = long.seal(30, tip=oid, start=20)
        seen, found = read(long, tip)
        assert found == [("ref.foreign", None)], name
        assert [stray.oid for stray in seen.strays] == [oid] and seen.strays[0].reason, name
        assert (seen.walked.size, seen.genuine_tip) == (30, tip), name


def test_a_ref_of_strays_alone_is_bounded(long: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """After so many strays in a row nothing more is looked at; without any seal the log is not here."""
    monkeypatch.setattr("ledger.verify.sealed.MAX_STRAYS", 5)
    tip = long.commit("x")
    for _ in range(8):
        tip = long.commit("x")
    tip = long.seal(30, tip=tip)
    seen, found = read(long, tip)
    assert found == [("seal.missing", None), ("ref.foreign", None)]
    assert (seen.stray_count, seen.walked.size, seen.genuine_tip) == (5, 0, None)


def test_nonsense_that_the_key_signed_is_invalid(long: Scene) -> None:
    """Broken records under a good checkpoint are the key holder's own: the seal counts, and its records are found bad."""
    records = simulator.swap(long.sim.records(), 12, 13)
    seen, found = read(long, long.seal(5, 30, records=records))
    assert {code for code, _ in found} == {"chain.seq", "chain.prev", "journal.row"} and len(seen.seals) == 2
    two = [long.sim.records()[0], long.sim.records()[0], *long.sim.records()[1:]]
    _, found = read(long, long.seal(5, 31, records=two))
    assert ("chain.seq", 0) in found


def test_an_edited_segment_is_invalid(long: Scene) -> None:
    """Records that somebody without the key changed do not have the root that was signed; what follows is missing then."""
    records = simulator.flip(long.sim.records(), 12, 40)
    tip = long.put_seal(long.sim.note(20), format_segment(records[9:20]), long.seal(9))
    seen, found = read(long, tip)
    assert found == [("seal.root", 9)] and seen.walked.size == 9
    _, found = read(long, long.seal(30, tip=tip, start=20))
    assert found == [("seal.root", 9), ("seal.missing", None)]
    junk = long.put_seal(long.sim.note(20), b"half a line", long.seal(9))
    assert read(long, junk)[1] == [("seal.root", 20)]


def test_a_seal_taken_out_of_the_middle_is_missing(long: Scene) -> None:
    """A checkpoint of the log's key for more records than are here says that some are missing; one of a key not seen yet cannot."""
    tip = long.seal(30, tip=long.seal(9), start=20)
    seen, found = read(long, tip)
    assert found == [("seal.missing", None)] and (seen.missing, seen.walked.size) == (30, 9)
    _, found = read(long, long.seal(30, tip=long.seal(5), start=20))
    assert found == [("ref.foreign", None)]


def test_an_object_that_is_not_here_is_missing_and_never_fetched(long: Scene, sandbox: Any) -> None:
    """In a partial clone the segments are promised and not here; the answer says so and opens no connection."""
    long.set_ref(tip := long.seal(5, 30))
    sandbox.git("config", "uploadpack.allowFilter", "true", cwd=long.path)
    sandbox.git("config", "uploadpack.allowAnySHA1InWant", "true", cwd=long.path)
    clone = sandbox.root / "partial"
    sandbox.git("clone", "-q", "--no-local", "--filter=blob:none", f"file://{long.path}", str(clone), cwd=sandbox.root)
    sandbox.git("fetch", "-q", "origin", "refs/ledger/*:refs/ledger/*", cwd=clone)
    other = Scene(sandbox, clone)
    other.sim = long.sim
    seen, found = read(other, tip)
    assert found[0] == ("seal.missing", None) and seen.walked.size == 0
    assert all(stray.absent for stray in seen.strays)


@pytest.mark.parametrize(("fork_at", "sizes"), [(12, (20,)), (12, (30,)), (20, (30,)), (12, (14,)), (25, (27, 31))])
def test_two_histories_that_the_key_signed_are_a_fork(long: Scene, fork_at: int, sizes: tuple[int, ...]) -> None:
    """A checkpoint over other records, whatever its size and wherever it branches off, contradicts the log."""
    other = long.sim.fork(fork_at)
    while len(other) < max(sizes):
        other = [*other, long.sim.sign(long.sim.members("message.sent", seq=len(other), prev=hash_record(other[-1])))]
    tip = long.seal(5, 20, 30)
    for size in sizes:
        tip = long.put_seal(long.sim.note(size, other, seed=long.sim.seeds[long.sim.key]), format_segment(other[10:size]), tip)
    seen, found = read(long, tip)
    assert "seal.fork" in [code for code, _ in found]
    assert seen.forks[0].size == sizes[0] and seen.walked.size == 30


def test_nobody_without_the_key_makes_a_fork(long: Scene) -> None:
    """Contradicting checkpoints of other keys, an old rotation repeated among them, are strays."""
    sim, records = long.sim, long.sim.records()
    rotation = next(record for record in records if b"key.rotated" in record)
    old, new = sim.seeds.values()
    tip = long.seal(30)
    for seed in (os.urandom(32), old):
        for lines in (records[:9], [*records[28:30], rotation], [rotation]):
            size = 30 + len(lines)
            tip = long.put_seal(sim.note(size, [*records, *lines], seed=seed), format_segment(lines), tip)
    seen, found = read(long, tip)
    assert found == [("ref.foreign", None)] and seen.walked.size == 30
    sim.key = next(iter(sim.seeds))
    sim.rotate()  # away from the first key once more
    assert new in sim.seeds.values()


def test_a_ref_is_not_believed_for_its_name(long: Scene) -> None:
    """Another log's seals, however good, are no seals of this one."""
    other = LogSimulator()
    tip = long.put_seal(other.note(1), format_segment(other.records()))
    _, found = read(long, tip)
    assert found == [("seal.missing", None), ("ref.foreign", None)]
