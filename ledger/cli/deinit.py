"""`ledger deinit`: every file that `init` touched, as it was."""

from __future__ import annotations

import os

import click

from ledger.cli.main import Place
from ledger.cli.screen import print_json


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(place: Place, as_json: bool) -> None:
    """Take the hooks out again.

    Puts every file back byte for byte; where somebody changed a file since, only our lines go. The log, its key and the commits'
    trailers stay, so `ledger verify` and `ledger trace` go on working.
    """
    from ledger.cli.screen.install import render_deinit
    from ledger.install import installer, mcpservers
    from ledger.install.manifest import manifest_path
    from ledger.store.lock import Lock

    repo, state = place.repository(), place.state()
    if not os.path.exists(manifest_path(state, repo.common_dir)):
        place.clone()  # raises NoLedger where `init` never ran
    with Lock(os.path.join(state, "clones", "install.lock"), wait_s=30.0):
        proxies = mcpservers.remove(repo, state)
        hooks = installer.remove(repo, state)
    removed = installer.Removed(*(tuple(dict.fromkeys(both)) for both in _both(proxies, hooks)))
    if as_json:
        print_json({name: list(paths) for name, paths in removed._asdict().items()})
    else:
        render_deinit(removed)


def _both(proxies: tuple[tuple[str, ...], ...], hooks: tuple[tuple[str, ...], ...]) -> list[tuple[str, ...]]:
    """Return what was restored, edited and left by both; a file that only one of them put back whole was edited."""
    restored, edited, left = (first + second for first, second in zip(proxies, hooks, strict=True))
    edited = tuple(path for path in edited if path not in left)
    return [tuple(path for path in restored if path not in edited + left), edited, left]
