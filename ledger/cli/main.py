"""`ledger` and `git-ledger`: the options that every command shares, and errors as people should meet them.

Commands are loaded when they are called, one module each, so that `ledger status` does not pay for pygit2.
"""

from __future__ import annotations

import errno
import importlib
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from ledger import __version__
from ledger.errors import LedgerError, NoLedger, NoRepository, RepoError, StoreError
from ledger.repo.gitdir import GitDir, find_repository, how_to_start
from ledger.store.state import Clone, find_clone, find_state

if TYPE_CHECKING:
    from ledger.trace.logs import Logs

COMMANDS = {
    "init": "Start recording in this repository: key, log, git hooks, agent hooks.",
    "deinit": "Take the hooks out again, byte for byte; the log stays.",
    "status": "Where this repository's ledger stands.",
    "doctor": "What is wired, what is not, and what each agent can prove here.",
    "verify": "Check the chain, the signatures and the links to commits.",
    "link": "Tie commits that a forge made to the recorded ones they were made of.",
    "trace": "Who asked, what ran, what changed: of a commit, a line, a session or a range.",
    "blame": "Of each line of a file: its commit, the call that wrote it, and who asked.",
    "stats": "How much was asked, run and written: by agent, person, path and over time.",
    "export": "Write what is known of commits in forms that other tools read.",
    "log": "List entries, with filters.",
    "show": "One entry, its payloads and its signature.",
    "seal": "Publish what was recorded on the log's own ref.",
    "sync": "Exchange sealed logs with a remote; each is verified before it counts.",
    "anchor": "Fix the logs in a signed tag.",
    "prove": "Write a file that proves one entry, and shows no other.",
    "record": "Record facts of any agent.",
    "keys": "Show, enroll, rotate and revoke signing keys.",
    "config": "Read and change settings; changes are recorded.",
    "pause": "Stop recording until `ledger resume`; the pause is recorded.",
    "resume": "Go on recording.",
    "completion": "Print the completion script of a shell.",
}

COMPLETE = "_LEDGER_COMPLETE"  # where a shell says that it wants words completed
_UNWRITABLE = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF, errno.EAGAIN, errno.ECONNRESET, errno.ENXIO),
}


class Place(NamedTuple):
    """Where a command was called, and how it should speak."""

    cwd: str
    state_option: str | None
    debug: bool
    pager: bool

    def repository(self) -> GitDir:
        """Return the repository here. Raises NoRepository."""
        return find_repository(self.cwd)

    def state(self) -> str:
        """Return the state folder that holds, or would hold, this repository's ledger."""
        try:
            common_dir = self.repository().common_dir
        except NoRepository:
            common_dir = None
        return find_state(self.state_option, common_dir)

    def clone(self) -> Clone:
        """Return the clone map of the repository here. Raises NoLedger where `init` never ran."""
        clone = self.clone_if_any()
        if clone is None:
            raise NoLedger(f"{self.repository().common_dir} has no ledger on this machine", remedy=how_to_start(self.repository()))
        return clone

    def logs(self) -> Logs:
        """Return the logs that can be read here. Raises NoLedger where there are none: own, sealed, or another clone's."""
        from ledger.repo.commits import root_commits
        from ledger.trace.logs import Logs

        repo, clone = self.repository(), self.clone_if_any()
        logs = Logs(self.state(), clone, () if clone is not None else root_commits(repo), repo=repo)
        if clone is None and not logs.related():
            logs.__exit__()
            message = f"{repo.common_dir} has no ledger on this machine, and no sealed log"
            raise NoLedger(message, remedy=f"{how_to_start(repo)}, or take what others have with `ledger sync`")
        return logs

    def clone_if_any(self) -> Clone | None:
        """Return the clone map of the repository here, or None where `init` never ran."""
        repository = self.repository()
        return find_clone(self.state(), repository.common_dir, repository.work_tree).clone


class LazyGroup(click.Group):
    """A group that knows its commands' names and loads one when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"ledger.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def enter(folders: Iterable[str]) -> str:
    """Return the folder that one -C after the other leads to, as git(1) takes them: an empty one leads nowhere else."""
    return os.path.realpath(os.path.join(os.getcwd(), *folders))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("-C", "folders", metavar="DIR", multiple=True, help="Act as if started in DIR; several lead on from one another.")
@click.option("--state", "state_option", metavar="DIR", envvar="LEDGER_STATE", help="The state folder, if not the user's own.")
@click.option("--no-pager", is_flag=True, help="Never page the output.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.version_option(__version__, "-V", "--version", message="ledger %(version)s")
@click.pass_context
def group(ctx: click.Context, folders: tuple[str, ...], state_option: str | None, no_pager: bool, debug: bool) -> None:
    """An audit ledger for coding agents: who asked, what ran, what changed, for any commit.

    Exit codes: 0 done, 1 refused or not verified, 2 wrong usage, 3 could not check, or could not write what was found; 130 and 141
    where it was interrupted, or nobody read on.
    """
    place = enter(folders)
    if not os.path.isdir(place):
        raise click.UsageError(f"{' '.join(f'-C {folder}' for folder in folders)}: no such folder")
    ctx.obj = Place(place, state_option, debug, not no_pager)


def main(args: list[str] | None = None) -> None:
    """Run the command line and exit."""
    sys.exit(run(sys.argv[1:] if args is None else args))


def run(args: list[str]) -> int:
    """Run the command line and return its exit code. No traceback reaches anybody without --debug."""
    debug = "--debug" in args
    if sys.stdout is None:  # whatever was opened next would be file 1, and be written into
        _complain("the output cannot be written: standard output is closed", "")
        return 3
    try:
        code = _answer(args, debug)
        sys.stdout.flush()
        return code
    except (click.Abort, KeyboardInterrupt):
        print("\nledger: interrupted", file=sys.stderr)  # on a line of its own, below the terminal's ^C
        return 130
    except BrokenPipeError:  # whoever read our output went away (`ledger log | head`): end as SIGPIPE would end us
        _drop_output()
        return 141
    except OSError as error:
        if debug:
            raise
        with suppress(OSError):
            _complain(f"the output cannot be written: {error.strerror or error}", "")
        _drop_output()
        return 3


def _answer(args: list[str], debug: bool) -> int:
    """Run the command line, say what went wrong, and return the exit code. Raises what the output's other end does to us."""
    try:
        return _call(args)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except (click.Abort, BrokenPipeError):
        raise
    except click.ClickException as error:
        if sys.stderr is not None:
            error.show()
        return error.exit_code
    except LedgerError as error:
        if debug:
            raise
        _complain(error.message, error.remedy)
        return 3 if isinstance(error, (RepoError, NoLedger, StoreError)) else 1
    except Exception as error:  # the last door: our own mistake, said in one line
        if debug or (isinstance(error, OSError) and error.filename is None and error.errno in _UNWRITABLE):
            raise  # of what is open already, and so has no name here, only the output is left: stores say what failed them
        _complain(f"internal error: {type(error).__name__}: {error}", "run again with --debug and report what it prints")
        return 3


def _call(args: list[str]) -> int:
    """Do what click's own `main` does, but for its exit with 1, our word for "not true", where a pipe was closed."""
    instruction = os.environ.get(COMPLETE)
    if instruction:
        from click.shell_completion import shell_complete

        return shell_complete(group, {}, "ledger", COMPLETE, instruction)
    with group.make_context("ledger", list(args)) as ctx:
        result: Any = group.invoke(ctx)
        return result if isinstance(result, int) else 0


def _drop_output() -> None:
    """Let what is still buffered go nowhere; without this the interpreter complains at its exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):  # it may be closed, or no file at all
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _complain(message: str, remedy: str) -> None:
    from ledger.cli.plain import safe

    if sys.stderr is None:
        return
    print(f"ledger: {safe(message)}", file=sys.stderr)
    if remedy:
        print(f"hint: {safe(remedy)}", file=sys.stderr)
