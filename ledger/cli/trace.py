"""`ledger trace`: who asked, what was planned, ran, was approved, and what changed: of a commit, a line, a session, or a range."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import click

from ledger.cli.completing import complete_names
from ledger.cli.evidence import judge, names_nothing, no_lines, open_logs, path_from_root
from ledger.cli.main import Place
from ledger.errors import RepoError
from ledger.repo.commits import root_commits
from ledger.repo.gitdir import GitDir
from ledger.trace.build import build_trace, resolve_commit
from ledger.trace.logs import Logs

_is_line = re.compile(r"(.+):([1-9][0-9]{0,8})", re.DOTALL).fullmatch
_is_line_zero = re.compile(r".+:0+", re.DOTALL).fullmatch


class _At(NamedTuple):
    """A line of a file at a commit."""

    oid: str
    path: bytes
    number: int


@click.command()
@click.argument("what", metavar="COMMIT | PATH:LINE | BASE..HEAD", default="HEAD", shell_complete=complete_names)
@click.option("--session", metavar="ID", help="Answer for this session instead; the beginning of its name is enough.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--no-verify", is_flag=True, help="Do not check the log first; the verdict is then `unchecked`.")
@click.option("--svg", metavar="FILE", type=click.Path(dir_okay=False, writable=True), hidden=True)
@click.pass_context
def command(ctx: click.Context, what: str, session: str | None, as_json: bool, no_verify: bool, svg: str | None) -> None:
    """Answer for a commit (any revision git understands; HEAD if none is given).

    Who asked, what was planned, what ran with which tools, what was approved, which network rules and sandbox boundary held, what
    changed, and what could not be established. A commit that nobody recorded gets an honest answer, too.

    PATH:LINE (or REV:PATH:LINE) leads from a line, as it is in HEAD or REV, to the call that wrote it and the words that caused
    it; BASE..HEAD sums up a pull request, or any other range.
    """
    place: Place = ctx.obj
    repo = place.repository()
    if session is not None:
        if ctx.get_parameter_source("what") is not click.core.ParameterSource.DEFAULT:
            raise click.UsageError("--session stands alone: name no commit beside it")
        _trace_session(place, repo, session, as_json, verify=not no_verify)
        return
    oid = resolve_commit(repo, what)
    if oid is not None:
        _trace_commit(place, repo, oid, what, as_json, svg, verify=not no_verify)
    elif ".." in what and (line := _find_line(place, repo, what)) is None:
        _trace_range(place, repo, what, as_json, verify=not no_verify)
    elif (line := _find_line(place, repo, what)) is not None:
        _trace_line(place, repo, line, as_json, verify=not no_verify)
    elif _is_line_zero(what):
        raise click.UsageError(f"{what!r} names no line: lines start at 1")
    else:
        raise names_nothing(repo, f"{what!r} names no commit here, no <path>:<line> and no range")


def _trace_commit(place: Place, repo: GitDir, oid: str, named: str, as_json: bool, svg: str | None, *, verify: bool) -> None:
    clone = place.clone_if_any()
    verdict, uncounted = judge(repo, place.state()) if verify else ("unchecked", [])
    with Logs(place.state(), clone, root_commits(repo) if clone is None else (), repo=repo, without=uncounted) as logs:
        trace = build_trace(repo, logs, oid, verdict)
    from ledger.cli.screen.trace import export_trace, render_trace

    if svg is not None:
        export_trace(trace, svg, f"ledger trace {named}")
    _show(trace, render_trace, as_json)


def _find_line(place: Place, repo: GitDir, what: str) -> _At | None:
    """Return the line that `<path>:<line>` or `<rev>:<path>:<line>` names, or None where it has not that form."""
    match = _is_line(what)
    if match is None:
        return None
    named, number = match[1], int(match[2])
    revision, colon, path = named.partition(":")
    oid = resolve_commit(repo, revision) if colon and path else None
    if oid is not None:  # as in git, a path behind a revision begins at the root, unless it begins with a dot
        inside = path_from_root(place, repo, path) if path.startswith(("./", "../")) else os.fsencode(path)
        return _At(oid, inside, number)
    oid = resolve_commit(repo, "HEAD")
    return None if oid is None else _At(oid, path_from_root(place, repo, named), number)


def _trace_line(place: Place, repo: GitDir, at: _At, as_json: bool, *, verify: bool) -> None:
    from ledger.cli.screen.line import render_line
    from ledger.repo.blame import NoLines
    from ledger.trace.blame import build_line

    verdict, logs = open_logs(place, verify=verify)
    with logs:
        try:
            trace = build_line(repo, logs, at.oid, at.path, at.number, verdict)
        except NoLines as error:
            raise no_lines(repo, at.oid, at.path, error) from error
    _show(trace, render_line, as_json)


def _trace_session(place: Place, repo: GitDir, session: str, as_json: bool, *, verify: bool) -> None:
    from ledger.cli.screen.session import render_session
    from ledger.trace.session import build_session, find_sessions

    verdict, logs = open_logs(place, verify=verify)
    with logs:
        found = find_sessions(logs, session) if session else []
        if len(found) != 1:
            names = ", ".join(item.session[:60] for item in found[:5])
            raise click.UsageError(f"{session!r} names {f'more than one session: {names}' if found else 'no session here'}")
        trace = build_session(repo, logs, found[0], verdict)
    _show(trace, render_session, as_json)


def _trace_range(place: Place, repo: GitDir, revisions: str, as_json: bool, *, verify: bool) -> None:
    from ledger.cli.screen.range import render_range
    from ledger.repo.manycommits import list_commits
    from ledger.trace.range import build_range_trace

    try:
        list_commits(repo, [revisions], limit=1)
    except RepoError as error:
        raise names_nothing(repo, f"{revisions!r} names no commits here: {error.message}") from error
    verdict, logs = open_logs(place, verify=verify)
    with logs:
        trace = build_range_trace(repo, logs, revisions, verdict)
    _show(trace, render_range, as_json)


def _show(trace: Mapping[str, Any], render: Any, as_json: bool) -> None:
    if as_json:
        from ledger.cli import screen

        screen.print_json(trace)
    else:
        render(trace)
