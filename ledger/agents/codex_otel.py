"""Codex: the records of its telemetry as facts. Pure.

    codex.tool_decision                   approval.decided; no turn, no command: joined by the call's id
    codex.guardian_assessment             approval.decided by another model, with its rationale
    codex.network_proxy.policy_decision   network.decided; no call's id, the proxy does not know it
    codex.sandbox_outcome                 boundary.hit
    codex.tool_result                     tool.finished, where no hook and no rollout said so; `success` is true for commands
                                          that exited with an error, so it is no exit code
    codex.conversation_starts             boundary.declared, coarse: the rollout's turn context says it better

A conversation.id is a thread's: of a subagent it is not the session's. A cancelled call (Esc) and one that a rule forbids leave
nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ledger.agents import telemetry
from ledger.agents.codex import tool_of
from ledger.agents.decisions import codex_decision, decided
from ledger.core.fact import Fact, Observation

NAME = "codex"
_AGENT = {"type": "agent", "name": NAME}


def translate(event: str, attributes: Mapping[str, Any], body: Any, at_ms: int) -> Observation | None:
    """Return what a record means, or None."""
    translation = _TRANSLATIONS.get(event.removeprefix("codex."))
    session = telemetry.text(attributes, "conversation.id")
    if translation is None or session is None:
        return None
    facts = translation(attributes, session, at_ms)
    return Observation(tuple(facts)) if facts else None


def _tool(attributes: Mapping[str, Any]) -> dict[str, str]:
    name = telemetry.text(attributes, "tool_name")
    return tool_of(name, telemetry.text(attributes, "tool_namespace")) if name else {}


def _decision(attributes: Mapping[str, Any], session: str, at_ms: int) -> list[Fact]:
    decision, call = telemetry.text(attributes, "decision"), telemetry.text(attributes, "call_id")
    if decision is None or call is None:
        return []
    verdict = codex_decision(decision, telemetry.text(attributes, "source"))
    return [decided(verdict, session=session, turn=None, call=call, more=_tool(attributes))]


def _assessment(attributes: Mapping[str, Any], session: str, at_ms: int) -> list[Fact]:
    outcome, call = telemetry.text(attributes, "outcome"), telemetry.text(attributes, "item.id")
    status = telemetry.text(attributes, "status")
    word = {"allow": "approved", "deny": "denied"}.get(outcome or "") or {"approved": "approved", "denied": "denied"}.get(
        status or ""
    )
    if word is None or call is None:
        return []
    verdict = codex_decision(word, "AutomatedReviewer")._replace(native={"outcome": outcome or "", "status": status or ""})
    more = telemetry.texts(attributes, risk_level="risk_level", user_authorization="user_authorization", review="review.id")
    basis = {**dict.fromkeys(more, "telemetry")}
    fact = decided(
        verdict,
        session=session,
        turn=telemetry.text(attributes, "turn.id"),
        call=call,
        more=more,
        payloads=telemetry.payloads(attributes, rationale=("rationale", "text/plain")),
    )
    return [fact._replace(body={**fact.body, "basis": {**fact.body["basis"], **basis}})]


def _network(attributes: Mapping[str, Any], session: str, at_ms: int) -> list[Fact]:
    host, decision = telemetry.text(attributes, "server.address"), telemetry.text(attributes, "network.policy.decision")
    if host is None or decision is None:
        return []
    said: dict[str, Any] = {
        "host": host,
        **telemetry.counts(attributes, port="server.port"),
        **telemetry.texts(attributes, protocol="network.transport.protocol"),
        "decision": {"allow": "allowed", "deny": "denied"}.get(decision, decision),
        **telemetry.texts(
            attributes,
            source="network.policy.source",
            reason="network.policy.reason",
            scope="network.policy.scope",
            method="http.request.method",
            execution="execution.id",
        ),
    }
    if telemetry.flag(attributes, "network.policy.override"):
        said["override"] = True
    # One execution asks once for each connection; a batch that is sent again must not count twice.
    name = ":".join(str(said.get(key, "")) for key in ("execution", "host", "port", "decision"))
    return [
        Fact(
            "network.decided",
            {"type": "policy", "name": "codex-network-proxy"},
            telemetry.with_basis(said),
            session,
            once=f"network.decided:{name}:{at_ms}",
        )
    ]


def _sandbox(attributes: Mapping[str, Any], session: str, at_ms: int) -> list[Fact]:
    call, outcome = telemetry.text(attributes, "call_id"), telemetry.text(attributes, "outcome")
    if call is None or outcome is None:
        return []
    said = {**_tool(attributes), "outcome": outcome, **telemetry.counts(attributes, duration_ms="initial_duration_ms")}
    fact = Fact("boundary.hit", {"type": "policy", "name": "codex-sandbox"}, telemetry.with_basis(said), session, call=call)
    return [fact._replace(once=f"boundary.hit:{call}", answers="call")]


def _result(attributes: Mapping[str, Any], session: str, at_ms: int) -> list[Fact]:
    call, tool = telemetry.text(attributes, "call_id"), _tool(attributes)
    success = telemetry.flag(attributes, "success")
    if call is None or not tool:
        return []
    server = telemetry.text(attributes, "mcp_server")
    said: dict[str, Any] = {**tool, **telemetry.counts(attributes, duration_ms="duration_ms")}
    if server and "mcp_server" not in said:
        said["mcp_server"] = server
    requested = Fact(
        "tool.requested",
        _AGENT,
        telemetry.with_basis({name: value for name, value in said.items() if name != "duration_ms"}),
        session,
        call=call,
        payloads=telemetry.payloads(attributes, input=("arguments", "application/json")),
        once=f"tool.requested:{call}",
    )
    said["outcome"] = "unknown" if success is None else "finished" if success else "failed"
    finished = Fact(
        "tool.finished",
        {"type": "tool", "name": said["tool"]},
        telemetry.with_basis(said),
        session,
        call=call,
        payloads=telemetry.payloads(attributes, output=("output", "text/plain")),
        once=f"tool.finished:{call}",
        answers="call",
    )
    return [requested, finished]


def _start(attributes: Mapping[str, Any], session: str, at_ms: int) -> list[Fact]:
    said = telemetry.texts(attributes, mode="sandbox_policy", approval_policy="approval_policy")
    if "mode" not in said:
        return []
    # What the rollout says in full is not said again in brief: whoever comes second finds the name taken.
    return [Fact("boundary.declared", _AGENT, telemetry.with_basis(said), session, once=f"boundary.declared:first:{session}")]


_TRANSLATIONS: dict[str, Callable[[Mapping[str, Any], str, int], list[Fact]]] = {
    "tool_decision": _decision,
    "guardian_assessment": _assessment,
    "network_proxy.policy_decision": _network,
    "sandbox_outcome": _sandbox,
    "tool_result": _result,
    "conversation_starts": _start,
}
