"""What an MCP client and its server say to each other: frames of both directions in, calls with their results out. Pure.

    client: initialize, tools/call, notifications/cancelled, …        server: results and errors, by the `id` of their request

A message that is not understood is no error here: the two have to understand each other, and we only listen. Identifiers, names and
sizes are hostile and bounded. JSON-RPC 2.0 tells an `id` 1 from an `id` "1".
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, NamedTuple

from ledger.receive.frames import Frame

CLIENT, SERVER = "client", "server"
MAX_OPEN = 1000
_MAX_NAME = 256
_MAX_BATCH = 10_000
_CLIENT_INFO = "io.modelcontextprotocol/clientInfo"
# What agents put into `_meta` to name their own call.
_CALL_IDS = ("claudecode/toolUseId",)


class Identity(NamedTuple):
    """Who is at the two ends, as far as they say: each text is what that end claims."""

    server: str | None = None
    server_version: str | None = None
    protocol: str | None = None
    client: str | None = None
    client_version: str | None = None


class Began(NamedTuple):
    """A `tools/call` went to the server. `number` counts the calls; `call` is the agent's own name for it, where it gives one.

    `arguments` is None where the frame was too large to be held; `size` and `digest` are the frame's then.
    """

    number: int
    tool: str
    arguments: Any
    call: str | None
    at_ms: int
    size: int = 0
    digest: str = ""


class Ended(NamedTuple):
    """A call has its outcome (`finished`, `failed`, `cancelled`, `unknown`). `output` is the result, or the error, as it came.

    `seen` is false where no answer came at all.
    """

    number: int
    outcome: str
    output: Any
    at_ms: int
    duration_ms: int
    size: int = 0
    digest: str = ""
    seen: bool = True


class Introduced(NamedTuple):
    """The two ends have said who they are."""

    identity: Identity
    at_ms: int


class Missed(NamedTuple):
    """Bytes or frames of one direction were not understood as what they are."""

    reason: str
    direction: str
    size: int
    digest: str
    at_ms: int


Event = Began | Ended | Introduced | Missed


class _Open(NamedTuple):
    number: int
    at_ms: int
    cancelled: bool


class Conversation:
    """Follows one client and one server."""

    def __init__(self) -> None:
        self.identity = Identity()
        self._told: Identity | None = None
        self._open: OrderedDict[str, _Open] = OrderedDict()
        self._count = 0

    @property
    def open_calls(self) -> int:
        """How many calls have no answer yet."""
        return len(self._open)

    def hear(self, direction: str, frame: Frame, at_ms: int) -> Iterator[Event]:
        """Yield what one frame means."""
        if frame.data is None:
            reason = "mcp-frame-too-large" if frame.whole else "mcp-frame-lost"
            yield Missed(reason, direction, frame.size, frame.digest, at_ms)
            if frame.outline is None:
                return
            messages: Any = frame.outline.message()
        else:
            try:
                messages = json.loads(frame.data)
            except (ValueError, RecursionError):
                return  # servers print to stdout what belongs elsewhere; it passed through, and means nothing here
        for message in messages[:_MAX_BATCH] if isinstance(messages, list) else [messages]:
            if isinstance(message, dict):
                yield from self._hear_message(direction, message, frame, at_ms)

    def end(self, outcome: str, at_ms: int) -> Iterator[Event]:
        """Yield the end of every call that has none: `outcome`, or that it was cancelled."""
        for name in list(self._open):
            yield self._close(name, "cancelled" if self._open[name].cancelled else outcome, None, at_ms, seen=False)

    def _hear_message(self, direction: str, message: dict[str, Any], frame: Frame, at_ms: int) -> Iterator[Event]:
        method = message.get("method")
        if direction == CLIENT and isinstance(method, str):
            yield from self._hear_request(method, message, frame, at_ms)
        elif direction == SERVER and method is None and "id" in message:
            yield from self._hear_response(message, frame, at_ms)

    def _hear_request(self, method: str, message: dict[str, Any], frame: Frame, at_ms: int) -> Iterator[Event]:
        params = message.get("params")
        params = params if isinstance(params, dict) else {}
        meta = params.get("_meta")
        meta = meta if isinstance(meta, dict) else {}
        client = params.get("clientInfo") if method == "initialize" else meta.get(_CLIENT_INFO)
        if isinstance(client, dict):
            self.identity = self.identity._replace(client=_name(client.get("name")), client_version=_name(client.get("version")))
        if method == "tools/call" and (name := _key(message.get("id"))) is not None:
            if name in self._open:  # used again before its answer came
                yield self._close(name, "unknown", None, at_ms, seen=False)
            while len(self._open) >= MAX_OPEN:
                yield self._close(next(iter(self._open)), "unknown", None, at_ms, seen=False)
            self._count += 1
            self._open[name] = _Open(self._count, at_ms, False)
            arguments = None if frame.data is None else params.get("arguments", {})
            call = next((found for said in _CALL_IDS if (found := _name(meta.get(said)))), None)
            size = frame.size if frame.data is None else 0
            yield Began(self._count, _name(params.get("name")) or "?", arguments, call, at_ms, size, frame.digest)
        elif method == "notifications/cancelled" and (name := _key(params.get("requestId"))) in self._open and name is not None:
            self._open[name] = self._open[name]._replace(cancelled=True)

    def _hear_response(self, message: dict[str, Any], frame: Frame, at_ms: int) -> Iterator[Event]:
        result = message.get("result")
        server = result.get("serverInfo") if isinstance(result, dict) else None
        if isinstance(server, dict) and isinstance(result, dict):
            self.identity = self.identity._replace(
                server=_name(server.get("name")),
                server_version=_name(server.get("version")),
                protocol=_name(result.get("protocolVersion")),
            )
            if self.identity != self._told:
                self._told = self.identity
                yield Introduced(self.identity, at_ms)
        name = _key(message.get("id"))
        if name is None or name not in self._open:
            return
        if frame.data is None:
            failed = "error" in message
            yield self._close(name, "failed" if failed else "finished", None, at_ms, size=frame.size, digest=frame.digest)
        elif "error" in message:
            cancelled = self._open[name].cancelled
            yield self._close(name, "cancelled" if cancelled else "failed", message["error"], at_ms)
        else:
            failed = isinstance(result, dict) and result.get("isError") is True
            yield self._close(name, "failed" if failed else "finished", result, at_ms)

    def _close(
        self, name: str, outcome: str, output: Any, at_ms: int, *, size: int = 0, digest: str = "", seen: bool = True
    ) -> Ended:
        call = self._open.pop(name)
        return Ended(call.number, outcome, output, at_ms, max(0, at_ms - call.at_ms), size, digest, seen)


def _key(value: Any) -> str | None:
    """Return a request's id in a form that tells 1 from "1", or None where it is no id (JSON-RPC 2.0, section 4)."""
    if isinstance(value, str) and len(value) <= _MAX_NAME:
        return f"s{value}"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return f"n{value}"
    return None


def _name(value: Any) -> str | None:
    """Return a text of 1 to 256 characters, or None."""
    return value if isinstance(value, str) and 0 < len(value) <= _MAX_NAME else None
