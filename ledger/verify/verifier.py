"""Is it true: everything about one repository's logs, held against everything else that is here (docs/spec/verify.md).

The verifier collects; it raises only where it could not check at all. It shares nothing with the writer but `core` and the
readers of `store` and `repo`, and never reads the index.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from ledger.core.merkle import format_hash
from ledger.core.note import NoteKey
from ledger.core.trailer import Head, parse_head
from ledger.errors import NoLedger, StoreError
from ledger.repo.gitdir import GitDir, how_to_start
from ledger.repo.objects import Objects
from ledger.repo.seals import list_tips, read_prefix
from ledger.store import pins as pin_store
from ledger.store import state as places
from ledger.store.pins import Pin
from ledger.verify import anchors as outside
from ledger.verify import trailers as trailer_lines
from ledger.verify.chain import Walked
from ledger.verify.commits import Reach, check_commits, check_roots
from ledger.verify.coverage import measure_coverage
from ledger.verify.pins import check_pin
from ledger.verify.subject import Library, Progress, Subject
from ledger.verify.trust import (
    Covered,
    Trust,
    check_digest,
    check_revocations,
    check_revoked,
    check_windows,
    judge_trust,
    read_trust,
    seconds_of,
)
from ledger.verify.verdict import Anchor, Coverage, Finding, Findings, LogReport, Report, worst

MAX_LOGS = 10_000  # that one repository's refs, trailers and predecessors may make us read
MAX_REFS = 100_000  # that are listed, to find among them those that count
MAX_PENDING = 10_000
MAX_ANCHORS = 20  # those that fix most are named


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for.

    `revisions` limits trailers and coverage to a range; `trust` is a file of allowed signers; `witnesses` are known beside those
    that git's configuration names. With `full` every signature is checked, and nothing is taken from an earlier run.
    """

    revisions: str | None = None
    full: bool = False
    coverage: bool = False
    trust: str | None = None
    progress: Progress = lambda what, done, total: None
    witnesses: tuple[NoteKey, ...] = ()


def verify_repository(repo: GitDir, state: str, options: Options) -> Report:
    """Check every log that belongs to `repo` and is in the state folder `state`, or on a ref of the ledger's.

    Raises NoLedger where there is neither a log nor a trailer, StoreError for a journal that cannot be read, RangeError for a
    range that names nothing, FormatError for malformed settings, RepoError where git fails.
    """
    return _Run(repo, state, options).run()


class _Run:
    """One run: what it found so far."""

    def __init__(self, repo: GitDir, state: str, options: Options) -> None:
        self._repo, self._state, self._options = repo, state, options
        self._findings = Findings()
        self._subjects: dict[str, Subject] = {}
        self._reach = Reach(repo)
        self._objects = Objects(repo)
        self._unread = 0

    def run(self) -> Report:
        """Do everything, in the order of the plan."""
        # 1. What there is to go by: commit messages, refs, tags, this machine's memory, trust.
        self._read()
        # 2. Each log by itself, as far as it is here: form, links, signatures, payloads, its own seals.
        self._walk_all()
        # 3. Against git, and against whom to trust; which logs count follows from both.
        self._judge()
        # 4. Against everything outside: trailers, pins, tags, other logs, witnesses, evidence.
        covered = self._check_outside()
        # 5. What depends on several logs, and on the keys' time.
        self._check_predecessors()
        self._check_keys(covered)
        if self._own is not None:
            self._check_own(self._own)
        # 6. Verdicts, and what to remember.
        return self._conclude()

    def _read(self) -> None:
        repo, state = self._repo, self._state
        self._lines = trailer_lines.read_lines(repo, self._options.revisions, self._reach)
        self._pushed = trailer_lines.pushed_commits(repo, self._reach) if self._lines else frozenset()
        self._clone = places.find_clone(state, repo.common_dir, repo.work_tree).clone
        self._own = None if self._clone is None else self._clone.log
        prefix = read_prefix(repo)
        tips = list_tips(repo, f"{prefix}/logs", MAX_REFS)
        self._named = dict.fromkeys(line.head.log for line in self._lines if line.head is not None)
        self._place = _place_of(repo)
        self._met = pin_store.read_met(state, self._place)
        if self._own is None and not self._named and not tips and not self._met:
            message = f"{repo.common_dir} has no ledger on this machine, and no commit names one"
            raise NoLedger(message, remedy=f"{how_to_start(repo)}, or fetch those of others with `ledger sync`")
        self._head = places.read_head_file(repo.common_dir)  # before the journal is opened: it may grow meanwhile
        self._trust = read_trust(repo, self._options.trust)
        self._pins, self._digests = pin_store.read_pins(state), pin_store.read_trust(state)
        self._witnesses = [*self._options.witnesses, *outside.read_witnesses(repo)]
        self._tags = outside.read_tags(repo)
        options = self._options
        self._library = Library(repo, state, prefix, tips, self._own, full=options.full, progress=options.progress)

    def _walk_all(self) -> None:
        """Walk this clone's log, those that trailers name, that this machine knows or that have a ref, and their predecessors."""
        seqs = self._wanted()
        refs = sorted(self._library.tips, key=lambda log: (log not in self._pins, log))
        todo = dict.fromkeys([*([self._own] if self._own else []), *self._named, *sorted(self._met), *refs])
        waiting = list(reversed(todo))
        while waiting:
            log = waiting.pop()
            if log in self._subjects or not self._library.has(log):
                continue
            if len(self._subjects) >= MAX_LOGS:
                self._unread += 1
                continue
            subject = self._library.open(log, seqs.get(log, set()))
            self._subjects[log] = subject
            before = _predecessor(subject.walked)
            if before is not None:
                seqs.setdefault(before.log, set()).add(before.seq)
                waiting.append(before.log)
                if before.log in self._subjects:
                    self._library.find_hashes(self._subjects[before.log], {before.seq})

    def _wanted(self) -> dict[str, set[int]]:
        """Return, by log, the seqs whose hashes will be asked for, as far as that can be told before the walks."""
        wanted: dict[str, set[int]] = {log: {pin.size - 1} for log, pin in self._pins.items()}
        tagged = (head for tag in self._tags for head in tag.heads)
        for named in (self._head, *(line.head for line in self._lines), *tagged):
            if named is not None:
                wanted.setdefault(named.log, set()).add(named.seq)
        return wanted

    def _judge(self) -> None:
        """Say of each log whether it belongs here, whether its keys are trusted, and whether it counts."""
        named = {self._own, *self._named}  # and a log that counted here does not cease to where its ref is spoilt
        for log, subject in self._subjects.items():
            subject.notes.report(subject.findings)
            walked = subject.walked
            here = check_commits(log, subject.notes.commits, self._objects, subject.findings)
            subject.trust = judge_trust(walked, self._trust, self._pins.get(log), subject.findings)
            if walked.genesis is not None:
                ours, scratch = log in named, Findings()
                asked = (log, walked.genesis, subject.notes.commits, here, self._repo, self._objects, scratch)
                subject.belongs = check_roots(*asked, ours=ours, reach=self._reach)
                subject.findings.merge(scratch)
            is_trusted = subject.trust in ("pinned", "repository") or (subject.trust == "given" and _is_given(walked, self._trust))
            subject.is_counted = log in named or log in self._met or (is_trusted and subject.belongs and bool(walked.keys))
        is_listed = self._trust.given is not None or bool(self._trust.committed)
        if not is_listed and not any(subject.is_counted for subject in self._subjects.values()):
            # Nobody says whose to believe: then all of them, at first sight. From then on pins tell them from strangers.
            for subject in self._subjects.values():
                subject.is_counted = subject.belongs and bool(subject.walked.keys)
        for subject in list(self._subjects.values()):
            while subject.is_counted and (before := _predecessor(subject.walked)) is not None:
                if before.log not in self._subjects or self._subjects[before.log].is_counted:
                    break
                subject = self._subjects[before.log]
                subject.is_counted = True
        for log, subject in self._subjects.items():
            if subject.is_counted:
                self._findings.merge(subject.findings)
            else:
                message = "no commit names this log and no trusted key signed it"
                if subject.walked.keys and not subject.belongs:
                    message = "the log belongs to another repository, and no commit here names it"
                message += f": it counts for nothing (by itself it is {subject.findings.worst(log)})"
                self._findings.add("log.uncounted", log, None, message)

    def _check_outside(self) -> dict[str, list[Covered]]:
        findings, subjects = self._findings, self._counted()
        for log, subject in subjects.items():
            subject.anchors += trailer_lines.check_lines(
                subject.walked, self._lines, subject.notes.disowned, self._pushed, findings
            )
            self._check_pin(subject)
            check_digest(log, self._trust, self._digests.get(log), findings)
        gone = self._met - self._subjects.keys() - {self._own}
        for log in sorted(gone):
            message = "the log was here when this repository was last verified, and is gone; `ledger sync` brings it back"
            findings.add("log.lost", log, None, message)
        absent_own = {self._own} if self._own is not None else set()
        trailer_lines.check_others(self._lines, {*self._subjects, *absent_own, *gone}, findings)
        outside.check_tags(self._tags, subjects, self._trust, findings)
        held = outside.check_seen(self._library, self._subjects, findings)
        outside.check_evidence(self._repo, self._library, subjects, findings)
        covered: dict[str, list[Covered]] = {}
        for log, subject in subjects.items():
            covered[log] = outside.check_witnesses(subject, held.get(log, ()), self._witnesses, findings)
            pin = self._pins.get(log)
            if pin is not None and subject.walked.hash_at(pin.size - 1) == pin.hash:
                covered[log] += _covered_by(pin)
        return covered

    def _check_pin(self, subject: Subject) -> None:
        pin, walked = self._pins.get(subject.log), subject.walked
        check_pin(walked, pin, self._findings)
        # The writer's own memory proves nothing against the writer.
        if pin is not None and not subject.has_journal and walked.hash_at(pin.size - 1) == pin.hash:
            subject.anchors.append(Anchor("pin", pin.size, pin.at))

    def _check_predecessors(self) -> None:
        findings = self._findings
        for log, subject in self._counted().items():
            outrun = subject.outrun
            if outrun is not None and not self._is_continued(log):
                message = "this machine's journal went back: the log's key has sealed more records, or others, than it has"
                findings.add("journal.rolled-back", log, None, message, f"{subject.walked.size} records", f"{outrun.size} records")
            named = _predecessor(subject.walked)
            if named is None:
                continue
            before = self._subjects.get(named.log)
            if before is None:
                message = f"the log {named.log}, which this one continues, is not on this machine"
                findings.add("predecessor.absent", log, 0, message)
                continue
            if before.outrun is not None and log == self._own:
                sizes = f"it had {before.outrun.size} records, of {before.walked.size} that were sealed"
                message = f"the journal went back, and {log} goes on in its stead: {sizes}"
                findings.add("predecessor.continued", named.log, None, message)
                if before.outrun.hash_at(named.seq) == named.hash:
                    continue
            found = before.walked.hash_at(named.seq)
            if found != named.hash:
                message = f"the log {named.log}, which this one continues, has another record {named.seq}"
                findings.add("predecessor.mismatch", log, 0, message, named.hash, found or "no record")

    def _is_continued(self, log: str) -> bool:
        """Say whether this clone's own log is the successor of `log`."""
        own = self._subjects.get(self._own) if self._own is not None else None
        named = None if own is None else _predecessor(own.walked)
        return named is not None and named.log == log

    def _check_keys(self, covered: Mapping[str, Iterable[Covered]]) -> None:
        check_revocations(self._trust, self._findings)
        for log, subject in self._counted().items():
            check_revoked(subject.walked, self._trust, self._findings)
            check_windows(subject.walked, self._trust, covered.get(log, ()), int(time.time()), self._findings)

    def _check_own(self, own: str) -> None:
        """Compare the head file, a hint that anybody who can write the repository can write, with the log; look for the journal."""
        findings, head, subject = self._findings, self._head, self._subjects.get(own)
        if subject is None or not subject.has_journal:
            pin = self._pins.get(own)
            if pin is None:
                findings.add("journal.missing", own, None, "this clone's journal is gone")
            else:
                message = f"this clone's journal is gone; on {pin.at} it was here"
                findings.add("journal.lost", own, None, message, f"at least {pin.size} records", "no journal")
        if head is None:
            if os.path.lexists(places.head_path(self._repo.common_dir)):
                findings.add("head.mismatch", own, None, "the head file is malformed", "<log>/<seq>/<hash>")
        elif head.log != own:
            findings.add("head.mismatch", own, None, "the head file names another log", own, head.log)
        elif subject is not None:
            found = subject.walked.hash_at(head.seq)
            if found != head.hash:
                message = "the head file names another record than the log has"
                findings.add("head.mismatch", own, head.seq, message, found or "no record", head.hash)

    def _conclude(self) -> Report:
        findings, subjects = self._findings, self._subjects
        healed = pin_store.read_healed(self._state)
        for log in healed.keys() & self._counted().keys():
            what, at = healed[log]
            findings.add("ref.healed", log, None, f"{what}; it was put back on {at}")
        if subjects and not self._counted():
            message = "logs are here, and none is of a trusted key; name their keys with --trust, or in .ledger/allowed_signers"
            findings.add("log.none-counts", None, None, message)
        if self._unread:
            findings.add("log.unread", None, None, f"{self._unread} further logs were not read: there are more than {MAX_LOGS}")
        uncounted = {log for log, subject in subjects.items() if not subject.is_counted}
        reports = [self._report(subject) for subject in subjects.values()]
        if self._clone is not None and self._clone.log not in subjects:
            trust = "pinned" if self._clone.log in self._pins else "first-use"
            verdict = findings.worst(self._clone.log)
            reports.insert(0, LogReport(self._clone.log, self._clone.clone or None, 0, 0, verdict, trust, 0, ()))
        counted = [report for report in reports if report.counted]
        # `anchored` only where every log that counts is; a log that only commits know of is in no report, but its findings count.
        verdict = worst([findings.overall(uncounted), *(report.verdict for report in counted)])
        if verdict == "consistent" and counted and all(report.verdict == "anchored" for report in counted):
            verdict = "anchored"
        coverage = self._coverage() if self._options.coverage else None
        self._remember(reports)
        listed = findings.listed()
        return Report(verdict, tuple(reports), listed, coverage, tuple(self._unchecked(counted, listed)))

    def _report(self, subject: Subject) -> LogReport:
        walked, log = subject.walked, subject.log
        verdict = self._findings.worst(log) if subject.is_counted else subject.findings.worst(log)
        anchors = sorted(dict.fromkeys(subject.anchors), key=lambda anchor: -anchor.size)[:MAX_ANCHORS]
        if verdict == "consistent" and anchors and subject.is_counted:
            verdict = "anchored"
        writer = walked.genesis.body.get("clone") if walked.genesis is not None else None
        last = max(subject.seals, key=lambda seal: seal.size, default=None)
        return LogReport(
            log,
            writer if type(writer) is str else None,
            walked.size,
            self._count_pending(log),
            verdict,
            subject.trust,
            anchors[0].size if anchors else 0,
            tuple(anchors),
            0 if last is None else last.size,
            None if last is None else format_hash(last.root),
            subject.is_counted,
        )

    def _count_pending(self, log: str) -> int:
        pending = _count_files(places.spool_dir(self._state, log))
        return pending + (_count_files(places.git_spool_dir(self._repo.common_dir)) if log == self._own else 0)

    def _remember(self, reports: Sequence[LogReport]) -> None:
        """Pin what was found good. A state folder that cannot be written makes the next run no worse than this one was."""
        at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + "000Z"
        good: list[Pin] = []
        for report in reports:
            walked = self._subjects[report.log].walked if report.log in self._subjects else None
            if walked is not None and walked.keys and report.counted and report.verdict in ("anchored", "consistent"):
                good.append(Pin(report.log, walked.size, walked.head, walked.keys[0].fingerprint, at))
        try:
            if good:
                met = [pin.log for pin in good if pin.log in self._library.tips]
                pin_store.write_pins(self._state, good, self._trust.digest, self._place, met)
            for subject in self._counted().values():
                self._library.remember(subject)
        except (StoreError, OSError):
            return

    def _coverage(self) -> Coverage:
        repo, revisions, subjects = self._repo, self._options.revisions, self._counted().values()
        opened = [subject.walked.genesis.at for subject in subjects if subject.walked.genesis is not None]
        asked = None if revisions is None else trailer_lines.check_range(repo, revisions)
        return measure_coverage(repo, self._state, subjects, asked, opened)

    def _counted(self) -> dict[str, Subject]:
        return {log: subject for log, subject in self._subjects.items() if subject.is_counted}

    def _unchecked(self, logs: Sequence[LogReport], listed: tuple[Finding, ...]) -> list[str]:
        """Say in words what this run did not look at, or could not know."""
        said: list[str] = []
        if not self._options.full and any(log.size for log in logs):
            said.append("signatures in the middle of a log; the chain carries them, and --full checks each one")
        for log in logs:
            beyond = log.size - log.anchored_size
            if log.verdict in ("consistent", "anchored") and beyond > 0:
                which = f"the last {beyond:,} of {log.size:,} records" if beyond > 1 else f"the last of {log.size:,} records"
                which = f"{which if log.size > 1 else 'the only record'} of log {log.log[:8]}"
                said.append(f"nothing outside the log fixes {which}: a key holder could have rewritten {_them(beyond)}")
        for subject in self._counted().values():
            if subject.reused:
                count, them = subject.reused, _them(subject.reused)
                same = "and they are still the same" if count > 1 else "and it is still the same"
                how = same if subject.has_journal else "in seals that are still there"
                which = f"the first {count:,} records" if count > 1 else "the first record"
                said.append(f"{which} of log {subject.log[:8]}: an earlier run checked {them}, {how}; --full checks {them} again")
        if any(not subject.has_journal for subject in self._counted().values()):
            said.append("payloads, and records that are not sealed yet, of logs that were written elsewhere")
        if self._options.revisions is not None:
            said.append("trailers of commits outside the range")
        if not self._options.coverage:
            said.append("whether every commit has an entry; --coverage lists those that have none")
        absent = sum(finding.code == "commit.absent" for finding in listed)
        if absent:
            said.append("recorded commits that are not in this repository")
        pending = sum(log.pending for log in logs)
        if pending:
            said.append(f"{pending:,} facts that wait to be signed" if pending > 1 else "a fact that waits to be signed")
        said.append("that everything was recorded, and that what was recorded is true: no verifier can")
        return said


def _them(count: int) -> str:
    return "them" if count > 1 else "it"


def _predecessor(walked: Walked) -> Head | None:
    """Return what the genesis says of the log before this one, or None where it says nothing that can be followed."""
    named = walked.genesis.body.get("predecessor") if walked.genesis is not None else None
    if type(named) is not dict:
        return None
    log, seq, record_hash = named.get("log"), named.get("seq"), named.get("hash")
    # parse_head looks at the form; it is also what keeps a log's name from being a path.
    return parse_head(f"{log}/{seq}/{record_hash}")


def _is_given(walked: Walked, trust: Trust) -> bool:
    return trust.given is not None and all(held.public_key in trust.given for held in walked.keys)


def _covered_by(pin: Pin) -> list[Covered]:
    try:
        return [Covered(seconds_of(pin.at), pin.size)]
    except (ValueError, OverflowError):
        return []


def _place_of(repo: GitDir) -> str:
    """Return what names this very clone in the pins: another repository at its path is another place."""
    return f"{repo.common_dir}:{os.stat(repo.common_dir).st_ino}"


def _count_files(folder: str) -> int:
    """Return how many spooled events lie in a folder; agents can write one of them, so counting is bounded."""
    count = 0
    try:
        with os.scandir(folder) as found:
            for number, item in enumerate(found):
                if number >= MAX_PENDING:
                    break
                count += item.name.endswith(".json")
    except OSError:
        return 0
    return count
