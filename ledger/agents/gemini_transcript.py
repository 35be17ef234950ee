"""Gemini CLI: the lines of its transcript as facts. Pure: a line, and a small state that is carried from line to line.

`<home>/.gemini/tmp/<project>/chats/session-*.jsonl` holds messages, each again, under its id, whenever something is added to it,
and `$set` lines that replace what came before. A subagent's lies in `<session>/<its id>.jsonl` beside that. A call stands in its
message once it has ended: with the exact arguments and result, the agent's own id for it, how it ended, and the id of the subagent
that it started. So it tells what no hook does: a refusal, a tool that does not exist, an abort. Who decided it does not tell.

The hooks name no calls, so the id here is no name that both know: it is the mark by which the recorder names the call
(`ledger.recording.numbering`), and is kept as `agent_call`. It is a plain file that the agent's user can edit: the basis is
`agent-file`.

`state`: {"session", "sub"?: its own id where it is a subagent's, "begun"?: true after the first message}
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from ledger.agents import common, gemini
from ledger.agents.common import Event
from ledger.agents.decisions import Verdict, decided
from ledger.agents.lines import Said, parse_time
from ledger.core.fact import Fact, PayloadData
from ledger.errors import FormatError

NAME = gemini.NAME
FOLDERS = ("tmp",)

REFUSED = "Tool execution denied by policy."
_AGENT = {"type": "agent", "name": NAME}
_FILE = "agent-file"
_OF_SERVER = r"(.{1,256}) \((.{1,256}) MCP Server\)"


def is_wanted(start: bytes) -> bool:
    """Say from a line's first bytes whether it may hold a fact."""
    return not start.startswith(b'{"$set":{"lastUpdated"')


def is_ours(name: str) -> bool:
    """Say whether a file's name may be that of a transcript."""
    return name.endswith(".jsonl")


def translate(line: Any, state: dict[str, Any]) -> list[Said]:
    """Return the facts of one line, and note in `state` what later lines need. A line of an unknown kind says nothing."""
    if type(line) is not dict:
        return []
    if "sessionId" in line and "id" not in line:
        _note_session(line, state)
        return []
    patch = line.get("$set")
    if type(patch) is dict:
        return _patch(line, patch, state)
    state["begun"] = True
    return _message(line, state)


def _note_session(line: dict[str, Any], state: dict[str, Any]) -> None:
    session = line.get("sessionId")
    if type(session) is str and 0 < len(session) <= common.MAX_TEXT and "session" not in state:
        state["session"] = session
        if line.get("kind") == "subagent":
            state["sub"] = session


def _patch(line: dict[str, Any], patch: dict[str, Any], state: dict[str, Any]) -> list[Said]:
    """Return the facts of a line that replaces the messages: when it does so to begin with, nothing is lost by it."""
    messages = patch.get("messages")
    if type(messages) is not list:
        return []
    found = []
    if state.get("begun"):
        body = {"event": "messages-replaced", "count": len(messages), "basis": {"event": _FILE, "count": _FILE}, **_who(state)}
        found.append(Said(Fact("transcript.changed", _AGENT, body, state.get("session")), parse_time(patch.get("lastUpdated"))))
    for message in messages:
        found += _message(message, state)
    return found


def _message(message: Any, state: dict[str, Any]) -> list[Said]:
    calls = message.get("toolCalls") if type(message) is dict else None
    found = []
    for call in calls if type(calls) is list else []:
        if type(call) is dict and call.get("status") in ("success", "error", "cancelled"):
            try:
                facts = _call(call, state)
            except FormatError:
                continue  # no name, or arguments that no entry can hold
            found += [Said(fact, parse_time(call.get("timestamp"))) for fact in facts]
    return found


def _call(call: dict[str, Any], state: dict[str, Any]) -> list[Fact]:
    """Return the facts of a call that ended. Raises FormatError."""
    given = {"hook_event_name": "AfterTool", "tool_name": call.get("name"), "tool_input": call.get("args")}
    event = Event({name: value for name, value in given.items() if value is not None}, gemini.DIALECT)
    tool: dict[str, Any] = {"tool": common.read_tool(event), **_server(call, event), **_who(state)}
    name = call.get("id")
    if type(name) is str and 0 < len(name) <= common.MAX_TEXT:
        tool["agent_call"] = event.clean(name)
    shared = {"session": state.get("session"), "input_digest": common.digest_input(event), "mark": f"id {tool.get('agent_call')}"}
    request = Fact("tool.requested", _AGENT, _body(tool), payloads=event.json_payload("tool_input", "input"), **shared)
    response = _response(call)
    outcome, more = _outcome(call, tool["tool"], response)
    text = next((response[name] for name in ("output", "error") if type(response.get(name)) is str), None)
    output = {"output": event.data(text)} if text is not None else event.json_payload("tool_response", "output")
    actor = {"type": "tool", "name": tool["tool"]}
    result = Fact("tool.finished", actor, _body({**tool, "outcome": outcome}, more), payloads=output, answers="call", **shared)
    return [request, *_refusal(response, tool, shared), result, *_subagent(call, state)]


def _body(members: Mapping[str, Any], more: Mapping[str, Any] = {}) -> dict[str, Any]:
    """Return a body whose members are the file's, but for what `more` says of the basis of its own."""
    basis = {**dict.fromkeys(members, _FILE), **more.get("basis", {})}
    return {**members, **more, "basis": basis}


def _who(state: Mapping[str, Any]) -> dict[str, Any]:
    return {"subagent": state["sub"]} if state.get("sub") else {}


def _server(call: dict[str, Any], event: Event) -> dict[str, str]:
    """Return the MCP server and its tool, which the call's name does not tell apart and the name that is shown does."""
    shown = call.get("displayName")
    found = re.fullmatch(_OF_SERVER, shown) if type(shown) is str and str(call.get("name")).startswith("mcp_") else None
    return {"mcp_server": event.clean(found[2]), "mcp_tool": event.clean(found[1])} if found else {}


def _response(call: dict[str, Any]) -> dict[str, Any]:
    """Return the response of a call's result, {} where it has none of the known form."""
    result = call.get("result")
    first = result[0] if type(result) is list and result and type(result[0]) is dict else {}
    function = first.get("functionResponse")
    response = function.get("response") if type(function) is dict else None
    return response if type(response) is dict else {}


def _outcome(call: dict[str, Any], tool: str, response: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    if call["status"] == "cancelled":
        return "cancelled", {}
    if call["status"] == "error":
        error = response.get("error")
        refused = type(error) is str and error.startswith(REFUSED)
        return ("denied", {"basis": {"outcome": "inferred"}}) if refused else ("failed", {})
    return gemini.read_outcome(tool, {"llmContent": response.get("output")})


def _refusal(response: dict[str, Any], tool: Mapping[str, Any], shared: Mapping[str, Any]) -> list[Fact]:
    """Return the decision that a refusal's text tells of."""
    error = response.get("error")
    verdict = judge(error, _FILE)
    if verdict is None:
        return []
    more = {name: value for name, value in tool.items() if name != "agent_call"}
    reason = error.removeprefix(REFUSED).strip() if type(error) is str else ""
    payloads = {"reason": PayloadData(reason.encode("utf-8", "replace"), common.TEXT)} if reason else {}
    fact = decided(verdict, session=shared["session"], turn=None, call=None, more=more, payloads=payloads)
    return [fact._replace(input_digest=shared["input_digest"], mark=shared["mark"])]


def judge(error: Any, basis: str) -> Verdict | None:
    """Return the decision that the text of an error tells of, or None.

    A rule may have a message of its own, which then follows. Without one it may be a rule as well, or that nobody could be asked.
    """
    if type(error) is not str or not error.startswith(REFUSED):
        return None
    grounds = "rule" if error[len(REFUSED) :].strip() else "unknown"
    return Verdict("denied", "once", "policy", grounds, basis, {}, ("decision", "scope", "decider", "grounds"))


def _subagent(call: dict[str, Any], state: dict[str, Any]) -> list[Fact]:
    """Return that a subagent was started by a call, and ended with it."""
    subagent, given = call.get("agentId"), call.get("args")
    if type(subagent) is not str or not 0 < len(subagent) <= common.MAX_TEXT:
        return []
    kind = given.get("agent_name") if type(given) is dict else None
    body: dict[str, Any] = {"subagent": subagent}
    if type(kind) is str and 0 < len(kind) <= common.MAX_SETTING:
        body["subagent_type"] = kind
    kinds = ("subagent.started", "subagent.ended")
    return [Fact(name, _AGENT, _body(body), state.get("session"), once=f"{name}:{subagent}") for name in kinds]


# What the reader of transcripts asks of an agent's module


def details_of(call: str, state: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the transcript has on a call that a hook tells of: nothing before it has ended."""
    return {"requested": {}, "finished": {}, "line": None}


def session_details(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the transcript says of the session's start: nothing that the hook does not."""
    return {}


def arguments_of(line: Any) -> str | None:
    """Return nothing: the hooks have the exact arguments."""
    return None


def beside(path: str, state: dict[str, Any], names: Callable[[str], list[str]], first: Callable[[str], Any]) -> list[str]:
    """Return the transcripts of this session's subagents, which have a folder named by the session."""
    session = state.get("session")
    if type(session) is not str or "/" in session or session in ("", ".", ".."):
        return []
    folder = path.rpartition("/")[0] + "/" + session
    return [f"{folder}/{name}" for name in names(folder)[-50:] if is_ours(name)]


def join(said: Said, state: Mapping[str, Any]) -> Said:
    """Return a subagent's fact as one of the session that started it."""
    return said._replace(fact=said.fact._replace(session=state.get("session")))
