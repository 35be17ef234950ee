"""The page of `ledger trace <path>:<line>`: from the line, step by step, to who asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ledger.cli.plain import safe
from ledger.cli.screen.blame import BY_STYLES, bullets, line_text, title, who_text
from ledger.cli.screen.texts import DIM, graded, path_text, print_page, short, words

_BASES = {"lines": "the commit's record lists this line", "path": "only the path is tied to the call", "none": ""}


def render_line(trace: Mapping[str, Any]) -> None:
    """Print the page."""
    first = Text.assemble((path_text(trace["path"])[:1000], "bold yellow"), (f":{trace['line']}", "bold yellow"))
    first.append(f"  at {trace['revision'][:12]}", style=DIM)
    if trace["verdict"] != "unchecked":
        first.append_text(Text.assemble("  ·  ledger ", graded(trace["verdict"])))
    table = Table.grid(padding=(0, 2, 0, 0), expand=True)
    table.add_column(width=10, style=DIM)
    table.add_column(ratio=1, overflow="fold")
    for name, value in _rows(trace):
        table.add_row(name, value)
    text = Text(f"│ {line_text(trace['text'])[:2000]}")
    parts: list[RenderableType] = [first, Padding(text, (0, 0, 1, 3)), Padding(table, (0, 0, 0, 3))]
    if trace["unknown"]:
        parts += [title("What could not be established", "yellow"), Padding(bullets(trace["unknown"]), (0, 0, 0, 3))]
    print_page(*parts)


def _rows(trace: Mapping[str, Any]) -> list[tuple[str, Text]]:
    found = trace["commit"]
    commit, match, cause, asked = found["commit"], found["match"], trace["call"], trace["asked"]
    by = Text.assemble((trace["by"], BY_STYLES[trace["by"]]))
    if trace["link"]:
        by.append_text(Text.assemble("  ", graded(trace["link"])))
    if _BASES[trace["basis"]] and trace["by"] == "agent":
        by.append(f"  {_BASES[trace['basis']]}", style=DIM)
    rows = [
        ("written by", by),
        ("commit", Text.assemble((commit["oid"][:12], "yellow"), "  ", safe(commit["subject"][:200]))),
        ("", Text(safe(f"{commit['author'][:120]}  {commit['at'] or ''}  line {trace['original']}"), style=DIM)),
    ]
    recorded = Text("in no log here", style="yellow")
    if found["entry"]:
        recorded = Text.assemble(f"{short(found['entry'])}, found by ", graded(match["rung"]))
        recorded.append(" id" if match["rung"] == "exact" else "")
    rows.append(("recorded", recorded))
    if cause is not None:
        call = cause["call"]
        doer = Text(safe(f"{call['agent'] or 'an agent'} ▸ {call['tool'] or '?'}"[:100]), style="cyan")
        rows.append(("call", Text.assemble(doer, "  ", graded(call["outcome"]), (f"  {short(call['entry'])}", DIM))))
        rows.append(("", words(call["command"], lines=6, characters=500, more=f"ledger show {short(call['entry'])}")))
        rows.append(("session", Text(safe(str(cause["session"])[:100]))))
    if asked is not None:
        rows.append(("asked by", Text.assemble(who_text(asked["who"]), (f"  {short(asked['entry'])}", DIM))))
        rows.append(("", words(asked["prompt"], lines=12, characters=1200, more=f"ledger show {short(asked['entry'])}")))
    elif cause is not None:
        rows.append(("asked by", Text("no prompt is on record", style="yellow")))
    if trace["candidates"] and cause is None:
        rows.append(("perhaps", Text(", ".join(short(ref) for ref in trace["candidates"][:10]), style=DIM)))
    return rows
