"""What could not be recorded where it arose: kept, taken up by the next event, once, and not believed further than it deserves."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from desk import Desk, Sandbox, hold_lock

from ledger.recording.spool import MAX_FILES


def waiting(folder: Path) -> list[Path]:
    """Return what waits in a spool."""
    return sorted(path for path in folder.glob("*.json") if not path.is_dir()) if folder.is_dir() else []


def block_state(desk: Desk) -> None:
    """Let nothing be written into the state folder, in a way that holds for root as well."""
    desk.lock.unlink(missing_ok=True)
    desk.lock.mkdir()
    desk.spool.parent.mkdir(exist_ok=True)
    desk.spool.write_text("in the way")


def unblock_state(desk: Desk) -> None:
    """Undo `block_state`."""
    desk.lock.rmdir()
    desk.spool.unlink()


def spooled(desk: Desk, name: str = "0-hostile.json", **members: Any) -> Path:
    """Write a file into the repository's spool, as whoever can write there might."""
    value = {
        "v": 1,
        "door": "git",
        "at_ms": 1_700_000_000_000,
        "cwd": str(desk.path),
        "arguments": ["post-commit"],
        "environ": {},
        "data": "",
    }
    path = desk.git_spool / name
    path.write_text(json.dumps({**value, **members}))
    return path


def texts_kept(desk: Desk) -> int:
    """Return how many versions of files the journal keeps with their text."""
    with closing(sqlite3.connect(desk.journal)) as db:
        (count,) = db.execute("SELECT count(*) FROM version WHERE size > 0").fetchone()
    return int(count)


def test_events_that_meet_a_lock_wait(desk: Desk) -> None:
    """After two seconds they go to the spool, silently; the next event records them first, in their order."""
    with hold_lock(desk.lock):
        hooks = []
        for event in (desk.before("c1"), desk.prompt("second"), desk.before("c2")):
            hook = subprocess.Popen(
                desk.argv("codex"), stdin=subprocess.PIPE, stderr=subprocess.PIPE, cwd=desk.path, env=desk.sandbox.env
            )
            assert hook.stdin is not None
            hook.stdin.write(json.dumps(event).encode())
            hook.stdin.close()
            hooks.append(hook)
        assert [hook.wait(60) for hook in hooks] == [0, 0, 0]
        assert [hook.stderr.read() for hook in hooks if hook.stderr] == [b"", b"", b""]
    assert len(waiting(desk.spool)) == 3 and len(desk.records()) == 1
    assert {path.stat().st_mode & 0o777 for path in waiting(desk.spool)} == {0o600}
    desk.tell(desk.after("c1"))
    assert waiting(desk.spool) == []
    assert sorted(desk.kinds()[:-1]) == ["prompt.submitted", "session.started", "tool.requested", "tool.requested"]
    last = desk.entries()[-1]
    assert last.kind == "tool.finished" and last.cause == next(e.seq for e in desk.entries("tool.requested") if e.call == "c1")
    desk.check()


def test_a_commit_that_meets_a_lock_waits(desk: Desk) -> None:
    """Git goes on; the entry has the commit that was HEAD then, not the one that is HEAD now, and the claims of that moment."""
    desk.tell(desk.before("c1"))
    with hold_lock(desk.lock):
        first = desk.commit("first", {"a": "1\n"}, **desk.claim("c1"))
    assert len(waiting(desk.spool)) == 1 and desk.entries("commit.recorded") == []
    second = desk.commit_unseen("second", {"a": "2\n"})
    desk.tell(desk.after("c1"))
    assert (desk.of_commit(first).body["via"], desk.of_commit(first).source) == ("spool", "spool")
    assert desk.of_commit(first).call == "c1"
    assert [entry.body["oid"] for entry in desk.entries("commit.recorded")] == [first, second]
    desk.check()


def test_an_oversized_event_that_meets_a_lock_keeps_size_and_digest(desk: Desk) -> None:
    """Its bytes are not kept; what the gap says is of all of them."""
    data = b'{"hook_event_name": "Stop", "x": "' + b"a" * 20_000_000 + b'"}'
    with hold_lock(desk.lock):
        assert desk.hook(data).returncode == 0
    (path,) = waiting(desk.spool)
    assert path.stat().st_size < 10_000
    assert desk.hook(desk.prompt("next")).returncode == 0
    gap = desk.one("gap.noted")
    assert (gap.body["size"], gap.body["digest"]) == (len(data), hashlib.sha256(data).hexdigest())
    desk.check()


_DIES = """
import os, sys
from ledger import hook
from ledger.recording import spool
spool.remove = lambda *_: os._exit(9)
hook.main(sys.argv[1:])
os._exit(1)
"""


@pytest.mark.parametrize("which", ["state", "repository"])
def test_a_recorder_that_dies_before_it_removes_records_nothing_twice(desk: Desk, which: str) -> None:
    """Between the commit of the journal and the removal of the file, a kill leaves both: the file's name is in the journal."""
    if which == "state":
        with hold_lock(desk.lock):
            desk.tell(desk.prompt("waited"))
    else:
        block_state(desk)
        desk.commit("waited", {"a": "1\n"})
        unblock_state(desk)
    folder = desk.spool if which == "state" else desk.git_spool
    assert len(waiting(folder)) == 1
    argv = [desk.argv()[0], "-I", "-c", _DIES, "--state", str(desk.state), "codex"]
    done = subprocess.run(argv, input=json.dumps(desk.before("c1")).encode(), cwd=desk.path, env=desk.sandbox.env, check=False)
    assert done.returncode == 9 and len(waiting(folder)) == 1
    desk.tell(desk.after("c1"))
    assert waiting(folder) == []
    kind = "prompt.submitted" if which == "state" else "commit.recorded"
    assert len(desk.entries(kind)) == 1
    assert [entry.call for entry in desk.entries("tool.requested", "tool.finished")] == ["c1", "c1"]
    desk.check()


def test_a_commit_in_a_sandbox_waits_in_the_repository(desk: Desk) -> None:
    """Where the state folder cannot be written, git facts wait in the common dir; the next recorder signs them."""
    desk.tell(desk.before("c1"))
    block_state(desk)
    oid = desk.commit("sandboxed", {"a": "1\n"}, **desk.claim("c1"))
    desk.git("commit", "-q", "--amend", "-m", "amended")
    unblock_state(desk)
    assert len(waiting(desk.git_spool)) == 3
    desk.tell(desk.after("c1"))
    assert waiting(desk.git_spool) == []
    entry = desk.of_commit(oid)
    assert (entry.source, entry.body["via"], entry.call) == ("spool", "spool", "c1")
    rewritten = desk.one("commit.rewritten")
    assert rewritten.source == "spool" and rewritten.body["basis"] == {"rewrites": "claimed"}
    assert rewritten.body["rewrites"][0]["old"] == oid
    desk.check()


def test_a_hidden_state_folder_sends_commits_to_the_repository(desk: Desk, sandbox: Sandbox) -> None:
    """A sandbox that shows no home at all: the hook cannot know the clone, but the common dir has the spool."""
    hidden = sandbox.root / "hidden"
    desk.state.rename(hidden)
    oid = desk.commit("sandboxed", {"a": "1\n"})
    assert len(waiting(desk.git_spool)) == 1 and not desk.state.exists()
    hidden.rename(desk.state)
    desk.tell(desk.prompt("next"))
    assert desk.of_commit(oid).source == "spool"
    desk.check()


def test_a_repository_that_no_recorder_visits_does_not_fill_up(desk: Desk, sandbox: Sandbox) -> None:
    """A copy of a repository on a machine without its state folder spools for nobody, up to a bound."""
    for number in range(1000):
        (desk.git_spool / f"{number}.json").write_text("{}")
    desk.state.rename(sandbox.root / "hidden")
    desk.commit("one more", {"a": "1\n"})
    assert len(waiting(desk.git_spool)) == 1000


def test_an_agents_event_never_waits_in_the_repository(desk: Desk) -> None:
    """Prompts and tool output must not lie where an agent can read and write: rather lost, and said to be lost."""
    block_state(desk)
    line = desk.complain(desk.prompt("private"))
    assert "lost" in line
    assert waiting(desk.git_spool) == []


HOSTILE: dict[str, dict[str, Any]] = {
    "another door": {"door": "codex", "data": base64.b64encode(b'{"hook_event_name":"Stop"}').decode()},
    "an unknown git event": {"arguments": ["pre-push"]},
    "a later version": {"v": 2},
    "an environment that is a list": {"environ": []},
    "an environment that is null": {"environ": None},
    "arguments that are null": {"arguments": None},
    "a time before the world": {"at_ms": -1},
    "a time after it": {"at_ms": 10**17},
    "a time that is no number": {"at_ms": "now"},
    "data that is no base64": {"data": "%%%"},
    "data that is a number": {"data": 5},
    "a size that is a text": {"size": "5"},
    "a digest of nothing": {"digest": "00"},
    "no door": {"door": None},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_that_is_no_event_is_a_gap(desk: Desk, name: str) -> None:
    """It is noted by name, removed, and never keeps an event out of the log."""
    spooled(desk, **HOSTILE[name])
    desk.tell(desk.prompt("next"))
    gap = desk.one("gap.noted")
    assert (gap.body["reason"], gap.body["file"]) == ("spool-not-understood", "0-hostile.json")
    assert waiting(desk.git_spool) == [] and len(desk.entries("prompt.submitted")) == 1
    desk.check()


BLOBS: dict[str, bytes] = {
    "nothing": b"",
    "garbage": b"\xff\xfe\x00",
    "an array": b"[]",
    "a text": b'"x"',
    "null": b"null",
    "a torn file": b'{"v": 1',
    "deep nesting": b"[" * 60_000,
    "too many digits": b'{"v": ' + b"9" * 50_000 + b"}",
    "more than is read": b" " * 10_000_000,
}


@pytest.mark.parametrize("name", BLOBS)
def test_bytes_that_are_no_event_are_a_gap(desk: Desk, name: str) -> None:
    """Whatever the file holds, and however much."""
    (desk.git_spool / "x.json").write_bytes(BLOBS[name])
    desk.tell(desk.prompt("next"))
    assert desk.one("gap.noted").body["reason"] == "spool-not-understood"
    assert waiting(desk.git_spool) == []
    desk.check()


HARMLESS: dict[str, dict[str, Any]] = {
    "an id of nothing": {"arguments": ["post-commit", "0" * 40]},
    "an id that is a path": {"arguments": ["post-commit", "../../../../etc/passwd"]},
    "an id that is an option": {"arguments": ["post-commit", "--output=/tmp/x"]},
    "no id": {"arguments": ["post-commit"]},
    "no event": {"arguments": []},
    "claims of surrogates": {"environ": {"CODEX_SESSION_ID": "\ud800", "CODEX_TOOL_CALL_ID": "\udfff"}},
    "claims of a megabyte": {"environ": {"CODEX_SESSION_ID": "x" * 60_000}},
    "claims that are no texts": {"environ": {"CODEX_SESSION_ID": [1], "CODEX_TOOL_CALL_ID": None}},
    "secrets": {"environ": {"AWS_SECRET_ACCESS_KEY": "hunter2"}},
    "rewrites of nothing": {
        "arguments": ["post-rewrite", "rebase"],
        "data": base64.b64encode(b"not a rewrite\n\xff\xff \xff\n").decode(),
    },
    "a cwd of surrogates": {"cwd": "/\udcff\ud800"},
    "a cwd that is nowhere": {"cwd": "/nonexistent\0"},
}


@pytest.mark.parametrize("name", HARMLESS)
def test_an_event_that_git_does_not_confirm_leaves_nothing(desk: Desk, name: str) -> None:
    """Ids are asked of git, claims stay claims of the allow-list, and nothing of it is an entry of its own."""
    spooled(desk, **HARMLESS[name])
    desk.tell(desk.prompt("next"))
    assert desk.kinds() == ["session.started", "prompt.submitted"]
    assert waiting(desk.git_spool) == []
    assert b"hunter2" not in b"".join(path.read_bytes() for path in desk.journal.parent.iterdir())
    desk.check()


def test_a_commit_of_long_ago_with_hostile_claims_is_recorded_as_claimed(desk: Desk) -> None:
    """The commit is real, so it has an entry; whose it is, nobody but the file says."""
    oid = desk.git("rev-parse", "HEAD")
    spooled(desk, arguments=["post-commit", oid], environ={"CODEX_SESSION_ID": "\ud800x", "CODEX_TOOL_CALL_ID": "c" * 9999})
    desk.tell(desk.prompt("next"))
    entry = desk.of_commit(oid)
    assert (entry.session, entry.call, entry.source) == (None, None, "spool")
    assert entry.body["claims"] == {"agent": "codex", "session": "�x"}
    desk.check()


@pytest.mark.parametrize("at_ms", [0, 1_700_000_000_000, 253_402_300_799_999])
def test_a_spooled_commit_cannot_choose_a_time_at_which_no_call_was_open(desk: Desk, at_ms: int) -> None:
    """Neither long ago nor in the year 9999 does a commit escape the call that is open, nor do the texts that are kept go."""
    desk.tell(*desk.edit("c0", "a.txt")[:1])
    (desk.path / "a.txt").write_text("kept\n")
    desk.tell(desk.edit("c0", "a.txt")[1], desk.before("c1"))
    oid = desk.commit_unseen("While a command runs", {"b.txt": "b\n"})
    before = texts_kept(desk)
    spooled(desk, arguments=["post-commit", oid], at_ms=at_ms)
    desk.tell(desk.prompt("next"))
    entry = desk.of_commit(oid)
    assert (entry.call, entry.body["basis"]) == ("c1", {"session": "inferred", "call": "inferred"})
    assert texts_kept(desk) == before > 0
    desk.check()


def test_links_pipes_and_folders_are_not_opened(desk: Desk, sandbox: Sandbox) -> None:
    """A link is not followed, a FIFO is not waited for, a folder stays where it is and in nobody's way."""
    target = sandbox.root / "target.json"
    target.write_text(spooled(desk, arguments=["post-commit", desk.git("rev-parse", "HEAD")]).read_text())
    (desk.git_spool / "0-hostile.json").unlink()
    (desk.git_spool / "1.json").symlink_to(target)
    os.mkfifo(desk.git_spool / "2.json")
    for number in range(MAX_FILES + 1):
        (desk.git_spool / f"00{number}.json").mkdir()
    with open(os.path.join(os.fsencode(desk.git_spool), b"\xff\xfe.json"), "w") as file:
        file.write("{}")
    desk.tell(desk.prompt("next"))
    assert sorted(entry.body["file"] for entry in desk.entries("gap.noted")) == ["1.json", "2.json", "\ufffd\ufffd.json"]
    assert target.exists() and waiting(desk.git_spool) == []
    oid = desk.commit("on it goes", {"a": "1\n"})
    assert desk.of_commit(oid).body["via"] == "hook"
    desk.check()


def test_a_spool_that_is_a_link_is_left_alone(desk: Desk, sandbox: Sandbox) -> None:
    """Nothing is read through it, nothing removed, nothing written."""
    elsewhere = sandbox.root / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious.json").write_text("{}")
    desk.git_spool.rmdir()
    desk.git_spool.symlink_to(elsewhere)
    desk.tell(desk.prompt("next"))
    block_state(desk)
    desk.commit("sandboxed", {"a": "1\n"})
    assert [path.name for path in elsewhere.iterdir()] == ["precious.json"]
    unblock_state(desk)
    assert desk.entries("gap.noted") == []


def test_what_lies_where_the_head_file_is_made_is_never_written_through(desk: Desk, sandbox: Sandbox) -> None:
    """A FIFO would hang the recorder, a hard link would overwrite a file of the user's: both go, and the head file comes."""
    precious = sandbox.root / "precious"
    precious.write_text("precious")
    script = """
import os, sys
from ledger import hook
aside = sys.argv[1] + f".tmp-{os.getpid()}"
os.mkfifo(aside) if sys.argv[2] == "fifo" else os.link(sys.argv[2], aside)
sys.exit(hook.main(sys.argv[3:]))
"""
    for what in ("fifo", str(precious)):
        argv = [desk.argv()[0], "-I", "-c", script, str(desk.head_file), what, "--state", str(desk.state), "codex"]
        data = json.dumps(desk.prompt(what)).encode()
        done = subprocess.run(argv, input=data, cwd=desk.path, env=sandbox.env, capture_output=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, b"")
        assert desk.head_file.read_text().split("/")[1] == str(len(desk.records()) - 1)
    assert precious.read_text() == "precious"


def test_a_thousand_files_are_taken_up_in_portions(desk: Desk) -> None:
    """No event is slow for long; each takes at most its share, and in the end all are gone and noted once."""
    for number in range(1000):
        (desk.git_spool / f"{number:04d}.json").write_text("{}")
    left = [1000]
    while left[-1]:
        desk.tell(desk.prompt(f"{left[-1]} left"))
        left.append(len(waiting(desk.git_spool)))
        assert 0 < left[-2] - left[-1] <= MAX_FILES
    files = [entry.body["file"] for entry in desk.entries("gap.noted")]
    assert files == [f"{number:04d}.json" for number in range(1000)]
    desk.check()


def test_what_waits_is_linked_in_the_work_tree_it_arose_in(desk: Desk, sandbox: Sandbox) -> None:
    """Another work tree's event takes it up, and knows where it came from."""
    tree = sandbox.root / "tree"
    desk.git("worktree", "add", "-q", str(tree), "-b", "side")
    before, after = desk.edit("c1", "new.txt")
    there = {"cwd": str(tree)}
    desk.tell({**before, **there}, cwd=tree)
    (tree / "new.txt").write_text("n\n")
    with hold_lock(desk.lock):
        desk.tell({**after, **there}, cwd=tree)
    desk.tell(desk.prompt("in the main tree"))
    finished = desk.one("tool.finished")
    assert [item["path"] for item in desk.effects(finished.seq)] == ["new.txt"]
    assert finished.body["basis"]["effects"] == "inferred"
    sandbox.git("add", ".", cwd=tree)
    assert desk.links(sandbox.commit(tree, "there")) == {"new.txt": "inferred"}


def test_a_rebase_in_a_sandbox_leaves_no_intermediate_commit(desk: Desk) -> None:
    """What post-commit says during a rebase is nobody's result, also where it cannot be recorded at once."""
    for name in ("a", "b"):
        desk.commit(name, {name: f"{name}\n"})
    block_state(desk)
    desk.git("rebase", "-q", "-i", "HEAD~2", GIT_SEQUENCE_EDITOR="sed -i -e '2s/pick/reword/'", GIT_EDITOR="sed -i -e 1s/b/c/")
    unblock_state(desk)
    before = len(desk.entries("commit.recorded"))
    desk.tell(desk.prompt("next"))
    new = desk.git("rev-parse", "HEAD")
    assert [entry.body["oid"] for entry in desk.entries("commit.recorded")[before:]] == [new]
    assert desk.one("commit.rewritten").body["rewrites"][0]["new"] == new
