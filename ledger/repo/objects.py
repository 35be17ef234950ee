"""Commits as they are stored: through libgit2 where it opens the repository, else through `git cat-file`.

Both read the object's own bytes and share one parser, for libgit2 drops the parents of a shallow boundary, and the verifier asks
what the commit says. libgit2 cannot open SHA-256 or reftable repositories, and raises KeyError for what a partial clone promised;
a commit that it does not find is asked of git once more. pygit2 is imported here and nowhere else, and only when used.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

from ledger.errors import RepoError
from ledger.repo.catfile import Info, ObjectReader
from ledger.repo.commits import is_oid
from ledger.repo.gitdir import GitDir

MAX_COMMIT_BYTES = 16 << 20
_BATCH = 800


class CommitObject(NamedTuple):
    """A commit's own words: ids in hex, and the message as bytes (nobody promises an encoding)."""

    oid: str
    tree: str
    parents: tuple[str, ...]
    message: bytes


class Source(Protocol):
    """Where the bytes of commits come from."""

    def read(self, oids: Sequence[str]) -> Iterator[bytes | None]:
        """Yield, for each of `oids` in order, the bytes of that commit, or None where it is not here or no commit."""
        ...


class Objects:
    """The commits of one repository."""

    def __init__(self, repo: GitDir, *, source: Source | None = None) -> None:
        self._source = source or open_source(repo)

    def commit(self, oid: str) -> CommitObject | None:
        """Return one commit by its full id, or None where it is not here, or no commit."""
        return next(self.commits([oid]))

    def commits(self, oids: Sequence[str]) -> Iterator[CommitObject | None]:
        """Yield what `commit` says of each of `oids`, in order. What is not an object id is not here."""
        asked = [oid for oid in oids if is_oid(oid)]
        found = self._source.read(asked)
        for oid in oids:
            data = next(found) if is_oid(oid) else None
            yield None if data is None else parse_commit(oid, data)


def parse_commit(oid: str, data: bytes) -> CommitObject | None:
    """Return what the bytes of a commit object say, or None where they are no commit (git-commit-tree(1))."""
    header, _, message = data.partition(b"\n\n")
    lines = header.split(b"\n")
    if not lines[0].startswith(b"tree "):
        return None
    parents: list[str] = []
    for line in lines[1:]:
        if not line.startswith(b"parent "):
            break
        parents.append(line[7:].decode("ascii", "replace"))
    return CommitObject(oid, lines[0][5:].decode("ascii", "replace"), tuple(parents), message)


def open_source(repo: GitDir) -> Source:
    """Return the quickest source that can read `repo`."""
    try:
        return LibgitSource(repo)
    except (ImportError, RepoError):
        return CatFileSource(repo)


class LibgitSource:
    """Reads through pygit2. Raises RepoError for repositories that libgit2 does not open."""

    def __init__(self, repo: GitDir) -> None:
        import pygit2

        try:
            self._repository: Any = pygit2.Repository(repo.git_dir)
        except Exception as error:  # libgit2's errors come as several unrelated classes
            raise RepoError(f"libgit2 cannot open {repo.git_dir}: {error}") from error
        self._commit_type = pygit2.GIT_OBJECT_COMMIT
        self._fallback = CatFileSource(repo)

    def read(self, oids: Sequence[str]) -> Iterator[bytes | None]:
        """See Source."""
        found = [self._read_one(oid) for oid in oids]
        absent = [oid for oid, data in zip(oids, found, strict=True) if data is None]
        others = self._fallback.read(absent)
        for data in found:
            yield next(others) if data is None else data

    def _read_one(self, oid: str) -> bytes | None:
        try:
            kind, data = self._repository.read(oid)
        except Exception:  # absent, damaged, a promised object: git has the last word
            return None
        return bytes(data) if kind == self._commit_type else None


class CatFileSource:
    """Reads through `git cat-file`: whatever git itself can open. Looks at type and size before it asks for bytes."""

    def __init__(self, repo: GitDir) -> None:
        self._repo = repo

    def read(self, oids: Sequence[str]) -> Iterator[bytes | None]:
        """See Source."""
        if not oids:
            return
        with ObjectReader(self._repo) as reader:
            for start in range(0, len(oids), _BATCH):
                infos = reader.infos(oids[start : start + _BATCH])
                for info in infos:
                    yield reader.take([info])[0] if info is not None and _is_commit(info) else None


def _is_commit(info: Info) -> bool:
    return info.type == "commit" and info.size <= MAX_COMMIT_BYTES
