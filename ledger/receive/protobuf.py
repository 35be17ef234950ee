"""OTLP's protobuf encoding, by way of `opentelemetry-proto`: an optional library that is known in this module alone.

Its messages are decoded in C, into memory some ten times the size of the bytes: so the number of messages is looked at before, by
walking the first three levels of the encoding without decoding it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ledger.errors import FormatError
from ledger.receive.otlp import (
    MAX_RECORDS,
    Budget,
    LogRecord,
    TooLarge,
    bounded,
    name_event,
    name_service,
    read_time,
)

REMEDY = "install it with `pipx inject git-ledger opentelemetry-proto` or as the extra `otlp`, or let the agent send JSON"
_MAX_MESSAGES = 4 * MAX_RECORDS


def is_available() -> bool:
    """Say whether the library is installed. It is loaded by the first request in protobuf, which takes some 40 ms."""
    from importlib.util import find_spec

    try:
        return find_spec("opentelemetry.proto.collector.logs.v1.logs_service_pb2") is not None
    except (ImportError, ValueError):
        return False


def decode_protobuf(signal: str, data: bytes) -> list[LogRecord]:
    """Return the records of a protobuf body. Raises FormatError; ImportError where the library is not installed."""
    from google.protobuf.message import DecodeError

    _check_messages(data, 3, [0])
    message = _new_request(signal)
    try:
        message.ParseFromString(data)
    except (DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise FormatError(f"not protobuf of this signal: {str(error)[:100]}") from error
    if signal == "metrics":
        return []
    return bounded(_logs(message) if signal == "logs" else _spans(message))


def _new_request(signal: str) -> Any:
    if signal == "logs":
        from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

        return ExportLogsServiceRequest()
    if signal == "traces":
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        return ExportTraceServiceRequest()
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

    return ExportMetricsServiceRequest()


def _logs(message: Any) -> Iterator[LogRecord]:
    for resource in message.resource_logs:
        service = name_service(_pairs(resource.resource.attributes, Budget(), 1))
        for scope in resource.scope_logs:
            for record in scope.log_records:
                budget = Budget()
                attributes = _pairs(record.attributes, budget, 1)
                body = _value(record.body, budget, 1)
                at = read_time(record.time_unix_nano) or read_time(record.observed_time_unix_nano)
                yield LogRecord(service, name_event(attributes, getattr(record, "event_name", ""), body), attributes, body, at)


def _spans(message: Any) -> Iterator[LogRecord]:
    for resource in message.resource_spans:
        service = name_service(_pairs(resource.resource.attributes, Budget(), 1))
        for scope in resource.scope_spans:
            for span in scope.spans:
                for event in span.events:
                    attributes = _pairs(event.attributes, Budget(), 1)
                    name = name_event(attributes, event.name, None)
                    yield LogRecord(service, name, attributes, None, read_time(event.time_unix_nano), True)


def _pairs(values: Any, budget: Budget, depth: int) -> dict[str, Any]:
    return {pair.key: _value(pair.value, budget, depth) for pair in values}


def _value(value: Any, budget: Budget, depth: int) -> Any:
    """Return what an AnyValue holds; None for the empty one."""
    budget.spend(depth)
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    held = getattr(value, kind)
    if kind == "array_value":
        return [_value(item, budget, depth + 1) for item in held.values]
    if kind == "kvlist_value":
        return _pairs(held.values, budget, depth + 1)
    if kind == "double_value" and (held != held or held in (float("inf"), float("-inf"))):
        return "NaN" if held != held else "Infinity" if held > 0 else "-Infinity"  # as OTLP's JSON has it
    return held if kind in ("string_value", "int_value", "bool_value", "double_value", "bytes_value") else None


def _check_messages(data: bytes | memoryview, levels: int, seen: list[int]) -> None:
    """Count the length-delimited fields of the outermost `levels` levels. Raises TooLarge, or FormatError where they do not fit."""
    view, at = memoryview(data), 0
    while at < len(view):
        tag, at = _read_varint(view, at)
        kind = tag & 7
        if kind == 0:
            _, at = _read_varint(view, at)
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        elif kind == 2:
            size, at = _read_varint(view, at)
            if size > len(view) - at:
                raise FormatError("a protobuf field reaches beyond the body")
            seen[0] += 1
            if seen[0] > _MAX_MESSAGES:
                raise TooLarge(f"more than {_MAX_MESSAGES} messages")
            # Field 1 of the resource and of the scope describes it; what repeats is field 2 there, and field 1 of the request.
            if levels > 1 and tag >> 3 == (1 if levels == 3 else 2):
                _check_messages(view[at : at + size], levels - 1, seen)
            at += size
        else:
            raise FormatError("not protobuf: a group, or an unknown wire type")
    if at > len(view):
        raise FormatError("a protobuf field reaches beyond the body")


def _read_varint(view: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(view):
            break
        byte = view[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise FormatError("not protobuf: a number does not end")
