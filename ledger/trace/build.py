"""`build_trace`: the eight answers for one commit, from git and the logs of this machine (docs/trace.md).

1. what git says of the commit          4. what ran, was approved, and what bounded it
2. where the logs know it from          5. which paths changed, and which calls left them so
3. who asked, what was planned          6. what could not be established
"""

from __future__ import annotations

from typing import Any

from ledger.core.text import format_path, parse_path
from ledger.errors import FormatError, RepoError
from ledger.index.rows import path_key
from ledger.repo.commits import CommitFacts, PathChange, is_oid, read_commit
from ledger.repo.git import run_git
from ledger.repo.gitdir import GitDir
from ledger.trace.answers import (
    Unknown,
    build_approvals,
    build_asked,
    build_boundary,
    build_network,
    build_planned,
    build_ran,
)
from ledger.trace.likeness import shares_content
from ledger.trace.logs import Log, Logs
from ledger.trace.match import Match, describe_match, match_commit
from ledger.trace.model import Changed, Commit, LinkedLines, Trace
from ledger.trace.people import describe_commit
from ledger.trace.recorded import linked_paths
from ledger.trace.window import Window, find_windows

_LINKS = ("none", "inferred", "partial", "exact")


def resolve_commit(repo: GitDir, revision: str) -> str | None:
    """Return the id of the commit that `revision` names in any way git understands, or None."""
    if "\0" in revision or not revision:
        return None
    named = _rev_parse(repo, revision)  # in two steps, for `:/words^{commit}` would look for "words^{commit}" in messages
    oid = _rev_parse(repo, f"{named}^{{commit}}") if named else None
    return oid if is_oid(oid) else None  # `^HEAD` names what is left out: git answers with the mark before the id


def _rev_parse(repo: GitDir, name: str) -> str | None:
    args = ["rev-parse", "--verify", "--quiet", "--end-of-options", name]
    return run_git(args, cwd=repo.git_dir, check=False).decode("ascii", "replace").strip() or None


def build_trace(repo: GitDir, logs: Logs, oid: str, verdict: str = "unchecked") -> Trace:
    """Return the eight answers for the commit `oid`. Raises RepoError where git cannot read it, StoreError for damaged journals."""
    facts = read_commit(repo, oid)
    if facts is None:
        raise RepoError(f"the commit {oid} cannot be read", remedy="fetch it, or run `git fsck`")
    match = match_commit(repo, logs, facts)
    borne_out = [item for item in match.origins if shares_content(item, facts)]
    windows = find_windows((*match.recorded, *borne_out))
    unknown, contradictions = Unknown(), Unknown()
    for sentence in (*logs.missing, *match.notes):
        unknown.say(sentence)
    if borne_out:
        names = ", ".join(item.oid[:12] for item in borne_out[:5])
        unknown.say(f"Content of it was recorded before, in {names}: that it was taken from there is inferred from what is equal.")
    trace: Trace = {
        "commit": _build_commit(repo, facts),
        "match": describe_match(match),
        "verdict": verdict,
        "asked": [item for window in windows for item in build_asked(window, unknown)],
        "planned": [item for window in windows for item in build_planned(window, unknown)],
        "ran": [item for window in windows for item in build_ran(window, unknown)],
        "approvals": [item for window in windows for item in build_approvals(window, unknown, contradictions)],
        "network": [item for window in windows for item in build_network(window, unknown)],
        "boundary": [item for window in windows for item in build_boundary(window)],
        "changed": _build_changed(repo, facts, match, unknown),
        "unknown": unknown,
        "contradictions": contradictions,
    }
    if match.recorded:
        _say_what_is_missing(trace, match, windows, unknown)
    for log in {item.log.name: item.log for item in match.recorded}.values():
        for doubt in log.doubts:
            unknown.say(doubt)
    trace["contradictions"], trace["unknown"] = list(contradictions), list(unknown)
    return trace


# The commit itself


def _build_commit(repo: GitDir, facts: CommitFacts) -> Commit:
    return describe_commit(facts.oid, run_git(["cat-file", "commit", facts.oid], cwd=repo.git_dir))


# What changed


def _build_changed(repo: GitDir, facts: CommitFacts, match: Match, unknown: Unknown) -> list[Changed]:
    """Return the commit's paths as git has them, each with the links that its records give it.

    In a shallow clone git takes a commit at the border for one that adds every file; then the record's own list is shown.
    """
    paths = list(facts.paths)
    counts = _count_lines(repo, facts)
    if _is_border(repo, facts):
        unknown.say("The history is shallow here and ends at this commit, so what it changed is as its record says.")
        paths = [_recorded_change(path) for item in match.recorded[:1] for path in linked_paths(item)]
        counts = {}
    links = _Links(match)
    changed: list[Changed] = []
    for change in paths:
        added, deleted = counts.get(change.path, (None, None))
        link, calls, lines = links.of(change)
        changed.append(
            {
                "path": format_path(change.path),
                "status": change.status,
                "added": added,
                "deleted": deleted,
                "link": link,
                "calls": calls,
                "lines": lines,
            }
        )
    return changed


class _Links:
    """What the recorded commits say of paths. A later one wins, and a link holds only for the blob that it was made for."""

    def __init__(self, match: Match) -> None:
        self.ambiguous = match.is_ambiguous
        self.by_path: dict[str, list[tuple[Log, dict[str, Any]]]] = {}
        self.by_origin: dict[str, list[tuple[Log, dict[str, Any]]]] = {}
        for item in match.recorded:
            for path in linked_paths(item):
                self.by_path.setdefault(path_key(path.get("path")), []).append((item.log, path))
        for item in match.origins:
            for path in linked_paths(item):
                self.by_origin.setdefault(path_key(path.get("path")), []).append((item.log, path))

    def of(self, change: PathChange) -> tuple[str, list[str], list[LinkedLines]]:
        """Return link, calls and lines of one path."""
        best: tuple[str, list[str], list[LinkedLines]] = ("none", [], [])
        calls: dict[str, None] = {}
        key = path_key(format_path(change.path))
        # Where content comes from says something of a path only where it is equal, and where nothing better is known.
        equal = [item for item in self.by_origin.get(key, []) if item[1].get("blob") == change.blob is not None]
        own = self.by_path.get(key, [])
        for log, path in own if any(path.get("calls") for _, path in own) else (*own, *equal):
            said = path.get("link")
            link = said if isinstance(said, str) and said in _LINKS else "none"
            same = path.get("blob") == change.blob
            if not same and link == "exact":
                link = "partial"  # the call left something else than what is in this commit
            if self.ambiguous and link in ("exact", "partial"):
                link = "inferred"  # which of the candidates it is, is not known
            found = [log.ref(seq) for seq in _seqs(path.get("calls"))]
            calls.update(dict.fromkeys(found))
            if _LINKS.index(link) > _LINKS.index(best[0]):
                best = (link, found, _lines(log, path) if same else [])
        return best[0], list(calls), best[2]


def _lines(log: Log, path: dict[str, Any]) -> list[LinkedLines]:
    found: list[LinkedLines] = []
    lines = path.get("lines")
    for item in lines if isinstance(lines, list) else []:
        if not isinstance(item, dict):
            continue
        span, call = _seqs(item.get("range")), _seqs([item.get("call")])
        if len(span) == 2 and call:
            found.append({"range": span, "call": log.ref(call[0])})
    return found


def _seqs(value: Any) -> list[int]:
    if not isinstance(value, list):
        return []
    return [item for item in value if isinstance(item, int) and not isinstance(item, bool) and item >= 0]


def _recorded_change(path: dict[str, Any]) -> PathChange:
    blob = path.get("blob")
    try:
        name = parse_path(path.get("path"))
    except FormatError:
        name = b"?"
    return PathChange(str(path.get("status")), name, blob if isinstance(blob, str) else None)


def _count_lines(repo: GitDir, facts: CommitFacts) -> dict[bytes, tuple[int | None, int | None]]:
    """Return (added, deleted) by path against the first parent, from `--numstat -z`: `added TAB deleted TAB path NUL`."""
    args = ["diff-tree", "-r", "--root", "--no-commit-id", "--no-renames", "--no-ext-diff", "--no-textconv", "--numstat", "-z"]
    names = [facts.parents[0], facts.oid] if len(facts.parents) > 1 else [facts.oid]
    counts: dict[bytes, tuple[int | None, int | None]] = {}
    for field in run_git([*args, *names], cwd=repo.git_dir, check=False).split(b"\0"):
        added, _, rest = field.partition(b"\t")
        deleted, tab, path = rest.partition(b"\t")
        if tab:
            counts[path] = (int(added) if added.isdigit() else None, int(deleted) if deleted.isdigit() else None)
    return counts


def _is_border(repo: GitDir, facts: CommitFacts) -> bool:
    """Say whether git was told to forget this commit's parents (`$GIT_DIR/shallow`)."""
    if not facts.parents:
        return False
    said = run_git(["rev-list", "--max-count=1", "--parents", facts.oid], cwd=repo.git_dir, check=False)
    return len(said.split()) == 1


# What could not be established


def _say_what_is_missing(trace: Trace, match: Match, windows: list[Window], unknown: Unknown) -> None:
    agents = sorted({name for name in (call["agent"] for call in (*trace["asked"], *trace["ran"])) if name})
    who = " and ".join(agents) or "the agent"
    closest = match.recorded[0].entry
    _say_silence(match, unknown)
    if not windows or not any(window.sessions for window in windows):
        unknown.say("No agent session is on record for this commit: a person made it, or it was made where nothing was recorded.")
        return
    if closest.session is None:
        unknown.say("The commit was not made in a recorded call; the sessions are those whose calls left what it changed.")
    if not any(item["who"]["basis"] != "agent" for item in trace["asked"]):
        unknown.say("No prompt was recorded.")
    elif any(item["who"]["basis"] == "asserted" for item in trace["asked"]):
        unknown.say("Who asked is what git's configuration and the operating system say of this account; nobody was authenticated.")
    if not trace["planned"]:
        unknown.say(f"No plan was recorded: {who} made none, or did not show it.")
    if trace["ran"] and not trace["approvals"]:
        unknown.say(f"No approval was recorded: none was needed, or {who} did not report it.")
    if not trace["network"]:
        unknown.say(f"Which network connections were made or refused is not on record: {who} reports none to its hooks.")
    if all(item["mode"] is None for item in trace["boundary"]):
        unknown.say(f"Which sandbox held is not on record{_permission_modes(windows)}.")
    loose = sum(path["link"] in ("none", "inferred") for path in trace["changed"])
    if loose:
        unknown.say(f"{loose} of {len(trace['changed'])} changed paths could not be tied to a call that left them so.")
    claims = closest.body.get("claims")
    if isinstance(claims, dict) and closest.session is None:
        unknown.say("The commit's environment claimed to be inside an agent's call; no call that was open confirms it.")
    for window in windows:
        _say_gaps(window, unknown)


def _say_silence(match: Match, unknown: Unknown) -> None:
    """Say which session the commit's environment names that no hook told of."""
    for item in match.recorded:
        claims = item.entry.body.get("claims")
        session = claims.get("session") if isinstance(claims, dict) else None
        if isinstance(session, str) and isinstance(claims, dict) and not item.log.index.of_session(session):
            agent = str(claims.get("agent") or "an agent")
            unknown.say(
                f"The commit's environment names a session of {agent} of which no hook told: they were off, or they failed."
            )


def _permission_modes(windows: list[Window]) -> str:
    entries = [entry for window in windows for entry in window.entries]
    modes = {str(entry.body["permission_mode"]) for entry in entries if entry.body.get("permission_mode")}
    return f" (permission mode {', '.join(sorted(modes))} says what was asked for, not what held)" if modes else ""


def _say_gaps(window: Window, unknown: Unknown) -> None:
    log = window.log
    for entry in log.entries(log.index.of_kind("gap.noted", after=window.first, before=window.last + 1)):
        count, reason = entry.body.get("count"), entry.body.get("reason")
        unknown.say(f"{log.ref(entry.seq)} notes a gap: {count} not recorded ({reason}).")
    for entry in log.entries(log.index.of_kind("recording.paused", after=window.first, before=window.last + 1)):
        unknown.say(f"Recording was paused at {log.ref(entry.seq)}; what happened until it was resumed is not on record.")
