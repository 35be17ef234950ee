"""The agents whose surfaces are understood, each in modules that are loaded only when its event comes.

`SURFACES` is the one declaration of which surfaces those are: the recorder reads a transcript, and `ledger doctor` and
`docs/agents.md` (by way of `ledger.agents.coverage`) speak of one, where it is named here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import Protocol

    from ledger.core.fact import Observation

    class Adapter(Protocol):
        """What a module of an agent offers."""

        NAME: str
        EVENTS: frozenset[str]

        def translate(self, event: Any) -> Observation:
            """Return what one native event means. Raises FormatError when it cannot be understood."""


SURFACES: dict[str, tuple[str, ...]] = {
    "claude-code": ("hooks", "transcript", "telemetry"),
    "codex": ("hooks", "transcript", "telemetry"),
    "gemini": ("hooks", "transcript", "telemetry"),
    "opencode": ("hooks",),
}
AGENTS = tuple(SURFACES)


def has_transcript(agent: str) -> bool:
    """Say whether an agent writes a transcript that is understood."""
    return "transcript" in SURFACES.get(agent, ())


def load(name: str) -> Adapter | None:
    """Return the adapter of the agent called `name`, or None where there is none."""
    if name == "codex":
        from ledger.agents import codex

        return codex
    if name == "claude-code":
        from ledger.agents import claude_code

        return claude_code
    if name == "gemini":
        from ledger.agents import gemini

        return gemini
    if name == "opencode":
        from ledger.agents import opencode

        return opencode
    return None


def translate(adapter: Adapter, native: Mapping[str, Any], environ: Mapping[str, str]) -> tuple[str, Observation]:
    """Return the agent whose event came through `adapter`'s door, and what it means; Claude Code's is used by others as well.

    Raises FormatError.
    """
    if adapter.NAME != "claude-code":
        return adapter.NAME, adapter.translate(native)
    from ledger.agents import callers

    caller, basis = callers.caller_of(native, environ)
    if caller == adapter.NAME:
        return caller, adapter.translate(native)
    return caller, callers.translate(native, caller, basis)
