"""The page of `ledger stats`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from ledger.cli.plain import safe
from ledger.cli.screen.blame import bullets, counts_text, many, title, who_text
from ledger.cli.screen.rows import Rows
from ledger.cli.screen.texts import DIM, graded, path_text, print_page

_MOST = 25
_FIGURES = ("sessions", "prompts", "calls", "failed", "denied", "commits", "lines")
_WRITERS = ("agent", "human", "unknown")


def render_stats(stats: Mapping[str, Any]) -> None:
    """Print the page."""
    parts: list[RenderableType] = [_headline(stats)]
    agents = [(Text(safe(str(item["agent"] or "not named"))), [item[name] for name in _FIGURES]) for item in stats["agents"]]
    people = [(_who(item["who"]), [item[name] for name in _FIGURES]) for item in stats["people"]]
    paths = [(Text(path_text(item["path"])), [item["commits"], *_lines(item)]) for item in stats["paths"]]
    times = [
        (Text(safe(item["period"])), [item["sessions"], item["prompts"], item["calls"], item["commits"], *_lines(item)])
        for item in stats["time"]
    ]
    parts += _section("By agent", _FIGURES, agents)
    parts += _section("By who asked", _FIGURES, people)
    parts += _section("By path: lines of whom", ("commits", *_WRITERS), paths)
    parts += _section(f"By {stats['every']}", ("sessions", "prompts", "calls", "commits", *_WRITERS), times)
    if stats["unknown"]:
        parts += [title("What could not be established", "yellow"), Padding(bullets(stats["unknown"]), (0, 0, 0, 3))]
    print_page(*parts)


def _headline(stats: Mapping[str, Any]) -> RenderableType:
    since, until = (safe(str(stats[name] or "")) for name in ("since", "until"))
    span = f" from {since}" * bool(since) + f" up to {until}" * bool(until)
    first = Text.assemble((many(stats["commits"]["recorded"], "commit"), "bold"), " recorded, ")
    first.append(f"{stats['commits']['made_in_calls']:,} of them made in agents' calls{span}, {many(len(stats['logs']), 'log')}")
    second = Text.assemble("lines: ", counts_text(stats["lines"]))
    for name, said in (("approvals", "approvals"), ("network", "network")):
        if stats[name]:
            counts = ", ".join(f"{count:,} {safe(decision)[:30]}" for decision, count in list(stats[name].items())[:5])
            second.append(f"\n{said}: {counts}")
    if stats["verdict"] != "unchecked":
        second.append_text(Text.assemble("\nledger ", graded(stats["verdict"])))
    return Text("\n").join([first, second])


def _who(who: Mapping[str, Any] | None) -> Text:
    return Text("not on record", style="yellow") if who is None else who_text(who)


def _lines(item: Mapping[str, Any]) -> list[int]:
    return [item["lines"][name] for name in _WRITERS]


def _section(name: str, columns: tuple[str, ...], rows: list[tuple[Text, list[int]]]) -> list[RenderableType]:
    shown = [(first, [f"{figure:,}" for figure in figures]) for first, figures in rows[:_MOST]]
    widths = [max(map(len, column)) for column in zip(columns, *(figures for _, figures in shown), strict=True)]
    table = Rows((None, "left"), *((width, "right") for width in widths), names=("", *columns))
    for first, figures in shown:
        first.truncate(500)
        table.add_row(first, *(Text(figure, style=DIM if figure == "0" else "") for figure in figures))
    if len(rows) > _MOST:
        table.add_row(Text(f"… {len(rows):,} in all: --json lists them", style=DIM))
    return [title(name), Padding(table if rows else Text("not on record", style=DIM), (0, 0, 0, 3))]
