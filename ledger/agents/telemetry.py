"""Reading the attributes of a telemetry record without trusting them: each in the form that a record may hold, or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ledger.core.canonical import MAX_INTEGER
from ledger.core.fact import PayloadData
from ledger.core.text import clean_text

MAX_TEXT = 512
MAX_PAYLOAD = 1 << 20  # characters of a text that becomes a payload


def event_name(name: str, attributes: Mapping[str, Any], body: Any = None) -> str | None:
    """Return the event's full name: `codex.tool_decision`, `claude_code.tool_decision`, or None.

    Codex puts a source line where the name belongs, and Claude Code a name without its family; the body has that.
    """
    for said in (attributes.get("event.name"), body, name):
        if isinstance(said, str) and 0 < len(said) <= MAX_TEXT and "." in said and "/" not in said and " " not in said:
            return said
    said = attributes.get("event.name")
    return said if isinstance(said, str) and 0 < len(said) <= MAX_TEXT else None


def text(attributes: Mapping[str, Any], name: str, limit: int = MAX_TEXT) -> str | None:
    """Return a text of 1 to `limit` characters, or None."""
    value = attributes.get(name)
    return clean_text(value) if isinstance(value, str) and 0 < len(value) <= limit else None


def texts(attributes: Mapping[str, Any], **names: str) -> dict[str, Any]:
    """Return those of `member=attribute` that are texts."""
    return {member: value for member, name in names.items() if (value := text(attributes, name)) is not None}


def count(attributes: Mapping[str, Any], name: str) -> int | None:
    """Return a count, which OTLP's JSON may spell as a string, or None."""
    value = attributes.get(name)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 16:
        value = int(value)
    return value if type(value) is int and 0 <= value <= MAX_INTEGER else None


def counts(attributes: Mapping[str, Any], **names: str) -> dict[str, int]:
    """Return those of `member=attribute` that are counts."""
    return {member: value for member, name in names.items() if (value := count(attributes, name)) is not None}


def flag(attributes: Mapping[str, Any], name: str) -> bool | None:
    """Return a boolean, which agents spell as a string too, or None."""
    value = attributes.get(name)
    if isinstance(value, str):
        value = {"true": True, "false": False}.get(value.lower())
    return value if isinstance(value, bool) else None


def payload(attributes: Mapping[str, Any], name: str, media: str = "text/plain") -> PayloadData | None:
    """Return a text as a payload, cut at MAX_PAYLOAD characters, or None where there is none or it was withheld."""
    value = attributes.get(name)
    if not isinstance(value, str) or value in ("", "[REDACTED]", "<REDACTED>"):
        return None
    return PayloadData(clean_text(value[:MAX_PAYLOAD]).encode("utf-8"), media)


def payloads(attributes: Mapping[str, Any], **names: tuple[str, str]) -> dict[str, PayloadData]:
    """Return those of `payload=(attribute, media)` that are texts."""
    return {name: data for name, (attribute, media) in names.items() if (data := payload(attributes, attribute, media))}


def with_basis(body: Mapping[str, Any], *observed: str) -> dict[str, Any]:
    """Return `body` with the basis `telemetry` for each of its members that has none."""
    said = dict(body.get("basis", {}))
    for name in body:
        if name != "basis" and name not in observed:
            said.setdefault(name, "telemetry")
    return {**body, "basis": said}
