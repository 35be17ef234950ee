"""Text and paths as a record may hold them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.core.canonical import format_canonical, parse_canonical
from ledger.core.text import clean_text, clean_value, format_path, parse_path
from ledger.errors import FormatError

ANY_TEXT = st.text(st.characters(), max_size=8)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        pytest.param("plain", "plain", id="ASCII"),
        pytest.param("é😀", "é😀", id="valid"),
        pytest.param("a\ud800b", "a\ufffdb", id="a lone high surrogate"),
        pytest.param("a\udc00b", "a\ufffdb", id="a lone low surrogate"),
        pytest.param("\ud800", "\ufffd", id="at the end"),
        pytest.param("\udc00\ud800", "\ufffd\ufffd", id="the wrong way round"),
        pytest.param("\ud83d\ude00", "😀", id="a pair"),
        pytest.param("\ud800\ud83d\ude00", "\ufffd😀", id="a lone one before a pair"),
    ],
)
def test_lone_surrogates_become_replacement_characters(text: str, cleaned: str) -> None:
    """Each lone surrogate becomes one U+FFFD; a pair is the character it stands for."""
    assert clean_text(text) == cleaned


@settings(derandomize=True, deadline=None)
@given(ANY_TEXT)
def test_cleaned_text_can_be_written(text: str) -> None:
    """Cleaning gives text that a record holds, and changes nothing the second time."""
    cleaned = clean_text(text)
    assert parse_canonical(format_canonical(cleaned)) == cleaned
    assert clean_text(cleaned) == cleaned


@settings(derandomize=True, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_good_text_stays(text: str) -> None:
    """Text without surrogates is left alone."""
    assert clean_text(text) == text


@settings(derandomize=True, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(0, 9) | ANY_TEXT, lambda v: st.lists(v) | st.dictionaries(ANY_TEXT, v), max_leaves=8
    )
)
def test_cleaned_values_can_be_written(value: Any) -> None:
    """Strings and member names anywhere inside are cleaned."""
    assert format_canonical(clean_value(value))


@settings(derandomize=True, deadline=None)
@given(st.binary())
def test_paths_are_twins(path: bytes) -> None:
    """Any path comes back from its form."""
    assert parse_path(format_path(path)) == path
    assert parse_path(parse_canonical(format_canonical(format_path(path)))) == path


def test_a_path_that_is_text_is_a_string() -> None:
    """Only a path that is not UTF-8 takes the other form."""
    assert format_path("dé mo.txt".encode()) == "dé mo.txt"
    assert format_path(b"caf\xe9") == {"base64": "Y2Fm6Q=="}


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(None, id="null"),
        pytest.param(1, id="a number"),
        pytest.param([], id="a list"),
        pytest.param({}, id="an empty object"),
        pytest.param({"base64": "ZGVtbw=="}, id="base64 of a path that is text"),
        pytest.param({"base64": "Y2Fm6Q"}, id="no padding"),
        pytest.param({"base64": "Y2Fm6R=="}, id="bits behind the path"),
        pytest.param({"base64": "Y2Fm 6Q=="}, id="a space"),
        pytest.param({"base64": "é"}, id="not ASCII"),
        pytest.param({"base64": 1}, id="a number inside"),
        pytest.param({"base64": "Y2Fm6Q==", "x": 1}, id="another member"),
        pytest.param("a\ud800", id="a lone surrogate"),
    ],
)
def test_other_forms_of_paths_are_refused(value: Any) -> None:
    """There is one form for every path."""
    with pytest.raises(FormatError):
        parse_path(value)
