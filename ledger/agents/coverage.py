"""Which of the eight questions each agent's hooks can answer. What they cannot is said, not left out."""

from __future__ import annotations

from typing import NamedTuple

QUESTIONS = {
    "asked": "who asked",
    "planned": "what was planned",
    "ran": "what ran, with its result",
    "tool": "which tool or MCP server",
    "approval": "which approval",
    "network": "which network rule",
    "boundary": "which sandbox boundary",
    "changed": "what changed",
}


class Answer(NamedTuple):
    """`level` is yes, partly or no; `note` says what is known, or why nothing is."""

    level: str
    note: str


_NO_NETWORK = Answer("no", "no hook sees network decisions")
_APPROVAL = Answer("partly", "that it was requested; not the decision, nor who took it")
_ASKED = Answer("partly", "the prompt; the person is this machine's user, as asserted")
_CHANGED = Answer("partly", "files that the edit tools name, by content; what shell commands change is not looked for")

# By hooks alone. Transcripts and telemetry know more; nothing reads them yet.
COVERAGE: dict[str, dict[str, Answer]] = {
    "codex": {
        "asked": _ASKED,
        "planned": Answer("yes", "update_plan, where the model is offered it"),
        "ran": Answer("partly", "every call and its output; no exit code"),
        "tool": Answer("yes", "tool names, MCP servers by name"),
        "approval": _APPROVAL,
        "network": _NO_NETWORK,
        "boundary": Answer("no", "hooks do not say what the sandbox allows or refused"),
        "changed": _CHANGED,
    },
    "claude-code": {
        "asked": _ASKED,
        "planned": Answer("yes", "plans that were presented, and tasks"),
        "ran": Answer("yes", "every call, its result or failure"),
        "tool": Answer("yes", "tool names, MCP servers by name"),
        "approval": _APPROVAL,
        "network": _NO_NETWORK,
        "boundary": Answer("no", "hooks do not say what the sandbox allows or refused"),
        "changed": _CHANGED,
    },
}
