"""`ledger keys revoke`: a line in the work tree, for review."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ledger.cli.main import run
from ledger.core.ed25519 import public_key_of
from ledger.core.revocations import parse_revocations
from ledger.core.sshsig import fingerprint

KEY = fingerprint(public_key_of(bytes(32)))
LOG = "ab" * 16


@pytest.fixture
def repo(sandbox: Any) -> Path:
    """A repository without a ledger."""
    made: Path = sandbox.make_repo(commit=True)
    return made


def test_a_revocation_is_added_once(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The line is added below what is there, which stays as it was; saying it again, or less, adds nothing."""
    file = repo / ".ledger/revocations"
    file.parent.mkdir()
    file.write_text("# a laptop was lost")
    asked = ["-C", str(repo), "keys", "revoke", KEY, "--json"]
    for extra, added in ((["--from", f"{LOG}/7"], True), (["--from", f"{LOG}/7"], False), (["--from", f"{LOG}/9"], False)):
        assert run([*asked, *extra]) == 0
        assert json.loads(capsys.readouterr().out)["added"] is added
    assert file.read_text() == f"# a laptop was lost\n{KEY} {LOG}/7\n"
    for extra, added in (([], True), ([], False), (["--from", f"{LOG}/3"], True)):
        assert run([*asked, *extra]) == 0
        assert json.loads(capsys.readouterr().out)["added"] is added
    revocations = parse_revocations(file.read_text())
    assert (revocations.first_bad(KEY, LOG), revocations.first_bad(KEY, "cd" * 16)) == (3, 0)
    assert [item.name for item in file.parent.iterdir()] == ["revocations"]


def test_people_are_told_to_commit(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The page says that the file in the work tree counts for nothing yet."""
    assert run(["-C", str(repo), "keys", "revoke", KEY]) == 0
    assert "only the committed file counts" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    "arguments",
    [["ada"], [KEY[:-1]], [KEY, "--from", "7"], [KEY, "--from", f"{LOG[:8]}/7"], [KEY, "--from", f"{LOG}/x"], [KEY, "--from", "*"]],
)
def test_unknown_forms_are_wrong_usage(repo: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """What is no fingerprint or position is refused, and nothing is written; a beginning of a log's name needs that log here."""
    assert run(["-C", str(repo), "keys", "revoke", *arguments]) == 2
    assert not (repo / ".ledger").exists()
    assert "Traceback" not in capsys.readouterr().err


def test_a_malformed_file_or_a_link_is_left_alone(repo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is added to a file with a line that says nothing, and no link is followed."""
    file = repo / ".ledger/revocations"
    file.parent.mkdir()
    file.write_text("somebody\n")
    assert run(["-C", str(repo), "keys", "revoke", KEY]) == 1
    assert "line 1" in capsys.readouterr().err
    assert file.read_text() == "somebody\n"
    file.unlink()
    outside = tmp_path / "outside"
    outside.write_text("")
    file.symlink_to(outside)
    assert run(["-C", str(repo), "keys", "revoke", KEY]) == 1
    assert outside.read_text() == ""
