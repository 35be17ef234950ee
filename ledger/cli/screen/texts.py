"""Pieces that every page is made of: safe, cut texts, and the colours of outcomes."""

from __future__ import annotations

import os
import sys
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from ledger.cli.plain import safe
from ledger.cli.screen import console

STYLES = {
    **dict.fromkeys(("finished", "exact", "anchored", "consistent", "approved", "allow", "allowed", "accept", "observed"), "green"),
    **dict.fromkeys(("failed", "denied", "deny", "reject", "rejected", "invalid", "diverged"), "red"),
    **dict.fromkeys(("cancelled", "partial", "incomplete", "unknown", "unchecked"), "yellow"),
    **dict.fromkeys(("inferred", "asserted", "rewrite-map", "trailer", "patch-id", "tree"), "cyan"),
    "none": "dim",
}
DIM = "bright_black"
_WIDTH = 100


def page_width() -> int | None:
    """Return the width of a page that goes to no terminal, or None where a terminal says its own."""
    if sys.stdout.isatty():
        return None
    return int(os.environ["COLUMNS"]) if has_width() else _WIDTH


def has_width() -> bool:
    """Say whether the environment says how wide a page is to be."""
    columns = os.environ.get("COLUMNS", "")
    return columns.isdigit() and 20 <= int(columns) <= 1000


def print_page(*parts: RenderableType) -> None:
    """Print the parts of a page; without the blanks at the ends of lines where it goes to no terminal."""
    out = console(width=page_width())
    if sys.stdout.isatty():
        out.print(*parts, sep="\n")
        return
    with out.capture() as capture:
        out.print(*parts, sep="\n")
    sys.stdout.write("".join(f"{line.rstrip(' ')}\n" for line in capture.get().removesuffix("\n").split("\n")))
    sys.stdout.flush()


def graded(word: str | None) -> Text:
    """Return a word of ours (an outcome, a link, a verdict) in its colour."""
    return Text(safe(word or "unknown"), style=STYLES.get(word or "unknown", ""))


def words(value: Any, *, lines: int, characters: int, more: str = "") -> Text:
    """Return text from outside, cut to `lines` and `characters` (a little more is shown whole); `more` says where all of it is.

    A dict says why the text is not here.
    """
    if isinstance(value, dict):
        return Text(gone(value), style="yellow italic")
    if value is None:
        return Text("none", style=DIM)
    text = str(value).strip("\n")
    if lines > 1 and len(text) <= characters + 80 and text.count("\n") <= lines + 1:
        return Text(safe(text, keep_newlines=True))
    kept = "\n".join(text[: characters + 1].split("\n")[:lines])[:characters]
    shown = Text(safe(kept, keep_newlines=True))
    if len(kept) < len(text):
        whole = f" {len(text):,} characters in all" if len(text) >= 1000 or more else ""
        shown.append(f" …{whole}{f': {more}' if more else ''}", style=DIM)
    return shown


def gone(value: dict[str, Any]) -> str:
    """Say in words why a text is not here."""
    erased = value.get("erased")
    if isinstance(erased, dict):
        reason = f": {erased['reason']}" if erased.get("reason") else ""
        return safe(f"erased by {erased.get('by')} at {erased.get('at')}{reason}")
    return "withheld: not on this machine" if value.get("withheld") else safe(str(value))


def short(ref: str | None) -> str:
    """Return `<8 digits of the log>/<seq>`, which `ledger show` takes as well."""
    if not ref:
        return ""
    log, _, seq = ref.partition("/")
    return f"{log[:8]}/{seq}"


def clock(at: str, day: str = "") -> str:
    """Return the time of an entry, with its date unless that is `day`."""
    return safe(at[11:19]) if at[:10] == day else safe(f"{at[:10]} {at[11:19]}")


def path_text(path: Any) -> str:
    """Return a path of a record for people."""
    if isinstance(path, dict):
        return f"base64:{safe(str(path.get('base64')))}"
    return safe(str(path))
