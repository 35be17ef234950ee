"""What an agent's environment says of itself. Read by an allow-list, never stored whole, cross-checked and not believed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ledger.core.entry import MAX_NAME_CHARACTERS
from ledger.core.text import clean_text

_SESSION = ("LEDGER_SESSION_ID", "CODEX_SESSION_ID", "CODEX_THREAD_ID", "CLAUDE_CODE_SESSION_ID")
_CALL = ("LEDGER_CALL_ID", "CODEX_TOOL_CALL_ID")
_AGENT = (
    ("CODEX_SESSION_ID", "codex"),
    ("CODEX_CI", "codex"),
    ("CLAUDECODE", "claude-code"),
    ("GEMINI_CLI", "gemini"),
    ("OPENCODE", "opencode"),
    ("CURSOR_AGENT", "cursor"),
    ("COPILOT_CLI", "copilot"),
)
# A job's variables, by the names that the claims of its OIDC token have.
_GITHUB = {
    "actor": "GITHUB_ACTOR",
    "actor_id": "GITHUB_ACTOR_ID",
    "triggering_actor": "GITHUB_TRIGGERING_ACTOR",
    "repository": "GITHUB_REPOSITORY",
    "repository_id": "GITHUB_REPOSITORY_ID",
    "server": "GITHUB_SERVER_URL",
    "repository_owner": "GITHUB_REPOSITORY_OWNER",
    "run_id": "GITHUB_RUN_ID",
    "run_attempt": "GITHUB_RUN_ATTEMPT",
    "workflow_ref": "GITHUB_WORKFLOW_REF",
    "workflow_sha": "GITHUB_WORKFLOW_SHA",
    "job": "GITHUB_JOB",
    "event_name": "GITHUB_EVENT_NAME",
    "ref": "GITHUB_REF",
    "sha": "GITHUB_SHA",
    "runner_environment": "RUNNER_ENVIRONMENT",
}
_GITLAB = {
    "user_login": "GITLAB_USER_LOGIN",
    "user_id": "GITLAB_USER_ID",
    "user_email": "GITLAB_USER_EMAIL",
    "project_path": "CI_PROJECT_PATH",
    "project_id": "CI_PROJECT_ID",
    "server": "CI_SERVER_URL",
    "pipeline_id": "CI_PIPELINE_ID",
    "pipeline_source": "CI_PIPELINE_SOURCE",
    "job_id": "CI_JOB_ID",
    "ref": "CI_COMMIT_REF_NAME",
    "sha": "CI_COMMIT_SHA",
    "environment": "CI_ENVIRONMENT_NAME",
    "runner_id": "CI_RUNNER_ID",
}
_JOBS = (("github", "GITHUB_ACTIONS", _GITHUB), ("gitlab", "GITLAB_CI", _GITLAB))
# Claims of a token that say who and what; whatever else it holds is left where it is.
_TOKEN = "LEDGER_ID_TOKEN"
_TOKEN_CLAIMS = "LEDGER_ID_CLAIMS"
_TOKEN_MEMBERS = frozenset(
    """
    iss sub aud iat nbf exp jti actor actor_id repository repository_id repository_owner repository_visibility run_id run_attempt
    workflow_ref workflow_sha job_workflow_ref job_workflow_sha event_name ref ref_type ref_protected sha environment
    runner_environment user_login user_email user_id user_access_level project_path project_id namespace_path namespace_id
    pipeline_id pipeline_source job_id runner_id ci_config_ref_uri ci_config_sha deployment_tier
    """.split()
)
_MAX_TOKEN = 16 << 10

ALLOWED = frozenset(
    {
        *(*_SESSION, *_CALL, *(name for name, _ in _AGENT)),
        *("CLAUDE_CODE_SESSION_ATTENDED", "CLAUDE_CODE_ENTRYPOINT", "CURSOR_VERSION"),
        *(variable for _, flag, variables in _JOBS for variable in (flag, *variables.values())),
    }
)


class Claims(NamedTuple):
    """Identifiers that the environment names, each None where it does not."""

    agent: str | None = None
    session: str | None = None
    call: str | None = None

    def as_body(self) -> dict[str, str]:
        """Return the claims that were made."""
        return {name: value for name, value in self._asdict().items() if value}


def pick(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of the allow-list that are set and of a sane length."""
    # What is not UTF-8 comes as lone surrogates, which neither a record nor SQLite takes.
    picked = {name: clean_text(environ[name]) for name in ALLOWED if 0 < len(environ.get(name, "")) <= MAX_NAME_CHARACTERS}
    if environ.get(_TOKEN):
        # What was picked may be written to a spool: of a token, which is a secret, only its claims go there.
        picked[_TOKEN_CLAIMS] = _claims_of(environ[_TOKEN])
    elif 0 < len(environ.get(_TOKEN_CLAIMS, "")) <= _MAX_TOKEN:
        picked[_TOKEN_CLAIMS] = clean_text(environ[_TOKEN_CLAIMS])
    return picked


def _claims_of(token: str) -> str:
    """Return the claims of a JSON web token that may be kept, as JSON: decoded, and not verified."""
    import json
    from binascii import a2b_base64

    parts = token.split(".")
    try:
        middle = parts[1].replace("-", "+").replace("_", "/") if len(parts) == 3 and len(token) <= _MAX_TOKEN else ""
        claims = json.loads(a2b_base64(middle + "=" * (-len(middle) % 4)))
        kept = {name: value for name, value in claims.items() if name in _TOKEN_MEMBERS and _is_small(value)}
    except (ValueError, AttributeError, RecursionError):
        kept = {}
    return json.dumps(kept, sort_keys=True, separators=(",", ":"))


def _is_small(value: object) -> bool:
    return type(value) in (int, bool) or (type(value) is str and len(value) <= MAX_NAME_CHARACTERS)


def read_ci(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return what the environment claims of the CI job that this is, {} where it claims none.

    `provider` is github or gitlab; the other members are named like the claims of its OIDC tokens, and `token` holds those of one.
    """
    found: dict[str, Any] = {}
    for provider, flag, variables in _JOBS:
        if environ.get(flag) == "true":
            claimed = {claim: environ[variable] for claim, variable in variables.items() if environ.get(variable)}
            found = {"provider": provider, **claimed}
            break
    token = environ.get(_TOKEN_CLAIMS)
    if token:
        import json

        try:
            claims = json.loads(token)
        except (ValueError, RecursionError):
            claims = None
        if isinstance(claims, dict):
            found["token"] = {name: claims[name] for name in sorted(_TOKEN_MEMBERS & set(claims)) if _is_small(claims[name])}
    return found


def read_claims(environ: Mapping[str, str]) -> Claims:
    """Return what the environment claims."""
    agent = next((agent for name, agent in _AGENT if environ.get(name)), None)
    session = next((environ[name] for name in _SESSION if environ.get(name)), None)
    call = next((environ[name] for name in _CALL if environ.get(name)), None)
    return Claims(agent, session, call)
