"""Every way in which git makes commits of commits: where the hooks see it, and where only the ladder is left.

In the mode `ladder` no hook runs and no message bears a trailer; what the agent committed was seen at its next event, and what then
becomes of it is seen by nobody. So there each test names the rung that holds.
"""

from __future__ import annotations

import json
import sys

import pytest
from workshop import Workshop

from ledger.core.ed25519 import public_key_of
from ledger.core.signers import format_signer


def rung(shop, ladder, hooks="exact"):
    """Return what a rung, or a link that rests on it, should be: `ladder` where nobody saw the commit made."""
    return ladder if shop.mode == "ladder" else hooks


def base(shop, *, lines=12):
    """Commit a file by hand, on which branches then differ."""
    shop.write("base.txt", "".join(f"base {number}\n" for number in range(lines)))
    return shop.commits("base")


def work(shop, path="a.py", text="a = 1\n", message=None):
    """Let the agent write and commit a file; return the commit and the call that wrote it."""
    call = shop.agent_writes(path, text)
    return shop.agent_commits(message or f"Add {path}"), call


def diverge(shop):
    """Let `main` go on by a commit of a person's while `topic` is checked out."""
    shop.git("checkout", "-q", "main")
    shop.write("main.txt", "main\n")
    shop.commits("on main")
    shop.git("checkout", "-q", "topic")


# Amend


def test_amend_of_the_message(shop):
    """Another message is another id and the same change: all links stay."""
    old, call = work(shop)
    shop.git("commit", "-q", "--amend", "-m", "Better words")
    assert shop.head() != old
    assert shop.rung() == rung(shop, "patch-id")
    assert shop.links() == {"a.py": "exact"} and shop.calls() == {"a.py": [call]}


def test_amend_with_more(shop):
    """What a person adds to an agent's commit is the person's; what was there stays the agent's."""
    _, call = work(shop)
    shop.write("b.py", "b = 1\n")
    shop.git("add", "-A")
    shop.git("commit", "-q", "--amend", "--no-edit")
    assert shop.rung() == rung(shop, "blobs")
    assert shop.links() == {"a.py": rung(shop, "inferred"), "b.py": "none"} and shop.calls() == {"a.py": [call], "b.py": []}


def test_amend_by_the_agent(shop):
    """An agent's second thoughts: both calls are linked, in one commit."""
    _, first = work(shop)
    second = shop.agent_writes("a.py", "a = 2\n")
    shop.agent_runs(["commit", "-q", "-a", "--amend", "--no-edit"])
    shop.look()
    assert shop.rung() == "exact"
    assert set(shop.calls()["a.py"]) >= {second} and shop.links() == {"a.py": "exact"}
    assert first != second


# Rebase


def test_rebase(shop):
    """A plain rebase: each commit is found as the one that it was."""
    shop.git("checkout", "-q", "-b", "topic")
    olds = [work(shop, f"{name}.py", f"{name} = 1\n") for name in "ab"]
    diverge(shop)
    shop.rebase("main")
    for revision, (old, call), name in zip(("HEAD~1", "HEAD"), olds, "ab", strict=True):
        found = shop.trace(revision)["match"]
        assert found["rung"] == rung(shop, "patch-id")
        assert shop.calls(revision) == {f"{name}.py": [call]} and shop.links(revision) == {f"{name}.py": "exact"}
        assert shop.head() != old


def test_rebase_onto(shop):
    """`--onto` takes the last commit alone to another base."""
    shop.git("checkout", "-q", "-b", "topic")
    work(shop, "a.py")
    _, call = work(shop, "b.py", "b = 1\n")
    diverge(shop)
    shop.rebase("--onto", "main", "HEAD~1")
    assert shop.git("log", "--format=%s", "main..HEAD") == "Add b.py"
    assert shop.rung() == rung(shop, "patch-id")
    assert shop.calls() == {"b.py": [call]}


@pytest.mark.parametrize("verb", ["squash", "fixup"])
def test_interactive_rebase_that_melts_two_into_one(shop, verb):
    """Of a squash or fixup both commits count: the one commit has the calls of both."""
    _, first = work(shop, "a.py")
    _, second = work(shop, "b.py", "b = 1\n")
    shop.rebase("-i", shop.root, todo=f"2s/^pick/{verb}/")
    assert shop.git("rev-list", "--count", f"{shop.root}..HEAD") == "1"
    assert shop.rung() == rung(shop, "range-patch-id")
    assert shop.calls() == {"a.py": [first], "b.py": [second]}
    assert shop.links() == {"a.py": "exact", "b.py": "exact"}


def test_autosquash(shop):
    """A `fixup!` commit disappears into the one it mends, and its call with it into that commit's record."""
    _, first = work(shop, "a.py", "a = 1\n", "Add a")
    work(shop, "b.py", "b = 1\n", "Add b")
    mend = shop.agent_writes("a.py", "a = 2\n")
    shop.agent_runs(["commit", "-q", "-a", "-m", "fixup! Add a"])
    shop.look()
    shop.rebase("-i", "--autosquash", shop.root, todo="")
    assert shop.git("log", "--format=%s", f"{shop.root}..HEAD").split("\n") == ["Add b", "Add a"]
    assert shop.rung("HEAD~1") == rung(shop, "blobs")
    assert mend in shop.calls("HEAD~1")["a.py"] and shop.links("HEAD~1") == {"a.py": rung(shop, "inferred")}
    assert first != mend


def test_interactive_rebase_that_reorders(shop):
    """Commits in another order are found as themselves."""
    _, first = work(shop, "a.py")
    _, second = work(shop, "b.py", "b = 1\n")
    shop.rebase("-i", shop.root, todo="1{h;d};2{G}")
    assert shop.git("log", "--format=%s", f"{shop.root}..HEAD").split("\n") == ["Add a.py", "Add b.py"]
    assert [shop.rung(revision) for revision in ("HEAD", "HEAD~1")] == [rung(shop, "patch-id")] * 2
    assert shop.calls() == {"a.py": [first]} and shop.calls("HEAD~1") == {"b.py": [second]}


def test_interactive_rebase_that_splits(shop):
    """One commit becomes two: each has the call that left its file."""
    first = shop.agent_writes("a.py", "a = 1\n")
    second = shop.agent_writes("b.py", "b = 1\n")
    shop.agent_commits("Add both")
    shop.rebase("-i", shop.root, todo="1s/^pick/edit/")
    shop.git("reset", "-q", "HEAD~1")
    for name in "ab":
        shop.git("add", f"{name}.py")
        shop.git("commit", "-q", "-m", f"Add {name}")
    shop.git("rebase", "--continue")
    assert (shop.rung("HEAD~1"), shop.rung()) == (rung(shop, "blobs"), rung(shop, "tree"))
    assert shop.calls("HEAD~1") == {"a.py": [first]} and shop.calls() == {"b.py": [second]}


def test_rebase_with_a_conflict(shop):
    """A resolved conflict changes the file: its calls stay known, its link is no longer exact."""
    base(shop)
    shop.git("checkout", "-q", "-b", "topic")
    text = "".join(f"base {number}\n" for number in range(12))
    call = shop.agent_writes("base.txt", text.replace("base 5\n", "agent 5\n"))
    shop.agent_commits("Change five")
    shop.git("checkout", "-q", "main")
    shop.write("base.txt", text.replace("base 5\n", "person 5\n"))
    shop.commits("Change five, too")
    shop.git("checkout", "-q", "topic")
    shop.git("rebase", "main", check=False)
    shop.write("base.txt", text.replace("base 5\n", "person 5\nagent 5\n"))
    shop.git("add", "-A")
    shop.git("rebase", "--continue")
    if shop.mode == "ladder":
        assert shop.rung() == "none" and shop.links() == {"base.txt": "none"}  # nothing equal is left, and that is said
    else:
        assert shop.rung() == "exact"
        assert shop.calls() == {"base.txt": [call]} and shop.links() == {"base.txt": "partial"}


# Copies


def test_cherry_pick(shop):
    """A picked commit leads back to the one it was picked from."""
    shop.git("checkout", "-q", "-b", "topic")
    old, call = work(shop)
    shop.git("checkout", "-q", "main")
    shop.write("main.txt", "main\n")
    shop.commits("on main")
    shop.git("cherry-pick", old)
    found = shop.trace()
    assert found["match"]["rung"] == rung(shop, "patch-id")
    assert shop.calls() == {"a.py": [call]} and shop.links() == {"a.py": "exact"}
    if shop.mode != "ladder":
        (map_,) = shop.entries("commit.rewritten")
        assert map_["body"] == {"how": "cherry-pick", "rewrites": [{"old": old, "new": shop.head()}]}


def test_cherry_pick_without_commit(shop):
    """`cherry-pick -n` and a commit of one's own: the files are still what the call left."""
    shop.git("checkout", "-q", "-b", "topic")
    old, call = work(shop)
    shop.git("checkout", "-q", "main")
    shop.git("cherry-pick", "-n", old)
    shop.write("more.txt", "more\n")
    shop.commits("In my own words")
    assert shop.rung() == rung(shop, "blobs")
    assert shop.calls() == {"a.py": [call], "more.txt": []}


def test_revert_and_revert_of_it(shop):
    """A revert is nobody's copy; what reverting it brings back leads to the call that made that change first.

    It is another commit than that one, from which it descends; so where it was not recorded, it is on no rung.
    """
    old, call = work(shop)
    shop.git("revert", "--no-edit", "HEAD")
    assert shop.rung() == rung(shop, "none")
    assert shop.links() == {"a.py": "none"}
    shop.git("revert", "--no-edit", "HEAD")
    assert shop.rung() == rung(shop, "none")
    assert shop.calls() == {"a.py": [call]}
    assert shop.trace()["match"]["recorded_oid"] == rung(shop, None, shop.head()) != old


def test_am(shop):
    """A commit that went through a mailbox makes the same change; no hook of ours runs for `git am`."""
    shop.git("checkout", "-q", "-b", "topic")
    _, call = work(shop)
    mail = shop.git("format-patch", "--stdout", "main..topic")
    shop.git("checkout", "-q", "main")
    shop.write("main.txt", "main\n")
    shop.commits("on main")
    shop.git("am", "-q", input=mail + "\n")
    assert shop.rung() == rung(shop, "patch-id", "trailer")
    assert shop.calls() == {"a.py": [call]}
    shop.look()
    assert shop.rung() == "exact" and shop.calls() == {"a.py": [call]}


# Many into one


def test_merge_squash(shop):
    """`merge --squash` and a commit of one's own make one commit of a branch: all of its calls count."""
    shop.git("checkout", "-q", "-b", "topic")
    _, first = work(shop, "a.py")
    _, second = work(shop, "b.py", "b = 1\n")
    diverge(shop)
    shop.git("checkout", "-q", "main")
    shop.git("merge", "-q", "--squash", "topic")
    shop.git("commit", "-q", "-m", "All of it")
    assert shop.rung() == rung(shop, "range-patch-id")
    assert shop.calls() == {"a.py": [first], "b.py": [second]}


def test_a_forges_squash_merge(shop):
    """A forge squashes on its own machine, where no hook runs: the ladder finds the range, and `ledger link` writes it down."""
    shop.git("checkout", "-q", "-b", "topic")
    _, first = work(shop, "a.py")
    second_oid, second = work(shop, "b.py", "b = 1\n")
    diverge(shop)
    tree = shop.git("merge-tree", "--write-tree", "main", "topic")
    squash = shop.git("commit-tree", tree, "-p", "main", "-m", "Topic (#1)")
    shop.git("update-ref", "refs/remotes/origin/main", squash)
    found = shop.trace(squash)["match"]
    assert found == {"rung": "range-patch-id", "recorded_oid": second_oid, "confidence": "strong"}
    assert shop.calls(squash) == {"a.py": [first], "b.py": [second]}
    assert "1 of 1 commits linked" in shop.ledger("link", f"main..{squash}")
    entry = shop.entries("commit.rewritten")[-1]
    assert entry["body"]["how"] == "link" and entry["body"]["basis"] == {"rewrites": "inferred"}
    assert {item["rung"] for item in entry["body"]["rewrites"]} == {"range-patch-id"}
    shop.git("checkout", "-q", "main")
    shop.git("branch", "-q", "-D", "topic")
    shop.git("reflog", "expire", "--expire=now", "--all")
    shop.git("gc", "-q", "--prune=now")
    found = shop.trace(squash)["match"]
    assert found["linked_by"] == f"{entry['log']}/{entry['seq']}" and found["rung"] == "range-patch-id"
    assert found["confidence"] == "strong", "a link is worth what it was found by, and no more"
    assert shop.calls(squash) == {"a.py": [first], "b.py": [second]}
    assert "0 of 1 commits linked; 1 were known" in shop.ledger("link", f"main..{squash}")


def test_a_forges_squash_with_messages(shop):
    """Forges put the messages of a branch into the squash's: the trailers in the middle of it lead to each commit."""
    if shop.mode == "ladder":
        pytest.skip("no trailers in this mode")
    shop.git("checkout", "-q", "-b", "topic")
    _, first = work(shop, "a.py")
    _, second = work(shop, "b.py", "b = 1\n")
    messages = "\n\n".join(f"* {text}" for text in shop.git("log", "--format=%B%x00", "main..topic").split("\0") if text.strip())
    tree = shop.git("merge-tree", "--write-tree", "main", "topic")
    squash = shop.git("commit-tree", tree, "-p", "main", "-m", f"Topic (#1)\n\n{messages}\n\nCo-authored-by: A <a@example.invalid>")
    found = shop.trace(squash)["match"]
    assert (found["rung"], found["confidence"]) == ("trailer", "strong"), "content bears the lines out"
    assert shop.calls(squash) == {"a.py": [first], "b.py": [second]}


def test_a_forges_rebase_merge(shop):
    """A forge's rebase merge makes new commits of the same changes, with another committer."""
    shop.git("checkout", "-q", "-b", "topic")
    made = [work(shop, f"{name}.py", f"{name} = 1\n") for name in "ab"]
    diverge(shop)
    forge = shop.sandbox.root / "forge"
    shop.sandbox.git("clone", "-q", str(shop.path), str(forge), cwd=shop.sandbox.root)
    shop.sandbox.git("rebase", "-q", "origin/main", cwd=forge, GIT_COMMITTER_NAME="Forge", GIT_COMMITTER_EMAIL="f@example.invalid")
    shop.git("fetch", "-q", str(forge), "HEAD:refs/remotes/origin/main")
    for revision, (old, call), name in zip(("origin/main~1", "origin/main"), made, "ab", strict=True):
        found = shop.trace(revision)["match"]
        assert found["rung"] == rung(shop, "patch-id", "trailer") and found["confidence"] == "strong"
        assert found["recorded_oid"] == old and shop.calls(revision) == {f"{name}.py": [call]}
    assert "2 of 2 commits linked" in shop.ledger("link", "main..origin/main")


def test_linking_changes_no_answer(shop):
    """What a squash is found as, and whose its lines are, is the same before and after the match was written down."""
    shop.git("checkout", "-q", "-b", "topic")
    text = ""
    for number in range(4):
        text += f"line {number}\n"
        work(shop, "a.py", text, f"Add {number}")
    head = shop.head()
    diverge(shop)
    squash = shop.git("commit-tree", shop.git("merge-tree", "--write-tree", "main", "topic"), "-p", "main", "-m", "Topic (#1)")
    asked = ("match", "changed", "ran")
    before, blamed = shop.trace(squash), shop.blame("a.py", squash)
    assert before["match"]["recorded_oid"] == head
    shop.ledger("link", f"main..{squash}")
    after = shop.trace(squash)
    assert after["match"].pop("linked_by")
    assert [after[name] for name in asked] == [before[name] for name in asked]
    assert shop.blame("a.py", squash) == blamed and len({call for _, _, call in blamed}) == 4


# Whole histories


def test_a_filter_that_moves_everything(shop):
    """After a filter moved all files into a folder neither change nor tree nor path is the same; the files are."""
    old, call = work(shop)
    shop.write("b.txt", "b\n")
    shop.commits("by hand")
    move = "git ls-files -s | sed 's/\\t/&sub\\//' | GIT_INDEX_FILE=$GIT_INDEX_FILE.new git update-index --index-info"
    script = f'{move} && mv "$GIT_INDEX_FILE.new" "$GIT_INDEX_FILE"'
    shop.git("filter-branch", "-f", "--index-filter", script, "HEAD", FILTER_BRANCH_SQUELCH_WARNING="1")
    found = shop.trace("HEAD~1")["match"]
    assert found["rung"] == rung(shop, "blobs", "trailer") and found["recorded_oid"] == old
    assert shop.git("ls-tree", "--name-only", "HEAD") == "sub"
    assert shop.called("HEAD~1")[0] == call
    assert shop.calls("HEAD~1") == {"sub/a.py": [call]} and shop.links("HEAD~1") == {"sub/a.py": "inferred"}
    assert [(by, link) for by, link, _ in shop.blame("sub/a.py", "HEAD~1")] == [("agent", "inferred")]
    assert [len(item["lines"]) for item in shop.trace("HEAD~1")["changed"]] == [1]


def test_a_filter_that_drops_a_file(shop):
    """A secret is filtered out of a commit: what remains leads to the commit as it was."""
    call = shop.agent_writes("a.py", "a = 1\n")
    shop.agent_writes("secret.txt", "secret\n")
    old = shop.agent_commits("Add a, and more than that")
    drop = "git rm -q --cached --ignore-unmatch secret.txt"
    shop.git("filter-branch", "-f", "--index-filter", drop, "HEAD", FILTER_BRANCH_SQUELCH_WARNING="1")
    found = shop.trace()["match"]
    assert found["rung"] == rung(shop, "blobs", "trailer") and found["recorded_oid"] == old
    assert shop.calls() == {"a.py": [call]} and shop.links() == {"a.py": rung(shop, "inferred")}


# Plumbing


def test_a_branch_moved_with_plumbing(shop):
    """`commit-tree` and `update-ref` fire no hook; the agent's next event sees the commit, and before that the ladder does."""
    old, call = work(shop)
    copy = shop.git("commit-tree", f"{old}^{{tree}}", "-p", shop.root, "-m", "The same by plumbing")
    shop.git("update-ref", "refs/heads/main", copy)
    assert shop.rung() == "patch-id" and shop.calls() == {"a.py": [call]}
    shop.look()
    assert shop.rung() == "exact" and shop.is_recorded(copy)
    assert shop.calls() == {"a.py": [call]}


def test_a_merge_with_a_conflict(shop):
    """A merge commit that resolves a conflict is itself recorded, and both sides stay what they were."""
    base(shop)
    text = "".join(f"base {number}\n" for number in range(12))
    shop.git("checkout", "-q", "-b", "topic")
    call = shop.agent_writes("base.txt", text.replace("base 5\n", "agent 5\n"))
    old = shop.agent_commits("Change five")
    shop.git("checkout", "-q", "main")
    shop.write("base.txt", text.replace("base 5\n", "person 5\n"))
    shop.commits("Change five, too")
    shop.git("merge", "topic", check=False)
    shop.write("base.txt", text.replace("base 5\n", "person 5\nagent 5\n"))
    shop.commits("Merge topic")
    assert shop.rung() == rung(shop, "none")
    assert shop.rung("HEAD^2") == "exact" and shop.trace("HEAD^2")["match"]["recorded_oid"] == old
    assert shop.calls("HEAD^2") == {"base.txt": [call]}


# `ledger link`


def test_linking_never_decides_what_is_ambiguous(sandbox):
    """Two recorded commits make one change: the copy is listed with both as candidates, and nothing is written."""
    shop = Workshop(sandbox, "ladder")
    made = []
    for number in (1, 2):
        shop.git("checkout", "-q", "-b", f"side{number}", shop.root)
        shop.write(f"other{number}.txt", "other\n")
        shop.commits("elsewhere")
        made.append(work(shop)[0])
    shop.git("checkout", "-q", "-b", "third", shop.root)
    shop.write("third.txt", "third\n")
    shop.commits("elsewhere")
    shop.git("cherry-pick", made[0])
    said = json.loads(shop.ledger("link", "--json", "HEAD~1..HEAD"))
    (ambiguous,) = said["ambiguous"]
    assert ambiguous["oid"] == shop.head() and sorted(item["oid"] for item in ambiguous["candidates"]) == sorted(made)
    assert (said["entries"], said["linked"]) == ([], []) and not shop.entries("commit.rewritten")
    assert "is ambiguous, and was not linked" in shop.ledger("link", "HEAD~1..HEAD")


def test_linking_refuses_what_is_no_range_and_can_only_say(sandbox):
    """A range that names nothing is wrong usage; `--dry-run` writes nothing; and so does a paused log."""
    shop = Workshop(sandbox, "ladder")
    old, _ = work(shop)
    copy = shop.git("commit-tree", f"{old}^{{tree}}", "-p", shop.root, "-m", "copy")
    link = (sys.executable, "-I", "-m", "ledger", "--state", shop.sandbox.state, "link")
    for words in (["nothing..here"], ["--all"], ["-1"]):
        assert shop.sandbox.run(*link, *words, cwd=shop.path).returncode == 2
    assert "1 of 1 commits would be linked" in shop.ledger("link", "--dry-run", f"{shop.root}..{copy}")
    shop.ledger("pause")
    assert shop.sandbox.run(*link, f"{shop.root}..{copy}", cwd=shop.path).returncode == 1
    shop.ledger("resume")
    assert not shop.entries("commit.rewritten")
    shop.ledger("link", f"{shop.root}..{copy}")
    (entry,) = shop.entries("commit.rewritten")
    assert entry["body"]["rewrites"] == [{"old": old, "new": copy, "rung": "patch-id"}]


def test_linking_warns_where_its_words_count_for_nobody(sandbox):
    """Keys are listed, and not this log's: whoever verifies does not read it, until its key is enrolled and that is committed."""
    shop = Workshop(sandbox, "ladder")
    old, _ = work(shop)
    copies = [shop.git("commit-tree", f"{old}^{{tree}}", "-p", shop.root, "-m", f"copy {number}") for number in range(3)]
    link = (sys.executable, "-I", "-m", "ledger", "--state", sandbox.state, "link")

    def warned(copy: str) -> bool:
        done = sandbox.run(*link, f"{shop.root}..{copy}", cwd=shop.path)
        assert done.returncode == 0 and "1 of 1 commits linked" in done.stdout, done.stderr
        return "ledger keys enroll" in done.stderr

    assert not warned(copies[0]), "nobody lists keys"
    shop.write(".ledger/allowed_signers", format_signer("ledger-another", public_key_of(bytes(32))) + "\n")
    shop.commits("list another's key")
    assert warned(copies[1])
    shop.ledger("keys", "enroll")
    shop.commits("enroll")
    assert not warned(copies[2])
