"""What people see: all of rich is in here. Whatever is shown as a table can be had as JSON."""

from __future__ import annotations

import json
import sys
from typing import Any

from rich.console import Console
from rich.text import Text

from ledger.cli.plain import safe


def console(*, stderr: bool = False) -> Console:
    """Return a console that honours NO_COLOR and pipes, and takes no text for markup."""
    return Console(stderr=stderr, markup=False, highlight=False, emoji=False, soft_wrap=False)


def print_json(value: Any) -> None:
    """Print a value as JSON, for programs."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2).encode("utf-8", "replace").decode("utf-8") + "\n")


def print_lines(lines: list[tuple[str, str]]) -> None:
    """Print (style, text) lines; the texts may come from outside."""
    out = console()
    for style, text in lines:
        out.print(Text(safe(text), style=style), soft_wrap=True)
