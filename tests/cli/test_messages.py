"""What people read who named what is not there: what it is instead, and where to begin."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from story import Story, usual_story

from ledger.cli.main import run
from ledger.recorder import begin_log
from ledger.repo.gitdir import find_repository


class Said(NamedTuple):
    """What a command exited with and printed."""

    code: int
    out: str
    err: str


@pytest.fixture
def ledger(capfd: Any) -> Callable[..., Said]:
    """Return a function that runs a command in a folder."""

    def call(place: Any, *words: str) -> Said:
        capfd.readouterr()
        code = run(["-C", str(place), *words])
        return Said(code, *capfd.readouterr())

    return call


@pytest.fixture
def story(sandbox: Any) -> Story:
    """A recorded commit, and after it one with a folder and a submodule."""
    story, _ = usual_story(sandbox)
    sandbox.git("update-index", "--add", "--cacheinfo", f"160000,{story.root},module", cwd=story.repo)
    sandbox.commit(story.repo, "more", {"src/a.py": "1\n"})
    return story


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("blame", "."), "'.' is a folder"),
        (("blame", ""), "the path is empty"),
        (("blame", "src"), "'src' is a folder"),
        (("trace", "src:1"), "'src' is a folder"),
        (("blame", "module"), "'module' is a submodule"),
        (("blame", "../x"), "'../x' lies outside the work tree"),
        (("blame", "nothing.py"), "no such path nothing.py"),
        (("trace", "calc.py:0"), "lines start at 1"),
        (("trace", "calc.py:x"), "names no commit here"),
        (("verify", "calc.py"), "'calc.py' is no range of commits here, and the file of that name is no proof file either"),
        (("verify", "nowhere"), "'nowhere' is no range of commits here\n"),
        (("record", "otlp", "--listen", "nope"), "--listen: 'nope' is not HOST:PORT"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_wrong_usage_is_told_what_it_named(story, ledger, words, said):
    """Exit 2, and what the thing is that was named."""
    found = ledger(story.repo, *words)
    assert found.code == 2 and said in found.err


_ASKED = ["blame a.py", "trace", "trace a.py:1", "trace HEAD~1..HEAD", "export agent-trace", "link HEAD", "verify HEAD"]


@pytest.mark.parametrize("words", _ASKED)
def test_a_repository_without_commits_is_said_to_be_one(sandbox, ledger, words):
    """HEAD names nothing there, and that is nobody's mistake. A log's own refs are no commits of the repository."""
    repo = sandbox.make_repo()
    begin_log(find_repository(str(repo)), str(sandbox.state))
    assert ledger(repo, "seal").code == 0
    found = ledger(repo, *words.split())
    assert found.code == 2 and "there are no commits here yet" in found.err


@pytest.mark.parametrize("words", ["status", "log", "show 1", "stats", "keys show", "pause", "verify", "prove 1", "doctor"])
def test_a_bare_repository_is_not_sent_to_init(sandbox, ledger, words):
    """`init` refuses it, and says itself what to do instead."""
    found = ledger(sandbox.make_repo("bare.git", "--bare"), *words.split())
    assert found.code in (1, 3) and "start one" not in found.out + found.err
    if words != "prove 1":
        assert "in a clone that has a work tree" in found.out + found.err


@pytest.mark.parametrize("words", ["HEAD..HEAD", "HEAD..HEAD~1"], ids=["empty", "reversed"])
def test_a_range_without_commits_says_so(story, ledger, words):
    """And asks no questions of nobody."""
    found = ledger(story.repo, "trace", words)
    assert found.code == 0 and "There are no commits in this range." in found.out and "not on record" not in found.out


def test_one_is_no_plural(sandbox, ledger):
    """A log with its genesis alone has one record, which an earlier run checked."""
    repo = sandbox.make_repo(commit=True)
    begin_log(find_repository(str(repo)), str(sandbox.state))
    ledger(repo, "verify")
    out = ledger(repo, "verify").out
    assert "fixes the only record of log" in out and "could have rewritten it" in out
    assert "the first record of log" in out and "an earlier run checked it, and it is still the same; --full checks it again" in out


@pytest.mark.parametrize(
    "words", ["blame café.py", "blame --json café.py", "trace café.py:1", "trace HEAD:café.py:1", "log --path café.py"]
)
def test_a_path_can_be_named_in_any_locale(sandbox, words):
    """Where Python takes the terminal for one of ASCII, bytes beyond it are still those of the path."""
    story = Story(sandbox)
    call = story.call("Write", {"file_path": "café.py"})
    story.commit("write it", {"café.py": "one\n"}, links={"café.py": call}, lines={"café.py": [(1, 1, call, "exact")]})
    story.write()
    ascii_only = {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    done = sandbox.run(sys.executable, "-m", "ledger", *words.split(), cwd=story.repo, **ascii_only)
    assert done.returncode == 0 and done.stderr == ""
    assert ("caf" if "log" not in words else "commit.recorded") in done.stdout
