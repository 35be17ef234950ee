"""`ledger verify`: the verifier's answer, as a page or as JSON."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext

import click

from ledger.cli.completing import complete_names
from ledger.cli.evidence import names_nothing
from ledger.cli.main import Place
from ledger.core.note import NoteKey
from ledger.errors import FormatError
from ledger.verify.anchors import parse_witness
from ledger.verify.trailers import RangeError
from ledger.verify.verdict import Report, build_json
from ledger.verify.verifier import Options, verify_repository

_FILE = click.Path(exists=True, dir_okay=False, resolve_path=True)


@click.command()
@click.argument("revisions", metavar="[RANGE | FILE]", required=False, shell_complete=complete_names)
@click.option("--full", is_flag=True, help="Check every signature, on all cores.")
@click.option("--coverage", is_flag=True, help="List commits that have no entry.")
@click.option("--trust", metavar="FILE", type=_FILE, help="Trust the keys in FILE (allowed_signers), no others.")
@click.option("--witness", "witnesses", metavar="KEY", multiple=True, help="Know this witness: <name>+<id>+<base64>.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(
    place: Place, revisions: str | None, full: bool, coverage: bool, trust: str | None, witnesses: tuple[str, ...], as_json: bool
) -> int:
    """Check the logs of this repository: chain, signatures, seals, payloads, commits, and what fixes them from outside.

    RANGE limits the commits whose trailers are looked at, as in `git log`. FILE is a proof that `ledger prove` made. It can be
    checked anywhere; outside of the log's repository --trust must name a file with the key that is to be believed.

    Exit codes: 0 consistent or anchored, 1 incomplete, diverged or invalid, 2 wrong usage, 3 could not check.
    """
    from ledger.cli.prooffile import find_proof, verify_file

    proof = find_proof(place, revisions)
    if proof is not None:
        if full or coverage:
            raise click.UsageError("a proof file is always checked in full, and covers no commits")
        return verify_file(place, proof, trust, witnesses, as_json)
    from ledger.cli.screen import print_json
    from ledger.cli.screen.verify import render_verify, verify_progress

    repository, state = place.repository(), place.state()
    show_progress = sys.stderr.isatty() and not as_json
    with verify_progress() if show_progress else nullcontext(_no_progress) as progress:
        try:
            options = Options(revisions, full, coverage, trust, progress, _parse_witnesses(witnesses))
            report = verify_repository(repository, state, options)
        except RangeError as error:
            file = os.path.lexists(os.path.join(place.cwd, revisions or ""))
            said = f"{error.message}, and the file of that name is no proof file either" if file else error.message
            raise names_nothing(repository, said) from error
    if as_json:
        print_json(build_json(report))
    else:
        render_verify(report)
    return exit_code(report)


def exit_code(report: Report) -> int:
    """Return what the process should exit with."""
    return 0 if report.verdict in ("anchored", "consistent") else 1


def _parse_witnesses(texts: tuple[str, ...]) -> tuple[NoteKey, ...]:
    try:
        return tuple(parse_witness(text) for text in texts)
    except FormatError as error:
        raise click.UsageError(f"--witness: {error.message}") from error


def _no_progress(what: str, done: int, total: int) -> None:
    pass
