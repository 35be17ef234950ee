"""Entries and records: exact twins, and every member broken one at a time."""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulator import LogSimulator, members_of

from ledger.core.canonical import MAX_INTEGER, format_canonical, parse_canonical
from ledger.core.ed25519 import check_sshsig
from ledger.core.entry import (
    MAX_RECORD_BYTES,
    Entry,
    format_entry,
    format_record,
    hash_record,
    parse_entry,
    parse_record,
)
from ledger.core.kinds import ACTOR_TYPES, SOURCES
from ledger.core.payload import PayloadRef
from ledger.core.sshsig import ENTRY_NAMESPACE, parse_public_key
from ledger.errors import FormatError, TrustError

KEY = "SHA256:lbmsoA0yIEcEiVDRnMWuzm+nV+3ZEEpVIURqFoeSspg"
HEX32, HEX64 = "0123456789abcdef" * 2, "0123456789abcdef" * 4
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
SOME_TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=10)
COUNT = st.integers(0, MAX_INTEGER)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-MAX_INTEGER, MAX_INTEGER) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
REF = st.builds(
    PayloadRef,
    name=st.from_regex(r"[a-z][a-z0-9_.-]{0,6}", fullmatch=True),
    commitment=st.binary(min_size=32, max_size=32).map(bytes.hex),
    size=COUNT,
    media=SOME_TEXT,
)


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    """Draw any well-formed entry."""
    seq = draw(st.just(0) | COUNT)
    refs = draw(st.lists(REF, max_size=3, unique_by=lambda ref: ref.name))
    actor_type = draw(st.sampled_from(sorted(ACTOR_TYPES)))
    named = actor_type != "human" and draw(st.booleans())
    at = draw(st.datetimes())
    return Entry(
        v=1,
        log=draw(st.binary(min_size=16, max_size=16)).hex() if seq else "",
        seq=seq,
        prev=(draw(st.binary(min_size=31, max_size=31)) + b"\1").hex() if seq else "0" * 64,
        key="SHA256:" + b64encode(draw(st.binary(min_size=32, max_size=32))).decode().rstrip("="),
        at=f"{at:%m-%dT%H:%M:%S}".join([f"{at.year:04}-", f".{at.microsecond // 1000:03}Z"]),
        kind=draw(st.from_regex(r"[a-z][a-z0-9-]{0,8}\.[a-z][a-z0-9-]{0,8}", fullmatch=True)),
        source=draw(st.sampled_from(sorted(SOURCES))),
        actor={"type": actor_type, "name": draw(SOME_TEXT)} if named else {"type": actor_type},
        body=draw(st.dictionaries(TEXT, JSON, max_size=3)),
        session=draw(st.none() | SOME_TEXT),
        turn=draw(st.none() | SOME_TEXT),
        call=draw(st.none() | SOME_TEXT),
        cause=draw(st.none() | st.integers(0, seq - 1)) if seq else None,
        payloads=tuple(sorted(refs)),
    )


@settings(derandomize=True, deadline=None)
@given(entries())
def test_parsing_gives_back_the_entry(entry: Entry) -> None:
    """What was formatted parses to the same entry, and formats to the very same bytes."""
    data = format_entry(entry)
    assert parse_entry(data) == entry
    assert format_entry(parse_entry(data)) == data


@settings(derandomize=True, deadline=None)
@given(entries(), st.binary(min_size=64, max_size=64))
def test_a_record_is_canonical_json_of_its_own(entry: Entry, signature: bytes) -> None:
    """A record holds the entry's bytes unchanged, and any JCS library can rebuild it."""
    entry_bytes = format_entry(entry)
    record = format_record(entry_bytes, signature)
    assert parse_record(record) == (entry, entry_bytes, signature)
    assert record == format_canonical({"entry": parse_canonical(entry_bytes), "sig": b64encode(signature).decode()})


def good_members() -> dict[str, Any]:
    """Return the members of an entry that has all of them."""
    return {
        "v": 1,
        "log": HEX32,
        "seq": 7,
        "prev": HEX64,
        "key": KEY,
        "at": "2026-01-02T03:04:05.678Z",
        "kind": "tool.finished",
        "source": "hook",
        "actor": {"type": "tool", "name": "Bash"},
        "body": {},
        "session": "s",
        "turn": "t",
        "call": "c",
        "cause": 6,
        "payloads": [
            {"name": "effects", "commitment": HEX64, "size": 1, "media": "application/json"},
            {"name": "output", "commitment": HEX64, "size": 0, "media": "text/plain"},
        ],
    }


def replaced(name: str, value: Any) -> Callable[[dict[str, Any]], None]:
    """Return an edit that sets a member."""
    return lambda members: members.update({name: value})


def payload(**more: Any) -> list[dict[str, Any]]:
    """Return `payloads` with one reference in which something is different."""
    return [{"name": "output", "commitment": HEX64, "size": 0, "media": "text/plain", **more}]


BAD_VALUES: dict[str, dict[str, Any]] = {
    "v": {"zero": 0, "two": 2, "true": True, "a string": "1", "null": None},
    "log": {
        "empty behind the genesis": "",
        "short": HEX32[1:],
        "long": HEX32 + "0",
        "upper case": HEX32.upper(),
        "a number": 1,
        "a newline": HEX32[1:] + "\n",
    },
    "seq": {"negative": -1, "true": True, "a string": "7", "null": None, "zero with a log": 0, "a list": []},
    "prev": {
        "short": HEX64[1:],
        "long": HEX64 + "0",
        "upper case": HEX64.upper(),
        "zeros behind the genesis": "0" * 64,
        "null": None,
    },
    "key": {
        "another hash": KEY.replace("SHA256", "MD5"),
        "padded": KEY + "=",
        "a digit short": KEY[:-1],
        "bits too many": KEY[:-1] + "h",
        "url-safe": KEY.replace("+", "-"),
        "null": None,
    },
    "at": {
        "no milliseconds": "2026-01-02T03:04:05Z",
        "microseconds": "2026-01-02T03:04:05.678000Z",
        "an offset": "2026-01-02T03:04:05.678+00:00",
        "a space": "2026-01-02 03:04:05.678Z",
        "month 13": "2026-13-02T03:04:05.678Z",
        "month 0": "2026-00-02T03:04:05.678Z",
        "day 0": "2026-01-00T03:04:05.678Z",
        "30 February": "2024-02-30T03:04:05.678Z",
        "29 February in a common year": "2026-02-29T03:04:05.678Z",
        "29 February 1900": "1900-02-29T03:04:05.678Z",
        "31 April": "2026-04-31T03:04:05.678Z",
        "hour 24": "2026-01-02T24:00:00.000Z",
        "minute 60": "2026-01-02T03:60:05.678Z",
        "a leap second": "2026-01-02T23:59:60.000Z",
        "year 0": "0000-01-02T03:04:05.678Z",
        "other digits": "２026-01-02T03:04:05.678Z",
        "a newline": "2026-01-02T03:04:05.678Z\n",
        "a number": 1767323045678,
    },
    "kind": {
        "no dot": "tool",
        "two dots": "tool.finished.twice",
        "upper case": "Tool.finished",
        "an empty family": ".finished",
        "an empty fact": "tool.",
        "a digit first": "1tool.finished",
        "a space": "tool. finished",
        "65 characters": "t." + "a" * 63,
        "a newline": "tool.finished\n",
        "a list": ["tool.finished"],
    },
    "source": {"unknown": "rumour", "empty": "", "null": None, "a list": ["hook"], "an object": {}},
    "actor": {
        "a string": "agent",
        "no type": {"name": "codex"},
        "an unknown type": {"type": "robot"},
        "a type that is a list": {"type": ["agent"]},
        "a type that is an object": {"type": {}},
        "an empty name": {"type": "agent", "name": ""},
        "a null name": {"type": "agent", "name": None},
        "a name that is a number": {"type": "agent", "name": 1},
        "a human with a name": {"type": "human", "name": "Ada"},
        "another member": {"type": "agent", "name": "codex", "mood": "good"},
        "another member instead of a name": {"type": "agent", "mood": "good"},
        "null": None,
    },
    "body": {"null": None, "a list": [], "a string": "{}"},
    "session": {"empty": "", "null": None, "a number": 1, "513 characters": "x" * 513},
    "turn": {"empty": "", "null": None, "a list": ["t"], "513 characters": "é" * 513},
    "call": {"empty": "", "null": None, "true": True, "513 characters": "x" * 513},
    "cause": {"itself": 7, "later": 8, "negative": -1, "null": None, "true": True, "a string": "6"},
    "payloads": {
        "empty": [],
        "null": None,
        "an object": {},
        "a string in it": ["output"],
        "no media": [{"name": "output", "commitment": HEX64, "size": 0}],
        "another member": payload(salt=HEX64),
        "an empty name": payload(name=""),
        "an upper-case name": payload(name="Output"),
        "a name of 65 characters": payload(name="a" * 65),
        "a name that is a list": payload(name=[]),
        "a short commitment": payload(commitment=HEX64[1:]),
        "an upper-case commitment": payload(commitment=HEX64.upper()),
        "a null commitment": payload(commitment=None),
        "a negative size": payload(size=-1),
        "size true": payload(size=True),
        "an empty media": payload(media=""),
        "a media of 256 characters": payload(media="x" * 256),
        "a null media": payload(media=None),
        "a name twice": payload() + payload(),
        "names out of order": payload() + payload(name="effects"),
    },
}
BAD_CASES = [pytest.param(name, value, id=f"{name}: {case}") for name, cases in BAD_VALUES.items() for case, value in cases.items()]


def test_the_good_members_are_good() -> None:
    """The entry that the cases below break is itself well formed, also with its limits exhausted."""
    members = good_members()
    assert format_entry(parse_entry(format_canonical(members))) == format_canonical(members)
    members.update(session="é" * 512, kind="t." + "a" * 62, at="2000-02-29T23:59:59.999Z", cause=0)
    members["payloads"] = payload(name="a" * 64, media="x" * 255, size=MAX_INTEGER)
    assert format_entry(parse_entry(format_canonical(members))) == format_canonical(members)


@pytest.mark.parametrize(("name", "value"), BAD_CASES)
def test_a_member_of_another_form_is_refused(name: str, value: Any) -> None:
    """Every member is checked, and what is wrong raises FormatError and nothing else."""
    members = good_members()
    members[name] = value
    with pytest.raises(FormatError):
        parse_entry(format_canonical(members))


@pytest.mark.parametrize("name", sorted({"v", "log", "seq", "prev", "key", "at", "kind", "source", "actor", "body"}))
def test_a_missing_member_is_refused(name: str) -> None:
    """The first ten members are always there."""
    members = good_members()
    del members[name]
    with pytest.raises(FormatError, match="missing"):
        parse_entry(format_canonical(members))


@pytest.mark.parametrize("name", ["sig", "V", "payload", "", "basis"])
def test_an_unknown_member_is_refused(name: str) -> None:
    """An entry has no other members than the specification's."""
    with pytest.raises(FormatError, match="unknown"):
        parse_entry(format_canonical({**good_members(), name: 1}))


@pytest.mark.parametrize(
    "more", [{"log": HEX32}, {"prev": HEX64}, {"cause": 0}], ids=["a log", "another prev than zeros", "a cause"]
)
def test_a_genesis_names_nothing_before_it(more: dict[str, Any]) -> None:
    """The genesis has no log, no predecessor and no cause."""
    members = {**good_members(), "seq": 0, "log": "", "prev": "0" * 64}
    del members["cause"]
    parse_entry(format_canonical(members))
    with pytest.raises(FormatError):
        parse_entry(format_canonical({**members, **more}))


@pytest.mark.parametrize("value", [[], "entry", 1, None, True])
def test_an_entry_is_an_object(value: Any) -> None:
    """Other JSON is no entry."""
    with pytest.raises(FormatError):
        parse_entry(format_canonical(value))


def test_the_writer_refuses_what_the_reader_does() -> None:
    """An entry that could not be read back is not written."""
    entry = parse_entry(format_canonical(good_members()))
    for change in (
        {"session": ""},
        {"cause": 7},
        {"body": {"n": 0.5}},
        {"kind": "nothing"},
        {"actor": {"type": "human", "name": "x"}},
    ):
        with pytest.raises(FormatError):
            format_entry(entry._replace(**change))


def test_depth_counts_from_the_record() -> None:
    """The record is level 1 and the entry level 2, so a body may hold thirteen more levels."""
    body: Any = {}
    for _ in range(13):
        body = {"a": body}
    record = format_record(format_canonical({**good_members(), "body": body}), bytes(64))
    assert parse_canonical(record)["entry"]["body"] == body
    assert parse_record(record).entry.body == body
    with pytest.raises(FormatError, match="nested"):
        parse_record(format_record(format_canonical({**good_members(), "body": {"a": body}}, depth=99), bytes(64)))


def test_a_record_of_one_mebibyte_is_the_largest() -> None:
    """One byte more is refused by the writer and by the reader."""
    members = good_members()
    frame = len(format_record(format_canonical(members), bytes(64)))
    members["body"] = {"a": "x" * (MAX_RECORD_BYTES - frame - len('"a":""'))}
    entry = format_canonical(members)
    record = format_record(entry, bytes(64))
    assert len(record) == MAX_RECORD_BYTES
    assert parse_record(record).entry_bytes == entry
    members["body"]["a"] += "x"
    longer = format_canonical(members)
    with pytest.raises(FormatError, match="larger"):
        format_record(longer, bytes(64))
    with pytest.raises(FormatError, match="larger"):
        parse_record(record.replace(entry, longer))


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(lambda record: record + b"\n", id="a newline"),
        pytest.param(lambda record: b" " + record, id="a space before"),
        pytest.param(lambda record: record.replace(b'"sig":"', b'"sig": "'), id="a space inside"),
        pytest.param(lambda record: record[:-4] + b'A="}', id="padding too short"),
        pytest.param(lambda record: record[:-5] + b'B=="}', id="bits behind the signature"),
        pytest.param(lambda record: record[:-2] + b'A"}', id="a signature too long"),
        pytest.param(lambda record: record[:-3] + b'"}', id="padding cut"),
        pytest.param(lambda record: record[:-4] + b'="}', id="one digit missing"),
        pytest.param(lambda record: record.replace(b'{"entry":', b'{"Entry":'), id="another name"),
        pytest.param(lambda record: record[:-1] + b',"x":1}', id="a third member"),
        pytest.param(lambda record: record[:-5] + b'_=="}', id="url-safe base64"),
    ],
)
def test_another_spelling_of_a_record_is_refused(edit: Callable[[bytes], bytes]) -> None:
    """There is one spelling of a record."""
    record = format_record(format_canonical(good_members()), bytes(64))
    assert parse_record(record)
    with pytest.raises(FormatError):
        parse_record(edit(record))


def test_a_signature_of_another_length_is_our_own_mistake() -> None:
    """Asking for a record of a signature that is no Ed25519 signature is a programming error."""
    with pytest.raises(ValueError, match="64 bytes"):
        format_record(format_canonical(good_members()), bytes(63))


def test_every_flipped_bit_shows() -> None:
    """Each single bit flip of a signed record is refused, or changes its hash and breaks its signature."""
    sim = LogSimulator()
    sim.append("prompt.submitted", {"model": "m"}, payloads={"prompt": b"p"}, session="s")
    record, public_key = sim.records()[1], parse_public_key(sim.public_key)
    for place in range(len(record)):
        for bit in range(8):
            changed = bytearray(record)
            changed[place] ^= 1 << bit
            assert hash_record(bytes(changed)) != hash_record(record)
            with pytest.raises((FormatError, TrustError)):
                _, entry_bytes, signature = parse_record(bytes(changed))
                check_sshsig(public_key, ENTRY_NAMESPACE, entry_bytes, signature)


def test_every_truncation_is_refused() -> None:
    """No proper beginning or end of a record is a record."""
    sim = LogSimulator()
    record = sim.records()[0]
    for place in range(len(record)):
        with pytest.raises(FormatError):
            parse_record(record[:place])
        with pytest.raises(FormatError):
            parse_record(record[place + 1 :])


@settings(derandomize=True, deadline=None)
@given(st.data())
def test_a_spliced_record_never_crashes(data: st.DataObject) -> None:
    """Any value in any member gives FormatError or a record that formats back to the same bytes."""
    members = good_members()
    members[data.draw(st.sampled_from(sorted(members)))] = data.draw(JSON)
    record = format_record(format_canonical(members, depth=20), os.urandom(64))
    try:
        entry, _, signature = parse_record(record)
    except FormatError:
        return
    assert format_record(format_entry(entry), signature) == record


def test_the_simulator_writes_records() -> None:
    """What the simulator makes are records with the members it was told."""
    sim = LogSimulator()
    sim.append("tool.requested", {"tool": "Bash"}, call="c-1")
    entry = parse_record(sim.records()[1]).entry
    assert (entry.kind, entry.call, entry.log, entry.seq) == ("tool.requested", "c-1", sim.name, 1)
    assert members_of(sim.records()[1])["body"] == {"tool": "Bash"}
