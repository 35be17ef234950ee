"""What an agent's environment says of itself. Read by an allow-list, never stored whole, cross-checked and not believed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ledger.core.entry import MAX_NAME_CHARACTERS
from ledger.core.text import clean_text

_SESSION = ("LEDGER_SESSION_ID", "CODEX_SESSION_ID", "CODEX_THREAD_ID", "CLAUDE_CODE_SESSION_ID")
_CALL = ("LEDGER_CALL_ID", "CODEX_TOOL_CALL_ID")
_AGENT = (
    ("CODEX_SESSION_ID", "codex"),
    ("CODEX_CI", "codex"),
    ("CLAUDECODE", "claude-code"),
    ("GEMINI_CLI", "gemini"),
    ("OPENCODE", "opencode"),
    ("CURSOR_AGENT", "cursor"),
    ("COPILOT_CLI", "copilot"),
)
ALLOWED = frozenset({*_SESSION, *_CALL, *(name for name, _ in _AGENT), "CLAUDE_CODE_SESSION_ATTENDED", "CLAUDE_CODE_ENTRYPOINT"})


class Claims(NamedTuple):
    """Identifiers that the environment names, each None where it does not."""

    agent: str | None = None
    session: str | None = None
    call: str | None = None

    def as_body(self) -> dict[str, str]:
        """Return the claims that were made."""
        return {name: value for name, value in self._asdict().items() if value}


def pick(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of the allow-list that are set and of a sane length."""
    # What is not UTF-8 comes as lone surrogates, which neither a record nor SQLite takes.
    return {name: clean_text(environ[name]) for name in ALLOWED if 0 < len(environ.get(name, "")) <= MAX_NAME_CHARACTERS}


def read_claims(environ: Mapping[str, str]) -> Claims:
    """Return what the environment claims."""
    agent = next((agent for name, agent in _AGENT if environ.get(name)), None)
    session = next((environ[name] for name in _SESSION if environ.get(name)), None)
    call = next((environ[name] for name in _CALL if environ.get(name)), None)
    return Claims(agent, session, call)
