"""`ledger stats`: how much was asked, run, committed and written, by agent, person, path and over time."""

from __future__ import annotations

import click

from ledger.cli.evidence import open_logs
from ledger.cli.lookup import parse_span
from ledger.cli.main import Place
from ledger.index.tally import Span
from ledger.trace.stats import EVERY, build_stats


@click.command()
@click.option("--since", metavar="TIME", help="Only from TIME on: 2026-01-02, 2026-01-02T03:04 … (UTC).")
@click.option("--until", metavar="TIME", help="Only up to and including TIME.")
@click.option("--every", type=click.Choice(list(EVERY)), default="month", show_default=True, help="How time is divided.")
@click.option("--verify", is_flag=True, help="Check the logs first, and show the verdict.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(place: Place, since: str | None, until: str | None, every: str, verify: bool, as_json: bool) -> None:
    """Count what the logs here have on record. Times are those that entries claim.

    A commit that was amended or rebased counts once. Figures come from the index; `ledger trace` and `ledger blame` answer for
    single commits and lines from the records themselves.
    """
    span = Span(*parse_span(since, until))
    place.logs().__exit__()  # says what to do where there is nothing to count
    verdict, logs = open_logs(place, verify=verify)
    with logs:
        stats = build_stats(logs, span, every, verdict)
    if as_json:
        from ledger.cli import screen

        screen.print_json(stats)
    else:
        from ledger.cli.screen.stats import render_stats

        render_stats(stats)
