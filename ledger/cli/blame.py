"""`ledger blame <path>`: of each line, its commit, the call that wrote it, and who asked for that."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

import click

from ledger.cli.completing import complete_names
from ledger.cli.evidence import names_nothing, no_lines, open_logs, path_from_root
from ledger.cli.main import Place
from ledger.cli.plain import safe
from ledger.repo.blame import BlamedLine, NoLines, blame_file
from ledger.trace.blame import Blame, BlamedRange, build_blame_of
from ledger.trace.build import resolve_commit


@click.command()
@click.argument("words", metavar="[REV] PATH", nargs=-1, shell_complete=complete_names)
@click.option("-L", "spans", metavar="SPAN", multiple=True, help="Only these lines, as in git: 10,20 or 10,+5 or /text/,+3.")
@click.option("--porcelain", is_flag=True, help="Print what `git blame --porcelain` prints, with ledger-* headers.")
@click.option("--verify", is_flag=True, help="Check the logs first, and show the verdict.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(place: Place, words: tuple[str, ...], spans: tuple[str, ...], porcelain: bool, verify: bool, as_json: bool) -> None:
    """Show who wrote each line of PATH as it is in REV (HEAD if none is given): which call of which agent, and who asked for it.

    Lines that a person wrote are a person's, and what is not known is shown as unknown. What is not committed is not shown.
    """
    if porcelain and as_json:
        raise click.UsageError("--porcelain and --json exclude each other")
    if not 1 <= len(words) <= 2:
        raise click.UsageError("name one file, and before it a revision if it is not HEAD")
    repo = place.repository()
    revision = words[0] if len(words) == 2 else "HEAD"
    oid = resolve_commit(repo, revision)
    if oid is None:
        raise names_nothing(repo, f"{revision!r} names no commit here")
    path = path_from_root(place, repo, words[-1])
    verdict, logs = open_logs(place, verify=verify)
    with logs:
        try:
            blamed = blame_file(repo, oid, path, spans)
        except NoLines as error:
            raise no_lines(repo, oid, path, error) from error
        blame = build_blame_of(repo, logs, oid, path, blamed, verdict)
    if porcelain:
        _print_porcelain(blame, blamed)
    elif as_json:
        from ledger.cli import screen

        screen.print_json(blame)
    else:
        from ledger.cli.screen.blame import render_blame

        render_blame(blame)


def _print_porcelain(blame: Blame, blamed: Sequence[BlamedLine]) -> None:
    """Print what git said, byte for byte, and before the first line of each range what the ledger knows of it.

    To a terminal, which a file's bytes could steer, what is no text goes as escapes.
    """
    seen: set[str] = set()
    headers = {item["range"][0]: "".join(f"{header}\n" for header in _headers(blame, item, seen)) for item in blame["lines"]}
    out, is_terminal = sys.stdout.buffer, sys.stdout.isatty()
    sys.stdout.flush()
    for line in blamed:
        said = b"%b%b\t%b\n" % (line.head, headers.get(line.number, "").encode("utf-8", "backslashreplace"), line.text)
        out.write(safe(said.decode("utf-8", "backslashreplace"), keep_newlines=True).encode() if is_terminal else said)
    out.flush()


def _headers(blame: Blame, item: BlamedRange, seen: set[str]) -> Iterator[str]:
    found = blame["commits"][item["commit"]]
    if item["commit"] not in seen:
        seen.add(item["commit"])
        yield f"ledger-match {found['match']['rung']} {found['match']['recorded_oid'] or '-'} {found['entry'] or '-'}"
    yield f"ledger-by {item['by']}"
    yield f"ledger-link {item['link'] or '-'}"
    if item["call"] is not None:
        cause = blame["calls"][item["call"]]
        yield f"ledger-call {item['call']}"
        yield f"ledger-agent {safe(cause['call']['agent'] or 'unknown')}"
        if cause["prompt"] is not None:
            who = blame["prompts"][cause["prompt"]]["who"]
            yield f"ledger-prompt {cause['prompt']}"
            yield f"ledger-asked {safe(who['principal'] or who['name'] or 'unknown')} {who['basis']}"
    if item["why"] is not None:
        yield f"ledger-unknown {item['why']}"
