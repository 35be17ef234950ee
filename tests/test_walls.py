"""The direction of imports: which room may know which, and where each heavy library lives.

errors ← core ← store ← recorder ← hook;  agents see core;  repo sees errors and core;  verify shares only core and the store's
readers with the writer;  index and trace read the store;  cli imports anything and nothing imports it.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "ledger"

# A module is held to the longest name here that it is or lies under. `ledger` itself, which holds the version, is free to all.
_READERS = ("ledger.store.reader", "ledger.store.state", "ledger.store.pins")
_WRITER = ("ledger.errors", "ledger.core", "ledger.store", "ledger.agents", "ledger.repo", "ledger.recorder", "ledger.recording")
_ANSWERS = ("ledger.errors", "ledger.core", "ledger.store", "ledger.repo", "ledger.index", "ledger.trace", "ledger.verify")
ROOMS: dict[str, tuple[str, ...]] = {
    "ledger": ("ledger.recorder",),  # the public API, loaded on first use
    "ledger.__main__": ("ledger.cli",),
    "ledger.errors": (),
    "ledger.core": ("ledger.errors", "ledger.core"),
    "ledger.agents": ("ledger.errors", "ledger.core", "ledger.agents"),
    "ledger.store": ("ledger.errors", "ledger.core", "ledger.store"),
    "ledger.repo": ("ledger.errors", "ledger.core", "ledger.repo"),
    "ledger.recorder": _WRITER,
    "ledger.recording": _WRITER,
    "ledger.hook": _WRITER,
    "ledger.receive": (*_WRITER, "ledger.receive"),
    "ledger.verify": ("ledger.errors", "ledger.core", "ledger.verify", "ledger.repo", *_READERS),
    "ledger.index": _ANSWERS,
    "ledger.trace": _ANSWERS,
    "ledger.export": (*_ANSWERS, "ledger.export"),
    "ledger.sync": (
        "ledger.errors",
        "ledger.core",
        "ledger.store",
        "ledger.repo",
        "ledger.recorder",
        "ledger.recording",
        "ledger.verify",
        "ledger.sync",
    ),
    "ledger.install": ("ledger.errors", "ledger.core", "ledger.store", "ledger.repo", "ledger.agents", "ledger.install"),
    "ledger.cli": ("ledger",),
}
HOMES: dict[str, tuple[str, ...]] = {
    "click": ("ledger.cli",),
    "cryptography": ("ledger.core.ed25519",),
    "google": ("ledger.receive.protobuf",),
    "opentelemetry": ("ledger.receive.protobuf",),
    "orjson": ("ledger.verify", "ledger.index", "ledger.trace", "ledger.receive"),
    "pygit2": ("ledger.repo",),
    "rich": ("ledger.cli.screen",),
    "sqlite_utils": ("ledger.index",),
}
DOORS = ("ledger.hook", "ledger.recorder")  # what they reach must start fast
OUTER_OF_DOORS = {"cryptography"}


class Import(NamedTuple):
    """`module` imports `target`, on `line`."""

    module: str
    line: int
    target: str


def read_sources(package: Path) -> dict[str, str]:
    """Return the source of every module under `package`, by its dotted name."""
    sources = {}
    for path in sorted(package.rglob("*.py")):
        parts = [package.name, *path.relative_to(package).with_suffix("").parts]
        sources[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path.read_text("utf-8")
    return sources


def find_imports(sources: Mapping[str, str], known: Collection[str] = ()) -> Iterator[Import]:
    """Yield every import in `sources`, at whatever depth, also those by importlib with a literal name.

    `known` are the names of further modules.
    """
    modules = {*sources, *known}
    for module, source in sources.items():
        for node in ast.walk(ast.parse(source)):
            for target in targets_of(node, modules):
                yield Import(module, getattr(node, "lineno", 0), target)


def targets_of(node: ast.AST, modules: Collection[str]) -> list[str]:
    """Return what `node` imports: `from a import b` means the module a.b where there is one, else a."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = "." * node.level + (node.module or "")
        return [name if (name := f"{base}.{alias.name}") in modules else base for alias in node.names]
    if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("import_module", "__import__"):
        return [arg.value for arg in node.args[:1] if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
    return []


def is_under(name: str, roots: tuple[str, ...]) -> bool:
    """Say whether `name` is one of `roots` or lies under one."""
    return any(name == root or name.startswith(root + ".") for root in roots)


def check_import(each: Import) -> str | None:
    """Return what is wrong with an import, or None."""
    outer = each.target.partition(".")[0]
    where = f"{each.module}:{each.line} imports {each.target}"
    if each.target.startswith("."):
        return f"{where}: imports are absolute"
    if outer in HOMES and not is_under(each.module, HOMES[outer]):
        return f"{where}: {outer} lives in {', '.join(HOMES[outer])}"
    if outer != "ledger":
        return None if outer in HOMES or outer in sys.stdlib_module_names else f"{where}: not a library that we depend on"
    room = max((name for name in ROOMS if is_under(each.module, (name,))), key=len)
    if room == "ledger" and each.module != "ledger":
        return f"{where}: {each.module} is in no room"
    if each.target != "ledger" and not is_under(each.target, ROOMS[room]):
        return f"{where}: {room} may see {', '.join(ROOMS[room]) or 'nothing'}"
    return None


def find_violations(sources: Mapping[str, str], known: Collection[str] = ()) -> list[str]:
    """Return everything in `sources` that goes through a wall."""
    return [problem for each in find_imports(sources, known) if (problem := check_import(each)) is not None]


def outer_libraries(door: str, sources: Mapping[str, str]) -> dict[str, str]:
    """Return the libraries outside the standard one that `door` reaches at any depth, each with the module that imports it."""
    imports: dict[str, set[str]] = {}
    for each in find_imports(sources):
        imports.setdefault(each.module, set()).add(each.target)
    seen, waiting, found = set(), [door], {}
    while waiting:
        module = waiting.pop()
        if module in seen:
            continue
        seen.add(module)
        for target in imports.get(module, ()):
            outer = target.partition(".")[0]
            if outer == "ledger":
                waiting.append(target)
            elif outer not in sys.stdlib_module_names:
                found[outer] = module
    return found


def test_no_import_goes_through_a_wall() -> None:
    """Every import of every module keeps to its room's list, and every heavy library to its home."""
    sources = read_sources(PACKAGE)
    assert {"ledger", "ledger.errors", "ledger.core.entry", "ledger.hook"} <= set(sources)
    assert find_violations(sources) == []


@pytest.mark.parametrize("door", DOORS)
def test_the_doors_reach_nothing_heavy(door: str) -> None:
    """Whatever a hook may come to import is ours, the standard library's, or Ed25519."""
    found = outer_libraries(door, read_sources(PACKAGE))
    assert {name: module for name, module in found.items() if name not in OUTER_OF_DOORS} == {}


def test_every_module_has_a_room() -> None:
    """A new folder under the package must be given a place in the table."""
    homeless = [name for name in read_sources(PACKAGE) if name != "ledger" and not is_under(name, tuple(set(ROOMS) - {"ledger"}))]
    assert homeless == []


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("ledger.errors", "import ledger.core.text"),
        ("ledger.core.entry", "from ledger.store import reader"),
        ("ledger.core.entry", "from ledger.store.reader import JournalReader"),
        ("ledger.core.chain", "from cryptography.exceptions import InvalidSignature"),
        ("ledger.agents.codex", "from ledger.repo import git"),
        ("ledger.store.state", "from ledger.recorder import Recorder"),
        ("ledger.store.state", "import sqlite_utils"),
        ("ledger.repo.git", "from ledger.store import state"),
        ("ledger.recorder", "import ledger.verify.verdict"),
        ("ledger.recording.events", "from ledger.cli.main import Place"),
        ("ledger.hook", "import click"),
        ("ledger.verify.chain", "from ledger.store.journal import Journal"),
        ("ledger.verify.chain", "import ledger.store"),
        ("ledger.verify.chain", "import ledger.index.rows"),
        ("ledger.verify.chain", "import pygit2"),
        ("ledger.index.rows", "from ledger.recorder import Recorder"),
        ("ledger.trace.build", "from rich.table import Table"),
        ("ledger.trace.build", "from ledger import cli"),
        ("ledger.install.files", "import ledger.hook"),
        ("ledger.cli.trace", "from rich.table import Table"),
        ("ledger.cli.trace", "import orjson"),
        ("ledger.core.text", "from . import entry"),
        ("ledger.core.text", "from .entry import Entry"),
        ("ledger.core.text", "import requests"),
        ("ledger.newcomer", "import ledger.errors"),
        ("ledger.core.text", "def late():\n    import ledger.store.reader"),
        ("ledger.core.text", "import importlib\nimportlib.import_module('ledger.store.reader')"),
        (
            "ledger.core.text",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ledger.store.reader import JournalReader",
        ),
    ],
)
def test_a_planted_violation_is_caught(module: str, line: str) -> None:
    """The checker can fail: one bad line in an otherwise good module is one finding that names the module."""
    sources = read_sources(PACKAGE)
    planted = {module: sources.get(module, "") + "\n" + line + "\n"}
    (problem,) = find_violations(planted, sources)
    assert problem.startswith(module + ":")


def test_a_heavy_library_behind_three_modules_is_caught() -> None:
    """What a door reaches is followed through our own modules."""
    sources = {
        "ledger.hook": "import ledger.a",
        "ledger.a": "def late():\n    from ledger import b",
        "ledger.b": "from ledger.c import x",
        "ledger.c": "import pygit2",
    }
    assert outer_libraries("ledger.hook", sources) == {"pygit2": "ledger.c"}
