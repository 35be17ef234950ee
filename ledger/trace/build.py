"""`build_trace`: the eight answers for one commit, from git and the logs of this machine (docs/trace.md).

1. what git says of the commit          4. what ran, was approved, and what bounded it
2. where the logs know it from          5. which paths changed, and which calls left them so
3. who asked, what was planned          6. what could not be established
"""

from __future__ import annotations

from ledger.errors import RepoError
from ledger.repo.commits import CommitFacts, is_oid, read_commit
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
from ledger.trace.attribution import Attribution
from ledger.trace.changed import build_changed
from ledger.trace.likeness import shares_content
from ledger.trace.logs import Logs
from ledger.trace.match import Match, describe_match
from ledger.trace.matching import Commits
from ledger.trace.model import Commit, Trace
from ledger.trace.people import describe_commit
from ledger.trace.recorded import Recorded
from ledger.trace.window import Window, find_windows, line_calls


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
    commits = Commits(repo, logs)
    match = commits.find(facts)
    of_changes = Unknown()
    with Attribution(commits) as attribution:
        changed = build_changed(attribution, facts, of_changes)
    named = {part["call"] for path in changed for part in path["lines"]}
    borne_out = [item for item in match.origins if shares_content(item, facts) or _wrote(item) & named]
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
        "changed": changed,
        "unknown": unknown,
        "contradictions": contradictions,
    }
    for sentence in of_changes:
        unknown.say(sentence)
    if match.recorded:
        _say_what_is_missing(trace, match, windows, unknown)
    for log in {item.log.name: item.log for item in match.recorded}.values():
        for doubt in log.doubts:
            unknown.say(doubt)
    trace["contradictions"], trace["unknown"] = list(contradictions), list(unknown)
    return trace


def _wrote(recorded: Recorded) -> set[str]:
    """Return the names of the calls to which a record gives lines."""
    return {recorded.log.ref(seq) for seq in line_calls(recorded)}


# The commit itself


def _build_commit(repo: GitDir, facts: CommitFacts) -> Commit:
    return describe_commit(facts.oid, run_git(["cat-file", "commit", facts.oid], cwd=repo.git_dir))


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
