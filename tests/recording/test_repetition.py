"""Nothing is recorded twice, and nothing that happened twice is recorded once."""

from __future__ import annotations

import json
import subprocess

import pytest
from desk import Desk


def test_a_calls_events_are_recorded_once(desk: Desk) -> None:
    """Agents load each other's settings and fire a hook twice: a fact of a call is known by its name."""
    before, after = desk.before("c1"), desk.after("c1")
    desk.tell(before, before, after, after, before)
    assert desk.kinds() == ["session.started", "tool.requested", "tool.finished"]
    assert desk.one("tool.finished").cause == desk.one("tool.requested").seq
    desk.check()


def test_eight_hooks_at_once_record_one_call(desk: Desk) -> None:
    """The lock makes the eighth see what the first wrote."""
    data = json.dumps(desk.before("c1")).encode()
    hooks = [
        subprocess.Popen(desk.argv("codex"), stdin=subprocess.PIPE, stderr=subprocess.PIPE, cwd=desk.path, env=desk.sandbox.env)
        for _ in range(8)
    ]
    for hook in hooks:
        assert hook.stdin is not None
        hook.stdin.write(data)
        hook.stdin.close()
    for hook in hooks:
        assert hook.stderr is not None
        assert hook.stderr.read() == b"" and hook.wait(60) == 0
        hook.stderr.close()
    assert desk.kinds() == ["session.started", "tool.requested"]
    desk.check()


def test_two_prompts_of_one_text_are_two(desk: Desk) -> None:
    """People do say "continue" twice."""
    desk.tell(desk.prompt("continue"), desk.prompt("continue"))
    assert len(desk.entries("prompt.submitted")) == 2


def test_one_call_id_in_two_turns_or_sessions_is_two_calls(desk: Desk) -> None:
    """Call ids are the agent's, and need only be unique within a turn."""
    desk.tell(desk.before("c1"), desk.before("c1", turn_id="turn-2"), desk.before("c1", session_id="other"))
    assert len(desk.entries("tool.requested")) == 3


def test_one_message_through_two_doors_is_one(desk: Desk) -> None:
    """What two agents' hooks say alike within two seconds is one fact."""
    event = {"hook_event_name": "UserPromptSubmit", "session_id": "s", "prompt": "hello", "cwd": str(desk.path)}
    desk.tell(event)
    desk.tell(event, agent="claude-code")
    assert len(desk.entries("prompt.submitted")) == 1
    desk.tell({**event, "prompt": "other"}, agent="claude-code")
    assert len(desk.entries("prompt.submitted")) == 2
    desk.check()


def test_a_commit_is_recorded_once_however_often_it_is_seen(desk: Desk) -> None:
    """By hook, by hook again, by reflog, by rewrite: one commit, one entry."""
    oid = desk.commit("second", {"a": "1\n"})
    for _ in range(2):
        assert desk.hook(b"", "git", "post-commit").returncode == 0
    assert desk.hook(f"{oid} {oid}\n".encode(), "git", "post-rewrite", "amend").returncode == 0
    desk.tell(desk.stop())
    assert desk.of_commit(oid).body["via"] == "hook"
    assert [kind for kind in desk.kinds() if kind.startswith(("commit", "ref"))] == ["commit.recorded", "commit.rewritten"]


@pytest.mark.parametrize("first", ["session.started", "unseen"])
def test_a_session_is_announced_once(desk: Desk, first: str) -> None:
    """Who asked is on record for every session, also where its start was not seen, and once."""
    if first == "session.started":
        desk.tell(desk.event("SessionStart", source="startup"))
    desk.tell(desk.prompt("one"), desk.before("c1"), desk.after("c1"), desk.stop())
    entry = desk.one("session.started")
    assert entry.body["start"] == ("startup" if first == "session.started" else "unseen")
    principal = json.loads(desk.payload(entry.seq, "principal"))
    assert principal["git_name"] == "Ada Example" and principal["uid"] == desk.journal.stat().st_uid
    assert entry.body["basis"]["principal"] == "claimed"


def test_an_agent_without_git_in_its_path_is_recorded(desk: Desk) -> None:
    """Only what git would have said is missing."""
    desk.tell(desk.prompt("hello"), desk.before("c1"), env={"PATH": "/nonexistent"})
    principal = json.loads(desk.payload(desk.one("session.started").seq, "principal"))
    assert "git_name" not in principal and "os_user" in principal
    desk.commit_unseen("unseen", {"a": "1\n"})
    desk.tell(desk.after("c1"), env={"PATH": "/nonexistent"})
    desk.tell(desk.stop())
    assert desk.kinds()[-2:] == ["commit.recorded", "message.sent"]
    desk.check()
