"""The logs of this machine as a reader of evidence meets them: entries and payloads, each checked as far as its own bytes allow."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from typing import Any

from ledger.core.entry import Entry, hash_record
from ledger.core.payload import commit_payload
from ledger.core.trailer import Head
from ledger.errors import FormatError, RepoError, StoreError
from ledger.index.search import LogIndex, open_index
from ledger.repo.gitdir import GitDir
from ledger.repo.seals import list_tips, read_prefix
from ledger.store.reader import JournalReader
from ledger.store.state import Clone, journal_path
from ledger.trace.model import Gone, Words
from ledger.verify.records import RecordReader

MAX_LOGS = 5_000  # on one repository's refs


class Log:
    """One log. `doubts` are sentences about what could not be shown, for the reader of the answer."""

    def __init__(self, name: str, reader: JournalReader, index: LogIndex) -> None:
        self.name = name
        self.reader = reader
        self.index = index
        self.doubts: list[str] = []
        self._entries: dict[int, Entry | None] = {}
        self._records = RecordReader()  # as strict as `parse_record`, and quicker

    def ref(self, seq: int) -> str:
        """Return the name of an entry of this log."""
        return f"{self.name}/{seq}"

    def entry(self, seq: int) -> Entry | None:
        """Return an entry as its record spells it, or None (with a doubt) where the record is missing or malformed."""
        if seq not in self._entries:
            self._entries[seq] = self._read(seq)
        return self._entries[seq]

    def entries(self, seqs: Iterator[int] | list[int], *kinds: str) -> Iterator[Entry]:
        """Yield the entries at `seqs` that can be read, only those of `kinds` if any are named."""
        for seq in seqs:
            entry = self.entry(seq)
            if entry is not None and (not kinds or entry.kind in kinds):
                yield entry

    def payload(self, entry: Entry, name: str) -> bytes | Gone | None:
        """Return a payload's bytes if they are what the entry commits to; what stands for them; or None where there is none."""
        ref = next((ref for ref in entry.payloads if ref.name == name), None)
        if ref is None:
            return None
        found = self.reader.payload(entry.seq, name)
        if found is None:
            return self._erasure(entry.seq, name) or {"withheld": True}
        if len(found.salt) != 32 or commit_payload(found.salt, found.data) != ref.commitment:
            self._doubt(f"The payload {name} of {self.ref(entry.seq)} is not what the entry commits to, so it is not shown.")
            return None
        return found.data

    def words(self, entry: Entry, name: str) -> Words:
        """Return a payload as text; bytes that are no UTF-8 are replaced."""
        found = self.payload(entry, name)
        return found.decode("utf-8", "replace") if isinstance(found, bytes) else found

    def has(self, head: Head) -> bool:
        """Say whether the record that `head` names is in this log."""
        record = self.reader.record(head.seq)
        return record is not None and hash_record(record) == head.hash

    def close(self) -> None:
        """Let go of journal and index."""
        self.index.close()
        self.reader.close()

    def _read(self, seq: int) -> Entry | None:
        record = self.reader.record(seq)
        try:
            entry = None if record is None else self._records.read(record, "").entry
        except FormatError as error:
            self._doubt(f"{self.ref(seq)} is malformed ({error.message}).")
            return None
        if entry is None or entry.seq != seq or (seq and entry.log != self.name):
            self._doubt(f"{self.ref(seq)} is missing, or another entry stands in its place.")
            return None
        return entry

    def _erasure(self, seq: int, name: str) -> Gone | None:
        for entry in self.entries(self.index.of_kind("payload.erased")):
            gone = entry.body.get("payloads")
            if not isinstance(gone, list) or {"seq": seq, "name": name} not in gone:
                continue
            by = entry.actor.get("name", entry.actor["type"])
            reason = self.reader.payload(entry.seq, "reason")
            said = reason.data.decode("utf-8", "replace") if reason else entry.body.get("reason")
            return {"erased": {"by": by, "at": entry.at, "reason": said if isinstance(said, str) else None}}
        return None

    def _doubt(self, sentence: str) -> None:
        if sentence not in self.doubts:
            self.doubts.append(sentence)


class Logs:
    """The logs that may know a commit of one clone: its own, those of this state folder that share a root commit with it, and
    those that are sealed on refs of `repo`, apart from the ones in `without`, which nobody vouches for.

    Of a clone without a log (`clone` is None) the `roots` are the root commits that count. Use as a context manager. `missing` are
    sentences about logs that should be here and are not.
    """

    def __init__(
        self,
        state: str,
        clone: Clone | None,
        roots: Collection[str] = (),
        *,
        repo: GitDir | None = None,
        without: Collection[str] = (),
    ) -> None:
        self.state = state
        self._repo = repo
        tips = {} if repo is None else list_tips(repo, f"{read_prefix(repo)}/logs", MAX_LOGS)
        self._sealed = {log: tip for log, tip in tips.items() if log not in without}
        self.own_name = "" if clone is None else clone.log
        self._repository_roots = frozenset(roots)
        self.missing: list[str] = []
        self._open: dict[str, Log | None] = {}
        self._related: list[Log] | None = None

    def __enter__(self) -> Logs:
        return self

    def __exit__(self, *_: object) -> None:
        for log in self._open.values():
            if log is not None:
                log.close()

    @property
    def sealed(self) -> list[str]:
        """The names of the logs on this repository's refs, apart from those that nobody vouches for."""
        return list(self._sealed)

    def named(self, name: str) -> Log | None:
        """Return the log called `name`, from its journal or else from its seals, or None where neither is here.

        Raises StoreError where it is damaged, RepoError where git fails.
        """
        if name not in self._open:
            self._open[name] = _open_log(self.state, name) or self._open_sealed(name)
        return self._open[name]

    def _open_sealed(self, name: str) -> Log | None:
        tip = self._sealed.get(name)
        if tip is None or self._repo is None:
            return None
        from ledger.index.copies import open_copy  # it reads seals as the verifier does, which a journal's reader needs not

        return _build_log(name, open_copy(self._repo, name, tip))

    def own(self) -> Log | None:
        """Return this clone's log, or None (with a sentence in `missing`) where its journal is gone."""
        if not self.own_name:
            if not self._sealed:
                self._miss("This clone has no log on this machine; those of others come with `ledger sync`.")
            return None
        log = self.named(self.own_name)
        if log is None:
            self._miss(f"The journal of this clone's log {self.own_name} is absent.")
        return log

    def names(self) -> list[str]:
        """Return the names of all logs in the state folder and on refs, this clone's first."""
        try:
            found = sorted(os.listdir(os.path.join(self.state, "logs")))
        except OSError:
            found = []
        others = [name for name in found if name != self.own_name and os.path.exists(journal_path(self.state, name))]
        others += [name for name in self._sealed if name != self.own_name and name not in others]
        return [self.own_name, *others] if self.own_name else others

    def related(self) -> list[Log]:
        """Return this clone's log, those that share a root commit with it, or that it succeeded, and those sealed here."""
        if self._related is None:
            own = self.own()
            genesis = own.entry(0) if own is not None else None
            self._related = [own] if own is not None else []
            before = _texts(genesis.body.get("predecessor"), "log") if genesis else []
            shared = self._repository_roots if own is None else _roots(own)
            lost = own is None and self.own_name != ""
            for name in self.names():
                log = self._try(name) if name != self.own_name else None
                if log is not None and (lost or name in before or name in self._sealed or _roots(log) & shared):
                    self._related.append(log)
        return self._related

    def _try(self, name: str) -> Log | None:
        try:
            return self.named(name)
        except (RepoError, StoreError) as error:
            self._miss(f"The log {name} could not be read ({error.message}).")
            return None

    def _miss(self, sentence: str) -> None:
        if sentence not in self.missing:
            self.missing.append(sentence)


def _open_log(state: str, name: str) -> Log | None:
    path = journal_path(state, name)
    if not os.path.exists(path):
        return None
    return _build_log(name, JournalReader(path))


def _build_log(name: str, reader: JournalReader) -> Log:
    try:
        return Log(name, reader, open_index(reader, name))
    except BaseException:
        reader.close()
        raise


def _roots(log: Log) -> frozenset[str]:
    genesis = log.entry(0)
    roots = genesis.body.get("roots") if genesis is not None else None
    return frozenset(root for root in roots if isinstance(root, str)) if isinstance(roots, list) else frozenset()


def _texts(value: Any, member: str) -> list[str]:
    found = value.get(member) if isinstance(value, dict) else None
    return [found] if isinstance(found, str) else []
