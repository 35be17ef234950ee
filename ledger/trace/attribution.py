"""From a line of a commit to the call that wrote it, as far as the logs say so (docs/blame.md).

`commit.recorded` says of each path which ranges of lines stem from which call, which a person wrote, and of which that is not
known. Where the commit was found by its id, these are its own lines. Where it was found otherwise (rewritten, picked, squashed),
each record speaks of another blob: the same blob means the same lines; else lines are followed by their content, which is worth
less.
Where a record has no ranges for a path, its link says what call left the file, and that is a guess for a single line.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from ledger.core.linediff import diff_lines, split_text
from ledger.core.text import format_path, parse_path
from ledger.errors import FormatError
from ledger.index.rows import parse_key, path_key
from ledger.repo.catfile import ObjectReader
from ledger.repo.commits import is_oid
from ledger.repo.manycommits import Added, read_added
from ledger.trace.likeness import EMPTY_BLOBS
from ledger.trace.logs import Log
from ledger.trace.matching import Commits
from ledger.trace.recorded import Recorded, linked_paths

MAX_BLOB_BYTES = 8 << 20
_BY = frozenset({"agent", "human", "unknown"})
_LINKS = ("inferred", "partial", "exact")


class Line(NamedTuple):
    """Who wrote a line. `call` is the request's seq in `log`; `basis` is `lines`, `path` or `none`; `why` says what is not known.

    `candidates` are seqs of results that changed the path, where none of them can be told to have written the line.
    """

    by: str
    link: str | None = None
    basis: str = "none"
    log: Log | None = None
    call: int | None = None
    why: str | None = None
    candidates: tuple[int, ...] = ()


class Range(NamedTuple):
    first: int
    last: int
    by: str
    call: int | None
    link: str | None


class _Source:
    """What one record says of one path; `partner` maps a line of the commit asked about to one of the record's blob."""

    def __init__(self, recorded: Recorded, item: dict[str, Any]) -> None:
        self.log = recorded.log
        self.seq = recorded.entry.seq
        self.blob = item.get("blob")
        self.link = item.get("link")
        self.results = tuple(seq for seq in _seqs(item.get("calls")) if seq < self.seq)
        self.has_lines = isinstance(item.get("lines"), list)
        self.ranges = parse_ranges(item.get("lines"))
        self.starts = [span.first for span in self.ranges]
        self.partner: list[int | None] | None = None
        self.same = True

    def at(self, number: int) -> Range | None:
        """Return the range that holds a line (1-based) of the commit asked about."""
        if self.partner is not None:
            found = self.partner[number - 1] if number <= len(self.partner) else None
            if found is None:
                return None
            number = found + 1
        at = bisect_right(self.starts, number) - 1
        return self.ranges[at] if at >= 0 and self.ranges[at].last >= number else None


class Attribution:
    """Answers for lines of commits; what it read of git is closed with it. Use as a context manager."""

    def __init__(self, commits: Commits) -> None:
        self.commits = commits
        self._reader = ObjectReader(commits.repo)
        self._sources: dict[tuple[str, bytes], list[_Source]] = {}
        self._texts: dict[str, list[bytes] | None] = {}
        self._calls: dict[tuple[str, int], bool] = {}
        self._items: dict[tuple[str, int], dict[str, dict[str, Any]]] = {}
        self._lost: set[tuple[str, bytes]] = set()  # where a record speaks of a blob that is not here

    def __enter__(self) -> Attribution:
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()

    def line(self, oid: str, path: bytes, number: int) -> Line:
        """Say who wrote the line `number` of `path`, as the commit `oid` left it and had a part in it."""
        match = self.commits.match(oid)
        if not match.recorded and not match.origins:
            return Line("unknown", why="unrecorded")
        if match.is_ambiguous:
            return Line("unknown", why="ambiguous")
        sources = self._sources_of(oid, path)
        # What a person's rewriting brought along is a person's to the later record, and still a call's to the earlier one.
        is_only = len(match.recorded) == 1 and not match.origins
        seen: Line | None = None
        for source in sources:
            span = source.at(number)
            if span is None:
                continue
            found = self._judge(source, span, match.confidence == "certain")
            if found.by == "agent" or (found.by == "human" and is_only):
                return found
            seen = seen if seen is not None and seen.by != "unknown" else found
        if seen is None and (oid, path) in self._lost:
            return Line("unknown", why="content-gone")
        return seen or (_by_path(sources) if match.recorded else Line("unknown", why="unrecorded"))

    def ranges(self, oid: str, path: bytes, spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int, Line]]:
        """Yield (first, last, who wrote them) of the lines of `spans`, those in a row with one answer together."""
        current: tuple[int, int, Line] | None = None
        for first, last in spans:
            for number in range(first, last + 1):
                line = self.line(oid, path, number)
                if current is not None and current[1] + 1 == number and current[2] == line:
                    current = current[0], number, line
                    continue
                if current is not None:
                    yield current
                current = number, number, line
        if current is not None:
            yield current

    def has_lines(self, oid: str, path: bytes) -> bool:
        """Say whether some record that counts for the commit lists lines of `path`."""
        match = self.commits.match(oid)
        if match.is_ambiguous or not (match.recorded or match.origins):
            return False
        return any(source.has_lines for source in self._sources_of(oid, path))

    def own_spans(self, oid: str, path: bytes) -> list[tuple[int, int]] | None:
        """Return the ranges that the commit's own record lists of `path`, whosever they are; None where there is no such list.

        Of a commit at a shallow border, those of the commit that it was, where that left the same blob.
        """
        match = self.commits.match(oid)
        if not match.recorded or match.is_ambiguous:
            return None
        closest = match.recorded[0]
        own = next((source for source in self._sources_of(oid, path) if source.has_lines), None)
        if own is None or (own.log, own.seq) != (closest.log, closest.entry.seq):
            return None
        is_same = match.rung == "rewrite-map" and self.commits.is_border(oid) and own.blob == self.commits.blob(oid, path)
        if closest.oid != oid and not is_same:
            return None
        end = len(self._lines(own.blob) or ())  # an entry may claim any number
        return [(span.first, min(span.last, end)) for span in own.ranges]

    def added(self, oids: Sequence[str]) -> dict[str, list[Added]]:
        """Return the lines that each commit added, as git says; of one at a shallow border as its record lists them."""
        borders = [oid for oid in oids if self.commits.is_border(oid)]
        found = read_added(self.commits.repo, [oid for oid in oids if oid not in borders])
        found |= {oid: list(self._added_by_record(oid)) for oid in borders}
        return {oid: found[oid] for oid in oids}

    def _added_by_record(self, oid: str) -> Iterator[Added]:
        for key in [] if not (match := self.commits.match(oid)).recorded else self._items_of(match.recorded[0]):
            try:
                path = parse_path(parse_key(key))
            except FormatError:
                continue
            yield from (Added(path, first, last) for first, last in self.own_spans(oid, path) or ())

    def _sources_of(self, oid: str, path: bytes) -> list[_Source]:
        sources = self._sources.get((oid, path))
        if sources is None:
            sources = self._sources[oid, path] = self._build(oid, path)
        return sources

    def _judge(self, source: _Source, span: Range, firm: bool) -> Line:
        if span.by == "unknown":
            return Line("unknown", basis="lines", log=source.log, why="not-established")
        # A likeness that somebody may have arranged, or content that was followed, is no observation of this line.
        link = span.link if firm and source.same else "inferred"
        if span.by == "human":
            return Line("human", None if link == span.link else "inferred", "lines", source.log)
        if span.call is not None and not self._is_call(source, span.call):
            return Line("unknown", basis="lines", log=source.log, why="no-such-call")
        return Line("agent", link or "inferred", "lines", source.log, span.call)

    def _is_call(self, source: _Source, seq: int) -> bool:
        """Say whether `seq` is a request before the record that names it."""
        key = source.log.name, seq
        if key not in self._calls:
            self._calls[key] = any(source.log.entries([seq], "tool.requested"))
        return seq < source.seq and self._calls[key]

    def _build(self, oid: str, path: bytes) -> list[_Source]:
        key, sources = path_key(format_path(path)), list[_Source]()
        match = self.commits.match(oid)
        for recorded in (*match.recorded, *match.origins):
            item = self._items_of(recorded).get(key)
            sources += [] if item is None else [_Source(recorded, item)]
        own = bool(match.recorded) and match.recorded[0].oid == oid
        origins = {(item.log.name, item.entry.seq) for item in match.origins}
        blob = sources[0].blob if own and sources else self.commits.blob(oid, path)
        moved = not sources and not own
        if moved:
            sources = [_Source(recorded, item) for recorded in match.recorded for item in self._moved(recorded, blob)]
        for source in sources:
            self._fit(source, blob, equal=not own and self._is_equal(oid, match.recorded))
            taken = (source.log.name, source.seq) in origins or moved
            if taken and source.same:  # that it was taken from there is inferred
                source.same, source.partner = False, source.partner or list(range(len(self._lines(blob) or ())))
        kept = [source for source in sources if source.same or source.partner is not None]
        if len(kept) < len(sources):
            self._lost.add((oid, path))
        return kept

    def _items_of(self, recorded: Recorded) -> dict[str, dict[str, Any]]:
        """Return what a record says of its paths, by `path_key`."""
        name = recorded.log.name, recorded.entry.seq
        if name not in self._items:
            self._items[name] = {path_key(item.get("path")): item for item in linked_paths(recorded)}
        return self._items[name]

    def _moved(self, recorded: Recorded, blob: str | None) -> list[dict[str, Any]]:
        """Return the paths at which a record left a blob: a filter may have moved the files of a whole history."""
        if blob is None or blob in EMPTY_BLOBS:
            return []
        return [item for item in self._items_of(recorded).values() if item.get("blob") == blob]

    def _is_equal(self, oid: str, recorded: tuple[Recorded, ...]) -> bool:
        """Say whether one commit was recorded for this one, and both make the same change: then content that moved stayed whole."""
        patch_id = self.commits.patch_id(oid)
        return len(recorded) == 1 and bool(patch_id) and recorded[0].entry.body.get("patch_id") == patch_id

    def _fit(self, source: _Source, blob: Any, *, equal: bool) -> None:
        if source.blob == blob and blob is not None:
            return
        source.same = equal
        new, old = self._lines(blob), self._lines(source.blob)
        source.partner = None
        if new is None or old is None:
            source.same = False
            return
        source.partner = _partners(old, new)

    def _lines(self, blob: Any) -> list[bytes] | None:
        """Return a blob's lines, or None where it is not here, or too large."""
        if not is_oid(blob):
            return None
        if blob not in self._texts:
            data = self._reader.read(blob, MAX_BLOB_BYTES)
            self._texts[blob] = None if data is None else split_text(data)
        return self._texts[blob]


def _partners(old: Sequence[bytes], new: Sequence[bytes]) -> list[int | None]:
    """Return, for each line of `new`, the index of the line of `old` that it is, or None."""
    partner: list[int | None] = [None] * len(new)
    for match in diff_lines(old, new).matches:
        partner[match.new : match.new + match.length] = range(match.old, match.old + match.length)
    return partner


def count_added(attribution: Attribution, oid: str, added: Iterable[Added]) -> dict[bytes, Counter[Line]]:
    """Return whose the lines are that the commit `oid` added, by path."""
    found: dict[bytes, Counter[Line]] = {}
    match = attribution.commits.match(oid)
    recorded = bool(match.recorded or match.origins)
    for span in added:
        counts = found.setdefault(span.path, Counter())
        if not recorded:
            counts[Line("unknown", why="unrecorded")] += span.last - span.first + 1
            continue
        for number in range(span.first, span.last + 1):
            counts[attribution.line(oid, span.path, number)] += 1
    return found


def _by_path(sources: list[_Source]) -> Line:
    """Say what the links of a path are worth for a line that no range holds."""
    results = tuple(dict.fromkeys(seq for source in sources for seq in source.results))
    log = sources[0].log if sources else None
    if any(source.has_lines for source in sources):
        return Line("unknown", basis="lines", log=log, why="not-listed", candidates=results)
    for source in sources:
        if source.link in ("exact", "inferred") and len(source.results) == 1:
            (result,) = source.results
            for entry in source.log.entries([result], "tool.finished"):
                return Line("agent", "inferred", "path", source.log, entry.cause, candidates=source.results)
    if results:
        return Line("unknown", basis="path", log=log, why="several-calls", candidates=results)
    return Line("unknown", basis="path" if sources else "none", log=log, why="no-lines")


def parse_ranges(value: Any) -> list[Range]:
    """Return the well-formed ranges of an entry's `lines`, in order; what overlaps an earlier one is left out."""
    found: list[Range] = []
    for item in value if isinstance(value, list) else []:
        span = _seqs(item.get("range")) if isinstance(item, dict) else []
        if len(span) != 2 or not 1 <= span[0] <= span[1] or (found and span[0] <= found[-1].last):
            continue
        by, link, call = item.get("by"), item.get("link"), _seqs([item.get("call")])
        found.append(
            Range(
                span[0],
                span[1],
                by if by in _BY else "unknown",
                call[0] if call else None,
                link if link in _LINKS else None,
            )
        )
    return found


def _seqs(value: Any) -> list[int]:
    if not isinstance(value, list):
        return []
    return [item for item in value if isinstance(item, int) and not isinstance(item, bool) and item >= 0]
