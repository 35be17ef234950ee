"""Merkle trees: every tree up to 64 leaves against a plain reading of RFC 6962, and every proof with every change to it."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vectors import VECTORS, find_vectors

from ledger.core.merkle import (
    EMPTY_ROOT,
    MAX_SIZE,
    Frontier,
    build_consistency,
    build_inclusion,
    build_reader,
    build_root,
    check_consistency,
    check_inclusion,
    format_frontier,
    format_hash,
    hash_leaf,
    hash_node,
    parse_frontier,
    parse_hash,
)
from ledger.errors import FormatError, TrustError

MOST = 64
SIZES = range(MOST + 1)
LEAVES = [hash_leaf(f"record {number}".encode()) for number in range(MOST)]
READ = build_reader(LEAVES)
STRANGER = hash_leaf(b"a stranger's record")


def mth(leaves: Sequence[bytes]) -> bytes:
    """RFC 6962 section 2.1, word by word, over leaf hashes."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    half = split(len(leaves))
    return sha256(b"\x01" + mth(leaves[:half]) + mth(leaves[half:])).digest()


def path(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    """RFC 6962 section 2.1.1, word by word."""
    if len(leaves) == 1:
        return []
    half = split(len(leaves))
    if index < half:
        return [*path(index, leaves[:half]), mth(leaves[half:])]
    return [*path(index - half, leaves[half:]), mth(leaves[:half])]


def subproof(size: int, leaves: Sequence[bytes], whole: bool = True) -> list[bytes]:
    """RFC 6962 section 2.1.2, word by word."""
    if size == len(leaves):
        return [] if whole else [mth(leaves)]
    half = split(len(leaves))
    if size <= half:
        return [*subproof(size, leaves[:half], whole), mth(leaves[half:])]
    return [*subproof(size - half, leaves[half:], False), mth(leaves[:half])]


def split(size: int) -> int:
    """Return the largest power of two below `size`."""
    half = 1
    while half * 2 < size:
        half *= 2
    return half


ROOTS = [mth(LEAVES[:size]) for size in SIZES]


def changed_proofs(proof: Sequence[bytes]) -> Iterator[list[bytes]]:
    """Yield every proof that is one change away: a flipped bit in each hash, one hash less, more, doubled or swapped."""
    for place, data in enumerate(proof):
        for where, bit in ((0, 0x80), (15, 0x08), (31, 0x01)):
            flipped = bytearray(data)
            flipped[where] ^= bit
            yield [*proof[:place], bytes(flipped), *proof[place + 1 :]]
        yield [*proof[:place], *proof[place + 1 :]]
        yield [*proof[:place], data, *proof[place:]]
        if place:
            yield [*proof[: place - 1], data, proof[place - 1], *proof[place + 1 :]]
    for place in range(len(proof) + 1):
        yield [*proof[:place], STRANGER, *proof[place:]]


def refuses(check: Callable[..., None], *arguments: Any) -> bool:
    """Say whether `check` raises TrustError."""
    try:
        check(*arguments)
    except TrustError:
        return True
    return False


@pytest.mark.parametrize("size", SIZES)
def test_roots_are_those_of_rfc_6962(size: int) -> None:
    """Grown leaf by leaf, or read from complete subtrees, the root is the one that the definition gives."""
    frontier = Frontier()
    for leaf in LEAVES[:size]:
        frontier.append(leaf)
    assert (frontier.size, frontier.root()) == (size, ROOTS[size])
    assert build_root(size, READ) == ROOTS[size]


def test_hashes_are_those_of_rfc_6962() -> None:
    """Leaves and nodes hash behind different bytes, and the empty tree to the hash of nothing."""
    assert hash_leaf(b"x") == sha256(b"\0x").digest()
    assert hash_node(LEAVES[0], LEAVES[1]) == sha256(b"\1" + LEAVES[0] + LEAVES[1]).digest()
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize("size1", SIZES)
def test_a_stored_frontier_goes_on(size1: int) -> None:
    """From every size to every larger one: what was stored and read back grows into the very same tree."""
    stored = Frontier()
    stored.extend(LEAVES[:size1])
    for size2 in range(size1, MOST + 1):
        frontier = parse_frontier(format_frontier(stored))
        frontier.extend(LEAVES[size1:size2])
        assert (frontier.size, frontier.root()) == (size2, ROOTS[size2])


@pytest.mark.parametrize("size", range(1, MOST + 1))
def test_every_inclusion_proof_holds_and_no_changed_one(size: int) -> None:
    """Each leaf of each tree has the RFC's proof; with anything but the size changed, the proof is refused."""
    root = ROOTS[size]
    for index in range(size):
        leaf, proof = LEAVES[index], build_inclusion(index, size, READ)
        assert list(proof) == path(index, LEAVES[:size])
        check_inclusion(index, size, leaf, proof, root)
        for other in range(size + 2):
            assert other == index or refuses(check_inclusion, other, size, leaf, proof, root)
        for other_leaf in (STRANGER, LEAVES[index - 1] if size > 1 else root[::-1]):
            assert refuses(check_inclusion, index, size, other_leaf, proof, root)
        for other_root in (STRANGER, EMPTY_ROOT, ROOTS[size - 1]):
            assert refuses(check_inclusion, index, size, leaf, proof, other_root)
        for changed in changed_proofs(proof):
            assert refuses(check_inclusion, index, size, leaf, changed, root)


@pytest.mark.parametrize("size2", range(1, MOST + 1))
def test_every_consistency_proof_holds_and_no_changed_one(size2: int) -> None:
    """Each tree begins each larger one by the RFC's proof; with anything but the sizes changed, the proof is refused."""
    root2 = ROOTS[size2]
    for size1 in range(1, size2 + 1):
        root1, proof = ROOTS[size1], build_consistency(size1, size2, READ)
        assert list(proof) == subproof(size1, LEAVES[:size2])
        check_consistency(size1, size2, root1, root2, proof)
        for other in (STRANGER, EMPTY_ROOT, ROOTS[size1 - 1]):
            assert refuses(check_consistency, size1, size2, other, root2, proof)
            assert refuses(check_consistency, size1, size2, root1, other, proof)
        if size1 < size2:
            assert refuses(check_consistency, size1, size2, root2, root1, proof)
            assert refuses(check_consistency, size2, size1, root2, root1, proof)
        for changed in changed_proofs(proof):
            assert refuses(check_consistency, size1, size2, root1, root2, changed)


def test_a_forked_log_has_no_consistency_proof() -> None:
    """Where one record of the past was changed, not even the proof that the forger makes leads to the old root."""
    for size in range(1, MOST):
        forged = [*LEAVES[: size - 1], STRANGER, *LEAVES[size:]]
        proof = build_consistency(size, MOST, build_reader(forged))
        with pytest.raises(TrustError, match=r"the (old|new) root"):
            check_consistency(size, MOST, ROOTS[size], mth(forged), proof)


def test_the_size_comes_from_the_checkpoint_and_not_from_the_proof() -> None:
    """A proof for eight leaves climbs seven just as well, so a size that nobody signed must never be believed."""
    proof = build_inclusion(0, 8, READ)
    check_inclusion(0, 7, LEAVES[0], proof, ROOTS[8])
    with pytest.raises(TrustError, match="more hashes"):
        check_inclusion(0, 4, LEAVES[0], proof, ROOTS[8])
    with pytest.raises(TrustError, match="fewer hashes"):
        check_inclusion(0, 9, LEAVES[0], proof, ROOTS[8])


@pytest.mark.parametrize("size2", SIZES)
def test_the_empty_tree_begins_every_tree(size2: int) -> None:
    """From size 0 the proof is empty and the first root the empty tree's; nothing else is accepted."""
    assert build_consistency(0, size2, READ) == ()
    check_consistency(0, size2, EMPTY_ROOT, ROOTS[size2], ())
    with pytest.raises(TrustError, match="none is needed"):
        check_consistency(0, size2, EMPTY_ROOT, ROOTS[size2], (STRANGER,))
    with pytest.raises(TrustError, match="empty tree"):
        check_consistency(0, size2, STRANGER, ROOTS[size2], ())


@pytest.mark.parametrize("index, size", [(-1, 4), (4, 4), (0, 0), (5, 4), (0, -1), (0, MAX_SIZE + 1)])
def test_no_leaf_outside_the_tree(index: int, size: int) -> None:
    """Positions outside a tree, and trees outside the limits, are refused."""
    with pytest.raises(TrustError, match="has no leaf"):
        check_inclusion(index, size, LEAVES[0], (), LEAVES[0])
    if size <= MAX_SIZE:
        with pytest.raises(ValueError, match="has no leaf"):
            build_inclusion(index, size, READ)


@pytest.mark.parametrize("size1, size2", [(-1, 4), (5, 4), (0, MAX_SIZE + 1), (-2, -1)])
def test_no_tree_shrinks(size1: int, size2: int) -> None:
    """Sizes that go back, or lie outside the limits, are refused."""
    with pytest.raises(TrustError, match="does not continue"):
        check_consistency(size1, size2, LEAVES[0], LEAVES[0], ())
    if size2 <= MAX_SIZE:
        with pytest.raises(ValueError, match="does not continue"):
            build_consistency(size1, size2, READ)


def test_the_largest_tree_is_checked_in_bounded_work() -> None:
    """At the largest size a proof has 53 hashes, and one hash more is refused."""
    node, proof = LEAVES[0], [STRANGER] * 53
    for sibling in proof:
        node = hash_node(node, sibling)
    check_inclusion(0, MAX_SIZE, LEAVES[0], proof, node)
    with pytest.raises(TrustError, match="more hashes"):
        check_inclusion(0, MAX_SIZE, LEAVES[0], [*proof, STRANGER], node)


@pytest.mark.parametrize("data", [b"", b"short", LEAVES[0] + b"\0"], ids=["nothing", "short", "long"])
def test_what_is_no_hash_is_malformed(data: bytes) -> None:
    """A hash has 32 bytes wherever it stands."""
    good = LEAVES[0]
    for leaf, proof, root in ((data, (), good), (good, (data,), good), (good, (), data)):
        with pytest.raises(FormatError, match="32 bytes"):
            check_inclusion(0, 1, leaf, proof, root)
    for root1, root2, proof in ((data, good, ()), (good, data, ()), (good, good, (data,))):
        with pytest.raises(FormatError, match="32 bytes"):
            check_consistency(1, 2, root1, root2, proof)
    with pytest.raises(FormatError, match="32 bytes"):
        Frontier(1, [data])
    with pytest.raises(ValueError, match="32 bytes"):
        build_reader([data])


def test_a_reader_ends_where_its_tree_does() -> None:
    """Subtrees that are not complete, or not there, are the caller's mistake."""
    read = build_reader(LEAVES[:5])
    assert read(2, 0) == ROOTS[4]
    assert read(0, 4) == LEAVES[4]
    for level, index in ((2, 1), (0, 5), (3, 0), (-1, 0), (0, -1), (1, 2)):
        with pytest.raises(ValueError, match="no complete subtree"):
            read(level, index)


def test_a_frontier_survives_a_source_that_fails() -> None:
    """Where reading the records breaks off, what came before is in and the tree can go on."""

    def broken() -> Iterator[bytes]:
        yield from LEAVES[:11]
        raise OSError("the disk")

    frontier = Frontier()
    with pytest.raises(OSError, match="the disk"):
        frontier.extend(broken())
    assert (frontier.size, frontier.root()) == (11, ROOTS[11])
    frontier.extend(LEAVES[11:])
    assert frontier.root() == ROOTS[MOST]


@pytest.mark.parametrize("size", SIZES)
def test_frontiers_are_twins(size: int) -> None:
    """What was formatted parses to the same frontier, and formats to the same text; no truncation of it parses."""
    frontier = Frontier()
    frontier.extend(LEAVES[:size])
    text = format_frontier(frontier)
    again = parse_frontier(text)
    assert (again.size, again.hashes) == (size, frontier.hashes)
    assert format_frontier(again) == text
    for end in range(len(text)):
        with pytest.raises(FormatError):
            parse_frontier(text[:end])


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("\n", id="an empty size"),
        pytest.param("00\n", id="a leading zero"),
        pytest.param("+0\n", id="a sign"),
        pytest.param("٠\n", id="other digits"),
        pytest.param("-1\n", id="a negative size"),
        pytest.param("9007199254740992\n", id="2^53"),
        pytest.param("9" * 5000 + "\n", id="5,000 digits"),
        pytest.param("0\n\n", id="an empty hash"),
        pytest.param("0", id="no newline"),
        pytest.param(f"2\n{format_hash(LEAVES[0])}\n{format_hash(LEAVES[0])}\n", id="a hash too many"),
        pytest.param("3\n" + format_hash(LEAVES[0]) + "\n", id="a hash too few"),
        pytest.param("1\n" + format_hash(LEAVES[0]).rstrip("=") + "\n", id="no padding"),
        pytest.param("1\n" + format_hash(LEAVES[0])[:-2] + "B=\n", id="loose last bits"),
        pytest.param("1\n" + LEAVES[0].hex() + "\n", id="hex"),
        pytest.param(f"1\n{format_hash(LEAVES[0])}\r\n", id="a carriage return"),
        pytest.param("1\n" + "x\n" * 1000, id="a thousand lines"),
    ],
)
def test_other_frontiers_are_refused(text: str) -> None:
    """Anything that would not be written is not read."""
    with pytest.raises(FormatError):
        parse_frontier(text)


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.text(max_size=200) | st.from_regex(r"[0-9]{1,3}\n([A-Za-z0-9+/]{43}=\n){0,4}", fullmatch=True))
def test_any_text_is_a_frontier_or_malformed(text: str) -> None:
    """Whatever is read is FormatError, or formats back to the very same text."""
    try:
        frontier = parse_frontier(text)
    except FormatError:
        return
    assert format_frontier(frontier) == text


@settings(derandomize=True, deadline=None, max_examples=300)
@given(
    st.integers(-2, 70),
    st.integers(-2, 70),
    st.lists(st.sampled_from([*LEAVES[:8], *ROOTS[:9], b"", b"\0" * 31]), max_size=9),
    st.sampled_from([*ROOTS, b""]),
    st.sampled_from([*ROOTS, b""]),
)
def test_no_proof_makes_a_check_crash(size1: int, size2: int, proof: list[bytes], root1: bytes, root2: bytes) -> None:
    """Whatever is claimed is refused by one of our errors, or is a proof that we would have made ourselves."""
    try:
        check_consistency(size1, size2, root1, root2, proof)
        assert size1 == 0 or size1 <= size2
    except (FormatError, TrustError):
        pass
    try:
        check_inclusion(size1, size2, root1, proof, root2)
        assert 0 <= size1 < size2
    except (FormatError, TrustError):
        pass


def test_hashes_have_one_spelling() -> None:
    """Base64 that another writer might have written is refused."""
    text = format_hash(LEAVES[0])
    assert parse_hash(text) == LEAVES[0]
    for other in (text + "\n", " " + text, text[:-1], text + "=", text.replace("=", "A"), "é" * 44):
        with pytest.raises(FormatError):
            parse_hash(other)


# The public vectors. One of their good ones has roots of 12 bytes, which are no hashes here:
NO_HASHES = "consistency/additional/sizes-are-equal-one-and-proof-is-empty.json"
# Three bad ones are bad because no proof begins at size 0. Here an empty one does, from the empty tree's root, as C2SP's
# tlog-witness has it; these three are still refused, but for their roots, which are no hashes either.
SIZE1_ZERO = {
    "consistency/additional/size1-is-zero-and-does-not-equal-size2.json": 1,
    "consistency/additional/size1-is-zero-and-size2-is-not-zero.json": 1,
    "consistency/additional/sizes-are-equal-zero-and-proof-is-empty.json": 0,
}


def find_cases(kind: str) -> list[Any]:
    """Return the vectors of `kind` as parameters; one that skips where they are absent."""
    paths = sorted((VECTORS / "merkle" / kind).rglob("*.json"))
    names = [str(path.relative_to(VECTORS / "merkle")) for path in paths]
    return [pytest.param(name, id=name) for name in names] or [pytest.param("", id="absent")]


def read_case(name: str) -> dict[str, Any]:
    """Return the vector `name`; skip the test where the vectors are absent."""
    case: dict[str, Any] = json.loads((find_vectors("merkle") / name).read_text("utf-8"))
    for member in ("root", "root1", "root2", "leafHash"):
        if member in case:
            case[member] = b64decode(case[member])
    case["proof"] = [b64decode(data) for data in case["proof"] or ()]
    return case


@pytest.mark.parametrize("name", find_cases("inclusion"))
def test_the_public_inclusion_vectors(name: str) -> None:
    """All 98: the good ones hold, the bad ones are refused."""
    case = read_case(name)
    arguments = case["leafIdx"], case["treeSize"], case["leafHash"], case["proof"], case["root"]
    if case["wantErr"]:
        with pytest.raises((FormatError, TrustError)):
            check_inclusion(*arguments)
    else:
        check_inclusion(*arguments)


@pytest.mark.parametrize("name", find_cases("consistency"))
def test_the_public_consistency_vectors(name: str) -> None:
    """All 98: the good ones hold, the bad ones are refused; the one deviation is named above."""
    case = read_case(name)
    arguments = case["size1"], case["size2"], case["root1"], case["root2"], case["proof"]
    if case["wantErr"] or name == NO_HASHES:
        with pytest.raises((FormatError, TrustError)):
            check_consistency(*arguments)
    else:
        check_consistency(*arguments)


@pytest.mark.parametrize("name, size2", SIZE1_ZERO.items(), ids=lambda value: Path(str(value)).stem)
def test_three_public_vectors_are_refused_for_another_reason(name: str, size2: int) -> None:
    """Their shape (nothing, then something, and no hashes) holds with real roots; theirs are not hashes."""
    case = read_case(name)
    assert (case["size1"], case["size2"], case["proof"], case["wantErr"]) == (0, size2, [], True)
    with pytest.raises(FormatError, match="32 bytes"):
        check_consistency(0, size2, case["root1"], case["root2"], case["proof"])
    check_consistency(0, size2, EMPTY_ROOT, ROOTS[size2], case["proof"])


def test_one_public_vector_is_refused_for_its_roots() -> None:
    """Two equal roots of one size and no proof: good there and here, but for the 12 bytes that stand for the roots."""
    case = read_case(NO_HASHES)
    assert (case["size1"], case["size2"], case["proof"], case["wantErr"]) == (1, 1, [], False)
    with pytest.raises(FormatError, match="not 12"):
        check_consistency(1, 1, case["root1"], case["root2"], [])
    check_consistency(1, 1, ROOTS[1], ROOTS[1], [])


def test_the_public_vectors_are_all_there() -> None:
    """98 inclusion and 98 consistency vectors, as their folder says."""
    find_vectors("merkle")
    assert [len(find_cases(kind)) for kind in ("inclusion", "consistency")] == [98, 98]
