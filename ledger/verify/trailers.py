"""`Ledger-Entry` lines in commit messages, held against the logs that they name (docs/spec/entry.md, section 8).

A line in a commit that a remote branch holds is an anchor: whoever has the signing key can rewrite the log, but not what was
pushed.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from ledger.core import trailer
from ledger.errors import RepoError
from ledger.repo.git import run_git
from ledger.repo.gitdir import GitDir
from ledger.verify.chain import Walked
from ledger.verify.commits import Reach
from ledger.verify.verdict import Anchor, Findings

MAX_ABSENT = 100
_MARK = f"{trailer.KEY}:"


class Line(NamedTuple):
    """One trailer line of a commit; `head` is None where it is malformed."""

    commit: str
    value: str
    head: trailer.Head | None


class RangeError(RepoError):
    """The range names no commits that git knows."""


def read_lines(repo: GitDir, revisions: str | None, reach: Reach) -> list[Line]:
    """Return every trailer line of the commits in the range `revisions`, or of all that refs outside the ledger's own reach.

    Raises RangeError. A line that a commit bears twice is returned once.
    """
    asked = reach.everything if revisions is None else check_range(repo, revisions)
    # --encoding=none: the bytes as they are. NUL ends a message and cannot be in one.
    form = ["-z", "--format=%H%n%B", "--encoding=none", "--no-show-signature", "--no-notes", "--no-color", "--no-patch"]
    listed = run_git(["log", *form, "--fixed-strings", f"--grep={_MARK}", *asked, "--"], cwd=repo.git_dir)
    lines: dict[Line, None] = {}
    for item in listed.split(b"\0"):
        commit, _, message = item.partition(b"\n")
        for value, head in trailer.find_trailers(message.decode("utf-8", "replace")):
            lines[Line(commit.decode("ascii", "replace"), value, head)] = None
    return list(lines)


def check_range(repo: GitDir, revisions: str) -> Sequence[str]:
    """Return the arguments by which git walks the range that somebody typed. Raises RangeError."""
    asked = ["--end-of-options", revisions]
    try:
        run_git(["rev-list", "--max-count=1", *asked, "--"], cwd=repo.git_dir)
    except RepoError as error:
        remedy = "name commits as git log does, such as main..HEAD"
        raise RangeError(f"{revisions!r} is no range of commits here", remedy=remedy) from error
    return asked


def pushed_commits(repo: GitDir, reach: Reach) -> frozenset[str]:
    """Return the commits with trailer lines that a remote branch of this clone holds."""
    form = ["--format=%H", "--no-show-signature", "--fixed-strings", f"--grep={_MARK}"]
    listed = run_git(["log", *form, *reach.everything[:-1], "--glob=refs/remotes/", "--"], cwd=repo.git_dir)
    return frozenset(listed.decode("ascii").split())


def check_lines(
    walked: Walked, lines: Collection[Line], disowned: Collection[tuple[str, str]], pushed: Collection[str], findings: Findings
) -> list[Anchor]:
    """Check the lines that name this log; return the anchors among them."""
    log = walked.log
    anchors: list[Anchor] = []
    for line in lines:
        if line.head is None or line.head.log != log:
            continue
        seq, expected = line.head.seq, line.head.hash
        found = walked.hash_at(seq)
        if found == expected:
            if line.commit in pushed:
                anchors.append(Anchor("commit", seq + 1, line.commit))
        elif (line.commit, line.value) in disowned:
            message = f"commit {line.commit} bears a line that this log disowned when it recorded the commit"
            findings.add("trailer.disowned", log, seq, message, expected, found)
        elif found is None and seq >= walked.size:
            message = f"commit {line.commit} names a record beyond the log: the log, or this copy of it, is cut"
            findings.add("trailer.beyond", log, seq, message, expected, f"{walked.size} records")
        else:
            findings.add("trailer.mismatch", log, seq, f"commit {line.commit} names another record", expected, found)
    return anchors


def check_others(lines: Collection[Line], present: Collection[str], findings: Findings) -> None:
    """Report lines that are malformed, and the logs that lines name and that are not here."""
    malformed = [line for line in lines if line.head is None]
    if malformed:
        message = f"{len(malformed)} {_MARK} lines are malformed, first in commit {malformed[0].commit}"
        findings.add("trailer.malformed", None, None, message, "<log>/<seq>/<hash>", malformed[0].value)
    absent: dict[str, Line] = {}
    for line in lines:
        if line.head is not None and line.head.log not in present:
            absent.setdefault(line.head.log, line)
    for log, line in list(absent.items())[:MAX_ABSENT]:
        seq = line.head.seq if line.head else None
        findings.add("trailer.absent-log", log, seq, f"commit {line.commit} names a log that is not on this machine", line.value)
    if len(absent) > MAX_ABSENT:
        message = f"{len(absent) - MAX_ABSENT} further logs that commits name are not on this machine"
        findings.add("trailer.absent-log", None, None, message)
