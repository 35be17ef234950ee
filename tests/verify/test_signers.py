"""allowed_signers, as OpenSSH reads it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ledger.core import sshsig
from ledger.core.ed25519 import public_key_of, sign_sshsig
from ledger.core.signers import Signer, allows, format_signer, parse_signers, trusted_keys
from ledger.errors import FormatError

SEED = bytes(range(32))
KEY = public_key_of(SEED)
LINE = sshsig.format_public_key(KEY)


def test_the_enrolled_line_is_read_back() -> None:
    """The line that `keys enroll` writes is parsed to the same key, for git and for entries."""
    line = format_signer("ledger-ada", KEY)
    assert line == f'ledger-ada namespaces="git,ledger-entry" {LINE}'
    assert parse_signers(f"# team\n\n{line}\n") == [Signer("ledger-ada", KEY, ("git", "ledger-entry"))]
    assert trusted_keys(parse_signers(line)) == {KEY}


@pytest.mark.parametrize(
    ("options", "trusted"),
    {
        "": True,
        'namespaces="ledger-entry" ': True,
        'namespaces="git" ': False,
        'namespaces="ledger-*,git" ': True,
        'namespaces="*,!ledger-entry" ': False,
        'namespaces="?edger-entry" ': True,
        "cert-authority ": False,
        'valid-before="20200101",namespaces="ledger-entry" ': True,
        'NAMESPACES="ledger-entry" ': True,
    }.items(),
)
def test_options_decide_who_may_sign_entries(options: str, trusted: bool) -> None:
    """Namespaces are patterns, a certificate authority signs no entries, and dates are read over."""
    assert trusted_keys(parse_signers(f"ada@example.invalid {options}{LINE} a comment")) == ({KEY} if trusted else set())


@pytest.mark.parametrize("options", ["", 'namespaces="git"', 'namespaces="ledger-*,!git"', 'namespaces="*,!ledger-entry"'])
def test_ssh_keygen_judges_namespaces_alike(tmp_path: Path, options: str) -> None:
    """Stock ssh-keygen accepts a signature in our namespace exactly where we would trust the key."""
    signers = tmp_path / "signers"
    signers.write_text(f"ada {options} {LINE}\n".replace("  ", " "))
    signature = tmp_path / "sig"
    signature.write_text(sshsig.format_armoured(KEY, "ledger-entry", sign_sshsig(SEED, "ledger-entry", b"x")))
    command = ["ssh-keygen", "-Y", "verify", "-f", str(signers), "-I", "ada", "-n", "ledger-entry", "-s", str(signature)]
    done = subprocess.run(command, input=b"x", capture_output=True, check=False)
    assert (done.returncode == 0) == bool(trusted_keys(parse_signers(signers.read_text())))


def test_other_key_types_are_kept_and_trusted_with_nothing() -> None:
    """RSA, ECDSA and sk- keys are in the list without a key that could sign entries; so is a point of small order."""
    small = sshsig.format_public_key(bytes(32))
    text = f"a ssh-rsa AAAAB3Nza\nb sk-ssh-ed25519@openssh.com AAAA\nc ecdsa-sha2-nistp256 AAAA\nd {small}\n"
    assert [(signer.principals, signer.public_key) for signer in parse_signers(text)] == [(name, None) for name in "abcd"]
    assert trusted_keys(parse_signers(text)) == frozenset()


@pytest.mark.parametrize(
    "line",
    [
        "ada",
        "ada ssh-ed25519",
        "ada ssh-ed25519 AAAA",
        f'ada namespaces="git {LINE}',
        f"ada verify-required {LINE}",
        f'ada namespaces="a",namespaces="b" {LINE}',
        f"ada {LINE.upper()}",
    ],
)
def test_malformed_lines_are_refused_by_number(line: str) -> None:
    """A line that is not understood is never half believed: the error names it."""
    with pytest.raises(FormatError, match="line 2"):
        parse_signers(f"# first\n{line}\n")


def test_quoted_principals_may_have_spaces() -> None:
    """A principal in quotes is one field."""
    assert parse_signers(f'"ada example" {LINE}')[0].principals == "ada example"


def test_a_pattern_of_many_stars_takes_no_time() -> None:
    """A hostile pattern cannot make matching run for ever."""
    assert not allows(Signer("a", KEY, ("*a" * 12 + "*" * 200 + "b",)), "a" * 24)


def test_a_principal_with_spaces_is_our_own_mistake() -> None:
    """Formatting refuses a principal that would change the line's fields."""
    with pytest.raises(ValueError, match="plain"):
        format_signer("ada x", KEY)
