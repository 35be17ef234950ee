"""Calls between their request and their result: what they touched, and which of them a commit was made in (docs/linking.md).

These are working notes in the journal, not evidence: what matters of them is written into entries.
"""

from __future__ import annotations

import json
import os
from typing import NamedTuple

from ledger.core.fact import Fact, PayloadData
from ledger.core.text import format_path
from ledger.recording.ancestry import is_alive
from ledger.repo.blobs import TOO_LARGE, blob_id, path_inside
from ledger.repo.gitdir import GitDir
from ledger.store.journal import Journal

# Tools that edit files and start nothing: a commit is never theirs.
_EDITORS = frozenset(
    """
    Edit Write MultiEdit NotebookEdit Read Glob Grep TodoWrite
    apply_patch update_plan
    replace write_file read_file read_many_files list_directory glob grep_search search_file_content write_todos
    edit write read patch list grep todowrite todoread
    """.split()
)
_EXPIRY_MS = 24 * 3600 * 1000
_MAX_TOUCHED = 2000


class Call(NamedTuple):
    """An open call. `before` maps paths to blob ids at its request; `ancestors` are the processes that started its hook."""

    session: str
    call: str
    turn: str
    seq: int
    head: str
    digest: str
    shell: bool
    ancestors: list[str]
    before: list[tuple[bytes, str | None]]


def open_call(
    journal: Journal, fact: Fact, seq: int, *, repo: GitDir, head: str, touched: list[bytes], ancestors: list[str], at_ms: int
) -> None:
    """Note that the call of a `tool.requested` began."""
    shape = journal.meta("object_format") or "sha1"
    before = [(os.fsdecode(path), _blob_at(repo, path, shape)) for path in touched]
    journal.run(
        "INSERT OR REPLACE INTO call VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            fact.session or "",
            fact.call or f"seq:{seq}",
            fact.turn or "",
            seq,
            repo.git_dir,
            head,
            fact.input_digest or "",
            0 if fact.body.get("tool") in _EDITORS else 1,
            " ".join(ancestors),
            json.dumps(before, ensure_ascii=True),
            str(fact.body.get("subagent", "")),
            at_ms,
        ),
    )


def find_call(journal: Journal, session: str | None, call: str | None) -> Call | None:
    """Return the open call of these identifiers, or None."""
    rows = journal.all(f"SELECT {_COLUMNS} FROM call WHERE session = ? AND call = ?", (session or "", call or ""))
    return _call(rows[0]) if rows else None


def find_by_input(journal: Journal, session: str | None, digest: str) -> Call | None:
    """Return the newest open call of a session whose input has this digest: approval requests carry no call id."""
    sql = f"SELECT {_COLUMNS} FROM call WHERE session = ? AND digest = ? ORDER BY seq DESC LIMIT 1"
    rows = journal.all(sql, (session or "", digest))
    return _call(rows[0]) if rows else None


def find_only(journal: Journal, session: str | None) -> Call | None:
    """Return a session's open call if there is just one, else None."""
    rows = journal.all(f"SELECT {_COLUMNS} FROM call WHERE session = ? LIMIT 2", (session or "",))
    return _call(rows[0]) if len(rows) == 1 else None


def committing_calls(journal: Journal, repo: GitDir, at_ms: int) -> list[Call]:
    """Return the open calls of this work tree that may have made a commit, oldest first."""
    sql = f"SELECT {_COLUMNS} FROM call WHERE worktree = ? AND shell = 1 AND at_ms > ? ORDER BY seq"
    calls = [_call(row) for row in journal.all(sql, (repo.git_dir, at_ms - _EXPIRY_MS))]
    return [call for call in calls if is_alive(call.ancestors)]


def close_call(journal: Journal, call: Call) -> None:
    """Forget an open call: its result is here."""
    journal.run("DELETE FROM call WHERE session = ? AND call = ?", (call.session, call.call))


def close_turn(journal: Journal, session: str | None) -> None:
    """Forget the open calls of a session's main agent: its turn ended, and blocked calls never get a result."""
    journal.run("DELETE FROM call WHERE session = ? AND subagent = ''", (session or "",))


def effects_of(
    journal: Journal, repo: GitDir, call: Call | None, touched: list[bytes]
) -> list[tuple[bytes, str | None, str | None]]:
    """Return (path, blob before, blob after) of what a call changed, as far as it named what it touches."""
    shape = journal.meta("object_format") or "sha1"
    before = dict(call.before) if call else {}
    found = []
    for path in dict.fromkeys([*before, *touched]):
        after = _blob_at(repo, path, shape)
        if before.get(path) != after and TOO_LARGE not in (before.get(path), after):
            found.append((path, before.get(path), after))
    return found


def note_effects(
    journal: Journal,
    repo: GitDir,
    seq: int,
    session: str | None,
    effects: list[tuple[bytes, str | None, str | None]],
    *,
    sure: bool,
) -> None:
    """Note which blob the call whose result is entry `seq` left at which path; not `sure` where that was looked at late."""
    for path, _, after in effects:
        row = (repo.git_dir, path, seq, after, session or "", int(sure))
        journal.run("INSERT OR REPLACE INTO effect VALUES (?, ?, ?, ?, ?, ?)", row)


def effects_payload(effects: list[tuple[bytes, str | None, str | None]]) -> PayloadData:
    """Return the payload `effects` of a `tool.finished`."""
    rows = [{"path": format_path(path), "before": before, "after": after} for path, before, after in effects]
    return PayloadData(json.dumps(rows, ensure_ascii=False, separators=(",", ":")).encode(), "application/json")


def touched_paths(repo: GitDir, cwd: str | None, paths: tuple[str, ...]) -> list[bytes]:
    """Return the paths inside the work tree, relative to it, without repetition."""
    if repo.work_tree is None:
        return []
    inside = (path_inside(repo.work_tree, cwd, path) for path in paths[:_MAX_TOUCHED])
    return list(dict.fromkeys(path for path in inside if path is not None))


def link_path(journal: Journal, repo: GitDir, path: bytes, blob: str | None) -> tuple[str, list[int]]:
    """Return how a committed path is linked to calls (`exact`, `partial`, `inferred`, `none`) and the results that left it.

    Notes that the commit used up are removed; those whose content still lies in the work tree wait for a later commit.
    """
    rows = journal.all("SELECT seq, blob, sure FROM effect WHERE worktree = ? AND path = ? ORDER BY seq", (repo.git_dir, path))
    if not rows:
        return "none", []
    matches = [(seq, sure) for seq, left, sure in rows if left == blob]
    if matches:
        last, sure = max(matches)
        journal.run("DELETE FROM effect WHERE worktree = ? AND path = ? AND seq <= ?", (repo.git_dir, path, last))
        return "exact" if sure else "inferred", [int(seq) for seq, _, _ in rows if seq <= last]
    here = _blob_at(repo, path, journal.meta("object_format") or "sha1")
    if rows[-1][1] != here:
        journal.run("DELETE FROM effect WHERE worktree = ? AND path = ?", (repo.git_dir, path))
    return "partial", [int(seq) for seq, _, _ in rows]


_COLUMNS = "session, call, turn, seq, head, digest, shell, ancestors, before"


def _call(row: tuple[object, ...]) -> Call:
    session, call, turn, seq, head, digest, shell, ancestors, before = row
    paths = [(os.fsencode(path), blob) for path, blob in json.loads(str(before))]
    return Call(
        str(session), str(call), str(turn), int(str(seq)), str(head), str(digest), bool(shell), str(ancestors).split(), paths
    )


def _blob_at(repo: GitDir, path: bytes, object_format: str) -> str | None:
    return None if repo.work_tree is None else blob_id(os.path.join(repo.work_tree, os.fsdecode(path)), object_format)
