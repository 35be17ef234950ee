"""Whatever an agent writes to a hook is recorded as what it was, or as a gap with its size and digest: no error, no silence."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path

import pytest
from desk import Desk, Sandbox

MISUNDERSTOOD = {
    "empty": b"",
    "white space": b" \n",
    "garbage": b"\x00\xff\xfe garbage {{{",
    "not UTF-8": b'{"hook_event_name": "Stop", "session_id": "\xff\xfe"}',
    "a torn object": b'{"hook_event_name": "Stop", ',
    "an array": b'[{"hook_event_name": "Stop"}]',
    "a text": b'"Stop"',
    "null": b"null",
    "no name": b"{}",
    "a name that is no text": b'{"hook_event_name": ["Stop"]}',
    "an unknown event": b'{"hook_event_name": "Telepathy", "session_id": "s"}',
    "a name of lone surrogates": b'{"hook_event_name": "\\ud800\\udfff\\udc00"}',
    "nested 100,000 deep": b'{"hook_event_name": "Stop", "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "an integer of 5,000 digits": b'{"hook_event_name": "Stop", "n": ' + b"9" * 5000 + b"}",
    "a call without a tool": b'{"hook_event_name": "PreToolUse", "tool_use_id": "c"}',
}


@pytest.mark.parametrize("name", MISUNDERSTOOD)
def test_what_cannot_be_understood_is_a_gap(desk: Desk, name: str) -> None:
    """The agent goes on; one line says so; the log has the size and the digest of what came, and verifies."""
    data = MISUNDERSTOOD[name]
    line = desk.complain(data)
    assert "not understood" in line and line.isprintable() is False and line[:-1].isprintable()
    gap = desk.one("gap.noted")
    assert gap.body["reason"] == "event-not-understood"
    assert gap.body["size"] == len(data) and gap.body["count"] == 1
    assert gap.body["digest"] == hashlib.sha256(data).hexdigest()
    assert gap.source == "hook" and gap.actor == {"type": "recorder", "name": "ledger"}
    assert gap.body["agent"] == "codex"
    desk.check(2)
    desk.tell(desk.prompt("and on it goes"))
    desk.check(4)


def test_an_event_of_50_megabytes_is_a_gap(desk: Desk) -> None:
    """It is read to its end, so that the agent's pipe does not break, and its digest is of all of it."""
    data = b'{"hook_event_name": "Stop", "x": "' + b"a" * 50_000_000 + b'"}'
    assert "larger than" in desk.complain(data)
    gap = desk.one("gap.noted")
    assert (gap.body["size"], gap.body["digest"]) == (len(data), hashlib.sha256(data).hexdigest())
    assert desk.journal.stat().st_size < 1_000_000
    desk.check(2)


def test_an_agent_that_nobody_knows_is_a_gap(desk: Desk) -> None:
    """A hook installed for an agent without an adapter loses nothing silently."""
    line = desk.complain(desk.stop(), "skynet")
    assert "skynet" in line
    assert desk.one("gap.noted").body["agent"] == "skynet"
    desk.check(2)


UNDERSTOOD = {
    "NUL bytes": (b'{"hook_event_name": "UserPromptSubmit", "session_id": "a\\u0000b", "prompt": "x\\u0000y"}', b"x\0y"),
    "lone surrogates": (b'{"hook_event_name": "UserPromptSubmit", "session_id": "s\\ud800", "prompt": "x\\udfff"}', "x�".encode()),
    "names that repeat": (b'{"hook_event_name": "UserPromptSubmit", "prompt": "first", "prompt": "second"}', b"second"),
    "huge integers": (b'{"hook_event_name": "UserPromptSubmit", "prompt": "n", "x": 123456789012345678901234567890}', b"n"),
    "reals": (b'{"hook_event_name": "UserPromptSubmit", "prompt": "n", "x": 1.5e300}', b"n"),
    "a cwd that is no text": (b'{"hook_event_name": "UserPromptSubmit", "prompt": "n", "cwd": 5}', b"n"),
    "a cwd with a NUL": (b'{"hook_event_name": "UserPromptSubmit", "prompt": "n", "cwd": "/\\u0000"}', b"n"),
    "a cwd of surrogates": (b'{"hook_event_name": "UserPromptSubmit", "prompt": "n", "cwd": "/\\ud800"}', b"n"),
    "a cwd of 10,000 letters": (b'{"hook_event_name": "UserPromptSubmit", "prompt": "n", "cwd": "/' + b"a" * 10_000 + b'"}', b"n"),
    "a byte order mark": (b'\xef\xbb\xbf{"hook_event_name": "UserPromptSubmit", "prompt": "n"}', b"n"),
}


@pytest.mark.parametrize("name", UNDERSTOOD)
def test_odd_but_well_formed_events_are_recorded(desk: Desk, name: str) -> None:
    """What JSON allows and a record does not is cleaned, kept in payloads, and no gap."""
    data, prompt = UNDERSTOOD[name]
    desk.tell(data)
    entry = desk.one("prompt.submitted")
    assert desk.payload(entry.seq, "prompt") == prompt
    assert desk.entries("gap.noted") == []
    desk.check()


def test_lone_surrogates_stay_in_the_raw_payload(desk: Desk) -> None:
    """U+FFFD stands in the record; the event as it came can still be read from a payload."""
    desk.tell(UNDERSTOOD["lone surrogates"][0])
    entry = desk.one("prompt.submitted")
    assert entry.session == "s�"
    assert json.loads(desk.payload(entry.seq, "raw"))["prompt"] == "x\udfff"


def test_members_of_newer_agents_are_kept(desk: Desk) -> None:
    """Unknown members are neither dropped nor mixed into the body."""
    desk.tell(desk.prompt("go", mood={"level": 3, "ratio": 0.5}))
    entry = desk.one("prompt.submitted")
    assert json.loads(desk.payload(entry.seq, "extra")) == {"mood": {"level": 3, "ratio": 0.5}}
    assert "mood" not in entry.body


@pytest.mark.parametrize("words", [(), ("--state",), ("--state", "/nonexistent")], ids=["nothing", "half an option", "no agent"])
def test_wrong_usage_never_stops_an_agent(desk: Desk, words: tuple[str, ...]) -> None:
    """Usage goes to standard error, and the exit code stays 0."""
    argv = [*desk.argv()[:4], *words]
    done = subprocess.run(argv, input=b"{}", cwd=desk.path, env=desk.sandbox.env, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, b"")
    assert done.stderr.startswith(b"ledger: usage: ") and done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("redirection", ["<&-", "0>/dev/null", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_descriptors_that_are_closed_or_odd_never_stop_an_agent(desk: Desk, redirection: str) -> None:
    """Closed or unreadable descriptors cost at most the event: exit 0, no traceback, and a log that verifies."""
    event = desk.sandbox.root / "event.json"
    event.write_text(json.dumps(desk.prompt("hello")))
    told = redirection.startswith((">", "2"))
    command = f'exec "$@" {f"<{event}" if told else ""} {redirection}'
    argv = ["sh", "-c", command, "sh", *desk.argv("codex")]
    done = subprocess.run(argv, cwd=desk.path, env=desk.sandbox.env, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, b"")
    assert b"Traceback" not in done.stderr
    if told:
        assert desk.one("prompt.submitted").session == desk.session
    desk.check()


def test_a_reader_that_went_away_costs_no_gap(desk: Desk) -> None:
    """Where nobody reads standard error any more, what cannot be understood is still noted."""
    reader, writer = os.pipe()
    os.close(reader)
    with subprocess.Popen(
        desk.argv("codex"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=writer, cwd=desk.path, env=desk.sandbox.env
    ) as process:
        os.close(writer)
        out, _ = process.communicate(b"garbage", timeout=60)
    assert (process.returncode, out) == (0, b"")
    assert desk.one("gap.noted").body["size"] == 7
    desk.check(2)


def test_a_working_directory_that_is_gone(sandbox: Sandbox, desk: Desk) -> None:
    """A hook whose own directory was removed goes by the event's; without one it does nothing, and says nothing wrong."""
    gone = sandbox.root / "gone"
    script = 'mkdir "$1" && cd "$1" && rmdir "$1" && shift && exec "$@"'
    for data in (json.dumps(desk.prompt("hello")).encode(), b"{}"):
        argv = ["sh", "-c", script, "sh", str(gone), *desk.argv("codex")]
        done = subprocess.run(argv, input=data, cwd="/", env=sandbox.env, capture_output=True, timeout=60, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert desk.kinds() == ["session.started", "prompt.submitted"]


def test_a_fifo_in_the_way_never_hangs_a_hook(desk: Desk, sandbox: Sandbox) -> None:
    """An agent can lay a FIFO where the recorder looks for git's files; opening one would wait for ever."""
    desk.git("config", "--global", "ledger.seal", "detached")  # no git works here any more, so nothing can be sealed either
    inner = desk.path / "inner"
    inner.mkdir()
    os.mkfifo(inner / ".git")
    (desk.path / ".git/packed-refs").unlink(missing_ok=True)
    os.mkfifo(desk.path / ".git/packed-refs")
    branch = desk.path / ".git/refs/heads/main"
    branch.rename(sandbox.root / "kept")
    log = desk.path / ".git/logs/HEAD"
    log.unlink()
    os.mkfifo(log)
    os.mkfifo(desk.path / "tool.fifo")
    before, after = desk.edit("c1", "tool.fifo")
    done = subprocess.run(
        ["timeout", "20", *desk.argv("codex")],
        input=json.dumps(before).encode(),
        cwd=inner,
        env=sandbox.env,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    done = subprocess.run(
        ["timeout", "20", *desk.argv("codex")],
        input=json.dumps({**after, "cwd": str(inner)}).encode(),
        cwd=inner,
        env=sandbox.env,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    Path(desk.path / ".git/packed-refs").unlink()
    assert [kind for kind in desk.kinds() if kind.startswith("tool.")] == ["tool.requested", "tool.finished"]
    desk.check()


def test_a_hostile_head_leads_nowhere(desk: Desk, sandbox: Sandbox) -> None:
    """`.git/HEAD` can be written by an agent: what it points at outside the refs never gets into the log."""
    desk.git("config", "--global", "ledger.seal", "detached")  # no git works here any more, so nothing can be sealed either
    secret = sandbox.home / "secret"
    secret.write_text("hunter2-hunter2\n")
    (desk.path / ".git/HEAD").write_text(f"ref: {os.path.relpath(secret, desk.path / '.git')}\n")
    desk.tell(desk.event("SessionStart", source="startup"), desk.before("c1"))
    (desk.path / ".git/HEAD").write_text(f"ref: {secret}\n")
    desk.tell(desk.after("c1"))
    (desk.path / ".git/HEAD").write_text("hunter2-hunter2\n")
    desk.tell(desk.prompt("go"))
    assert b"hunter2" not in b"".join(desk.records())
    assert b"hunter2" not in b"".join(path.read_bytes() for path in desk.journal.parent.iterdir())


def test_a_hostile_reflog_costs_no_event(desk: Desk) -> None:
    """`.git/logs/HEAD` can be written by an agent: forged lines never keep later events out of the log."""
    head = desk.git("rev-parse", "HEAD")
    desk.tell(desk.prompt("first"))
    line = f"{head} {'z' * 40} A <a@example.invalid> 1 +0000\t"
    with open(desk.path / ".git/logs/HEAD", "a") as log:
        log.write(line + "x" * 900_000 + ": y\n")
        log.write(
            f"{head} {'f' * 40} A <a@example.invalid> 1 +0000\t"
            + "\udc80é".encode("utf-8", "surrogateescape").decode("latin-1")
            + ": y\n"
        )
        log.write(f"{head} {'e' * 40} A <a@example.invalid> 1 +0000\t" + "y" * 60_000 + "\n")
    desk.tell(desk.prompt("second"), desk.prompt("third"))
    assert [desk.payload(entry.seq, "prompt") for entry in desk.entries("prompt.submitted")] == [b"first", b"second", b"third"]
    assert all(len(record) < 2_000 for record in desk.records())
    desk.check()
