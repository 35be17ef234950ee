"""What lay at a path at each look, and whose each line was: the chain from which a commit's lines are told (docs/linking.md).

These are working notes in the journal, not evidence. A text is kept only where git does not keep it, within bounds, and goes when a
commit has it, when newer ones need its room, or after a month.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ledger.core.linediff import split_text
from ledger.recording.calls import did_run
from ledger.recording.glance import list_known
from ledger.recording.origins import HERE, HUMAN, NEW, UNKNOWN, Origin, carry, claim, less_sure, pack, unpack
from ledger.repo.blobs import TOO_LARGE, hash_blob
from ledger.repo.gitdir import GitDir
from ledger.repo.index import sign_path
from ledger.repo.snapshots import MAX_TEXT_BYTES, FileState, is_text, read_state
from ledger.store.journal import Journal

if TYPE_CHECKING:
    from ledger.repo.catfile import ObjectReader

_KEPT_BYTES = 32 << 20  # of compressed texts
_KEPT_MS = 30 * 24 * 3600 * 1000
_KEPT_VERSIONS = 16  # of a path
_OLDER = 4  # versions that are looked into for what came back
_MAX_SEEN = 4000
_MAX_FETCHED = 16 << 20  # bytes of texts from git, at once
_MAX_LINES = 50_000


class Version(NamedTuple):
    """A version of a path: its lines' origins as they were kept, and its text where it is kept here.

    One that was seen in another work tree of the clone alone is not `own`, and none of its lines is exact: what is equal to it here
    somebody may have typed here.
    """

    id: int
    path: bytes
    blob: str
    runs: list[list[int]]
    text: bytes | None
    own: bool

    def origins(self, lines: int) -> list[Origin]:
        """Return the origins of its lines."""
        return unpack(self.runs, lines)

    def all_origins(self, lines: int) -> list[Origin]:
        """Return the origins of all that was kept of it, and of at least so many lines: where nobody counted them."""
        return self.origins(max(lines, sum(run[0] for run in self.runs)))


class Seen(NamedTuple):
    """A path when it was last looked at."""

    blob: str | None
    mode: int
    signature: str


class Change(NamedTuple):
    """What a look found: the path, and the state before and after it."""

    path: bytes
    before: str | None
    after: str | None
    before_mode: int
    after_mode: int


class Snapshots:
    """The notes on one work tree's paths. Nothing in here raises for what the work tree or git hold.

    With `until`, versions that were noted after the one of this id are not there: it is as it was then.
    """

    def __init__(self, journal: Journal, repo: GitDir, at_ms: int, *, until: int = 2**62) -> None:
        journal.make_later_notes()
        self._journal = journal
        self.repo = repo
        self.at_ms = at_ms
        self._until = until
        self.object_format = journal.meta("object_format") or "sha1"
        self._objects: ObjectReader | None = None
        self._texts: dict[str, bytes | None] = {}

    def close(self) -> None:
        """Let go of git."""
        if self._objects is not None:
            self._objects.close()
            self._objects = None

    # Looking

    def state(self, path: bytes) -> FileState:
        """Return what lies at a path now; nothing where the work tree is not to be looked at."""
        if self.repo.work_tree is None:
            return FileState(None, 0, None, "", 0)  # or the path would be one below whatever folder this process is in
        return read_state(self.repo, path, self.object_format)

    def seen(self, path: bytes) -> Seen | None:
        """Return what lay at a path when it was last looked at, or None."""
        sql = "SELECT blob, mode, signature FROM seen WHERE worktree = ? AND path = ?"
        row = self._journal.one(sql, (self.repo.git_dir, path))
        return None if row is None else Seen(row[0], int(row[1]), str(row[2]))

    def has_changed(self, path: bytes) -> bool:
        """Say whether a path was looked at, and something else lies there now."""
        seen = self.seen(path)
        return seen is not None and sign_path(self.repo, path) != seen.signature

    def is_as_seen(self, path: bytes) -> bool:
        """Say whether a path was looked at, and lies there as it did."""
        seen = self.seen(path)
        return seen is not None and self.repo.work_tree is not None and sign_path(self.repo, path) == seen.signature

    def holds(self, path: bytes, blob: str) -> bool:
        """Say whether what lies at a path is what git has as `blob`, but for line endings."""
        state = self.state(path)
        if state.blob == blob or state.text is None or b"\r\n" not in state.text:
            return state.blob == blob
        return hash_blob(state.text.replace(b"\r\n", b"\n"), self.object_format) == blob

    def stat(self, path: bytes) -> tuple[int, int]:
        """Return a path's size in bytes and when it last changed (`ctime`, in milliseconds); zeros where nothing lies there."""
        try:
            found = os.lstat(os.path.join(os.fsencode(self.repo.work_tree or "/nowhere"), path))
        except OSError:
            return 0, 0
        return found.st_size, found.st_ctime_ns // 1_000_000

    def did_run(self, from_ms: int, to_ms: int) -> bool:
        """Say whether a command ran here between these times that may have written anything."""
        return did_run(self._journal, self.repo, from_ms, to_ms)

    def did_run_since_commit(self) -> bool:
        """Say whether one ran since HEAD was last looked at, and so since the last commit that was recorded."""
        row = self._journal.one("SELECT seen_ms FROM worktree WHERE path = ?", (self.repo.git_dir,))
        return self.did_run(0 if row is None else int(row[0]), 2**62)

    def known_paths(self) -> list[bytes]:
        """Return the paths that were looked at last, the newest first, whose stat data is not what it was."""
        return [path for path, signature in list_known(self._journal, self.repo) if sign_path(self.repo, path) != signature]

    def note(self, path: bytes, state: FileState) -> None:
        """Remember the state of a path as seen now."""
        row = (self.repo.git_dir, path, state.blob, state.mode, state.signature, self.at_ms)
        self._journal.run("INSERT OR REPLACE INTO seen VALUES (?, ?, ?, ?, ?, ?)", row)

    def observe(
        self, path: bytes, fresh: Origin, *, base: tuple[str | None, int] = (None, 0), state: FileState | None = None
    ) -> Change:
        """Look at a path: whatever is new in its text since the last look is `fresh`. `base` is blob and mode before, if not seen.

        A version that is known already is what it was: something was undone, stashed or taken back. But it may as well have been
        typed again, so that none of its lines stays exact. A call that names the path was asked to write what is new since then.
        """
        state = self.state(path) if state is None else state
        seen = self.seen(path)
        before, mode = base if seen is None else (seen.blob, seen.mode)
        if state.blob is not None and (seen is None or seen.blob != state.blob):
            if fresh == HUMAN and self.did_run(state.at_ms, state.at_ms):
                fresh = UNKNOWN  # a command ran when it was written, whose look did not see it
            known = self.find(path, state.blob)
            if known is None or _is_named(fresh):
                self._follow(path, before, state, fresh)
            else:
                self.save(path, state, known.origins(0 if state.text is None else len(split_text(state.text))))
                self.doubt(known)
        if seen is None or seen.signature != state.signature or seen.blob != state.blob:
            self.note(path, state)
        return Change(path, before, state.blob, mode, state.mode)

    def begin(self, path: bytes, whose: Origin = HERE) -> FileState:
        """Look at a path for the first time: what is there was there."""
        state = self.state(path)
        known = self.find(path, state.blob)
        lines = 0 if state.text is None else len(split_text(state.text))
        if known is None:
            self.save(path, state, [whose] * lines)
        else:
            self.save(path, state, known.origins(lines))
            self.doubt(known)  # from another work tree, or typed again in this one
        self.note(path, state)
        return state

    def settle(self, path: bytes, before: str | None, call: int, asked: Mapping[bytes, int]) -> None:
        """Give a call exactly the lines of a path's present text that it was asked for, and that `before` had not."""
        seen = self.seen(path)
        version = None if seen is None else self.find(path, seen.blob)
        text = None if version is None else self.text_of(version)
        if version is None or text is None or not asked:
            return
        old = self.text_of_blob(path, before)
        if old is None:
            return
        lines = split_text(text)
        origins = version.origins(len(lines))
        claimed = claim(set(split_text(old)), lines, origins, call, asked)
        if claimed != origins:
            self.set_origins(version, claimed)

    def _follow(self, path: bytes, before: str | None, state: FileState, fresh: Origin) -> None:
        """Keep the new version of a path with the origins of its lines, carried over from the one before."""
        if state.blob is None or state.text is None:
            return
        lines = split_text(state.text)
        moved = self.find_anywhere(state.blob) if before is None else None
        if moved is not None and self.state(moved.path).blob is not None:
            moved = None  # two files that read alike, or did: whoever could write this one made it
        if moved is not None:
            origins = moved.origins(len(lines))
            self._put(path, state, origins if _is_named(fresh) else [less_sure(origin) for origin in origins])
            return
        version = self.find(path, before)
        old = self.text_of_blob(path, before)
        if old is None or len(lines) > _MAX_LINES:
            origins = [UNKNOWN] * len(lines)  # what was there before is not known, so neither is what is new
        else:
            old_lines = split_text(old)
            kept = [HERE] * len(old_lines) if version is None else version.origins(len(old_lines))
            origins = carry(old_lines, kept, lines, NEW)
            origins = self.recall(path, lines, origins, set(old_lines), without=before)
            origins = [fresh if origin == NEW else origin for origin in origins]
        self._put(path, state, origins)

    def _put(self, path: bytes, state: FileState, origins: Sequence[Origin]) -> None:
        """Keep a version as one that is new, also where it was here before: whose its lines are is another question now."""
        known = self.find(path, state.blob)
        if known is not None and known.own:
            self._journal.run("DELETE FROM version WHERE id = ?", (known.id,))
        self.save(path, state, origins)

    def recall(
        self,
        path: bytes,
        lines: list[bytes],
        origins: list[Origin],
        known: Collection[bytes],
        *,
        without: str | None,
        by_git: bool = False,
    ) -> list[Origin]:
        """Look in older versions for lines that are NEW and that the version before (`known`) had not: parts may have come back.

        Such a line is less sure than it was, unless git alone brought it. Lines of a character or two are left: they are anywhere.
        """
        for version in self.newest(path, _OLDER):
            lost = {
                line for line, origin in zip(lines, origins, strict=True) if origin == NEW and line not in known and len(line) > 2
            }
            # Git is not asked for each: what was never committed is kept here.
            text = (version.text or self._texts.get(version.blob)) if lost and version.blob != without else None
            if text is None:
                continue
            old = split_text(text)
            if lost.isdisjoint(old):
                continue
            more = carry(old, version.origins(len(old)), lines, NEW)
            origins = [
                (second if by_git else less_sure(second)) if first == NEW and line in lost and second != HERE else first
                for line, first, second in zip(lines, origins, more, strict=True)
            ]
        return origins

    # Versions

    def find(self, path: bytes, blob: str | None) -> Version | None:
        """Return the version of a path with this blob, this work tree's if it has been here, or None."""
        if blob is None:
            return None
        return self._own_first("path = ? AND blob = ?", (path, blob), 1)[0]

    def find_anywhere(self, blob: str) -> Version | None:
        """Return the newest version with this blob, at whatever path: files are moved."""
        return self._own_first("blob = ?", (blob,), 1)[0]

    def _own_first(self, where: str, values: tuple[object, ...], count: int) -> list[Version | None]:
        """Return the newest versions that fit, of this work tree, or else of the others; [None] where there is none."""
        sql = f"SELECT {_COLUMNS} FROM version WHERE {where} AND id <= ?"
        order = "ORDER BY id DESC LIMIT ?"
        rows = self._journal.all(f"{sql} AND worktree = ? {order}", (*values, self._until, self.repo.git_dir, count))
        rows = rows or self._journal.all(f"{sql} {order}", (*values, self._until, count))
        return [self._version(row) for row in rows] or [None]

    def newest_id(self) -> int:
        """Return the id of the version that was noted last, 0 where there is none."""
        row = self._journal.one("SELECT max(id) FROM version")
        return int(row[0] or 0) if row is not None else 0

    def newest(self, path: bytes, count: int, *, anywhere: bool = False) -> list[Version]:
        """Return the newest versions of a path in this work tree, the one that was seen last first.

        With `anywhere`, another work tree's where this one has none: git itself took what is here from there, perhaps.
        """
        found = [version for version in self._own_first("path = ?", (path,), count) if version is not None]
        found = [version for version in found if anywhere or version.own]
        seen = self.seen(path)
        return sorted(found, key=lambda version: seen is None or version.blob != seen.blob)

    def committed(self, path: bytes) -> list[Version]:
        """Return the versions of a path whose text git keeps, for they were committed, in whatever work tree, as they were then."""
        sql = f"SELECT {_COLUMNS} FROM version WHERE path = ? AND id <= ? AND size = 0 ORDER BY id DESC"
        rows = self._journal.all(sql, (path, self._until))
        return [version for row in rows if (version := self._version(row, anyones=True)) is not None]

    def save(self, path: bytes, state: FileState, origins: Sequence[Origin], *, stored: bool = False) -> None:
        """Keep a version; its text only if it is one and git does not keep it (`stored`)."""
        known = self.find(path, state.blob)
        if state.blob in (None, TOO_LARGE) or (known is not None and known.own):
            return
        packed = zlib.compress(state.text, 1) if state.text is not None and not stored else None
        size = 0 if packed is None else len(packed)
        runs = json.dumps(pack(origins), separators=(",", ":"))
        row = (self.repo.git_dir, path, state.blob, self.at_ms, runs, size, packed)
        # What was noted since the time that this looks back to stays as it is.
        self._journal.run("INSERT OR IGNORE INTO version VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)", row)
        self._trim(path)

    def set_origins(self, version: Version, origins: Sequence[Origin]) -> None:
        """Replace the origins of a version's lines."""
        packed = json.dumps(pack(origins), separators=(",", ":"))
        self._journal.run("UPDATE version SET origins = ? WHERE id = ?", (packed, version.id))

    def doubt(self, version: Version) -> None:
        """Take `exact` from all lines of a version of this work tree: it came back, and somebody may have typed it again."""
        runs = _less_sure(version.runs)
        if version.own and runs != version.runs:
            packed = json.dumps(runs, separators=(",", ":"))
            self._journal.run("UPDATE version SET origins = ? WHERE id = ?", (packed, version.id))

    def last_committed(self, path: bytes) -> str | None:
        """Return the blob that the last recorded commit of a path left there, or None where it left none, or none is known."""
        row = self._journal.one("SELECT blob FROM committed WHERE path = ?", (path,))
        return None if row is None else row[0]

    def note_committed(self, path: bytes, blob: str | None) -> None:
        """Remember the blob that a commit left at a path."""
        self._journal.run("INSERT OR REPLACE INTO committed VALUES (?, ?)", (path, blob))

    def forget_text(self, path: bytes, blob: str) -> None:
        """Drop the text of a version that git keeps now."""
        self._journal.run("UPDATE version SET text = NULL, size = 0 WHERE path = ? AND blob = ? AND size > 0", (path, blob))

    def text_of(self, version: Version) -> bytes | None:
        """Return a version's text: kept here, or by git; None where neither has it, or it is none."""
        if version.text is not None:
            return version.text
        return self.text_in_git(version.blob)

    def text_in_git(self, blob: str) -> bytes | None:
        """Return the text of a blob that git has, or None."""
        if blob not in self._texts:
            self.fetch([blob])
        return self._texts.get(blob)

    def fetch(self, blobs: Sequence[str]) -> None:
        """Ask git for the texts of blobs, all at once, and keep them for `text_in_git`."""
        wanted = [blob for blob in dict.fromkeys(blobs) if blob not in self._texts]
        self._texts |= dict.fromkeys(wanted)
        if not wanted:
            return
        try:
            if self._objects is None:
                from ledger.repo.catfile import ObjectReader  # mostly the text is here

                self._objects = ObjectReader(self.repo)
            room, infos = _MAX_FETCHED, []
            for info in self._objects.infos(wanted):
                if info is not None and info.type == "blob" and info.size <= min(room, MAX_TEXT_BYTES):
                    infos.append(info)
                    room -= info.size
            for info, data in zip(infos, self._objects.take(infos), strict=True):
                self._texts[info.oid] = data if is_text(data) else None
        except Exception:  # git is not there, or its answer makes no sense: then it is not known
            return

    def add_text(self, blob: str, text: bytes | None) -> None:
        """Take the text of a blob from where it was found."""
        self._texts[blob] = text

    def text_of_blob(self, path: bytes, blob: str | None) -> bytes | None:
        """Return the text of a path's blob; empty for a path that was not there."""
        if blob is None:
            return b""
        version = self.find(path, blob)
        return self.text_in_git(blob) if version is None else self.text_of(version)

    def _version(self, row: tuple[Any, ...] | None, *, anyones: bool = False) -> Version | None:
        if row is None:
            return None
        number, worktree, path, blob, origins, text = row
        data = zlib.decompress(text) if isinstance(text, bytes) else None
        own, runs = worktree == self.repo.git_dir, json.loads(str(origins))
        return Version(int(str(number)), bytes(path), str(blob), runs if own or anyones else _less_sure(runs), data, own)

    def _trim(self, path: bytes) -> None:
        """Keep within the bounds: versions of a path, bytes of text, age."""
        sql = "SELECT id FROM version WHERE path = ? AND worktree = ? ORDER BY id DESC LIMIT -1 OFFSET ?"
        for (number,) in self._journal.all(sql, (path, self.repo.git_dir, _KEPT_VERSIONS)):
            self._journal.run("DELETE FROM version WHERE id = ?", (number,))

    def sweep(self) -> None:
        """Drop texts that are old or too many, and the oldest paths: at a commit, not at every call."""
        old = self.at_ms - _KEPT_MS
        self._journal.run("UPDATE version SET text = NULL, size = 0 WHERE size > 0 AND at_ms < ?", (old,))
        left = _KEPT_BYTES
        sql = "SELECT id, size FROM version WHERE size > 0 AND at_ms >= ? ORDER BY at_ms DESC"
        sizes = self._journal.all(sql, (old,))
        for number, size in sizes:
            left -= int(size)
            if left < 0:
                self._journal.run("UPDATE version SET text = NULL, size = 0 WHERE id = ?", (number,))
        sql = "SELECT path FROM seen WHERE worktree = ? ORDER BY at_ms DESC LIMIT -1 OFFSET ?"
        for (path,) in self._journal.all(sql, (self.repo.git_dir, _MAX_SEEN)):
            self._journal.run("DELETE FROM seen WHERE worktree = ? AND path = ?", (self.repo.git_dir, path))


def _less_sure(runs: list[list[int]]) -> list[list[int]]:
    return [[length, *less_sure(Origin(*origin))] for length, *origin in runs]


def _is_named(fresh: Origin) -> bool:
    """Say whether what is new is a call's that names the path, and that alone could write it."""
    return fresh.by == 1 and fresh.link == 1


_COLUMNS = "id, worktree, path, blob, origins, text"
