"""RFC 8785 (JCS) canonical JSON, restricted to what a record may hold (docs/spec/entry.md, section 1).

Allowed: objects, arrays, strings, `true`, `false`, `null` and integers with |n| < 2^53. Not allowed: reals, duplicate
keys, lone surrogates, nesting deeper than `MAX_DEPTH`.

    >>> format_canonical({"b": 1, "a": "é"})
    b'{"a":"\\xc3\\xa9","b":1}'
    >>> parse_canonical(b'{"a":"\\xc3\\xa9","b":1}')
    {'a': 'é', 'b': 1}

Parsing reads the text, formats what it read and compares: any other spelling of the same value is refused, which also
catches duplicate keys, escapes that need not be there, white space and `-0`.
"""

from __future__ import annotations

import json
from typing import Any

from ledger.errors import FormatError

MAX_DEPTH = 16
MAX_INTEGER = 2**53 - 1

# json's own escapes with ensure_ascii=False are exactly those of RFC 8785 section 3.2.2.2: \b \t \n \f \r \" \\ and
# lower-case \u00xx for the other control characters; everything else stays literal.
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def format_canonical(value: Any, *, depth: int = MAX_DEPTH) -> bytes:
    """Return the one canonical spelling of `value`, in UTF-8.

    Raises FormatError for values that a record may not hold.
    """
    try:
        return _encode(_ordered(value, depth)).encode("utf-8")
    except UnicodeEncodeError as error:
        raise FormatError("a string has a lone surrogate, which is not Unicode text") from error


def parse_canonical(data: bytes, *, depth: int = MAX_DEPTH) -> Any:
    """Return the value that `data` spells canonically.

    Raises FormatError when `data` is not JSON, holds what a record may not hold, or is spelled in any other way.
    """
    try:
        value = json.loads(data.decode("utf-8"), parse_float=_refuse_real, parse_constant=_refuse_real)
    except UnicodeDecodeError as error:
        raise FormatError(f"not UTF-8 at byte {error.start}") from error
    except RecursionError as error:
        raise FormatError(f"nested deeper than {depth}") from error
    except ValueError as error:  # json.JSONDecodeError, and integers of more than 4,300 digits
        raise FormatError(f"not JSON: {error}") from error
    if format_canonical(value, depth=depth) != data:
        raise FormatError("not in canonical form (RFC 8785)")
    return value


def _refuse_real(text: str) -> Any:
    raise FormatError(f"{text} is not an integer; reals are written as scaled integers or strings")


def _ordered(value: Any, depth: int) -> Any:
    """Return `value` with its objects' members in canonical order, having checked all of it."""
    kind = type(value)
    if kind is str or value is None or kind is bool:
        return value
    if kind is int:
        if not -MAX_INTEGER <= value <= MAX_INTEGER:
            raise FormatError(f"the integer {value} is outside ±(2^53 - 1)")
        return value
    if depth <= 0:
        raise FormatError(f"nested deeper than {MAX_DEPTH}")
    if kind is dict:
        # RFC 8785 section 3.2.3 sorts by UTF-16 code units; for ASCII that is the order of Python's strings.
        try:
            names = sorted(value) if "".join(value).isascii() else sorted(value, key=_utf16)
        except (AttributeError, TypeError) as error:
            raise FormatError("a member name is not a string") from error
        return {name: _ordered(value[name], depth - 1) for name in names}
    if kind is list or kind is tuple:
        return [_ordered(item, depth - 1) for item in value]
    raise FormatError(f"a {kind.__name__} cannot be written in a record")


def _utf16(name: str) -> bytes:
    try:
        return name.encode("utf-16-be")
    except UnicodeEncodeError as error:
        raise FormatError("a member name has a lone surrogate, which is not Unicode text") from error
