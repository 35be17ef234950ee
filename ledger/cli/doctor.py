"""`ledger doctor`: what is wired, what is not, and what each agent can and cannot prove here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ledger.cli.main import Place
from ledger.cli.screen import print_json

if TYPE_CHECKING:
    from ledger.agents.coverage import Cell


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(place: Place, as_json: bool) -> int:
    """Check the installation, and say which of the eight questions each agent found here can answer.

    Exits 1 if something must be mended for recording to work.
    """
    from ledger.agents.coverage import AGENTS, row
    from ledger.cli.screen.install import render_doctor
    from ledger.install.agents import find_agents
    from ledger.install.checks import examine

    repo = place.repository()
    checks = examine(repo, place.state())
    found = find_agents(repo.work_tree or repo.git_dir)
    coverage = {agent: row(agent) for agent in found if agent in AGENTS}
    if as_json:
        answers = {agent: {name: _as_json(cell) for name, cell in cells.items()} for agent, cells in coverage.items()}
        print_json({"checks": [check._asdict() for check in checks], "coverage": answers})
    else:
        render_doctor(checks, coverage)
    return 1 if any(check.level == "fail" for check in checks) else 0


def _as_json(cell: Cell) -> dict[str, object]:
    """Return {level, note, surfaces: {surface: {level, note}}}."""
    return {**cell.answer._asdict(), "surfaces": {surface: said._asdict() for surface, said in cell.surfaces.items()}}
