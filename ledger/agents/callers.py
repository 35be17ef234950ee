"""Who else runs the hooks in Claude Code's settings: Cursor and Copilot CLI load them too, and call them with events of their own.

Their events look like Claude Code's, more or less. Whose an event is says, in this order: a member that only one of them has; the
variables that each sets for what it runs; the shape of the event. What they call differently is given Claude Code's name, and
what Claude Code does not know is kept whole. So an event of theirs is recorded as theirs, and is never an error: Copilot CLI
refuses a call whose hook fails.

Known from documents only, so nothing here is required of an event but that it is an object.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ledger.agents import claude_code
from ledger.agents.common import MAX_TEXT, Dialect, Event
from ledger.core.fact import Observation, PayloadData
from ledger.errors import FormatError

CURSOR = "cursor"
COPILOT = "copilot"

# Variables of Claude Code's own hooks; whoever was started from a shell inside Claude Code has inherited them.
_OF_CLAUDE = ("CLAUDE_CODE_ENTRYPOINT", "CLAUDE_CODE_SESSION_ID", "CLAUDECODE")
_OF_OTHERS = (("CURSOR_VERSION", CURSOR), ("CURSOR_AGENT", CURSOR), ("COPILOT_CLI", COPILOT))

_EVENTS = {
    "beforesubmitprompt": "UserPromptSubmit",
    "userpromptsubmitted": "UserPromptSubmit",
    "agentstop": "Stop",
    **{name.lower(): name for name in claude_code.EVENTS},
}
_MEMBERS = {
    "sessionId": "session_id",
    "conversation_id": "session_id",
    "toolName": "tool_name",
    "toolArgs": "tool_input",
    "toolResult": "tool_response",
    "tool_output": "tool_response",
    "tool_result": "tool_response",
    "tool_args": "tool_input",
    "error_message": "error",
    "transcriptPath": "transcript_path",
    "initialPrompt": "prompt",
    "duration": "duration_ms",
}


def caller_of(native: Mapping[str, Any], environ: Mapping[str, str]) -> tuple[str, str | None]:
    """Return who called Claude Code's hook, and how that is known: None where the event itself names its product.

    >>> caller_of({"cursor_version": "2.0", "hook_event_name": "stop"}, {})
    ('cursor', None)
    >>> caller_of({"hook_event_name": "PreToolUse", "session_id": "s", "timestamp": 1767323045678}, {})
    ('copilot', 'inferred')
    >>> caller_of({"session_id": "s", "transcript_path": "/x"}, {"CURSOR_AGENT": "1", "CLAUDECODE": "1"})
    ('claude-code', None)
    """
    if "cursor_version" in native:
        return CURSOR, None
    if "conversation_id" in native and ("generation_id" in native or "workspace_roots" in native):
        return CURSOR, "inferred"
    if "sessionId" in native and "session_id" not in native:
        return COPILOT, "inferred"
    if not any(environ.get(name) for name in _OF_CLAUDE):
        for name, caller in _OF_OTHERS:
            if environ.get(name):
                return caller, "claimed"
    if "timestamp" in native and "transcript_path" not in native:
        return COPILOT, "inferred"
    return claude_code.NAME, None


def translate(native: Mapping[str, Any], caller: str, basis: str | None) -> Observation:
    """Return what an event of `caller` means. Raises FormatError only where it names no event, or cannot be written down."""
    dialect = Dialect(caller, "generation_id" if caller == CURSOR else "prompt_id", claude_code.EVENTS)
    flat = _flatten(native)
    name = flat.get("hook_event_name")
    known = _EVENTS.get(name.lower()) if type(name) is str else None
    if type(name) is not str or not name:
        raise FormatError(f"an event of {caller} has no hook_event_name")
    account = _account(flat)
    seen = None
    if known is not None:
        try:
            seen = claude_code.translate_as(Event({**flat, "hook_event_name": known}, dialect))
        except FormatError:
            pass  # a call without a tool's name, say: it is kept as it came
    if seen is None:
        event = Event({**flat, "hook_event_name": "Notification"}, dialect)
        whole = PayloadData(event.dump(event.use_all()), "application/json")
        fact = event.fact("message.sent", {"event": event.clean(name)[:MAX_TEXT]}, {"event": whole}, actor=event.actor)
        seen = event.observe(fact)
    mark = native.get("timestamp")
    facts = []
    for fact in seen.facts:
        body = {**fact.body, "door": claude_code.NAME}
        if basis is not None:
            body["basis"] = {**body.get("basis", {}), "agent": basis}
        if fact.input_digest and fact.call is None and type(mark) in (int, str) and fact.kind.startswith("tool."):
            fact = fact._replace(mark=f"{known} {mark}"[:MAX_TEXT])  # Copilot names no calls
        facts.append(fact._replace(body=body))
    return seen._replace(facts=tuple(facts), account=account)


def _flatten(native: Mapping[str, Any]) -> dict[str, Any]:
    """Return the event with Claude Code's names for its members, and without what every event of Cursor says again."""
    flat = {name: value for name, value in native.items() if name not in ("workspace_roots", "cursor_version", "timestamp")}
    for theirs, ours in _MEMBERS.items():
        if theirs in flat and ours not in flat:
            flat[ours] = flat.pop(theirs)
    if flat.get("session_id") == flat.get("conversation_id"):
        flat.pop("conversation_id", None)
    roots = native.get("workspace_roots")
    if "cwd" not in flat and type(roots) is list and roots and type(roots[0]) is str:
        flat["cwd"] = roots[0]
    return flat


def _account(flat: dict[str, Any]) -> str | None:
    """Take the account that Cursor names out of the event: it belongs to who asked, and not into every entry."""
    account = flat.pop("user_email", None)
    return account if type(account) is str and 0 < len(account) <= MAX_TEXT else None
