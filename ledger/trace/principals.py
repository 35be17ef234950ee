"""Who a session's person is, as its `session.started` says."""

from __future__ import annotations

import json
from typing import Any

from ledger.trace.answers import describe_who
from ledger.trace.logs import Log
from ledger.trace.model import Who


def principal_of(log: Log, session: str) -> Who | None:
    """Return who asked in a session, from the newest record of it that says so; None where none does, or the text is not here."""
    for entry in log.entries(log.index.newest(session, "session.started", 2**62)):
        said = _parse(log.words(entry, "principal"))
        if said is not None:
            basis = entry.body.get("basis")
            observed = not isinstance(basis, dict) or basis.get("principal", "observed") == "observed"
            return describe_who(said, "observed" if observed else "asserted")
    return None


def _parse(text: Any) -> dict[str, Any] | None:
    if not isinstance(text, str):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
