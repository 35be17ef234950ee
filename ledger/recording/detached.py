"""A process of its own that seals, so that no commit waits for it.

It outlives the hook: it gets /dev/null for all three descriptors and a process session of its own, or whoever captured the hook's
output would hang. A crash of it loses nothing, for what it seals is durable in the journal and stays unsealed.
"""

from __future__ import annotations

import os
import sys
from typing import NamedTuple

from ledger.core.seal import PREFIX, parse_prefix
from ledger.repo.git import PATIENCE_S, Child, git_env, start_git
from ledger.repo.gitdir import GitDir


class How(NamedTuple):
    """What git's configuration says of sealing: whether it is done before the hook ends, and where the refs lie."""

    inline: bool
    prefix: str


def ask_how(repo: GitDir) -> Child:
    """Start asking git how to seal, so that the answer is there when it is needed."""
    return start_git(["config", "--null", "--get-regexp", r"^ledger\.(seal|refprefix)$"], cwd=repo.git_dir)


def read_how(asked: Child) -> How:
    """Return git's answer. Raises RepoError where git does not give one, FormatError for a prefix that is none."""
    said = {}
    for item in asked.finish(check=False, patience_s=PATIENCE_S).decode("utf-8", "replace").split("\0"):
        name, _, value = item.partition("\n")
        said[name] = value  # the last one counts, as in git
    return How(said.get("ledger.seal") == "inline", parse_prefix(said.get("ledger.refprefix") or PREFIX))


def start_sealer(repo: GitDir, state: str) -> None:
    """Start the process. Raises OSError where none can be started."""
    command = [sys.executable, "-I", "-m", "ledger.hook", "--state", state, "seal", repo.common_dir]
    null = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in (0, 1, 2)]
    os.posix_spawn(sys.executable, command, git_env(), file_actions=null)


def detach() -> None:
    """Leave the process session and the folder of whoever started this process."""
    try:
        os.setsid()
    except OSError:
        pass  # it has one of its own already
    os.chdir("/")
