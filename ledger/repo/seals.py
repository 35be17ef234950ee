"""Seals as git holds them: refs, and the commits on them, read with hard limits, written with two children (docs/spec/seal.md).

Whoever can push can put anything on a ledger's ref. So of each commit type and size are looked at before its bytes are, its tree
must have the one size that a seal's tree has, and what is no seal is a `Stray` with a reason, never an error.

Objects are written by handing git a small pack: one `git unpack-objects` for four objects, whatever the repository's object format
and permissions are. They are synced before the ref moves: after a crash the ref names a whole seal, or none.
"""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from ledger.core.entry import is_hex
from ledger.core.note import MAX_NOTE_BYTES
from ledger.core.seal import (
    MAX_COMMIT_BYTES,
    MAX_SEGMENT_BYTES,
    PREFIX,
    SealTree,
    format_tree,
    parse_links,
    parse_prefix,
    parse_tree,
    tree_size,
)
from ledger.errors import FormatError, RepoError
from ledger.repo.catfile import Info, ObjectReader
from ledger.repo.commits import is_oid
from ledger.repo.git import PATIENCE_S, run_git, start_git
from ledger.repo.gitdir import GitDir, read_plain

MAX_CHAIN = 2_000_000  # commits of one ref that are looked at
_AT_ONCE = 100
_NOT_HERE = " is not here"
_COMMIT, _TREE, _BLOB = 1, 2, 3  # gitformat-pack(5)
_NAMES = {_COMMIT: b"commit", _TREE: b"tree", _BLOB: b"blob"}


class SealObject(NamedTuple):
    """A commit that has a seal's form: its id and parents, the segment's bytes, and the note's. Nothing is believed yet."""

    oid: str
    parents: tuple[str, ...]
    segment: bytes
    note: bytes


class Stray(NamedTuple):
    """A commit on a ledger's ref that is no seal, and why. `absent` where it may be one, but an object of it is not here."""

    oid: str
    reason: str
    absent: bool = False


class _Shape(NamedTuple):
    """A commit whose sizes are those of a seal; its blobs are not read yet."""

    oid: str
    parents: tuple[str, ...]
    segment: Info
    note: Info


def read_prefix(repo: GitDir) -> str:
    """Return where this repository's ledger refs lie: `ledger.refPrefix`, or refs/ledger. Raises FormatError for nonsense."""
    said = run_git(["config", "--get", "ledger.refPrefix"], cwd=repo.git_dir, check=False, patience_s=PATIENCE_S)
    text = said.decode("utf-8", "replace").rstrip("\n")
    return parse_prefix(text) if text else PREFIX


def list_tips(repo: GitDir, root: str, limit: int) -> dict[str, str]:
    """Return the commits that the refs below `root` name, by the logs these are named after: at most `limit` refs are looked at."""
    return {log: oid for log, (oid, kind) in list_objects(repo, root, limit).items() if kind == "commit"}


def list_objects(repo: GitDir, root: str, limit: int) -> dict[str, tuple[str, str]]:
    """Return id and type of what each ref below `root` that is named after a log names: at most the first `limit` refs."""
    found = {}
    for oid, kind, ref in _list_refs(repo, root, limit):
        log = ref.removeprefix(f"{root}/")
        if is_hex(log, 32):
            found[log] = (oid, kind)
    return found


def _list_refs(repo: GitDir, root: str, limit: int) -> list[tuple[str, str, str]]:
    """Return id, type and name of what refs below `root` name. One whose object is not here is left out."""

    def ask(form: str) -> list[list[str]]:
        asked = ["for-each-ref", f"--count={limit}", f"--format={form}", f"{root}/"]
        return [line.split(" ") for line in run_git(asked, cwd=repo.git_dir).decode("utf-8", "replace").splitlines()]

    try:
        return [(oid, kind, ref) for oid, kind, ref in ask("%(objectname) %(objecttype) %(refname)")]
    except RepoError:
        pass  # where one object is missing, git tells the type of none
    rows = ask("%(objectname) %(refname)")
    with ObjectReader(repo) as reader:
        infos = reader.infos([oid for oid, _ in rows])
    return [(info.oid, info.type, ref) for (_, ref), info in zip(rows, infos, strict=True) if info is not None]


def read_tip(repo: GitDir, ref: str) -> str | None:
    """Return the commit that `ref` names, or None where there is no such ref."""
    said = run_git(["rev-parse", "--verify", "-q", f"{ref}^{{commit}}"], cwd=repo.git_dir, check=False, patience_s=PATIENCE_S)
    oid = said.decode("ascii", "replace").strip()
    return oid if is_oid(oid) else None


def read_named(repo: GitDir, ref: str) -> str | None:
    """Return the object id that `ref` names, whether that object is here or not, or None where there is no such ref."""
    said = run_git(["rev-parse", "--verify", "-q", ref], cwd=repo.git_dir, check=False, patience_s=PATIENCE_S)
    oid = said.decode("ascii", "replace").strip()
    return oid if is_oid(oid) else None


def read_chain(repo: GitDir, tip: str, after: str | None = None, *, patience_s: float | None = None) -> list[str]:
    """Return the commits of a ref by first parents, oldest first, without `after` and what it reaches. Raises RepoError."""
    args = ["rev-list", "--first-parent", f"--max-count={MAX_CHAIN}", tip, *([f"^{after}"] if after else []), "--"]
    oids = run_git(args, cwd=repo.git_dir, patience_s=patience_s).decode("ascii").split()
    oids.reverse()
    return oids


def read_parents(repo: GitDir, oid: str) -> list[str]:
    """Return the parents of a commit that is here. Raises RepoError."""
    return run_git(["rev-list", "--parents", "--max-count=1", oid, "--"], cwd=repo.git_dir).decode("ascii").split()[1:]


def read_seals(reader: ObjectReader, oids: Sequence[str]) -> Iterator[SealObject | Stray]:
    """Yield what each of the commits `oids` holds, in order, one segment in memory at a time."""
    for start in range(0, len(oids), _AT_ONCE):
        for shape in _read_shapes(reader, oids[start : start + _AT_ONCE]):
            if isinstance(shape, Stray):
                yield shape
                continue
            note, segment = reader.take([shape.note, shape.segment])
            yield SealObject(shape.oid, shape.parents, segment, note)


def read_notes(reader: ObjectReader, oids: Sequence[str]) -> Iterator[tuple[str, bytes | None]]:
    """Yield each commit with the bytes of its note, or None where it is no seal, without reading any segment."""
    for start in range(0, len(oids), _AT_ONCE):
        for shape in _read_shapes(reader, oids[start : start + _AT_ONCE]):
            yield shape.oid, None if isinstance(shape, Stray) else reader.take([shape.note])[0]


def _read_shapes(reader: ObjectReader, oids: Sequence[str]) -> list[_Shape | Stray]:
    """Look at commits, trees and blobs in three steps, each only as far as the one before was a seal's."""
    strays: dict[str, str] = {}
    # 1. commits of bearable size
    commits = _pick(strays, reader.infos(oids), oids, oids, "commit", MAX_COMMIT_BYTES)
    links: dict[str, tuple[str, tuple[str, ...]]] = {}
    for oid, data in zip(commits, reader.take(list(commits.values())), strict=True):
        try:
            links[oid] = parse_links(data)
        except FormatError as error:
            strays[oid] = error.message
    # 2. trees of the one size that a seal's tree has
    trees = _pick(
        strays, reader.infos([links[oid][0] for oid in links]), list(links), [links[oid][0] for oid in links], "tree", 200
    )
    blobs: dict[str, SealTree] = {}
    for oid, data in zip(trees, reader.take(list(trees.values())), strict=True):
        try:
            blobs[oid] = parse_tree(data, len(oid))
        except FormatError as error:
            strays[oid] = error.message
    # 3. blobs of bearable size
    names = list(blobs)
    notes = _pick(strays, reader.infos([blobs[oid].checkpoint for oid in names]), names, names, "blob", MAX_NOTE_BYTES)
    segments = _pick(strays, reader.infos([blobs[oid].segment for oid in names]), names, names, "blob", MAX_SEGMENT_BYTES)
    found: list[_Shape | Stray] = []
    for oid in oids:
        if oid in strays:
            found.append(Stray(oid, strays[oid], strays[oid].endswith(_NOT_HERE)))
        else:
            found.append(_Shape(oid, links[oid][1], segments[oid], notes[oid]))
    return found


def _pick(
    strays: dict[str, str], infos: Sequence[Info | None], oids: Sequence[str], named: Sequence[str], kind: str, limit: int
) -> dict[str, Info]:
    """Return the infos of those commits whose object is of this kind and size; say of the others why not."""
    picked: dict[str, Info] = {}
    for oid, info, name in zip(oids, infos, named, strict=True):
        if oid in strays:
            continue
        if info is None:
            strays[oid] = f"its {kind}{_NOT_HERE}"
        elif info.type != kind or info.size > limit or (kind == "tree" and info.size != tree_size(len(name))):
            strays[oid] = f"its {kind} is a {info.type} of {info.size} bytes"
        else:
            picked[oid] = info
    return picked


def hash_object(kind: int, data: bytes, object_format: str) -> str:
    """Return the id in hex that git gives to an object in a repository of `object_format` (sha1 or sha256)."""
    digest = hashlib.sha256() if object_format == "sha256" else hashlib.sha1(usedforsecurity=False)
    digest.update(b"%b %d\0" % (_NAMES[kind], len(data)))
    digest.update(data)
    return digest.hexdigest()


def hash_tree(note: bytes, segment: bytes, object_format: str) -> tuple[str, bytes]:
    """Return id and content of the tree over a seal's two blobs."""
    tree = SealTree(hash_object(_BLOB, note, object_format), hash_object(_BLOB, segment, object_format))
    data = format_tree(tree)
    return hash_object(_TREE, data, object_format), data


def write_seal(repo: GitDir, note: bytes, segment: bytes, tree: bytes, commit: bytes, object_format: str) -> str:
    """Store a seal's four objects, synced, and return the commit's id. Raises RepoError; moves no ref."""
    pack = _format_pack([(_BLOB, note), (_BLOB, segment), (_TREE, tree), (_COMMIT, commit)], object_format)
    # By default git does not sync loose objects; `batch` syncs once for all of them, where the file system can.
    args = ["-c", "core.fsync=loose-object", "-c", "core.fsyncMethod=batch", "-c", "core.fsyncObjectFiles=true"]
    run_git([*args, "unpack-objects", "-q"], cwd=repo.git_dir, input=pack, patience_s=60.0)
    return hash_object(_COMMIT, commit, object_format)


def move_ref(repo: GitDir, ref: str, new: str, old: str | None, why: str) -> None:
    """Let `ref` name `new` where it names `old` now (None: where there is no such ref). Raises RepoError where it does not."""
    was = "0" * len(new) if old is None else old
    if old is None and is_broken(repo, ref):
        # Git neither moves nor removes a ref whose file holds nonsense, but lets a symbolic one take its place.
        run_git(["symbolic-ref", ref, "refs/ledger/none"], cwd=repo.git_dir, patience_s=PATIENCE_S)
    # --no-deref: where somebody made the ref a symbolic one, it is replaced, and what it led to stays as it is.
    run_git(
        ["update-ref", "--no-deref", "--create-reflog", "-m", f"ledger: {why}", ref, new, was], cwd=repo.git_dir, patience_s=60.0
    )


def is_broken(repo: GitDir, ref: str) -> bool:
    """Say whether the file of `ref` is there and names neither an object nor another ref."""
    data = read_plain(os.path.join(repo.common_dir, ref), 4096)
    if data is None:
        return False
    text = data.decode("utf-8", "replace").strip()
    return not is_oid(text) and not text.startswith("ref: refs/")


def edit_refs(repo: GitDir, new: Mapping[str, str], gone: Iterable[str] = ()) -> None:
    """Let each ref name its commit, wherever it was, and remove those that are `gone`: all of them, or none. Raises RepoError."""
    lines = [*(f"update {ref} {oid}" for ref, oid in new.items()), *(f"delete {ref}" for ref in gone)]
    if lines:
        run_git(["update-ref", "--no-deref", "--stdin"], cwd=repo.git_dir, input="".join(f"{line}\n" for line in lines).encode())


def is_ancestor(repo: GitDir, old: str, new: str) -> bool:
    """Say whether the commit `old` is `new`, or reached from it."""
    if old == new:
        return True
    child = start_git(["merge-base", "--is-ancestor", old, new], cwd=repo.git_dir)
    child.finish(check=False)
    return child.code == 0


def has_object(repo: GitDir, oid: str) -> bool:
    """Say whether the object `oid` is here, whatever it is."""
    with ObjectReader(repo) as reader:
        return reader.infos([oid])[0] is not None


def has_commit(repo: GitDir, oid: str) -> bool:
    """Say whether the commit `oid` and its tree and blobs are here."""
    with ObjectReader(repo) as reader:
        return not isinstance(_read_shapes(reader, [oid])[0], Stray)


def _format_pack(objects: Sequence[tuple[int, bytes]], object_format: str) -> bytes:
    """Return a pack of whole objects (gitformat-pack(5))."""
    parts = [b"PACK" + struct.pack(">II", 2, len(objects))]
    for kind, data in objects:
        size = len(data) >> 4
        head = bytearray([kind << 4 | len(data) & 15 | (0x80 if size else 0)])
        while size:
            head.append(size & 0x7F | (0x80 if size > 0x7F else 0))
            size >>= 7
        parts += [bytes(head), zlib.compress(data)]
    pack = b"".join(parts)
    digest = hashlib.sha256(pack) if object_format == "sha256" else hashlib.sha1(pack, usedforsecurity=False)
    return pack + digest.digest()


def refs_of_ledger(prefix: str) -> list[str]:
    """Return what keeps a walk over all refs out of the ledger's own, under this prefix too (`--exclude` of git-rev-list(1))."""
    excluded = ["--exclude=refs/ledger/*"]
    if prefix != PREFIX:
        excluded.append(f"--exclude={prefix}/*")
    if prefix.startswith("refs/heads/"):
        excluded.append(f"--exclude=refs/remotes/*/{prefix.removeprefix('refs/heads/')}/logs/*")
    return excluded
