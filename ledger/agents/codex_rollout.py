"""Codex: the lines of its rollout as facts. Pure: a line, and a small state that is carried from line to line.

A rollout is one JSON object a line, `{timestamp, ordinal, type, payload}`. It has what the hooks leave out: exact arguments, exit
codes, diffs, the sandbox of each turn, the base commit, calls that were refused. It lacks who decided (only what the model was told
shows that somebody did) and every network verdict. It is a plain file that the agent's user can edit: everything from it has the
basis `agent-file`, and what is concluded from its texts `inferred`.

`state` is a JSON object of bounded size:

    thread, session, sub       whose rollout it is; `sub` where it is a subagent's ("guardian" for the reviewer's)
    turn                       the turn under way
    bounds                     digest of the boundary that was declared last
    calls                      {call: {tool, …, escalated?, prefix?, at, turn}} that have no output yet
    ended                      {call: {exit_code?, duration_ms?, outcome?}} of items whose output is not here yet
    asks, recent               [[call, at_ms, turn]] of the last calls that asked to leave the sandbox, and of the last calls
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from ledger.agents.codex import tool_of
from ledger.agents.lines import MAX_TEXT, Said, clean, dump, parse_time, read_text, words
from ledger.core.canonical import MAX_INTEGER
from ledger.core.fact import Fact, PayloadData
from ledger.core.text import clean_text

NAME = "codex"
FOLDERS = ("sessions", "archived_sessions")

_MAX_CALLS = 100
_MAX_OPEN = 40  # calls without an output, each with its arguments
_MAX_ARGUMENTS = 4000
_MAX_BESIDE = 64
_AGENT = {"type": "agent", "name": NAME}
_FILE = "agent-file"
# Lines of which nothing is used, and which may be long: told by how they begin, so that they need not be parsed.
_SKIPPED = (
    b'"type":"token_usage_record"',
    b'"type":"world_state"',
    b'"payload":{"type":"reasoning"',
    b'"payload":{"type":"token_count"',
)


def is_wanted(start: bytes) -> bool:
    """Say from a line's first bytes whether it may hold a fact."""
    return not any(mark in start for mark in _SKIPPED)


def is_ours(name: str) -> bool:
    """Say whether a file's name is that of a rollout."""
    return name.startswith("rollout-") and name.endswith(".jsonl")


def translate(line: Any, state: dict[str, Any]) -> list[Said]:
    """Return the facts of one line, and note in `state` what later lines need. A line of an unknown kind says nothing."""
    if type(line) is not dict or type(line.get("payload")) is not dict:
        return []
    payload, kind = line["payload"], read_text(line, "type")
    inner = read_text(payload, "type") if kind in ("response_item", "event_msg") else None
    translation = _TRANSLATIONS.get(inner or kind or "")
    if translation is None:
        return []
    at_ms = parse_time(line.get("timestamp"))
    return [Said(fact, at_ms) for fact in translation(payload, state, at_ms or 0)]


def details_of(call: str, state: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the rollout has on a call that a hook tells of: {requested: {…}, finished: {…}} body members."""
    asked, ended = state.get("calls", {}).get(call, {}), state.get("ended", {}).get(call, {})
    requested = {name: asked[name] for name in ("escalated", "prefix") if name in asked}
    return {"requested": requested, "finished": dict(ended), "line": asked.get("line")}


def session_details(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the rollout says of the session's start."""
    return {name: state[name] for name in ("agent_version", "entrypoint", "base_commit") if state.get(name)}


def arguments_of(line: Any) -> str | None:
    """Return the exact arguments of the call that a line makes."""
    payload = line.get("payload") if type(line) is dict else None
    for name in ("arguments", "input"):
        if type(payload) is dict and type(payload.get(name)) is str:
            return str(payload[name])
    return None


def beside(path: str, state: dict[str, Any], names: Callable[[str], list[str]], first: Callable[[str], Any]) -> list[str]:
    """Return the rollouts of this session's subagents and reviewers, which lie in the same folder and began later.

    `names` lists a folder in order, `first` returns a file's first line. What was looked at is noted, so that it is looked at once.
    """
    folder, _, own = path.rpartition("/")
    known = state.setdefault("beside", {})
    for name in names(folder)[-_MAX_BESIDE:]:
        if name > own and is_ours(name) and name not in known:
            line = first(f"{folder}/{name}")
            payload = line.get("payload") if type(line) is dict else None
            mine = read_text(payload, "session_id") == state.get("session") and read_text(payload, "id") != state.get("thread")
            known[name] = bool(mine and state.get("session"))
    while len(known) > _MAX_BESIDE:
        del known[next(iter(known))]
    return [f"{folder}/{name}" for name, mine in known.items() if mine]


def join(said: Said, state: Mapping[str, Any]) -> Said:
    """Return a reviewer's decision with the call that it is about: its turn's last that asked to leave the sandbox before."""
    fact, at_ms = said
    if fact.kind != "approval.decided" or fact.call is not None:
        return said
    # A command that failed in the sandbox is tried again outside of it: then the call itself did not ask.
    for call, asked_ms, turn in (*reversed(state.get("asks", [])), *reversed(state.get("recent", []))):
        if turn == fact.turn and (at_ms is None or asked_ms <= at_ms):
            body = {**fact.body, "basis": {**fact.body.get("basis", {}), "call": "inferred"}}
            return Said(fact._replace(call=call, answers="call", body=body), at_ms)
    return said


# The session and its turns


def _meta(payload: dict[str, Any], state: dict[str, Any], at_ms: int) -> list[Fact]:
    thread, session = read_text(payload, "id"), read_text(payload, "session_id")
    if thread is None or state.get("thread") == thread:
        return []
    source = payload.get("source")
    kind = read_text(payload, "thread_source")
    git = payload.get("git") if type(payload.get("git")) is dict else {}
    state |= {"thread": thread, "session": session or thread}
    said = {
        "agent_version": read_text(payload, "cli_version"),
        "entrypoint": read_text(payload, "originator"),
        "base_commit": read_text(git, "commit_hash"),
    }
    state |= {name: value for name, value in said.items() if value}
    parent = read_text(payload, "parent_thread_id")
    if parent is None and type(source) is not dict and session in (None, thread):
        return []
    subagent = source.get("subagent") if type(source) is dict else None
    other = read_text(subagent, "other") if type(subagent) is dict else None
    state["sub"] = other or ("guardian" if kind == "guardian_review" else "subagent")
    state["parent"] = parent or session
    body = {
        "subagent": thread,
        "subagent_type": state["sub"],
        "basis": {"subagent": _FILE, "subagent_type": _FILE, **dict.fromkeys((k for k, v in said.items() if v), _FILE)},
        **{name: value for name, value in said.items() if value},
    }
    return [Fact("subagent.started", _AGENT, body, state["session"], once=f"subagent.started:{thread}")]


def _task_started(payload: dict[str, Any], state: dict[str, Any], at_ms: int) -> list[Fact]:
    turn = read_text(payload, "turn_id")
    attribution = payload.get("turn_attribution")
    if turn is not None:
        state["turn"] = turn
    if type(attribution) is dict:
        state["trigger"] = read_text(attribution, "turn_trigger")
        state["root_turn"] = read_text(attribution, "root_turn_id")
        state["parent_turn"] = read_text(attribution, "parent_turn_id")
    return []


def _task_complete(payload: dict[str, Any], state: dict[str, Any], at_ms: int) -> list[Fact]:
    message = payload.get("last_agent_message")
    if not state.get("sub"):
        return []
    payloads = {"message": words(message)} if type(message) is str and message else {}
    body = {"subagent": state.get("thread"), "subagent_type": state["sub"], "basis": {"subagent": _FILE, "subagent_type": _FILE}}
    once = f"subagent.ended:{state.get('thread')}:{read_text(payload, 'turn_id')}"
    ended = Fact("subagent.ended", _AGENT, body, state.get("session"), payloads=payloads, once=once)
    review = _review(message, state, at_ms) if state["sub"] == "guardian" else None
    return [ended, review] if review else [ended]


def _review(message: Any, state: dict[str, Any], at_ms: int) -> Fact | None:
    """Return the decision that a reviewer's last message is. Which call it is about the recorder infers: it does not say."""
    from ledger.agents.decisions import codex_decision, decided

    try:
        said = json.loads(message)
    except (TypeError, ValueError, RecursionError):
        return None
    word = {"allow": "approved", "deny": "denied"}.get(read_text(said, "outcome") or "") if type(said) is dict else None
    if word is None:
        return None
    verdict = codex_decision(word, "AutomatedReviewer", _FILE)._replace(native={"outcome": str(said["outcome"])})
    more = {name: said[name][:64] for name in ("risk_level", "user_authorization") if type(said.get(name)) is str}
    rationale = said.get("rationale")
    payloads = {"rationale": words(rationale)} if type(rationale) is str and rationale else {}
    more["review"] = state.get("thread")
    return decided(
        verdict, session=state.get("session"), turn=state.get("parent_turn"), call=None, more=clean(more), payloads=payloads
    )


def _turn_context(payload: dict[str, Any], state: dict[str, Any], at_ms: int) -> list[Fact]:
    """Return the sandbox of a turn, where it is another than before. Paths are named from where the agent stands."""
    if turn := read_text(payload, "turn_id"):
        state["turn"] = turn
    profile, policy = payload.get("permission_profile"), payload.get("sandbox_policy")
    cwd = read_text(payload, "cwd", 4096) or ""
    members: dict[str, Any] = {"mode": read_text(policy, "type") if type(policy) is dict else None}
    members |= {name: read_text(payload, name) for name in ("approval_policy", "approvals_reviewer")}
    if type(profile) is dict:
        members["mode"] = members["mode"] or read_text(profile, "type")
        members |= _bounds(profile.get("file_system"), cwd)
        members["network"] = _network(profile.get("network"), payload.get("network"))
    elif type(policy) is dict:
        members["network"] = "enabled" if policy.get("network_access") is True else "restricted"
    body = {name: value for name, value in members.items() if value not in (None, [])}
    if type(payload.get("active_permission_profile")) is str:
        body["profile"] = payload["active_permission_profile"][:MAX_TEXT]
    if state.get("sub"):
        body["subagent"], body["subagent_type"] = state.get("thread"), state["sub"]
    state["reviewer"] = body.get("approvals_reviewer")
    digest = hashlib.sha256(dump(body)).hexdigest()
    if not body or state.get("bounds") == digest:
        return []
    first = "bounds" not in state and not state.get("sub")
    state["bounds"] = digest
    body["basis"] = dict.fromkeys(body, _FILE)
    native = {
        name: payload.get(name) for name in ("permission_profile", "sandbox_policy", "network") if payload.get(name) is not None
    }
    payloads = {"policy": PayloadData(dump(native), "application/json")} if native else {}
    name = f"first:{state.get('session')}" if first else f"{state.get('thread')}:{state.get('turn')}:{digest}"
    fact = Fact("boundary.declared", _AGENT, clean(body), state.get("session"), state.get("turn"), payloads=payloads)
    return [fact._replace(once=f"boundary.declared:rollout:{name}")]


def _bounds(file_system: Any, cwd: str) -> dict[str, list[str]]:
    entries = file_system.get("entries") if type(file_system) is dict else None
    found: dict[str, list[str]] = {"readable": [], "writable": [], "protected": []}
    for entry in entries[:200] if type(entries) is list else []:
        if type(entry) is not dict or (name := _place(entry.get("path"), cwd)) is None:
            continue
        access = entry.get("access")
        if access == "write":
            found["writable"].append(name)
        elif access in ("deny", "none") or (access == "read" and name.startswith("./")):
            found["protected"].append(name)
        else:
            found["readable"].append(name)
    if type(file_system) is dict and file_system.get("type") == "unrestricted":
        found["writable"].append(":root")
    return found


def _place(path: Any, cwd: str) -> str | None:
    if type(path) is not dict:
        return None
    if type(path.get("value")) is dict:
        kind = read_text(path["value"], "kind")
        return f":{kind}" if kind else None
    text = read_text(path, "path", 4096) or read_text(path, "pattern", 4096)
    return short_path(text, cwd) if text else None


def short_path(path: str, cwd: str) -> str:
    """Return a path from where the agent stands, or with `~` for a home: an entry is kept for ever, and names no user.

    >>> short_path("/home/ada/demo/.git", "/home/ada/demo"), short_path("/home/ada/x", "/srv"), short_path("/etc", "/srv")
    ('./.git', '~/x', '/etc')
    """
    if cwd and (path == cwd or path.startswith(cwd.rstrip("/") + "/")):
        rest = path[len(cwd) :].strip("/")
        return f"./{rest}" if rest else "."
    return re.sub(r"^(?:/home/[^/]+|/Users/[^/]+|/root)(?=/|$)", "~", path)


def _network(said: Any, rules: Any) -> Any:
    if type(rules) is dict and rules:
        domains = rules.get("domains")
        return {"mode": read_text(rules, "mode") or str(said), "domains": len(domains) if isinstance(domains, (dict, list)) else 0}
    return said[:MAX_TEXT] if type(said) is str else None


# Calls


def _call(payload: dict[str, Any], state: dict[str, Any], at_ms: int) -> list[Fact]:
    call, name = read_text(payload, "call_id"), read_text(payload, "name")
    if call is None or name is None:
        return []
    turn = _turn_of(payload, state)
    noted: dict[str, Any] = {**tool_of(name, read_text(payload, "namespace")), "turn": turn, "at": at_ms}
    try:
        given = json.loads(payload["arguments"]) if type(payload.get("arguments")) is str else None
    except (ValueError, RecursionError):
        given = None
    if type(given) is dict:
        if given.get("sandbox_permissions") == "require_escalated":
            noted["escalated"] = True
            state["asks"] = [*state.get("asks", [])[-19:], [call, at_ms, turn]]
        rule = given.get("prefix_rule")
        if type(rule) is list and rule and all(type(word) is str for word in rule):
            noted["prefix"] = True
            state["amendable"] = [call, turn]
    exact = next((payload[member] for member in ("arguments", "input") if type(payload.get(member)) is str), None)
    if exact is not None and len(exact) <= _MAX_ARGUMENTS:
        noted["arguments"] = exact
    state["recent"] = [*state.get("recent", [])[-19:], [call, at_ms, turn]]
    calls = state.setdefault("calls", {})
    calls[call] = noted
    while len(calls) > _MAX_OPEN:
        del calls[next(iter(calls))]
    return []


def _input_of(arguments: str | None) -> dict[str, PayloadData]:
    """Return a call's input as the hooks spell it, and its exact arguments where those say more."""
    if arguments is None:
        return {}
    try:
        given = json.loads(arguments)
    except (ValueError, RecursionError):
        given = None
    if type(given) is not dict:
        return {"input": PayloadData(dump({"command": arguments}), "application/json")}
    if type(given.get("cmd")) is not str:
        return {"input": PayloadData(dump(given), "application/json")}
    spelled = {"input": PayloadData(dump({"command": given["cmd"]}), "application/json")}
    more = {"arguments": PayloadData(clean_text(arguments).encode("utf-8"), "application/json")} if len(given) > 1 else {}
    return {**spelled, **more}


def _item(payload: dict[str, Any], state: dict[str, Any], at_ms: int) -> list[Fact]:
    item = payload.get("item")
    kind = read_text(item, "type") if type(item) is dict else None
    call = read_text(item, "id") if type(item) is dict else None
    if type(item) is not dict or call is None:
        return []
    if kind == "UserMessage" and not state.get("sub"):
        return _prompt(payload, item, state)
    if kind == "CommandExecution" and item.get("source") == "user_shell":
        return _user_shell(item, call, state)
    if kind not in ("CommandExecution", "FileChange", "McpToolCall"):
        return []
    ended = state.setdefault("ended", {})
    ended[call] = _end_of(item)
    while len(ended) > _MAX_CALLS:
        del ended[next(iter(ended))]
    return []


def _prompt(payload: dict[str, Any], item: dict[str, Any], state: dict[str, Any]) -> list[Fact]:
    """Return a prompt that the rollout holds: recorded where no hook told of it."""
    text = _output_text(item.get("content"))
    turn = read_text(payload, "turn_id") or state.get("turn")
    body: dict[str, Any] = {"trigger": state["trigger"], "basis": {"trigger": _FILE}} if state.get("trigger") else {}
    payloads = {"prompt": words(text)} if text else {}
    return [
        Fact(
            "prompt.submitted",
            {"type": "unknown"},
            body,
            state.get("session"),
            turn,
            payloads=payloads,
            once=f"prompt.submitted:{turn}",
        )
    ]


def _end_of(item: dict[str, Any]) -> dict[str, Any]:
    """Return {exit_code?, duration_ms?, outcome?} of an item that is complete."""
    said: dict[str, Any] = {}
    code, status = item.get("exit_code"), item.get("status")
    if type(code) is int and abs(code) <= MAX_INTEGER:
        said["exit_code"] = code
    duration = item.get("duration")
    if type(duration) is dict and type(duration.get("secs")) is int and type(duration.get("nanos")) is int:
        said["duration_ms"] = max(0, min(MAX_INTEGER, duration["secs"] * 1000 + duration["nanos"] // 1_000_000))
    result, error = item.get("result"), item.get("error")
    if type(error) is dict and str(error.get("message")).startswith("user cancelled MCP tool call"):
        said["outcome"] = "cancelled"
    elif status == "declined":
        said["outcome"] = "denied"
    elif status == "failed" or code not in (None, 0) or (type(result) is dict and result.get("isError") is True):
        said["outcome"] = "failed"
    elif status == "completed":
        said["outcome"] = "finished"
    return said


def _user_shell(item: dict[str, Any], call: str, state: dict[str, Any]) -> list[Fact]:
    """Return the command that a person typed into the agent: no hook tells of it."""
    command = item.get("command")
    said = {"tool": "Bash", "by": "user-shell"}
    basis = dict.fromkeys(("tool", "by", "actor"), _FILE)
    given = PayloadData(dump({"command": command}), "application/json")
    turn = state.get("turn")
    requested = Fact(
        "tool.requested", {"type": "human"}, {**said, "basis": basis}, state.get("session"), turn, call, {"input": given}
    )
    end = _end_of(item)
    output = item.get("aggregated_output")
    payloads = {"output": words(output)} if type(output) is str and output else {}
    body = {**said, "outcome": "unknown", **end}
    finished = Fact("tool.finished", {"type": "tool", "name": "Bash"}, body, state.get("session"), turn, call, payloads)
    body["basis"] = dict.fromkeys(body, _FILE)
    return [
        requested._replace(once=f"tool.requested:{call}"),
        finished._replace(once=f"tool.finished:{call}", answers="call"),
    ]


# Patterns are compiled where they are used: most hooks need none.
# What the model was told of a call that did not run, and what that says of it.
# (words, outcome, (decision, decider, grounds))
_REFUSALS = (
    ("Command blocked by PreToolUse hook", "denied", ("denied", "policy", "hook")),
    ("This action was rejected due to unacceptable risk", "denied", ("denied", "auto-review", "review")),
    ("rejected by user", "denied", ("denied", "human", "answer")),
    ("rejected: blocked by policy", "denied", ("denied", "policy", "rule")),
    ("approval policy is Never", "denied", ("denied", "policy", "mode")),
    ("aborted by user", "cancelled", ("cancelled", "human", "interrupt")),
    ("Rejected(", "denied", ("denied", "unknown", "unknown")),
)
_NETWORK = r'Network access to \\?"([^"\\\s]{1,255})\\?" was blocked(?:: ([^"}]{0,200}))?'
_EXITED = r"(?:Process exited with code|Exit code:) (0|-?[1-9][0-9]{0,9})\n"


def _output(payload: dict[str, Any], state: dict[str, Any], at_ms: int) -> list[Fact]:
    """Close a call: the recorder keeps what no hook had said, and of the rest only what is new."""
    call = read_text(payload, "call_id")
    if call is None:
        return []
    asked = state.get("calls", {}).pop(call, {})
    ended = state.get("ended", {}).pop(call, None)
    text = _output_text(payload.get("output"))
    head = text[:4000]
    turn = asked.get("turn") or _turn_of(payload, state)
    outcome, verdict = _refusal(head) if ended is None else (None, None)
    if ended is not None and ended.get("outcome") == "cancelled":
        verdict = ("cancelled", "human", "answer")
    blocked = re.search(_NETWORK, head) if head.startswith("exec_command failed") else None
    exited = re.search(_EXITED, head[:400])
    body: dict[str, Any] = {name: asked[name] for name in ("tool", "mcp_server", "mcp_tool") if name in asked}
    body.setdefault("tool", "unknown")
    body["outcome"] = outcome or "unknown"
    basis = dict.fromkeys(body, _FILE)
    if outcome:
        basis["outcome"] = "inferred"
    if exited and ended is None and not outcome:
        ended = {"exit_code": int(exited[1]), "outcome": "failed" if int(exited[1]) else "finished"}
        basis |= dict.fromkeys(ended, "inferred")
    if ended:
        body |= ended
        for name in ended:
            basis.setdefault(name, _FILE)
    if blocked:
        body["outcome"] = "failed"
        body["refused"] = "network"
    if body["outcome"] == "unknown" and not head.startswith("unsupported call"):
        body["outcome"], basis["outcome"] = "finished", "inferred"
    elif body["outcome"] == "unknown":
        body["outcome"], basis["outcome"] = "failed", "inferred"
    requested = Fact(
        "tool.requested",
        _AGENT,
        {**{name: body[name] for name in ("tool", "mcp_server", "mcp_tool") if name in body}, "basis": {"tool": _FILE}},
        state.get("session"),
        turn,
        call,
        _input_of(asked.get("arguments")),
        once=f"tool.requested:{call}",
    )
    subagent = {"subagent": state["thread"]} if state.get("sub") and state.get("thread") else {}
    finished = requested._replace(
        kind="tool.finished",
        actor={"type": "tool", "name": body["tool"]},
        body={**body, **subagent, "basis": basis},
        payloads={"output": words(text)} if text else {},
        once=f"tool.finished:{call}",
        answers="call",
    )
    facts = [requested._replace(body={**requested.body, **subagent}), finished]
    if verdict is not None:
        facts.insert(1, _decide(verdict, state, turn, call))
    if blocked:
        facts.append(_network_denied(blocked, state, turn, call))
    if exited and int(exited[1]) and (not ended or "duration_ms" not in ended) and re.search(_SANDBOX, text[-2000:]):
        facts.append(_hit(body["tool"], int(exited[1]), state, turn, call))
    return facts


_SANDBOX = r"Read-only file system|Operation not permitted|Permission denied|bwrap|sandbox|seccomp"


def _decide(verdict: tuple[str, str, str], state: dict[str, Any], turn: str | None, call: str) -> Fact:
    """Return the decision that a refusal gives away."""
    from ledger.agents.decisions import Verdict, decided  # most calls are not refused

    decision, decider, grounds = verdict
    # An interrupted call was decided about only if leave had been asked for: the recorder knows. The screen's "No" is its Escape.
    more: dict[str, Any] = {"if_asked": True, "alike": ["no", "escape"]} if grounds == "interrupt" else {}
    concluded = Verdict(decision, "once", decider, grounds, _FILE, inferred=("decision", "scope", "decider", "grounds"))
    return decided(concluded, session=state.get("session"), turn=turn, call=call, more=more)


def _hit(tool: str, exit_code: int, state: dict[str, Any], turn: str | None, call: str) -> Fact:
    """Return what Codex took for a refusal of its sandbox: a command that has an exit code and is no completed item."""
    body = {"tool": tool, "outcome": "denied", "exit_code": exit_code}
    body["basis"] = {**dict.fromkeys(body, "inferred"), "exit_code": _FILE}
    actor = {"type": "policy", "name": "codex-sandbox"}
    fact = Fact("boundary.hit", actor, body, state.get("session"), turn, call, once=f"boundary.hit:{call}")
    return fact._replace(answers="call")


def _network_denied(found: re.Match[str], state: dict[str, Any], turn: str | None, call: str) -> Fact:
    """Return the destination that a call's output says was blocked. The proxy's own record has port and protocol, and no call."""
    body = {"host": found[1], "decision": "denied", "reason": (found[2] or "").strip().rstrip(".") or "blocked"}
    body = {**body, "basis": dict.fromkeys(body, "inferred")}
    actor = {"type": "policy", "name": "codex-network-proxy"}
    fact = Fact("network.decided", actor, clean(body), state.get("session"), turn, call, once=f"network.decided:{call}:{found[1]}")
    return fact._replace(answers="call")


_TIMED = r"Wall time: [0-9.]+ seconds\n"
_TOLD = (
    "Command blocked by PreToolUse hook",
    "This action was rejected",
    "Rejected(",
    "exec_command failed: ",
    "exec command rejected",
    "patch rejected",
    "apply_patch failed: ",
    "aborted",
)


def _refusal(text: str) -> tuple[str | None, tuple[str, str, str] | None]:
    """Return the outcome and the decision that a refused call's output gives away.

    What a tool printed comes behind a line `Output:`, so its own words never stand where Codex's do.
    """
    told = text[found.end() :] if (found := re.match(_TIMED, text)) else text
    if not told.startswith(_TOLD):
        return None, None
    for phrase, outcome, verdict in _REFUSALS:
        if phrase in told[:600]:
            return outcome, verdict
    return None, None


def _output_text(output: Any) -> str:
    if type(output) is str:
        return output
    if type(output) is list:
        return "\n".join(item["text"] for item in output if type(item) is dict and type(item.get("text")) is str)
    if type(output) is dict and type(output.get("content")) is str:
        return str(output["content"])
    return ""


def _aborted(payload: dict[str, Any], state: dict[str, Any], at_ms: int) -> list[Fact]:
    """Close the calls that an aborted turn left open."""
    turn = read_text(payload, "turn_id")
    facts = []
    for call, asked in list(state.get("calls", {}).items()):
        if asked.get("turn") in (turn, None):
            facts += _output(
                {"call_id": call, "output": "aborted by user" if payload.get("reason") == "interrupted" else "aborted"},
                state,
                at_ms,
            )
    return facts


def _message(payload: dict[str, Any], state: dict[str, Any], at_ms: int) -> list[Fact]:
    """Return what a message of the harness tells: that a rule was saved, which is a standing grant."""
    if payload.get("role") != "developer" or not state.get("amendable"):
        return []
    passed = payload.get("internal_chat_message_metadata_passthrough")
    kinds = passed.get("content_item_kinds") if type(passed) is dict else None
    text = _output_text(payload.get("content"))
    if not (type(kinds) is list and "permissions.approved_command_prefix_saved" in kinds) and not text.startswith(
        "Approved command prefix saved"
    ):
        return []
    from ledger.agents.decisions import Verdict, decided

    call, turn = state.pop("amendable")
    verdict = Verdict("approved", "always", "human", "answer", _FILE, inferred=("scope", "decider", "grounds"))
    return [decided(verdict, session=state.get("session"), turn=turn, call=call, payloads={"rule": words(text)})]


# Small things


def _turn_of(payload: dict[str, Any], state: dict[str, Any]) -> str | None:
    passed = payload.get("internal_chat_message_metadata_passthrough")
    return (read_text(passed, "turn_id") if type(passed) is dict else None) or state.get("turn")


_TRANSLATIONS: dict[str, Callable[[dict[str, Any], dict[str, Any], int], list[Fact]]] = {
    "session_meta": _meta,
    "turn_context": _turn_context,
    "task_started": _task_started,
    "task_complete": _task_complete,
    "turn_aborted": _aborted,
    "function_call": _call,
    "custom_tool_call": _call,
    "local_shell_call": _call,
    "item_completed": _item,
    "function_call_output": _output,
    "custom_tool_call_output": _output,
    "message": _message,
}
