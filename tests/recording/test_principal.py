"""Who asked: what a session's first entry says of the person or the job behind it, and how each part of that is known."""

from __future__ import annotations

import json
import os
from binascii import b2a_base64
from typing import Any

import pytest
from desk import Desk

from ledger.recording.claims import pick, read_ci

GITHUB = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_ACTOR": "ada",
    "GITHUB_REPOSITORY": "example/demo",
    "GITHUB_RUN_ID": "77",
    "GITHUB_WORKFLOW_REF": "example/demo/.github/workflows/agent.yml@refs/heads/main",
    "GITHUB_TOKEN": "ghs_secret",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "secret",
}
GITLAB = {"GITLAB_CI": "true", "GITLAB_USER_LOGIN": "ada", "CI_PROJECT_PATH": "example/demo", "CI_JOB_TOKEN": "secret"}


def token(claims: dict[str, Any]) -> str:
    """Return a JSON web token whose signature is nobody's."""
    parts = [{"alg": "none"}, claims]
    spelled = [b2a_base64(json.dumps(part).encode(), newline=False).decode() for part in parts]
    return ".".join([*(part.rstrip("=").replace("+", "-").replace("/", "_") for part in spelled), "c2ln"])


def principal(desk: Desk) -> dict[str, Any]:
    """Return who asked, of the only session."""
    return json.loads(desk.payload(desk.one("session.started").seq, "principal"))


def test_account_and_identity_are_told_apart(desk: Desk) -> None:
    """The OS user and the terminal are observed; git's identity is claimed."""
    desk.tell(desk.event("SessionStart", source="startup"))
    who = principal(desk)
    assert (who["uid"], who["git_name"]) == (os.getuid(), "Ada Example")
    assert who["basis"] == {
        "os_user": "observed",
        "uid": "observed",
        "tty": "observed",
        "git_name": "claimed",
        "git_email": "claimed",
    }
    assert type(who["tty"]) is bool
    assert desk.one("session.started").body["basis"]["principal"] == "claimed"


def test_a_jobs_identity_is_claimed_and_nobody_attends_it(desk: Desk) -> None:
    """What GitHub's variables say is kept by the names of its OIDC claims; secrets beside them are not."""
    desk.tell(desk.event("SessionStart", source="startup"), env=GITHUB)
    who = principal(desk)
    assert who["ci"] == {
        "provider": "github",
        "actor": "ada",
        "repository": "example/demo",
        "run_id": "77",
        "workflow_ref": "example/demo/.github/workflows/agent.yml@refs/heads/main",
    }
    assert (who["basis"]["ci"], who["attended"], who["basis"]["attended"]) == ("claimed", False, "inferred")
    assert desk.one("session.started").body["attended"] is False
    assert b"secret" not in desk.journal.read_bytes()


def test_an_agent_that_says_who_attends_is_quoted(desk: Desk) -> None:
    """Claude Code says itself whether somebody sits there; that is its claim, in CI as well."""
    event = {
        "session_id": "s",
        "cwd": str(desk.path),
        "hook_event_name": "SessionStart",
        "source": "startup",
        "transcript_path": "",
    }
    desk.tell(event, agent="claude-code", env={**GITHUB, "CLAUDE_CODE_SESSION_ATTENDED": "1", "CLAUDE_CODE_ENTRYPOINT": "cli"})
    who = principal(desk)
    assert (who["attended"], who["basis"]["attended"]) == (True, "claimed")
    assert desk.one("session.started").body["entrypoint"] == "cli"


def test_the_account_that_cursor_names_is_claimed(desk: Desk) -> None:
    """Cursor's events bear the user's address: it is part of who asked, and of no other entry."""
    event = {"conversation_id": "c", "generation_id": "g", "cursor_version": "2", "user_email": "ada@example.invalid"}
    event |= {"cwd": str(desk.path), "hook_event_name": "beforeSubmitPrompt", "prompt": "go"}
    desk.tell(event, agent="claude-code")
    who = principal(desk)
    assert (who["account"], who["basis"]["account"]) == ("ada@example.invalid", "claimed")
    assert desk.one("session.started").actor == {"type": "agent", "name": "cursor"}
    assert b"ada@example.invalid" not in b"".join(desk.records())


def test_claims_of_a_token_are_kept_and_the_token_is_not(desk: Desk) -> None:
    """LEDGER_ID_TOKEN is decoded, not verified; of its claims the known ones are kept, of itself nothing."""
    secret = token(
        {"iss": "https://ci.example.invalid", "sub": "project:example/demo", "user_login": "ada", "private": "x", "exp": 9}
    )
    desk.tell(desk.event("SessionStart", source="startup"), env={**GITLAB, "LEDGER_ID_TOKEN": secret})
    ci = principal(desk)["ci"]
    assert (ci["provider"], ci["user_login"], ci["project_path"]) == ("gitlab", "ada", "example/demo")
    assert ci["token"] == {"iss": "https://ci.example.invalid", "sub": "project:example/demo", "user_login": "ada", "exp": 9}
    held = b"".join(path.read_bytes() for path in desk.state.rglob("*") if path.is_file())
    assert secret.encode() not in held and secret.split(".")[1].encode() not in held


@pytest.mark.parametrize(
    "text", ["", "x", "a.b.c", "a..c", "." * 3, token({}) + ".x", "a." + "A" * 20_000 + ".c", "é.é.é", "a.bnVsbA.c"]
)
def test_what_is_no_token_claims_nothing(text: str) -> None:
    """A malformed or huge token is no error, and leaves no claims."""
    assert not read_ci(pick({"LEDGER_ID_TOKEN": text})).get("token")


def test_only_what_is_on_the_list_is_picked() -> None:
    """Of an environment only the variables of the list survive, and only at a sane length."""
    environ = {**GITHUB, **GITLAB, "HOME": "/x", "AWS_SECRET_ACCESS_KEY": "k", "GITHUB_REF": "r" * 600}
    assert set(pick(environ)) == {name for name in {**GITHUB, **GITLAB} if "TOKEN" not in name}
    assert read_ci({"GITHUB_ACTOR": "ada"}) == {}


def test_a_spooled_session_keeps_its_claims(desk: Desk) -> None:
    """What waits in the spool has the claims of its own environment, token and all, and not the later recorder's."""
    picked = pick({**GITLAB, "LEDGER_ID_TOKEN": token({"sub": "one"})})
    assert read_ci(pick(picked)) == read_ci(picked)
    assert read_ci(picked)["token"] == {"sub": "one"}
