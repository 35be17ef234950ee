"""What Claude Code's hook events mean. The events are cut down from those of real sessions."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ledger.agents import claude_code
from ledger.core.fact import Fact, Observation
from ledger.errors import FormatError

AGENT = {"type": "agent", "name": "claude-code"}


def native(name: str, **members: Any) -> dict[str, Any]:
    """Return an event as Claude Code sends it."""
    return {
        "session_id": "s-1",
        "prompt_id": "p-1",
        "transcript_path": "/home/dev/.claude/projects/demo/s-1.jsonl",
        "cwd": "/home/dev/demo",
        "hook_event_name": name,
        "permission_mode": "default",
        "effort": {"level": "high"},
        **members,
    }


def call(name: str, tool: str, given: Any, **members: Any) -> dict[str, Any]:
    """Return an event of the tool call toolu_1."""
    return native(name, tool_name=tool, tool_input=given, **{"tool_use_id": "toolu_1", **members})


def batch(tool: str, given: Any, response: Any) -> dict[str, Any]:
    """Return a batch of the one call toolu_1."""
    item = {"tool_name": tool, "tool_input": given, "tool_use_id": "toolu_1", "tool_response": response}
    return native("PostToolBatch", tool_calls=[item])


def only(observation: Observation) -> Fact:
    """Return the one fact of an observation."""
    assert len(observation.facts) == 1
    return observation.facts[0]


def of_kind(observation: Observation, kind: str) -> list[Fact]:
    """Return the facts of one kind."""
    return [fact for fact in observation.facts if fact.kind == kind]


def payload(fact: Fact, name: str) -> Any:
    """Return a payload as text, or as the value that its JSON says."""
    data, media = fact.payloads[name]
    return json.loads(data) if media == "application/json" else data.decode("utf-8")


def test_session_start_without_a_model() -> None:
    """A headless session does not name its model, and none is made up."""
    event = {"session_id": "s-1", "cwd": "/home/dev/demo", "hook_event_name": "SessionStart", "source": "startup"}
    fact = only(claude_code.translate(event))
    assert (fact.kind, fact.body, fact.turn) == ("session.started", {"start": "startup"}, None)


def test_prompt_is_nobodys_until_proven() -> None:
    """A prompt's actor is unknown, and the prompt id is the turn."""
    fact = only(claude_code.translate(native("UserPromptSubmit", prompt="please commit")))
    assert (fact.kind, fact.actor, fact.turn) == ("prompt.submitted", {"type": "unknown"}, "p-1")
    assert fact.body == {"permission_mode": "default"}
    assert payload(fact, "prompt") == "please commit"


def test_report_of_a_subagent_is_no_prompt_of_a_human() -> None:
    """The prompt by which a background subagent reports is the agent's, as far as its text tells."""
    prompt = "<task-notification>\n<task-id>a-1</task-id>\n</task-notification>"
    fact = only(claude_code.translate(native("UserPromptSubmit", prompt=prompt)))
    assert fact.actor == AGENT
    assert fact.body["origin"] == "task-notification"
    assert fact.body["basis"] == {"actor": "inferred", "origin": "inferred"}


def test_quoting_a_report_is_still_a_prompt() -> None:
    """A prompt that merely quotes such a report further on stays nobody's."""
    fact = only(claude_code.translate(native("UserPromptSubmit", prompt="what is <task-notification>?")))
    assert (fact.actor, "origin" in fact.body) == ({"type": "unknown"}, False)


def test_call_is_requested_and_finished() -> None:
    """Request and result of a call share the call, and the result bears its duration and output."""
    given = {"command": "ls", "description": "List files"}
    response = {"stdout": "README.md", "stderr": "", "interrupted": False}
    asked = only(claude_code.translate(call("PreToolUse", "Bash", given)))
    done = only(claude_code.translate(call("PostToolUse", "Bash", given, tool_response=response, duration_ms=73)))
    assert (asked.kind, asked.actor, asked.call, asked.once) == ("tool.requested", AGENT, "toolu_1", "tool.requested:toolu_1")
    assert (asked.body, asked.payloads.keys()) == ({"tool": "Bash"}, {"input"})
    assert payload(asked, "input") == given
    assert (done.actor, done.once, done.answers) == ({"type": "tool", "name": "Bash"}, "tool.finished:toolu_1", "call")
    assert done.body == {"tool": "Bash", "outcome": "finished", "duration_ms": 73}
    assert payload(done, "output") == response


def test_interrupted_command_is_cancelled() -> None:
    """A shell command that was interrupted did not finish."""
    response = {"stdout": "", "stderr": "", "interrupted": True}
    fact = only(claude_code.translate(call("PostToolUse", "Bash", {"command": "sleep 9"}, tool_response=response)))
    assert fact.body["outcome"] == "cancelled"


@pytest.mark.parametrize(
    ("error", "interrupt", "outcome", "exit_code"),
    [
        ("Exit code 3", False, "failed", 3),
        ("Exit code 127\nsh: 1: nope: not found", False, "failed", 127),
        ("Exit code 137", True, "cancelled", 137),
        ("It says: Exit code 3", False, "failed", None),
        ("Exit code 3.5", False, "failed", None),
    ],
)
def test_failure_of_a_command(error: str, interrupt: bool, outcome: str, exit_code: int | None) -> None:
    """A failure bears the exit code where its text begins with one, and says that this is inferred."""
    event = call("PostToolUseFailure", "Bash", {"command": "x"}, error=error, is_interrupt=interrupt, duration_ms=11)
    fact = only(claude_code.translate(event))
    assert (fact.body["outcome"], fact.body.get("exit_code")) == (outcome, exit_code)
    assert fact.body.get("basis") == (None if exit_code is None else {"exit_code": "inferred"})
    assert payload(fact, "output") == error
    assert fact.payloads.keys() == {"output"}


def test_mcp_call_names_server_and_tool() -> None:
    """The server's own name wins over its spelling in the tool's name, and failures are the server's."""
    server = {"name": "my tickets", "source": "dynamic"}
    fact = only(claude_code.translate(call("PreToolUse", "mcp__my_tickets__find__one", {}, mcp_server=server)))
    assert fact.body == {"tool": "mcp__my_tickets__find__one", "mcp_server": "my tickets", "mcp_tool": "find__one"}
    assert fact.payloads.keys() == {"input"}
    failed = only(claude_code.translate(call("PostToolUseFailure", "mcp__probe__fail", {}, error="Exit code 1")))
    assert failed.body == {"tool": "mcp__probe__fail", "mcp_server": "probe", "mcp_tool": "fail", "outcome": "failed"}


def test_approval_request_is_joined_by_its_input() -> None:
    """A request for approval has no call id, but the digest of its call's request, in whatever order its members come."""
    asked = only(claude_code.translate(call("PreToolUse", "Bash", {"command": "rm x", "description": "d"}, agent_id="a-1")))
    suggestions = [{"type": "setMode", "mode": "acceptEdits"}]
    given = {"description": "d", "command": "rm x"}
    event = native("PermissionRequest", tool_name="Bash", tool_input=given, agent_id="a-1", permission_suggestions=suggestions)
    fact = only(claude_code.translate(event))
    assert (fact.kind, fact.call, fact.answers, fact.once) == ("approval.requested", None, "input", None)
    assert fact.input_digest == asked.input_digest
    assert payload(fact, "suggestions") == suggestions
    assert "reason" not in fact.payloads
    other = only(claude_code.translate(call("PreToolUse", "Bash", {"command": "rm x", "description": "e"}, agent_id="a-1")))
    assert fact.input_digest != other.input_digest


@pytest.mark.parametrize(
    ("response", "outcome"),
    [
        ("Permission to use Bash with command curl http://127.0.0.1:9/ has been denied.", "denied"),
        ("Claude requested permissions to use Bash, but you haven't granted it yet.", "denied"),
        ("The user doesn't want to proceed with this tool use. The tool use was rejected.", "denied"),
        ("Tool use is not allowed during compaction", "denied"),
        ("<tool_use_error>Error: No such tool available: Bash</tool_use_error>", "failed"),
        ("README.md", "unknown"),
        ("log: Permission to use X has been denied", "unknown"),
        ([{"type": "text", "text": "has been denied"}], "unknown"),
        (None, "unknown"),
    ],
)
def test_batch_tells_what_became_of_calls_without_a_result(response: Any, outcome: str) -> None:
    """A batch says request and result of its calls again, under the same keys, and marks what it inferred."""
    given = {"command": "curl http://127.0.0.1:9/"}
    asked, done = claude_code.translate(batch("Bash", given, response)).facts
    before = only(claude_code.translate(call("PreToolUse", "Bash", given)))
    assert (asked.kind, asked.once, asked.call, asked.payloads) == (before.kind, before.once, before.call, before.payloads)
    assert asked.body == {"tool": "Bash", "event": "PostToolBatch"}
    assert (asked.session, asked.turn) == (before.session, before.turn)
    assert (done.kind, done.once, done.answers) == ("tool.finished", "tool.finished:toolu_1", "call")
    assert done.body == {"tool": "Bash", "event": "PostToolBatch", "outcome": outcome, "basis": {"outcome": "inferred"}}


def test_batch_of_several_calls_keeps_them_apart() -> None:
    """Every call of a batch has its own facts, what is new in one stays with it, and no path is given to the wrong call."""
    items = [
        {"tool_name": "Write", "tool_input": {"file_path": "/home/dev/demo/a"}, "tool_use_id": "toolu_1", "tool_response": "ok"},
        {"tool_name": "Bash", "tool_input": {"command": "ls"}, "tool_use_id": "toolu_2", "tool_response": "a", "mood": 1},
    ]
    observation = claude_code.translate(native("PostToolBatch", tool_calls=items, agent_id="a-1", weather="fine"))
    assert [(fact.kind, fact.call) for fact in observation.facts] == [
        ("tool.requested", "toolu_1"),
        ("tool.finished", "toolu_1"),
        ("tool.requested", "toolu_2"),
        ("tool.finished", "toolu_2"),
        ("message.sent", None),
    ]
    assert {fact.body["subagent"] for fact in observation.facts} == {"a-1"}
    assert payload(observation.facts[2], "extra") == {"mood": 1}
    assert payload(observation.facts[4], "extra") == {"weather": "fine"}
    assert observation.touched == ()
    assert claude_code.translate(native("PostToolBatch", tool_calls=items[:1])).touched == ("/home/dev/demo/a",)


@pytest.mark.parametrize("calls", [5, "x", {"a": 1}, [5], [{"tool_name": 5}], [{"tool_name": ""}]])
def test_batch_that_is_not_understood_is_kept(calls: Any) -> None:
    """A batch of another form is a message with all of it."""
    fact = only(claude_code.translate(native("PostToolBatch", tool_calls=calls)))
    assert (fact.kind, fact.body) == ("message.sent", {"event": "PostToolBatch"})
    assert payload(fact, "extra") == {"tool_calls": calls}


def test_todo_list_is_a_plan() -> None:
    """A to-do list becomes the plan's steps when the tool has run."""
    given = {"todos": [{"content": "Edit README", "status": "in_progress", "activeForm": "Editing README"}]}
    done, plan = claude_code.translate(call("PostToolUse", "TodoWrite", given, tool_response={})).facts
    assert done.body == {"tool": "TodoWrite", "outcome": "finished"}
    assert (plan.kind, plan.actor, plan.once, plan.body) == ("plan.updated", AGENT, "plan.updated:toolu_1", {"tool": "TodoWrite"})
    assert payload(plan, "plan") == {"steps": [{"step": "Edit README", "status": "in_progress"}]}


def test_plan_whose_tool_was_refused_says_so() -> None:
    """What the agent planned is recorded even where its tool was not to be had, with that outcome."""
    response = "<tool_use_error>Error: No such tool available: TaskCreate.</tool_use_error>"
    observation = claude_code.translate(batch("TaskCreate", {"subject": "Edit README", "description": "Greet"}, response))
    (plan,) = of_kind(observation, "plan.updated")
    assert payload(plan, "plan") == {"steps": [{"step": "Edit README", "status": "pending"}]}
    assert (plan.body["outcome"], plan.body["basis"]) == ("failed", {"outcome": "inferred"})


@pytest.mark.parametrize(
    ("event", "text", "plan_file"),
    [
        (call("PreToolUse", "ExitPlanMode", {"plan": "# Plan"}), "# Plan", None),
        (call("PostToolUse", "ExitPlanMode", {"plan": "# Plan"}, tool_response={"plan": "# Edited"}), "# Edited", None),
        (call("PostToolUse", "ExitPlanMode", {"plan": "# Plan"}, tool_response={"plan": None}), "# Plan", None),
        (
            call("PostToolUse", "ExitPlanMode", {}, tool_response={"plan": None, "filePath": "/home/dev/.claude/plans/x.md"}),
            None,
            "/home/dev/.claude/plans/x.md",
        ),
        (batch("ExitPlanMode", {"plan": "# Plan"}, "User has approved exiting plan mode."), "# Plan", None),
    ],
)
def test_plan_mode_gives_its_plan_under_one_key(event: Any, text: str | None, plan_file: str | None) -> None:
    """Whichever event has the plan's text says it under the call's one key; else the plan's file is named for the recorder."""
    observation = claude_code.translate(event)
    (plan,) = of_kind(observation, "plan.updated")
    assert (plan.once, plan.call, observation.plan_file) == ("plan.updated:toolu_1", "toolu_1", plan_file)
    if text is None:
        assert plan.payloads == {}
    else:
        assert plan.payloads["plan"] == (text.encode(), "text/markdown")


def test_plan_mode_without_text_says_nothing_of_a_plan() -> None:
    """A request to leave plan mode whose plan is elsewhere makes no empty plan."""
    assert not of_kind(claude_code.translate(call("PreToolUse", "ExitPlanMode", {})), "plan.updated")


@pytest.mark.parametrize(
    "members",
    [{"task_subject": "Edit README", "task_id": "1"}, {"task": {"subject": "Edit README"}}, {"description": "Edit README"}],
)
def test_created_task_is_a_plan_of_one_step(members: dict[str, Any]) -> None:
    """A task that was created is a plan of one step, whichever member has its text."""
    fact = only(claude_code.translate(native("TaskCreated", **members)))
    assert (fact.kind, fact.body) == ("plan.updated", {"event": "TaskCreated"})
    assert payload(fact, "plan") == {"steps": [{"step": "Edit README", "status": "pending"}]}


@pytest.mark.parametrize(
    ("tool", "given", "touched"),
    [
        ("Edit", {"file_path": "/home/dev/demo/README.md"}, ("/home/dev/demo/README.md",)),
        ("Write", {"file_path": "src/new.py", "content": ""}, ("src/new.py",)),
        ("MultiEdit", {"file_path": "a", "edits": []}, ("a",)),
        ("NotebookEdit", {"notebook_path": "n.ipynb"}, ("n.ipynb",)),
        ("Read", {"file_path": "a"}, ()),
        ("Edit", {"file_path": "a\0b"}, ()),
        ("Edit", {"file_path": ["a"]}, ()),
        ("Edit", "a", ()),
    ],
)
def test_edits_name_what_they_touch(tool: str, given: Any, touched: tuple[str, ...]) -> None:
    """Tools that change a file name it before, after, and when they fail."""
    for name in ("PreToolUse", "PostToolUse", "PostToolUseFailure"):
        assert claude_code.translate(call(name, tool, given)).touched == touched


def test_subagents_bear_their_ids() -> None:
    """A subagent's start and end bear its id and type, and the end its last message."""
    who = {"agent_id": "a-1", "agent_type": "general-purpose"}
    started = only(claude_code.translate(native("SubagentStart", **who)))
    ended = only(claude_code.translate(native("SubagentStop", last_assistant_message="done", agent_transcript_path="/t", **who)))
    assert (started.kind, started.body) == ("subagent.started", {"subagent": "a-1", "subagent_type": "general-purpose"})
    assert (ended.kind, ended.body) == ("subagent.ended", started.body)
    assert payload(ended, "message") == "done"
    assert payload(ended, "extra") == {"agent_transcript_path": "/t"}


@pytest.mark.parametrize(
    ("event", "kind", "body", "message"),
    [
        (native("Stop", last_assistant_message="hi", background_tasks=[]), "message.sent", {"event": "Stop"}, "hi"),
        (
            native("Notification", message="Claude needs your permission", notification_type="permission_prompt"),
            "message.sent",
            {"event": "Notification", "notification_type": "permission_prompt"},
            "Claude needs your permission",
        ),
        (
            native("InstructionsLoaded", file_path="/home/dev/demo/CLAUDE.md", memory_type="Project", load_reason="session_start"),
            "message.sent",
            {"event": "InstructionsLoaded", "memory_type": "Project", "load_reason": "session_start"},
            "/home/dev/demo/CLAUDE.md",
        ),
        (
            native("PreCompact", trigger="manual", custom_instructions=None),
            "transcript.changed",
            {"event": "PreCompact", "trigger": "manual"},
            None,
        ),
        (native("SessionEnd", reason="prompt_input_exit"), "session.ended", {"reason": "prompt_input_exit"}, None),
    ],
)
def test_messages(event: Any, kind: str, body: dict[str, Any], message: str | None) -> None:
    """Small and structured members are in the body, texts are payloads, and nothing empty is kept."""
    fact = only(claude_code.translate(event))
    assert (fact.kind, fact.actor, fact.body) == (kind, AGENT, body)
    assert ({name: data.decode() for name, (data, _) in fact.payloads.items()}) == ({"message": message} if message else {})


def test_denied_permission_is_a_decision_of_nobody_known() -> None:
    """A denial that the agent reports is a decision, and who made it is not guessed."""
    event = call("PermissionDenied", "Bash", {"command": "rm x"}, reason="too risky")
    fact = only(claude_code.translate(event))
    assert (fact.kind, fact.actor, fact.answers) == ("approval.decided", {"type": "unknown"}, "call")
    assert fact.body == {"decision": "denied", "scope": "once", "decider": "unknown", "tool": "Bash"}
    assert payload(fact, "reason") == "too risky"


@pytest.mark.parametrize("name", sorted(claude_code.EVENTS))
def test_every_event_is_kept(name: str) -> None:
    """Every event that this version knows by name becomes a fact, and a member that nobody knows is kept somewhere."""
    facts = claude_code.translate(native(name, tool_name="Bash", tool_input={}, strange="news")).facts
    assert facts
    assert any(b'"strange":"news"' in data for fact in facts for data, _ in fact.payloads.values())


def test_event_without_a_kind_of_its_own_is_a_message_with_all_of_it() -> None:
    """An event that has no kind of its own is kept whole, and an actor is named only where it can be nobody else."""
    event = native("WorktreeCreate", worktree="w")
    fact = only(claude_code.translate(event))
    assert (fact.kind, fact.actor, fact.body) == ("message.sent", AGENT, {"event": "WorktreeCreate"})
    assert payload(fact, "event") == event
    assert only(claude_code.translate(native("ConfigChange"))).actor == {"type": "unknown"}


@pytest.mark.parametrize("event", [5, {}, {"hook_event_name": "BeforeTool"}, {"hook_event_name": "PreToolUse", "tool_name": 5}])
def test_events_without_a_meaning_are_refused(event: Any) -> None:
    """What is no event of Claude Code, or a tool's without a tool, is refused: the recorder then notes a gap."""
    with pytest.raises(FormatError):
        claude_code.translate(event)
