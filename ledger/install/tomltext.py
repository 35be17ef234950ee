"""Edits of TOML text that leave every other byte alone (TOML 1.0).

Only what is needed for a table's plain members: where each statement's value stands. The text was read by `tomllib` before, so
it is well formed; and whoever edits reads the outcome again and compares, so a form that is not seen through here is refused.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from typing import Any, NamedTuple

from ledger.errors import FormatError

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_STRINGS = (
    ('"""', re.compile(r'(?:[^\\"]|\\.|"(?!""))*"{3,5}', re.DOTALL)),
    ("'''", re.compile(r"(?:[^']|'(?!''))*'{3,5}", re.DOTALL)),
)
_SHORT = {'"': re.compile(r'(?:[^\\"\n]|\\.)*"'), "'": re.compile(r"[^'\n]*'")}
_KEY = re.compile(r"""[A-Za-z0-9_-]+|"(?:[^\\"\n]|\\.)*"|'[^'\n]*'""")


class Statement(NamedTuple):
    """`name = value`: the whole name with its table's, where the name and the value stand, and where the line ends."""

    path: tuple[str, ...]
    start: int
    value: int
    end: int
    line_end: int


def parse(text: str) -> dict[str, Any]:
    """Return the value of a TOML text. Raises FormatError."""
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise FormatError(f"not TOML: {error}") from error


def spell(value: str | list[str]) -> str:
    """Return a string, or a list of strings, on one line. JSON's escapes are TOML's, but for DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def find(text: str, path: tuple[str, ...]) -> Statement | None:
    """Return the statement that gives `path` its value, if it is one of its own."""
    return next((statement for statement in statements(text) if statement.path == path), None)


def statements(text: str) -> Iterator[Statement]:
    """Yield every statement of a text that tomllib has read; those of arrays of tables have a path that names nothing."""
    table: tuple[str, ...] = ()
    at = _skip(_BLANK, text, 0)
    while at < len(text):
        if text[at] == "[":
            doubled = text.startswith("[[", at)
            table, at = _read_path(text, _skip(_SPACE, text, at + 1 + doubled))
            table = ("[[]]", *table) if doubled else table
            at = text.index("]", at) + 1 + doubled
        else:
            name, after = _read_path(text, at)
            value = _skip(_SPACE, text, text.index("=", after) + 1)
            end = _value_end(text, value)
            line_end = text.find("\n", end)
            yield Statement((*table, *name), at, value, end, len(text) if line_end < 0 else line_end)
            at = end
        at = _skip(_BLANK, text, at)


def _read_path(text: str, at: int) -> tuple[tuple[str, ...], int]:
    """Return a dotted key and where it ends."""
    names = []
    while (found := _KEY.match(text, at)) is not None:
        word = found[0]
        names.append(tomllib.loads(f"k={word}")["k"] if word[0] in "\"'" else word)
        at = _skip(_SPACE, text, found.end())
        if text[at : at + 1] != ".":
            break
        at = _skip(_SPACE, text, at + 1)
    return tuple(names), at


def _value_end(text: str, at: int) -> int:
    """Return where the value that begins at `at` ends."""
    depth = 0
    while at < len(text):
        character = text[at]
        if character in "\"'":
            at = _string_end(text, at)
            if not depth:
                return at
            continue
        if character in "[{":
            depth += 1
        elif character in "]}":
            depth -= 1
            if not depth:
                return at + 1
        elif character == "#" and depth:
            at = text.find("\n", at)
            at = len(text) if at < 0 else at
            continue
        elif not depth and character in "\n#":
            break
        at += 1
    return len(text[:at].rstrip())


def _string_end(text: str, at: int) -> int:
    for mark, pattern in _STRINGS:
        if text.startswith(mark, at):
            found = pattern.match(text, at + 3)
            return found.end() if found else len(text)
    found = _SHORT[text[at]].match(text, at + 1)
    return found.end() if found else len(text)


def _skip(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    assert found is not None  # it matches nothing at all, too
    return found.end()
