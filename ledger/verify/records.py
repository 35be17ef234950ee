"""Reading records fast: the same answers as `core.entry.parse_record`, several times as quick.

A record is taken by the quick way only where the quick way proves that the slow one would take it too, with the same result.
Whatever is doubtful goes to `parse_record`, which alone refuses. What makes it sound:

- orjson takes everything that RFC 8785 allows; `dumps` with sorted members and strict integers gives RFC 8785's spelling, except
  that it sorts by code points where RFC 8785 sorts by UTF-16 units. The two differ only where a character beyond U+FFFF occurs,
  whose UTF-8 begins with F0 to F4: such records go the slow way.
- Reals survive orjson's round trip, so the body is searched for them; every other member's type is checked by name.
- Values that were checked once (keys, kinds, actors, the set of members) are remembered and not matched again.
"""

from __future__ import annotations

import re
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable
from datetime import datetime
from functools import partial
from operator import itemgetter
from typing import Any

from orjson import OPT_SORT_KEYS, OPT_STRICT_INTEGER, dumps, loads

from ledger.core.canonical import MAX_INTEGER
from ledger.core.entry import GENESIS_PREV, MAX_NAME_CHARACTERS, MAX_RECORD_BYTES, Entry, Record, parse_record
from ledger.core.payload import PayloadRef

_CANONICAL = OPT_SORT_KEYS | OPT_STRICT_INTEGER
_ALWAYS = ("actor", "at", "body", "key", "kind", "log", "prev", "seq", "source", "v")
_SOMETIMES = ("call", "cause", "payloads", "session", "turn")
_ORDER = _ALWAYS + _SOMETIMES
_PAYLOAD_MEMBERS = list(loads(b'{"commitment":0,"media":0,"name":0,"size":0}'))
_BODY_DEPTH = 14  # a record may nest 16 deep: the record itself, its entry, then the body
_SUFFIX_BYTES = 98
_MAX_END = MAX_RECORD_BYTES - _SUFFIX_BYTES
_MAX_REMEMBERED = 4096

fromhex = bytes.fromhex

_has_four_bytes = re.compile(rb"[\xf0-\xf4]").search
_minute = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):").fullmatch
_is_hash = re.compile(r"[0-9a-f]{64}").fullmatch
_SECONDS = frozenset(f"{second:02d}" for second in range(60))
_MILLISECONDS = frozenset(f".{millisecond:03d}Z" for millisecond in range(1000))
_SCALARS = frozenset({str, int, bool, type(None)})

# Without _make's own checks: the lengths are right by construction.
_new_entry: Callable[[tuple[Any, ...]], Entry] = partial(tuple.__new__, Entry)
_new_record: Callable[[tuple[Any, ...]], Record] = partial(tuple.__new__, Record)
_new_ref: Callable[[tuple[Any, ...]], PayloadRef] = partial(tuple.__new__, PayloadRef)


class _Doubt(Exception):
    """The quick way cannot tell; the slow one will."""


class RecordReader:
    """Reads the records of one log, remembering what it has seen to be well-formed."""

    def __init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        self._shapes: dict[tuple[str, ...], tuple[Callable[[tuple[Any, ...]], tuple[Any, ...]], int]] = {}
        self._places: set[tuple[str, str]] = set()  # (log, key)
        self._sayers: set[tuple[str, str, int, str, str | None]] = set()  # (kind, source, members of actor, its type, its name)
        self._minutes: set[str] = set()
        self._payloads: set[tuple[str, str]] = set()  # (name, media)
        self._remembered = 0

    def read(self, data: bytes, prev: str) -> Record:
        """Return the record that `data` spells. Raises FormatError exactly where `parse_record` does.

        `prev` is a record hash that the entry probably names; it only saves time.
        """
        try:
            end = len(data) - _SUFFIX_BYTES
            if end > _MAX_END or data[:9] != b'{"entry":' or data[end : end + 8] != b',"sig":"' or data[-2:] != b'"}':
                raise _Doubt
            encoded = data[end + 8 : -2]
            signature = a2b_base64(encoded)
            if len(signature) != 64 or b2a_base64(signature, newline=False) != encoded:
                raise _Doubt
            entry_bytes = data[9:end]
            if not entry_bytes.isascii() and _has_four_bytes(entry_bytes):
                raise _Doubt
            members = loads(entry_bytes)
            if type(members) is not dict or dumps(members, option=_CANONICAL) != entry_bytes:
                raise _Doubt
            return _new_record((self._build(members, prev), entry_bytes, signature))
        except (_Doubt, KeyError, TypeError, ValueError):
            # KeyError: an unknown set of members. TypeError: something unhashable. ValueError: not JSON, not base64.
            record = parse_record(data)
            self._remember(record)
            return record

    def _build(self, members: dict[str, Any], prev: str) -> Entry:
        # `pick` puts the values of a known set of members into the order of _ORDER, with None for what is absent.
        pick, absent = self._shapes[tuple(members)]
        actor, at, body, key, kind, log, named, seq, source, v, call, cause, payloads, session, turn = pick(
            (*members.values(), None)
        )
        if (
            type(seq) is not int
            or not 0 < seq <= MAX_INTEGER
            or type(v) is not int
            or v != 1
            or (log, key) not in self._places
            or type(actor) is not dict
            or (kind, source, len(actor), actor["type"], actor.get("name")) not in self._sayers
            or (at[:17] not in self._minutes and not self._is_minute(at[:17]))
            or at[17:19] not in _SECONDS
            or at[19:] not in _MILLISECONDS
            or type(body) is not dict
            or (named != prev and not _is_hash(named))
            or named == GENESIS_PREV
        ):
            raise _Doubt
        for value in body.values():
            if type(value) not in _SCALARS:
                _check_deep(value, _BODY_DEPTH - 1)
        if absent == 5:
            return _new_entry((v, log, seq, named, key, at, kind, source, actor, body, None, None, None, None, ()))
        if (call, cause, payloads, session, turn).count(None) != absent:
            raise _Doubt
        for text in (session, turn, call):
            if text is not None and (type(text) is not str or not 0 < len(text) <= MAX_NAME_CHARACTERS):
                raise _Doubt
        if cause is not None and (type(cause) is not int or not 0 <= cause < seq):
            raise _Doubt
        refs = () if payloads is None else self._build_payloads(payloads)
        return _new_entry((v, log, seq, named, key, at, kind, source, actor, body, session, turn, call, cause, refs))

    def _is_minute(self, text: str) -> bool:
        """Say whether `text` is `YYYY-MM-DDTHH:MM:` of the calendar, and remember it: every log has new ones all the time."""
        match = _minute(text)
        if match is None:
            return False
        year, month, day, hour, minute = map(int, match.groups())
        datetime(year, month, day, hour, minute)  # ValueError where the calendar has no such minute
        if len(self._minutes) >= _MAX_REMEMBERED:
            self._minutes.clear()
        self._minutes.add(text)
        return True

    def _build_payloads(self, items: Any) -> tuple[PayloadRef, ...]:
        if type(items) is not list or not items:
            raise _Doubt
        refs: list[PayloadRef] = []
        before = ""
        for item in items:
            if type(item) is not dict or list(item) != _PAYLOAD_MEMBERS:
                raise _Doubt
            commitment, media, name, size = item.values()
            if (
                (name, media) not in self._payloads
                or name <= before
                or len(commitment) != 64
                or fromhex(commitment).hex() != commitment  # quicker than a pattern, and as strict
                or type(size) is not int
                or not 0 <= size <= MAX_INTEGER
            ):
                raise _Doubt
            before = name
            refs.append(_new_ref((name, commitment, size, media)))
        return tuple(refs)

    def _remember(self, record: Record) -> None:
        """Remember the parts of a record that the slow way took. Bounded, for a log may be made to exhaust memory."""
        entry = record.entry
        self._remembered += 1
        if self._remembered > _MAX_REMEMBERED:
            self._forget()
        # orjson keeps the names it meets, so those of the next record will be these very objects, and are compared at once.
        names = tuple(loads(record.entry_bytes))
        places = [names.index(name) if name in names else -1 for name in _ORDER]
        self._shapes[names] = itemgetter(*places), places.count(-1)
        if entry.log:
            self._places.add((entry.log, entry.key))
        self._sayers.add((entry.kind, entry.source, len(entry.actor), entry.actor["type"], entry.actor.get("name")))
        self._minutes.add(entry.at[:17])
        for ref in entry.payloads:
            self._payloads.add((ref.name, ref.media))


def _check_deep(value: Any, depth: int) -> None:
    """Raise _Doubt where `value` holds a real or nests deeper than `depth` levels."""
    kind = type(value)
    if depth <= 0 or kind not in (list, dict):
        raise _Doubt
    for item in value.values() if kind is dict else value:
        if type(item) not in _SCALARS:
            _check_deep(item, depth - 1)
