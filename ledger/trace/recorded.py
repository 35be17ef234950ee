"""What the logs have of commits: `commit.recorded` entries, whole, found by the index and read from their records."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from ledger.core.entry import Entry
from ledger.trace.logs import Log, Logs


class Recorded(NamedTuple):
    """One `commit.recorded` that counts: its log, and its entry (the first part, where it goes on over several)."""

    log: Log
    entry: Entry

    @property
    def oid(self) -> str:
        """The id under which the commit was recorded."""
        return str(self.entry.body.get("oid"))


def find_recorded(logs: Logs, column: str, value: str) -> list[Recorded]:
    """Return the recorded commits whose `oid`, `tree` or `patch_id` is `value`, those of this clone's log first."""
    found = []
    for log in logs.related():
        for entry in log.entries(log.index.commits(column, value), "commit.recorded"):
            if entry.body.get(column) == value and is_first_part(entry):
                found.append(Recorded(log, entry))
    return found


def is_first_part(entry: Entry) -> bool:
    """Say whether a `commit.recorded` is the whole, or the first of its parts."""
    part = entry.body.get("part")
    return not isinstance(part, list) or part[:1] == [1]


def commit_parts(recorded: Recorded) -> list[Entry]:
    """Return the entry and, where the commit goes on over several (`body.part`), those that follow."""
    part = recorded.entry.body.get("part")
    if not (isinstance(part, list) and len(part) == 2 and isinstance(part[1], int)):
        return [recorded.entry]
    log, oid = recorded.log, recorded.oid
    last = recorded.entry.seq + part[1]
    return [entry for entry in log.entries(log.index.commits("oid", oid)) if recorded.entry.seq <= entry.seq < last]


def linked_paths(recorded: Recorded) -> list[dict[str, Any]]:
    """Return the paths that a recorded commit lists, over all its parts."""
    found: list[dict[str, Any]] = []
    for part in commit_parts(recorded):
        paths = part.body.get("paths")
        found += [path for path in paths if isinstance(path, dict)] if isinstance(paths, list) else []
    return found


def distinct(found: Iterable[Recorded]) -> list[Recorded]:
    """Return `found` without repetitions, in order."""
    seen: dict[tuple[str, int], Recorded] = {}
    for item in found:
        seen.setdefault((item.log.name, item.entry.seq), item)
    return list(seen.values())
