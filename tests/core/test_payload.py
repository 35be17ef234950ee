"""Payload commitments."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.core.payload import SALT_BYTES, commit_payload

SALTS = st.binary(min_size=SALT_BYTES, max_size=SALT_BYTES)


def test_a_known_commitment() -> None:
    """The specification's example: the salt 00 01 … 1f and a short prompt."""
    wanted = "6a0ecc7a126da2abfaa9942b0c5673391e04c8a3ebbd57635ab5b7fdc239c377"
    assert commit_payload(bytes(range(32)), b"Please add the demo file") == wanted


@settings(derandomize=True, deadline=None)
@given(SALTS, st.binary())
def test_the_commitment_is_the_hash_of_prefix_salt_and_bytes(salt: bytes, data: bytes) -> None:
    """As the specification says, in hex."""
    assert commit_payload(salt, data) == hashlib.sha256(b"ledger-payload-v1" + salt + data).hexdigest()


@settings(derandomize=True, deadline=None)
@given(SALTS, SALTS, st.binary(), st.binary())
def test_other_salts_and_bytes_give_other_commitments(salt: bytes, other: bytes, data: bytes, more: bytes) -> None:
    """Equal texts do not show as equal, and a commitment fits one text."""
    assert (commit_payload(salt, data) == commit_payload(other, data)) == (salt == other)
    assert (commit_payload(salt, data) == commit_payload(salt, more)) == (data == more)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_salt_has_32_bytes(size: int) -> None:
    """Another length would let bytes move between salt and text; it is our own mistake."""
    with pytest.raises(ValueError, match="32 bytes"):
        commit_payload(bytes(size), b"")
