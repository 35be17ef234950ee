"""Ed25519 itself (RFC 8032), from the cryptography package. The one module that loads it.

Keys are raw 32-byte seeds and public keys: loading PEM costs a hook 18 ms.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ledger.core import sshsig
from ledger.errors import TrustError


def public_key_of(seed: bytes) -> bytes:
    """Return the raw 32-byte public key of a raw 32-byte seed."""
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


# Deriving the key from its seed costs more than a signature does.
_private_key = lru_cache(maxsize=8)(Ed25519PrivateKey.from_private_bytes)


def sign_message(seed: bytes, message: bytes) -> bytes:
    """Return the 64 raw bytes of the signature over `message` itself, as signed notes have it."""
    return _private_key(seed).sign(message)


def check_message(public_key: bytes, message: bytes, signature: bytes) -> None:
    """Raise TrustError unless `signature` is that of `public_key` over `message` itself."""
    sshsig.check_public_key(public_key)
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError) as error:
        raise TrustError(f"the signature is not that of {sshsig.fingerprint(public_key)}") from error


def sign_sshsig(seed: bytes, namespace: str, message: bytes) -> bytes:
    """Return the 64 raw bytes of the SSHSIG signature over `message` in `namespace`."""
    return sign_message(seed, sshsig.format_signed_data(namespace, message))


def check_sshsig(public_key: bytes, namespace: str, message: bytes, signature: bytes) -> None:
    """Raise TrustError unless `signature` is that of `public_key` over `message` in `namespace`."""
    check_message(public_key, sshsig.format_signed_data(namespace, message), signature)


def sshsig_checker(public_key: bytes, namespace: str) -> Callable[[bytes, bytes], bool]:
    """Return a function that says whether (message, signature) is signed by `public_key` in `namespace`.

    It loads the key once, for whoever checks many. Raises TrustError for a key that identifies nobody.
    """
    sshsig.check_public_key(public_key)
    try:
        verify = Ed25519PublicKey.from_public_bytes(public_key).verify
    except ValueError as error:
        raise TrustError(f"{sshsig.fingerprint(public_key)} is not a usable key") from error

    def is_signed(message: bytes, signature: bytes) -> bool:
        try:
            verify(signature, sshsig.format_signed_data(namespace, message))
        except InvalidSignature:
            return False
        return True

    return is_signed
