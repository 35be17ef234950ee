"""Trusted keys: OpenSSH's allowed_signers (ssh-keygen(1), ALLOWED SIGNERS), as far as a ledger needs it.

One key a line, blank lines and lines that begin with `#` apart:

    principals [options] keytype base64-key [comment]
    ledger-1f2e3d4c namespaces="git,ledger-entry" ssh-ed25519 AAAA…

`principals` is a pattern list, possibly quoted. Of the options, `namespaces` says what the key may sign, and `cert-authority`
that it signs certificates and not entries. `valid-after` and `valid-before` are read over on purpose: an entry's time is its
signer's own claim, so whoever holds a withdrawn key would claim a time that suits (git does fall for that). Revocation is by log
position.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from ledger.core import sshsig
from ledger.errors import FormatError, TrustError

ENROLLED_NAMESPACES = ("git", sshsig.ENTRY_NAMESPACE)

_WORD = r'(?:"(?:[^"\\]|\\.)*"|[^\s"])+'
_words = re.compile(rf"{_WORD}").findall
_option = re.compile(r'([A-Za-z-]+)(?:="((?:[^"\\]|\\.)*)")?').fullmatch
_split_options = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^",])+').findall
_is_key_type = re.compile(r"(?:ssh|ecdsa|sk|rsa|webauthn)-[A-Za-z0-9@.-]+").fullmatch
_is_plain = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]*").fullmatch


class Signer(NamedTuple):
    """One line. `public_key` is raw, or None where the key is of another type than ssh-ed25519; `namespaces` None means any."""

    principals: str
    public_key: bytes | None
    namespaces: tuple[str, ...] | None = None
    cert_authority: bool = False
    comment: str = ""


def parse_signers(text: str) -> list[Signer]:
    """Return the signers that `text` lists. A key that a ledger cannot use is kept with `public_key` None.

    Raises FormatError, naming the line, for a line that is not of the form above.
    """
    signers: list[Signer] = []
    for number, line in enumerate(text.split("\n"), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        try:
            signers.append(_parse_line(line))
        except FormatError as error:
            raise FormatError(f"line {number} of the allowed signers: {error.message}") from error
    return signers


def format_signer(principal: str, public_key: bytes) -> str:
    """Return the line, without a newline, by which `principal` may sign commits and entries with a raw `public_key`."""
    if not _is_plain(principal):
        raise ValueError(f"{principal!r} is not a plain principal")
    namespaces = ",".join(ENROLLED_NAMESPACES)
    return f'{principal} namespaces="{namespaces}" {sshsig.format_public_key(public_key)}'


def trusted_keys(signers: Iterable[Signer]) -> frozenset[bytes]:
    """Return the raw keys that may sign entries."""
    return frozenset(
        signer.public_key
        for signer in signers
        if signer.public_key is not None and not signer.cert_authority and allows(signer, sshsig.ENTRY_NAMESPACE)
    )


def allows(signer: Signer, namespace: str) -> bool:
    """Say whether `signer` may sign in `namespace`: patterns with `*` and `?`, those with `!` in front forbid."""
    if signer.namespaces is None:
        return True
    allowed = False
    for pattern in signer.namespaces:
        if _matches(pattern.removeprefix("!"), namespace):
            if pattern.startswith("!"):
                return False
            allowed = True
    return allowed


def _parse_line(line: str) -> Signer:
    words = list(_words(line))
    if "".join(words) != "".join(line.split()) and '"' not in line:
        raise FormatError("quotes do not match")
    if len(words) < 3:
        raise FormatError("fewer than three fields")
    options = "" if _is_key_type(words[1]) else words.pop(1)
    if len(words) < 3 or not _is_key_type(words[1]):
        raise FormatError("no key type where one should be")
    namespaces, cert_authority = _parse_options(options)
    return Signer(words[0].strip('"'), _parse_key(words[1], words[2]), namespaces, cert_authority, " ".join(words[3:]))


def _parse_key(key_type: str, encoded: str) -> bytes | None:
    """Return the raw key, or None where it is no ed25519 key, or one that identifies nobody."""
    if key_type != "ssh-ed25519":
        return None
    public_key = sshsig.parse_public_key(f"{key_type} {encoded}")
    try:
        sshsig.check_public_key(public_key)
    except TrustError:
        return None
    return public_key


def _parse_options(text: str) -> tuple[tuple[str, ...] | None, bool]:
    namespaces: tuple[str, ...] | None = None
    cert_authority = False
    for part in _split_options(text):
        match = _option(part)
        if match is None:
            raise FormatError('an option is not NAME or NAME="VALUE"')
        name = match[1].lower()
        if name == "namespaces" and match[2] is not None:
            if namespaces is not None:
                raise FormatError("namespaces occurs twice")
            namespaces = tuple(match[2].split(","))
        elif name == "cert-authority" and match[2] is None:
            cert_authority = True
        elif name not in ("valid-after", "valid-before") or match[2] is None:
            # An option that we do not know may restrict the key: better no key than one that may do too much.
            raise FormatError(f"the option {name} is not known")
    return namespaces, cert_authority


def _matches(pattern: str, text: str) -> bool:
    """Say whether OpenSSH's pattern fits all of `text`. Runs of `*` count as one, so that matching cannot take for ever."""
    expression = "".join({"*": ".*", "?": "."}.get(part, re.escape(part)) for part in re.sub(r"\*+", "*", pattern))
    return re.fullmatch(expression, text, re.DOTALL) is not None
