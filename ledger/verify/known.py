"""What was found out about a log before, as far as a walk can go on from it (docs/spec/verify.md, section 8).

It lies in the state folder, and only saves time: what is damaged, or of another version, is as good as nothing.

    <SHA-256 of the rest in hex, a newline>
    {"v": 1, "log": …}
"""

from __future__ import annotations

from binascii import a2b_base64
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, NamedTuple

from orjson import OPT_NON_STR_KEYS, dumps, loads

from ledger.core.entry import parse_record
from ledger.core.lines import format_base64
from ledger.core.merkle import Frontier
from ledger.errors import FormatError

_VERSION = 1


class Held(NamedTuple):
    """A key that the log says was in force from record `seq` on.

    `first_at` is the time that the first entry which it signed claims, `last_at` the latest that any of them does; both empty
    where it signed none.
    """

    seq: int
    public_key: bytes
    fingerprint: str
    first_at: str = ""
    last_at: str = ""


class GenuineSeal(NamedTuple):
    """A seal that continues its log: the commit's id, the checkpoint's size and root, and the signed checkpoint as it lies in git.

    `note` is empty where an earlier run checked it and nobody but the log signed it.
    """

    oid: str
    size: int
    root: bytes
    note: bytes


class Wanted(NamedTuple):
    """What a walk is asked to keep, for it keeps nothing that grows with the log: hashes of records, and roots by size."""

    seqs: Collection[int] = frozenset()
    sizes: Collection[int] = frozenset()


NOTHING = Wanted()


@dataclass(frozen=True, slots=True)
class Known:
    """The state of a log behind its record `size` − 1, from which a walk goes on.

    `frontier` are the hashes of its tree, `genesis` the bytes of its first record, `notes` what Notes.dump said. `hashes` are those
    of records that somebody asked for, in hex. `tip` is the last genuine seal on its ref, and `seals` are all of them; of a log
    that was read from its ref, `heads` has the hash of the last record of each. `digest` is that of a journal's rows up to `size`.
    """

    log: str
    size: int
    head: str
    frontier: tuple[bytes, ...]
    version: int
    latest: str
    keys: tuple[Held, ...]
    genesis: bytes
    notes: Mapping[str, Any]
    hashes: Mapping[int, str] = field(default_factory=dict)
    tip: str | None = None
    seals: tuple[GenuineSeal, ...] = ()
    heads: tuple[str, ...] = ()
    digest: str = ""


def format_known(known: Known) -> bytes:
    """Return the bytes that `parse_known` takes."""
    value = {
        "v": _VERSION,
        "log": known.log,
        "size": known.size,
        "head": known.head,
        "frontier": [format_base64(data) for data in known.frontier],
        "version": known.version,
        "latest": known.latest,
        "keys": [[held.seq, format_base64(held.public_key), *held[2:]] for held in known.keys],
        "genesis": format_base64(known.genesis),
        "notes": known.notes,
        "hashes": known.hashes,
        "tip": known.tip,
        "seals": [[seal.oid, seal.size, format_base64(seal.root), seal.note.decode("utf-8")] for seal in known.seals],
        "heads": known.heads,
        "digest": known.digest,
    }
    data = dumps(value, option=OPT_NON_STR_KEYS)
    return sha256(data).hexdigest().encode() + b"\n" + data


def parse_known(data: bytes, log: str) -> Known | None:
    """Return what `format_known` wrote about `log`, or None where it is anything else."""
    digest, _, rest = data.partition(b"\n")
    if digest.decode("ascii", "replace") != sha256(rest).hexdigest():
        return None
    try:
        value = loads(rest)
        if value["v"] != _VERSION or value["log"] != log:
            return None
        known = Known(
            log,
            value["size"],
            value["head"],
            tuple(a2b_base64(text) for text in value["frontier"]),
            value["version"],
            value["latest"],
            tuple(Held(seq, a2b_base64(key), *more) for seq, key, *more in value["keys"]),
            a2b_base64(value["genesis"]),
            value["notes"],
            {int(seq): found for seq, found in value["hashes"].items()},
            value["tip"],
            tuple(GenuineSeal(oid, size, a2b_base64(root), note.encode()) for oid, size, root, note in value["seals"]),
            tuple(value["heads"]),
            value["digest"],
        )
        Frontier(known.size, known.frontier)
        parse_record(known.genesis)
    except (ValueError, KeyError, TypeError, AttributeError, FormatError):
        return None  # another program wrote it: our own files have a digest that fits
    return known if known.keys else None
