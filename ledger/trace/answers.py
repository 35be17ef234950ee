"""The answers of one window: who asked, what was planned, ran, was approved, which network rule and boundary held.

`Unknown` gathers what could not be established, in words, each sentence once.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ledger.core.entry import Entry
from ledger.trace.decisions import find_contradictions, merge, said_otherwise
from ledger.trace.logs import Log
from ledger.trace.model import Approval, Asked, Boundary, Gone, Network, Planned, Ran, Who, Words
from ledger.trace.window import Window, find_origin, is_asked

_OUTCOMES = frozenset({"finished", "failed", "denied", "cancelled"})


class Unknown(list[str]):
    """Sentences about what could not be established, each once."""

    def say(self, sentence: str) -> None:
        """Add a sentence, unless it was said."""
        if sentence not in self:
            self.append(sentence)


# Who asked


def build_asked(window: Window, unknown: Unknown) -> list[Asked]:
    """Return the window's prompts."""
    asked: list[Asked] = []
    for entry in _of(window, "prompt.submitted"):
        start = _session_start(window.log, entry)
        prompt = window.log.words(entry, "prompt")
        who = _who(window.log, entry, start)
        if who["basis"] != "agent":
            unknown.say(_typed_by(window.log, entry))
        asked.append(
            {
                "who": who,
                "agent": _agent(window.log, entry, start),
                "session": entry.session,
                "at": entry.at,
                "prompt": prompt,
                "entry": window.log.ref(entry.seq),
            }
        )
        _note_gone(prompt, "prompt", unknown)
    return asked


def _typed_by(log: Log, entry: Entry) -> str:
    """Return in words what is known of whether a person typed a prompt."""
    told = find_origin(log, entry)
    said = {**(told.body if told is not None else {}), **entry.body}
    who = "the program says that recorded them" if entry.source == "cli" else "the agent's transcript says"
    if entry.actor["type"] == "human" or said.get("human") is True or said.get("origin_kind") == "human":
        return f"That a person typed the prompts is as {who}; nobody watched."
    if said.get("prompt_source") == "sdk" or said.get("trigger") == "exec":
        return "The prompts came by the command line or a program: whether a person wrote them was not observed."
    if said.get("trigger") == "user":
        return f"That the prompts came from the agent's own screen is as {who}; nobody watched."
    if entry.source == "cli":
        return "Whether a person typed the prompts was not observed: the program that recorded them does not say."
    return "Whether a person typed the prompts was not observed: the agent's hook does not say."


def _who(log: Log, entry: Entry, start: Entry | None) -> Who:
    if not is_asked(entry, log):
        return {"principal": None, "name": None, "basis": "agent", "account": None, "ci": None}
    said = _json(log, start, "principal") if start is not None else None
    basis = "observed" if start is not None and _basis(start, "principal") == "observed" else "asserted"
    return describe_who(said if isinstance(said, dict) else {}, basis)


def describe_who(said: Mapping[str, Any], basis: str) -> Who:
    """Return who asked, as the payload `principal` of a session's start says it."""
    ci = said.get("ci")
    return {
        "principal": _text(said.get("git_email")) or _text(said.get("os_user")),
        "name": _text(said.get("git_name")) or _text(said.get("os_user")),
        "basis": basis,
        "account": _text(said.get("account")),
        "ci": ci if isinstance(ci, dict) and ci else None,
    }


def _session_start(log: Log, entry: Entry) -> Entry | None:
    """Return the newest `session.started` of an entry's session before it that says who asked, or any before it."""
    if entry.session is None:
        return None
    starts = list(log.entries(log.index.newest(entry.session, "session.started", entry.seq + 1)))
    named = [start for start in starts if any(ref.name == "principal" for ref in start.payloads)]
    return next(iter(named or starts), None)


def _agent(log: Log, entry: Entry, start: Entry | None) -> str | None:
    for one in (entry, start):
        if one is not None and one.actor["type"] == "agent" and one.actor.get("name"):
            return one.actor["name"]
    return None


# What was planned


def build_planned(window: Window, unknown: Unknown) -> list[Planned]:
    """Return the states of the plan."""
    planned: list[Planned] = []
    for entry in _of(window, "plan.updated"):
        plan = window.log.words(entry, "plan")
        steps = plan if plan is None or isinstance(plan, dict) else _steps(plan)
        planned.append({"at": entry.at, "steps": steps, "entry": window.log.ref(entry.seq)})
        _note_gone(plan, "plan", unknown)
    return planned


def _steps(plan: str) -> list[dict[str, Any]]:
    """Return a plan's steps: those of its JSON, else one for each line that says something."""
    try:
        value = json.loads(plan)
    except (ValueError, RecursionError):
        value = None
    steps = value.get("steps") if isinstance(value, dict) else None
    if isinstance(steps, list):
        return [{"status": None, **step} if isinstance(step, dict) else {"step": str(step), "status": None} for step in steps]
    return [{"step": line.rstrip(), "status": None} for line in plan.splitlines() if line.strip()]


# What ran


def build_ran(window: Window, unknown: Unknown) -> list[Ran]:
    """Return the tool calls, each request with its result."""
    results = {entry.seq: entry for entry in _of(window, "tool.finished")}
    ran: list[Ran] = []
    for request in _of(window, "tool.requested"):
        result = _result(window.log, request)
        if result is not None:
            results.pop(result.seq, None)
        ran.append(_call(window.log, request, result, unknown))
    for result in results.values():
        before = window.log.entry(result.cause) if result.cause is not None else None
        if before is not None:
            ran.append(_call(window.log, before, result, unknown))
        else:
            unknown.say(f"The result {window.log.ref(result.seq)} answers a call whose request was not recorded.")
            ran.append(_call(window.log, None, result, unknown))
    return sorted(ran, key=lambda call: int((call["entry"] or call["result_entry"] or "/0").partition("/")[2]))


def _result(log: Log, request: Entry) -> Entry | None:
    """Return the `tool.finished` that answers a request: by cause, else by the call's identifiers."""
    for entry in log.entries(log.index.answers(request.seq), "tool.finished"):
        return entry
    if request.call is None:
        return None
    later = [seq for seq in log.index.of_call(request.session, request.call) if seq > request.seq]
    return next((entry for entry in log.entries(later, "tool.finished") if entry.cause is None), None)


def _call(log: Log, request: Entry | None, result: Entry | None, unknown: Unknown) -> Ran:
    about = request or result
    assert about is not None  # one of them is why we are here
    done = result.body if result is not None else {}
    outcome = _text(done.get("outcome")) or "unknown"
    exit_code = _count(done.get("exit_code"))
    if exit_code is None and request is not None and (hit := _hit_of(log, request)) is not None:
        # The sandbox's refusal came to light after the hook had said that the call was over.
        exit_code = _count(hit.body.get("exit_code"))
        outcome = "failed" if exit_code and outcome == "finished" else outcome
    command = command_of(log, request, unknown) if request is not None else None
    approval = _approval_of(log, request) if request is not None else None
    if result is None:
        unknown.say(f"What became of the call {log.ref(about.seq)} was not recorded: it has no result.")
    if done.get("input_changed") is True:
        unknown.say(f"The call {log.ref(about.seq)} ran with another input than was asked for: something rewrote it on the way.")
    return {
        "at": about.at,
        "agent": about.actor.get("name") if about.actor["type"] == "agent" else _agent(log, about, _session_start(log, about)),
        "tool": _text(about.body.get("tool")),
        "mcp_server": _text(about.body.get("mcp_server")),
        "command": command,
        "outcome": outcome if outcome in _OUTCOMES else "unknown",
        "exit_code": exit_code,
        "duration_ms": _count(done.get("duration_ms")),
        "approval": log.ref(approval.seq) if approval is not None else None,
        "entry": log.ref(request.seq) if request is not None else None,
        "result_entry": log.ref(result.seq) if result is not None else None,
    }


def _hit_of(log: Log, request: Entry) -> Entry | None:
    """Return what the sandbox refused of a call."""
    return next(iter(log.entries(log.index.answers(request.seq), "boundary.hit")), None)


def command_of(log: Log, entry: Entry, unknown: Unknown | None = None) -> Words:
    """Return what a call was to do: the shell command where its input has one, else its input as compact JSON."""
    given = log.words(entry, "input")
    if given is None or isinstance(given, dict):
        if unknown is not None:
            _note_gone(given, "input", unknown)
        return given
    try:
        value = json.loads(given)
    except (ValueError, RecursionError):
        return given
    command = value.get("command") if isinstance(value, dict) else None
    if isinstance(command, str):
        return command
    if isinstance(command, list) and all(isinstance(word, str) for word in command):
        return shlex.join(command)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


# What was approved


def build_approvals(window: Window, unknown: Unknown, contradictions: Unknown) -> list[Approval]:
    """Return each approval that was asked for, with its decision, and each decision that answers no request.

    What several surfaces say alike of one call is one approval; what they say differently is one each, and a contradiction.
    """
    log = window.log
    requests = list(_of(window, "approval.requested"))
    decided = {entry.seq: entry for entry in _of(window, "approval.decided")}
    approvals: list[Approval] = []
    for call, asked in _by_call(requests).items():
        stated = _decisions_of(log, call, asked)
        for entry in stated:
            decided.pop(entry.seq, None)
        decisions = merge(stated)
        if not decisions:
            for request in asked:
                unknown.say(_undecided(log, request))
                approvals.append(_approval(log, request, None))
        approvals += [_approval(log, _asked_before(asked, decision), decision) for decision in decisions]
    for decisions in _by_call(decided.values()).values():
        approvals += [_approval(log, None, decision) for decision in merge(decisions)]
    for item in approvals:
        if item["decider"] == "human" and item["basis"] != "observed":
            unknown.say(f"That a person answered {_SAYS.get(item['basis'], item['basis'])}; nobody watched.")
    if any(entry.body.get("alike") == ["no", "escape"] for entry in _of(window, "approval.decided")):
        unknown.say("Whether a person said no or pressed Escape is not on record: the agent reports both alike.")
    _contradict(window, contradictions)
    # By when it is said to have been decided: telemetry comes late.
    return sorted(approvals, key=lambda item: (item["at"], int(item["entry"].partition("/")[2])))


_SAYS = {
    "agent-file": "is as the agent's transcript says",
    "telemetry": "is as the agent's telemetry says",
    "inferred": "is concluded from what the agent's transcript shows",
}


def _by_call(entries: Iterable[Entry]) -> dict[tuple[Any, ...], list[Entry]]:
    """Return the entries of each call; one of no call stands alone."""
    found: dict[tuple[Any, ...], list[Entry]] = {}
    for entry in entries:
        key = (entry.session, entry.turn, entry.call) if entry.call else (entry.seq,)
        found.setdefault(key, []).append(entry)
    return found


def _decisions_of(log: Log, call: tuple[Any, ...], asked: list[Entry]) -> list[Entry]:
    """Return all that was said about a call: by its identifiers, by cause, or by the call that leave was asked for."""
    seqs: set[int] = set()
    for request in asked:
        seqs.update(log.index.answers(request.seq))
        if request.cause is not None:
            seqs.update(log.index.answers(request.cause))
    if len(call) == 3:
        seqs.update(log.index.of_call(call[0], call[2]))
    return [entry for entry in log.entries(sorted(seqs), "approval.decided") if len(call) < 3 or entry.turn in (call[1], None)]


def _asked_before(asked: list[Entry], decision: Entry) -> Entry:
    return next((request for request in reversed(asked) if request.seq < decision.seq), asked[0])


def _contradict(window: Window, contradictions: Unknown) -> None:
    """Say what the surfaces say differently of each call in the window."""
    log = window.log
    for call, decisions in _by_call(_of(window, "approval.decided")).items():
        if len(call) == 3:
            seqs = [entry for entry in log.entries(log.index.of_call(call[0], call[2]), "tool.finished") if entry.turn == call[1]]
            for sentence in find_contradictions(log, decisions, seqs[0] if seqs else None):
                contradictions.say(sentence)
    for entry in _of(window, "message.sent"):
        otherwise = said_otherwise(log, entry)
        if otherwise is not None:
            contradictions.say(otherwise)


def _approval(log: Log, request: Entry | None, decision: Entry | None) -> Approval:
    about = decision or request
    assert about is not None  # one of them is why we are here
    body = decision.body if decision is not None else {}
    subject = request if request is not None else log.entry(about.cause) if about.cause is not None else about
    return {
        "at": about.at,
        "subject": _subject(log, subject or about),
        "decision": _text(body.get("decision")) or "unknown",
        "scope": _text(body.get("scope")),
        "decider": _text(body.get("decider")) or "unknown",
        "source": about.source,
        "entry": log.ref(about.seq),
        "grounds": _text(body.get("grounds")),
        "basis": _basis(decision, "decider") if decision is not None else "observed",
        "asked": log.ref(request.seq) if request is not None else None,
    }


def _subject(log: Log, entry: Entry) -> Words:
    """Return what leave was asked for; for network access the reason says it better than the command."""
    reason = log.words(entry, "reason")
    if isinstance(reason, str) and reason.startswith("network-access "):
        return reason
    command = command_of(log, entry)
    return command if command not in (None, "{}") else _text(entry.body.get("tool"))


def _approval_of(log: Log, request: Entry) -> Entry | None:
    """Return the decision about a call that knows most, or else the request for one, or None."""
    seqs = set(log.index.answers(request.seq))
    if request.call is not None:
        seqs.update(log.index.of_call(request.session, request.call))
    found = [entry for entry in log.entries(sorted(seqs), "approval.requested", "approval.decided") if entry.turn == request.turn]
    for entry in list(found):
        if entry.kind == "approval.requested":
            found += list(log.entries(log.index.answers(entry.seq), "approval.decided"))
    decided = merge({entry.seq: entry for entry in found if entry.kind == "approval.decided"}.values())
    return decided[-1] if decided else found[-1] if found else None


def _undecided(log: Log, request: Entry) -> str:
    name = log.ref(request.seq)
    call = log.entry(request.cause) if request.cause is not None else None
    result = _result(log, call) if call is not None else None
    if result is not None and result.body.get("outcome") in ("finished", "failed"):
        return f"The approval {name} was asked for and the call then ran, so it was let through: by whom was not observed."
    return f"The approval {name} was asked for; whether it was given, and by whom, was not observed."


# Network and boundary


def build_network(window: Window, unknown: Unknown) -> list[Network]:
    """Return the network decisions. What a call's output says of a refusal is left out where the proxy's own record says it."""
    log = window.log
    entries = list(_of(window, "network.decided"))
    recorded = {(_text(entry.body.get("host")), _decided(entry)) for entry in entries if entry.source == "otel"}
    found: list[Network] = []
    for entry in entries:
        if _basis(entry, "host") == "inferred" and (_text(entry.body.get("host")), _decided(entry)) in recorded:
            continue
        call = log.entry(entry.cause) if entry.cause is not None else _request_of(log, entry)
        found.append(
            {
                "at": entry.at,
                "host": _text(entry.body.get("host")),
                "port": _count(entry.body.get("port")),
                "protocol": _text(entry.body.get("protocol")),
                "decision": _decided(entry),
                "rule": _text(entry.body.get("rule")) or _text(entry.body.get("reason")),
                "entry": log.ref(entry.seq),
                "source": _text(entry.body.get("source")),
                "call": log.ref(call.seq) if call is not None else None,
                "basis": _basis(entry, "decision"),
            }
        )
        if call is None:
            unknown.say(
                "Which call reached for a destination was not recorded: the network proxy does not know the calls."
                if entry.call is None
                else f"The request of the call that {log.ref(entry.seq)} names was not recorded."
            )
    return found


def _request_of(log: Log, entry: Entry) -> Entry | None:
    """Return the request of the call that an entry bears, or None."""
    if entry.call is None:
        return None
    requests = log.entries(log.index.of_call(entry.session, entry.call), "tool.requested")
    return next((request for request in requests if request.turn == entry.turn), None)


def _decided(entry: Entry) -> str | None:
    said = _text(entry.body.get("decision"))
    return {"allow": "allowed", "deny": "denied"}.get(said or "", said)


def build_boundary(window: Window) -> list[Boundary]:
    """Return the boundaries that were declared, each with what hit it; hits of no declared boundary stand alone."""
    found: list[Boundary] = []
    by_agent: dict[tuple[Any, Any], Boundary] = {}
    for entry in _of(window, "boundary.declared", "boundary.hit"):
        agent = (entry.session, _text(entry.body.get("subagent")))
        if entry.kind == "boundary.hit" and agent in by_agent:
            by_agent[agent]["hits"].append(_hit(window.log, entry))
            continue
        body = entry.body if entry.kind == "boundary.declared" else {}
        boundary: Boundary = {
            "at": entry.at,
            "mode": _text(body.get("mode")),
            "writable": body.get("writable"),
            "protected": body.get("protected"),
            "network": body.get("network"),
            "hits": [] if entry.kind == "boundary.declared" else [_hit(window.log, entry)],
            "entry": window.log.ref(entry.seq),
            "approvals": _text(body.get("approval_policy")) or _text(body.get("permission_mode")),
            "reviewer": _text(body.get("approvals_reviewer")),
            "subagent": _text(entry.body.get("subagent_type")) or _text(entry.body.get("subagent")),
            "grants": body.get("grants"),
            "basis": _basis(entry, "mode"),
        }
        if "grants" not in body:
            by_agent[agent] = boundary
        found.append(boundary)
    return found


def _hit(log: Log, entry: Entry) -> dict[str, Any]:
    return {**{name: value for name, value in entry.body.items() if name != "basis"}, "at": entry.at, "entry": log.ref(entry.seq)}


# What all of them need


def _of(window: Window, *kinds: str) -> Iterator[Entry]:
    return (entry for entry in window.entries if entry.kind in kinds)


def _basis(entry: Entry, member: str) -> str:
    basis = entry.body.get("basis")
    said = basis.get(member) if isinstance(basis, dict) else None
    return said if isinstance(said, str) else "observed"


def _json(log: Log, entry: Entry, name: str) -> Any:
    text = log.words(entry, name)
    if not isinstance(text, str):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _note_gone(found: Words | list[Any] | Gone, what: str, unknown: Unknown) -> None:
    if isinstance(found, dict):
        how = "erased" if "erased" in found else "not on this machine"
        unknown.say(f"The text of at least one {what} is {how}; the entry still commits to it.")


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
