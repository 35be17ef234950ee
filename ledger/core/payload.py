"""Commitments to payloads: bytes that an entry fixes without containing them (docs/spec/entry.md, section 5).

    commitment = SHA-256("ledger-payload-v1" ‖ salt (32 bytes) ‖ bytes), in hex

The salt is fresh for each payload and rests beside it. Whoever destroys bytes and salt has erased the payload: the
commitment stays, and can no longer be tried against guesses.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

PREFIX = b"ledger-payload-v1"
SALT_BYTES = 32


class PayloadRef(NamedTuple):
    """What an entry says of one of its payloads. `size` is in bytes, `commitment` in hex."""

    name: str
    commitment: str
    size: int
    media: str


def commit_payload(salt: bytes, data: bytes) -> str:
    """Return the commitment to `data` under `salt`, as 64 hex digits."""
    if len(salt) != SALT_BYTES:
        raise ValueError(f"a salt has {SALT_BYTES} bytes, not {len(salt)}")
    digest = hashlib.sha256(PREFIX)
    digest.update(salt)
    digest.update(data)
    return digest.hexdigest()
