"""What `ledger trace`, `log`, `show`, `status` and `keys` print, and what they refuse."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from story import HOSTILE, Story, usual_story

from ledger.cli.main import run
from ledger.core.entry import hash_record
from ledger.core.sshsig import format_public_key
from ledger.recorder import Recorder, begin_log
from ledger.repo.gitdir import find_repository

# What may reach a terminal: no control characters but newlines, and nothing that reorders or hides text.
_STEERING = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")


class Said(NamedTuple):
    """What a command exited with and printed."""

    code: int
    out: str
    err: str


@pytest.fixture
def ledger(capfd):
    """Return a function that runs a command in a repository."""

    def call(repo: Path, *args: str) -> Said:
        capfd.readouterr()
        code = run(["-C", str(repo), *args])
        return Said(code, *capfd.readouterr())

    return call


@pytest.fixture
def recorded(sandbox):
    """Return a repository with a real log of three entries: its genesis, a prompt, and a message."""
    repo = sandbox.make_repo(commit=True)
    begin_log(find_repository(str(repo)), str(sandbox.state))
    with Recorder.open(str(repo), state=str(sandbox.state)) as recorder:
        who = {"type": "agent", "name": "mine"}
        prompt = {"prompt": (b"hello\xff", "text/plain")}
        recorder.record("prompt.submitted", actor={"type": "unknown"}, session="s", payloads=prompt)
        recorder.record("message.sent", actor=who, body={"event": "note"}, session="s")
    return repo


COMMANDS: list[Sequence[str]] = [
    ("trace", "HEAD"),
    ("log",),
    ("show", "0"),
    ("status",),
    ("keys", "show"),
    ("keys", "list"),
    ("keys", "enroll"),
    ("keys", "rotate"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_repository_and_no_ledger_exit_3_and_say_what_to_do(sandbox, ledger, command):
    """Each command could not check, says why in one line, and how to go on. A trace answers without a ledger, too."""
    (sandbox.root / "plain").mkdir()
    ledgerless = [sandbox.make_repo("bare-of-ledger", commit=True)] if command[0] != "trace" else []
    for place in (sandbox.root / "plain", *ledgerless):
        said = ledger(place, *command)
        assert said.code == 3 and said.out == ""
        assert said.err.startswith("ledger: ") and "hint: " in said.err and "Traceback" not in said.err
        assert ("ledger init" in said.err) == ("bare-of-ledger" in str(place))


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_unknown_options_exit_2(recorded, ledger, command):
    """A misspelt option is a usage error."""
    said = ledger(recorded, *command, "--no-such-option")
    assert said.code == 2 and said.out == ""


@pytest.mark.parametrize(
    "args",
    [
        ("trace", "nothing"),
        ("trace", "--", "--all"),
        ("show",),
        ("show", "99"),
        ("show", "-1"),
        ("show", "x/1"),
        ("show", "f" * 32 + "/0"),
        ("show", "01"),
        ("show", "1", "--payload", "none"),
        ("show", "1", "--raw", "--payload", "prompt"),
        ("log", "--log", "zz"),
        ("log", "--since", "yesterday"),
        ("log", "-n", "-1"),
        ("log", "--raw", "--json"),
        ("keys",),
        ("keys", "burn"),
        ("keys", "rotate", "--to", "paper"),
        ("keys", "enroll", "--principal", "a b"),
    ],
    ids=" ".join,
)
def test_what_names_nothing_exits_2(recorded, ledger, args):
    """Arguments that name no commit, entry, log or place are usage errors, without a traceback."""
    said = ledger(recorded, *args)
    assert said.code == 2
    assert "Traceback" not in said.out + said.err


@pytest.mark.parametrize(
    "folders",
    [("repo",), ("repo/sub", ".."), ("plain", "..", "repo"), ("", "repo", ""), ("link", ".."), ("plain", "{root}/repo")],
    ids=" ".join,
)
def test_folders_lead_on_from_one_another(recorded, sandbox, monkeypatch, capfd, folders):
    """Each -C is relative to the one before, an empty one is ignored, and a link's parent is that of its target: as in git."""
    (recorded / "sub").mkdir()
    (sandbox.root / "plain").mkdir()
    (sandbox.root / "link").symlink_to(recorded / "sub")
    monkeypatch.chdir(sandbox.root)
    words = [word for folder in folders for word in ("-C", folder.format(root=sandbox.root))]
    assert sandbox.git(*words, "rev-parse", "--show-toplevel", cwd=sandbox.root) == str(recorded)
    assert run([*words, "status", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["size"] == 3


def test_a_folder_that_is_not_there_is_named(recorded, ledger):
    """With all that led to it."""
    said = ledger(recorded, "-C", "nowhere", "status")
    assert said.code == 2 and "-C nowhere: no such folder" in said.err


# trace


def test_the_page_has_eight_titled_answers_in_order(sandbox, ledger):
    """A person reads headline, eight answers and what is unknown, in 100 columns."""
    story, oid = usual_story(sandbox)
    said = ledger(story.repo, "trace")
    assert said.code == 0
    lines = said.out.splitlines()
    assert lines[0] == f"commit {oid}"
    titles = [line.split(" ─")[0] for line in lines if " ──" in line]
    assert [title[0] for title in titles] == list("12345678?")
    assert max(map(len, lines)) <= 100
    for words in ("Ada Example <ada@example.invalid>", "ticket T-42", "✓  Read the ticket", "tickets ▸ lookup", "exit 6 1.8 s"):
        assert words in said.out
    for words in ("approved    by human for once", "denied", "workspace-write", "/etc/hosts", "A  calc.py", "exact     ← #8"):
        assert words in said.out


def test_trace_json_has_the_documented_members(sandbox, ledger):
    """Programs get what people get, with every member there."""
    story, _ = usual_story(sandbox)
    found = json.loads(ledger(story.repo, "trace", "--json").out)
    assert list(found) == [
        *("commit", "match", "verdict", "asked", "planned", "ran", "approvals", "network", "boundary", "changed", "unknown"),
        "contradictions",
    ]
    assert found["verdict"] in ("consistent", "anchored")
    assert json.loads(ledger(story.repo, "trace", "--json", "--no-verify").out)["verdict"] == "unchecked"


def test_a_commit_that_nobody_recorded_exits_0(recorded, ledger):
    """An honest answer is no error."""
    said = ledger(recorded, "trace", "HEAD")
    assert said.code == 0
    assert "no log here knows this commit" in said.out and said.out.count("not on record") == 7


def test_the_picture_loads_nothing_from_elsewhere(sandbox, ledger):
    """The SVG of the page names no host but that of its own namespace."""
    story, _ = usual_story(sandbox)
    target = sandbox.root / "page.svg"
    assert ledger(story.repo, "trace", "--svg", str(target)).code == 0
    svg = target.read_text()
    assert "Who&#160;asked" in svg and "@font-face" not in svg
    assert set(re.findall(r"https?://[^\"' )<&]+", svg)) == {"http://www.w3.org/2000/svg", "https://example.invalid/"}


# Hostile texts


def hostile_story(sandbox) -> Story:
    """Return a story whose every text is hostile."""
    story = Story(sandbox)
    story.start(git_name=HOSTILE, git_email=HOSTILE, os_user=HOSTILE)
    story.session = HOSTILE[:40]
    story.start(git_name=HOSTILE, git_email=HOSTILE)
    story.ask(HOSTILE + "\n\r\n" + "x" * 1_000_000)
    story.plan((HOSTILE, HOSTILE), ("y" * 100_000, "pending"))
    story.add("plan.updated", {}, {"plan": HOSTILE.encode() * 100})
    story.add("boundary.declared", {"mode": HOSTILE, "writable": [HOSTILE], "network": {HOSTILE: 1}})
    story.add("boundary.hit", {HOSTILE: HOSTILE})
    story.add("network.decided", {"host": HOSTILE, "protocol": HOSTILE, "decision": HOSTILE, "reason": HOSTILE})
    story.add("approval.requested", {"tool": HOSTILE}, {"reason": HOSTILE.encode()})
    story.add("approval.decided", {"decision": HOSTILE, "scope": HOSTILE, "decider": HOSTILE})
    story.log.append("gap.noted", {"reason": HOSTILE, "count": 1})
    edit = story.call(HOSTILE, {"command": HOSTILE + "z" * 1_000_000}, mcp_server=HOSTILE)
    story.add("message.sent", {"event": HOSTILE}, {"message": b"\xff\x00\x1b[2J"}, actor={"type": "agent", "name": HOSTILE})
    path = "a\n[bold]\x1b[2J\u202e.py"
    story.commit("\x1b[31m[red]subject\u202e", {path: "1\n"}, inside=edit, links={path: edit})
    story.write()
    return story


SHOWN = ["trace", "trace --json", "log", "log --json", "show 3", "show 3 --json", "show 14", "status", "keys list"]


@pytest.mark.parametrize("args", [tuple(line.split()) for line in SHOWN], ids=SHOWN)
def test_hostile_texts_cannot_steer_the_terminal(sandbox, ledger, args):
    """Escape sequences, bidirectional marks and markup in prompts, names, paths and bodies are shown, not obeyed."""
    story = hostile_story(sandbox)
    said = ledger(story.repo, *args)
    assert said.code == 0
    assert _STEERING.search(said.out + said.err) is None
    if args == ("trace",):
        assert "[red]" in said.out and "\\x1b" in said.out
        assert len(said.out) < 30_000 and "characters in all" in said.out
    if "--json" in args:
        text = json.dumps(json.loads(said.out), ensure_ascii=False)
        assert "\u202e" in text  # the value itself is unchanged


def test_the_picture_of_a_hostile_commit_is_still_a_picture(sandbox, ledger):
    """Markup in texts does not become markup of the SVG."""
    import xml.etree.ElementTree as ElementTree

    story = hostile_story(sandbox)
    story.ask("</text><script>alert(1)</script>")
    story.write()
    target = sandbox.root / "page.svg"
    assert ledger(story.repo, "trace", "--svg", str(target)).code == 0
    tags = {element.tag.rpartition("}")[2] for element in ElementTree.parse(target).iter()}
    assert "script" not in tags and "text" in tags


# log and show


def test_raw_log_is_the_records_and_nothing_else(recorded, ledger, sandbox):
    """Whoever takes the lines has the log: hashes and all."""
    lines = ledger(recorded, "log", "--raw").out.encode("utf-8", "surrogateescape").splitlines()
    entries = [json.loads(line)["entry"] for line in lines]
    assert [entry["seq"] for entry in entries] == [0, 1, 2]
    assert [entry["prev"] for entry in entries[1:]] == [hash_record(line) for line in lines[:-1]]
    assert ledger(recorded, "show", "1", "--raw").out.encode() == lines[1] + b"\n"


def test_log_is_newest_first_and_filters(recorded, ledger):
    """As git does; `--reverse`, `-n` and filters do what they say."""

    def kinds(*args: str) -> list[str]:
        return [entry["kind"] for entry in json.loads(ledger(recorded, "log", "--json", *args).out)]

    assert kinds() == ["message.sent", "prompt.submitted", "log.opened"]
    assert kinds("--reverse", "-n", "1") == ["log.opened"]
    assert kinds("--kind", "prompt.*") == kinds("--grep", "HELLO") == ["prompt.submitted"]
    assert kinds("--actor", "mine") == kinds("--grep", '"note"') == ["message.sent"]
    assert kinds("--since", "2999") == kinds("-n", "0") == []
    text = ledger(recorded, "log").out.splitlines()
    assert len(text) == 3 and "message.sent" in text[0] and "hello" in text[1]


def test_a_reader_that_goes_away_ends_the_log_quietly(recorded, sandbox):
    """`ledger log | head` prints no complaint."""
    with Recorder.open(str(recorded), state=str(sandbox.state)) as recorder:
        for number in range(300):
            recorder.record("message.sent", actor={"type": "agent", "name": "mine"}, body={"event": "x" * 400, "number": number})
    for form in ([], ["--json"], ["--raw"]):
        command = [sys.executable, "-m", "ledger", "-C", str(recorded), "log", *form]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=sandbox.env) as child:
            assert child.stdout is not None and child.stderr is not None
            child.stdout.read(10)
            child.stdout.close()
            assert child.stderr.read() == b""


def test_openssh_checks_an_entry_with_what_show_prints(recorded, ledger, sandbox):
    """The page's own three lines, run with the real ssh-keygen: good as printed, bad for another entry."""
    assert "ledger keys enroll" in ledger(recorded, "show", "1").out
    assert ledger(recorded, "keys", "enroll").code == 0
    page = ledger(recorded, "show", "1").out
    check = next(line.strip() for line in page.splitlines() if line.strip().startswith("ssh-keygen -Y verify"))
    assert "-I ledger-ada@example.invalid" in check
    for seq, good in (("1", True), ("2", False)):
        (recorded / "m").write_bytes(ledger(recorded, "show", seq, "--raw-entry").out.encode())
        (recorded / "m.sig").write_text(ledger(recorded, "show", "1", "--signature").out)
        done = subprocess.run(["sh", "-c", check], cwd=recorded, env=sandbox.env, capture_output=True, check=False)
        assert (done.returncode == 0) == good, done.stderr
    assert ledger(recorded, "show", "1", "--signature").out in ledger(recorded, "show", "1", "--json").out.replace("\\n", "\n")


def test_after_a_rotation_each_entry_is_checked_with_its_own_key(recorded, ledger, sandbox):
    """Entries before the rotation have the old key in their signature, those behind it the new one."""
    old = json.loads(ledger(recorded, "keys", "show", "--json").out)
    assert ledger(recorded, "keys", "rotate").code == 0
    new = json.loads(ledger(recorded, "keys", "show", "--json").out)
    assert old["fingerprint"] != new["fingerprint"]
    with Recorder.open(str(recorded), state=str(sandbox.state)) as recorder:
        recorder.record("message.sent", actor={"type": "agent", "name": "mine"}, body={"event": "after"})
    for seq, key in ((0, old), (3, old), (4, new)):
        (recorded / "allowed").write_text(f"x {key['public_key']}\n")
        (recorded / "m.sig").write_text(ledger(recorded, "show", str(seq), "--signature").out)
        args = ["ssh-keygen", "-Y", "verify", "-f", "allowed", "-I", "x", "-n", "ledger-entry", "-s", "m.sig"]
        done = sandbox.run(*args, cwd=recorded, input=ledger(recorded, "show", str(seq), "--raw-entry").out)
        assert done.returncode == 0, done.stderr
    listed = json.loads(ledger(recorded, "keys", "list", "--json").out)["keys"]
    assert {item["fingerprint"]: (item["current"], len(item["logs"])) for item in listed} == {
        old["fingerprint"]: (False, 0),
        new["fingerprint"]: (True, 1),
    }


def test_a_payload_is_printed_byte_for_byte(recorded, ledger):
    """Also where it is no text."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", open(recorded / "payload", "w"))  # noqa: SIM115 (closed below)
        assert run(["-C", str(recorded), "show", "1", "--payload", "prompt"]) == 0
        sys.stdout.close()
    assert (recorded / "payload").read_bytes() == b"hello\xff"
    assert "hello\ufffd" in ledger(recorded, "show", "1").out


def test_an_entry_is_named_by_the_beginning_of_its_log(recorded, ledger):
    """As long as that is unique here."""
    log = json.loads(ledger(recorded, "status", "--json").out)["log"]
    for name in (f"{log}/1", f"{log[:4]}/1", "1", "#1"):
        assert json.loads(ledger(recorded, "show", name, "--json").out)["entry"] == f"{log}/1"


def test_a_malformed_record_is_said_by_show_and_log(sandbox, ledger):
    """Nothing of it is shown as if it were an entry; its raw bytes can still be had."""
    story, _ = usual_story(sandbox)
    story.log._records[2] = story.log._records[2].replace(b'"seq":2', b'"seq": 2')
    story.write()
    said = ledger(story.repo, "show", "2")
    assert said.code == 1 and "canonical" in said.err
    assert ledger(story.repo, "show", "2", "--raw").code == 0
    listing = ledger(story.repo, "log")
    assert listing.code == 0 and "unreadable" in listing.out


# status and keys


def test_status_says_where_the_ledger_stands(recorded, ledger, sandbox):
    """Log, size, key, trust, pins, hooks, agents, spools and pauses, for people and for programs."""
    value = json.loads(ledger(recorded, "status", "--json").out)
    assert value["size"] == 3 and value["last"]["kind"] == "message.sent" and value["last"]["entry"] == f"{value['log']}/2"
    assert value["key"]["storage"] == "file" and value["trust"] == "first-use" and value["pin"] is None
    assert value["hooks"] == [] and value["agents"] == [] and value["pending"] == {"state": 0, "git": 0}
    assert value["paused"] is False and value["required"] is False
    assert ledger(recorded, "verify").code == 0
    assert ledger(recorded, "pause").code == 0
    value = json.loads(ledger(recorded, "status", "--json").out)
    assert value["trust"] == "pinned" and value["pin"]["size"] == 3 and value["paused"] is True
    page = ledger(recorded, "status").out
    assert value["log"] in page and "paused" in page and "not installed" in page


def test_status_survives_a_missing_key(recorded, ledger, sandbox):
    """The state is still told; only `keys show` fails, and says how to go on."""
    for path in (sandbox.state / "keys").glob("*.key"):
        path.unlink()
    assert json.loads(ledger(recorded, "status", "--json").out)["key"] is None
    said = ledger(recorded, "keys", "show")
    assert said.code == 1 and "missing" in said.err and "hint: " in said.err


def test_enrolling_adds_one_line_and_leaves_the_others_alone(recorded, ledger):
    """Byte for byte, once, with a newline between; the key can then be committed."""
    file = recorded / ".ledger/allowed_signers"
    file.parent.mkdir()
    before = b"# ours\r\nother@example.invalid ssh-rsa AAAAB3NzaC1yc2E=\n# no newline at the end"
    file.write_bytes(before)
    first = json.loads(ledger(recorded, "keys", "enroll", "--json").out)
    second = json.loads(ledger(recorded, "keys", "enroll", "--json").out)
    assert (first["added"], second["added"]) == (True, False)
    assert file.read_bytes() == before + b"\n" + first["line"].encode() + b"\n"
    assert first["line"].startswith('ledger-ada@example.invalid namespaces="git,ledger-entry" ssh-ed25519 AAAA')
    assert [path.name for path in file.parent.iterdir()] == ["allowed_signers"]


@pytest.mark.parametrize("trap", ["linked file", "linked folder", "folder", "fifo", "malformed", "not UTF-8"])
def test_enrolling_follows_no_link_and_spoils_no_file(recorded, ledger, sandbox, trap):
    """The work tree is hostile ground: what is not an ordinary, well-formed file is refused and left as it was."""
    import os

    elsewhere = sandbox.root / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "allowed_signers").write_bytes(b"precious\n")
    folder = recorded / ".ledger"
    if trap == "linked folder":
        folder.symlink_to(elsewhere)
    else:
        folder.mkdir()
        file = folder / "allowed_signers"
        if trap == "linked file":
            file.symlink_to(elsewhere / "allowed_signers")
        elif trap == "folder":
            file.mkdir()
        elif trap == "fifo":
            os.mkfifo(file)
        else:
            file.write_bytes(b"one two\n" if trap == "malformed" else b"# \xff\n")
    said = ledger(recorded, "keys", "enroll")
    assert said.code == 1 and "nothing was" in said.err and "Traceback" not in said.err
    assert (elsewhere / "allowed_signers").read_bytes() == b"precious\n"


def test_a_key_of_small_order_is_not_enrolled(recorded):
    """Anybody could sign for it."""
    from ledger.cli.enrolment import enroll
    from ledger.errors import Refused

    with pytest.raises(Refused, match="small order"):
        enroll(str(recorded), "ledger-x", bytes(32))
    assert not (recorded / ".ledger").exists()
    assert format_public_key(bytes(32)).startswith("ssh-ed25519 ")


def test_enrolling_after_a_rotation_covers_the_keys_before_it(recorded, ledger):
    """Both keys are listed, and a verifier that trusts the file believes the whole log."""
    assert ledger(recorded, "keys", "rotate").code == 0
    said = ledger(recorded, "keys", "enroll", "--json")
    assert said.code == 0 and len(json.loads(said.out)["lines"]) == 2
    trusted = str(recorded / ".ledger" / "allowed_signers")
    verified = json.loads(ledger(recorded, "verify", "--full", "--trust", trusted, "--json").out)
    assert (verified["verdict"], verified["logs"][0]["trust"]) == ("consistent", "given")


def test_trace_answers_in_a_clone_without_a_ledger(ledger, sandbox):
    """An auditor's clone gets what this machine's logs know of its history, and says that it has none of its own."""
    story, oid = usual_story(sandbox)
    sandbox.git("clone", "-q", str(story.repo), str(sandbox.root / "clone"), cwd=sandbox.root)
    said = ledger(sandbox.root / "clone", "trace", "HEAD", "--json")
    found = json.loads(said.out)
    assert (said.code, found["match"]["rung"], found["match"]["recorded_oid"]) == (0, "exact", oid)
    assert found["changed"][0]["link"] == "exact"
    assert any("has no log on this machine" in sentence for sentence in found["unknown"])


def test_trace_answers_where_nothing_was_ever_recorded(ledger, sandbox):
    """A commit that nobody recorded gets an honest answer, also where there is no ledger at all; logs of others are not asked."""
    usual_story(sandbox)
    other = sandbox.make_repo("other", commit=True)
    said = ledger(other, "trace")
    assert said.code == 0 and "ledger unchecked" in said.out and "no log here knows this commit" in said.out


@pytest.mark.parametrize("encoding", ["undefined", "hex", "idna", "klingon", "utf-16"])
def test_trace_survives_any_encoding_that_a_commit_names(ledger, sandbox, encoding):
    """The header is the committer's words."""
    repo = sandbox.make_repo(commit=True)
    sandbox.git("-c", f"i18n.commitEncoding={encoding}", "commit", "-q", "--allow-empty", "-m", "café", cwd=repo)
    assert ledger(repo, "trace").code == 0


def test_a_changed_setting_shows_in_the_list(ledger, sandbox):
    """A line of `ledger log` says which setting changed and how, and ends where its words do."""
    repo = sandbox.make_repo(commit=True)
    begin_log(find_repository(str(repo)), str(sandbox.state))
    assert ledger(repo, "config", "required", "true").code == 0
    newest, oldest = ledger(repo, "log").out.splitlines()
    assert newest.endswith("required: false → true") and oldest.endswith("  ledger")


def test_a_log_stays_where_it_was_opened(ledger, sandbox):
    """Neither init nor config moves it, and neither tells people to do what does not help."""
    repo = sandbox.make_repo(commit=True)
    begin_log(find_repository(str(repo)), str(sandbox.state))
    for command in (("init", "--agents", "none", "--store", "git"), ("config", "store", "git")):
        said = ledger(repo, *command)
        assert said.code == 1 and "stays where it was opened" in said.err and "deinit" not in said.err


def test_a_time_that_is_none_is_quoted_as_it_was_typed(ledger, sandbox):
    """Nobody wants to look for YESTERDAY."""
    story, _ = usual_story(sandbox)
    said = ledger(story.repo, "log", "--since", "yesterday")
    assert said.code == 2 and "'yesterday' is not a time" in said.err


@pytest.mark.parametrize("command", ["log", "stats"])
def test_what_no_calendar_has_is_no_time(sandbox, ledger, command):
    """A thirteenth month would be later than all others, and count everything or nothing without a word."""
    story, _ = usual_story(sandbox)
    for text in ("2026-13-45", "2026-99-99", "2026-00", "2026-02-30", "2026-01-02T24:00", "2026-01-02T03:60", "0000", "2025-02-29"):
        for option in ("--since", "--until"):
            said = ledger(story.repo, command, option, text)
            assert said.code == 2 and f"{text!r} is not a time" in said.err
    for text in ("2026", "2026-02", "2024-02-29", "2026-01-02T23:59", "2026-01-02T23:59:59Z", "2026-01-02t03:04:05.678z"):
        assert ledger(story.repo, command, "--since", text).code == 0


@pytest.mark.parametrize("command", ["log", "stats"])
def test_a_span_that_ends_before_it_begins_is_refused(sandbox, ledger, command):
    """An end holds all that begins with it, so a day of a month is not later than the month."""
    story, _ = usual_story(sandbox)
    said = ledger(story.repo, command, "--since", "2026-02", "--until", "2026-01-31")
    assert said.code == 2 and "--since 2026-02 is later than --until 2026-01-31" in said.err
    for since, until in (("2026-01-02", "2026-01"), ("2026-01", "2026-01-02"), ("2026-01-02", "2026-01-02")):
        assert ledger(story.repo, command, "--since", since, "--until", until).code == 0
