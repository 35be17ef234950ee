"""`ledger seal`: publish what was recorded so far on the log's own ref."""

from __future__ import annotations

import sys
from contextlib import nullcontext

import click

from ledger.cli.main import Place
from ledger.recorder import Recorder
from ledger.recording.sealing import Sealed

_HEALED = {
    "": "",
    "restored": "the ref was gone or had gone back, and names the last seal again",
    "adopted": "seals of this log were on the ref that the journal did not know of; it goes on from them",
    "rebuilt": "the seals were gone, so they were made anew from the journal; their checkpoints are the same",
}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(place: Place, as_json: bool) -> None:
    """Seal what was recorded since the last seal: one commit with the records and a signed checkpoint, on the log's own ref.

    It happens by itself at commits, at pushes and where a session ends; this does it now. `ledger sync` takes seals to a remote.
    """
    from ledger.cli.screen import print_json, print_lines
    from ledger.cli.screen.progress import counting

    with Recorder.open(place.cwd, state=place.state(), wait_s=10.0) as recorder:
        before = recorder.clone.log
        with counting("records sealed") if sys.stderr.isatty() and not as_json else nullcontext(_no_progress) as progress:
            sealed = recorder.seal(progress)
    successor = None if sealed.log == before else before
    if as_json:
        print_json({**sealed._asdict(), "predecessor": successor})
    else:
        print_lines([("", line) for line in _say(sealed, successor)])


def _say(sealed: Sealed, predecessor: str | None) -> list[str]:
    lines = []
    if predecessor:
        lines.append(f"the journal of log {predecessor[:8]} had gone back behind its own checkpoints; {sealed.log[:8]} goes on")
    if sealed.healed:
        lines.append(_HEALED[sealed.healed])
    if sealed.foreign:
        lines.append(f"somebody else's commit {sealed.foreign[:12]} lay on the ref; it is kept as a second parent")
    what = f"sealed {sealed.records} {'record' if sealed.records == 1 else 'records'}" if sealed.records else "nothing new to seal"
    tip = "" if sealed.tip is None else f" in {sealed.tip[:12]} on {sealed.ref}"
    return [*lines, f"{what}: log {sealed.log[:8]} is sealed up to {sealed.size}{tip}"]


def _no_progress(done: int) -> None:
    pass
