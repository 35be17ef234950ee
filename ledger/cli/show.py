"""`ledger show <entry>`: one entry, its payloads, and its signature in the form that OpenSSH checks."""

from __future__ import annotations

import os
import re
import sys
from typing import Any

import click

from ledger.cli.enrolment import FOLDER, NAME
from ledger.cli.lookup import entry_json, find_entry, key_in_force
from ledger.cli.main import Place
from ledger.core.entry import Record, parse_record
from ledger.core.signers import parse_signers
from ledger.core.sshsig import ENTRY_NAMESPACE, format_armoured
from ledger.errors import FormatError
from ledger.repo.gitdir import GitDir
from ledger.store.state import read_regular_file
from ledger.trace.logs import Log

_is_plain = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]*").fullmatch


@click.command()
@click.argument("entry")
@click.option("--raw", "form", flag_value="raw", help="Print the record's bytes and nothing else.")
@click.option("--raw-entry", "form", flag_value="raw-entry", help="Print the bytes that were signed and nothing else.")
@click.option("--signature", "form", flag_value="signature", help="Print the armoured SSH signature and nothing else.")
@click.option("--payload", metavar="NAME", help="Print this payload's bytes and nothing else.")
@click.option("--json", "form", flag_value="json", help="Print JSON.")
@click.pass_obj
def command(place: Place, entry: str, form: str | None, payload: str | None) -> None:
    """Show the entry named ENTRY: <log>/<seq>, or <seq> in this clone's log. The beginning of a log's name is enough."""
    if form is not None and payload is not None:
        raise click.UsageError(f"--{form} and --payload exclude each other")
    with place.logs() as logs:
        log, seq, data = find_entry(logs, entry)
        if form == "raw":
            _write(data + b"\n")
            return
        record = parse_record(data)
        if payload is not None:
            _print_payload(log, record, payload)
        elif form == "raw-entry":
            _write(record.entry_bytes)
        elif form == "signature":
            _write(_armour(log, record).encode("ascii"))
        else:
            _print_entry(log, seq, record, place.repository(), as_json=form == "json")


def _armour(log: Log, record: Record) -> str:
    return format_armoured(key_in_force(log, record.entry), ENTRY_NAMESPACE, record.signature)


def _print_entry(log: Log, seq: int, record: Record, repo: GitDir, *, as_json: bool) -> None:
    from ledger.cli import screen
    from ledger.cli.screen.entries import render_entry
    from ledger.cli.screen.texts import short

    members = entry_json(log, record.entry)
    payloads: dict[str, Any] = {ref.name: log.words(record.entry, ref.name) for ref in record.entry.payloads}
    armoured = _armour(log, record)
    if as_json:
        screen.print_json({**members, "texts": payloads, "signature": armoured, "doubts": log.doubts})
        return
    name = short(log.ref(seq))
    who = _principal(repo, key_in_force(log, record.entry))
    check = [] if who else ["ledger keys enroll  (the key is not in .ledger/allowed_signers yet; PRINCIPAL is the name it gets)"]
    check += [
        f"ledger show {name} --raw-entry > m",
        f"ledger show {name} --signature > m.sig",
        f"ssh-keygen -Y verify -f .ledger/allowed_signers -I {who or 'PRINCIPAL'} -n {ENTRY_NAMESPACE} -s m.sig < m",
    ]
    render_entry(log.ref(seq), members, payloads, armoured, check)
    for doubt in log.doubts:
        click.echo(f"ledger: {doubt}", err=True)


def _principal(repo: GitDir, public_key: bytes) -> str | None:
    """Return the name under which the work tree's file lists a key, if it can be pasted into a shell; no evidence."""
    data = read_regular_file(os.path.join(repo.work_tree or repo.git_dir, FOLDER, NAME), 4 << 20) or b""
    try:
        signers = parse_signers(data.decode("utf-8"))
    except (FormatError, UnicodeDecodeError):
        return None
    named = (signer.principals for signer in signers if signer.public_key == public_key)
    return next((name for name in named if _is_plain(name)), None)


def _print_payload(log: Log, record: Record, name: str) -> None:
    found = log.payload(record.entry, name)
    if found is None:
        names = ", ".join(ref.name for ref in record.entry.payloads) or "none"
        raise click.UsageError(" ".join(log.doubts) or f"{log.ref(record.entry.seq)} has no payload {name!r}; it has: {names}")
    from ledger.cli.screen.entries import render_raw_text
    from ledger.cli.screen.texts import gone

    if isinstance(found, dict):
        raise click.ClickException(f"the payload {name} is {gone({**found})}")
    if sys.stdout.isatty():
        render_raw_text(found.decode("utf-8", "replace"))
    else:
        _write(found)


def _write(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
