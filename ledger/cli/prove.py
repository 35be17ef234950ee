"""`ledger prove <entry>`: a file that shows one entry to somebody who has nothing else of the log."""

from __future__ import annotations

import os
import sys

import click

from ledger.cli.lookup import split_reference
from ledger.cli.main import Place
from ledger.core.merkle import format_hash
from ledger.core.proof import format_proof
from ledger.errors import NoLedger, Refused, StoreError
from ledger.repo.gitdir import GitDir
from ledger.repo.seals import list_tips, read_prefix
from ledger.store.reader import JournalReader
from ledger.store.state import journal_path
from ledger.trace.proving import prove_entry

MAX_LOGS = 100_000


@click.command()
@click.argument("entry")
@click.option("-o", "--output", metavar="FILE", type=click.Path(dir_okay=False), help="Write to FILE, not to standard output.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(place: Place, entry: str, output: str | None, as_json: bool) -> None:
    """Prove the sealed entry named ENTRY: <log>/<seq>, or <seq> in this clone's log. The beginning of a log's name is enough.

    The proof holds the record, a signed checkpoint, and hashes: nothing of any other entry, and no payloads. `ledger verify FILE
    --trust SIGNERS` checks it anywhere, without the repository; SIGNERS is a file like its .ledger/allowed_signers.
    """
    repo = place.repository()
    prefix = read_prefix(repo)
    own = _own(place)
    named, seq = split_reference(entry)
    log = _find_log(repo, prefix, own, named)
    remedy = "run `ledger seal`" if log == own else "run `ledger sync`; where nothing comes, its writer has not sealed it yet"
    try:
        made = prove_entry(repo, prefix, log, seq, remedy)
    except Refused:
        _check_exists(place.state(), log, seq)
        raise
    data = format_proof(made.proof)
    checkpoint, found = made.proven.checkpoint.checkpoint, made.proven.record.entry
    if output is not None:
        _write(os.path.join(place.cwd, output), data)
    if not as_json and output is None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    from ledger.cli import screen
    from ledger.cli.screen.blame import many
    from ledger.cli.screen.status import render_rows

    value = {"log": log, "seq": seq, "kind": found.kind, "at": found.at, "size": checkpoint.size, "key": found.key}
    if as_json:
        proof = None if output is not None else data.decode("utf-8")
        screen.print_json({**value, "root": format_hash(checkpoint.root), "file": output, "proof": proof})
    else:
        render_rows(
            [
                ("proven", f"{log}/{seq}, {found.kind}"),
                ("under", f"a checkpoint of {many(checkpoint.size, 'record')}"),
                ("in", output),
            ]
        )


def _check_exists(state: str, log: str, seq: int) -> None:
    """Raise UsageError where the log's journal is here and has no such entry: sealing would not bring it."""
    path = journal_path(state, log)
    if os.path.exists(path):
        with JournalReader(path) as journal:
            if journal.record(seq) is None:
                raise click.UsageError(f"{log}/{seq} does not exist: the log's last entry is {journal.last_seq()}")


def _own(place: Place) -> str | None:
    clone = place.clone_if_any()
    return None if clone is None else clone.log


def _find_log(repo: GitDir, prefix: str, own: str | None, named: str | None) -> str:
    """Return the log whose name begins with `named`, or this clone's. Raises UsageError where that is none or several."""
    if named is None:
        if own is None:
            raise NoLedger("this clone has no log of its own", remedy="name the entry's log too: ledger prove <log>/<seq>")
        return own
    names = {*list_tips(repo, f"{prefix}/logs", MAX_LOGS), *([own] if own else [])}
    found = sorted(name for name in names if name.startswith(named))
    if len(found) != 1:
        said = f"{len(found)} logs here begin with it: {', '.join(found[:5])}" if found else "no log here begins with it"
        raise click.UsageError(f"{named!r} names no log: {said}")
    return found[0]


def _write(path: str, data: bytes) -> None:
    try:
        with open(path, "wb") as file:
            file.write(data)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}", remedy="name another file with -o") from error
