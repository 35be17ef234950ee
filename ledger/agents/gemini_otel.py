"""Gemini CLI: the records of its telemetry as facts. Pure.

    tool_call                  tool.requested and tool.finished where no other surface said so, and approval.decided
    agent.start, agent.finish  subagent.started and subagent.ended
    config                     boundary.declared, for what it is worth: `sandbox_enabled` was seen to be true without any sandbox

each after `gemini_cli.`. A call has no id here either; the recorder names it (`ledger.recording.numbering`). `accept` is what a
person's consent, a rule's, and that none was needed all look like, so its decider is unknown here (`ledger.recording.approvals`
knows whether a dialogue was shown); `auto_accept` is a setting's. What a policy refused has no decision, and is known by its
`error_type`. A subagent's calls bear its id in `prompt_id`, where the main agent's bear the session's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from ledger.agents import common, gemini, telemetry
from ledger.agents.common import Event
from ledger.agents.decisions import Verdict, decided
from ledger.core.fact import Fact, Observation
from ledger.errors import FormatError

NAME = gemini.NAME
_AGENT = {"type": "agent", "name": NAME}
_SAID = "telemetry"


def translate(event: str, attributes: Mapping[str, Any], body: Any, at_ms: int) -> Observation | None:
    """Return what a record means, or None."""
    translation = _TRANSLATIONS.get(event.removeprefix("gemini_cli."))
    session = telemetry.text(attributes, "session.id")
    if translation is None or session is None:
        return None
    facts = translation(attributes, session, at_ms)
    return Observation(tuple(facts)) if facts else None


def _call(attributes: Mapping[str, Any], session: str, at_ms: int) -> list[Fact]:
    name, given = telemetry.text(attributes, "function_name"), _parse(attributes.get("function_args"))
    if name is None:
        return []
    event = Event({"hook_event_name": "AfterTool", "tool_name": name, "tool_input": given}, gemini.DIALECT)
    tool: dict[str, Any] = {"tool": name, **_server(attributes, name), **_subagent_of(attributes, session)}
    when = telemetry.text(attributes, "event.timestamp") or str(at_ms)
    mark = f"{telemetry.text(attributes, 'prompt_id') or ''} {when}"
    shared = {"session": session, "input_digest": common.digest_input(event), "mark": mark}
    payloads = {} if given is None else event.json_payload("tool_input", "input")
    request = Fact("tool.requested", _AGENT, telemetry.with_basis(tool), payloads=payloads, **shared)
    ended = telemetry.with_basis({**tool, **_ending(attributes), **telemetry.counts(attributes, duration_ms="duration_ms")})
    actor = {"type": "tool", "name": name}
    output = telemetry.payloads(attributes, output=("error", common.TEXT))
    result = Fact("tool.finished", actor, ended, payloads=output, answers="call", **shared)
    verdict = _decision(attributes)
    answers = []
    if verdict is not None:
        attended = telemetry.flag(attributes, "interactive")
        more = tool if attended is None else {**tool, "interactive": attended}
        fact = decided(verdict, session=session, turn=None, call=None, more=more)
        answers.append(fact._replace(input_digest=shared["input_digest"], mark=mark))
    return [request, *answers, result]


def _parse(text: Any) -> Any:
    """Return the arguments, which are JSON in a text; a text that is none stays one. Raises FormatError for nesting too deep."""
    if type(text) is not str:
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text
    except RecursionError as error:
        raise FormatError("the arguments are nested too deeply") from error


def _server(attributes: Mapping[str, Any], name: str) -> dict[str, str]:
    server = telemetry.text(attributes, "mcp_server_name")
    if server is None or telemetry.text(attributes, "tool_type") != "mcp":
        return {}
    tool = name.removeprefix(f"mcp_{server}_")
    return {"mcp_server": server, **({"mcp_tool": tool} if tool != name and tool else {})}


def _subagent_of(attributes: Mapping[str, Any], session: str) -> dict[str, str]:
    owner, mark, _ = (telemetry.text(attributes, "prompt_id") or "").partition("#")
    return {"subagent": owner} if mark and owner and owner != session else {}


def _ending(attributes: Mapping[str, Any]) -> dict[str, Any]:
    if telemetry.text(attributes, "error_type") == "policy_violation":
        return {"outcome": "denied"}
    if telemetry.flag(attributes, "success") is not True:
        return {"outcome": "cancelled" if telemetry.text(attributes, "decision") == "reject" else "failed"}
    metadata = _parse(attributes.get("metadata"))
    code = metadata.get("exitCode") if type(metadata) is dict else None
    if type(code) is int and abs(code) < 1 << 31:
        return {"outcome": "failed" if code else "finished", "exit_code": code}
    return {"outcome": "finished"}


_DECISIONS = {
    "accept": ("approved", "unknown", "unknown"),
    "modify": ("approved", "human", "answer"),  # only a person edits what was proposed
    "auto_accept": ("approved", "policy", "settings"),
    "reject": ("denied", "unknown", "unknown"),
}


def _decision(attributes: Mapping[str, Any]) -> Verdict | None:
    """Return the decision of a record, with what it does not say left unknown."""
    said = telemetry.text(attributes, "decision", 64)
    if said is None:
        if telemetry.text(attributes, "error_type") != "policy_violation":
            return None
        return Verdict("denied", "once", "policy", "unknown", _SAID, {"error_type": "policy_violation"}, ("scope", "grounds"))
    word, decider, grounds = _DECISIONS.get(said, ("unknown", "unknown", "unknown"))
    inferred: tuple[str, ...] = ("scope",)
    if said == "reject" and telemetry.flag(attributes, "interactive") is True:
        decider, grounds, inferred = "human", "answer", ("scope", "decider", "grounds")
    return Verdict(word, "once", decider, grounds, _SAID, {"decision": said}, inferred)


def _subagent(kind: str) -> Callable[[Mapping[str, Any], str, int], list[Fact]]:
    def tell(attributes: Mapping[str, Any], session: str, at_ms: int) -> list[Fact]:
        subagent = telemetry.text(attributes, "agent_id")
        if subagent is None:
            return []
        body = {"subagent": subagent, **telemetry.texts(attributes, subagent_type="agent_name", reason="terminate_reason")}
        return [Fact(kind, _AGENT, telemetry.with_basis(body), session, once=f"{kind}:{subagent}")]

    return tell


def _config(attributes: Mapping[str, Any], session: str, at_ms: int) -> list[Fact]:
    said = telemetry.flag(attributes, "sandbox_enabled")
    body: dict[str, Any] = {"mode": "unknown", **telemetry.texts(attributes, approval_mode="approval_mode", model="model")}
    if said is not None:
        body["sandbox_said"] = said
    return [Fact("boundary.declared", _AGENT, telemetry.with_basis(body), session, once=f"boundary.declared:first:{session}")]


_TRANSLATIONS: dict[str, Callable[[Mapping[str, Any], str, int], list[Fact]]] = {
    "tool_call": _call,
    "agent.start": _subagent("subagent.started"),
    "agent.finish": _subagent("subagent.ended"),
    "config": _config,
}
