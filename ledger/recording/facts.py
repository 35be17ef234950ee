"""Facts become entries: repetitions dropped, causes found, calls opened and closed, effects and commits added."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from ledger.core.fact import Fact, Observation, PayloadData
from ledger.errors import LedgerError, RepoError
from ledger.recording import approvals, calls
from ledger.recording.ancestry import nearest
from ledger.recording.glance import has_stirred
from ledger.recording.heads import Making, notice_moves
from ledger.recording.writer import Writer, now_ms
from ledger.repo.gitdir import GitDir
from ledger.repo.heads import read_head
from ledger.store.state import read_regular_file

_REPEAT_MS = 2000
_MAX_PLAN_BYTES = 1 << 20
_TURN_ENDS = frozenset({"Stop", "Interrupt", "StopFailure", "AfterAgent", "session.idle"})


class Setting(NamedTuple):
    """Where an event comes from: the repository, the surface, the agent's name, its environment's claims, and when.

    `live` is false for what waited in a spool or was read from a file: the processes and the files of that moment are not there to
    be looked at any more.
    """

    repo: GitDir
    source: str
    agent: str
    environ: Mapping[str, str]
    at_ms: int
    live: bool = True
    account: str | None = None


def record_observation(writer: Writer, seen: Observation, setting: Setting, *, look: bool = True) -> list[int]:
    """Append the facts of one event, and the commits that were made since the last; return the facts' seqs.

    Without `look` nobody looks for commits: of events that come by the hundred, the first does.
    """
    seqs: list[int] = []
    try:
        turn_ends = any(_ends_turn(fact) for fact in seen.facts)
        if look:
            notice_moves(writer, setting.repo, Making("reflog", at_ms=setting.at_ms), turn_ends=turn_ends)
    except RepoError:
        pass  # git is not there, or says no: the agent's facts count more, and the next event looks again
    setting = setting._replace(repo=_tree_of(setting.repo, seen))
    touched = calls.touched_paths(setting.repo, seen.cwd, seen.touched)
    for fact in seen.facts:
        fact = _with_plan_file(fact, seen.plan_file)
        if fact.mark is not None:
            from ledger.recording.numbering import name_call  # only some agents leave their calls without a name

            fact = name_call(writer.journal, fact, setting.source, setting.at_ms, live=setting.live)
        if setting.source in ("otel", "mcp"):
            fact = approvals.place(writer, setting.agent, fact)
        derived: Fact | None = fact
        if fact.kind == "approval.decided":
            derived = approvals.derive(writer, setting.agent, fact)
        elif fact.kind == "prompt.submitted" and setting.source == "transcript":
            derived = approvals.prompt_of(writer, setting.agent, fact)
        if derived is None:
            continue
        fact = derived
        if fact.kind == "plan.updated" and not fact.payloads and setting.source == "hook":
            continue  # the plan's text is nowhere yet; a later event of the same call may bring it
        known = _find_repetition(writer, fact, setting)
        if known is not None:
            if fact.kind == "tool.requested" and len(seen.facts) == 1 and setting.source == "hook" and setting.live:
                _note_reused(writer, fact, known, setting)
            contradiction = approvals.contradiction_of(writer, fact, known)
            if contradiction is not None and _find_repetition(writer, contradiction, setting) is None:
                _record_fact(writer, contradiction, [], setting)
            seqs.append(known)
            continue
        _announce_session(writer, fact, setting)
        seqs.append(_record_fact(writer, fact, touched, setting))
    return seqs


def _tree_of(repo: GitDir, seen: Observation) -> GitDir:
    """Return the work tree of this clone that the paths lie in which an event names: an agent may edit in another than it is in."""
    if not seen.touched or repo.work_tree is None or calls.touched_paths(repo, seen.cwd, seen.touched):
        return repo
    from ledger.repo.gitdir import find_repository

    try:
        found = find_repository(os.path.dirname(os.path.join(seen.cwd or repo.work_tree, seen.touched[0])))
    except (LedgerError, ValueError):
        return repo
    return found if found.common_dir == repo.common_dir else repo


def _record_fact(writer: Writer, fact: Fact, touched: list[bytes], setting: Setting) -> int:
    journal, repo = writer.journal, setting.repo
    call = _answered_call(writer, fact)
    cause = None if call is None else call.seq
    if fact.kind == "message.sent" and fact.body.get("event") == "contradiction":
        cause = int(fact.body["of"])
    elif fact.answers == "prompt":
        cause = approvals.cause_of_prompt(writer, setting.agent, fact)
    elif fact.kind == "approval.decided" or (call is None and setting.source in ("transcript", "otel")):
        cause = approvals.cause_of(writer, setting.agent, fact, cause) if fact.kind != "tool.requested" else None
    payloads = dict(fact.payloads)
    body = dict(fact.body)
    effects: list[calls.Effect] = []
    if fact.kind == "tool.finished":
        if call is not None and fact.input_digest and call.digest != fact.input_digest:
            body["input_changed"] = True  # a hook of somebody else's rewrote what was asked for
        from ledger.recording.effects import LOOK_MS, after_call  # prompts need nothing of it

        budget = int(writer.settings.get("look_ms", LOOK_MS))
        effects, whole = after_call(journal, repo, call, fact, touched, setting.at_ms, live=setting.live, budget_ms=budget)
        if not whole:
            body["looked"] = "partly"
        if effects:
            payloads["effects"] = calls.effects_payload(effects)
            if not all(effect.sure for effect in effects):
                body["basis"] = {**body.get("basis", {}), "effects": "inferred"}
    if fact.kind == "session.started":
        payloads, body = _with_principal(payloads, body, setting)
    name = fact.call
    if name is None and call is not None and not call.call.startswith("seq:"):
        # joined by its input, for the event carries no call id
        name = call.call
        body["basis"] = {**body.get("basis", {}), "call": "inferred"}
    seq = writer.append(
        fact.kind,
        source=setting.source,
        actor=fact.actor,
        body=body,
        session=fact.session,
        turn=fact.turn,
        call=name,
        cause=cause,
        payloads=payloads,
        at_ms=setting.at_ms,
    )
    _remember(writer, fact, seq, setting)
    approvals.remember(writer, setting.agent, setting.source, fact, name, seq, setting.at_ms)
    if fact.kind == "tool.requested":
        where = nearest() if setting.source == "hook" and setting.live else []
        head = read_head(repo)
        before: Mapping[bytes, str | None] = {}
        if setting.live and (touched or (calls.writes_anything(fact) and has_stirred(journal, repo))):
            from ledger.recording.effects import before_call

            before = before_call(journal, repo, fact, touched, setting.at_ms)
        calls.open_call(journal, fact, seq, repo=repo, head=head, before=before, ancestors=where, at_ms=setting.at_ms)
    elif fact.kind == "tool.finished":
        calls.note_effects(journal, repo, seq, fact.session, effects)
        if call is not None:
            calls.close_call(journal, call)
    elif _ends_turn(fact):
        unanswered = calls.unanswered_calls(journal, fact.session)
        if unanswered:
            from ledger.recording.effects import LOOK_MS, give_up  # most turns answer all their calls

            budget = int(writer.settings.get("look_ms", LOOK_MS)) if setting.live else 0
            give_up(journal, repo, unanswered, setting.at_ms, budget_ms=budget)
    return seq


def _ends_turn(fact: Fact) -> bool:
    """Say whether the main agent's turn ends here: its blocked calls get no result any more, its subagents' may."""
    if "subagent" in fact.body:
        return False
    return fact.kind == "session.ended" or (fact.kind == "message.sent" and fact.body.get("event") in _TURN_ENDS)


def _answered_call(writer: Writer, fact: Fact) -> calls.Call | None:
    if fact.answers == "call" and fact.call is not None:
        return calls.find_call(writer.journal, fact.session, fact.call)
    if fact.answers == "input" and fact.input_digest is not None:
        return calls.find_by_input(writer.journal, fact.session, fact.input_digest)
    if fact.answers == "open":
        return calls.find_only(writer.journal, fact.session)
    return None


def _find_repetition(writer: Writer, fact: Fact, setting: Setting) -> int | None:
    """Return the seq of the entry that has this fact already, or None.

    A fact of a call is known by its name. Any other is compared by content, and only with what another door said within two
    seconds: people do say "continue" twice.
    """
    row = writer.journal.one("SELECT at_ms, door, seq FROM done WHERE key = ?", (_key(fact, setting),))
    if row is None and fact.once is not None and fact.turn and fact.call:
        # telemetry may have come first, and did not know the turn
        row = writer.journal.one("SELECT at_ms, door, seq FROM done WHERE key = ?", (_key(fact._replace(turn=None), setting),))
    if row is None:
        if fact.kind == "approval.decided":
            return approvals.is_told(writer, setting.agent, fact)
        return approvals.is_known(writer, setting.agent, setting.source, fact, setting.at_ms)
    twice = setting.source == "hook" and row[1] != setting.agent and abs(setting.at_ms - int(row[0])) < _REPEAT_MS
    return int(row[2]) if fact.once is not None or twice else None


def _note_reused(writer: Writer, fact: Fact, known: int, setting: Setting) -> None:
    """Note a call that bears the id of one that is over: it is not recorded, so whose it is what it writes, nobody will know."""
    if fact.call is None or calls.find_call(writer.journal, fact.session, fact.call) is not None:
        return  # told twice, by two hooks
    first = writer.journal.one("SELECT bytes FROM record WHERE seq = ?", (known,))
    if first is None or json.loads(first[0])["entry"]["source"] != "hook":
        return  # the transcript or telemetry was quicker
    writer.journal.set_meta(calls.doubt_name(setting.repo.git_dir), "1")
    row = writer.journal.one("SELECT bytes FROM payload WHERE seq = ? AND name = 'input'", (known,))
    given = fact.payloads.get("input")
    if given is not None and row is not None and row[0] != given.data:
        digest = hashlib.sha256(given.data).hexdigest()
        note_gap(writer, "call-id-reused", size=len(given.data), digest=digest, agent=setting.agent, call=fact.call)


def _remember(writer: Writer, fact: Fact, seq: int, setting: Setting) -> None:
    _note_done(writer, _key(fact, setting), seq, setting)
    if fact.session and setting.source != "otel":  # telemetry is taken only of sessions that are known already
        _note_done(writer, _session_key(fact.session, setting), seq, setting)
    if fact.kind == "boundary.declared" and fact.session:
        # Whoever tells of the bounds in brief, later, tells nothing new.
        brief = f"boundary.declared:first:{fact.body.get('subagent') or fact.session}"
        _note_done(writer, _key(Fact(fact.kind, {}, {}, fact.session, once=brief), setting), seq, setting)


def _note_done(writer: Writer, key: str, seq: int, setting: Setting) -> None:
    sql = "INSERT OR REPLACE INTO done VALUES (?, ?, ?, ?)"
    writer.journal.run(sql, (key, seq, setting.at_ms, setting.agent))


def _key(fact: Fact, setting: Setting) -> str:
    """Name a fact: by agent, session, turn and `once`, or by session and content."""
    if fact.once is not None:
        # A call's id may come again in another turn; what is of no call is named for its whole session. A call that was named here
        # has the same name on every surface, whether that surface names turns or not.
        turn = fact.turn if fact.call and fact.mark is None else None
        parts = ["once", setting.agent, fact.session or "", turn or "", fact.once]
    else:
        parts = ["content", fact.session or "", fact.kind, json.dumps(fact.body, sort_keys=True, default=str)]
        parts += [name + hashlib.sha256(data.data).hexdigest() for name, data in sorted(fact.payloads.items())]
    return hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()


def _session_key(session: str, setting: Setting) -> str:
    return f"session:{setting.agent}:{session}"


def _announce_session(writer: Writer, fact: Fact, setting: Setting) -> None:
    """Append `session.started` for a session whose start was not seen, so that who asked is on record for it as well."""
    if not fact.session or fact.kind in ("session.started", "session.ended", "gap.noted"):
        return
    if setting.source not in ("hook", "transcript"):
        return
    if writer.journal.one("SELECT 1 FROM done WHERE key = ?", (_session_key(fact.session, setting),)):
        return
    payloads, body = _with_principal({}, {"start": "unseen", "basis": {"start": "inferred"}}, setting)
    seq = writer.append(
        "session.started",
        source=setting.source,
        actor={"type": "agent", "name": setting.agent},
        body=body,
        session=fact.session,
        payloads=payloads,
        at_ms=setting.at_ms,
    )
    _note_done(writer, _session_key(fact.session, setting), seq, setting)


def _with_principal(
    payloads: Mapping[str, PayloadData], body: Mapping[str, Any], setting: Setting
) -> tuple[dict[str, PayloadData], dict[str, Any]]:
    """Add who asked, as far as that can be known, and the basis of each part of it."""
    from ledger.recording.principal import describe, principal  # once a session

    body = describe(setting.repo, setting.environ, body)
    return {"principal": principal(setting.repo, setting.environ, body, setting.account), **payloads}, body


def _with_plan_file(fact: Fact, plan_file: str | None) -> Fact:
    """Add the text of the agent's plan file to a plan that came without one. The file is the agent's own, so it may change it."""
    if fact.kind != "plan.updated" or fact.payloads or plan_file is None:
        return fact
    text = read_regular_file(plan_file, _MAX_PLAN_BYTES)
    if text is None:
        return fact
    body = {**fact.body, "basis": {**fact.body.get("basis", {}), "plan": "agent-file"}}
    return fact._replace(payloads={"plan": PayloadData(text, "text/markdown")}, body=body)


def note_gap(writer: Writer, reason: str, *, count: int = 1, size: int = 0, digest: str | None = None, **more: str) -> int:
    """Append `gap.noted`: something happened here that is not recorded as what it was."""
    body: dict[str, Any] = {"reason": reason, "count": count, "size": size, **{key: value[:200] for key, value in more.items()}}
    if digest is not None:
        body["digest"] = digest
    return writer.append("gap.noted", source="hook", body=body, at_ms=now_ms())
