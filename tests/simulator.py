"""A log in memory with real keys, and everything that somebody may do to it afterwards.

    sim = LogSimulator()
    sim.append("prompt.submitted", payloads={"prompt": b"Please add the demo file"})
    sim.rotate()
    records = drop(sim.records(), 1)

The tamperings take a list of records and return another; those that need a key are methods of the simulator that holds it.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ledger.core.canonical import format_canonical, parse_canonical
from ledger.core.checkpoint import Checkpoint, format_origin, sign_checkpoint
from ledger.core.ed25519 import public_key_of, sign_message, sign_sshsig
from ledger.core.entry import GENESIS_PREV, VERSION, format_record, hash_record, log_id, parse_record
from ledger.core.merkle import Frontier, hash_leaf
from ledger.core.payload import commit_payload
from ledger.core.sshsig import ENTRY_NAMESPACE, ROTATION_NAMESPACE, fingerprint, format_armoured, format_public_key
from ledger.core.trailer import Head, format_head

ROOT = "1f2e3d4c5b6a79880716253443526170fedcba98"
JOURNAL_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE record (seq INTEGER PRIMARY KEY, bytes BLOB NOT NULL);
CREATE TABLE payload (seq INTEGER NOT NULL, name TEXT NOT NULL, salt BLOB NOT NULL, bytes BLOB NOT NULL, PRIMARY KEY (seq, name));
"""


class PayloadRow(NamedTuple):
    """One row of a journal's table `payload`."""

    seq: int
    name: str
    salt: bytes
    data: bytes


class LogSimulator:
    """The one writer of a log: keeps its seeds, its records and its payloads."""

    def __init__(self, roots: Any = (ROOT,), **genesis: Any) -> None:
        self.seeds: dict[str, bytes] = {}  # fingerprint → seed
        self.key = self._new_key()
        self._records: list[bytes] = []
        self._payloads: list[PayloadRow] = []
        body = {
            "roots": list(roots) if isinstance(roots, tuple) else roots,
            "object_format": "sha1",
            "nonce": os.urandom(16).hex(),
            "public_key": self.public_key,
            "key_storage": "file",
            "clone": os.urandom(16).hex(),
            "tool_version": "0.1.0",
            **genesis,
        }
        self.name = ""
        self.append("log.opened", body, source="cli", actor={"type": "recorder", "name": "ledger"})
        self.name = log_id(parse_record(self._records[0]).entry_bytes)

    @property
    def public_key(self) -> str:
        """The key in force, as `ssh-ed25519 AAAA…`."""
        return format_public_key(public_key_of(self.seeds[self.key]))

    def records(self) -> list[bytes]:
        """Return a copy of the records, without newlines."""
        return list(self._records)

    def payload_rows(self) -> list[PayloadRow]:
        """Return a copy of the payloads, in the order they were written."""
        return list(self._payloads)

    def head(self, seq: int | None = None) -> str:
        """Return `<log>/<seq>/<hash>` of the last record, or of that at `seq`: what a commit trailer says."""
        seq = len(self._records) - 1 if seq is None else seq
        return format_head(Head(self.name, seq, hash_record(self._records[seq])))

    def members(self, kind: str, body: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
        """Return the members of the next entry; `more` adds to them or replaces them."""
        seq = len(self._records)
        return {
            "v": VERSION,
            "log": self.name,
            "seq": seq,
            "prev": hash_record(self._records[-1]) if seq else GENESIS_PREV,
            "key": self.key,
            "at": f"2026-01-02T{seq // 3600 % 24:02}:{seq // 60 % 60:02}:{seq % 60:02}.000Z",
            "kind": kind,
            "source": "hook",
            "actor": {"type": "agent", "name": "codex"},
            "body": dict(body or {}),
            **more,
        }

    def append(
        self, kind: str, body: Mapping[str, Any] | None = None, *, payloads: Mapping[str, bytes] | None = None, **more: Any
    ) -> int:
        """Append one entry and return its seq. Nothing is checked: `more` may replace any member by nonsense."""
        seq, rows = len(self._records), []
        for name, data in sorted((payloads or {}).items()):
            rows.append(PayloadRow(seq, name, os.urandom(32), data))
        if rows:
            more["payloads"] = [
                {"name": row.name, "commitment": commit_payload(row.salt, row.data), "size": len(row.data), "media": "text/plain"}
                for row in rows
            ]
        self._records.append(self.sign(self.members(kind, body, **more)))
        self._payloads += rows
        return seq

    def rotate(self, *, proof: str | None = None, proof_prev: str | None = None, signer: bytes | None = None) -> int:
        """Append a `key.rotated` to a fresh key. `proof`, or what it is over, or who made it, may be replaced."""
        new = self._new_key()
        seed = self.seeds[new]
        prev = hash_record(self._records[-1])
        if proof is None:
            proof = _proof(seed, proof_prev or prev, signer)
        body = {"public_key": format_public_key(public_key_of(seed)), "proof": proof, "key_storage": "file"}
        seq = self.append("key.rotated", body, source="cli", actor={"type": "recorder", "name": "ledger"})
        self.key = new
        return seq

    def sign(self, members: Mapping[str, Any], key: str | None = None) -> bytes:
        """Return the record of `members`, signed by `key` or by the one in force."""
        return _sign(members, self.seeds[key or self.key])

    def note(self, size: int, records: Sequence[bytes] | None = None, *, seed: bytes | None = None, log: str = "") -> bytes:
        """Return the signed checkpoint of the first `size` of `records`, by the key that signs the next one, or by `seed`."""
        records = self._records if records is None else records
        frontier = Frontier()
        frontier.extend(map(hash_leaf, records[:size]))
        near = parse_record(records[min(size, len(records) - 1)]).entry
        seed = seed or self.seeds[self.key if near.kind == "key.rotated" and near.seq < size else near.key]
        checkpoint = Checkpoint(format_origin(log or self.name), size, frontier.root())
        return sign_checkpoint(checkpoint, public_key_of(seed), lambda message: sign_message(seed, message))

    def fork(self, seq: int, kind: str = "prompt.submitted", **more: Any) -> list[bytes]:
        """Return another history of this log: the records below `seq`, and then one that this log does not have."""
        other = self._copy(seq)
        other.append(kind, {"permission_mode": "fork"}, **more)
        return other.records()

    def edit_and_rehash(self, seq: int, edit: Callable[[dict[str, Any]], None]) -> list[bytes]:
        """Let `edit` change the members of entry `seq`; return the records with all later links and signatures made anew.

        Only whoever holds the keys can do this. An edited genesis gives the log another name.
        """
        return rebuild(self._records, self.seeds, {seq: edit})

    def backdate(self, seq: int, at: str = "2019-01-01T00:00:00.000Z") -> list[bytes]:
        """Return the log with entry `seq` at another time, links and signatures made anew."""
        return self.edit_and_rehash(seq, lambda members: members.update(at=at))

    def write_lines(self, path: Path, records: Sequence[bytes] | None = None) -> Path:
        """Write a file with one record a line."""
        return write_lines(path, self._records if records is None else records)

    def write_journal(
        self, path: Path, records: Sequence[bytes] | None = None, payloads: Sequence[PayloadRow] | None = None
    ) -> Path:
        """Write an SQLite journal."""
        return write_journal(
            path, self.name, self._records if records is None else records, self._payloads if payloads is None else payloads
        )

    def _new_key(self) -> str:
        seed = os.urandom(32)
        key = fingerprint(public_key_of(seed))
        self.seeds[key] = seed
        return key

    def _copy(self, size: int) -> LogSimulator:
        other = LogSimulator.__new__(LogSimulator)
        other.seeds, other.name, other._payloads = dict(self.seeds), self.name, []
        other._records = self._records[:size]
        other.key = parse_record(self._records[size]).entry.key if size < len(self._records) else self.key
        return other


def flip(records: Sequence[bytes], index: int, byte: int, bit: int = 0) -> list[bytes]:
    """Return the records with one bit of record `index` flipped."""
    changed = bytearray(records[index])
    changed[byte] ^= 1 << bit
    return _with(records, index, bytes(changed))


def flip_signature(records: Sequence[bytes], index: int) -> list[bytes]:
    """Return the records with one bit of a signature itself flipped; a bit of its base64 may also make it malformed."""
    _, entry_bytes, signature = parse_record(records[index])
    return _with(records, index, format_record(entry_bytes, bytes([signature[0] ^ 1]) + signature[1:]))


def drop(records: Sequence[bytes], index: int) -> list[bytes]:
    """Return the records without record `index`."""
    return [*records[:index], *records[index + 1 :]]


def swap(records: Sequence[bytes], first: int, second: int) -> list[bytes]:
    """Return the records with two of them in each other's place."""
    changed = list(records)
    changed[first], changed[second] = changed[second], changed[first]
    return changed


def duplicate(records: Sequence[bytes], index: int) -> list[bytes]:
    """Return the records with record `index` there twice."""
    return [*records[: index + 1], *records[index:]]


def truncate(records: Sequence[bytes], size: int) -> list[bytes]:
    """Return the first `size` records: a cut tail, or a rollback to an older copy."""
    return list(records[:size])


def resign_with_stranger(records: Sequence[bytes], index: int, *, claim: bool = False, seed: bytes | None = None) -> list[bytes]:
    """Return the records with `index` signed by a key that is not the log's; with `claim` the entry names that key."""
    seed = seed or os.urandom(32)
    members = members_of(records[index])
    if claim:
        members["key"] = fingerprint(public_key_of(seed))
    return _with(records, index, _sign(members, seed))


def adopt(records: Sequence[bytes]) -> list[bytes]:
    """Return the whole log made anew under a stranger's key: what only trust in the right key tells apart. No rotations."""
    seed = os.urandom(32)
    key, public_key = fingerprint(public_key_of(seed)), format_public_key(public_key_of(seed))

    def edit(members: dict[str, Any]) -> None:
        members["key"] = key
        if members["seq"] == 0:
            members["body"]["public_key"] = public_key

    return rebuild(records, {key: seed}, dict.fromkeys(range(len(records)), edit))


def rebuild(
    records: Sequence[bytes], seeds: Mapping[str, bytes], edits: Mapping[int, Callable[[dict[str, Any]], None]]
) -> list[bytes]:
    """Return the records after `edits`, with every link, proof and signature behind the first edit made anew."""
    out: list[bytes] = []
    for seq, record in enumerate(records):
        if seq < min(edits, default=0):
            out.append(record)
            continue
        members = members_of(record)
        if seq:
            members["log"] = log_id(parse_record(out[0]).entry_bytes)
            members["prev"] = hash_record(out[-1])
        if seq in edits:
            edits[seq](members)
        if members["kind"] == "key.rotated":
            new = next(seed for seed in seeds.values() if format_public_key(public_key_of(seed)) == members["body"]["public_key"])
            members["body"]["proof"] = _proof(new, members["prev"])
        out.append(_sign(members, seeds[members["key"]]))
    return out


def members_of(record: bytes) -> dict[str, Any]:
    """Return the members of a record's entry, to change them."""
    members = parse_canonical(parse_record(record).entry_bytes)
    assert isinstance(members, dict)
    return members


def write_lines(path: Path, records: Sequence[bytes]) -> Path:
    """Write `records` to a file, one a line."""
    path.write_bytes(b"".join(record + b"\n" for record in records))
    return path


def write_journal(path: Path, log: str, records: Sequence[bytes], payloads: Sequence[PayloadRow] = ()) -> Path:
    """Write an SQLite journal whose rows are numbered by their place."""
    db = sqlite3.connect(path)
    try:
        db.executescript(JOURNAL_SCHEMA)
        db.executemany("INSERT INTO meta VALUES (?, ?)", [("schema", "1"), ("log", log)])
        db.executemany("INSERT INTO record VALUES (?, ?)", list(enumerate(records)))
        db.executemany("INSERT INTO payload VALUES (?, ?, ?, ?)", list(payloads))
        db.commit()
    finally:
        db.close()
    return path


def _sign(members: Mapping[str, Any], seed: bytes) -> bytes:
    entry = format_canonical(members)
    return format_record(entry, sign_sshsig(seed, ENTRY_NAMESPACE, entry))


def _proof(seed: bytes, prev: str, signer: bytes | None = None) -> str:
    signature = sign_sshsig(signer or seed, ROTATION_NAMESPACE, prev.encode())
    return format_armoured(public_key_of(seed), ROTATION_NAMESPACE, signature)


def _with(records: Sequence[bytes], index: int, record: bytes) -> list[bytes]:
    changed = list(records)
    changed[index] = record
    return changed
