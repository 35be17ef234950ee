"""The one place where entries are made: numbered, linked, signed and put into the journal's running transaction."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ledger.core.entry import VERSION, Entry, format_entry, format_record, hash_record, parse_record
from ledger.core.fact import PayloadData
from ledger.core.payload import SALT_BYTES, PayloadRef, commit_payload
from ledger.core.sshsig import ENTRY_NAMESPACE, fingerprint
from ledger.core.text import clean_text, clean_value
from ledger.core.trailer import Head
from ledger.errors import FormatError, StoreCorrupt
from ledger.store.journal import Journal

if TYPE_CHECKING:
    from ledger.store.keys import Signer

RECORDER: Mapping[str, str] = {"type": "recorder", "name": "ledger"}


def now_ms() -> int:
    """Return the wall clock in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def format_at(at_ms: int) -> str:
    """Return `YYYY-MM-DDTHH:MM:SS.mmmZ`."""
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(at_ms // 1000))}.{at_ms % 1000:03d}Z"


class Writer:
    """Appends to one log, in a transaction that the caller began under the log's lock."""

    def __init__(self, journal: Journal, signer: Signer, known: Head | None = None) -> None:
        self.journal = journal
        self._signer = signer
        self._key = fingerprint(signer.public_key)
        self.kinds: set[str] = set()  # of what was appended
        self.settings: Mapping[str, Any] = {}  # this clone's, as the state folder has them
        seq, record = journal.last()
        self._seq, self._prev = seq, hash_record(record)
        if known == self.head:
            return  # this process wrote it
        try:
            last = parse_record(record).entry
        except Exception as error:
            raise StoreCorrupt(
                f"the last record of {journal.path} is damaged: {error}",
                remedy="run `ledger verify`; keep the journal aside, then `ledger init` begins a successor log",
            ) from error
        if last.seq != seq:
            raise StoreCorrupt(f"the last row of {journal.path} holds another record than it says")

    @property
    def head(self) -> Head:
        """The log's name, last seq and last record's hash."""
        return Head(self.journal.log, self._seq, self._prev)

    def append(
        self,
        kind: str,
        *,
        source: str,
        actor: Mapping[str, str] = RECORDER,
        body: Mapping[str, Any] | None = None,
        session: str | None = None,
        turn: str | None = None,
        call: str | None = None,
        cause: int | None = None,
        payloads: Mapping[str, PayloadData] | None = None,
        at_ms: int | None = None,
    ) -> int:
        """Append one entry and return its seq. Raises FormatError for a fact that no entry can hold."""
        kept = []
        for name in sorted(payloads or {}):
            data = (payloads or {})[name]
            salt = os.urandom(SALT_BYTES)
            kept.append((PayloadRef(name, commit_payload(salt, data.data), len(data.data), data.media), salt, data.data))
        entry = Entry(
            v=VERSION,
            log=self.journal.log,
            seq=self._seq + 1,
            prev=self._prev,
            key=self._key,
            at=format_at(now_ms() if at_ms is None else at_ms),
            kind=kind,
            source=source,
            actor=dict(actor),
            body=dict(body or {}),
            session=_name(session),
            turn=_name(turn),
            call=_name(call),
            cause=cause,
            payloads=tuple(ref for ref, _, _ in kept),
        )
        try:
            entry_bytes = format_entry(entry)
        except FormatError:  # nearly always a lone surrogate: looking for them in every text beforehand costs more
            entry_bytes = format_entry(entry._replace(actor=clean_value(entry.actor), body=clean_value(entry.body)))
        record = format_record(entry_bytes, self._signer.sign(ENTRY_NAMESPACE, entry_bytes))
        self.journal.append(entry.seq, record, [(ref.name, salt, data) for ref, salt, data in kept])
        self._seq, self._prev = entry.seq, hash_record(record)
        self.kinds.add(kind)
        return entry.seq

    def mark(self) -> tuple[int, str]:
        """Return where the log stands, for `back_to`."""
        return self._seq, self._prev

    def back_to(self, mark: tuple[int, str]) -> None:
        """Go on from `mark`: the caller rolled the journal back to a savepoint that it set there."""
        self._seq, self._prev = mark

    def sign_with(self, signer: Signer) -> None:
        """Sign what follows with another key: the entry before was the `key.rotated` that names it."""
        self._signer = signer
        self._key = fingerprint(signer.public_key)


def _name(text: str | None) -> str | None:
    return clean_text(text) if text else None
