"""What Codex's hook events mean. The events are cut down from those of real sessions."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ledger.agents import codex
from ledger.core.fact import Fact, Observation
from ledger.errors import FormatError

AGENT = {"type": "agent", "name": "codex"}

PATCH = "*** Begin Patch\n*** Update File: calc.py\n@@\n-    return a - b\n+    return a + b\n*** End Patch\n"


def native(name: str, **members: Any) -> dict[str, Any]:
    """Return an event as Codex sends it."""
    return {
        "session_id": "s-1",
        "turn_id": "t-1",
        "transcript_path": "/home/dev/.codex/sessions/rollout.jsonl",
        "cwd": "/home/dev/demo",
        "hook_event_name": name,
        "model": "gpt-5.5",
        "permission_mode": "default",
        **members,
    }


def call(name: str, tool: str, given: Any, **members: Any) -> dict[str, Any]:
    """Return an event of the tool call call_0."""
    return native(name, tool_name=tool, tool_input=given, **{"tool_use_id": "call_0", **members})


def only(observation: Observation) -> Fact:
    """Return the one fact of an observation."""
    assert len(observation.facts) == 1
    return observation.facts[0]


def payload(fact: Fact, name: str) -> Any:
    """Return a payload as text, or as the value that its JSON says."""
    data, media = fact.payloads[name]
    return json.loads(data) if media == "application/json" else data.decode("utf-8")


def test_session_start_says_how_it_started() -> None:
    """A session's start bears the source, the model and the permission mode, and no turn where the agent names none."""
    event = native("SessionStart", source="resume")
    del event["turn_id"]
    fact = only(codex.translate(event))
    assert (fact.kind, fact.actor, fact.session, fact.turn) == ("session.started", AGENT, "s-1", None)
    assert fact.body == {"start": "resume", "model": "gpt-5.5", "permission_mode": "default"}
    assert fact.payloads == {}


def test_session_end_says_why() -> None:
    """A session's end bears the agent's reason."""
    fact = only(codex.translate(native("SessionEnd", reason="other")))
    assert (fact.kind, fact.body) == ("session.ended", {"reason": "other"})


def test_prompt_is_nobodys_until_proven() -> None:
    """A prompt's words are a payload, and its actor is unknown: the hook cannot tell a human from a script."""
    observation = codex.translate(native("UserPromptSubmit", prompt="Please fix add()"))
    fact = only(observation)
    assert (fact.kind, fact.actor, fact.turn, fact.once) == ("prompt.submitted", {"type": "unknown"}, "t-1", None)
    assert fact.body == {"model": "gpt-5.5", "permission_mode": "default"}
    assert payload(fact, "prompt") == "Please fix add()"
    assert observation.cwd == "/home/dev/demo"


def test_prompt_of_a_subagent_is_the_agents() -> None:
    """The task that an agent gives to its subagent is not taken for a human's prompt."""
    fact = only(codex.translate(native("UserPromptSubmit", prompt="look around", agent_id="a-1", agent_type="worker")))
    assert fact.actor == AGENT
    assert (fact.body["origin"], fact.body["subagent"]) == ("subagent", "a-1")
    assert "extra" not in fact.payloads


def test_call_is_requested_and_finished_under_keys_of_its_own() -> None:
    """Request and result of a call share the call, can each be recorded once, and the result answers the request."""
    given = {"command": "git log --oneline"}
    asked = only(codex.translate(call("PreToolUse", "Bash", given)))
    done = only(codex.translate(call("PostToolUse", "Bash", given, tool_response="dc84246 initial\n")))
    assert (asked.kind, asked.actor, asked.call, asked.once) == ("tool.requested", AGENT, "call_0", "tool.requested:call_0")
    assert asked.body == {"tool": "Bash"}
    assert asked.payloads["input"].data == b'{"command":"git log --oneline"}'
    assert (done.kind, done.actor, done.call) == ("tool.finished", {"type": "tool", "name": "Bash"}, "call_0")
    assert (done.once, done.answers) == ("tool.finished:call_0", "call")
    assert done.body == {"tool": "Bash", "outcome": "finished"}
    assert done.payloads.keys() == {"output"}
    assert payload(done, "output") == "dc84246 initial\n"
    assert asked.input_digest == done.input_digest


def test_approval_request_is_joined_by_its_input() -> None:
    """A request for approval has no call id and one member more, and still has the digest of its call's request."""
    given = {"command": "git commit -qm x"}
    asked = only(codex.translate(call("PreToolUse", "Bash", given)))
    event = native("PermissionRequest", tool_name="Bash", tool_input={**given, "description": "Commit the change?"})
    fact = only(codex.translate(event))
    assert (fact.kind, fact.actor, fact.call, fact.answers) == ("approval.requested", AGENT, None, "input")
    assert fact.input_digest == asked.input_digest
    assert payload(fact, "reason") == "Commit the change?"
    assert payload(fact, "input") == {**given, "description": "Commit the change?"}


@pytest.mark.parametrize(
    ("tool", "given", "agent_id"),
    [("Bash", {"command": "ls"}, "a-1"), ("Bash", {"command": "ls -l"}, None), ("apply_patch", {"command": "ls"}, None)],
)
def test_input_digest_tells_calls_apart(tool: str, given: Any, agent_id: str | None) -> None:
    """Another tool, another input or another subagent makes another digest."""
    one = only(codex.translate(call("PreToolUse", "Bash", {"command": "ls"})))
    other = only(codex.translate(call("PreToolUse", tool, given, agent_id=agent_id)))
    assert one.input_digest != other.input_digest


def test_mcp_call_names_server_and_tool() -> None:
    """An MCP call bears its server and tool by name, and its own `description` is no justification."""
    given = {"ticket": "T-42", "description": "mine"}
    fact = only(codex.translate(native("PermissionRequest", tool_name="mcp__tickets__lookup", tool_input=given)))
    assert fact.body == {"tool": "mcp__tickets__lookup", "mcp_server": "tickets", "mcp_tool": "lookup"}
    assert "reason" not in fact.payloads


@pytest.mark.parametrize(("is_error", "outcome"), [(False, "finished"), (True, "failed")])
def test_mcp_error_is_a_failure(is_error: bool, outcome: str) -> None:
    """The outcome of an MCP call is what its server says."""
    response = {"content": [{"type": "text", "text": "no such ticket"}], "isError": is_error}
    fact = only(codex.translate(call("PostToolUse", "mcp__tickets__lookup", {}, tool_response=response)))
    assert fact.body["outcome"] == outcome
    assert payload(fact, "output") == response


def test_plan_is_a_fact_beside_its_call() -> None:
    """A new plan is recorded when its tool has run, in addition to the call."""
    given = {"explanation": "start", "plan": [{"step": "Fix", "status": "in_progress"}, {"step": "Commit", "status": "pending"}]}
    assert [fact.kind for fact in codex.translate(call("PreToolUse", "update_plan", given)).facts] == ["tool.requested"]
    finished, plan = codex.translate(call("PostToolUse", "update_plan", given, tool_response="Plan updated")).facts
    assert finished.kind == "tool.finished"
    assert (plan.kind, plan.actor, plan.call, plan.once) == ("plan.updated", AGENT, "call_0", "plan.updated:call_0")
    assert plan.body == {"tool": "update_plan"}
    assert payload(plan, "plan") == {"explanation": "start", "steps": given["plan"]}


def test_patch_names_what_it_touches() -> None:
    """Every path that a patch adds, changes, moves or deletes is named once, and its text is not taken for a header."""
    patch = (
        "*** Begin Patch\n*** Add File: a b.md\n+*** Delete File: not.this\n*** Update File: old.py\n*** Move to: new.py\n"
        "@@\n context\n*** Delete File: gone.py\r\n*** Update File: old.py\n*** End Patch\n"
    )
    for name in ("PreToolUse", "PostToolUse"):
        assert codex.translate(call(name, "apply_patch", {"command": patch})).touched == ("a b.md", "old.py", "new.py", "gone.py")


@pytest.mark.parametrize(
    ("command", "touched"),
    [
        (f"apply_patch <<'EOF'\n{PATCH}EOF\n", ("calc.py",)),
        (f"cd src/lib && apply_patch <<'EOF'\n{PATCH}EOF\n", ("src/lib/calc.py",)),
        (f"cd 'my lib' && apply_patch <<EOF\n{PATCH}EOF\ngit status\n", ("my lib/calc.py",)),
        (f"cat <<'EOF'\n{PATCH}EOF\n", ()),
        ("echo '*** Update File: calc.py'", ()),
        ("ls", ()),
    ],
)
def test_patch_in_a_shell_command_names_what_it_touches(command: str, touched: tuple[str, ...]) -> None:
    """A patch that a shell command applies is read as well; one that it merely prints is not."""
    assert codex.translate(call("PreToolUse", "Bash", {"command": command})).touched == touched


@pytest.mark.parametrize(
    ("tool", "response", "known"),
    [
        ("apply_patch", "Exit code: 0\nWall time: 0.1 seconds\nOutput:\nSuccess.", {"exit_code": 0, "outcome": "finished"}),
        ("apply_patch", "Exit code: 1\nWall time: 0.1 seconds\nOutput:\nNo.", {"exit_code": 1, "outcome": "failed"}),
        ("apply_patch", "so: Exit code: 1\nWall time: 0.1 seconds\n", {"outcome": "finished"}),
        ("apply_patch", "Exit code: 1", {"outcome": "finished"}),
        ("Bash", "Exit code: 1\nWall time: 0.1 seconds\n", {"outcome": "finished"}),
    ],
)
def test_exit_code_is_inferred_only_from_a_patchs_report(tool: str, response: str, known: dict[str, Any]) -> None:
    """No exit code is read out of what a command printed."""
    body = dict(only(codex.translate(call("PostToolUse", tool, {"command": "x"}, tool_response=response))).body)
    basis = body.pop("basis", {})
    assert body == {"tool": tool, **known}
    assert basis.get("exit_code") == ("inferred" if "exit_code" in known else None)


def test_subagents_bear_their_ids() -> None:
    """A subagent's start, calls and end bear its id, and the end its last message."""
    who = {"agent_id": "a-1", "agent_type": "worker"}
    started = only(codex.translate(native("SubagentStart", **who)))
    asked = only(codex.translate(call("PreToolUse", "Bash", {"command": "ls"}, **who)))
    ended = only(codex.translate(native("SubagentStop", last_assistant_message="done", stop_hook_active=False, **who)))
    assert [fact.kind for fact in (started, asked, ended)] == ["subagent.started", "tool.requested", "subagent.ended"]
    for fact in (started, asked, ended):
        assert (fact.body["subagent"], fact.body["subagent_type"]) == ("a-1", "worker")
    assert payload(ended, "message") == "done"


def test_messages_and_compactions() -> None:
    """Stop is the agent's message, Interrupt is nobody's for certain, and a compaction changes the transcript."""
    stopped = only(codex.translate(native("Stop", stop_hook_active=False, last_assistant_message="All done.")))
    assert (stopped.kind, stopped.actor, stopped.body) == ("message.sent", AGENT, {"event": "Stop"})
    assert payload(stopped, "message") == "All done."
    broken = only(codex.translate(native("Interrupt")))
    assert (broken.kind, broken.actor, broken.body) == ("message.sent", {"type": "unknown"}, {"event": "Interrupt"})
    compacted = only(codex.translate(native("PreCompact", trigger="auto")))
    assert (compacted.kind, compacted.body) == ("transcript.changed", {"event": "PreCompact", "trigger": "auto"})


def test_members_of_a_newer_agent_are_kept() -> None:
    """What this version does not know of goes to a payload, and so does an identifier of the wrong type."""
    fact = only(codex.translate(native("Stop", session_id=7, mood={"level": 3}, nothing=None)))
    assert fact.session is None
    assert payload(fact, "extra") == {"session_id": 7, "mood": {"level": 3}}


@pytest.mark.parametrize("identifier", ["", "x" * 513, None, 5, ["a"]])
def test_identifiers_that_no_entry_may_hold_are_left_out(identifier: Any) -> None:
    """A call without a usable id is recorded without one, and then joined by its input."""
    fact = only(codex.translate(call("PostToolUse", "Bash", {"command": "ls"}, tool_use_id=identifier)))
    assert (fact.call, fact.once, fact.answers) == (None, None, "input")


def test_long_texts_are_cut_and_kept() -> None:
    """A text too long for a body is cut there and whole in the payload."""
    fact = only(codex.translate(native("SessionEnd", reason="r" * 600)))
    assert fact.body == {"reason": "r" * 512}
    assert payload(fact, "extra") == {"reason": "r" * 600}


def test_text_that_is_not_unicode_is_replaced_and_kept_raw() -> None:
    """A lone surrogate becomes U+FFFD, and the event as it came is a payload."""
    fact = only(codex.translate(native("UserPromptSubmit", prompt="a\ud800b")))
    assert payload(fact, "prompt") == "a\ufffdb"
    assert b"a\\ud800b" in fact.payloads["raw"].data
    assert payload(fact, "raw")["prompt"] == "a\ud800b"


@pytest.mark.parametrize(("prompt", "data"), [(5, b"5"), (["a"], b'["a"]'), ({"b": 1, "a": 2}, b'{"a":2,"b":1}')])
def test_prompt_of_another_type_is_kept_as_json(prompt: Any, data: bytes) -> None:
    """A prompt that is no text is no reason to lose it."""
    assert only(codex.translate(native("UserPromptSubmit", prompt=prompt))).payloads["prompt"] == (data, "application/json")


@pytest.mark.parametrize(
    "given", ["ls", None, 5, [], {"command": None}, {"command": ["ls"]}, {"plan": "x"}, {"plan": [1, "Fix", {}]}]
)
@pytest.mark.parametrize("tool", ["Bash", "apply_patch", "update_plan"])
def test_input_of_another_type_is_kept(tool: str, given: Any) -> None:
    """A tool's input of any type is recorded as it is."""
    fact = codex.translate(call("PreToolUse", tool, given)).facts[0]
    assert payload(fact, "input") == given if given is not None else "input" not in fact.payloads
    assert codex.translate(call("PostToolUse", tool, given, tool_response=given)).facts[0].kind == "tool.finished"


@pytest.mark.parametrize(
    "event",
    [
        None,
        [],
        "PreToolUse",
        {},
        {"hook_event_name": 5},
        {"hook_event_name": "preToolUse"},
        {"hook_event_name": "Notification"},
        {"hook_event_name": "PreToolUse"},
        {"hook_event_name": "PostToolUse", "tool_name": ""},
        {"hook_event_name": "PermissionRequest", "tool_name": ["Bash"]},
        {"hook_event_name": "Stop", "last_assistant_message": float("nan")},
    ],
)
def test_events_without_a_meaning_are_refused(event: Any) -> None:
    """What is no event of Codex, or a tool's without a tool, is refused: the recorder then notes a gap."""
    with pytest.raises(FormatError):
        codex.translate(event)
