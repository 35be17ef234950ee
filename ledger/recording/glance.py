"""Whether anything stirred in a work tree since the last look: asked before each shell call, so it reads next to nothing."""

from __future__ import annotations

from ledger.repo.gitdir import GitDir
from ledger.repo.index import sign_path, stale_paths
from ledger.store.journal import Journal

_MAX_KNOWN = 500  # paths that are looked at again before a shell call


def list_known(journal: Journal, repo: GitDir) -> list[tuple[bytes, str]]:
    """Return the paths that were looked at last and their signatures then, the newest first."""
    sql = "SELECT path, signature FROM seen WHERE worktree = ? ORDER BY at_ms DESC LIMIT ?"
    return [(bytes(path), str(signature)) for path, signature in journal.all(sql, (repo.git_dir, _MAX_KNOWN))]


def has_stirred(journal: Journal, repo: GitDir) -> bool:
    """Say whether a known path, or a tracked one where the index is small, is not as it was seen or noted."""
    if repo.work_tree is None:
        return False
    journal.make_later_notes()
    known = list_known(journal, repo)
    if any(sign_path(repo, path) != signature for path, signature in known):
        return True
    stale = stale_paths(repo, journal.meta("object_format") or "sha1")
    return not stale.keys() <= {path for path, _ in known}
