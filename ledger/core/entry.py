"""Entries and records: their form, byte by byte (docs/spec/entry.md, sections 2 and 3).

An entry is a JSON object in canonical form. A record is the entry with its signature, and is canonical JSON too:

    {"entry":{…},"sig":"<base64 of the 64-byte Ed25519 signature>"}

so that the entry's bytes lie between a fixed prefix and a suffix of fixed length. `format_…` and `parse_…` are exact twins:
parsing refuses every other spelling.
"""

from __future__ import annotations

import hashlib
from binascii import a2b_base64, b2a_base64
from collections.abc import Mapping
from typing import Any, NamedTuple

from ledger.core.canonical import MAX_INTEGER, format_canonical, parse_canonical
from ledger.core.kinds import ACTOR_TYPES, SOURCES
from ledger.core.payload import PayloadRef
from ledger.errors import FormatError

VERSION = 1
MAX_RECORD_BYTES = 1 << 20
MAX_NAME_CHARACTERS = 512  # of session, turn and call
GENESIS_PREV = "0" * 64

_PREFIX = b'{"entry":'
_MIDDLE = b',"sig":"'
_SUFFIX_BYTES = len(_MIDDLE) + 88 + len(b'"}')

# A record is nested one level deeper than its entry, so the entry has one level less.
_ENTRY_DEPTH = 15

_REQUIRED = frozenset({"v", "log", "seq", "prev", "key", "at", "kind", "source", "actor", "body"})
_OPTIONAL = frozenset({"session", "turn", "call", "cause", "payloads"})
_MEMBERS = _REQUIRED | _OPTIONAL
_PAYLOAD_MEMBERS = frozenset({"name", "commitment", "size", "media"})

# Sets of characters instead of regular expressions: compiling those would cost every hook two milliseconds.
_HEX = "0123456789abcdef"
_LOWER = "abcdefghijklmnopqrstuvwxyz"
_DIGITS = "0123456789"
_BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


class Entry(NamedTuple):
    """One fact of a log. Members that do not apply are None or empty here, and absent from the bytes."""

    v: int
    log: str
    seq: int
    prev: str
    key: str
    at: str
    kind: str
    source: str
    actor: Mapping[str, str]
    body: Mapping[str, Any]
    session: str | None = None
    turn: str | None = None
    call: str | None = None
    cause: int | None = None
    payloads: tuple[PayloadRef, ...] = ()


class Record(NamedTuple):
    """An entry, the bytes that were signed, and the 64 raw bytes of the signature."""

    entry: Entry
    entry_bytes: bytes
    signature: bytes


def format_entry(entry: Entry) -> bytes:
    """Return the canonical bytes of `entry`. Raises FormatError when it is not a well-formed entry."""
    members: dict[str, Any] = {
        "v": entry.v,
        "log": entry.log,
        "seq": entry.seq,
        "prev": entry.prev,
        "key": entry.key,
        "at": entry.at,
        "kind": entry.kind,
        "source": entry.source,
        "actor": dict(entry.actor),
        "body": entry.body,
    }
    for name, value in (
        ("session", entry.session),
        ("turn", entry.turn),
        ("call", entry.call),
        ("cause", entry.cause),
    ):
        if value is not None:
            members[name] = value
    if entry.payloads:
        members["payloads"] = [ref._asdict() for ref in entry.payloads]
    build_entry(members)
    return format_canonical(members, depth=_ENTRY_DEPTH)


def parse_entry(data: bytes) -> Entry:
    """Return the entry that `data` spells. Raises FormatError for anything that `format_entry` would not write."""
    return build_entry(parse_canonical(data, depth=_ENTRY_DEPTH))


def format_record(entry_bytes: bytes, signature: bytes) -> bytes:
    """Return the record of an entry's bytes and its 64-byte signature, without a newline."""
    if len(signature) != 64:
        raise ValueError(f"an Ed25519 signature has 64 bytes, not {len(signature)}")
    record = b"".join((_PREFIX, entry_bytes, _MIDDLE, b2a_base64(signature, newline=False), b'"}'))
    if len(record) > MAX_RECORD_BYTES:
        raise FormatError(f"a record of {len(record)} bytes is larger than {MAX_RECORD_BYTES}")
    return record


def parse_record(data: bytes) -> Record:
    """Return the record that `data` (without a newline) spells. Raises FormatError for any other spelling."""
    entry_bytes, signature = split_record(data)
    return Record(parse_entry(entry_bytes), entry_bytes, signature)


def split_record(data: bytes) -> tuple[bytes, bytes]:
    """Return the entry's bytes and the signature of a record, without reading the entry."""
    if len(data) > MAX_RECORD_BYTES:
        raise FormatError(f"a record of {len(data)} bytes is larger than {MAX_RECORD_BYTES}")
    end = len(data) - _SUFFIX_BYTES
    encoded = data[end + len(_MIDDLE) : -2]
    if not data.startswith(_PREFIX) or data[end : end + len(_MIDDLE)] != _MIDDLE or not data.endswith(b'"}'):
        raise FormatError('not of the form {"entry":{…},"sig":"…"}')
    try:
        signature = a2b_base64(encoded, strict_mode=True)
    except ValueError as error:
        raise FormatError("the signature is not base64") from error
    if len(signature) != 64 or b2a_base64(signature, newline=False) != encoded:
        raise FormatError("the signature is not canonical base64 of 64 bytes")
    return data[len(_PREFIX) : end], signature


def hash_record(data: bytes) -> str:
    """Return the hash that the next entry's `prev` carries: SHA-256 of the record, in hex."""
    return hashlib.sha256(data).hexdigest()


def log_id(genesis_entry: bytes) -> str:
    """Return a log's name: the first 16 bytes, in hex, of SHA-256 of its genesis entry's bytes."""
    return hashlib.sha256(genesis_entry).hexdigest()[:32]


def build_entry(members: Any) -> Entry:
    """Return the entry that parsed JSON `members` describe. Raises FormatError where the form is broken.

    The order of spelling is not looked at here: the callers compare bytes.
    """
    if type(members) is not dict:
        raise FormatError("an entry is not an object")
    names = members.keys()
    if not names >= _REQUIRED:
        raise FormatError(f"members missing: {', '.join(sorted(_REQUIRED - names))}")
    if not names <= _MEMBERS:
        raise FormatError(f"members unknown: {', '.join(sorted(names - _MEMBERS))}")
    v, log, seq, prev = members["v"], members["log"], members["seq"], members["prev"]
    if type(v) is not int or v != VERSION:
        raise FormatError(f"v is {v!r}; this version reads {VERSION}")
    if type(seq) is not int or not 0 <= seq <= MAX_INTEGER:
        raise FormatError("seq is not a count")
    if type(prev) is not str or not is_hex(prev, 64):
        raise FormatError("prev is not 64 hex digits")
    if type(log) is not str or (seq == 0) != (log == "") or (seq and not is_hex(log, 32)):
        raise FormatError("log is not 32 hex digits, or empty in the genesis")
    if (seq == 0) != (prev == GENESIS_PREV):
        raise FormatError("prev is 64 zeros in the genesis and nowhere else")
    key, at, kind, source = members["key"], members["at"], members["kind"], members["source"]
    if type(key) is not str or not _is_key(key):
        raise FormatError("key is not an OpenSSH fingerprint")
    if type(at) is not str or not _is_at(at):
        raise FormatError("at is not YYYY-MM-DDTHH:MM:SS.mmmZ")
    if type(kind) is not str or not _is_kind(kind):
        raise FormatError("kind is not family.fact")
    if type(source) is not str or source not in SOURCES:
        raise FormatError(f"source {source!r} is not one of {', '.join(sorted(SOURCES))}")
    if type(members["body"]) is not dict:
        raise FormatError("body is not an object")
    optional: dict[str, Any] = {}
    if len(names) > len(_REQUIRED):
        for name in names - _REQUIRED:
            optional[name] = _check_optional(name, members[name], seq)
    return Entry(v, log, seq, prev, key, at, kind, source, _check_actor(members["actor"]), members["body"], **optional)


def is_hex(text: str, length: int) -> bool:
    """Say whether `text` is `length` lower-case hex digits."""
    return len(text) == length and not text.strip(_HEX)


def _is_key(text: str) -> bool:
    # 32 bytes are 42 digits and one that carries 4 bits, so its last two bits are zero.
    return len(text) == 50 and text.startswith("SHA256:") and not text[7:].strip(_BASE64) and text[49] in "AEIMQUYcgkosw048"


def _is_kind(text: str) -> bool:
    family, dot, fact = text.partition(".")
    return 3 <= len(text) <= 64 and bool(dot) and _is_word(family) and _is_word(fact)


def _is_word(text: str) -> bool:
    return text[:1] in _LOWER and bool(text) and not text.strip(_LOWER + _DIGITS + "-")


def _is_payload_name(text: str) -> bool:
    return 0 < len(text) <= 64 and text[0] in _LOWER and not text.strip(_LOWER + _DIGITS + "_.-")


def _is_at(at: str) -> bool:
    """Say whether `at` is a time of the calendar in its one spelling."""
    if len(at) != 24 or at[4] + at[7] + at[10] + at[13] + at[16] + at[19] + at[23] != "--T::.Z":
        return False
    digits = at[:4] + at[5:7] + at[8:10] + at[11:13] + at[14:16] + at[17:19] + at[20:23]
    if len(digits) != 17 or digits.strip(_DIGITS):
        return False
    in_range = at[:4] >= "0001" and "01" <= at[5:7] <= "12" and "01" <= at[8:10] <= "31"
    return in_range and at[11:13] <= "23" and at[14:16] <= "59" and at[17:19] <= "59" and _is_day(at)


def _is_day(at: str) -> bool:
    """Say whether the date of `at`, whose digits are checked, is in the calendar (proleptic Gregorian)."""
    day = int(at[8:10])
    if day <= 28:
        return True
    month, year = int(at[5:7]), int(at[:4])
    if month == 2:
        return day == 29 and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return day <= 30 or month not in (4, 6, 9, 11)


def _check_actor(actor: Any) -> dict[str, str]:
    if type(actor) is not dict or type(actor.get("type")) is not str or actor["type"] not in ACTOR_TYPES:
        raise FormatError(f"actor.type is not one of {', '.join(sorted(ACTOR_TYPES))}")
    name = actor.get("name")
    if len(actor) != (1 if name is None else 2) or (name is not None and (type(name) is not str or not name)):
        raise FormatError("actor has members other than type and a name of at least one character")
    if actor["type"] == "human" and name is not None:
        raise FormatError("a human actor has no name; who it was is a payload")
    return actor


def _check_optional(name: str, value: Any, seq: int) -> Any:
    if name == "cause":
        if type(value) is not int or not 0 <= value < seq:
            raise FormatError("cause is not the seq of an earlier entry")
        return value
    if name == "payloads":
        return _check_payloads(value)
    if type(value) is not str or not 0 < len(value) <= MAX_NAME_CHARACTERS:
        raise FormatError(f"{name} is not a text of 1 to {MAX_NAME_CHARACTERS} characters")
    return value


def _check_payloads(value: Any) -> tuple[PayloadRef, ...]:
    if type(value) is not list or not value:
        raise FormatError("payloads is not a list of at least one")
    refs: list[PayloadRef] = []
    for item in value:
        if type(item) is not dict or item.keys() != _PAYLOAD_MEMBERS:
            raise FormatError("a payload has name, commitment, size and media, and nothing else")
        ref = PayloadRef(**item)
        if type(ref.name) is not str or not _is_payload_name(ref.name):
            raise FormatError("a payload's name is not [a-z][a-z0-9_.-]{0,63}")
        if type(ref.commitment) is not str or not is_hex(ref.commitment, 64):
            raise FormatError("a payload's commitment is not 64 hex digits")
        if type(ref.size) is not int or not 0 <= ref.size <= MAX_INTEGER:
            raise FormatError("a payload's size is not a count")
        if type(ref.media) is not str or not 0 < len(ref.media) <= 255:
            raise FormatError("a payload's media is not a text of 1 to 255 characters")
        if refs and refs[-1].name >= ref.name:
            raise FormatError("payloads are not in the order of their names")
        refs.append(ref)
    return tuple(refs)
