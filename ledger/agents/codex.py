"""Codex: its hook events as facts. Pure: nothing is read but the event.

What Codex's hooks do not say is left out: no exit code of a shell command, no decision on an approval, no call id on a
request for one. A subagent's events bear the root session and its own `agent_id`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ledger.agents import common
from ledger.agents.common import Dialect, Event
from ledger.core.fact import Fact, Observation, PayloadData

NAME = "codex"

EVENTS = frozenset(
    """
    SessionStart SessionEnd UserPromptSubmit PreToolUse PermissionRequest PostToolUse PreCompact PostCompact
    SubagentStart SubagentStop Stop Interrupt
    """.split()
)

# A PermissionRequest's tool_input has the justification, as `description`; the call's other events lack it.
_DIALECT = Dialect(NAME, "turn_id", EVENTS, unsteady=("description",))

# Patterns are compiled where they are used: most events need none, and compiling them all costs as much as reading JSON.
_EXIT_CODE = r"Exit code: (0|-?[1-9][0-9]{0,9})\nWall time: [0-9.]+ seconds\n"
_CHANGED_PATH = r"(?m)^\*\*\* (?:(?:Add|Update|Delete) File|Move to): (.+)$"
_SHELL_PATCH = r"(?ms)\b(?:apply_patch|applypatch)\b[^\n]*\n(\*\*\* Begin Patch\n.*?^\*\*\* End Patch)"
_CHANGE_OF_FOLDER = r"""\s*cd\s+(?:'([^']+)'|"([^"$`\\]+)"|([^\s'"$`\\;&|<>()~*?]+))\s*&&\s*(?:apply_patch|applypatch)\b"""


_TOOLS = {"exec_command": "Bash", "shell": "Bash", "local_shell": "Bash"}


def tool_of(name: str, namespace: str | None) -> dict[str, str]:
    """Return the body members {tool, mcp_server?, mcp_tool?}, spelled as the hooks spell them.

    >>> tool_of("lookup", "mcp__tickets")
    {'tool': 'mcp__tickets__lookup', 'mcp_server': 'tickets', 'mcp_tool': 'lookup'}
    >>> tool_of("exec_command", "functions")
    {'tool': 'Bash'}
    """
    if namespace and namespace.startswith("mcp__"):
        server = namespace.removeprefix("mcp__")
        return {"tool": f"{namespace}__{name}", "mcp_server": server, "mcp_tool": name} if server else {"tool": name}
    return {"tool": _TOOLS.get(name, name)}


def translate(event: Any) -> Observation:
    """Return what one native event of Codex means. Raises FormatError when it cannot be understood."""
    read = Event(event, _DIALECT)
    return _TRANSLATIONS[read.name](read)


def _before_tool(event: Event) -> Observation:
    return event.observe(common.request_call(event), touched=_touched(event))


def _permission(event: Event) -> Observation:
    return event.observe(common.request_approval(event, _reason(event)))


def _after_tool(event: Event) -> Observation:
    tool, response = common.read_tool(event), event.member("tool_response")
    body: dict[str, Any] = {}
    outcome = "finished"
    if common.is_mcp_error(tool, response):
        outcome = "failed"
    elif tool == "apply_patch":
        body = common.read_exit_code(response, _EXIT_CODE)
        if body.get("exit_code"):
            outcome, body["basis"] = "failed", {"exit_code": "inferred", "outcome": "inferred"}
    finished = common.finish_call(event, outcome, "tool_response", body)
    return event.observe(finished, *_plan(event, tool), touched=_touched(event))


def _interrupt(event: Event) -> Observation:
    # Usually a human pressed Esc; the event does not say so.
    return event.observe(event.fact("message.sent", {"event": event.name}, actor={"type": "unknown"}))


def _reason(event: Event) -> dict[str, PayloadData]:
    """Return the justification as payload `reason`; an MCP tool's input is its own, whatever its members are called."""
    given = event.member("tool_input")
    if type(given) is not dict or common.split_mcp(common.read_tool(event)):
        return {}
    for name in ("description", "justification"):
        if type(given.get(name)) is str and given[name]:
            return {"reason": event.data(given[name])}
    return {}


def _plan(event: Event, tool: str) -> list[Fact]:
    given = event.member("tool_input")
    steps = common.list_steps(given.get("plan"), ("step",)) if tool == "update_plan" and type(given) is dict else None
    if steps is None:
        return []
    return [common.update_plan(event, common.dump_steps(event, steps, given.get("explanation")), {"tool": tool})]


def _touched(event: Event) -> list[str]:
    """Return the paths that a call names as those it changes: in a patch, or in a shell command that applies one."""
    given = event.member("tool_input")
    command = given.get("command") if type(given) is dict else given
    tool = event.member("tool_name")
    if type(command) is not str or tool not in ("apply_patch", "Bash") or "*** " not in command:
        return []
    if tool == "apply_patch":
        return _paths(command, event)
    folder = re.match(_CHANGE_OF_FOLDER, command)
    prefix = next(filter(None, folder.groups()), "").rstrip("/") + "/" if folder else ""
    paths = [path for patch in re.findall(_SHELL_PATCH, command) for path in _paths(patch, event)]
    return [path if path.startswith("/") else prefix + path for path in paths]


def _paths(patch: str, event: Event) -> list[str]:
    return common.read_paths((path.strip() for path in re.findall(_CHANGED_PATH, patch)), event)


_TRANSLATIONS: dict[str, Callable[[Event], Observation]] = {
    "SessionStart": common.start_session,
    "SessionEnd": common.end_session,
    "UserPromptSubmit": common.submit_prompt,
    "PreToolUse": _before_tool,
    "PermissionRequest": _permission,
    "PostToolUse": _after_tool,
    "PreCompact": common.change_transcript,
    "PostCompact": common.change_transcript,
    "SubagentStart": common.start_subagent,
    "SubagentStop": common.end_subagent,
    "Stop": common.stop,
    "Interrupt": _interrupt,
}
