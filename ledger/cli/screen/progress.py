"""Progress on standard error, for work whose size nobody knows before it is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import Progress, SpinnerColumn, TextColumn

from ledger.cli.screen import console


@contextmanager
def counting(what: str) -> Iterator[Callable[[int], None]]:
    """Show a count for as long as the context lasts; yields what takes how much is done."""
    with Progress(SpinnerColumn(), TextColumn("{task.description}"), console=console(stderr=True), transient=True) as bar:
        task = bar.add_task(what)
        yield lambda done: bar.update(task, description=f"{done:,} {what}")
