"""What a shell offers where somebody presses TAB."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def repo(sandbox: Any) -> Path:
    """A repository with two branches, a tag, and folders whose names begin like them; `ledger` is on PATH."""
    repo: Path = sandbox.make_repo(commit=True)
    sandbox.commit(repo, "more", {"src/calc.py": "1\n", "features.txt": "1\n", "feathers/x": "1\n"})
    sandbox.git("branch", "feature/one", cwd=repo)
    sandbox.git("tag", "v1.0", cwd=repo)
    sandbox.git("update-ref", "refs/ledger/logs/feed", "HEAD", cwd=repo)
    tool = sandbox.home / "bin/ledger"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m ledger "$@"\n')
    tool.chmod(0o755)
    sandbox.env["PATH"] = f"{tool.parent}:{sandbox.env['PATH']}"
    return repo


def offered(sandbox: Any, repo: Path, *words: str) -> list[str]:
    """Return what click tells bash of the last of `words`: `plain,<word>`, or `file,` where bash looks for files itself."""
    about = {"COMP_WORDS": "\n".join(words), "COMP_CWORD": str(len(words) - 1), "_LEDGER_COMPLETE": "bash_complete"}
    return sandbox.run("ledger", cwd=repo, **about).stdout.splitlines()


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("trace", "fea"), ["plain,feature/one", "plain,feathers/", "plain,features.txt"]),
        (("trace", "v"), ["plain,v1.0"]),
        (("trace", "main..fea"), ["plain,main..feature/one"]),
        (("export", "agent-trace", "v1.0...H"), ["plain,v1.0...HEAD"]),
        (("link", "fea"), ["plain,feature/one"]),
        (("anchor", "--tag", "x", "m"), ["plain,main"]),
        (("blame", "sr"), ["file,sr"]),
        (("blame", "main", "src/ca"), ["file,src/ca"]),
        (("verify", "mai"), ["plain,main"]),
        (("-C", "src", "blame", "ca"), ["plain,calc.py"]),
        (("-C", "src", "trace", "../sr"), ["plain,../src/"]),
        (("bla",), ["plain,blame"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_revisions_and_files_are_offered_where_they_are_wanted(sandbox, repo, words, found):
    """Refs, but not the ledger's own, and files; a range is completed at its end; -C counts."""
    assert offered(sandbox, repo, "ledger", *words) == found


def test_nothing_is_said_outside_a_repository(sandbox, repo):
    """Who presses TAB wants no complaint: the shell offers its files."""
    assert offered(sandbox, sandbox.home, "ledger", "trace", "fea") == ["file,fea"]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("git", "ledger", "bla"), ["blame "]),
        (("git", "-C", ".", "ledger", "trace", "fea"), ["feature/one ", "feathers/", "features.txt "]),
    ],
    ids=["command", "revision"],
)
def test_git_ledger_is_completed_as_ledger_is(sandbox, repo, words, found):
    """Git's completion for bash calls `_git_ledger` with `words` and `cword`, as it does for its own commands."""
    script = f'''eval "$(ledger completion bash)"
        words=({" ".join(words)}) cword={len(words) - 1}
        COMP_WORDS=("${{words[@]}}") COMP_CWORD=$cword
        _git_ledger
        printf '<%s>\\n' "${{COMPREPLY[@]}}"'''
    done = sandbox.run("bash", "--norc", "-c", script, cwd=repo)
    assert done.stdout.splitlines() == [f"<{word}>" for word in found], done.stderr
