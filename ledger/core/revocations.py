"""Revoked keys: `.ledger/revocations`, which says from which position of a log on a key's signatures count no more.

One statement a line, blank lines and lines that begin with `#` apart:

    SHA256:…  <log>/<seq>    in this log the key's signatures count for records below seq only
    SHA256:…  *              in no log, except below the positions that other lines give

By position and not by date: whoever holds a stolen key claims the time that suits, but cannot put a record before those that
others have seen already. The smallest of several positions counts. `format_revocation` and `parse_revocations` are twins, line by
line; between the two fields the reader takes any number of spaces and tabs, for people write this file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from ledger.core.canonical import MAX_INTEGER
from ledger.errors import FormatError

MAX_REVOCATIONS = 10_000
_FINGERPRINT = r"SHA256:[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]"  # 43 digits hold 258 bits: the last two are zero
_POSITION = r"([0-9a-f]{32})/(0|[1-9][0-9]{0,15})"
_line = re.compile(rf"({_FINGERPRINT})[ \t]+(?:\*|{_POSITION})").fullmatch
_is_fingerprint = re.compile(_FINGERPRINT).fullmatch
_position = re.compile(_POSITION).fullmatch


class Revocations(NamedTuple):
    """What the file says: by (fingerprint, log) the first seq that does not count, and the fingerprints that count nowhere else."""

    positions: Mapping[tuple[str, str], int] = MappingProxyType({})
    everywhere: frozenset[str] = frozenset()

    def first_bad(self, fingerprint: str, log: str) -> int | None:
        """Return the seq from which on the key's signatures do not count in `log`, or None where they all do."""
        return self.positions.get((fingerprint, log), 0 if fingerprint in self.everywhere else None)


NONE = Revocations()


def format_revocation(fingerprint: str, log: str | None = None, seq: int | None = None) -> str:
    """Return the line, without a newline, that revokes a key: from record `seq` of `log` on, or everywhere where both are None."""
    if (log is None) != (seq is None):
        raise ValueError("a position is a log and a seq")
    line = f"{fingerprint} *" if log is None else f"{fingerprint} {log}/{seq}"
    _parse_line(line)
    return line


def parse_revocations(text: str) -> Revocations:
    """Return what `text` says. Raises FormatError, naming the line, for a line that is not of the form above."""
    revocations, wrong = read_revocations(text)
    if wrong:
        raise wrong[0]
    return revocations


def read_revocations(text: str) -> tuple[Revocations, list[FormatError]]:
    """Return what the well-formed lines of `text` say, and what is wrong with each of the others.

    A verifier goes by what it can read: a spoilt line must not give a revoked key back.
    """
    positions: dict[tuple[str, str], int] = {}
    everywhere: set[str] = set()
    wrong: list[FormatError] = []
    for number, line in enumerate(text.split("\n"), 1):
        line = line.strip(" \t\r")
        if not line or line.startswith("#"):
            continue
        if len(positions) + len(everywhere) + len(wrong) >= MAX_REVOCATIONS:
            wrong.append(FormatError(f"line {number} of the revocations: there are more than {MAX_REVOCATIONS}"))
            break
        try:
            fingerprint, log, seq = _parse_line(line)
        except FormatError as error:
            wrong.append(FormatError(f"line {number} of the revocations: {error.message}"))
            continue
        if log is None or seq is None:
            everywhere.add(fingerprint)
        else:
            positions[fingerprint, log] = min(seq, positions.get((fingerprint, log), seq))
    return Revocations(MappingProxyType(positions), frozenset(everywhere)), wrong


def parse_fingerprint(text: str) -> str:
    """Return `text` where it is OpenSSH's SHA-256 fingerprint of a key. Raises FormatError for anything else."""
    if _is_fingerprint(text) is None:
        raise FormatError(f"{text[:80]!r} is not a fingerprint: SHA256: and 43 base64 digits, as `ledger keys list` shows them")
    return text


def parse_position(text: str) -> tuple[str, int]:
    """Return the log and the seq of `<log>/<seq>`, the log's name in full. Raises FormatError for anything else."""
    match = _position(text)
    if match is None or int(match[2]) > MAX_INTEGER:
        raise FormatError(f"{text[:80]!r} is not <log>/<seq>, with all 32 digits of the log's name")
    return match[1], int(match[2])


def _parse_line(line: str) -> tuple[str, str | None, int | None]:
    match = _line(line)
    if match is None or (match[2] and int(match[3]) > MAX_INTEGER):
        raise FormatError("not a key's fingerprint, and then <log>/<seq> or *")
    return match[1], match[2], int(match[3]) if match[2] else None
