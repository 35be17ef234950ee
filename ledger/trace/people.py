"""What git says of a commit's people, time and words, as the answers show it."""

from __future__ import annotations

import re
import time

from ledger.repo.commits import parse_commit
from ledger.trace.model import Commit

_person = re.compile(rb"(.*?) ?<([^<>]*)> (-?[0-9]{1,18}) ([+-][0-9]{4})").fullmatch


def describe_commit(oid: str, raw: bytes) -> Commit:
    """Return the commit `oid`, whose object's bytes are `raw`, as an answer shows it."""
    header = dict(reversed([line.split(b" ", 1) for line in raw.partition(b"\n\n")[0].split(b"\n") if b" " in line]))
    encoding = header.get(b"encoding", b"utf-8").decode("ascii", "replace")
    author, committer = _person(header.get(b"author", b"")), _person(header.get(b"committer", b""))
    message = parse_commit(raw)[2]
    subject = next((line for line in message.split(b"\n") if line.strip()), b"")
    return {
        "oid": oid,
        "author": _decode(b"%s <%s>" % (author[1], author[2]) if author else header.get(b"author", b""), encoding),
        "at": _format_time(int(committer[3])) if committer else None,
        "subject": _decode(subject.strip(), encoding),
    }


def _decode(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding, "replace")
    except (LookupError, ValueError):  # a commit may name an encoding that is none, or one that is no encoding of texts
        return data.decode("utf-8", "replace")


def _format_time(seconds: int) -> str | None:
    try:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
    except (OverflowError, ValueError, OSError):
        return None
