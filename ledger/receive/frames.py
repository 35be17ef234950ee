"""MCP's stdio transport: one JSON-RPC message, or a batch of them, a line (MCP specification, "Transports", stdio).

Bytes come in pieces of any size. A line of at most `limit` bytes is held and handed out whole; of a longer one only size, digest
and outline are kept: its `id` and `method`, the tool that it names, and whether it is an error. Memory is bounded, whatever comes.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

MAX_FRAME = 16 << 20
_MAX_TOKEN = 1024
_STRUCTURE = re.compile(rb'[{}\[\]:,"]')
_STRING_END = re.compile(rb'["\\]')


class Frame(NamedTuple):
    """One line. `data` is None where it was longer than the limit; `outline` says then what it was. Else `digest` is empty.

    `whole` is false where bytes of it were not seen.
    """

    data: bytes | None
    size: int
    digest: str = ""
    outline: Outline | None = None
    whole: bool = True


class Splitter:
    """Cuts one direction into lines."""

    def __init__(self, limit: int = MAX_FRAME) -> None:
        self._limit = limit
        self._start()

    def _start(self) -> None:
        self._held: list[bytes] = []
        self._size = 0
        self._hash: Any = None
        self._outline: Outline | None = None
        self._whole = True

    def feed(self, chunk: bytes) -> Iterator[Frame]:
        """Take some bytes and yield the lines that end in them, without their newlines; empty lines are passed over."""
        at = 0
        while (end := chunk.find(b"\n", at)) >= 0:
            self._take(chunk[at:end])
            if self._size or not self._whole:
                yield self._finish()
            self._start()
            at = end + 1
        self._take(chunk[at:])

    def lose(self) -> None:
        """Note that some bytes were not seen here: the line they belong to is not whole, and what is held of it goes."""
        self._whole = False
        self._held.clear()

    def end(self) -> Iterator[Frame]:
        """Yield what came after the last newline, if anything did."""
        if self._size:
            yield self._finish()
        self._start()

    def _take(self, part: bytes) -> None:
        if not part:
            return
        self._size += len(part)
        if self._hash is None and self._size > self._limit:
            self._hash, self._outline = hashlib.sha256(), Outline()
            for held in self._held:
                self._hash.update(held)
                self._outline.feed(held)
            self._held.clear()
        if self._hash is not None and self._outline is not None:
            self._hash.update(part)
            self._outline.feed(part)
        elif self._whole:
            self._held.append(part)

    def _finish(self) -> Frame:
        if self._hash is not None:
            return Frame(None, self._size, self._hash.hexdigest(), self._outline if self._whole else None, self._whole)
        return Frame(b"".join(self._held) if self._whole else None, self._size, whole=self._whole)


class Outline:
    """Reads a JSON object in pieces and keeps the short scalars of its outermost level, and `params.name`.

    What is no JSON gives some outline or none; it is only used where the message itself is too large to be held.
    """

    def __init__(self) -> None:
        self.members: dict[str, Any] = {}
        self._depth = 0
        self._in_string = False
        self._escaped = False
        self._token = bytearray()
        self._path: list[str] = []  # the member names of levels 1 and 2
        self._is_name = True

    def message(self) -> dict[str, Any]:
        """Return the message as far as it is known: `id`, `method`, `params.name`, and `result` or `error` without content."""
        found: dict[str, Any] = {name: self.members[name] for name in ("jsonrpc", "id", "method") if name in self.members}
        if "params.name" in self.members:
            found["params"] = {"name": self.members["params.name"]}
        return {**found, **{name: None for name in ("result", "error") if name in self.members}}

    def feed(self, part: bytes) -> None:
        """Take the next bytes."""
        at = 0
        if self._escaped and part:
            self._keep(part[:1])
            self._escaped = False
            at = 1
        while at < len(part):
            found = (_STRING_END if self._in_string else _STRUCTURE).search(part, at)
            end = len(part) if found is None else found.start()
            self._keep(part[at:end])
            if found is None:
                return
            at = end + 1
            if self._in_string:
                self._keep(found[0])
                if found[0] == b'"':
                    self._in_string = False
                elif at < len(part):
                    self._keep(part[at : at + 1])
                    at += 1
                else:
                    self._escaped = True
            else:
                self._structure(found[0])

    def _keep(self, part: bytes) -> None:
        if self._depth <= 2 and len(self._token) <= _MAX_TOKEN:
            self._token += part[: _MAX_TOKEN + 1 - len(self._token)]

    def _structure(self, mark: bytes) -> None:
        if mark == b'"':
            self._keep(mark)
            self._in_string = True
            return
        if mark == b":":
            if self._depth in (1, 2) and self._is_name:
                name = self._scalar()
                self._path = [*self._path[: self._depth - 1], name if isinstance(name, str) else ""]
                if self._depth == 1 and name in ("result", "error"):
                    self.members[name] = None
                self._is_name = False
        elif mark in b"{[":
            self._depth += 1
            self._is_name = mark == b"{"
            if self._depth == 2 and mark == b"[":
                self._path = self._path[:1]
        else:
            self._end_value()
            if mark != b",":
                self._depth -= 1
            self._is_name = self._depth in (1, 2)
        self._token.clear()

    def _end_value(self) -> None:
        name = ".".join(self._path[: self._depth])
        # In an array the path is shorter than the depth: its elements are no members.
        is_member = not self._is_name and self._depth in (1, 2) and len(self._path) >= self._depth
        if is_member and name in ("jsonrpc", "id", "method", "params.name"):
            value = self._scalar()
            if value is not None:
                self.members[name] = value

    def _scalar(self) -> Any:
        if len(self._token) > _MAX_TOKEN:
            return None
        try:
            value = json.loads(bytes(self._token))
        except ValueError:
            return None
        return value if isinstance(value, (str, int)) else None
