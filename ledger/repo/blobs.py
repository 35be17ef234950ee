"""Git's ids for what lies in a work tree, without writing anything (gitformat-pack(5): blob = "blob <size>\\0" ‖ bytes).

Clean filters and line-ending conversion are not applied: such a file gets the id of its bytes as they lie there, so its link is at
worst weaker than it could be, never stronger.
"""

from __future__ import annotations

import hashlib
import os
import stat

MAX_FILE_BYTES = 32 << 20
TOO_LARGE = "too large"  # stands where a blob id would, for a file that is not read


def blob_id(path: str, object_format: str) -> str | None:
    """Return the blob id of the file or link at `path`; None where there is none, TOO_LARGE for one that we do not read."""
    try:
        found = os.lstat(path)
        if stat.S_ISLNK(found.st_mode):
            return hash_blob(os.fsencode(os.readlink(path)), object_format)
        if not stat.S_ISREG(found.st_mode):
            return None
        if found.st_size > MAX_FILE_BYTES:
            return TOO_LARGE
        with open(path, "rb") as file:
            return hash_blob(file.read(), object_format)
    except OSError:
        return None


def hash_blob(data: bytes, object_format: str) -> str:
    """Return git's id of a blob with these bytes; `object_format` is `sha1` or `sha256`."""
    digest = hashlib.sha256() if object_format == "sha256" else hashlib.sha1(usedforsecurity=False)
    digest.update(b"blob %d\0" % len(data))
    digest.update(data)
    return digest.hexdigest()


def path_inside(work_tree: str, cwd: str | None, path: str) -> bytes | None:
    """Return `path` (absolute, or relative to `cwd`) relative to the work tree, in bytes; None where it lies outside.

    Links on the way are followed, the last part is not: git records the link itself.
    """
    whole = os.path.join(cwd or work_tree, path).rstrip(os.sep) or os.sep
    if "\0" in whole:
        return None
    folder, name = os.path.split(whole)
    # A `..` behind a link leads out of where the link leads to, so only the system can say where.
    real = os.path.realpath(whole) if name in (".", "..") else os.path.join(os.path.realpath(folder), name)
    if not real.startswith(work_tree.rstrip(os.sep) + os.sep):
        return None
    inside = os.fsencode(os.path.relpath(real, work_tree))
    return None if inside.split(b"/")[0] == b".git" else inside
