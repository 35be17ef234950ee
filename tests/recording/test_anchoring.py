"""`ledger anchor --tag`: a signed tag that quotes the ends of the sealed logs."""

from __future__ import annotations

from typing import Any

import pytest
from desk import Desk

from ledger.core.entry import hash_record, parse_record
from ledger.core.signers import format_signer
from ledger.core.sshsig import parse_public_key
from ledger.core.trailer import Head, find_trailers
from ledger.errors import Refused
from ledger.recorder import Recorder
from ledger.recording.anchoring import Anchored, anchor_tag, resolve


def anchor(desk: Desk, name: str = "v1") -> Anchored:
    """Anchor the logs of a clone in a tag on HEAD."""
    with Recorder.open(str(desk.path), state=str(desk.state)) as recorder:
        return anchor_tag(recorder, name, resolve(desk.repo, "HEAD"))


def test_the_tag_quotes_the_last_sealed_record(sandbox: Any) -> None:
    """The tag names HEAD, quotes the record that was last when it was made, and git itself accepts its signature."""
    desk = Desk.begin(sandbox, stubs=False)
    last = desk.records()[-1]
    done = anchor(desk)
    assert done.heads == (Head(desk.log, 0, hash_record(last)),)
    message = desk.git("for-each-ref", "--format=%(contents:body)", "refs/tags/v1")
    assert [head for _, head in find_trailers(message)] == list(done.heads)
    assert desk.git("rev-parse", "v1^{commit}") == desk.git("rev-parse", "HEAD")
    allowed = sandbox.root / "allowed"
    key = parse_public_key(str(parse_record(desk.records()[0]).entry.body["public_key"]))
    allowed.write_text(format_signer("ledger-robin", key) + "\n")
    desk.git("-c", f"gpg.ssh.allowedSignersFile={allowed}", "verify-tag", "v1")


def test_the_log_says_that_it_was_anchored(sandbox: Any) -> None:
    """The anchor is an entry of its own, with the heads that were quoted."""
    desk = Desk.begin(sandbox, stubs=False)
    done = anchor(desk)
    entry = desk.one("checkpoint.anchored")
    assert done.entry == f"{desk.log}/{entry.seq}"
    assert entry.body["oid"] == done.oid == desk.git("rev-parse", "v1")
    assert entry.body["heads"] == [{"log": desk.log, "seq": 0, "hash": done.heads[0].hash}]


@pytest.mark.parametrize("name", ["v1", "a b", "-x", "", "x..y"])
def test_a_tag_is_never_moved_nor_misnamed(sandbox: Any, name: str) -> None:
    """A name that is taken, or that git would not take, is refused, and nothing is made."""
    desk = Desk.begin(sandbox, stubs=False)
    before = desk.git("commit-tree", "-m", "other", "HEAD^{tree}")
    desk.git("update-ref", "refs/tags/v1", before)
    with pytest.raises(Refused):
        anchor(desk, name)
    assert desk.git("for-each-ref", "--format=%(refname) %(objectname)", "refs/tags") == f"refs/tags/v1 {before}"
    assert desk.entries("checkpoint.anchored") == []


def test_a_revision_that_is_none_is_refused(sandbox: Any) -> None:
    """Only a commit can be tagged, and no option of git's can be smuggled in."""
    desk = Desk.begin(sandbox, stubs=False)
    for revision in ("nope", "--all", ""):
        with pytest.raises(Refused):
            resolve(desk.repo, revision)
