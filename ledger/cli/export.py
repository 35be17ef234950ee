"""`ledger export`: what is known of commits, in forms that other tools read."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from typing import IO, Any

import click

from ledger.cli.completing import complete_revisions
from ledger.cli.evidence import names_nothing, open_logs
from ledger.cli.main import Place
from ledger.errors import RepoError, StoreError
from ledger.repo.manycommits import list_commits


@click.group()
def command() -> None:
    """Write what is known of commits in forms that other tools read."""


@command.command("agent-trace", short_help="Who wrote the lines of each commit, as Agent Trace 0.1.0.")
@click.argument("revisions", metavar="[RANGE]", default="HEAD", shell_complete=complete_revisions)
@click.option(
    "-o", "--output", metavar="FILE", type=click.Path(dir_okay=False), help="Write to FILE; - or nothing: standard output."
)
@click.option("--no-verify", is_flag=True, help="Do not check the logs first; the records then say `unchecked`.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON array; without, one record a line.")
@click.pass_obj
def agent_trace(place: Place, revisions: str, output: str | None, no_verify: bool, as_json: bool) -> None:
    """Write who wrote the lines of each commit in RANGE (HEAD: all of its history), in the form of Agent Trace 0.1.0.

    One record a commit, oldest first; commits that nobody recorded have none. Names of entries are in each record's metadata.
    """
    from ledger.export.agent_trace import export_commits

    repo = place.repository()
    try:
        oids = list_commits(repo, [revisions])
    except RepoError as error:
        raise names_nothing(repo, f"{revisions!r} names no commits here: {error.message}") from error
    place.logs().__exit__()  # says what to do where there is nothing to export
    verdict, logs = open_logs(place, verify=not no_verify)
    with logs:
        records = export_commits(repo, logs, oids, verdict)
        if output is None or output == "-":
            _write(sys.stdout, records, as_json=as_json)
            return
        _write_file(os.path.join(place.cwd, output), records, as_json=as_json)


def _write_file(path: str, records: Iterator[dict[str, Any]], *, as_json: bool) -> None:
    """Write the records to what `path` names in the end. Raises StoreError."""
    try:
        count = _write_to(path, records, as_json=as_json)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}", remedy="name another place with -o") from error
    click.echo(f"{count:,} {'record' if count == 1 else 'records'} written", err=True)


def _write_to(path: str, records: Iterator[dict[str, Any]], *, as_json: bool) -> int:
    """Write aside and rename, so that nobody reads half of it; but what is no file (a FIFO, a terminal) is written into.

    Renaming would put a file in the place of a device or a link. So it is the file behind a link that is replaced, and it keeps
    its mode.
    """
    mode = _mode(path)
    if mode is not None and not stat.S_ISREG(mode):
        with open(path, "w", encoding="utf-8") as stream:
            return _write(stream, records, as_json=as_json)
    target = os.path.realpath(path)
    aside = f"{target}.tmp-{os.getpid()}"
    try:
        with open(aside, "x", encoding="utf-8") as file:
            if mode is not None:
                os.fchmod(file.fileno(), stat.S_IMODE(mode))
            count = _write(file, records, as_json=as_json)
        os.replace(aside, target)
    finally:
        if os.path.lexists(aside):
            os.unlink(aside)
    return count


def _mode(path: str) -> int | None:
    """Return the mode of what a path names, behind all links, or None where nothing is there yet."""
    try:
        return os.stat(path).st_mode
    except FileNotFoundError:
        return None


def _write(file: IO[str], records: Iterable[dict[str, Any]], *, as_json: bool) -> int:
    """Write the records as they come, and return how many there were. In ASCII: what could steer a terminal is an escape."""
    count = 0
    for record in records:
        text = json.dumps(record, ensure_ascii=True, separators=(",", ":"))
        file.write(("[\n" if not count else ",\n") + text if as_json else text + "\n")
        count += 1
    if as_json:
        file.write("\n]\n" if count else "[]\n")
    file.flush()
    return count
