"""The ladder for many commits at once: what it needs of git is asked in a few children for all of them.

Most commits are found by their id, which needs nothing of git. Commits of which no log knows any path, and whose message names no
log, are not on any rung: a rung compares changes, trees or blobs, and those have paths.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ledger.core.text import format_path
from ledger.core.trailer import find_trailers
from ledger.index.rows import path_key
from ledger.repo.commits import CommitFacts, PathChange, parse_commit
from ledger.repo.gitdir import GitDir
from ledger.repo.manycommits import read_changes, read_commit_objects, read_patch_ids
from ledger.trace.logs import Logs
from ledger.trace.match import Match, match_commit
from ledger.trace.model import Commit
from ledger.trace.people import describe_commit

_NOWHERE = Match("none", (), ("No log on this machine recorded this commit.",))


class Commits:
    """The commits of one repository with what its logs know of them. `prepare` first, for all that will be asked for."""

    def __init__(self, repo: GitDir, logs: Logs) -> None:
        self.repo = repo
        self.logs = logs
        self._matches: dict[str, Match] = {}
        self._raw: dict[str, bytes] = {}
        self._blobs: dict[tuple[str, bytes], str | None] = {}
        self._patch_ids: dict[str, str] = {}

    def prepare(self, oids: Iterable[str]) -> None:
        """Find these commits in the logs."""
        asked = [oid for oid in dict.fromkeys(oids) if oid not in self._matches]
        self._raw |= read_commit_objects(self.repo, [oid for oid in asked if oid not in self._raw])
        here = [oid for oid in asked if oid in self._raw]
        plain = [oid for oid in here if self._is_recorded(oid)]
        others = [oid for oid in here if oid not in set(plain)]
        changes = read_changes(self.repo, others)
        hopeful = [oid for oid in others if self._may_match(oid, changes.get(oid, ()))]
        self._patch_ids |= read_patch_ids(self.repo, hopeful)
        for oid in hopeful:
            self._blobs |= {(oid, change.path): change.blob for change in changes.get(oid, ())}
        for oid in asked:
            if oid in self._raw and (oid in plain or oid in hopeful):
                tree, parents, message = parse_commit(self._raw[oid])
                patch_id = self._patch_ids.get(oid, "") if len(parents) < 2 else ""
                facts = CommitFacts(oid, tree, parents, message, changes.get(oid, ()), patch_id)
                self._matches[oid] = match_commit(self.repo, self.logs, facts)
            else:
                self._matches[oid] = _NOWHERE

    def match(self, oid: str) -> Match:
        """Return where the commit is in the logs."""
        if oid not in self._matches:
            self.prepare([oid])
        return self._matches[oid]

    def commit(self, oid: str) -> Commit:
        """Return what the repository says of the commit."""
        if oid not in self._raw:
            self.prepare([oid])
        return describe_commit(oid, self._raw.get(oid, b""))

    def patch_id(self, oid: str) -> str:
        """Return the patch-id of a commit that was not found by its id, or the empty string."""
        return self._patch_ids.get(oid, "")

    def blob(self, oid: str, path: bytes) -> str | None:
        """Return the blob that a commit which was not found by its id left at `path`, where it changed it."""
        return self._blobs.get((oid, path))

    def _is_recorded(self, oid: str) -> bool:
        return any(log.index.commits("oid", oid) for log in self.logs.related())

    def _may_match(self, oid: str, changes: Sequence[PathChange]) -> bool:
        if any(log.index.old_commits(oid) for log in self.logs.related()):
            return True
        if b"Ledger-Entry:" in self._raw[oid] and dict(find_trailers(self._raw[oid].decode("utf-8", "replace"))):
            return True
        return any(self._is_known(change.path) for change in changes)

    def _is_known(self, path: bytes) -> bool:
        key = path_key(format_path(path))
        return any(log.index.has_path(key) for log in self.logs.related())
