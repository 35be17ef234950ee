"""How `ledger verify` looks: the verdict first, then what it rests on, then what it does not cover."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from ledger.cli.plain import safe
from ledger.cli.screen import console
from ledger.verify.verdict import Finding, LogReport, Report
from ledger.verify.verifier import Progress as Report_progress

_VERDICTS = {
    "anchored": ("bold green", "every check passed, and commits that others hold fix the logs as far as said below"),
    "consistent": ("bold green", "every check that could be made passed; nothing outside the logs fixes them"),
    "incomplete": ("bold yellow", "something that is needed for checking is not here"),
    "diverged": ("bold red", "there are two histories of one log"),
    "invalid": ("bold red", "bytes, links, signatures, roots or keys are wrong"),
}
_TRUST = {
    "given": "key in the named file",
    "pinned": "key seen here before",
    "repository": "key committed in .ledger/allowed_signers",
    "first-use": "key seen here for the first time",
}
_SEVERITIES = (("error", "red", "Errors"), ("warning", "yellow", "Warnings"), ("info", "dim", "For information"))
_MAX_MISSING = 20


def render_verify(report: Report) -> None:
    """Print a report for people."""
    out = console()
    style, meaning = _VERDICTS[report.verdict]
    out.print(Text.assemble((report.verdict, style), f": {meaning}"), soft_wrap=True)
    if report.logs:
        out.print()
        out.print(_logs(report))
    for severity, look, title in _SEVERITIES:
        found = [finding for finding in report.findings if finding.severity == severity]
        if found:
            out.print()
            out.print(Text(title, style=f"bold {look}"))
            for finding in found:
                out.print(finding_text(finding, look), soft_wrap=True)
    _print_coverage(report)
    out.print()
    out.print(Text("Not checked, or not to be known", style="bold"))
    for line in report.unchecked:
        out.print(Text(f"  · {safe(line)}"), soft_wrap=True)


@contextmanager
def verify_progress() -> Iterator[Report_progress]:
    """Show a bar on standard error for as long as the context lasts; yields what takes (what, done, total)."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console(stderr=True), transient=True) as bar:
        tasks: dict[str, object] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done, total=total)  # type: ignore[arg-type]  # rich's TaskID is an int

        yield show


def _logs(report: Report) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("log", "verdict", "records", "pending", "anchored", "trust"):
        table.add_column(name, justify="right" if name in ("records", "pending") else "left", overflow="fold")
    for log in report.logs:
        table.add_row(log.log[:12], log.verdict, str(log.size), str(log.pending), _anchored(log), _TRUST[log.trust])
    return table


def _anchored(log: LogReport) -> str:
    if not log.anchors:
        return "no"
    more = f" and {len(log.anchors) - 1} more" if len(log.anchors) > 1 else ""
    return f"up to {log.anchored_size} by commit {log.anchors[0].where[:12]}{more}"


def finding_text(finding: Finding, look: str) -> Text:
    """Return a finding as a line or two, its code in the style `look`."""
    where = f" {finding.log[:12]}" if finding.log else ""
    where += f"/{finding.seq}" if finding.log and finding.seq is not None else ""
    text = Text.assemble("  ", (finding.code, look), (where, "dim"), f" {safe(finding.message)}")
    if finding.expected is not None or finding.found is not None:
        expected, found = (safe(value or "nothing") for value in (finding.expected, finding.found))
        text.append(f"\n      expected {expected}, found {found}", style="dim")
    return text


def _print_coverage(report: Report) -> None:
    if report.coverage is None:
        return
    out = console()
    coverage = report.coverage
    out.print()
    out.print(Text("Coverage", style="bold"))
    missing = len(coverage.missing)
    out.print(Text(f"  {coverage.recorded} of {coverage.commits} commits have an entry; {missing} that should have one have none"))
    for oid in coverage.missing[:_MAX_MISSING]:
        out.print(Text(f"  {safe(oid)}"))
    if len(coverage.missing) > _MAX_MISSING:
        out.print(Text(f"  and {len(coverage.missing) - _MAX_MISSING} more (--json lists all)"))
