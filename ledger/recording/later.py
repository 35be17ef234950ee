"""Lines that a commit's hook had not the time to follow, followed by the process that seals after it (docs/linking.md).

The commit's entry says of how many paths the lines are left (`lines_left`), and the journal notes what was known when it was
written: the newest version of that time, and whose the lines are that no version accounts for. What is found afterwards is a
further `commit.recorded` of the same commit with `via` = `later`, whose `cause` is the first: it lists these paths again, with
their lines. Each round is one transaction under the lock, and short; a crash between two of them loses nothing, for the note says
where to go on.
"""

from __future__ import annotations

import json
from typing import Any

from ledger.core.text import parse_path
from ledger.errors import FormatError
from ledger.recording.commits import GIT, link_by_lines, split_paths
from ledger.recording.lines import Rest, lines_left
from ledger.recording.origins import Origin
from ledger.recording.snapshots import Snapshots
from ledger.recording.writer import Writer, now_ms
from ledger.repo.added import read_added
from ledger.repo.commits import read_commit_and_patch
from ledger.repo.gitdir import GitDir
from ledger.store.journal import Journal


def has_left(journal: Journal) -> bool:
    """Say whether lines of some commit are still to be followed."""
    journal.make_later_notes()
    return journal.one("SELECT 1 FROM unfollowed LIMIT 1") is not None


def follow_left(writer: Writer, repo: GitDir, budget_s: float) -> bool:
    """Follow lines of the oldest commit that has some left, for about `budget_s`; say whether there is more to do."""
    journal = writer.journal
    if journal.is_paused() or not has_left(journal):
        return False
    sql = "SELECT seq, oid, worktree, newest, rest, next FROM unfollowed ORDER BY seq LIMIT 1"
    seq, oid, worktree, newest, rest, start = journal.one(sql) or ()
    first, items = _read_entry(journal, int(seq), str(oid))
    facts, patch = read_commit_and_patch(repo, str(oid))
    added = None if facts is None or patch is None else read_added(patch, facts.paths)
    if first is None or facts is None or not added:
        journal.run("DELETE FROM unfollowed WHERE seq = ?", (seq,))  # the commit is gone, or nothing of it can be told
        return has_left(journal)
    new, here, made = json.loads(rest)
    # No file is looked at any more: the work tree has gone on.
    snapshots = Snapshots(journal, repo._replace(git_dir=worktree, work_tree=None), now_ms(), until=int(newest))
    told = {path for path, item in items.items() if "lines" in item}
    found, stopped = lines_left(snapshots, facts, added, Rest(Origin(*new), Origin(*here), made=made), told, int(start), budget_s)
    snapshots.close()
    cause = first.get("cause")
    paths = []
    for path, lines in found.items():
        if path not in items:
            continue  # an entry that is not as we wrote it
        item = {**items[path], "lines": lines}
        if item["link"] == "none":
            item["link"] = link_by_lines(lines, cause if isinstance(cause, int) else None)
        paths.append(item)
    for part in split_paths(paths) if paths else ():
        _append(writer, first, part)
    if stopped >= len(facts.paths):
        journal.run("DELETE FROM unfollowed WHERE seq = ?", (seq,))
    else:
        journal.run("UPDATE unfollowed SET next = ? WHERE seq = ?", (stopped, seq))
    return has_left(journal)


def _read_entry(journal: Journal, seq: int, oid: str) -> tuple[dict[str, Any] | None, dict[bytes, dict[str, Any]]]:
    """Return the first entry of a commit, and what all its parts list, by path."""
    first, items = None, {}
    for (record,) in journal.all("SELECT bytes FROM record WHERE seq >= ? ORDER BY seq LIMIT 100", (seq,)):
        entry = json.loads(record)["entry"]
        if entry["kind"] != "commit.recorded" or entry["body"].get("oid") != oid:
            break
        first = first or entry
        for item in entry["body"]["paths"]:
            items[parse_path(item["path"])] = item
    return first, items


def _append(writer: Writer, first: dict[str, Any], paths: list[dict[str, Any]]) -> None:
    body = first["body"]
    whole = {
        **{name: body[name] for name in ("oid", "tree", "parents", "patch_id")},
        "paths": paths,
        "trailers": [],
        "via": "later",
    }
    try:
        writer.append(
            "commit.recorded",
            source=first["source"],
            actor=GIT,
            body=whole,
            session=first.get("session"),
            turn=first.get("turn"),
            call=first.get("call"),
            cause=first["seq"],
        )
    except FormatError:
        return  # it fits no entry: what the first one says stays all that is said
