"""What the verifier answers with: findings, a verdict for each log, and one for the repository (docs/spec/verify.md).

`RULES` is the list of every finding there is. A finding of severity `error` asks for a verdict; `warning` and `info` ask for none.
The verdict of a log is the worst that its findings ask for, and that of the repository the worst of its logs.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from ledger.repo.reflog import RefMove

VERDICTS = ("anchored", "consistent", "incomplete", "diverged", "invalid")  # from best to worst
MAX_FINDINGS = 100  # of one log; the verdict counts those that are not shown too


class Rule(NamedTuple):
    """What a finding's code stands for: its severity, and the verdict that it asks for where it is an error."""

    severity: str
    verdict: str = "consistent"


_INVALID = Rule("error", "invalid")
_DIVERGED = Rule("error", "diverged")
_INCOMPLETE = Rule("error", "incomplete")
_WARNING = Rule("warning")
_INFO = Rule("info")

RULES: dict[str, Rule] = {
    "record.form": _INVALID,
    "journal.row": _INVALID,
    "log.empty": _INVALID,
    "log.id": _INVALID,
    "chain.seq": _INVALID,
    "chain.prev": _INVALID,
    "version.downgrade": _INVALID,
    "genesis.kind": _INVALID,
    "genesis.key": _INVALID,
    "genesis.roots": _INVALID,
    "genesis.shallow": _INCOMPLETE,
    "key.unexpected": _INVALID,
    "key.rotation": _INVALID,
    "key.untrusted": _INVALID,
    "key.unlisted": _INFO,
    "key.revoked": _INVALID,
    "key.window": _INVALID,
    "key.expired": _INCOMPLETE,
    "signature.bad": _INVALID,
    "proof.form": _INVALID,
    "proof.mismatch": _INVALID,
    "payload.mismatch": _INVALID,
    "payload.missing": _INCOMPLETE,
    "seal.root": _INVALID,
    "seal.fork": _DIVERGED,
    "seal.missing": _INCOMPLETE,
    "seal.mismatch": _DIVERGED,
    "ref.foreign": _WARNING,
    "ref.rolled-back": _DIVERGED,
    "ref.healed": _WARNING,
    "journal.rolled-back": _DIVERGED,
    "predecessor.continued": _WARNING,
    "log.uncounted": _INFO,
    "log.none-counts": _INCOMPLETE,
    "log.lost": _DIVERGED,
    "log.unread": _WARNING,
    "seen.mismatch": _DIVERGED,
    "seen.beyond": _DIVERGED,
    "seen.forged": _INVALID,
    "seen.unverified": _INCOMPLETE,
    "seen.absent-log": _INCOMPLETE,
    "tag.mismatch": _DIVERGED,
    "tag.beyond": _INCOMPLETE,
    "tag.absent-log": _INCOMPLETE,
    "tag.unchecked": _INFO,
    "witness.bad": _WARNING,
    "commit.mismatch": _INVALID,
    "commit.absent": _INFO,
    "trailer.mismatch": _DIVERGED,
    "trailer.beyond": _INCOMPLETE,
    "trailer.absent-log": _INCOMPLETE,
    "trailer.disowned": _INFO,
    "trailer.malformed": _WARNING,
    "pin.rollback": _DIVERGED,
    "pin.mismatch": _DIVERGED,
    "journal.missing": _INCOMPLETE,
    "journal.lost": _DIVERGED,
    "predecessor.mismatch": _DIVERGED,
    "predecessor.absent": _INFO,
    "predecessor.roots": _WARNING,
    "head.mismatch": _WARNING,
    "trust.changed": _WARNING,
    "revocations.malformed": _WARNING,
    "gap.noted": _WARNING,
    "recording.paused": _WARNING,
    "kind.unknown": _INFO,
    "time.backwards": _INFO,
    "findings.truncated": _INFO,
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that an auditor should know. `log` and `seq` are None where no log or record is meant."""

    code: str
    severity: str
    log: str | None
    seq: int | None
    message: str
    expected: str | None = None
    found: str | None = None


class Anchor(NamedTuple):
    """Something outside the log that fixes its first `size` records.

    `where` is a commit's id, a tag's ref, the entry `<log>/<seq>` of another log, a witness's name, or the time of a pin.
    """

    type: str
    size: int
    where: str


@dataclass(frozen=True, slots=True)
class LogReport:
    """What was found out about one log. `writer` is the clone's own number; `pending` counts facts that are not signed yet.

    `sealed` is the size at the last genuine seal and `root` its root in base64, None where there is none. A log that is not
    `counted` has no part in the repository's verdict.
    """

    log: str
    writer: str | None
    size: int
    pending: int
    verdict: str
    trust: str
    anchored_size: int
    anchors: tuple[Anchor, ...]
    sealed: int = 0
    root: str | None = None
    counted: bool = True


class Uncommitted(NamedTuple):
    """A session of whose calls that changed files not all are linked to a commit; `entry` is the last such call's result."""

    session: str
    entry: str
    changes: int
    committed: int
    ended: bool


@dataclass(frozen=True, slots=True)
class Coverage:
    """How many commits there are, how many have an entry, and which should have one and have not.

    `linked` have none, but an entry says what they were made of. `moves` are those of refs that led to commits of which no entry
    knows; `claimed` are (commit, entry) where the environment named an agent and no call confirms it.
    """

    commits: int
    recorded: int
    missing: tuple[str, ...]
    linked: int = 0
    moves: tuple[RefMove, ...] = ()
    claimed: tuple[tuple[str, str], ...] = ()
    uncommitted: tuple[Uncommitted, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return it as `ledger verify --json` prints it."""
        return {
            "commits": self.commits,
            "recorded": self.recorded,
            "missing": list(self.missing),
            "linked": self.linked,
            "moves": [{**move._asdict(), "at": _time(move.at)} for move in self.moves],
            "claimed": [{"oid": oid, "entry": entry} for oid, entry in self.claimed],
            "uncommitted": [item._asdict() for item in self.uncommitted],
        }


@dataclass(frozen=True, slots=True)
class Report:
    """The whole answer. `unchecked` says in words what this run did not look at."""

    verdict: str
    logs: tuple[LogReport, ...]
    findings: tuple[Finding, ...]
    coverage: Coverage | None
    unchecked: tuple[str, ...]


class Findings:
    """Collects findings, at most MAX_FINDINGS shown for a log, and remembers the worst verdict that each log's ask for."""

    def __init__(self) -> None:
        self._shown: dict[str | None, list[Finding]] = {}
        self._hidden: dict[str | None, int] = {}
        self._worst: dict[str | None, str] = {}

    def add(self, code: str, log: str | None, seq: int | None, message: str, expected: object = None, found: object = None) -> None:
        """Take one finding; `code` must be one of RULES."""
        rule = RULES[code]
        self._worst[log] = worst([self.worst(log), rule.verdict])
        self._take(Finding(code, rule.severity, log, seq, message, _text(expected), _text(found)))

    def _take(self, finding: Finding) -> None:
        shown = self._shown.setdefault(finding.log, [])
        if len(shown) < MAX_FINDINGS:
            shown.append(finding)
        else:
            self._hidden[finding.log] = self._hidden.get(finding.log, 0) + 1

    def worst(self, log: str | None) -> str:
        """Return the worst verdict that the findings of `log` ask for."""
        return self._worst.get(log, "consistent")

    def overall(self, without: Collection[str] = ()) -> str:
        """Return the worst verdict that any finding asks for, those of the logs in `without` apart."""
        return worst(["consistent", *(verdict for log, verdict in self._worst.items() if log not in without)])

    def merge(self, others: Findings) -> None:
        """Take the findings of `others`, those that they do not show included."""
        for finding in [each for shown in others._shown.values() for each in shown]:
            self._take(finding)
        for log, count in others._hidden.items():
            self._hidden[log] = self._hidden.get(log, 0) + count
        for log, verdict in others._worst.items():
            self._worst[log] = worst([self.worst(log), verdict])

    def listed(self) -> tuple[Finding, ...]:
        """Return all findings, those of one log together."""
        listed: list[Finding] = []
        for log, shown in self._shown.items():
            listed += shown
            if log in self._hidden:
                listed.append(_truncated(log, self._hidden[log]))
        return tuple(listed)


def worst(verdicts: Sequence[str]) -> str:
    """Return the worst of `verdicts`, of which there is at least one."""
    return max(verdicts, key=VERDICTS.index)


def build_json(report: Report) -> dict[str, Any]:
    """Return `report` as the JSON that `ledger verify --json` prints."""
    value: dict[str, Any] = {
        "verdict": report.verdict,
        "logs": [_log_json(log) for log in report.logs],
        "findings": [
            {
                "code": finding.code,
                "severity": finding.severity,
                "log": finding.log,
                "seq": finding.seq,
                "message": finding.message,
                "expected": finding.expected,
                "found": finding.found,
            }
            for finding in report.findings
        ],
    }
    if report.coverage is not None:
        value["coverage"] = report.coverage.as_json()
    return value


def _log_json(log: LogReport) -> dict[str, Any]:
    return {
        "log": log.log,
        "writer": log.writer,
        "size": log.size,
        "sealed": log.sealed,
        "pending": log.pending,
        "root": log.root,
        "verdict": log.verdict,
        "trust": log.trust,
        "anchored_size": log.anchored_size,
        "anchors": [anchor._asdict() for anchor in log.anchors],
    }


def _truncated(log: str | None, count: int) -> Finding:
    message = f"{count} further findings are not shown; the verdict counts them"
    return Finding("findings.truncated", RULES["findings.truncated"].severity, log, None, message)


def _time(seconds: int) -> str | None:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if seconds else None
    except (OverflowError, ValueError, OSError):
        return None


def _text(value: object) -> str | None:
    if value is None:
        return None
    text = str(value)
    return text if len(text) <= 300 else text[:299] + "…"
