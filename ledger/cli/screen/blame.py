"""The page of `ledger blame`: the lines with their writers, the calls with the words behind them, and what is not known."""

from __future__ import annotations

import sys
from binascii import a2b_base64
from collections.abc import Callable, Mapping
from typing import Any

from rich.cells import cell_len, set_cell_size
from rich.console import COLOR_SYSTEMS, Console, Group, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.style import Style
from rich.table import Table
from rich.text import Text

from ledger.cli.plain import safe
from ledger.cli.screen import console
from ledger.cli.screen.texts import DIM, STYLES, graded, has_width, page_width, path_text, print_page, short, words

BY_STYLES = {"agent": "cyan", "human": "green", "unknown": "yellow"}
_MAX_CALLS = 40
_MAX_WRITER = 20


def render_blame(blame: Mapping[str, Any]) -> None:
    """Print the page."""
    log = only_log([*blame["calls"], *(item["entry"] for item in blame["commits"].values() if item["entry"])])
    print_page(_headline(blame, log))
    _print_lines(blame, log)
    parts: list[RenderableType] = []
    if blame["calls"]:
        parts += [title("Which calls, and with which words"), Padding(causes_table(blame, log), (0, 0, 0, 2))]
    if blame["unknown"]:
        parts += [title("What could not be established", "yellow"), Padding(bullets(blame["unknown"]), (0, 0, 0, 2))]
    if parts:
        print_page(*parts)


def only_log(refs: list[str]) -> str:
    """Return the log that all of these entries are of, or the empty string."""
    logs = {ref.partition("/")[0] for ref in refs}
    return logs.pop() if len(logs) == 1 else ""


def name_of(ref: str | None, log: str) -> str:
    """Return an entry's name, as short as it may be where `log` was said once."""
    name, _, seq = (ref or "").partition("/")
    return f"#{seq}" if name and name == log else short(ref)


def names_line(logs: list[str]) -> Text:
    """Return how to read `#N`, where all entries that a page names are of one log."""
    if len(logs) != 1:
        return Text("times are UTC", style=DIM)
    log = safe(logs[0][:8])
    return Text(f"#N is the entry {log}/N: `ledger show {log}/N`; times are UTC", style=DIM)


def headline(first: Text, *others: Text) -> RenderableType:
    """Return the beginning of a page: what it is about, and below it, indented, what else is to be known of that."""
    return Group(first, *(Padding(line, (0, 0, 0, 3)) for line in others))


def many(count: int, one: str, more: str = "") -> str:
    """Return a count with its word."""
    return f"{count:,} {one if count == 1 else more or f'{one}s'}"


def counts_text(counts: Mapping[str, int]) -> Text:
    """Return how many lines are whose, with their share."""
    total = sum(counts.values())
    text = Text()
    for by in ("agent", "human", "unknown"):
        if counts.get(by):
            text.append("  ·  " if text else "")
            text.append(f"{counts[by]:,} {by} ({100 * counts[by] / total:.0f} %)", style=BY_STYLES[by])
    return text if text else Text("no lines", style=DIM)


def line_text(text: str | Mapping[str, str]) -> str:
    """Return a line of a file for people; what is no UTF-8 in it is shown as U+FFFD."""
    said = text if isinstance(text, str) else a2b_base64(text["base64"]).decode("utf-8", "replace")
    return safe(said.expandtabs(4))


def title(text: str, style: str = "cyan") -> RenderableType:
    """Return a section's title."""
    return Padding(Rule(Text(text, style=f"bold {style}"), align="left", style=DIM, characters="─"), (1, 0, 0, 0))


def bullets(sentences: list[str]) -> RenderableType:
    """Return sentences, one a point."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=1)
    table.add_column(overflow="fold")
    for sentence in sentences:
        table.add_row(Text("·", style="yellow"), words(sentence, lines=1, characters=500))
    return table


def who_text(who: Mapping[str, Any]) -> Text:
    """Return who asked, and how that is known."""
    if who["basis"] == "agent":
        return Text("an agent", style="bold")
    name = Text(safe(str(who["name"] or who["principal"] or "somebody")[:80]), style="bold")
    if who["principal"] and who["principal"] != who["name"]:
        name.append(f" <{safe(str(who['principal'])[:120])}>", style="not bold")
    return Text.assemble(name, " ", graded(who["basis"]))


def causes_table(answer: Mapping[str, Any], log: str) -> RenderableType:
    """Return the calls of an answer, each with who asked for it and the beginning of the words."""
    table = Table.grid(padding=(0, 2, 0, 0), expand=True)
    table.add_column(width=7 if log else 16, justify="right")
    table.add_column(ratio=1, overflow="fold")
    said = None
    for name, cause in list(answer["calls"].items())[:_MAX_CALLS]:
        call = cause["call"]
        about = Text.assemble(
            (safe(f"{call['agent'] or 'an agent'} ▸ {call['tool'] or '?'}"[:80]), "cyan"), "  ", graded(call["outcome"])
        )
        about.append(f"  {safe(call['at'][:19].replace('T', ' '))}", style=DIM)
        table.add_row(Text(name_of(name, log), style=DIM), about)
        prompt = answer["prompts"].get(cause["prompt"] or "")
        if prompt is None:
            table.add_row("", Text("no prompt is on record", style="yellow"))
        elif cause["prompt"] == said:
            table.add_row("", Text(f"the same words, {name_of(said, log)}", style=DIM))
        else:
            said = cause["prompt"]
            table.add_row("", Text.assemble(("asked by ", DIM), who_text(prompt["who"]), (f"  {name_of(said, log)}", DIM)))
            table.add_row("", words(prompt["prompt"], lines=3, characters=300, more=f"ledger show {short(said)}"))
    if len(answer["calls"]) > _MAX_CALLS:
        table.add_row("", Text(f"… {len(answer['calls']):,} calls in all: --json lists them", style=DIM))
    return table


def _headline(blame: Mapping[str, Any], log: str) -> RenderableType:
    first = Text.assemble((path_text(blame["path"])[:1000], "bold yellow"), (f"  at {blame['revision'][:12]}", DIM))
    second = counts_text(blame["counts"])
    if blame["verdict"] != "unchecked":
        second = Text.assemble(second, "  ·  ledger ", graded(blame["verdict"]))
    lines = [first, second]
    if log:
        lines.append(names_line([log]))
    return Text("\n").join([*lines, Text()])


def _print_lines(blame: Mapping[str, Any], log: str) -> None:
    """Print the lines of the file. Not as a table: rich would take a second for some thousand rows."""
    out = console()
    paint = _painter(out)
    digits = len(str(blame["lines"][-1]["range"][1])) if blame["lines"] else 1
    call_width = 6 if log else 13
    who = min(max((cell_len(_writer(blame, item)) for item in blame["lines"]), default=0), _MAX_WRITER)
    room = _room(out, 8 + who + 8 + call_width + digits + 7)
    for item in blame["lines"]:
        call = name_of(item["call"], log)
        fixed = (
            f"{paint(_fit(_writer(blame, item), who), BY_STYLES[item['by']])} "
            f"{paint(_fit(item['link'] or '', 8), STYLES.get(item['link'] or '', ''))} {paint(_fit(call, call_width), DIM)}"
        )
        for number, text in enumerate(item["text"]):
            start = paint(item["commit"][:8], DIM if number else "yellow")
            at = paint(f"{item['range'][0] + number:>{digits}}", DIM)
            whole = line_text(text)
            shown = f"{start} {fixed} {at} │ {whole if room is None else _cut(whole, room)}"
            sys.stdout.write((shown if sys.stdout.isatty() else shown.rstrip(" ")) + "\n")
    sys.stdout.flush()


def _room(out: Console, used: int) -> int | None:
    """Return how much of a line is shown: all of it (None) where neither a terminal nor anybody says how wide a page is."""
    if not sys.stdout.isatty() and not has_width():
        return None
    return max((page_width() or out.width) - used, 10)


def _painter(out: Console) -> Callable[[str, str], str]:
    """Return what puts a text into a colour, where standard output takes colours."""
    system = None if out.no_color or out.color_system is None else COLOR_SYSTEMS[out.color_system]
    if system is None or not out.is_terminal:
        return lambda text, style: text
    return lambda text, style: Style.parse(style).render(text, color_system=system) if style else text


def _fit(text: str, width: int) -> str:
    return f"{_cut(text, width):<{width}}" if text.isascii() else set_cell_size(_cut(text, width), width)


def _cut(text: str, width: int) -> str:
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, width - 1).rstrip() + "…"


def _writer(blame: Mapping[str, Any], item: Mapping[str, Any]) -> str:
    if item["by"] == "agent" and item["call"] is not None:
        return safe(blame["calls"][item["call"]]["call"]["agent"] or "agent")
    return str(item["by"])
