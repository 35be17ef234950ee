"""Whether HEAD moved since it was last looked at: the cheap question of every event. What a yes needs is loaded only then."""

from __future__ import annotations

from typing import NamedTuple

from ledger.recording.claims import Claims
from ledger.recording.writer import Writer, now_ms
from ledger.repo.gitdir import GitDir
from ledger.repo.heads import read_head, reflog_size
from ledger.store.journal import Journal


class Making(NamedTuple):
    """How a commit came to our knowledge: by which surface, with which claims, and from which processes it descends."""

    via: str
    source: str = "git"
    claims: Claims = Claims()
    ancestors: list[str] | None = None
    at_ms: int | None = None
    elsewhere: bool = False  # it was fetched, and made in another clone perhaps: in no call of this one

    def clock_ms(self) -> int:
        """Return the time by which to say which calls are still open: the event's, but never a later one than the clock's.

        An event may have waited in a spool, and calls of its time were open then. A spool in the repository says what whoever
        can write it wants: with a time to come, it would make every call a thing of the past.
        """
        return min(now_ms(), self.at_ms) if self.at_ms is not None else now_ms()


def notice_moves(writer: Writer, repo: GitDir, making: Making, *, turn_ends: bool = False) -> None:
    """Append what HEAD did since it was last looked at, if it did anything."""
    if seen_head(writer, repo) == (read_head(repo), reflog_size(repo)):
        return
    from ledger.recording.commits import record_moves

    record_moves(writer, repo, making, turn_ends=turn_ends)


def seen_head(writer: Writer, repo: GitDir) -> tuple[str, int] | None:
    """Return HEAD and the size of its reflog as last seen in this work tree, or None."""
    row = writer.journal.one("SELECT head, reflog_size FROM worktree WHERE path = ?", (repo.git_dir,))
    return None if row is None else (str(row[0]), int(row[1]))


def note_head(journal: Journal, repo: GitDir, head: str | None = None, size: int | None = None) -> None:
    """Remember where HEAD and its reflog are now, without recording what led there."""
    journal.run(
        "INSERT OR REPLACE INTO worktree VALUES (?, ?, ?, ?)",
        (repo.git_dir, read_head(repo) if head is None else head, reflog_size(repo) if size is None else size, now_ms()),
    )
