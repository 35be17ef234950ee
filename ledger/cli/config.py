"""`ledger config`: settings. Those that could weaken recording count only in the clone map, and their changes are recorded."""

from __future__ import annotations

import json
import os
from typing import Any

import click

from ledger.cli.main import Place
from ledger.cli.plain import safe
from ledger.core.seal import PREFIX, parse_prefix
from ledger.errors import Refused
from ledger.install.githooks import switch_trailer
from ledger.recorder import Recorder
from ledger.recording.writer import Writer
from ledger.repo.git import run_git
from ledger.store.state import write_clone

# The guarded ones live in the clone map, where no agent can write; git's configuration has a copy to look at.
GUARDED = {
    "required": "Block the agent (exit 2) when an event cannot be recorded.",
    "store": "Where the journal rests: state (this user's state folder) or git (the common dir). Set by `init`.",
    "trailer": "Add a Ledger-Entry line to commit messages.",
}
PLAIN = {
    "trust": "An allowed_signers file that `verify` trusts.",
    "seal": "detached (the default): sealing does not hold up a commit. inline: it is done before the hook ends.",
    "push": "auto (the default): `git push` exchanges sealed logs too. manual: only `ledger sync`. never: nothing is ever pushed.",
    "refPrefix": "Where the refs of logs lie: refs/ledger, or for forges that protect branches only, refs/heads/ledger.",
}
_WORDS = {"seal": ("detached", "inline"), "push": ("auto", "manual", "never")}
_DEFAULTS = {"seal": "detached", "push": "auto", "refPrefix": PREFIX}
NAMES = {**GUARDED, **PLAIN}


@click.command()
@click.argument("name", required=False, type=click.Choice(list(NAMES)))
@click.argument("value", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(place: Place, name: str | None, value: str | None, as_json: bool) -> None:
    """Show settings, or change one: `ledger config required true`.

    \b
    required   block the agent (exit 2) when an event cannot be recorded
    store      where the journal rests: state or git; set by `ledger init --store`
    trailer    add a Ledger-Entry line to commit messages
    trust      an allowed_signers file that `ledger verify` trusts
    seal       detached: sealing does not hold up a commit; inline: it is done before the hook ends
    push       auto: `git push` exchanges sealed logs too; manual: only `ledger sync`; never: nothing is pushed
    refPrefix  where the refs of logs lie: refs/ledger, or refs/heads/ledger for forges that protect branches only

    A change of required or trailer is recorded, and counts only as made here: editing git's configuration changes nothing.
    """
    if name is not None and value is not None:
        _change(place, name, value)
    found = _settings(place)
    if name is not None:
        found = {name: found[name]}
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        for key, setting in found.items():
            click.echo(f"{key} = {safe(_shown(setting))}")


def _change(place: Place, name: str, value: str) -> None:
    repo = place.repository()
    if name in PLAIN:
        run_git(["config", "--local", f"ledger.{name}", _plain(place, name, value)], cwd=repo.git_dir)
        return
    if name == "store":
        raise Refused("a log stays where it was opened", remedy="another clone can choose: `ledger init --store …`")
    wanted = _boolean(value)
    with Recorder.open(place.cwd, state=place.state(), wait_s=10.0) as recorder:
        before = recorder.clone.settings.get(name)
        if before != wanted:
            # The entry first: a crash between the two leaves a setting that is stricter or laxer than said, for one command.
            recorder.append(lambda writer: _record_change(writer, name, before, wanted))
            write_clone(recorder.state, recorder.clone._replace(settings={**recorder.clone.settings, name: wanted}))
    if name == "trailer":
        switch_trailer(repo.common_dir, wanted)
    run_git(["config", "--local", f"ledger.{name}", "true" if wanted else "false"], cwd=repo.git_dir)


def _plain(place: Place, name: str, value: str) -> str:
    """Return what git's configuration is to hold. Raises UsageError or FormatError for a value that means nothing."""
    if name == "trust":
        return os.path.abspath(os.path.join(place.cwd, value))
    if name == "refPrefix":
        return parse_prefix(value)
    if value not in _WORDS[name]:
        raise click.UsageError(f"{value!r} is not one of {', '.join(_WORDS[name])}")
    return value


def _record_change(writer: Writer, name: str, before: Any, after: bool) -> None:
    body = {"scope": "recording", "setting": name, "before": before, "after": after}
    writer.append("boundary.declared", source="cli", body=body)


def _settings(place: Place) -> dict[str, Any]:
    clone = place.clone()
    found: dict[str, Any] = {name: clone.settings.get(name) for name in GUARDED}
    for name in PLAIN:
        said = run_git(["config", "--null", "--get", f"ledger.{name}"], cwd=clone.common_dir, check=False)
        found[name] = said.rstrip(b"\0").decode("utf-8", "replace") or _DEFAULTS.get(name)
    return found


def _boolean(value: str) -> bool:
    words = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
    if value.lower() not in words:
        raise click.UsageError(f"{value!r} is neither true nor false")
    return words[value.lower()]


def _shown(setting: Any) -> str:
    if isinstance(setting, bool):
        return "true" if setting else "false"
    return "" if setting is None else str(setting)
