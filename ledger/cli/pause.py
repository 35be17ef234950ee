"""`ledger pause`: stop recording, on the record."""

from __future__ import annotations

import json

import click

from ledger.cli.main import Place
from ledger.core.fact import PayloadData
from ledger.recorder import Recorder
from ledger.recording.writer import Writer
from ledger.store.pausing import NOTE


@click.command()
@click.option("-m", "--reason", help="Why; kept as a payload of the entry.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(place: Place, reason: str | None, as_json: bool) -> None:
    """Stop recording in this clone until `ledger resume`.

    The pause is itself an entry, so `ledger verify` and `ledger trace` say that there was one.
    """
    with Recorder.open(place.cwd, state=place.state(), wait_s=10.0) as recorder:
        seq = recorder.append(lambda writer: _pause(writer, reason))
    name = None if seq is None else f"{recorder.clone.log}/{seq}"
    if as_json:
        click.echo(json.dumps({"paused": True, "entry": name}))
    else:
        click.echo("recording was paused already" if name is None else f"recording is paused ({name}); `ledger resume` goes on")


def _pause(writer: Writer, reason: str | None) -> int | None:
    if writer.journal.is_paused():
        return None
    payloads = {"reason": PayloadData(reason.encode("utf-8", "replace"), "text/plain")} if reason else {}
    seq = writer.append("recording.paused", source="cli", actor={"type": "unknown"}, payloads=payloads)
    writer.journal.set_meta(NOTE, str(seq))
    return seq
