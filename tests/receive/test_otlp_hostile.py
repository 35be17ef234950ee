"""Bodies and connections of whoever means harm: a 4xx or an end, nothing recorded, and the receiver goes on."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import zlib
from typing import Any

import pytest
from listener import Listener, Scene, decision, pairs, record, request

DEEP = b'{"resourceLogs":' + b"[" * 100_000 + b"]" * 100_000 + b"}"


def deep_value(levels: int) -> dict[str, Any]:
    """Return an AnyValue of arrays in arrays."""
    held: dict[str, Any] = {"stringValue": "x"}
    for _ in range(levels):
        held = {"arrayValue": {"values": [held]}}
    return held


def with_value(held: Any) -> bytes:
    """Return a request whose one record has an attribute `a` of this value, as it stands."""
    known = decision("h")
    known["attributes"].append({"key": "a", "value": held})
    return request(known)


BODIES = {
    "nothing": b"",
    "not JSON": b"{",
    "not UTF-8": b'{"a":"\xff"}',
    "a list": b"[]",
    "null": b"null",
    "NaN": b'{"resourceLogs":NaN}',
    "nested without end": DEEP,
    "a number of 10,000 digits": b'{"resourceLogs":' + b"1" * 10_000 + b"}",
    "resourceLogs no list": b'{"resourceLogs":{}}',
    "resource no object": b'{"resourceLogs":[{"resource":[]}]}',
    "record no object": b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[1]}]}]}',
    "an attribute without key": with_value({"stringValue": "x"}).replace(b'"key": "a"', b'"kez": "a"'),
    "a value that is none": with_value("x"),
    "a value of two kinds": with_value({"stringValue": "x", "boolValue": True}),
    "a value of an unknown kind": with_value({"fooValue": 1}),
    "an integer beyond 64 bits": with_value({"intValue": str(1 << 64)}),
    "an integer spelled oddly": with_value({"intValue": "+1_0"}),
    "a wide digit": with_value({"intValue": "１"}),
    "a double that is text": with_value({"doubleValue": "much"}),
    "bytes not in base64": with_value({"bytesValue": "*"}),
    "a value nested too deeply": with_value(deep_value(13)),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_malformed_body_is_refused_whole(scene: Scene, hostile: Listener, name: str) -> None:
    """A body that is no OTLP gets a 400 with words; not even its good records are recorded."""
    before = len(scene.entries())
    status, answer = hostile.post(BODIES[name])
    assert status == 400
    assert answer["code"] == 3 and answer["message"]
    assert len(scene.entries()) == before
    assert hostile.post(request(decision("after")))[0] == 200


@pytest.fixture
def hostile(scene: Scene) -> Any:
    """A receiver that runs."""
    with scene.listening() as listener:
        yield listener


PACKED = {
    "not gzip": b"plain",
    "cut off": gzip.compress(b"{}")[:-9],
    "a wrong checksum": gzip.compress(b"{}")[:-8] + b"\0" * 8,
    "two streams": gzip.compress(b"{}") + gzip.compress(b"{}"),
    "something after it": gzip.compress(b"{}") + b"x",
    "zlib instead": zlib.compress(b"{}"),
}


@pytest.mark.parametrize("name", PACKED)
def test_a_body_packed_badly_is_refused(hostile: Listener, name: str) -> None:
    """What is not one whole gzip stream gets a 400."""
    assert hostile.post(PACKED[name], Content_Encoding="gzip")[0] == 400


def test_a_gzip_bomb_is_refused_without_being_unpacked(hostile: Listener) -> None:
    """A few kilobytes that stand for a gigabyte get a 413; the receiver's memory does not grow with them."""
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(1024)) + packer.flush()
    assert len(bomb) < 2 << 20
    before = peak_kib(hostile)
    assert hostile.post(bomb, Content_Encoding="gzip")[0] == 413
    assert peak_kib(hostile) - before < 100 << 10
    assert hostile.post(request(decision("after")))[0] == 200


def peak_kib(listener: Listener) -> int:
    """Return the most memory that the receiver ever had, in KiB (proc(5))."""
    try:
        with open(f"/proc/{listener.process.pid}/status") as status:
            return int(next(line.split()[1] for line in status if line.startswith("VmHWM")))
    except OSError:
        pytest.skip("no /proc here")


def test_too_many_records_or_values_are_too_large(hostile: Listener) -> None:
    """Limits are of numbers, too: whoever passes one is told to split."""
    many = json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [{}] * 20_001}]}]}).encode()
    assert hostile.post(many)[0] == 413
    wide = record("codex.tool_decision")
    wide["attributes"] = pairs({f"a{number}": "x" for number in range(5000)})
    assert hostile.post(request(wide))[0] == 413
    assert hostile.post_raw(b" " * (9 << 20))[0] == 413


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content_Type": "text/plain"}, 415),
        ({"Content_Type": "application/json; charset=utf-8"}, 200),
        ({"Content_Encoding": "br"}, 400),
        ({"Origin": "http://example.invalid"}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Host": "example.invalid:4318"}, 403),
        ({"Host": "localhost:4318"}, 200),
        ({"Host": "[::1]:4318"}, 200),
        ({"Expect": "miracles"}, 417),
    ],
)
def test_what_asks_oddly_is_refused(hostile: Listener, headers: dict[str, str], status: int) -> None:
    """Browsers, other names for this machine and unknown encodings get no further."""
    assert hostile.post_raw(request(decision("o")), **headers)[0] == status


def test_other_paths_and_methods_are_refused(hostile: Listener) -> None:
    """There are three paths, and one method."""
    assert hostile.post(b"{}", "/v1/profiles")[0] == 404
    assert hostile.post(b"{}", "/../v1/logs")[0] == 404
    assert b"405" in ask(hostile, b"GET /v1/logs HTTP/1.1\r\nHost: localhost\r\n\r\n").splitlines()[0]
    assert b"405" in ask(hostile, b"OPTIONS /v1/logs HTTP/1.1\r\nHost: localhost\r\n\r\n").splitlines()[0]


def ask(listener: Listener, data: bytes) -> bytes:
    """Send bytes as they are, say that no more come, and return everything that comes back."""
    with socket.create_connection(("127.0.0.1", listener.port), timeout=30) as connection:
        with contextlib.suppress(OSError):
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
        parts = []
        with contextlib.suppress(OSError):
            while chunk := connection.recv(65536):
                parts.append(chunk)
        return b"".join(parts)


GOOD = request(decision("raw"))
HEAD = b"POST /v1/logs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
REQUESTS = {
    "no HTTP": (b"\x16\x03\x01\x02\x00" * 40 + b"\r\n\r\n", b"400"),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"400"),
    "two lengths": (HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ", b"400"),
    "a length and chunks": (HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"400"),
    "a length with a sign": (HEAD + b"Content-Length: +2\r\n\r\n{}", b"400"),
    "a length beyond all": (HEAD + b"Content-Length: 99999999999\r\n\r\n", b"413"),
    "another coding": (HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", b"400"),
    "a folded header": (HEAD + b"X: a\r\n b\r\nContent-Length: 2\r\n\r\n{}", b"400"),
    "a space before the colon": (HEAD + b"Content-Length : 2\r\n\r\n{}", b"400"),
    "a bare newline": (b"POST /v1/logs HTTP/1.1\nHost: x\n\n\r\n\r\n", b"400"),
    "a NUL in a header": (HEAD + b"X: a\0b\r\n\r\n", b"400"),
    "headers without end": (HEAD + b"X: " + b"a" * 40_000 + b"\r\n\r\n", b"431"),
    "two hundred headers": (HEAD + b"X: a\r\n" * 200 + b"\r\n", b"400"),
    "a chunk of no size": (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
    "a chunk beyond all": (HEAD + b"Transfer-Encoding: chunked\r\n\r\nffffffff\r\n", b"413"),
    "a chunk that does not end": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}xx", b"400"),
    "chunks": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;x=y\r\n{\r\n1\r\n}\r\n0\r\nT: t\r\n\r\n", b"200"),
    "two requests at once": ((HEAD + b"Content-Length: 2\r\n\r\n{}") * 2, b"200"),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_requests_are_read_strictly(scene: Scene, hostile: Listener, name: str) -> None:
    """What two readers could read as two different requests is refused; what RFC 9112 allows is taken."""
    data, status = REQUESTS[name]
    answer = ask(hostile, data)
    assert answer.splitlines()[0].split()[1] == status
    assert answer.count(b"HTTP/1.1 200") == (2 if name == "two requests at once" else status == b"200")
    assert scene.entries(source="otel") == []


def test_a_body_that_breaks_off_is_not_recorded(scene: Scene, hostile: Listener) -> None:
    """A request that ends before its length says is no request."""
    ask(hostile, HEAD + b"Content-Length: %d\r\n\r\n" % (len(GOOD) + 1) + GOOD)
    assert scene.entries(source="otel") == []


def test_the_same_request_by_hand_is_recorded(scene: Scene, hostile: Listener) -> None:
    """The refusals of these tests are for what is wrong with their requests, and not for how they are sent."""
    answer = ask(hostile, HEAD + b"Content-Length: %d\r\nExpect: 100-continue\r\n\r\n" % len(GOOD) + GOOD)
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")
    assert [entry.call for entry in scene.entries(source="otel")] == ["raw"]


def test_idle_connections_make_room_for_newcomers(scene: Scene, hostile: Listener) -> None:
    """Whoever opens many connections and says nothing on them keeps nobody out."""
    with contextlib.ExitStack() as held:
        for _ in range(200):
            held.enter_context(socket.create_connection(("127.0.0.1", hostile.port), timeout=30))
        assert hostile.post(request(decision("through"))) == (200, {})
    assert [entry.call for entry in scene.entries(source="otel")] == ["through"]


def test_a_record_that_no_entry_can_hold_costs_only_itself(scene: Scene, hostile: Listener) -> None:
    """Lone surrogates, control characters and huge names in a record do not keep its neighbours from being recorded."""
    odd = decision("odd\ud800\x00\x1b[2J")
    huge = decision("x" * 100_000)
    status, _ = hostile.post(request(odd, huge, decision("good")))
    assert status == 200
    assert "good" in [entry.call for entry in scene.entries(source="otel")]


def test_protobuf_that_lies_about_itself_is_refused(scene: Scene, hostile: Listener) -> None:
    """Lengths beyond the body, groups, endless numbers, too many messages: a 4xx, with a google.rpc.Status."""
    pytest.importorskip("opentelemetry.proto", reason="the extra `otlp` is missing")
    for body, status in {
        b"\x0a\xff\xff\xff\xff\x0f": 400,
        b"\x0a\x05\x0a": 400,
        b"\x0b": 400,
        b"\xff" * 20: 400,
        b"\x0a\x00" * 100_000: 413,
        b"\x0a\x04\x12\x02\x12\x00" * 30_000: 413,
        b"{}": 400,
        bytes(1000): 400,
    }.items():
        got, answer = hostile.post_raw(body, Content_Type="application/x-protobuf")
        assert got == status, body[:10]
        assert answer[:1] == b"\x08"
    assert scene.entries(source="otel") == []


def test_without_the_library_protobuf_is_refused_with_a_remedy(scene: Scene) -> None:
    """Where opentelemetry-proto is not installed, JSON works, and protobuf says what to do."""
    import asyncio

    from ledger.receive import protobuf
    from ledger.receive.http import Request
    from ledger.receive.service import PROTOBUF, Service
    from ledger.receive.telemetry import Receiver

    def missing(signal: str, data: bytes) -> Any:
        raise ImportError("opentelemetry")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(protobuf, "decode_protobuf", missing)
        service = Service(Receiver(str(scene.state)), local_only=True)
        headers = {"content-type": PROTOBUF, "host": "localhost"}
        answer = asyncio.run(service.answer(Request("POST", "/v1/logs", headers, b"")))
    assert answer.status == 415
    assert protobuf.REMEDY.encode() in answer.body
