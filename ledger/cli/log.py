"""`ledger log`: list entries, newest first as git does."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator

import click

from ledger.cli.lookup import entry_json, find_log, parse_span
from ledger.cli.main import Place
from ledger.index.search import Query
from ledger.trace.logs import Log


@click.command()
@click.option("--log", "prefix", metavar="ID", help="The log, by its name or the beginning of it; this clone's if not given.")
@click.option("--kind", metavar="KIND", help="Only this kind; `tool.*` takes a family.")
@click.option("--session", metavar="ID", help="Only sessions whose name begins so.")
@click.option("--actor", metavar="NAME", help="Only what this type of actor, or this agent or tool, did.")
@click.option("--path", "path", metavar="PATH", help="Only commits that changed PATH or below it, and the calls linked to them.")
@click.option("--since", metavar="TIME", help="Only from TIME on: 2026-01-02, 2026-01-02T03:04 … (UTC).")
@click.option("--until", metavar="TIME", help="Only up to and including TIME.")
@click.option("--tool", metavar="NAME", help="Only calls of this tool.")
@click.option("--host", metavar="NAME", help="Only network decisions about this destination.")
@click.option("--decision", metavar="WORD", help="Only decisions that came out so.")
@click.option("--grep", metavar="TEXT", help="Only entries with TEXT in their bytes or in a payload that is here; any case.")
@click.option("-n", "limit", metavar="N", type=click.IntRange(min=0), help="At most N entries.")
@click.option("--reverse", is_flag=True, help="Oldest first.")
@click.option("--raw", is_flag=True, help="Print the records' bytes, one a line, oldest first, and nothing else.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(
    place: Place,
    /,
    prefix: str | None,
    grep: str | None,
    limit: int | None,
    reverse: bool,
    raw: bool,
    as_json: bool,
    **wanted: str | None,
) -> None:
    """List the entries of a log, newest first."""
    if raw and as_json:
        raise click.UsageError("--raw and --json exclude each other")
    since, until = parse_span(wanted["since"], wanted["until"])
    path = None if wanted["path"] is None else os.fsencode(wanted["path"]).decode("utf-8", "replace")  # entries are UTF-8
    query = Query(**{**wanted, "since": since, "until": until, "path": path})
    with place.logs() as logs:
        log = find_log(logs, prefix)
        seqs = _limited(_matching(log, query, grep, newest_first=not (reverse or raw)), limit)
        if raw:
            _print_raw(log, seqs)
        elif as_json:
            _print_json(log, seqs)
        else:
            _print_lines(place, log, seqs)


def _matching(log: Log, query: Query, grep: str | None, *, newest_first: bool) -> Iterator[int]:
    needle = None if grep is None else grep.casefold()
    for seq in log.index.find(query, newest_first=newest_first):
        if needle is None or _contains(log, seq, needle):
            yield seq


def _contains(log: Log, seq: int, needle: str) -> bool:
    record = log.reader.record(seq) or b""
    if needle in record.decode("utf-8", "replace").casefold():
        return True
    entry = log.entry(seq)
    payloads = [log.words(entry, ref.name) for ref in entry.payloads] if entry is not None else []
    return any(isinstance(text, str) and needle in text.casefold() for text in payloads)


def _limited(seqs: Iterator[int], limit: int | None) -> Iterator[int]:
    for number, seq in enumerate(seqs):
        if limit is not None and number >= limit:
            return
        yield seq


def _print_raw(log: Log, seqs: Iterator[int]) -> None:
    for seq in seqs:
        record = log.reader.record(seq)
        if record is not None:
            sys.stdout.buffer.write(record + b"\n")
    sys.stdout.buffer.flush()


def _print_json(log: Log, seqs: Iterator[int]) -> None:
    """Print an array, one entry a line, as they are found."""
    from ledger.cli.screen import json_text

    before = "[\n"
    for seq in seqs:
        entry = log.entry(seq)
        value = {"entry": log.ref(seq), "unreadable": True} if entry is None else entry_json(log, entry)
        sys.stdout.write(before + json_text(json.dumps(value, ensure_ascii=False)))
        before = ",\n"
    sys.stdout.write("[]\n" if before == "[\n" else "\n]\n")
    sys.stdout.flush()


def _print_lines(place: Place, log: Log, seqs: Iterator[int]) -> None:
    from ledger.cli.screen.entries import entry_line, print_entry_lines

    lines = (entry_line(log, seq) for seq in seqs)
    if place.pager and sys.stdout.isatty():
        # As git does: quit at once if it fits the screen, keep colours, leave it on the screen.
        os.environ.setdefault("LESS", "FRX")
        click.echo_via_pager((line + "\n" for line in lines), color=True)
    else:
        print_entry_lines(lines)
