"""Paths as git spells them in its output: as they are, or in double quotes with C's escapes (git-config(1), core.quotePath)."""

from __future__ import annotations

_SHORT = {b"a": 7, b"b": 8, b"t": 9, b"n": 10, b"v": 11, b"f": 12, b"r": 13, b'"': 34, b"\\": 92}


def unquote_path(said: bytes) -> bytes:
    """Return the bytes of a path that git may have quoted."""
    if len(said) < 2 or said[:1] != b'"' or said[-1:] != b'"':
        return said
    found = bytearray()
    at, end = 1, len(said) - 1
    while at < end:
        if said[at] != 0x5C or at + 1 >= end:
            found.append(said[at])
            at += 1
            continue
        short = _SHORT.get(said[at + 1 : at + 2])
        if short is not None:
            found.append(short)
            at += 2
            continue
        octal = said[at + 1 : min(at + 4, end)]
        if len(octal) == 3 and not octal.strip(b"01234567"):
            found.append(int(octal, 8) & 0xFF)
            at += 4
        else:
            found.append(said[at])
            at += 1
    return bytes(found)
