"""Links that `ledger link` found: a commit that no hook saw made, and the recorded ones whose change it bears (docs/linking.md)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ledger.errors import Refused
from ledger.recording.writer import Writer

_PER_ENTRY = 2000


class Link(NamedTuple):
    """A recorded commit `old` that became `new`, as the ladder's `rung` says."""

    old: str
    new: str
    rung: str


def record_links(writer: Writer, links: Sequence[Link]) -> list[int]:
    """Append `commit.rewritten` for what the ladder found, and return the new seqs. Raises Refused while recording is paused.

    They are marked as inferred, with the rung that each rests on: whoever reads them must not take them for what git told.
    """
    if writer.journal.is_paused():
        raise Refused("recording is paused here", remedy="`ledger resume` goes on")
    chunks = [links[at : at + _PER_ENTRY] for at in range(0, len(links), _PER_ENTRY)]
    seqs = []
    for number, chunk in enumerate(chunks, 1):
        body: dict[str, Any] = {
            "how": "link",
            "rewrites": [{"old": link.old, "new": link.new, "rung": link.rung} for link in chunk],
            "basis": {"rewrites": "inferred"},
        }
        if len(chunks) > 1:
            body["part"] = [number, len(chunks)]
        seqs.append(writer.append("commit.rewritten", source="cli", body=body))
    return seqs
