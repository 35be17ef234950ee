"""Gemini CLI's transcript lines and telemetry records as facts: what no hook says, and how it is known."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.agents import gemini, gemini_otel, gemini_transcript
from ledger.core.canonical import format_canonical
from ledger.core.fact import Fact
from ledger.core.kinds import KINDS
from ledger.errors import FormatError

HEAD = {"sessionId": "s-1", "kind": "main", "startTime": "2026-01-02T03:04:05.678Z"}


def call(name: str, response: dict[str, Any], status: str = "success", **more: Any) -> dict[str, Any]:
    """Return a message with one call that ended."""
    result = [{"functionResponse": {"id": "x", "name": name, "response": response}}]
    ended = {"id": f"{name}_1_0", "name": name, "args": {"command": "make"}, "status": status, "result": result, **more}
    return {"id": "m-1", "type": "gemini", "toolCalls": [{"timestamp": "2026-01-02T03:04:06.000Z", **ended}]}


def read(*lines: Any, state: dict[str, Any] | None = None) -> list[Fact]:
    """Return the facts of lines, after the first one of a session."""
    state = {} if state is None else state
    return [said.fact for line in (HEAD, *lines) for said in gemini_transcript.translate(line, state)]


def test_call_has_the_hooks_digest_and_the_agents_own_id() -> None:
    """A transcript's call is joined by its input; its id is kept, and marks it."""
    request, result = read(call("run_shell_command", {"output": "Output: x"}))
    event = {"hook_event_name": "BeforeTool", "tool_name": "run_shell_command", "tool_input": {"command": "make"}}
    (hook,) = gemini.translate({**event, "session_id": "s-1", "timestamp": "2026-01-02T03:04:05.678Z"}).facts
    assert request.input_digest == result.input_digest == hook.input_digest
    assert request.mark == result.mark == "id run_shell_command_1_0"
    assert (request.session, request.call, result.body["agent_call"]) == ("s-1", None, "run_shell_command_1_0")
    assert result.body["basis"]["outcome"] == "agent-file"
    assert result.payloads["output"].data == b"Output: x"


@pytest.mark.parametrize(
    ("status", "response", "outcome"),
    [
        ("success", {"output": "fine"}, "finished"),
        ("success", {"output": "Output: x\nExit Code: 2\n"}, "failed"),
        ("error", {"error": "Tool \"x\" not found."}, "failed"),
        ("error", {"error": "Tool execution denied by policy. not here"}, "denied"),
        ("cancelled", {"error": "[Operation Cancelled]"}, "cancelled"),
    ],
)  # fmt: skip
def test_ending_of_a_call(status: str, response: dict[str, Any], outcome: str) -> None:
    """How a call ended is its status, but for a refusal and a failing command, which only the text tells."""
    facts = read(call("run_shell_command", response, status))
    assert [fact.body["outcome"] for fact in facts if fact.kind == "tool.finished"] == [outcome]


def test_refusal_is_a_policys_and_has_its_message() -> None:
    """With a message of its own it was a rule; without one it may be that nobody could be asked."""
    for text, grounds, reason in (("Tool execution denied by policy. not here", "rule", b"not here"),
                                  ("Tool execution denied by policy.", "unknown", None)):  # fmt: skip
        decided = next(fact for fact in read(call("x", {"error": text}, "error")) if fact.kind == "approval.decided")
        assert (decided.body["decision"], decided.body["decider"], decided.body["grounds"]) == ("denied", "policy", grounds)
        assert (decided.payloads["reason"].data if "reason" in decided.payloads else None) == reason
        assert decided.body["basis"]["decider"] == "inferred"


def test_subagents_calls_are_the_sessions() -> None:
    """A subagent's file tells of calls of the session that started it, and bears the subagent's id."""
    main: dict[str, Any] = {}
    started = read(call("invoke_agent", {"output": "ok"}, agentId="a-1", args={"agent_name": "generalist"}), state=main)
    assert [fact.kind for fact in started[2:]] == ["subagent.started", "subagent.ended"]
    assert (started[2].body["subagent"], started[2].body["subagent_type"]) == ("a-1", "generalist")
    paths = gemini_transcript.beside(
        "/h/.gemini/tmp/p/chats/session-1.jsonl", main, lambda folder: ["a-1.jsonl", "x"], lambda _: {}
    )
    assert paths == ["/h/.gemini/tmp/p/chats/s-1/a-1.jsonl"]
    state: dict[str, Any] = {}
    said = [*gemini_transcript.translate({"sessionId": "a-1", "kind": "subagent"}, state)]
    said += gemini_transcript.translate(call("run_shell_command", {"output": "x"}), state)
    facts = [gemini_transcript.join(each, main).fact for each in said]
    assert {(fact.session, fact.body["subagent"]) for fact in facts} == {("s-1", "a-1")}


def test_messages_that_are_replaced_later_are_evidence() -> None:
    """The first `$set` sets up; one after messages have come replaces what was said, and is said so."""
    setup = {"$set": {"messages": [{"id": "m-0", "type": "user"}], "lastUpdated": "2026-01-02T03:04:05.678Z"}}
    assert read(setup) == []
    (changed,) = read(setup, {"id": "m-1", "type": "user", "content": "hi"}, setup)
    assert (changed.kind, changed.body["event"]) == ("transcript.changed", "messages-replaced")


def test_a_session_that_is_no_name_leads_nowhere() -> None:
    """The folder of subagents is named by the session; one that would lead out of its place is not followed."""
    for session in ("../..", "..", "a/b", ""):
        assert (
            gemini_transcript.beside("/h/.gemini/tmp/p/chats/x.jsonl", {"session": session}, lambda _: ["a.jsonl"], lambda _: {})
            == []
        )


def record(**attributes: Any) -> list[Fact]:
    """Return the facts of a tool call's telemetry."""
    said = {"session.id": "s-1", "prompt_id": "s-1", "function_name": "run_shell_command", "function_args": '{"command": "make"}'}
    seen = gemini_otel.translate("gemini_cli.tool_call", {**said, "success": True, **attributes}, None, 1)
    return list(seen.facts) if seen else []


@pytest.mark.parametrize(
    ("attributes", "decision", "decider"),
    [
        ({"decision": "accept"}, "approved", "unknown"),
        ({"decision": "accept", "interactive": True}, "approved", "unknown"),
        ({"decision": "auto_accept"}, "approved", "policy"),
        ({"decision": "modify", "interactive": True}, "approved", "human"),
        ({"decision": "reject", "success": False, "interactive": True}, "denied", "human"),
        ({"decision": "reject", "success": False, "interactive": False}, "denied", "unknown"),
        ({"success": False, "error_type": "policy_violation"}, "denied", "policy"),
    ],
)
def test_decision_says_no_more_than_the_label(attributes: dict[str, Any], decision: str, decider: str) -> None:
    """`accept` is a person's consent, a rule's, or that none was needed: the decider stays unknown."""
    (decided,) = [fact for fact in record(**attributes) if fact.kind == "approval.decided"]
    assert (decided.body["decision"], decided.body["decider"]) == (decision, decider)
    assert decided.body["basis"]["decision"] == "telemetry" and decided.body["basis"]["scope"] == "inferred"


def test_telemetry_of_a_call() -> None:
    """Arguments, exit code, duration and the subagent are telemetry's; a tool that failed without a decision has none."""
    request, result = record(metadata='{"exitCode": 3, "isError": true}', duration_ms="12", prompt_id="a-1#0")
    assert json.loads(request.payloads["input"].data) == {"command": "make"}
    assert (result.body["outcome"], result.body["exit_code"], result.body["duration_ms"]) == ("failed", 3, 12)
    assert result.body["subagent"] == "a-1" and result.body["basis"]["subagent"] == "telemetry"
    assert "subagent" not in record(prompt_id="s-1########2")[0].body


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["[[", '{"a":1}', "\ud800"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
_MEMBERS = "id name args result status timestamp agentId displayName functionResponse response toolCalls $set".split()
lines = st.recursive(
    values | st.sampled_from(["success", "error", "mcp_a", "x (y MCP Server)"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*_MEMBERS, "sessionId", "kind"]), inner, max_size=6)
    ),
    max_leaves=12,
)
_ATTRIBUTES = (
    "session.id prompt_id function_name function_args decision success error_type metadata mcp_server_name tool_type".split()
)


def check(facts: list[Fact]) -> None:
    """Assert that the recorder can take the facts."""
    for fact in facts:
        assert fact.kind in KINDS
        format_canonical({"actor": dict(fact.actor), "body": fact.body}, depth=14)
        assert (fact.mark is None) == (fact.input_digest is None)


@given(lines)
@settings(derandomize=True, deadline=None, max_examples=300)
def test_any_line_is_facts_or_nothing(line: Any) -> None:
    """Whatever JSON a transcript holds, reading it is no error."""
    check(read(line, call("x", {}) | (line if isinstance(line, dict) else {})))


@given(st.dictionaries(st.sampled_from([*_ATTRIBUTES, "event.timestamp", "agent_id", "sandbox_enabled"]), values),
       st.sampled_from(["tool_call", "agent.start", "agent.finish", "config", "other"]))  # fmt: skip
@settings(derandomize=True, deadline=None, max_examples=300)
def test_any_record_is_facts_nothing_or_malformed(attributes: dict[str, Any], name: str) -> None:
    """Whatever a record of telemetry holds, the answer is facts, None or a FormatError."""
    try:
        seen = gemini_otel.translate(f"gemini_cli.{name}", {"session.id": "s", **attributes}, None, 1)
    except FormatError:
        return
    check(list(seen.facts) if seen else [])
