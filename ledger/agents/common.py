"""What the adapters share: reading one native event without trusting it, and the facts of tool calls.

An agent's event is hostile JSON. An `Event` hands out its members only in the form that a record may hold, and remembers which
were used: what nobody used ends in the payload `extra`, so that a newer agent's members are kept. Wrong types are not errors:
the value becomes a JSON payload, or stays in `extra`. Only an event that has no meaning at all raises FormatError.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple

from ledger.core.canonical import MAX_INTEGER
from ledger.core.fact import Fact, Observation, PayloadData
from ledger.core.text import clean_text
from ledger.errors import FormatError

MAX_TEXT = 512  # characters of a text in a body, and of an identifier
MAX_SETTING = 128  # characters of a model or a permission mode

TEXT = "text/plain"
MARKDOWN = "text/markdown"
JSON = "application/json"

# Members that say nothing about the fact itself: where the transcript is, how hard the model thinks.
_ROUTINE = frozenset("hook_event_name transcript_path cwd model permission_mode effort agent_type stop_hook_active".split())

# Reals that JSON does not know (NaN, Infinity) are refused, not spelled in a way that no other reader takes.
_encode = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode
_encode_ascii = json.JSONEncoder(allow_nan=False).encode


class Dialect(NamedTuple):
    """How one agent's events differ from another's.

    `turn` is the member that names the turn. `unsteady` are members of `tool_input` that not every event of a call carries.
    """

    agent: str
    turn: str
    events: frozenset[str]
    unsteady: tuple[str, ...] = ()


class Event:
    """One native event, read member by member. Raises FormatError when it is no event that `dialect` knows."""

    __slots__ = ("_changed", "_members", "_used", "dialect", "name")

    def __init__(self, native: Any, dialect: Dialect) -> None:
        if type(native) is not dict:
            raise FormatError("the event is not a JSON object")
        name = native.get("hook_event_name")
        if type(name) is not str:
            raise FormatError("the event has no hook_event_name")
        if name not in dialect.events:
            raise FormatError(f"{dialect.agent} has no event {name[:64]!r} that this version knows")
        self.name = name
        self.dialect = dialect
        self._members: dict[str, Any] = native
        self._used: set[str] = set()
        self._changed = False

    @property
    def actor(self) -> dict[str, str]:
        """The agent as the one that did it."""
        return {"type": "agent", "name": self.dialect.agent}

    @property
    def session(self) -> str | None:
        """The agent's name for the session, where there is one."""
        return self.identifier("session_id")

    @property
    def call(self) -> str | None:
        """The agent's name for the tool call, where there is one."""
        return self.identifier("tool_use_id")

    def member(self, name: str) -> Any:
        """Return a member as it came, or None; it does not count as used."""
        return self._members.get(name)

    def use(self, *names: str) -> None:
        """Count `names` as used, so that they do not go to `extra`."""
        self._used.update(names)

    def use_all(self) -> dict[str, Any]:
        """Return the whole event, all of it used."""
        self._used.update(self._members)
        return self._members

    def clean(self, text: str) -> str:
        """Return `text` as a record may hold it; where that changes it, the event as it came becomes the payload `raw`."""
        cleaned = clean_text(text)
        if cleaned is not text and cleaned != text:
            self._changed = True
        return cleaned

    def identifier(self, name: str) -> str | None:
        """Return a member that is a text of 1 to 512 characters, else None: then it stays for `extra`."""
        value = self._members.get(name)
        if type(value) is not str or not 0 < len(value) <= MAX_TEXT:
            return None
        self._used.add(name)
        return self.clean(value)

    def label(self, name: str, limit: int = MAX_TEXT) -> str | None:
        """Return a member that is a text, cut to `limit` characters, or None; a text that was cut stays for `extra` too."""
        value = self._members.get(name)
        if type(value) is not str or not value:
            return None
        if len(value) <= limit:
            self._used.add(name)
        return self.clean(value)[:limit]

    def labels(self, **names: str) -> dict[str, Any]:
        """Return those of `body member=event member` that are texts."""
        found = {member: self.label(name) for member, name in names.items()}
        return {member: text for member, text in found.items() if text is not None}

    def settings(self) -> dict[str, Any]:
        """Return the model and the permission mode, where they are small texts."""
        found = self.labels(model="model", permission_mode="permission_mode")
        return {name: text for name, text in found.items() if len(text) <= MAX_SETTING}

    def dump(self, value: Any) -> bytes:
        """Return `value` as JSON with sorted members. Raises FormatError for what JSON cannot say."""
        return self.clean(_spell(value, _encode)).encode("utf-8")

    def data(self, value: Any, media: str = TEXT) -> PayloadData:
        """Return a text as a payload of `media`, and anything else as one of JSON."""
        if type(value) is str:
            return PayloadData(self.clean(value).encode("utf-8"), media)
        return PayloadData(self.dump(value), JSON)

    def payload(self, member: str, name: str) -> dict[str, PayloadData]:
        """Return `member` as the payload `name`, or nothing where it is missing or null."""
        value = self._members.get(member)
        if value is None:
            return {}
        self._used.add(member)
        return {name: self.data(value)}

    def json_payload(self, member: str, name: str) -> dict[str, PayloadData]:
        """Return `member`, of whatever type, as JSON in the payload `name`, or nothing where it is missing or null."""
        value = self._members.get(member)
        if value is None:
            return {}
        self._used.add(member)
        return {name: PayloadData(self.dump(value), JSON)}

    def fact(
        self,
        kind: str,
        body: Mapping[str, Any],
        payloads: Mapping[str, PayloadData] = {},
        *,
        actor: Mapping[str, str] | None = None,
        call: str | None = None,
        once: bool = False,
        answers: str | None = None,
        input_digest: str | None = None,
    ) -> Fact:
        """Return a fact of this event's session, turn and subagent; with `once` it is this call's only fact of its kind."""
        subagent = self.identifier("agent_id")
        return Fact(
            kind=kind,
            actor=self.actor if actor is None else actor,
            body={**body, "subagent": subagent} if subagent else dict(body),
            session=self.session,
            turn=self.identifier(self.dialect.turn),
            call=call,
            payloads=dict(payloads),
            once=f"{kind}:{call}" if once and call else None,
            answers=answers,
            input_digest=input_digest,
        )

    def leftovers(self) -> dict[str, PayloadData]:
        """Return the payloads for what no fact has used: `extra`, and `raw` where a text could not be kept as it was."""
        extra = {name: value for name, value in self._members.items() if name not in self._used and not _is_routine(name, value)}
        payloads = {"extra": PayloadData(self.dump(extra), JSON)} if extra else {}
        if self._changed:
            # In ASCII a lone surrogate is an escape, and so not lost.
            payloads["raw"] = PayloadData(_spell(self._members, _encode_ascii).encode("ascii"), JSON)
        return payloads

    def observe(self, *facts: Fact, touched: Iterable[str] = (), plan_file: str | None = None) -> Observation:
        """Return the observation of `facts`, the first of which carries what was left over."""
        cwd = read_path(self.member("cwd"), self)
        return Observation(tuple(with_leftovers(self, list(facts))), cwd, tuple(dict.fromkeys(touched)), plan_file)


def _spell(value: Any, encode: Callable[[Any], str]) -> str:
    try:
        return encode(value)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"the event cannot be written as JSON ({type(error).__name__})") from error


def with_leftovers(event: Event, facts: list[Fact]) -> list[Fact]:
    """Return `facts` with the leftovers of `event` in the first one's payloads."""
    payloads = event.leftovers()
    if not payloads or not facts:
        return facts
    return [facts[0]._replace(payloads={**facts[0].payloads, **payloads}), *facts[1:]]


def _is_routine(name: str, value: Any) -> bool:
    """Say whether a member that no fact used carries nothing worth keeping."""
    if value is None or value == [] or value == {}:
        return True
    if name not in _ROUTINE:
        return False
    return name == "effort" or type(value) is bool or (type(value) is str and len(value) <= MAX_TEXT)


def read_path(value: Any, event: Event) -> str | None:
    """Return `value` if an operating system could take it for a path, else None."""
    if type(value) is not str or not value or "\0" in value:
        return None
    return event.clean(value)


def read_paths(values: Iterable[Any], event: Event) -> list[str]:
    """Return those of `values` that could be paths."""
    return [path for path in (read_path(value, event) for value in values) if path is not None]


# Sessions, prompts, subagents, messages


def start_session(event: Event) -> Observation:
    """Translate the start of a session."""
    return event.observe(event.fact("session.started", {**event.labels(start="source"), **event.settings()}))


def end_session(event: Event) -> Observation:
    """Translate the end of a session."""
    return event.observe(event.fact("session.ended", event.labels(reason="reason")))


def submit_prompt(event: Event, origin: str | None = None) -> Observation:
    """Translate a prompt; `origin` says that it is not a human's, and so does an `agent_id`.

    Who wrote any other prompt is unknown: no hook says whether a human did.
    """
    body = event.settings()
    actor: dict[str, str] = {"type": "unknown"}
    if event.identifier("agent_id"):
        body["origin"], actor = "subagent", event.actor
    elif origin is not None:
        body["origin"], actor = origin, event.actor
        body["basis"] = {"actor": "inferred", "origin": "inferred"}
    return event.observe(event.fact("prompt.submitted", body, event.payload("prompt", "prompt"), actor=actor))


def start_subagent(event: Event) -> Observation:
    """Translate the start of a subagent."""
    fact = event.fact("subagent.started", event.labels(subagent_type="agent_type"))
    subagent = fact.body.get("subagent")
    return event.observe(fact._replace(once=f"subagent.started:{subagent}") if subagent else fact)


def end_subagent(event: Event) -> Observation:
    """Translate the end of a subagent, with its last message."""
    message = event.payload("last_assistant_message", "message")
    return event.observe(event.fact("subagent.ended", event.labels(subagent_type="agent_type"), message))


def stop(event: Event) -> Observation:
    """Translate the end of a turn, with the agent's last message."""
    return event.observe(event.fact("message.sent", {"event": event.name}, event.payload("last_assistant_message", "message")))


def change_transcript(event: Event) -> Observation:
    """Translate a compaction, about to happen or done."""
    return event.observe(event.fact("transcript.changed", {"event": event.name, **event.labels(trigger="trigger")}))


# Tool calls


def read_tool(event: Event) -> str:
    """Return the tool's name. Raises FormatError when the event names none."""
    tool = event.label("tool_name")
    if tool is None:
        raise FormatError(f"{event.name} names no tool")
    return tool


def describe_tool(event: Event) -> dict[str, Any]:
    """Return the body members that say which tool, of which MCP server, is called. Raises FormatError when none is named."""
    tool = read_tool(event)
    return {"tool": tool, **split_mcp(tool, read_server(event))}


def read_server(event: Event) -> str | None:
    """Return the name of the MCP server where the event has one of its own (`mcp_server`, a name or an object with one)."""
    server = event.member("mcp_server")
    name = server.get("name") if type(server) is dict else server
    if type(name) is not str or not 0 < len(name) <= MAX_TEXT:
        return None
    event.use("mcp_server")
    return event.clean(name)


def split_mcp(tool: str, server: str | None = None) -> dict[str, str]:
    """Return {mcp_server, mcp_tool} of a tool named `mcp__<server>__<tool>`; a `server` that is known wins over the name's.

    >>> split_mcp("mcp__tickets__lookup")
    {'mcp_server': 'tickets', 'mcp_tool': 'lookup'}
    >>> split_mcp("Bash")
    {}
    """
    rest = tool.removeprefix("mcp__")
    if rest == tool:
        return {"mcp_server": server} if server else {}
    if server:
        # In the tool's name the server's is spelled with `_` for whatever a tool's name may not have.
        spelled = re.sub("[^A-Za-z0-9_-]", "_", server) + "__"
        name = rest[len(spelled) :] if rest.startswith(spelled) else rest.partition("__")[2]
        return {"mcp_server": server, "mcp_tool": name} if name else {"mcp_server": server}
    found, _, name = rest.partition("__")
    return {"mcp_server": found, "mcp_tool": name} if found and name else {}


def is_mcp_error(tool: str, response: Any) -> bool:
    """Say whether an MCP server answered the call of `tool` with an error."""
    return tool.startswith("mcp__") and type(response) is dict and response.get("isError") is True


def digest_input(event: Event) -> str:
    """Return the SHA-256 that events of one call have in common, in hex: of the tool, the subagent and the input."""
    given = event.member("tool_input")
    if type(given) is dict and any(name in given for name in event.dialect.unsteady):
        given = {name: value for name, value in given.items() if name not in event.dialect.unsteady}
    subagent = event.member("agent_id")
    return hashlib.sha256(event.dump([event.member("tool_name"), subagent if type(subagent) is str else None, given])).hexdigest()


def request_call(event: Event, mark: Mapping[str, Any] = {}) -> Fact:
    """Return the fact that a call is about to be made; `mark` is added to its body."""
    body = {**mark, **describe_tool(event), **event.labels(subagent_type="agent_type")}
    given = event.json_payload("tool_input", "input")
    return event.fact("tool.requested", body, given, call=event.call, once=True, input_digest=digest_input(event))


def request_approval(event: Event, payloads: Mapping[str, PayloadData] = {}) -> Fact:
    """Return the fact that leave was asked for a call; it is joined by its input, since most such events have no call id."""
    call = event.call
    return event.fact(
        "approval.requested",
        describe_tool(event),
        {**event.json_payload("tool_input", "input"), **payloads},
        call=call,
        answers="call" if call else "input",
        input_digest=digest_input(event),
    )


def finish_call(event: Event, outcome: str, output: str, body: Mapping[str, Any] = {}) -> Fact:
    """Return the fact that a call came to its `outcome`; the event's member `output` says what came of it."""
    members = {**body, **describe_tool(event), "outcome": outcome, **read_duration(event)}
    event.use("tool_input")  # the request has it
    call = event.call
    return event.fact(
        "tool.finished",
        members,
        event.payload(output, "output"),
        actor={"type": "tool", "name": members["tool"]},
        call=call,
        once=True,
        answers="call" if call else "input",
        input_digest=digest_input(event),
    )


def read_duration(event: Event) -> dict[str, int]:
    """Return {duration_ms} where the event has a count of milliseconds."""
    duration = event.member("duration_ms")
    if type(duration) is not int or not 0 <= duration <= MAX_INTEGER:
        return {}
    event.use("duration_ms")
    return {"duration_ms": duration}


def read_exit_code(text: Any, pattern: str) -> dict[str, Any]:
    """Return {exit_code, basis} where `text` starts with `pattern`, whose first group is the number."""
    found = re.match(pattern, text) if type(text) is str else None
    return {"exit_code": int(found[1]), "basis": {"exit_code": "inferred"}} if found else {}


# Plans


def update_plan(event: Event, plan: PayloadData | None, body: Mapping[str, Any]) -> Fact:
    """Return the fact that the agent's plan is now `plan`, or is in a file that the observation names."""
    return event.fact("plan.updated", body, {"plan": plan} if plan else {}, call=event.call, once=True)


def list_steps(items: Any, step: Collection[str]) -> list[dict[str, str]] | None:
    """Return a plan's steps, or None if `items` is no list; a step's text is in the first of the members `step` that has one."""
    if type(items) is not list:
        return None
    steps = []
    for item in items:
        members = item if type(item) is dict else {"step": item}
        text = next((members[name] for name in (*step, "step") if type(members.get(name)) is str and members[name]), None)
        if text is not None:
            status = members.get("status")
            steps.append({"step": text, "status": status if type(status) is str and status else "unknown"})
    return steps


def dump_steps(event: Event, steps: list[dict[str, str]], explanation: Any = None) -> PayloadData:
    """Return a plan of `steps` as its payload."""
    plan: dict[str, Any] = {"steps": steps}
    if type(explanation) is str and explanation:
        plan["explanation"] = explanation
    return PayloadData(event.dump(plan), JSON)
