"""The looks of `ledger status` and `ledger keys`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from ledger.cli.plain import safe
from ledger.cli.screen.texts import DIM, print_page, short


def render_rows(rows: Iterable[tuple[str, Any]]) -> None:
    """Print (name, value) rows; a value is text from wherever, or a `Text` of ours."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style=DIM, no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, value if isinstance(value, Text) else Text(safe(str(value))))
    print_page(table)


def render_status(value: Mapping[str, Any]) -> None:
    """Print where the ledger stands."""
    last, key, pin, pending = value["last"], value["key"], value["pin"], value["pending"]
    waiting = pending["state"] + pending["git"]
    if value["paused"]:
        recording = Text("paused; `ledger resume` goes on", style="yellow")
    else:
        recording = Text(f"on{', and required' if value['required'] else ''}", style="green")
    render_rows(
        [
            ("log", f"{value['log']}{'' if value['clone'] == 'known' else ', clone ' + value['clone']}"),
            ("entries", f"{value['size']:,}"),
            ("last entry", "none" if last is None else f"{short(last['entry'])}  {last['kind']}  {last['at'] or ''}"),
            ("sealed", _sealed(value["sealed"], value["size"])),
            ("recording", recording),
            ("key", Text("missing", style="red") if key is None else f"{key['fingerprint']} in {_storage(key['storage'])}"),
            ("trust", f"{value['trust']}{_trust_note(value['trust'])}"),
            ("verified", "not yet: `ledger verify`" if pin is None else f"{pin['size']:,} entries at {pin['at']}"),
            ("git hooks", _hooks(value["hooks"])),
            ("agents", _agents(value["agents"])),
            ("pending", Text(_waiting(waiting), style="yellow") if waiting else "nothing"),
            ("state", value["state"]),
        ]
    )


def render_keys(values: list[dict[str, Any]]) -> None:
    """Print the keys of this user."""
    rows: list[tuple[str, Any]] = []
    for value in values:
        name = value["fingerprint"] or "damaged"
        rows.append(("key", Text(safe(name), style="bold" if value["fingerprint"] else "red")))
        if value.get("damaged"):
            rows.append(("", value["damaged"]))
        else:
            rows.append(("", value["public_key"]))
            rows.append(("", f"in {_storage(value['storage'])}{', new logs begin with it' if value['current'] else ''}"))
        rows.append(("", "signs " + (", ".join(log[:8] for log in value["logs"]) or "no log")))
    render_rows(rows or [("keys", "none yet: `ledger init` makes one")])


def _waiting(count: int) -> str:
    return f"{count:,} facts wait in the spools" if count > 1 else "one fact waits in the spools"


def _sealed(sealed: Mapping[str, Any], size: int) -> str:
    if sealed["tip"] is None:
        return "nothing yet: `ledger seal`, or the next commit"
    waiting = size - sealed["size"]
    return f"{sealed['size']:,} on {sealed['ref']}" + (f"; {waiting:,} wait for the next commit" if waiting else "")


def _storage(storage: str) -> str:
    return {"file": "a file", "ssh-agent": "the ssh-agent"}.get(storage, storage)


def _trust_note(trust: str) -> str:
    return ": `ledger keys enroll` and commit, so that others can check whose key it is" if trust == "first-use" else ""


def _hooks(hooks: list[Mapping[str, str]]) -> Text:
    if not hooks:
        return Text("not installed: `ledger init`", style="yellow")
    good = [hook for hook in hooks if hook.get("state") == "installed"]
    if len(good) == len(hooks):
        return Text(f"{len(good)} in place", style="green")
    bad = ", ".join(f"{hook.get('hook')} {hook.get('state')}" for hook in hooks if hook not in good)
    return Text(safe(f"{bad}: `ledger doctor` says more"), style="yellow")


def _agents(agents: list[Mapping[str, Any]]) -> Text:
    if not agents:
        return Text("none wired: `ledger init --agents …`", style="yellow")
    said = ", ".join(f"{item['agent']} ({item['scope']}{'' if item['present'] else ', settings gone'})" for item in agents)
    return Text(safe(said), style="green" if all(item["present"] for item in agents) else "yellow")
