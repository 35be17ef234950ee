"""The eight answers for one commit, and what is said where there is none."""

from __future__ import annotations

import json
from typing import Any

import pytest
from simulator import LogSimulator
from story import HOSTILE, Story, usual_story

from ledger.repo.gitdir import find_repository
from ledger.store.state import find_clone
from ledger.trace.build import build_trace, resolve_commit
from ledger.trace.logs import Logs
from ledger.trace.model import Trace


def trace(story: Story, revision: str = "HEAD", verdict: str = "unchecked") -> Trace:
    """Return the trace of a revision of the story's repository."""
    repo = find_repository(str(story.repo))
    clone = find_clone(str(story.sandbox.state), repo.common_dir).clone
    oid = resolve_commit(repo, revision)
    assert clone is not None and oid is not None
    with Logs(str(story.sandbox.state), clone) as logs:
        return build_trace(repo, logs, oid, verdict)


def says(found: Trace, words: str) -> bool:
    """Say whether one of the sentences about what is unknown has `words` in it."""
    return any(words in sentence for sentence in found["unknown"])


def committed(story: Story, message: str, path: str, **more: Any) -> str:
    """Let the agent write `path` and commit it, both in calls."""
    edit = story.call("Write", {"file_path": path})
    git = story.call("Bash", {"command": f"git commit -m {message}"}, open=True)
    oid = story.commit(message, {path: f"{message}\n"}, inside=git, links={path: edit}, **more)
    story.finish(git, "Bash")
    return oid


# The usual case


def test_all_eight_answers_are_in_the_json(sandbox):
    """A recorded session yields who asked, the plan, calls with results, approvals, network, boundary and linked changes."""
    story, oid = usual_story(sandbox)
    found = trace(story, verdict="consistent")
    ref = f"{story.log.name}/"
    assert found["commit"]["oid"] == oid and found["commit"]["subject"] == "Fix add()"
    assert found["commit"]["author"] == "Ada Example <ada@example.invalid>"
    assert found["match"] == {"rung": "exact", "recorded_oid": oid, "confidence": "certain"}
    assert found["verdict"] == "consistent"
    (asked,) = found["asked"]
    who = {"principal": "ada@example.invalid", "name": "Ada Example", "basis": "asserted", "account": None, "ci": None}
    assert asked["who"] == who
    assert asked["agent"] == "codex" and asked["session"] == story.session and asked["entry"] == ref + "2"
    assert asked["prompt"] == "Please fix add() as ticket T-42 says, run the tests, and commit."
    assert [step["status"] for step in found["planned"][0]["steps"]] == ["completed", "in_progress", "pending"]
    assert [call["tool"] for call in found["ran"]] == ["mcp__tickets__lookup", "apply_patch", "Bash", "Bash", "Bash"]
    assert [call["mcp_server"] for call in found["ran"]] == ["tickets", None, None, None, None]
    assert found["ran"][0]["command"] == '{"id":"T-42"}'
    failed, last = found["ran"][2], found["ran"][4]
    assert (failed["outcome"], failed["exit_code"], failed["duration_ms"]) == ("failed", 6, 1840)
    assert (last["entry"], last["approval"], last["result_entry"]) == (ref + "15", ref + "17", ref + "19")
    (approval,) = found["approvals"]
    assert (approval["decision"], approval["scope"], approval["decider"]) == ("approved", "once", "human")
    assert approval["source"] == "otel"
    assert approval["subject"] == "git add calc.py && git commit -qm 'Fix add()'"
    assert (found["network"][0]["host"], found["network"][0]["decision"]) == ("example.invalid", "denied")
    assert found["network"][0]["rule"] == "not on the list"
    assert found["boundary"][0]["mode"] == "workspace-write"
    assert found["boundary"][0]["hits"][0]["path"] == "/etc/hosts"
    (changed,) = found["changed"]
    assert changed == {
        "path": "calc.py",
        "status": "A",
        "added": 2,
        "deleted": 0,
        "link": "exact",
        "calls": [ref + "8"],
        "lines": [],
    }
    assert says(found, "nobody was authenticated") and says(found, "Whether a person typed the prompts was not observed")


def test_a_commits_window_begins_after_the_sessions_commit_before_it(sandbox):
    """Each commit of a session shows its own calls; a prompt and a plan from before both serve both."""
    story = Story(sandbox)
    story.start()
    story.ask("do both")
    story.plan(("one", "pending"))
    first = committed(story, "one", "one.py")
    second = committed(story, "two", "two.py")
    story.write()
    for oid, path, message in ((first, "one.py", "one"), (second, "two.py", "two")):
        found = trace(story, oid)
        assert [call["command"] for call in found["ran"]] == [f'{{"file_path":"{path}"}}', f"git commit -m {message}"]
        assert all(call["outcome"] == "finished" for call in found["ran"])
        assert [item["prompt"] for item in found["asked"]] == ["do both"]
        assert len(found["planned"]) == 1


def test_another_sessions_doings_are_not_shown(sandbox):
    """Of two agents at work in one clone, a commit shows the one that made it."""
    story = Story(sandbox)
    story.start()
    story.ask("mine")
    other, story.session = story.session, "another"
    story.start()
    story.ask("not mine")
    story.call("Bash", {"command": "rm -rf nothing"})
    story.session = other
    committed(story, "one", "one.py")
    story.write()
    found = trace(story)
    assert [item["prompt"] for item in found["asked"]] == ["mine"]
    assert not any("rm -rf" in str(call["command"]) for call in found["ran"])


def test_a_persons_commit_shows_the_sessions_whose_calls_left_its_content(sandbox):
    """The commit was made by hand; what is in it was not."""
    story = Story(sandbox)
    story.start()
    story.ask("write it, I commit")
    edit = story.call("Write", {"file_path": "a.py"})
    story.commit("by hand", {"a.py": "x\n", "b.py": "y\n"}, links={"a.py": edit})
    story.write()
    found = trace(story)
    assert [item["prompt"] for item in found["asked"]] == ["write it, I commit"]
    assert {path["path"]: path["link"] for path in found["changed"]} == {"a.py": "exact", "b.py": "none"}
    assert says(found, "not made in a recorded call") and says(found, "1 of 2 changed paths")


def test_a_prompt_of_an_agents_own_is_not_a_persons(sandbox):
    """What a finished subagent submits is shown as an agent's, and the newest prompt of a person beside it, however old."""
    story = Story(sandbox)
    story.start(basis="observed")
    story.ask("the real one", actor={"type": "human"})
    committed(story, "one", "one.py")
    story.ask("task finished", body={"origin": "task-notification"})
    committed(story, "two", "two.py")
    story.write()
    found = trace(story)
    said = [(item["prompt"], item["who"]["basis"]) for item in found["asked"]]
    assert said == [("the real one", "observed"), ("task finished", "agent")]
    assert found["asked"][1]["who"]["principal"] is None
    assert not says(found, "Whether a person typed")


# The ladder


def test_an_amended_commit_has_the_calls_of_both(sandbox):
    """After an amend the commit holds what both calls did, and says so."""
    story = Story(sandbox)
    story.start()
    story.ask("go")
    old = committed(story, "one", "one.py")
    (story.repo / "two.py").write_text("two\n")
    sandbox.git("add", "two.py", cwd=story.repo)
    git = story.call("Bash", {"command": "git commit --amend"}, open=True)
    sandbox.git("commit", "-q", "--amend", "--no-edit", cwd=story.repo)
    new = sandbox.git("rev-parse", "HEAD", cwd=story.repo)
    story.record(new, inside=git)
    story.log.append("commit.rewritten", {"how": "amend", "rewrites": [{"old": old, "new": new}]}, source="git")
    story.finish(git, "Bash")
    story.write()
    found = trace(story)
    assert found["match"] == {"rung": "exact", "recorded_oid": new, "confidence": "certain"}
    assert [call["command"] for call in found["ran"]][-2:] == ["git commit -m one", "git commit --amend"]
    assert {path["path"]: path["link"] for path in found["changed"]} == {"one.py": "exact", "two.py": "none"}


def test_a_rebased_commit_is_found_by_the_rewrite_map(sandbox):
    """Two rewrites in a row lead back to the commit that was recorded."""
    story = Story(sandbox)
    story.start()
    story.ask("go")
    old = committed(story, "one", "one.py")
    middle = "f" * len(old)
    sandbox.git("commit", "-q", "--amend", "-m", "another message", cwd=story.repo)
    new = sandbox.git("rev-parse", "HEAD", cwd=story.repo)
    story.log.append("commit.rewritten", {"how": "rebase", "rewrites": [{"old": middle, "new": new}]}, source="git")
    circle = [{"old": old, "new": middle}, {"old": new, "new": old}]
    story.log.append("commit.rewritten", {"how": "rebase", "rewrites": circle}, source="git")
    story.write()
    found = trace(story)
    assert found["match"] == {"rung": "rewrite-map", "recorded_oid": old, "confidence": "certain"}
    assert [path["link"] for path in found["changed"]] == ["exact"]
    assert found["asked"][0]["prompt"] == "go"


def test_a_squash_is_found_by_the_trailers_in_its_body(sandbox):
    """A forge puts the messages of all squashed commits into one: each line leads to its commit."""
    story = Story(sandbox)
    story.start()
    story.ask("go")
    committed(story, "one", "one.py")
    committed(story, "two", "two.py")
    lines = sandbox.git("log", "--format=%B", cwd=story.repo)
    sandbox.git("reset", "-q", "--soft", story.root, cwd=story.repo)
    sandbox.git("commit", "-q", "-m", f"Squashed (#1)\n\n{lines}\n\nend", cwd=story.repo)
    story.write()
    found = trace(story)
    assert found["match"]["rung"] == "trailer"
    assert [call["command"] for call in found["ran"]][1::2] == ["git commit -m one", "git commit -m two"]
    assert {path["path"]: path["link"] for path in found["changed"]} == {"one.py": "exact", "two.py": "exact"}
    assert says(found, "which anybody can copy")


def test_a_trailer_alone_is_no_match(sandbox):
    """It says where the log was, not that the commit was recorded; a wrong hash or an absent log is named."""
    story = Story(sandbox)
    story.start()
    head = story.log.head()
    wrong = f"{story.log.name}/1/{'0' * 64}"
    absent = f"{'a' * 32}/1/{'0' * 64}"
    lines = "\n".join(f"Ledger-Entry: {value}" for value in (head, wrong, absent, "junk"))
    sandbox.commit(story.repo, f"x\n\n{lines}", {"x": "1"})
    story.write()
    found = trace(story)
    assert found["match"] == {"rung": "none", "recorded_oid": None, "confidence": "none"}
    assert says(found, "no commit recorded since bears it")
    assert says(found, "with a hash that is not that entry's")
    assert says(found, f"names the log {'a' * 32}, which is not on this machine")


def test_an_equal_change_is_found_by_its_patch_id_and_ambiguity_is_said(sandbox):
    """A cherry-pick without trailer makes the same change; two equal ones are ambiguous."""
    story = Story(sandbox)
    story.start()
    story.ask("go")
    first = committed(story, "one", "one.py", trailer=False)
    sandbox.git("checkout", "-q", "-b", "side", story.root, cwd=story.repo)
    sandbox.commit(story.repo, "base", {"other": "1"})
    sandbox.git("cherry-pick", first, cwd=story.repo)
    story.write()
    found = trace(story)
    assert found["match"] == {"rung": "patch-id", "recorded_oid": first, "confidence": "strong"}
    assert says(found, "equal changes") and not says(found, "ambiguous")
    story.record(first)
    story.write()
    assert says(trace(story), "ambiguous")


def test_an_equal_tree_is_found_but_an_empty_commit_is_not_its_parent(sandbox):
    """A history begun anew has the last one's tree; an empty commit has its parent's and says nothing."""
    story = Story(sandbox)
    story.start()
    story.ask("go")
    committed(story, "one", "one.py", trailer=False)
    last = committed(story, "two", "two.py", trailer=False)
    sandbox.git("checkout", "-q", "--orphan", "anew", cwd=story.repo)
    sandbox.git("commit", "-q", "-m", "begun anew", cwd=story.repo)
    sandbox.git("commit", "-q", "--allow-empty", "-m", "empty", cwd=story.repo)
    story.write()
    assert trace(story)["match"]["rung"] == "none"
    found = trace(story, "HEAD~1")
    assert found["match"] == {"rung": "tree", "recorded_oid": last, "confidence": "weak"}
    assert {path["path"]: path["link"] for path in found["changed"]} == {"README": "none", "one.py": "none", "two.py": "inferred"}


def test_a_squash_by_hand_is_the_change_of_its_range(sandbox):
    """What the branch changed since the merge base is what the squash changes, though no message says so: all of it counts."""
    story = Story(sandbox)
    story.start()
    story.ask("go")
    first = committed(story, "one", "one.py", trailer=False)
    last = committed(story, "two", "two.py", trailer=False)
    sandbox.git("branch", "topic", cwd=story.repo)
    sandbox.git("reset", "-q", "--hard", story.root, cwd=story.repo)
    sandbox.commit(story.repo, "elsewhere", {"other": "1"})
    sandbox.git("merge", "-q", "--squash", "topic", cwd=story.repo)
    sandbox.git("commit", "-q", "-m", "squashed by hand", cwd=story.repo)
    story.write()
    found = trace(story)
    assert found["match"] == {"rung": "range-patch-id", "recorded_oid": last, "confidence": "strong"}
    assert {path["path"]: path["link"] for path in found["changed"]} == {"one.py": "exact", "two.py": "exact"}
    assert [call["command"] for call in found["ran"]][1::2] == ["git commit -m one", "git commit -m two"]
    assert first != last


def test_two_commits_that_fit_alike_are_candidates_and_none_is_chosen(sandbox):
    """Two people make the same change; a third commit that makes it may be either's, so no id is named and no link is `exact`."""
    story = Story(sandbox)
    story.start()
    story.ask("go")
    made = []
    for number in (1, 2):
        sandbox.git("checkout", "-q", "-b", f"side{number}", story.root, cwd=story.repo)
        sandbox.commit(story.repo, "base", {f"other{number}": "1"})
        made.append(committed(story, "one", "one.py", trailer=False))
    sandbox.git("checkout", "-q", "-b", "third", story.root, cwd=story.repo)
    sandbox.commit(story.repo, "base", {"other3": "1"})
    sandbox.git("cherry-pick", made[0], cwd=story.repo)
    story.write()
    found = trace(story)
    assert (found["match"]["rung"], found["match"]["recorded_oid"]) == ("patch-id", None)
    assert found["match"]["confidence"] == "ambiguous"
    assert sorted(item["oid"] for item in found["match"]["candidates"]) == sorted(made)
    assert [path["link"] for path in found["changed"]] == ["inferred"] and says(found, "ambiguous")
    sandbox.git("commit", "-q", "--amend", "-m", f"one\n\n(cherry picked from commit {made[0]})", cwd=story.repo)
    found = trace(story)
    assert found["match"] == {"rung": "patch-id", "recorded_oid": made[0], "confidence": "strong"}


def test_files_that_recorded_commits_left_are_the_last_rung(sandbox):
    """Where neither change nor tree is equal, files at their paths may be; going back to what was there before is no match."""
    story = Story(sandbox)
    story.start()
    story.ask("go")
    kept = committed(story, "one", "one.py", trailer=False)
    sandbox.git("checkout", "-q", "--orphan", "anew", cwd=story.repo)
    (story.repo / "more").write_text("mine\n")
    sandbox.git("add", "-A", cwd=story.repo)
    sandbox.git("commit", "-q", "-m", "with more", cwd=story.repo)
    sandbox.commit(story.repo, "change", {"one.py": "changed\n"})
    sandbox.git("branch", "-f", "side", cwd=story.repo)
    sandbox.git("checkout", "-q", "main", cwd=story.repo)
    sandbox.commit(story.repo, "change", {"one.py": "changed\n"})
    sandbox.commit(story.repo, "and back", {"one.py": "one\n"})
    story.write()
    found = trace(story, "side~1")
    assert found["match"] == {"rung": "blobs", "recorded_oid": kept, "confidence": "weak"}
    assert says(found, "1 of the 3 files")
    assert trace(story)["match"]["rung"] == "none"


def test_an_unrecorded_commit_gets_an_honest_answer(sandbox):
    """Nothing is made up: every list is empty but what git itself knows."""
    story = Story(sandbox)
    sandbox.commit(story.repo, "by hand", {"x": "1\n2\n"})
    story.write()
    found = trace(story)
    assert found["match"] == {"rung": "none", "recorded_oid": None, "confidence": "none"}
    assert [found[name] for name in ("asked", "planned", "ran", "approvals", "network", "boundary")] == [[]] * 6
    assert [(path["path"], path["added"], path["link"]) for path in found["changed"]] == [("x", 2, "none")]
    assert says(found, "No log on this machine recorded this commit")


def test_another_log_of_this_machine_answers_only_if_it_shares_a_root(sandbox):
    """A second clone's log knows the commit; a stranger's, which claims the same id, is not asked."""
    story = Story(sandbox)
    other = Story(sandbox, "other", roots=[story.root])
    stranger = LogSimulator()
    oid = sandbox.commit(story.repo, "x", {"x": "1"})
    body = {"oid": oid, "tree": "", "parents": [], "paths": [], "trailers": [], "patch_id": ""}
    other.session = "in-other-clone"
    other.ask("from the other clone")
    call = other.call("Bash", {"command": "git commit"})
    other.add("commit.recorded", body, cause=call.request, call=call.name)
    stranger.append("commit.recorded", body, session="stranger")
    other.write()
    other.log = stranger
    other.write()
    story.write()
    found = trace(story)
    assert found["match"]["rung"] == "exact"
    assert [item["prompt"] for item in found["asked"]] == ["from the other clone"]


# What is not known


def test_an_unanswered_approval_says_what_execution_shows(sandbox):
    """The call ran, so it was let through; by whom, nobody saw."""
    story = Story(sandbox)
    story.start()
    story.ask("go")
    given = {"tool": "Bash"}
    done = story.call("Bash", {"command": "make"}, open=True)
    story.add("approval.requested", given, {"input": b'{"command":"make"}'}, cause=done.request)
    story.finish(done, "Bash")
    blocked = story.call("Bash", {"command": "curl x"}, open=True)
    story.add("approval.requested", given, {"reason": b"network-access http://x:80", "input": b"{}"}, cause=blocked.request)
    committed(story, "one", "one.py")
    story.write()
    found = trace(story)
    assert [(item["decision"], item["decider"], item["subject"]) for item in found["approvals"]] == [
        ("unknown", "unknown", "make"),
        ("unknown", "unknown", "network-access http://x:80"),
    ]
    assert says(found, "the call then ran, so it was let through: by whom was not observed")
    assert says(found, "whether it was given, and by whom, was not observed")
    assert next(call for call in found["ran"] if call["command"] == "curl x")["outcome"] == "unknown"
    assert says(found, "it has no result")


def test_withheld_erased_and_changed_payloads_are_told_apart(sandbox):
    """A text that is not here is withheld or erased; one that is not what was committed to is not shown."""
    story = Story(sandbox)
    story.start()
    withheld, erased, changed = (story.ask(text) for text in ("never here", "gone", "true"))
    committed(story, "one", "one.py")
    gone = [{"seq": erased, "name": "prompt"}]
    story.log.append("payload.erased", {"payloads": gone}, payloads={"reason": b"asked to"}, actor={"type": "human"})
    rows = [row for row in story.log.payload_rows() if row.seq not in (withheld, erased)]
    story.log._payloads = [row._replace(data=b"false") if row.seq == changed else row for row in rows]
    story.write()
    found = trace(story)
    at = json.loads(story.log.records()[-1])["entry"]["at"]
    assert [item["prompt"] for item in found["asked"]] == [
        {"withheld": True},
        {"erased": {"by": "human", "at": at, "reason": "asked to"}},
        None,
    ]
    assert says(found, "is not what the entry commits to, so it is not shown")
    assert says(found, "erased") and says(found, "not on this machine")


def test_what_a_program_recorded_is_not_a_transcripts_word(sandbox):
    """Facts of any program name their call by its identifiers, and whoever says that a person typed is that program."""
    story = Story(sandbox)
    story.start()
    story.ask("typed, it says", source="cli", actor={"type": "human"})
    story.add("plan.updated", {}, {"plan": b"# Plan\n\n- one\n"}, source="cli")
    call = story.call("sh", {"command": "curl x"})
    story.add("network.decided", {"host": "x", "decision": "denied"}, source="cli", call=call.name)
    committed(story, "one", "one.py")
    story.write()
    found = trace(story)
    assert says(found, "as the program says that recorded them") and not says(found, "transcript")
    assert found["planned"][0]["steps"] == [{"step": "# Plan", "status": None}, {"step": "- one", "status": None}]
    assert found["network"][0]["call"] == f"{story.log.name}/{call.request}" and not says(found, "proxy")
    story.add("network.decided", {"host": "y", "decision": "denied"}, source="cli", call="unheard of")
    committed(story, "two", "two.py")
    story.write()
    found = trace(story)
    assert found["network"][0]["call"] is None and says(found, "names was not recorded") and not says(found, "proxy")


def test_gaps_and_pauses_in_the_window_are_named(sandbox):
    """Whoever reads the answer learns that something was missed, and between which entries."""
    story = Story(sandbox)
    story.start()
    story.ask("go")
    story.log.append("gap.noted", {"reason": "malformed", "count": 3, "size": 10})
    story.log.append("recording.paused", source="cli")
    committed(story, "one", "one.py")
    story.log.append("gap.noted", {"reason": "later", "count": 1, "size": 1})
    story.write()
    found = trace(story)
    assert says(found, "notes a gap: 3 not recorded (malformed)") and says(found, "Recording was paused")
    assert not says(found, "later")


def test_a_damaged_record_is_named_and_the_rest_is_shown(sandbox):
    """One malformed record hides itself, not the answer."""
    story = Story(sandbox)
    story.start()
    prompt = story.ask("go")
    committed(story, "one", "one.py")
    story.log._records[prompt] = story.log._records[prompt].replace(b'"v":1', b'"v":2')
    story.write()
    found = trace(story)
    assert found["asked"] == [] and len(found["ran"]) == 2
    assert says(found, f"{story.log.name}/{prompt} is malformed") and says(found, "No prompt was recorded")


def test_an_absent_journal_is_said_and_git_still_answers(sandbox):
    """Without the journal nothing is known but what git knows."""
    story, _ = usual_story(sandbox)
    (sandbox.state / "logs" / story.log.name / "journal.db").unlink()
    found = trace(story)
    assert found["match"]["rung"] == "none" and found["changed"][0]["path"] == "calc.py"
    assert says(found, f"The journal of this clone's log {story.log.name} is absent")


# Odd repositories and odd values


def test_bodies_full_of_nonsense_do_no_harm(sandbox):
    """Members of the wrong type are shown as unknown, never as a traceback."""
    story = Story(sandbox)
    story.add("session.started", {"basis": 5}, {"principal": b"[1]"})
    story.ask("\udcff".encode("utf-8", "surrogatepass").decode("utf-8", "replace"), body={"origin": 0, "permission_mode": ["x"]})
    story.add("plan.updated", {}, {"plan": b'{"steps":[1,{"status":2},null]}'})
    story.add("plan.updated", {}, {"plan": b"- one\n\n- two\xff"})
    story.add("tool.requested", {"tool": 5, "mcp_server": []}, {"input": b"not json"}, call="c")
    story.add("tool.finished", {"outcome": "great", "exit_code": "0", "duration_ms": True}, call="c")
    story.add("tool.finished", {"tool": "Orphan", "outcome": "finished"}, call="none")
    story.add("approval.decided", {"decision": 1, "scope": 2, "decider": None})
    story.add("network.decided", {"host": 1, "port": "x"})
    story.add("boundary.hit", {"path": {"base64": "/w=="}})
    story.add("gap.noted", {})
    oid = sandbox.commit(story.repo, "x", {"x": "1"})
    lines = [5, {"range": [1], "call": "x"}]
    paths = [None, {"path": "x", "blob": 1, "link": "sure", "calls": [999, -1, "a", True], "lines": lines}]
    story.add("commit.recorded", {"oid": oid, "paths": paths, "trailers": 5, "part": [1], "claims": 1})
    story.write()
    found = trace(story)
    assert [call["outcome"] for call in found["ran"]] == ["unknown", "finished"]
    assert found["ran"][0]["command"] == "not json" and found["ran"][0]["exit_code"] is None
    assert [item["step"] for item in found["planned"][1]["steps"]] == ["- one", "- two\ufffd"]
    assert found["approvals"][0]["decision"] == "unknown"
    assert found["changed"][0]["link"] == "none"
    json.dumps(found)


@pytest.mark.parametrize("shape", ["sha256", "bare", "shallow", "worktree"])
def test_repositories_of_every_shape_are_answered(sandbox, shape):
    """SHA-256, a bare clone, a shallow one and a linked work tree give the same answer."""
    story, oid = usual_story(sandbox)
    repo = story.repo
    if shape == "sha256":
        sandbox_repo = sandbox.make_repo("new", "--object-format=sha256")
        oid = sandbox.commit(sandbox_repo, "first", {"a": "1\n"})
        assert resolve_commit(find_repository(str(sandbox_repo)), "HEAD") == oid and len(oid) == 64
        repo = sandbox_repo
    elif shape == "worktree":
        repo = sandbox.root / "linked"
        sandbox.git("worktree", "add", "-q", str(repo), "HEAD", cwd=story.repo)
    else:
        repo = sandbox.root / "clone"
        option = "--bare" if shape == "bare" else "--depth=1"
        sandbox.git("clone", "-q", option, f"file://{story.repo}", str(repo), cwd=sandbox.root)
    clone = find_clone(str(sandbox.state), find_repository(str(story.repo)).common_dir).clone
    assert clone is not None
    with Logs(str(sandbox.state), clone) as logs:
        found = build_trace(find_repository(str(repo)), logs, oid)
    if shape == "sha256":
        assert found["match"]["rung"] == "none" and found["changed"][0]["path"] == "a"
    else:
        assert found["match"]["rung"] == "exact"
        assert [(path["path"], path["link"]) for path in found["changed"]] == [("calc.py", "exact")]
        assert says(found, "shallow") == (shape == "shallow")


def test_hostile_texts_come_back_as_they_are(sandbox):
    """JSON holds the text itself; making it harmless is the screen's work. Paths may hold anything but NUL."""
    story = Story(sandbox)
    story.start(git_name=HOSTILE)
    story.ask(HOSTILE)
    name = "a\n[red]b\x1b.py"
    edit = story.call(HOSTILE, {"command": HOSTILE})
    story.commit(HOSTILE.replace("\x1b", ""), {name: "1\n"}, links={name: edit})
    story.write()
    found = trace(story)
    assert found["asked"][0]["prompt"] == HOSTILE and found["ran"][0]["command"] == HOSTILE
    assert found["changed"][0]["path"] == name and found["changed"][0]["link"] == "exact"


@pytest.mark.parametrize("revision", ["nothing", "", "^HEAD", "--all", "HEAD:calc.py", "HEAD^9", "-x", "a\0b", "0" * 40])
def test_a_revision_that_names_no_commit_is_none(sandbox, revision):
    """No option, no blob, no missing object passes for a commit."""
    story, _ = usual_story(sandbox)
    assert resolve_commit(find_repository(str(story.repo)), revision) is None


@pytest.mark.parametrize("revision", ["HEAD", "main", "HEAD~0", "@", ":/Fix", "v1"])
def test_any_revision_that_git_understands_is_a_commit(sandbox, revision):
    """Branches, tags, searches: whatever rev-parse takes."""
    story, oid = usual_story(sandbox)
    sandbox.git("tag", "-a", "-m", "one", "v1", cwd=story.repo)
    assert resolve_commit(find_repository(str(story.repo)), revision) == oid
