"""What an agent's labels for a decision are worth: who decided, for how long, and on what grounds.

Labels mislead, so each is translated by what was seen to lie behind it, and kept as it came in `native`:

    decision   approved | denied | cancelled (nobody answered: the turn was interrupted) | timed-out | unknown
    scope      once | session | always (a rule was written that outlives the session)
    decider    human | policy (a setting, a rule or somebody's hook) | auto-review (another model) | unknown
    grounds    why: answer, review, rule, settings, hook, session-grant, standing-rule, mode, none (nobody was there to ask)

"Policy allowed" is not "a human approved": Codex's `Config` and Claude's `config` and `user_permanent` are settings at work.
Whether an answer was reused is for the recorder to see, which knows what was granted before (`ledger.recording.approvals`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ledger.core.fact import Fact, PayloadData

MAX_LABEL = 128


class Verdict(NamedTuple):
    """One decision in our words. `basis` is how it is known: `telemetry`, `agent-file` or `inferred`."""

    decision: str
    scope: str
    decider: str
    grounds: str
    basis: str
    native: Mapping[str, str] = {}
    inferred: tuple[str, ...] = ()  # members that are concluded, not said


def decision_body(verdict: Verdict) -> dict[str, Any]:
    """Return the body of an `approval.decided`."""
    body: dict[str, Any] = {
        "decision": verdict.decision,
        "scope": verdict.scope,
        "decider": verdict.decider,
        "grounds": verdict.grounds,
    }
    if verdict.native:
        body["native"] = {name: value[:MAX_LABEL] for name, value in verdict.native.items()}
    body["basis"] = {
        name: "inferred" if name in verdict.inferred else verdict.basis for name in ("decision", "scope", "decider", "grounds")
    }
    return body


def decided(
    verdict: Verdict,
    *,
    session: str | None,
    turn: str | None,
    call: str | None,
    more: Mapping[str, Any] = {},
    payloads: Mapping[str, PayloadData] = {},
) -> Fact:
    """Return the fact of a decision. Surfaces that say the same of one call agree on its `once`, whichever comes first."""
    body = {**decision_body(verdict), **more}
    return Fact(
        kind="approval.decided",
        actor=decider_actor(verdict.decider),
        body=body,
        session=session,
        turn=turn,
        call=call,
        payloads=dict(payloads),
        once=f"approval.decided:{call}:{verdict.decision}:{verdict.scope}:{verdict.decider}" if call else None,
        answers="call" if call else None,
    )


def decider_actor(decider: str) -> dict[str, str]:
    """Return who acts in a decision: another model is an agent, a setting is a policy."""
    return {"human": {"type": "human"}, "policy": {"type": "policy"}, "auto-review": {"type": "agent", "name": "auto-review"}}.get(
        decider, {"type": "unknown"}
    )


# Codex: `tool_decision` of its telemetry

_CODEX_DECISIONS = {
    "approved": ("approved", "once"),
    "approved_for_session": ("approved", "session"),
    "approved_with_amendment": ("approved", "always"),
    "approved_with_network_policy_allow": ("approved", "always"),
    "denied": ("denied", "once"),
    "denied_with_network_policy_deny": ("denied", "always"),
    "abort": ("cancelled", "once"),
    "timed_out": ("timed-out", "once"),
}
_CODEX_SOURCES = {"user": ("human", "answer"), "automatedreviewer": ("auto-review", "review"), "config": ("policy", "settings")}


def codex_decision(decision: str, source: str | None, basis: str = "telemetry") -> Verdict:
    """Translate Codex's labels. `Config` covers what needs no leave, an allow rule, and a hook's answer alike.

    Decisions about the network bear no source: an amendment of the network's rules is offered to people only, so a human is
    inferred.

    >>> codex_decision("approved_for_session", "User")[:4]
    ('approved', 'session', 'human', 'answer')
    >>> codex_decision("approved", "Config")[:4]
    ('approved', 'once', 'policy', 'settings')
    """
    word, scope = _CODEX_DECISIONS.get(decision, ("unknown", "once"))
    decider, grounds = _CODEX_SOURCES.get((source or "").lower(), ("unknown", "unknown"))
    inferred: tuple[str, ...] = ()
    if source is None and decision.endswith(("_network_policy_allow", "_network_policy_deny")):
        decider, grounds, inferred = "human", "answer", ("decider", "grounds")
    if word == "unknown":
        inferred = ("scope",)
    native = {"decision": decision, **({"source": source} if source else {})}
    return Verdict(word, scope, decider, grounds, basis, native, inferred)


# Claude Code: `tool_decision` of its telemetry, `permissionDecision` of its transcript

_CLAUDE_SOURCES = {
    "config": ("once", "policy", "settings"),
    "hook": ("once", "policy", "hook"),
    "classifier": ("once", "auto-review", "review"),
    "user_temporary": ("once", "human", "answer"),
    "user_permanent": ("always", "policy", "standing-rule"),
    "user_reject": ("once", "human", "answer"),
    "user_abort": ("once", "human", "answer"),
}


def claude_decision(
    decision: str, source: str | None, basis: str, *, grant: str | None = None, reason: str | None = None
) -> Verdict:
    """Translate Claude Code's labels; `grant` is its `grantScope`, `reason` its `reasonType`, where the transcript has them.

    `user_permanent` says that a rule in the user's settings matched; `config` may be a rule, a mode, or that nobody could be asked.

    >>> claude_decision("accept", "user_permanent", "telemetry")[:4]
    ('approved', 'always', 'policy', 'standing-rule')
    >>> claude_decision("accept", "user_temporary", "agent-file", grant="session")[:4]
    ('approved', 'session', 'human', 'answer')
    """
    word = {"accept": "approved", "reject": "denied"}.get(decision, "unknown")
    scope, decider, grounds = _CLAUDE_SOURCES.get(source or "", ("once", "unknown", "unknown"))
    if source == "user_abort":
        word = "cancelled"
    if grant in ("once", "session") and decider == "human":
        scope = grant
    if decider == "policy" and reason in ("rule", "mode", "hook", "classifier", "asyncAgent", "sandboxOverride"):
        grounds = {"classifier": "review", "asyncAgent": "none", "sandboxOverride": "settings"}.get(reason, reason)
        decider = "auto-review" if reason == "classifier" else decider
    native = {"decision": decision, "source": source, "grant": grant, "reason": reason}
    said = {name: value for name, value in native.items() if value}
    # A standing rule is what `always` means here; nobody says it for this call.
    inferred = ("scope",) if basis == "telemetry" or grant is None else ()
    return Verdict(word, scope, decider, grounds, basis, said, inferred)
