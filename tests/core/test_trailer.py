"""The commit trailer."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.core.canonical import MAX_INTEGER
from ledger.core.trailer import Head, find_trailers, format_head, parse_head

LOG, HASH = "0123456789abcdef" * 2, "0123456789abcdef" * 4
HEAD = Head(LOG, 42, HASH)
LINE = f"Ledger-Entry: {LOG}/42/{HASH}"


@settings(derandomize=True, deadline=None)
@given(st.binary(min_size=16, max_size=16), st.integers(0, MAX_INTEGER), st.binary(min_size=32, max_size=32))
def test_heads_are_twins(log: bytes, seq: int, record_hash: bytes) -> None:
    """What was formatted parses to the same head."""
    head = Head(log.hex(), seq, record_hash.hex())
    assert parse_head(format_head(head)) == head


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param(f"{LOG}/042/{HASH}", id="a leading zero"),
        pytest.param(f"{LOG}/+42/{HASH}", id="a plus sign"),
        pytest.param(f"{LOG}/4_2/{HASH}", id="an underscore"),
        pytest.param(f"{LOG}/-1/{HASH}", id="a negative seq"),
        pytest.param(f"{LOG}/٤٢/{HASH}", id="other digits"),
        pytest.param(f"{LOG}/9007199254740992/{HASH}", id="2^53"),
        pytest.param(f"{LOG}/{'9' * 5000}/{HASH}", id="5,000 digits"),
        pytest.param(f"{LOG.upper()}/42/{HASH}", id="upper case"),
        pytest.param(f"{LOG[1:]}/42/{HASH}", id="a short log"),
        pytest.param(f"{LOG}/42/{HASH}0", id="a long hash"),
        pytest.param(f"{LOG}/42/{HASH}\n", id="a newline"),
        pytest.param(f"{LOG}//{HASH}", id="no seq"),
        pytest.param(f"{LOG}/42/{HASH}/1", id="a fourth part"),
    ],
)
def test_other_heads_are_none(text: str) -> None:
    """Anything that would not be written is not read."""
    assert parse_head(text) is None


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(f"subject\n\nbody\n\n{LINE}\n", id="at the end"),
        pytest.param(f"subject\n\n{LINE}\n\nmore text\n", id="in the middle, as a squash leaves it"),
        pytest.param(LINE, id="alone and without a newline"),
        pytest.param(f"subject\r\n\r\n{LINE}\r\n", id="carriage returns"),
        pytest.param(f"subject\n\n  {LINE}\t\n", id="white space around"),
        pytest.param(f"subject\n\n{LINE.replace(': ', ':')}\n", id="no space behind the colon"),
        pytest.param(f"subject\n\n{LINE.replace(': ', ':  ')}\n", id="two spaces behind the colon"),
        pytest.param(
            f"subject\n\nSigned-off-by: A <a@example.invalid>\n{LINE}\nReviewed-by: B <b@example.invalid>\n", id="among others"
        ),
    ],
)
def test_a_line_anywhere_is_found(message: str) -> None:
    """Every line of the message is looked at."""
    assert find_trailers(message) == [(format_head(HEAD), HEAD)]


@pytest.mark.parametrize(
    "message",
    [
        "",
        "subject\n",
        f"see {LINE}\n",
        f"{LINE} and more\n",
        f"ledger-entry: {format_head(HEAD)}\n",
        f"Ledger-Entry : {format_head(HEAD)}\n",
        f"Ledger-Entry:\n{format_head(HEAD)}\n",
        f"> {LINE}\n",
    ],
)
def test_other_lines_are_not_trailers(message: str) -> None:
    """Text that quotes a trailer inside a line is text."""
    assert find_trailers(message) == []


def test_several_lines_come_in_order() -> None:
    """A squash of commits has the trailer of each; a malformed one is told apart."""
    other = Head(LOG, 43, HASH[::-1])
    message = f"squash\n\n{LINE}\n\nLedger-Entry: junk\nLedger-Entry: {format_head(other)}\n"
    assert find_trailers(message) == [(format_head(HEAD), HEAD), ("junk", None), (format_head(other), other)]


@settings(derandomize=True, deadline=None)
@given(st.text(max_size=60))
def test_any_message_can_be_searched(text: str) -> None:
    """No text makes the search fail or invents a head."""
    assert all(head is None or format_head(head) == value for value, head in find_trailers(f"{text}\n{LINE}\n{text}"))
    assert (format_head(HEAD), HEAD) in find_trailers(f"{text}\n{LINE}\n{text}")
