"""Which processes a hook descends from, read from /proc where there is one.

An agent's hook and a commit that the agent makes descend from the same process; a person's commit in another terminal does
not. A hint that tells people from agents who left no other trace, never more.
"""

from __future__ import annotations

import os

_SHELLS = frozenset({"sh", "bash", "dash", "zsh", "fish", "ksh", "busybox"})
_DEPTH = 24


def ancestors(limit: int = _DEPTH) -> list[str]:
    """Return this process's ancestors, nearest first, as `<pid>:<start time>`; empty where they cannot be read."""
    return [name for name, _ in _walk(limit)]


def nearest(limit: int = 3) -> list[str]:
    """Return the nearest ancestors up to and including the first that is no shell: the agent, if an agent started us."""
    found = []
    for name, command in _walk(limit):
        found.append(name)
        if command not in _SHELLS:
            break
    return found


def is_alive(names: list[str]) -> bool:
    """Say whether any of these processes still runs, or cannot be asked about."""
    if not names or not os.path.isdir("/proc/self"):
        return True
    return any(_start_of(name.partition(":")[0]) == name.partition(":")[2] for name in names)


def _walk(limit: int) -> list[tuple[str, str]]:
    found = []
    pid = str(os.getppid())
    for _ in range(limit):
        stat = _stat(pid)
        if stat is None or pid == "0":
            break
        command, fields = stat
        found.append((f"{pid}:{fields[19]}", command))
        pid = fields[1]
    return found


def _start_of(pid: str) -> str | None:
    stat = _stat(pid)
    return None if stat is None else stat[1][19]


def _stat(pid: str) -> tuple[str, list[str]] | None:
    """Return a process's command name and the fields of its stat from `state` on (proc(5): field 4 is ppid, 22 starttime)."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read().decode("ascii", "replace")
    except OSError:
        return None
    head, _, rest = text.rpartition(")")
    fields = rest.split()
    return (head.partition("(")[2], fields) if len(fields) > 19 else None
