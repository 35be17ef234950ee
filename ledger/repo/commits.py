"""What a commit is: its tree, parents, message, changed paths and patch-id, by the git command line alone."""

from __future__ import annotations

import os
import zlib
from typing import NamedTuple

from ledger.errors import RepoError
from ledger.repo.git import PATIENCE_S, Child, pipe_git, run_git, start_git
from ledger.repo.gitdir import GitDir, read_plain

MAX_PATCH_BYTES = 4 << 20  # of a patch that is read here
# Of a binary file a patch has only its ids, and patch-id counts them: abbreviated they depend on how many objects there are.
PLAIN = ("--no-renames", "--no-ext-diff", "--no-textconv", "--no-color", "--full-index")
_DIFF = ("diff-tree", "-r", "--root", "--no-commit-id", *PLAIN)
_RAW = ("-c", "-z", "--raw", "--no-abbrev")


LINK, SUBMODULE = 0o120000, 0o160000


class PathChange(NamedTuple):
    """One changed path: git's status letter, the path's bytes, and the blob id after it (None where the path is gone).

    `mode` is git's, after it: 0 where the path is gone, or where this was not read from git.
    `before` is the blob id that the only parent has there; None where it has none, of a merge, and where that was not asked.
    """

    status: str
    path: bytes
    blob: str | None
    mode: int = 0
    before: str | None = None

    @property
    def is_file(self) -> bool:
        """Say whether it may have lines: the target of a link and the commit of a submodule are none."""
        return self.mode not in (LINK, SUBMODULE)


class CommitFacts(NamedTuple):
    """What the repository says of a commit. For a merge, `paths` are those that differ from every parent."""

    oid: str
    tree: str
    parents: tuple[str, ...]
    message: bytes
    paths: tuple[PathChange, ...]
    patch_id: str


def is_oid(text: object) -> bool:
    """Say whether `text` is a full object id, in SHA-1 or SHA-256."""
    return isinstance(text, str) and len(text) in (40, 64) and not text.strip("0123456789abcdef")


def read_commit(repo: GitDir, oid: str) -> CommitFacts | None:
    """Return the facts of the commit `oid`, or None where it is not here or no commit. Raises RepoError where git does not end."""
    patch = _start_patch_id(repo, oid)
    changes = start_git([*_DIFF, *_RAW, oid], cwd=repo.git_dir)
    patch_id = _take_patch_id(patch)
    found = changes.finish(check=False, patience_s=PATIENCE_S)
    return _build(repo, oid, found, patch_id) if changes.code == 0 else None


def read_commit_and_patch(repo: GitDir, oid: str) -> tuple[CommitFacts | None, bytes | None]:
    """Return the facts of a commit as `read_commit` does, and its patch, of a merge the combined one; None for one too large."""
    asked = start_git([*_DIFF, *_RAW, "-p", oid], cwd=repo.git_dir)  # one walk over the trees for both
    try:
        said = asked.finish(check=False, patience_s=PATIENCE_S, limit=MAX_PATCH_BYTES)
    except RepoError:
        said = b""
    if asked.code != 0 or len(said) > MAX_PATCH_BYTES:
        return read_commit(repo, oid), None
    found, _, patch = said.partition(b"\0\0")  # no field of the list is empty, and what ends it is a NUL of its own
    patch_id = (
        _take_patch_id(Child(["patch-id", "--stable"], cwd=repo.git_dir, input=patch)) if patch and found[:2] != b"::" else ""
    )
    return _build(repo, oid, found, patch_id), patch


def _take_patch_id(asked: Child) -> str:
    try:
        said = asked.finish(check=False, patience_s=PATIENCE_S)
    except RepoError:
        return ""  # a gigantic patch, or attributes that cannot be read: the commit counts more
    return said.partition(b" ")[0].decode("ascii", "replace").strip()


def _build(repo: GitDir, oid: str, changes: bytes, patch_id: str) -> CommitFacts | None:
    """Return the facts of a commit whose changed paths git has listed."""
    raw = _read_loose(repo.common_dir, oid)
    if raw is None:
        raw = run_git(["cat-file", "commit", oid], cwd=repo.git_dir, check=False, patience_s=PATIENCE_S)
    if not raw.startswith(b"tree "):
        return None
    tree, parents, message = parse_commit(raw)
    return CommitFacts(oid, tree, parents, message, tuple(parse_raw(changes.split(b"\0"))), patch_id if len(parents) < 2 else "")


def parse_commit(raw: bytes) -> tuple[str, tuple[str, ...], bytes]:
    """Return tree, parents and message of a commit object's content."""
    header, _, message = raw.partition(b"\n\n")
    tree, parents = "", []
    for line in header.split(b"\n"):
        name, _, value = line.partition(b" ")
        if name == b"tree" and not tree:
            tree = value.decode("ascii", "replace")
        elif name == b"parent":
            parents.append(value.decode("ascii", "replace"))
    return tree, tuple(parents), message


def new_commits(repo: GitDir, old: str, new: str, limit: int, *, since: int = 0, committer: str = "") -> list[str]:
    """Return the commits that `new` has and neither `old` nor a remote branch has, oldest first, at most `limit`.

    With `since` (seconds since 1970) only those committed at or after it, with `committer` only those of this e-mail address.
    """
    args = ["rev-list", "--reverse", f"--max-count={limit}"]
    if since:
        args.append(f"--max-age={since}")
    if committer:
        args += ["--fixed-strings", f"--committer=<{committer}>"]
    args += [new, "--not", "--remotes"]
    if old:
        args.append(old)
    return run_git(args, cwd=repo.git_dir, check=False, patience_s=PATIENCE_S).decode("ascii", "replace").split()


def root_commits(repo: GitDir) -> list[str]:
    """Return the parentless commits reachable from HEAD; none on an unborn branch."""
    return run_git(["rev-list", "--max-parents=0", "HEAD", "--"], cwd=repo.git_dir, check=False).decode("ascii", "replace").split()


def object_format(repo: GitDir) -> str:
    """Return `sha1` or `sha256`."""
    return run_git(["rev-parse", "--show-object-format"], cwd=repo.git_dir, patience_s=PATIENCE_S).decode().strip()


def identity(repo: GitDir) -> dict[str, str]:
    """Return `user.name` and `user.email` of git's configuration, where they are set: claims, not evidence."""
    asked = ["config", "--null", "--get-regexp", r"^user\.(name|email)$"]
    said = run_git(asked, cwd=repo.git_dir, check=False, patience_s=PATIENCE_S)
    found = {}
    for item in said.decode("utf-8", "replace").split("\0"):
        name, _, value = item.partition("\n")
        if value:
            found["git_" + name.partition(".")[2]] = value
    return found


def _start_patch_id(repo: GitDir, oid: str) -> Child:
    return pipe_git([*_DIFF, "-p", oid], ["patch-id", "--stable"], cwd=repo.git_dir)


def _read_loose(common_dir: str, oid: str) -> bytes | None:
    """Return a commit object's content where it is loose, as a commit that was just made is."""
    data = read_plain(os.path.join(common_dir, "objects", oid[:2], oid[2:]), 1 << 24)
    try:
        header, _, content = zlib.decompress(data or b"").partition(b"\0")
    except zlib.error:
        return None
    return content if header.startswith(b"commit ") else None


def parse_raw(fields: list[bytes]) -> list[PathChange]:
    """Parse the fields of `--raw -z`: `:mode mode blob blob status NUL path NUL`, with more colons, modes and blobs for a merge."""
    changes = []
    for at in range(0, len(fields) - 1, 2):
        words = fields[at].decode("ascii", "replace").lstrip(":").split(" ")
        blob, status, mode = words[-2], words[-1], words[len(words) // 2 - 1]  # the last of as many modes as blobs
        before = words[-3] if len(words) == 5 and set(words[-3]) != {"0"} else None
        changes.append(PathChange(status[-1:], fields[at + 1], None if set(blob) == {"0"} else blob, int(mode, 8), before))
    return changes
