"""Lines out of pieces, calls out of lines: whatever comes, in bounded memory."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import random
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.receive.conversation import CLIENT, MAX_OPEN, SERVER, Began, Conversation, Ended, Event, Introduced, Missed
from ledger.receive.frames import Frame, Outline, Splitter
from ledger.receive.proxy import FROM_CLIENT, FROM_SERVER, LOST, Copies, Tee

_TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
_JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), _TEXT),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.one_of(_TEXT, st.sampled_from(["id", "method", "params", "name", "result", "error"])), inner, max_size=5
        ),
    ),
    max_leaves=25,
)


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    """Return `data` in pieces."""
    at = [0, *sorted(place % (len(data) + 1) for place in cuts), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(at)]


@given(st.binary(max_size=200), st.lists(st.integers(0, 10_000), max_size=6), st.integers(0, 60))
def test_lines_are_the_same_however_they_are_cut(data: bytes, cuts: list[int], limit: int) -> None:
    """Size, bytes and digest of each line depend on nothing but the bytes."""
    splitter = Splitter(limit)
    frames = [frame for part in cut(data, cuts) for frame in splitter.feed(part)] + list(splitter.end())
    lines = [line for line in data.split(b"\n") if line]
    assert [frame.size for frame in frames] == [len(line) for line in lines]
    for frame, line in zip(frames, lines, strict=True):
        assert frame.whole
        assert frame.data == (line if len(line) <= limit else None)
        assert frame.digest == ("" if len(line) <= limit else hashlib.sha256(line).hexdigest())


@given(_JSON, st.lists(st.integers(0, 10_000), max_size=8))
def test_an_outline_says_what_the_message_says(value: Any, cuts: list[int]) -> None:
    """For any JSON in any pieces: what an outline names is what the message has there."""
    message = value if isinstance(value, dict) else {"id": 1, "params": value}
    outline = Outline()
    for part in cut(json.dumps(message, ensure_ascii=len(cuts) % 2 == 0).encode(), cuts):
        outline.feed(part)
    found = outline.message()
    for name in ("id", "method"):
        said = message.get(name)
        assert found.get(name) == (said if isinstance(said, (str, int)) else None), name
    params = message.get("params")
    said = params.get("name") if isinstance(params, dict) else None
    assert found.get("params", {}).get("name") == (said if isinstance(said, (str, int)) else None)
    assert ("error" in found) == ("error" in message) and ("result" in found) == ("result" in message)


@given(st.binary(max_size=300))
def test_an_outline_of_anything_is_something(data: bytes) -> None:
    """Bytes that are no JSON give an outline, and no error."""
    outline = Outline()
    for byte in data:
        outline.feed(bytes([byte]))
    assert isinstance(outline.message(), dict)


def test_memory_does_not_grow_with_a_line() -> None:
    """Of a line beyond the limit nothing is held."""
    splitter = Splitter(1000)
    for _ in range(1000):
        assert list(splitter.feed(b'{"a":"' + b"x" * 500)) == []
    assert sum(map(len, splitter._held)) == 0
    assert splitter._outline is not None and len(splitter._outline._token) <= 1025


def test_a_line_with_lost_bytes_is_not_taken_for_whole() -> None:
    """What was not seen cannot be understood; the next line can."""
    splitter = Splitter()
    assert list(splitter.feed(b'{"id":')) == []
    splitter.lose()
    first, second = splitter.feed(b'1}\n{"id":2}\n')
    assert (first.data, first.whole, second.data) == (None, False, b'{"id":2}')


def hear(talk: Conversation, direction: str, value: Any, at_ms: int = 0) -> list[Event]:
    """Return what one message means."""
    data = json.dumps(value).encode()
    return list(talk.hear(direction, Frame(data, len(data)), at_ms))


def ask(talk: Conversation, number: Any, tool: str = "t") -> list[Event]:
    """Return what a call means."""
    return hear(talk, CLIENT, {"id": number, "method": "tools/call", "params": {"name": tool}})


def test_ids_of_different_types_are_different() -> None:
    """JSON-RPC tells 1 from "1"; an answer to one is none to the other."""
    talk = Conversation()
    ask(talk, 1)
    ask(talk, "1")
    (ended,) = hear(talk, SERVER, {"id": "1", "result": {}})
    assert isinstance(ended, Ended) and ended.number == 2
    assert talk.open_calls == 1


def test_an_id_used_again_closes_the_call_before() -> None:
    """Whose answer comes next cannot be told for the first: its outcome is unknown."""
    talk = Conversation()
    ask(talk, 1)
    closed, began = ask(talk, 1)
    assert isinstance(closed, Ended) and (closed.outcome, closed.seen) == ("unknown", False)
    assert isinstance(began, Began) and began.number == 2


def test_open_calls_are_bounded() -> None:
    """A client that never gets answers makes the oldest calls end as unknown."""
    talk = Conversation()
    events = [event for number in range(MAX_OPEN + 5) for event in ask(talk, number)]
    assert talk.open_calls == MAX_OPEN
    assert [event.number for event in events if isinstance(event, Ended)] == [1, 2, 3, 4, 5]


def test_answers_to_nobody_and_answers_twice_mean_nothing() -> None:
    """What was not asked for is no result."""
    talk = Conversation()
    assert hear(talk, SERVER, {"id": 1, "result": {}}) == []
    ask(talk, 1)
    assert len(hear(talk, SERVER, [{"id": 1, "result": {}}, {"id": 1, "result": {}}])) == 1
    assert hear(talk, CLIENT, {"id": 1, "result": {}}) == []


def test_each_direction_is_heard_as_what_it_is() -> None:
    """A server that sends a request is not calling a tool; a client that answers is not a result."""
    talk = Conversation()
    assert hear(talk, SERVER, {"id": 1, "method": "tools/call", "params": {"name": "t"}}) == []
    assert talk.open_calls == 0


def test_identities_come_from_either_protocol() -> None:
    """The client names itself in `initialize`, or in the `_meta` of any request; the server in the result."""
    talk = Conversation()
    info = {"io.modelcontextprotocol/clientInfo": {"name": "agent", "version": "2"}}
    hear(talk, CLIENT, {"id": 0, "method": "server/discover", "params": {"_meta": info}})
    (event,) = hear(talk, SERVER, {"id": 0, "result": {"serverInfo": {"name": "s", "version": "1"}, "protocolVersion": "p"}})
    assert isinstance(event, Introduced)
    assert event.identity == ("s", "1", "p", "agent", "2")
    assert hear(talk, SERVER, {"id": 0, "result": {"serverInfo": {"name": "s", "version": "1"}, "protocolVersion": "p"}}) == []


@given(st.lists(st.tuples(st.sampled_from([CLIENT, SERVER]), _JSON), max_size=10))
def test_any_messages_are_heard(said: list[tuple[str, Any]]) -> None:
    """Whatever JSON the two exchange: no error, and no call ends before it began."""
    talk = Conversation()
    events = [event for direction, value in said for event in hear(talk, direction, value)]
    events += talk.end("unknown", 0)
    begun = {event.number for event in events if isinstance(event, Began)}
    assert sorted(event.number for event in events if isinstance(event, Ended)) == sorted(begun)


@given(st.binary(max_size=100))
def test_any_bytes_are_heard(data: bytes) -> None:
    """Nor do bytes that are no JSON at all."""
    assert all(isinstance(event, Missed | Began) for event in Conversation().hear(CLIENT, Frame(data, len(data)), 0))


@pytest.mark.parametrize("data", [b"[" * 100_000, b'{"id":' + b"9" * 10_000 + b"}", b'{"id":1,"id":NaN}'])
def test_json_made_to_hurt_is_passed_over(data: bytes) -> None:
    """Nesting without end, numbers without end."""
    assert list(Conversation().hear(CLIENT, Frame(data, len(data)), 0)) == []


def test_copies_that_do_not_fit_are_counted_where_they_were() -> None:
    """The recorder gets every byte, or the number of those it did not get, in order; nobody waits for it."""
    noise = random.Random(3)
    reader, writer = os.pipe()
    tee = Tee(writer, limit=300_000)
    sent = {FROM_CLIENT: 0, FROM_SERVER: 0}
    for _ in range(200):  # nobody reads: the pipe fills up, then the queue
        what, size = noise.choice([FROM_CLIENT, FROM_SERVER]), noise.randrange(1, 10_000)
        tee.copy(what, b"x" * size)
        sent[what] += size
    assert tee._size <= 300_000
    copies, got, lost = Copies(reader), {FROM_CLIENT: 0, FROM_SERVER: 0}, {FROM_CLIENT: 0, FROM_SERVER: 0}
    ender = threading.Thread(target=lambda: (tee.finish({"status": 0}), os.close(writer)))
    ender.start()
    while (copy := copies.read()) is not None:
        what, _, data = copy
        if what == LOST:
            lost[data[:1]] += int(data[1:])
        elif what in got:
            got[what] += len(data)
    ender.join(30)
    os.close(reader)
    assert lost[FROM_CLIENT] > 0 and lost[FROM_SERVER] > 0
    assert {what: got[what] + lost[what] for what in got} == sent


def test_a_recorder_that_is_gone_costs_nothing_but_the_record(capfd: pytest.CaptureFixture[str]) -> None:
    """Copies go nowhere then, one line says so, and nobody waits."""
    reader, writer = os.pipe()
    os.close(reader)
    tee = Tee(writer)
    tee.copy(FROM_CLIENT, b"x")
    tee.finish({"status": 0})
    tee.copy(FROM_CLIENT, b"x")
    os.close(writer)
    assert capfd.readouterr().err.count("\n") == 1
