"""The hash of every record of a log, at 32 bytes a record: trailers and pins ask for any of them."""

from __future__ import annotations


class RecordHashes:
    """Maps seq to record hash. In a log without gaps that is one row of bytes; whatever is out of order goes to a dict."""

    def __init__(self) -> None:
        self._row = bytearray()
        self._odd: dict[int, bytes] = {}

    def put(self, seq: int, record_hash: bytes) -> None:
        """Remember the 32 raw bytes of the hash of record `seq`; the last one said of a seq counts."""
        if seq * 32 == len(self._row):
            self._row += record_hash
        else:
            self._odd[seq] = record_hash

    def at(self, seq: int) -> str | None:
        """Return the hash of record `seq` in hex, or None where there was none."""
        found = self._odd.get(seq)
        if found is None and 0 <= seq * 32 < len(self._row):
            found = bytes(self._row[seq * 32 : seq * 32 + 32])
        return None if found is None else found.hex()
