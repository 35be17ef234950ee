"""Which lines of one text are lines of another, in order: so that what is known of a line follows its content.

Anchors are lines that are in both texts once; of these the longest run that keeps its order stays, and grows over equal lines on
both sides of each. Cheap (n log n), and it errs by finding too little: a line without a partner is unknown, not guessed.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence


def align_lines(new: Sequence[bytes], old: Sequence[bytes]) -> list[int | None]:
    """Return, for each line of `new`, the index of its partner in `old`, or None. Partners are equal and in order."""
    partner: list[int | None] = [None] * len(new)
    first, end_new, end_old = 0, len(new), len(old)
    while first < min(end_new, end_old) and new[first] == old[first]:
        partner[first] = first
        first += 1
    while end_new > first and end_old > first and new[end_new - 1] == old[end_old - 1]:
        end_new, end_old = end_new - 1, end_old - 1
        partner[end_new] = end_old
    for at, other in _anchors(new, old, first, end_new, end_old):
        partner[at] = other
    _grow(partner, new, old)
    return partner


def _anchors(new: Sequence[bytes], old: Sequence[bytes], first: int, end_new: int, end_old: int) -> list[tuple[int, int]]:
    """Return the longest rising run of (index in new, index in old) of lines that are unique in both middles."""
    counts_new, counts_old = Counter(new[first:end_new]), Counter(old[first:end_old])
    where = {old[at]: at for at in range(first, end_old) if counts_old[old[at]] == 1}
    pairs = [(at, where[new[at]]) for at in range(first, end_new) if counts_new[new[at]] == 1 and new[at] in where]
    tails: list[int] = []  # the smallest end of a run of each length
    ends: list[int] = []
    before: list[int] = []
    for number, (_, other) in enumerate(pairs):
        length = bisect_left(tails, other)
        before.append(ends[length - 1] if length else -1)
        tails[length : length + 1] = [other]
        ends[length : length + 1] = [number]
    run = []
    at = ends[-1] if ends else -1
    while at >= 0:
        run.append(pairs[at])
        at = before[at]
    return run[::-1]


def _grow(partner: list[int | None], new: Sequence[bytes], old: Sequence[bytes]) -> None:
    taken = {other for other in partner if other is not None}
    for step, order in ((1, range(len(new))), (-1, range(len(new) - 1, -1, -1))):
        for at in order:
            side = at - step
            if partner[at] is not None or not 0 <= side < len(new):
                continue
            beside = partner[side]
            other = -1 if beside is None else beside + step
            if 0 <= other < len(old) and other not in taken and old[other] == new[at]:
                partner[at] = other
                taken.add(other)
