"""Calls between their request and their result: what they touched, and which of them a commit was made in (docs/linking.md).

These are working notes in the journal, not evidence: what matters of them is written into entries.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from ledger.core.fact import Fact, PayloadData
from ledger.core.text import format_path
from ledger.recording.ancestry import is_alive
from ledger.repo.blobs import blob_id, path_inside
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
# Tools that write no file of the work tree: others may run any program, and what they changed is looked for.
_INNOCENT = frozenset(
    """
    WebSearch WebFetch Task Agent Skill AskUserQuestion EnterPlanMode ExitPlanMode ToolSearch TaskCreate TaskUpdate TaskList TaskGet
    TaskOutput TaskStop KillShell BashOutput SlashCommand ListMcpResourcesTool ReadMcpResourceTool LS LSP web_search view_image
    spawn_agent wait send_input close_agent request_user_input
    google_web_search web_fetch ask_user activate_skill webfetch websearch task question skill
    """.split()
)
_EDITS, _COMMITS, _WRITES = 0, 1, 2  # what a call can do: edit the files that it names, commit, write anything as well
_EXPIRY_MS = 24 * 3600 * 1000
_MAX_TOUCHED = 2000
_MAX_RUNS = 1000  # that are remembered in a work tree


class Call(NamedTuple):
    """An open call. `before` maps paths to blob ids at its request; `ancestors` are the processes that started its hook."""

    session: str
    call: str
    turn: str
    seq: int
    head: str
    digest: str
    can: int
    ancestors: list[str]
    before: list[tuple[bytes, str | None]]
    at_ms: int

    @property
    def writes(self) -> bool:
        """Whether it can write files that it does not name."""
        return self.can == _WRITES

    def may_write(self, path: bytes) -> bool:
        """Say whether this call can change a path while it is open."""
        return self.writes or any(named == path for named, _ in self.before)


class Effect(NamedTuple):
    """What a call changed: a path's blob before and after, None where there was nothing; `mode` is git's, after, 0 for none.

    `sure` unless it was looked at late; `found` where the call did not name it, and anybody may have changed it meanwhile; `kept`
    where git has it already, for the call committed it.
    """

    path: bytes
    before: str | None
    after: str | None
    mode: int = 0
    sure: bool = True
    found: bool = False
    moved_from: bytes | None = None
    kept: bool = False


def open_call(
    journal: Journal,
    fact: Fact,
    seq: int,
    *,
    repo: GitDir,
    head: str,
    before: Mapping[bytes, str | None],
    ancestors: list[str],
    at_ms: int,
) -> None:
    """Note that the call of a `tool.requested` began; `before` has the blobs of the paths that it names."""
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
            what_it_can(fact),
            " ".join(ancestors),
            json.dumps([(os.fsdecode(path), blob) for path, blob in before.items()], ensure_ascii=True),
            str(fact.body.get("subagent", "")),
            at_ms,
        ),
    )


def doubt_name(git_dir: str) -> str:
    """Return the journal's note on whether something in a work tree may have changed that nobody looked for."""
    return f"doubt:{git_dir}"


def what_it_can(fact: Fact) -> int:
    """Return what the call of a `tool.requested` can do, by its tool."""
    tool = fact.body.get("tool")
    return _EDITS if tool in _EDITORS else _COMMITS if tool in _INNOCENT else _WRITES


def writes_anything(fact: Fact) -> bool:
    """Say whether the call of a `tool.requested` can write files that it does not name."""
    return what_it_can(fact) == _WRITES


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


def unanswered_calls(journal: Journal, session: str | None) -> list[Call]:
    """Return the open calls of a session's main agent, oldest first."""
    sql = f"SELECT {_COLUMNS} FROM call WHERE session = ? AND subagent = '' ORDER BY seq"
    return [_call(row) for row in journal.all(sql, (session or "",))]


def dead_calls(journal: Journal, repo: GitDir) -> list[Call]:
    """Return the open calls of this work tree whose processes are gone: they get no result any more."""
    sql = f"SELECT {_COLUMNS} FROM call WHERE worktree = ? ORDER BY seq"
    return [call for row in journal.all(sql, (repo.git_dir,)) if not is_alive((call := _call(row)).ancestors)]


def committing_calls(journal: Journal, repo: GitDir, at_ms: int) -> list[Call]:
    """Return the open calls of this work tree that may have made a commit, oldest first."""
    sql = f"SELECT {_COLUMNS} FROM call WHERE worktree = ? AND shell > 0 AND at_ms > ? ORDER BY seq"
    calls = [_call(row) for row in journal.all(sql, (repo.git_dir, at_ms - _EXPIRY_MS))]
    return [call for call in calls if is_alive(call.ancestors)]


def calls_of_session(journal: Journal, session: str, at_ms: int) -> list[Call]:
    """Return a session's open calls that may have made a commit, in whatever work tree they began, oldest first."""
    sql = f"SELECT {_COLUMNS} FROM call WHERE session = ? AND shell > 0 AND at_ms > ? ORDER BY seq"
    calls = [_call(row) for row in journal.all(sql, (session, at_ms - _EXPIRY_MS))]
    return [call for call in calls if is_alive(call.ancestors)]


def writing_calls(journal: Journal, repo: GitDir, at_ms: int) -> list[Call]:
    """Return the open calls that can change files of this work tree, oldest first."""
    sql = f"SELECT {_COLUMNS} FROM call WHERE worktree = ? AND (shell = 2 OR before <> '[]') AND at_ms > ? ORDER BY seq"
    calls = [_call(row) for row in journal.all(sql, (repo.git_dir, at_ms - _EXPIRY_MS))]
    return [call for call in calls if is_alive(call.ancestors)]


def note_run(journal: Journal, repo: GitDir, from_ms: int, to_ms: int) -> None:
    """Note when a command ran that may have written anything: also where no look sees it, such as into an ignored file."""
    journal.make_later_notes()
    journal.run("INSERT INTO ran VALUES (?, ?, ?)", (repo.git_dir, from_ms, to_ms))
    oldest = "SELECT rowid FROM ran WHERE worktree = ? ORDER BY to_ms DESC LIMIT -1 OFFSET ?"
    journal.run(f"DELETE FROM ran WHERE rowid IN ({oldest})", (repo.git_dir, _MAX_RUNS))


def did_run(journal: Journal, repo: GitDir, from_ms: int, to_ms: int) -> bool:
    """Say whether such a command ran between these times."""
    sql = "SELECT 1 FROM ran WHERE worktree = ? AND from_ms <= ? AND to_ms >= ? LIMIT 1"
    return journal.one(sql, (repo.git_dir, to_ms, from_ms)) is not None


def close_call(journal: Journal, call: Call) -> None:
    """Forget an open call: its result is here."""
    journal.run("DELETE FROM call WHERE session = ? AND call = ?", (call.session, call.call))


def note_effects(journal: Journal, repo: GitDir, seq: int, session: str | None, effects: Sequence[Effect]) -> None:
    """Note which blob the call whose result is entry `seq` left at which path."""
    for effect in effects:
        if effect.kept:
            continue  # what follows is of later commits
        row = (repo.git_dir, effect.path, seq, effect.after, session or "", int(effect.sure))
        journal.run("INSERT OR REPLACE INTO effect VALUES (?, ?, ?, ?, ?, ?)", row)


def effects_payload(effects: Sequence[Effect]) -> PayloadData:
    """Return the payload `effects` of a `tool.finished`."""
    rows = []
    for effect in effects:
        row: dict[str, Any] = {"path": format_path(effect.path), "before": effect.before, "after": effect.after}
        if effect.mode and effect.mode != 0o100644:
            row["mode"] = f"{effect.mode:o}"
        if effect.moved_from is not None:
            row["from"] = format_path(effect.moved_from)
        if effect.found:
            row["basis"] = "inferred"
        rows.append(row)
    return PayloadData(json.dumps(rows, ensure_ascii=False, separators=(",", ":")).encode(), "application/json")


def touched_paths(repo: GitDir, cwd: str | None, paths: tuple[str, ...]) -> list[bytes]:
    """Return the paths inside the work tree, relative to it, without repetition."""
    if repo.work_tree is None:
        return []
    found: dict[bytes, None] = {}
    for path in paths[:_MAX_TOUCHED]:
        inside = path_inside(repo.work_tree, cwd, path)
        if inside is not None:
            found[inside] = None
            place = os.path.join(os.fsencode(repo.work_tree), inside)
            if os.path.islink(place):  # whoever writes to it writes to what it leads to
                target = path_inside(repo.work_tree, None, os.fsdecode(os.path.realpath(place)))
                found |= {} if target is None else {target: None}
    return list(found)


def link_path(
    journal: Journal, repo: GitDir, path: bytes, blob: str | None, is_clean: Callable[[bytes], bool] = lambda path: False
) -> tuple[str, list[int]]:
    """Return how a committed path is linked to calls (`exact`, `partial`, `inferred`, `none`) and the results that left it.

    Notes that the commit used up are removed; those whose content still lies in the work tree wait for a later commit, unless git
    takes what lies there for what is committed (`is_clean`): then it is the same but for a filter.
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
    if rows[-1][1] != here or is_clean(path):
        journal.run("DELETE FROM effect WHERE worktree = ? AND path = ?", (repo.git_dir, path))
    return "partial", [int(seq) for seq, _, _ in rows]


_COLUMNS = "session, call, turn, seq, head, digest, shell, ancestors, before, at_ms"


def _call(row: tuple[object, ...]) -> Call:
    session, call, turn, seq, head, digest, shell, ancestors, before, at_ms = row
    paths = [(os.fsencode(path), blob) for path, blob in json.loads(str(before))]
    names = (str(session), str(call), str(turn), int(str(seq)), str(head), str(digest))
    return Call(*names, int(str(shell)), str(ancestors).split(), paths, int(str(at_ms)))


def _blob_at(repo: GitDir, path: bytes, object_format: str) -> str | None:
    return None if repo.work_tree is None else blob_id(os.path.join(repo.work_tree, os.fsdecode(path)), object_format)
