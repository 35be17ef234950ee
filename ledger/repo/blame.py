"""Which commit a line of a file stems from: `git blame --porcelain`, of a commit and never of the work tree.

The work tree's own content is not asked about: git would run its clean filters, which are programs that the audited repository
names. For the same reason text conversion is off.

No setting applies, neither the repository's nor the user's. `blame.ignoreRevsFile` would show another's commit in the place of the
one that wrote a line, git cannot be told to forget it (2.39), and it fails where the file is not there. So git is asked in a git
directory made for the question, which borrows the objects and has no settings.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from ledger.errors import RepoError
from ledger.repo.git import Child, git_env
from ledger.repo.gitdir import GitDir
from ledger.repo.quoted import unquote_path

_NAMES_NOTHING = ("fatal: no such path", "fatal: file ", "fatal: -L", "fatal: unable to parse -L", "fatal: no match")
_USAGE = 129  # how git ends where it cannot read its options; of ours only a span can be at fault
PATIENCE_S = 600.0  # a large file with a long history takes its time; a FIFO in the place of an object takes for ever


class NoLines(RepoError):
    """What was asked for is not there: no such path, or no such lines."""


class BlamedLine(NamedTuple):
    """One line of a file: its number, the commit that it stems from, and its number, its file and its bytes there.

    `boundary` says that git looked no further: the commit is a root, or the history is shallow. `head` is what git said before the
    line itself, as it said it: the line of numbers and the headers.
    """

    number: int
    oid: str
    original: int
    path: bytes
    text: bytes
    boundary: bool
    head: bytes


def blame_file(repo: GitDir, oid: str, path: bytes, spans: Sequence[str] = ()) -> list[BlamedLine]:
    """Return the lines of `path` (from the root) at the commit `oid`; `spans` are limits as git's -L takes them.

    Raises NoLines where they name nothing, RepoError where git fails.
    """
    if "" in spans:  # git would take the next word for the span
        raise NoLines("-L '': not a range that git blame takes")
    args = ["blame", "--no-textconv", "--no-progress", "--porcelain", *(f"-L{span}" for span in spans)]
    args += [oid, "--", os.fsdecode(path)]
    with _without_settings(repo, oid) as (folder, env):
        child = Child(args, cwd=folder, env=env)
        said = child.finish(check=False, patience_s=PATIENCE_S)
    if child.code == _USAGE and spans:
        raise NoLines(f"-L {' or '.join(repr(span) for span in spans)}: not a range that git blame takes")
    if child.code and child.complaint.startswith(_NAMES_NOTHING):
        raise NoLines(child.complaint.removeprefix("fatal: "))
    if child.code:
        raise RepoError(f"git blame failed with {child.code}: {child.complaint}")
    return parse_porcelain(said)


@contextmanager
def _without_settings(repo: GitDir, oid: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Make a git directory with this repository's objects and none of its settings; yield it, and the environment to ask there."""
    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(os.path.join(folder, "refs"))
        for name in ("objects", "shallow"):  # where the history is shallow, git looks no further here either
            os.symlink(os.path.join(repo.common_dir, name), os.path.join(folder, name))
        with open(os.path.join(folder, "HEAD"), "x") as file:
            file.write("ref: refs/heads/none\n")
        with open(os.path.join(folder, "config"), "x") as file:
            file.write("[core]\nrepositoryFormatVersion = 1\nbare = true\n")
            if len(oid) == 64:
                file.write("[extensions]\nobjectFormat = sha256\n")
        yield folder, {**git_env(), "GIT_DIR": folder, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}


def parse_porcelain(data: bytes) -> list[BlamedLine]:
    """Return the lines that git-blame(1), THE PORCELAIN FORMAT, tells of: `oid original final [count]`, headers, TAB content."""
    lines: list[BlamedLine] = []
    paths: dict[bytes, bytes] = {}
    borders: set[bytes] = set()
    names: dict[bytes, str] = {}
    oid, original, number = b"", 0, 0
    head: list[bytes] = []
    for line in data.split(b"\n"):
        if line.startswith(b"\t"):
            name = names.get(oid)
            if name is None:
                name = names[oid] = oid.decode("ascii", "replace")
            said = b"".join(each + b"\n" for each in head)
            lines.append(BlamedLine(number, name, original, paths.get(oid, b""), line[1:], oid in borders, said))
            head = []
            continue
        head.append(line)
        word, _, rest = line.partition(b" ")
        if len(word) in (40, 64) and not word.strip(b"0123456789abcdef"):
            numbers = rest.split(b" ")
            oid, original, number = word, int(numbers[0]), int(numbers[1])
        elif word == b"filename":
            paths[oid] = unquote_path(rest)  # git repeats it for a commit wherever it changes
        elif word == b"boundary":
            borders.add(oid)
    return lines
