"""The line diff: whatever it finds is true, and it finds as much as a plain reference where it has the means."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.core.linediff import Match, diff_lines, list_hunks, split_text

_FEW = st.lists(st.sampled_from([b"", b"{", b"}", b"a", b"b"]), max_size=14)
_MANY = st.lists(st.integers(0, 40).map(lambda n: b"line %d" % n), max_size=60)


def apply(old: list[bytes], new: list[bytes], effort: int) -> list[bytes]:
    """Return `old` with every hunk of the diff put in place."""
    diff = diff_lines(old, new, effort)
    out = list(old)
    for hunk in reversed(list_hunks(diff, len(old), len(new))):
        out[hunk.old : hunk.old_end] = new[hunk.new : hunk.new_end]
    return out


def longest(old: list[bytes], new: list[bytes]) -> int:
    """Return the length of the longest common subsequence, by the plain table."""
    row = [0] * (len(new) + 1)
    for line in old:
        left = 0
        for at, other in enumerate(new, 1):
            left, row[at] = row[at], left + 1 if line == other else max(row[at], row[at - 1])
    return row[-1]


@given(st.one_of(_FEW, _MANY), st.one_of(_FEW, _MANY), st.sampled_from([0, 5, 50, 400_000]))
@settings(max_examples=300, deadline=None)
def test_applying_the_diff_gives_the_new_text_back(old: list[bytes], new: list[bytes], effort: int) -> None:
    """With much effort or none: matches are equal lines, in order, and what lies between them is the rest."""
    diff = diff_lines(old, new, effort)
    assert apply(old, new, effort) == new
    x = y = 0
    for match in diff.matches:
        assert match.length > 0 and match.old >= x and match.new >= y
        x, y = match.old + match.length, match.new + match.length
        assert old[match.old : x] == new[match.new : y]
    assert x <= len(old) and y <= len(new)


@given(_FEW, _FEW)
@settings(max_examples=300, deadline=None)
def test_where_no_line_is_there_once_the_diff_is_shortest(old: list[bytes], new: list[bytes]) -> None:
    """Without anchors Myers' algorithm decides alone, and finds a longest common subsequence."""
    old, new = [b"o", *old, *old, b"o"], [b"n", *new, *new, b"n"]  # the ends differ, or trimming them could leave a line alone
    found = sum(match.length for match in diff_lines(old, new).matches)
    assert found == longest(old, new)


@given(_MANY, st.integers(0, 59), st.integers(0, 5), st.lists(st.just(b"fresh"), max_size=4))
@settings(max_examples=200, deadline=None)
def test_one_edit_costs_no_more_than_it_replaced(lines: list[bytes], at: int, gone: int, put: list[bytes]) -> None:
    """What was not edited is matched, whatever else the text holds."""
    edited = lines[:at] + put + lines[at + gone :]
    diff = diff_lines(lines, edited)
    assert diff.whole
    assert sum(match.length for match in diff.matches) >= len(lines) - len(lines[at : at + gone])


def test_what_moved_is_matched_once() -> None:
    """Of two blocks that changed places one is kept: a diff has no word for moving."""
    a, b = [b"a1", b"a2", b"a3"], [b"b1", b"b2"]
    assert diff_lines(a + b, b + a).matches == (Match(0, 2, 3),)


def test_effort_bounds_the_work_and_is_said() -> None:
    """Two large texts of the same two lines in disorder: the ends are matched, and the diff says that it gave up."""
    old = [b"start", *([b"x", b"y", b"y"] * 2000), b"end"]
    new = [b"start", *([b"y", b"x", b"x"] * 2000), b"end"]
    diff = diff_lines(old, new, 10_000)
    assert not diff.whole
    assert diff.matches[0] == Match(0, 0, 1) and diff.matches[-1].length >= 1
    assert apply(old, new, 10_000) == new


def test_lines_are_the_same_whatever_ends_them() -> None:
    """Git may store other line endings than lie in the work tree, and an editor may end the last line."""
    assert split_text(b"a\r\nb\r\n") == split_text(b"a\nb\n") == split_text(b"a\nb") == [b"a", b"b"]
    assert split_text(b"") == []
    assert split_text(b"\n") == [b""]
