"""The ladder for many commits at once: what it needs of git is asked in a few children for all of them.

Most commits are found by their id, which needs nothing of git. Commits of which no log knows any path or blob, and whose message
names no log, are not on any rung; nor are those that were there before anything was recorded.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ledger.core.text import format_path
from ledger.core.trailer import find_trailers
from ledger.index.rows import path_key
from ledger.repo.commits import CommitFacts, PathChange, is_oid, parse_commit
from ledger.repo.compare import Comparer
from ledger.repo.gitdir import GitDir
from ledger.repo.manycommits import reached_from, read_changes, read_commit_objects, read_patch_ids
from ledger.trace.logs import Logs
from ledger.trace.match import Match, match_commit
from ledger.trace.model import Commit
from ledger.trace.people import describe_commit

_MAX_LOGS = 50
_NOWHERE = Match("none", (), ("No log on this machine recorded this commit.",))


class Commits:
    """The commits of one repository with what its logs know of them. `prepare` first, for all that will be asked for."""

    def __init__(self, repo: GitDir, logs: Logs) -> None:
        self.repo = repo
        self.logs = logs
        self.compare = Comparer(repo)
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
        named = {oid for oid in others if self._is_named(oid)}
        hopeful = [oid for oid in others if oid in named or self._may_match(changes.get(oid, ()))]
        before = self._before_the_logs([oid for oid in hopeful if oid not in named])
        hopeful = [oid for oid in hopeful if oid not in before]
        # A commit at a shallow border has every file for its change.
        self._patch_ids |= read_patch_ids(self.repo, [oid for oid in hopeful if oid not in self.compare.borders])
        for oid in hopeful:
            self._blobs |= {(oid, change.path): change.blob for change in changes.get(oid, ())}
        for oid in asked:
            if oid in self._raw and (oid in plain or oid in hopeful):
                tree, parents, message = parse_commit(self._raw[oid])
                patch_id = self._patch_ids.get(oid, "") if len(parents) < 2 else ""
                facts = CommitFacts(oid, tree, parents, message, changes.get(oid, ()), patch_id)
                self._matches[oid] = match_commit(self.compare, self.logs, facts)
            else:
                self._matches[oid] = _NOWHERE

    def find(self, facts: CommitFacts) -> Match:
        """Find a commit whose facts were read already."""
        self._patch_ids[facts.oid] = facts.patch_id
        self._blobs |= {(facts.oid, change.path): change.blob for change in facts.paths}
        return self._matches.setdefault(facts.oid, match_commit(self.compare, self.logs, facts))

    def is_here(self, oid: str) -> bool:
        """Say whether a commit that was prepared for is in the repository."""
        return oid in self._raw

    def is_border(self, oid: str) -> bool:
        """Say whether git was told to forget this commit's parents: what it changed is then not to be had from git."""
        if oid not in self.compare.borders:
            return False
        if oid not in self._raw:
            self._raw |= read_commit_objects(self.repo, [oid])
        return oid in self._raw and bool(parse_commit(self._raw[oid])[1])

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

    def _is_named(self, oid: str) -> bool:
        """Say whether an entry says what this commit was before, or its message names a log."""
        if any(log.index.old_commits(oid) for log in self.logs.related()):
            return True
        raw = self._raw[oid]
        return b"Ledger-Entry:" in raw and bool(dict(find_trailers(raw.decode("utf-8", "replace"))))

    def _may_match(self, changes: Sequence[PathChange]) -> bool:
        """Say whether some log knows a path or a blob of these."""
        return any(self._is_known(change) for change in changes)

    def _before_the_logs(self, oids: Sequence[str]) -> set[str]:
        """Return those of these commits that were there before any log here recorded its first: nothing recorded became one.

        That is most of the history of a repository that was not new when `ledger init` ran, and each rung would be tried for each.
        """
        old = set(oids)
        logs = self.logs.related()
        if len(logs) > _MAX_LOGS:
            return set()
        for log in logs:
            if not old:
                break
            first = next(iter(log.entries(log.index.first_commit())), None)
            if first is None:
                continue
            parents = first.body.get("parents")
            named = [oid for oid in parents if is_oid(oid)] if isinstance(parents, list) else []
            old = reached_from(self.repo, old, named) if named else set()
        return old

    def _is_known(self, change: PathChange) -> bool:
        key = path_key(format_path(change.path))
        blob = change.blob or ""
        logs = self.logs.related()
        return any(log.index.has_path(key) or (blob and log.index.commits_of_blob(blob, 1)) for log in logs)
