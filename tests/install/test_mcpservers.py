"""`init --mcp`: the proxy goes before the agents' MCP servers, and out again without a trace."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import FormatError
from ledger.install import mcpservers, tomltext
from ledger.install.mcpservers import Place
from ledger.repo.gitdir import find_repository

JSON = """{
    "mcpServers": {
        "tickets": {
            "type": "stdio",
            "command": "npx",
            "args": [
                "-y", "@example/tickets",
                "--flag"
            ],
            "env": { "TOKEN":"${TOKEN}" }
        },
        "bare": {"command": "/opt/bare"},
        "remote": { "type": "http", "url": "https://mcp.example.invalid/" }
    },
    "other":   [1,2]
}
"""
TOML = '''# mine
model = "gpt-5.5"   # a comment

[mcp_servers.tickets] # the tickets
command = "npx"  # [not] = "a table"
args = [
  "-y", # yes
  '@example/tickets',
]
startup_timeout_sec = 20

  [mcp_servers."with blank"]
  command = \'\'\'/opt/bare\'\'\'

[mcp_servers.remote]
url = "https://mcp.example.invalid/"

[mcp_servers]
inline = { command = "x", args = ["y"] }

[[projects]]
note = """
[mcp_servers.tickets]
command = "no"
"""
'''


@pytest.fixture
def repo(bench):
    """A repository with MCP servers of Claude Code and Gemini CLI, none of them tracked."""
    path = bench.sandbox.make_repo("a repo", commit=True)
    (path / ".mcp.json").write_text(JSON)
    (path / ".gemini").mkdir()
    (path / ".gemini/settings.json").write_bytes(JSON.replace("\n", "\r\n").encode())
    return path


def install(bench, path: Path, scope: str = "project") -> mcpservers.Plan:
    """Put the proxy before the servers."""
    return mcpservers.install(find_repository(str(path)), bench.state, str(bench.python), scope)


def remove(bench, path: Path) -> mcpservers.Removed:
    """Take it out again."""
    return mcpservers.remove(find_repository(str(path)), bench.state)


def test_servers_run_behind_the_proxy_and_nothing_else_changes(bench, repo):
    """Command and arguments are ours, with the ones before behind them; remote servers are left, and named."""
    done = install(bench, repo)
    value = json.loads((repo / ".mcp.json").read_text())
    tickets, head = value["mcpServers"]["tickets"], ["-I", "-m", "ledger", "--state", bench.state, "record", "mcp", "--server"]
    assert tickets["command"] == str(bench.python)
    assert tickets["args"] == [*head, "tickets", "--", "npx", "-y", "@example/tickets", "--flag"]
    assert value["mcpServers"]["bare"]["args"] == [*head, "bare", "--", "/opt/bare"]
    tickets["command"], tickets["args"] = "npx", ["-y", "@example/tickets", "--flag"]
    value["mcpServers"]["bare"] = {"command": "/opt/bare"}
    assert value == json.loads(JSON)
    assert [found.server for found in done.found if found.path == str(repo / ".mcp.json") and not found.why] == ["tickets", "bare"]
    assert "HTTP" in next(found.why for found in done.found if found.server == "remote")


def test_out_again_byte_for_byte(bench, repo):
    """Line ends, indentation and order come back as they were."""
    before = {path: (repo / path).read_bytes() for path in (".mcp.json", ".gemini/settings.json")}
    install(bench, repo)
    assert all((repo / path).read_bytes() != data for path, data in before.items())
    removed = remove(bench, repo)
    assert {path: (repo / path).read_bytes() for path in before} == before
    assert len(removed.restored) == 2 and removed.edited == removed.left == ()
    assert remove(bench, repo) == mcpservers.Removed()


def test_twice_is_once(bench, repo):
    """Repeating changes no byte, and the first state is what comes back."""
    install(bench, repo)
    once = (repo / ".mcp.json").read_bytes()
    assert install(bench, repo).files == ()
    assert (repo / ".mcp.json").read_bytes() == once
    remove(bench, repo)
    assert (repo / ".mcp.json").read_text() == JSON


def test_where_somebody_edited_since_only_the_proxy_goes(bench, repo):
    """Servers that were added stay, and so does what was changed beside; ours are as they were, in their own spelling."""
    install(bench, repo)
    path = repo / ".mcp.json"
    path.write_text(path.read_text().replace('"other":   [1,2]', '"other":   [3],\n    "new": true'))
    assert remove(bench, repo).edited == (str(path),)
    assert path.read_text() == JSON.replace('"other":   [1,2]', '"other":   [3],\n    "new": true')


def test_a_server_added_since_is_wrapped_by_the_next_init(bench, repo):
    """And unwrapped with the others."""
    install(bench, repo)
    path = repo / ".mcp.json"
    value = json.loads(path.read_text())
    value["mcpServers"]["late"] = {"command": "late", "args": []}
    path.write_text(json.dumps(value))
    install(bench, repo)
    assert json.loads(path.read_text())["mcpServers"]["late"]["args"][-1] == "late"
    remove(bench, repo)
    found = json.loads(path.read_text())
    assert found["mcpServers"].pop("late") == {"command": "late", "args": []}
    assert found == json.loads(JSON)


def test_a_new_interpreter_takes_the_place_of_the_old(bench, repo):
    """The proxy is never put before itself."""
    install(bench, repo)
    other = bench._replace(python=bench.python.with_name("other"))
    install(other, repo)
    args = json.loads((repo / ".mcp.json").read_text())["mcpServers"]["tickets"]["args"]
    assert args.count("mcp") == 1
    remove(bench, repo)
    assert (repo / ".mcp.json").read_text() == JSON


def test_tracked_malformed_and_linked_files_are_left_and_named(bench, repo):
    """Nothing that is shared is written to, nothing that cannot be read, and nothing elsewhere."""
    bench.sandbox.git("add", ".mcp.json", cwd=repo)
    (repo / ".gemini/settings.json").unlink()
    outside = bench.sandbox.root / "outside.json"
    outside.write_text(JSON)
    (repo / ".gemini/settings.json").symlink_to(outside)
    (repo / ".codex").mkdir()
    (repo / ".codex/config.toml").write_text("[mcp_servers")
    whys = {found.path: found.why for found in install(bench, repo).found if found.server != "remote"}
    assert "tracked by git" in whys[str(repo / ".mcp.json")]
    assert "link" in whys[str(repo / ".gemini/settings.json")]
    assert "malformed" in whys[str(repo / ".codex/config.toml")]
    assert (repo / ".mcp.json").read_text() == outside.read_text() == JSON


def test_codex_is_wired_in_the_users_own_settings(bench, repo):
    """TOML keeps its comments and its order; a server that is written inline is left, and named."""
    path = bench.sandbox.home / ".codex/config.toml"
    path.parent.mkdir()
    path.write_text(TOML)
    done = install(bench, repo, "user")
    servers = tomllib.loads(path.read_text())["mcp_servers"]
    assert servers["tickets"]["args"][-4:] == ["--", "npx", "-y", "@example/tickets"]
    assert servers["with blank"]["args"][-3:] == ["with blank", "--", "/opt/bare"]
    assert servers["inline"] == {"command": "x", "args": ["y"]}
    assert {found.server: bool(found.why) for found in done.found} == {
        "tickets": False,
        "with blank": False,
        "remote": True,
        "inline": True,
    }
    path.write_text(path.read_text().replace("= 20", "= 30"))
    assert remove(bench, repo).edited == (str(path),)
    assert path.read_text() == TOML.replace("= 20", "= 30")


def test_the_users_own_settings_stay_while_another_clone_relies_on_them(bench, repo):
    """The last one that leaves takes the proxy out."""
    path = bench.sandbox.home / ".gemini/settings.json"
    path.parent.mkdir()
    path.write_text(JSON)
    other = bench.sandbox.make_repo("other", commit=True)
    install(bench, repo, "user")
    install(bench, other, "user")
    assert remove(bench, repo) == mcpservers.Removed()
    assert path.read_text() != JSON
    assert remove(bench, other).restored == (str(path),)
    assert path.read_text() == JSON


def test_claudes_servers_of_one_project_are_wired_for_that_project(bench, repo):
    """Claude Code keeps them in the user's file; those of other projects, and the user's own, are not touched."""
    path = bench.sandbox.home / ".claude.json"
    server = {"command": "npx", "args": ["a"]}
    before = {
        "mcpServers": {"u": server},
        "projects": {str(repo): {"mcpServers": {"mine": server}}, "/x": {"mcpServers": {"o": server}}},
    }
    path.write_text(json.dumps(before))
    install(bench, repo)
    after = json.loads(path.read_text())
    assert after["projects"][str(repo)]["mcpServers"]["mine"]["args"][-2:] == ["npx", "a"]
    assert after["projects"]["/x"] == before["projects"]["/x"] and after["mcpServers"] == before["mcpServers"]
    after["numStartups"] = 8
    path.write_text(json.dumps(after))  # as Claude Code does all the time
    remove(bench, repo)
    assert json.loads(path.read_text()) == {**before, "numStartups": 8}


def test_init_puts_it_on_and_deinit_takes_it_off(bench, repo):
    """On the command line: --mcp, again without it, --no-mcp, and deinit; hooks and proxy may be in one file."""
    sandbox = bench.sandbox

    def ledger(*args: str) -> dict:
        done = sandbox.run(sys.executable, "-I", "-m", "ledger", *args, "--json", cwd=repo)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def is_on() -> bool:
        return "record" in json.loads((repo / ".mcp.json").read_text())["mcpServers"]["tickets"]["args"]

    before = {path: path.read_bytes() for path in (repo / ".mcp.json", repo / ".gemini/settings.json")}
    assert ledger("init", "--agents", "none")["mcp"] == [] and not is_on()
    found = ledger("init", "--agents", "all", "--mcp")["mcp"]
    assert {(each["server"], bool(each["why"])) for each in found} == {("tickets", False), ("bare", False), ("remote", True)}
    assert is_on()
    assert len(ledger("init", "--agents", "all")["mcp"]) == len(found) and is_on()
    assert ledger("init", "--agents", "all", "--no-mcp")["mcp"] == [] and not is_on()
    assert ledger("init", "--agents", "all")["mcp"] == [] and not is_on()
    ledger("init", "--agents", "all", "--mcp")
    removed = ledger("deinit")
    assert removed["edited"] == removed["left"] == []
    assert {path: path.read_bytes() for path in before} == before


def test_what_it_writes_runs(bench, repo):
    """The command in the settings starts the server behind the proxy, and the proxy starts the server."""
    (repo / ".mcp.json").write_text(
        json.dumps({"mcpServers": {"s": {"command": sys.executable, "args": ["-c", "print('served')"]}}})
    )
    mcpservers.install(find_repository(str(repo)), bench.state, sys.executable, "project")
    server = json.loads((repo / ".mcp.json").read_text())["mcpServers"]["s"]
    done = subprocess.run([server["command"], *server["args"]], cwd=repo, env=bench.sandbox.env, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"served\n", b"")


def test_human_readable_output_names_servers(bench, repo):
    """What was done is said in words, a line a server."""
    done = bench.sandbox.run(sys.executable, "-I", "-m", "ledger", "init", "--agents", "none", "--mcp", cwd=repo)
    assert "recorded: MCP server tickets" in done.stdout
    assert "not recorded: MCP server remote" in done.stdout


_NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=8)
_SERVERS = st.dictionaries(
    _NAMES,
    st.one_of(
        st.fixed_dictionaries({"command": _NAMES}, optional={"args": st.lists(_NAMES, max_size=3), "env": st.just({"A": "b"})}),
        st.fixed_dictionaries({"url": _NAMES}),
        st.integers(),
    ),
    max_size=4,
)


@given(_SERVERS, st.sampled_from([None, 1, 2, "\t"]))
def test_any_json_goes_round(servers, indent):
    """Putting on and taking out gives the same text, whatever the servers and however it is laid out."""
    text = json.dumps({"a": 1, "mcpServers": servers}, indent=indent)
    place = Place("gemini", "settings.json", "", ("mcpServers",))
    wrapped, found = mcpservers.wrap_servers(text, place, "/py", "/state")
    for each in found:
        if not each.why:
            assert mcpservers.unwrap(json.loads(wrapped)["mcpServers"][each.server]["args"]) is not None
    assert mcpservers.wrap_servers(wrapped, place, "/py", "/state")[0] == wrapped
    assert json.loads(mcpservers.unwrap_servers(wrapped, place, text)) == json.loads(text)


@given(_SERVERS, st.booleans())
def test_any_toml_goes_round(servers, spaced):
    """The same for TOML tables, byte for byte."""
    lines = ["# head"]
    for name, server in servers.items():
        if isinstance(server, dict):
            lines += ["", f"[mcp_servers.{tomltext.spell(name)}]" + "  # c" * spaced]
            for key, value in server.items():
                if key != "env":
                    lines.append(f"{' ' * spaced}{key}{' ' * spaced}={' ' * spaced}{tomltext.spell(value)}{' # x' * spaced}")
    text = "\n".join(lines) + "\n" * spaced
    place = Place("codex", "config.toml", "", ("mcp_servers",))
    wrapped, found = mcpservers.wrap_servers(text, place, "/py", "/state")
    assert all(each.why == "" or "HTTP" in each.why for each in found)
    assert mcpservers.unwrap_servers(wrapped, place, text) == text


@given(st.text(st.sampled_from("[]{}=\"'#.,ab \n\\1"), max_size=60))
def test_any_toml_is_seen_through_or_refused(text):
    """For any text that TOML's own reader takes, the statements end where they do; nothing loops, nothing is invented."""
    try:
        tomltext.parse(text)
    except FormatError:
        return
    for statement in tomltext.statements(text):
        assert statement.start <= statement.value <= statement.end <= statement.line_end <= len(text)
