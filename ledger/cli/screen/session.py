"""The page of `ledger trace --session`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from ledger.cli.plain import safe
from ledger.cli.screen.blame import bullets, headline, many, names_line, title, who_text
from ledger.cli.screen.rows import Rows
from ledger.cli.screen.texts import DIM, graded, print_page, short, words
from ledger.cli.screen.trace import answer_sections

_MOST = 100


def render_session(trace: Mapping[str, Any]) -> None:
    """Print the page."""
    parts: list[RenderableType] = [_headline(trace)]
    parts += answer_sections(trace, ("asked", "planned", "ran", "approvals", "network", "boundary"))
    commits = [_commits(trace["commits"])] if trace["commits"] else [Text("none on record", style=DIM)]
    parts += [title("Which commits came of it"), *(Padding(part, (0, 0, 0, 3)) for part in commits)]
    if trace["unknown"]:
        parts += [title("What could not be established", "yellow"), Padding(bullets(trace["unknown"]), (0, 0, 0, 3))]
    print_page(*parts)


def _headline(trace: Mapping[str, Any]) -> RenderableType:
    about = trace["session"]
    first = Text.assemble(("session ", "bold"), (safe(about["id"]), "bold yellow"))
    second = Text(f"{safe(str(about['agent'] or 'an agent')[:60])}", style="cyan")
    if about["who"] is not None:
        second.append_text(Text.assemble(("  asked by ", DIM), who_text(about["who"])))
    first_at, last_at = (safe(str(about[name])[:19]).replace("T", " ") for name in ("at", "until"))
    times = f"{first_at} – {last_at} UTC, {many(about['entries'], 'entry', 'entries')}"
    third = Text.assemble((times, DIM), "  ·  ledger ", graded(trace["verdict"]))
    return headline(first, second, third, names_line(about["logs"]))


def _commits(commits: list[Mapping[str, Any]]) -> RenderableType:
    table = Rows((12, "left"), (None, "left"), (24, "right"))
    for item in commits[:_MOST]:
        said = words(item["commit"]["subject"] if item["commit"] else "not in this repository", lines=1, characters=200)
        if not item["commit"]:
            said.stylize("yellow")
        if not item["made_in_session"]:
            said.append("  committed by somebody else", style=DIM)
        lines = "" if item["lines"] is None else f"{many(item['lines'], 'line')}  "
        table.add_row(Text(safe(item["oid"][:12]), style="yellow"), said, Text(f"{lines}{short(item['entry'])}", style=DIM))
    if len(commits) > _MOST:
        table.add_row("", Text(f"… {len(commits):,} in all: --json lists them", style=DIM), "")
    return table
