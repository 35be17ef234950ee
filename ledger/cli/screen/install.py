"""How `ledger init`, `deinit` and `doctor` look: what was done, what is left to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from ledger.agents.coverage import OPTIONAL, QUESTIONS, Answer, Cell
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


def render_doctor(checks: list[Check], coverage: Mapping[str, Mapping[str, Cell]]) -> None:
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
        for agent, cells in coverage.items():
            console().print(Text(AGENTS[agent].title, style="bold"))
            for line in _shortcomings(cells):
                console().print(line)
        console().print(Text("Telemetry is there where `ledger record otlp` receives it. All of it: docs/agents.md", style="dim"))


def _coverage_table(coverage: Mapping[str, Mapping[str, Cell]]) -> Table:
    table = Table(title="What can be answered here", title_justify="left")
    table.add_column("question", no_wrap=True)
    for agent in coverage:
        table.add_column(AGENTS[agent].title)
    for name, question in QUESTIONS.items():
        table.add_row(question, *(_level(cells[name].answer) for cells in coverage.values()))
    return table


def _level(answer: Answer) -> Text:
    return Text(answer.level, style=_ANSWERS[answer.level])


def _shortcomings(cells: Mapping[str, Cell]) -> Iterator[Text]:
    """Yield a line for each question that is not answered in full: why, and what telemetry would add."""
    for name, cell in cells.items():
        if cell.answer.level == "yes":
            continue
        line = Text.assemble(f"  {QUESTIONS[name]}: ", _level(cell.answer), f", {cell.answer.note}")
        for surface in OPTIONAL:
            if surface in cell.surfaces:
                said = cell.surfaces[surface]
                line.append(f" [with {surface}: ").append_text(_level(said)).append(f", {said.note}]")
        yield line
