"""Fixing logs in a signed tag: it quotes the last sealed record of each log that is here (docs/spec/sync.md, section 5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ledger.core.entry import hash_record, parse_record
from ledger.core.seal import parse_segment
from ledger.core.tag import Tag, format_tag
from ledger.core.trailer import KEY, Head, format_head
from ledger.errors import FormatError, Refused, RepoError
from ledger.recorder import Recorder
from ledger.recording.writer import now_ms
from ledger.repo.catfile import ObjectReader
from ledger.repo.git import run_git
from ledger.repo.gitdir import GitDir
from ledger.repo.seals import SealObject, list_tips, move_ref, read_chain, read_prefix, read_seals, read_tip

MAX_LOGS = 1000  # that one tag names


class Anchored(NamedTuple):
    """The tag that was made, and the heads that it fixes. `entry` is the `checkpoint.anchored` that says so."""

    tag: str
    oid: str
    target: str
    heads: tuple[Head, ...]
    entry: str


def anchor_tag(recorder: Recorder, name: str, target: str) -> Anchored:
    """Make the signed tag `name` on the commit `target`, and record it. Raises Refused where it cannot be."""
    repo = recorder.repo
    ref = f"refs/tags/{name}"
    if name.startswith("-") or not run_git(["check-ref-format", "--normalize", ref], cwd=repo.git_dir, check=False):
        raise Refused(f"{name!r} is no name for a tag", remedy="see git-check-ref-format(1)")
    if run_git(["rev-parse", "--verify", "-q", ref], cwd=repo.git_dir, check=False):
        raise Refused(f"the tag {name} is there already", remedy="choose another name: an anchor is never moved")
    recorder.seal()
    heads = read_heads(repo, list_tips(repo, f"{read_prefix(repo)}/logs", MAX_LOGS))
    if not heads:
        raise Refused("there is no sealed log here", remedy="run `ledger seal` first")
    lines = "".join(f"{KEY}: {format_head(head)}\n" for head in heads)
    count = "one log" if len(heads) == 1 else f"{len(heads)} logs"
    oid = _write_tag(recorder, Tag(target, "commit", name, f"Anchor of {count}\n\n{lines}"))
    move_ref(repo, ref, oid, None, "anchor")
    body = {"type": "tag", "name": name, "oid": oid, "heads": [head._asdict() for head in heads]}
    seq = recorder.append(lambda writer: writer.append("checkpoint.anchored", source="cli", body=body))
    return Anchored(name, oid, target, heads, f"{recorder.clone.log}/{seq}")


def read_heads(repo: GitDir, tips: Mapping[str, str]) -> tuple[Head, ...]:
    """Return the last sealed record of each log, whose ref names the commit given; a ref without a seal is left out."""
    return tuple(head for log, tip in tips.items() if (head := _try_head(repo, log, tip)) is not None)


def _try_head(repo: GitDir, log: str, tip: str) -> Head | None:
    try:
        return _read_head(repo, log, tip)
    except RepoError:
        return None  # damaged, or laid there by somebody: no reason to fix none of the others


def _read_head(repo: GitDir, log: str, tip: str) -> Head | None:
    with ObjectReader(repo) as reader:
        for oid in reversed(read_chain(repo, tip)):
            (seal,) = read_seals(reader, [oid])
            if not isinstance(seal, SealObject):
                continue
            try:
                records = parse_segment(seal.segment)
                if records:
                    return Head(log, parse_record(records[-1]).entry.seq, hash_record(records[-1]))
            except FormatError:
                continue
    return None


def _write_tag(recorder: Recorder, tag: Tag) -> str:
    signer = recorder.signer()
    data = format_tag(tag, now_ms() // 1000, signer.public_key, signer.sign)
    oid = run_git(["hash-object", "-t", "tag", "-w", "--stdin"], cwd=recorder.repo.git_dir, input=data).decode().strip()
    if not oid:
        raise RepoError("git does not take the tag", remedy="run `git fsck`")
    return oid


def resolve(repo: GitDir, revision: str) -> str:
    """Return the commit that `revision` names. Raises Refused where it names none."""
    oid = read_tip(repo, revision) if revision and not revision.startswith("-") else None
    if oid is None:
        raise Refused(f"{revision!r} names no commit here", remedy="name one as git does")
    return oid
