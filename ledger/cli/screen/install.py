"""How `ledger init`, `deinit` and `doctor` look: what was done, what is left to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from ledger.agents.coverage import QUESTIONS, Answer
from ledger.cli.plain import safe
from ledger.cli.screen import console, print_lines
from ledger.install.agents import AGENTS
from ledger.install.checks import Check
from ledger.install.installer import Removed

_LEVELS = {"ok": ("green", "ok"), "warn": ("yellow", "warn"), "fail": ("bold red", "fail")}
_ANSWERS = {"yes": "green", "partly": "yellow", "no": "red"}


def render_init(result: Mapping[str, Any]) -> None:
    """Print what `init` did."""
    lines = [("bold", f"{'Opened' if result['created'] else 'Kept'} log {result['log']}")]
    lines.append(("", f"  key      {result['fingerprint']} ({result['key_storage']})"))
    lines.append(("", f"  state    {result['state']}"))
    for agent, path in result["agents"].items():
        lines.append(("", f"  {AGENTS[agent].title:<12} {path}"))
    if not result["agents"]:
        lines.append(("yellow", "  no agent is wired: none was found here, or --agents said so"))
    lines += [("", f"  wrote    {path}") for path in result["changed"]] or [("", "  nothing needed changing")]
    lines += [_describe_server(found) for found in result["mcp"]]
    lines += [("", f"  note: {note}") for note in result["notes"]]
    lines += [("yellow", f"  to do: {step}") for step in result["to_do"]]
    print_lines(lines)


def _describe_server(found: Mapping[str, str]) -> tuple[str, str]:
    """Return a line on one MCP server: recorded, or why not."""
    if found["why"]:
        what = f"MCP server {found['server']}" if found["server"] else "MCP servers"
        return "yellow", f"  not recorded: {what} of {found['path']}: {found['why']}"
    return "", f"  recorded: MCP server {found['server']} of {found['path']}"


def render_deinit(removed: Removed) -> None:
    """Print what `deinit` did."""
    lines = [("bold", "Hooks are out; the log stays")]
    lines += [("", f"  as it was             {path}") for path in removed.restored]
    lines += [("", f"  only our lines taken  {path}") for path in removed.edited]
    lines += [("yellow", f"  left, look at it      {path}") for path in removed.left]
    print_lines(lines)


def render_doctor(checks: list[Check], coverage: Mapping[str, Mapping[str, Answer]]) -> None:
    """Print the findings, then the table of questions and agents."""
    for check in checks:
        style, word = _LEVELS[check.level]
        line = Text.assemble((f"{word:<5}", style), f"{check.name:<13} ", safe(check.message))
        console().print(line, soft_wrap=True)
        if check.remedy:
            console().print(Text(f"      → {safe(check.remedy)}", style="dim"), soft_wrap=True)
    if coverage:
        console().print()
        console().print(_coverage_table(coverage))


def _coverage_table(coverage: Mapping[str, Mapping[str, Answer]]) -> Table:
    table = Table(title="What can be answered here, by hooks alone", title_justify="left", show_lines=True)
    table.add_column("question")
    for agent in coverage:
        table.add_column(AGENTS[agent].title)
    for name, question in QUESTIONS.items():
        cells = [Text.assemble((answer.level, _ANSWERS[answer.level]), f": {answer.note}") for answer in _row(coverage, name)]
        table.add_row(question, *cells)
    return table


def _row(coverage: Mapping[str, Mapping[str, Answer]], name: str) -> list[Answer]:
    return [answers[name] for answers in coverage.values()]
