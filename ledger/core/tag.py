"""Signed tags that fix logs (docs/spec/sync.md, section 5): annotated tags whose message quotes heads of logs.

object <commit>              Whoever fetches the tag holds these heads from then on, and tags do not move unnoticed.
type commit                  Signed as `git tag -s` with an SSH key signs: over all that stands before the armour, in the
tag <name>                   namespace `git`. `git verify-tag` checks it.
tagger …

<message with Ledger-Entry lines>
-----BEGIN SSH SIGNATURE-----
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ledger.core import sshsig
from ledger.core.seal import IDENTITY, NAMESPACE
from ledger.errors import FormatError

MAX_TAG_BYTES = 1 << 20
_BEGIN = sshsig.BEGIN.encode() + b"\n"


class Tag(NamedTuple):
    """An annotated tag: the id and type of what it names, its own name, and its message without the signature."""

    target: str
    type: str
    name: str
    message: str


class ParsedTag(NamedTuple):
    """A tag as read: what was signed, and the signature's parts; None where there is none, or one that is not ours to check."""

    tag: Tag
    signed: bytes
    signature: sshsig.Armoured | None


def format_tag(tag: Tag, at_s: int, public_key: bytes, sign: Callable[[str, bytes], bytes]) -> bytes:
    """Return the content of a tag object, signed by `sign(namespace, message)`, which returns 64 raw bytes."""
    head = f"object {tag.target}\ntype {tag.type}\ntag {tag.name}\ntagger {IDENTITY} {at_s} +0000\n"
    unsigned = f"{head}\n{tag.message}".encode()
    return unsigned + sshsig.format_armoured(public_key, NAMESPACE, sign(NAMESPACE, unsigned)).encode()


def parse_tag(data: bytes) -> ParsedTag:
    """Return what a tag object's content says, whoever made it. Raises FormatError where it is none."""
    if len(data) > MAX_TAG_BYTES:
        raise FormatError(f"a tag of {len(data)} bytes is larger than {MAX_TAG_BYTES}")
    at = data.rfind(b"\n" + _BEGIN) + 1
    signed, armour = (data[:at], data[at:]) if at else (data, b"")
    header, _, message = signed.partition(b"\n\n")
    lines = header.decode("utf-8", "replace").split("\n")
    values = []
    for line, name in zip(lines, ("object ", "type ", "tag "), strict=False):
        if not line.startswith(name):
            raise FormatError("not a tag: it does not begin with object, type and tag")
        values.append(line.removeprefix(name))
    if len(values) != 3:
        raise FormatError("not a tag: it does not begin with object, type and tag")
    tag = Tag(values[0], values[1], values[2], message.decode("utf-8", "replace"))
    try:
        signature = sshsig.parse_armoured(armour.decode("ascii")) if armour else None
    except (FormatError, UnicodeDecodeError):
        signature = None  # of another type of key
    return ParsedTag(tag, signed, signature)
