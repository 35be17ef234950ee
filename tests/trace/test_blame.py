"""From a line to its commit, the call that wrote it, and the words behind that call."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from typing import Any

import pytest
from story import HOSTILE, Story

from ledger.cli.main import run
from ledger.repo.blame import blame_file
from ledger.repo.gitdir import find_repository
from ledger.store.state import find_clone
from ledger.trace.blame import Blame, build_blame
from ledger.trace.build import resolve_commit
from ledger.trace.logs import Logs

_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")


def blame(story: Story, path: str, revision: str = "HEAD", spans: Sequence[str] = ()) -> Blame:
    """Return the blame of a file of the story's repository."""
    repo = find_repository(str(story.repo))
    clone = find_clone(str(story.sandbox.state), repo.common_dir).clone
    oid = resolve_commit(repo, revision)
    assert clone is not None and oid is not None
    with Logs(str(story.sandbox.state), clone, repo=repo) as logs:
        return build_blame(repo, logs, oid, path.encode("utf-8", "surrogateescape"), spans)


def writers(found: Blame) -> list[tuple[str, str | None, str | None]]:
    """Return (by, link, why) of each line, in order."""
    lines = []
    for item in found["lines"]:
        lines += [(item["by"], item["link"], item["why"])] * (item["range"][1] - item["range"][0] + 1)
    return lines


AGENT = ("agent", "exact", None)
HUMAN = ("human", None, None)


@pytest.fixture
def story(sandbox: Any) -> Story:
    """A session in which somebody asked for something."""
    story = Story(sandbox)
    story.start()
    story.ask("write it, please")
    return story


def written(story: Story, path: str = "a.py", text: str = "one\ntwo\nthree\n", **lines: Any) -> str:
    """Let the agent write a file of which a person changed the last line, and commit it."""
    call = story.call("Write", {"file_path": path})
    story.last = call  # type: ignore[attr-defined]
    wrote = lines.get("lines", [(1, 2, call, "exact"), (3, 3, "human")])
    return story.commit(f"write {path}", {path: text}, links={path: call}, lines={path: wrote})


# The usual case


def test_a_line_leads_to_its_commit_call_prompt_and_person(story):
    """Each range names its commit; the call it stems from has the prompt, and the prompt who asked."""
    oid = written(story)
    story.write()
    found = blame(story, "a.py")
    assert writers(found) == [AGENT, AGENT, HUMAN]
    first, last = found["lines"]
    assert (first["range"], first["commit"], first["text"]) == ([1, 2], oid, ["one", "two"])
    assert found["commits"][oid]["match"] == {"rung": "exact", "recorded_oid": oid, "confidence": "certain"}
    cause = found["calls"][first["call"] or ""]
    assert cause["call"]["tool"] == "Write" and cause["call"]["agent"] == "codex" and cause["session"] == story.session
    asked = found["prompts"][cause["prompt"] or ""]
    assert asked["prompt"] == "write it, please" and asked["who"]["principal"] == "ada@example.invalid"
    assert last["call"] is None and found["counts"] == {"agent": 2, "human": 1, "unknown": 0}


def test_lines_keep_their_writer_when_later_commits_move_them(story):
    """A later commit above and below changes the numbers, not the answer; its own lines are its own."""
    first = written(story)
    second = story.commit("above", {"a.py": "zero\none\ntwo\nthree\nfour\n"}, lines={"a.py": [(1, 1, "human"), (5, 5, "unknown")]})
    story.write()
    found = blame(story, "a.py")
    assert writers(found) == [HUMAN, AGENT, AGENT, HUMAN, ("unknown", None, "not-established")]
    assert [item["commit"] for item in found["lines"]] == [second, first, first, second]
    assert found["lines"][1]["original"] == [1, 2]


def test_a_renamed_file_keeps_its_writers(story):
    """Git follows the file; the record is asked about the name that the file had then."""
    written(story)
    story.sandbox.git("mv", "a.py", "b.py", cwd=story.repo)
    story.commit("rename", {})
    story.write()
    found = blame(story, "b.py")
    assert writers(found) == [AGENT, AGENT, HUMAN]
    assert {item["path"] for item in found["lines"]} == {"a.py"}


def test_only_the_lines_asked_for_are_shown(story):
    """A span limits the answer as it limits git's."""
    written(story)
    story.write()
    found = blame(story, "a.py", spans=["2,3"])
    assert [item["range"] for item in found["lines"]] == [[2, 2], [3, 3]]


def test_an_older_revision_is_blamed_as_it_was(story):
    """What was written later is not there."""
    first = written(story)
    written(story, text="one\n2\nthree\n", lines=[(2, 2, "human")])
    story.write()
    assert writers(blame(story, "a.py")) == [AGENT, HUMAN, HUMAN]
    assert writers(blame(story, "a.py", first)) == [AGENT, AGENT, HUMAN]


# Settings


def ignored(story: Story, listed: str) -> str:
    """Commit lines of a person's, then one of the agent's in their midst, and write into `listed` that it be ignored."""
    story.commit("a person's", {"a.py": "one\n2\nthree\n"}, lines={"a.py": [(1, 3, "human")]})
    oid = written(story, lines=[])
    story.log._records.pop()
    story.record(oid, lines={"a.py": [(2, 2, story.last, "exact")]})
    (story.repo / listed).write_text(f"{oid}\n")
    story.write()
    return oid


@pytest.mark.parametrize("scope", ["--global", "--local"])
@pytest.mark.parametrize(
    "named", ["{}/list", "list", "missing", "~nobody-here/list"], ids=["absolute", "relative", "missing", "nowhere"]
)
def test_no_setting_hides_the_commit_that_wrote_a_line(story, scope, named):
    """With blame.ignoreRevsFile git names another commit; where the list cannot be read it names none. Neither matters here."""
    oid = ignored(story, "list")
    story.sandbox.git("config", scope, "blame.ignoreRevsFile", named.format(story.repo), cwd=story.repo)
    found = blame(story, "a.py")
    assert writers(found) == [HUMAN, AGENT, HUMAN] and found["lines"][1]["commit"] == oid


@pytest.mark.parametrize(
    "setting", ["blame.showRoot=true", "blame.date=nonsense", "blame.markIgnoredLines=true", "diff.indentHeuristic=false"]
)
def test_settings_of_gits_blame_change_no_answer(story, setting):
    """The answer is that of a git without settings."""
    ignored(story, "list")
    plain = blame(story, "a.py"), blame(story, "README")
    story.sandbox.git("config", *setting.split("="), cwd=story.repo)
    assert (blame(story, "a.py"), blame(story, "README")) == plain


@pytest.mark.parametrize("kind", ["shallow", "alternates", "sha256", "work tree", "bare"])
def test_a_file_is_blamed_in_a_repository_of_any_kind(sandbox, kind):
    """What git needs to read the history is found where this repository has it."""
    first = sandbox.make_repo("first", *(["--object-format=sha256"] if kind == "sha256" else []), commit=True)
    sandbox.commit(first, "second", {"README": "hello\nand\n"})
    oid = sandbox.commit(first, "third", {"README": "hello\nand\nbye\n"})
    path = sandbox.root / "second"
    make = {
        "shallow": ["clone", "-q", "--depth=2", f"file://{first}", str(path)],
        "alternates": ["clone", "-q", "--shared", str(first), str(path)],
        "work tree": ["worktree", "add", "-q", str(path)],
        "bare": ["clone", "-q", "--bare", str(first), str(path)],
    }
    if kind in make:
        sandbox.git(*make[kind], cwd=first)
    else:
        path = first
    if kind == "alternates":
        (path / ".git/objects/info/alternates").write_text("../../../first/.git/objects\n")
    found = blame_file(find_repository(str(path)), oid, b"README")
    second, root = (sandbox.git("rev-parse", f"{oid}~{back}", cwd=first) for back in (1, 2))
    assert [line.oid for line in found] == ([second, second, oid] if kind == "shallow" else [root, second, oid])
    assert [line.boundary for line in found] == ([True, True, False] if kind == "shallow" else [True, False, False])


# What is not known


def test_a_commit_that_nobody_recorded_has_unknown_lines(story):
    """Lines from before the log are nobody's."""
    story.write()
    found = blame(story, "README")
    assert writers(found) == [("unknown", None, "unrecorded")]
    assert "1 line: no log here recorded the commit." in found["unknown"]


def test_without_lines_the_only_call_that_left_the_path_is_inferred(story):
    """The record says which call left the file, not that it wrote this line: `exact` is never inherited from a path."""
    call = story.call("Write", {"file_path": "a.py"})
    story.commit("old record", {"a.py": "x\n"}, links={"a.py": call})
    story.write()
    found = blame(story, "a.py")
    assert writers(found) == [("agent", "inferred", None)]
    assert found["lines"][0]["basis"] == "path" and found["lines"][0]["call"] == f"{story.log.name}/{call.request}"


def test_without_lines_and_links_a_line_is_unknown(story):
    """A commit that no call had a hand in is not a person's for that."""
    story.commit("by whom", {"a.py": "x\n"})
    story.write()
    assert writers(blame(story, "a.py")) == [("unknown", None, "no-lines")]


def test_a_line_that_the_record_does_not_list_is_unknown(story):
    """A record that lists lines, and not this one, says nothing about it; its calls are named as candidates."""
    written(story, lines=[(1, 1, "human")])
    story.write()
    found = blame(story, "a.py")
    assert writers(found) == [HUMAN, ("unknown", None, "not-listed"), ("unknown", None, "not-listed")]
    assert found["lines"][1]["candidates"] == [f"{story.log.name}/{story.last.result}"]


@pytest.mark.parametrize(
    "lines",
    [
        [{"range": [1, 3], "by": "agent", "call": 0, "link": "exact"}],
        [{"range": [1, 3], "by": "agent", "call": 10**9, "link": "exact"}],
    ],
    ids=["an entry that is no call", "an entry that is not there"],
)
def test_a_range_that_names_no_call_is_unknown(story, lines, monkeypatch):
    """Who writes an entry can write anything into it; a call that is none proves nothing."""
    monkeypatch.setattr("story.format_wrote", lambda item: item)
    written(story, lines=lines)
    story.write()
    assert writers(blame(story, "a.py")) == [("unknown", None, "no-such-call")] * 3


@pytest.mark.parametrize(
    "lines",
    ["all", [None], [{"range": [0, 3]}], [{"range": [3, 1], "by": "agent"}], [{"range": ["1", "3"]}], [{"range": [1]}], [[1, 3]]],
)
def test_nonsense_in_the_place_of_lines_is_no_answer(story, lines, monkeypatch):
    """Malformed ranges are left out, without a traceback."""
    monkeypatch.setattr("story.format_wrote", lambda item: item)
    written(story, lines=lines)
    story.write()
    found = writers(blame(story, "a.py"))
    assert len(found) == 3 and {by for by, _, _ in found} <= {"unknown", "agent"}
    assert all(link != "exact" for _, link, _ in found)


def test_overlapping_ranges_do_not_overrule_the_first(story, monkeypatch):
    """The second range over a line is left out."""
    monkeypatch.setattr("story.format_wrote", lambda item: item)
    written(story, lines=[{"range": [1, 2], "by": "human"}, {"range": [2, 3], "by": "agent", "link": "exact"}])
    story.write()
    assert writers(blame(story, "a.py"))[:2] == [HUMAN, HUMAN]


# Rewrites


def test_an_amended_commit_keeps_the_lines_of_the_one_before(story):
    """The record of the amend does not list them; the content is in the blob that was recorded before, and is followed."""
    old = written(story)
    (story.repo / "a.py").write_text("one\ntwo\nthree\nfour\n")
    story.sandbox.git("commit", "-qa", "--amend", "--no-edit", cwd=story.repo)
    new = story.sandbox.git("rev-parse", "HEAD", cwd=story.repo)
    story.log.append("commit.rewritten", {"how": "amend", "rewrites": [{"old": old, "new": new}]}, source="git")
    story.record(new, lines={"a.py": [(4, 4, "human")]})
    story.write()
    found = blame(story, "a.py")
    assert [by for by, _, _ in writers(found)] == ["agent", "agent", "human", "human"]
    assert "exact" not in {link for _, link, _ in writers(found)}


def rebased(story: Story, *, rewritten: bool) -> tuple[str, str]:
    """Put a commit of the agent's on top of another that moves its lines, and return its ids before and after."""
    story.commit("base", {"a.py": "".join(f"{number}\n" for number in range(9))})
    old = written(story, text="".join(f"{number}\n" for number in range(9)) + "one\ntwo\nthree\n", lines=[])
    story.log._records.pop()
    call = story.last
    story.record(old, links={"a.py": call}, lines={"a.py": [(10, 11, call, "exact"), (12, 12, "human")]})
    story.sandbox.git("checkout", "-q", "-b", "side", "HEAD~1", cwd=story.repo)
    story.sandbox.commit(story.repo, "in between", {"a.py": "top\n" + "".join(f"{number}\n" for number in range(9))})
    story.sandbox.git("cherry-pick", old, cwd=story.repo)
    new = story.sandbox.git("rev-parse", "HEAD", cwd=story.repo)
    story.sandbox.git("commit", "-q", "--amend", "-m", "no trailer", cwd=story.repo)
    new = story.sandbox.git("rev-parse", "HEAD", cwd=story.repo)
    if rewritten:
        story.log.append("commit.rewritten", {"how": "rebase", "rewrites": [{"old": old, "new": new}]}, source="git")
    story.write()
    return old, new


def test_a_rebased_commits_lines_follow_their_content(story):
    """The rewrite map says which commit it was, and the same change keeps what it was worth, though the lines moved."""
    old, new = rebased(story, rewritten=True)
    found = blame(story, "a.py")
    assert found["commits"][new]["match"] == {"rung": "rewrite-map", "recorded_oid": old, "confidence": "certain"}
    assert writers(found)[-3:] == [AGENT, AGENT, HUMAN]
    assert found["lines"][-1]["range"] == [13, 13]


def test_a_likeness_is_never_exact(story):
    """A commit found by its patch-id may be anybody's who made the same change, so its lines are inferred."""
    _, new = rebased(story, rewritten=False)
    found = blame(story, "a.py")
    assert found["commits"][new]["match"]["rung"] == "patch-id"
    assert writers(found)[-3:] == [("agent", "inferred", None)] * 2 + [("human", "inferred", None)]


# Odd files


def test_names_and_texts_that_would_steer_a_terminal_are_shown_as_escapes(story, capfd):
    """A path, a line, a subject and a prompt with escapes in them reach no terminal, in none of the forms."""
    path = 'we"ird\t\x1b[31m\nname'
    story.ask(HOSTILE)
    call = story.call("Write\x1b]0;x\x07", {"file_path": path})
    story.commit(HOSTILE, {path: f"{HOSTILE}\n\u202etwo\n"}, links={path: call}, lines={path: [(1, 2, call, "exact")]})
    story.write()
    for form in ([], ["--json"], ["--porcelain"]):
        assert run(["-C", str(story.repo), "blame", path, *form]) == 0
        said = capfd.readouterr()
        if form != ["--porcelain"]:  # its lines are the file's own bytes, for programs
            assert not _STEERING.search(said.out.replace("\t", "")), form
        assert said.err == "" and "HOSTILE" not in said.out
    found = blame(story, path)
    assert found["lines"][0]["text"][1] == "\u202etwo" and writers(found) == [AGENT, AGENT]


def test_a_path_that_is_not_utf8_is_found(story):
    """The path is bytes, and named as a record names it."""
    path = b"caf\xe9".decode("utf-8", "surrogateescape")
    call = story.call("Write", {"file_path": "cafe"})
    (story.repo / path).write_text("x\n")
    story.sandbox.git("add", "-A", cwd=story.repo)
    oid = story.sandbox.commit(story.repo, "odd")
    story.record(oid, lines={"caf\ufffd": [(1, 1, call, "exact")]})
    story.write()
    found = blame(story, path)
    assert found["path"] == {"base64": "Y2Fm6Q=="} and writers(found) == [AGENT]


@pytest.mark.parametrize("locale", ["POSIX", "C.UTF-8"])
def test_any_name_can_be_given_in_any_locale(odd, locale):
    """What stands on the command line are bytes, whatever Python takes them for; branches have names as well."""
    odd.sandbox.git("checkout", "-q", "-b", "\u00fcber", cwd=odd.repo)
    plain = {"LC_ALL": locale, "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}

    def said(*words: str) -> Any:
        done = odd.sandbox.run(sys.executable, "-m", "ledger", *words, cwd=odd.repo, **plain)
        assert (done.returncode, done.stderr) == (0, "")
        return json.loads(done.stdout)

    for name in ODD[2:4]:
        expected = {"base64": "Y2Fm6Q=="} if name == ODD[3] else name
        for words in (
            ["blame", "--json", "--", "\u00fcber", name],
            ["trace", "--json", f"{name}:1"],
            ["trace", "--json", f"HEAD:{name}:1"],
        ):
            assert said(*words)["path"] == expected


def test_an_empty_file_has_no_lines(story):
    """Nothing is asked, and nothing is unknown."""
    story.commit("empty", {"a.py": ""})
    story.write()
    found = blame(story, "a.py")
    assert found["lines"] == [] and found["unknown"] == []


# The command


def test_the_porcelain_form_is_gits_with_headers_of_ours(story, capfd):
    """Line, commit and numbers stand where `git blame --porcelain` has them; what the ledger knows is in `ledger-` headers."""
    oid = written(story)
    story.write()
    assert run(["-C", str(story.repo), "blame", "--porcelain", "a.py"]) == 0
    lines = capfd.readouterr().out.split("\n")
    assert lines[0] == f"{oid} 1 1 3" and "\tone" in lines and f"{oid} 2 2" in lines and f"{oid} 3 3" in lines
    assert f"ledger-call {story.log.name}/{story.last.request}" in lines and "ledger-by human" in lines
    assert "ledger-asked ada@example.invalid asserted" in lines and f"ledger-match exact {oid}" in "\n".join(lines)


@pytest.fixture
def odd(sandbox: Any) -> Story:
    """A story with files that a program would stumble over: names, bytes, a renamed one, and one without a last newline."""
    story = Story(sandbox)
    story.start()
    story.ask("write it, please")
    call = story.call("Write", {"file_path": "a.py"})
    for name in ODD:
        (story.repo / name).write_bytes(b"caf\xe9 \xff\n\tledger-by nobody\r\n\nauthor x\n")
    sandbox.git("add", "-A", cwd=story.repo)
    oid = sandbox.commit(
        story.repo, "odd \x1b[31m names", GIT_AUTHOR_NAME="Zo\u00eb \u202e", GIT_AUTHOR_DATE="2001-02-03T04:05:06+0730"
    )
    story.record(oid, lines={name: [(1, 2, call, "exact"), (3, 3, "human")] for name in ODD})
    sandbox.git("mv", "renamed", "now", cwd=story.repo)
    with (story.repo / "now").open("ab") as file:
        file.write(b"no newline")
    with (story.repo / ODD[0]).open("ab") as file:
        file.write(b"one more\n")
    sandbox.git("add", "-A", cwd=story.repo)
    sandbox.commit(story.repo, "rename")
    story.write()
    return story


ODD = ['q"uo\\te', "new\nline\ttab\x01\x7f", "\u00fcml\u00e4ut \u202e", "caf\udce9", " blank ", "-dash", "renamed"]


@pytest.mark.parametrize("name", [*ODD[:-1], "now", "README"])
@pytest.mark.parametrize("shallow", [False, True], ids=["whole", "shallow"])
def test_without_our_headers_the_porcelain_form_is_gits_to_the_byte(odd, name, shallow, capfdbinary):
    """Names are quoted as git quotes them, bytes are the file's own, and all of git's headers are there."""
    if shallow:
        (odd.repo / ".git/shallow").write_text(odd.sandbox.git("rev-parse", "HEAD~1", cwd=odd.repo) + "\n")
    for options in ([], ["-L", "1,1", "-L", "3,3"]) if name != "README" else ([],):
        capfdbinary.readouterr()
        assert run(["-C", str(odd.repo), "blame", "--porcelain", *options, "--", "HEAD", name]) == 0
        said = capfdbinary.readouterr().out.split(b"\n")
        git = odd.sandbox.git_bytes(
            "-c", "core.quotePath=false", "blame", "--porcelain", *options, "HEAD", "--", name, cwd=odd.repo
        )
        assert b"\n".join(line for line in said if not line.startswith(b"ledger-")) == git
        assert any(line.startswith(b"ledger-by ") for line in said)


def test_bytes_that_are_no_text_can_be_told_from_json(odd, capfd):
    """They are in base64, of the line alone; people see where they are."""
    found = blame(odd, ODD[0])["lines"]
    assert [text for item in found for text in item["text"]] == [
        {"base64": "Y2Fm6SD/"},
        "\tledger-by nobody\r",
        "",
        "author x",
        "one more",
    ]
    for words in (["blame", "--", ODD[0]], ["trace", f"{ODD[0]}:1"]):
        assert run(["-C", str(odd.repo), *words]) == 0
        assert "│ caf\ufffd \ufffd" in capfd.readouterr().out
    assert run(["-C", str(odd.repo), "trace", "--json", f"{ODD[0]}:1"]) == 0
    assert json.loads(capfd.readouterr().out)["text"] == {"base64": "Y2Fm6SD/"}


def test_a_range_of_ours_may_begin_within_gits(odd, capfdbinary):
    """Git takes lines of one commit together; whose they are is said where it changes."""
    assert run(["-C", str(odd.repo), "blame", "--porcelain", "--", ODD[0]]) == 0
    said = capfdbinary.readouterr().out.split(b"\n")
    before = [said[at - 1] if line[:1] != b"\t" else b"" for at, line in enumerate(said) if line.startswith(b"ledger-by ")]
    assert [line for line in said if line.startswith(b"ledger-by ")] == [b"ledger-by agent", b"ledger-by human"] + [
        b"ledger-by unknown"
    ] * 2
    assert before[1].endswith(b" 3 3") and said.count(b"") == 1


def test_a_terminal_is_not_steered_by_the_porcelain_form(odd, capfd, monkeypatch):
    """There the file's bytes go as escapes."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert run(["-C", str(odd.repo), "blame", "--porcelain", "--", ODD[2]]) == 0
    said = capfd.readouterr().out
    assert not _STEERING.search(said) and "\\xe9" in said and "\\u202e" in said


def test_the_page_shows_lines_calls_and_words(story, capfd):
    """People see each line with its writer, and once the call and the words behind it."""
    written(story)
    story.write()
    assert run(["-C", str(story.repo), "blame", "HEAD", "a.py"]) == 0
    out = capfd.readouterr().out
    assert "│ one" in out and "human" in out and "exact" in out and "write it, please" in out
    assert "2 agent (67 %)" in out and "1 human (33 %)" in out


def test_lines_are_cut_only_where_something_says_how_wide_a_page_is(story, capfd, monkeypatch):
    """`ledger blame | grep` sees whole lines; COLUMNS cuts them. Each writer's name is whole, and the columns stay in line."""
    monkeypatch.delenv("COLUMNS", raising=False)
    text = "x" * 300
    add, claude = story.add, {"type": "agent", "name": "claude-code"}
    monkeypatch.setattr(story, "add", lambda *facts, **more: add(*facts, **{"actor": claude, **more}))
    written(story, text=f"{text}\ntwo\nthree\n")
    story.write()
    for columns, end in ((None, text), ("60", "…")):
        if columns:
            monkeypatch.setenv("COLUMNS", columns)
        assert run(["-C", str(story.repo), "blame", "a.py"]) == 0
        lines = [line for line in capfd.readouterr().out.splitlines() if "│" in line]
        assert lines[0].endswith(end) and " claude-code " in lines[0] and lines[2].endswith("three")
        assert len({line.index("│") for line in lines}) == 1


def test_paths_are_those_below_where_the_command_is_called(story, capfd):
    """As with git, a path is relative to the folder that one is in."""
    written(story, "sub/a.py")
    story.write()
    assert run(["-C", str(story.repo / "sub"), "blame", "a.py", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["path"] == "sub/a.py"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["nothing.py"], 2, "no such path"),
        (["nowhere", "a.py"], 2, "names no commit"),
        (["^HEAD", "a.py"], 2, "names no commit here"),
        (["/etc/passwd"], 2, "outside the work tree"),
        ([], 2, "name one file"),
        (["-L", "9,12", "a.py"], 2, "has only 3 lines"),
        *((["-L", span, "a.py"], 2, f"-L {span!r}: not a range that git blame takes") for span in ("xyz", "1,x", ":", "1..2", "")),
        (["-L", "1,2", "-L", "x", "a.py"], 2, "-L '1,2' or 'x': not a range that git blame takes"),
        (["-L", "0", "a.py"], 2, "invalid line number"),
        (["-L", "/nothing/", "a.py"], 2, "No match"),
        (["--json", "--porcelain", "a.py"], 2, "exclude each other"),
    ],
)
def test_bad_input_is_refused_in_a_line(story, capfd, words, code, said):
    """What names nothing is refused with git's reason or ours, and never with a traceback."""
    written(story)
    story.write()
    assert run(["-C", str(story.repo), "blame", *words]) == code
    err = capfd.readouterr().err
    assert said in err and "Traceback" not in err
