"""What the entries do not cover: commits, ref moves, agents without a session, sessions whose changes nobody committed.

Hooks can be bypassed; whoever lists commits and reads reflogs cannot be. Nothing here changes a verdict: a hole in the records is
no fault of the records that there are. The logs were verified before; here they are read once more, for what else they say.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from ledger.repo.catfile import ObjectReader
from ledger.repo.commits import is_oid
from ledger.repo.git import run_git
from ledger.repo.gitdir import GitDir
from ledger.repo.reflog import RefMove, list_branches, read_ref_moves
from ledger.store.reader import JournalReader
from ledger.store.state import journal_path
from ledger.verify.commits import has_head
from ledger.verify.sealed import read_records
from ledger.verify.subject import Subject
from ledger.verify.verdict import Coverage, Uncommitted

MAX_LISTED = 1000  # of each sort; an agent can write a reflog
# What leads to commits that were there before, or that others made: nothing of ours has to record it.
_ONLY_LOOKS = frozenset({"checkout", "clone", "branch", "rebase", "switch", "initial"})
_KINDS = (
    b'"kind":"commit.recorded"',
    b'"kind":"commit.rewritten"',
    b'"kind":"ref.updated"',
    b'"kind":"tool.finished"',
    b'"kind":"session.ended"',
)


@dataclass(slots=True)
class _Session:
    changes: dict[int, int | None] = field(default_factory=dict)  # results that changed files -> their requests
    ended: bool = False


@dataclass(slots=True)
class Told:
    """What the entries of all logs say, as far as coverage asks: all of it is their words."""

    recorded: set[str] = field(default_factory=set)
    rewritten: set[str] = field(default_factory=set)  # commits that others became
    moved_to: set[str] = field(default_factory=set)
    claimed: dict[str, str] = field(default_factory=dict)  # commit -> entry
    committed: set[tuple[str, int]] = field(default_factory=set)  # (log, seq) of results and requests that a commit is linked to
    sessions: dict[tuple[str, str], _Session] = field(default_factory=dict)

    def take(self, log: str, seq: int, entry: dict[str, Any]) -> None:
        """Look at one entry."""
        kind, body, session = entry.get("kind"), entry.get("body"), entry.get("session")
        if not isinstance(body, dict):
            return
        if kind == "commit.recorded":
            self._take_commit(log, seq, body, session, entry.get("cause"))
        elif kind == "commit.rewritten":
            self.rewritten.update(str(item.get("new")) for item in _objects(body.get("rewrites")))
        elif kind == "ref.updated":
            self.moved_to.add(str(body.get("new")))
        elif isinstance(session, str):
            known = self.sessions.setdefault((log, session), _Session())
            known.ended = kind == "session.ended"
            if kind == "tool.finished" and any(item.get("name") == "effects" for item in _objects(entry.get("payloads"))):
                cause = entry.get("cause")
                known.changes[seq] = cause if type(cause) is int else None

    def _take_commit(self, log: str, seq: int, body: dict[str, Any], session: object, cause: object) -> None:
        oid = str(body.get("oid"))
        self.recorded.add(oid)
        linked = [cause]  # the call that the commit was made in: what it changed, and committed, may be linked to nothing
        for path in _objects(body.get("paths")):
            calls = path.get("calls")
            linked += calls if isinstance(calls, list) else []
            linked += [span.get("call") for span in _objects(path.get("lines"))]
        self.committed.update((log, call) for call in linked if type(call) is int)
        if isinstance(body.get("claims"), dict) and session is None:
            self.claimed[oid] = f"{log}/{seq}"


def measure_coverage(
    repo: GitDir, state: str, subjects: Collection[Subject], asked: Sequence[str] | None, opened: Collection[str]
) -> Coverage:
    """Compare the commits that `asked` names, or that HEAD reaches, with what the logs recorded.

    A commit is missing where no entry has it and it was made after the first log was opened (`opened`, as in entries). Without
    `asked`, ref moves and sessions are looked at too: they belong to no range.
    """
    told = Told()
    for subject in subjects:
        for seq, data in _read(repo, state, subject):
            _look(told, subject.log, seq, data)
    commits = [] if asked is None and not has_head(repo) else _list(repo, asked)
    since = min((datetime.fromisoformat(at).timestamp() for at in opened), default=0.0)
    # Git counts whole seconds, so a commit of the very second in which the log was opened is not held against it.
    bare = [oid for oid, at in commits if oid not in told.recorded and int(at) > since]
    missing = tuple(oid for oid in bare if oid not in told.rewritten)
    here = {oid for oid, _ in commits}
    return Coverage(
        len(commits),
        sum(oid in told.recorded for oid, _ in commits),
        missing,
        len(bare) - len(missing),
        () if asked is not None else tuple(_moves(repo, told, since))[:MAX_LISTED],
        tuple((oid, entry) for oid, entry in told.claimed.items() if oid in here)[:MAX_LISTED],
        () if asked is not None else tuple(_uncommitted(told))[:MAX_LISTED],
    )


def _look(told: Told, log: str, seq: int, data: bytes) -> None:
    if not any(kind in data for kind in _KINDS):
        return  # nearly all of a log
    try:
        entry = orjson.loads(data)["entry"]
    except (ValueError, KeyError, TypeError):
        return  # the verifier has said what is wrong with it
    if isinstance(entry, dict):
        told.take(log, seq, entry)


def _read(repo: GitDir, state: str, subject: Subject) -> Iterator[tuple[int, bytes]]:
    """Yield (seq, record) of a log, from its journal or else from its genuine seals."""
    if subject.has_journal:
        with JournalReader(journal_path(state, subject.log)) as journal:
            yield from journal.records()
        return
    with ObjectReader(repo) as reader:
        for start, records in read_records(reader, subject.seals):
            yield from enumerate(records, start)


def _list(repo: GitDir, asked: Sequence[str] | None) -> list[tuple[str, str]]:
    listed = run_git(["log", "--format=%H %ct", "--no-show-signature", *(asked or ["HEAD"]), "--"], cwd=repo.git_dir)
    return [(oid, at) for oid, at in (line.split(" ") for line in listed.decode("ascii").splitlines())]


def _moves(repo: GitDir, told: Told, since: float) -> Iterator[RefMove]:
    """Yield the moves of HEAD and of branches that led to a commit of which no entry knows, and were made since the log began."""
    known = told.recorded | told.rewritten | told.moved_to
    for ref, tip in [("HEAD", None), *list_branches(repo)]:
        moves = read_ref_moves(repo, ref)
        for move in moves:
            verb = move.how.split(" ")[0].rstrip(":")
            looks = verb in _ONLY_LOOKS or "(" in move.how or (ref != "HEAD" and verb in ("fetch", "push"))
            if move.at > since and not looks and is_oid(move.new) and move.new.strip("0") and move.new not in known:
                yield move
        if tip is not None and moves and moves[-1].new != tip and tip not in known:
            yield RefMove(ref, moves[-1].new, tip, "not in the reflog", 0)


def _uncommitted(told: Told) -> Iterator[Uncommitted]:
    for (log, session), known in told.sessions.items():
        bare = [seq for seq, cause in known.changes.items() if not {(log, seq), (log, cause)} & told.committed]
        if bare:
            yield Uncommitted(session, f"{log}/{max(bare)}", len(known.changes), len(known.changes) - len(bare), known.ended)


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
