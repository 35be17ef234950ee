"""Agents' hooks are merged into settings that belong to somebody, and taken out without a trace."""

from __future__ import annotations

import json
import os

import pytest
from conftest_install import touched
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.agents import registry
from ledger.errors import FormatError, Refused
from ledger.install import agents, codextrust, jsontext

BOTH = ("codex", "claude-code")
ALL = (*BOTH, "gemini", "opencode")

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@pytest.fixture
def repo(bench):
    """A repository with one commit."""
    return bench.sandbox.make_repo("a repo", commit=True)


def test_the_events_are_those_that_are_understood():
    """Every event that gets wired has a meaning, and every event of Codex is wired."""
    assert set(agents.CODEX_EVENTS) == registry.load("codex").EVENTS
    assert set(agents.CLAUDE_EVENTS) <= registry.load("claude-code").EVENTS
    assert set(agents.GEMINI_EVENTS) <= registry.load("gemini").EVENTS


def test_settings_are_made_where_there_are_none(bench, repo):
    """Both agents get a file with one group an event, and `git status` stays empty."""
    before = touched(repo)
    bench.install(repo, BOTH)
    codex = json.loads((repo / ".codex/hooks.json").read_text())["hooks"]
    assert list(codex) == list(agents.CODEX_EVENTS)
    hook = codex["PreToolUse"][0]["hooks"][0]
    assert hook == {"type": "command", "command": agents.hook_command(str(bench.python), bench.state, "codex"), "timeout": 30}
    assert codex["SessionEnd"][0]["hooks"][0]["timeout"] == codex["Interrupt"][0]["hooks"][0]["timeout"] == 3
    claude = json.loads((repo / ".claude/settings.local.json").read_text())
    assert set(claude) == {"hooks"} and set(claude["hooks"]) == set(agents.CLAUDE_EVENTS)
    assert bench.sandbox.git("status", "--porcelain", cwd=repo) == ""
    bench.remove(repo)
    assert touched(repo) == before


def test_gemini_counts_in_milliseconds_and_is_put_back(bench, repo):
    """Gemini's hooks have names, time out after 30,000, and leave a file of the user's as it was."""
    path = repo / ".gemini/settings.json"
    path.parent.mkdir()
    path.write_text('{\n  "ui": {"theme": "Default"},\n  "hooks": {"BeforeTool": [{"matcher": "x", "hooks": []}]}\n}')
    before = touched(repo)
    bench.install(repo, ("gemini",))
    hooks = json.loads(path.read_text())["hooks"]
    assert set(hooks) == set(agents.GEMINI_EVENTS)
    (hook,) = hooks["BeforeTool"][1]["hooks"]
    command = agents.hook_command(str(bench.python), bench.state, "gemini")
    assert hook == {"name": "git-ledger", "type": "command", "command": command, "timeout": 30000}
    bench.install(repo, ("gemini",))
    assert json.loads(path.read_text())["hooks"] == hooks
    bench.remove(repo)
    assert touched(repo) == before


def test_opencode_gets_a_plugin_that_goes_again(bench, repo):
    """The plugin holds the recorder's words whatever they are made of, git does not see it, and nothing is left of it."""
    before = touched(repo)
    done = bench.install(repo, ("opencode",))
    path = repo / ".opencode/plugins/git-ledger.js"
    assert done.agents == {"opencode": str(path)}
    words = [str(bench.python), "-I", "-m", "ledger.hook", "--state", bench.state, "opencode"]
    assert f"const COMMAND = {json.dumps(words)}\n" in path.read_text()
    assert bench.sandbox.git("status", "--porcelain", cwd=repo) == ""
    assert bench.install(repo, ("opencode",)).changed == ()
    bench.remove(repo)
    assert touched(repo) == before


def test_a_plugin_of_somebody_else_is_left_alone(bench, repo):
    """A file of that name that is not ours is refused at `init`; ours, once edited, stays at `deinit` and is named."""
    path = repo / ".opencode/plugins/git-ledger.js"
    path.parent.mkdir(parents=True)
    path.write_text("export const Mine = async () => ({})\n")
    with pytest.raises(Refused, match="not ours"):
        bench.install(repo, ("opencode",))
    path.unlink()
    bench.install(repo, ("opencode",))
    path.write_text(path.read_text() + "// mine\n")
    assert bench.remove(repo).left == (str(path),)
    assert path.read_text().endswith("// mine\n")


def test_all_agents_at_user_scope_leave_a_home_as_it_was(bench, repo):
    """The user's own settings of every agent are wired, opencode's where XDG_CONFIG_HOME says, and then put back."""
    home = bench.sandbox.home
    before = touched(repo, home)
    done = bench.install(repo, ALL, "user")
    assert done.agents["gemini"] == str(home / ".gemini/settings.json")
    assert done.agents["opencode"] == str(home / ".config/opencode/plugins/git-ledger.js")
    assert not (repo / ".opencode").exists()
    bench.remove(repo)
    assert not [name for name in (".codex", ".claude", ".gemini", ".config/opencode") if (home / name).exists()]
    assert {name for name in touched(repo, home) if name not in before and "/.local" not in name} == set()


def test_the_command_runs_as_it_stands(bench, repo):
    """A shell starts the interpreter with exactly these arguments, whatever the path is made of."""
    command = agents.hook_command(str(bench.python), bench.state, "codex")
    assert bench.sandbox.run("sh", "-lc", command, cwd=repo, input="{}\n").returncode == 0
    assert bench.recorded() == [f"-I -m ledger.hook --state {bench.state} codex", "{}"]


SPELLINGS = {
    "two blanks": '{\n  "model": "x",\n  "hooks": {\n    "Stop": [\n      {"hooks": [{"command": "mine"}]}\n    ]\n  }\n}\n',
    "tabs": '{\n\t"b": [1, 2,\n\t\t3],\n\t"a": {}\n}',
    "one line": '{"permissions": {"allow": ["Bash(ls)"]}, "hooks": {"Stop": [{"hooks": []}]}}',
    "CRLF": '{\r\n    "z": 1,\r\n    "hooks": {}\r\n}\r\n',
    "empty object": "{}",
    "empty file": "",
    "escapes": '{\n "caf\\u00e9": "\\ud83d\\ude00 \u00fc",\n "n": 1.50e2\n}\n',
    "empty list": '{\n  "hooks": {"PreToolUse": []}\n}\n',
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_what_others_wrote_stays_as_it_is(bench, repo, spelling):
    """Order, spelling and line ends survive; our groups come last; `deinit` brings back the very bytes and the mode."""
    path = repo / ".claude/settings.local.json"
    path.parent.mkdir()
    path.write_bytes(SPELLINGS[spelling].encode())
    path.chmod(0o640)
    before = touched(repo)
    bench.install(repo, ("claude-code",))
    text = path.read_bytes().decode()
    old = json.loads(SPELLINGS[spelling] or "{}")
    new = json.loads(text)
    groups = new.pop("hooks")
    assert list(new.items()) == [item for item in old.items() if item[0] != "hooks"]
    for event, group in old.get("hooks", {}).items():
        assert groups[event][: len(group)] == group and len(groups[event]) == len(group) + 1
    for line in SPELLINGS[spelling].splitlines():
        if line.strip(" \t{}[],"):
            assert line.strip(" \t{}[],") in text
    assert ("\r\n" in text) == ("\r\n" in SPELLINGS[spelling])
    assert path.stat().st_mode & 0o777 == 0o640
    bench.remove(repo)
    assert touched(repo) == before


def test_a_file_that_changed_since_loses_only_our_hooks(bench, repo):
    """What somebody added after `init` stays, in the file and inside our own groups."""
    path = repo / ".claude/settings.local.json"
    path.parent.mkdir()
    path.write_text('{\n  "hooks": {\n    "Stop": []\n  }\n}\n')
    bench.install(repo, ("claude-code",))
    value = json.loads(path.read_text())
    value["hooks"]["Stop"][0]["hooks"].append({"type": "command", "command": "theirs"})
    value["hooks"]["PreToolUse"].insert(0, {"matcher": "Bash", "hooks": [{"type": "command", "command": "first"}]})
    value["model"] = "new"
    path.write_text(json.dumps(value, indent=2))
    removed = bench.remove(repo)
    assert str(path) in removed.edited
    assert json.loads(path.read_text()) == {
        "hooks": {
            "Stop": [{"hooks": [{"type": "command", "command": "theirs"}]}],
            "PreToolUse": [{"matcher": "Bash", "hooks": [{"type": "command", "command": "first"}]}],
        },
        "model": "new",
    }


def test_installing_again_after_a_change_forgets_nothing(bench, repo):
    """`init`, an edit by somebody, `init`, `deinit`: the edit is there and nothing of ours is."""
    bench.install(repo, BOTH)
    path = repo / ".codex/hooks.json"
    value = json.loads(path.read_text())
    value["description"] = "kept"
    path.write_text(json.dumps(value))
    bench.install(repo, BOTH)
    bench.remove(repo)
    assert json.loads(path.read_text()) == {"description": "kept"}
    assert not (repo / ".claude").exists()


def test_an_agent_that_is_no_longer_wanted_is_taken_out(bench, repo):
    """`init --agents codex` after `--agents all` unwires Claude Code."""
    before = touched(repo)
    bench.install(repo, BOTH)
    bench.install(repo, ("codex",))
    assert not (repo / ".claude/settings.local.json").exists()
    assert "/.claude/settings.local.json" not in (repo / ".git/info/exclude").read_text()
    bench.remove(repo)
    assert touched(repo) == before


@pytest.mark.parametrize(
    "text",
    ['{"hooks": ', "[]", '{"hooks": []}', '{"hooks": {"Stop": {}}}', '{"hooks": {"Stop": [{"hooks": 1}]}}', '{"a": 1, "a": 2}',
     "// comment\n{}", "\ufeff{}", '{"a": NaN}', b"\xff\xfe{}", "[" * 100_000],
    ids=lambda text: repr(text)[:30],
)  # fmt: skip
@pytest.mark.parametrize("agent", [*BOTH, "gemini"])
def test_malformed_settings_are_named_and_left_alone(bench, repo, text, agent):
    """Nothing at all is installed, and the message names the file."""
    path = repo / agents.AGENTS[agent].folder / agents.AGENTS[agent].project_file
    path.parent.mkdir()
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    before = touched(repo)
    with pytest.raises(Refused) as refused:
        bench.install(repo, ALL)
    assert str(path) in refused.value.message and refused.value.remedy
    assert touched(repo) == before
    assert not bench.sandbox.state.exists()


def test_tracked_settings_are_refused(bench, repo):
    """What the team shares is not written to."""
    bench.sandbox.commit(repo, "share", {".codex/hooks.json": "{}\n"})
    with pytest.raises(Refused, match="tracked"):
        bench.install(repo, BOTH)
    assert not (repo / ".claude").exists()


def test_links_are_followed_inside_only(bench, repo):
    """A link within the work tree is followed and stays a link; one that leads out of it, or to nothing, is refused."""
    (repo / ".codex").mkdir()
    (repo / "real.json").write_text("{}")
    (repo / ".codex/hooks.json").symlink_to("../real.json")
    before = touched(repo, repo / "real.json")
    bench.install(repo, ("codex",))
    assert (repo / ".codex/hooks.json").is_symlink()
    assert "ledger.hook" in (repo / "real.json").read_text()
    bench.remove(repo)
    assert touched(repo, repo / "real.json") == before
    for target in (bench.sandbox.home / "elsewhere.json", repo / ".git/config", repo / "nowhere"):
        (repo / ".codex/hooks.json").unlink()
        (repo / ".codex/hooks.json").symlink_to(target)
        with pytest.raises(Refused, match="link"):
            bench.install(repo, ("codex",))
    (repo / ".codex/hooks.json").unlink()
    (repo / ".codex").rmdir()
    (repo / ".codex").symlink_to(bench.sandbox.home)
    with pytest.raises(Refused, match="link"):
        bench.install(repo, ("codex",))


def test_user_scope_serves_all_repositories_until_the_last_leaves(bench, repo):
    """The user's settings are wired once, and put back when no repository relies on them."""
    home = bench.sandbox.home
    (home / ".claude").mkdir()
    (home / ".claude/settings.json").write_text('{"theme": "dark"}')
    other = bench.sandbox.make_repo("other", commit=True)
    before = touched(repo, home / ".claude")
    bench.install(repo, BOTH, "user")
    bench.install(other, BOTH, "user")
    assert "ledger.hook" in (home / ".codex/hooks.json").read_text()
    assert not (repo / ".codex").exists()
    bench.remove(repo)
    assert "ledger.hook" in (home / ".claude/settings.json").read_text()
    bench.remove(other)
    assert touched(repo, home / ".claude") == before
    assert not (home / ".codex").exists()


def test_codex_home_is_honoured(bench, repo, monkeypatch):
    """CODEX_HOME names where the user's Codex settings are."""
    monkeypatch.setenv("CODEX_HOME", str(bench.sandbox.home / "codex home"))
    done = bench.install(repo, ("codex",), "user")
    assert done.agents["codex"] == str(bench.sandbox.home / "codex home/hooks.json")


def test_changing_scope_leaves_one(bench, repo):
    """From project to user scope, the project's settings are put back."""
    bench.install(repo, BOTH)
    bench.install(repo, BOTH, "user")
    assert not (repo / ".codex").exists() or not list((repo / ".codex").iterdir())
    assert "ledger.hook" in (bench.sandbox.home / ".codex/hooks.json").read_text()


def test_codex_trust_is_read_and_never_written(bench, repo):
    """Untrusted, then trusted by hand as Codex would write it, then changed: each is told from the others."""
    bench.install(repo, ("codex",))
    home = bench.sandbox.home / ".codex"
    path = str(repo / ".codex/hooks.json")
    command = agents.hook_command(str(bench.python), bench.state, "codex")
    trust = codextrust.read_trust(str(home), path, command, str(repo))
    assert (trust.project, len(trust.missing), trust.total) == (False, 12, 12)
    assert not home.exists()
    home.mkdir()
    lines = [f'[projects.{json.dumps(str(repo))}]\ntrust_level = "trusted"\n']
    for event in agents.CODEX_EVENTS:
        hook = {"type": "command", "command": command, "timeout": 3 if event in ("SessionEnd", "Interrupt") else 30}
        key = json.dumps(f"{path}:{codextrust.event_key(event)}:0:0")
        lines.append(f'[hooks.state.{key}]\ntrusted_hash = "{codextrust.trusted_hash(event, hook)}"\n')
    (home / "config.toml").write_text("\n".join(lines))
    assert codextrust.read_trust(str(home), path, command, str(repo)) == (True, (), 12)
    text = (repo / ".codex/hooks.json").read_text()
    (repo / ".codex/hooks.json").write_text(text.replace('"timeout": 30', '"timeout": 31', 1))
    assert codextrust.read_trust(str(home), path, command, str(repo)).missing == ("SessionStart",)


def test_the_trusted_hash_is_codex_own():
    """The hash is SHA-256 of compact JSON with sorted members, spelled out here by hand."""
    import hashlib

    spelled = '{"event_name":"pre_tool_use","hooks":[{"async":false,"command":"c","timeout":30,"type":"command"}]}'
    expected = "sha256:" + hashlib.sha256(spelled.encode()).hexdigest()
    assert codextrust.trusted_hash("PreToolUse", {"type": "command", "command": "c", "timeout": 30}) == expected


@settings(derandomize=True, deadline=None, max_examples=150)
@given(st.dictionaries(st.text(max_size=4), VALUES, max_size=4), VALUES, st.sampled_from([None, 1, 2, "\t"]), st.booleans())
def test_inserting_and_removing_text_is_inserting_and_removing_values(value, added, indent, crlf):
    """Whatever the JSON, a member or an element goes in last, comes out again, and the bytes are those of before."""
    value = {**value, "list": [value], "object": value}
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    text = text.replace("\n", "\r\n") if crlf else text
    grown = jsontext.insert(text, ("list",), None, added)
    assert jsontext.parse(grown) == {**value, "list": [*value["list"], added]}
    assert jsontext.remove(grown, ("list", 1)) == text
    assert jsontext.parse(jsontext.remove(grown, ("list", 0)))["list"] == [added]
    name = "a name that is not there"
    grown = jsontext.insert(text, ("object",), name, added)
    assert jsontext.parse(grown) == {**value, "object": {**value["object"], name: added}}
    back = jsontext.remove(grown, ("object", name))
    assert back == text if value["object"] else jsontext.parse(back) == value


def test_objects_with_two_members_of_one_name_are_not_edited():
    """Which of the two an agent would read is anybody's guess."""
    with pytest.raises(FormatError):
        jsontext.parse('{"hooks": {}, "hooks": {}}')


def test_agents_are_found_by_program_and_by_folder(bench, repo, monkeypatch):
    """A program on PATH, a folder at home or one in the project each count."""
    monkeypatch.setenv("PATH", os.fspath(bench.sandbox.home / "bin"))
    assert agents.find_agents(str(repo)) == []
    (repo / ".claude").mkdir()
    assert agents.find_agents(str(repo)) == ["claude-code"]
    program = bench.sandbox.home / "bin/codex"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert agents.find_agents(str(repo)) == ["codex", "claude-code"]
