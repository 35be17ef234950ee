"""The agents whose hooks are understood, each in a module that is loaded only when its event comes."""

from __future__ import annotations

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
