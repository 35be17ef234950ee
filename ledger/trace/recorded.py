"""What the logs have of commits: `commit.recorded` entries, whole, found by the index and read from their records."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from ledger.core.entry import Entry
from ledger.index.rows import path_key
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


def is_later(entry: Entry) -> bool:
    """Say whether a `commit.recorded` tells more lines of a commit that an earlier entry, its `cause`, has recorded."""
    return entry.body.get("via") == "later" and entry.cause is not None


def is_first_part(entry: Entry) -> bool:
    """Say whether a `commit.recorded` is the whole, or the first of its parts."""
    part = entry.body.get("part")
    return not is_later(entry) and (not isinstance(part, list) or part[:1] == [1])


def first_part(log: Log, entry: Entry) -> Entry | None:
    """Return the entry by which the commit of a `commit.recorded` counts: itself, or the first of its parts."""
    if is_first_part(entry):
        return entry
    oid = entry.body.get("oid")
    if not isinstance(oid, str):
        return None
    return next((first for first in log.entries(log.index.commits("oid", oid)) if is_first_part(first)), None)


def commit_parts(recorded: Recorded) -> list[Entry]:
    """Return the entry, those that follow where the commit goes on over several (`body.part`), and what was told of it later."""
    log, first, parts = recorded.log, recorded.entry, [recorded.entry]
    part = first.body.get("part")
    if isinstance(part, list) and len(part) == 2 and isinstance(part[1], int):
        last = first.seq + part[1]
        parts = [entry for entry in log.entries(log.index.commits("oid", recorded.oid)) if first.seq <= entry.seq < last]
    answers = log.entries(log.index.answers(first.seq), "commit.recorded")
    return [*parts, *(entry for entry in answers if is_later(entry) and entry.body.get("oid") == recorded.oid)]


def linked_paths(recorded: Recorded) -> list[dict[str, Any]]:
    """Return the paths that a recorded commit lists, over all its parts; what was told later of one is in its place."""
    found: dict[str, dict[str, Any]] = {}
    for part in commit_parts(recorded):
        paths = part.body.get("paths")
        for path in paths if isinstance(paths, list) else []:
            if isinstance(path, dict):
                key = path_key(path.get("path"))
                if not is_later(part):
                    found.setdefault(key, path)
                elif key in found and found[key].get("blob") == path.get("blob") and "lines" not in found[key]:
                    found[key] = path
    return list(found.values())


def distinct(found: Iterable[Recorded]) -> list[Recorded]:
    """Return `found` without repetitions, in order."""
    seen: dict[tuple[str, int], Recorded] = {}
    for item in found:
        seen.setdefault((item.log.name, item.entry.seq), item)
    return list(seen.values())
