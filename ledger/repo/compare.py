"""What is between commits, for many comparisons in a few children: who descends from whom, merge bases, changes of ranges.

A commit that no log recorded is held against every recorded one that touched its paths. So all of them are asked about at once, and
what does not depend on the commit, the change of a branch against its base, is asked once for all commits.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Sequence
from functools import cached_property

from ledger.errors import RepoError
from ledger.repo.commits import PLAIN, is_oid, parse_raw
from ledger.repo.git import PATIENCE_S, Child, pipe_git, run_git
from ledger.repo.gitdir import GitDir, read_plain
from ledger.repo.ranges import are_here, is_ancestor

_DIFF = ("diff-tree", "--stdin", "-r", "--root", *PLAIN)
_MAX_WALKED = 50_000  # commits that one side has and the other has not
_MAX_SHALLOW_BYTES = 16 << 20

Pair = tuple[str, str]  # an older commit, and a newer one


class Comparer:
    """Comparisons of commits of one repository. What was asked is remembered: for one answer, not for longer."""

    def __init__(self, repo: GitDir) -> None:
        self.repo = repo
        self._here: dict[str, bool] = {}
        self._best: dict[frozenset[str], str | None] = {}
        self._changed: dict[Pair, frozenset[bytes]] = {}
        self._patch_ids: dict[Pair, str] = {}

    @cached_property
    def borders(self) -> frozenset[str]:
        """The commits whose parents git was told to forget (`$GIT_DIR/shallow`): it takes them for ones that add every file."""
        listed = read_plain(os.path.join(self.repo.common_dir, "shallow"), _MAX_SHALLOW_BYTES) or b""
        return frozenset(listed.decode("ascii", "replace").split())

    def ancestors(self, tip: str, oids: Iterable[str]) -> set[str]:
        """Return those of these commits that are here and that `tip` is, or descends from."""
        asked = [oid for oid in dict.fromkeys(oids) if is_oid(oid)]
        if not asked:
            return set()
        beyond = self._beyond(tip, asked)
        if beyond is None:
            return {oid for oid in asked if is_ancestor(self.repo, oid, tip)}
        within = [oid for oid in asked if oid not in beyond]
        unknown = [oid for oid in within if oid not in self._here]
        if unknown:
            self._here |= dict(zip(unknown, are_here(self.repo, unknown), strict=True))
        return {oid for oid in within if self._here[oid]}

    def bases(self, tip: str, heads: Iterable[str]) -> dict[str, str]:
        """Return the merge base with `tip` of each of `heads` that is here, and that `tip` is not, nor descends from."""
        asked = [oid for oid in dict.fromkeys(heads) if is_oid(oid)]
        beyond = self._beyond(tip, asked) if asked else None
        found: dict[str, str] = {}
        for head in asked if beyond else ():
            assert beyond is not None
            base = self._best_of(_edge(beyond, head)) if head in beyond else None
            if base is not None:
                found[head] = base
        return found

    def changed(self, pairs: Sequence[Pair]) -> list[frozenset[bytes]]:
        """Return the paths that differ between the commits of each pair."""
        asked = [pair for pair in dict.fromkeys(pairs) if pair not in self._changed]
        for chunk in _apart(asked):
            said = run_git([*_DIFF, "-z", "--raw", "--no-abbrev"], cwd=self.repo.git_dir, input=_listed(chunk), check=False)
            paths = _by_commit(said, {new for _, new in chunk})
            self._changed |= {(old, new): paths.get(new, frozenset()) for old, new in chunk}
        return [self._changed[pair] for pair in pairs]

    def patch_ids(self, pairs: Sequence[Pair]) -> list[str]:
        """Return `git patch-id --stable` of the change of each pair, or "" where it changes nothing or git takes too long."""
        asked = [pair for pair in dict.fromkeys(pairs) if pair not in self._patch_ids]
        for chunk in _apart(asked):
            with tempfile.TemporaryFile() as file:  # a pipe would have to be fed while the other end is read
                file.write(_listed(chunk))
                file.seek(0)
                child = pipe_git([*_DIFF, "-p"], ["patch-id", "--stable"], cwd=self.repo.git_dir, stdin=file.fileno())
                try:
                    said = child.finish(check=False, patience_s=PATIENCE_S)
                except RepoError:
                    said = b""
            ids = {new: patch_id for patch_id, new in (line.split() for line in said.decode("ascii", "replace").splitlines())}
            self._patch_ids |= {(old, new): ids.get(new, "") for old, new in chunk}
        return [self._patch_ids[pair] for pair in pairs]

    def _beyond(self, tip: str, oids: Sequence[str]) -> dict[str, tuple[str, ...]] | None:
        """Return the commits that `oids` reach and `tip` does not, each with its parents; None where they are too many to tell."""
        args = ["rev-list", "--parents", "--ignore-missing", f"--max-count={_MAX_WALKED}", "--stdin"]
        child = Child(args, cwd=self.repo.git_dir, input="".join(f"{name}\n" for name in (*oids, f"^{tip}")).encode())
        said = child.finish(check=False).decode("ascii", "replace")
        lines = [line.split() for line in said.splitlines()]
        if child.code or len(lines) >= _MAX_WALKED:
            return None
        return {line[0]: tuple(line[1:]) for line in lines}

    def _best_of(self, edge: frozenset[str]) -> str | None:
        """Return the best of the common ancestors in which a walk ended: one from which no other of them descends."""
        if len(edge) < 2:
            return next(iter(edge), None)
        if edge not in self._best:
            said = run_git(["merge-base", "--independent", *sorted(edge)], cwd=self.repo.git_dir, check=False)
            self._best[edge] = next(iter(said.decode("ascii", "replace").split()), None)
        return self._best[edge]


def _edge(beyond: dict[str, tuple[str, ...]], head: str) -> frozenset[str]:
    """Return where the history of `head` leaves the commits that only one side has."""
    seen, waiting, edge = {head}, [head], set()
    while waiting:
        for parent in beyond[waiting.pop()]:
            if parent not in beyond:
                edge.add(parent)
            elif parent not in seen:
                seen.add(parent)
                waiting.append(parent)
    return frozenset(edge)


def _apart(pairs: Sequence[Pair]) -> list[list[Pair]]:
    """Return the pairs in lists in which no newer commit is twice: git names only that one in its answer."""
    chunks: list[dict[str, str]] = []
    for old, new in pairs:
        chunk = next((chunk for chunk in chunks if new not in chunk), None)
        if chunk is None:
            chunks.append(chunk := {})
        chunk[new] = old
    return [[(old, new) for new, old in chunk.items()] for chunk in chunks]


def _listed(pairs: Iterable[Pair]) -> bytes:
    """Return what `git diff-tree --stdin` wants: a commit, and the one that it is to take for its parent."""
    return "".join(f"{new} {old}\n" for old, new in pairs).encode()


def _by_commit(said: bytes, oids: Iterable[str]) -> dict[str, frozenset[bytes]]:
    """Return the paths of each commit in what `--raw -z` printed for several."""
    wanted = {oid.encode(): oid for oid in oids}
    fields: dict[str, list[bytes]] = {}
    current: list[bytes] = []
    for field in said.split(b"\0"):
        if field in wanted and len(current) % 2 == 0:  # in the place of a path (every second field) it would be one
            current = fields[wanted[field]] = []
        elif field:
            current.append(field)
    return {oid: frozenset(change.path for change in parse_raw([*found, b""])) for oid, found in fields.items()}
