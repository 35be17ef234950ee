"""`ledger anchor`: fix the logs that are here in something that others hold."""

from __future__ import annotations

import click

from ledger.cli.completing import complete_revisions
from ledger.cli.main import Place
from ledger.core.trailer import format_head
from ledger.recorder import Recorder
from ledger.recording.anchoring import anchor_tag, resolve


@click.command()
@click.argument("commit", default="HEAD", shell_complete=complete_revisions)
@click.option("--tag", "name", metavar="NAME", required=True, help="Make the signed tag NAME; push it, so that others hold it.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(place: Place, commit: str, name: str, as_json: bool) -> None:
    """Seal, and quote the end of every sealed log that is here in a signed tag on COMMIT (HEAD if none is given).

    Whoever fetches the tag can tell from then on whether one of these logs was rewritten or cut: `ledger verify` names the tag as
    an anchor. It is signed with this log's key, which git checks too, once that is enrolled:

    \b
    git -c gpg.ssh.allowedSignersFile=.ledger/allowed_signers verify-tag NAME
    """
    from ledger.cli import screen

    with Recorder.open(place.cwd, state=place.state(), wait_s=10.0) as recorder:
        done = anchor_tag(recorder, name, resolve(recorder.repo, commit))
    if as_json:
        screen.print_json({**done._asdict(), "heads": [format_head(head) for head in done.heads]})
        return
    lines = [("", f"tag {done.tag} on {done.target[:12]} fixes {len(done.heads)} {'log' if len(done.heads) == 1 else 'logs'}:")]
    lines += [("", f"  {head.log[:12]} up to record {head.seq}") for head in done.heads]
    lines.append(("dim", f"now: git push <remote> {done.tag}"))
    screen.print_lines(lines)
