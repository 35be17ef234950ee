"""`ledger verify FILE`: what a proof file shows, as a page or as JSON."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

import click

from ledger.cli.main import Place
from ledger.core.merkle import format_hash
from ledger.core.note import COSIGNATURE, NoteKey, parse_note_key
from ledger.core.proof import HEADER, MAX_PROOF_BYTES
from ledger.errors import FormatError, NoLedger, NoRepository, StoreError
from ledger.verify.proofs import Believed, Shown, believe_file, believe_repository, is_proof, judge_proof

_LAST_S = 253_402_300_799  # the end of the year 9999


def find_proof(place: Place, name: str | None) -> str | None:
    """Return the path of the proof file that `name` names, or None where it names none."""
    path = os.path.join(place.cwd, name or "")
    if name is None or not os.path.isfile(path):
        return None
    try:
        with open(path, "rb") as file:
            return path if is_proof(name, file.read(len(HEADER))) else None
    except OSError:
        return None


def verify_file(place: Place, path: str, trust: str | None, witnesses: Sequence[str], as_json: bool) -> int:
    """Say what the proof file at `path` shows, and return the exit code. Raises NoLedger where there is no trust to go by."""
    known = [_parse_witness(text) for text in witnesses]
    data = _read(path)
    believed = _believe(place, data, trust)
    if believed is None:
        message = "nothing here says whose keys to trust, so the proof cannot be checked"
        raise NoLedger(message, remedy="name a file of allowed signers with --trust FILE")
    shown = judge_proof(data, believed, known, int(time.time()))
    if as_json:
        from ledger.cli.screen import print_json

        print_json(build_json(shown))
    else:
        from ledger.cli.screen.prooffile import render_proof

        render_proof(shown, build_json(shown))
    return 0 if shown.verdict in ("anchored", "consistent") else 1


def build_json(shown: Shown) -> dict[str, Any]:
    """Return what is shown as the JSON that `ledger verify FILE --json` prints; what is not shown is null."""
    value: dict[str, Any] = dict.fromkeys(("log", "seq", "kind", "at", "size", "root", "key"))
    if shown.proven is not None:
        entry, checkpoint = shown.proven.record.entry, shown.proven.checkpoint.checkpoint
        value.update(log=shown.proven.log, seq=entry.seq, kind=entry.kind, at=entry.at, key=entry.key)
        value.update(size=checkpoint.size, root=format_hash(checkpoint.root))
    return {
        "verdict": shown.verdict,
        **value,
        "trust": shown.trust,
        "witnesses": [{"name": witness.name, "at": _say_time(witness.at_s)} for witness in shown.witnesses],
        "findings": [
            {name: getattr(finding, name) for name in ("code", "severity", "log", "seq", "message", "expected", "found")}
            for finding in shown.findings
        ],
    }


def _believe(place: Place, data: bytes, trust: str | None) -> Believed | None:
    try:
        repo = place.repository()
    except NoRepository:
        return None if trust is None else believe_file(trust)
    return believe_repository(repo, place.state(), data, trust)


def _parse_witness(text: str) -> NoteKey:
    try:
        key = parse_note_key(text)
    except FormatError as error:
        raise click.UsageError(f"--witness: {error.message}") from error
    if key.type != COSIGNATURE:
        raise click.UsageError(f"--witness: the key of {key.name} is none that cosigns (type 0x04)")
    return key


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(MAX_PROOF_BYTES + 1)
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}") from error


def _say_time(at_s: int) -> str:
    """Return a time as people write it, or the bare seconds where no calendar goes that far."""
    return str(at_s) if at_s > _LAST_S else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at_s))
