"""From log records to entries: which are for a repository that is recorded here, and what became of them.

    records ──► queue, bounded by number ──► one thread: session → repository → facts ──► one transaction per repository
                     └─ full: refused, to be sent again (503), and the number is noted (`gap.noted`) in the sessions' repositories

Hooks go first: they say more of a call's result (its output, what it changed). So a result whose request a hook has recorded waits
five seconds for the hook's own, and only then is telemetry's recorded; that much a crash may cost.

Else a request is answered after its facts are durable. A crash before the answer makes the sender send again, and what was recorded
by then is known by its `once`: nothing is lost and nothing is there twice. Order among requests means nothing; records of a
session that no journal knows yet are rejected, and kept for a while in case its start is still on the way.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Iterable
from concurrent.futures import Future
from typing import Any, NamedTuple

from ledger.agents import otel
from ledger.core.fact import Fact, Observation
from ledger.errors import KeyUnavailable, LedgerError, StoreError
from ledger.receive.otlp import LogRecord
from ledger.receive.sessions import Home, Sessions, repository_at
from ledger.recorder import Recorder
from ledger.recording import calls
from ledger.recording.detached import start_sealer
from ledger.recording.facts import Setting, record_observation
from ledger.recording.writer import Writer, now_ms
from ledger.repo.gitdir import GitDir

MAX_QUEUED = 50_000  # records
_MAX_TOGETHER = 5_000  # records in one transaction, roughly
_MAX_LATE = 5_000
_MAX_LATE_CHARACTERS = 64 << 10  # of a record that is kept
_LATE_S = 600.0
_HOLD_S = 5.0
_MAX_HELD = 5_000
_LAST_TRIES = 3  # each of which waits for the log's lock
_TICK_S = 1.0
_MAX_REFUSED_SESSIONS = 1_000
_LOCK_S = 5.0
_PAST_MS = 7 * 24 * 3600 * 1000
_FUTURE_MS = 5 * 60 * 1000


class Busy(Exception):
    """The records were not taken, all or some of them: the sender should send the request again."""


class Answer(NamedTuple):
    """What became of a request: `rejected` of its records are for no session that is recorded here, or not understood."""

    rejected: int
    message: str


class _Item(NamedTuple):
    """One observation on its way into a repository; `held` since when, if it let a hook go first."""

    home: Home
    seen: Observation
    at_ms: int
    held: float = 0.0


class _Batch(NamedTuple):
    records: list[LogRecord]
    done: Future[Answer]


class Receiver:
    """Takes records and appends what they mean. `counts` says what became of all of them; it is read by other threads.

    received = recorded + repeated + ignored + rejected, apart from what is refused, which was not received
    """

    def __init__(self, state: str, *, max_queued: int = MAX_QUEUED) -> None:
        self.counts: Counter[str] = Counter()
        self.problem = ""  # the last failure, in words
        self._state = state
        self._max_queued = max_queued
        self._sessions = Sessions(state)
        self._recorders: dict[str, Recorder] = {}
        self._late: OrderedDict[int, tuple[float, str, LogRecord]] = OrderedDict()
        self._late_number = 0
        self._held: list[_Item] = []
        self._looked = 0.0
        # Guarded by `_wake`: the queue, its size, whether it ends, and what was refused.
        self._wake = threading.Condition()
        self._queue: list[_Batch] = []
        self._queued = 0
        self._ends = False
        self._refused: Counter[str] = Counter()
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)

    def start(self) -> None:
        """Begin to record."""
        self._thread.start()

    def stop(self, patience_s: float = 20.0) -> None:
        """Record what waits, and end."""
        with self._wake:
            self._ends = True
            self._wake.notify()
        if self._thread.ident is not None:
            self._thread.join(patience_s)

    async def take(self, records: list[LogRecord]) -> Answer:
        """Return what became of `records` when the facts among them are durable. Raises Busy."""
        if not records:
            return Answer(0, "")
        batch = _Batch(records, Future())
        with self._wake:
            if self._ends or (self._queue and self._queued + len(records) > self._max_queued):
                self._note_refused(records)
                raise Busy
            self._queue.append(batch)
            self._queued += len(records)
            self._wake.notify()
        return await asyncio.wrap_future(batch.done)

    def _note_refused(self, records: Iterable[LogRecord]) -> None:
        """Remember how many records of which session were refused. Caller holds `_wake`."""
        for record in records:
            self.counts["refused"] += 1
            session = otel.session_of(record.attributes)
            if session is not None and (session in self._refused or len(self._refused) < _MAX_REFUSED_SESSIONS):
                self._refused[session] += 1

    # From here on: the recorder's thread.

    def _run(self) -> None:
        while True:
            with self._wake:
                if not self._queue and not self._ends:
                    self._wake.wait(_TICK_S)
                batches, refused, ends = self._next_batches(), self._refused, self._ends
                if batches or ends:
                    self._refused = Counter()
            try:
                if ends or time.monotonic() - self._looked > _TICK_S:
                    self._looked = time.monotonic()
                    self._look_again()
                    self._let_go()
                if batches or ends:
                    self._record_batches(batches, refused)
                if ends and not batches:
                    self._end()
            except Exception as error:  # whatever it is, this thread lives on, and nobody waits for an answer for ever
                self._note_failure(error)
                for batch in batches:
                    if not batch.done.done():
                        batch.done.set_exception(Busy())
            if ends and not batches:
                break
        self._sessions.close()
        for recorder in self._recorders.values():
            recorder.close()

    def _note_failure(self, error: Exception) -> None:
        self.counts["failures"] += 1
        self.problem = error.message if isinstance(error, LedgerError) else f"{type(error).__name__}: {error}"

    def _next_batches(self) -> list[_Batch]:
        """Take what waits, up to some number of records. Caller holds `_wake`."""
        taken, size = 0, 0
        while taken < len(self._queue) and (not taken or size + len(self._queue[taken].records) <= _MAX_TOGETHER):
            size += len(self._queue[taken].records)
            taken += 1
        batches, self._queue = self._queue[:taken], self._queue[taken:]
        self._queued -= size
        return batches

    def _record_batches(self, batches: list[_Batch], refused: Counter[str]) -> None:
        """Append what several requests hold, and answer them."""
        sorted_out: list[tuple[list[_Item], Counter[str], str]] = []
        gaps: Counter[tuple[Home, str]] = Counter()
        for session, number in refused.items():
            if (home := self._sessions.find(session)) is not None:
                gaps[home, "otlp-refused"] += number
        for batch in batches:
            sorted_out.append(self._sort_out(batch.records, gaps))
        failed = self._append([item for items, _, _ in sorted_out for item in items], gaps)
        for batch, (items, counts, why) in zip(batches, sorted_out, strict=True):
            if any(item.home.common_dir in failed for item in items):
                with self._wake:
                    self._note_refused(batch.records)
                batch.done.set_exception(Busy())
                continue
            self.counts.update(counts)
            self.counts["received"] += len(batch.records)
            batch.done.set_result(Answer(counts["rejected"], why if counts["rejected"] else ""))

    def _sort_out(self, records: list[LogRecord], gaps: Counter[tuple[Home, str]]) -> tuple[list[_Item], Counter[str], str]:
        """Return the observations of one request, how many records were ignored and rejected, and why (the last reason)."""
        items: list[_Item] = []
        counts: Counter[str] = Counter()
        why = ""
        for record in records:
            session = otel.session_of(record.attributes)
            home = None if session is None else self._sessions.find(session)
            if session is None or home is None:
                if record.of_span:
                    counts["ignored"] += 1  # most events of spans are of the agent's own machinery, and name no session
                    continue
                counts["rejected"] += 1
                why = "of no session that is recorded on this machine"
                self._keep_late(session, record)
                continue
            try:
                item = understand(record, home)
            except Exception as error:  # FormatError, or a mistake of ours that a hostile record found
                counts["rejected"] += 1
                why = f"not understood: {error}"[:200]
                gaps[home, "otlp-not-understood"] += 1
                continue
            if item is None:
                counts["ignored"] += 1
            else:
                items.append(item)
        return items, counts, why

    def _keep_late(self, session: str | None, record: LogRecord) -> None:
        """Keep a record whose session may become known, where it is small enough and some agent's."""
        if session is None or otel.agent_of(record.service, record.name, record.attributes, record.body) is None:
            return
        if len(repr(record.attributes)) > _MAX_LATE_CHARACTERS or len(repr(record.body)) > _MAX_LATE_CHARACTERS:
            return
        self._late_number += 1
        self._late[self._late_number] = time.monotonic(), session, record
        while len(self._late) > _MAX_LATE:
            self._late.popitem(last=False)

    def _look_again(self) -> None:
        """Record what was kept of sessions that are known by now; forget what waited too long."""
        deadline = time.monotonic() - _LATE_S
        items, gaps, gone = [], Counter[tuple[Home, str]](), []
        for number, (since, session, record) in self._late.items():
            if since < deadline:
                gone.append(number)
                continue
            home = self._sessions.find(session)
            if home is None:
                continue
            gone.append(number)
            try:
                item = understand(record, home)
            except Exception:
                gaps[home, "otlp-not-understood"] += 1
            else:
                items += [item] if item else []
        if (items or gaps) and self._append(items, gaps):
            return  # the next time again
        for number in gone:
            del self._late[number]
        self.counts["late"] += len(items)

    def _end(self) -> None:
        """Record all that waits for hooks, or count what cannot be."""
        for _ in range(_LAST_TRIES):
            self._let_go(everything=True)
        self.counts["lost"] += len(self._held)

    def _let_go(self, *, everything: bool = False) -> None:
        """Record the results that have waited long enough for a hook's."""
        deadline = time.monotonic() - _HOLD_S
        due = [item for item in self._held if everything or item.held < deadline]
        if due and not self._append(due, Counter()):
            self._held = [item for item in self._held if item not in due]

    def _append(self, items: list[_Item], gaps: Counter[tuple[Home, str]]) -> set[str]:
        """Append observations and gaps, one transaction a repository; return the common dirs of those where it failed."""
        failed = set()
        for common_dir in dict.fromkeys([*(item.home.common_dir for item in items), *(home.common_dir for home, _ in gaps)]):
            mine = [item for item in items if item.home.common_dir == common_dir]
            noted = Counter[str]()
            for (home, reason), number in gaps.items():
                if home.common_dir == common_dir:
                    noted[reason] += number
            try:
                self._append_to(common_dir, mine, noted)
            except (LedgerError, OSError) as error:
                failed.add(common_dir)
                self._note_failure(error)
                if (recorder := self._recorders.pop(common_dir, None)) is not None:
                    recorder.close()
        return failed

    def _append_to(self, common_dir: str, items: list[_Item], gaps: Counter[str]) -> None:
        recorder = self._recorder(common_dir)
        if recorder is None:
            raise StoreError(f"{common_dir} is no repository any more", remedy="")
        counts: Counter[str] = Counter()
        held: list[_Item] = []
        repo = recorder.repo

        def work(writer: Writer) -> None:
            counts.clear()  # a successor log takes it once more
            held.clear()
            if writer.journal.is_paused():
                counts["paused"] += len(items)
                return
            room = _MAX_HELD - len(self._held)
            due: list[_Item] = []
            for item in items:
                if not item.held and len(held) < room and _is_for_a_hook(writer, item):
                    held.append(item._replace(held=time.monotonic()))
                else:
                    due.append(item)
            unfit = _record_all(writer, due, repo, counts)
            for reason, number in (gaps + Counter({"otlp-not-understood": unfit})).items():
                writer.append("gap.noted", source="otel", body={"reason": reason, "count": number, "size": 0})

        recorder.append(work)
        self.counts.update(counts)
        self._held += held
        if recorder.wants_seal:
            recorder.wants_seal = False
            with contextlib.suppress(OSError):
                start_sealer(repo, self._state)

    def _recorder(self, common_dir: str) -> Recorder | None:
        found = self._recorders.get(common_dir)
        if found is None:
            repo = repository_at(common_dir)
            found = None if repo is None else Recorder.find(repo, self._state, wait_s=_LOCK_S)
            if found is not None:
                self._recorders[common_dir] = found
        return found


def _is_for_a_hook(writer: Writer, item: _Item) -> bool:
    """Say whether an observation holds the result of a call that is open: the agent's hook is about to tell of it."""
    for fact in item.seen.facts:
        if fact.kind == "tool.finished" and fact.call is not None:
            return calls.find_call(writer.journal, item.home.session, fact.call) is not None
    return False


def _record_all(writer: Writer, items: list[_Item], repo: GitDir, counts: Counter[str]) -> int:
    """Append observations and return how many of them no entry can hold.

    All of them are tried at once; only where one does not fit, each is tried by itself, which costs more.
    """
    if (tally := _try(writer, items, repo, first=True)) is not None:
        counts.update(tally)
        return 0
    unfit = 0
    for number, item in enumerate(items):
        tally = _try(writer, [item], repo, first=number == 0)
        counts.update(tally or {})
        unfit += tally is None
    return unfit


def _try(writer: Writer, items: list[_Item], repo: GitDir, *, first: bool) -> Counter[str] | None:
    """Append observations, all or none, and count those that were new; None where one of them does not fit into an entry."""
    mark = writer.mark()
    new = 0
    writer.journal.run("SAVEPOINT records")
    try:
        for number, item in enumerate(items):
            before = writer.mark()[0]
            setting = Setting(repo, "otel", item.home.agent, {}, item.at_ms, live=False)
            seqs = record_observation(writer, item.seen, setting, look=first and not number)
            new += any(seq > before for seq in seqs)
    except (StoreError, KeyUnavailable):
        raise
    except Exception:  # whatever a hostile record leads to must not cost the others
        writer.journal.run("ROLLBACK TO records")
        writer.back_to(mark)
        return None
    finally:
        if writer.journal.db.in_transaction:
            writer.journal.run("RELEASE records")
    return Counter(recorded=new, repeated=len(items) - new)


def understand(record: LogRecord, home: Home) -> _Item | None:
    """Return what a record means for its repository, or None where it is no fact of ours. Raises FormatError."""
    at_ms = _time_of(record)
    if otel.agent_of(record.service, record.name, record.attributes, record.body) != home.agent:
        return None  # one agent's words about another's session
    seen = otel.translate_record(record.service, record.name, record.attributes, record.body, at_ms)
    if seen is None:
        return None
    facts = tuple(_known_by(fact, record, home) for fact in seen.facts if fact.once is not None or not record.of_span)
    return _Item(home, seen._replace(facts=facts), at_ms) if facts else None


def _known_by(fact: Fact, record: LogRecord, home: Home) -> Fact:
    """Give a fact the session that the hooks know, and a name by which the same record, sent again, is recognised."""
    if home.subagent is not None and fact.session == home.subagent:
        fact = fact._replace(session=home.session, body={"subagent": home.subagent, **fact.body})
    if fact.once is None:
        fact = fact._replace(once=f"otlp:{_digest(record)}:{fact.kind}")
    return fact


def _digest(record: LogRecord) -> str:
    text = json.dumps([record.service, record.name, record.attributes, record.body, record.at_ms], sort_keys=True, default=repr)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _time_of(record: LogRecord) -> int:
    """Return when a record says it happened, or now where no clock on this machine could have said that."""
    now = now_ms()
    return record.at_ms if now - _PAST_MS <= record.at_ms <= now + _FUTURE_MS else now


def describe(counts: Counter[str]) -> dict[str, Any]:
    """Return the counts for people and programs, all of them, also those that are 0."""
    names = (
        "received",
        "recorded",
        "repeated",
        "ignored",
        "rejected",
        "late",
        "refused",
        "malformed",
        "paused",
        "lost",
        "failures",
    )
    return {name: counts[name] for name in names}
