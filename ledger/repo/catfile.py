"""Any object's bytes through `git cat-file`, kept running: two children that answer one question after the other.

One tells type and size, the other gives bytes, so that nothing is read before its size was looked at. Nothing is fetched: whoever
opens connections because somebody's entry names an object can be steered. git-cat-file(1), BATCH OUTPUT.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from ledger.errors import RepoError
from ledger.repo.git import spawn_git
from ledger.repo.gitdir import GitDir

if TYPE_CHECKING:
    from threading import Timer

_SIGKILL = 9
_CHUNK = 200  # names that surely fit one pipe, so that git can be asked them all before its answers are read


class Info(NamedTuple):
    """An object's full id, its type, and the size of its content in bytes."""

    oid: str
    type: str
    size: int


class ObjectReader:
    """Asks `git cat-file`. Use as a context manager: the children end with it.

    With `patience_s` they end when that has passed: an object's file may be a FIFO, for which git waits for ever. What is asked
    then raises RepoError.
    """

    def __init__(self, repo: GitDir, *, patience_s: float | None = None) -> None:
        self._repo = repo
        self._patience_s = patience_s
        self._check: _Batch | None = None
        self._bytes: _Batch | None = None

    def __enter__(self) -> ObjectReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the children."""
        for batch in (self._check, self._bytes):
            if batch is not None:
                batch.close()
        self._check = self._bytes = None

    def infos(self, names: Sequence[str]) -> list[Info | None]:
        """Return type and size of each object that is here; a name is an object id, or `<id>^{tree}`."""
        if self._check is None:
            self._check = _Batch(self._repo, "--batch-check", self._patience_s)
        found: list[Info | None] = []
        while len(found) < len(names):
            chunk = names[len(found) : len(found) + _CHUNK]
            self._check.ask(chunk)
            before = len(found)
            while len(found) < before + len(chunk) and (line := self._check.read_line()) is not None:
                found.append(_parse_info(line))
            if len(found) < before + len(chunk):
                # Git ends where an object is missing that a partial clone was promised: it is not here, the next may be.
                if self._check.gave_up:
                    raise RepoError(f"git cat-file did not end within {self._patience_s:g} s", remedy="see whether git works here")
                self._check.close()
                self._check = _Batch(self._repo, "--batch-check", self._patience_s)
                if len(found) == before and self._is_broken():
                    raise RepoError("git cat-file ended early", remedy="run `git fsck`")
                found.append(None)
        return found

    def _is_broken(self) -> bool:
        """Say whether git cannot even say of an object that never was that it is not here."""
        assert self._check is not None
        self._check.ask(["0" * 40])
        return self._check.read_line() is None

    def read(self, oid: str, limit: int) -> bytes | None:
        """Return the content of the object `oid`, or None where it is not here, or larger than `limit` bytes."""
        (info,) = self.infos([oid])
        return None if info is None or info.size > limit else self.take([info])[0]

    def take(self, infos: Sequence[Info]) -> list[bytes]:
        """Return the contents of objects whose sizes the caller found bearable. Raises RepoError for one that is damaged."""
        if self._bytes is None:
            self._bytes = _Batch(self._repo, "--batch", self._patience_s)
        contents = []
        for start in range(0, len(infos), _CHUNK):
            chunk = infos[start : start + _CHUNK]
            self._bytes.ask([info.oid for info in chunk])
            for info in chunk:
                if _parse_info(self._bytes.line()) != info:
                    raise RepoError(f"git cannot read the object {info.oid}", remedy="run `git fsck`")
                contents.append(self._bytes.exactly(info.size))
                self._bytes.exactly(1)
        return contents


class _Batch:
    """One running `git cat-file`."""

    def __init__(self, repo: GitDir, how: str, patience_s: float | None) -> None:
        self.gave_up = False
        self._clock: Timer | None = None
        stdin, self._to = os.pipe()
        fd, stdout = os.pipe()
        null = os.open(os.devnull, os.O_WRONLY)
        try:
            self._pid = spawn_git(["-c", "protocol.allow=never", "cat-file", how], repo.git_dir, (stdin, stdout, null))
        except BaseException:
            os.close(fd)
            os.close(self._to)
            raise
        finally:
            for descriptor in (stdin, stdout, null):
                os.close(descriptor)
        self._answers = os.fdopen(fd, "rb", buffering=1 << 16)
        if patience_s is not None:
            from threading import Timer  # only where a recorder looks into a ref that somebody moved

            self._clock = Timer(patience_s, self._give_up)
            self._clock.daemon = True
            self._clock.start()

    def _give_up(self) -> None:
        self.gave_up = True
        os.kill(self._pid, _SIGKILL)  # not reaped before `close`, which stops the clock first

    def ask(self, names: Sequence[str]) -> None:
        try:
            os.write(self._to, "".join(f"{name}\n" for name in names).encode())
        except BrokenPipeError:
            pass  # reading its answer says so

    def read_line(self) -> bytes | None:
        """Return git's next line, or None where git ended."""
        line = self._answers.readline()
        return line[:-1] if line.endswith(b"\n") else None

    def line(self) -> bytes:
        line = self.read_line()
        if line is None:
            raise RepoError("git cat-file ended early", remedy="run `git fsck`")
        return line

    def exactly(self, size: int) -> bytes:
        data = self._answers.read(size)
        if len(data) != size:
            raise RepoError("git cat-file ended early", remedy="run `git fsck`")
        return data

    def close(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock.join()
        os.close(self._to)
        self._answers.close()
        os.waitpid(self._pid, 0)


def _parse_info(line: bytes) -> Info | None:
    words = line.decode("ascii", "replace").split(" ")
    if len(words) != 3 or not words[2].isdigit():
        return None  # missing, or ambiguous
    return Info(words[0], words[1], int(words[2]))
