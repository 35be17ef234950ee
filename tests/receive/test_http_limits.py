"""Time, memory and connections that a client may take, with small limits and a clock of seconds: counted, not timed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from hypothesis import given
from hypothesis import strategies as st

from ledger.receive.http import Limits, Refuse, Request, Response, Server, parse_head

SMALL = Limits(connections=4, head_bytes=1024, body_bytes=1000, held_bytes=1500, request_s=0.3, idle_s=0.3)
Client = Callable[[int, list[Request]], Awaitable[None]]


def serve(client: Client, limits: Limits = SMALL) -> list[Request]:
    """Run `client` against a server with `limits`, and return the requests that reached the handler."""
    heard: list[Request] = []

    async def handler(request: Request) -> Response:
        heard.append(request)
        return Response(200, b"ok")

    async def run() -> None:
        server = Server(handler, limits)
        port = await server.start("127.0.0.1", 0)
        try:
            await asyncio.wait_for(client(port, heard), 60)
        finally:
            await server.stop(1.0)

    asyncio.run(run())
    return heard


def test_a_request_that_trickles_in_is_ended() -> None:
    """One byte now and then holds a connection no longer than the deadline of one request."""

    async def client(port: int, heard: list[Request]) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        sent = 0
        try:
            for byte in b"POST / HTTP/1.1\r\n" + b"X: y\r\n" * 1000:
                writer.write(bytes([byte]))
                await writer.drain()
                sent += 1
                await asyncio.sleep(0.02)
        except OSError:
            pass
        assert sent < 1000
        writer.transport.abort()

    assert serve(client) == []


def test_a_body_that_trickles_in_is_ended() -> None:
    """The deadline is one for head and body together."""

    async def client(port: int, heard: list[Request]) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST / HTTP/1.1\r\nContent-Length: 500\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 408")
        writer.close()

    assert serve(client) == []


def test_a_silent_connection_is_ended() -> None:
    """A connection on which nothing comes is closed after a while, before its first request and after one."""

    async def client(port: int, heard: list[Request]) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await reader.read() == b""
        writer.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 200")
        writer.close()

    assert len(serve(client)) == 1


def test_busy_connections_are_not_closed_for_newcomers() -> None:
    """Where every connection is in the middle of a request, the newcomer is turned away."""

    async def client(port: int, heard: list[Request]) -> None:
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(4)]
        for _, writer in held:
            writer.write(b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\n")
            await writer.drain()
        await asyncio.sleep(0.05)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            assert await reader.read() == b""
        except OSError:
            pass
        for reader, writer in held:
            writer.write(b"abc")
            assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
            writer.close()

    assert [request.body for request in serve(client, SMALL._replace(request_s=10.0))] == [b"abc"] * 4


def test_bodies_together_are_bounded() -> None:
    """Bodies that are only begun count: all of them together may not pass the limit, and what ended makes room."""

    async def client(port: int, heard: list[Request]) -> None:
        first, held = await asyncio.open_connection("127.0.0.1", port)
        held.write(b"POST / HTTP/1.1\r\nContent-Length: 1000\r\n\r\n" + b"a" * 999)
        await asyncio.sleep(0.05)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST / HTTP/1.1\r\nContent-Length: 900\r\n\r\n" + b"b" * 900)
        assert (await reader.read()).startswith(b"HTTP/1.1 503")
        held.write(b"a")
        await first.readuntil(b"ok")
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST / HTTP/1.1\r\nContent-Length: 900\r\nConnection: close\r\n\r\n" + b"c" * 900)
        assert (await reader.read()).startswith(b"HTTP/1.1 200")

    assert [request.body[:1] for request in serve(client, SMALL._replace(request_s=10.0))] == [b"a", b"c"]


def test_who_does_not_read_answers_is_let_go() -> None:
    """A client that asks and never reads ends with its deadline, and the server with it."""

    async def client(port: int, heard: list[Request]) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        writer.transport.pause_reading()
        try:
            for _ in range(2000):
                writer.write(b"GET / HTTP/1.1\r\n\r\n" * 100)
                await asyncio.wait_for(writer.drain(), 0.5)
        except (OSError, TimeoutError):
            pass
        writer.transport.abort()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /last HTTP/1.1\r\nConnection: close\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 200")

    assert serve(client)[-1].path == "/last"


@given(st.binary(max_size=300))
def test_any_head_is_understood_or_refused(data: bytes) -> None:
    """Whatever bytes come as a head: a request with sane parts, or Refuse."""
    try:
        method, path, minor, headers = parse_head(data + b"\r\n\r\n")
    except Refuse as refusal:
        assert refusal.status == 400
        return
    assert method.isupper() and path.startswith("/") and minor in (0, 1)
    assert all(name == name.lower() and "\n" not in value for name, value in headers.items())


@given(st.lists(st.tuples(st.from_regex(r"\A[A-Za-z][A-Za-z0-9-]{0,20}\Z"), st.from_regex(r"\A[!-~]{0,30}\Z")), max_size=8))
def test_headers_come_through(headers: list[tuple[str, str]]) -> None:
    """Headers that are well formed are read as they were written, in lower case, repeated ones joined."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    names = [name.lower() for name, _ in headers]
    try:
        found = parse_head(f"POST /p?q HTTP/1.1\r\n{lines}\r\n".encode())
    except Refuse:
        assert len(set(names)) < len(names)
        return
    assert found[:3] == ("POST", "/p", 1)
    for name in set(names):
        assert found[3][name] == ", ".join(value for said, value in headers if said.lower() == name)
