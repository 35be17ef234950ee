#!/usr/bin/env python3
"""A second verifier of one log, or of one proof file, written from the pages of docs/spec alone.

It shares no code with the package, so that a mistake there does not verify itself. It needs Python 3.11, the `cryptography`
package and, with --repo, git. Every record is checked fully: form, links, the key in force, its signature; payloads that are
present; and, with --repo, what git says about roots, recorded commits and the trailers in commit messages.

    verify_independent.py LOG [--name HEX32] [--repo DIR] [--trust ALLOWED_SIGNERS] [--head LOG/SEQ/HASH] [--json]
    verify_independent.py PROOF --trust ALLOWED_SIGNERS [--witness KEY]... [--repo DIR] [--json]

LOG is a file with one record a line ("-": standard input), or the SQLite journal of a log. PROOF is a file whose name ends in
.tlog-proof, or that begins as one does. With --repo the revocations that are committed there count.

Verdicts: `invalid` (bytes, links, signatures, keys, roots, commit facts or payloads are wrong), `diverged` (a head or trailer
names another record at a place that the log has), `incomplete` (a head or trailer names a record beyond the log, the history is
too shallow to hold the roots, a journal lacks a payload that no entry says was erased, or the last key may sign no more),
`consistent`. The worst one found is the answer. A good proof that a known witness cosigned is `anchored`.

Exit: 0 consistent or anchored, 1 any other verdict, 2 usage, 3 could not check.

Sections cited as "§" are those of docs/spec/entry.md, those of checkpoint.md, proof.md and verify.md are named.
"""

import argparse
import base64
import calendar
import hashlib
import json
import os
import re
import sqlite3
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO, NamedTuple
from urllib.parse import quote

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

MAX_RECORD_SIZE = 1_048_576
MAX_INTEGER = 2**53 - 1
MAX_DEPTH = 16
MAX_FINDINGS = 10_000  # a hostile log of a million broken lines must not fill the memory; the verdict counts all of them
SQLITE_MAGIC = b"SQLite format 3\0"
ZEROS = "0" * 64

VERDICTS = ("consistent", "incomplete", "diverged", "invalid")

# § 4
KNOWN_FACTS = {
    "log": ["opened", "seen"],
    "key": ["rotated"],
    "gap": ["noted"],
    "recording": ["paused", "resumed"],
    "session": ["started", "ended"],
    "subagent": ["started", "ended"],
    "prompt": ["submitted"],
    "plan": ["updated"],
    "message": ["sent"],
    "transcript": ["changed"],
    "tool": ["requested", "finished"],
    "approval": ["requested", "decided"],
    "network": ["decided"],
    "boundary": ["declared", "hit"],
    "commit": ["recorded", "rewritten"],
    "ref": ["updated"],
    "payload": ["erased"],
    "hold": ["placed", "released"],
    "checkpoint": ["anchored"],
}


class CouldNotCheck(Exception):
    """Something needed for checking cannot be read: exit 3."""


class Refused(Exception):
    """One check failed: the finding's code and its message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Finding(NamedTuple):
    """What was found, where (`seq` is None where no record is meant), and the verdict it asks for."""

    code: str
    severity: str
    seq: int | None
    message: str
    verdict: str


class Findings:
    """All findings, the first MAX_FINDINGS of them kept, and the worst verdict of all."""

    def __init__(self) -> None:
        self.kept: list[Finding] = []
        self.count = 0
        self.verdict = "consistent"

    def add(self, code: str, seq: int | None, message: str, *, verdict: str = "invalid", severity: str = "error") -> None:
        """Keep one finding; `verdict` is the best answer that is still possible with it."""
        self.count += 1
        self.verdict = max(self.verdict, verdict, key=VERDICTS.index)
        if len(self.kept) < MAX_FINDINGS:
            self.kept.append(Finding(code, severity, seq, message, verdict))

    def info(self, code: str, seq: int | None, message: str) -> None:
        """Keep a finding that changes no verdict."""
        self.add(code, seq, message, verdict="consistent", severity="info")


def shown(value: object, limit: int = 80) -> str:
    """Return `value` as short ASCII, for messages: what a log says is hostile to terminals."""
    text = ascii(value)
    return text if len(text) <= limit else text[:limit] + "…"


# --- Canonical JSON, § 1 and RFC 8785 ---------------------------------------------------------------------------------

_SHORT_ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}
_TO_ESCAPE = re.compile(r'["\\\x00-\x1f]')
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise Refused("record.form", "an object has two members of one name")
    return value


def _no_real(text: str) -> Any:
    raise Refused("record.form", f"{shown(text)} is not an integer")


def _integer(text: str) -> int:
    # Longer texts cannot be within the bound, and converting them costs quadratic time.
    if len(text) > 17 or abs(int(text)) > MAX_INTEGER:
        raise Refused("record.form", f"integer {shown(text)} is beyond 2^53 - 1")
    return int(text)


def check_depth(text: str) -> None:
    """Raise Refused where brackets outside of strings nest deeper than MAX_DEPTH."""
    depth = 0
    for bracket in re.finditer(r"[\[\]{}]", _STRING.sub("", text)):
        depth += 1 if bracket[0] in "[{" else -1
        if depth > MAX_DEPTH:
            raise Refused("record.form", f"nested deeper than {MAX_DEPTH}")


def format_jcs(value: Any) -> str:
    """Return `value` (of what parse_jcs returns) in the form of RFC 8785."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return '"' + _TO_ESCAPE.sub(lambda m: _SHORT_ESCAPES.get(m[0]) or f"\\u{ord(m[0]):04x}", value) + '"'
    if isinstance(value, list):
        return "[" + ",".join(map(format_jcs, value)) + "]"
    # RFC 8785 section 3.2.3: members in the order of their names as UTF-16 code units
    names = sorted(value, key=lambda name: name.encode("utf-16-be", "surrogatepass"))
    return "{" + ",".join(f"{format_jcs(name)}:{format_jcs(value[name])}" for name in names) + "}"


def parse_jcs(data: bytes) -> Any:
    """Return the value that `data` spells; raise Refused unless this is its one canonical spelling."""
    try:
        text = data.decode("utf-8")
        check_depth(text)
        value = json.loads(text, object_pairs_hook=_pairs, parse_float=_no_real, parse_constant=_no_real, parse_int=_integer)
        again = format_jcs(value).encode("utf-8")  # a lone surrogate, which only an escape can bring, fails here
    except (ValueError, RecursionError) as error:
        raise Refused("record.form", f"not JSON of the allowed form: {shown(str(error), 160)}") from None
    if again != data:
        raise Refused("record.form", "not the canonical spelling (RFC 8785)")
    return value


# --- Ed25519 keys and SSHSIG, § 2 and § 6 -------------------------------------------------------------------------------

P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P
SQRT_MINUS_ONE = pow(2, (P - 1) // 4, P)

Point = tuple[int, int]


def decompress(key: bytes) -> Point | None:
    """Return the curve point that the 32 bytes `key` encode canonically, or None (RFC 8032 section 5.1.3)."""
    y = int.from_bytes(key, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * SQRT_MINUS_ONE % P
    if x * x % P != square or (x == 0 and sign):
        return None
    return (P - x if x & 1 != sign else x), y


def add_points(a: Point, b: Point) -> Point:
    """Return the sum of two points of edwards25519."""
    product = D * a[0] * b[0] * a[1] * b[1] % P
    x = (a[0] * b[1] + a[1] * b[0]) * pow(1 + product, -1, P) % P
    y = (a[1] * b[1] + a[0] * b[0]) * pow(1 - product, -1, P) % P
    return x, y


def is_sound_key(key: bytes) -> bool:
    """Say whether `key` canonically encodes a point whose order does not divide 8."""
    point = decompress(key)
    if point is None:
        return False
    for _ in range(3):
        point = add_points(point, point)
    return point != (0, 1)


def ssh_string(data: bytes) -> bytes:
    """Return `data` after its length as a big-endian uint32."""
    return struct.pack(">I", len(data)) + data


def key_blob(key: bytes) -> bytes:
    """Return the SSH wire form of the 32 bytes of an Ed25519 public key."""
    return ssh_string(b"ssh-ed25519") + ssh_string(key)


def fingerprint(key: bytes) -> str:
    """Return OpenSSH's fingerprint of `key`."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(key_blob(key)).digest()).decode().rstrip("=")


def parse_public_key(text: object, code: str) -> bytes:
    """Return the 32 bytes of `ssh-ed25519 AAAA…`; raise Refused(code) for any other text and for unsound keys."""
    if not isinstance(text, str) or not text.startswith("ssh-ed25519 "):
        raise Refused(code, f"not an ssh-ed25519 public key: {shown(text)}")
    blob = decode_base64(text[len("ssh-ed25519 ") :])
    if blob is None or len(blob) != 51 or blob != key_blob(blob[-32:]):
        raise Refused(code, f"not an ssh-ed25519 public key: {shown(text)}")
    if not is_sound_key(blob[-32:]):
        raise Refused(code, "the public key is of small order or not canonically encoded")
    return blob[-32:]


def decode_base64(text: str) -> bytes | None:
    """Return what padded base64 `text` says, or None where another text would say the same or nothing does."""
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except ValueError:
        return None
    return data if base64.b64encode(data).decode() == text else None


def is_raw_signed(key: bytes, signature: bytes, message: bytes) -> bool:
    """Say whether `signature` is that of `key`, a sound one, over `message` itself (RFC 8032)."""
    if len(signature) != 64 or not is_sound_key(key):
        return False
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def is_signed(key: bytes, signature: bytes, namespace: bytes, message: bytes) -> bool:
    """Say whether `signature` (64 bytes) is the SSHSIG signature of `message` by `key`."""
    digest = hashlib.sha512(message).digest()
    signed = b"SSHSIG" + ssh_string(namespace) + ssh_string(b"") + ssh_string(b"sha512") + ssh_string(digest)
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, signed)
    except (InvalidSignature, ValueError):
        return False
    return True


def armour(key: bytes, signature: bytes, namespace: bytes) -> str:
    """Return the armoured SSHSIG of § 2, ending in a newline."""
    blob = b"SSHSIG" + struct.pack(">I", 1) + ssh_string(key_blob(key)) + ssh_string(namespace) + ssh_string(b"")
    blob += ssh_string(b"sha512") + ssh_string(ssh_string(b"ssh-ed25519") + ssh_string(signature))
    text = base64.b64encode(blob).decode()
    lines = [text[start : start + 70] for start in range(0, len(text), 70)]
    return "\n".join(["-----BEGIN SSH SIGNATURE-----", *lines, "-----END SSH SIGNATURE-----", ""])


def is_rotation_proof(proof: object, key: bytes, prev: str) -> bool:
    """Say whether `proof` is the new key's armoured SSHSIG over `prev` (§ 7), in exactly the form of § 2."""
    if not isinstance(proof, str):
        return False
    blob = decode_base64("".join(proof.split("\n")[1:-2]))
    if blob is None or len(blob) < 64:
        return False
    # The signature is the last field and everything else is known, so the whole text can be rebuilt and compared.
    if armour(key, blob[-64:], b"ledger-rotation") != proof:
        return False
    return is_signed(key, blob[-64:], b"ledger-rotation", prev.encode())


# --- The form of a record, § 2 and § 3 ------------------------------------------------------------------------------------

REQUIRED = frozenset(["v", "log", "seq", "prev", "key", "at", "kind", "source", "actor", "body"])
OPTIONAL = frozenset(["session", "turn", "call", "cause", "payloads"])
SOURCES = ["hook", "transcript", "otel", "mcp", "git", "cli", "spool"]
ACTORS = ["human", "agent", "policy", "tool", "recorder", "unknown"]
HEX32 = re.compile(r"[0-9a-f]{32}")
HEX64 = re.compile(r"[0-9a-f]{64}")
OID = {"sha1": re.compile(r"[0-9a-f]{40}"), "sha256": HEX64}
FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]")  # 43 digits hold 258 bits: the last two are zero
TIME = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{3}Z")
KIND = re.compile(r"[a-z][a-z0-9-]*\.[a-z][a-z0-9-]*")
PAYLOAD_NAME = re.compile(r"[a-z][a-z0-9_.-]{0,63}")


def is_text(value: object, low: int, high: int) -> bool:
    """Say whether `value` is a string of `low` to `high` code points."""
    return isinstance(value, str) and low <= len(value) <= high


def matches(pattern: re.Pattern[str], value: object) -> bool:
    """Say whether `value` is a string that `pattern` matches as a whole."""
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def is_count(value: object) -> bool:
    """Say whether `value` is an integer from 0 on (True is none)."""
    return type(value) is int and value >= 0


def is_day(value: object) -> bool:
    """Say whether `value` is a moment of § 3's form on a day that the Gregorian calendar has."""
    match = TIME.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return False
    year, month, day = (int(match[group]) for group in (1, 2, 3))
    return year >= 1 and 1 <= month <= 12 and 1 <= day <= calendar.monthrange(year, month)[1]


def is_actor(value: object) -> bool:
    """Say whether `value` is an actor of § 3."""
    if not isinstance(value, dict) or value.get("type") not in ACTORS or not set(value) <= {"type", "name"}:
        return False
    return "name" not in value or (value["type"] != "human" and isinstance(value["name"], str) and value["name"] != "")


def is_payload(value: object) -> bool:
    """Say whether `value` is one reference of `payloads`."""
    return (
        isinstance(value, dict)
        and set(value) == {"name", "commitment", "size", "media"}
        and matches(PAYLOAD_NAME, value["name"])
        and matches(HEX64, value["commitment"])
        and is_count(value["size"])
        and is_text(value["media"], 1, 255)
    )


def is_payloads(value: object) -> bool:
    """Say whether `value` is a list of references in the strict order of their names."""
    if not isinstance(value, list) or not value or not all(map(is_payload, value)):
        return False
    names = [reference["name"] for reference in value]
    return names == sorted(set(names))


def is_identifier(value: object) -> bool:
    """Say whether `value` may be a session, turn or call."""
    return is_text(value, 1, 512)


MEMBERS: dict[str, Callable[[object], bool]] = {
    "v": lambda value: type(value) is int and value == 1,
    "log": lambda value: value == "" or matches(HEX32, value),
    "seq": is_count,
    "prev": lambda value: matches(HEX64, value),
    "key": lambda value: matches(FINGERPRINT, value),
    "at": is_day,
    "kind": lambda value: matches(KIND, value) and is_text(value, 3, 64),
    "source": lambda value: value in SOURCES,
    "actor": is_actor,
    "body": lambda value: isinstance(value, dict),
    "session": is_identifier,
    "turn": is_identifier,
    "call": is_identifier,
    "cause": is_count,
    "payloads": is_payloads,
}


class Record(NamedTuple):
    """A well-formed record: the entry's bytes, what they say, the signature's 64 bytes."""

    entry_bytes: bytes
    entry: dict[str, Any]
    signature: bytes


def parse_record(line: bytes) -> Record:
    """Return the record that `line` (without newline) is; raise Refused(record.form)."""
    value = parse_jcs(line)
    if not isinstance(value, dict) or set(value) != {"entry", "sig"} or not isinstance(value["entry"], dict):
        raise Refused("record.form", 'a record is {"entry":{…},"sig":"…"}')
    signature = decode_base64(value["sig"]) if isinstance(value["sig"], str) else None
    if signature is None or len(signature) != 64:
        raise Refused("record.form", "sig is not the base64 of 64 bytes")
    check_entry_form(value["entry"])
    return Record(line[len(b'{"entry":') : -98], value["entry"], signature)


def check_entry_form(entry: dict[str, Any]) -> None:
    """Raise Refused(record.form) unless `entry` has the members of § 3 and no others."""
    names = set(entry)
    if not names >= REQUIRED or not names <= REQUIRED | OPTIONAL:
        raise Refused("record.form", f"members missing or unknown: {shown(sorted(names ^ REQUIRED - OPTIONAL))}")
    for name, value in entry.items():
        if not MEMBERS[name](value):
            raise Refused("record.form", f"{name} is not of its form: {shown(value)}")
    if (entry["seq"] == 0) != (entry["log"] == "") or (entry["seq"] == 0) != (entry["prev"] == ZEROS):
        raise Refused("record.form", "log is empty and prev zeros in the genesis, and nowhere else")
    if entry.get("cause", -1) >= entry["seq"]:
        raise Refused("record.form", f"cause {entry['cause']} is not an earlier entry")


# --- When a key counts: verify.md, section 4 --------------------------------------------------------------------------------

WINDOW_TIME = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})(?:([0-9]{2})([0-9]{2})([0-9]{2})?)?Z?")
REVOCATION = re.compile(r"(SHA256:[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048])[ \t]+(\*|[0-9a-f]{32}/(?:0|[1-9][0-9]{0,15}))")
MAX_REVOCATIONS = 10_000


class Window(NamedTuple):
    """The first and the last second, since 1970, in which a key may sign; None where there is no such end."""

    after: int | None
    before: int | None


Windows = list[Window]


def is_in(windows: Windows, at: int) -> bool:
    """Say whether any of `windows` holds the second `at`."""
    return any((after is None or after <= at) and (before is None or at <= before) for after, before in windows)


def is_over(windows: Windows, now: int) -> bool:
    """Say whether all of `windows` ended before `now`."""
    return all(before is not None and before < now for _, before in windows)


def parse_window_time(text: str) -> int | None:
    """Return the second that `YYYYMMDD[HHMM[SS]][Z]` names, in UTC; None where it names none since 1970."""
    match = WINDOW_TIME.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups())
    if year < 1970 or not 1 <= month <= 12 or not 1 <= day <= calendar.monthrange(year, month)[1]:
        return None
    return calendar.timegm((year, month, day, hour, minute, second)) if hour < 24 and minute < 60 and second < 60 else None


def second_of(at: str) -> int:
    """Return the second since 1970 in which a time of § 3 lies."""
    return calendar.timegm(time.strptime(at[:19], "%Y-%m-%dT%H:%M:%S"))


class Revocations:
    """What `.ledger/revocations` says: from which seq on a key's signatures do not count in a log."""

    def __init__(self, text: str = "") -> None:
        self.positions: dict[tuple[str, str], int] = {}
        self.everywhere: set[str] = set()
        lines = [line.strip(" \t\r") for line in text.split("\n")]
        for line in [line for line in lines if line and not line.startswith("#")][:MAX_REVOCATIONS]:
            match = REVOCATION.fullmatch(line)
            if match is None:
                continue
            if match[2] == "*":
                self.everywhere.add(match[1])
                continue
            log, _, number = match[2].partition("/")
            if int(number) <= MAX_INTEGER:
                place = (match[1], log)
                self.positions[place] = min(int(number), self.positions.get(place, MAX_INTEGER))

    def counts(self, key: bytes, log: str, seq: int) -> bool:
        """Say whether what `key` signed at `seq` of `log` counts."""
        print_ = fingerprint(key)
        return seq < self.positions.get((print_, log), 0 if print_ in self.everywhere else seq + 1)


class Trusted(NamedTuple):
    """The keys that may sign, each with its windows; None where every key may. And what was revoked."""

    keys: dict[bytes, Windows] | None
    revocations: Revocations


class Span:
    """What one key signed in a row: where it began, the first time claimed, and the latest."""

    def __init__(self, key: bytes, seq: int) -> None:
        self.key = key
        self.seq = seq
        self.first = ""
        self.last = ""

    def take(self, at: str) -> None:
        """Go on with an entry that claims `at`."""
        self.first = self.first or at
        self.last = max(self.last, at)


# --- The chain, § 6 and § 7 -----------------------------------------------------------------------------------------------


class Chain:
    """Walks the records of one log in order and keeps what the later checks need."""

    def __init__(self, findings: Findings, name: str | None, trusted: Trusted) -> None:
        self.findings = findings
        self.expected_name = name  # as the caller demands it
        self.trusted = trusted
        self.name: str | None = name  # as the genesis has it
        self.size = 0
        self.next_seq = 0
        self.prev = ZEROS
        self.key: bytes | None = None  # in force; None while unknown, which is itself reported
        self.hashes: dict[int, str] = {}
        self.commits: list[tuple[int, dict[str, Any]]] = []  # seq and body of each commit.recorded
        self.payloads: dict[tuple[int, str], tuple[str, int]] = {}  # (seq, name) → commitment, size
        self.erased: set[tuple[int, str]] = set()  # what a payload.erased names
        self.genesis: dict[str, Any] | None = None
        self.spans: list[Span] = []
        self.revoked = False  # the key in force, and reported

    def take(self, line: "Line") -> None:
        """Check the next record; a broken one is reported and the walk goes on behind it."""
        self.size += 1
        seq = self.next_seq
        try:
            if line.data is None:
                raise Refused("record.size", f"a record has at most {MAX_RECORD_SIZE} bytes")
            record = parse_record(line.data)
        except Refused as refused:
            self.findings.add(refused.code, seq, str(refused))
            self._advance(seq, line.hash)
            return
        self._check_place(record.entry, line.row)
        self._check_keys(record)
        self._collect(record)
        self._advance(record.entry["seq"], line.hash)

    def _advance(self, seq: int, record_hash: str) -> None:
        self.hashes.setdefault(seq, record_hash)
        self.next_seq, self.prev = seq + 1, record_hash

    def _check_place(self, entry: dict[str, Any], row: int | None) -> None:
        seq = entry["seq"]
        if seq != self.next_seq or (row is not None and row != seq):
            where = "" if row is None else f" in row {row}"
            self.findings.add("chain.seq", seq, f"expected seq {self.next_seq}, found {seq}{where}")
        if entry["prev"] != self.prev:
            self.findings.add("chain.prev", seq, f"expected prev {self.prev}, found {entry['prev']}")
        if (seq == 0) != (entry["kind"] == "log.opened"):
            self.findings.add("genesis.kind", seq, f"{entry['kind']} at {seq}: the genesis is log.opened, and nothing else is")

    def _check_keys(self, record: Record) -> None:
        entry, seq = record.entry, record.entry["seq"]
        if self.size == 1:
            self._open(record)
        elif self.name is None:
            self.name = entry["log"]  # the genesis is missing or broken, which is reported; what follows is held to one name
        if entry["log"] != ("" if seq == 0 else self.name):
            self.findings.add("log.id", seq, f"expected log {shown('' if seq == 0 else self.name)}, found {shown(entry['log'])}")
        if self.key is None:
            return
        self._date(self.key, entry)
        if entry["key"] != fingerprint(self.key):
            self.findings.add("key.unexpected", seq, f"expected key {fingerprint(self.key)}, found {entry['key']}")
        if not is_signed(self.key, record.signature, b"ledger-entry", record.entry_bytes):
            self.findings.add("signature.bad", seq, f"the signature is not that of the key in force, {fingerprint(self.key)}")
        if entry["kind"] == "key.rotated":
            self._rotate(entry)

    def _open(self, record: Record) -> None:
        entry = record.entry
        if entry["seq"] != 0:  # reported as chain.seq; what follows is held to one name, and no key is known
            self.name = entry["log"]
            return
        self.genesis = entry
        name = hashlib.sha256(record.entry_bytes).hexdigest()[:32]
        if self.expected_name not in (None, name):
            self.findings.add("log.id", 0, f"expected the log {self.expected_name}, the genesis makes it {name}")
        self.name = name
        try:
            self.key = parse_public_key(entry["body"].get("public_key"), "genesis.key")
            self._check_trusted(self.key, 0)
        except Refused as refused:
            self.findings.add(refused.code, 0, str(refused))

    def _rotate(self, entry: dict[str, Any]) -> None:
        """Put the new key in force where it proves that it agrees; otherwise the old one stays."""
        try:
            new = parse_public_key(entry["body"].get("public_key"), "key.rotation")
            if not is_rotation_proof(entry["body"].get("proof"), new, entry["prev"]):
                raise Refused("key.rotation", f"no valid proof by {fingerprint(new)}")
        except Refused as refused:
            self.findings.add(refused.code, entry["seq"], str(refused))
            return
        self.key = new
        self._check_trusted(new, entry["seq"])

    def _check_trusted(self, key: bytes, seq: int) -> None:
        if self.trusted.keys is not None and key not in self.trusted.keys:
            self.findings.add("key.untrusted", seq, f"{fingerprint(key)} is not listed for ledger-entry")

    def _date(self, key: bytes, entry: dict[str, Any]) -> None:
        """Note the claimed time of an entry that `key` had to sign, and report where the key is revoked."""
        if not self.spans or self.spans[-1].key != key:
            self.spans.append(Span(key, entry["seq"]))
            self.revoked = False
        self.spans[-1].take(entry["at"])
        if not self.revoked and not self.trusted.revocations.counts(key, self.name or "", entry["seq"]):
            self.revoked = True
            self.findings.add("key.revoked", entry["seq"], f"{fingerprint(key)} is revoked here")

    def check_times(self, now: int) -> None:
        """Report keys that signed outside their windows, and a last one that may sign no more (verify.md, section 4)."""
        for span in self.spans:
            windows = (self.trusted.keys or {}).get(span.key)
            if windows is None:
                continue
            if not all(is_in(windows, second_of(at)) for at in (span.first, span.last)):
                self.findings.add("key.window", span.seq, f"{fingerprint(span.key)} signed outside its windows")
            elif span is self.spans[-1] and is_over(windows, now):
                message = f"{fingerprint(span.key)} may sign no more, and nobody saw the log in time"
                self.findings.add("key.expired", self.next_seq - 1, message, verdict="incomplete")

    def _collect(self, record: Record) -> None:
        entry, seq = record.entry, record.entry["seq"]
        family, _, fact = entry["kind"].partition(".")
        if fact not in KNOWN_FACTS.get(family, []):
            self.findings.info("kind.unknown", seq, f"unknown kind {entry['kind']}")
        if entry["kind"] == "commit.recorded":
            self.commits.append((seq, entry["body"]))
        if entry["kind"] == "payload.erased":
            named = entry["body"].get("payloads")
            for item in named if isinstance(named, list) else []:
                if isinstance(item, dict) and is_count(item.get("seq")) and isinstance(item.get("name"), str):
                    self.erased.add((item["seq"], item["name"]))
        for reference in entry.get("payloads", []):
            self.payloads.setdefault((seq, reference["name"]), (reference["commitment"], reference["size"]))


# --- Reading the log -----------------------------------------------------------------------------------------------------


class Line(NamedTuple):
    """One record's bytes (None where they are too many), their SHA-256 in hex, and the row they came from, if any."""

    data: bytes | None
    hash: str
    row: int | None


def read_lines(stream: BinaryIO) -> Iterator[Line]:
    """Yield the lines of `stream`, never holding more than one record; a last line without newline counts as a line."""
    while piece := stream.readline(MAX_RECORD_SIZE + 1):
        digest = hashlib.sha256()
        data: bytes | None = piece.removesuffix(b"\n")
        while piece and not piece.endswith(b"\n"):
            digest.update(piece)
            piece = stream.readline(65536)
            data = None if piece not in (b"", b"\n") else data
        digest.update(piece.removesuffix(b"\n"))
        yield Line(data if data is not None and len(data) <= MAX_RECORD_SIZE else None, digest.hexdigest(), None)


def open_journal(path: str) -> sqlite3.Connection:
    """Open the SQLite journal `path` for reading; raise CouldNotCheck where `record` or `payload` is not a plain table."""
    # Views and virtual tables would let the file decide how long a query runs and what it calls.
    connection = sqlite3.connect(f"file:{quote(os.path.abspath(path))}?mode=ro", uri=True)
    connection.execute("PRAGMA trusted_schema=OFF")
    rows = connection.execute("SELECT name, type, sql FROM sqlite_master WHERE name IN ('record', 'payload')").fetchall()
    tables = {name for name, kind, sql in rows if kind == "table" and isinstance(sql, str) and "VIRTUAL" not in sql.upper()[:20]}
    hidden = [column for table in tables for column in connection.execute(f"PRAGMA table_xinfo({table})") if column[6]]
    if "record" not in tables or len(tables) != len(rows) or hidden:
        raise CouldNotCheck("the database has no plain table `record`, so it is not a journal")
    return connection


def read_rows(connection: sqlite3.Connection) -> Iterator[Line]:
    """Yield the rows of table `record` in the order of seq."""
    query = "SELECT seq, typeof(bytes), length(bytes), CASE WHEN length(bytes) <= ? THEN bytes END FROM record ORDER BY seq"
    for seq, kind, _length, data in connection.execute(query, (MAX_RECORD_SIZE,)):
        row = seq if isinstance(seq, int) else -1
        if kind == "blob":
            yield Line(data, hashlib.sha256(data or b"").hexdigest(), row)
        else:
            yield Line(b"", hashlib.sha256(b"").hexdigest(), row)


def check_payloads(connection: sqlite3.Connection, chain: Chain) -> None:
    """Compare every payload that is present with what its record commits to (§ 5), and report those that vanished."""
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'payload'").fetchone() is None:
        return
    missing = chain.payloads.keys() - chain.erased
    for seq, name, salt, data in connection.execute("SELECT seq, name, salt, bytes FROM payload ORDER BY seq, name"):
        place = seq if isinstance(seq, int) else None
        missing.discard((seq, name))
        expected = chain.payloads.get((seq, name))
        if expected is None:
            chain.findings.add("payload.mismatch", place, f"no record commits to payload {shown(name)}")
        elif not isinstance(salt, bytes) or not isinstance(data, bytes) or len(salt) != 32:
            chain.findings.add("payload.mismatch", place, f"payload {shown(name)} is not bytes with a salt of 32 bytes")
        elif expected != (hashlib.sha256(b"ledger-payload-v1" + salt + data).hexdigest(), len(data)):
            chain.findings.add("payload.mismatch", place, f"payload {shown(name)} is not what its record commits to")
    for seq, name in sorted(missing):
        message = f"payload {shown(name)} is gone, and no entry says that it was erased"
        chain.findings.add("payload.missing", seq, message, verdict="incomplete")


# --- Trust: OpenSSH's allowed_signers (ssh-keygen(1), ALLOWED SIGNERS) ------------------------------------------------------

_QUOTABLE = r'(?:"(?:[^"\\]|\\.)*"|[^\s"])+'
SIGNER_LINE = re.compile(rf"({_QUOTABLE})\s+(?:({_QUOTABLE})\s+)?ssh-ed25519\s+([A-Za-z0-9+/=]+)(?:\s.*)?")
OPTION = re.compile(r'([A-Za-z-]+)(?:="((?:[^"\\]|\\.)*)")?(?:,|$)')


def is_in_patterns(name: str, patterns: str) -> bool:
    """Say whether OpenSSH's pattern list (`*`, `?`, `!`, commas) takes `name`."""
    found = False
    for pattern in patterns.lower().split(","):
        body = pattern.removeprefix("!")
        regex = "".join({"*": ".*", "?": "."}.get(char, re.escape(char)) for char in re.sub(r"\*+", "*", body))
        if re.fullmatch(regex, name, re.DOTALL):
            if pattern.startswith("!"):
                return False
            found = True
    return found


def parse_window(options: str) -> Window | None:
    """Return when the options of an allowed_signers line let its key sign in the namespace ledger-entry; None: never."""
    place, allowed = 0, True
    ends: dict[str, int] = {}
    while place < len(options):
        match = OPTION.match(options, place)
        if match is None:
            return None
        name, value = match[1].lower(), match[2]
        if name == "namespaces" and value is not None:
            allowed = is_in_patterns("ledger-entry", value.replace('\\"', '"'))
        elif name in ("valid-after", "valid-before") and name not in ends and value is not None:
            end = parse_window_time(value)
            if end is None:
                return None
            ends[name] = end
        else:  # cert-authority among them: its key signs certificates, not entries
            return None
        place = match.end()
    window = Window(ends.get("valid-after"), ends.get("valid-before"))
    empty = window.after is not None and window.before is not None and window.before <= window.after
    return window if allowed and not empty else None


def read_trusted(path: str) -> dict[bytes, Windows]:
    """Return the Ed25519 keys that the allowed_signers file `path` lets sign entries; lines it does not understand add none."""
    keys: dict[bytes, Windows] = {}
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            match = SIGNER_LINE.fullmatch(line.strip())
            window = None if match is None or line.lstrip().startswith("#") else parse_window(match[2] or "")
            if match is None or window is None:
                continue
            try:
                keys.setdefault(parse_public_key(f"ssh-ed25519 {match[3]}", "key.untrusted"), []).append(window)
            except Refused:
                continue
    return keys


def read_revocations(repo: str | None) -> Revocations:
    """Return what is revoked in `.ledger/revocations` as committed at HEAD of `repo`; nothing where there is no such file."""
    if repo is None:
        return Revocations()
    return Revocations(run_git(repo, "cat-file", "blob", "HEAD:.ledger/revocations", may_fail=True).decode("utf-8", "replace"))


# --- What git says, § 4, § 6 and § 8 -----------------------------------------------------------------------------------------

HEAD = r"[0-9a-f]{32}/(0|[1-9][0-9]{0,15})/[0-9a-f]{64}"
TRAILER = re.compile(rf"[ \t]*Ledger-Entry:[ \t]*({HEAD})[ \t]*\r?".encode())


class Commit(NamedTuple):
    """A commit object as git stores it, without grafts or replacements."""

    tree: str
    parents: list[str]
    message: bytes


def git_command(repo: str, *arguments: str) -> tuple[list[str], dict[str, str]]:
    """Return the command line and environment in which git answers for `repo` alone, and fetches and replaces nothing."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    env |= {"GIT_NO_REPLACE_OBJECTS": "1", "GIT_NO_LAZY_FETCH": "1", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    return ["git", "-C", repo, "-c", "protocol.allow=never", *arguments], env


def run_git(repo: str, *arguments: str, given: bytes = b"", may_fail: bool = False) -> bytes:
    """Return what a git command prints; raise CouldNotCheck where it fails, unless it may."""
    command, env = git_command(repo, *arguments)
    try:
        done = subprocess.run(command, env=env, input=given, capture_output=True, check=False)
    except (OSError, ValueError) as error:
        raise CouldNotCheck(f"git does not run: {error}") from None
    if done.returncode != 0 and not may_fail:
        raise CouldNotCheck(f"git {arguments[0]} failed: {shown(done.stderr.decode(errors='replace').strip(), 300)}")
    return done.stdout if done.returncode == 0 else b""


def read_commits(repo: str, oids: Iterable[str]) -> Iterator[tuple[str, Commit | None, bool]]:
    """Yield (oid, commit or None, whether an object of that id is here) for each of `oids`, which must be hex."""
    wanted = list(oids)
    out = memoryview(run_git(repo, "cat-file", "--batch", given="".join(oid + "\n" for oid in wanted).encode())) if wanted else b""
    place = 0
    for oid in wanted:
        end = bytes(out[place : place + 200]).find(b"\n")
        header = bytes(out[place : place + end]).split(b" ")
        place += end + 1
        if len(header) != 3 or not header[2].isdigit():
            yield oid, None, False
            continue
        size = int(header[2])
        data = bytes(out[place : place + size])
        place += size + 1
        yield oid, parse_commit(data) if header[1] == b"commit" else None, True


def parse_commit(data: bytes) -> Commit:
    """Return the tree, parents and message of the commit object `data`."""
    head, _, message = data.partition(b"\n\n")
    fields = [line.split(b" ", 1) for line in head.split(b"\n")]
    values = [(field[0], field[1].decode("ascii", "replace")) for field in fields if len(field) == 2]
    tree = next((value for name, value in values if name == b"tree"), "")
    return Commit(tree, [value for name, value in values if name == b"parent"], message)


def in_batches(items: list[str], size: int = 2000) -> Iterator[list[str]]:
    """Yield `items` in lists of at most `size`."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


class Repository:
    """Checks a walked chain against one git repository."""

    def __init__(self, path: str, chain: Chain) -> None:
        self.path = path
        self.chain = chain
        self.findings = chain.findings
        run_git(path, "rev-parse", "--git-dir")
        self.is_shallow = run_git(path, "rev-parse", "--is-shallow-repository").strip() == b"true"
        # Refs of the ledger itself bind nothing: whoever wrote the log wrote them too.
        starts = ["--exclude=refs/ledger/*", "--glob=refs/*"]
        head = run_git(path, "symbolic-ref", "-q", "HEAD", may_fail=True)
        if not head.startswith(b"refs/ledger/") and run_git(path, "rev-parse", "--verify", "-q", "HEAD^{commit}", may_fail=True):
            starts.append("HEAD")
        self.reachable = run_git(path, "rev-list", *starts).decode().split()

    def check(self) -> None:
        """Check recorded commits, roots and trailers."""
        self._check_commits()
        self._check_roots(set(self.reachable))
        self._check_trailers()

    def _check_commits(self) -> None:
        by_oid: dict[str, list[tuple[int, dict[str, Any]]]] = {}
        for seq, body in self.chain.commits:
            if matches(OID["sha1"], body.get("oid")) or matches(OID["sha256"], body.get("oid")):
                by_oid.setdefault(body["oid"], []).append((seq, body))
            else:
                self.findings.add("commit.mismatch", seq, f"oid is not a commit id: {shown(body.get('oid'))}")
        self.recorded_here: set[str] = set()
        for batch in in_batches(list(by_oid)):
            for oid, commit, is_here in read_commits(self.path, batch):
                for seq, body in by_oid[oid]:
                    self._check_commit(seq, body, commit, is_here)

    def _check_commit(self, seq: int, body: dict[str, Any], commit: Commit | None, is_here: bool) -> None:
        if not is_here:
            self.findings.info("commit.absent", seq, f"commit {body['oid']} is not in this repository")
        elif commit is None:
            self.findings.add("commit.mismatch", seq, f"{body['oid']} is not a commit")
        else:
            self.recorded_here.add(body["oid"])
            if body.get("tree") != commit.tree or body.get("parents") != commit.parents:
                self.findings.add("commit.mismatch", seq, f"tree or parents of commit {body['oid']} are not what is recorded")

    def _check_roots(self, reachable: set[str]) -> None:
        genesis = self.chain.genesis
        if genesis is None:
            return  # which is reported
        roots = genesis["body"].get("roots")
        here = [root for root in roots if isinstance(root, str) and root in reachable] if isinstance(roots, list) else []
        if any(commit and not commit.parents for _, commit, _ in read_commits(self.path, here)):
            return
        # People amend first commits: then the root is here and unreachable, and a commit that was recorded later binds.
        if roots == [] and not self.recorded_here:
            return
        if self.recorded_here.isdisjoint(reachable):
            self._add_roots("neither a root nor a recorded commit of the log is reachable from a ref here")

    def _add_roots(self, message: str) -> None:
        if self.is_shallow:
            self.findings.add("genesis.roots", 0, f"{message}; its history is shallow", verdict="incomplete", severity="warning")
        else:
            self.findings.add("genesis.roots", 0, message)

    def _check_trailers(self) -> None:
        disowned = {
            (body.get("oid"), trailer.get("line"))
            for _, body in self.chain.commits
            for trailer in (body["trailers"] if isinstance(body.get("trailers"), list) else [])
            if isinstance(trailer, dict) and trailer.get("genuine") is False and isinstance(trailer.get("line"), str)
            if isinstance(body.get("oid"), str)
        }
        for batch in in_batches(self.reachable):
            for oid, commit, _ in read_commits(self.path, batch):
                for line in commit.message.split(b"\n") if commit else []:
                    match = TRAILER.fullmatch(line)
                    if match is not None and (oid, match[1].decode()) not in disowned:
                        check_head(self.chain, match[1].decode(), f"a trailer of commit {oid}")


def check_head(chain: Chain, head: str, where: str) -> None:
    """Compare LOG/SEQ/HASH with the chain where it names this log (§ 8)."""
    log, number, record_hash = head.split("/")
    seq = int(number)
    if log != chain.name or seq > MAX_INTEGER:
        return
    if seq not in chain.hashes and seq >= chain.next_seq:
        chain.findings.add("trailer.beyond", seq, f"{where} names a record that the log does not have", verdict="incomplete")
    elif chain.hashes.get(seq) != record_hash:
        message = f"{where} names record {record_hash}, the log has {chain.hashes.get(seq, 'none there')}"
        chain.findings.add("trailer.mismatch", seq, message, verdict="diverged")


# --- Proof files: proof.md, on checkpoint.md ------------------------------------------------------------------------------

PROOF_HEADER = b"c2sp.org/tlog-proof@v1"
PROOF_SUFFIX = ".tlog-proof"
MAX_PROOF_SIZE = 2_000_000  # the largest record in base64, 53 hashes and the largest note are less
MAX_NOTE_SIZE = 131_072
MAX_PROOF_HASHES = 53
LOG_SIGNATURE, COSIGNATURE = 1, 4


class NoteKey(NamedTuple):
    """A public key under a name, for signatures of one type (checkpoint.md, section 2)."""

    name: str
    type: int
    key: bytes

    @property
    def id(self) -> bytes:
        return hashlib.sha256(self.name.encode() + b"\n" + bytes([self.type]) + self.key).digest()[:4]


class Note(NamedTuple):
    """A signed note's text, and of each signature the key's name and id, and the bytes behind the id."""

    text: str
    signatures: list[tuple[str, bytes, bytes]]


class Proof(NamedTuple):
    """The parts of a proof file, and of its checkpoint: the log, the size and the root."""

    record: bytes
    seq: int
    hashes: list[bytes]
    note: Note
    log: str
    size: int
    root: bytes


def malformed(message: str) -> Refused:
    """Return the refusal of a proof file whose form is broken."""
    return Refused("proof.form", message)


def parse_decimal(text: str, most: int) -> int:
    """Return the number `text`, of at most `most`; raise Refused for other spellings."""
    if re.fullmatch(r"0|[1-9][0-9]{0,15}", text) is None or int(text) > most:
        raise malformed(f"{shown(text)} is no number up to {most}")
    return int(text)


def parse_hash(text: str) -> bytes:
    """Return the 32 bytes that `text` says; raise Refused."""
    data = decode_base64(text)
    if data is None or len(data) != 32:
        raise malformed(f"{shown(text)} is not the base64 of a hash")
    return data


def is_key_name(name: str) -> bool:
    """Say whether `name` may be the name of a note key."""
    return 1 <= len(name.encode()) <= 256 and re.search(r"[\s+\x00-\x1f]", name) is None


def parse_note(data: bytes) -> Note:
    """Return the signed note that `data` is (checkpoint.md, section 2); raise Refused."""
    try:
        whole = data.decode("utf-8")
    except UnicodeDecodeError:
        raise malformed("the note is not UTF-8") from None
    if len(data) > MAX_NOTE_SIZE or re.search(r"[\x00-\x09\x0b-\x1f]", whole) is not None:
        raise malformed("the note is too large, or has a control character")
    text, gap, block = whole.rpartition("\n\n")
    lines = block.split("\n")
    if not gap or lines[-1] != "" or not 1 <= len(lines) - 1 <= 100:
        raise malformed("the note is not a text, an empty line and 1 to 100 signatures")
    signatures = []
    for line in lines[:-1]:
        parts = line.split(" ")
        value = decode_base64(parts[2]) if len(parts) == 3 else None
        if value is None or parts[0] != "\u2014" or not is_key_name(parts[1]) or len(value) < 5:
            raise malformed("a line of the note is no signature")
        signatures.append((parts[1], value[:4], value[4:]))
    return Note(text + "\n", signatures)


def parse_proof(data: bytes) -> Proof:
    """Return the parts of a proof file (proof.md, section 1); raise Refused."""
    head, _, note_data = data.partition(b"\n\n")
    lines = head.split(b"\n")
    if len(data) > MAX_PROOF_SIZE or not head.isascii() or len(lines) < 3 or len(lines) > 3 + MAX_PROOF_HASHES:
        raise malformed("not a header, extra, index and at most 53 hashes in ASCII, and an empty line")
    if lines[0] != PROOF_HEADER or not lines[1].startswith(b"extra ") or not lines[2].startswith(b"index "):
        raise malformed("not the header, extra and index, in this order")
    record = decode_base64(lines[1][6:].decode())
    if record is None or not 1 <= len(record) <= MAX_RECORD_SIZE:
        raise malformed("extra is not the base64 of a record")
    index = parse_decimal(lines[2][6:].decode(), MAX_INTEGER - 1)
    hashes = [parse_hash(line.decode()) for line in lines[3:]]
    note = parse_note(note_data)
    said = note.text[:-1].split("\n")  # checkpoint.md, section 3
    if not 3 <= len(said) <= 19 or "" in said:
        raise malformed("the checkpoint is not an origin, a size, a root and up to 16 lines more")
    prefix, _, log = said[0].partition("/")
    if prefix != "git-ledger" or HEX32.fullmatch(log) is None:
        raise malformed(f"the origin {shown(said[0])} is not that of a ledger's log")
    return Proof(record, index, hashes, note, log, parse_decimal(said[1], MAX_INTEGER), parse_hash(said[2]))


def climb(index: int, size: int, leaf: bytes, hashes: list[bytes]) -> bytes:
    """Return the root of the tree of `size` leaves that has `leaf` at `index`, by an inclusion proof (RFC 6962 section 2.1.1)."""
    if size == 1 or not hashes:
        if size != 1 or hashes:
            raise Refused("proof.mismatch", "the inclusion proof has too many hashes, or too few")
        return leaf
    split = 1 << ((size - 1).bit_length() - 1)
    if index < split:
        left, right = climb(index, split, leaf, hashes[:-1]), hashes[-1]
    else:
        left, right = hashes[-1], climb(index - split, size - split, leaf, hashes[:-1])
    return hashlib.sha256(b"\x01" + left + right).digest()


def is_note_signed(key: NoteKey, text: str, data: bytes) -> bool:
    """Say whether `data` is a signature of `key` on a note's text (checkpoint.md, sections 2 and 4)."""
    if key.type == LOG_SIGNATURE:
        return is_raw_signed(key.key, data, text.encode())
    at = int.from_bytes(data[:8], "big")
    return len(data) == 72 and at < 2**63 and is_raw_signed(key.key, data[8:], f"cosignature/v1\ntime {at}\n{text}".encode())


def check_note(note: Note, keys: list[NoteKey]) -> list[tuple[NoteKey, bytes]]:
    """Return the good signatures of known `keys`; raise Refused where one of a known key is bad, or the log's is missing."""
    good = []
    for name, key_id, data in note.signatures:
        named = [key for key in keys if (key.name, key.id) == (name, key_id)]
        found = [key for key in named if is_note_signed(key, note.text, data)]
        if named and not found:
            raise Refused("proof.mismatch", f"the signature of {shown(name)} is bad")
        good += [(key, data) for key in found]
    if not any(key.type == LOG_SIGNATURE for key, _ in good):
        raise Refused("proof.mismatch", "no trusted key signed the checkpoint")
    return good


class Answer(NamedTuple):
    """What a proof file shows; the last three are None where it shows nothing."""

    findings: Findings
    witnesses: dict[NoteKey, int]
    proof: Proof | None
    entry: dict[str, Any] | None

    @property
    def verdict(self) -> str:
        return "anchored" if self.witnesses and self.findings.verdict == "consistent" else self.findings.verdict


def check_proof(data: bytes, trusted: Trusted, witnesses: list[NoteKey], now: int) -> Answer:
    """Check a proof file by the steps of proof.md, section 2."""
    findings = Findings()
    keys = trusted.keys or {}
    try:
        proof = parse_proof(data)
        # 1. and 5.
        origin = f"git-ledger/{proof.log}"
        good = check_note(proof.note, [*(NoteKey(origin, LOG_SIGNATURE, key) for key in keys), *witnesses])
        # 2.
        if proof.seq >= proof.size:
            raise Refused("proof.mismatch", f"a log of {proof.size} records has none at {proof.seq}")
        if climb(proof.seq, proof.size, hashlib.sha256(b"\0" + proof.record).digest(), proof.hashes) != proof.root:
            raise Refused("proof.mismatch", "the inclusion proof leads to another root")
        # 3. and 4.
        record = parse_record(proof.record)
        signer = check_proven(record, proof, keys)
    except Refused as refused:
        findings.add("proof.form" if refused.code == "record.form" else refused.code, None, str(refused))
        return Answer(findings, {}, None, None)
    seen: dict[NoteKey, int] = {}
    for key, signature in good:
        if key.type == COSIGNATURE:
            seen.setdefault(key, int.from_bytes(signature[:8], "big"))
    times = [int.from_bytes(signature[:8], "big") for key, signature in good if key.type == COSIGNATURE]
    signers = [key.key for key, _ in good if key.type == LOG_SIGNATURE]
    check_counts(findings, proof, record.entry, signer, signers, trusted, times, now)
    return Answer(findings, seen, proof, record.entry)


def check_proven(record: Record, proof: Proof, keys: Iterable[bytes]) -> bytes:
    """Return the trusted key that signed `record`, whose own words must fit the proof; raise Refused."""
    entry = record.entry
    if entry["seq"] != proof.seq:
        raise Refused("proof.mismatch", f"the record is number {entry['seq']}, the proof says {proof.seq}")
    if proof.log != (entry["log"] or hashlib.sha256(record.entry_bytes).hexdigest()[:32]):
        raise Refused("proof.mismatch", "the record is of another log than the checkpoint")
    for key in keys:
        if fingerprint(key) == entry["key"] and is_signed(key, record.signature, b"ledger-entry", record.entry_bytes):
            return key
    raise Refused("proof.mismatch", f"no trusted key signed the record as {entry['key']}")


def check_counts(
    findings: Findings,
    proof: Proof,
    entry: dict[str, Any],
    signer: bytes,
    signers: list[bytes],
    trusted: Trusted,
    times: list[int],
    now: int,
) -> None:
    """Report keys that were revoked, or used outside their windows (proof.md, section 2, steps 6 and 7)."""
    keys, revocations = trusted.keys or {}, trusted.revocations
    if not revocations.counts(signer, proof.log, proof.seq):
        findings.add("key.revoked", proof.seq, f"{fingerprint(signer)}, which signed the record, is revoked")
    if not is_in(keys[signer], second_of(entry["at"])):
        findings.add("key.window", proof.seq, f"{fingerprint(signer)} signed outside its windows")
    last = proof.size - 1
    left = [key for key in signers if revocations.counts(key, proof.log, last)]
    if not left:
        findings.add("key.revoked", last, "the key that signed the checkpoint is revoked")
    elif all(is_over(keys[key], now) and not any(is_in(keys[key], at) for at in times) for key in left):
        message = "the key that signed the checkpoint may sign no more, and no known witness saw it in time"
        findings.add("key.expired", last, message, verdict="incomplete")


def is_proof_file(path: str) -> bool:
    """Say whether `path` is meant to be a proof file (proof.md, section 3)."""
    if path == "-" or not os.path.isfile(path):
        return False
    with open(path, "rb") as stream:
        return path.endswith(PROOF_SUFFIX) or stream.read(len(PROOF_HEADER)) == PROOF_HEADER


def witness_form(text: str) -> NoteKey:
    """Return the witness's key that `text` says (checkpoint.md, section 2)."""
    name, _, rest = text.partition("+")
    key_id, _, encoded = rest.partition("+")
    data = decode_base64(encoded)
    if data is None or len(data) != 33 or data[0] != COSIGNATURE or not is_key_name(name):
        raise argparse.ArgumentTypeError("expected NAME+ID+BASE64 of a key that cosigns")
    key = NoteKey(name, COSIGNATURE, data[1:])
    if key.id.hex() != key_id:
        raise argparse.ArgumentTypeError(f"the key's id is {key.id.hex()}")
    return key


def verify_proof(options: argparse.Namespace) -> Answer:
    """Check the proof file that `options` name."""
    if options.trust is None:
        raise CouldNotCheck("a proof says nothing without --trust")
    trusted = Trusted(read_trusted(options.trust), read_revocations(options.repo))
    with open(options.log, "rb") as stream:
        data = stream.read(MAX_PROOF_SIZE + 1)
    return check_proof(data, trusted, options.witness, int(time.time()))


def render_proof(answer: Answer, as_json: bool) -> str:
    """Return what a proof shows, for people or as one line of JSON."""
    value: dict[str, Any] = dict.fromkeys(["log", "seq", "kind", "at", "size", "root", "key"])
    if answer.proof is not None and answer.entry is not None:
        value |= {name: answer.entry[name] for name in ("seq", "kind", "at", "key")}
        value |= {"log": answer.proof.log, "size": answer.proof.size, "root": base64.b64encode(answer.proof.root).decode()}
    names = [key.name for key in answer.witnesses]
    findings = [{name: part for name, part in found._asdict().items() if name != "verdict"} for found in answer.findings.kept]
    if as_json:
        return json.dumps({"verdict": answer.verdict, **value, "witnesses": names, "findings": findings})
    lines = [answer.verdict]
    if value["log"] is not None:
        lines.append(f"entry {value['log']}/{value['seq']} of {value['size']} records, {value['kind']}, signed by {value['key']}")
        lines += [f"cosigned by {shown(name)}" for name in names]
    return "\n".join([*lines, *(f"{found['severity']}: {found['code']}: {found['message']}" for found in findings)])


# --- The door ---------------------------------------------------------------------------------------------------------------


def verify(options: argparse.Namespace) -> Chain:
    """Check the log that `options` name; return the walked chain with all findings."""
    # 1. whom to trust  2. the records  3. the payloads that came with them  4. the head that must exist  5. git
    keys = read_trusted(options.trust) if options.trust is not None else None
    chain = Chain(Findings(), options.name, Trusted(keys, read_revocations(options.repo)))
    read_log(options.log, chain)
    chain.check_times(int(time.time()))
    if chain.size == 0:
        chain.findings.add("genesis.kind", None, "the log is empty, so it has no genesis")
    if options.head is not None and options.head.split("/")[0] != chain.name:
        chain.findings.add("log.id", None, f"the head names another log than {shown(chain.name)}")
    elif options.head is not None:
        check_head(chain, options.head, "the given head")
    if options.repo is not None:
        Repository(options.repo, chain).check()
    return chain


def read_log(path: str, chain: Chain) -> None:
    """Walk the records of the file, stream or journal `path`, then its payloads."""
    if path == "-":
        for line in read_lines(sys.stdin.buffer):
            chain.take(line)
        return
    with open(path, "rb") as stream:
        if stream.peek(16)[:16] != SQLITE_MAGIC:
            for line in read_lines(stream):
                chain.take(line)
            return
    connection = open_journal(path)
    try:
        for line in read_rows(connection):
            chain.take(line)
        check_payloads(connection, chain)
    finally:
        connection.close()


def hex32(text: str) -> str:
    """Return `text` where it is the name of a log."""
    if HEX32.fullmatch(text) is None:
        raise argparse.ArgumentTypeError("a log's name has 32 hex digits")
    return text


def head_form(text: str) -> str:
    """Return `text` where it has the form LOG/SEQ/HASH."""
    if re.fullmatch(HEAD, text) is None:
        raise argparse.ArgumentTypeError("expected LOG/SEQ/HASH as a trailer has it")
    return text


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    """Return the options; exit 2 where they are wrong."""
    parser = argparse.ArgumentParser(description="Check one log from its records alone, or one proof file.")
    parser.add_argument("log", metavar="LOG", help="records, one a line (- for standard input), a SQLite journal, or a proof file")
    parser.add_argument("--name", type=hex32, help="the name that the log must have")
    parser.add_argument("--repo", metavar="DIR", help="check against this git repository")
    parser.add_argument("--trust", metavar="ALLOWED_SIGNERS", help="the keys that may sign")
    parser.add_argument("--head", type=head_form, metavar="LOG/SEQ/HASH", help="a record that must exist")
    parser.add_argument("--witness", type=witness_form, action="append", default=[], metavar="KEY", help="a witness of a proof")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser.parse_args(arguments)


def render(chain: Chain) -> str:
    """Return the verdict and the findings for people."""
    lines = [f"{chain.findings.verdict}: log {chain.name or 'without a name'}, {chain.size} records"]
    for finding in chain.findings.kept:
        place = "" if finding.seq is None else f" at {finding.seq}"
        lines.append(f"{finding.severity}: {finding.code}{place}: {finding.message}")
    if chain.findings.count > len(chain.findings.kept):
        lines.append(f"and {chain.findings.count - len(chain.findings.kept)} more findings")
    return "\n".join(lines)


def render_json(chain: Chain) -> str:
    """Return the verdict and the findings as one line of JSON."""
    last = max(chain.hashes, default=None)
    answer = {
        "verdict": chain.findings.verdict,
        "log": chain.name,
        "size": chain.size,
        "head": None if last is None else f"{chain.name}/{last}/{chain.hashes[last]}",
        "findings": [finding._asdict() for finding in chain.findings.kept],
        "findings_count": chain.findings.count,
    }
    for finding in answer["findings"]:
        del finding["verdict"]
    return json.dumps(answer)


def main(arguments: list[str] | None = None) -> int:
    """Verify what the command line names, print the answer, return the exit code."""
    options = parse_arguments(arguments)
    try:
        if is_proof_file(options.log):
            answer = verify_proof(options)
            print(render_proof(answer, options.json))
            return 0 if answer.verdict in ("consistent", "anchored") else 1
        chain = verify(options)
    except (CouldNotCheck, OSError, ValueError, sqlite3.Error, MemoryError, RecursionError) as error:
        print(f"could not check: {shown(str(error) or type(error).__name__, 300)}", file=sys.stderr)
        return 3
    print(render_json(chain) if options.json else render(chain))
    return 0 if chain.findings.verdict == "consistent" else 1


if __name__ == "__main__":
    sys.exit(main())
