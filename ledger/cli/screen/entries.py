"""The looks of `ledger log` and `ledger show`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from ledger.cli.lookup import headline
from ledger.cli.plain import safe
from ledger.cli.screen import console
from ledger.cli.screen.texts import DIM, STYLES, gone, print_page, short, words
from ledger.trace.logs import Log

_FAMILIES = {"prompt": "bold", "tool": "cyan", "approval": "magenta", "commit": "yellow", "gap": "red", "key": "green"}
_PIPED_WIDTH = 200


def entry_line(log: Log, seq: int) -> str:
    """Return one entry as one line, with colours where standard output takes them, cut to the screen's width."""
    entry = log.entry(seq)
    if entry is None:
        line = Text.assemble((f"{short(log.ref(seq)):<15} ", "yellow"), ("unreadable: run `ledger verify`", "red"))
    else:
        family = entry.kind.partition(".")[0]
        who = entry.actor.get("name", entry.actor["type"])
        said = headline(log, entry)
        text = gone({**said}) if isinstance(said, dict) else " ".join((said or "")[:_PIPED_WIDTH].split())
        line = Text.assemble(
            (f"{short(log.ref(seq)):<15} ", "yellow"),
            (f"{entry.at[:10]} {entry.at[11:19]}  ", DIM),
            (f"{safe(entry.kind):<19} ", _FAMILIES.get(family, "")),
            f"{safe(who)[:12]:<12} ",
            (safe(text), STYLES.get(str(entry.body.get("outcome") or entry.body.get("decision")), "")),
        )
    line.rstrip()
    out = console()
    line.truncate(out.width if sys.stdout.isatty() else _PIPED_WIDTH, overflow="ellipsis")
    if not sys.stdout.isatty() or out.no_color:
        return line.plain
    with out.capture() as capture:
        out.print(line, end="", soft_wrap=True)
    return capture.get()


def print_entry_lines(lines: Iterable[str]) -> None:
    """Print lines as they come."""
    console()  # makes standard output take what it cannot show
    for line in lines:
        sys.stdout.write(line + "\n")
    sys.stdout.flush()


def render_entry(name: str, members: Mapping[str, Any], payloads: Mapping[str, Any], armoured: str, check: list[str]) -> None:
    """Print one entry: its members, its payloads, its signature, and how to check that without us."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=10, style=DIM)
    table.add_column(overflow="fold")
    for member, value in members.items():
        if member not in ("entry", "body", "payloads"):
            table.add_row(member, words(value if isinstance(value, str) else _compact(value), lines=1, characters=600))
    body = words(json.dumps(members["body"], ensure_ascii=False, indent=2), lines=200, characters=20_000, more="--json")
    parts: list[RenderableType] = [Text.assemble(("entry ", "bold"), (safe(name), "bold yellow")), table, _title("body"), body]
    for payload in members.get("payloads", []):
        parts.append(_title(f"payload {payload['name']}", f"  {payload['media']}, {payload['size']:,} bytes"))
        parts.append(words(payloads[payload["name"]], lines=100, characters=10_000, more=f"--payload {payload['name']}"))
    parts += [_title("signature"), Text(armoured.rstrip()), _title("to check it with OpenSSH alone")]
    print_page(*parts)
    for line in check:  # not wrapped, so that it can be copied
        sys.stdout.write(f"  {safe(line)}\n")
    sys.stdout.flush()


def _title(title: str, about: str = "") -> Text:
    return Text.assemble("\n", (safe(title), "bold cyan"), (safe(about), DIM))


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if not isinstance(value, int) else str(value)


def render_raw_text(text: str) -> None:
    """Print a payload on a terminal, with what could steer it shown as escapes."""
    out = console()
    out.print(Text(safe(text, keep_newlines=True)), soft_wrap=True)
