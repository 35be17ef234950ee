"""Lines that a commit's hook had not the time to follow: said to be left, and told by a later entry, as they were at the commit."""

from __future__ import annotations

import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from desk import Desk, Sandbox

from ledger.core.entry import Entry
from ledger.recorder import Recorder
from ledger.recording import lines
from ledger.recording.events import make_event, record_event

BASE = "".join(f"base {n}\n" for n in range(1, 9))


@pytest.fixture
def desk(sandbox: Sandbox) -> Desk:
    """A repository in which no hook has time to compare texts, and in which git starts none: nobody seals by himself."""
    desk = Desk.begin(sandbox, settings={"lines_ms": 0}, stubs=False)
    desk.commit("base", {"a.txt": BASE, "b.txt": BASE})
    return desk


def patch(desk: Desk, call: str, path: str, *added: str, given: str | None = None) -> None:
    """Let an agent append lines to a file; `given` is what it says it will, if that is something else."""
    asked = "".join(f"+{line}\n" for line in added) if given is None else given
    event = {"command": f"*** Begin Patch\n*** Update File: {path}\n@@\n{asked}*** End Patch"}
    desk.tell(desk.before(call, "apply_patch", event))
    target = desk.path / path
    target.write_text((target.read_text() if target.exists() else "") + "".join(f"{line}\n" for line in added))
    desk.tell(desk.after(call, "apply_patch", event))


def append(desk: Desk, path: str, *added: str) -> None:
    """Let a person append lines to a file."""
    with (desk.path / path).open("a") as file:
        file.writelines(f"{line}\n" for line in added)


def commit(desk: Desk) -> str:
    """Let a person commit everything, and the recorder hear of it; what it starts beside is not started here."""
    desk.git("add", "-A")
    desk.git("commit", "-q", "-m", "work")
    with Recorder.open(str(desk.path), state=str(desk.state)) as recorder:
        event = make_event("git", ("post-commit",), b"", str(desk.path), {}, 1_900_000_000_000)
        recorder.append(lambda writer: record_event(writer, desk.repo, event, live=True))
    return desk.git("rev-parse", "HEAD")


def follow(desk: Desk, **how: Any) -> bool:
    """Do what the process that seals does beside."""
    with Recorder.open(str(desk.path), state=str(desk.state)) as recorder:
        return recorder.follow_left(**how)


def of(desk: Desk, oid: str) -> list[Entry]:
    """Return all entries of a commit."""
    return [entry for entry in desk.entries("commit.recorded") if entry.body["oid"] == oid]


def whose(desk: Desk, oid: str, path: str) -> dict[str, str]:
    """Return whose each added line is, by its text, from the last entry that tells of the path."""
    item = [item for entry in of(desk, oid) for item in entry.body["paths"] if item["path"] == path][-1]
    text = desk.git("show", f"{oid}:{path}").split("\n")
    calls = {entry.seq: entry.call for entry in desk.entries("tool.requested")}
    found = {}
    for part in item["lines"]:
        who = f"{calls[part['call']]} {part['link']}" if part["by"] == "agent" else part["by"]
        found |= dict.fromkeys(text[part["range"][0] - 1 : part["range"][1]], who)
    return found


def wait_for(done: Callable[[], bool]) -> None:
    """Wait until a process of its own has done something; it must not take a minute."""
    for _ in range(600):
        if done():
            return
        time.sleep(0.1)
    raise AssertionError("it never came")


def notes(desk: Desk) -> int:
    """Return of how many commits the journal notes that lines are left."""
    with closing(sqlite3.connect(desk.journal)) as db:
        return int(db.execute("SELECT count(*) FROM unfollowed").fetchone()[0])


def test_a_commit_that_takes_too_long_says_so_and_is_told_later(desk: Desk) -> None:
    """Versions that were seen are looked up; the texts of the others are compared afterwards, in an entry that names the first."""
    patch(desk, "c1", "a.txt", "one")
    patch(desk, "c2", "b.txt", "two")
    append(desk, "b.txt", "mine")
    oid = commit(desk)
    (first,) = of(desk, oid)
    assert [item["path"] for item in first.body["paths"] if "lines" not in item] == ["b.txt"]
    assert first.body["lines_left"] == 1 and notes(desk) == 1

    assert follow(desk)
    first, later = of(desk, oid)
    assert (later.cause, later.body["via"], later.source) == (first.seq, "later", first.source)
    assert (later.session, later.turn, later.call) == (first.session, first.turn, first.call)
    same = ("oid", "tree", "parents", "patch_id")
    assert [later.body[name] for name in same] == [first.body[name] for name in same]
    told = {item["path"]: item for item in later.body["paths"]}
    before = {item["path"]: item for item in first.body["paths"]}
    assert list(told) == ["b.txt"] and {**before["b.txt"], "lines": told["b.txt"]["lines"]} == told["b.txt"]
    assert whose(desk, oid, "b.txt") == {"two": "c2 exact", "mine": "human"}
    assert notes(desk) == 0 and not follow(desk)
    desk.check()


def test_what_happened_since_the_commit_has_no_say(desk: Desk) -> None:
    """A call after the commit that writes a person's line again does not get it; nor does a person get what was a call's."""
    patch(desk, "c1", "a.txt", "agent's")
    append(desk, "a.txt", "mine")
    oid = commit(desk)
    (desk.path / "a.txt").write_text(BASE)
    patch(desk, "c2", "a.txt", "mine", "agent's")
    commit(desk)
    append(desk, "a.txt", "more")
    while follow(desk, rounds=1):
        pass
    assert whose(desk, oid, "a.txt") == {"agent's": "c1 exact", "mine": "human"}
    desk.check()


def test_no_file_is_looked_at_afterwards(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the work tree's, nor one of that name below the folder in which the process happens to be."""
    patch(desk, "c1", "a.txt", "one")
    append(desk, "a.txt", "mine")
    oid = commit(desk)
    decoy = tmp_path / "decoy"
    decoy.mkdir()
    for folder in (decoy, desk.path):
        (folder / "a.txt").write_text(BASE + "one\none\n")  # lines that are there twice cannot be told apart
    monkeypatch.chdir(decoy)
    assert follow(desk) and whose(desk, oid, "a.txt") == {"one": "c1 exact", "mine": "human"}


def test_an_open_call_at_the_commit_is_remembered(desk: Desk) -> None:
    """Lines that came while a command ran are its, as they would have been; that it is over by now changes nothing."""
    patch(desk, "c1", "a.txt", "one")
    desk.tell(desk.before("c2"))
    append(desk, "a.txt", "during")
    oid = commit(desk)
    desk.tell(desk.after("c2"), desk.stop())
    assert follow(desk)
    assert whose(desk, oid, "a.txt") == {"one": "c1 exact", "during": "c2 inferred"}
    (first, later) = of(desk, oid)
    assert (first.call, later.call) == ("c2", "c2")


def test_rounds_are_short_and_go_on_where_they_stopped(desk: Desk) -> None:
    """Without time each round tells one path, in an entry of its own; none is told twice, none is forgotten."""
    names = [f"f{number}.txt" for number in range(5)]
    for name in names:
        patch(desk, f"c-{name}", name, "agent's")
        append(desk, name, "mine")
    oid = commit(desk)
    assert follow(desk, rounds=3, budget_s=1e-9) and notes(desk) == 1
    assert len(of(desk, oid)) == 4
    while notes(desk):
        assert follow(desk, rounds=1, budget_s=1e-9)
    told = [item["path"] for entry in of(desk, oid)[1:] for item in entry.body["paths"]]
    assert told == names
    assert all(whose(desk, oid, name) == {"agent's": f"c-{name} exact", "mine": "human"} for name in names)
    desk.check()


def test_lines_that_had_no_room_are_told_later(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry holds so many ranges; the next ones hold more. A path with too many by itself is left for good."""
    for name in ("c.txt", "d.txt"):
        patch(desk, f"c-{name}", name, "agent's")
    monkeypatch.setattr(lines, "_MAX_IN_ALL", 1)
    oid = commit(desk)
    (first,) = of(desk, oid)
    assert ["lines" in item for item in first.body["paths"]] == [True, False]
    assert follow(desk) and whose(desk, oid, "d.txt") == {"agent's": "c-d.txt exact"}
    assert len(of(desk, oid)) == 2 and notes(desk) == 0


def test_nothing_is_told_of_what_only_the_work_tree_knew(desk: Desk) -> None:
    """A file that nobody saw may have been a person's before the call began, or the call's; afterwards that is not to be seen."""
    patch(desk, "c1", "a.txt", "one")
    append(desk, "a.txt", "mine")
    desk.tell(desk.before("c2"))
    (desk.path / "c.txt").write_text("before or during\n")
    with pytest.MonkeyPatch.context() as limited:
        limited.setattr(lines, "_MAX_PATHS", 0)
        oid = commit(desk)
    follow(desk)
    assert [item["path"] for entry in of(desk, oid)[1:] for item in entry.body["paths"]] == ["a.txt"]
    assert notes(desk) == 0


def test_a_commit_that_is_gone_is_let_go(desk: Desk) -> None:
    """Nobody waits for a commit that git has no more, nor for one whose record is not there."""
    patch(desk, "c1", "a.txt", "one")
    append(desk, "a.txt", "mine")
    commit(desk)
    with closing(sqlite3.connect(desk.journal)) as db, db:
        db.execute("UPDATE unfollowed SET oid = ?", ("0" * 40,))
    assert not follow(desk) and notes(desk) == 0
    desk.check()


def test_while_recording_is_paused_nothing_is_told(desk: Desk, sandbox: Sandbox) -> None:
    """What is left waits until recording goes on."""
    patch(desk, "c1", "a.txt", "one")
    append(desk, "a.txt", "mine")
    commit(desk)
    command = (sys.executable, "-I", "-m", "ledger", "--state", desk.state)
    assert sandbox.run(*command, "pause", cwd=desk.path).returncode == 0
    assert not follow(desk) and notes(desk) == 1
    assert sandbox.run(*command, "resume", cwd=desk.path).returncode == 0
    assert follow(desk) and notes(desk) == 0


@pytest.mark.parametrize("how", ["detached", "inline"])
def test_the_process_that_seals_tells_them_and_seals_them_too(desk: Desk, how: str) -> None:
    """Nobody has to ask: soon after the commit its lines are there, and sealed."""
    desk.lay_stubs()
    desk.git("config", "ledger.seal", how)
    patch(desk, "c1", "a.txt", "one")
    append(desk, "a.txt", "mine")
    desk.git("commit", "-qam", "work")
    oid = desk.git("rev-parse", "HEAD")
    wait_for(lambda: notes(desk) == 0 and len(of(desk, oid)) == 2)
    assert whose(desk, oid, "a.txt") == {"one": "c1 exact", "mine": "human"}
    tip = f"refs/ledger/logs/{desk.log}:checkpoint"
    wait_for(lambda: int(desk.git("show", tip).split("\n")[1]) > of(desk, oid)[1].seq)
