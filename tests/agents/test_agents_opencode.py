"""opencode's events, as the plugin forwards them, as facts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ledger.agents import opencode
from ledger.core.fact import Fact, Observation

AGENT = {"type": "agent", "name": "opencode"}


def bus(kind: str, properties: dict[str, Any], **said: Any) -> dict[str, Any]:
    """Return a bus event as the plugin forwards it; `said` is what the plugin adds."""
    event = {"id": "evt_1", "type": kind, "properties": {"sessionID": "ses_1", **properties}}
    return {"hook_event_name": f"event.{kind}", "cwd": "/home/dev/demo", "event": event, "ledger": said}


def hook(kind: str, given: dict[str, Any], output: Any, **said: Any) -> dict[str, Any]:
    """Return a hook's event."""
    given = {"sessionID": "ses_1", "callID": "c-1", **given}
    return {"hook_event_name": kind, "cwd": "/home/dev/demo", "input": given, "output": output, "ledger": said}


def only(observation: Observation) -> Fact:
    """Return the only fact."""
    (fact,) = observation.facts
    return fact


def part(**state: Any) -> dict[str, Any]:
    """Return the event of a tool's part that changed."""
    tool = {"type": "tool", "tool": "bash", "callID": "c-1", "sessionID": "ses_1", "state": {"input": {"command": "x"}, **state}}
    return bus("message.part.updated", {"part": tool})


@pytest.mark.parametrize(("entrypoint", "attended"), [("tui", True), ("run", False), ("github", False), ("serve", None)])
def test_session_says_how_it_was_started(entrypoint: str, attended: bool | None) -> None:
    """Version, entrypoint and the rules of the configuration; whether somebody attends is inferred, or not said."""
    event = bus("session.created", {"info": {"id": "ses_1", "version": "1.0"}}, entrypoint=entrypoint, rules={"bash": "ask"})
    fact = only(opencode.translate(event))
    assert (fact.kind, fact.body["agent_version"], fact.body["entrypoint"]) == ("session.started", "1.0", entrypoint)
    assert fact.body.get("attended") is attended
    assert fact.body["basis"].get("attended") == (None if attended is None else "inferred")
    assert json.loads(fact.payloads["rules"].data) == [{"bash": "ask"}]


def test_session_with_a_parent_is_its_subagent() -> None:
    """With or without the plugin's help a subagent's start belongs to the session that started it."""
    for said in ({}, {"session": "ses_1"}):
        event = bus(
            "session.created", {"sessionID": "ses_2", "info": {"id": "ses_2", "parentID": "ses_1", "agent": "general"}}, **said
        )
        fact = only(opencode.translate(event))
        assert (fact.kind, fact.session) == ("subagent.started", "ses_1")
        assert fact.body == {"subagent": "ses_2", "subagent_type": "general"}


def test_prompt_is_what_was_typed_and_names_its_turn() -> None:
    """Parts that opencode adds are left out; a subagent's prompt is the agent's."""
    parts = [{"type": "text", "text": "go"}, {"type": "text", "text": "added", "synthetic": True}, {"type": "file", "url": "x"}]
    output = {"message": {"id": "msg_1", "agent": "build", "model": {"modelID": "m"}}, "parts": parts}
    fact = only(opencode.translate(hook("chat.message", {}, output)))
    assert (fact.actor, fact.turn, fact.payloads["prompt"].data) == ({"type": "unknown"}, "msg_1", b"go")
    assert fact.body == {"model": "m", "mode": "build"}
    other = only(opencode.translate(hook("chat.message", {"sessionID": "ses_2"}, output, session="ses_1")))
    assert (other.actor, other.session, other.body["origin"], other.body["subagent"]) == (AGENT, "ses_1", "subagent", "ses_2")


def test_call_and_result() -> None:
    """Both bear the call's id and one digest; the exit code is opencode's own, and another than 0 is a failure."""
    request = only(opencode.translate(hook("tool.execute.before", {"tool": "bash"}, {"args": {"command": "x"}}, turn="msg_1")))
    output = {"output": "no", "metadata": {"exit": 3}}
    result = only(opencode.translate(hook("tool.execute.after", {"tool": "bash", "args": {"command": "x"}}, output)))
    assert (request.call, request.turn, request.once) == ("c-1", "msg_1", "tool.requested:c-1")
    assert (result.body["outcome"], result.body["exit_code"], result.answers) == ("failed", 3, "call")
    assert request.input_digest == result.input_digest


def test_server_is_told_by_the_configuration_and_inferred() -> None:
    """A tool `a_b_c` is of the longest server whose name fits; without one nothing is split."""
    event = hook("tool.execute.before", {"tool": "a_b_c"}, {"args": {}}, servers=["a", "a b", "z"])
    fact = only(opencode.translate(event))
    assert (fact.body["mcp_server"], fact.body["mcp_tool"]) == ("a b", "c")
    assert fact.body["basis"] == {"mcp_server": "inferred", "mcp_tool": "inferred"}
    assert "mcp_server" not in only(opencode.translate(hook("tool.execute.before", {"tool": "a_b_c"}, {"args": {}}))).body


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        ("deliberate failure", "failed"),
        ("The user rejected permission to use this specific tool call.", "denied"),
        ("Tool execution aborted", "cancelled"),
        (["odd"], "failed"),
    ],
)
def test_error_of_a_call_that_no_hook_tells_of(error: Any, outcome: str) -> None:
    """A call that failed has no result but the part's error, whose text tells a refusal and an abort."""
    fact = only(opencode.translate(part(status="error", error=error, time={"start": 5, "end": 12})))
    assert (fact.kind, fact.body["outcome"], fact.body["duration_ms"]) == ("tool.finished", outcome, 7)
    assert ("basis" in fact.body) == (outcome != "failed")


def test_rule_that_refused_a_call_is_a_policy() -> None:
    """Its text says so; nobody was asked."""
    text = "The user has specified a rule which prevents you from using this specific tool call. Here are some of the rules []"
    decided, result = opencode.translate(part(status="error", error=text)).facts
    assert (decided.kind, decided.actor, decided.body["grounds"]) == ("approval.decided", {"type": "policy"}, "rule")
    assert (decided.body["decision"], decided.body["basis"]["decider"], result.body["outcome"]) == ("denied", "inferred", "denied")


def test_progress_says_nothing() -> None:
    """Parts that are not at their end, and texts, are no facts."""
    for state in ({"status": "running"}, {"status": "pending"}, {}):
        assert opencode.translate(part(**state)).facts == ()
    assert opencode.translate(bus("message.part.updated", {"part": {"type": "text", "text": "x"}})).facts == ()


@pytest.mark.parametrize(
    ("reply", "entrypoint", "expected"),
    [
        ("once", "tui", ("approved", "once", "unknown")),
        ("always", "tui", ("approved", "session", "unknown")),
        ("reject", "tui", ("denied", "once", "unknown")),
        ("reject", "run", ("denied", "once", "policy")),
        ("odd", None, ("unknown", "once", "unknown")),
    ],
)
def test_reply_says_what_and_not_who(reply: str, entrypoint: str | None, expected: tuple[str, str, str]) -> None:
    """`always` lasts as long as the process; a headless run rejects by itself; else nobody is named."""
    fact = only(
        opencode.translate(bus("permission.replied", {"requestID": "per_1", "reply": reply}, call="c-1", entrypoint=entrypoint))
    )
    assert (fact.body["decision"], fact.body["scope"], fact.body["decider"]) == expected
    assert (fact.call, fact.body["request"], fact.body["native"]) == ("c-1", "per_1", {"reply": reply})


def test_permission_names_what_it_is_for() -> None:
    """The permission, its patterns and the command; without the plugin's help the reply goes to the only open call."""
    asked = {"id": "per_1", "permission": "external_directory", "patterns": ["/tmp/*"], "metadata": {"command": "rm x"}}
    fact = only(opencode.translate(bus("permission.asked", {**asked, "tool": {"callID": "c-1"}})))
    assert (fact.kind, fact.call, fact.body["permission"]) == ("approval.requested", "c-1", "external_directory")
    assert json.loads(fact.payloads["input"].data) == {"command": "rm x", "patterns": ["/tmp/*"]}
    assert only(opencode.translate(bus("permission.replied", {"requestID": "per_1", "reply": "once"}))).answers == "open"


def test_end_of_a_turn_has_the_last_words_and_what_was_lost_is_said() -> None:
    """The plugin remembers the last text, and how many events it had to drop."""
    event = {**bus("session.idle", {}, message="Done."), "lost": 3, "cut": 9}
    message, gap = opencode.translate(event).facts
    assert (message.kind, message.payloads["message"].data, gap.kind) == ("message.sent", b"Done.", "gap.noted")
    assert (gap.body["reason"], gap.body["count"]) == ("plugin-dropped", 3)
    assert json.loads(message.payloads["extra"].data) == {"cut": 9}
    ended = only(opencode.translate(bus("session.idle", {"sessionID": "ses_2"}, session="ses_1")))
    assert (ended.kind, ended.session, ended.body) == ("subagent.ended", "ses_1", {"subagent": "ses_2"})
