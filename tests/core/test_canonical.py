"""Canonical JSON: one spelling for every value, checked against another implementation of RFC 8785 and its vectors."""

from __future__ import annotations

import json
from typing import Any

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st
from vectors import find_vectors

from ledger.core.canonical import MAX_DEPTH, MAX_INTEGER, format_canonical, parse_canonical
from ledger.errors import FormatError

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-MAX_INTEGER, MAX_INTEGER) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
JCS_CASES = {  # name → whether a record may hold it, and if not, why
    "arrays": None,
    "french": None,
    "unicode": None,
    "weird": None,
    "structures": "not an integer",
    "values": "not an integer",
}


def nest(depth: int, leaf: Any = 0) -> Any:
    """Return `leaf` inside `depth` lists."""
    return leaf if depth == 0 else [nest(depth - 1, leaf)]


@settings(derandomize=True, deadline=None)
@given(VALUES)
def test_agrees_with_another_implementation(value: Any) -> None:
    """Every allowed value is spelled as the rfc8785 package spells it."""
    assert format_canonical(value) == rfc8785.dumps(value)


@settings(derandomize=True, deadline=None)
@given(VALUES)
def test_parsing_gives_back_what_was_formatted(value: Any) -> None:
    """Formatting and parsing are twins."""
    data = format_canonical(value)
    assert parse_canonical(data) == value
    assert format_canonical(parse_canonical(data)) == data


@settings(derandomize=True, deadline=None)
@given(st.dictionaries(st.text(st.sampled_from("aZ\ue000\uffff\U00010000\U0001f600é"), max_size=3), st.none(), max_size=6))
def test_members_are_sorted_by_utf16(value: Any) -> None:
    """Names beyond the basic plane come before U+E000, for they are compared as UTF-16 code units."""
    assert format_canonical(value) == rfc8785.dumps(value)


@pytest.mark.parametrize("name", JCS_CASES)
def test_vectors_of_rfc8785(name: str) -> None:
    """The published vectors come out byte for byte; those with reals are refused for that reason."""
    folder = find_vectors("jcs")
    given_text = (folder / "input" / f"{name}.json").read_text("utf-8")
    wanted = bytes.fromhex((folder / "outhex" / f"{name}.txt").read_text().replace("\n", " "))
    reason = JCS_CASES[name]
    if reason is None:
        assert format_canonical(json.loads(given_text)) == wanted
        assert parse_canonical(wanted) == json.loads(given_text)
    else:
        with pytest.raises(FormatError, match="real"):
            parse_canonical((folder / "input" / f"{name}.json").read_bytes())


def test_a_sibling_of_the_vectors() -> None:
    """Escapes, control characters and member order, without the published files."""
    value = {"€": 'a"\\/b', "\r": "\u000f\n\t", "1": [56, {"d": True, "10": None, "1": []}], "\U0001f602": "\x7f", "\ufb33": ""}
    wanted = '{"\\r":"\\u000f\\n\\t","1":[56,{"1":[],"10":null,"d":true}],"€":"a\\"\\\\/b","😂":"\x7f","\ufb33":""}'
    assert format_canonical(value) == wanted.encode()


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b'{"a":1,"a":1}', id="the same member twice"),
        pytest.param(b'{"a":1,"a":2}', id="two members of one name"),
        pytest.param(b'{"a":1,"\\u0061":2}', id="two members of one name, one escaped"),
        pytest.param(b"1.0", id="a real that is whole"),
        pytest.param(b"1e2", id="an exponent"),
        pytest.param(b"0.5", id="a real"),
        pytest.param(b"-0", id="minus zero"),
        pytest.param(b"-0.0", id="minus zero as a real"),
        pytest.param(b"NaN", id="not a number"),
        pytest.param(b"Infinity", id="infinity"),
        pytest.param(b"-Infinity", id="minus infinity"),
        pytest.param(b"01", id="a leading zero"),
        pytest.param(b"+1", id="a plus sign"),
        pytest.param(b"9007199254740992", id="2^53"),
        pytest.param(b"-9007199254740992", id="-2^53"),
        pytest.param(b"1" * 5000, id="an integer of 5,000 digits"),
        pytest.param(b'"\\ud800"', id="a lone high surrogate"),
        pytest.param(b'"\\udc00"', id="a lone low surrogate"),
        pytest.param(b'{"\\ud800":1}', id="a lone surrogate in a name"),
        pytest.param(b'"\xed\xa0\x80"', id="a surrogate encoded as UTF-8"),
        pytest.param(b'"\\ud83d\\ude00"', id="an escaped pair"),
        pytest.param(b'"\\u0041"', id="an escape that need not be there"),
        pytest.param(b'"\\/"', id="an escaped slash"),
        pytest.param(b'"\\u001F"', id="an upper-case escape"),
        pytest.param(b'"\\u000a"', id="a long escape where a short one exists"),
        pytest.param(b'"\x01"', id="a control character as it is"),
        pytest.param(b'"\xff"', id="not UTF-8"),
        pytest.param(b'"\xc0\x80"', id="an overlong NUL"),
        pytest.param(b"\xef\xbb\xbf{}", id="a byte order mark"),
        pytest.param(b" {}", id="white space before"),
        pytest.param(b"{}\n", id="a newline after"),
        pytest.param(b'{"a": 1}', id="white space inside"),
        pytest.param(b'{"b":1,"a":2}', id="members out of order"),
        pytest.param(b"{}{}", id="two values"),
        pytest.param(b"[1,]", id="a comma too many"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"nul", id="cut short"),
        pytest.param(b"[" * 100_000, id="a hundred thousand brackets"),
    ],
)
def test_any_other_spelling_is_refused(data: bytes) -> None:
    """What is not the one canonical spelling of an allowed value raises FormatError and nothing else."""
    with pytest.raises(FormatError):
        parse_canonical(data)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(1.0, id="a real"),
        pytest.param(float("nan"), id="not a number"),
        pytest.param(MAX_INTEGER + 1, id="2^53"),
        pytest.param("\ud800", id="a lone surrogate"),
        pytest.param({"\ud800": 1}, id="a lone surrogate in a name"),
        pytest.param({1: 2}, id="a name that is a number"),
        pytest.param({"a": 1, 2: 3}, id="names of two types"),
        pytest.param(b"bytes", id="bytes"),
        pytest.param({1, 2}, id="a set"),
    ],
)
def test_what_a_record_may_not_hold_is_not_written(value: Any) -> None:
    """The writer refuses the same values as the reader."""
    with pytest.raises(FormatError):
        format_canonical(value)


@pytest.mark.parametrize("number", [0, 1, -1, MAX_INTEGER, -MAX_INTEGER])
def test_integers_within_the_bounds(number: int) -> None:
    """Every integer up to 2^53 - 1 is written as it is."""
    assert parse_canonical(str(number).encode()) == number


def test_depth_sixteen_is_the_last() -> None:
    """Sixteen levels are allowed, the seventeenth is not, for lists and objects and in both directions."""
    data = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH
    assert format_canonical(parse_canonical(data)) == data
    assert parse_canonical(b'{"a":' * MAX_DEPTH + b"1" + b"}" * MAX_DEPTH)
    with pytest.raises(FormatError):
        parse_canonical(b"[" + data + b"]")
    with pytest.raises(FormatError):
        parse_canonical(b'{"a":' + data + b"}")
    with pytest.raises(FormatError):
        format_canonical(nest(MAX_DEPTH + 1))
    assert format_canonical(nest(MAX_DEPTH))


@settings(derandomize=True, deadline=None)
@given(st.binary(max_size=40) | st.text(st.sampled_from('{}[]",:0123-.eE\\u truefalsn'), max_size=30).map(str.encode))
def test_noise_is_refused_or_canonical(data: bytes) -> None:
    """Whatever is read without an error is spelled exactly as it would be written."""
    try:
        value = parse_canonical(data)
    except FormatError:
        return
    assert format_canonical(value) == data
