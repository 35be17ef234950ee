"""How `ledger verify` looks: the verdict first, then what it rests on, then what it does not cover."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from ledger.cli.plain import safe
from ledger.cli.screen import console
from ledger.verify.subject import Progress as Report_progress
from ledger.verify.verdict import Anchor, Finding, Report

_VERDICTS = {
    "anchored": ("bold green", "every check passed, and something outside fixes the logs as far as said below"),
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
_MAX_OTHERS = 20  # logs that do not count


def render_verify(report: Report) -> None:
    """Print a report for people."""
    out = console()
    style, meaning = _VERDICTS[report.verdict]
    out.print(Text.assemble((report.verdict, style), f": {meaning}"), soft_wrap=True)
    if report.logs:
        out.print()
        out.print(_logs(report))
    _print_anchors(report)
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
    numbers = ("records", "sealed", "pending")
    for name in ("log", "verdict", *numbers, "anchored", "trust"):
        table.add_column(name, justify="right" if name in numbers else "left", overflow="fold")
    counted = [log for log in report.logs if log.counted]
    others = [log for log in report.logs if not log.counted]
    for log in [*counted, *others[:_MAX_OTHERS]]:
        verdict = log.verdict if log.counted else f"not counted ({log.verdict})"
        anchored = f"up to {log.anchored_size}" if log.anchors else "no"
        row = (log.log[:12], verdict, *map(str, (log.size, log.sealed, log.pending)), anchored, _TRUST[log.trust])
        table.add_row(*row, style=None if log.counted else "dim")
    if len(others) > _MAX_OTHERS:
        table.add_row("…", f"and {len(others) - _MAX_OTHERS} more that do not count", style="dim")
    return table


def _print_anchors(report: Report) -> None:
    """Say of each log that counts up to where each sort of anchor fixes it, and by what."""
    out = console()
    for log in report.logs:
        if not log.anchors or not log.counted:
            continue
        out.print()
        out.print(Text(f"What fixes {log.log[:12]} from outside", style="bold"))
        sorts: dict[str, list[Anchor]] = {}
        for anchor in log.anchors:
            sorts.setdefault(anchor.type, []).append(anchor)
        for found in sorts.values():
            more = f", and {len(found) - 1} more" if len(found) > 1 else ""
            out.print(Text(f"  up to {found[0].size} by {_where(found[0])}{more}"), soft_wrap=True)


def _where(anchor: Anchor) -> str:
    where = safe(anchor.where)
    if anchor.type == "seen":
        log, _, seq = where.partition("/")
        return f"another log, {log[:12]}/{seq}"
    if anchor.type == "pin":
        return f"an earlier run here, {where[:10]}"
    return f"{anchor.type} {where[:12] if anchor.type == 'commit' else where.removeprefix('refs/tags/')}"


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
    _print_some([safe(oid) for oid in coverage.missing])
    if coverage.linked:
        out.print(Text(f"  {coverage.linked} more have none, but an entry says what they were made of"))
    if coverage.moves:
        out.print(Text(f"  {len(coverage.moves)} ref moves led to commits of which no entry knows"))
        _print_some([f"{safe(move.ref)} to {move.new[:12]} ({safe(move.how)})" for move in coverage.moves])
    if coverage.claimed:
        out.print(
            Text(f"  {len(coverage.claimed)} commits were made where the environment names an agent, and no call confirms it")
        )
        _print_some([f"{oid[:12]} ({entry})" for oid, entry in coverage.claimed])
    if coverage.uncommitted:
        out.print(Text(f"  {len(coverage.uncommitted)} sessions changed files in calls that no commit is linked to"))
        found = coverage.uncommitted
        _print_some([f"{safe(item.session)}: {item.changes - item.committed} of {item.changes} calls" for item in found])


def _print_some(lines: list[str]) -> None:
    out = console()
    for line in lines[:_MAX_MISSING]:
        out.print(Text(f"    {line}"), soft_wrap=True)
    if len(lines) > _MAX_MISSING:
        out.print(Text(f"    and {len(lines) - _MAX_MISSING} more (--json lists all)"))
