"""How `ledger verify FILE` looks: the verdict, what is shown, and what does not follow from it."""

from __future__ import annotations

from typing import Any

from rich.text import Text

from ledger.cli.plain import safe
from ledger.cli.screen import console
from ledger.cli.screen.status import render_rows
from ledger.cli.screen.verify import finding_text
from ledger.verify.proofs import Shown

_VERDICTS = {
    "anchored": ("bold green", "the log holds this entry, and witnesses saw it there"),
    "consistent": ("bold green", "whoever held the log's key committed to this entry; no known witness says when"),
    "incomplete": ("bold yellow", "something that is needed for checking is not here"),
    "invalid": ("bold red", "the proof does not hold"),
}
_TRUST = {"given": "the named file", "pinned": "seen here before", "repository": "committed in .ledger/allowed_signers"}
_NOT_SHOWN = (
    "what the payloads were: they come apart from the proof, with their salts",
    "that the log has no other history, or that nothing is missing from it",
    "that the time in the entry is true; a witness's time is its own word",
)


def render_proof(shown: Shown, value: dict[str, Any]) -> None:
    """Print for people what was found; `value` is the same as JSON."""
    out = console()
    style, meaning = _VERDICTS[shown.verdict]
    out.print(Text.assemble((shown.verdict, style), f": {meaning}"), soft_wrap=True)
    if shown.proven is not None:
        out.print()
        witnesses = ", ".join(f"{witness['name']} at {witness['at']}" for witness in value["witnesses"])
        render_rows(
            [
                ("entry", f"{value['log']}/{value['seq']}, {value['kind']}"),
                ("claims", value["at"]),
                ("log", f"of {value['size']:,} {'record' if value['size'] == 1 else 'records'}, root {value['root']}"),
                ("signed by", f"{value['key']} ({_TRUST[shown.trust]})"),
                ("witnesses", witnesses or "none that is known"),
            ]
        )
    for finding in shown.findings:
        out.print(finding_text(finding, "red" if finding.severity == "error" else "yellow"), soft_wrap=True)
    if shown.proven is not None:
        out.print()
        out.print(Text("Not shown", style="bold"))
        for line in _NOT_SHOWN:
            out.print(Text(f"  · {safe(line)}"), soft_wrap=True)
