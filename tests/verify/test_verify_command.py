"""`ledger verify` as a process: exit codes, JSON, the page, and how it fails."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from scene import Scene

from ledger.repo.gitdir import find_repository
from ledger.store import state as places


def ledger(sandbox: Any, path: Path, *args: str | Path) -> Any:
    """Run `ledger verify` in `path` and return the finished process."""
    run = "import sys; from ledger.cli.main import main; main(sys.argv[1:])"
    return sandbox.run(sys.executable, "-c", run, "verify", *args, cwd=path, PYTHONPATH=str(Path(__file__).resolve().parents[2]))


def test_a_good_log_exits_0_with_the_documented_json(scene: Scene) -> None:
    """The JSON has exactly the members that docs/spec/verify.md names, coverage only when asked for."""
    scene.commit_with_trailer()
    scene.push()
    done = ledger(scene.sandbox, scene.path, "--json", "--full")
    answer = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert list(answer) == ["verdict", "logs", "findings"]
    (log,) = answer["logs"]
    names = ["log", "writer", "size", "sealed", "pending", "root", "verdict", "trust", "anchored_size", "anchors"]
    assert list(log) == names and list(log["anchors"][0]) == ["type", "size", "where"]
    size = len(scene.sim.records())
    assert [log[name] for name in names[2:9]] == [size, 0, 0, None, "anchored", "first-use", size]
    covered = json.loads(ledger(scene.sandbox, scene.path, "--json", "--coverage").stdout)["coverage"]
    assert list(covered) == ["commits", "recorded", "missing", "linked", "moves", "claimed", "uncommitted"]
    assert covered["commits"] == 2


def test_findings_in_json_have_all_their_members(scene: Scene) -> None:
    """A finding has seven members, whatever applies to it, and the process exits 1."""
    scene.install(scene.sim.edit_and_rehash(3, lambda members: members.update(source="nonsense") or None)[:3])
    scene.commit_with_trailer(f"{scene.sim.name}/2/{'0' * 64}")
    done = ledger(scene.sandbox, scene.path, "--json")
    findings = json.loads(done.stdout)["findings"]
    assert done.returncode == 1 and findings
    assert all(list(f) == ["code", "severity", "log", "seq", "message", "expected", "found"] for f in findings)


def test_the_page_names_verdict_findings_and_limits(scene: Scene) -> None:
    """People read the verdict and what it means, each finding with what was expected, and what was not checked."""
    scene.commit_with_trailer(f"{scene.sim.name}/999/{'0' * 64}")
    done = ledger(scene.sandbox, scene.path, "--coverage")
    assert done.returncode == 1
    for text in ("incomplete:", "trailer.beyond", "Errors", "Coverage", "Not checked, or not to be known", scene.sim.name[:12]):
        assert text in done.stdout


def test_hostile_text_reaches_no_terminal(scene: Scene) -> None:
    """Escape sequences and markup in kinds, trailers and names come out as harmless text."""
    scene.sim.append("payload.erased", {"payloads": []}, payloads={"x": b""})
    scene.install(payloads=[row._replace(name=row.name + "\x1b[31m[bold]x\u202e") for row in scene.sim.payload_rows()])
    scene.commit("x\n\nLedger-Entry: \x1b]0;owned\x07[red]")
    for option in ([], ["--json"]):
        done = ledger(scene.sandbox, scene.path, *option)
        assert done.returncode == 1
        assert not any(character in done.stdout for character in "\x1b\x07\u202e")
    assert "[red]" in ledger(scene.sandbox, scene.path).stdout


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["nonsense..HEAD"], 2),
        (["--output=/tmp/x"], 2),
        (["--", "--output=x"], 2),
        (["--trust", "missing"], 2),
        (["--bogus"], 2),
        (["HEAD"], 0),
        (["HEAD~0..HEAD"], 0),
    ],
)
def test_usage(scene: Scene, arguments: list[str], code: int) -> None:
    """Ranges and files that do not exist are wrong usage, and an option in place of a range stays a word."""
    done = ledger(scene.sandbox, scene.path, *arguments)
    assert done.returncode == code
    assert "Traceback" not in done.stderr and not (scene.path / "x").exists()


def test_what_could_not_be_checked_exits_3(scene: Scene, sandbox: Any) -> None:
    """No repository, no ledger, and a journal that is no database: a message, a remedy, exit 3."""
    plain = sandbox.make_repo("plain", commit=True)
    Path(places.journal_path(scene.state, scene.sim.name)).write_bytes(b"garbage" * 1000)
    for path in (sandbox.root, plain, scene.path):
        done = ledger(sandbox, path)
        assert done.returncode == 3 and done.stderr.startswith("ledger: ") and "Traceback" not in done.stderr, path
        assert done.stdout == ""


def test_a_clone_without_the_journal_is_incomplete(scene: Scene, sandbox: Any) -> None:
    """Somebody with nothing but a clone whose commits bear trailers is told that the log is not here."""
    scene.commit_with_trailer()
    clone = sandbox.root / "elsewhere"
    sandbox.git("clone", "-q", str(scene.path), str(clone), cwd=sandbox.root)
    done = sandbox.run(
        *(sys.executable, "-c", "from ledger.cli.main import main; main()", "--state", sandbox.root / "none", "verify", "--json"),
        cwd=clone,
        PYTHONPATH=str(Path(__file__).resolve().parents[2]),
    )
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["verdict"], answer["logs"]) == (1, "incomplete", [])
    assert [finding["code"] for finding in answer["findings"]] == ["trailer.absent-log"]


def test_a_log_that_the_recorder_opened_verifies(sandbox: Any) -> None:
    """A log as `ledger init` opens it, with the real journal and key, is consistent from its first record on."""
    from ledger.recorder import begin_log

    path = sandbox.make_repo(commit=True)
    begun = begin_log(find_repository(str(path)), str(sandbox.state))
    done = ledger(sandbox, path, "--full", "--json")
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["verdict"], answer["findings"]) == (0, "consistent", [])
    assert [log["log"] for log in answer["logs"]] == [begun.log]
