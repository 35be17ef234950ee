"""Trusted keys: OpenSSH's allowed_signers (ssh-keygen(1), ALLOWED SIGNERS), as far as a ledger needs it.

One key a line, blank lines and lines that begin with `#` apart:

    principals [options] keytype base64-key [comment]
    ledger-1f2e3d4c namespaces="git,ledger-entry" ssh-ed25519 AAAA…

`principals` is a pattern list, possibly quoted. Of the options, `namespaces` says what the key may sign, and `cert-authority`
that it signs certificates and not entries. `valid-after` and `valid-before`, each `YYYYMMDD[HHMM[SS]][Z]`, say when it may; a key
that is listed several times may sign whenever one of its lines says so. Both ends belong to the window, as in OpenSSH.

Deliberately different: OpenSSH reads a time without `Z` in the reader's own time zone. Here it is UTC too, so that two auditors
get one answer. And an entry's time is its signer's own claim: a window stops nobody who holds a withdrawn key and claims a time
that suits (git does fall for that). Against those there is revocation by log position (`core.revocations`).
"""

from __future__ import annotations

import calendar
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
_time = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})(?:([0-9]{2})([0-9]{2})([0-9]{2})?)?Z?").fullmatch


class Window(NamedTuple):
    """When a key may sign: from `after_s` to `before_s`, in seconds since 1970, both included; None where there is no such end."""

    after_s: int | None = None
    before_s: int | None = None

    def holds(self, at_s: int) -> bool:
        """Say whether the time `at_s` is inside."""
        return (self.after_s is None or at_s >= self.after_s) and (self.before_s is None or at_s <= self.before_s)


ALWAYS = Window()


class Signer(NamedTuple):
    """One line. `public_key` is raw, or None where the key is of another type than ssh-ed25519; `namespaces` None means any."""

    principals: str
    public_key: bytes | None
    namespaces: tuple[str, ...] | None = None
    cert_authority: bool = False
    comment: str = ""
    window: Window = ALWAYS


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


def trusted_keys(signers: Iterable[Signer]) -> dict[bytes, tuple[Window, ...]]:
    """Return the raw keys that may sign entries, each with the windows in which it may: one for each of its lines."""
    trusted: dict[bytes, tuple[Window, ...]] = {}
    for signer in signers:
        if signer.public_key is not None and not signer.cert_authority and allows(signer, sshsig.ENTRY_NAMESPACE):
            trusted[signer.public_key] = (*trusted.get(signer.public_key, ()), signer.window)
    return trusted


def may_sign(windows: Iterable[Window], at_s: int) -> bool:
    """Say whether a key with these windows may sign at `at_s`."""
    return any(window.holds(at_s) for window in windows)


def is_over(windows: Iterable[Window], now_s: int) -> bool:
    """Say whether a key with these windows may sign neither at `now_s` nor ever after."""
    return all(window.before_s is not None and window.before_s < now_s for window in windows)


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
    namespaces, cert_authority, window = _parse_options(options)
    key = _parse_key(words[1], words[2])
    return Signer(words[0].strip('"'), key, namespaces, cert_authority, " ".join(words[3:]), window)


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


def _parse_options(text: str) -> tuple[tuple[str, ...] | None, bool, Window]:
    values: dict[str, str] = {}
    cert_authority = False
    for part in _split_options(text):
        match = _option(part)
        if match is None:
            raise FormatError('an option is not NAME or NAME="VALUE"')
        name = match[1].lower()
        if name == "cert-authority" and match[2] is None:
            cert_authority = True
        elif name not in ("namespaces", "valid-after", "valid-before") or match[2] is None:
            # An option that we do not know may restrict the key: better no key than one that may do too much.
            raise FormatError(f"the option {name} is not known")
        elif name in values:
            raise FormatError(f"{name} occurs twice")
        else:
            values[name] = match[2]
    namespaces = tuple(values["namespaces"].split(",")) if "namespaces" in values else None
    return namespaces, cert_authority, _build_window(values.get("valid-after"), values.get("valid-before"))


def _build_window(after: str | None, before: str | None) -> Window:
    window = Window(None if after is None else _parse_time(after), None if before is None else _parse_time(before))
    if window.after_s is not None and window.before_s is not None and window.before_s <= window.after_s:
        raise FormatError("valid-before is not later than valid-after")
    return window


def _parse_time(text: str) -> int:
    """Return the seconds since 1970 of `YYYYMMDD[HHMM[SS]][Z]`, read as UTC with or without the Z."""
    match = _time(text)
    if match is None:
        raise FormatError(f"{text[:40]!r} is no time of the form YYYYMMDD[HHMM[SS]][Z]")
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups())
    in_calendar = year >= 1970 and 1 <= month <= 12 and 1 <= day <= calendar.monthrange(year, month)[1]
    if not in_calendar or hour > 23 or minute > 59 or second > 59:
        raise FormatError(f"{text!r} is no time that the calendar has since 1970")
    return calendar.timegm((year, month, day, hour, minute, second))


def _matches(pattern: str, text: str) -> bool:
    """Say whether OpenSSH's pattern fits all of `text`. Runs of `*` count as one, so that matching cannot take for ever."""
    expression = "".join({"*": ".*", "?": "."}.get(part, re.escape(part)) for part in re.sub(r"\*+", "*", pattern))
    return re.fullmatch(expression, text, re.DOTALL) is not None
