"""`ledger trace <commit>`: who asked, what was planned, ran, was approved, and what changed."""

from __future__ import annotations

import click

from ledger.cli.main import Place
from ledger.errors import LedgerError
from ledger.repo.commits import root_commits
from ledger.repo.gitdir import GitDir
from ledger.trace.build import build_trace, resolve_commit
from ledger.trace.logs import Logs


@click.command()
@click.argument("commit", default="HEAD")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--no-verify", is_flag=True, help="Do not check the log first; the verdict is then `unchecked`.")
@click.option("--svg", metavar="FILE", type=click.Path(dir_okay=False, writable=True), hidden=True)
@click.pass_obj
def command(place: Place, commit: str, as_json: bool, no_verify: bool, svg: str | None) -> None:
    """Answer for COMMIT (any revision git understands; HEAD if none is given).

    Who asked, what was planned, what ran with which tools, what was approved, which network rules and sandbox boundary held, what
    changed, and what could not be established. A commit that nobody recorded gets an honest answer, too.
    """
    repo, clone = place.repository(), place.clone_if_any()
    oid = resolve_commit(repo, commit)
    if oid is None:
        raise click.UsageError(f"{commit!r} names no commit here")
    verdict, uncounted = ("unchecked", []) if no_verify else _verdict(repo, place.state())
    with Logs(place.state(), clone, root_commits(repo) if clone is None else (), repo=repo, without=uncounted) as logs:
        trace = build_trace(repo, logs, oid, verdict)
    from ledger.cli import screen
    from ledger.cli.screen.trace import export_trace, render_trace

    if svg is not None:
        export_trace(trace, svg, f"ledger trace {commit}")
    if as_json:
        screen.print_json(trace)
    else:
        render_trace(trace)


def _verdict(repo: GitDir, state: str) -> tuple[str, list[str]]:
    """Return the verifier's verdict (`unchecked` where it could not check), and the logs that it does not count."""
    from ledger.verify.verifier import Options, verify_repository

    try:
        report = verify_repository(repo, state, Options())
    except LedgerError:
        return "unchecked", []
    return report.verdict, [finding.log for finding in report.findings if finding.code == "log.uncounted" and finding.log]
