"""Which commits of a range no log knows by their id, and which recorded commits they stand for: what `ledger link` writes down."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ledger.repo.gitdir import GitDir
from ledger.trace.logs import Logs
from ledger.trace.match import Match
from ledger.trace.matching import Commits

# Rungs that are worth writing down. Equal files can be found again as long as the entries are here, and say the least.
LASTING = ("trailer", "patch-id", "range-patch-id", "tree")
_BATCH = 100  # commits between two words about progress


class Found(NamedTuple):
    """One commit of the range and how the ladder found it."""

    oid: str
    match: Match

    @property
    def is_known(self) -> bool:
        """Whether the logs know the commit already: by its id, a rewrite map, or an earlier link."""
        return self.match.rung in ("exact", "rewrite-map") or self.match.linked_by is not None

    @property
    def is_linkable(self) -> bool:
        """Whether the match is one that lasts and means one commit."""
        return not self.is_known and self.match.rung in LASTING and not self.match.is_ambiguous


def find_links(repo: GitDir, logs: Logs, oids: Sequence[str], progress: Callable[[int], None] = lambda done: None) -> list[Found]:
    """Return how the ladder finds each of `oids`; commits that cannot be read are left out."""
    commits = Commits(repo, logs)
    found = []
    for start in range(0, len(oids), _BATCH):
        batch = oids[start : start + _BATCH]
        commits.prepare(batch)
        found += [Found(oid, commits.match(oid)) for oid in batch if commits.is_here(oid)]
        progress(min(start + _BATCH, len(oids)))
    return found
