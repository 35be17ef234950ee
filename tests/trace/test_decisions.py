"""What surfaces say of one call: alike it is one approval, differently it is a contradiction that the answer states."""

from __future__ import annotations

from typing import Any

import pytest
from story import Story

from ledger.repo.gitdir import find_repository
from ledger.store.state import find_clone
from ledger.trace.build import build_trace
from ledger.trace.logs import Logs


class Scene:
    """A call for which leave was asked, in a session that then commits."""

    def __init__(self, sandbox: Any, outcome: str = "finished") -> None:
        self.story = Story(sandbox)
        self.sandbox = sandbox
        self.story.start()
        self.story.ask("go")
        self.call = self.story.call("Bash", {"command": "make"}, outcome)
        self.asked = self.story.add(
            "approval.requested", {"tool": "Bash"}, {"input": b"{}"}, call=self.call.name, cause=self.call.request
        )

    def decide(self, source: str, decision: str, decider: str, scope: str = "once", *, basis: dict[str, str] | None = None) -> int:
        """Record what a surface says."""
        body = {"decision": decision, "scope": scope, "decider": decider, "basis": basis or {}}
        return self.story.add(
            "approval.decided", body, call=self.call.name, cause=self.asked, source=source, actor={"type": "unknown"}
        )

    def trace(self) -> dict[str, Any]:
        """Commit, and answer."""
        commit = self.story.call("Bash", {"command": "git commit"}, open=True)
        oid = self.story.commit("done", {"a": "1\n"}, inside=commit)
        self.story.finish(commit, "Bash")
        self.story.write()
        repo = find_repository(str(self.story.repo))
        state = str(self.sandbox.state)
        with Logs(state, find_clone(state, repo.common_dir).clone) as logs:
            return dict(build_trace(repo, logs, oid))


def approvals(trace: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Return (decision, scope, decider, source) of each approval."""
    return [tuple(item[name] for name in ("decision", "scope", "decider", "source")) for item in trace["approvals"]]


def test_statements_that_agree_are_one_approval(sandbox: Any) -> None:
    """The one that knows most stands for all: a decider, and a scope that was said and not concluded."""
    scene = Scene(sandbox)
    scene.decide("transcript", "approved", "unknown")
    scene.decide("otel", "approved", "human", "once", basis={"scope": "inferred"})
    scene.decide("mcp", "approved", "human", "session")
    trace = scene.trace()
    assert approvals(trace) == [("approved", "session", "human", "mcp")]
    assert trace["contradictions"] == []
    assert trace["ran"][0]["approval"] == trace["approvals"][0]["entry"]


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (("denied", "human"), ("approved", "policy"), ("denied by human for once", "approved by policy for once")),
        (("approved", "human"), ("approved", "policy"), ("approved by human", "approved by policy")),
    ],
)
def test_statements_that_differ_are_both_shown_and_said(sandbox: Any, first: Any, second: Any, words: Any) -> None:
    """Another decision or another decider on another surface is never chosen silently."""
    scene = Scene(sandbox, outcome="denied" if first[0] == "denied" else "finished")
    one, two = scene.decide("transcript", *first), scene.decide("otel", *second)
    trace = scene.trace()
    assert len(trace["approvals"]) == 2
    said = " ".join(trace["contradictions"])
    assert all(word in said for word in words)
    assert f"/{one})" in said and f"/{two})" in said


def test_two_decisions_of_one_surface_are_no_contradiction(sandbox: Any) -> None:
    """A rule first, and a person when the sandbox had refused it: both count, on each surface."""
    scene = Scene(sandbox)
    scene.decide("otel", "approved", "policy")
    scene.decide("otel", "approved", "human")
    scene.decide("transcript", "approved", "human")
    trace = scene.trace()
    assert sorted(item["decider"] for item in trace["approvals"]) == ["human", "policy"]
    assert trace["contradictions"] == []


@pytest.mark.parametrize(("decision", "outcome"), [("denied", "finished"), ("approved", "denied")])
def test_a_result_against_the_decision_is_said(sandbox: Any, decision: str, outcome: str) -> None:
    """A call that was denied and ran, or was approved and denied."""
    scene = Scene(sandbox, outcome)
    scene.decide("otel", decision, "human")
    (sentence,) = scene.trace()["contradictions"]
    assert decision in sentence and ("ran" in sentence or "was denied" in sentence)


def test_what_is_recorded_after_the_commit_belongs_to_its_calls(sandbox: Any) -> None:
    """Telemetry comes when the session has gone on: its decisions are in the answer all the same."""
    scene = Scene(sandbox)
    commit = scene.story.call("Bash", {"command": "git commit"}, open=True)
    oid = scene.story.commit("done", {"a": "1\n"}, inside=commit)
    scene.story.finish(commit, "Bash")
    scene.story.ask("and now something else")
    scene.decide("otel", "approved", "human")
    scene.story.write()
    repo = find_repository(str(scene.story.repo))
    with Logs(str(sandbox.state), find_clone(str(sandbox.state), repo.common_dir).clone) as logs:
        trace = build_trace(repo, logs, oid)
    assert approvals(dict(trace)) == [("approved", "once", "human", "otel")]
