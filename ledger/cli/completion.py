"""`ledger completion SHELL`: the script that completes ledger's commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the completion script of a shell.

    For bash: `eval "$(ledger completion bash)"` in ~/.bashrc; likewise for zsh; for fish, pipe it to `source`.
    """
    from ledger.cli.main import COMPLETE, group

    completion = get_completion_class(shell)
    assert completion is not None  # click has these three
    click.echo(completion(group, {}, "ledger", COMPLETE).source())
