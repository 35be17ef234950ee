"""The state folder: what rests outside the repository, and which log a clone appends to (docs/spec/journal.md).

    <state>/logs/<log>/journal.db        the journal
    <state>/logs/<log>/lock              flock taken before every append
    <state>/logs/<log>/seal.lock         flock taken before every seal
    <state>/clones/<sha256 of path>.json the clone map: one file a clone
    <state>/clones/by-inode/<inode>      names of clone maps, so that a moved clone is found without a search
    <state>/clones/by-tree/<sha256 of path> the name of the clone map that a work tree belongs to, whatever its `.git` says by now
    <state>/keys/                        signing keys
    <state>/spool/<log>/                 facts that waited too long for the lock
    <state>/pins.db                      what this machine last verified of every log

Nothing in here is read from the repository or from the environment of an agent, apart from the explicit `--state`.
Every file is written aside and renamed into place: a crash leaves the old one or the new one, and perhaps a `*.tmp-*`.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Mapping
from typing import Any, NamedTuple

from ledger.core.trailer import Head, format_head, parse_head
from ledger.errors import StoreCorrupt, StoreError, StoreFull, StoreReadOnly

SETTINGS_DEFAULT: Mapping[str, Any] = {"required": False, "store": "state", "trailer": True}
_MAX_FILE_BYTES = 1 << 20


class Clone(NamedTuple):
    """One clone as this state folder knows it. `inode` is that of the common dir; `clone` is 32 random hex digits."""

    log: str
    clone: str
    common_dir: str
    inode: int
    host: str
    settings: Mapping[str, Any]


class Found(NamedTuple):
    """What `find_clone` says of a repository.

    `how` is `known`, `moved` (same inode, the old path is gone), `replaced` (same path or same work tree, another inode), `copied`
    (its head file names a log of this state folder) or `unknown`; `clone` is the clone map that it was judged by, None where
    unknown.
    """

    clone: Clone | None
    how: str


def find_state(explicit: str | None = None, common_dir: str | None = None) -> str:
    """Return the absolute path of the state folder.

    The explicit one wins; then the user's, unless only the repository itself holds a state for `common_dir`
    (`ledger.store = git`).
    """
    if explicit:
        return os.path.abspath(explicit)
    base = os.environ.get("XDG_STATE_HOME", "")
    if not os.path.isabs(base):
        base = os.path.join(os.path.expanduser("~"), ".local", "state")
    state = os.path.join(base, "ledger")
    if common_dir is not None:
        inside = state_inside(common_dir)
        # Looked at last: in the repository an agent can write, and a moved clone is not under its path.
        if os.path.exists(os.path.join(inside, "clones")) and find_clone(state, common_dir).how in ("copied", "unknown"):
            return inside
    return state


def state_inside(common_dir: str) -> str:
    """Return where the state folder lies with `ledger.store = git`, for machines whose home does not last."""
    return os.path.join(common_dir, "ledger", "state")


def log_dir(state: str, log: str) -> str:
    """Return the folder of one log."""
    return os.path.join(state, "logs", log)


def journal_path(state: str, log: str) -> str:
    """Return the path of a log's journal."""
    return os.path.join(log_dir(state, log), "journal.db")


def lock_path(state: str, log: str) -> str:
    """Return the path of a log's lock."""
    return os.path.join(log_dir(state, log), "lock")


def seal_lock_path(state: str, log: str) -> str:
    """Return the path of the lock that one sealer of a log at a time holds."""
    return os.path.join(log_dir(state, log), "seal.lock")


def spool_dir(state: str, log: str) -> str:
    """Return the folder of facts that waited too long for the lock of `log`."""
    return os.path.join(state, "spool", log)


def git_spool_dir(common_dir: str) -> str:
    """Return the folder of git facts that could not be signed where they arose."""
    return os.path.join(common_dir, "ledger", "spool")


def head_path(common_dir: str) -> str:
    """Return the path of this user's head file in the common dir."""
    return os.path.join(common_dir, "ledger", f"head-{os.getuid()}")


def clone_path(state: str, common_dir: str) -> str:
    """Return the path of the clone map of the clone whose common dir has the resolved path `common_dir`."""
    name = hashlib.sha256(os.fsencode(common_dir)).hexdigest()
    return os.path.join(state, "clones", name + ".json")


def read_clone(state: str, common_dir: str) -> Clone | None:
    """Return the clone map at `common_dir`'s path, whatever inode is there now, or None."""
    return _read_clone_file(clone_path(state, common_dir))


def find_clone(state: str, common_dir: str, work_tree: str | None = None) -> Found:
    """Say which clone the repository at these resolved paths is. Cost does not grow with the number of clones."""
    try:
        inode = os.stat(common_dir).st_ino
    except OSError as error:
        raise StoreError(f"{common_dir} cannot be read: {error.strerror}") from error
    clone = read_clone(state, common_dir)
    if clone is not None:
        return Found(clone, "known" if clone.inode == inode else "replaced")
    # File systems give the inode of a folder that was removed to a new one: a repository that never had a ledger did not move.
    has_folder = os.path.isdir(os.path.join(common_dir, "ledger"))
    for name in _names_by_inode(state, inode):
        moved = _read_clone_file(os.path.join(state, "clones", name))
        if moved is not None and moved.inode == inode and _inode_at(moved.common_dir) != inode and has_folder:
            return Found(moved, "moved")
    # Whoever can write the work tree can put a `.git` there that leads to a copy elsewhere.
    before = None if work_tree is None else clone_of_tree(state, work_tree)
    if before is not None:
        return Found(before, "replaced")
    head = read_head_file(common_dir)
    if head is not None and os.path.exists(journal_path(state, head.log)):
        return Found(Clone(head.log, "", common_dir, inode, "", {}), "copied")
    return Found(None, "unknown")


def clone_of_tree(state: str, work_tree: str) -> Clone | None:
    """Return the clone map that the work tree at the resolved path `work_tree` belonged to when it was last seen, or None."""
    data = read_regular_file(_tree_path(state, work_tree), 256)
    name = "" if data is None else data.decode("ascii", "replace").rstrip("\n")
    return _read_clone_file(os.path.join(state, "clones", name)) if _is_map_name(name) else None


def note_tree(state: str, common_dir: str, work_tree: str) -> None:
    """Remember that the work tree at the resolved path `work_tree` is one of the clone at `common_dir`."""
    name = os.path.basename(clone_path(state, common_dir)) + "\n"
    path = _tree_path(state, work_tree)
    if read_regular_file(path, 256) != name.encode():
        write_file(path, name.encode())


def settings_of(state: str, log: str) -> Mapping[str, Any]:
    """Return the settings of the clone that appends to `log`; none where no clone map names it. Reads all clone maps."""
    return next((clone.settings for clone in read_clones(state) if clone.log == log), {})


def read_clones(state: str) -> list[Clone]:
    """Return every clone that this state folder knows, in the order of their maps' names. Raises StoreCorrupt.

    A map that is damaged is an error here as everywhere: whoever passes over it would not record and not say so.
    """
    folder = os.path.join(state, "clones")
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
    found = [_read_clone_file(os.path.join(folder, name)) for name in names if _is_map_name(name)]
    return [clone for clone in found if clone is not None]


def write_clone(state: str, clone: Clone) -> None:
    """Write a clone map and its entry under `by-inode`. The map is complete before anything points to it."""
    path = clone_path(state, clone.common_dir)
    value = {"v": 1, **clone._asdict(), "settings": dict(clone.settings)}
    write_file(path, json.dumps(value, indent=1).encode() + b"\n")
    by_inode = os.path.join(state, "clones", "by-inode", str(clone.inode))
    names = [name for name in _names_by_inode(state, clone.inode) if name != os.path.basename(path)]
    write_file(by_inode, "".join(f"{name}\n" for name in [os.path.basename(path), *names[:15]]).encode())


def remove_clone(state: str, common_dir: str) -> None:
    """Remove the clone map of a path that is no more (the clone moved)."""
    try:
        os.unlink(clone_path(state, common_dir))
    except FileNotFoundError:
        pass


def read_head_file(common_dir: str) -> Head | None:
    """Return what this user's head file says, or None. It is a hint: whoever can write the repository can write it."""
    data = read_regular_file(head_path(common_dir), 256)
    if data is None or not data.endswith(b"\n"):
        return None
    return parse_head(data[:-1].decode("ascii", "replace"))


def write_head_file(common_dir: str, head: Head) -> None:
    """Replace the head file. Not synced: it is a hint, and the journal says it again. Never written through a link."""
    folder = open_folder(common_dir, "ledger")
    if folder is None:
        if os.path.lexists(os.path.join(common_dir, "ledger")):
            raise StoreError(f"{common_dir}/ledger is not a folder", remedy="remove it; the next entry makes it anew")
    else:
        os.close(folder)
    write_file(head_path(common_dir), (format_head(head) + "\n").encode(), sync=False, mode=0o644)


def open_folder(anchor: str, *names: str) -> int | None:
    """Return a descriptor of the folder `names` below `anchor`, or None where one of them is missing, or a link.

    An agent can put links into the common dir; without this, one could point us at files of anybody's to read and to remove.
    """
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    try:
        descriptor = os.open(anchor, flags)
        for name in names:
            inner = os.open(name, flags | os.O_NOFOLLOW, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
    except OSError:
        return None
    return descriptor


def read_regular_file(path: str, limit: int, *, dir_fd: int | None = None) -> bytes | None:
    """Return a file's bytes, or None unless it is a regular file (no link) of at most `limit` bytes."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=dir_fd)
    except OSError:
        return None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size > limit:
            return None
        return _read_all(descriptor, limit)
    except OSError:
        return None
    finally:
        os.close(descriptor)


def _read_all(descriptor: int, limit: int) -> bytes | None:
    """Read to the end: one read may bring less than a file holds. None where it has grown past `limit`."""
    parts, size = [], 0
    while chunk := os.read(descriptor, 1 << 20):
        parts.append(chunk)
        size += len(chunk)
        if size > limit:
            return None
    return b"".join(parts)


def write_file(path: str, data: bytes, *, sync: bool = True, mode: int = 0o600) -> None:
    """Write a file aside, sync it, rename it into place and sync its folder. Raises StoreError.

    A crash before the rename leaves `*.tmp-<pid>`, which the next write by the same pid replaces; after it, the new file.
    """
    folder = os.path.dirname(path)
    aside = f"{path}.tmp-{os.getpid()}"
    try:
        make_folder(folder)
        descriptor = _create(aside, mode)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
            if sync:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.rename(aside, path)
        if sync:
            sync_folder(folder)
    except OSError as error:
        raise store_error(error, path) from error


def _create(path: str, mode: int) -> int:
    """Create a new file and return its descriptor; what lies there already goes.

    In the common dir an agent could lay a FIFO there, and we would wait for ever, or a hard link to a file of the user's, and we
    would overwrite that.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        return os.open(path, flags, mode)
    except FileExistsError:
        os.unlink(path)
        return os.open(path, flags, mode)


def make_folder(path: str) -> None:
    """Make a folder and its parents, readable by this user alone. (os.makedirs gives its mode to the last folder only.)"""
    if os.path.isdir(path):
        return
    if (parent := os.path.dirname(path)) != path:
        make_folder(parent)
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        if not os.path.isdir(path):
            raise StoreError(f"{path} is not a folder", remedy="move it away") from None
    except OSError as error:
        raise store_error(error, path) from error


def store_error(error: OSError, path: str) -> StoreError:
    """Return the StoreError that an operating system error at `path` means."""
    import errno

    why = f"{path}: {error.strerror or error}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreFull(f"no space left: {why}", remedy="free some space; what was acknowledged is safe")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return StoreReadOnly(f"cannot write: {why}", remedy="make the folder writable by this user")
    return StoreError(f"the disk failed: {why}", remedy="check the disk and the folder's permissions")


def _read_clone_file(path: str) -> Clone | None:
    data = read_regular_file(path, _MAX_FILE_BYTES)
    if data is None:
        return None
    try:
        value = json.loads(data)
        return Clone(
            log=str(value["log"]),
            clone=str(value["clone"]),
            common_dir=str(value["common_dir"]),
            inode=int(value["inode"]),
            host=str(value["host"]),
            settings={**SETTINGS_DEFAULT, **value["settings"]},
        )
    except (ValueError, KeyError, TypeError) as error:
        raise StoreCorrupt(
            f"the clone map {path} is damaged: {error}", remedy="move the file away and run `ledger init` again; the log is kept"
        ) from error


def _names_by_inode(state: str, inode: int) -> list[str]:
    data = read_regular_file(os.path.join(state, "clones", "by-inode", str(inode)), 4096)
    if data is None:
        return []
    return [name for name in data.decode("ascii", "replace").splitlines() if _is_map_name(name)]


def _is_map_name(name: str) -> bool:
    return len(name) == 69 and name.endswith(".json") and name[:64].isalnum()


def _tree_path(state: str, work_tree: str) -> str:
    return os.path.join(state, "clones", "by-tree", hashlib.sha256(os.fsencode(work_tree)).hexdigest())


def _inode_at(path: str) -> int | None:
    try:
        return os.stat(path).st_ino
    except OSError:
        return None


def sync_folder(path: str) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
