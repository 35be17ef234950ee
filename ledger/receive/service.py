"""The OTLP/HTTP receiver as a whole: what is asked of it, what it answers, and how it ends (OTLP 1.x, section "OTLP/HTTP").

    200  taken; records that were not are counted in `partialSuccess`          400  malformed: nothing of it was recorded
    403  a browser, or a name that is not this machine's                       404, 405, 415  not ours
    413  too large: split it                                                   503  send it again, after `Retry-After`

A receiver on loopback trusts nobody more for that: any program of this machine can reach it. So a web page must not (requests
with an `Origin`, or for a host that is not loopback, are refused), and what it hears is recorded as telemetry, never as observed.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ipaddress
import signal
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ledger.errors import FormatError, Refused
from ledger.receive import otlp, protobuf
from ledger.receive.http import Limits, Request, Response, Server
from ledger.receive.telemetry import Busy, Receiver, describe

LIMITS = Limits(body_bytes=otlp.MAX_BYTES)
JSON = "application/json"
PROTOBUF = "application/x-protobuf"
_PATHS = {f"/v1/{name}": name for name in otlp.SIGNALS}
# Codes of google.rpc.Status
_INVALID, _DENIED, _EXHAUSTED, _UNIMPLEMENTED, _UNAVAILABLE = 3, 7, 8, 12, 14


class Listen(NamedTuple):
    """Where to listen."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_listen(text: str, *, allow_remote: bool) -> Listen:
    """Return the address that `host:port` or `[host]:port` names. Raises Refused for one beyond loopback, unless it is allowed."""
    host, colon, number = text.rpartition(":")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon or not host or not (number.isascii() and number.isdigit()) or int(number) > 65535:
        raise FormatError(f"{text!r} is not HOST:PORT", remedy="for example 127.0.0.1:4318, or [::1]:4318")
    if not allow_remote and not is_loopback(host):
        raise Refused(
            f"{host} can be reached by other machines, and whoever reaches the receiver can write into the log",
            remedy="listen on 127.0.0.1, or say --allow-remote",
        )
    return Listen("127.0.0.1" if host == "localhost" else host, int(number))


def is_loopback(host: str) -> bool:
    """Say whether a host, spelled as in a URL without its port, is this machine and nothing else."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Service:
    """Answers requests. `heard` counts them, so that somebody can see when they stop."""

    def __init__(self, receiver: Receiver, *, local_only: bool) -> None:
        self._receiver = receiver
        self._local_only = local_only
        self.heard = 0

    async def answer(self, request: Request) -> Response:
        """Return the response to one request."""
        self.heard += 1
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        is_protobuf = kind == PROTOBUF
        if self._local_only and _is_foreign(request):
            return _failure(403, _DENIED, False, "this receiver is for programs of its own machine")
        if request.path not in _PATHS:
            return _failure(404, _UNIMPLEMENTED, is_protobuf, f"there are {', '.join(_PATHS)}")
        if request.method != "POST":
            return _failure(405, _UNIMPLEMENTED, is_protobuf, "POST is what OTLP uses", {"Allow": "POST"})
        if kind not in (JSON, PROTOBUF):
            return _failure(415, _INVALID, False, f"the content type is neither {JSON} nor {PROTOBUF}")
        return await self._take(_PATHS[request.path], request, is_protobuf)

    async def _take(self, name: str, request: Request, is_protobuf: bool) -> Response:
        try:
            body = otlp.decompress(request.body, request.headers.get("content-encoding", "").strip().lower())
            records = (protobuf.decode_protobuf if is_protobuf else otlp.decode_json)(name, body)
        except ImportError:
            return _failure(415, _UNIMPLEMENTED, True, f"protobuf needs the library opentelemetry-proto; {protobuf.REMEDY}")
        except FormatError as error:
            self._receiver.counts["malformed"] += 1
            too_large = isinstance(error, otlp.TooLarge)
            return _failure(413 if too_large else 400, _EXHAUSTED if too_large else _INVALID, is_protobuf, error.message)
        try:
            answer = await self._receiver.take(records)
        except Busy:
            return _failure(503, _UNAVAILABLE, is_protobuf, "not recorded, send it again", {"Retry-After": "2"})
        data = otlp.format_response(name, is_protobuf, answer.rejected, answer.message)
        return Response(200, data, {"Content-Type": PROTOBUF if is_protobuf else JSON})


def _is_foreign(request: Request) -> bool:
    """Say whether a browser sent this, or it was sent to a name that is not loopback's (DNS rebinding)."""
    if "origin" in request.headers or request.headers.get("sec-fetch-site"):
        return True
    host = request.headers.get("host", "localhost")
    name = host.partition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]
    return not is_loopback(name)


def _failure(status: int, code: int, is_protobuf: bool, message: str, more: Mapping[str, str] = {}) -> Response:
    headers = {"Content-Type": PROTOBUF if is_protobuf else JSON, **more}
    return Response(status, otlp.format_status(is_protobuf, code, message), headers)


def serve(
    state: str,
    listen: Listen,
    *,
    allow_remote: bool = False,
    until_idle_s: float | None = None,
    limits: Limits = LIMITS,
    started: Callable[[dict[str, Any]], None] = lambda status: None,
) -> dict[str, Any]:
    """Serve until SIGINT or SIGTERM, or until nobody asked anything for `until_idle_s`; return what became of all the records.

    `started` is told where it listens. Raises Refused where that address cannot be had. What was answered is durable by then; what
    is under way at the end is answered, or the sender sends it again elsewhere.
    """
    # Requests are large trees without cycles: looking for garbage in them every 700 objects costs a tenth of the time.
    gc.set_threshold(50_000, 20, 20)
    receiver = Receiver(state)
    receiver.start()
    try:
        return asyncio.run(_serve(receiver, listen, allow_remote, until_idle_s, limits, started))
    finally:
        receiver.stop()


async def _serve(
    receiver: Receiver,
    listen: Listen,
    allow_remote: bool,
    until_idle_s: float | None,
    limits: Limits,
    started: Callable[[dict[str, Any]], None],
) -> dict[str, Any]:
    service = Service(receiver, local_only=not allow_remote)
    server = Server(service.answer, limits)
    try:
        port = await server.start(listen.host, listen.port)
    except OSError as error:
        why = error.strerror or str(error)
        raise Refused(
            f"cannot listen on {listen}: {why}", remedy="is another receiver running? --listen names an address"
        ) from error
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(RuntimeError, ValueError):  # not in the main thread: then somebody else ends us
            loop.add_signal_handler(number, ended.set)
    url = f"http://{listen._replace(port=port)}"
    started({"listening": url, "paths": list(_PATHS), "json": True, "protobuf": protobuf.is_available()})
    await _wait(ended, service, until_idle_s)
    await server.stop(patience_s=5.0)
    await asyncio.to_thread(receiver.stop)
    counts = {**describe(receiver.counts), "connections_refused": server.refused}
    return {"stopped": url, **counts, **({"problem": receiver.problem} if receiver.problem else {})}


async def _wait(ended: asyncio.Event, service: Service, until_idle_s: float | None) -> None:
    """Return when `ended` is set, or when no request came for `until_idle_s` seconds."""
    while True:
        heard = service.heard
        try:
            await asyncio.wait_for(ended.wait(), until_idle_s)
            return
        except TimeoutError:
            if service.heard == heard:
                return
