"""A repository, its log, and what an agent did in it, told entry by entry.

    story = Story(sandbox)
    story.start()
    story.ask("Please add the demo file")
    call = story.call("Bash", {"command": "touch demo.py"})
    oid = story.commit("Add the demo file", {"demo.py": "x = 1\n"}, links={"demo.py": call})
    story.write()

The log is a simulator's, signed with real keys; the repository is a real one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sandboxes import Sandbox
from simulator import LogSimulator

from ledger.core.text import format_path
from ledger.core.trailer import parse_head
from ledger.repo.commits import read_commit
from ledger.repo.gitdir import find_repository
from ledger.store.state import Clone, journal_path, write_clone, write_head_file

HOSTILE = "[red]bold[/red] \x1b[31mesc\x1b]0;title\x07 \u202eevil\u2066 \x9b2J end"


class Call(NamedTuple):
    """The seqs of a tool call's request and result; `result` is None while it is open."""

    request: int
    result: int | None
    name: str


class Story:
    """One clone with one log; `session` is the session that entries get."""

    def __init__(self, sandbox: Sandbox, name: str = "repo", roots: list[str] | None = None) -> None:
        self.sandbox = sandbox
        self.repo = sandbox.make_repo(name, commit=True)
        self.root = sandbox.git("rev-parse", "HEAD", cwd=self.repo)
        self.log = LogSimulator(roots=[self.root] if roots is None else roots)
        self.session = "01a20402-de18-7120-9901-0df46998aa71"
        self._calls = 0

    def add(
        self, kind: str, body: Mapping[str, Any] | None = None, payloads: Mapping[str, bytes] | None = None, **more: Any
    ) -> int:
        """Append an entry of this story's session."""
        return self.log.append(kind, body, payloads=payloads, **{"session": self.session, **more})

    def start(self, *, basis: str = "claimed", **who: Any) -> int:
        """Begin the session, with who asked."""
        principal = {"os_user": "ada", "uid": 1000, "git_name": "Ada Example", "git_email": "ada@example.invalid", **who}
        body = {"start": "startup", "permission_mode": "default", "basis": {"principal": basis}}
        return self.add("session.started", body, {"principal": json.dumps(principal).encode()})

    def ask(self, text: str, **more: Any) -> int:
        """Record a prompt."""
        more = {"actor": {"type": "unknown"}, **more}
        return self.add("prompt.submitted", more.pop("body", {}), {"prompt": text.encode()}, **more)

    def plan(self, *steps: tuple[str, str]) -> int:
        """Record a plan of (step, status)."""
        plan = {"steps": [{"step": step, "status": status} for step, status in steps]}
        return self.add("plan.updated", {"tool": "update_plan"}, {"plan": json.dumps(plan).encode()})

    def call(self, tool: str, given: Any, outcome: str | None = "finished", *, open: bool = False, **body: Any) -> Call:
        """Record a tool call, with its result unless `open`."""
        self._calls += 1
        call = Call(0, None, f"call_{self._calls}")
        about = {name: body.pop(name) for name in ("mcp_server", "mcp_tool") if name in body}
        request = self.add("tool.requested", {"tool": tool, **about}, {"input": json.dumps(given).encode()}, call=call.name)
        call = call._replace(request=request)
        return call if open else self.finish(call, tool, outcome, **about, **body)

    def finish(self, call: Call, tool: str, outcome: str | None = "finished", **body: Any) -> Call:
        """Record the result of an open call."""
        more = {"call": call.name, "cause": call.request, "actor": {"type": "tool", "name": tool}}
        body = {"tool": tool, "outcome": outcome, **body}
        return call._replace(result=self.add("tool.finished", body, {"output": b"done\n"}, **more))

    def commit(
        self,
        message: str,
        files: Mapping[str, str],
        *,
        inside: Call | None = None,
        links: Mapping[str, Call] | None = None,
        lines: Mapping[str, Sequence[Wrote]] | None = None,
        trailer: bool = True,
    ) -> str:
        """Make a commit and record it, in the call `inside` if there is one; `links` says which call left which path.

        `lines` says who wrote which lines of a path: (first, last, the call, how sure), or (first, last, "human" or "unknown").
        """
        text = f"{message}\n\nLedger-Entry: {self.log.head()}" if trailer else message
        oid = self.sandbox.commit(self.repo, text, dict(files))
        self.record(oid, inside=inside, links=links, lines=lines)
        return oid

    def record(
        self,
        oid: str,
        *,
        inside: Call | None = None,
        links: Mapping[str, Call] | None = None,
        lines: Mapping[str, Sequence[Wrote]] | None = None,
    ) -> int:
        """Record a commit that is there."""
        facts = read_commit(find_repository(str(self.repo)), oid)
        assert facts is not None
        paths = []
        for change in facts.paths:
            call = (links or {}).get(change.path.decode("utf-8", "replace"))
            link, calls = ("exact", [call.result]) if call else ("none", [])
            about = {"path": format_path(change.path), "status": change.status, "blob": change.blob}
            said = (lines or {}).get(change.path.decode("utf-8", "replace"))
            wrote = {} if said is None else {"lines": [format_wrote(item) for item in said]}
            paths.append({**about, "link": link, "calls": calls, **wrote})
        trailers = [line[14:] for line in facts.message.decode().splitlines() if line.startswith("Ledger-Entry: ")]
        body = {
            "oid": oid,
            "tree": facts.tree,
            "parents": list(facts.parents),
            "paths": paths,
            "trailers": [{"line": line, "genuine": True} for line in trailers],
            "patch_id": facts.patch_id,
            "via": "hook",
        }
        more: dict[str, Any] = {"source": "git", "actor": {"type": "tool", "name": "git"}}
        if inside is None:
            return self.log.append("commit.recorded", body, **more)
        return self.add("commit.recorded", body, call=inside.name, cause=inside.request, **more)

    def write(self) -> Path:
        """Write journal, clone map and head file; return the repository."""
        state, repo = str(self.sandbox.state), find_repository(str(self.repo))
        journal = Path(journal_path(state, self.log.name))
        journal.parent.mkdir(parents=True, exist_ok=True)
        journal.unlink(missing_ok=True)
        self.log.write_journal(journal)
        settings = {"required": False, "store": "state", "trailer": True}
        inode = Path(repo.common_dir).stat().st_ino
        write_clone(state, Clone(self.log.name, "0" * 32, repo.common_dir, inode, "host", settings))
        head = parse_head(self.log.head())
        assert head is not None
        write_head_file(repo.common_dir, head)
        return self.repo


Wrote = tuple[int, int, Call, str] | tuple[int, int, str]


def format_wrote(wrote: Wrote) -> dict[str, Any]:
    """Return a range of lines as a `commit.recorded` lists it."""
    if len(wrote) == 3:
        return {"range": [wrote[0], wrote[1]], "by": wrote[2]}
    return {"range": [wrote[0], wrote[1]], "by": "agent", "call": wrote[2].request, "link": wrote[3]}


def usual_story(sandbox: Sandbox) -> tuple[Story, str]:
    """Return a story with all eight answers, and the commit that it led to."""
    story = Story(sandbox)
    story.start()
    story.ask("Please fix add() as ticket T-42 says, run the tests, and commit.")
    sandboxed = {"mode": "workspace-write", "writable": ["/repo"], "protected": ["/repo/.git"], "network": "restricted"}
    story.add("boundary.declared", sandboxed)
    story.plan(("Read the ticket", "completed"), ("Fix add()", "in_progress"), ("Run the tests and commit", "pending"))
    story.call("mcp__tickets__lookup", {"id": "T-42"}, mcp_server="tickets", mcp_tool="lookup", duration_ms=12)
    patch = "*** Begin Patch\n*** Update File: calc.py\n-    return a - b\n+    return a + b\n*** End Patch"
    edit = story.call("apply_patch", {"command": patch})
    story.call("Bash", {"command": "curl -sS https://example.invalid/"}, "failed", exit_code=6, duration_ms=1840)
    refused = {"host": "example.invalid", "port": 443, "protocol": "https", "decision": "denied", "reason": "not on the list"}
    story.add("network.decided", refused)
    story.add("boundary.hit", {"path": "/etc/hosts", "operation": "write"})
    story.call("Bash", {"command": "python -m pytest -q"}, exit_code=0, duration_ms=412)
    git = story.call("Bash", {"command": "git add calc.py && git commit -qm 'Fix add()'"}, open=True)
    given = json.dumps({"command": "git add calc.py && git commit -qm 'Fix add()'"}).encode()
    asked = story.add("approval.requested", {"tool": "Bash"}, {"input": given}, cause=git.request)
    decision = {"decision": "approved", "scope": "once", "decider": "human"}
    story.add("approval.decided", decision, cause=asked, source="otel", actor={"type": "human"})
    oid = story.commit("Fix add()", {"calc.py": "def add(a, b):\n    return a + b\n"}, inside=git, links={"calc.py": edit})
    story.finish(git, "Bash", exit_code=0, duration_ms=64)
    story.write()
    return story, oid
