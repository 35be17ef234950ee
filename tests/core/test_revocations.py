"""Revoked keys: what a line says, and which of several lines counts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.core.ed25519 import public_key_of
from ledger.core.revocations import (
    MAX_REVOCATIONS,
    format_revocation,
    parse_fingerprint,
    parse_position,
    parse_revocations,
    read_revocations,
)
from ledger.core.sshsig import fingerprint
from ledger.errors import FormatError

ADA, BOB = (fingerprint(public_key_of(bytes([n]) * 32)) for n in (1, 2))
LOG, OTHER = "ab" * 16, "cd" * 16


def test_a_position_lets_earlier_records_count() -> None:
    """A key that is revoked in a log from a position on is good below it, and in every other log."""
    revocations = parse_revocations(f"# lost with a laptop\n\n{ADA} {LOG}/7\n")
    assert revocations.first_bad(ADA, LOG) == 7
    assert revocations.first_bad(ADA, OTHER) is None
    assert revocations.first_bad(BOB, LOG) is None


def test_a_star_counts_for_nothing_but_below_given_positions() -> None:
    """A key that is revoked everywhere signs nothing, except below the positions that other lines give."""
    revocations = parse_revocations(f"{ADA} {LOG}/7\n{ADA} *\n")
    assert revocations.first_bad(ADA, LOG) == 7
    assert revocations.first_bad(ADA, OTHER) == 0


def test_the_smallest_of_several_positions_counts() -> None:
    """Who revokes twice means the stricter of both, in whatever order."""
    assert parse_revocations(f"{ADA} {LOG}/7\n{ADA} {LOG}/3\n{ADA} {LOG}/9\n").first_bad(ADA, LOG) == 3


@given(st.integers(0, 2**53 - 1))
def test_what_is_formatted_is_read_back(seq: int) -> None:
    """Formatting and parsing are twins for positions, and for the star."""
    assert parse_revocations(format_revocation(ADA, LOG, seq)).first_bad(ADA, LOG) == seq
    assert parse_revocations(format_revocation(ADA)).first_bad(ADA, LOG) == 0


@pytest.mark.parametrize(
    "line",
    [
        ADA,
        f"{ADA} {LOG}",
        f"{ADA} {LOG}/",
        f"{ADA} {LOG}/07",
        f"{ADA} {LOG}/+7",
        f"{ADA} {LOG}/{2**53}",
        f"{ADA} {LOG[:8]}/7",
        f"{ADA} {LOG.upper()}/7",
        f"{ADA} * # why",
        f"{ADA[:-1]} *",
        f"{ADA[:-1]}_ *",
        f"{ADA}\N{NO-BREAK SPACE}*",
        f"{ADA.removeprefix('SHA256:')} *",
    ],
)
def test_malformed_lines_are_refused_by_number(line: str) -> None:
    """A line that says anything else is refused with its number, and takes nothing from the lines around it."""
    text = f"{BOB} *\n{line}\n{BOB} {LOG}/1"
    with pytest.raises(FormatError, match="line 2 of the revocations"):
        parse_revocations(text)
    revocations, wrong = read_revocations(text)
    assert (revocations.first_bad(BOB, LOG), revocations.first_bad(ADA, LOG), len(wrong)) == (1, None, 1)


def test_the_number_of_lines_is_bounded() -> None:
    """A file of endless lines is refused, malformed ones counted too."""
    with pytest.raises(FormatError, match=f"line {MAX_REVOCATIONS + 1} "):
        parse_revocations("".join(f"{ADA} {n:032x}/0\n" for n in range(MAX_REVOCATIONS + 2)))
    assert len(read_revocations("x\n" * (MAX_REVOCATIONS * 2))[1]) == MAX_REVOCATIONS + 1


def test_parts_are_checked_alone() -> None:
    """What a command takes as a fingerprint or a position is checked as the file's fields are."""
    assert (parse_fingerprint(ADA), parse_position(f"{LOG}/0")) == (ADA, (LOG, 0))
    for parse, text in ((parse_fingerprint, "MD5:00"), (parse_position, f"{LOG}/x"), (parse_position, "abcd/1")):
        with pytest.raises(FormatError):
            parse(text)


def test_half_a_position_is_our_own_mistake() -> None:
    """Formatting refuses a log without a seq."""
    with pytest.raises(ValueError, match="position"):
        format_revocation(ADA, LOG)
