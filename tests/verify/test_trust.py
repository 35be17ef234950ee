"""What takes trust away again: revocations by position, and the windows in which a key may sign."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from ledger.core.ed25519 import public_key_of
from ledger.core.revocations import NONE, format_revocation, parse_revocations
from ledger.core.signers import ALWAYS, Window, format_signer
from ledger.core.sshsig import fingerprint
from ledger.repo.gitdir import find_repository
from ledger.verify.chain import Walked
from ledger.verify.known import Held
from ledger.verify.trust import Covered, Trust, check_digest, check_revocations, check_revoked, check_windows, read_trust
from ledger.verify.verdict import Finding, Findings

KEYS = [public_key_of(bytes([n]) * 32) for n in (1, 2)]
ADA, BOB = (fingerprint(key) for key in KEYS)
LOG = "ab" * 16
DAY_S = 86_400
NEW_YEAR_S = 1_767_225_600  # 2026-01-01T00:00:00Z
JANUARY = Window(NEW_YEAR_S, NEW_YEAR_S + 31 * DAY_S)
IN_JUNE_S = NEW_YEAR_S + 160 * DAY_S


def held(seq: int, key: int, first_at: str = "2026-01-05T00:00:00.000Z", last_at: str = "2026-01-06T00:00:00.999Z") -> Held:
    """Return one of the two keys, in force from `seq` on, with the claimed times at both ends of what it signed."""
    return Held(seq, KEYS[key], (ADA, BOB)[key], first_at, last_at)


def walked(size: int, *keys: Any) -> Walked:
    """Return a log of `size` records that these keys signed."""
    return Walked(LOG, size, keys=list(keys))


def found(check: Any, *args: Any) -> list[Finding]:
    """Return what a check finds."""
    findings = Findings()
    check(*args, findings)
    return list(findings.listed())


def trust(*, given: Any = None, committed: Any = None, revocations: str = "") -> Trust:
    """Return trust in these keys, with these lines of revocations."""
    return Trust(given, "", committed, "", parse_revocations(revocations) if revocations else NONE)


@pytest.mark.parametrize(
    ("line", "seqs"),
    {
        format_revocation(ADA, LOG, 0): [0],
        format_revocation(ADA, LOG, 4): [4],
        format_revocation(ADA, LOG, 5): [],
        format_revocation(ADA): [0],
        format_revocation(ADA, "cd" * 16, 0): [],
        format_revocation(BOB, LOG, 0): [5],
        format_revocation(BOB, LOG, 7): [7],
        format_revocation(BOB, LOG, 8): [],
        f"{ADA} *\n{BOB} *": [0, 5],
    }.items(),
)
def test_a_revoked_key_signs_nothing_from_its_position_on(line: str, seqs: list[int]) -> None:
    """Of a log that one key signed up to seq 4 and another up to 7, each bad key is one finding, at its first bad record."""
    log = walked(8, held(0, 0), held(5, 1))
    for known in ({}, {"given": {KEYS[0]: (ALWAYS,), KEYS[1]: (ALWAYS,)}}):
        findings = found(check_revoked, log, trust(**known, revocations=line))
        assert [(finding.code, finding.seq) for finding in findings] == [("key.revoked", seq) for seq in seqs]


def test_a_rotation_that_nothing_followed_is_no_signature_of_the_new_key() -> None:
    """A key that is in force at the end and signed nothing yet is not found."""
    assert found(check_revoked, walked(5, held(0, 0), held(5, 1)), trust(revocations=f"{BOB} *")) == []


def windows(keys: Sequence[Any], now_s: int, *covered: Covered, size: int = 8, **known: Any) -> list[tuple[str, int | None]]:
    """Return code and seq of what the windows find."""
    return [(item.code, item.seq) for item in found(check_windows, walked(size, *keys), trust(**known), covered, now_s)]


def test_a_window_that_holds_all_claims_is_quiet_while_it_is_open() -> None:
    """Inside the window, by the claims and by the clock, there is nothing to find; nor for a key that no file lists."""
    keys = [held(0, 0)]
    assert windows(keys, NEW_YEAR_S + 7 * DAY_S, given={KEYS[0]: (JANUARY,)}) == []
    assert windows(keys, IN_JUNE_S, given={KEYS[1]: (JANUARY,)}) == []
    assert windows(keys, IN_JUNE_S) == []


@pytest.mark.parametrize(
    ("first", "last"),
    [("2025-12-31T23:59:59.999Z", "2026-01-06T00:00:00.000Z"), ("2026-01-06T00:00:00.000Z", "2026-02-01T00:00:01.000Z")],
)
@pytest.mark.parametrize("now_s", [NEW_YEAR_S + DAY_S, IN_JUNE_S])
def test_a_claim_outside_the_window_is_invalid(first: str, last: str, now_s: int) -> None:
    """A key that signed a time before or after its window is found once, whatever the clock says."""
    keys = [held(0, 0, first, last)]
    assert windows(keys, now_s, committed={KEYS[0]: (JANUARY,)}) == [("key.window", 0)]


def test_any_of_several_windows_will_do() -> None:
    """A key that was prolonged by a second line is good in both."""
    keys = [held(0, 0, "2026-01-05T00:00:00.000Z", "2026-06-01T00:00:00.000Z")]
    later = Window(NEW_YEAR_S + 100 * DAY_S, None)
    assert windows(keys, IN_JUNE_S, given={KEYS[0]: (JANUARY, later)}) == []
    assert windows(keys, IN_JUNE_S, given={KEYS[0]: (JANUARY,)}) == [("key.window", 0)]


def test_the_file_that_was_given_has_the_windows() -> None:
    """Where a file was named, the committed one's windows count for nothing."""
    keys = [held(0, 0)]
    assert windows(keys, IN_JUNE_S, given={KEYS[0]: (ALWAYS,)}, committed={KEYS[0]: (JANUARY,)}) == []


@pytest.mark.parametrize(
    ("covered", "codes"),
    {
        (): ["key.expired"],
        (Covered(NEW_YEAR_S + DAY_S, 7),): ["key.expired"],
        (Covered(NEW_YEAR_S + 40 * DAY_S, 8),): ["key.expired"],
        (Covered(NEW_YEAR_S + DAY_S, 7), Covered(NEW_YEAR_S + DAY_S, 8)): [],
        (Covered(NEW_YEAR_S + DAY_S, 9),): [],
    }.items(),
)
def test_an_expired_key_needs_somebody_who_saw_the_end_in_time(covered: tuple[Covered, ...], codes: list[str]) -> None:
    """Behind its window the key in force could be used with older claims, unless a pin or witness saw all of the log within."""
    seen = windows([held(0, 0)], IN_JUNE_S, *covered, given={KEYS[0]: (JANUARY,)})
    assert seen == [(code, 7) for code in codes]


def test_a_key_that_was_rotated_away_in_time_may_expire() -> None:
    """What an expired key signed stays good where a later key took over inside its window."""
    keys = [held(0, 0), held(5, 1)]
    assert windows(keys, IN_JUNE_S, given={KEYS[0]: (JANUARY,), KEYS[1]: (ALWAYS,)}) == []


@pytest.fixture
def repo(sandbox: Any) -> Any:
    """A repository with one commit."""
    return sandbox.make_repo(commit=True)


def test_only_committed_revocations_count(sandbox: Any, repo: Any) -> None:
    """The file in the work tree says nothing; once committed it does, and it changes the digest of what is trusted."""
    before = read_trust(find_repository(str(repo)), None)
    (repo / ".ledger").mkdir()
    (repo / ".ledger/revocations").write_text(format_revocation(ADA, LOG, 3) + "\n")
    assert read_trust(find_repository(str(repo)), None) == before
    sandbox.git("add", ".ledger", cwd=repo)
    sandbox.commit(repo, "revoke")
    after = read_trust(find_repository(str(repo)), None)
    assert (before.revocations.first_bad(ADA, LOG), after.revocations.first_bad(ADA, LOG)) == (None, 3)
    assert after.digest not in ("", before.digest)
    assert [item.code for item in found(check_digest, LOG, after, "00" * 32)] == ["trust.changed"]


def test_revocations_change_the_digest_of_the_signers(sandbox: Any, repo: Any) -> None:
    """With signers committed, the digest is theirs alone until revocations come, so older pins of it still fit."""
    sandbox.commit(repo, "enroll", {".ledger/allowed_signers": format_signer("ledger-ada", KEYS[0]) + "\n"})
    one = read_trust(find_repository(str(repo)), None)
    sandbox.commit(repo, "revoke", {".ledger/revocations": "# none yet\n"})
    two = read_trust(find_repository(str(repo)), None)
    assert one.committed == two.committed == {KEYS[0]: (ALWAYS,)}
    assert one.digest != two.digest


def test_a_spoilt_line_is_a_warning_and_spoils_no_other(sandbox: Any, repo: Any) -> None:
    """Malformed lines are one finding, a warning; the key that a good line revokes stays revoked."""
    sandbox.commit(repo, "revoke", {".ledger/revocations": f"{ADA} *\nBOB *\n\x00\n"})
    known = read_trust(find_repository(str(repo)), None)
    assert known.revocations.first_bad(ADA, LOG) == 0
    (finding,) = found(check_revocations, known)
    assert (finding.code, finding.severity) == ("revocations.malformed", "warning")
    assert "line 2" in finding.message
    assert "1 more" in finding.message


def test_no_revocations_are_no_finding(repo: Any) -> None:
    """A repository without the file is quiet."""
    assert found(check_revocations, read_trust(find_repository(str(repo)), None)) == []
