"""OpenTelemetry log records as facts: which agent's, and what of it is evidence. Pure.

Telemetry is best effort: batched, out of order, lost without notice. It is the only surface that says who decided and which
destination was refused, so what it says is recorded with the basis `telemetry`, and what other surfaces say as well is
recorded once (`Fact.once`). A record that says nothing of use here is None; one that is malformed raises FormatError.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ledger.agents import telemetry
from ledger.core.fact import Observation

if TYPE_CHECKING:
    from types import ModuleType

_SESSIONS = ("conversation.id", "session.id", "session_id")


def translate_record(service: str, name: str, attributes: Mapping[str, Any], body: Any, at_ms: int) -> Observation | None:
    """Return what one log record means, or None where it is no fact of ours.

    `service` is the resource's service.name, `name` the event's (else it is looked for in `attributes` and `body`), `at_ms` when it
    is said to have happened.
    """
    event = telemetry.event_name(name, attributes, body)
    module = _module_of(service, event)
    if module is None or event is None:
        return None
    found: Observation | None = module.translate(event, attributes, body, at_ms)
    return found


def agent_of(service: str, name: str, attributes: Mapping[str, Any], body: Any = None) -> str | None:
    """Return our name of the agent that a record is of, or None."""
    module = _module_of(service, telemetry.event_name(name, attributes, body))
    return None if module is None else str(module.NAME)


def session_of(attributes: Mapping[str, Any]) -> str | None:
    """Return the agent's name for the session (of Codex: the thread) that a record belongs to, or None."""
    return next((found for name in _SESSIONS if (found := telemetry.text(attributes, name))), None)


def _module_of(service: str, event: str | None) -> ModuleType | None:
    family = (event or "").partition(".")[0]
    if family == "codex" or service.startswith("codex"):
        from ledger.agents import codex_otel

        return codex_otel
    if family == "claude_code" or service.startswith("claude-code"):
        from ledger.agents import claude_otel

        return claude_otel
    if family == "gemini_cli" or service.startswith("gemini"):
        try:
            return import_module("ledger.agents.gemini_otel")
        except ImportError:
            return None
    return None
