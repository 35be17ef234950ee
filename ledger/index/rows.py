"""What one record adds to the index. Pure: bytes in, rows out.

Nothing is checked here: a record that is no well-formed entry becomes a row of the kind `unreadable`, and whoever reads the record
says what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

UNREADABLE = "unreadable"
# After these the old commit is no more than an earlier form of the new one; what was picked is still where it was.
_REPLACING = frozenset({"amend", "rebase", "other"})

Row = dict[str, Any]


def build_rows(seq: int, record: bytes) -> Iterator[tuple[str, Row]]:
    """Yield (table, row) of everything the index keeps of the record at `seq`."""
    try:
        entry = orjson.loads(record)["entry"]
        body, actor = entry["body"], entry["actor"]
        row = {
            "seq": seq,
            "kind": _text(entry["kind"]) or UNREADABLE,
            "at": _text(entry["at"]),
            "source": _text(entry["source"]),
            "actor_type": _text(actor.get("type")),
            "actor_name": _text(actor.get("name")),
            "session": _text(entry.get("session")),
            "turn": _text(entry.get("turn")),
            "call": _text(entry.get("call")),
            "cause": _count(entry.get("cause")),
            "tool": _text(body.get("tool")),
            "mcp_server": _text(body.get("mcp_server")),
            "outcome": _text(body.get("outcome")),
            "host": _text(body.get("host")),
            "decision": _text(body.get("decision")),
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        yield "entries", {"seq": seq, "kind": UNREADABLE}
        return
    yield "entries", row
    if row["kind"] == "commit.recorded":
        yield from _commit_rows(seq, body, _count(entry.get("cause")))
    elif row["kind"] == "commit.rewritten":
        yield from _rewrite_rows(seq, body)


def path_key(path: Any) -> str:
    """Return the text by which the index knows a path of a record: itself, or the base64 of one that is not UTF-8."""
    if isinstance(path, dict):
        return f"base64:{_text(path.get('base64')) or ''}"
    return _text(path) or ""


def parse_key(key: str) -> str | dict[str, str]:
    """Return the path that `path_key` made `key` of; a path that begins so by itself is taken for the other form."""
    return {"base64": key[7:]} if key.startswith("base64:") else key


def _commit_rows(seq: int, body: dict[str, Any], cause: int | None) -> Iterator[tuple[str, Row]]:
    paths = _objects(body.get("paths"))
    if body.get("via") == "later" and cause is not None:
        yield "lines_left", {"seq": cause, "said_by": seq, "count": -sum("lines" in item for item in paths)}
        seq = cause  # more of what that entry says, and no commit of its own
    else:
        yield "commits", {"seq": seq} | {name: _text(body.get(name)) or "" for name in ("oid", "tree", "patch_id")}
        part = body.get("part")
        left = _count(body.get("lines_left"))
        if left and (not isinstance(part, list) or part[:1] == [1]):  # the first part speaks for all
            yield "lines_left", {"seq": seq, "said_by": seq, "count": left}
    for item in paths:
        path = path_key(item.get("path"))
        yield "paths", {"path": path, "seq": seq, "blob": _text(item.get("blob"))}
        calls = item.get("calls")
        for call in calls if isinstance(calls, list) else []:
            if _count(call) is not None:
                yield "paths", {"path": path, "seq": call}
                yield "commit_calls", {"seq": seq, "call_seq": call}
        yield from _line_rows(seq, path, item.get("lines"))


def _line_rows(seq: int, path: str, lines: Any) -> Iterator[tuple[str, Row]]:
    """Yield how many lines of a path are whose; `call_seq` is -1 where they are of no call."""
    counts: dict[tuple[str, int], int] = {}
    end = 0
    for item in _objects(lines):
        span, by = item.get("range"), item.get("by")
        if not isinstance(span, list) or len(span) != 2 or _count(span[0]) is None or _count(span[1]) is None:
            continue
        if not end < span[0] <= span[1]:
            continue
        end = span[1]
        call = _count(item.get("call")) if by == "agent" else None
        key = by if by in ("agent", "human") else "unknown", -1 if call is None else call
        counts[key] = counts.get(key, 0) + span[1] - span[0] + 1
    for (writer, call), count in counts.items():
        yield "lines", {"seq": seq, "path": path, "writer": writer, "call_seq": call, "count": count}


def _rewrite_rows(seq: int, body: dict[str, Any]) -> Iterator[tuple[str, Row]]:
    """Yield the steps in the list's own order, each once: the first commit that `ledger link` lists is the closest."""
    basis = body.get("basis")
    claimed = isinstance(basis, dict) and basis.get("rewrites") == "claimed"
    replaces = int(body.get("how") in _REPLACING and not claimed)
    said = ((_text(item.get("old")), _text(item.get("new"))) for item in _objects(body.get("rewrites")))
    for old, new in dict.fromkeys(said):
        if old and new:
            yield "rewrites", {"seq": seq, "old": old, "new": new, "replaces": replaces}


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53 else None
