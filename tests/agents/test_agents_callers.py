"""Cursor and Copilot CLI load Claude Code's settings: their events are recorded as theirs, and none of them is an error.

No such session was captured: the events here are what the products' documents say.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.agents import callers, claude_code, registry
from ledger.core.fact import Observation
from ledger.errors import FormatError

CURSOR = {
    "conversation_id": "conv-1",
    "generation_id": "gen-1",
    "model": "some-model",
    "cursor_version": "2.0.0",
    "workspace_roots": ["/home/dev/demo"],
    "user_email": "ada@example.invalid",
}
COPILOT = {"session_id": "s-1", "timestamp": 1767323045678, "cwd": "/home/dev/demo"}
CLAUDE = {"session_id": "s-1", "transcript_path": "/home/dev/.claude/x.jsonl", "cwd": "/home/dev/demo"}


def told(native: dict[str, Any], **environ: str) -> tuple[str, Observation]:
    """Return what the door for Claude Code makes of an event."""
    adapter = registry.load("claude-code")
    assert adapter is not None
    return registry.translate(adapter, native, environ)


@pytest.mark.parametrize(
    ("native", "environ", "caller", "basis"),
    [
        ({**CLAUDE, "hook_event_name": "Stop"}, {}, "claude-code", None),
        ({**CLAUDE, "hook_event_name": "Stop"}, {"CLAUDECODE": "1", "CURSOR_AGENT": "1"}, "claude-code", None),
        ({**CLAUDE, "hook_event_name": "Stop"}, {"CURSOR_VERSION": "2.0"}, "cursor", "claimed"),
        ({**CURSOR, "hook_event_name": "stop"}, {"CLAUDECODE": "1"}, "cursor", None),
        ({"conversation_id": "c", "generation_id": "g", "hook_event_name": "stop"}, {}, "cursor", "inferred"),
        ({**COPILOT, "hook_event_name": "Stop"}, {}, "copilot", "inferred"),
        ({**COPILOT, "hook_event_name": "Stop"}, {"COPILOT_CLI": "1"}, "copilot", "claimed"),
        ({"sessionId": "s-1", "toolName": "bash"}, {"CLAUDECODE": "1"}, "copilot", "inferred"),
    ],
)
def test_caller_is_told_by_the_event_before_the_environment(native, environ, caller, basis) -> None:
    """A member that only one product has counts most; variables that a shell inherits count less."""
    assert callers.caller_of(native, environ) == (caller, basis)


def test_cursors_call_is_cursors() -> None:
    """Actor, session, turn and account are Cursor's; the door that it came through is named."""
    call = {"tool_name": "Shell", "tool_input": {"command": "ls"}, "tool_use_id": "call-1"}
    agent, seen = told({**CURSOR, "hook_event_name": "preToolUse", **call})
    (fact,) = seen.facts
    assert (agent, seen.account, seen.cwd) == ("cursor", "ada@example.invalid", "/home/dev/demo")
    assert (fact.kind, fact.actor) == ("tool.requested", {"type": "agent", "name": "cursor"})
    assert (fact.session, fact.turn, fact.call, fact.once) == ("conv-1", "gen-1", "call-1", "tool.requested:call-1")
    assert fact.body == {"tool": "Shell", "door": "claude-code"}
    assert "ada@example.invalid" not in json.dumps([data.data.decode() for data in fact.payloads.values()])


def test_copilots_calls_get_names() -> None:
    """Copilot names no calls: its request and its result bear marks, and their inputs are the same."""
    members = {"tool_name": "Bash", "tool_input": {"command": "ls"}}
    _, before = told({**COPILOT, "hook_event_name": "PreToolUse", **members})
    agent, after = told({**COPILOT, "timestamp": 1767323045999, "hook_event_name": "PostToolUse", **members, "tool_result": "ok"})
    request, result = before.facts[0], after.facts[0]
    assert agent == "copilot"
    assert (request.mark, result.mark) == ("PreToolUse 1767323045678", "PostToolUse 1767323045999")
    assert request.input_digest == result.input_digest
    assert result.payloads["output"].data == b"ok"
    assert request.body["basis"] == {"agent": "inferred"}


def test_prompts_of_either_are_prompts() -> None:
    """Each product's own name for the event is understood."""
    for native in (
        {**CURSOR, "hook_event_name": "beforeSubmitPrompt", "prompt": "go"},
        {**COPILOT, "hook_event_name": "userPromptSubmitted", "prompt": "go"},
        {**COPILOT, "hook_event_name": "UserPromptSubmit", "prompt": "go"},
    ):
        (fact,) = told(native)[1].facts
        assert (fact.kind, fact.payloads["prompt"].data) == ("prompt.submitted", b"go")


@pytest.mark.parametrize("name", ["afterAgentThought", "errorOccurred", "beforeTabFileRead", "PreToolUse"])
def test_what_claude_code_does_not_know_is_kept_whole(name: str) -> None:
    """An unknown event, or one without what its name promises, becomes a message with all of it."""
    agent, seen = told({**CURSOR, "hook_event_name": name, "text": "hm"})
    (fact,) = seen.facts
    assert (agent, fact.kind, fact.body["event"]) == ("cursor", "message.sent", name)
    assert json.loads(fact.payloads["event"].data)["text"] == "hm"


def test_claude_codes_own_events_are_untouched() -> None:
    """What Claude Code says means what it meant."""
    event = {**CLAUDE, "hook_event_name": "PreToolUse", "tool_name": "Bash", "tool_input": {"command": "ls"}, "tool_use_id": "c"}
    assert told(event, CLAUDECODE="1") == ("claude-code", claude_code.translate(event))


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)
members = st.sampled_from(
    "session_id sessionId conversation_id generation_id toolName tool_name tool_input user_email workspace_roots cwd".split()
)


@given(st.dictionaries(members, values), st.sampled_from(["stop", "preToolUse", "sessionStart", "odd", ""]) | values)
@settings(derandomize=True, deadline=None, max_examples=300)
def test_any_event_of_theirs_is_recordable_or_refused(rest: dict[str, Any], name: Any) -> None:
    """Whatever comes is facts or a FormatError, which the recorder notes as a gap: its exit code is 0 either way."""
    try:
        agent, seen = told({**rest, "cursor_version": "1", "hook_event_name": name})
    except FormatError:
        assert type(name) is not str or not name
        return
    assert agent == "cursor" and seen.facts
