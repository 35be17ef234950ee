"""When the disk or the key lets us down: never silent, nothing overwritten, nothing acknowledged lost, no agent stopped."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from desk import Desk, Sandbox, tree_of

from ledger.recorder import begin_log


def damage_gone(desk: Desk) -> None:
    """Remove the journal."""
    for path in desk.journal.parent.glob("journal.db*"):
        path.unlink()


def damage_garbage(desk: Desk) -> None:
    """Overwrite the journal's beginning."""
    with open(desk.journal, "r+b") as file:
        file.write(os.urandom(8192))


def damage_cut(desk: Desk) -> None:
    """Cut the journal off in the middle."""
    os.truncate(desk.journal, desk.journal.stat().st_size // 2 + 100)


def damage_emptied(desk: Desk) -> None:
    """Leave an empty file, which SQLite takes for a new database."""
    os.truncate(desk.journal, 0)


def damage_folder(desk: Desk) -> None:
    """Put a folder where the journal was: it can be neither read nor written, whoever asks."""
    damage_gone(desk)
    desk.journal.mkdir()


def damage_table(desk: Desk) -> None:
    """Lose a table."""
    with closing(sqlite3.connect(desk.journal)) as db, db:
        db.execute("DROP TABLE done")


def damage_genesis(desk: Desk) -> None:
    """Lose every record."""
    with closing(sqlite3.connect(desk.journal)) as db, db:
        db.execute("DELETE FROM record")


def damage_record(desk: Desk) -> None:
    """Flip a byte of the last record."""
    with closing(sqlite3.connect(desk.journal)) as db, db:
        db.execute("UPDATE record SET bytes = CAST(replace(bytes, '{', '[') AS BLOB) WHERE seq = (SELECT max(seq) FROM record)")


def damage_type(desk: Desk) -> None:
    """Put a text where the last record's bytes were."""
    with closing(sqlite3.connect(desk.journal)) as db, db:
        db.execute("UPDATE record SET bytes = 'no bytes' WHERE seq = (SELECT max(seq) FROM record)")


def damage_other(desk: Desk) -> None:
    """Put another log's journal there."""
    with closing(sqlite3.connect(desk.journal)) as db, db:
        db.execute("UPDATE meta SET value = ? WHERE name = 'log'", ("0" * 32,))


def damage_version(desk: Desk) -> None:
    """Put the journal of a later version there."""
    with closing(sqlite3.connect(desk.journal)) as db, db:
        db.execute("UPDATE meta SET value = '2' WHERE name = 'schema'")


def damage_key_gone(desk: Desk) -> None:
    """Remove the key."""
    for path in desk.state.glob("keys/*.key"):
        path.unlink()


def damage_key_bytes(desk: Desk) -> None:
    """Put another key's line there."""
    for path in desk.state.glob("keys/*.key"):
        path.write_text(path.read_text().replace("file ", "file A"))


def damage_lock(desk: Desk) -> None:
    """Put a folder where the lock was: it cannot be opened for writing, whoever asks."""
    desk.lock.unlink(missing_ok=True)
    desk.lock.mkdir()


DAMAGES = {name.removeprefix("damage_"): work for name, work in globals().items() if name.startswith("damage_")}


def resting(desk: Desk) -> dict[str, bytes | None]:
    """Return what must not change by a failed append: not spools and lock, nor what SQLite keeps beside an open journal."""
    passing = ("spool", f"logs/{desk.log}/lock")
    return {
        name: data
        for name, data in tree_of(desk.state).items()
        if not name.startswith(passing) and name[-4:] not in ("-wal", "-shm")
    }


def settle(desk: Desk) -> None:
    """Fold the write-ahead log into the journal, so that one file is all of it."""
    with closing(sqlite3.connect(desk.journal)) as db, db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@pytest.mark.parametrize("required", [False, True], ids=["by default", "required"])
@pytest.mark.parametrize("name", DAMAGES)
def test_a_failure_is_said_and_nothing_is_overwritten(sandbox: Sandbox, name: str, required: bool) -> None:
    """One line names file and remedy; the agent goes on, or is stopped where the repository requires recording.

    After the repair everything is there that was acknowledged, then what waited, then what comes.
    """
    desk = Desk.begin(sandbox, settings={"required": required})
    desk.tell(desk.prompt("acknowledged"))
    settle(desk)
    backup = sandbox.root / "backup"
    shutil.copytree(desk.state, backup)
    DAMAGES[name](desk)
    if desk.journal.with_name("journal.db-wal").exists():
        settle(desk)  # a damage by SQL may rest beside the journal still
    damaged = resting(desk)
    line = desk.complain(desk.prompt("while it is broken"), code=2 if required else 0)
    assert str(desk.state) in line and "waits in the spool" in line
    assert len(line.split(". ", 1)[1]) > 10, "no remedy"
    assert resting(desk) == damaged
    git = desk.hook(b"", "git", "post-commit")
    assert git.returncode == (2 if required else 0) and b"Traceback" not in git.stderr and git.stderr.count(b"\n") == 1
    spool = sandbox.root / "waiting"
    desk.spool.rename(spool)
    shutil.rmtree(desk.state)
    backup.rename(desk.state)
    desk.spool.parent.mkdir(exist_ok=True)
    spool.rename(desk.spool)
    desk.tell(desk.prompt("after the repair"))
    prompts = [desk.payload(entry.seq, "prompt") for entry in desk.entries("prompt.submitted")]
    assert prompts == [b"acknowledged", b"while it is broken", b"after the repair"]
    desk.check()


def test_init_begins_a_successor_where_the_journal_is_gone(desk: Desk) -> None:
    """What the message advises works: the new log names the old one as the head file remembers it, and what waited is recorded."""
    desk.tell(desk.prompt("before"))
    log, seq, digest = desk.head_file.read_text().strip().split("/")
    damage_gone(desk)
    assert "ledger init" in desk.complain(desk.prompt("meanwhile"))
    begun = begin_log(desk.repo, str(desk.state))
    assert begun.created and begun.predecessor == desk.log == log
    desk.log = begun.log
    desk.tell(desk.prompt("after"))
    assert desk.check()[0].body["predecessor"] == {"log": log, "seq": int(seq), "hash": digest}
    again = begin_log(desk.repo, str(desk.state))
    assert (again.created, again.log) == (False, begun.log)


def limit_files(size: int) -> Callable[[], None]:
    """Return what lets a process write no file beyond `size` bytes: the disk is full for it."""
    import resource

    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@pytest.mark.parametrize("room", [0, 4096, 40_000], ids=["not a byte", "a page", "some pages"])
def test_a_disk_that_fills_up_loses_nothing_acknowledged(desk: Desk, room: int) -> None:
    """An entry is whole or not there; what could not be written is said, and when there is room again it goes on."""
    desk.tell(desk.prompt("acknowledged"))
    settle(desk)
    before = desk.records()
    size = room and max(path.stat().st_size for path in desk.journal.parent.iterdir()) + room
    data = b'{"hook_event_name": "UserPromptSubmit", "session_id": "s", "prompt": "' + b"x" * 300_000 + b'"}'
    done = subprocess.run(
        desk.argv("codex"),
        input=data,
        cwd=desk.path,
        env=desk.sandbox.env,
        capture_output=True,
        preexec_fn=limit_files(size),
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, b"")
    assert done.stderr.startswith(b"ledger: not recorded (the event is lost): ") and done.stderr.count(b"\n") == 1
    assert desk.records() == before
    desk.tell(desk.prompt("there is room again"))
    assert len(desk.records()) == len(before) + 1
    desk.check()


def test_a_full_file_system(sandbox: Sandbox) -> None:
    """The same on a file system that really is full, where this machine lets us make one."""
    mount = sandbox.root / "small"
    mount.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(mount)], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("a small file system cannot be mounted here (needs root)")
    try:
        desk = Desk(sandbox, sandbox.make_repo(commit=True), mount / "state")
        desk.log = begin_log(desk.repo, str(desk.state)).log
        desk.tell(desk.prompt("acknowledged"))
        before = desk.records()
        filler = mount / "filler"
        with open(filler, "wb", buffering=0) as file:
            try:
                while file.write(bytes(4096)):
                    pass
            except OSError:
                pass
        line = desk.complain(desk.prompt("x" * 100_000))
        assert "no space left" in line and "free some space" in line
        assert desk.records() == before
        filler.unlink()
        desk.tell(desk.prompt("there is room again"))
        desk.check(len(before) + 1)
    finally:
        subprocess.run(["umount", str(mount)], check=True)


def test_a_read_only_state_folder_is_said(sandbox: Sandbox, desk: Desk) -> None:
    """An agent's event is lost, and said to be; a commit waits in the repository."""
    if os.getuid() == 0:
        made = subprocess.run(["mount", "--bind", "-o", "ro", str(desk.state), str(desk.state)], capture_output=True, check=False)
        if made.returncode:
            pytest.skip("root may write everywhere, and nothing can be mounted read-only here")
    else:
        for path in [desk.state, *desk.state.rglob("*")]:
            path.chmod(0o500 if path.is_dir() else 0o400)
    try:
        line = desk.complain(desk.prompt("lost"))
        assert "lost" in line and "writable" in line
        oid = desk.commit("kept", {"a": "1\n"})
    finally:
        if os.getuid() == 0:
            subprocess.run(["umount", str(desk.state)], check=True)
        else:
            for path in [desk.state, *desk.state.rglob("*")]:
                path.chmod(0o700 if path.is_dir() else 0o600)
    desk.tell(desk.prompt("next"))
    assert desk.of_commit(oid).source == "spool"
    desk.check()


def test_a_head_file_that_cannot_be_written_costs_no_entry(desk: Desk) -> None:
    """It is a hint: the journal says it again."""
    desk.head_file.unlink()
    desk.head_file.mkdir()
    (desk.head_file / "x").touch()
    desk.tell(desk.prompt("one"))
    shutil.rmtree(desk.path / ".git/ledger")
    (desk.path / ".git/ledger").write_text("in the way")
    desk.tell(desk.prompt("two"))
    (desk.path / ".git/ledger").unlink()
    desk.tell(desk.prompt("three"))
    assert desk.head_file.read_text().split("/")[1] == str(len(desk.records()) - 1)
    desk.check()


@pytest.mark.parametrize("work", ["translate", "record"])
def test_our_own_mistakes_become_gaps(desk: Desk, work: str) -> None:
    """An exception that nobody foresaw costs the event's content, not the event, and not the next one."""
    where = {"translate": "ledger.agents.codex.translate", "record": "ledger.recording.calls.open_call"}[work]
    module, _, name = where.rpartition(".")
    script = f"""
import sys, {module}
from ledger import hook
def fail(*args, **named):
    raise ZeroDivisionError("of all things")
setattr({module}, {name!r}, fail)
sys.exit(hook.main(sys.argv[1:]))
"""
    data = str(desk.before("c1")).replace("'", '"').encode()
    argv = [desk.argv()[0], "-I", "-c", script, "--state", str(desk.state), "codex"]
    done = subprocess.run(argv, input=data, cwd=desk.path, env=desk.sandbox.env, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (0, b"")
    assert b"of all things" in done.stderr and b"Traceback" not in done.stderr
    gap = desk.one("gap.noted")
    assert (gap.body["reason"], gap.body["size"], gap.body["event"]) == ("recorder-failed", len(data), "PreToolUse")
    assert desk.kinds() == ["gap.noted"]
    desk.tell(desk.before("c2"))
    desk.check(4)


SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "aws-7c1f-secret",
    "GITHUB_TOKEN": "ghp-7c1f-secret",
    "CODEX_API_KEY": "codex-7c1f-secret",
    "CLAUDE_CODE_OAUTH_TOKEN": "claude-7c1f-secret",
    "LEDGER_TOKEN": "ledger-7c1f-secret",
    "DATABASE_URL": "postgres://u:db-7c1f-secret@h/d",
}


def test_no_variable_outside_the_list_is_ever_stored(desk: Desk) -> None:
    """Calls, commits, gaps and spools, with secrets all around: not a byte of them rests anywhere."""
    desk.tell(desk.prompt("go"), desk.before("c1"), env=SECRETS)
    desk.commit("inside", {"a": "1\n"}, **desk.claim("c1"), **SECRETS)
    desk.hook(b"garbage", env=SECRETS)
    damage_lock(desk)
    desk.hook(desk.prompt("waits"), env=SECRETS)
    desk.commit("waits", {"a": "2\n"}, **SECRETS)
    held = b"".join(data for data in (*tree_of(desk.state).values(), *tree_of(desk.path / ".git").values()) if data)
    assert b"waits" in held or len(list(desk.spool.iterdir())) == 2
    desk.lock.rmdir()
    desk.tell(desk.after("c1"), env=SECRETS)
    held += b"".join(data for data in tree_of(desk.state).values() if data)
    assert b"7c1f-secret" not in held
    assert desk.session.encode() in held
    desk.check()


def test_files_are_for_their_user_alone(desk: Desk) -> None:
    """Journal, write-ahead log, key, clone map and spool: nobody else reads prompts."""
    desk.tell(desk.prompt("private"))
    damage_lock(desk)
    desk.hook(desk.prompt("waits"))
    modes = {path.relative_to(desk.state): path.stat().st_mode & 0o777 for path in desk.state.rglob("*") if path.is_file()}
    assert {mode for path, mode in modes.items() if path.suffix != ".pub"} == {0o600}
    assert any(str(path).endswith("-wal") for path in modes)
    assert {path.stat().st_mode & 0o777 for path in [desk.state, *desk.state.rglob("*")] if path.is_dir()} <= {0o700, 0o755}
    assert Path(desk.state).stat().st_mode & 0o777 == 0o700
