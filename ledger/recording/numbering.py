"""Names for the calls of agents that give them none (Gemini CLI): `<tool>-<n>-<input digest>`.

Each surface (hook, transcript, telemetry) tells of the calls with one input in the order in which they were made. So the n-th
that one surface tells of is the n-th that another does, and all of them give a call one name, whichever comes first. An event that
comes twice bears the same mark, and so keeps its number. Where a surface missed a call the numbers of that very input shift: the
facts then still belong to calls with this input in this session, and there are never more of them than were told. A call that
begins now, before a live hook's eyes, is none whose end is on record.

What was numbered is kept among the journal's working notes (`done`), by digest: a few rows a call, found by key.
"""

from __future__ import annotations

import hashlib

from ledger.core.fact import Fact
from ledger.recording import calls
from ledger.store.journal import Journal

_DIGITS = 12


def name_call(journal: Journal, fact: Fact, source: str, at_ms: int, *, live: bool) -> Fact:
    """Return a `fact` that bears a mark with the name of its call, by which it is known to have been recorded or not.

    `live` says that it happens now: what waited in a spool may be on record already, from another surface.
    """
    if fact.mark is None or fact.input_digest is None:
        return fact
    tool = str(fact.body.get("tool", "call"))[:64]
    digest = fact.input_digest
    key = _key("mark", fact.session, digest, source, fact.mark)
    row = journal.one("SELECT seq FROM done WHERE key = ?", (key,))
    if row is None:
        number = _open_number(journal, fact, tool) if fact.answers == "input" else None
        if number is None:
            begins = live and source == "hook" and fact.kind == "tool.requested"
            number = _count(journal, fact, source, at_ms, begins=begins)
        _note(journal, key, number, at_ms)
    else:
        number = int(row[0])
    if fact.kind == "tool.finished":
        _note(journal, _key("ended", fact.session, digest, str(number)), number, at_ms)
    call = f"{tool}-{number}-{digest[:_DIGITS]}"
    body = {**fact.body, "basis": {**fact.body.get("basis", {}), "call": "inferred"}}
    answers = None if fact.kind == "tool.requested" else "call"
    return fact._replace(call=call, body=body, once=f"{fact.kind}:{call}", answers=answers)


def _open_number(journal: Journal, fact: Fact, tool: str) -> int | None:
    """Return the number in the name of the open call that has this input, if one is open and was named here."""
    call = calls.find_by_input(journal, fact.session, fact.input_digest or "")
    name = call.call if call is not None else ""
    middle = name.removeprefix(f"{tool}-").partition("-")[0]
    return int(middle) if name.startswith(f"{tool}-") and middle.isascii() and middle.isdigit() else None


def _count(journal: Journal, fact: Fact, source: str, at_ms: int, *, begins: bool) -> int:
    """Return the number of the next call with this input that a surface tells of."""
    key = _key("count", fact.session, fact.input_digest, source)
    row = journal.one("SELECT seq FROM done WHERE key = ?", (key,))
    number = 1 if row is None else int(row[0]) + 1
    while begins and journal.one(
        "SELECT seq FROM done WHERE key = ?", (_key("ended", fact.session, fact.input_digest, str(number)),)
    ):
        number += 1
    _note(journal, key, number, at_ms)
    return number


def _note(journal: Journal, key: str, number: int, at_ms: int) -> None:
    journal.run("INSERT OR REPLACE INTO done VALUES (?, ?, ?, ?)", (key, number, at_ms, "mark"))


def _key(*parts: str | None) -> str:
    return "call:" + hashlib.sha256("\0".join(part or "" for part in parts).encode("utf-8", "replace")).hexdigest()
