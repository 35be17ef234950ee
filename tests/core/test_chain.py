"""The chain: a good log has no break, and every tampering has one with a name."""

from __future__ import annotations

from typing import Any

import pytest
import simulator
from simulator import LogSimulator, drop, duplicate, members_of, resign_with_stranger, swap, truncate

from ledger.core.chain import Break, Chain
from ledger.core.ed25519 import check_sshsig, public_key_of, sign_sshsig
from ledger.core.entry import hash_record, log_id, parse_record
from ledger.core.sshsig import ENTRY_NAMESPACE, ROTATION_NAMESPACE, fingerprint, format_armoured, parse_public_key
from ledger.errors import TrustError

SIZE = 12


def make_log(rotate_at: int | None = 6) -> LogSimulator:
    """Return a log of SIZE records, with a rotation at `rotate_at`."""
    sim = LogSimulator()
    while len(sim.records()) < SIZE:
        if len(sim.records()) == rotate_at:
            sim.rotate()
        else:
            sim.append("prompt.submitted", {"n": len(sim.records())}, payloads={"prompt": b"p"})
    return sim


def follow(records: list[bytes], log: str) -> list[tuple[int, str]]:
    """Return (seq, code) of every break, with `signature.bad` where the signature is not that of the key in force."""
    chain, found = Chain(log, check_sshsig), []
    for data in records:
        entry, entry_bytes, signature = parse_record(data)
        key = chain.public_key
        breaks: list[Break] = chain.follow(entry, hash_record(data), log_id(entry_bytes) if entry.seq == 0 else None)
        found += [(entry.seq, each.code) for each in breaks]
        if key is None:
            key = chain.public_key
        try:
            if key is None:
                raise TrustError("no key is in force")
            check_sshsig(key, ENTRY_NAMESPACE, entry_bytes, signature)
        except TrustError:
            found.append((entry.seq, "signature.bad"))
    return found


@pytest.mark.parametrize("rotate_at", [None, 1, 6, SIZE - 1])
def test_a_good_log_has_no_break(rotate_at: int | None) -> None:
    """Records in order, with or without a rotation, give nothing to report."""
    sim = make_log(rotate_at)
    assert follow(sim.records(), sim.name) == []


def test_the_chain_knows_its_state() -> None:
    """After following, it has the size, the head and the key that signs next."""
    sim = make_log()
    chain = Chain(sim.name, check_sshsig)
    for data in sim.records():
        entry, entry_bytes, _ = parse_record(data)
        assert chain.follow(entry, hash_record(data), log_id(entry_bytes) if entry.seq == 0 else None) == []
    assert (chain.size, chain.head, chain.key) == (SIZE, hash_record(sim.records()[-1]), sim.key)
    assert chain.public_key == parse_public_key(sim.public_key)


@pytest.mark.parametrize("size", range(1, SIZE + 1))
def test_a_cut_tail_cannot_be_seen_from_inside(size: int) -> None:
    """A log that was cut is a good log: only something outside it shows the cut."""
    sim = make_log()
    assert follow(truncate(sim.records(), size), sim.name) == []


@pytest.mark.parametrize("seq", range(1, SIZE - 1))
def test_a_dropped_record(seq: int) -> None:
    """Exactly the record behind the gap is reported, unless it was the rotation that vanished."""
    sim = make_log()
    found = follow(drop(sim.records(), seq), sim.name)
    assert found[:2] == [(seq + 1, "chain.seq"), (seq + 1, "chain.prev")]
    assert {code for _, code in found[2:]} == ({"key.unexpected", "signature.bad"} if seq == 6 else set())


def test_a_dropped_genesis() -> None:
    """Without a genesis nothing says which key signs."""
    sim = make_log(None)
    found = follow(drop(sim.records(), 0), sim.name)
    assert found[:3] == [(1, "chain.seq"), (1, "chain.prev"), (1, "signature.bad")]


@pytest.mark.parametrize("seq", range(1, SIZE - 1))
def test_swapped_records(seq: int) -> None:
    """Neighbours that changed places are reported by number and by link."""
    sim = make_log(None)
    found = follow(swap(sim.records(), seq, seq + 1), sim.name)
    assert {code for _, code in found} == {"chain.seq", "chain.prev"}
    assert found[0] == (seq + 1, "chain.seq")


@pytest.mark.parametrize("seq", range(1, SIZE))
def test_a_record_that_occurs_twice(seq: int) -> None:
    """A replay inside the log breaks number and link once."""
    sim = make_log(None)
    found = follow(duplicate(sim.records(), seq), sim.name)
    assert (seq, "chain.seq") in found
    assert (seq, "chain.prev") in found


def test_a_second_genesis() -> None:
    """Starting over in the middle is a break."""
    sim = make_log(None)
    records = sim.records()
    assert (0, "chain.seq") in follow([*records, *records], sim.name)


@pytest.mark.parametrize("seq", range(1, SIZE - 1))
def test_a_fork_that_is_spliced_in(seq: int) -> None:
    """A record of another history of the same log does not carry the records behind it."""
    sim = make_log(None)
    records = [*sim.fork(seq), *sim.records()[seq + 1 :]]
    assert follow(records, sim.name) == [(seq + 1, "chain.prev")]


def test_a_whole_fork_is_a_good_log() -> None:
    """The key holder can write another history: only an anchor tells the two apart."""
    sim = make_log()
    assert follow(sim.fork(4), sim.name) == []
    assert sim.fork(4)[4] != sim.records()[4]


@pytest.mark.parametrize("seq", range(1, SIZE))
def test_a_stranger_signs(seq: int) -> None:
    """A record that names the log's key and bears another's signature is not believed."""
    sim = make_log(None)
    found = follow(resign_with_stranger(sim.records(), seq), sim.name)
    assert found[0] == (seq, "signature.bad")


@pytest.mark.parametrize("seq", range(1, SIZE))
def test_a_stranger_signs_in_his_own_name(seq: int) -> None:
    """A record that names another key is reported as such."""
    sim = make_log(None)
    found = follow(resign_with_stranger(sim.records(), seq, claim=True), sim.name)
    assert found[:2] == [(seq, "key.unexpected"), (seq, "signature.bad")]


def test_the_old_key_signs_behind_a_rotation() -> None:
    """After a rotation only the new key may sign."""
    sim = make_log(None)
    old = sim.key
    sim.rotate()
    record = sim.sign(sim.members("plan.updated", key=old), old)
    seq = len(sim.records())
    assert follow([*sim.records(), record], sim.name) == [(seq, "key.unexpected"), (seq, "signature.bad")]


def proofs(sim: LogSimulator) -> dict[str, dict[str, Any]]:
    """Return ways to rotate without a right proof."""
    stranger = bytes(range(32))
    public_key = parse_public_key(sim.public_key)
    return {
        "no proof": {"proof": ""},
        "junk": {"proof": "-----BEGIN SSH SIGNATURE-----\n"},
        "over another record": {"proof_prev": hash_record(sim.records()[0])},
        "made by a stranger": {"signer": stranger},
        "of the old key": {"proof": format_armoured(public_key, ROTATION_NAMESPACE, bytes(64))},
        "a bad signature": {"proof": format_armoured(bytes(32), ROTATION_NAMESPACE, bytes(64))},
    }


@pytest.mark.parametrize("case", proofs(LogSimulator()))
def test_a_rotation_without_proof(case: str) -> None:
    """A key that does not prove that it agrees comes not into force, so what it signs is refused too."""
    sim = make_log(None)
    seq = sim.rotate(**proofs(sim)[case])
    assert follow(sim.records(), sim.name) == [(seq, "key.rotation")]
    sim.append("plan.updated")
    assert follow(sim.records(), sim.name)[1:] == [(seq + 1, "key.unexpected"), (seq + 1, "signature.bad")]


def test_a_proof_for_entries_is_no_proof() -> None:
    """The rotation's namespace keeps an entry's signature from serving as a proof."""
    sim = make_log(None)
    seed = bytes(32)
    signature = sign_sshsig(seed, ENTRY_NAMESPACE, hash_record(sim.records()[-1]).encode())
    seq = sim.rotate(proof=format_armoured(public_key_of(seed), ENTRY_NAMESPACE, signature))
    assert follow(sim.records(), sim.name) == [(seq, "key.rotation")]


@pytest.mark.parametrize(
    "public_key",
    [
        "",
        "ssh-rsa AAAA",
        None,
        1,
        ["ssh-ed25519"],
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    ],
    ids=["empty", "rsa", "null", "a number", "a list", "small order"],
)
def test_a_genesis_without_a_usable_key(public_key: Any) -> None:
    """A log whose genesis names no sound Ed25519 key cannot be believed."""
    sim = LogSimulator(public_key=public_key)
    assert follow(sim.records(), sim.name) == [(0, "genesis.key"), (0, "signature.bad")]


def test_a_genesis_that_names_another_key_than_its_own() -> None:
    """The genesis is signed by the key it announces."""
    sim = LogSimulator()
    other = LogSimulator(public_key=sim.public_key)
    assert follow(other.records(), other.name) == [(0, "key.unexpected"), (0, "signature.bad")]


def test_a_log_that_begins_with_something_else() -> None:
    """Only log.opened can be a genesis."""
    sim = LogSimulator()
    sim._records.clear()
    sim.name = ""
    sim.append("prompt.submitted")
    name = log_id(parse_record(sim.records()[0]).entry_bytes)
    assert (0, "genesis.kind") in follow(sim.records(), name)


def test_a_log_that_is_opened_again() -> None:
    """log.opened occurs once."""
    sim = make_log(None)
    seq = sim.append("log.opened", {"public_key": sim.public_key})
    assert follow(sim.records(), sim.name) == [(seq, "genesis.kind")]


def test_records_of_another_log() -> None:
    """A record replayed from another log is known by its log, its link and its key."""
    sim, other = make_log(None), make_log(None)
    records = [*sim.records()[:5], *other.records()[5:6], *sim.records()[6:]]
    found = follow(records, sim.name)
    assert [code for seq, code in found if seq == 5] == ["chain.prev", "log.id", "key.unexpected", "signature.bad"]


def test_a_log_under_another_name() -> None:
    """A log that is not the one asked for says so at its genesis."""
    sim = make_log(None)
    assert follow(sim.records(), "0" * 32)[0] == (0, "log.id")


def test_editing_without_the_key() -> None:
    """A changed body breaks the signature of its record and the link of the next."""
    sim = make_log(None)
    members = members_of(sim.records()[3])
    members["body"]["n"] = 99
    stranger = simulator.resign_with_stranger([sim.sign(members)], 0)
    records = [*sim.records()[:3], *stranger, *sim.records()[4:]]
    assert follow(records, sim.name) == [(3, "signature.bad"), (4, "chain.prev")]


@pytest.mark.parametrize("seq", [1, 4, 6, 8, SIZE - 1])
def test_editing_with_the_key_cannot_be_seen_from_inside(seq: int) -> None:
    """Edit and rehash by the key holder gives a good log with another head."""
    sim = make_log()
    records = sim.edit_and_rehash(seq, lambda members: members["body"].update(edited=True))
    assert follow(records, sim.name) == []
    assert [hash_record(data) for data in records[:seq]] == [hash_record(data) for data in sim.records()[:seq]]
    assert all(mine != theirs for mine, theirs in zip(sim.records()[seq:], records[seq:], strict=True))
    assert follow(sim.backdate(seq), sim.name) == []


def test_an_edited_genesis_is_another_log() -> None:
    """The name depends on every byte of the genesis."""
    sim = make_log()
    records = sim.edit_and_rehash(0, lambda members: members["body"].update(roots=[]))
    assert follow(records, sim.name)[0] == (0, "log.id")
    assert follow(records, log_id(parse_record(records[0]).entry_bytes)) == []


def test_a_log_made_anew_under_a_stranger_s_key() -> None:
    """The whole log signed again is good in itself, and has another name and another key."""
    sim = make_log(None)
    records = simulator.adopt(sim.records())
    name = log_id(parse_record(records[0]).entry_bytes)
    assert follow(records, name) == []
    assert name != sim.name
    assert parse_record(records[0]).entry.key != sim.key
    assert follow(records, sim.name)[0] == (0, "log.id")


def test_one_change_is_not_a_thousand_findings() -> None:
    """After a break the chain goes on from what it found."""
    sim = LogSimulator()
    for _ in range(50):
        sim.append("plan.updated")
    assert len(follow(drop(sim.records(), 10), sim.name)) == 2


def test_the_break_says_what_was_expected_and_found() -> None:
    """An auditor reads both sides."""
    sim = make_log(None)
    chain = Chain(sim.name, check_sshsig)
    entry, entry_bytes, _ = parse_record(sim.records()[0])
    chain.follow(entry, hash_record(sim.records()[0]), log_id(entry_bytes))
    stranger = parse_record(resign_with_stranger(sim.records(), 1, claim=True)[1]).entry
    (only,) = chain.follow(stranger, "f" * 64)
    assert (only.code, only.expected, only.found) == ("key.unexpected", sim.key, stranger.key)
    assert only.expected == fingerprint(parse_public_key(sim.public_key))


def test_a_version_never_goes_down() -> None:
    """Behind an entry of a newer version, one of an older version is a break; the newest that was met stays what counts."""
    sim = make_log(None)
    chain = Chain(sim.name, check_sshsig)
    versions = [1, 1, 2, 1, 2, 3, 2]
    found = []
    for v, data in zip(versions, sim.records(), strict=False):
        entry = parse_record(data).entry._replace(v=v)
        breaks = chain.follow(entry, hash_record(data), None if entry.seq else sim.name)
        found += [(entry.seq, each.code, each.expected, each.found) for each in breaks]
    assert found == [(3, "version.downgrade", "2", "1"), (6, "version.downgrade", "3", "2")]
