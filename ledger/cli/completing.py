"""What a shell is offered for an argument that names a revision, or a file: the names of refs, and what lies in the folder.

A shell takes either words of ours or its own file names. So it looks for files itself where no ref fits, and gets those that
fit from here where one does.
"""

from __future__ import annotations

import os
import re

import click
from click.shell_completion import CompletionItem

from ledger.cli.main import enter
from ledger.errors import LedgerError
from ledger.repo.git import run_git
from ledger.repo.gitdir import find_repository

_MOST = 2000  # more than that nobody reads, and a shell is slow to sort
_split_range = re.compile(r"(.*?\.\.\.?|\^)?(.*)", re.DOTALL).fullmatch


def complete_revisions(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """Return the refs that fit, also behind the dots of a range."""
    return [CompletionItem(name) for name in _refs(_folder(ctx), incomplete)]


def complete_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """Return the refs and files that fit, or what lets the shell itself look for files."""
    folder = _folder(ctx)
    refs = _refs(folder, incomplete)
    if not refs and folder == os.getcwd():
        return [CompletionItem(incomplete, type="file")]
    return [CompletionItem(name) for name in dict.fromkeys([*refs, *_files(folder, incomplete)])]


def _folder(ctx: click.Context) -> str:
    """Return the folder that the options so far say to act in."""
    return enter(ctx.find_root().params.get("folders") or ())


def _refs(folder: str, incomplete: str) -> list[str]:
    match = _split_range(incomplete)
    assert match is not None  # it fits any text
    before, begun = match[1] or "", match[2]
    try:
        cwd = find_repository(folder).git_dir
        listed = run_git(["for-each-ref", "--format=%(refname:short)", "refs/heads", "refs/tags", "refs/remotes"], cwd=cwd)
    except LedgerError:
        return []  # nobody wants to read of it while typing
    names = ["HEAD", *listed.decode("utf-8", "replace").splitlines()]
    return [before + name for name in names if name.startswith(begun)][:_MOST]


def _files(folder: str, incomplete: str) -> list[str]:
    """Return the files and folders that fit, as they were begun; hidden ones only where the dot was typed."""
    head, begun = os.path.split(incomplete)
    try:
        with os.scandir(os.path.join(folder, head)) as found:
            names = sorted(entry.name + "/" * entry.is_dir() for entry in found if entry.name.startswith(begun))
    except OSError:
        return []
    return [os.path.join(head, name) for name in names if begun or not name.startswith(".")][:_MOST]
