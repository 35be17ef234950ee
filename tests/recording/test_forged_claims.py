"""An agent that gives itself out for another does not shift its commits onto that one."""

from __future__ import annotations

import pytest
from desk import Desk, someone_else


@pytest.mark.parametrize("call", [{}, {"CODEX_TOOL_CALL_ID": "theirs"}], ids=["session", "call"])
def test_a_claim_that_contradicts_the_processes_is_not_believed(desk: Desk, call: dict[str, str]) -> None:
    """The commit goes to the call whose agent made it, as inferred; the claim stays on record."""
    with someone_else() as honest, someone_else() as forger:
        honest.tell(desk, desk.before("theirs", session_id="honest"))
        forger.tell(desk, desk.before("mine", session_id="forger"))
        forger.git(desk, "commit", "-q", "--allow-empty", "-m", "not me", CODEX_SESSION_ID="honest", **call)
    made = desk.of_commit(desk.git("rev-parse", "HEAD"))
    assert (made.session, made.call) == ("forger", "mine")
    assert made.body["basis"] == {"session": "inferred", "call": "inferred"}
    assert made.body["claims"]["session"] == "honest"
    desk.check()


def test_another_call_of_the_same_session_keeps_the_claim(desk: Desk) -> None:
    """Two agents of one session at work: whose commit it is shows by its processes, and what was claimed is kept."""
    with someone_else() as first, someone_else() as second:
        first.tell(desk, desk.before("c1"))
        second.tell(desk, desk.before("c2"))
        second.git(desk, "commit", "-q", "--allow-empty", "-m", "x", CODEX_SESSION_ID=desk.session, CODEX_TOOL_CALL_ID="c1")
    made = desk.of_commit(desk.git("rev-parse", "HEAD"))
    assert made.call == "c2" and made.body["claims"]["call"] == "c1"


def test_a_true_claim_is_observed(desk: Desk) -> None:
    """Where claim and processes agree nothing is inferred, also beside another agent's open call."""
    with someone_else() as one, someone_else() as other:
        one.tell(desk, desk.before("c1", session_id="one"))
        other.tell(desk, desk.before("c2", session_id="other"))
        one.git(desk, "commit", "-q", "--allow-empty", "-m", "x", CODEX_SESSION_ID="one", CODEX_TOOL_CALL_ID="c1")
    made = desk.of_commit(desk.git("rev-parse", "HEAD"))
    assert (made.session, made.call) == ("one", "c1") and "basis" not in made.body and "claims" not in made.body
