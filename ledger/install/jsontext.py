"""Edits of JSON text that leave every other byte alone.

A settings file belongs to somebody: its order, indentation and line ends stay as they are. So a value is inserted into the
text, or cut out of it, at the place that a path such as `("hooks", "PreToolUse", 0)` names. What `insert` put in, `remove`
takes out; the bytes are then those of before, except in containers that were empty.
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

from ledger.errors import FormatError

Path = tuple[str | int, ...]
_SPACE = re.compile(r"[ \t\r\n]*")
_INDENT = re.compile(r"\n([ \t]+)\S")
_decode = json.JSONDecoder(parse_constant=lambda name: _refuse_constant(name)).raw_decode


class _Item(NamedTuple):
    """One member or element: its name or number, where its text begins (at the name), and its value's span."""

    name: str | int
    start: int
    value: int
    end: int


def parse(text: str) -> Any:
    """Return the value of a JSON text. Raises FormatError for anything else, and for objects with two members of one name."""
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"not JSON: {error}") from error


def insert(text: str, path: Path, name: str | None, value: Any) -> str:
    """Return `text` with `value` as the last item of the container at `path`: a member `name`, or an element if None."""
    start, end = _find(text, path)
    items = _items(text, start)
    break_ = "\r\n" if "\r\n" in text else "\n"
    unit = _indent_unit(text)
    multiline = "\n" in (text[start:end] if items else text.strip())
    if items:
        last = items[-1]
        indent = _indent_of_line(text, last.start) if multiline else None
        if indent is None:  # the container stands on one line, or its last item does not begin one
            return text[: last.end] + ", " + _spell(name, value, None) + text[last.end :]
        shown = _indented(_spell(name, value, unit), indent, break_)
        return text[: last.end] + "," + break_ + indent + shown + text[last.end :]
    if not multiline and len(text.strip()) > 2:
        return text[: start + 1] + _spell(name, value, None) + text[end - 1 :]
    outer = _line_indent(text, start)
    shown = _indented(_spell(name, value, unit), outer + unit, break_)
    return text[: start + 1] + break_ + outer + unit + shown + break_ + outer + text[end - 1 :]


def replace(text: str, path: Path, spelled: str) -> str:
    """Return `text` with `spelled`, a JSON text, as the value at `path`."""
    start, end = _find(text, path)
    return text[:start] + spelled + text[end:]


def spelling(text: str, path: Path) -> str:
    """Return how the value at `path` is spelled. Raises KeyError where there is none."""
    start, end = _find(text, path)
    return text[start:end]


def remove(text: str, path: Path) -> str:
    """Return `text` without the item at `path`, and without the comma that is no longer needed."""
    start, end = _find(text, path[:-1])
    items = _items(text, start)
    number = next(number for number, item in enumerate(items) if item.name == path[-1])
    if len(items) == 1:
        return text[: start + 1] + text[end - 1 :]
    if number:
        return text[: items[number - 1].end] + text[items[number].end :]
    return text[: items[0].start] + text[items[1].start :]


def _find(text: str, path: Path) -> tuple[int, int]:
    """Return the span of the value at `path`."""
    at = _skip(text, 0)
    span = at, _decode(text, at)[1]
    for name in path:
        found = [item for item in _items(text, span[0]) if item.name == name]
        if not found:
            raise KeyError(name)
        span = found[-1].value, found[-1].end
    return span


def _items(text: str, at: int) -> list[_Item]:
    """Return the items of the container whose bracket is at `at`. The text was parsed before: it is well formed."""
    is_object = text[at] == "{"
    items: list[_Item] = []
    at = _skip(text, at + 1)
    while text[at] not in "}]":
        start = at
        name: str | int = len(items)
        if is_object:
            name, at = _decode(text, at)
            at = _skip(text, _skip(text, at) + 1)  # the colon
        end = _decode(text, at)[1]
        items.append(_Item(name, start, at, end))
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)
    return items


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    assert match is not None  # it matches nothing at all, too
    return match.end()


def _spell(name: str | None, value: Any, unit: str | None) -> str:
    shown = json.dumps(value, ensure_ascii=False, indent=unit)
    return shown if name is None else f"{json.dumps(name, ensure_ascii=False)}: {shown}"


def _indented(shown: str, indent: str, break_: str) -> str:
    return shown.replace("\n", break_ + indent)


def _indent_unit(text: str) -> str:
    match = _INDENT.search(text)
    return match[1] if match else "  "


def _line_indent(text: str, at: int) -> str:
    line = text[text.rfind("\n", 0, at) + 1 : at]
    return line[: len(line) - len(line.lstrip(" \t"))]


def _indent_of_line(text: str, at: int) -> str | None:
    """Return what stands before `at` on its line if that is nothing but indentation, else None."""
    line = text[text.rfind("\n", 0, at) + 1 : at]
    return line if not line.strip(" \t") else None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("an object has two members of one name")
    return value


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
