"""What an OTLP/HTTP request means: bytes in, log records out (OpenTelemetry protocol 1.x, `ExportLogsServiceRequest`).

    body ── gunzip, bounded ──► JSON or protobuf ──► LogRecord, LogRecord, …

Every request is hostile. A body is read whole or refused whole: FormatError where it is no OTLP, TooLarge where a limit is passed.
Log records, and the events of spans, come out in the same form from both encodings. Metrics are only checked for being some.

An OTLP JSON body spells 64-bit integers as strings and bytes as base64; names are lowerCamelCase, and unknown ones are ignored.
"""

from __future__ import annotations

import json
import zlib
from base64 import b64decode
from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson

from ledger.errors import FormatError

SIGNALS = ("logs", "traces", "metrics")
MAX_BYTES = 8 << 20  # of a body, compressed or not; decoded it may take fifty times that, one body at a time
MAX_RECORDS = 20_000  # in one request
MAX_VALUES = 4_000  # in one record: attributes, elements and members, at any depth
MAX_DEPTH = 12  # of one value
_MAX_INT64 = 1 << 63


class TooLarge(FormatError):
    """A request passes a limit of size or number; the sender should split it."""


class LogRecord(NamedTuple):
    """One event: `service` is the resource's service.name, `name` the event's, `at_ms` is 0 where it names no time.

    `of_span` says that it was an event of a span: the same one may come as a log record, too.
    """

    service: str
    name: str
    attributes: dict[str, Any]
    body: Any
    at_ms: int
    of_span: bool = False


def decompress(data: bytes, encoding: str) -> bytes:
    """Return a body without its Content-Encoding (`gzip`, `identity` or none), never more than MAX_BYTES of it."""
    if encoding in ("", "identity"):
        return data
    if encoding != "gzip":
        raise FormatError(f"the content encoding {encoding[:32]!r} is not gzip")
    stream = zlib.decompressobj(wbits=31)  # 31: gzip's header and checksum are wanted (zlib manual, inflateInit2)
    try:
        plain = stream.decompress(data, MAX_BYTES + 1)
    except zlib.error as error:
        raise FormatError(f"not gzip: {error}") from error
    if len(plain) > MAX_BYTES:
        raise TooLarge(f"more than {MAX_BYTES} bytes, unpacked")
    if not stream.eof or stream.unused_data:
        raise FormatError("not one whole gzip stream")
    return plain


def decode_json(signal: str, data: bytes) -> list[LogRecord]:
    """Return the records of a JSON body. Raises FormatError."""
    value = _parse_json(data)
    if type(value) is not dict:
        raise FormatError("not a JSON object")
    if signal == "metrics":
        _members(value, "resourceMetrics")
        return []
    return bounded(_json_logs(value) if signal == "logs" else _json_spans(value))


def _parse_json(data: bytes) -> Any:
    """Return the value of a JSON text. Raises FormatError.

    orjson is fast and refuses lone surrogates; but agents written in JavaScript cut long texts in the middle of a character.
    """
    try:
        return orjson.loads(data)
    except ValueError:
        pass
    try:
        return json.loads(data, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"not JSON: {error if isinstance(error, ValueError) else 'nested too deeply'}") from error


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def bounded(records: Iterator[LogRecord]) -> list[LogRecord]:
    """Return all the records. Raises TooLarge where there are more than MAX_RECORDS."""
    found = []
    for record in records:
        found.append(record)
        if len(found) > MAX_RECORDS:
            raise TooLarge(f"more than {MAX_RECORDS} records")
    return found


def _json_logs(value: dict[str, Any]) -> Iterator[LogRecord]:
    for service, scope in _scopes(value, "resourceLogs", "scopeLogs"):
        for record in _members(scope, "logRecords"):
            budget = Budget()
            attributes = _json_pairs(record.get("attributes"), budget, 1)
            body = _json_value(record.get("body"), budget, 1)
            at = read_time(record.get("timeUnixNano")) or read_time(record.get("observedTimeUnixNano"))
            yield LogRecord(service, name_event(attributes, record.get("eventName"), body), attributes, body, at)


def _json_spans(value: dict[str, Any]) -> Iterator[LogRecord]:
    for service, scope in _scopes(value, "resourceSpans", "scopeSpans"):
        for span in _members(scope, "spans"):
            for event in _members(span, "events"):
                attributes = _json_pairs(event.get("attributes"), Budget(), 1)
                name = name_event(attributes, event.get("name"), None)
                yield LogRecord(service, name, attributes, None, read_time(event.get("timeUnixNano")), True)


def _scopes(value: dict[str, Any], resources: str, scopes: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for resource in _members(value, resources):
        described = resource.get("resource")
        if described is not None and type(described) is not dict:
            raise FormatError("`resource` is not an object")
        attributes = _json_pairs((described or {}).get("attributes"), Budget(), 1)
        for scope in _members(resource, scopes):
            yield name_service(attributes), scope


def _members(value: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """Return the list of objects `name`; nothing where it is missing or null, as protobuf's JSON mapping has it."""
    found = value.get(name)
    if found is None:
        return []
    if type(found) is not list or any(type(item) is not dict for item in found):
        raise FormatError(f"`{name}` is not a list of objects")
    return found


class Budget:
    """Counts the values of one record. Raises TooLarge at more than MAX_VALUES."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = MAX_VALUES

    def spend(self, depth: int) -> None:
        """Count one value at `depth`."""
        self.left -= 1
        if self.left < 0:
            raise TooLarge(f"a record of more than {MAX_VALUES} values")
        if depth > MAX_DEPTH:
            raise FormatError(f"a value nested more than {MAX_DEPTH} deep")


def _json_pairs(value: Any, budget: Budget, depth: int) -> dict[str, Any]:
    """Return a list of KeyValue as a dictionary; of two with one name the last counts."""
    if value is None:
        return {}
    if type(value) is not list:
        raise FormatError("`attributes` is not a list")
    found = {}
    for item in value:
        if type(item) is not dict or type(key := item.get("key")) is not str:
            raise FormatError("an attribute has no key")
        held = item.get("value")
        if type(held) is dict and len(held) == 1 and type(text := held.get("stringValue")) is str:
            budget.spend(depth)
            found[key] = text  # nearly all of them
        else:
            found[key] = _json_value(held, budget, depth)
    return found


def _json_value(value: Any, budget: Budget, depth: int) -> Any:
    """Return what an AnyValue holds; None for the empty one."""
    budget.spend(depth)
    if value is None or value == {}:
        return None
    if type(value) is not dict or len(value) != 1:
        raise FormatError("a value is not one of OTLP's AnyValue")
    ((kind, held),) = value.items()
    if kind == "stringValue" and type(held) is str:
        return held
    if kind == "intValue":
        return _read_integer(held)
    if kind == "boolValue" and type(held) is bool:
        return held
    if kind == "doubleValue" and type(held) in (int, float, str):
        return _read_double(held)
    if kind == "bytesValue" and type(held) is str:
        return _read_bytes(held)
    if kind in ("arrayValue", "kvlistValue") and type(held) is dict:
        items = held.get("values")
        if kind == "kvlistValue":
            return _json_pairs(items, budget, depth + 1)
        if items is None or type(items) is list:
            return [_json_value(item, budget, depth + 1) for item in items or ()]
    raise FormatError("a value is not one of OTLP's AnyValue")


def _read_integer(value: Any) -> int:
    """Return an int64, which JSON spells as a number or as a string."""
    if type(value) is str and 0 < len(value) <= 20 and value.lstrip("-").isascii() and value.lstrip("-").isdigit():
        value = int(value)
    if type(value) is not int or not -_MAX_INT64 <= value < _MAX_INT64:
        raise FormatError("an intValue is not a 64-bit integer")
    return value


def _read_double(value: Any) -> Any:
    """Return a double, or the string that stands for one which JSON has no number for (`NaN`)."""
    if type(value) is not str:
        return value
    if value not in ("NaN", "Infinity", "-Infinity"):
        raise FormatError("a doubleValue is not a number")
    return value


def _read_bytes(value: str) -> bytes:
    try:
        return b64decode(value, validate=True)
    except ValueError as error:
        raise FormatError("a bytesValue is not base64") from error


def read_time(value: Any) -> int:
    """Return milliseconds of a time in nanoseconds (number or string), or 0 for none, or for what no clock shows."""
    if type(value) is str and len(value) <= 20 and value.isascii() and value.isdigit():
        value = int(value)
    if type(value) is not int or not 0 <= value < _MAX_INT64:
        return 0
    return value // 1_000_000


def name_service(attributes: dict[str, Any]) -> str:
    """Return the resource's service.name, or an empty string."""
    name = attributes.get("service.name")
    return name if type(name) is str else ""


def name_event(attributes: dict[str, Any], name: Any, body: Any) -> str:
    """Return an event's name: its attribute (some agents give the name of a source line otherwise), its own, or its body."""
    for said in (attributes.get("event.name"), name, body):
        if type(said) is str and said:
            return said
    return ""


# Answers


def format_response(signal: str, protobuf: bool, rejected: int, message: str) -> bytes:
    """Return the response to a request that was taken; `rejected` of its records were not (OTLP: partial success)."""
    if protobuf:
        inner = (_varint_field(1, rejected) if rejected else b"") + (_text_field(2, message) if message else b"")
        return _bytes_field(1, inner) if inner else b""
    if not rejected and not message:
        return b"{}"
    name = {"logs": "rejectedLogRecords", "traces": "rejectedSpans", "metrics": "rejectedDataPoints"}[signal]
    return json.dumps({"partialSuccess": {name: str(rejected), "errorMessage": message}}).encode()


def format_status(protobuf: bool, code: int, message: str) -> bytes:
    """Return a `google.rpc.Status`, the body of every failure; `code` is that of gRPC."""
    if protobuf:
        return _varint_field(1, code) + _text_field(2, message)
    return json.dumps({"code": code, "message": message}).encode()


def _varint_field(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _text_field(number: int, text: str) -> bytes:
    return _bytes_field(number, text.encode("utf-8", "replace"))


def _bytes_field(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    """Return a base-128 varint (protobuf encoding)."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
