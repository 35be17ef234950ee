"""The answer's form, as `ledger trace --json` prints it (docs/trace.md).

Every reference to an entry is `<log>/<seq>`. Free text is a string, `{"erased": {"by", "at", "reason"}}`, `{"withheld": true}`
where the payload never was on this machine, or null where there is none. A path that is not UTF-8 is `{"base64": …}`, as in a
record.
"""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict


class Erasure(TypedDict):
    """Who erased a payload, when, and why."""

    by: str
    at: str
    reason: str | None


class Gone(TypedDict):
    """What stands for a text that is not here."""

    erased: NotRequired[Erasure]
    withheld: NotRequired[bool]


Words = str | Gone | None


class Commit(TypedDict):
    """What the repository says of the commit; `at` is the committer's time in UTC, a claim."""

    oid: str
    author: str
    at: str | None
    subject: str


class Candidate(TypedDict):
    """One of several recorded commits that fit equally well."""

    oid: str
    entry: str


class MatchedBy(TypedDict):
    """How the commit was found in a log: `rung` of the ladder, and the id under which it was recorded.

    `confidence` is `certain`, `strong`, `weak`, `ambiguous` (then `candidates` are named, and no id) or `none`. `linked_by` is the
    entry in which `ledger link` wrote the match down, where it rests on that.
    """

    rung: str
    recorded_oid: str | None
    confidence: str
    candidates: NotRequired[list[Candidate]]
    linked_by: NotRequired[str]


class Who(TypedDict):
    """Who asked. `basis`: `observed`, `asserted` (somebody said so, nobody checked) or `agent` (no person did).

    `account` is the one that the agent says it works for, `ci` what the environment claims of the job it runs in.
    """

    principal: str | None
    name: str | None
    basis: str
    account: str | None
    ci: dict[str, Any] | None


class Asked(TypedDict):
    """One prompt."""

    who: Who
    agent: str | None
    session: str | None
    at: str
    prompt: Words
    entry: str


class Planned(TypedDict):
    """One state of the agent's plan: `[{"step", "status"}]`, or what stands for it."""

    at: str
    steps: list[dict[str, Any]] | Gone | None
    entry: str


class Ran(TypedDict):
    """One tool call; `entry` is its request, `result_entry` its result, null where the log lacks it."""

    at: str
    agent: str | None
    tool: str | None
    mcp_server: str | None
    command: Words
    outcome: str
    exit_code: int | None
    duration_ms: int | None
    approval: str | None
    entry: str | None
    result_entry: str | None


class Approval(TypedDict):
    """One approval: what was asked for, and what was decided by whom, `unknown` where nobody saw it."""

    at: str
    subject: Words
    decision: str
    scope: str | None
    decider: str
    source: str
    entry: str
    grounds: str | None
    basis: str
    asked: str | None


class Network(TypedDict):
    """One network decision."""

    at: str
    host: str | None
    port: int | None
    protocol: str | None
    decision: str | None
    rule: str | None
    entry: str
    source: str | None
    call: str | None
    basis: str


class Boundary(TypedDict):
    """One sandbox boundary, and what hit it."""

    at: str
    mode: str | None
    writable: Any
    protected: Any
    network: Any
    hits: list[dict[str, Any]]
    entry: str
    approvals: str | None
    reviewer: str | None
    subagent: str | None
    grants: Any
    basis: str


class LinkedLines(TypedDict):
    """A range of lines, 1-based and inclusive, and the call that wrote it."""

    range: list[int]
    call: str


class Changed(TypedDict):
    """One changed path; `added` and `deleted` are lines, null for binary files or where git cannot say."""

    path: str | dict[str, str]
    status: str
    added: int | None
    deleted: int | None
    link: str
    calls: list[str]
    lines: list[LinkedLines]


class Trace(TypedDict):
    """The eight answers for one commit, how it was found, and what could not be established."""

    commit: Commit
    match: MatchedBy
    verdict: str
    asked: list[Asked]
    planned: list[Planned]
    ran: list[Ran]
    approvals: list[Approval]
    network: list[Network]
    boundary: list[Boundary]
    changed: list[Changed]
    unknown: list[str]
    contradictions: list[str]
