"""Is it true: everything about one repository's logs, held against everything else that is here (docs/spec/verify.md).

The verifier collects; it raises only where it could not check at all. It shares nothing with the writer but `core` and the
readers of `store`, and never reads the index.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from ledger.core.trailer import Head, parse_head
from ledger.errors import NoLedger, StoreError
from ledger.repo.gitdir import GitDir
from ledger.repo.objects import Objects
from ledger.store import pins as pin_store
from ledger.store import state as places
from ledger.store.pins import Pin
from ledger.store.reader import JournalReader
from ledger.verify import trailers as trailer_lines
from ledger.verify.chain import Walked, walk
from ledger.verify.commits import check_commits, check_roots
from ledger.verify.coverage import measure_coverage
from ledger.verify.known import Wanted
from ledger.verify.notes import Notes
from ledger.verify.pins import check_pin
from ledger.verify.signatures import EverySignature, SomeSignatures
from ledger.verify.trust import Trust, check_digest, judge_trust, read_trust
from ledger.verify.verdict import Anchor, Coverage, Finding, Findings, LogReport, Report, worst

MAX_LOGS = 1000  # that one repository's trailers and predecessors may make us read
MAX_PENDING = 10_000

# (what is being done, how much of it is done, how much there is)
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for. `revisions` limits trailers and coverage to a range; `trust` is a file of allowed signers."""

    revisions: str | None = None
    full: bool = False
    coverage: bool = False
    trust: str | None = None
    progress: Progress = lambda what, done, total: None


@dataclass(slots=True)
class _Checked:
    """One log on its way through the plan below."""

    walked: Walked
    notes: Notes
    trust: str = "first-use"
    anchors: list[Anchor] = field(default_factory=list)


def verify_repository(repo: GitDir, state: str, options: Options) -> Report:
    """Check every log that belongs to `repo` and is in the state folder `state`.

    Raises NoLedger where there is neither a log nor a trailer, StoreError for a journal that cannot be read, RangeError for a
    range that names nothing, RepoError where git fails.
    """
    # 1. what commit messages say  2. which logs those, the clone map and the logs' own beginnings name
    # 3. each log by itself: form, links, signatures, payloads  4. against git: commits, roots  5. against trailers
    # 6. against earlier runs: pins, trust  7. what depends on several logs  8. verdicts, and what to remember
    findings = Findings()
    lines = trailer_lines.read_lines(repo, options.revisions)
    pushed = trailer_lines.pushed_commits(repo) if lines else frozenset()
    clone = places.find_clone(state, repo.common_dir, repo.work_tree).clone
    own = None if clone is None else clone.log
    if own is None and not any(line.head for line in lines):
        message = f"{repo.common_dir} has no ledger on this machine, and no commit names one"
        raise NoLedger(message, remedy="start one with `ledger init`")
    head = places.read_head_file(repo.common_dir)  # before the journal is opened: it may grow meanwhile
    trust = read_trust(repo, options.trust)
    known = pin_store.read_pins(state)
    objects = Objects(repo)
    digests = pin_store.read_trust(state)
    wanted = _wanted(lines, known, head)
    checked = _walk_all(state, own, lines, options, findings, wanted)
    ours = {own, *(line.head.log for line in lines if line.head is not None)}
    for log, item in checked.items():
        _check_log(item, repo, objects, trust, known.get(log), findings, ours=log in ours)
        item.anchors = trailer_lines.check_lines(item.walked, lines, item.notes.disowned, pushed, findings)
        check_digest(log, trust, digests.get(log), findings)
    trailer_lines.check_others(lines, {*checked, *([own] if own else [])}, findings)
    _check_predecessors(checked, findings)
    if own is not None:
        _check_head(repo, own, head, checked.get(own), findings)
    logs = [_report(item, state, repo if log == own else None, findings) for log, item in checked.items()]
    if clone is not None and clone.log not in checked:
        logs.insert(0, _missing_journal(clone.log, clone.clone, known.get(clone.log), findings))
    _remember(state, logs, checked, trust)
    coverage = _coverage(repo, options, checked) if options.coverage else None
    # `anchored` only where every log is; a log that only commits know of is in no report, but its findings count.
    verdict = worst([findings.overall(), *(log.verdict for log in logs)])
    if logs and all(log.verdict == "anchored" for log in logs) and verdict == "consistent":
        verdict = "anchored"
    listed = findings.listed()
    return Report(verdict, tuple(logs), listed, coverage, tuple(_unchecked(options, logs, listed)))


def _walk_all(
    state: str,
    own: str | None,
    lines: list[trailer_lines.Line],
    options: Options,
    findings: Findings,
    wanted: dict[str, set[int]],
) -> dict[str, _Checked]:
    """Walk this clone's log, those that trailers name, and their predecessors, as far as their journals are here."""
    named = dict.fromkeys(line.head.log for line in lines if line.head is not None)
    todo = [*([own] if own else []), *named]
    checked: dict[str, _Checked] = {}
    while todo and len(checked) < MAX_LOGS:
        log = todo.pop(0)
        path = places.journal_path(state, log)
        if log in checked or not os.path.exists(path):
            continue
        checked[log] = _walk(path, log, options, findings, Wanted(wanted.get(log, set())))
        predecessor = _predecessor(checked[log].walked)
        if predecessor is not None:
            wanted.setdefault(predecessor.log, set()).add(predecessor.seq)
        if predecessor is not None:
            todo.append(predecessor.log)
    return checked


def _wanted(lines: list[trailer_lines.Line], pins: dict[str, Pin], head: Head | None) -> dict[str, set[int]]:
    wanted: dict[str, set[int]] = {log: {pin.size - 1} for log, pin in pins.items()}
    for named in (head, *(line.head for line in lines)):
        if named is not None:
            wanted.setdefault(named.log, set()).add(named.seq)
    return wanted


def _walk(path: str, log: str, options: Options, findings: Findings, wanted: Wanted) -> _Checked:
    notes = Notes(log)

    def report_bad(seq: int) -> None:
        findings.add("signature.bad", log, seq, "the signature is not that of the key in force")

    with JournalReader(path) as journal:
        total = journal.count()
        if options.full:
            signatures = EverySignature(report_bad, lambda done: options.progress("signatures", done, total))
            walked = walk(journal, log, findings, signatures, notes, wanted=wanted)
        else:
            step = options.progress
            walked = walk(
                journal, log, findings, SomeSignatures(report_bad), notes, lambda done: step("records", done, total), wanted=wanted
            )
    notes.report(findings)
    return _Checked(walked, notes)


def _check_log(
    item: _Checked, repo: GitDir, objects: Objects, trust: Trust, pin: Pin | None, findings: Findings, *, ours: bool
) -> None:
    """Hold one walked log against git, against whom to trust and against what was seen before.

    A log that is not `ours`, a predecessor of one that is, may be of the repository that was in this place before.
    """
    walked = item.walked
    here = check_commits(walked.log, item.notes.commits, objects, findings)
    if walked.genesis is not None:
        check_roots(walked.log, walked.genesis, item.notes.commits, here, repo, objects, findings, ours=ours)
    item.trust = judge_trust(walked, trust, pin, findings)
    check_pin(walked, pin, findings)


def _predecessor(walked: Walked) -> Head | None:
    """Return what the genesis says of the log before this one, or None where it says nothing that can be followed."""
    named = walked.genesis.body.get("predecessor") if walked.genesis is not None else None
    if type(named) is not dict:
        return None
    log, seq, record_hash = named.get("log"), named.get("seq"), named.get("hash")
    # parse_head looks at the form; it is also what keeps a log's name from being a path.
    return parse_head(f"{log}/{seq}/{record_hash}")


def _check_predecessors(checked: dict[str, _Checked], findings: Findings) -> None:
    for log, item in checked.items():
        named = _predecessor(item.walked)
        if named is None:
            continue
        before = checked.get(named.log)
        if before is None:
            findings.add("predecessor.absent", log, 0, f"the log {named.log}, which this one continues, is not on this machine")
        elif before.walked.hash_at(named.seq) != named.hash:
            message = f"the log {named.log}, which this one continues, has another record {named.seq}"
            findings.add("predecessor.mismatch", log, 0, message, named.hash, before.walked.hash_at(named.seq) or "no record")


def _check_head(repo: GitDir, own: str, head: Head | None, item: _Checked | None, findings: Findings) -> None:
    """Compare the head file, a hint that anybody who can write the repository can write, with the log."""
    if head is None:
        if os.path.lexists(places.head_path(repo.common_dir)):
            findings.add("head.mismatch", own, None, "the head file is malformed", "<log>/<seq>/<hash>")
        return
    if head.log != own:
        findings.add("head.mismatch", own, None, "the head file names another log", own, head.log)
    elif item is not None:
        found = item.walked.hash_at(head.seq)
        if found != head.hash:
            message = "the head file names another record than the log has"
            findings.add("head.mismatch", own, head.seq, message, found or "no record", head.hash)


def _missing_journal(log: str, writer: str, pin: Pin | None, findings: Findings) -> LogReport:
    if pin is None:
        findings.add("journal.missing", log, None, "this clone's journal is gone")
    else:
        message = f"this clone's journal is gone; on {pin.at} it was here"
        findings.add("journal.lost", log, None, message, f"at least {pin.size} records", "no journal")
    return LogReport(log, writer or None, 0, 0, findings.worst(log), "first-use" if pin is None else "pinned", 0, ())


def _report(item: _Checked, state: str, repo: GitDir | None, findings: Findings) -> LogReport:
    walked = item.walked
    verdict = findings.worst(walked.log)
    if verdict == "consistent" and item.anchors:
        verdict = "anchored"
    writer = walked.genesis.body.get("clone") if walked.genesis is not None else None
    pending = _count_files(places.spool_dir(state, walked.log))
    if repo is not None:
        pending += _count_files(places.git_spool_dir(repo.common_dir))
    size = item.anchors[0].size if item.anchors else 0
    return LogReport(
        walked.log, writer if type(writer) is str else None, walked.size, pending, verdict, item.trust, size, tuple(item.anchors)
    )


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


def _remember(state: str, logs: list[LogReport], checked: dict[str, _Checked], trust: Trust) -> None:
    """Pin what was found good. A state folder that cannot be written makes the next run no worse than this one was."""
    at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + "000Z"
    good: list[Pin] = []
    for log in logs:
        walked = checked[log.log].walked if log.log in checked else None
        if walked is not None and log.verdict in ("anchored", "consistent") and walked.keys:
            good.append(Pin(log.log, walked.size, walked.head, walked.keys[0].fingerprint, at))
    try:
        pin_store.write_pins(state, good, trust.digest, "")
    except StoreError:
        return


def _coverage(repo: GitDir, options: Options, checked: dict[str, _Checked]) -> Coverage:
    recorded = {commit.oid for item in checked.values() for commit in item.notes.commits if type(commit.oid) is str}
    opened = [item.walked.genesis.at for item in checked.values() if item.walked.genesis is not None]
    asked = None if options.revisions is None else trailer_lines.check_range(repo, options.revisions)
    return measure_coverage(repo, asked, recorded, opened)


def _unchecked(options: Options, logs: list[LogReport], listed: tuple[Finding, ...]) -> list[str]:
    """Say in words what this run did not look at, or could not know."""
    said: list[str] = []
    if not options.full and any(log.size for log in logs):
        said.append("signatures in the middle of a log; the chain carries them, and --full checks each one")
    for log in logs:
        beyond = log.size - log.anchored_size
        if log.verdict in ("consistent", "anchored") and beyond > 0:
            which = f"the last {beyond} of {log.size} records of log {log.log[:8]}"
            said.append(f"nothing outside the log fixes {which}: a key holder could have rewritten them")
    if options.revisions is not None:
        said.append("trailers of commits outside the range")
    if not options.coverage:
        said.append("whether every commit has an entry; --coverage lists those that have none")
    absent = sum(finding.code == "commit.absent" for finding in listed)
    if absent:
        said.append("recorded commits that are not in this repository")
    pending = sum(log.pending for log in logs)
    if pending:
        said.append(f"{pending} facts that wait to be signed")
    said.append("that everything was recorded, and that what was recorded is true: no verifier can")
    return said
