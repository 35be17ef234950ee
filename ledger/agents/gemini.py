"""Gemini CLI: its hook events as facts. Pure: nothing is read but the event.

Gemini's hooks name no call. So a fact of a call bears a `mark`, the event's name and time, and the recorder names the call by its
tool, its input, and how often that input was told (`ledger.recording.numbering`); `body.basis` says so. The time that the event
bears is the agent's claim, in milliseconds, and is kept as `agent_at`.

What these hooks do not say: whether a call was refused (there is no AfterTool then), who answered a permission dialogue, which of
the calls a subagent made. The transcript (`ledger.agents.gemini_transcript`) and telemetry (`ledger.agents.gemini_otel`) say more.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ledger.agents import common
from ledger.agents.common import Dialect, Event
from ledger.core.fact import Fact, Observation

NAME = "gemini"

EVENTS = frozenset(
    """
    SessionStart SessionEnd BeforeAgent AfterAgent BeforeTool AfterTool Notification PreCompress BeforeModel AfterModel
    BeforeToolSelection
    """.split()
)
# These carry the whole conversation each time, or come whether anything is compressed or not: they say nothing that lasts.
_IDLE = frozenset({"BeforeModel", "AfterModel", "BeforeToolSelection", "PreCompress"})

DIALECT = Dialect(NAME, "prompt_id", EVENTS)

PLAN_TOOL = "write_todos"
_EDITORS = frozenset({"replace", "write_file"})
_SHELL = "run_shell_command"
# Only a failing command has this line, after its output; what the command itself printed may hold one as well, before it.
_EXIT_CODE = r"(?m)^Exit Code: (0|-?[1-9][0-9]{0,9})$"


def translate(event: Any) -> Observation:
    """Return what one native event of Gemini CLI means. Raises FormatError when it cannot be understood."""
    read = Event(event, DIALECT)
    if read.name in _IDLE:
        return Observation((), common.read_path(read.member("cwd"), read))
    return _name_by_time(_TRANSLATIONS[read.name](read), read)


def _name_by_time(seen: Observation, event: Event) -> Observation:
    """Name the facts that are of no call by the event's time: where hooks are wired twice, each event comes twice."""
    at = event.label("timestamp", 64)
    facts = (fact if fact.mark or not at else fact._replace(once=f"{fact.kind}:{at}") for fact in seen.facts)
    return seen._replace(facts=tuple(facts))


def _claimed_time(event: Event) -> dict[str, Any]:
    """Return the body members that say when the agent says that it happened."""
    at = event.label("timestamp", 64)
    return {"agent_at": at, "basis": {"agent_at": "claimed"}} if at else {}


def _start(event: Event) -> Observation:
    body = {**_claimed_time(event), **event.labels(start="source"), **event.settings()}
    return event.observe(event.fact("session.started", body))


def _end(event: Event) -> Observation:
    return event.observe(event.fact("session.ended", {**_claimed_time(event), **event.labels(reason="reason")}))


def _prompt(event: Event) -> Observation:
    body = {**_claimed_time(event), **event.settings()}
    return event.observe(event.fact("prompt.submitted", body, event.payload("prompt", "prompt"), actor={"type": "unknown"}))


def _answer(event: Event) -> Observation:
    event.use("prompt")  # BeforeAgent had it
    body = {"event": event.name, **_claimed_time(event)}
    return event.observe(event.fact("message.sent", body, event.payload("prompt_response", "message")))


def _before_tool(event: Event) -> Observation:
    requested = common.request_call(event, _claimed_time(event))
    return event.observe(mark_call(describe_server(event, requested), event), touched=_touched(event))


def _after_tool(event: Event) -> Observation:
    response = event.member("tool_response")
    outcome, body = read_outcome(common.read_tool(event), response)
    event.use("mcp_context")  # the request has it
    finished = common.finish_call(event, outcome, "tool_response", merge(_claimed_time(event), body))
    finished = mark_call(describe_server(event, finished), event)
    return event.observe(finished, *plan_of(event, outcome), touched=_touched(event))


def read_outcome(tool: str, response: Any) -> tuple[str, dict[str, Any]]:
    """Return the outcome that a `tool_response` tells, and the exit code, which only the text of a failed shell command has."""
    if type(response) is not dict:
        return "finished", {}
    if response.get("error") is not None:
        return "failed", {}
    text = response.get("llmContent")
    codes = re.findall(_EXIT_CODE, text) if tool == _SHELL and type(text) is str else []
    if not codes:
        return "finished", {}
    code = int(codes[-1])
    return ("failed" if code else "finished"), {"exit_code": code, "basis": {"exit_code": "inferred", "outcome": "inferred"}}


def describe_server(event: Event, fact: Fact) -> Fact:
    """Return `fact` with the MCP server and tool that the event's `mcp_context` names."""
    context = event.member("mcp_context")
    if type(context) is not dict:
        return fact
    named = {"mcp_server": context.get("server_name"), "mcp_tool": context.get("tool_name")}
    texts = {name: event.clean(text) for name, text in named.items() if type(text) is str and 0 < len(text) <= common.MAX_TEXT}
    return fact._replace(body={**fact.body, **texts})


def mark_call(fact: Fact, event: Event) -> Fact:
    """Return `fact` with what tells its event from others of the same call, for the recorder to name the call by."""
    return fact._replace(mark=f"{event.name} {event.label('timestamp', 64) or ''}")


def merge(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Return both bodies as one, and what both say of the basis."""
    basis = {**first.get("basis", {}), **second.get("basis", {})}
    return {**first, **second, **({"basis": basis} if basis else {})}


def plan_of(event: Event, outcome: str) -> list[Fact]:
    """Return the plan that a `write_todos` call made, as a fact, where it was not turned down."""
    given = event.member("tool_input")
    if event.member("tool_name") != PLAN_TOOL or outcome != "finished" or type(given) is not dict:
        return []
    steps = common.list_steps(given.get("todos"), ("description",))
    if steps is None:
        return []
    plan = event.fact(
        "plan.updated",
        {"tool": PLAN_TOOL},
        {"plan": common.dump_steps(event, steps)},
        answers="input",
        input_digest=common.digest_input(event),
    )
    return [mark_call(plan, event)]


def _notification(event: Event) -> Observation:
    kind, details = event.member("notification_type"), event.member("details")
    if kind != "ToolPermission" or type(details) is not dict:
        body = {"event": event.name, **_claimed_time(event), **event.labels(notification_type="notification_type")}
        return event.observe(event.fact("message.sent", body, event.payload("message", "message")))
    # The dialogue names neither the call nor the tool, and comes right after the BeforeTool of its call.
    event.use("notification_type")
    body = {**_claimed_time(event), "tool": _asked_tool(details, event)}
    payloads = {**event.json_payload("details", "input"), **event.payload("message", "reason")}
    return event.observe(event.fact("approval.requested", body, payloads, answers="open"))


def _asked_tool(details: dict[str, Any], event: Event) -> str:
    """Return what a permission dialogue says of the tool: an MCP tool's name, else the sort of the dialogue."""
    for name in ("toolName", "type"):
        value = details.get(name)
        if type(value) is str and 0 < len(value) <= common.MAX_TEXT:
            return _SHELL if name == "type" and value == "exec" else event.clean(value)
    return "unknown"


def _touched(event: Event) -> list[str]:
    """Return the path that an editing call names."""
    given = event.member("tool_input")
    if event.member("tool_name") not in _EDITORS or type(given) is not dict:
        return []
    return common.read_paths([given.get("file_path")], event)


_TRANSLATIONS: dict[str, Callable[[Event], Observation]] = {
    "SessionStart": _start,
    "SessionEnd": _end,
    "BeforeAgent": _prompt,
    "AfterAgent": _answer,
    "BeforeTool": _before_tool,
    "AfterTool": _after_tool,
    "Notification": _notification,
}
