"""A small HTTP/1.1 server for hostile clients: everything that a client may take (time, memory, connections) is bounded.

    request   = request line, headers, body by Content-Length or in chunks (RFC 9112); pipelining works, upgrades do not
    deadline  one for the whole of a request, from its first byte on, so that a byte now and then keeps nobody busy
    idle      where all connections are taken, the one that has been idle longest is closed for the newcomer

What is not understood gets a 4xx and the end of its connection; nothing of it reaches the handler.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

_REASONS = {
    200: "OK",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    417: "Expectation Failed",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}
_REQUEST_LINE = re.compile(rb"([A-Z]{1,16}) (/[!-~]{0,2047}) HTTP/1\.([01])")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]{0,8192}?)[ \t]*")
_LENGTH = re.compile(r"[0-9]{1,15}")
_CHUNK = re.compile(rb"([0-9a-fA-F]{1,8})(?:[ \t]*;[^\r\n]*)?\r\n")
_LINGER_S = 3.0
# Of these a second one would let two readers see two different requests.
_SINGLE = frozenset({"content-length", "transfer-encoding", "host", "content-type", "content-encoding"})


class Limits(NamedTuple):
    """What clients may take. Sizes in bytes, times in seconds; `held_bytes` is of all the bodies that are being read."""

    connections: int = 64
    head_bytes: int = 16 << 10
    body_bytes: int = 8 << 20
    held_bytes: int = 64 << 20
    request_s: float = 20.0
    idle_s: float = 120.0


class Request(NamedTuple):
    """One request; the names of `headers` are in lower case, `path` is without its query."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class Response(NamedTuple):
    """One response; `headers` come on top of those for length and connection."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = {}


class Refuse(Exception):
    """A request cannot be read: it is answered with `status`, and the connection ends."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Server:
    """Serves `handler` on one address. `refused` counts the connections for which there was no room."""

    def __init__(self, handler: Callable[[Request], Awaitable[Response]], limits: Limits) -> None:
        self._handler = handler
        self._limits = limits
        self._server: asyncio.Server | None = None
        self._held = 0
        self._tasks: dict[asyncio.Task[None], float | None] = {}  # since when a connection is idle; None while it is not
        self._closing = False
        self.refused = 0

    async def start(self, host: str, port: int) -> int:
        """Begin to listen and return the port. Raises OSError."""
        self._server = await asyncio.start_server(self._connected, host, port, limit=self._limits.head_bytes, backlog=64)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self, patience_s: float) -> None:
        """Listen no more, let requests that are under way end, and close every connection."""
        self._closing = True
        if self._server is not None:
            self._server.close()
        for task in [task for task, since in self._tasks.items() if since is not None]:
            task.cancel()
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=patience_s)
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=1.0)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if self._closing or (len(self._tasks) >= self._limits.connections and not self._make_room()):
            self.refused += 1
            writer.transport.abort()
            return
        self._tasks[task] = None
        try:
            while not self._closing and await self._serve_one(task, reader, writer):
                pass
        except (OSError, asyncio.CancelledError, TimeoutError, asyncio.IncompleteReadError):
            pass  # the client is gone, or too slow, or we end
        finally:
            del self._tasks[task]
            # A client that does not read what we wrote must not hold the connection.
            writer.transport.abort() if writer.transport.get_write_buffer_size() else writer.close()

    def _make_room(self) -> bool:
        """Close the connection that has been idle longest. False where none is."""
        idle = [(since, task) for task, since in self._tasks.items() if since is not None]
        if not idle:
            return False
        oldest = min(idle, key=lambda item: item[0])[1]
        self._tasks.pop(oldest)
        self._tasks[oldest] = None  # it is on its way out, and not chosen twice
        oldest.cancel()
        return True

    async def _serve_one(self, task: asyncio.Task[None], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Read one request, answer it, and say whether the connection goes on."""
        self._tasks[task] = asyncio.get_running_loop().time()
        async with asyncio.timeout(self._limits.idle_s):
            first = await reader.read(1)
        self._tasks[task] = None
        if not first:
            return False
        try:
            async with asyncio.timeout(self._limits.request_s):
                request, goes_on = await self._read_request(first, reader, writer)
        except Refuse as refusal:
            return await self._turn_away(reader, writer, refusal.status)
        except TimeoutError:
            return await self._turn_away(reader, writer, 408)
        except asyncio.IncompleteReadError:
            return False
        else:
            try:
                response = await self._handler(request)
            except Exception:  # a mistake of ours is said to the client, and costs nobody else
                response = Response(500)
            finally:
                self._held -= len(request.body)
            del request
        async with asyncio.timeout(self._limits.request_s):
            await _write_response(writer, response, goes_on)
        return goes_on

    async def _turn_away(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, status: int) -> bool:
        """Answer a request that was not read to its end, and return False.

        What still comes is thrown away for a moment: closing at once would reset the connection, and the client would never see
        why (RFC 9112, section 9.6).
        """
        async with asyncio.timeout(min(self._limits.request_s, _LINGER_S)):
            await _write_response(writer, Response(status), False)
            if writer.can_write_eof():
                writer.write_eof()
            left = 4 * self._limits.body_bytes
            while left > 0 and (chunk := await reader.read(256 << 10)):
                left -= len(chunk)
        return False

    async def _read_request(self, first: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[Request, bool]:
        """Return a request and whether another may follow. Its body counts as held from here on. Raises Refuse."""
        try:
            head = first + await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError as error:
            raise Refuse(431) from error
        method, path, minor, headers = parse_head(head)
        body = await self._read_body(headers, reader, writer)
        goes_on = minor == 1 and "close" not in headers.get("connection", "").lower()
        return Request(method, path, headers, body), goes_on

    async def _read_body(self, headers: Mapping[str, str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        coding, said = headers.get("transfer-encoding"), headers.get("content-length")
        if coding is not None and (said is not None or coding.lower() != "chunked"):
            raise Refuse(400)  # two lengths (RFC 9112, section 6.1), or a coding that nobody sends
        if said is not None and not _LENGTH.fullmatch(said):
            raise Refuse(400)
        if said is not None and int(said) > self._limits.body_bytes:
            raise Refuse(413)
        expects = headers.get("expect")
        if expects is not None and expects.lower() != "100-continue":
            raise Refuse(417)
        if expects is not None:
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        taken = 0
        parts: list[bytes] = []
        try:
            left = None if coding is not None else int(said or 0)
            while left is None or left:
                chunk = await _read_chunk(reader) if left is None else await reader.read(min(left, 256 << 10))
                if not chunk:
                    if left:
                        raise Refuse(400)
                    break
                taken += len(chunk)
                self._held += len(chunk)
                if taken > self._limits.body_bytes:
                    raise Refuse(413)
                if self._held > self._limits.held_bytes:
                    raise Refuse(503)
                parts.append(chunk)
                left = None if left is None else left - len(chunk)
        except BaseException:
            self._held -= taken
            raise
        return b"".join(parts)


def parse_head(head: bytes) -> tuple[str, str, int, dict[str, str]]:
    """Return method, path without its query, minor version and headers of a request's head. Raises Refuse.

    No folded lines, no bare newlines, no second one of the headers that say where a request ends (RFC 9112, sections 2.2, 5.2).
    """
    lines = head[: -len(b"\r\n\r\n")].split(b"\r\n")
    found = _REQUEST_LINE.fullmatch(lines[0])
    if found is None or len(lines) > 101:
        raise Refuse(400)
    headers: dict[str, str] = {}
    for line in lines[1:]:
        header = _HEADER.fullmatch(line)
        if header is None:
            raise Refuse(400)
        name, value = header[1].decode("ascii").lower(), header[2].decode("latin-1")
        if name in headers and name in _SINGLE:
            raise Refuse(400)
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return found[1].decode(), found[2].decode("ascii").partition("?")[0], int(found[3]), headers


async def _read_chunk(reader: asyncio.StreamReader) -> bytes:
    """Return the next chunk, or nothing after the last one (RFC 9112, section 7.1). Raises Refuse."""
    try:
        line = await reader.readuntil(b"\r\n")
        found = _CHUNK.fullmatch(line)
        if found is None:
            raise Refuse(400)
        size = int(found[1], 16)
        if size > 8 << 20:
            raise Refuse(413)
        if not size:
            for _ in range(32):  # trailers
                if await reader.readuntil(b"\r\n") == b"\r\n":
                    return b""
            raise Refuse(431)
        data = await reader.readexactly(size)
        if await reader.readexactly(2) != b"\r\n":
            raise Refuse(400)
        return data
    except asyncio.LimitOverrunError as error:
        raise Refuse(400) from error


async def _write_response(writer: asyncio.StreamWriter, response: Response, goes_on: bool) -> None:
    lines = [f"HTTP/1.1 {response.status} {_REASONS.get(response.status, 'Unknown')}", f"Content-Length: {len(response.body)}"]
    lines += [f"{name}: {value}" for name, value in response.headers.items()]
    if not goes_on:
        lines.append("Connection: close")
    writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + response.body)
    await writer.drain()
