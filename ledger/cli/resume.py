"""`ledger resume`: go on recording after `ledger pause`."""

from __future__ import annotations

import json

import click

from ledger.cli.main import Place
from ledger.recorder import Recorder
from ledger.recording.events import resume_here
from ledger.recording.writer import Writer
from ledger.repo.gitdir import GitDir
from ledger.store.pausing import NOT_PAUSED, NOTE


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(place: Place, as_json: bool) -> None:
    """Go on recording in this clone.

    What happened meanwhile is not recorded afterwards: commits of that time stay without entries, and
    `ledger verify --coverage` lists them.
    """
    repo = place.repository()
    with Recorder.open(place.cwd, state=place.state(), wait_s=10.0) as recorder:
        seq = recorder.append(lambda writer: _resume(writer, repo))
    name = None if seq is None else f"{recorder.clone.log}/{seq}"
    if as_json:
        click.echo(json.dumps({"paused": False, "entry": name}))
    else:
        click.echo("recording was not paused" if name is None else f"recording goes on ({name})")


def _resume(writer: Writer, repo: GitDir) -> int | None:
    if not writer.journal.is_paused():
        return None
    seq = writer.append("recording.resumed", source="cli", actor={"type": "unknown"})
    writer.journal.set_meta(NOTE, NOT_PAUSED)
    resume_here(writer, repo)
    return seq
