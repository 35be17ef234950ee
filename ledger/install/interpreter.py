"""What runs outside the agent's sandbox must not lie where the agent may write."""

from __future__ import annotations

import os
import subprocess
import sys

import ledger
from ledger.errors import Refused
from ledger.install.files import lies_within
from ledger.repo.gitdir import GitDir

_REMEDY = "install git-ledger with pipx, or in a virtual environment outside the repository, and run its `ledger init`"


def find_interpreter() -> str:
    """Return the interpreter's path, its links not followed: they are what makes a virtual environment."""
    return os.path.abspath(sys.executable)


def check_interpreter(repo: GitDir, interpreter: str) -> None:
    """Raise Refused if the repository holds the interpreter or the package, or if `python -I` does not find the package."""
    package = os.path.dirname(os.path.abspath(ledger.__file__))
    places = {"the Python interpreter": interpreter, "the Python installation": sys.prefix, "the ledger package": package}
    for what, path in places.items():
        for spelled in (os.path.abspath(path), os.path.realpath(path)):
            for folder in filter(None, (repo.work_tree, repo.common_dir)):
                if lies_within(spelled, folder):
                    raise Refused(f"{what} lies inside the repository ({spelled}): an agent could rewrite it", remedy=_REMEDY)
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run([interpreter, "-I", "-c", "import ledger"], cwd="/", env=env, capture_output=True, check=False)
    if done.returncode:
        raise Refused(f"`{interpreter} -I -c 'import ledger'` fails, so hooks could not record", remedy=_REMEDY)


def check_state(repo: GitDir, state: str, *, inside: str) -> None:
    """Raise Refused if the state folder lies in the repository, unless it is `inside`, where `--store git` puts it."""
    real = os.path.realpath(state)
    if real == os.path.realpath(inside):
        return
    if any(lies_within(real, folder) for folder in filter(None, (repo.work_tree, repo.common_dir))):
        raise Refused(
            f"the state folder {state} lies inside the repository, where an agent may write",
            remedy="name another with --state, or use --store git if the home folder does not last",
        )
