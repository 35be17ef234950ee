"""What was decided about one call, over all surfaces: statements that agree made one, statements that do not made findings.

Hooks see that leave was asked for, the transcript and the telemetry who gave it. Two statements agree where the decision is the
same and neither's decider or scope, unless merely concluded, is another than the other's. Of those that agree the one that knows
most stands for all. Nothing is chosen silently: what does not agree is said in `contradictions`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ledger.core.entry import Entry
from ledger.trace.logs import Log

_RAN = frozenset({"finished", "failed"})
_SURFACES = {
    "hook": "the hooks",
    "transcript": "the transcript",
    "otel": "the telemetry",
    "mcp": "the MCP proxy",
    "cli": "a program",
}


def merge(decisions: Iterable[Entry]) -> list[Entry]:
    """Return the decisions of one call without those that only repeat another, in the order of the log."""
    kept: list[Entry] = []
    for entry in sorted(decisions, key=_worth, reverse=True):
        if not any(_agree(entry, other) for other in kept):
            kept.append(entry)
    return sorted(kept, key=lambda entry: entry.seq)


def find_contradictions(log: Log, decisions: Sequence[Entry], result: Entry | None) -> list[str]:
    """Return in words what the surfaces say differently of one call, and what its result says otherwise."""
    found = []
    by_source: dict[str, list[Entry]] = {}
    for entry in decisions:
        by_source.setdefault(entry.source, []).append(entry)
    sources = sorted(by_source)
    for number, first in enumerate(sources):
        for second in sources[number + 1 :]:
            for mine in by_source[first]:
                # A call may be decided about twice (a rule first, then a person): what the other surface has as well is no quarrel.
                if any(_agree(mine, other) for other in by_source[second]):
                    continue
                others = [other for other in by_source[second] if not any(_agree(other, own) for own in by_source[first])]
                found += [_disagree(log, mine, other) for other in others]
    said = {_text(entry, "decision") for entry in decisions}
    outcome = _text(result, "outcome") if result is not None else None
    if result is not None and said == {"denied"} and outcome in _RAN and not result.body.get("refused"):
        last = decisions[-1]
        found.append(f"{_who(log, last)} says that the call was denied; {_who(log, result)} says that it ran ({outcome}).")
    if result is not None and said == {"approved"} and outcome == "denied":
        last = decisions[-1]
        found.append(f"{_who(log, last)} says that the call was approved; {_who(log, result)} says that it was denied.")
    return list(dict.fromkeys(found))


def said_otherwise(log: Log, entry: Entry) -> str | None:
    """Return in words what one surface said of a call against what another had recorded (a `message.sent` of the recorder's)."""
    if entry.kind != "message.sent" or entry.body.get("event") != "contradiction" or entry.cause is None:
        return None
    recorded = log.entry(entry.cause)
    if recorded is None:
        return None
    member = _text(entry, "member") or "outcome"
    return f"{_who(log, recorded)} says {member} {_text(recorded, member)}; {_who(log, entry)} says {_text(entry, 'said')}."


def _agree(first: Entry, second: Entry) -> bool:
    if _text(first, "decision") != _text(second, "decision"):
        return False
    deciders = {_text(first, "decider") or "unknown", _text(second, "decider") or "unknown"} - {"unknown"}
    scopes = {_text(entry, "scope") for entry in (first, second) if _knows_scope(entry)}
    return len(deciders) < 2 and len(scopes) < 2


def _knows_scope(entry: Entry) -> bool:
    """Say whether a statement's scope is worth comparing: whoever does not know who decided does not know for how long."""
    return _text(entry, "decider") not in (None, "unknown") and not _is_concluded(entry, "scope")


def _worth(entry: Entry) -> tuple[int, int, int, int]:
    known = _text(entry, "decider") not in (None, "unknown")
    return int(known), int(_knows_scope(entry)), len(entry.payloads), -entry.seq


def _is_concluded(entry: Entry, member: str) -> bool:
    basis = entry.body.get("basis")
    return isinstance(basis, dict) and basis.get(member) == "inferred"


def _disagree(log: Log, first: Entry, second: Entry) -> str:
    return f"{_who(log, first)} says {_words(first)}; {_who(log, second)} says {_words(second)}."


def _words(entry: Entry) -> str:
    decider, scope = _text(entry, "decider") or "unknown", _text(entry, "scope")
    return f"{_text(entry, 'decision') or 'unknown'} by {decider}" + (f" for {scope}" if scope else "")


def _who(log: Log, entry: Entry) -> str:
    surface = _SURFACES.get(entry.source, entry.source)
    return f"{surface[0].upper()}{surface[1:]} ({log.ref(entry.seq)})"


def _text(entry: Entry | None, member: str) -> str | None:
    value = entry.body.get(member) if entry is not None else None
    return value if isinstance(value, str) and value else None
