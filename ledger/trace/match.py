"""The ladder: how a commit is found in the logs, from its very id down to its blobs. The rung that held is part of the answer.

    exact           a commit.recorded names this id
    rewrite-map     a commit.rewritten, as git told it, says that a recorded commit became this one
    trailer         a `Ledger-Entry` line in the message names an entry here, and a commit.recorded after it bears that line
    patch-id        a recorded commit makes the same change
    range-patch-id  the commits from the merge base up to a recorded one make the same change together: a forge's squash
    tree            a recorded commit left the same tree
    blobs           recorded commits left the same files at the same paths

Below the first two, somebody may have arranged the likeness (anyone can copy a trailer), so the answer says what it rests on. Where
commits were rewritten, each recorded predecessor counts: the commit holds what all of them changed. Where several recorded commits
fit equally well, the match is ambiguous: all of them are candidates, and none is chosen.
"""

from __future__ import annotations

from typing import NamedTuple

from ledger.core.entry import Entry
from ledger.core.trailer import Head, find_trailers, format_head
from ledger.repo.commits import CommitFacts
from ledger.repo.compare import Comparer
from ledger.trace import likeness
from ledger.trace.logs import Logs
from ledger.trace.model import MatchedBy
from ledger.trace.recorded import Recorded, commit_parts, distinct, find_recorded, is_first_part, linked_paths

__all__ = ["RUNGS", "Match", "Recorded", "commit_parts", "describe_match", "match_commit"]

RUNGS = ("exact", "rewrite-map", "trailer", "patch-id", "range-patch-id", "tree", "blobs", "none")
# What each rung is worth where it is not ambiguous: `certain` is as much as the log's verdict, `strong` is equal content, `weak` is
# what anybody could have written or what the end says of the way.
CONFIDENCE = {
    "exact": "certain",
    "rewrite-map": "certain",
    "trailer": "weak",
    "patch-id": "strong",
    "range-patch-id": "strong",
    "tree": "weak",
    "blobs": "weak",
    "none": "none",
}
MAX_CANDIDATES = 20  # that an ambiguous answer lists
_MAX_REWRITES = 10_000


class Match(NamedTuple):
    """The rung that held, the recorded commits with the closest first, and what a reader must know about it.

    `confidence` is `certain`, `strong`, `weak`, `ambiguous` or `none`. Of an ambiguous match `recorded` are the candidates: which
    of them it is, is not known. `linked_by` names the entry in which `ledger link` wrote the match down, where it rests on that.
    `origins` are further recorded commits that the content may come from, though the commit itself was recorded: it was picked,
    squashed or reverted by somebody whose doing it was no call's. Of a commit on no rung they are ancestors that made the same
    change, which was made once more. Nothing is theirs but what their content bears out.
    """

    rung: str
    recorded: tuple[Recorded, ...]
    notes: tuple[str, ...]
    confidence: str = "none"
    linked_by: str | None = None
    origins: tuple[Recorded, ...] = ()

    @property
    def is_ambiguous(self) -> bool:
        """Whether several recorded commits fit equally well."""
        return self.confidence == "ambiguous"


class _Older(NamedTuple):
    """A recorded predecessor: `rung` is `rewrite-map`, or that of the weakest link on the way, which `entry` wrote down."""

    recorded: Recorded
    rung: str
    entry: str | None
    claimed: bool


def match_commit(compare: Comparer, logs: Logs, facts: CommitFacts) -> Match:
    """Find the commit of `facts` in `logs`."""
    notes: list[str] = []
    exact = find_recorded(logs, "oid", facts.oid)
    older = _find_older(logs, facts.oid)
    told = [item.recorded for item in older if item.rung == "rewrite-map"]
    if exact:
        closest = _choose(exact, facts, "This commit was recorded more than once", notes)
        origins = () if told or _is_a_calls(closest) else tuple(likeness.find_origins(compare, logs, facts, closest))
        return Match("exact", (closest, *told), tuple(notes), "certain", None, origins)
    if told:
        notes.append("The commit itself was not recorded; those it was rewritten from were.")
        claimed = any(item.claimed for item in older)
        if claimed:
            notes.append("Which commit became which is what a hook left in the spool: claimed, not observed.")
        return Match("rewrite-map", tuple(told), tuple(notes), "strong" if claimed else "certain")
    if older:
        return _linked(older)
    if facts.parents and facts.oid in compare.borders:
        notes.append("The history is shallow here and ends at this commit, so its change cannot be held against recorded ones.")
        facts = facts._replace(paths=(), patch_id="")
    return _climb(compare, logs, facts, notes)


def _is_a_calls(recorded: Recorded) -> bool:
    """Say whether all that the commit changed is tied to calls: then its content comes from nowhere else."""
    return all(path.get("calls") for path in linked_paths(recorded))


def describe_match(match: Match) -> MatchedBy:
    """Return how the commit was found. Of an ambiguous match no recorded commit is named as the one."""
    told: MatchedBy = {
        "rung": match.rung,
        "recorded_oid": match.recorded[0].oid if match.recorded and not match.is_ambiguous else None,
        "confidence": match.confidence,
    }
    if match.is_ambiguous:
        told["candidates"] = [{"oid": item.oid, "entry": item.log.ref(item.entry.seq)} for item in match.recorded]
    if match.linked_by is not None:
        told["linked_by"] = match.linked_by
    return told


def _climb(compare: Comparer, logs: Logs, facts: CommitFacts, notes: list[str]) -> Match:
    borne, sure = _by_trailer(compare, logs, facts, notes)
    if borne:
        notes.append("The match rests on a Ledger-Entry line in the message, which anybody can copy.")
        return Match("trailer", tuple(borne), tuple(notes), "strong" if sure else "weak")
    searches = (
        ("patch-id", likeness.same_patch, "makes this change", "equal changes"),
        ("range-patch-id", likeness.same_range, "ends a range that makes this change", "the equal change of a range of commits"),
        ("tree", likeness.same_tree, "left this tree", "equal trees"),
        ("blobs", likeness.same_blobs, "left these files", "equal files at equal paths"),
    )
    for rung, search, what, on in searches:
        found = search(compare, logs, facts)
        if found.candidates:
            return _settle(rung, found, facts, what, on, [*notes, *found.notes])
    notes.append("No log on this machine recorded this commit.")
    return Match("none", (), tuple(notes), "none", None, tuple(likeness.made_before(compare, logs, facts)))


def _settle(rung: str, found: likeness.Likeness, facts: CommitFacts, what: str, on: str, notes: list[str]) -> Match:
    """Return the match of what one rung found: one commit with those it stands for, or the candidates."""
    together = found.candidates
    if len({item.oid for item in together}) > 1:
        listed = ", ".join(f"{item.oid[:12]} ({item.log.ref(item.entry.seq)})" for item in together[:MAX_CANDIDATES])
        more = "" if len(together) <= MAX_CANDIDATES else f" and {len(together) - MAX_CANDIDATES} more"
        notes.append(f"More than one recorded commit {what}, so the match is ambiguous: {listed}{more}.")
        return Match(rung, tuple(together[:MAX_CANDIDATES]), tuple(notes), "ambiguous")
    closest = _choose(together, facts, f"More than one recorded commit {what}", notes)
    notes.append(f"The match rests on {on}: {closest.oid} was recorded, this commit was not.")
    return Match(rung, tuple(distinct([closest, *found.others])), tuple(notes), CONFIDENCE[rung])


def _linked(older: list[_Older]) -> Match:
    """Return the match that `ledger link` wrote down; it is worth what its rung is, whoever wrote it down."""
    rung = max((item.rung for item in older), key=RUNGS.index)
    entry = next((item.entry for item in older if item.entry), None)
    note = f"The commit itself was not recorded; {entry} says that `ledger link` matched it by its {rung}."
    return Match(rung, tuple(distinct([item.recorded for item in older])), (note,), CONFIDENCE[rung], entry)


def _choose(found: list[Recorded], facts: CommitFacts, what: str, notes: list[str]) -> Recorded:
    """Return the best of several records: of the same change, then made in a session, then of this clone's log, then the newest."""
    ranked = sorted(
        enumerate(found),
        key=lambda item: (
            item[1].entry.body.get("patch_id") != facts.patch_id,
            item[1].entry.session is None,
            item[1].log is not found[0].log,
            -item[1].entry.seq,
        ),
    )
    best = ranked[0][1]
    if len(found) > 1:
        others = ", ".join(item.log.ref(item.entry.seq) for _, item in ranked[1:6])
        notes.append(f"{what}, so the match is ambiguous: {best.log.ref(best.entry.seq)} is shown; also {others}.")
    return best


# The rewrite map


def _find_older(logs: Logs, oid: str) -> list[_Older]:
    """Return the recorded commits that became `oid`, by whatever number of rewrites, the latest first.

    What git told counts before what `ledger link` found; the index only says where to look, each step is read from its record.
    """
    seen, found = {oid}, []
    waiting: list[tuple[str, str, str | None, bool]] = [(oid, "rewrite-map", None, False)]
    while waiting and len(seen) < _MAX_REWRITES:
        new, rung, entry, claimed = waiting.pop(0)
        for old, step, by, said in sorted(_steps_to(logs, new), key=lambda item: item[1] != "rewrite-map"):
            if old in seen:
                continue
            seen.add(old)
            weakest = max(rung, step, key=RUNGS.index)
            waiting.append((old, weakest, entry or by, claimed or said))
            found += [_Older(item, weakest, entry or by, claimed or said) for item in find_recorded(logs, "oid", old)[:1]]
    return found


def _steps_to(logs: Logs, new: str) -> list[tuple[str, str, str | None, bool]]:
    """Return (old, rung, linking entry, claimed) of each step that some entry says led to `new`."""
    steps: list[tuple[str, str, str | None, bool]] = []
    for log in logs.related():
        for seq, old in log.index.rewrites_to(new):
            for entry in log.entries([seq], "commit.rewritten"):
                item = next((item for item in _rewrites(entry) if item.get("old") == old and item.get("new") == new), None)
                if item is None:
                    continue
                if entry.body.get("how") == "link":
                    rung = str(item.get("rung"))
                    steps.append((old, rung if rung in RUNGS[2:-1] else "blobs", log.ref(seq), False))
                else:
                    basis = entry.body.get("basis")
                    claimed = isinstance(basis, dict) and basis.get("rewrites") == "claimed"
                    steps.append((old, "rewrite-map", None, claimed))
    return steps


def _rewrites(entry: Entry) -> list[dict[str, object]]:
    found = entry.body.get("rewrites")
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


# Lines in the message


def _by_trailer(compare: Comparer, logs: Logs, facts: CommitFacts, notes: list[str]) -> tuple[list[Recorded], bool]:
    """Return the commits that the message's lines lead to, and whether each of them is borne out by content that is in this one."""
    found: list[Recorded] = []
    for line, head in dict(find_trailers(facts.message.decode("utf-8", "replace"))).items():
        if head is None:
            continue
        log = logs.named(head.log)
        if log is None:
            notes.append(f"A line of its message names the log {head.log}, which is not on this machine.")
        elif not log.has(head):
            notes.append(f"A line of its message names {log.ref(head.seq)} with a hash that is not that entry's.")
        else:
            found.extend(_bearing(compare, logs, line, head, facts, notes))
    found = distinct(found)
    return found, bool(found) and all(likeness.shares_content(item, facts) for item in found)


def _bearing(compare: Comparer, logs: Logs, line: str, head: Head, facts: CommitFacts, notes: list[str]) -> list[Recorded]:
    """Return the commit that was recorded after `head` with this very line: the line itself only says where the log was."""
    log = logs.named(head.log)
    assert log is not None
    later = log.index.of_kind("commit.recorded", after=head.seq)
    bearing = [Recorded(log, entry) for entry in log.entries(later) if line in _lines(entry) and is_first_part(entry)]
    if not bearing:
        notes.append(f"A line of its message says the log was at {format_head(head)[:49]}…; no commit recorded since bears it.")
        return []
    bearing = likeness.drop_rewritten(logs, bearing)  # an amend keeps the line
    if not (bearing := likeness.not_before(compare, bearing, facts)):
        notes.append("A line of its message is that of a commit which this one descends from, and so did not become it.")
        return []
    return [_choose(bearing, facts, "More than one recorded commit bears the line", notes)]


def _lines(entry: Entry) -> list[str]:
    trailers = entry.body.get("trailers")
    if not isinstance(trailers, list):
        return []
    return [item["line"] for item in trailers if isinstance(item, dict) and isinstance(item.get("line"), str)]
