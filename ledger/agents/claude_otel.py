"""Claude Code: the records of its telemetry as facts. Pure.

    tool_decision             approval.decided: the one surface that tells a rule from a person in every version that has it
    tool_result               tool.finished where no hook said so, and the commit that a git call left (`vcs.ref.head.revision`)
    user_prompt               nothing: the hook has the words
    permission_mode_changed   message.sent: a person switched what needs leave
    subagent_completed        subagent.ended
    hook_execution_complete   gap.noted's sister: a message that hooks failed or were cancelled

`event.sequence` counts up within a session, so the receiver can see what was lost.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from ledger.agents import telemetry
from ledger.agents.decisions import claude_decision, decided
from ledger.core.fact import Fact, Observation, PayloadData

NAME = "claude-code"
_AGENT = {"type": "agent", "name": NAME}


def translate(event: str, attributes: Mapping[str, Any], body: Any, at_ms: int) -> Observation | None:
    """Return what a record means, or None."""
    translation = _TRANSLATIONS.get(event.removeprefix("claude_code."))
    session = telemetry.text(attributes, "session.id")
    if translation is None or session is None:
        return None
    facts = translation(attributes, session)
    return Observation(tuple(facts)) if facts else None


def _tool(attributes: Mapping[str, Any]) -> dict[str, str]:
    """Return {tool, mcp_server?, mcp_tool?}: an MCP tool is called `mcp_tool` here, and named in its parameters."""
    tool = telemetry.text(attributes, "tool_name")
    if tool != "mcp_tool":
        return {"tool": tool} if tool else {}
    try:
        given = json.loads(str(attributes.get("tool_parameters"))[: telemetry.MAX_PAYLOAD])
    except (ValueError, RecursionError):
        given = {}
    members = given if isinstance(given, dict) else {}
    server, name = telemetry.text(members, "mcp_server_name"), telemetry.text(members, "mcp_tool_name")
    if server is None or name is None:
        return {"tool": tool}
    spelled = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "_-") else "_" for letter in server)
    return {"tool": f"mcp__{spelled}__{name}"[: telemetry.MAX_TEXT], "mcp_server": server, "mcp_tool": name}


def _decision(attributes: Mapping[str, Any], session: str) -> list[Fact]:
    decision, call = telemetry.text(attributes, "decision"), telemetry.text(attributes, "tool_use_id")
    if decision is None or call is None:
        return []
    verdict = claude_decision(decision, telemetry.text(attributes, "source"), "telemetry")
    mode = telemetry.texts(attributes, permission_mode="permission_mode")
    turn = telemetry.text(attributes, "prompt.id")
    return [decided(verdict, session=session, turn=turn, call=call, more={**_tool(attributes), **mode})]


def _result(attributes: Mapping[str, Any], session: str) -> list[Fact]:
    call, tool, turn = telemetry.text(attributes, "tool_use_id"), _tool(attributes), telemetry.text(attributes, "prompt.id")
    if call is None or not tool:
        return []
    success = telemetry.flag(attributes, "success")
    said: dict[str, Any] = {**tool, "outcome": "unknown" if success is None else "finished" if success else "failed"}
    said |= telemetry.counts(attributes, duration_ms="duration_ms")
    said |= telemetry.texts(attributes, error_type="error_type", head="vcs.ref.head.revision", branch="vcs.ref.head.name")
    requested = Fact(
        "tool.requested",
        _AGENT,
        telemetry.with_basis(tool),
        session,
        turn,
        call,
        telemetry.payloads(attributes, input=("tool_input", "application/json")),
        once=f"tool.requested:{call}",
    )
    finished = Fact(
        "tool.finished",
        {"type": "tool", "name": tool["tool"]},
        telemetry.with_basis(said),
        session,
        turn,
        call,
        telemetry.payloads(attributes, output=("error", "text/plain")),
        once=f"tool.finished:{call}",
        answers="call",
    )
    facts = [requested, finished]
    if "head" in said:
        # The agent says which commit the call left: kept even where the hook's own result was first.
        body = telemetry.with_basis(
            {"event": "head-after-call", "head": said["head"], **telemetry.texts(attributes, branch="vcs.ref.head.name")}
        )
        facts.append(Fact("message.sent", _AGENT, body, session, turn, call, once=f"head-after-call:{call}", answers="call"))
    return facts


def _mode(attributes: Mapping[str, Any], session: str) -> list[Fact]:
    said = telemetry.texts(attributes, from_mode="from_mode", to_mode="to_mode", trigger="trigger")
    sequence = telemetry.count(attributes, "event.sequence")
    if "to_mode" not in said:
        return []
    body = telemetry.with_basis({"event": "permission-mode-changed", **said})
    return [Fact("message.sent", {"type": "unknown"}, body, session, once=f"permission-mode-changed:{sequence}:{said['to_mode']}")]


def _subagent(attributes: Mapping[str, Any], session: str) -> list[Fact]:
    said = telemetry.texts(attributes, subagent="agent_id", subagent_type="agent_type", model="model")
    if "subagent" not in said:
        return []
    body = telemetry.with_basis({**said, **telemetry.counts(attributes, duration_ms="duration_ms")})
    return [Fact("subagent.ended", _AGENT, body, session, once=f"subagent.ended:{said['subagent']}")]


def _hooks(attributes: Mapping[str, Any], session: str) -> list[Fact]:
    """Tell of hooks that failed: whoever records by hooks was not heard then."""
    said = telemetry.counts(attributes, failed="num_non_blocking_error", cancelled="num_cancelled")
    if not any(said.values()):
        return []
    body = {"event": "hooks-failed", **telemetry.texts(attributes, hook="hook_name"), **said}
    data = PayloadData(json.dumps(dict(said), sort_keys=True).encode(), "application/json")
    sequence = telemetry.count(attributes, "event.sequence")
    fact = Fact("message.sent", _AGENT, telemetry.with_basis(body), session, payloads={"event": data})
    return [fact._replace(once=f"hooks-failed:{sequence}")]


_TRANSLATIONS: dict[str, Callable[[Mapping[str, Any], str], list[Fact]]] = {
    "tool_decision": _decision,
    "tool_result": _result,
    "permission_mode_changed": _mode,
    "subagent_completed": _subagent,
    "hook_execution_complete": _hooks,
}
