"""What people see: all of rich is in this package. Whatever is shown as a table can be had as JSON.

Texts from outside go through `safe` first, and reach rich as `Text`, never as markup. Each command's own look lives in a module
beside this one, or below where it is a few lines.
"""

from __future__ import annotations

import json
import re
import sys
import unicodedata
from typing import Any

from rich.console import Console
from rich.text import Text

from ledger.cli.plain import safe

_BEYOND_ASCII = re.compile(r"[^\x00-\x7e]")


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Let `cli.main` end quietly, as for every other writer; rich would exit with 1."""
        raise BrokenPipeError


def console(*, stderr: bool = False, record: bool = False, width: int | None = None) -> Console:
    """Return a console that honours NO_COLOR and pipes, and takes no text for markup."""
    stream = sys.stderr if stderr else sys.stdout
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="backslashreplace")  # a terminal that is not UTF-8 gets escapes, not a traceback
    return _Console(stderr=stderr, markup=False, highlight=False, emoji=False, soft_wrap=False, record=record, width=width)


def print_json(value: Any) -> None:
    """Print a value as JSON, for programs; what could steer a terminal is written as an escape."""
    sys.stdout.write(json_text(json.dumps(value, ensure_ascii=False, indent=2)) + "\n")
    sys.stdout.flush()


def json_text(text: str) -> str:
    """Return JSON with an escape for every character that could steer a terminal, or that it cannot show."""
    return _BEYOND_ASCII.sub(_escape, text)


def print_lines(lines: list[tuple[str, str]]) -> None:
    """Print (style, text) lines; the texts may come from outside."""
    out = console()
    for style, text in lines:
        out.print(Text(safe(text), style=style), soft_wrap=True)


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    utf8 = (sys.stdout.encoding or "utf-8").lower().replace("-", "") == "utf8"
    if utf8 and unicodedata.category(character)[0] not in "CZ":
        return character
    return json.dumps(character)[1:-1] if character != "\x7f" else "\\u007f"
