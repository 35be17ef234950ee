"""`ledger sync`: exchange sealed logs with a remote."""

from __future__ import annotations

import sys
from typing import Any

import click

from ledger.cli.main import Place
from ledger.errors import LedgerError
from ledger.repo.git import run_git
from ledger.repo.gitdir import GitDir
from ledger.repo.seals import read_prefix
from ledger.sync.exchange import Report, sync
from ledger.sync.remote import choose_remote, is_configured

_HOOK_PATIENCE_S = 30.0
_MAX_LIST_BYTES = 16 << 20
_STYLES = {
    "fork": "bold red",
    "refused": "red",
    "rejected": "yellow",
    "foreign": "yellow",
    "healed": "yellow",
    "succeeded": "yellow",
}


@click.command()
@click.argument("remote", metavar="[REMOTE]", required=False)
@click.option("--no-push", is_flag=True, help="Only take what the remote has.")
@click.option("--at-push", is_flag=True, hidden=True, help="As the pre-push hook: do what ledger.push says, never fail.")
@click.option("-q", "--quiet", is_flag=True, help="Say only what somebody should look at.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(place: Place, remote: str | None, no_push: bool, at_push: bool, quiet: bool, as_json: bool) -> int:
    """Take the sealed logs that REMOTE has, each verified before it counts, and push this clone's own.

    Works in any clone: without `ledger init`, and without a key, logs are only taken, and refs that are missing on the remote or
    went back are healed. Nothing is ever forced. REMOTE is the current branch's, or origin, if not given.

    Exit codes: 0 done, 1 a log was refused or has two histories, or ours could not be pushed, 2 wrong usage, 3 could not check.
    """
    if at_push:
        return _at_push(place, remote)
    from ledger.cli.screen import print_json

    repo, state = place.repository(), place.state()
    report = _run(
        repo, state, choose_remote(repo, remote), push=not no_push and _setting(repo) != "never", show=not (quiet or as_json)
    )
    if as_json:
        print_json(_json(report))
    else:
        _print(report, quiet)
    return 0 if report.is_well() else 1


def _run(repo: GitDir, state: str, remote: str, *, push: bool, show: bool) -> Report:
    if not (show and sys.stderr.isatty()):
        return sync(repo, state, remote, push=push)
    from ledger.cli.screen.verify import verify_progress

    with verify_progress() as progress:
        return sync(repo, state, remote, push=push, progress=progress)


def _at_push(place: Place, remote: str | None) -> int:
    """Sync as a part of `git push`, which must not fail, nor wait for ever, on our account."""
    try:
        repo, state = place.repository(), place.state()
        if remote is None or place.clone_if_any() is None or _setting(repo) != "auto" or not is_configured(repo, remote):
            return 0  # a URL that somebody pushes to once is not where this repository's logs live
        report = sync(repo, state, remote, push=not _pushes_logs(repo), patience_s=_HOOK_PATIENCE_S)
    except LedgerError as error:
        click.echo(f"ledger: logs not exchanged: {error.message}", err=True)
        return 0
    for change in report.changes:
        if change.how in _STYLES and not (change.how == "rejected" and change.log != report.log):
            click.echo(f"ledger: log {change.log[:8]} {change.how}: {change.reason}".rstrip(": "), err=True)
    return 0


def _pushes_logs(repo: GitDir) -> bool:
    """Say whether the push itself is about refs of logs, as git tells the hook on standard input (githooks(5)).

    It has looked at the remote already (`--mirror`, or `--all` where logs are branches): if these refs moved now, it would fail.
    """
    listed = sys.stdin.buffer.read(_MAX_LIST_BYTES).decode("utf-8", "replace")
    logs = f"{read_prefix(repo)}/logs/"
    return any(line.split(" ")[2:3] and line.split(" ")[2].startswith(logs) for line in listed.split("\n"))


def _setting(repo: GitDir) -> str:
    said = run_git(["config", "--get", "ledger.push"], cwd=repo.git_dir, check=False).decode("utf-8", "replace").strip()
    return said or "auto"


def _json(report: Report) -> dict[str, Any]:
    return {
        "remote": report.remote,
        "log": report.log,
        "logs": report.logs,
        "seen": report.seen,
        "changes": [change._asdict() for change in report.changes],
        "warnings": report.warnings,
        "ok": report.is_well(),
    }


def _print(report: Report, quiet: bool) -> None:
    from ledger.cli.screen import print_lines

    lines = [("yellow", f"warning: {text}") for text in report.warnings]
    for change in report.changes:
        if quiet and change.how not in _STYLES:
            continue
        size = f" {change.size:,} {'record' if change.size == 1 else 'records'}" if change.size is not None else ""
        reason = f": {change.reason}" if change.reason else ""
        whose = " (ours)" if change.log == report.log else ""
        lines.append((_STYLES.get(change.how, ""), f"{change.how:<10} {change.log[:12]}{whose}{size}{reason}"))
    if not quiet:
        witnessed = f", {report.seen} witnessed" if report.seen else ""
        nothing = "" if report.changes else ", nothing to do"
        lines.append(("", f"{report.logs} {'log' if report.logs == 1 else 'logs'} here and on {report.remote}{witnessed}{nothing}"))
    print_lines(lines)
