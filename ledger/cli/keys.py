"""`ledger keys show | list | enroll | rotate | revoke`: who signs here, and how others come to trust it."""

from __future__ import annotations

import os
from typing import Any

import click

from ledger.cli.enrolment import FOLDER, NAME, REVOCATIONS, enroll, principal_for
from ledger.cli.enrolment import revoke as write_revocation
from ledger.cli.main import Place
from ledger.core.entry import is_hex, parse_record
from ledger.core.revocations import parse_fingerprint, parse_position
from ledger.core.sshsig import fingerprint, format_public_key, parse_public_key
from ledger.errors import FormatError, KeyUnavailable, LedgerError, Refused, StoreError
from ledger.repo.commits import identity
from ledger.repo.gitdir import GitDir
from ledger.store import keys
from ledger.store.reader import JournalReader
from ledger.store.state import Clone, journal_path

_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def command() -> None:
    """Show, list, enroll, rotate and revoke signing keys."""


@command.command("show", short_help="Show the key that signs this clone's log.")
@_JSON
@click.pass_obj
def show(place: Place, as_json: bool) -> None:
    """Show the key that signs this clone's log: fingerprint, public key, and where it rests."""
    signer = log_signer(place.state(), place.clone())
    value = {**_describe(signer), "log": place.clone().log}
    _print(value, as_json, list(value.items()))


@command.command("list")
@_JSON
@click.pass_obj
def list_keys(place: Place, as_json: bool) -> None:
    """List this user's keys, and the logs that each one signs."""
    place.clone()
    state = place.state()
    logs = _logs_by_key(state)
    values = []
    for name in _key_names(state):
        try:
            value: dict[str, Any] = _describe(keys.load_signer(state, name))
        except LedgerError as error:
            value = {"fingerprint": None, "storage": None, "public_key": None, "damaged": error.message}
        values.append({**value, "current": name == keys.current_key(state), "logs": logs.get(name, [])})
    from ledger.cli import screen
    from ledger.cli.screen.status import render_keys

    screen.print_json({"keys": values}) if as_json else render_keys(values)


@command.command("enroll", short_help="Add this log's key to .ledger/allowed_signers.")
@click.option("--principal", metavar="NAME", help="The name to trust the key under; ledger-<your git e-mail> if not given.")
@_JSON
@click.pass_obj
def enroll_key(place: Place, principal: str | None, as_json: bool) -> None:
    """Add this log's key to .ledger/allowed_signers in the work tree, for you to review and commit.

    After a rotation the keys before it are added too: they signed the entries before it.
    """
    repo = place.repository()
    held = keys_of_log(place.state(), place.clone().log)
    if repo.work_tree is None:
        raise Refused("a bare repository has no work tree to write to", remedy="enroll the key in a clone with one")
    if principal is not None and principal_for(principal.removeprefix("ledger-")) != principal:
        raise click.UsageError(f"{principal!r} is not ledger- and letters, digits, dots, hyphens, underscores or @")
    name = principal or principal_for(_owner(repo))
    done = [(key, *enroll(repo.work_tree, name, key)) for key in held]
    path = f"{FOLDER}/{NAME}"
    key, line, _ = done[-1]
    added = any(new for _, _, new in done)
    value = {"path": path, "line": line, "added": added, "principal": name, "fingerprint": fingerprint(key)}
    value["lines"] = [line for _, line, _ in done]
    said = [("added" if new else "there already", line if new else fingerprint(key)) for key, line, new in done]
    if added:
        said.append(("now", f"git add {path} && git commit: only the committed file counts"))
    _print(value, as_json, said)


@command.command("rotate", short_help="Let a new key sign this clone's log from now on.")
@click.option("--to", metavar="PLACE", default="file", show_default=True, help="file, ssh-agent, or ssh-agent:SHA256:…")
@_JSON
@click.pass_obj
def rotate(place: Place, to: str, as_json: bool) -> None:
    """Let a new key sign this clone's log from now on; the old key signs the change, and the new one agrees to it."""
    if to not in ("file", "ssh-agent") and not to.startswith("ssh-agent:SHA256:"):
        raise click.UsageError(f"{to!r} is no place for a key: file, ssh-agent, or ssh-agent:SHA256:…")
    old = log_signer(place.state(), place.clone(), required=False)
    from ledger.recorder import rotate_key

    new = rotate_key(place.repository(), place.state(), to)
    before = None if old is None else fingerprint(old.public_key)
    value = {"log": place.clone().log, "old": before, "new": new, "storage": to.partition(":")[0]}
    _print(value, as_json, [*value.items(), ("now", "enroll it: ledger keys enroll")])


@command.command("revoke", short_help="Say that a key's signatures count no more.")
@click.argument("fingerprint_", metavar="FINGERPRINT")
@click.option("--from", "position", metavar="LOG/SEQ", help="Only in this log, from this entry on; in every log if not given.")
@_JSON
@click.pass_obj
def revoke(place: Place, fingerprint_: str, position: str | None, as_json: bool) -> None:
    """Say in .ledger/revocations of the work tree that a key's signatures count no more, for you to review and commit.

    FINGERPRINT is SHA256:… as `ledger keys list` shows it. Without --from nothing that the key ever signed counts, except below
    positions that other lines of the file give.
    """
    repo = place.repository()
    if repo.work_tree is None:
        raise Refused("a bare repository has no work tree to write to", remedy="revoke the key in a clone with one")
    try:
        key = parse_fingerprint(fingerprint_)
        log, seq = (None, None) if position is None else parse_position(_in_full(place.state(), position))
    except FormatError as error:
        raise click.UsageError(error.message) from error
    line, added = write_revocation(repo.work_tree, key, log, seq)
    path = f"{FOLDER}/{REVOCATIONS}"
    value = {"path": path, "line": line, "added": added, "fingerprint": key, "log": log, "seq": seq}
    said = [("added" if added else "there already", line)]
    if added:
        said.append(("now", f"git add {path} && git commit: only the committed file counts"))
    _print(value, as_json, said)


def _in_full(state: str, position: str) -> str:
    """Return a position with the log's whole name, where its beginning fits one log that is on this machine."""
    prefix, slash, seq = position.partition("/")
    found = [name for name in _log_names(state) if prefix and is_hex(name, 32) and name.startswith(prefix)]
    return f"{found[0]}{slash}{seq}" if len(found) == 1 else position


def log_signer(state: str, clone: Clone, *, required: bool = True) -> Any:
    """Return the signer of a clone's log. Raises KeyUnavailable, or returns None then where it is not `required`."""
    try:
        with JournalReader(journal_path(state, clone.log)) as reader:
            name = reader.meta("key")
        if not name:
            raise KeyUnavailable(f"the journal of {clone.log} does not say which key signs it", remedy="run `ledger verify`")
        return keys.load_signer(state, name)
    except KeyUnavailable:
        if required:
            raise
        return None


def keys_of_log(state: str, log: str) -> list[bytes]:
    """Return the raw public keys that a log says were in force, oldest first, each once."""
    found: dict[bytes, None] = {}
    with JournalReader(journal_path(state, log)) as reader:
        for seq, record in reader.records():
            if seq == 0 or b'"kind":"key.rotated"' in record:
                entry = parse_record(record).entry
                if entry.kind in ("log.opened", "key.rotated"):
                    found[parse_public_key(str(entry.body.get("public_key")))] = None
    if not found:
        raise StoreError(f"the journal of {log} has no genesis", remedy="run `ledger verify`")
    return list(found)


def _describe(signer: keys.Signer) -> dict[str, Any]:
    return {
        "fingerprint": fingerprint(signer.public_key),
        "storage": signer.storage,
        "public_key": format_public_key(signer.public_key),
    }


def _key_names(state: str) -> list[str]:
    try:
        return sorted(name.removesuffix(".key") for name in os.listdir(keys.keys_dir(state)) if name.endswith(".key"))
    except OSError:
        return []


def _logs_by_key(state: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for log in _log_names(state):
        try:
            with JournalReader(journal_path(state, log)) as reader:
                found.setdefault(reader.meta("key") or "", []).append(log)
        except StoreError:
            continue  # `ledger verify` says what is wrong with it
    return found


def _log_names(state: str) -> list[str]:
    try:
        return sorted(os.listdir(os.path.join(state, "logs")))
    except OSError:
        return []


def _owner(repo: GitDir) -> str:
    import pwd

    try:
        return identity(repo).get("git_email") or pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _print(value: dict[str, Any], as_json: bool, rows: list[tuple[str, Any]]) -> None:
    from ledger.cli import screen
    from ledger.cli.screen.status import render_rows

    screen.print_json(value) if as_json else render_rows(rows)
