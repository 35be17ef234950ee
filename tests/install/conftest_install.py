"""What the installer's tests share: a recorder that only writes down how it was called, and snapshots of folders."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import NamedTuple

import pytest

from ledger.install import installer
from ledger.repo.gitdir import find_repository

HEAD = f"{'ab' * 16}/7/{'cd' * 32}"
TRAILER = f"Ledger-Entry: {HEAD}"


class Bench(NamedTuple):
    """A sandbox with a fake interpreter, which appends its arguments and its input to `calls`."""

    sandbox: object
    python: Path
    calls: Path

    @property
    def state(self) -> str:
        return str(self.sandbox.state)

    def install(self, work_tree: Path, agents: tuple[str, ...] = (), scope: str = "project") -> installer.Done:
        """Install into `work_tree` as `ledger init` would, with the fake interpreter."""
        repo = find_repository(str(work_tree))
        return installer.install(installer.plan_install(repo, self.state, str(self.python), list(agents), scope))

    def remove(self, work_tree: Path) -> installer.Removed:
        """Undo it."""
        return installer.remove(find_repository(str(work_tree)), self.state)

    def write_head(self, work_tree: Path, text: str = HEAD + "\n") -> Path:
        """Write this user's head file, as a recorder would."""
        path = Path(find_repository(str(work_tree)).common_dir) / "ledger" / f"head-{os.getuid()}"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    def recorded(self) -> list[str]:
        """Return the calls of the fake interpreter so far."""
        return self.calls.read_text().splitlines() if self.calls.exists() else []


@pytest.fixture
def bench(sandbox) -> Bench:
    """A bench whose paths hold blanks, quotes and what looks like a placeholder."""
    python = sandbox.home / "it's a @HOOK@ $HOME" / "python"
    calls = sandbox.home / "calls"
    python.parent.mkdir()
    write_script(python, f'{{ echo "$*"; cat; }} >>"{calls}"')
    return Bench(sandbox, python, calls)


def write_script(path: Path, body: str, interpreter: str = "/bin/sh") -> Path:
    """Write an executable script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!{interpreter}\n{body}\n")
    path.chmod(0o755)
    return path


def snapshot(*roots: Path) -> dict[str, tuple[int, bytes]]:
    """Return mode and content of everything under `roots`: bytes of files, targets of links."""
    found: dict[str, tuple[int, bytes]] = {}
    for root in roots:
        for path in sorted([root, *root.rglob("*")]) if root.is_dir() and not root.is_symlink() else [root]:
            if path.is_symlink():
                found[str(path)] = (0, os.fsencode(os.readlink(path)))
            elif path.is_dir():
                found[str(path)] = (stat.S_IMODE(path.stat().st_mode), b"")
            elif path.exists():
                found[str(path)] = (stat.S_IMODE(path.stat().st_mode), path.read_bytes())
    return found


def touched(repo: Path, *more: Path) -> dict[str, tuple[int, bytes]]:
    """Return a snapshot of everything in a repository that `init` may touch."""
    git = repo / ".git"
    agents = (repo / name for name in (".claude", ".codex", ".gemini", ".opencode"))
    return snapshot(git / "hooks", git / "config", git / "info", *agents, *more)
