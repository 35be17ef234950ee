"""Decisions as they are recorded: joined to what they answer, told apart from reused answers, each once.

    join      a surface that knows a call's id but not its turn (telemetry) is placed by the request that was recorded
    reuse     an answer "for the session" that comes again for the same subject in another call is the grant at work, not a person
    hook      a decision by settings about a call for which leave was asked was a hook's answer
    answer    Gemini says `accept` whoever did; where it had asked, on somebody's screen, a person did
    once      surfaces that say the same of a call make one entry; one that says more, or something else, makes another, and
              `ledger trace` shows where they contradict each other

What was recorded is found through the journal's notes (`done`), by names that only this module spells.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from ledger.core.fact import Fact
from ledger.recording.writer import Writer

_SAME_MS = 10 * 60 * 1000  # two surfaces may tell of one change of mode minutes apart


def place(writer: Writer, agent: str, fact: Fact) -> Fact:
    """Return a fact of telemetry with the session and the turn of what it belongs to, as far as a recorded entry says.

    Codex names threads, and of a subagent that is not the session; and it names no turn.
    """
    if fact.session is None:
        return fact
    body = dict(fact.body)
    session = fact.session
    started = _entry(writer, _seq(writer, "thread", agent, session))
    if started is not None and started.get("session") not in (None, session):
        body["subagent"] = session
        body["basis"] = {**body.get("basis", {}), "subagent": "telemetry", "session": "agent-file"}
        session = started["session"]
    turn = fact.turn
    if turn is None and fact.call is not None:
        request = _entry(writer, _seq(writer, "call", agent, session, fact.call))
        turn = request.get("turn") if request is not None else None
        if turn is not None:
            body["basis"] = {**body.get("basis", {}), "turn": "inferred"}
    return fact._replace(session=session, turn=turn, body=body)


def derive(writer: Writer, agent: str, fact: Fact) -> Fact | None:
    """Return a decision as it is recorded, or None where it decides nothing after all."""
    from ledger.agents.decisions import decider_actor  # most events decide nothing

    body, session, call = dict(fact.body), fact.session or "", fact.call or ""
    asked = _seq(writer, "asked", agent, session, call) if call else None
    if body.pop("if_asked", False) and asked is None:
        return None
    if not call:
        return fact._replace(body=body)
    basis = dict(body.get("basis", {}))
    if body.get("scope") == "session" and body.get("decision") == "approved" and body.get("decider") == "human":
        grant = _earlier_grant(writer, agent, fact)
        if grant is not None:
            body |= {"decider": "policy", "grounds": "session-grant", "grant": grant}
            basis |= dict.fromkeys(("decider", "grounds", "grant"), "inferred")
    elif body.get("decider") == "policy" and body.get("grounds") == "settings" and asked is not None and agent == "codex":
        body["grounds"] = basis["grounds"] = "hook"
        basis["grounds"] = "inferred"
    elif body.get("decider") == "unknown" and body.get("interactive") is True and asked is not None and agent == "gemini":
        # A dialogue was shown, in a session that somebody attends, and this is how it was answered.
        body |= {"decider": "human", "grounds": "answer"}
        basis |= dict.fromkeys(("decider", "grounds"), "inferred")
    if basis:
        body["basis"] = basis
    once = f"approval.decided:{call}:{body.get('decision')}:{body.get('scope')}:{body.get('decider')}"
    return fact._replace(body=body, once=once, actor=decider_actor(str(body.get("decider"))))


def is_told(writer: Writer, agent: str, fact: Fact) -> int | None:
    """Return the seq of a decision that says all that this one says of the same call, or None.

    One whose scope is only concluded, or whose decider is not known, adds nothing to one that knows better.
    """
    if not fact.call:
        return None
    words = (agent, fact.session or "", fact.turn or "", fact.call, str(fact.body.get("decision")))
    if fact.body.get("decider") == "unknown":
        return _seq(writer, "decided", *words)
    if fact.body.get("basis", {}).get("scope") == "inferred":
        return _seq(writer, "decided", *words, str(fact.body.get("decider")))
    return None


_RAN = frozenset({"finished", "failed"})


def contradiction_of(writer: Writer, fact: Fact, known: int) -> Fact | None:
    """Return the fact that a surface says another outcome of a call than the entry `known` has, or None where it does not.

    That a call ran and that it did not exclude each other, and so do success and failure where neither is a guess. A hook that
    calls a failed command finished does not know better, nor does telemetry that calls it a success.
    """
    if fact.kind != "tool.finished":
        return None
    recorded = _entry(writer, known)
    body = recorded.get("body", {}) if recorded is not None else {}
    said, had = fact.body.get("outcome"), body.get("outcome")
    # To telemetry a call that was not let run is one without success.
    apart = (said == "finished" and had == "denied") or (said == "denied" and had in _RAN)
    failed = said == "failed" and had == "finished" and body.get("exit_code") in (None, 0)
    sure = fact.body.get("basis", {}).get("outcome") != "inferred" and body.get("basis", {}).get("outcome") != "inferred"
    guesses = {part.get("basis", {}).get("outcome") for part in (fact.body, body)} == {"inferred"}
    if recorded is None or guesses or not (apart or (failed and sure)):
        return None
    more = {"event": "contradiction", "member": "outcome", "said": said, "of": known}
    return fact._replace(
        kind="message.sent",
        actor={"type": "recorder", "name": "ledger"},
        body={**more, "basis": {"said": fact.body.get("basis", {}).get("outcome", "observed")}},
        payloads={},
        once=f"contradiction:{fact.once}:{said}",
        answers=None,
        input_digest=None,
    )


def cause_of(writer: Writer, agent: str, fact: Fact, found: int | None) -> int | None:
    """Return what a fact answers: a decision, the request for leave where there was one; else the call, open or not."""
    if not fact.call:
        return found
    if fact.kind == "approval.decided":
        asked = _seq(writer, "asked", agent, fact.session or "", fact.call)
        if asked is not None:
            return asked
    return found if found is not None else _seq(writer, "call", agent, fact.session or "", fact.call)


def cause_of_prompt(writer: Writer, agent: str, fact: Fact) -> int | None:
    """Return the seq of the prompt whose origin a fact tells."""
    return _seq(writer, "prompt", agent, fact.session or "", fact.turn or "")


def prompt_of(writer: Writer, agent: str, fact: Fact) -> Fact | None:
    """Return a transcript's prompt as it is recorded: whole where no hook told of it, else only where it came from, or None."""
    known = _seq(writer, "prompt", agent, fact.session or "", fact.turn or "")
    if known is None:
        return fact
    body = {name: value for name, value in fact.body.items() if name not in ("basis", "trigger")}
    if not body:
        return None
    told = {"event": "prompt-origin", **body, "human": fact.actor.get("type") == "human"}
    basis = dict.fromkeys(told, "agent-file")
    once = f"prompt-origin:{fact.turn}"
    return fact._replace(
        kind="message.sent",
        actor={"type": "agent", "name": agent},
        body={**told, "basis": basis},
        payloads={},
        once=once,
        answers="prompt",
    )


def is_known(writer: Writer, agent: str, source: str, fact: Fact, at_ms: int) -> int | None:
    """Return the seq of what another surface said of a subagent's end, or of a change of mode, without an identifier; or None."""
    words = _loose_name(agent, fact)
    row = writer.journal.one("SELECT seq, at_ms, door FROM done WHERE key = ?", (_name(*words),)) if words else None
    if row is None or row[2] == source or source == "hook":
        return None
    return int(row[0]) if fact.kind == "subagent.ended" or abs(at_ms - int(row[1])) < _SAME_MS else None


def _loose_name(agent: str, fact: Fact) -> tuple[str, ...] | None:
    session = fact.session or ""
    if fact.kind == "subagent.ended" and isinstance(fact.body.get("subagent"), str):
        return ("ended", agent, session, fact.body["subagent"])
    if fact.kind == "message.sent" and fact.body.get("event") == "permission-mode-changed":
        return ("mode", agent, session, str(fact.body.get("from_mode")), str(fact.body.get("to_mode")))
    return None


def remember(writer: Writer, agent: str, source: str, fact: Fact, call: str | None, seq: int, at_ms: int) -> None:
    """Note what later facts are joined to. `call` is the call's name, also where it was joined by its input."""
    session = fact.session or ""
    names: list[tuple[str, ...]] = []
    if fact.kind == "tool.requested" and call:
        names.append(("call", agent, session, call))
    elif fact.kind == "approval.requested" and call:
        names.append(("asked", agent, session, call))
    elif fact.kind == "approval.decided" and call:
        said = ("decided", agent, session, fact.turn or "", call, str(fact.body.get("decision")))
        names += [said, (*said, str(fact.body.get("decider")))]
        if fact.body.get("scope") == "session" and fact.body.get("decider") == "human" and fact.body.get("decision") == "approved":
            subject = _subject(writer, agent, fact)
            names += [("grant", agent, session, subject)] if subject else []
    elif fact.kind == "prompt.submitted":
        names.append(("prompt", agent, session, fact.turn or ""))
    elif fact.kind == "subagent.started" and isinstance(fact.body.get("subagent"), str):
        names.append(("thread", agent, fact.body["subagent"]))
    if loose := _loose_name(agent, fact):
        _note(writer, loose, seq, at_ms, source)
    for words in names:
        _note(writer, words, seq, at_ms, agent)


def _earlier_grant(writer: Writer, agent: str, fact: Fact) -> int | None:
    """Return the seq of the answer for the session that covers this call, if that was given for another one."""
    subject = _subject(writer, agent, fact)
    seq = _seq(writer, "grant", agent, fact.session or "", subject) if subject else None
    granted = _entry(writer, seq)
    return seq if granted is not None and granted.get("call") != fact.call else None


def _subject(writer: Writer, agent: str, fact: Fact) -> str | None:
    """Return what an answer for the session is about: an MCP server's tool, else the tool with its input."""
    seq = _seq(writer, "call", agent, fact.session or "", fact.call or "")
    request = _entry(writer, seq)
    if seq is None or request is None:
        return None
    body = request.get("body", {})
    if body.get("mcp_server"):
        return f"mcp:{body['mcp_server']}:{body.get('mcp_tool')}"
    row = writer.journal.one("SELECT bytes FROM payload WHERE seq = ? AND name = 'input'", (seq,))
    return f"{body.get('tool')}:{hashlib.sha256(bytes(row[0])).hexdigest()}" if row else None


def _note(writer: Writer, words: tuple[str, ...], seq: int, at_ms: int, door: str) -> None:
    writer.journal.run("INSERT OR REPLACE INTO done VALUES (?, ?, ?, ?)", (_name(*words), seq, at_ms, door))


def _seq(writer: Writer, *words: str) -> int | None:
    row = writer.journal.one("SELECT seq FROM done WHERE key = ?", (_name(*words),))
    return None if row is None else int(row[0])


def _name(*words: str) -> str:
    return hashlib.sha256("\0".join(words).encode("utf-8", "replace")).hexdigest()


def _entry(writer: Writer, seq: int | None) -> dict[str, Any] | None:
    """Return an entry that this journal holds, as JSON."""
    if seq is None:
        return None
    row = writer.journal.one("SELECT bytes FROM record WHERE seq = ?", (seq,))
    try:
        found = json.loads(bytes(row[0]))["entry"] if row else None
    except (ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, dict) else None
