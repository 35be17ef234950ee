"""`ledger init`: from here on, what agents do in this repository is recorded."""

from __future__ import annotations

import os
from typing import Any

import click

from ledger.cli.main import Place
from ledger.cli.screen import print_json
from ledger.errors import Refused
from ledger.repo.gitdir import GitDir


@click.command()
@click.option("--agents", metavar="NAMES", help="codex,claude-code,gemini,opencode, all or none; if not given, those found here.")
@click.option("--scope", type=click.Choice(["project", "user"]), default="project", show_default=True, help="Whose agent settings.")
@click.option("--key", metavar="WHERE", help="file (the default), ssh-agent or ssh-agent:SHA256:… for a new log.")
@click.option("--store", type=click.Choice(["state", "git"]), help="Where the journal rests: git if the home folder does not last.")
@click.option(
    "--mcp/--no-mcp", default=None, help="Put `ledger record mcp` before the MCP servers in the agents' settings, or not."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(
    place: Place, agents: str | None, scope: str, key: str | None, store: str | None, mcp: bool | None, as_json: bool
) -> None:
    """Start recording in this repository.

    Makes a signing key and a log, puts git hooks beside those that are there, and merges hooks into the settings of the agents
    found here. Asks nothing, can be repeated, and `ledger deinit` puts every file back. With --mcp, what goes between the agents
    and their MCP servers is recorded, too; that stays so until --no-mcp.
    """
    from ledger.cli.screen.install import render_init
    from ledger.install import installer, interpreter, mcpservers
    from ledger.install.githooks import switch_trailer
    from ledger.recorder import begin_log
    from ledger.store.lock import Lock
    from ledger.store.state import find_clone, state_inside

    repo = place.repository()
    installer.check_repository(repo)
    state = _choose_state(place, repo, store)
    python = interpreter.find_interpreter()
    interpreter.check_interpreter(repo, python)
    interpreter.check_state(repo, state, inside=state_inside(repo.common_dir))
    names = _choose_agents(agents, repo, state)
    installer.plan_install(repo, state, python, names, scope)  # refuses before anything is made
    settings = _first_settings(repo, state) if find_clone(state, repo.common_dir, repo.work_tree).clone is None else {}
    begun = begin_log(repo, state, key=key, settings=settings)
    with Lock(os.path.join(state, "clones", "install.lock"), wait_s=30.0):
        # The proxy lies over the hooks, perhaps in the same files: it goes off before they are looked at, and on again after.
        proxied = mcpservers.installed_scopes(repo, state)
        for each in proxied:
            mcpservers.take_off(repo, state, each)
        if mcp is False:
            mcpservers.remove(repo, state)
        done = installer.install(installer.plan_install(repo, state, python, names, scope))
        wanted = [each for each in mcpservers.SCOPES if (each in proxied or (mcp and each == scope)) and mcp is not False]
        servers = [mcpservers.install(repo, state, python, each) for each in wanted]
    clone = find_clone(state, repo.common_dir, repo.work_tree).clone
    switch_trailer(repo.common_dir, clone is None or bool(clone.settings.get("trailer", True)))
    result = {
        **begun._asdict(),
        "state": state,
        "interpreter": python,
        "scope": scope,
        "agents": done.agents,
        "changed": list(done.changed),
        "notes": list(done.notes),
        "mcp": [found._asdict() for plan in servers for found in plan.found],
        "to_do": _to_do(done.agents),
    }
    if as_json:
        print_json(result)
    else:
        render_init(result)


def _choose_state(place: Place, repo: GitDir, store: str | None) -> str:
    """Return the state folder. Raises Refused where the repository's log rests in the other place already."""
    from ledger.store.state import clone_path, state_inside

    state, inside = place.state(), state_inside(repo.common_dir)
    if store is None:
        return state
    if store == "git" and place.state_option:
        raise click.UsageError("--state and --store git name two places")
    wanted = inside if store == "git" else state
    other = state if store == "git" else inside
    if (os.path.exists(clone_path(other, repo.common_dir)) and other != wanted) or (store == "state" and state == inside):
        raise Refused(
            f"this repository's log rests in {other} already", remedy="leave out --store: a log stays where it was opened"
        )
    return wanted


def _choose_agents(wanted: str | None, repo: GitDir, state: str) -> list[str]:
    """Return the agents to wire, in our order: those named, else those found here and those wired already."""
    from ledger.install.agents import AGENTS, find_agents
    from ledger.install.manifest import read_manifest

    if wanted is None:
        assert repo.work_tree is not None
        names = {*find_agents(repo.work_tree), *read_manifest(state, repo.common_dir).settings}
    elif wanted in ("all", "none"):
        names = set(AGENTS) if wanted == "all" else set()
    else:
        names = {name.strip() for name in wanted.split(",")}
        if unknown := sorted(names - set(AGENTS)):
            raise click.UsageError(f"--agents: {', '.join(unknown)} is not known here; there are {', '.join(AGENTS)}, all and none")
    return [name for name in AGENTS if name in names]


def _first_settings(repo: GitDir, state: str) -> dict[str, Any]:
    """Return the settings that a new log begins with: what git's configuration says now. Later only `ledger config` counts."""
    from ledger.repo.git import run_git
    from ledger.store.state import state_inside

    settings: dict[str, Any] = {"store": "git" if state == state_inside(repo.common_dir) else "state"}
    for name in ("required", "trailer"):
        said = run_git(["config", "--type=bool", "--get", f"ledger.{name}"], cwd=repo.git_dir, check=False).strip()
        if said:
            settings[name] = said == b"true"
    return settings


def _to_do(agents: dict[str, str]) -> list[str]:
    steps = {
        "codex": "open codex in this repository and trust its hooks when it shows `Hooks need review`; see `ledger doctor`",
        "gemini": "gemini warns once of the project's hooks; where folder trust is on, trust this folder, or it reads none of them",
    }
    return [step for agent, step in steps.items() if agent in agents]
