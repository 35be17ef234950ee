"""A machine of one's own for a test: home, state folder, environment and repositories."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

# Nothing of the developer's own set-up may reach a test, or be reached by one.
_FOREIGN = (
    *("GIT_", "XDG_", "CODEX_", "CLAUDE", "GEMINI_", "OPENCODE", "AI_AGENT", "LEDGER_", "SSH_"),
    *("EDITOR", "VISUAL", "PYTHONPATH", "npm_"),
    "COLUMNS",
    "LINES",
)
_GIT_CONFIG = """\
[user]
	name = Ada Example
	email = ada@example.invalid
[init]
	defaultBranch = main
[gc]
	auto = 0
[ledger]
	seal = inline
"""


class Sandbox(NamedTuple):
    """A machine of one's own: `home`, the ledger's `state` folder under it, and the whole `env` of a child process."""

    root: Path
    home: Path
    state: Path
    env: dict[str, str]

    def git(self, *args: str, cwd: Path, input: str | None = None, check: bool = True, **env: str) -> str:
        """Run git in `cwd` and return its standard output without the last newline. `env` adds variables."""
        done = self.run("git", *args, cwd=cwd, input=input, **env)
        if check and done.returncode:
            raise AssertionError(f"git {' '.join(args)} gave {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout.removesuffix("\n")

    def git_bytes(self, *args: str, cwd: Path) -> bytes:
        """Run git in `cwd`, which must succeed, and return its standard output as it is."""
        return subprocess.run(
            ["git", *args], cwd=cwd, env=self.env, stdin=subprocess.DEVNULL, capture_output=True, check=True
        ).stdout

    def run(self, *args: str | Path, cwd: Path, input: str | None = None, **env: str) -> subprocess.CompletedProcess[str]:
        """Run any command in `cwd`, whatever it exits with. Without `input` its standard input is empty."""
        return subprocess.run(
            [str(arg) for arg in args],
            cwd=cwd,
            env={**self.env, **env},
            input=input if input is not None else "",
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=120,
            check=False,
        )

    def make_repo(self, name: str = "repo", *init: str, commit: bool = False) -> Path:
        """Make a repository `name` (`init` are options for `git init`), with a first commit if `commit`."""
        path = self.root / name
        self.git("init", "-q", *init, str(path), cwd=self.root)
        if commit:
            self.commit(path, "first", {"README": "hello\n"})
        return path

    def commit(self, repo: Path, message: str, files: dict[str, str] | None = None, **env: str) -> str:
        """Write `files`, commit them with `message`, and return the commit's id."""
        for path, text in (files or {}).items():
            target = repo / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
            self.git("add", "--", path, cwd=repo)
        self.git("commit", "-q", "--allow-empty", "-m", message, cwd=repo, **env)
        return self.git("rev-parse", "HEAD", cwd=repo)


def make_sandbox(root: Path, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """Put an environment of one's own in force, in this process as well as in the sandbox's `env`."""
    home = root / "home"
    config = home / ".gitconfig"
    (home / "tmp").mkdir(parents=True)
    config.write_text(_GIT_CONFIG)
    own = {
        "HOME": str(home),
        "TMPDIR": str(home / "tmp"),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "XDG_DATA_HOME": str(home / ".local/share"),
        "XDG_STATE_HOME": str(home / ".local/state"),
        "GIT_CONFIG_GLOBAL": str(config),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "LANG": "C.UTF-8",
        "no_proxy": "127.0.0.1",
        "NO_COLOR": "1",
    }
    for name in [name for name in os.environ if name.startswith(_FOREIGN)]:
        monkeypatch.delenv(name)
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    return Sandbox(root, home, home / ".local/state/ledger", dict(os.environ))
