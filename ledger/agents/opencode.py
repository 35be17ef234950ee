"""opencode: what our plugin (`hooks/opencode.js`) forwards, as facts. Pure: nothing is read but the event.

opencode has no hooks that run commands, only plugins in its own process. Ours sends each native hook or bus event as it is, named
by `hook_event_name`, with `cwd` and a member `ledger` for what only the running process knows:

    session       the root session's id, where the event is of a subagent's: a session of its own that has a parent
    turn          the id of the user's message that the event follows from
    call          the call that a permission was asked for; the reply names the request only
    servers       the MCP servers of the configuration, for a tool of one is named `<server>_<tool>`
    message       the last text of the assistant
    entrypoint    how opencode was started: `run` is headless, and answers every permission dialogue by itself

What no event says: who replied to a permission dialogue, that a session ended, which destination was reached.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ledger.agents import common
from ledger.agents.common import Dialect, Event
from ledger.agents.decisions import Verdict, decided
from ledger.core.fact import Fact, Observation, PayloadData
from ledger.errors import FormatError

NAME = "opencode"

# Forwarded by the plugin, or by an older one, and understood.
_TELLING = frozenset(
    """
    tool.execute.before tool.execute.after chat.message
    event.session.created event.session.idle event.session.error event.session.compacted
    event.message.part.updated event.permission.asked event.permission.replied event.todo.updated
    """.split()
)
# Known, and saying nothing that the others do not: progress, counters, the model's settings.
_IDLE = frozenset(
    """
    plugin.init config chat.params chat.headers shell.env permission.ask command.execute.before
    event.session.updated event.session.status event.session.diff event.session.deleted event.message.updated
    event.message.removed event.message.part.removed event.file.edited event.file.watcher.updated
    experimental.session.compacting
    """.split()
)
EVENTS = _TELLING | _IDLE

_DIALECT = Dialect(NAME, "turn_id", EVENTS)
_EDITORS = frozenset({"edit", "write"})
# Of a server nobody knows here whether somebody sits before one of its clients.
_ATTENDED = {"tui": True, "run": False, "github": False}
_REFUSED_BY_RULE = "The user has specified a rule which prevents you from using this specific tool call"
_REJECTED = "The user rejected permission to use this specific tool call"
_ABORTED = "Tool execution aborted"


def translate(event: Any) -> Observation:
    """Return what one forwarded event of opencode means. Raises FormatError when it cannot be understood."""
    if type(event) is not dict:
        raise FormatError("the event is not a JSON object")
    name = event.get("hook_event_name")
    if name in _IDLE:
        read = Event(event, _DIALECT)
        return Observation((), common.read_path(read.member("cwd"), read))
    read = Event(_flatten(event), _DIALECT)
    seen = _TRANSLATIONS[read.name](read)
    lost = event.get("lost")
    if type(lost) is not int or not 0 < lost < 1 << 31:
        return seen
    gap = read.fact("gap.noted", {"reason": "plugin-dropped", "count": lost, "size": 0})
    return seen._replace(facts=(*seen.facts, gap))


def _flatten(native: dict[str, Any]) -> dict[str, Any]:
    """Return the event with the members that all adapters share, made of opencode's nested ones."""
    said, given, bus = _object(native, "ledger"), _object(native, "input"), _object(native, "event")
    told = _object(bus, "properties")
    own = given.get("sessionID") or told.get("sessionID")
    # `cut` is what the event measured before the plugin cut its texts: nobody uses it, so it ends in `extra`.
    flat: dict[str, Any] = {name: native[name] for name in ("hook_event_name", "cwd", "cut") if name in native}
    flat["session_id"], flat["turn_id"] = own, said.get("turn")
    root = said.get("session") or _object(told, "info").get("parentID")
    if type(root) is str and root != own:
        flat["session_id"], flat["agent_id"] = root, own
    flat.update({name: said[name] for name in ("call", "servers", "message", "entrypoint", "rules") if said.get(name) is not None})
    if given or "output" in native:
        flat.update(_flatten_hook(native, given))
    else:
        flat.update({f"bus_{name}": value for name, value in told.items() if name != "sessionID"})
    return {name: value for name, value in flat.items() if value is not None}


def _flatten_hook(native: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    flat = {"tool_name": given.get("tool"), "tool_use_id": given.get("callID"), "tool_input": given.get("args")}
    if native.get("hook_event_name") == "tool.execute.before":
        flat["tool_input"] = _object(native, "output").get("args")
    else:
        flat["tool_response"] = native.get("output")
    return flat


def _object(value: dict[str, Any], name: str) -> dict[str, Any]:
    found = value.get(name)
    return found if type(found) is dict else {}


# Sessions, prompts, messages


def _session(event: Event) -> Observation:
    info = _object({"info": event.member("bus_info")}, "info")
    parent = info.get("parentID")
    event.use("bus_info", "entrypoint", "rules")
    if type(parent) is str and parent:
        return event.observe(event.fact("subagent.started", _small({"subagent_type": info.get("agent")}, event)))
    body: dict[str, Any] = {"start": "startup", **_small({"agent_version": info.get("version")}, event)}
    entrypoint = event.label("entrypoint", 64)
    if entrypoint:
        body |= {"entrypoint": entrypoint, "basis": {"entrypoint": "claimed"}}
        if entrypoint in _ATTENDED:
            body["attended"] = _ATTENDED[entrypoint]
            body["basis"]["attended"] = "inferred"
    rules = [rule for rule in (info.get("permission"), event.member("rules")) if rule]
    payloads = {"rules": PayloadData(event.dump(rules), common.JSON)} if rules else {}
    return event.observe(event.fact("session.started", body, payloads))


def _small(members: dict[str, Any], event: Event) -> dict[str, Any]:
    """Return those of `members` that are small texts."""
    return {name: event.clean(text) for name, text in members.items() if type(text) is str and 0 < len(text) <= common.MAX_SETTING}


def _prompt(event: Event) -> Observation:
    output = _object({"output": event.member("tool_response")}, "output")
    event.use("tool_response")
    parts, message = output.get("parts"), _object(output, "message")
    text = "\n".join(_typed_texts(parts))
    body = _small({"model": _object(message, "model").get("modelID"), "mode": message.get("agent")}, event)
    actor: dict[str, str] = {"type": "unknown"}
    if event.identifier("agent_id"):
        body["origin"], actor = "subagent", event.actor
    fact = event.fact("prompt.submitted", body, {"prompt": event.data(text)} if text else {}, actor=actor)
    turn = message.get("id")
    if fact.turn is None and type(turn) is str and 0 < len(turn) <= common.MAX_TEXT:
        fact = fact._replace(turn=event.clean(turn))
    return event.observe(fact)


def _typed_texts(parts: Any) -> list[str]:
    """Return the texts of a message's parts, without those that opencode adds itself."""
    texts = [part for part in parts if type(part) is dict and part.get("type") == "text"] if type(parts) is list else []
    return [part["text"] for part in texts if type(part.get("text")) is str and not part.get("synthetic")]


def _idle(event: Event) -> Observation:
    message = event.payload("message", "message")
    if event.identifier("agent_id"):
        return event.observe(event.fact("subagent.ended", {}, message))
    return event.observe(event.fact("message.sent", {"event": "session.idle"}, message))


def _error(event: Event) -> Observation:
    return event.observe(event.fact("message.sent", {"event": "session.error"}, event.json_payload("bus_error", "event")))


def _compacted(event: Event) -> Observation:
    return event.observe(event.fact("transcript.changed", {"event": "session.compacted"}))


# Calls


def _before_tool(event: Event) -> Observation:
    return event.observe(_with_server(event, common.request_call(event)), touched=_touched(event))


def _after_tool(event: Event) -> Observation:
    response = event.member("tool_response")
    metadata = _object(response, "metadata") if type(response) is dict else {}
    outcome, body = "finished", {}
    code = metadata.get("exit")
    if type(code) is int and abs(code) < 1 << 31:
        outcome, body = ("failed" if code else "finished"), {"exit_code": code}
    if type(response) is dict and response.get("isError") is True:
        outcome = "failed"
    finished = _with_server(event, common.finish_call(event, outcome, "tool_response", body))
    return event.observe(finished, touched=_touched(event))


def _part(event: Event) -> Observation:
    """Translate a change of a message's part: of interest is a call that ended, which no hook tells of where it failed."""
    part = _object({"part": event.member("bus_part")}, "part")
    state = _object(part, "state")
    if part.get("type") != "tool" or state.get("status") not in ("error", "completed"):
        return Observation((), common.read_path(event.member("cwd"), event))
    flat = {name: event.member(name) for name in ("hook_event_name", "cwd", "session_id", "turn_id", "agent_id", "servers")}
    call = {"tool_name": part.get("tool"), "tool_use_id": part.get("callID"), "tool_input": state.get("input")}
    ended = Event({**{name: value for name, value in flat.items() if value is not None}, **call, **_ending(state)}, _DIALECT)
    if state["status"] == "completed":
        return _after_tool(ended)
    outcome, verdict = _judge(state.get("error"))
    basis = {"basis": {"outcome": "inferred"}} if outcome != "failed" else {}
    finished = _with_server(ended, common.finish_call(ended, outcome, "tool_response", {**basis, **_duration(state)}))
    facts = [finished]
    if verdict is not None and finished.call:
        more = {"tool": finished.body["tool"]}
        answer = decided(verdict, session=finished.session, turn=finished.turn, call=finished.call, more=more)
        facts.insert(0, answer)
    return ended.observe(*facts, touched=_touched(ended))


def _ending(state: dict[str, Any]) -> dict[str, Any]:
    if state["status"] == "error":
        return {"tool_response": state.get("error")}
    return {"tool_response": {name: state.get(name) for name in ("title", "output", "metadata")}}


def _judge(error: Any) -> tuple[str, Verdict | None]:
    """Return the outcome that the text of an error gives away, and the decision that it tells of."""
    if type(error) is not str:
        return "failed", None
    if error.startswith(_REFUSED_BY_RULE):
        every = ("decision", "scope", "decider", "grounds")
        return "denied", Verdict("denied", "once", "policy", "rule", "inferred", {}, every)
    if error.startswith(_REJECTED):
        return "denied", None  # `permission.replied` has told
    return ("cancelled" if error.startswith(_ABORTED) else "failed"), None


def _duration(state: dict[str, Any]) -> dict[str, int]:
    times = _object(state, "time")
    start, end = times.get("start"), times.get("end")
    if type(start) is int and type(end) is int and 0 <= end - start < 1 << 40:
        return {"duration_ms": end - start}
    return {}


def _with_server(event: Event, fact: Fact) -> Fact:
    """Return `fact` with the MCP server and tool in its tool's name, where the configuration has such a server."""
    event.use("servers")
    servers, tool = event.member("servers"), str(fact.body["tool"])
    known = [server for server in servers if type(server) is str and server] if type(servers) is list else []
    for server in sorted(known, key=len, reverse=True):
        spelled = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "_-") else "_" for letter in server)
        if tool.startswith(f"{spelled}_") and len(server) <= common.MAX_TEXT:
            names = {"mcp_server": event.clean(server), "mcp_tool": tool[len(spelled) + 1 :]}
            basis = {**fact.body.get("basis", {}), **dict.fromkeys(names, "inferred")}
            return fact._replace(body={**fact.body, **{name: text for name, text in names.items() if text}, "basis": basis})
    return fact


# Permissions and plans


def _asked(event: Event) -> Observation:
    tool = event.member("bus_tool")
    call = event.identifier("call") or _text(tool.get("callID") if type(tool) is dict else None, event)
    event.use("bus_tool", "bus_id", "call")
    permission = event.label("bus_permission", common.MAX_SETTING) or "unknown"
    # What is asked for is a permission (`bash`, `external_directory`), which a call of another tool may need.
    body: dict[str, Any] = {"tool": permission, "permission": permission, **_small({"request": event.member("bus_id")}, event)}
    given = {name: event.member(f"bus_{name}") for name in ("metadata", "patterns", "always")}
    event.use(*(f"bus_{name}" for name in given))
    metadata = given["metadata"] if type(given["metadata"]) is dict else {}
    asked = {**metadata, **{name: value for name, value in given.items() if value and name != "metadata"}}
    payloads = {"input": PayloadData(event.dump(asked), common.JSON)} if asked else {}
    fact = event.fact("approval.requested", body, payloads, call=call, answers="call" if call else None)
    return event.observe(fact)


_REPLIES = {"once": ("approved", "once"), "always": ("approved", "session"), "reject": ("denied", "once")}


def _replied(event: Event) -> Observation:
    call = event.identifier("call")
    reply = event.label("bus_reply", common.MAX_SETTING) or event.label("bus_response", common.MAX_SETTING) or ""
    word, scope = _REPLIES.get(reply, ("unknown", "once"))
    entrypoint = event.label("entrypoint", 64)
    # `opencode run` rejects whatever it would have to ask for, in the words of a user who was never there.
    decider, grounds = ("policy", "none") if entrypoint == "run" and reply == "reject" else ("unknown", "unknown")
    inferred = ("decider", "grounds") if decider == "policy" else ()
    # "always" lasts as long as this process does.
    verdict = Verdict(word, scope, decider, grounds, "observed", {"reply": reply} if reply else {}, inferred)
    more = _small({"request": event.member("bus_requestID") or event.member("bus_permissionID")}, event)
    event.use("bus_requestID", "bus_permissionID", "bus_permission")
    fact = decided(verdict, session=event.session, turn=event.identifier("turn_id"), call=call, more=more)
    return event.observe(fact if call else fact._replace(answers="open"))


def _todos(event: Event) -> Observation:
    steps = common.list_steps(event.member("bus_todos"), ("content",))
    if steps is None:
        return Observation((), common.read_path(event.member("cwd"), event))
    event.use("bus_todos")
    return event.observe(event.fact("plan.updated", {"event": "todo.updated"}, {"plan": common.dump_steps(event, steps)}))


def _text(value: Any, event: Event) -> str | None:
    return event.clean(value) if type(value) is str and 0 < len(value) <= common.MAX_TEXT else None


def _touched(event: Event) -> list[str]:
    """Return the path that an editing call names."""
    given = event.member("tool_input")
    if event.member("tool_name") not in _EDITORS or type(given) is not dict:
        return []
    return common.read_paths([given.get("filePath")], event)


_TRANSLATIONS: dict[str, Callable[[Event], Observation]] = {
    "event.session.created": _session,
    "event.session.idle": _idle,
    "event.session.error": _error,
    "event.session.compacted": _compacted,
    "chat.message": _prompt,
    "tool.execute.before": _before_tool,
    "tool.execute.after": _after_tool,
    "event.message.part.updated": _part,
    "event.permission.asked": _asked,
    "event.permission.replied": _replied,
    "event.todo.updated": _todos,
}
