"""The agents whose hooks are understood, each in a module that is loaded only when its event comes."""

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


AGENTS = ("claude-code", "codex", "gemini", "opencode")


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
