"""Telemetry of Codex and Claude Code as facts: each captured label by what lay behind it, and nothing from malformed records."""

from __future__ import annotations

import pytest

from ledger.agents.otel import agent_of, session_of, translate_record

CODEX = {"conversation.id": "thread-1", "event.timestamp": "2026-11-22T15:53:43.180Z"}
CLAUDE = {"session.id": "session-1", "prompt.id": "prompt-1"}


def codex(event: str, **attributes: object):
    """Translate one record of Codex, whose name is an attribute."""
    named = {key.replace("__", "."): value for key, value in attributes.items()}
    return translate_record("codex_exec", "event otel/src/x.rs:1", {**CODEX, "event.name": f"codex.{event}", **named}, None, 1000)


def claude(event: str, **attributes: object):
    """Translate one record of Claude Code, whose body has the full name."""
    named = {key.replace("__", "."): value for key, value in attributes.items()}
    return translate_record("claude-code", "", {**CLAUDE, "event.name": event, **named}, f"claude_code.{event}", 1000)


@pytest.mark.parametrize(
    ("decision", "source", "expected"),
    [
        ("approved", "Config", ("approved", "once", "policy", "settings")),
        ("approved", "User", ("approved", "once", "human", "answer")),
        ("approved_for_session", "User", ("approved", "session", "human", "answer")),
        ("approved_with_amendment", "User", ("approved", "always", "human", "answer")),
        ("approved", "AutomatedReviewer", ("approved", "once", "auto-review", "review")),
        ("denied", "AutomatedReviewer", ("denied", "once", "auto-review", "review")),
        ("denied", "Config", ("denied", "once", "policy", "settings")),
        ("approved_with_network_policy_allow", None, ("approved", "always", "human", "answer")),
        ("abort", "User", ("cancelled", "once", "human", "answer")),
        ("something-new", "Someone", ("unknown", "once", "unknown", "unknown")),
    ],
)
def test_codex_decisions_say_who_decided_and_for_how_long(decision, source, expected):
    """`Config` is never a human, and a label that is not known decides nothing; the words as they came are kept."""
    given = {"decision": decision, "tool_name": "exec_command", "tool_namespace": "functions", "call_id": "c1"}
    (fact,) = codex("tool_decision", **given, **({"source": source} if source else {})).facts
    body = fact.body
    assert (fact.kind, fact.session, fact.call, body["tool"]) == ("approval.decided", "thread-1", "c1", "Bash")
    assert (body["decision"], body["scope"], body["decider"], body["grounds"]) == expected
    assert body["native"]["decision"] == decision
    assert body["basis"]["decision"] == "telemetry"
    assert fact.actor["type"] == {"human": "human", "policy": "policy", "auto-review": "agent"}.get(body["decider"], "unknown")


@pytest.mark.parametrize(
    ("decision", "source", "expected"),
    [
        ("accept", "config", ("approved", "once", "policy", "settings")),
        ("accept", "user_permanent", ("approved", "always", "policy", "standing-rule")),
        ("accept", "user_temporary", ("approved", "once", "human", "answer")),
        ("reject", "user_reject", ("denied", "once", "human", "answer")),
        ("reject", "user_abort", ("cancelled", "once", "human", "answer")),
        ("accept", "classifier", ("approved", "once", "auto-review", "review")),
        ("reject", "config", ("denied", "once", "policy", "settings")),
    ],
)
def test_claude_decisions_say_who_decided_and_for_how_long(decision, source, expected):
    """`user_permanent` is a rule that matched, not a person who answered."""
    (fact,) = claude("tool_decision", decision=decision, source=source, tool_name="Bash", tool_use_id="t1").facts
    body = fact.body
    assert (body["decision"], body["scope"], body["decider"], body["grounds"]) == expected
    assert (fact.session, fact.turn, fact.call) == ("session-1", "prompt-1", "t1")


def test_network_decisions_keep_destination_rule_and_outcome():
    """Allowed and denied destinations alike become network.decided, once for each execution however often they are sent."""
    given = {
        "network__policy__scope": "domain",
        "network__policy__decision": "deny",
        "network__policy__source": "baseline_policy",
        "network__policy__reason": "not_allowed",
        "network__transport__protocol": "https_connect",
        "server__address": "other.example",
        "server__port": "443",
        "execution__id": "e1",
    }
    (fact,) = codex("network_proxy.policy_decision", **given).facts
    assert fact.kind == "network.decided"
    expected = {"host": "other.example", "port": 443, "protocol": "https_connect", "decision": "denied", "reason": "not_allowed"}
    assert expected.items() <= fact.body.items()
    assert fact.once == codex("network_proxy.policy_decision", **given).facts[0].once
    allowed = codex("network_proxy.policy_decision", **{**given, "network__policy__decision": "allow"}).facts[0]
    assert (allowed.body["decision"], allowed.once == fact.once) == ("allowed", False)


def test_an_assessment_and_the_decision_that_follows_from_it_are_the_same_fact():
    """The reviewer's rationale is a payload; the decision that Codex reports next bears the same once-key."""
    given = {"review__id": "r", "turn__id": "t", "item__id": "c1", "status": "approved", "outcome": "allow", "risk_level": "low"}
    (assessed,) = codex("guardian_assessment", **given, rationale="harmless").facts
    (decided,) = codex(
        "tool_decision", decision="approved", source="AutomatedReviewer", call_id="c1", tool_name="exec_command"
    ).facts
    assert assessed.payloads["rationale"].data == b"harmless"
    assert (assessed.body["decider"], assessed.body["risk_level"], assessed.turn) == ("auto-review", "low", "t")
    assert assessed.once == decided.once


def test_what_the_sandbox_refused_is_a_boundary_that_was_hit():
    """The outcome names the call."""
    (fact,) = codex("sandbox_outcome", tool_name="exec_command", call_id="c4", outcome="denied", initial_duration_ms="106").facts
    assert (fact.kind, fact.call, fact.body["outcome"], fact.body["duration_ms"]) == ("boundary.hit", "c4", "denied", 106)


def test_results_are_facts_of_their_calls_and_name_the_commit_that_they_left():
    """A call's result bears the once-key that the hook's has; Claude Code's says HEAD after a git call."""
    given = {
        "tool_name": "Bash",
        "tool_use_id": "t1",
        "success": "true",
        "duration_ms": "555",
        "vcs__ref__head__revision": "ab" * 20,
    }
    requested, finished, head = claude("tool_result", **given).facts
    assert (requested.once, finished.once) == ("tool.requested:t1", "tool.finished:t1")
    assert (finished.body["outcome"], finished.body["duration_ms"], finished.body["head"]) == ("finished", 555, "ab" * 20)
    assert (head.kind, head.body["head"]) == ("message.sent", "ab" * 20)
    mcp = claude(
        "tool_result",
        tool_name="mcp_tool",
        tool_use_id="t2",
        success="false",
        tool_parameters='{"mcp_server_name":"s","mcp_tool_name":"t"}',
    )
    assert mcp.facts[1].body["tool"] == "mcp__s__t"
    assert mcp.facts[1].body["outcome"] == "failed"


@pytest.mark.parametrize("value", [None, 3, [], {}, "", "x" * 100_000, "\ud800", float("nan")], ids=repr)
def test_attributes_of_any_type_are_no_error(value):
    """Whatever an attribute holds, the record is a fact that can be held, or none."""
    names = [
        "decision",
        "source",
        "call_id",
        "tool_name",
        "item.id",
        "outcome",
        "server.address",
        "server.port",
        "tool_use_id",
        "agent_id",
    ]
    for event in ("codex.tool_decision", "codex.guardian_assessment", "codex.tool_result", "codex.network_proxy.policy_decision"):
        translate_record("codex", event, {**CODEX, **dict.fromkeys(names, value), "event.name": event}, value, 0)
    for event in ("tool_decision", "tool_result", "subagent_completed", "hook_execution_complete", "permission_mode_changed"):
        translate_record("claude-code", event, {**CLAUDE, **dict.fromkeys(names, value), "event.name": event}, value, 0)


def test_records_of_others_are_nobodys():
    """A service that is not known, an event without use, and a record without a session say nothing."""
    assert translate_record("web", "http.request", {}, None, 0) is None
    assert codex("sse_event", kind="x") is None
    assert translate_record("codex", "codex.tool_decision", {"decision": "approved", "call_id": "c"}, None, 0) is None
    assert session_of(CODEX) == "thread-1"
    assert session_of(CLAUDE) == "session-1"
    assert session_of({}) is None
    assert agent_of("codex_exec", "", {}) == "codex"
    assert agent_of("x", "", {"event.name": "claude_code.user_prompt"}) == "claude-code"
