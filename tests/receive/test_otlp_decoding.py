"""Bytes to records: JSON and protobuf say the same, and no bytes do anything but that or a FormatError."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import FormatError
from ledger.receive import otlp

_TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
_HELD = st.recursive(
    st.one_of(
        _TEXT.map(lambda text: {"stringValue": text}),
        st.booleans().map(lambda flag: {"boolValue": flag}),
        st.integers(-(1 << 63), (1 << 63) - 1).map(lambda number: {"intValue": str(number)}),
        st.floats(allow_nan=False, allow_infinity=False, width=32).map(lambda number: {"doubleValue": number}),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: {"arrayValue": {"values": items}}),
        st.dictionaries(_TEXT, inner, max_size=3).map(
            lambda items: {"kvlistValue": {"values": [{"key": key, "value": held} for key, held in items.items()]}}
        ),
    ),
    max_leaves=8,
)
_RECORDS = st.lists(
    st.fixed_dictionaries(
        {
            "timeUnixNano": st.integers(0, (1 << 63) - 1).map(str),
            "attributes": st.dictionaries(_TEXT, _HELD, max_size=4).map(
                lambda items: [{"key": key, "value": held} for key, held in items.items()]
            ),
            "body": _HELD,
        }
    ),
    max_size=4,
)
_JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), _TEXT),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.sampled_from(
                ["resourceLogs", "scopeLogs", "logRecords", "attributes", "key", "value", "body", "arrayValue", "values"]
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=20,
)


def request(records: list[dict[str, Any]]) -> bytes:
    """Return a request with these log records."""
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "codex_exec"}}]}
    return json.dumps({"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": records}]}]}).encode()


@given(_RECORDS)
def test_both_encodings_hold_the_same_records(records: list[dict[str, Any]]) -> None:
    """What the library makes of a JSON body as protobuf is read as the JSON body itself is."""
    logs = pytest.importorskip("opentelemetry.proto.collector.logs.v1.logs_service_pb2", reason="the extra `otlp` is missing")
    from google.protobuf.json_format import Parse

    from ledger.receive.protobuf import decode_protobuf

    data = request(records)
    message = Parse(data.decode(), logs.ExportLogsServiceRequest()).SerializeToString()
    found = otlp.decode_json("logs", data)
    assert decode_protobuf("logs", message) == found
    assert len(found) == len(records)
    assert all(record.service == "codex_exec" for record in found)


@given(st.one_of(st.binary(max_size=200), _JSON.map(lambda value: json.dumps(value).encode())), st.sampled_from(otlp.SIGNALS))
def test_any_body_is_read_or_refused(data: bytes, signal: str) -> None:
    """Whatever bytes come as JSON: records, or FormatError."""
    try:
        records = otlp.decode_json(signal, data)
    except FormatError:
        return
    assert all(isinstance(record.attributes, dict) and record.at_ms >= 0 for record in records)


@given(st.binary(max_size=300), st.sampled_from(otlp.SIGNALS))
def test_any_protobuf_is_read_or_refused(data: bytes, signal: str) -> None:
    """Whatever bytes come as protobuf: records, or FormatError."""
    pytest.importorskip("opentelemetry.proto", reason="the extra `otlp` is missing")
    from ledger.receive.protobuf import decode_protobuf

    try:
        decode_protobuf(signal, data)
    except FormatError:
        pass


@given(st.binary(max_size=500), st.integers(0, 500), st.integers(0, 255))
def test_a_packed_body_is_whole_or_refused(data: bytes, at: int, byte: int) -> None:
    """Packing and unpacking gives the body back; a flipped byte never gives another one."""
    packed = gzip.compress(data, mtime=0)
    assert otlp.decompress(packed, "gzip") == data
    damaged = bytearray(packed)
    damaged[at % len(packed)] = byte
    try:
        assert otlp.decompress(bytes(damaged), "gzip") == data  # in a member of the header that says nothing of the data
    except FormatError:
        pass


@pytest.mark.parametrize("size", range(40))
def test_every_prefix_of_a_packed_body_is_refused(size: int) -> None:
    """A stream that breaks off is no stream."""
    packed = gzip.compress(b"what was said" * 5)
    with pytest.raises(FormatError):
        otlp.decompress(packed[: min(size, len(packed) - 1)], "gzip")


def test_answers_are_what_the_library_reads() -> None:
    """Responses and failures in protobuf, made by hand, are read by the library as they were meant."""
    logs = pytest.importorskip("opentelemetry.proto.collector.logs.v1.logs_service_pb2", reason="the extra `otlp` is missing")
    assert otlp.format_response("logs", True, 0, "") == logs.ExportLogsServiceResponse().SerializeToString()
    for rejected in (1, 127, 128, 20_000, 1 << 40):
        said = logs.ExportLogsServiceResponse.FromString(otlp.format_response("logs", True, rejected, "what ü"))
        assert (said.partial_success.rejected_log_records, said.partial_success.error_message) == (rejected, "what ü")
    assert json.loads(otlp.format_response("traces", False, 3, "x"))["partialSuccess"]["rejectedSpans"] == "3"
