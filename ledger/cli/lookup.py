"""What `ledger log` and `ledger show` share: finding logs and entries by what people type, and saying an entry in one line."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any

import click

from ledger.core.entry import Entry
from ledger.core.sshsig import fingerprint, parse_public_key
from ledger.errors import FormatError, NoLedger, StoreError, TrustError
from ledger.trace.answers import command_of
from ledger.trace.logs import Log, Logs
from ledger.trace.model import Words

_reference = re.compile(r"(?:([0-9a-f]{1,32})/)?(0|[1-9][0-9]{0,15})").fullmatch
_is_time = re.compile(r"[0-9]{4}(-[0-9]{2}(-[0-9]{2}(T[0-9]{2}(:[0-9]{2}(:[0-9]{2}(\.[0-9]{3})?)?)?Z?)?)?)?").fullmatch
_is_prefix = re.compile(r"[0-9a-f]{1,32}").fullmatch


def find_log(logs: Logs, prefix: str | None) -> Log:
    """Return the log whose name begins with `prefix`, or this clone's. Raises UsageError where that is none or several."""
    if prefix is None and not logs.own_name:
        names = logs.sealed or [log.name for log in logs.related()]
        if len(names) != 1:
            found = ", ".join(name[:12] for name in names[:5])
            raise click.UsageError(f"this clone has no log of its own; name one of {len(names)}: {found}")
        prefix = names[0]
    if prefix is None:
        own = logs.own()
        if own is None:
            message = f"the journal of this clone's log {logs.own_name} is gone"
            raise StoreError(message, remedy="restore it from a backup; `ledger verify` says what is left")
        return own
    names = [name for name in logs.names() if name.startswith(prefix)] if _is_prefix(prefix) else []
    if len(names) != 1:
        found = f"{len(names)} logs here begin with it: {', '.join(names[:5])}" if names else "no log here begins with it"
        raise click.UsageError(f"{prefix!r} names no log: {found}")
    log = logs.named(names[0])
    if log is None:
        raise NoLedger(f"neither journal nor seals of {names[0]} are here", remedy="restore it from a backup")
    return log


def parse_time(text: str | None) -> str | None:
    """Return a time that somebody typed as an entry has it, or a prefix of one. Raises UsageError."""
    if text is None:
        return None
    said, text = text, text.replace(" ", "T", 1).upper()
    if not _is_time(text):
        raise click.UsageError(f"{said!r} is not a time: write 2026-01-02 or 2026-01-02T03:04:05, in UTC")
    if not _is_in_calendar(text):
        raise click.UsageError(f"{said!r} is not a time: no calendar has it")
    return text if len(text) == 24 else text.removesuffix("Z")


def parse_span(since: str | None, until: str | None) -> tuple[str | None, str | None]:
    """Return both ends of a span of time that somebody typed, as `parse_time` does. Raises UsageError, also for an empty one."""
    first, last = parse_time(since), parse_time(until)
    # An end holds all that begins with it: --since 2026-01-02 --until 2026-01 is the rest of January.
    if first is not None and last is not None and first > last and not first.startswith(last):
        raise click.UsageError(f"--since {since} is later than --until {until}")
    return first, last


def _is_in_calendar(text: str) -> bool:
    """Say whether a time of the right form, or the beginning of one, is a day and an hour that there is."""
    digits = text.rstrip("Z")
    try:
        datetime.fromisoformat(digits + "0001-01-01T00:00:00.000"[len(digits) :])
    except ValueError:
        return False
    return True


def find_entry(logs: Logs, reference: str) -> tuple[Log, int, bytes]:
    """Return log, seq and record bytes of the entry that `<log prefix>/<seq>` or `<seq>` names. Raises UsageError."""
    prefix, seq = split_reference(reference)
    log = find_log(logs, prefix)
    record = log.reader.record(seq)
    if record is None:
        raise click.UsageError(f"{log.ref(seq)} does not exist: the log's last entry is {log.reader.last_seq()}")
    return log, seq, record


def split_reference(reference: str) -> tuple[str | None, int]:
    """Return the beginning of a log's name (None: this clone's log) and the seq that `reference` names. Raises UsageError."""
    match = _reference(reference.removeprefix("#"))
    if match is None:
        raise click.UsageError(f"{reference!r} names no entry: write <log>/<seq>, or <seq> for this clone's log")
    return match[1], int(match[2])


def key_in_force(log: Log, entry: Entry) -> bytes:
    """Return the raw public key that must have signed `entry`. Raises TrustError where the log names none that it claims."""
    seqs = [0, *log.index.of_kind("key.rotated", before=entry.seq)]
    for one in log.entries(seqs[::-1], "log.opened", "key.rotated"):
        try:
            public_key = parse_public_key(str(one.body.get("public_key")))
        except FormatError:
            continue
        if fingerprint(public_key) == entry.key:
            return public_key
    raise TrustError(f"the log never names the key {entry.key} that {log.ref(entry.seq)} claims", remedy="run `ledger verify`")


def headline(log: Log, entry: Entry) -> Words:
    """Return what an entry is about, in a few words: its text payload where it has one, else the telling members of its body."""
    body = entry.body
    if entry.kind in ("tool.requested", "approval.requested"):
        return _prefixed(body.get("tool"), command_of(log, entry))
    for name in ("prompt", "message", "plan", "reason"):
        if any(ref.name == name for ref in entry.payloads):
            return log.words(entry, name)
    if entry.kind == "commit.recorded":
        paths = body.get("paths")
        count = len(paths) if isinstance(paths, list) else "?"
        return f"{str(body.get('oid'))[:12]}  {count} {'path' if count == 1 else 'paths'}"
    if entry.kind == "commit.rewritten":
        rewrites = body.get("rewrites")
        return f"{body.get('how')}  {len(rewrites) if isinstance(rewrites, list) else '?'} commits"
    if isinstance(body.get("setting"), str):
        return f"{body['setting']}: {json.dumps(body.get('before'))} → {json.dumps(body.get('after'))}"
    shown = ("tool", "outcome", "decision", "decider", "scope", "host", "port", "reason", "event", "start", "mode", "count", "ref")
    return "  ".join(_said(name, body[name]) for name in shown if isinstance(body.get(name), (str, int)))


def entry_json(log: Log, entry: Entry) -> dict[str, Any]:
    """Return an entry as JSON: its name, and its members as the record has them."""
    members = {name: value for name, value in entry._asdict().items() if value is not None}
    members["payloads"] = [ref._asdict() for ref in entry.payloads]
    if not entry.payloads:
        del members["payloads"]
    return {"entry": log.ref(entry.seq), **members}


def _said(name: str, value: str | int) -> str:
    return f"{name} {value}" if isinstance(value, int) else value


def _prefixed(tool: Any, said: Words) -> Words:
    return f"{tool}: {said}" if isinstance(said, str) else said if isinstance(said, dict) else str(tool)
