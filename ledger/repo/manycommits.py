"""What `ledger.repo.commits` says of one commit, for many at once: a handful of children, however many commits.

Git is told which commits on its standard input, and answers in their order.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ledger.repo.catfile import ObjectReader
from ledger.repo.commits import LINK, PLAIN, SUBMODULE, PathChange, parse_raw
from ledger.repo.git import Child, pipe_git, run_git
from ledger.repo.gitdir import GitDir
from ledger.repo.objects import MAX_COMMIT_BYTES
from ledger.repo.quoted import unquote_path

_DIFF = ("-r", "--root", *PLAIN)
_hunk = re.compile(rb"@@ -[0-9]+(?:,[0-9]+)? \+([0-9]+)(?:,([0-9]+))? @@").match

_NO_FILE = (b" %o" % LINK, b" %o" % SUBMODULE)


class Added(NamedTuple):
    """A range of lines, 1-based and inclusive, that a commit added to a path."""

    path: bytes
    first: int
    last: int


def list_commits(repo: GitDir, revisions: Sequence[str], *, limit: int | None = None) -> list[str]:
    """Return the commits of a range (as `git rev-list` takes it), oldest first. Raises RepoError where it names nothing."""
    count = [] if limit is None else [f"--max-count={limit}"]
    args = ["rev-list", "--reverse", "--topo-order", *count, "--end-of-options", *revisions, "--"]
    return run_git(args, cwd=repo.git_dir).decode("ascii", "replace").split()


def reached_from(repo: GitDir, oids: Iterable[str], tips: Sequence[str]) -> set[str]:
    """Return those of these commits that are `tips` or their ancestors; none where git cannot tell."""
    asked = list(oids)
    child = Child(["rev-list", "--stdin"], cwd=repo.git_dir, input=_listed([*asked, *(f"^{tip}" for tip in tips)]))
    beyond = set(child.finish(check=False).decode("ascii", "replace").split())
    return set() if child.code else {oid for oid in asked if oid not in beyond}


def read_commit_objects(repo: GitDir, oids: Iterable[str]) -> dict[str, bytes]:
    """Return the bytes of those of these commits that are here."""
    asked = list(oids)
    found: dict[str, bytes] = {}
    if not asked:
        return found
    with ObjectReader(repo) as reader:
        for info in reader.infos(asked):
            if info is not None and info.type == "commit" and info.size <= MAX_COMMIT_BYTES:
                found[info.oid] = reader.take([info])[0]
    return found


def read_changes(repo: GitDir, oids: Sequence[str]) -> dict[str, tuple[PathChange, ...]]:
    """Return the changed paths of each commit against its parents, as `read_commit` gives them."""
    if not oids:
        return {}
    args = ["diff-tree", "--stdin", *_DIFF, "-c", "-z", "--raw", "--no-abbrev"]
    said = run_git(args, cwd=repo.git_dir, input=_listed(oids), check=False)
    wanted = {oid.encode(): oid for oid in oids}
    found: dict[str, tuple[PathChange, ...]] = {}
    name, fields = "", list[bytes]()
    for field in said.split(b"\0"):
        # A commit's id stands alone; in the place of a path (every second field after it) it would be a path.
        if field in wanted and len(fields) % 2 == 0:
            if name:
                found[name] = tuple(parse_raw(fields))
            name, fields = wanted[field], []
        else:
            fields.append(field)
    if name:
        found[name] = tuple(parse_raw(fields))
    return found


def read_patch_ids(repo: GitDir, oids: Sequence[str]) -> dict[str, str]:
    """Return `git patch-id --stable` of each commit against its first parent, without merges and empty changes."""
    if not oids:
        return {}
    ids: dict[str, str] = {}
    with tempfile.TemporaryFile() as asked:  # a pipe would have to be fed while the other end is read
        asked.write(_listed(oids))
        asked.seek(0)
        diff = ["diff-tree", "--stdin", *_DIFF, "-p"]
        said = pipe_git(diff, ["patch-id", "--stable"], cwd=repo.git_dir, stdin=asked.fileno()).finish(check=False)
    for line in said.decode("ascii", "replace").splitlines():
        patch_id, _, oid = line.partition(" ")
        ids[oid.strip()] = patch_id
    return ids


def read_added(repo: GitDir, oids: Sequence[str]) -> dict[str, list[Added]]:
    """Return the lines that each commit added to files against its first parent; of merges none."""
    if not oids:
        return {}
    args = ["diff-tree", "--stdin", *_DIFF, "-p", "-U0", "--src-prefix=a/", "--dst-prefix=b/"]
    wanted = {oid.encode(): oid for oid in oids}
    found: dict[str, list[Added]] = {oid: [] for oid in oids}
    current: list[Added] = []
    path: bytes | None = None
    is_file = True
    skip = 0
    for line in run_git(args, cwd=repo.git_dir, input=_listed(oids), check=False).split(b"\n"):
        if skip:  # content: it may look like anything
            skip -= not line.startswith(b"\\")
            continue
        if line in wanted:
            current = found[wanted[line]]
        elif line.startswith(b"diff --git "):
            path, is_file = None, True
        elif line.startswith((b"new file mode ", b"index ")) and line.endswith(_NO_FILE):
            is_file = False
        elif line.startswith(b"+++ "):
            named = unquote_path(line[4:].removesuffix(b"\t"))
            path = named[2:] if is_file and named.startswith(b"b/") else None
        elif (match := _hunk(line)) is not None:
            count = int(match[2]) if match[2] is not None else 1
            removed = line.split(b" ")[1].partition(b",")[2]
            skip = count + (int(removed) if removed else 1)
            if path is not None and count:
                current.append(Added(path, int(match[1]), int(match[1]) + count - 1))
    return found


def _listed(oids: Iterable[str]) -> bytes:
    return "".join(f"{oid}\n" for oid in oids).encode()
