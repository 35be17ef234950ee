"""`ledger status`: where this repository's ledger stands."""

from __future__ import annotations

import os
from typing import Any

import click

from ledger.cli.keys import log_signer
from ledger.cli.main import Place
from ledger.core.entry import parse_record
from ledger.core.sshsig import fingerprint
from ledger.errors import FormatError, LedgerError, NoLedger, StoreError
from ledger.repo.gitdir import GitDir, how_to_start
from ledger.store import state as places
from ledger.store.pins import Pin, read_pins
from ledger.store.reader import JournalReader


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(place: Place, as_json: bool) -> None:
    """Say which log this clone writes, how far it is, who signs, what is wired, and what waits."""
    value = build_status(place.repository(), place.state())
    from ledger.cli import screen
    from ledger.cli.screen.status import render_status

    screen.print_json(value) if as_json else render_status(value)


def build_status(repo: GitDir, state: str) -> dict[str, Any]:
    """Return what `ledger status --json` prints. Raises NoLedger, and StoreError where the journal cannot be read."""
    found = places.find_clone(state, repo.common_dir, repo.work_tree)
    clone = found.clone
    if clone is None:
        raise NoLedger(f"{repo.common_dir} has no ledger on this machine", remedy=how_to_start(repo))
    pin = read_pins(state).get(clone.log)
    return {
        "log": clone.log,
        "clone": found.how,
        **_journal(state, clone.log),
        "key": _key(state, clone),
        "trust": _trust(repo, state, clone, pin),
        "pin": None if pin is None else {"size": pin.size, "at": pin.at},
        "hooks": _hooks(repo, state),
        "agents": _agents(repo, state),
        "pending": _pending(state, clone.log, repo.common_dir),
        "required": bool(clone.settings.get("required")),
        "settings": dict(clone.settings),
        "state": state,
    }


def _journal(state: str, log: str) -> dict[str, Any]:
    with JournalReader(places.journal_path(state, log)) as reader:
        last = reader.last_seq()
        record = reader.record(last) if last >= 0 else None
        paused = reader.is_paused()
        sealed = {"size": int(reader.meta("sealed_size") or 0), "tip": reader.meta("sealed_tip"), "ref": reader.meta("sealed_ref")}
    value: dict[str, Any] = {"size": last + 1, "paused": paused, "last": None, "sealed": sealed}
    if record is not None:
        try:
            entry = parse_record(record).entry
            value["last"] = {"entry": f"{log}/{last}", "kind": entry.kind, "at": entry.at}
        except FormatError:
            value["last"] = {"entry": f"{log}/{last}", "kind": "unreadable", "at": None}
    return value


def _key(state: str, clone: places.Clone) -> dict[str, Any] | None:
    signer = log_signer(state, clone, required=False)
    return None if signer is None else {"fingerprint": fingerprint(signer.public_key), "storage": signer.storage}


def _trust(repo: GitDir, state: str, clone: places.Clone, pin: Pin | None) -> str:
    """Return what `ledger verify` would go by for this log: `given`, `pinned`, `repository` or `first-use`."""
    from ledger.verify.trust import read_trust

    try:
        trust = read_trust(repo, None)
    except StoreError:
        return "given"  # a file is named; `ledger verify` says why it cannot be read
    signer = log_signer(state, clone, required=False)
    if trust.given is not None:
        return "given"
    if pin is not None:
        return "pinned"
    listed = trust.committed is not None and signer is not None and signer.public_key in trust.committed
    return "repository" if listed else "first-use"


def _hooks(repo: GitDir, state: str) -> list[dict[str, str]]:
    """Return how each git hook is; one row that says why where that cannot be told."""
    from ledger.install.githooks import check_githooks
    from ledger.install.manifest import read_manifest

    try:
        checked = check_githooks(repo, read_manifest(state, repo.common_dir))
    except LedgerError as error:
        return [{"hook": "all", "state": "unknown", "detail": error.message}]
    return [{name: str(value) for name, value in hook._asdict().items()} for hook in checked]


def _agents(repo: GitDir, state: str) -> list[dict[str, Any]]:
    """Return the agents whose settings `init` wrote our hooks to, for this clone or the user, and whether the files are there."""
    from ledger.install.manifest import read_manifest

    found = []
    for scope, common_dir in (("project", repo.common_dir), ("user", "")):
        try:
            settings = read_manifest(state, common_dir).settings
        except LedgerError:
            continue
        for agent, paths in settings.items():
            found.append({"agent": agent, "scope": scope, "files": list(paths), "present": all(map(os.path.exists, paths))})
    return found


def _pending(state: str, log: str, common_dir: str) -> dict[str, int]:
    from ledger.recording.spool import count_spool, spools

    waited, derived = spools(state, log, common_dir)
    return {"state": count_spool(waited), "git": count_spool(derived)}
