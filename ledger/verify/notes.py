"""What an auditor should know of the entries' own words: gaps, pauses, unknown kinds, recorded commits, erased payloads."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from ledger.core.entry import Entry
from ledger.core.kinds import KINDS
from ledger.verify.verdict import Findings

MAX_NAMED = 20  # seqs that one message lists
_DAY = timedelta(days=1)


class RecordedCommit(NamedTuple):
    """The parts of a `commit.recorded` that git can confirm. All of them are the entry's words: any type."""

    seq: int
    oid: Any
    tree: Any
    parents: Any


class Seen(NamedTuple):
    """A `log.seen`: what this log's writer saw of another log. All of it is the entry's words: any type."""

    seq: int
    log: Any
    size: Any
    root: Any
    checkpoint: Any


class Notes:
    """Looks at each entry of one log, in order, and keeps the few that matter later."""

    def __init__(self, log: str) -> None:
        self._log = log
        self.commits: list[RecordedCommit] = []
        self.disowned: set[tuple[str, str]] = set()  # (commit, trailer line's value)
        self.erased: set[tuple[int, str]] = set()  # (seq, payload name)
        self.seen: list[Seen] = []
        self._gaps: list[int] = []
        self._unknown: dict[str, list[int]] = {}
        self._reopened: list[int] = []
        self._paused: int | None = None
        self._backwards: list[tuple[int, str, str]] = []

    def take(self, entry: Entry) -> None:
        """Look at one entry whose kind is not one of the ORDINARY."""
        take = _TAKERS.get(entry.kind)
        if take is not None:
            take(self, entry)
        else:
            self._unknown.setdefault(entry.kind, []).append(entry.seq)

    def is_day_earlier(self, entry: Entry, latest: str) -> bool:
        """Say whether `entry` claims a time more than a day before `latest`, which an earlier one claimed; keep that in mind."""
        if datetime.fromisoformat(latest) - datetime.fromisoformat(entry.at) <= _DAY:
            return False
        self._backwards.append((entry.seq, latest, entry.at))
        return True

    def report(self, findings: Findings) -> None:
        """Report what was gathered: one finding for each sort, not one for each entry."""
        log = self._log
        for seq in self._reopened:
            findings.add("genesis.kind", log, seq, "log.opened occurs behind the genesis")
        if self._gaps:
            message = f"{len(self._gaps)} times something could not be recorded or understood: {_listed(self._gaps)}"
            findings.add("gap.noted", log, self._gaps[0], message)
        if self._paused is not None:
            findings.add("recording.paused", log, self._paused, "recording was paused and never resumed")
        for kind, seqs in list(self._unknown.items())[:MAX_NAMED]:
            message = f"{len(seqs)} entries of the kind {kind}, which this version does not know: {_listed(seqs)}"
            findings.add("kind.unknown", log, seqs[0], message)
        for seq, latest, at in self._backwards[:MAX_NAMED]:
            findings.add("time.backwards", log, seq, "the clock went back by more than a day", latest, at)

    def dump(self) -> dict[str, Any]:
        """Return what was gathered as JSON data, for a later run that goes on from here."""
        return {
            "commits": [list(commit) for commit in self.commits],
            "disowned": sorted(map(list, self.disowned)),
            "erased": sorted(map(list, self.erased)),
            "seen": [list(seen) for seen in self.seen],
            "gaps": self._gaps,
            "unknown": self._unknown,
            "reopened": self._reopened,
            "paused": self._paused,
            "backwards": [list(item) for item in self._backwards],
        }

    def load(self, value: Mapping[str, Any]) -> None:
        """Go on from what `dump` returned."""
        self.commits = [RecordedCommit(*item) for item in value["commits"]]
        self.disowned = {(commit, line) for commit, line in value["disowned"]}
        self.erased = {(seq, name) for seq, name in value["erased"]}
        self.seen = [Seen(*item) for item in value["seen"]]
        self._gaps, self._reopened, self._paused = list(value["gaps"]), list(value["reopened"]), value["paused"]
        self._unknown = {kind: list(seqs) for kind, seqs in value["unknown"].items()}
        self._backwards = [(seq, latest, at) for seq, latest, at in value["backwards"]]

    def _take_gap(self, entry: Entry) -> None:
        self._gaps.append(entry.seq)

    def _take_pause(self, entry: Entry) -> None:
        self._paused = entry.seq if entry.kind == "recording.paused" else None

    def _take_commit(self, entry: Entry) -> None:
        body = entry.body
        oid = body.get("oid")
        self.commits.append(RecordedCommit(entry.seq, oid, body.get("tree"), body.get("parents")))
        trailers = body.get("trailers")
        for trailer in trailers if type(trailers) is list else ():
            if type(trailer) is dict and trailer.get("genuine") is False and type(trailer.get("line")) is str and type(oid) is str:
                self.disowned.add((oid, trailer["line"]))

    def _take_seen(self, entry: Entry) -> None:
        body = entry.body
        self.seen.append(Seen(entry.seq, body.get("log"), body.get("size"), body.get("root"), body.get("checkpoint")))

    def _take_opening(self, entry: Entry) -> None:
        if entry.seq:
            self._reopened.append(entry.seq)

    def _take_erasure(self, entry: Entry) -> None:
        erased = entry.body.get("payloads")
        for item in erased if type(erased) is list else ():
            if type(item) is dict and type(item.get("seq")) is int and type(item.get("name")) is str:
                self.erased.add((item["seq"], item["name"]))


_TAKERS = {
    "log.opened": Notes._take_opening,
    "log.seen": Notes._take_seen,
    "gap.noted": Notes._take_gap,
    "recording.paused": Notes._take_pause,
    "recording.resumed": Notes._take_pause,
    "commit.recorded": Notes._take_commit,
    "payload.erased": Notes._take_erasure,
}


# Kinds of which nothing has to be noted: nearly all entries.
ORDINARY = KINDS - _TAKERS.keys()


def _listed(seqs: list[int]) -> str:
    shown = ", ".join(str(seq) for seq in seqs[:MAX_NAMED])
    return f"entries {shown}" + (" …" if len(seqs) > MAX_NAMED else "")
