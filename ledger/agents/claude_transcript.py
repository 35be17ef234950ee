"""Claude Code: the lines of its transcript as facts. Pure: a line, and a small state that is carried from line to line.

A transcript is one JSON object a line, undocumented. On the line of each tool's result it has what no hook tells: who allowed or
refused the call (`permissionDecision`), whether it ran in the sandbox (`sandboxed`), and on each prompt's line where that came from
(`promptSource`, `turnOrigin`). Older versions (2.1.197) have none of these: all are optional. It is a plain file that the agent's
user can edit: the basis is `agent-file`.

`toolDenialKind` misleads: without anybody to ask it says `user-rejected` as well. It counts only where there is no
`permissionDecision`; then a person's No and a person's Esc are the same here, and in the telemetry, and nothing tells them apart:
the decision says so in `alike`.

`state`: {"session", "sub"?, "version"?, "calls": {call: {tool, …, turn}}, "sandboxed"?, "mode"?, "prompts": [promptId, …]}
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from ledger.agents.claude_code import infer_outcome
from ledger.agents.common import split_mcp
from ledger.agents.decisions import Verdict, claude_decision, decided
from ledger.agents.lines import Said, clean, parse_time, read_text, words
from ledger.core.fact import Fact, PayloadData
from ledger.core.text import clean_text

NAME = "claude-code"
FOLDERS = ("projects",)

_MAX_CALLS = 40
_MAX_INPUT = 4000
_AGENT = {"type": "agent", "name": NAME}
_FILE = "agent-file"
_WANTED = ("user", "assistant", "permission-mode", "attachment", "system")
_VIOLATION = r"deny network-outbound ([^\s:]{1,255})(?::([0-9]{1,5}))?(?: \(([^)\n]{1,100})\))?"


def is_wanted(start: bytes) -> bool:
    """Say from a line's first bytes whether it may hold a fact."""
    return not start.startswith((b'{"type":"api-request', b'{"type":"file-history', b'{"type":"cost-state', b'{"type":"queue-'))


def is_ours(name: str) -> bool:
    """Say whether a file's name may be that of a transcript."""
    return name.endswith(".jsonl")


def translate(line: Any, state: dict[str, Any]) -> list[Said]:
    """Return the facts of one line, and note in `state` what later lines need. A line of an unknown kind says nothing."""
    kind = read_text(line, "type") if type(line) is dict else None
    if kind not in _WANTED:
        return []
    _note_session(line, state)
    facts: list[Fact] = []
    message = line.get("message")
    content = message.get("content") if type(message) is dict else None
    if kind == "assistant":
        _note_calls(content, state)
    elif kind == "user":
        results = (
            [part for part in content if type(part) is dict and part.get("type") == "tool_result"] if type(content) is list else []
        )
        for part in results:
            facts += _result(line, part, state)
        if not results:
            facts += _prompt(line, content, state)
    elif kind == "permission-mode":
        facts += _mode(line, state)
    elif kind == "attachment":
        facts += _hook_health(line, state)
    at_ms = parse_time(line.get("timestamp"))
    return [Said(fact, at_ms) for fact in facts]


def details_of(call: str, state: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the transcript has on a call that a hook tells of: nothing before its result's line."""
    return {"requested": {}, "finished": {}, "line": None}


def session_details(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the transcript says of the session's start."""
    return {"agent_version": state["version"]} if state.get("version") else {}


def arguments_of(line: Any) -> str | None:
    """Return nothing: the hooks have the exact arguments."""
    return None


def beside(path: str, state: dict[str, Any], names: Callable[[str], list[str]], first: Callable[[str], Any]) -> list[str]:
    """Return the transcripts of this session's subagents, which have a folder of their own."""
    folder = path.removesuffix(".jsonl") + "/subagents"
    return [f"{folder}/{name}" for name in names(folder)[-50:] if name.startswith("agent-") and is_ours(name)]


def join(said: Said, state: Mapping[str, Any]) -> Said:
    """Return a subagent's fact as it is: it names its call."""
    return said


def _note_session(line: dict[str, Any], state: dict[str, Any]) -> None:
    for member, name in (("session", "sessionId"), ("version", "version")):
        if member not in state and (found := read_text(line, name)):
            state[member] = found
    if line.get("isSidechain") is True and "sub" not in state and (agent := read_text(line, "agentId")):
        state["sub"] = agent


def _note_calls(content: Any, state: dict[str, Any]) -> None:
    calls = state.setdefault("calls", {})
    for part in content if type(content) is list else []:
        call, name = read_text(part, "id"), read_text(part, "name")
        if type(part) is dict and part.get("type") == "tool_use" and call and name:
            calls[call] = {"tool": name, **split_mcp(name)}
            given = json.dumps(part.get("input"), ensure_ascii=False)
            if part.get("input") is not None and len(given) <= _MAX_INPUT:
                calls[call]["input"] = given
    while len(calls) > _MAX_CALLS:
        del calls[next(iter(calls))]


def _who(state: Mapping[str, Any]) -> dict[str, Any]:
    return {"subagent": state["sub"]} if state.get("sub") else {}


# Prompts


def _prompt(line: dict[str, Any], content: Any, state: dict[str, Any]) -> list[Fact]:
    """Return where a prompt came from, or the command that a person typed for the shell."""
    turn = read_text(line, "promptId")
    if line.get("isMeta") is True or state.get("sub"):
        return []
    if type(content) is str and content.startswith("<bash-input>"):
        return _typed_command(content, turn, state)
    if type(content) is str and content.startswith("<bash-stdout>"):
        return _typed_result(content, turn, state)
    origin = line.get("origin")
    said = {
        "prompt_source": read_text(line, "promptSource", 64),
        "turn_origin": read_text(line, "turnOrigin", 64),
        "origin_kind": read_text(origin, "kind", 64),
    }
    told: dict[str, Any] = {name: value for name, value in said.items() if value}
    if turn is None or not told.keys() & {"prompt_source", "origin_kind"}:
        return []
    human = "human" in (told.get("origin_kind"), told.get("turn_origin")) and told.get("prompt_source") in (None, "typed")
    other = told.get("origin_kind") or told.get("turn_origin") or told.get("prompt_source")
    body: dict[str, Any] = dict(told)
    if not human and other not in ("human", "sdk"):
        body["origin"] = str(other).replace("_", "-")
    body["basis"] = {**dict.fromkeys(body, _FILE), "actor": _FILE}
    actor = {"type": "human"} if human else _AGENT if "origin" in body else {"type": "unknown"}
    text = _content_text(content)
    payloads = {"prompt": words(text)} if text else {}
    return [
        Fact("prompt.submitted", actor, clean(body), state.get("session"), turn, payloads=payloads, once=f"prompt.submitted:{turn}")
    ]


def _typed_command(content: str, turn: str | None, state: dict[str, Any]) -> list[Fact]:
    command = content.removeprefix("<bash-input>").partition("</bash-input>")[0]
    body = {"tool": "Bash", "by": "user-shell"}
    body_basis = {**body, "basis": dict.fromkeys(("tool", "by", "actor"), _FILE)}
    given = PayloadData(json.dumps({"command": command}, ensure_ascii=False).encode("utf-8", "replace"), "application/json")
    name = f"user-shell:{turn}"
    fact = Fact("tool.requested", {"type": "human"}, body_basis, state.get("session"), turn, name, {"input": given})
    return [fact._replace(once=f"tool.requested:{name}")]


def _typed_result(content: str, turn: str | None, state: dict[str, Any]) -> list[Fact]:
    body: dict[str, Any] = {"tool": "Bash", "by": "user-shell", "outcome": "finished"}
    body["basis"] = {**dict.fromkeys(body, _FILE), "outcome": "inferred"}
    name = f"user-shell:{turn}"
    fact = Fact(
        "tool.finished", {"type": "tool", "name": "Bash"}, body, state.get("session"), turn, name, {"output": words(content)}
    )
    return [fact._replace(once=f"tool.finished:{name}", answers="call")]


# Results


def _result(line: dict[str, Any], part: dict[str, Any], state: dict[str, Any]) -> list[Fact]:
    """Return a call's result and decision: the recorder keeps what no hook had said."""
    call = read_text(part, "tool_use_id")
    if call is None:
        return []
    noted = dict(state.get("calls", {}).pop(call, {}))
    given = noted.pop("input", None)
    session, turn = state.get("session"), read_text(line, "promptId")
    tool = {"tool": "unknown", **noted, **_who(state)}
    said, denial = line.get("permissionDecision"), read_text(line, "toolDenialKind")
    text = _content_text(part.get("content"))
    outcome, inferred = _outcome(line, part, said, denial, text)
    basis = {**dict.fromkeys(tool, _FILE), "outcome": "inferred" if inferred else _FILE}
    body: dict[str, Any] = {**tool, "outcome": outcome}
    if type(line.get("sandboxed")) is bool:
        body["sandboxed"], basis["sandboxed"] = line["sandboxed"], _FILE
    payloads = {"input": PayloadData(clean_text(given).encode("utf-8"), "application/json")} if given else {}
    requested = Fact("tool.requested", _AGENT, {**tool, "basis": dict.fromkeys(tool, _FILE)}, session, turn, call, payloads)
    finished = requested._replace(
        kind="tool.finished",
        actor={"type": "tool", "name": tool["tool"]},
        body={**body, "basis": basis},
        payloads={"output": words(text)} if text else {},
        once=f"tool.finished:{call}",
        answers="call",
    )
    facts = [requested._replace(once=f"tool.requested:{call}")]
    verdict = _verdict(said, denial) or (_told(text) if outcome == "denied" else None)
    if verdict is not None:
        more: dict[str, Any] = {**tool, **_rule(said)}
        if verdict.decision == "denied" and verdict.decider == "human":
            more["alike"] = ["no", "escape"]
        facts.append(decided(verdict, session=session, turn=turn, call=call, more=more))
    facts += [finished, *_boundary(line, call, turn, state), *_violations(text, call, turn, state)]
    return facts


def _outcome(line: dict[str, Any], part: dict[str, Any], said: Any, denial: str | None, text: str) -> tuple[str, bool]:
    """Return a call's outcome, and whether it is concluded from what else the line says."""
    result = line.get("toolUseResult")
    if denial or (type(said) is dict and said.get("decision") == "reject"):
        return "denied", False
    if type(result) is dict and result.get("interrupted") is True:
        return "cancelled", False
    if part.get("is_error") is True:
        return ("denied" if infer_outcome(text) == "denied" else "failed"), True
    return "finished", True


def _verdict(said: Any, denial: str | None) -> Verdict | None:
    if type(said) is dict and (decision := read_text(said, "decision", 64)):
        grant, reason = read_text(said, "grantScope", 64), read_text(said, "reasonType", 64)
        verdict = claude_decision(decision, read_text(said, "source", 64), _FILE, grant=grant, reason=reason)
        if verdict.decision == "denied" and verdict.decider == "policy" and denial == "user-rejected":
            # Nobody was there to ask, whatever the label says; a rule that wants somebody asked is why.
            verdict = verdict._replace(grounds="none", native={**verdict.native, "denial": denial})
        return verdict
    if denial == "user-rejected":
        return Verdict("denied", "once", "human", "answer", _FILE, {"denial": denial}, ("scope", "decider", "grounds"))
    if denial is not None:
        return Verdict("denied", "once", "policy", "rule", _FILE, {"denial": denial}, ("scope", "grounds"))
    return None


_REFUSALS = (
    ("Permission ", "policy", "rule"),
    ("Claude requested permission", "policy", "none"),
    ("The user ", "unknown", "unknown"),
)


def _told(text: str) -> Verdict | None:
    """Return the decision that a refusal's text gives away, for versions that say no more."""
    for start, decider, grounds in _REFUSALS:
        if text.startswith(start):
            return Verdict("denied", "once", decider, grounds, _FILE, {}, ("decision", "scope", "decider", "grounds"))
    return None


def _rule(said: Any) -> dict[str, str]:
    """Return where the rule that decided stands, as far as the transcript says."""
    found = {"rule_source": read_text(said, "ruleSource", 64), "reason": read_text(said, "reasonCode", 128)}
    return {name: value for name, value in found.items() if value and value != "unknown"}


def _boundary(line: dict[str, Any], call: str, turn: str | None, state: dict[str, Any]) -> list[Fact]:
    """Return whether calls run in the sandbox from here on, where that is another than before."""
    sandboxed = line.get("sandboxed")
    if type(sandboxed) is not bool or state.get("sandboxed") is sandboxed:
        return []
    state["sandboxed"] = sandboxed
    body: dict[str, Any] = {"mode": "sandboxed" if sandboxed else "unsandboxed", **_who(state)}
    if state.get("mode"):
        body["permission_mode"] = state["mode"]
    body["basis"] = dict.fromkeys(body, _FILE)
    fact = Fact("boundary.declared", _AGENT, body, state.get("session"), turn, call, answers="call")
    return [fact._replace(once=f"boundary.declared:{call}")]


def _violations(text: str, call: str, turn: str | None, state: dict[str, Any]) -> list[Fact]:
    """Return the destinations that the sandbox refused, as the output says; `user denied` is its word even with no user there."""
    if "<sandbox_violations>" not in text:
        return []
    facts = []
    told = text.partition("<sandbox_violations>")[2][:20_000]
    for found in list(dict.fromkeys(match.groups() for match in re.finditer(_VIOLATION, told)))[:50]:
        host, port, why = found
        body: dict[str, Any] = {"host": host, "decision": "denied", "source": "sandbox"}
        if port:
            body["port"] = int(port)
        if why:
            body["reason"] = why
        body["basis"] = dict.fromkeys(body, "inferred")
        fact = Fact("network.decided", {"type": "policy", "name": "claude-code-sandbox"}, body, state.get("session"), turn, call)
        facts.append(fact._replace(once=f"network.decided:{call}:{host}:{port}", answers="call"))
    return facts


# What else the transcript tells


def _mode(line: dict[str, Any], state: dict[str, Any]) -> list[Fact]:
    """Return that a person switched what needs leave: no hook tells of it."""
    mode = read_text(line, "permissionMode", 64)
    before, state["mode"] = state.get("mode"), mode
    if mode is None or before in (None, mode):
        return []
    body: dict[str, Any] = {"event": "permission-mode-changed", "from_mode": before, "to_mode": mode}
    body["basis"] = dict.fromkeys(body, _FILE)
    return [Fact("message.sent", {"type": "unknown"}, body, state.get("session"))]


def _hook_health(line: dict[str, Any], state: dict[str, Any]) -> list[Fact]:
    """Return that a hook failed or was cancelled, where that hook is a recorder: then something was not recorded."""
    told = line.get("attachment")
    if type(told) is not dict:
        return []
    kind = read_text(told, "type")
    if kind not in ("hook_cancelled", "hook_non_blocking_error") or "ledger.hook" not in str(told.get("command", ""))[:4096]:
        return []
    body: dict[str, Any] = {"reason": "hook-failed", "count": 1, "size": 0, "why": kind}
    if event := read_text(told, "hookEvent") or read_text(told, "hookName"):
        body["event"] = event
    if told.get("timedOut") is True:
        body["timed_out"] = True
    body["basis"] = dict.fromkeys(body, _FILE)
    call = read_text(told, "toolUseID")
    return [Fact("gap.noted", {"type": "recorder", "name": "ledger"}, body, state.get("session"), call=call)]


def _content_text(content: Any) -> str:
    if type(content) is str:
        return content
    if type(content) is list:
        return "\n".join(part["text"] for part in content if type(part) is dict and type(part.get("text")) is str)
    return ""
