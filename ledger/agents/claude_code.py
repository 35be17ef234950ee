"""Claude Code: its hook events as facts. Pure: nothing is read but the event.

A call that a rule or a human refused has no result of its own; only the `PostToolBatch` that follows may tell, as text. So a
batch says all of its calls again, under the same once-keys: the recorder keeps what it had not heard yet.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ledger.agents import common
from ledger.agents.common import Dialect, Event
from ledger.core.fact import Fact, Observation, PayloadData

NAME = "claude-code"

EVENTS = frozenset(
    """
    PreToolUse PostToolUse PostToolUseFailure PostToolBatch Notification UserPromptSubmit UserPromptExpansion SessionStart
    SessionEnd Stop StopFailure SubagentStart SubagentStop PreCompact PostCompact PreModelSwitch PostModelSwitch
    PermissionRequest PermissionDenied Setup TeammateIdle TaskCreated TaskCompleted Elicitation ElicitationResult ConfigChange
    WorktreeCreate WorktreeRemove InstructionsLoaded CwdChanged FileChanged DirectoryAdded MessageDisplay
    """.split()
)

_DIALECT = Dialect(NAME, "prompt_id", EVENTS)

# Events of which nothing tells whether the agent or a human was behind them.
_OF_UNKNOWN_ACTOR = frozenset(
    """
    UserPromptExpansion PreModelSwitch PostModelSwitch ElicitationResult ConfigChange CwdChanged FileChanged DirectoryAdded
    """.split()
)

_PATH_MEMBERS = {"Edit": "file_path", "MultiEdit": "file_path", "NotebookEdit": "notebook_path", "Write": "file_path"}
_PLAN_TOOLS = frozenset({"ExitPlanMode", "TaskCreate", "TodoWrite"})

_EXIT_CODE = r"Exit code (0|-?[1-9][0-9]{0,9})(?:\n|\Z)"

# How a refusal in a batch begins, and what it must hold as well. A tool's own output may hold any of it further on.
_DENIALS = (
    ("Permission ", "has been denied"),
    ("Claude requested permission", "haven't granted it yet"),
    ("The user doesn't want to ", ""),
    ("Tool use is not allowed", ""),
)


def translate(event: Any) -> Observation:
    """Return what one native event of Claude Code means. Raises FormatError when it cannot be understood."""
    return translate_as(Event(event, _DIALECT))


def translate_as(event: Event) -> Observation:
    """Return what an event means that another agent (`event.dialect`) may have sent, in Claude Code's words."""
    return _TRANSLATIONS.get(event.name, _message)(event)


def _prompt(event: Event) -> Observation:
    # A subagent that ran in the background reports through the prompt, and nothing but its text says so.
    prompt = event.member("prompt")
    reports = type(prompt) is str and prompt.startswith("<task-notification>")
    return common.submit_prompt(event, "task-notification" if reports else None)


def _before_tool(event: Event) -> Observation:
    facts = [common.request_call(event)]
    if common.read_tool(event) == "ExitPlanMode" and _plan_text(event):
        # Before the human has agreed: a plan that is turned down was planned all the same.
        facts += _plan(event, {})
    return event.observe(*facts, touched=_touched(event))


def _permission(event: Event) -> Observation:
    return event.observe(common.request_approval(event, event.json_payload("permission_suggestions", "suggestions")))


def _permission_denied(event: Event) -> Observation:
    call = event.call
    body: dict[str, Any] = {"decision": "denied", "scope": "once", "decider": "unknown"}
    payloads = {**event.json_payload("tool_input", "input"), **event.payload("reason", "reason")}
    if event.label("tool_name"):
        body |= common.describe_tool(event)
    return event.observe(
        event.fact(
            "approval.decided",
            body,
            payloads,
            actor={"type": "unknown"},
            call=call,
            once=True,
            answers="call" if call else "input",
            input_digest=common.digest_input(event),
        )
    )


def _after_tool(event: Event) -> Observation:
    tool, response = common.read_tool(event), event.member("tool_response")
    outcome = "finished"
    if tool == "Bash" and type(response) is dict and response.get("interrupted") is True:
        outcome = "cancelled"
    elif common.is_mcp_error(tool, response):
        outcome = "failed"
    finished = common.finish_call(event, outcome, "tool_response")
    return event.observe(finished, *_plan(event, {}), touched=_touched(event), plan_file=_plan_file(event))


def _after_failure(event: Event) -> Observation:
    tool = common.read_tool(event)
    outcome = "cancelled" if event.member("is_interrupt") is True else "failed"
    if type(event.member("is_interrupt")) is bool:
        event.use("is_interrupt")
    body = {} if common.split_mcp(tool) else common.read_exit_code(event.member("error"), _EXIT_CODE)
    finished = common.finish_call(event, outcome, "error", body)
    return event.observe(finished, *_plan(event, {"outcome": outcome}), touched=_touched(event))


def _after_batch(event: Event) -> Observation:
    """Translate every call of a batch; what of the batch no fact can hold becomes a message."""
    calls = event.member("tool_calls")
    facts: list[Fact] = []
    touched: list[str] = []
    if type(calls) is list and all(_is_call(item) for item in calls):
        event.use("tool_calls")
        for item in calls:
            call = _call_of(event, item)
            facts += common.with_leftovers(call, _batched(call))
            # Which call changed which path cannot be told once there are several.
            touched = _touched(call) if len(calls) == 1 else []
    rest = event.fact("message.sent", {"event": event.name})
    cwd = common.read_path(event.member("cwd"), event)
    leftovers = event.leftovers()
    if leftovers:
        facts.append(rest._replace(payloads=leftovers))
    return Observation(tuple(facts), cwd, tuple(touched))


def _is_call(item: Any) -> bool:
    return type(item) is dict and type(item.get("tool_name")) is str and item["tool_name"] != ""


def _call_of(event: Event, item: dict[str, Any]) -> Event:
    """Return a call of a batch as an event of its own, with the identifiers of the batch."""
    shared = ("hook_event_name", "session_id", event.dialect.turn, "agent_id", "agent_type")
    given = {name: event.member(name) for name in shared if event.member(name) is not None}
    return Event({**item, **given}, event.dialect)


def _batched(event: Event) -> list[Fact]:
    outcome = infer_outcome(event.member("tool_response"))
    mark = {"event": event.name}
    basis = {"basis": {"outcome": "inferred"}}
    requested = common.request_call(event, mark)
    finished = common.finish_call(event, outcome, "tool_response", {**mark, **basis})
    return [requested, finished, *_plan(event, mark if outcome == "unknown" else {**mark, "outcome": outcome, **basis})]


def infer_outcome(response: Any) -> str:
    """Return the outcome that the text of a call's response gives away."""
    if type(response) is not str:
        return "unknown"
    if any(response.startswith(start) and part in response for start, part in _DENIALS):
        return "denied"
    return "failed" if response.startswith("<tool_use_error>") else "unknown"


# Plans


def _plan(event: Event, mark: dict[str, Any]) -> list[Fact]:
    """Return the plan that a call of a planning tool makes, as a fact; `mark` says what became of the call, if not success."""
    tool = common.read_tool(event)
    if tool not in _PLAN_TOOLS:
        return []
    plan = _read_plan(event, tool)
    if plan is None and not (tool == "ExitPlanMode" and _plan_file(event)):
        return []
    return [common.update_plan(event, plan, {**mark, "tool": tool})]


def _read_plan(event: Event, tool: str) -> PayloadData | None:
    if tool == "ExitPlanMode":
        text = _plan_text(event)
        return event.data(text, common.MARKDOWN) if text else None
    given = event.member("tool_input")
    if type(given) is not dict:
        return None
    if tool == "TodoWrite":
        steps = common.list_steps(given.get("todos"), ("content",))
    else:
        steps = common.list_steps([{**given, "status": "pending"}], ("subject", "description"))
    return common.dump_steps(event, steps) if steps is not None and (steps or tool == "TodoWrite") else None


def _plan_text(event: Event) -> str | None:
    """Return the plan that ExitPlanMode lays open: what came of it, else what went in."""
    for name in ("tool_response", "tool_input"):
        value = event.member(name)
        if type(value) is dict and type(value.get("plan")) is str and value["plan"]:
            return str(value["plan"])
    return None


def _plan_file(event: Event) -> str | None:
    """Return the file that has the plan of ExitPlanMode, where the event itself has not."""
    if event.member("tool_name") != "ExitPlanMode" or _plan_text(event):
        return None
    for name, member in (("tool_response", "filePath"), ("tool_input", "planFilePath")):
        value = event.member(name)
        path = common.read_path(value.get(member), event) if type(value) is dict else None
        if path is not None:
            return path
    return None


def _task_created(event: Event) -> Observation:
    task = event.member("task")
    members = {**(task if type(task) is dict else {}), **{name: event.member(name) for name in _TASK_TEXTS if event.member(name)}}
    steps = common.list_steps([{**members, "status": "pending"}], _TASK_TEXTS)
    if not steps:
        return _message(event)
    event.use(*_TASK_TEXTS[:2])
    return event.observe(event.fact("plan.updated", {"event": event.name}, {"plan": common.dump_steps(event, steps)}))


_TASK_TEXTS = ("task_subject", "subject", "task_description", "description")


# Messages


def _notification(event: Event) -> Observation:
    body = {"event": event.name, **event.labels(notification_type="notification_type")}
    return event.observe(event.fact("message.sent", body, event.payload("message", "message")))


def _instructions(event: Event) -> Observation:
    body = {"event": event.name, **event.labels(memory_type="memory_type", load_reason="load_reason")}
    return event.observe(event.fact("message.sent", body, event.payload("file_path", "message")))


def _message(event: Event) -> Observation:
    """Translate an event that has no kind of its own: the whole of it is kept."""
    actor = {"type": "unknown"} if event.name in _OF_UNKNOWN_ACTOR else event.actor
    native = PayloadData(event.dump(event.use_all()), common.JSON)
    return event.observe(event.fact("message.sent", {"event": event.name}, {"event": native}, actor=actor))


def _touched(event: Event) -> list[str]:
    """Return the paths that a call names as those it changes."""
    tool, given = event.member("tool_name"), event.member("tool_input")
    if tool not in _PATH_MEMBERS or type(given) is not dict:
        return []
    return common.read_paths([given.get(_PATH_MEMBERS[tool])], event)


_TRANSLATIONS: dict[str, Callable[[Event], Observation]] = {
    "SessionStart": common.start_session,
    "SessionEnd": common.end_session,
    "UserPromptSubmit": _prompt,
    "PreToolUse": _before_tool,
    "PermissionRequest": _permission,
    "PermissionDenied": _permission_denied,
    "PostToolUse": _after_tool,
    "PostToolUseFailure": _after_failure,
    "PostToolBatch": _after_batch,
    "PreCompact": common.change_transcript,
    "PostCompact": common.change_transcript,
    "SubagentStart": common.start_subagent,
    "SubagentStop": common.end_subagent,
    "Stop": common.stop,
    "Notification": _notification,
    "InstructionsLoaded": _instructions,
    "TaskCreated": _task_created,
}
