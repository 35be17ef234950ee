"""Rows of short cells around a long text: beside them where there is room for it, else on lines of its own.

rich would take the room from the one column that has no width of its own until nothing is left of it, and say nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from rich.console import Console, ConsoleOptions, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ledger.cli.screen.texts import DIM

ROOM = 32  # columns in which a long text is still pleasant to read
_GAP = 2


class Rows:
    """A table without lines; each column is (width, justification), and the one without a width holds the long text.

    With `names` the columns have headers; where the long text stands alone, each cell has its column's name before it.
    """

    def __init__(self, *columns: tuple[int | None, Literal["left", "right"]], names: Sequence[str] = ()) -> None:
        self._columns = columns
        self._names = names
        self._long = next(number for number, (width, _) in enumerate(columns) if width is None)
        self._rows: list[list[Text]] = []

    def add_row(self, *cells: Text | str) -> None:
        """Add a row; cells that are left out at its end are empty."""
        texts = [cell if isinstance(cell, Text) else Text(cell) for cell in cells]
        self._rows.append(texts + [Text()] * (len(self._columns) - len(texts)))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        room = options.max_width - sum(width + _GAP for width, _ in self._columns if width is not None)
        longest = max((line.cell_len for row in self._rows for line in row[self._long].split()), default=0)
        if room >= min(ROOM, longest):
            yield self._table()
        else:
            for row in self._rows:
                yield from self._stack(row, options.max_width)

    def _table(self) -> Table:
        table = Table.grid(padding=(0, _GAP, 0, 0), expand=True)
        for width, justify in self._columns:
            table.add_column(width=width, ratio=1 if width is None else None, justify=justify, overflow="fold")
        if self._names:
            table.add_row(*(Text(name, style=DIM) for name in self._names))
        for row in self._rows:
            table.add_row(*row)
        return table

    def _stack(self, row: list[Text], width: int) -> RenderResult:
        """Yield the long text and the short ones, what comes first on top, and what comes next indented."""
        cells = [self._named(number, cell) for number, cell in enumerate(row) if number != self._long and cell]
        short = _fill(cells, width - 2)
        parts = [part for part in ([row[self._long], short] if self._long == 0 else [short, row[self._long]]) if part]
        for number, part in enumerate(parts):
            part.overflow = "fold"
            yield Padding(part, (0, 0, 0, 2 * (number > 0)))

    def _named(self, number: int, cell: Text) -> Text:
        return Text.assemble((self._names[number], DIM), " ", cell) if self._names else cell


def _fill(cells: list[Text], width: int) -> Text:
    """Return the cells in as many lines as they need, none of them broken that fits a line."""
    filled, used = Text(), 0
    for cell in cells:
        fits = used + _GAP + cell.cell_len <= width
        filled.append(("  " if fits else "\n") if filled else "")
        filled.append_text(cell)
        used = cell.cell_len + (used + _GAP if fits and used else 0)
    return filled
