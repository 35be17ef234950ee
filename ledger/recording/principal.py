"""Who asked: what can be known of the person or the job behind a session, and how. One JSON payload of `session.started`.

    os_user, uid          observed: the account that this process runs as
    tty                   observed: whether a terminal is attached to this process
    git_name, git_email   claimed: git's configuration
    account               claimed: the account that the agent says it works for (Cursor names it)
    attended              as the session's entry says: whether somebody sits there, by the agent's word or by what is inferred
    ci                    claimed: the job of GitHub Actions or GitLab CI, by its environment; `token` are the claims of an OIDC one
                          that the job was given (`LEDGER_ID_TOKEN`), decoded and not verified. The token itself is never kept

`basis` maps each member to one of these words. Nobody is authenticated by any of it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from ledger.core.fact import PayloadData
from ledger.errors import RepoError
from ledger.recording.claims import read_ci
from ledger.repo.commits import identity
from ledger.repo.gitdir import GitDir
from ledger.repo.heads import read_head

_OBSERVED = frozenset({"os_user", "uid", "tty"})


def describe(repo: GitDir, environ: Mapping[str, str], body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of a `session.started` with what the environment claims of the session, and the commit it began at."""
    basis = dict(body.get("basis", {}))
    more: dict[str, Any] = {"head": read_head(repo)}
    attended = environ.get("CLAUDE_CODE_SESSION_ATTENDED")
    if attended in ("0", "1") and "attended" not in body:
        more["attended"], basis["attended"] = attended == "1", "claimed"
    if environ.get("CLAUDE_CODE_ENTRYPOINT") and "entrypoint" not in body:
        more["entrypoint"], basis["entrypoint"] = environ["CLAUDE_CODE_ENTRYPOINT"], "claimed"
    ci = read_ci(environ)
    if ci and "attended" not in body and "attended" not in more:
        more["attended"], basis["attended"] = False, "inferred"  # a job has nobody to ask
    basis["principal"] = "claimed"
    return {**more, **body, "basis": basis}


def principal(repo: GitDir, environ: Mapping[str, str], body: Mapping[str, Any], account: str | None) -> PayloadData:
    """Return the payload `principal` for a session whose entry has `body`."""
    import pwd

    uid = os.getuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = str(uid)
    try:
        claimed: dict[str, Any] = dict(identity(repo))
    except RepoError:
        claimed = {}  # an agent's PATH need not have git
    if account:
        claimed["account"] = account
    ci = read_ci(environ)
    if ci:
        claimed["ci"] = ci
    who: dict[str, Any] = {"os_user": name, "uid": uid, "tty": has_terminal(), **claimed}
    basis = {member: "observed" if member in _OBSERVED else "claimed" for member in who}
    if isinstance(body.get("attended"), bool):
        who["attended"] = body["attended"]
        basis["attended"] = str(body.get("basis", {}).get("attended", "observed"))
    who["basis"] = basis
    data = json.dumps(who, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return PayloadData(data.encode("utf-8", "replace"), "application/json")


def has_terminal() -> bool:
    """Say whether this process has a controlling terminal."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC | os.O_NONBLOCK))
    except OSError:
        return False
    return True
