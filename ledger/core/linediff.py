"""Which lines of one text are those of another: a line diff whose work is bounded.

Equal lines at both ends are matched first; what is left is divided at lines that each text has once (patience, longest increasing
run), and the gaps between those are solved by the greedy algorithm of E. W. Myers, "An O(ND) Difference Algorithm and Its
Variations", up to a number of steps. Where that is used up, a gap stays unmatched and the result says so: a match is always a pair
of equal lines, in order; there may be fewer of them than there could be.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

MAX_EFFORT = 400_000  # steps, some 0.1 s


class Match(NamedTuple):
    """Lines `old` … of one text are lines `new` … of the other, `length` of them; counted from 0."""

    old: int
    new: int
    length: int


class Hunk(NamedTuple):
    """The lines [old, old_end) of one text were replaced by [new, new_end) of the other; counted from 0."""

    old: int
    old_end: int
    new: int
    new_end: int


class LineDiff(NamedTuple):
    """Matches in the order of both texts, touching nowhere; not `whole` where the effort was used up before the end."""

    matches: tuple[Match, ...]
    whole: bool


def split_text(data: bytes) -> list[bytes]:
    """Return the lines of a text without what ends them: a line feed, or carriage return and line feed.

    So the same line is the same whatever git makes of line endings, and the last one whether or not it is ended.
    """
    lines = data.split(b"\n")
    if not lines[-1]:
        lines.pop()
    return [line.rstrip(b"\r") for line in lines] if b"\r" in data else lines


def diff_lines(old: Sequence[bytes], new: Sequence[bytes], effort: int = MAX_EFFORT) -> LineDiff:
    """Return the lines that `old` and `new` share, found in about `effort` steps."""
    head, most = 0, min(len(old), len(new))
    while head < most and old[head] == new[head]:
        head += 1
    tail = 0
    while tail < most - head and old[len(old) - 1 - tail] == new[len(new) - 1 - tail]:
        tail += 1
    pairs = _Pairs(old, new, effort)
    pairs.add(0, 0, head)
    pairs.solve(head, len(old) - tail, head, len(new) - tail)
    pairs.add(len(old) - tail, len(new) - tail, tail)
    return LineDiff(tuple(pairs.matches), pairs.whole)


def list_hunks(diff: LineDiff, old_count: int, new_count: int) -> list[Hunk]:
    """Return what lies between the matches of two texts of so many lines."""
    hunks = []
    old = new = 0
    for match in (*diff.matches, Match(old_count, new_count, 0)):
        if match.old > old or match.new > new:
            hunks.append(Hunk(old, match.old, new, match.new))
        old, new = match.old + match.length, match.new + match.length
    return hunks


class _Pairs:
    """Matches as they are found, from the beginning of both texts to their end."""

    def __init__(self, old: Sequence[bytes], new: Sequence[bytes], effort: int) -> None:
        self._old, self._new = old, new
        self._effort = effort
        self.matches: list[Match] = []
        self.whole = True

    def add(self, old: int, new: int, length: int) -> None:
        """Add a match behind the last one, or make that longer."""
        if not length:
            return
        last = self.matches[-1] if self.matches else None
        if last is not None and (last.old + last.length, last.new + last.length) == (old, new):
            self.matches[-1] = Match(last.old, last.new, last.length + length)
        else:
            self.matches.append(Match(old, new, length))

    def solve(self, old: int, old_end: int, new: int, new_end: int) -> None:
        """Add the matches between [old, old_end) and [new, new_end)."""
        if old == old_end or new == new_end:
            return
        self._effort -= (old_end - old) + (new_end - new)
        if self._effort < 0:
            self.whole = False
            return
        for at, (old_at, new_at) in enumerate([*self._anchors(old, old_end, new, new_end), (old_end, new_end)]):
            if at == 0 and (old_at, new_at) == (old_end, new_end):
                self._greedy(old, old_end, new, new_end)
                return
            if old_at < old or new_at < new:
                continue  # the match before grew over this one
            self._between(old, old_at, new, new_at)
            old, new = old_at, new_at
            while old < old_end and new < new_end and self._old[old] == self._new[new]:
                self.add(old, new, 1)
                old, new = old + 1, new + 1

    def _between(self, old: int, old_end: int, new: int, new_end: int) -> None:
        """Solve what lies before an anchor: equal lines right before it first, for it has none once inside."""
        tail = 0
        while old_end > old and new_end > new and self._old[old_end - 1] == self._new[new_end - 1]:
            old_end, new_end, tail = old_end - 1, new_end - 1, tail + 1
        self.solve(old, old_end, new, new_end)
        self.add(old_end, new_end, tail)

    def _anchors(self, old: int, old_end: int, new: int, new_end: int) -> list[tuple[int, int]]:
        """Return the places of lines that both sides have once, as long a run as possible that ascends on both."""
        from bisect import bisect_left  # most edits leave nothing to anchor

        there = _once(self._old, old, old_end)
        here = _once(self._new, new, new_end)
        pairs = sorted((at, here[line]) for line, at in there.items() if line in here)
        ends: list[int] = []  # the smallest end of an ascending run of each length
        tops: list[int] = []  # and which pair that is
        before: list[int] = []
        for number, (_, at) in enumerate(pairs):
            length = bisect_left(ends, at)
            before.append(tops[length - 1] if length else -1)
            ends[length : length + 1] = [at]
            tops[length : length + 1] = [number]
        run = []
        number = tops[-1] if tops else -1
        while number >= 0:
            run.append(pairs[number])
            number = before[number]
        return run[::-1]

    def _greedy(self, start: int, old_end: int, new_start: int, new_end: int) -> None:
        """Add the matches of a shortest edit script; the furthest reach on each diagonal is kept for every number of edits."""
        old, new = self._old, self._new
        height, width = old_end - start, new_end - new_start
        reach = {1: 0}
        trace: list[dict[int, int]] = []
        for edits in range(height + width + 1):
            self._effort -= edits + 1
            if self._effort < 0:
                self.whole = False
                return
            trace.append(dict(reach))
            for diagonal in range(-edits, edits + 1, 2):
                down = diagonal == -edits or (diagonal != edits and reach[diagonal - 1] < reach[diagonal + 1])
                x = reach[diagonal + 1] if down else reach[diagonal - 1] + 1
                y = x - diagonal
                while x < height and y < width and old[start + x] == new[new_start + y]:
                    x, y = x + 1, y + 1
                reach[diagonal] = x
                if x >= height and y >= width:
                    self._walk_back(trace, start, new_start, height, width)
                    return

    def _walk_back(self, trace: list[dict[int, int]], start: int, new_start: int, x: int, y: int) -> None:
        runs: list[tuple[int, int, int]] = []
        for edits in range(len(trace) - 1, -1, -1):
            reach, diagonal = trace[edits], x - y
            down = diagonal == -edits or (diagonal != edits and reach[diagonal - 1] < reach[diagonal + 1])
            before = diagonal + 1 if down else diagonal - 1
            old_x = reach[before]
            old_y = old_x - before
            from_x, from_y = (old_x, old_y + 1) if down else (old_x + 1, old_y)
            if edits == 0:
                from_x = from_y = 0
            if x > from_x:
                runs.append((start + from_x, new_start + from_y, x - from_x))
            x, y = old_x, old_y
        for run in reversed(runs):
            self.add(*run)


def _once(lines: Sequence[bytes], start: int, end: int) -> dict[bytes, int]:
    """Return the lines that occur once in [start, end), with their places."""
    seen: dict[bytes, int] = {}
    for at in range(start, end):
        seen[lines[at]] = -1 if lines[at] in seen else at
    return {line: at for line, at in seen.items() if at >= 0}
