"""Commits become entries: at git's hooks, and on agents' events for whatever the hooks never saw (docs/linking.md).

Not every commit fires a hook: Gemini CLI switches git hooks off, `-c core.hooksPath=` does, `git am` and plumbing have none. So
each event compares HEAD and its reflog with what was seen last, and records the commits that were made in between.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from ledger.core.text import format_path
from ledger.core.trailer import find_trailers, format_head
from ledger.errors import FormatError
from ledger.recording.calls import Call, calls_of_session, committing_calls, dead_calls, find_call, link_path, writing_calls
from ledger.recording.claims import Claims
from ledger.recording.heads import Making, note_head, seen_head
from ledger.recording.lines import LINES_MS, Left, how_made, judge_rest, lines_of_commit, note_committed, note_left
from ledger.recording.snapshots import Snapshots
from ledger.recording.writer import Writer
from ledger.repo.added import Ranges, read_added
from ledger.repo.commits import CommitFacts, identity, is_oid, new_commits, read_commit_and_patch
from ledger.repo.gitdir import GitDir
from ledger.repo.heads import is_rebasing, read_head, read_special, reflog_size
from ledger.repo.reflog import Move, read_beginning, read_moves, read_moves_near_end
from ledger.repo.snapshots import Cleanness
from ledger.store.state import note_tree

_MADE_HERE = ("commit", "cherry-pick", "revert", "am")
_MOVED_HERE = ("reset", "merge", "pull", "fetch")  # to commits that were there already, or that were made elsewhere
_FETCHING = ("merge", "pull", "fetch")  # to what another clone of the same person's may have made
_LOOKED_AT = ("checkout", "rebase", "clone")
_MAX_NEW_COMMITS = 200
_MAX_MOVES = 200
_MAX_PATHS_BYTES = 200_000  # of one entry's paths; the rest goes on in further parts
GIT = {"type": "tool", "name": "git"}


def record_commit(writer: Writer, repo: GitDir, oid: str, making: Making) -> int | None:
    """Append `commit.recorded` for `oid`, unless it has one or is not here; return its seq."""
    journal = writer.journal
    if not is_oid(oid) or journal.one("SELECT 1 FROM commits WHERE oid = ?", (oid,)):
        return None
    facts, patch = read_commit_and_patch(repo, oid)
    if facts is None:
        return None
    added = None if patch is None else read_added(patch, facts.paths)
    body, call, left = _commit_body(writer, repo, facts, making, added)
    parts = split_paths(body.pop("paths"))
    first = None
    for number, paths in enumerate(parts, 1):
        part = {"part": [number, len(parts)]} if len(parts) > 1 else {}
        whole = (
            {**body, "paths": paths, **part}
            if number == 1
            else {
                "oid": oid,
                "tree": facts.tree,
                "parents": list(facts.parents),
                "paths": paths,
                "trailers": [],
                "patch_id": facts.patch_id,
                "via": making.via,
                **part,
            }
        )
        try:
            seq = writer.append(
                "commit.recorded",
                source=making.source,
                actor=GIT,
                body=whole,
                session=call.session or None if call else None,
                turn=call.turn or None if call else None,
                call=call.call if call and not call.call.startswith("seq:") else None,
                cause=call.seq if call else None,
                at_ms=making.at_ms,
            )
        except FormatError as error:
            # A path of a megabyte, say, made by plumbing. Noted and done with, or it would fail every later event too.
            seq = _note_gap(writer, "commit-not-recordable", making, oid=oid, why=error.message[:200])
        first = seq if first is None else first
    assert first is not None
    journal.run("INSERT INTO commits VALUES (?, ?)", (oid, first))
    if left is not None:
        note_left(journal, repo, first, oid, left)
    if making.claims.session:
        from ledger.recording.silence import notice_silence  # not every commit is an agent's

        notice_silence(writer, repo, making.claims, oid)
    return first


def record_moves(writer: Writer, repo: GitDir, making: Making, *, turn_ends: bool = False) -> None:
    """Append what HEAD did since it was last looked at: commits made here, and moves to commits made elsewhere.

    A rebase's intermediate commits are nobody's result, and its end is seen when it is over. But where an agent's turn ends, what
    there is is recorded all the same: whoever can write the repository can make it look as if a rebase never ended.
    """
    head, size = read_head(repo), reflog_size(repo)
    seen = seen_head(writer, repo)
    if seen == (head, size) or (is_rebasing(repo) and not turn_ends):
        return
    if seen is None and repo.work_tree is not None:
        note_tree(writer.journal.state, repo.common_dir, repo.work_tree)
    if seen is None and repo.git_dir != repo.common_dir:
        seen = read_beginning(repo)  # made since the log was opened, for then all that were there were noted
    if seen is not None:
        moves = read_moves(repo, seen[1]) or []
        _record_reflog(writer, repo, moves, making)
        if head and head not in (seen[0], *(move.new for move in moves[-1:])):
            # The reflog does not tell how HEAD came here: there is none, it was trimmed, or somebody wrote into it.
            _record_new(writer, repo, seen[0], head, making)
        elif head != seen[0] and not writer.journal.one("SELECT 1 FROM commits WHERE oid = ?", (head,)):
            _record_fresh(writer, repo, seen[0], head, making)  # whatever the reflog calls what led here
    note_head(writer.journal, repo, head, size)


def record_rewrites(writer: Writer, repo: GitDir, how: str, text: str, making: Making) -> None:
    """Append `commit.rewritten` for what post-rewrite says on its standard input, and the new commits."""
    rewrites = []
    for line in text.splitlines()[:100_000]:
        words = line.split()
        if len(words) >= 2 and is_oid(words[0]) and is_oid(words[1]):
            rewrites.append({"old": words[0], "new": words[1]})
    chunks = [rewrites[at : at + 2000] for at in range(0, len(rewrites), 2000)]
    for number, chunk in enumerate(chunks, 1):
        part = {"part": [number, len(chunks)]} if len(chunks) > 1 else {}
        body: dict[str, Any] = {"how": how if how in ("amend", "rebase") else "other", "rewrites": chunk, **part}
        if making.via == "spool" or not _bears_out(repo, how, chunk):
            body["basis"] = {"rewrites": "claimed"}  # git cannot be asked any more which commit became which, or says otherwise
        writer.append("commit.rewritten", source=making.source, actor=GIT, body=body)
    onto = read_special(repo, "rebase-merge/onto") if how == "rebase" and making.via == "hook" else ""
    if onto:
        _record_new(writer, repo, onto, read_head(repo), making)  # also what a split made, of which git's list names the last
    for oid in dict.fromkeys(rewrite["new"] for rewrite in rewrites[-_MAX_NEW_COMMITS:]):
        record_commit(writer, repo, oid, making)


def _bears_out(repo: GitDir, how: str, rewrites: Sequence[Mapping[str, str]]) -> bool:
    """Say whether HEAD's reflog tells of the amend, or of a rebase that made these commits: anybody can run the hook."""
    moves = read_moves_near_end(repo, far=True)
    if how == "amend":
        made = {(move.old, move.new) for move in moves if move.action == "commit (amend)"}
        return all((rewrite["old"], rewrite["new"]) in made for rewrite in rewrites)
    # The last rebase, or `pull --rebase`, from its start to its end: what was committed since, it did not make.
    start = max((at for at, move in enumerate(moves) if "(start)" in move.action), default=len(moves))
    end = next((at for at, move in enumerate(moves) if at > start and "(finish)" in move.action), len(moves))
    here = {move.new for move in moves[start : end + 1]}
    return all(rewrite["new"] in here for rewrite in rewrites)


def record_pick(writer: Writer, repo: GitDir, new: str, making: Making) -> None:
    """Append `commit.rewritten` where `new` was cherry-picked from a recorded commit: git fires no post-rewrite for that.

    While post-commit runs, CHERRY_PICK_HEAD still says what is being picked, unless it was a conflict that somebody resolved.
    Anybody can write that file, so where the changes are not equal it is a claim.
    """
    old = read_special(repo, "CHERRY_PICK_HEAD")
    if not old or old == new:
        return
    changes = [_patch_id_of(writer, oid) for oid in (old, new)]
    if None in changes:
        return
    body: dict[str, Any] = {"how": "cherry-pick", "rewrites": [{"old": old, "new": new}]}
    if changes[0] != changes[1]:
        body["basis"] = {"rewrites": "claimed"}
    writer.append("commit.rewritten", source=making.source, actor=GIT, body=body)


def _patch_id_of(writer: Writer, oid: str) -> str | None:
    """Return the patch-id of a commit that this log recorded, or None."""
    row = writer.journal.one("SELECT bytes FROM commits JOIN record ON record.seq = commits.seq WHERE oid = ?", (oid,))
    body = json.loads(row[0])["entry"]["body"] if row is not None else {}
    return str(body["patch_id"]) if "patch_id" in body else None


def _record_reflog(writer: Writer, repo: GitDir, moves: list[Move], making: Making) -> None:
    if len(moves) > _MAX_MOVES:
        _note_gap(writer, "too-many-moves", making, count=len(moves) - _MAX_MOVES)
    onto = ""
    for move in moves[-_MAX_MOVES:]:
        verb = move.action.split(" ")[0]
        if "(start)" in move.action:
            onto = move.new  # where a rebase begins; its end moves HEAD from the last commit to the same one, on a branch
        if verb in _MADE_HERE or move.made_by_merge:
            record_commit(writer, repo, move.new, making)
        elif "(finish)" in move.action:
            _record_new(writer, repo, onto or move.old, move.new, making)
        elif "(" not in move.action and move.old != move.new:
            _record_move(writer, repo, move, verb, making)


def _record_move(writer: Writer, repo: GitDir, move: Move, verb: str, making: Making) -> None:
    """Record what a move led to if it was made here, else the move, unless it only looked at what was there."""
    if verb in (*_LOOKED_AT, *_MOVED_HERE):
        told = bool(_record_fresh(writer, repo, move.old, move.new, making, verb)) or verb in _LOOKED_AT
    else:
        told = bool(_record_new(writer, repo, move.old, move.new, making))
    if not told:
        body = {"ref": "HEAD", "old": move.old, "new": move.new, "how": verb or "other"}
        writer.append("ref.updated", source=making.source, actor=GIT, body=body)


def _record_fresh(writer: Writer, repo: GitDir, old: str, new: str, making: Making, verb: str = "") -> int:
    """Record commits that somebody with our identity made since we last looked, whatever the reflog calls the move.

    GIT_REFLOG_ACTION makes git write `checkout` where a commit was made. Other people's commits, and our own of earlier, are what
    such moves lead to when they are what they say. Return how many entries that took.
    """
    row = writer.journal.one("SELECT seen_ms FROM worktree WHERE path = ?", (repo.git_dir,))
    who = identity(repo).get("git_email", "")
    since = 0 if row is None else int(row[0]) // 1000
    before = writer.head.seq
    for oid in new_commits(repo, old.strip("0") and old, new, _MAX_NEW_COMMITS, since=since, committer=who):
        record_commit(writer, repo, oid, making._replace(elsewhere=verb in _FETCHING))
    return writer.head.seq - before


def _record_new(writer: Writer, repo: GitDir, old: str, new: str, making: Making) -> int:
    """Record the commits that `new` has and neither `old` nor a remote branch has; return how many entries that took."""
    before = writer.head.seq
    oids = new_commits(repo, old.strip("0") and old, new, _MAX_NEW_COMMITS + 1)
    if len(oids) > _MAX_NEW_COMMITS:
        _note_gap(writer, "too-many-commits", making, count=1, old=old, new=new)
    for oid in oids[-_MAX_NEW_COMMITS:]:
        record_commit(writer, repo, oid, making)
    return writer.head.seq - before


def _note_gap(writer: Writer, reason: str, making: Making, *, count: int = 1, **more: str) -> int:
    body = {"reason": reason, "count": count, "size": 0, **more}
    return writer.append("gap.noted", source=making.source, body=body, at_ms=making.at_ms)


def link_by_lines(ranges: Sequence[Mapping[str, Any]], made_in: int | None) -> str:
    """Return the link of a path that no call's result ties to the commit, which was made in the call `made_in`, by its lines."""
    if made_in is not None and any(part.get("call") == made_in for part in ranges):
        return "inferred"  # written and committed in one call: nobody looked in between
    # What a call left was committed before, or under another name, and its lines are in this blob too.
    return "partial" if any(part.get("link") in ("exact", "partial") for part in ranges) else "none"


def _commit_body(
    writer: Writer, repo: GitDir, facts: CommitFacts, making: Making, added: dict[bytes, Ranges] | None
) -> tuple[dict[str, Any], Call | None, Left | None]:
    call, basis, during = _made_in(writer, repo, making)
    lines, count, left = _lines(writer, repo, facts, making, added or {}, call)
    paths = []
    clean = Cleanness(repo)
    for change in facts.paths:
        link, calls = link_path(writer.journal, repo, change.path, change.blob, clean.of)
        item: dict[str, Any] = {
            "path": format_path(change.path),
            "status": change.status,
            "blob": change.blob,
            "link": link,
            "calls": calls,
        }
        if change.path in lines:
            item["lines"] = lines[change.path]
            if link == "none":
                item["link"] = link_by_lines(lines[change.path], None if call is None else call.seq)
        paths.append(item)
    body: dict[str, Any] = {
        "oid": facts.oid,
        "tree": facts.tree,
        "parents": list(facts.parents),
        "paths": paths,
        "trailers": _judge_trailers(writer, facts.message),
        "patch_id": facts.patch_id,
        "via": making.via,
    }
    if basis:
        body["basis"] = basis
    if count:
        body["lines_left"] = count
    if during:
        body["during"] = during
    claims = making.claims.as_body()
    if claims and (call is None or claims.get("session") != call.session or claims.get("call", call.call) != call.call):
        body["claims"] = claims
    return body, call, left if count else None


def _lines(
    writer: Writer,
    repo: GitDir,
    facts: CommitFacts,
    making: Making,
    added: dict[bytes, Ranges],
    call: Call | None,
) -> tuple[dict[bytes, list[dict[str, Any]]], int, Left]:
    """Return the member `lines` of the commit's paths, how many have none for want of time or room, and what these will need."""
    journal = writer.journal
    dead = dead_calls(journal, repo)
    if dead:
        from ledger.recording.effects import give_up  # hardly ever

        give_up(journal, repo, dead, making.clock_ms(), budget_ms=0)
    snapshots = Snapshots(journal, repo, making.clock_ms())
    made = how_made(journal, repo, facts.oid) if making.via != "spool" else ""
    if call is None and any(making.claims):
        made = ""  # the environment is an agent's, and none of its calls was seen: whose the rest is, nobody knows
    others = writing_calls(journal, repo, making.clock_ms())
    rest = judge_rest(journal, repo, call, others, made)
    budget_s = int(writer.settings.get("lines_ms", LINES_MS)) / 1000
    left = Left(rest, snapshots.newest_id())
    found, count = lines_of_commit(snapshots, facts, added, rest, budget_s) if added else ({}, 0)
    note_committed(snapshots, facts)
    snapshots.sweep()
    snapshots.close()
    return found, count, left


def _made_in(writer: Writer, repo: GitDir, making: Making) -> tuple[Call | None, dict[str, str], list[int]]:
    """Return the call that a commit was made in, how that is known, and the calls that were open where it is not clear.

    0. the environment names an open call or its session, and the hook descends from another's agent: not believed
    1. the environment names an open call: claim and observation agree
    2. the environment names a session: its one open call of this work tree
    3. the hook descends from the process that started an open call's hook
    4. seen from the agent's side: the one call that was open when HEAD moved
    A commit by hook that descends from no open call's agent is a person's, even while a call runs.
    """
    journal, claims = writer.journal, making.claims
    candidates = committing_calls(journal, repo, making.clock_ms())
    if making.elsewhere:
        return None, {}, [call.seq for call in candidates]
    # In a sandbox with processes of its own nothing is seen of them, and the claim is all there is.
    own = {call.seq for call in candidates if set(call.ancestors) & set(making.ancestors or ())}
    everybody = [call.seq for call in candidates]
    named = find_call(journal, claims.session, claims.call) if claims.session and claims.call else None
    if claims.session and not any(call.session == claims.session for call in candidates):
        candidates += calls_of_session(journal, claims.session, making.clock_ms())  # it began in another work tree of this clone
    claimed = [named] if named else [call for call in candidates if claims.session == call.session]
    if own and claimed and not own & {call.seq for call in claimed}:
        claims, named, candidates = Claims(), None, [call for call in candidates if call.seq in own]
    if named is not None:
        return named, {}, []
    if claims.session:
        candidates = [call for call in candidates if call.session == claims.session]
    elif making.ancestors:
        candidates = [call for call in candidates if not call.ancestors or set(call.ancestors) & set(making.ancestors)]
    if len(candidates) == 1:
        only = candidates[0]
        return only, {"call": "inferred"} if claims.session else {"session": "inferred", "call": "inferred"}, []
    return None, {}, everybody


def _judge_trailers(writer: Writer, message: bytes) -> list[dict[str, Any]]:
    """Say of each `Ledger-Entry` line that names this log whether the log had that head."""
    judged: list[dict[str, Any]] = []
    for line, head in find_trailers(message.decode("utf-8", "replace"))[:100]:
        item: dict[str, Any] = {"line": line[:300]}
        if head is not None and head.log == writer.journal.log:
            row = writer.journal.one("SELECT bytes FROM record WHERE seq = ?", (head.seq,))
            item["genuine"] = row is not None and hashlib.sha256(row[0]).hexdigest() == head.hash and format_head(head) == line
        judged.append(item)
    return judged


def split_paths(paths: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Return the paths in parts that each fit an entry."""
    parts: list[list[dict[str, Any]]] = [[]]
    size = 0
    for item in paths:
        cost = 200 + 6 * len(str(item["path"])) + 8 * len(item["calls"]) + 80 * len(item.get("lines", ()))
        if parts[-1] and size + cost > _MAX_PATHS_BYTES:
            parts.append([])
            size = 0
        parts[-1].append(item)
        size += cost
    return parts
