"""What the command line promises of every command: help, JSON, and a word in the documentation."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from ledger.cli.main import COMMANDS, run

ROOT = Path(__file__).resolve().parents[2]
NO_JSON = {"completion", "record mcp"}  # one prints a program for a shell; the other's output is the server's


def leaves() -> Iterator[tuple[str, click.Command]]:
    """Yield each command that does something, under the words that call it."""
    for name in COMMANDS:
        command = importlib.import_module(f"ledger.cli.{name}").command
        if isinstance(command, click.Group):
            yield from ((f"{name} {inner}", found) for inner, found in command.commands.items())
        else:
            yield name, command


LEAVES = dict(leaves())


@pytest.mark.parametrize("words", LEAVES)
def test_every_command_explains_itself(words, capsys):
    """`--help` exits 0, outside any repository too, and says what each option does."""
    assert run([*words.split(), "--help"]) == 0
    assert "Usage: ledger " + words in capsys.readouterr().out
    silent = [
        param.name for param in LEAVES[words].params if isinstance(param, click.Option) and not param.help and not param.hidden
    ]
    assert silent == []


@pytest.mark.parametrize("words", ["--help", "export --help", "keys --help", "record --help"])
def test_lists_of_commands_break_off_nowhere(words, capsys):
    """Each command's line ends with its own full stop."""
    assert run(words.split()) == 0
    listed = capsys.readouterr().out.partition("Commands:\n")[2].splitlines()
    assert listed[-1].endswith(".") and not any(line.endswith("...") for line in listed)


@pytest.mark.parametrize("words", [words for words in LEAVES if words not in NO_JSON])
def test_every_command_speaks_json(words):
    """Whatever prints for people can print for programs."""
    assert "--json" in {option for param in LEAVES[words].params for option in param.opts}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_readme(name):
    """A command that the README does not name does not exist for anybody."""
    assert f"ledger {name}" in (ROOT / "README.md").read_text()
