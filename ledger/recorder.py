"""The one writer of a log. Everything that records goes through here: hooks, the command line, and programs that use the API.

    with Recorder.open("/path/to/repository") as recorder:
        recorder.record("message.sent", actor={"type": "agent", "name": "mine"}, body={"event": "note"})

An append takes the log's lock, begins one transaction, takes up what waits in the spools, appends, and returns when all of it is
durable. It then replaces the head file, still under the lock, so that the file never goes back.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from ledger.core import sshsig
from ledger.core.entry import VERSION, Entry, format_entry, format_record
from ledger.core.fact import Fact, Observation, PayloadData
from ledger.core.kinds import ACTOR_TYPES, KINDS, is_reserved
from ledger.core.payload import PayloadRef
from ledger.core.text import clean_text, clean_value
from ledger.core.trailer import Head
from ledger.errors import FormatError, LedgerError, NoLedger, Refused, RepoError
from ledger.recording import events
from ledger.recording.claims import pick
from ledger.recording.facts import Setting, record_observation
from ledger.recording.writer import Writer, format_at, now_ms
from ledger.repo.gitdir import GitDir, find_repository, how_to_start
from ledger.store import keys
from ledger.store import state as places
from ledger.store.journal import Journal
from ledger.store.lock import WAIT_S, Lock

if TYPE_CHECKING:
    from ledger.recording.opening import Begun
    from ledger.recording.sealing import Sealed

__all__ = ["Recorder", "Written", "begin_log", "check_fact", "rotate_key"]
T = TypeVar("T")
# At a session's start because sealing looks whether the journal went back, which a packed ref does not show to `append`.
_SEALED_AT = frozenset({"commit.recorded", "session.started", "session.ended"})


class Written(NamedTuple):
    """The name of an appended entry, `<log>/<seq>` as a pair."""

    log: str
    seq: int

    def __str__(self) -> str:
        return f"{self.log}/{self.seq}"


class Recorder:
    """Appends to this clone's log. Use as a context manager. Not for sharing between threads."""

    def __init__(self, repo: GitDir, state: str, clone: places.Clone, *, wait_s: float = WAIT_S) -> None:
        self.repo = repo
        self.state = state
        self.clone = clone
        self._wait_s = wait_s
        self._journal: Journal | None = None
        self._inode = (0, 0)
        self._signer: keys.Signer | None = None
        self._key = ""
        self._head: Head | None = None
        self._harmless: str | None = None
        self.wants_seal = False  # something was recorded at which a log is sealed

    @classmethod
    def open(cls, path: str | None = None, *, state: str | None = None, wait_s: float = WAIT_S) -> Recorder:
        """Return the recorder of the repository that holds `path` (this folder by default).

        Raises NoRepository, or NoLedger where `ledger init` never ran.
        """
        repo = find_repository(path or os.getcwd())
        place = places.find_state(state, repo.common_dir)
        recorder = cls.find(repo, place, wait_s=wait_s)
        if recorder is None:
            raise NoLedger(f"{repo.common_dir} has no ledger on this machine", remedy=how_to_start(repo))
        return recorder

    @classmethod
    def find(cls, repo: GitDir, state: str, *, wait_s: float = WAIT_S) -> Recorder | None:
        """Return the recorder of `repo`, or None where this state folder does not know it.

        A clone that was copied, or restored in the place of another, gets its successor log here.
        """
        found = places.find_clone(state, repo.common_dir, repo.work_tree)
        if found.how == "unknown":
            return None
        if found.how != "known":
            begin_log(repo, state)
            found = places.find_clone(state, repo.common_dir, repo.work_tree)
        return None if found.clone is None else cls(repo, state, found.clone, wait_s=wait_s)

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the journal."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    def record(
        self,
        kind: str,
        *,
        actor: Mapping[str, str],
        body: Mapping[str, Any] | None = None,
        session: str | None = None,
        turn: str | None = None,
        call: str | None = None,
        payloads: Mapping[str, tuple[bytes, str]] | None = None,
    ) -> Written:
        """Append one fact of an agent's and return its name when it is durable.

        `payloads` maps names to (bytes, media type). Raises FormatError for kinds that only the ledger writes, unknown kinds and
        malformed facts, Refused while recording is paused, and StoreError where the journal cannot be written.
        """
        data = {name: PayloadData(*item) for name, item in (payloads or {}).items()}
        session, turn, call = (clean_text(name) if name else None for name in (session, turn, call))
        answers = "call" if kind in ("tool.finished", "approval.decided") and call else None
        return self.record_facts([Fact(kind, actor, body or {}, session, turn, call, data, answers=answers)])[0]

    def record_facts(self, facts: list[Fact]) -> list[Written]:
        """Append facts of an agent's, all of them or none, and return their names when they are durable.

        A fact that was recorded before (see `Fact.once`) is not recorded again: its name is that of the entry that has it.
        """
        for fact in facts:
            check_fact(fact)
        name = next((str(fact.actor["name"]) for fact in facts if fact.actor.get("name")), "unknown")
        setting = Setting(self.repo, "cli", name, pick(os.environ), now_ms())
        seqs = self.append(lambda writer: record_observation(_awake(writer), Observation(tuple(facts)), setting))
        return [Written(self.clone.log, seq) for seq in seqs]

    def append(self, work: Callable[[Writer], T]) -> T:
        """Run `work` with a writer, under the lock and in one transaction, after what waits in the spools.

        Where the journal turns out to have gone back behind what its key has sealed, a successor log takes it.
        """
        with Lock(places.lock_path(self.state, self.clone.log), self._wait_s):
            if not self._went_back(self._open_journal()):
                with self._open_journal() as journal:
                    writer = Writer(journal, self._signer_of(journal), self._head)
                    writer.settings = self.clone.settings
                    drained = events.drain(writer, self.repo, self.state)
                    result = work(writer)
                    head = writer.head
                self._head = head
                self.wants_seal = self.wants_seal or not _SEALED_AT.isdisjoint(writer.kinds)
                write_head(self.repo.common_dir, head)
                events.forget(drained)
                return result
        self.succeed()
        return self.append(work)

    def seal(
        self, progress: Callable[[int], None] = lambda done: None, *, merge: str | None = None, prefix: str | None = None
    ) -> Sealed:
        """Seal what was recorded since the last seal and return how the log is sealed now.

        `merge` is a foreign commit to take in, `prefix` where the refs lie, if the caller knows.

        Where the journal went back behind what its key has sealed, a successor log is opened and sealed instead. Raises RepoError,
        StoreError or KeyUnavailable; nothing that was recorded is lost then, and the next seal takes it.
        """
        from ledger.recording import sealing
        from ledger.repo.seals import read_prefix

        prefix = prefix or read_prefix(self.repo)
        try:
            with Lock(places.seal_lock_path(self.state, self.clone.log), self._wait_s):
                journal = self._open_journal()
                sealed = sealing.seal_log(journal, self._signer_of(journal), self.repo, prefix, progress, merge=merge)
        except sealing.Behind:
            self.succeed()
            return self.seal(progress)
        self.wants_seal = False
        return sealed

    def look_again(self, budget_s: float = 5.0) -> None:
        """Look at the main work tree where a hook had not the time to; whatever fails, it stays in doubt."""
        from ledger.recording.effects import clear_doubt, in_doubt

        folder, name = os.path.split(self.repo.common_dir)
        tree = self.repo._replace(git_dir=self.repo.common_dir, work_tree=folder)
        if name == ".git" and in_doubt(self._open_journal(), tree):
            try:
                self.append(lambda writer: clear_doubt(writer.journal, tree, budget_s))
            except LedgerError:
                pass

    def has_left(self) -> bool:
        """Say whether lines of some commit are still to be followed: its hook had not the time to."""
        from ledger.recording.later import has_left

        return has_left(self._open_journal())

    def follow_left(self, rounds: int = 30, budget_s: float = 1.0) -> bool:
        """Follow these lines, in rounds that each hold the lock no longer than others wait for it; say whether any were.

        Whatever fails: they stay noted, and whoever seals next goes on.
        """
        from ledger.recording.later import follow_left

        before = self._open_journal().last()[0]
        try:
            while rounds > 0 and self.append(lambda writer: follow_left(writer, self.repo, budget_s)):
                rounds -= 1
        except LedgerError:
            pass
        return self._open_journal().last()[0] > before

    def signer(self) -> keys.Signer:
        """Return who signs this log now. Raises KeyUnavailable."""
        return self._signer_of(self._open_journal())

    def is_against(self, tip: str) -> bool:
        """Say whether the commits behind `tip` hold a checkpoint of this log's key that its journal does not bear out."""
        from ledger.recording import sealing

        with Lock(places.lock_path(self.state, self.clone.log), self._wait_s):
            return sealing.is_against(self._open_journal(), self.repo, tip)

    def succeed(self) -> None:
        """Go on in a successor log: this one's journal is not what its own key has sealed, and must not be signed again."""
        from ledger.recording import opening  # most hooks never open a log

        self.close()
        opening.begin_successor(self.repo, self.state, self.clone.log)
        found = places.find_clone(self.state, self.repo.common_dir, self.repo.work_tree)
        assert found.clone is not None
        self.clone, self._head = found.clone, None
        self.wants_seal = True

    def _went_back(self, journal: Journal) -> bool:
        """Say whether the ref holds a checkpoint of ours that the journal does not bear out.

        One small file is read on each append. Only where it is not the tip that the journal remembers, git is asked, once for each
        tip, and not for ever. A packed ref, or one in a reftable, is looked at when the log is sealed.
        """
        from ledger.repo.heads import read_loose

        ref = journal.meta("sealed_ref") or f"refs/ledger/logs/{journal.log}"
        tip = read_loose(self.repo, ref)
        if tip is None or tip in (journal.meta("sealed_tip"), self._harmless):
            return False
        from ledger.recording import sealing  # somebody moved the ref

        self.wants_seal = True
        try:
            if sealing.is_against(journal, self.repo, tip):
                return True
        except RepoError:
            pass  # nobody stops recording by a ref that git cannot read; the next seal replaces it
        self._harmless = tip
        return False

    def _open_journal(self) -> Journal:
        """Return the journal, opened anew where another file took its place: what goes into a removed file is lost."""
        path = places.journal_path(self.state, self.clone.log)
        try:
            found = os.stat(path)
            inode = (found.st_dev, found.st_ino)
        except OSError:
            inode = (0, 0)
        if self._journal is None or inode != self._inode:
            self.close()
            self._journal, self._inode = Journal(self.state, self.clone.log), inode
        return self._journal

    def _signer_of(self, journal: Journal) -> keys.Signer:
        name = journal.meta("key") or ""
        if self._signer is None or name != self._key:
            self._signer, self._key = keys.load_signer(self.state, name), name
        return self._signer


def _awake(writer: Writer) -> Writer:
    """Return `writer`. Raises Refused while recording is paused: whoever asks by name must not believe that it was recorded."""
    if writer.journal.is_paused():
        raise Refused("recording is paused here", remedy="`ledger resume` goes on")
    return writer


def begin_log(repo: GitDir, state: str, *, key: str | None = None, settings: Mapping[str, Any] | None = None) -> Begun:
    """Return this clone's log, opening one where there is none; see `ledger.recording.opening`."""
    from ledger.recording import opening  # most hooks never open a log

    return opening.begin_log(repo, state, key=key, settings=settings)


def check_fact(fact: Fact) -> None:
    """Raise FormatError unless `fact` may come from outside, is of a kind we know, and some entry can hold it."""
    if is_reserved(fact.kind):
        raise FormatError(f"the kind {fact.kind} is written by the ledger alone")
    if fact.kind not in KINDS:
        raise FormatError(
            f"the kind {fact.kind!r} is not known", remedy=f"known: {', '.join(sorted(k for k in KINDS if not is_reserved(k)))}"
        )
    if fact.kind.startswith("recording."):
        raise FormatError(f"the kind {fact.kind} is written by `ledger pause` and `ledger resume`")
    said = fact.actor.get("type")
    if not isinstance(said, str) or said not in ACTOR_TYPES or said == "recorder":
        raise FormatError("actor.type is not one of agent, human, policy, tool, unknown")
    try:
        _try_entry(fact)
    except RecursionError as error:
        raise FormatError("nested too deeply") from error
    except (AttributeError, TypeError) as error:
        raise FormatError(f"not JSON data: {error}") from error


def _try_entry(fact: Fact) -> None:
    """Format `fact` as an entry that is in no log: so that it is refused before anything else is done, and by name."""
    refs = tuple(PayloadRef(name, "0" * 64, len(data.data), data.media) for name, data in sorted(fact.payloads.items()))
    actor, body = clean_value(dict(fact.actor)), clean_value(dict(fact.body))
    names = (fact.session, fact.turn, fact.call)
    link = ("0" * 32, 1, "f" * 64, "SHA256:" + "A" * 43, format_at(0), fact.kind, "cli")
    format_record(format_entry(Entry(VERSION, *link, actor, body, *names, None, refs)), bytes(64))


def write_head(common_dir: str, head: Head) -> None:
    """Replace the head file; where that cannot be done (a read-only repository), the journal still says it."""
    try:
        places.write_head_file(common_dir, head)
    except LedgerError:
        pass


def rotate_key(repo: GitDir, state: str, to: str = "file") -> str:
    """Let a new key sign this clone's log from now on, and return its fingerprint.

    The new key is stored before the entry that names it; a crash between leaves a key that nobody uses.
    """
    with Recorder.open(repo.work_tree or repo.git_dir, state=state, wait_s=10.0) as recorder:
        try:
            recorder.seal()  # so that the old key is not needed any more
        except LedgerError:
            pass  # where it cannot be sealed now, the old key does it later
        signer = keys.make_key(to)
        name = keys.store_key(state, signer, current=True)

        def rotate(writer: Writer) -> None:
            prev = writer.head.hash
            proof = signer.sign(sshsig.ROTATION_NAMESPACE, prev.encode())
            body = {
                "public_key": sshsig.format_public_key(signer.public_key),
                "proof": sshsig.format_armoured(signer.public_key, sshsig.ROTATION_NAMESPACE, proof),
                "key_storage": signer.storage,
            }
            writer.append("key.rotated", source="cli", body=body)
            writer.sign_with(signer)
            writer.journal.set_meta("key", name)

        recorder.append(rotate)
        return sshsig.fingerprint(signer.public_key)
