"""What lies in a work tree now: which paths differ from HEAD, and a path's state as far as it can be read without running anything.

`git status` would run the clean filters that the repository names, so the same is asked in three questions that do not: what
differs between HEAD and the index, between the index and the files' stat data, and which files are neither known nor ignored.
Where a file's stat data is too young to be trusted git reads it, through its filters; these are switched off by name.
"""

from __future__ import annotations

import os
import stat
import time
from typing import NamedTuple

from ledger.errors import RepoError
from ledger.repo.blobs import MAX_FILE_BYTES, TOO_LARGE, hash_blob
from ledger.repo.git import Child, run_git, start_git
from ledger.repo.gitdir import GitDir, find_repository, read_plain
from ledger.repo.heads import read_head
from ledger.repo.index import sign

MAX_TEXT_BYTES = 1 << 20
MAX_PATHS = 2000
_MAX_SAID = 4 << 20
_EMPTY_TREE = {
    "sha1": "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
    "sha256": "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321",
}


class FileState(NamedTuple):
    """A path as it lies there: `blob` is git's id of its bytes (None where nothing is, TOO_LARGE unread), `mode` git's, 0 for none.

    `text` is there for a text of bearable size. `signature` changes whenever the file does; `at_ms` is when it last did.
    """

    blob: str | None
    mode: int
    text: bytes | None
    signature: str
    at_ms: int


class Look(NamedTuple):
    """Paths that differ from HEAD, each with blob and mode that it had in the index, or in HEAD; None and 0 where it had none.

    Not `whole` where time or room was used up: then there may be more.
    """

    paths: dict[bytes, tuple[str | None, int]]
    whole: bool


def read_state(repo: GitDir, path: bytes, object_format: str) -> FileState:
    """Return the state of a path of the work tree. Links are not followed, what is neither file nor link is not opened."""
    place = os.path.join(os.fsencode(repo.work_tree or ""), path)
    try:
        found = os.lstat(place)
        signature, at_ms = sign(found), found.st_ctime_ns // 1_000_000
        if stat.S_ISLNK(found.st_mode):
            return FileState(hash_blob(os.readlink(place), object_format), 0o120000, None, signature, at_ms)
        if stat.S_ISDIR(found.st_mode):
            return _read_submodule(place, signature, at_ms)
        if not stat.S_ISREG(found.st_mode):
            return FileState(None, 0, None, signature, at_ms)
        mode = 0o100755 if found.st_mode & 0o100 else 0o100644
        if found.st_size > MAX_FILE_BYTES:
            return FileState(TOO_LARGE, mode, None, signature, at_ms)
        data = _read(place)
    except OSError:
        return FileState(None, 0, None, "", _gone_ms(place))
    return FileState(hash_blob(data, object_format), mode, data if is_text(data) else None, signature, at_ms)


def _gone_ms(place: bytes) -> int:
    """Return when something was last taken out of the folder that a path would be in, 0 where that cannot be said."""
    while b"/" in place.strip(b"/"):
        place = place.rpartition(b"/")[0]
        try:
            return os.lstat(place).st_mtime_ns // 1_000_000
        except OSError:
            continue
    return 0


def is_text(data: bytes) -> bool:
    """Say whether a line diff of these bytes means something: git's own test for NUL, and a bound."""
    return len(data) <= MAX_TEXT_BYTES and b"\0" not in data[:8000]


def look(repo: GitDir, object_format: str, budget_s: float) -> Look:
    """Return what differs from HEAD in a work tree, or what was found of it within `budget_s`. Raises RepoError without git."""
    if budget_s <= 0:
        return Look({}, False)
    until = time.monotonic() + budget_s
    head = read_head(repo) or _EMPTY_TREE[object_format]
    off = _switch_filters_off(repo)
    asked = [
        [*off, "diff-index", "--cached", "--raw", "-z", "--no-abbrev", "--no-renames", "--ignore-submodules=none", head, "--"],
        [*off, "diff-files", "--raw", "-z", "--no-abbrev", "--no-renames", "--ignore-submodules=dirty"],
        ["ls-files", "--others", "--exclude-standard", "-z"],
    ]
    children: list[Child] = []
    said: list[bytes] = []
    whole = True
    try:
        children += [start_git(args, cwd=repo.work_tree or repo.git_dir) for args in asked]
    finally:
        for child in children:
            try:
                left = max(0.001, until - child.started)
                answer = child.finish(check=False, patience_s=left, limit=_MAX_SAID)
            except RepoError:
                answer, whole = b"", False
            whole = whole and child.code == 0 and len(answer) <= _MAX_SAID
            said.append(answer)
    paths: dict[bytes, tuple[str | None, int]] = {}
    for answer in said[:2]:
        paths |= _parse_raw(answer)
    for path in said[2].split(b"\0")[:-1]:
        if not path.endswith(b"/"):  # another repository
            paths.setdefault(path, (None, 0))
    if len(paths) > MAX_PATHS:
        return Look(dict(list(paths.items())[:MAX_PATHS]), False)
    return Look(paths, whole)


class Cleanness:
    """Whether paths are as the index has them, as git sees it: asked once, when somebody wants to know of the first."""

    def __init__(self, repo: GitDir) -> None:
        self._repo = repo
        self._dirty: set[bytes] | None = None
        self._is_known = False

    def of(self, path: bytes) -> bool:
        """Say whether git takes what lies at a tracked path for what its index has; no where it cannot say."""
        if not self._is_known:
            self._is_known = True
            asked = [
                *_switch_filters_off(self._repo),
                "diff-files",
                "--name-only",
                "-z",
                "--no-renames",
                "--ignore-submodules=dirty",
            ]
            try:
                said = run_git(asked, cwd=self._repo.work_tree or self._repo.git_dir, patience_s=1.0)
                self._dirty = set(said.split(b"\0"))
            except RepoError:
                pass
        return self._dirty is not None and path not in self._dirty


def _parse_raw(data: bytes) -> dict[bytes, tuple[str | None, int]]:
    """Parse `--raw -z`: `:mode mode blob blob status NUL path NUL`; what is cut off at the end is left out."""
    fields = data.split(b"\0")
    found: dict[bytes, tuple[str | None, int]] = {}
    for at in range(0, len(fields) - 2, 2):
        words = fields[at].split(b" ")
        if len(words) == 5:
            blob = words[2].decode("ascii", "replace")
            found[fields[at + 1]] = (blob if blob.strip("0") else None, int(words[0].lstrip(b":"), 8))
    return found


def _switch_filters_off(repo: GitDir) -> list[str]:
    """Return the options that keep git from running the filters that are configured: programs, perhaps the repository's."""
    names = ["lfs"]
    own = [
        read_plain(os.path.join(repo.common_dir, "config"), 1 << 20),
        read_plain(os.path.join(repo.git_dir, "config.worktree"), 1 << 20),
    ]
    if any(word in (text or b"").lower() for text in own for word in (b"filter", b"include")) or _is_configured():
        said = run_git(
            ["config", "--null", "--name-only", "--get-regexp", r"^filter\."], cwd=repo.git_dir, check=False, patience_s=1.0
        )
        found = os.fsdecode(said).split("\0")
        names += [name[len("filter.") : name.rfind(".")] for name in found if name.count(".") >= 2]
    off = []
    for name in dict.fromkeys(names):
        off += ["-c", f"filter.{name}.clean=", "-c", f"filter.{name}.process=", "-c", f"filter.{name}.required=false"]
    return off


def _is_configured() -> bool:
    """Say whether the user's own configuration speaks of filters, LFS's apart."""
    home = os.path.expanduser("~")
    places = [
        os.environ.get("GIT_CONFIG_GLOBAL") or os.path.join(home, ".gitconfig"),
        os.path.join(os.environ.get("XDG_CONFIG_HOME") or os.path.join(home, ".config"), "git", "config"),
    ]
    for place in places:
        text = (read_plain(place, 1 << 20) or b"").lower().replace(b'[filter "lfs"]', b"")
        if b"[filter" in text or b"[include" in text:
            return True
    return False


def _read(place: bytes) -> bytes:
    descriptor = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError("not a file any more")
        return file.read(MAX_FILE_BYTES + 1)


def _changed_ms(place: str) -> int:
    try:
        return os.lstat(place).st_ctime_ns // 1_000_000
    except OSError:
        return 0


def _read_submodule(place: bytes, signature: str, at_ms: int) -> FileState:
    """Return the commit that a submodule has checked out: that is what git records of it.

    Its folder does not change when the files below it do, so that git's own files there say when HEAD last moved.
    """
    try:
        inner = find_repository(os.fsdecode(place))
        if inner.work_tree == os.path.realpath(os.fsdecode(place)):
            head = read_head(inner)
            at_ms = max(at_ms, *(_changed_ms(os.path.join(inner.git_dir, name)) for name in ("HEAD", "logs/HEAD")))
            return FileState(head or None, 0o160000, None, f"{signature} {head}", at_ms)
    except (RepoError, OSError):
        pass
    return FileState(None, 0, None, signature, at_ms)
