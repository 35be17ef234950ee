"""What was found out about a log before, as far as a walk can go on from it (docs/spec/verify.md, section 7)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple


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
    of records that somebody asked for, in hex. Of a ref that was walked, `tip` is the last genuine seal, which ends at `size`, and
    `seals` are all of them with the hash of the last record that each holds.
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
