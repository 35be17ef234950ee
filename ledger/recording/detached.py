"""A process of its own that seals, so that no commit waits for it.

It outlives the hook: it gets /dev/null for all three descriptors and a process session of its own, or whoever captured the hook's
output would hang. A crash of it loses nothing, for what it seals is durable in the journal and stays unsealed.
"""

from __future__ import annotations

import os
import sys

from ledger.repo.git import PATIENCE_S, git_env, run_git
from ledger.repo.gitdir import GitDir


def is_inline(repo: GitDir) -> bool:
    """Say whether `ledger.seal` wants sealing done before the hook ends."""
    said = run_git(["config", "--get", "ledger.seal"], cwd=repo.git_dir, check=False, patience_s=PATIENCE_S)
    return said.strip() == b"inline"


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
