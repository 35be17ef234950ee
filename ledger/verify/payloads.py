"""Payloads against their commitments (docs/spec/entry.md, section 5), in step with the walk over the records.

The journal gives its payloads in the order of seq and name, and so do the entries: one pass, nothing kept but what is missing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ledger.core.entry import Entry
from ledger.core.payload import SALT_BYTES, commit_payload
from ledger.verify.verdict import Findings

Row = tuple[Any, Any, Any, Any]  # (seq, name, salt, bytes): what a database holds may be of any type


class Payloads:
    """Compares the payload rows of one journal with what its entries commit to."""

    def __init__(self, log: str, rows: Iterator[Row], findings: Findings) -> None:
        self._log = log
        self._rows = rows
        self._findings = findings
        self._row: Row | None = next(rows, None)
        self._unreadable: set[int] = set()
        self._absent: list[tuple[int, str]] = []

    def take(self, entry: Entry) -> None:
        """Take an entry that has payloads; entries come in the order of their seq."""
        for ref in entry.payloads:
            self._skip_to((entry.seq, ref.name))
            if self._row is None or self._row[:2] != (entry.seq, ref.name):
                self._absent.append((entry.seq, ref.name))
                continue
            _, _, salt, data = self._row
            if type(salt) is not bytes or type(data) is not bytes or len(salt) != SALT_BYTES:
                self._mismatch(entry.seq, ref.name, "is not bytes with a salt of 32 bytes")
            elif len(data) != ref.size:
                what = "has another size than its entry says"
                self._mismatch(entry.seq, ref.name, what, f"{ref.size} bytes", f"{len(data)} bytes")
            else:
                found = commit_payload(salt, data)
                if found != ref.commitment:
                    self._mismatch(entry.seq, ref.name, "is not what its entry commits to", ref.commitment, found)
            self._row = next(self._rows, None)

    def skip(self, seq: int) -> None:
        """Take note that record `seq` cannot be read, which is reported; what payloads it had cannot be known."""
        self._unreadable.add(seq)

    def finish(self, erased: frozenset[tuple[int, str]]) -> None:
        """Report what is left over, and what is gone without being among the `erased`."""
        while self._row is not None:
            self._report_stray(self._row)
            self._row = next(self._rows, None)
        for seq, name in self._absent:
            if (seq, name) not in erased:
                message = f"the payload {name!r} is gone, and no entry says that it was erased"
                self._findings.add("payload.missing", self._log, seq, message)

    def _skip_to(self, place: tuple[int, str]) -> None:
        while self._row is not None and _is_before(self._row, place):
            self._report_stray(self._row)
            self._row = next(self._rows, None)

    def _report_stray(self, row: Row) -> None:
        if row[0] in self._unreadable:
            return
        self._mismatch(row[0] if type(row[0]) is int else None, str(row[1])[:80], "belongs to no entry that commits to it")

    def _mismatch(self, seq: int | None, name: str, what: str, expected: str | None = None, found: str | None = None) -> None:
        self._findings.add("payload.mismatch", self._log, seq, f"the payload {name!r} {what}", expected, found)


def _is_before(row: Row, place: tuple[int, str]) -> bool:
    """Say whether a row comes before `place` in the journal's order. Rows of other types than (int, str) always do."""
    seq, name = row[:2]
    if type(seq) is not int or type(name) is not str:
        return True
    return seq < place[0] or (seq == place[0] and name.encode("utf-8", "surrogatepass") < place[1].encode())
