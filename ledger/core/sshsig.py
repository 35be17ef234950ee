"""SSHSIG signatures and OpenSSH public keys, as far as a record needs them (OpenSSH PROTOCOL.sshsig, RFC 8709).

A record stores only the 64 raw bytes of an Ed25519 signature. What was signed is

    "SSHSIG" ‖ string(namespace) ‖ string("") ‖ string("sha512") ‖ string(SHA-512(message))

where string(x) is x behind its length as a big-endian uint32. Everything else of the armoured form is fixed by the public
key and the namespace, so `format_armoured` rebuilds it and stock `ssh-keygen -Y verify` accepts it.

Deliberately not here: other key types and SHA-256 (a record never has them), and any cryptography: `core.ed25519` has
that, so that a hook that signs through an ssh-agent need not load it.
"""

from __future__ import annotations

import hashlib
import struct
from typing import NamedTuple

from ledger.core.lines import format_base64, parse_base64
from ledger.errors import FormatError, TrustError

ENTRY_NAMESPACE = "ledger-entry"
ROTATION_NAMESPACE = "ledger-rotation"
KEY_TYPE = b"ssh-ed25519"
MAGIC = b"SSHSIG"
HASH = b"sha512"
BEGIN = "-----BEGIN SSH SIGNATURE-----"
END = "-----END SSH SIGNATURE-----"
_LINE = 70  # what ssh-keygen writes; it reads any width

# The y coordinates of the points of order 1, 2, 4 and 8, and those of their non-canonical spellings that fit below 2^255.
# With such a "key" one signature fits many messages, so it is no identity (RFC 8032 leaves the check to the caller).
_P = 2**255 - 19
_SMALL_ORDER_Y = frozenset(
    {
        0,
        1,
        2707385501144840649318225287225658788936804267575313519463743609750303402022,
        55188659117513257062467267217118295137698188065244968500265048394206261417927,
        _P - 1,
        _P,
        _P + 1,
    }
)


class Armoured(NamedTuple):
    """The parts of an armoured SSHSIG: a raw 32-byte public key, a namespace and a raw 64-byte signature."""

    public_key: bytes
    namespace: str
    signature: bytes


def format_signed_data(namespace: str, message: bytes) -> bytes:
    """Return the bytes that an Ed25519 key signs for `message` in `namespace`."""
    return MAGIC + _string(namespace.encode()) + _string(b"") + _string(HASH) + _string(hashlib.sha512(message).digest())


def format_armoured(public_key: bytes, namespace: str, signature: bytes) -> str:
    """Return the armoured SSHSIG, ending in a newline, for a raw public key and a raw signature."""
    blob = (
        MAGIC
        + struct.pack(">I", 1)
        + _string(format_key_blob(public_key))
        + _string(namespace.encode())
        + _string(b"")
        + _string(HASH)
        + _string(_string(KEY_TYPE) + _string(signature))
    )
    text = format_base64(blob)
    lines = [text[at : at + _LINE] for at in range(0, len(text), _LINE)]
    return "\n".join([BEGIN, *lines, END]) + "\n"


def parse_armoured(text: str) -> Armoured:
    """Return the parts of an armoured SSHSIG as `format_armoured` writes it. Raises FormatError for anything else."""
    lines = text.split("\n")
    if lines[:1] != [BEGIN] or lines[-2:] != [END, ""]:
        raise FormatError("not an armoured SSH signature")
    blob = parse_base64("".join(lines[1:-2]), "the SSH signature")
    if not blob.startswith(MAGIC + struct.pack(">I", 1)):
        raise FormatError("not an SSHSIG of version 1")
    key_blob, rest = _take(blob[len(MAGIC) + 4 :])
    namespace, rest = _take(rest)
    reserved, rest = _take(rest)
    algorithm, rest = _take(rest)
    wrapped, rest = _take(rest)
    key_type, wrapped = _take(wrapped)
    signature, junk = _take(wrapped)
    if reserved or rest or junk or algorithm != HASH or key_type != KEY_TYPE or len(signature) != 64:
        raise FormatError("not an Ed25519 SSHSIG over SHA-512")
    try:
        parts = Armoured(parse_key_blob(key_blob), namespace.decode("ascii"), signature)
    except UnicodeDecodeError as error:
        raise FormatError("the SSHSIG's namespace is not ASCII") from error
    if format_armoured(*parts) != text:
        raise FormatError("the SSH signature is not spelled as we spell it")
    return parts


def format_key_blob(public_key: bytes) -> bytes:
    """Return the SSH wire form of a raw 32-byte public key."""
    return _string(KEY_TYPE) + _string(public_key)


def parse_key_blob(blob: bytes) -> bytes:
    """Return the raw 32 bytes of an `ssh-ed25519` key in wire form. Raises FormatError for any other key."""
    key_type, rest = _take(blob)
    public_key, rest = _take(rest)
    if key_type != KEY_TYPE or rest or len(public_key) != 32:
        raise FormatError("not an ssh-ed25519 key (sk- keys need flags and counters that a record cannot hold)")
    return public_key


def format_public_key(public_key: bytes) -> str:
    """Return `ssh-ed25519 AAAA…`, without a comment."""
    return f"ssh-ed25519 {format_base64(format_key_blob(public_key))}"


def parse_public_key(text: str) -> bytes:
    """Return the raw 32 bytes of `ssh-ed25519 AAAA…`, without a comment. Raises FormatError for anything else."""
    key_type, _, encoded = text.partition(" ")
    if key_type != "ssh-ed25519":
        raise FormatError(f"{key_type or 'nothing'} is not ssh-ed25519")
    return parse_key_blob(parse_base64(encoded, "the public key"))


def fingerprint(public_key: bytes) -> str:
    """Return OpenSSH's fingerprint of a raw public key: `SHA256:` and 43 base64 digits."""
    digest = hashlib.sha256(format_key_blob(public_key)).digest()
    return "SHA256:" + format_base64(digest).rstrip("=")


def check_public_key(public_key: bytes) -> None:
    """Raise TrustError for a key of small order or of a non-canonical spelling: it would identify nobody."""
    y = int.from_bytes(public_key, "little") & (2**255 - 1)
    if y in _SMALL_ORDER_Y:
        raise TrustError("the public key is a point of small order: anybody could sign for it")
    if y >= _P:
        raise TrustError("the public key is not canonically encoded")


def _string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def _take(data: bytes) -> tuple[bytes, bytes]:
    """Return the SSH string that `data` starts with, and what follows it."""
    if len(data) < 4:
        raise FormatError("an SSH string is cut short")
    end = 4 + int.from_bytes(data[:4], "big")
    if end > len(data):
        raise FormatError("an SSH string is cut short")
    return data[4:end], data[end:]
