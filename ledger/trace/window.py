"""Which entries led to a commit: what the sessions concerned did since their commit before it.

A session is concerned when the commit was made in one of its calls, or when a changed path is linked to one of its calls. Its
window runs from its previous commit (exclusive) to the end of the call that made this one; where that commit is the turn's last, to
the end of the turn, for what an agent does after its last commit belongs to no other. Calls that the paths are linked to, or that
wrote their lines, belong however old, and so does what is recorded later about a call of the window: who approved it, what the
sandbox refused. The newest prompt and plan before the commit belong too, even if they are older than the window: one prompt may
lead to many commits.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from ledger.core.entry import Entry
from ledger.trace.attribution import parse_ranges
from ledger.trace.logs import Log
from ledger.trace.recorded import Recorded, is_later, linked_paths

_PERSISTENT = ("prompt.submitted", "plan.updated", "boundary.declared")
_OF_CALLS = ("approval.requested", "approval.decided", "network.decided", "boundary.hit", "tool.finished", "message.sent")


class Window(NamedTuple):
    """The entries of one log that led to the commit, in order; `first` and `last` bound them for what bears no session."""

    log: Log
    sessions: tuple[str, ...]
    entries: tuple[Entry, ...]
    first: int
    last: int


def find_windows(recorded: Iterable[Recorded]) -> list[Window]:
    """Return one window a log for all of the recorded commits that count."""
    seqs: dict[str, set[int]] = {}
    sessions: dict[str, dict[str, None]] = {}
    logs: dict[str, Log] = {}
    for item in recorded:
        name = item.log.name
        logs[name] = item.log
        sessions.setdefault(name, {}).update(dict.fromkeys(concerned_sessions(item)))
        for session in _working_sessions(item):
            seqs.setdefault(name, set()).update(_session_seqs(item, session))
        seqs.setdefault(name, set()).update(_linked_seqs(item))
        seqs[name].update(_line_seqs(item))
        seqs[name].update(_own_call_seqs(item))
        seqs[name].update(_rest_of_turn(item))
    for name, log in logs.items():
        seqs[name] |= _about(log, seqs[name])
        seqs[name] |= _in_time(log, seqs[name], sessions.get(name, {}))
    windows = []
    for name, log in logs.items():
        entries = tuple(log.entries(sorted(seqs[name])))
        if entries:
            windows.append(Window(log, tuple(sessions.get(name, ())), entries, entries[0].seq, entries[-1].seq))
    return windows


def concerned_sessions(item: Recorded) -> list[str]:
    """Return the session that the commit was made in, and those whose calls its paths and their lines are linked to."""
    lines = item.log.entries(line_calls(item), "tool.requested")
    return list(dict.fromkeys([*_working_sessions(item), *(entry.session for entry in lines if entry.session)]))


def _working_sessions(item: Recorded) -> list[str]:
    """Return the sessions whose work since their commit before led to this one.

    Not those of which it only has lines: they may be old, renamed by a person, and what the session does by now is another thing.
    """
    calls = item.log.entries(_linked_calls(item))
    return list(dict.fromkeys(session for session in (item.entry.session, *(entry.session for entry in calls)) if session))


def line_calls(item: Recorded) -> list[int]:
    """Return the requests of the calls that wrote lines of the commit, as its record says."""
    spans = (span for path in linked_paths(item) for span in parse_ranges(path.get("lines")))
    return list(dict.fromkeys(span.call for span in spans if span.call is not None and span.call < item.entry.seq))


def _linked_calls(item: Recorded) -> list[int]:
    seqs: dict[int, None] = {}
    for path in linked_paths(item):
        calls = path.get("calls")
        for seq in calls if isinstance(calls, list) else []:
            if isinstance(seq, int) and not isinstance(seq, bool) and 0 <= seq < item.entry.seq:
                seqs[seq] = None
    return list(seqs)


def _session_seqs(item: Recorded, session: str) -> set[int]:
    """Return what `session` did since its previous commit, without the rest of the call that made that one."""
    log, index = item.log, item.log.index
    before = index.commit_before(session, item.entry.seq)
    # The parts of one commit follow each other; the previous commit is another one.
    while before >= 0 and (previous := log.entry(before)) is not None and previous.body.get("oid") == item.oid:
        before = index.commit_before(session, before)
    previous = log.entry(before) if before >= 0 else None
    ended_call = previous.call if previous is not None and previous.session == session else None
    seqs = {
        entry.seq
        for entry in log.entries(index.of_session(session, before, item.entry.seq))
        if ended_call is None or entry.call != ended_call
    }
    made_in = item.entry.cause if item.entry.session == session and item.entry.cause is not None else item.entry.seq
    for kind in _PERSISTENT:
        newest = next(iter(index.newest(session, kind, made_in)), None) if kind != "boundary.declared" else None
        if newest is not None:
            seqs.add(newest)
    seqs |= _bounds_before(log, session, made_in)
    asked = next(
        (entry.seq for entry in log.entries(index.newest(session, "prompt.submitted", made_in)) if is_asked(entry, log)), None
    )
    if asked is not None:
        seqs.add(asked)
    return seqs


def _bounds_before(log: Log, session: str, before: int) -> set[int]:
    """Return the newest bounds of a session, and its newest standing grants; a subagent's bounds are its own."""
    found: dict[bool, int] = {}
    for entry in log.entries(log.index.newest(session, "boundary.declared", before)):
        if "subagent" not in entry.body:
            found.setdefault("grants" in entry.body, entry.seq)
        if len(found) == 2:
            break
    return set(found.values())


def _linked_seqs(item: Recorded) -> set[int]:
    """Return the linked results, their requests, and the prompt before each of them."""
    seqs: set[int] = set()
    for entry in item.log.entries(_linked_calls(item)):
        seqs.update({entry.seq} if entry.cause is None else {entry.seq, entry.cause})
        if entry.session:
            start = entry.seq if entry.cause is None else entry.cause
            prompts = item.log.entries(item.log.index.newest(entry.session, "prompt.submitted", start))
            seqs.update({next((prompt.seq for prompt in prompts if is_asked(prompt, item.log)), entry.seq)})
    return seqs


def _line_seqs(item: Recorded) -> set[int]:
    """Return the calls that wrote the commit's lines, each with the prompt and the bounds before it."""
    seqs: set[int] = set()
    for entry in item.log.entries(line_calls(item), "tool.requested"):
        seqs.add(entry.seq)
        if entry.session:
            prompts = item.log.entries(item.log.index.newest(entry.session, "prompt.submitted", entry.seq))
            asked = next((prompt.seq for prompt in prompts if is_asked(prompt, item.log)), None)
            seqs.update(() if asked is None else (asked,))
            seqs |= _bounds_before(item.log, entry.session, entry.seq)
    return seqs


def _own_call_seqs(item: Recorded) -> set[int]:
    """Return the request and the result of the call that made the commit; the result lies behind the commit's entry."""
    cause = item.entry.cause
    return set() if cause is None else {cause, *item.log.index.answers(cause)}


def _rest_of_turn(item: Recorded) -> set[int]:
    """Return what the session did after the commit in the turn that made it, unless it went on to another commit."""
    session, turn = item.entry.session, item.entry.turn
    if not session or not turn:
        return set()
    rest = [entry for entry in item.log.entries(item.log.index.of_session(session, item.entry.seq)) if entry.turn == turn]
    if any(entry.kind == "commit.recorded" and entry.body.get("oid") != item.oid and not is_later(entry) for entry in rest):
        return set()
    return {entry.seq for entry in rest if entry.kind != "prompt.submitted"}


def is_asked(entry: Entry, log: Log) -> bool:
    """Say whether a prompt may be a person's: finished subagents and tasks submit prompts too, and say so in `origin`.

    The transcript may tell where a prompt came from after the hook told of the prompt.
    """
    told = find_origin(log, entry)
    return not entry.body.get("origin") and not (told is not None and told.body.get("origin"))


def find_origin(log: Log, entry: Entry) -> Entry | None:
    """Return what was told later of where a prompt came from."""
    answers = log.entries(log.index.answers(entry.seq), "message.sent")
    return next((told for told in answers if told.body.get("event") == "prompt-origin"), None)


def _about(log: Log, seqs: set[int]) -> set[int]:
    """Return what later entries say of the calls and requests among `seqs`: telemetry comes when it comes."""
    found: set[int] = set()
    for entry in list(log.entries(sorted(seqs), "tool.requested", "approval.requested", "prompt.submitted")):
        found.update(log.index.answers(entry.seq))
        if entry.call is not None and entry.kind != "prompt.submitted":
            same = log.entries(log.index.of_call(entry.session, entry.call), *_OF_CALLS)
            found.update(other.seq for other in same if other.turn in (entry.turn, None))
    return {entry.seq for entry in log.entries(sorted(found), *_OF_CALLS)}


def _in_time(log: Log, seqs: set[int], sessions: Collection[str]) -> set[int]:
    """Return the network decisions of no call that bear a time inside the window: they are recorded later than they were made."""
    times = [entry.at for entry in log.entries(sorted(seqs), "tool.requested", "tool.finished")]
    if not times:
        return set()
    first, last = min(times), max(times)
    entries = log.entries(log.index.of_kind("network.decided"))
    return {entry.seq for entry in entries if str(entry.session) in sessions and entry.call is None and first <= entry.at <= last}
