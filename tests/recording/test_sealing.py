"""Sealing: what lies on a log's ref, and what happens when somebody moves it, or the journal goes back."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from desk import Desk

from ledger.core.checkpoint import check_checkpoint, log_key
from ledger.core.ed25519 import check_message
from ledger.core.entry import parse_record
from ledger.core.merkle import Frontier, hash_leaf
from ledger.core.note import parse_note
from ledger.core.seal import MAX_SEGMENT_BYTES, parse_segment
from ledger.core.signers import format_signer
from ledger.core.sshsig import parse_public_key
from ledger.recorder import Recorder, rotate_key
from ledger.recording.sealing import Sealed


@pytest.fixture
def desk(sandbox: Any) -> Desk:
    """A repository with a log whose hooks seal before they end, as all in a sandbox do."""
    return Desk.begin(sandbox)


def ref(desk: Desk, prefix: str = "refs/ledger") -> str:
    """Return the name of the log's ref."""
    return f"{prefix}/logs/{desk.log}"


def seal(desk: Desk) -> Sealed:
    """Seal the log of the clone."""
    with Recorder.open(str(desk.path), state=str(desk.state)) as recorder:
        return recorder.seal()


def say(desk: Desk, count: int = 1, size: int = 10) -> None:
    """Append entries of about `size` bytes."""
    with Recorder.open(str(desk.path), state=str(desk.state)) as recorder:
        for _ in range(count):
            recorder.record("message.sent", actor={"type": "agent", "name": "a"}, body={"text": "x" * size})


def chain(desk: Desk, tip: str | None = None) -> list[str]:
    """Return the commits of the ref by first parents, oldest first."""
    return desk.git("rev-list", "--first-parent", "--reverse", tip or ref(desk)).split()


def notes(desk: Desk) -> list[dict[str, str]]:
    """Return checkpoint and segment of each seal, oldest first."""
    return [{name: desk.git("show", f"{oid}:{name}") for name in ("checkpoint", "segment.jsonl")} for oid in chain(desk)]


def check_ref(desk: Desk, keys: list[str] | None = None) -> int:
    """Check every seal on the ref against the journal; return how many records are sealed."""
    records = desk.records()
    public = keys or [str(parse_record(records[0]).entry.body["public_key"])]
    tree, done = Frontier(), 0
    for oid in chain(desk):
        assert desk.git("ls-tree", "--name-only", oid).split() == ["checkpoint", "segment.jsonl"]
        note = desk.sandbox.git_bytes("cat-file", "blob", f"{oid}:checkpoint", cwd=desk.path)
        lines = parse_segment(desk.sandbox.git_bytes("cat-file", "blob", f"{oid}:segment.jsonl", cwd=desk.path))
        assert lines == records[done : done + len(lines)]
        tree.extend(map(hash_leaf, lines))
        done += len(lines)
        signed = check_checkpoint(parse_note(note), [log_key(desk.log, parse_public_key(key)) for key in public], check_message)
        assert (signed.checkpoint.size, signed.checkpoint.root) == (done, tree.root())
    return done


def test_a_commit_seals_what_was_recorded(desk: Desk) -> None:
    """After a commit the ref holds every record, and git itself accepts the seal's signature."""
    desk.commit("one", {"a": "1\n"})
    assert check_ref(desk) == len(desk.records()) == 2
    key = parse_public_key(str(parse_record(desk.records()[0]).entry.body["public_key"]))
    allowed = desk.sandbox.root / "allowed"
    allowed.write_text(format_signer("ledger-robin", key) + "\n")
    shown = desk.git("-c", f"gpg.ssh.allowedSignersFile={allowed}", "log", "--format=%G? %GS %ae", ref(desk))
    assert shown == "G ledger-robin git-ledger@localhost"


def test_each_seal_follows_the_one_before(desk: Desk) -> None:
    """Seals are a chain of single parents, and nothing is sealed twice."""
    for number in range(3):
        desk.commit(f"change {number}", {"a": f"{number}\n"})
    assert len(chain(desk)) == 3
    assert check_ref(desk) == 4
    assert seal(desk).records == 0
    assert len(chain(desk)) == 3


def test_many_records_become_several_segments(desk: Desk) -> None:
    """A segment stays below a megabyte; a record that is larger alone has its own."""
    say(desk, 5, 300_000)
    say(desk, 1, 1_030_000)
    say(desk, 1)
    sealed = seal(desk)
    assert check_ref(desk) == sealed.size == 8
    sizes = [len(desk.sandbox.git_bytes("cat-file", "blob", f"{oid}:segment.jsonl", cwd=desk.path)) for oid in chain(desk)]
    assert sizes[0] < 1_000_000 and sizes[1] < 1_000_000 and max(sizes) <= MAX_SEGMENT_BYTES
    assert len(sizes) == 4


def test_a_detached_sealer_ends_by_itself(sandbox: Any) -> None:
    """By default the seal is made by a process that the commit does not wait for, and whose output nobody has to drain."""
    desk = Desk.begin(sandbox)
    desk.git("config", "ledger.seal", "detached")
    desk.commit("one", {"a": "1\n"})
    for _ in range(600):
        if desk.git("for-each-ref", ref(desk)):
            break
        time.sleep(0.05)
    assert check_ref(desk) == 2


@pytest.mark.parametrize("prefix", ["refs/heads/ledger", "refs/notes/audit/"])
def test_the_prefix_is_a_setting(desk: Desk, prefix: str) -> None:
    """`ledger.refPrefix` says where the refs lie, also for forges that protect branches only."""
    desk.git("config", "ledger.refPrefix", prefix)
    desk.commit("one", {"a": "1\n"})
    assert desk.git("for-each-ref", "--format=%(refname)", "refs/ledger") == ""
    assert len(chain(desk, ref(desk, prefix.rstrip("/")))) == 1


def test_sha256_repositories_are_sealed(sandbox: Any) -> None:
    """The object format of the repository changes nothing in a segment or a checkpoint."""
    desk = Desk.begin(sandbox, sandbox.make_repo("wide", "--object-format=sha256", commit=True))
    desk.commit("one", {"a": "1\n"})
    assert check_ref(desk) == 2
    assert len(chain(desk)[0]) == 64
    assert desk.git("fsck", "--strict") == ""


def test_a_removed_ref_is_restored(desk: Desk) -> None:
    """Whoever deletes the ref gains nothing: the next seal puts the same commits back and goes on."""
    desk.commit("one", {"a": "1\n"})
    tip = chain(desk)[-1]
    desk.git("update-ref", "-d", ref(desk))
    assert seal(desk).healed == "restored"
    assert chain(desk) == [tip]


def test_a_ref_that_went_back_is_restored(desk: Desk) -> None:
    """A ref set back to an earlier seal names the last one again."""
    desk.commit("one", {"a": "1\n"})
    desk.commit("two", {"a": "2\n"})
    before = chain(desk)
    desk.git("update-ref", ref(desk), before[0])
    say(desk)
    assert seal(desk).healed == "restored"
    assert chain(desk)[:2] == before
    assert check_ref(desk) == 4


def test_seals_that_are_gone_are_made_anew(desk: Desk) -> None:
    """Where the objects are gone as well, the journal gives the same checkpoints again: never a second one of a size."""
    desk.commit("one", {"a": "1\n"})
    first = notes(desk)[0]["checkpoint"]
    desk.git("update-ref", "-d", ref(desk))
    desk.git("reflog", "expire", "--expire=all", "--all")
    desk.git("gc", "-q", "--prune=now")
    assert seal(desk).healed == "rebuilt"
    assert notes(desk)[0]["checkpoint"] == first


def test_a_crash_between_ref_and_memory_is_made_good(desk: Desk) -> None:
    """A seal whose process died before the journal knew of it is found, believed by its signature, and followed."""
    desk.commit("one", {"a": "1\n"})
    remembered = _meta(desk)
    say(desk)
    seal(desk)
    _set_meta(desk, remembered)
    say(desk)
    sealed = seal(desk)
    assert (sealed.healed, sealed.records) == ("adopted", 1)
    assert check_ref(desk) == 4


def test_somebody_elses_commit_blocks_nobody(desk: Desk) -> None:
    """A foreign commit on the ref becomes a second parent, so that the next push need not be forced."""
    desk.commit("one", {"a": "1\n"})
    ours = chain(desk)[-1]
    foreign = desk.git("commit-tree", "-p", ours, "-m", "hello", "HEAD^{tree}")
    desk.git("update-ref", ref(desk), foreign)
    sealed = seal(desk)
    assert (sealed.foreign, sealed.records) == (foreign, 0)
    assert desk.git("log", "-1", "--format=%P", ref(desk)).split() == [ours, foreign]
    desk.commit("two", {"a": "2\n"})
    assert check_ref(desk) == 3


def test_a_foreign_commit_before_the_first_seal_blocks_nobody(desk: Desk) -> None:
    """A ref that somebody took before us is taken over; by first parents a reader comes to our seals alone."""
    foreign = desk.git("commit-tree", "-m", "mine now", "HEAD^{tree}")
    desk.git("update-ref", ref(desk), foreign)
    sealed = seal(desk)
    assert sealed.foreign == foreign and sealed.size == 1
    first, second = chain(desk)
    assert desk.git("log", "-1", "--format=%P", ref(desk)).split() == [first, foreign]
    assert desk.git("log", "-1", "--format=%P", first) == ""
    assert check_ref(desk) == 1 and seal(desk).tip == second


@pytest.mark.parametrize("packed", [False, True], ids=["loose ref", "packed ref"])
def test_a_restored_journal_is_never_signed_again(desk: Desk, packed: bool) -> None:
    """A journal from an older backup is noticed by the seals that it does not know, and a successor log goes on."""
    desk.commit("one", {"a": "1\n"})
    backup = desk.sandbox.root / "backup.db"
    _fold(desk)
    shutil.copy(desk.journal, backup)
    desk.commit("two", {"a": "2\n"})
    tip, old = chain(desk)[-1], desk.log
    if packed:
        desk.git("pack-refs", "--all")
    for path in desk.journal.parent.glob("journal.db-*"):
        path.unlink()
    shutil.copy(backup, desk.journal)
    if packed:
        assert seal(desk).log != old  # git is asked for packed refs when a log is sealed
    else:
        desk.commit("three", {"a": "3\n"})
        assert [entry.seq for entry in desk.entries()] == [1], "nothing may be appended to the log that went back"
    with Recorder.open(str(desk.path), state=str(desk.state)) as recorder:
        desk.log = recorder.clone.log
    genesis = parse_record(desk.records()[0]).entry
    assert desk.log != old and genesis.body["predecessor"]["log"] == old
    assert desk.git("rev-parse", f"refs/ledger/logs/{old}") == tip
    desk.commit("four", {"a": "4\n"})
    assert check_ref(desk) >= 2


def test_a_journal_whose_tail_was_cut_is_never_signed_again(desk: Desk) -> None:
    """Removed rows are noticed by the size that was sealed."""
    desk.commit("one", {"a": "1\n"})
    with closing(sqlite3.connect(desk.journal)) as db, db:
        db.execute("DELETE FROM record WHERE seq = 1")
    old = desk.log
    assert seal(desk).log != old


def test_a_rotated_key_signs_from_then_on(desk: Desk) -> None:
    """Checkpoints up to the rotation bear the old key's signature, later ones the new key's."""
    desk.commit("one", {"a": "1\n"})
    say(desk)
    rotate_key(desk.repo, str(desk.state))
    say(desk)
    sealed = seal(desk)
    (rotated,) = desk.entries("key.rotated")
    keys = [str(parse_record(desk.records()[0]).entry.body["public_key"]), str(rotated.body["public_key"])]
    assert check_ref(desk, keys) == sealed.size == len(desk.records())
    texts = [note["checkpoint"] for note in notes(desk)]
    ids = [text.splitlines()[-1].split(" ")[2][:5] for text in texts]
    assert ids[0] == ids[1] != ids[2]


def test_seals_survive_git_gc(desk: Desk) -> None:
    """Garbage collection packs seals like everything else, and the next one follows."""
    desk.commit("one", {"a": "1\n"})
    desk.git("gc", "-q", "--prune=now")
    desk.commit("two", {"a": "2\n"})
    assert check_ref(desk) == 3


def test_a_repository_that_cannot_be_written_loses_nothing(desk: Desk) -> None:
    """Where sealing fails the commit is recorded all the same, one line says so, and the next seal takes it."""
    (Path(desk.repo.common_dir) / "refs" / "ledger").write_text("in the way")
    desk.commit("one", {"a": "1\n"})
    assert len(desk.records()) == 2
    (Path(desk.repo.common_dir) / "refs" / "ledger").unlink()
    assert seal(desk).size == 2


def _meta(desk: Desk) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(desk.journal)) as db, db:
        return db.execute("SELECT name, value FROM meta WHERE name LIKE 'sealed_%'").fetchall()


def _set_meta(desk: Desk, rows: list[tuple[str, str]]) -> None:
    with closing(sqlite3.connect(desk.journal)) as db, db:
        db.executemany("UPDATE meta SET value = ?2 WHERE name = ?1", rows)


def _fold(desk: Desk) -> None:
    """Fold the journal's write-ahead log into its file, so that one file is all of it."""
    with closing(sqlite3.connect(desk.journal)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@pytest.mark.parametrize("what", ["absent", "garbage", "empty", "endless"])
def test_a_ref_that_git_cannot_read_stops_nobody(desk: Desk, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever can write .git can let our ref name nothing that can be read: recording goes on, and the next seal puts it right."""
    monkeypatch.setattr("ledger.recording.sealing.PATIENCE_S", 1.0)
    monkeypatch.setattr("ledger.repo.seals.PATIENCE_S", 1.0)
    say(desk)
    before = seal(desk)
    place = desk.path / ".git" / ref(desk)
    place.write_text({"garbage": "no such thing\n", "empty": ""}.get(what, "1" * 40 + "\n"))
    if what == "endless":
        folder = desk.path / ".git/objects/11"
        folder.mkdir(exist_ok=True)
        os.mkfifo(folder / ("1" * 38))
    say(desk)
    sealed = seal(desk)
    assert (sealed.log, sealed.size, sealed.healed) == (before.log, before.size + 1, "restored")
    assert chain(desk)[-1] == sealed.tip and len(chain(desk)) > 1
    assert desk.git("rev-parse", f"{sealed.tip}^") == before.tip


def test_an_object_without_end_does_not_stop_recording(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A FIFO in the place of a tree behind our ref is waited for only so long."""
    monkeypatch.setattr("ledger.recording.sealing.PATIENCE_S", 1.0)
    before = seal(desk)
    desk.commit("a change", {"a.txt": "a\n"})
    foreign = desk.git("commit-tree", "-m", "x", "-p", str(before.tip), "HEAD^{tree}")
    tree = desk.git("rev-parse", f"{foreign}^{{tree}}")
    place = desk.path / ".git/objects" / tree[:2] / tree[2:]
    place.unlink()
    os.mkfifo(place)
    (desk.path / ".git" / ref(desk)).write_text(foreign + "\n")
    say(desk)
    assert desk.kinds()[-1] == "message.sent"


def test_another_prefix_is_no_way_to_sign_twice(desk: Desk) -> None:
    """A journal that went back is found out by the packed ref under the prefix of before, too."""
    log = desk.log
    say(desk)
    seal(desk)
    with closing(sqlite3.connect(desk.journal)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    copy = desk.journal.with_name("backup")
    shutil.copy(desk.journal, copy)
    say(desk, 3)
    sealed = seal(desk)
    desk.git("pack-refs", "--all")
    for path in desk.journal.parent.glob("journal.db*"):
        path.unlink()
    copy.rename(desk.journal)
    desk.git("config", "ledger.refPrefix", "refs/heads/ledger")
    say(desk, 2, 5)
    again = seal(desk)
    assert again.log != log
    assert desk.git("rev-parse", f"refs/ledger/logs/{log}") == sealed.tip
    assert desk.git("for-each-ref", f"refs/heads/ledger/logs/{log}") == ""
