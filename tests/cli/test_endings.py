"""How a command ends whose output nobody takes, or that is interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from story import Story, usual_story

_COMMANDS = [
    *("verify --json", "verify", "trace", "trace --json", "trace calc.py:1", "trace --session 01a2", "trace HEAD~1..HEAD"),
    *("blame calc.py", "blame --json calc.py", "blame --porcelain calc.py", "stats", "stats --json", "status", "status --json"),
    *(
        "log",
        "log --json",
        "log --raw",
        "show 1",
        "show 1 --raw",
        "show 1 --json",
        "export agent-trace",
        "export agent-trace --json",
    ),
    *("keys list", "config", "doctor", "completion bash", "--help", "blame --help", "--version"),
]


@pytest.fixture
def story(sandbox: Any) -> Story:
    """A repository with a log."""
    return usual_story(sandbox)[0]


def _start(story: Story, words: str, **streams: Any) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "ledger", "-C", str(story.repo), *words.split()]
    return subprocess.Popen(command, env=story.sandbox.env, stdin=subprocess.DEVNULL, **streams)


@pytest.mark.parametrize("words", _COMMANDS)
def test_a_reader_that_went_away_is_no_verdict(story, words):
    """A closed pipe ends each command as SIGPIPE would, and never with 1, which says that something is not true."""
    reader, writer = os.pipe()
    os.close(reader)
    with _start(story, words, stdout=writer, stderr=subprocess.PIPE) as child:
        os.close(writer)
        said = child.communicate()[1]
    assert (child.returncode, said) == (141, b"")


def test_a_complaint_that_nobody_reads_is_no_verdict_either(story):
    """`ledger show 99 2>&1 | head -c0` says nothing, to nobody."""
    reader, writer = os.pipe()
    os.close(reader)
    with _start(story, "show 99", stdout=writer, stderr=writer) as child:
        os.close(writer)
    assert child.returncode == 141


@pytest.mark.parametrize(
    "words", ["verify", "verify --json", "trace", "blame calc.py", "log --raw", "export agent-trace", "--help"]
)
def test_what_cannot_be_written_is_said_in_a_line(story, words, tmp_path):
    """A disk that is full, or as here a file that is open for reading only: no internal error, and exit 3."""
    (tmp_path / "full").touch()
    with (tmp_path / "full").open("rb") as unwritable, _start(story, words, stdout=unwritable, stderr=subprocess.PIPE) as child:
        said = child.communicate()[1].decode()
    assert child.returncode == 3 and said.count("\n") == 1
    assert said.startswith("ledger: the output cannot be written: ")


def test_nothing_is_done_where_standard_output_is_closed(story):
    """The journal would be opened as file 1, and what is printed would be written into it."""
    before = list(Path(story.sandbox.state).rglob("*"))
    command = [sys.executable, "-m", "ledger", "-C", str(story.repo), "log"]
    done = story.sandbox.run("sh", "-c", 'exec "$@" >&-', "sh", *command, cwd=story.repo)
    assert done.returncode == 3 and done.stderr == "ledger: the output cannot be written: standard output is closed\n"
    assert list(Path(story.sandbox.state).rglob("*")) == before


@pytest.mark.parametrize(("module", "code", "said"), [("click", -signal.SIGINT, ""), ("rich", 130, "\nledger: interrupted\n")])
def test_ctrl_c_ends_quietly_at_any_time(story, tmp_path, module, code, said):
    """While the command line is being loaded, here by a library that is interrupted, as well as while it works."""
    (tmp_path / f"{module}.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    story.sandbox.env["PYTHONPATH"] = str(tmp_path)
    listening = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}  # however the tests were started
    with _start(story, "status", stdout=subprocess.PIPE, stderr=subprocess.PIPE, **listening) as child:
        out, err = child.communicate()
    assert (child.returncode, out, err.decode()) == (code, b"", said)
