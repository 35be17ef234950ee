"""Signed tags: what is signed, and what of a tag is read."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.core.ed25519 import check_sshsig, public_key_of, sign_sshsig
from ledger.core.tag import MAX_TAG_BYTES, Tag, format_tag, parse_tag
from ledger.errors import FormatError, TrustError

TAG = Tag("ab" * 20, "commit", "v1", "Anchor\n\nLedger-Entry: x\n")


def made(tag: Tag = TAG) -> tuple[bytes, bytes]:
    """Return a signed tag and the public key that signed it."""
    seed = os.urandom(32)
    key = public_key_of(seed)
    return format_tag(tag, 1_767_323_100, key, lambda namespace, message: sign_sshsig(seed, namespace, message)), key


def test_what_was_formatted_is_parsed() -> None:
    """The parts come back, and the signature is over all that stands before it."""
    data, key = made()
    found = parse_tag(data)
    assert found.tag == TAG
    assert found.signature is not None and found.signature.public_key == key
    check_sshsig(key, "git", found.signed, found.signature.signature)
    assert data.startswith(found.signed)


def test_a_changed_message_is_not_signed() -> None:
    """One changed byte before the armour makes the signature bad."""
    data, key = made()
    found = parse_tag(data.replace(b"Anchor", b"Ancher"))
    assert found.signature is not None
    with pytest.raises(TrustError):
        check_sshsig(key, "git", found.signed, found.signature.signature)


def test_other_signatures_are_nobodys() -> None:
    """A tag with a PGP signature, or none, is read; its signature is none that we check."""
    head = b"object " + b"ab" * 20 + b"\ntype commit\ntag v1\ntagger A <a@example.invalid> 1 +0000\n\nhello\n"
    assert parse_tag(head).signature is None
    assert parse_tag(head + b"-----BEGIN PGP SIGNATURE-----\nx\n-----END PGP SIGNATURE-----\n").signature is None


@pytest.mark.parametrize(
    "data", [b"", b"tree x\n", b"object x\n", b"object x\ntype commit\n\ntag v1\n", b"x" * (MAX_TAG_BYTES + 1)]
)
def test_what_is_no_tag_is_refused(data: bytes) -> None:
    """Other objects, cut ones and giants are malformed."""
    with pytest.raises(FormatError):
        parse_tag(data)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_tag_or_malformed(data: bytes) -> None:
    """Whatever is read, nothing but FormatError comes of it."""
    try:
        parse_tag(b"object a\ntype b\ntag c\n" + data)
    except FormatError:
        pass
