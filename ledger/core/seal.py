"""What a seal's bytes mean: a segment of records, and the git commit that holds it (docs/spec/seal.md).

    tree    checkpoint       the signed note (core.checkpoint), over all records up to the end of this segment
            segment.jsonl    the records since the seal before, one a line, each with its newline
    parents the seal before; behind it, where there was one, somebody else's commit that lay on the ref

The commit is signed as `git commit -S` with an SSH key signs, so that `git log --show-signature` checks it. Git's own hash is
transport: a verifier believes the note and the records, and neither object ids nor the commit's signature.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from ledger.core import sshsig
from ledger.core.entry import MAX_RECORD_BYTES, is_hex
from ledger.errors import FormatError

CHECKPOINT, SEGMENT = "checkpoint", "segment.jsonl"
WRITTEN_SEGMENT_BYTES = 1_000_000  # a writer begins a new segment before one grows beyond this
MAX_SEGMENT_BYTES = 2 << 20  # a reader takes no larger one: the writer's limit, and one record that may be larger alone
MAX_COMMIT_BYTES = 16 << 10
NAMESPACE = "git"
PREFIX = "refs/ledger"  # where the setting ledger.refPrefix says nothing else
IDENTITY = "git-ledger <git-ledger@localhost>"
_FILE_MODE = b"100644"
_ID_BYTES = {40: 20, 64: 32}


class SealCommit(NamedTuple):
    """A seal's commit: its tree and parents by their ids in hex, when it says it was made (seconds since 1970), and its message."""

    tree: str
    parents: tuple[str, ...]
    at_s: int
    message: str


class SealTree(NamedTuple):
    """The ids, in hex, of the two blobs of a seal."""

    checkpoint: str
    segment: str


def format_ref(prefix: str, log: str) -> str:
    """Return the name of a log's ref."""
    if not is_hex(log, 32):
        raise ValueError(f"{log!r} is not the name of a log")
    return f"{prefix}/logs/{log}"


def parse_prefix(text: str) -> str:
    """Return the ref prefix that somebody set, without a slash at its end. Raises FormatError where no ref can begin so."""
    prefix = text.strip().rstrip("/")
    parts = prefix.split("/")
    if parts[0] != "refs" or len(parts) < 2 or len(prefix) > 200:
        raise FormatError(f"{text[:80]!r} is no prefix of refs", remedy="such as refs/ledger or refs/heads/ledger")
    for part in parts:
        # git-check-ref-format(1), as far as it can matter here.
        if not part or part.startswith((".", "-")) or part.endswith((".", ".lock")) or ".." in part or not _is_plain(part):
            raise FormatError(f"{text[:80]!r} is no prefix of refs", remedy="such as refs/ledger or refs/heads/ledger")
    return prefix


def format_segment(records: Iterable[bytes]) -> bytes:
    """Return the segment that holds `records`."""
    return b"".join(record + b"\n" for record in records)


def parse_segment(data: bytes) -> list[bytes]:
    """Return the records of a segment, without their newlines. Raises FormatError for what `format_segment` would not write."""
    if not data:
        return []
    if len(data) > MAX_SEGMENT_BYTES:
        raise FormatError(f"a segment of {len(data)} bytes is larger than {MAX_SEGMENT_BYTES}")
    if not data.endswith(b"\n"):
        raise FormatError("the segment's last line does not end in a newline")
    records = data[:-1].split(b"\n")
    if not all(0 < len(record) <= MAX_RECORD_BYTES for record in records):
        raise FormatError("a line of the segment is empty, or larger than a record")
    return records


def format_tree(tree: SealTree) -> bytes:
    """Return the content of a seal's tree object; git wants the names sorted, and they are."""
    entries = ((CHECKPOINT, tree.checkpoint), (SEGMENT, tree.segment))
    return b"".join(b"%b %b\0%b" % (_FILE_MODE, name.encode(), bytes.fromhex(oid)) for name, oid in entries)


def parse_tree(data: bytes, id_digits: int) -> SealTree:
    """Return the ids in a seal's tree, of `id_digits` hex digits (40 or 64). Raises FormatError for any other tree."""
    size = _ID_BYTES[id_digits]
    start = len(_FILE_MODE) + len(CHECKPOINT) + 2
    second = start + size + len(_FILE_MODE) + len(SEGMENT) + 2
    tree = SealTree(data[start : start + size].hex(), data[second:].hex())
    if len(data) != second + size or format_tree(tree) != data:
        raise FormatError(f"the tree is not {CHECKPOINT} and {SEGMENT} alone")
    return tree


def tree_size(id_digits: int) -> int:
    """Return the size in bytes of every seal's tree object."""
    return len(format_tree(SealTree("0" * id_digits, "0" * id_digits)))


def format_commit(commit: SealCommit, public_key: bytes, sign: Callable[[str, bytes], bytes]) -> bytes:
    """Return the content of a seal's commit object, signed by `sign(namespace, message)`, which returns 64 raw bytes.

    git signs the commit without its signature, in the namespace `git`; the header's name tells the repository's object format.
    """
    when = f"{IDENTITY} {commit.at_s} +0000"
    head = [f"tree {commit.tree}", *(f"parent {parent}" for parent in commit.parents), f"author {when}", f"committer {when}"]
    tail = f"\n{commit.message}\n"
    unsigned = "\n".join(head) + "\n" + tail
    armoured = sshsig.format_armoured(public_key, NAMESPACE, sign(NAMESPACE, unsigned.encode()))
    name = "gpgsig" if len(commit.tree) == 40 else "gpgsig-sha256"
    signature = name + " " + armoured.rstrip("\n").replace("\n", "\n ")
    return "\n".join([*head, signature, tail]).encode()


def parse_links(data: bytes) -> tuple[str, tuple[str, ...]]:
    """Return the tree and the parents that a commit object names. Raises FormatError where it names no tree."""
    lines = data.partition(b"\n\n")[0].split(b"\n")
    tree = lines[0].removeprefix(b"tree ").decode("ascii", "replace")
    parents: list[str] = []
    for line in lines[1:]:
        if not line.startswith(b"parent "):
            break
        parents.append(line[7:].decode("ascii", "replace"))
    if not lines[0].startswith(b"tree ") or not all(_is_id(oid) for oid in (tree, *parents)):
        raise FormatError("not a commit")
    return tree, tuple(parents)


def _is_id(text: str) -> bool:
    return any(is_hex(text, digits) for digits in _ID_BYTES)


def _is_plain(part: str) -> bool:
    return part.isascii() and all(character.isalnum() or character in "._-" for character in part)


def chunk_records(records: Iterable[bytes], limit: int = WRITTEN_SEGMENT_BYTES) -> Iterable[Sequence[bytes]]:
    """Yield runs of records whose segments stay within `limit` bytes; a larger record stands alone."""
    chunk: list[bytes] = []
    size = 0
    for record in records:
        if chunk and size + len(record) + 1 > limit:
            yield chunk
            chunk, size = [], 0
        chunk.append(record)
        size += len(record) + 1
    if chunk:
        yield chunk
