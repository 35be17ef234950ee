"""RFC 6962 Merkle trees over the records of a log (docs/spec/checkpoint.md, section 1).

    leaf hash = SHA-256(0x00 ‖ record without its newline)      node hash = SHA-256(0x01 ‖ left ‖ right)

A tree of n leaves splits at the largest power of two below n; the tree of none hashes to SHA-256 of nothing. A *complete
subtree* (level, index) has 2^level leaves and begins at leaf index × 2^level; its hash never changes once it is full. So the
complete subtrees along the right edge, the *frontier*, are all that an append or a root needs: sealing n more records
costs n leaf hashes, about n node hashes and the frontier's log₂(size).

    >>> frontier = Frontier()
    >>> frontier.extend(hash_leaf(data) for data in (b"a", b"b", b"c"))
    >>> frontier.root() == hash_node(hash_node(hash_leaf(b"a"), hash_leaf(b"b")), hash_leaf(b"c"))
    True

Proofs are made from a reader of complete subtrees' hashes, and checked with nothing but the two roots' claims. A proof does
not fix the sizes it is checked with (the same hashes may climb trees of several sizes): those come from a signed checkpoint.
Misuse is ValueError, a hash or frontier of the wrong form FormatError, a proof that does not hold TrustError.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256

from ledger.core.canonical import MAX_INTEGER
from ledger.core.lines import format_base64, parse_base64, parse_count, split_lines
from ledger.errors import FormatError, TrustError

HASH_BYTES = 32
EMPTY_ROOT = sha256(b"").digest()  # RFC 9162 section 2.1.1
MAX_SIZE = MAX_INTEGER
MAX_PROOF = MAX_SIZE.bit_length()  # no tree is higher, so no inclusion proof longer

# (level, index) → the hash of that complete subtree; whoever hands one in knows all of the tree that is asked about.
Reader = Callable[[int, int], bytes]


def hash_leaf(data: bytes) -> bytes:
    """Return the leaf hash of a record's bytes."""
    return sha256(b"\x00" + data).digest()


def hash_node(left: bytes, right: bytes) -> bytes:
    """Return the hash of the node above `left` and `right`."""
    return sha256(b"\x01" + left + right).digest()


class Frontier:
    """A tree as far as appending needs it: its size and the hashes of its right edge's complete subtrees, largest first."""

    __slots__ = ("_hashes", "_size")

    def __init__(self, size: int = 0, hashes: Iterable[bytes] = ()) -> None:
        """Continue the tree of `size` leaves whose frontier is `hashes`. Raises FormatError where the two do not fit."""
        self._size = size
        self._hashes = list(hashes)
        if not 0 <= size <= MAX_SIZE:
            raise FormatError(f"a tree of {size} leaves is outside 0 to {MAX_SIZE}")
        if len(self._hashes) != size.bit_count():
            raise FormatError(f"the frontier of {size} leaves has {size.bit_count()} hashes, not {len(self._hashes)}")
        for data in self._hashes:
            _check_hash(data)

    @property
    def size(self) -> int:
        """The number of leaves."""
        return self._size

    @property
    def hashes(self) -> tuple[bytes, ...]:
        """The hashes of the right edge's complete subtrees, largest first."""
        return tuple(self._hashes)

    def append(self, leaf_hash: bytes) -> None:
        """Append one leaf by its hash."""
        self.extend((leaf_hash,))

    def extend(self, leaf_hashes: Iterable[bytes]) -> None:
        """Append leaves by their hashes, in order."""
        # A verifier comes here for every record of every log: no call, no test and no attribute more than it takes.
        hashes, size = self._hashes, self._size
        pop, push, digest = hashes.pop, hashes.append, sha256
        try:
            for node in leaf_hashes:
                complete = size  # each trailing one bit is a subtree as large as the one just completed
                while complete & 1:
                    node = digest(b"\x01" + pop() + node).digest()
                    complete >>= 1
                push(node)
                size += 1
        finally:
            self._size = size  # where the caller's iterable raised, what came before it is in

    def root(self) -> bytes:
        """Return the root of the tree so far."""
        return _fold(self._hashes)


def format_frontier(frontier: Frontier) -> str:
    """Return the size and then each hash in base64, one a line, each line with its newline."""
    lines = [str(frontier.size), *(format_hash(data) for data in frontier.hashes)]
    return "".join(line + "\n" for line in lines)


def parse_frontier(text: str) -> Frontier:
    """Return the frontier that `text` spells. Raises FormatError for anything that `format_frontier` would not write."""
    size, *hashes = split_lines(text, MAX_PROOF + 1)
    return Frontier(parse_count(size, MAX_SIZE), [parse_hash(line) for line in hashes])


def check_inclusion(index: int, size: int, leaf_hash: bytes, proof: Sequence[bytes], root: bytes) -> None:
    """Raise TrustError unless `proof` shows that the tree of `size` leaves under `root` has `leaf_hash` at `index`."""
    for data in (leaf_hash, root, *proof):
        _check_hash(data)
    if not 0 <= index < size <= MAX_SIZE:
        raise TrustError(f"a tree of {size} leaves has no leaf {index}")
    # RFC 9162 section 2.1.3.2: `place` and `last` are the positions, level by level, of our node and of the level's last.
    place, last, node = index, size - 1, leaf_hash
    for sibling in proof:
        if last == 0:
            raise TrustError("the inclusion proof has more hashes than the tree has levels")
        if place & 1 or place == last:
            node = hash_node(sibling, node)
            place, last = _climb(place, last)
        else:
            node = hash_node(node, sibling)
        place, last = place >> 1, last >> 1
    if last:
        raise TrustError("the inclusion proof has fewer hashes than the tree has levels")
    if node != root:
        raise TrustError(f"the inclusion proof leads to the root {format_hash(node)}, not to {format_hash(root)}")


def check_consistency(size1: int, size2: int, root1: bytes, root2: bytes, proof: Sequence[bytes]) -> None:
    """Raise TrustError unless `proof` shows that the tree (`size1`, `root1`) is the beginning of (`size2`, `root2`).

    The empty tree begins every tree: for `size1` = 0 the proof must be empty and `root1` that of the empty tree, as C2SP's
    tlog-witness has it. For equal sizes the proof must be empty and the roots equal.
    """
    for data in (root1, root2, *proof):
        _check_hash(data)
    if not 0 <= size1 <= size2 <= MAX_SIZE:
        raise TrustError(f"a tree of {size2} leaves does not continue one of {size1}")
    for size, root in ((size1, root1), (size2, root2)):
        if size == 0 and root != EMPTY_ROOT:
            raise TrustError(f"{format_hash(root)} is not the root of the empty tree")
    if size1 in (0, size2):
        if proof:
            raise TrustError("the consistency proof has hashes where none is needed")
        if size1 == size2 and root1 != root2:
            raise TrustError(f"two roots of one size: {format_hash(root1)} and {format_hash(root2)}")
        return
    _check_growth(size1, size2, root1, root2, proof)


def _check_growth(size1: int, size2: int, root1: bytes, root2: bytes, proof: Sequence[bytes]) -> None:
    """Check a consistency proof for 0 < `size1` < `size2` (RFC 9162 section 2.1.4.2)."""
    # 1. Begin at the largest complete subtree that ends the old tree; where that is the old tree, its root is known.
    path = [root1, *proof] if size1.bit_count() == 1 else list(proof)
    if not path:
        raise TrustError("the consistency proof is empty")
    place, last = size1 - 1, size2 - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    # 2. Climb to both roots at once: what lies left belongs to both trees, what lies right to the new one.
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise TrustError("the consistency proof has more hashes than the tree has levels")
        if place & 1 or place == last:
            old, new = hash_node(sibling, old), hash_node(sibling, new)
            place, last = _climb(place, last)
        else:
            new = hash_node(new, sibling)
        place, last = place >> 1, last >> 1
    # 3. Both roots must come out.
    if last:
        raise TrustError("the consistency proof has fewer hashes than the tree has levels")
    if old != root1:
        raise TrustError(f"the consistency proof leads to the old root {format_hash(old)}, not to {format_hash(root1)}")
    if new != root2:
        raise TrustError(f"the consistency proof leads to the new root {format_hash(new)}, not to {format_hash(root2)}")


def build_inclusion(index: int, size: int, read: Reader) -> tuple[bytes, ...]:
    """Return the proof that leaf `index` is in the tree of `size` leaves, from the leaf's sibling upwards (RFC 6962, PATH)."""
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} leaves has no leaf {index}")
    start, end, path = 0, size, []
    while end - start > 1:
        middle = _split(start, end)
        if index < middle:
            path.append(_hash_range(middle, end, read))
            end = middle
        else:
            path.append(_hash_range(start, middle, read))
            start = middle
    return tuple(reversed(path))


def build_consistency(size1: int, size2: int, read: Reader) -> tuple[bytes, ...]:
    """Return the proof that the tree of `size1` leaves begins the one of `size2` (RFC 6962, PROOF); empty for `size1` = 0."""
    if not 0 <= size1 <= size2:
        raise ValueError(f"a tree of {size2} leaves does not continue one of {size1}")
    if size1 == 0:
        return ()
    start, end, path = 0, size2, []
    while size1 != end:
        middle = _split(start, end)
        if size1 <= middle:
            path.append(_hash_range(middle, end, read))
            end = middle
        else:
            path.append(_hash_range(start, middle, read))
            start = middle
    if start:  # the verifier knows the old root, and so the subtree that ends here, only where it is the whole old tree
        path.append(_hash_range(start, end, read))
    return tuple(reversed(path))


def build_root(size: int, read: Reader) -> bytes:
    """Return the root of the tree of the first `size` leaves."""
    return _hash_range(0, size, read)


def build_reader(leaf_hashes: Iterable[bytes]) -> Reader:
    """Return a reader of the tree over `leaf_hashes`, held in memory: 64 bytes a leaf. It raises ValueError outside the tree."""
    level = list(leaf_hashes)
    levels = [b"".join(level)]
    if len(levels[0]) != HASH_BYTES * len(level):
        raise ValueError("a leaf hash does not have 32 bytes")
    while len(level) > 1:
        level = [hash_node(left, right) for left, right in zip(level[::2], level[1::2], strict=False)]
        levels.append(b"".join(level))

    def read(level: int, index: int) -> bytes:
        data = levels[level][index * HASH_BYTES : (index + 1) * HASH_BYTES] if 0 <= level < len(levels) and index >= 0 else b""
        if not data:
            raise ValueError(f"there is no complete subtree ({level}, {index})")
        return data

    return read


def format_hash(data: bytes) -> str:
    """Return a hash in base64, as C2SP's forms write it."""
    return format_base64(data)


def parse_hash(text: str) -> bytes:
    """Return the 32 bytes that `text` spells. Raises FormatError for anything that `format_hash` would not write."""
    data = parse_base64(text, "a hash")
    _check_hash(data)
    return data


def _check_hash(data: bytes) -> None:
    if len(data) != HASH_BYTES:
        raise FormatError(f"a hash has {HASH_BYTES} bytes, not {len(data)}")


def _climb(place: int, last: int) -> tuple[int, int]:
    """Skip the levels on which a left node has no sibling, because it is the level's last."""
    while place and not place & 1:
        place, last = place >> 1, last >> 1
    return place, last


def _split(start: int, end: int) -> int:
    """Return where the tree over leaves `start` to `end` splits: behind the largest power of two below its size."""
    return start + (1 << ((end - start - 1).bit_length() - 1))


def _hash_range(start: int, end: int, read: Reader) -> bytes:
    """Return the root over leaves `start` to `end`, where `start` is a multiple of the largest power of two in the range."""
    hashes, size = [], end - start
    for level in reversed(range(size.bit_length())):
        if size >> level & 1:
            hashes.append(read(level, start >> level))
            start += 1 << level
    return _fold(hashes)


def _fold(hashes: Sequence[bytes]) -> bytes:
    """Return the root over complete subtrees, largest first."""
    if not hashes:
        return EMPTY_ROOT
    node = hashes[-1]
    for left in reversed(hashes[:-1]):
        node = hash_node(left, node)
    return node
