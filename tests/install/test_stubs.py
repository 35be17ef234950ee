"""The shell stubs: the commit trailer, and that nothing of ours makes a git command fail."""

from __future__ import annotations

import shutil

import pytest
from conftest_install import HEAD, TRAILER, write_script


@pytest.fixture
def repo(bench):
    """A repository with our hooks and a head file."""
    path = bench.sandbox.make_repo("a repo", commit=True)
    bench.install(path)
    bench.write_head(path)
    return path


@pytest.fixture
def message(bench, repo):
    """Run `git commit` with the given arguments, and return the raw message of HEAD."""

    def commit(*args, check=True, input=None, **env):
        bench.sandbox.git("commit", "-q", "--allow-empty", *args, cwd=repo, check=check, input=input, **env)
        return bench.sandbox.git("log", "-1", "--format=%B", cwd=repo).removesuffix("\n")

    return commit


def editor(bench, text, append=False):
    """Return an editor that puts `text` before (or after) what git offers."""
    offered = '{ cat "$1"; printf %s "$TEXT"; }' if append else '{ printf %s "$TEXT"; cat "$1"; }'
    script = write_script(bench.sandbox.home / "editor", f'{offered} >"$1.new" && mv "$1.new" "$1"')
    return {"GIT_EDITOR": f"'{script}'", "TEXT": text}


def trailers(bench, repo):
    """Return what git itself takes for trailers of HEAD."""
    return bench.sandbox.git("log", "-1", "--format=%(trailers:only,unfold)", cwd=repo).strip().splitlines()


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["-m", "subject"], f"subject\n\n{TRAILER}"),
        (
            ["-m", "subject", "-m", "body: not a trailer block\nof lines"],
            f"subject\n\nbody: not a trailer block\nof lines\n\n{TRAILER}",
        ),
        (["-m", "subject", "-m", "Fixes: 12"], f"subject\n\nFixes: 12\n{TRAILER}"),
        (["-m", "Fixes: 12"], f"Fixes: 12\n\n{TRAILER}"),
        (["-m", "subject", "-m", "#12"], f"subject\n\n#12\n\n{TRAILER}"),
        (["-m", "#12 mend it"], f"#12 mend it\n\n{TRAILER}"),
        (["-m", "- a list\n- as message"], f"- a list\n- as message\n\n{TRAILER}"),
        (["-m", "été"], f"été\n\n{TRAILER}"),
        (["-s", "-m", "subject"], f"subject\n\nSigned-off-by: Ada Example <ada@example.invalid>\n{TRAILER}"),
        (["-m", "subject", "--cleanup=verbatim"], f"subject\n\n{TRAILER}"),
    ],
)
def test_a_message_given_with_m_gets_the_trailer(bench, repo, message, args, expected):
    """The trailer ends in the trailer block, behind a blank line unless the last paragraph is one already."""
    assert message(*args) == expected
    assert TRAILER in trailers(bench, repo)


def test_a_message_from_a_file_gets_the_trailer(bench, repo, message):
    """So does a message given with -F, with or without a last newline, and with CRLF line ends."""
    assert message("-F", "-", input="from a file") == f"from a file\n\n{TRAILER}"
    assert message("-F", "-", input="subject\r\n\r\nbody\r\n") == f"subject\n\nbody\n\n{TRAILER}"
    kept = message("-F", "-", "--cleanup=verbatim", input="subject\r\n\r\nTicket: 1\r\n")
    assert kept.splitlines()[-1] == TRAILER
    assert trailers(bench, repo)[-1] == TRAILER


def test_no_verify_does_not_lose_the_trailer(message):
    """`--no-verify` skips commit-msg but not prepare-commit-msg."""
    assert message("--no-verify", "-m", "subject") == f"subject\n\n{TRAILER}"


def test_a_message_from_the_editor_gets_the_trailer(bench, repo, message):
    """Where an editor opens, the trailer comes after it, before git's comments."""
    assert message(**editor(bench, "typed\n\nbody\n")) == f"typed\n\nbody\n\n{TRAILER}"
    assert message("-e", "-m", "given", **editor(bench, "typed\n\n")) == f"typed\n\ngiven\n\n{TRAILER}"


@pytest.mark.parametrize("mark", [";", "auto"])
def test_other_comment_characters_are_known(bench, repo, message, mark):
    """core.commentChar decides what a comment is."""
    bench.sandbox.git("config", "core.commentChar", mark, cwd=repo)
    assert message(**editor(bench, "typed\n")) == f"typed\n\n{TRAILER}"
    before = bench.sandbox.git("rev-parse", "HEAD", cwd=repo)
    message(check=False, **editor(bench, "\n"))
    assert bench.sandbox.git("rev-parse", "HEAD", cwd=repo) == before


def test_the_trailer_stands_above_the_scissors(bench, repo, message):
    """With --verbose and with cleanup=scissors, what follows the scissors is cut off and the trailer is not."""
    (repo / "README").write_text("changed\n")
    assert message("-a", "-v", **editor(bench, "typed\n")) == f"typed\n\n{TRAILER}"
    bench.sandbox.git("config", "commit.cleanup", "scissors", cwd=repo)
    assert message(**editor(bench, "typed\n# a heading\n")) == f"typed\n# a heading\n\n{TRAILER}"


@pytest.mark.parametrize("typed", ["", "\n\n", "# only a comment\n"])
@pytest.mark.parametrize("options", [(), ("-v",), ("-e", "-m", "")])
def test_an_empty_message_still_aborts(bench, repo, message, typed, options):
    """git aborts the commit, for nothing was added to an empty message."""
    before = bench.sandbox.git("rev-parse", "HEAD", cwd=repo)
    message(*options, check=False, **editor(bench, typed))
    assert bench.sandbox.git("rev-parse", "HEAD", cwd=repo) == before


@pytest.mark.parametrize("args", [("-m", ""), ("-m", " \n"), ("--cleanup=strip", "-m", "# a\n# b"), ("-F", "/dev/null")])
def test_an_empty_message_without_an_editor_aborts_too(bench, repo, message, args):
    """Neither does -m with nothing in it become a commit."""
    before = bench.sandbox.git("rev-parse", "HEAD", cwd=repo)
    message(*args, check=False)
    assert bench.sandbox.git("rev-parse", "HEAD", cwd=repo) == before


def test_a_template_that_nobody_edited_still_aborts(bench, repo, message):
    """git refuses an unedited template, and goes on refusing it."""
    (repo / ".git/template").write_text("Subject here\n")
    before = bench.sandbox.git("rev-parse", "HEAD", cwd=repo)
    message("-t", ".git/template", check=False, GIT_EDITOR=":")
    message("-t", ".git/template", check=False, GIT_EDITOR="true")
    assert bench.sandbox.git("rev-parse", "HEAD", cwd=repo) == before


def test_amending_keeps_one_trailer(bench, repo, message):
    """A message that has a trailer of this log is left alone; one that has none, or another log's, gets ours."""
    first = message("-m", "subject")
    bench.write_head(repo, HEAD.replace("/7/", "/8/") + "\n")
    assert message("--amend", "--no-edit") == first
    assert message("--amend", **editor(bench, "")) == first
    other = f"Ledger-Entry: {'0' * 32}/1/{'1' * 64}"
    assert message("-m", "subject", "-m", other) == f"subject\n\n{other}\nLedger-Entry: {HEAD.replace('/7/', '/8/')}"


def test_merges_and_picks_get_the_trailer(bench, repo):
    """A merge that opens no editor bears it; a picked commit keeps the one it has."""
    git = bench.sandbox.git
    git("checkout", "-q", "-b", "side", cwd=repo)
    bench.sandbox.commit(repo, "on the side", {"side": "1\n"})
    side = git("log", "-1", "--format=%B", cwd=repo)
    git("checkout", "-q", "main", cwd=repo)
    bench.sandbox.commit(repo, "on main", {"main": "1\n"})
    git("merge", "-q", "--no-edit", "side", cwd=repo)
    assert git("log", "-1", "--format=%B", cwd=repo).strip() == f"Merge branch 'side'\n\n{TRAILER}"
    git("reset", "-q", "--hard", "HEAD~1", cwd=repo)
    git("cherry-pick", "side", cwd=repo)
    assert git("log", "-1", "--format=%B", cwd=repo) == side


@pytest.mark.parametrize(
    "poison",
    [
        "$(touch x)",
        f"{HEAD}\nSecond: line\n",
        f"{HEAD};touch x\n",
        f"{HEAD.upper()}\n",
        f"../{HEAD}\n",
        f"{'ab' * 16}/7/{'cd' * 31}\n",
        f"{'ab' * 16}//{'cd' * 32}\n",
        f"{'ab' * 16}/007/{'cd' * 32}\n",
        f"{'ab' * 16}/{'cd' * 32}\n",
        "\n",
        "",
    ],
)
def test_a_poisoned_head_file_is_not_quoted(bench, repo, message, poison):
    """Whoever can write the repository can write the head file: nothing but one well-formed line is quoted or run."""
    bench.write_head(repo, poison)
    assert message("-m", "subject") == "subject"
    assert not (repo / "x").exists()


def test_a_head_file_that_is_a_link_is_not_followed(bench, repo, message):
    """Nor is a link followed, whatever it leads to."""
    path = bench.write_head(repo)
    shutil.move(path, repo / "elsewhere")
    path.symlink_to(repo / "elsewhere")
    assert message("-m", "subject") == "subject"


def test_a_link_laid_where_the_message_is_written_aside_is_not_followed(bench, repo, message):
    """Rewriting a message never writes through somebody's link."""
    victim = bench.sandbox.home / "victim"
    victim.write_text("precious")
    for name in ("COMMIT_EDITMSG.ledger", "COMMIT_EDITMSG.ledger-template"):
        (repo / ".git" / name).symlink_to(victim)
    message("-t", str(victim), check=False, GIT_EDITOR="true")
    assert message(**editor(bench, "typed\n")) == f"typed\n\n{TRAILER}"
    assert victim.read_text() == "precious"


def test_the_switch_turns_the_trailer_off(repo, message):
    """A file `no-trailer` is all it takes, so the stubs need not read settings."""
    (repo / ".git/ledger/no-trailer").touch()
    assert message("-m", "subject") == "subject"


def test_the_recorder_hears_of_commits_merges_and_rewrites(bench, repo, message):
    """post-commit, post-merge and post-rewrite hand over their arguments and their input."""
    message("-m", "one")
    old = bench.sandbox.git("rev-parse", "HEAD", cwd=repo)
    message("--amend", "-m", "two")
    new = bench.sandbox.git("rev-parse", "HEAD", cwd=repo)
    prefix = f"-I -m ledger.hook --state {bench.state} git"
    assert bench.recorded() == [f"{prefix} post-commit", f"{prefix} post-commit", f"{prefix} post-rewrite amend", f"{old} {new}"]
    bench.calls.unlink()
    bench.sandbox.git("checkout", "-q", "-b", "side", "HEAD~1", cwd=repo)
    bench.sandbox.git("merge", "-q", "--ff-only", "main", cwd=repo)
    assert bench.recorded() == [f"{prefix} post-merge 0"]


def test_a_recorder_that_fails_or_is_gone_fails_no_commit(bench, repo, message):
    """Exit 2 of the recorder, and a missing interpreter, leave the commit in place and say one line."""
    write_script(bench.python, "echo trouble >&2; exit 2")
    assert message("-m", "one").startswith("one")
    bench.python.unlink()
    done = bench.sandbox.run("git", "commit", "-q", "--allow-empty", "-m", "two", cwd=repo)
    assert done.returncode == 0
    assert done.stderr.splitlines() == [f"git-ledger: not recorded, for {bench.python} is gone; run `ledger init` again"]
