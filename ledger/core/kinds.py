"""The kinds of entries, and who may write them (docs/spec/entry.md, section 4). Kinds are facts, so past participles."""

from __future__ import annotations

KINDS = frozenset(
    """
    log.opened log.seen key.rotated gap.noted checkpoint.anchored recording.paused recording.resumed
    session.started session.ended boundary.declared subagent.started subagent.ended
    prompt.submitted plan.updated message.sent transcript.changed
    tool.requested tool.finished
    approval.requested approval.decided
    network.decided boundary.hit
    commit.recorded commit.rewritten ref.updated
    payload.erased hold.placed hold.released
    """.split()
)

# What the ledger says of itself and of git is never taken from outside (design of `ledger record facts`).
RESERVED_FAMILIES = frozenset({"log", "key", "commit", "ref", "payload", "hold", "checkpoint"})

SOURCES = frozenset({"hook", "transcript", "otel", "mcp", "git", "cli", "spool"})
ACTOR_TYPES = frozenset({"human", "agent", "policy", "tool", "recorder", "unknown"})


def is_reserved(kind: str) -> bool:
    """Say whether `kind` may only be written by the ledger itself."""
    return kind.partition(".")[0] in RESERVED_FAMILIES
