"""allowed_signers, as OpenSSH reads it."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from ledger.core import sshsig
from ledger.core.ed25519 import public_key_of, sign_sshsig
from ledger.core.signers import ALWAYS, Signer, Window, allows, format_signer, parse_signers, trusted_keys
from ledger.errors import FormatError

SEED = bytes(range(32))
KEY = public_key_of(SEED)
LINE = sshsig.format_public_key(KEY)


def test_the_enrolled_line_is_read_back() -> None:
    """The line that `keys enroll` writes is parsed to the same key, for git and for entries."""
    line = format_signer("ledger-ada", KEY)
    assert line == f'ledger-ada namespaces="git,ledger-entry" {LINE}'
    assert parse_signers(f"# team\n\n{line}\n") == [Signer("ledger-ada", KEY, ("git", "ledger-entry"))]
    assert trusted_keys(parse_signers(line)) == {KEY: (ALWAYS,)}


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
    """Namespaces are patterns, a certificate authority signs no entries, and a key whose time is over is still in the list."""
    assert (KEY in trusted_keys(parse_signers(f"ada@example.invalid {options}{LINE} a comment"))) == trusted


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
    assert trusted_keys(parse_signers(text)) == {}


@pytest.mark.parametrize(
    "line",
    [
        "ada",
        "ada ssh-ed25519",
        "ada ssh-ed25519 AAAA",
        f'ada namespaces="git {LINE}',
        f"ada verify-required {LINE}",
        f'ada namespaces="a",namespaces="b" {LINE}',
        f'ada valid-after="20260101",valid-after="20260102" {LINE}',
        f"ada valid-before {LINE}",
        f'ada valid-before="" {LINE}',
        f'ada valid-before="2026" {LINE}',
        f'ada valid-before="2026-01-01" {LINE}',
        f'ada valid-before="20260229" {LINE}',
        f'ada valid-before="19691231" {LINE}',
        f'ada valid-before="202601012400" {LINE}',
        f'ada valid-before="20260101+1" {LINE}',
        f'ada valid-before="２0260101" {LINE}',
        f'ada valid-after="20260102",valid-before="20260102" {LINE}',
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


DAY_S = 86_400
NEW_YEAR_S = 1_767_225_600  # 2026-01-01T00:00:00Z


@pytest.mark.parametrize(
    ("options", "window"),
    {
        'valid-after="20260101"': Window(NEW_YEAR_S, None),
        'valid-after="20260101Z"': Window(NEW_YEAR_S, None),
        'valid-before="202601010000"': Window(None, NEW_YEAR_S),
        'valid-before="20260101000001Z"': Window(None, NEW_YEAR_S + 1),
        'valid-after="20260101",namespaces="ledger-entry",valid-before="20260102"': Window(NEW_YEAR_S, NEW_YEAR_S + DAY_S),
    }.items(),
)
def test_times_are_utc_with_or_without_the_z(options: str, window: Window, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two auditors in two time zones read the same window, to the second."""
    for zone in ("UTC", "Asia/Tokyo", "America/Los_Angeles"):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        assert trusted_keys(parse_signers(f"ada {options} {LINE}")) == {KEY: (window,)}
    monkeypatch.undo()
    time.tzset()


def test_both_ends_belong_to_a_window() -> None:
    """A window holds its first and its last second, and nothing around them."""
    window = Window(10, 20)
    assert [at_s for at_s in range(30) if window.holds(at_s)] == list(range(10, 21))
    assert ALWAYS.holds(0)
    assert ALWAYS.holds(2**40)


def test_a_key_of_several_lines_has_several_windows() -> None:
    """Each line that lets a key sign entries gives it one more window, in their order; lines for other namespaces give none."""
    text = "".join(
        f"ada {options}{LINE}\n"
        for options in ('valid-before="20260101" ', 'namespaces="git",valid-before="20270101" ', 'valid-after="20260201" ')
    )
    assert trusted_keys(parse_signers(text)) == {KEY: (Window(None, NEW_YEAR_S), Window(NEW_YEAR_S + 31 * DAY_S, None))}


@pytest.mark.parametrize("offset_s", [-1, 0, DAY_S, DAY_S + 1])
def test_ssh_keygen_judges_times_alike(tmp_path: Path, offset_s: int) -> None:
    """Stock ssh-keygen, told a verification time, accepts a signature exactly inside the window, both ends included."""
    signers = tmp_path / "signers"
    signers.write_text(f'ada valid-after="20260101Z",valid-before="20260102Z" {LINE}\n')
    signature = tmp_path / "sig"
    signature.write_text(sshsig.format_armoured(KEY, "ledger-entry", sign_sshsig(SEED, "ledger-entry", b"x")))
    at = time.strftime("%Y%m%d%H%M%SZ", time.gmtime(NEW_YEAR_S + offset_s))
    command = ["ssh-keygen", "-Y", "verify", "-f", str(signers), "-I", "ada", "-n", "ledger-entry", "-s", str(signature)]
    done = subprocess.run([*command, f"-Overify-time={at}"], input=b"x", capture_output=True, check=False)
    (window,) = trusted_keys(parse_signers(signers.read_text()))[KEY]
    assert (done.returncode == 0) == window.holds(NEW_YEAR_S + offset_s), done.stderr
