"""Whose each line of a text is, carried from one version of the text to the next (docs/linking.md, "Whose a line is").

An origin is by, call and link. `HERE` is no origin yet: the line was there when the text was first looked at. The rule of all
rules: a line that a person wrote is never an agent's with the link `exact`. Two equal lines cannot be told apart by looking, so a
line is exact only where the text before the call had none like it, and where what the call was asked to do bears it out; and it
stays exact only while no more lines like it appear.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from ledger.core.linediff import diff_lines

BYS = ("here", "agent", "human", "unknown")
LINKS = ("exact", "partial", "inferred")


class Origin(NamedTuple):
    """Whose a line is: an index into BYS, the seq of the `tool.requested` (0 for none), an index into LINKS (0 for none)."""

    by: int
    call: int = 0
    link: int = 0


HERE = Origin(0)
HUMAN = Origin(2)
UNKNOWN = Origin(3)
NEW = Origin(4)  # stands for what no version accounts for, while a text is followed; never kept


def agents(call: int, link: str) -> Origin:
    """Return the origin of a line of the call that entry `call` requested."""
    return Origin(1, call, LINKS.index(link))


def less_sure(origin: Origin) -> Origin:
    """Return the origin of a line that may be another's as well: an agent's is no longer exact."""
    return origin._replace(link=max(origin.link, 1)) if origin.by == 1 else origin


def carry(
    old: Sequence[bytes], origins: Sequence[Origin], new: Sequence[bytes], fresh: Origin, *, doubtful: Origin = UNKNOWN
) -> list[Origin]:
    """Return the origins of the lines of `new`, which followed `old`: `fresh` for those that are new in it.

    Where the diff gave up, a line that `old` has somewhere is `doubtful`.
    """
    diff = diff_lines(old, new)
    before = None if diff.whole else set(old)
    found = [fresh if before is None or line not in before else doubtful for line in new]
    for match in diff.matches:
        found[match.new : match.new + match.length] = origins[match.old : match.old + match.length]
    return weaken(old, origins, new, found)


def weaken(old: Sequence[bytes], origins: Sequence[Origin], new: Sequence[bytes], found: list[Origin]) -> list[Origin]:
    """Take `exact` from lines of which `new` has more than `old` had of that origin: which came later is anybody's guess."""
    exact = {line for line, origin in zip(new, found, strict=True) if origin.by == 1 and origin.link == 0}
    if not exact:
        return found
    had: dict[bytes, dict[Origin, int]] = {}
    for line, origin in zip(old, origins, strict=True):
        if line in exact:
            of_line = had.setdefault(line, {})
            of_line[origin] = of_line.get(origin, 0) + 1
    has: dict[bytes, int] = {}
    for line in new:
        if line in exact:
            has[line] = has.get(line, 0) + 1
    # A line that `old` had none of, or only of one origin and no fewer, can be confused with no other.
    shaky = {line for line in exact if line in had and (len(had[line]) > 1 or has[line] > sum(had[line].values()))}
    if not shaky:
        return found
    return [
        origin._replace(link=1) if line in shaky and origin.by == 1 and origin.link == 0 else origin
        for line, origin in zip(new, found, strict=True)
    ]


def claim(
    before: Collection[bytes], new: Sequence[bytes], origins: Sequence[Origin], call: int, asked: Mapping[bytes, int]
) -> list[Origin]:
    """Give the call `call` exactly those lines of `new` that it was asked to write and that its text `before` it had none of.

    `asked` says how often it was asked for each. Where there are more of a line, or another call has it exactly already, it is
    nobody's exactly; what a person was seen to write meanwhile stays theirs. What appeared and was not asked for is unknown: the
    agent's own formatter may have made it, or a person while the call waited for an approval.
    """
    mine, perhaps = agents(call, "exact"), agents(call, "partial")
    here: dict[bytes, int] = {}
    for line in new:
        if line in asked:
            here[line] = here.get(line, 0) + 1
    out = []
    for line, origin in zip(new, origins, strict=True):
        if line not in asked:
            out.append(UNKNOWN if origin == perhaps else origin)
        elif line in before or origin in (mine, HUMAN, HERE):
            out.append(origin)
        elif here[line] > asked[line]:
            out.append(origin._replace(link=1) if origin.by == 1 and origin.link == 0 else origin)
        elif origin.by == 1 and origin.link == 0:
            out.append(origin._replace(link=1))
        else:
            out.append(mine)
    return out


def pack(origins: Sequence[Origin]) -> list[list[int]]:
    """Return origins as runs `[lines, by, call, link]`, without the lines at the end that were there."""
    runs = [[sum(1 for _ in same), *origin] for origin, same in groupby(origins)]
    if runs and runs[-1][1:] == [*HERE]:
        runs.pop()
    return runs


def unpack(runs: Sequence[Sequence[int]], lines: int) -> list[Origin]:
    """Return the origins of a text of so many lines."""
    found: list[Origin] = []
    for length, by, call, link in runs:
        found += [Origin(by, call, link)] * length
    return (found + [HERE] * (lines - len(found)))[:lines]


def describe(ranges: Sequence[tuple[int, int]], of: Callable[[int], Origin]) -> list[dict[str, Any]]:
    """Return the member `lines` of a path: each range of added lines (1-based, inclusive) divided by the origin of its lines."""
    out: list[dict[str, Any]] = []
    for first, last in ranges:
        for origin, same in groupby(range(first, last + 1), of):
            run = list(same)
            item: dict[str, Any] = {"range": [run[0], run[-1]], "by": BYS[origin.by]}
            if origin.by == 1:
                item |= {"call": origin.call, "link": LINKS[origin.link]}
            out.append(item)
    return out
