"""Attribution in the form of Agent Trace 0.1.0: one Trace Record a commit (docs/export.md; the specification is named there).

    {"version": "0.1.0", "id", "timestamp", "vcs": {"type": "git", "revision"}, "tool": {"name", "version"},
     "files": [{"path", "conversations": [{"contributor": {"type", "model_id"?}, "ranges": [{"start_line", "end_line"}]}]}],
     "metadata": {"git-ledger": {…}}}

A conversation is one session here, or all of a person's or of nobody's lines. The form wants a `url` for a conversation where there
is one to look it up; there is none, so what leads back to the evidence, the names of entries, is in `metadata`.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from ledger import __version__
from ledger.core.text import format_path
from ledger.repo.gitdir import GitDir
from ledger.repo.manycommits import Added
from ledger.trace.attribution import Attribution, Line
from ledger.trace.calls import find_prompt
from ledger.trace.logs import Log, Logs
from ledger.trace.match import describe_match
from ledger.trace.matching import Commits

VERSION = "0.1.0"
VENDOR = "git-ledger"  # our key in `metadata`
_TYPES = {"agent": "ai", "human": "human", "unknown": "unknown"}  # section 4
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "git-ledger/agent-trace")  # so that a commit's record has the same id each time
_BATCH = 200


class _Span(NamedTuple):
    """Lines in a row of one path with one answer."""

    first: int
    last: int
    line: Line


def export_commits(repo: GitDir, logs: Logs, oids: Sequence[str], verdict: str = "unchecked") -> Iterator[dict[str, Any]]:
    """Yield the Trace Record of each of these commits that some log recorded, in their order."""
    commits = Commits(repo, logs)
    facts = _Facts()
    with Attribution(commits) as attribution:
        for start in range(0, len(oids), _BATCH):
            batch = oids[start : start + _BATCH]
            commits.prepare(batch)
            known = [oid for oid in batch if commits.match(oid).recorded and not commits.match(oid).is_ambiguous]
            for oid, added in attribution.added(known).items():
                yield _record(attribution, facts, oid, added, verdict)


class _Facts:
    """What calls say of their sessions, each looked up once."""

    def __init__(self) -> None:
        self._models: dict[tuple[str, str], str | None] = {}
        self._calls: dict[tuple[str, int], dict[str, Any]] = {}

    def call(self, log: Log, seq: int) -> dict[str, Any]:
        """Return agent, session, model and prompt's name of a call."""
        key = log.name, seq
        if key not in self._calls:
            request = log.entry(seq)
            prompt = None if request is None else find_prompt(log, request)
            session = None if request is None else request.session
            self._calls[key] = {
                "call": log.ref(seq),
                "agent": request.actor.get("name") if request is not None and request.actor["type"] == "agent" else None,
                "session": session,
                "model": self._model(log, session),
                "prompt": None if prompt is None else log.ref(prompt.seq),
            }
        return self._calls[key]

    def _model(self, log: Log, session: str | None) -> str | None:
        """Return the model that the session began with, as the agent named it."""
        if session is None:
            return None
        key = log.name, session
        if key not in self._models:
            starts = log.entries(log.index.newest(session, "session.started", 2**62))
            named = (start.body.get("model") for start in starts)
            self._models[key] = next((model for model in named if isinstance(model, str) and model), None)
        return self._models[key]


def _record(attribution: Attribution, facts: _Facts, oid: str, added: Sequence[Added], verdict: str) -> dict[str, Any]:
    match = attribution.commits.match(oid)
    closest = match.recorded[0]
    files, evidence, odd = [], [], 0
    for path, spans in _by_path(attribution, oid, added).items():
        name = format_path(path)
        if not isinstance(name, str):  # the form knows paths as texts only
            odd += 1
            continue
        files.append({"path": name, "conversations": _conversations(facts, spans)})
        evidence += [_evidence(facts, name, span) for span in spans]
    name = closest.log.ref(closest.entry.seq)
    return {
        "version": VERSION,
        "id": str(uuid.uuid5(_NAMESPACE, f"{oid} {name}")),
        "timestamp": closest.entry.at,
        "vcs": {"type": "git", "revision": oid},
        "tool": {"name": VENDOR, "version": __version__},
        "files": files,
        "metadata": {
            VENDOR: {
                "entry": name,
                "match": describe_match(match),
                "verdict": verdict,
                "lines": evidence,
                **({"paths_left_out": odd} if odd else {}),
            }
        },
    }


def _by_path(attribution: Attribution, oid: str, added: Sequence[Added]) -> dict[bytes, list[_Span]]:
    found: dict[bytes, list[_Span]] = {}
    for part in added:
        spans = found.setdefault(part.path, [])
        for number in range(part.first, part.last + 1):
            line = attribution.line(oid, part.path, number)
            if spans and spans[-1].last + 1 == number and spans[-1].line == line:
                spans[-1] = spans[-1]._replace(last=number)
            else:
                spans.append(_Span(number, number, line))
    return found


def _conversations(facts: _Facts, spans: Sequence[_Span]) -> list[dict[str, Any]]:
    """Return a path's ranges, grouped by who wrote them in which session."""
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    for span in spans:
        line = span.line
        about = facts.call(line.log, line.call) if line.log is not None and line.call is not None else {}
        contributor = {"type": _TYPES[line.by]}
        model = about.get("model")
        if model and "/" in model and len(model) <= 250:  # the form's convention is provider/model-name; we do not guess providers
            contributor["model_id"] = model
        key = contributor["type"], str(about.get("session")), str(model)
        conversation = found.setdefault(key, {"contributor": contributor, "ranges": []})
        conversation["ranges"].append({"start_line": span.first, "end_line": span.last})
    return list(found.values())


def _evidence(facts: _Facts, path: str, span: _Span) -> dict[str, Any]:
    """Return what one range rests on: the names of our entries, and how sure that is."""
    line = span.line
    about = facts.call(line.log, line.call) if line.log is not None and line.call is not None else {}
    said = {"link": line.link, "why": line.why, **about}
    return {"path": path, "range": [span.first, span.last], "by": line.by, **{name: value for name, value in said.items() if value}}
