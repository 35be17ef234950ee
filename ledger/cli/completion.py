"""`ledger completion SHELL`: the script that completes ledger's commands, options, revisions and files."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

# Git's own completion calls this for `git ledger …`, with `words` and `cword`, and itself adds no space behind a word.
_GIT_LEDGER = """
_git_ledger() {
    local at=1 number
    COMPREPLY=()
    while (( at < cword )) && [[ ${words[at]} != ledger ]]; do (( at++ )); done
    local COMP_WORDS=("${words[@]:at}") COMP_CWORD=$(( cword - at ))
    _ledger_completion ledger
    for number in "${!COMPREPLY[@]}"; do
        [[ ${COMPREPLY[number]} == */ ]] || COMPREPLY[number]+=" "
    done
}
"""


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the completion script of a shell: of commands and options, and of revisions and files where they are wanted.

    For bash: `eval "$(ledger completion bash)"` in ~/.bashrc; likewise for zsh; for fish, pipe it to `source`.
    In bash it completes `git ledger` as well, where git's own completion is loaded.
    """
    from ledger.cli.main import COMPLETE, group

    completion = get_completion_class(shell)
    assert completion is not None  # click has these three
    click.echo(completion(group, {}, "ledger", COMPLETE).source() + (_GIT_LEDGER if shell == "bash" else ""))
