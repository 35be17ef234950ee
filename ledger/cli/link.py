"""`ledger link <range>`: write down which recorded commits the commits of a default branch were made of."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from typing import Any

import click

from ledger.cli.completing import complete_revisions
from ledger.cli.evidence import names_nothing
from ledger.cli.keys import keys_of_log
from ledger.cli.main import Place
from ledger.errors import RepoError
from ledger.recorder import Recorder
from ledger.recording.links import Link, record_links
from ledger.repo.gitdir import GitDir
from ledger.repo.ranges import list_commits
from ledger.trace.linking import Found, find_links
from ledger.verify.trust import read_trust


@click.command()
@click.argument("revisions", metavar="RANGE", shell_complete=complete_revisions)
@click.option("--dry-run", is_flag=True, help="Only say what would be linked.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(place: Place, revisions: str, dry_run: bool, as_json: bool) -> None:
    """Link the commits of RANGE that were made where no hook runs (a forge's squash or rebase) to the recorded ones.

    For a job that runs after a merge: `ledger sync && ledger link HEAD~1..HEAD && ledger sync`. Each link says on which rung of the
    ladder it rests; an ambiguous match is listed, and never linked. Linking again writes nothing twice.
    """
    from ledger.cli.screen import print_json, print_lines
    from ledger.cli.screen.progress import counting

    repo = place.repository()
    place.clone()  # links go into this clone's own log
    if revisions.startswith("-"):
        raise click.UsageError(f"{revisions!r} is no range of commits")
    try:
        oids = list_commits(repo, [revisions])
    except RepoError as error:
        raise names_nothing(repo, f"{revisions!r} names no commits here") from error
    shown = counting("commits looked at") if sys.stderr.isatty() and not as_json else nullcontext(_no_progress)
    with place.logs() as logs, shown as progress:
        found = find_links(repo, logs, oids, progress)
    links = [Link(old, item.oid, item.match.rung) for item in found if item.is_linkable for old in _olds(item)]
    entries: list[str] = []
    if links and not dry_run:
        with Recorder.open(place.cwd, state=place.state(), wait_s=10.0) as recorder:
            entries = [f"{recorder.clone.log}/{seq}" for seq in recorder.append(lambda writer: record_links(writer, links))]
        _warn_unlisted(place, repo)
    if as_json:
        print_json(_as_json(found, entries))
    else:
        print_lines([("", line) for line in _say(found, entries, dry_run)])


def _warn_unlisted(place: Place, repo: GitDir) -> None:
    """Say so where keys are listed here and this log's are not: to whoever verifies, what was just written counts for nothing."""
    trust = read_trust(repo, None)
    listed = trust.committed if trust.given is None else trust.given
    if listed and not all(key in listed for key in keys_of_log(place.state(), place.clone().log)):
        said = "keys are listed here and this log's is not, so its links count for nobody else"
        click.echo(f"warning: {said}: run `ledger keys enroll` and commit .ledger/allowed_signers", err=True)


def _olds(item: Found) -> list[str]:
    return list(dict.fromkeys(recorded.oid for recorded in item.match.recorded))


def _as_json(found: list[Found], entries: list[str]) -> dict[str, Any]:
    return {
        "entries": entries,
        "linked": [
            {"oid": item.oid, "rung": item.match.rung, "confidence": item.match.confidence, "recorded": _olds(item)}
            for item in found
            if item.is_linkable
        ],
        "ambiguous": [
            {
                "oid": item.oid,
                "rung": item.match.rung,
                "candidates": [{"oid": one.oid, "entry": one.log.ref(one.entry.seq)} for one in item.match.recorded],
            }
            for item in found
            if item.match.is_ambiguous
        ],
        "known": [item.oid for item in found if item.is_known],
        "unmatched": [item.oid for item in found if not (item.is_known or item.is_linkable or item.match.is_ambiguous)],
    }


def _say(found: list[Found], entries: list[str], dry_run: bool) -> list[str]:
    lines = []
    for item in found:
        olds = _olds(item)
        if item.is_linkable:
            more = f" and {len(olds) - 1} more" if len(olds) > 1 else ""
            lines.append(f"{item.oid[:12]} is {olds[0][:12]}{more}, by its {item.match.rung} ({item.match.confidence})")
        elif item.match.is_ambiguous:
            fits = ", ".join(oid[:12] for oid in olds[:5])
            lines.append(f"{item.oid[:12]} is ambiguous, and was not linked: {len(olds)} commits fit ({fits})")
    linked = sum(item.is_linkable for item in found)
    known = sum(item.is_known for item in found)
    what = "would be linked" if dry_run else "linked"
    where = f" in {', '.join(entries)}" if entries else ""
    lines.append(f"{linked} of {len(found)} commits {what}{where}; {known} were known before")
    return lines


def _no_progress(done: int) -> None:
    pass
