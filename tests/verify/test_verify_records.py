"""The quick way of reading records and the slow one give the same answers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from simulator import LogSimulator, members_of

from ledger.core.canonical import format_canonical
from ledger.core.entry import parse_record
from ledger.errors import FormatError
from ledger.verify import records
from ledger.verify.records import RecordReader

_SIM = LogSimulator()
_SIM.append("prompt.submitted", payloads={"prompt": b"a"}, session="s", turn="t")
_SIM.append(
    "tool.requested", {"tool": "Bash", "deep": [{"a": [1, None, True]}]}, payloads={"a": b"1", "b": b"2"}, call="c", cause=1
)
_SIM.append("plan.updated", {"é": "ü", "\U0001f600": "\u2028", "\ue000": 1})
_SIM.append("made.up", {})
RECORDS = _SIM.records()

_scalars = st.none() | st.booleans() | st.integers(-(2**54), 2**54) | st.floats() | st.text(max_size=5) | st.just("\ud800")
_values = st.recursive(
    _scalars, lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=3), v, max_size=3), max_leaves=8
)
_names = st.sampled_from([*members_of(RECORDS[2]), "session", "turn", "extra"])


def read_both(reader: RecordReader, data: bytes) -> tuple[Any, Any]:
    """Return what either way makes of `data`: a record, or None where it is refused."""
    try:
        slow = parse_record(data)
    except FormatError:
        slow = None
    try:
        quick = reader.read(data, "f" * 64)
    except FormatError:
        quick = None
    return slow, quick


def warm() -> RecordReader:
    """Return a reader that has met every record of the log, so that it takes the quick way where it can."""
    reader = RecordReader()
    for record in RECORDS:
        assert reader.read(record, "") == parse_record(record)
    return reader


def frame(text: bytes, sig: bytes = RECORDS[2][-98:]) -> bytes:
    """Return the record that has `text` where its entry should be."""
    return b'{"entry":' + text + sig


def test_good_records_read_alike_cold_and_warm() -> None:
    """Every well-formed record gives the same value by both ways, whatever was read before it."""
    reader = warm()
    for record in RECORDS:
        slow, quick = read_both(reader, record)
        assert slow is not None and slow == quick
        assert type(quick.entry) is type(slow.entry) and [type(v) for v in quick.entry] == [type(v) for v in slow.entry]


@pytest.mark.parametrize("index", range(len(RECORDS)))
def test_every_flipped_bit_reads_alike(index: int) -> None:
    """After any one flipped bit, both ways refuse or both return the same record."""
    reader = warm()
    for place in range(len(RECORDS[index])):
        for bit in range(8):
            data = bytearray(RECORDS[index])
            data[place] ^= 1 << bit
            slow, quick = read_both(reader, bytes(data))
            assert slow == quick, (place, bit)


@settings(derandomize=True, deadline=None, max_examples=600, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(RECORDS[1:]), _names, _values, st.booleans())
def test_any_member_replaced_reads_alike(record: bytes, name: str, value: Any, drop: bool) -> None:
    """With any member replaced by any value, or left out, both ways agree, whether it can be spelled canonically or not."""
    members = members_of(record)
    members.pop(name, None)
    if not drop:
        members[name] = value
    import orjson

    for spell in (format_canonical, lambda v: orjson.dumps(v, option=orjson.OPT_SORT_KEYS)):
        try:
            text = spell(members)
        except (FormatError, TypeError):
            continue
        slow, quick = read_both(warm(), frame(text))
        assert slow == quick


@settings(derandomize=True, deadline=None, max_examples=300, suppress_health_check=list(HealthCheck))
@given(_values)
def test_any_body_reads_alike(value: Any) -> None:
    """A body of any value, reals, depth and surrogates included, is judged alike."""
    import orjson

    members = {**members_of(RECORDS[2]), "body": {"x": value}}
    try:
        text = orjson.dumps(members, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        return
    slow, quick = read_both(warm(), frame(text))
    assert slow == quick


@pytest.mark.parametrize(
    "text",
    {
        "a list with the members' names": format_canonical(sorted(members_of(RECORDS[2]))),
        "null": b"null",
        "nothing": b"",
        "a duplicate": b'{"a":1,"a":1}',
        "a deep list": b"[" * 100_000 + b"]" * 100_000,
        "a huge integer": b'{"a":' + b"9" * 5000 + b"}",
        "NaN": b'{"a":NaN}',
    }.items(),
    ids=lambda item: item[0],
)
def test_odd_texts_read_alike(text: tuple[str, bytes]) -> None:
    """Texts that are no entry at all are refused by both ways."""
    assert read_both(warm(), frame(text[1])) == (None, None)


@pytest.mark.parametrize("depth", range(10, 20))
@pytest.mark.parametrize("kind", ["list", "object"])
def test_depth_is_judged_alike(depth: int, kind: str) -> None:
    """Nesting is taken up to sixteen levels and not beyond, by both ways."""
    opened, closed = (b"[", b"]") if kind == "list" else (b'{"a":', b"}")
    inner = b'{"x":' + opened * depth + b"1" + closed * depth + b"}"
    entry = format_canonical(members_of(RECORDS[4])).replace(b'"body":{}', b'"body":' + inner)
    slow, quick = read_both(warm(), frame(entry))
    assert slow == quick
    assert (slow is not None) == (depth <= 13)


def test_a_flood_of_novelties_does_not_fill_the_memory() -> None:
    """A log whose every entry has a new kind makes the reader forget, not grow."""
    sim, reader = LogSimulator(), RecordReader()
    first = members_of(RECORDS[4])
    for number in range(5000):
        first["kind"] = f"made.up{number}"
        record = frame(format_canonical(first))
        assert reader.read(record, "").entry.kind == first["kind"]
    assert len(reader._sayers) < 5000
    assert sim.name


@pytest.mark.parametrize(
    "minute", ["2026-02-29T00:00:", "2026-13-01T00:00:", "2026-01-02T24:00:", "0000-01-01T00:00:", "2026-1-020T3:60:"]
)
def test_minutes_that_the_calendar_has_not_are_refused(minute: str) -> None:
    """A minute that was not met before is looked up in the calendar, and refused as the slow way refuses it."""
    sim = LogSimulator()
    sim.append("message.sent")
    reader = RecordReader()
    for record in sim.records():
        reader.read(record, "")
    sim.append("message.sent", at=f"{minute}00.000Z")
    assert read_both(reader, sim.records()[-1]) == (None, None)


def test_new_minutes_take_the_quick_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Records of ever new minutes are not parsed twice, and do not fill the memory."""
    sim = LogSimulator()
    for number in range(40):
        sim.append("message.sent", at=f"2026-01-02T03:{number:02}:00.000Z")
    slow: list[bytes] = []
    monkeypatch.setattr(records, "parse_record", lambda data: slow.append(data) or parse_record(data))
    reader = RecordReader()
    for record in sim.records():
        reader.read(record, "")
    assert len(slow) == 2  # the genesis, and the first of its shape
