"""Which of the eight questions each agent's surfaces can answer. What they cannot is said, not left out.

One declaration for all who speak of it: `ledger doctor` shows what holds here, `docs/agents.md` is written from it
(`scripts/agents_page`), and the tests hold that each agent's modules tell of the kinds of facts that are named here and of no
others (`KINDS_OF`). The surfaces of an agent are those of `ledger.agents.registry.SURFACES`.

    hooks       live, and before the act: what the agent runs at each event; opencode's plugin
    transcript  the agent's own files, read as they grow at each hook, and its standing grants; its user may edit them
    telemetry   OpenTelemetry, where a receiver runs (`ledger record otlp`): best effort, and the agent must be told to send it
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ledger.agents.registry import SURFACES

QUESTIONS = {
    "asked": "who asked",
    "planned": "what was planned",
    "ran": "what ran, with its result",
    "tool": "which tool or MCP server",
    "approval": "which approval",
    "network": "which network rule",
    "boundary": "which sandbox boundary",
    "changed": "what changed",
}

# The facts that answer each question. A question for which a surface has none of them is not answered by it.
KINDS_OF: dict[str, frozenset[str]] = {
    "asked": frozenset({"session.started", "prompt.submitted"}),
    "planned": frozenset({"plan.updated"}),
    "ran": frozenset({"tool.requested", "tool.finished"}),
    "tool": frozenset({"tool.requested", "tool.finished"}),
    "approval": frozenset({"approval.requested", "approval.decided"}),
    "network": frozenset({"network.decided"}),
    "boundary": frozenset({"boundary.declared", "boundary.hit"}),
    "changed": frozenset({"tool.finished"}),
}

_RANK = {"no": 0, "partly": 1, "yes": 2}
OPTIONAL = ("telemetry",)  # surfaces that are there only where somebody set them up


class Answer(NamedTuple):
    """`level` is yes, partly or no; `note` says what is known, or why nothing is."""

    level: str
    note: str


class Cell(NamedTuple):
    """What is known of one question: the `answer` of what is always there, and what each surface adds."""

    answer: Answer
    surfaces: dict[str, Answer]


def _yes(note: str) -> Answer:
    return Answer("yes", note)


def _partly(note: str) -> Answer:
    return Answer("partly", note)


_ASKED = _partly("the prompt; the person is this machine's user, as claimed: no hook says whether a person typed")
_CHANGED = _partly("files and lines that the edit tools name, by content; what shell commands change, by when it changed")
_REQUESTED = _partly("that it was requested; not the decision, nor who took it")

# question → surface → what it says. What is missing is a no.
_DECLARED: dict[str, dict[str, dict[str, Answer]]] = {
    "codex": {
        "asked": {"hooks": _ASKED, "transcript": _partly("what started the turn: the agent's own screen, or a program")},
        "planned": {"hooks": _yes("update_plan, where the model is offered it")},
        "ran": {
            "hooks": _partly("every call and its output; no exit code, and no end of a call that was refused or cancelled"),
            "transcript": _yes("exact arguments, exit codes, how refused and cancelled calls ended, the code of code mode"),
            "telemetry": _partly("calls and outputs; a command that failed counts as a success"),
        },
        "tool": {
            "hooks": _yes("tool names, MCP servers by name"),
            "transcript": _yes("the same"),
            "telemetry": _yes("the same"),
        },
        "approval": {
            "hooks": _REQUESTED,
            "transcript": _partly("the verdict of auto-review, and refusals by their text"),
            "telemetry": _yes("decision, scope and decider; nothing where a call was cancelled or forbidden by a rule"),
        },
        "network": {
            "transcript": _partly("destinations that were refused, by the text of the call's output"),
            "telemetry": _yes("each destination, allowed or denied, where the network proxy is on"),
        },
        "boundary": {
            "transcript": _yes("what the sandbox allows in each turn, commands that it refused, and standing grants"),
            "telemetry": _partly("the name of the policy, and commands that it refused"),
        },
        "changed": {"hooks": _CHANGED},
    },
    "claude-code": {
        "asked": {"hooks": _ASKED, "transcript": _yes("where each prompt came from: typed, program or finished task")},
        "planned": {"hooks": _yes("plans that were presented, and tasks")},
        "ran": {
            "hooks": _yes("every call, its result or failure; refusals by their text"),
            "transcript": _yes("the same, and commands that a person typed for the shell"),
            "telemetry": _partly("calls and whether they succeeded; what they were given only if it is told to"),
        },
        "tool": {
            "hooks": _yes("tool names, MCP servers by name"),
            "transcript": _yes("the same"),
            "telemetry": _partly("tool names; tools of MCP servers have one name"),
        },
        "approval": {
            "hooks": _REQUESTED,
            "transcript": _yes("decision, source and scope (from 2.1.3xx on); a person's No and Esc look the same"),
            "telemetry": _yes("decision and source"),
        },
        "network": {"transcript": _partly("destinations that the sandbox refused; none that it allowed")},
        "boundary": {"transcript": _partly("whether a call ran in the sandbox, and standing grants; not what that allows")},
        "changed": {"hooks": _CHANGED},
    },
    "gemini": {
        "asked": {"hooks": _ASKED},
        "planned": {"hooks": _yes("the to-do list (write_todos)")},
        "ran": {
            "hooks": _partly("calls and results; no end of a call that was refused, and an exit code only in the text"),
            "transcript": _yes("how every call ended, refused, aborted and impossible ones included"),
            "telemetry": _yes("the same, with exit codes and durations"),
        },
        "tool": {
            "hooks": _yes("tool names, MCP servers by name"),
            "transcript": _yes("the same, and which subagents were started"),
            "telemetry": _yes("the same, and which calls are a subagent's"),
        },
        "approval": {
            "hooks": _partly("that a dialogue was shown; not what was answered"),
            "transcript": _partly("refusals by policy, by their text"),
            "telemetry": _partly("the decision; `accept` does not say whether a person, a rule or nobody had to"),
        },
        "boundary": {
            "transcript": _partly("standing grants: policies and settings; not whether there is a sandbox"),
            "telemetry": _partly("the approval mode; what it says of its sandbox was seen to be wrong"),
        },
        "changed": {"hooks": _CHANGED},
    },
    "opencode": {
        "asked": {"hooks": _ASKED},
        "planned": {"hooks": _yes("the to-do list")},
        "ran": {"hooks": _yes("every call, its result or error, exit codes of shell commands")},
        "tool": {"hooks": _partly("tool names; MCP servers by comparing names with the configuration")},
        "approval": {"hooks": _partly("requests and replies, refusals by rule; not who replied")},
        "changed": {"hooks": _CHANGED},
    },
}
_NEVER = {
    "network": "no surface of it tells of network decisions",
    "boundary": "no surface of it says what a sandbox allows or refused",
}

AGENTS = tuple(_DECLARED)

# What a reader should know before believing an agent's entries.
NOTES: dict[str, tuple[str, ...]] = {
    "codex": (
        "Hooks run only once they are trusted, and are skipped silently before that; `ledger doctor` counts those that are.",
        "Sandboxed commits run git's hooks inside the sandbox: what they have to say waits in the repository's spool.",
    ),
    "claude-code": (
        "`disableAllHooks` in any settings file silences every hook; `ledger doctor` names the file.",
        "A finished background task submits a prompt of its own: it is recorded as the agent's, not as a person's.",
        "Cursor and Copilot CLI may load the same settings. What they send is recorded as theirs, joined as far as their events"
        " allow, and known from documents only.",
        "Copilot CLI refuses a call whose hook fails. Ours exits 0 whatever happens, unless `required` is set; but where the"
        " interpreter is gone the shell fails: run `ledger deinit` before you remove it.",
    ),
    "gemini": (
        "No event names a call: the names are ours, made of tool, count and input, and `body.basis.call` says so.",
        "It switches git's hooks off for all it runs: commits are found by comparing HEAD at each event, and bear no trailer.",
        "Hooks do not say which calls a subagent made: only those that a hook did not tell of bear its id.",
        "It warns of a project's hooks when it first meets them, and reads none of them in a folder that it does not trust.",
    ),
    "opencode": (
        "A plugin forwards its events (`.opencode/plugins/git-ledger.js`); `--pure` starts opencode without it.",
        "No event says that a session ended. `opencode run` rejects by itself whatever it would have to ask for.",
        "Commands that a call runs get `LEDGER_SESSION_ID` and `LEDGER_CALL_ID`, so that a commit names its call exactly.",
    ),
}


def cell(agent: str, question: str) -> Cell:
    """Return what an agent's surfaces say on a question."""
    said = _DECLARED[agent].get(question, {})
    always = {surface: answer for surface, answer in said.items() if surface not in OPTIONAL}
    best = max(always.items(), key=lambda item: _RANK[item[1].level], default=None)
    if best is None:
        why = "only telemetry tells" if said else _NEVER.get(question, "no surface of it tells")
        return Cell(Answer("no", why), dict(said))
    surface, answer = best
    return Cell(answer if surface == "hooks" else Answer(answer.level, f"{answer.note} ({surface})"), dict(said))


def row(agent: str) -> dict[str, Cell]:
    """Return an agent's cells by question."""
    return {question: cell(agent, question) for question in QUESTIONS}


def declared_kinds(agent: str, surface: str) -> frozenset[str]:
    """Return the kinds of facts that answer those questions on which an agent's surface says something."""
    questions = [question for question, said in _DECLARED[agent].items() if surface in said]
    return frozenset().union(*(KINDS_OF[question] for question in questions))


def format_page(titles: dict[str, str]) -> str:
    """Return the page `docs/agents.md`; `titles` are the agents' names."""
    return "\n".join(_page(titles)) + "\n"


_INTRODUCTION = """\
Eight questions, and how much of each an agent's surfaces answer: **yes**, **partly** or **no**, counting what is there once
`ledger init` has run. Telemetry comes on top where `ledger record otlp` listens and the agent sends it; calls of MCP servers are
recorded exactly, whatever the agent, where `ledger record mcp` stands between. `ledger doctor` shows this table for the agents
found on a machine. Every entry says by which surface it came (`source`), and `body.basis` how each of its members is known.
""".splitlines()


def _page(titles: dict[str, str]) -> Iterator[str]:
    agents = AGENTS
    yield "# What each agent can answer"
    yield ""
    yield "<!-- Written by scripts/agents_page from ledger/agents/coverage.py. Change it there. -->"
    yield ""
    yield from _INTRODUCTION
    yield ""
    yield "| | " + " | ".join(titles[agent] for agent in agents) + " |"
    yield "|---" * (len(agents) + 1) + "|"
    for question, words in QUESTIONS.items():
        yield f"| {words} | " + " | ".join(_levels(cell(agent, question)) for agent in agents) + " |"
    for agent in agents:
        yield ""
        yield f"## {titles[agent]}"
        yield ""
        yield "| | " + " | ".join(SURFACES[agent]) + " |"
        yield "|---" * (len(SURFACES[agent]) + 1) + "|"
        for question, words in QUESTIONS.items():
            said = cell(agent, question).surfaces
            answers = [said.get(surface, Answer("no", "")) for surface in SURFACES[agent]]
            yield f"| {words} | " + " | ".join(_spell(answer) for answer in answers) + " |"
        yield ""
        yield from (f"- {note}" for note in NOTES[agent])


def _levels(cell: Cell) -> str:
    """Return a cell of the short table: the level, and what telemetry makes of it where that is more."""
    more = max((cell.surfaces[name].level for name in OPTIONAL if name in cell.surfaces), key=_RANK.__getitem__, default="no")
    return cell.answer.level + (f"; with telemetry {more}" if _RANK[more] > _RANK[cell.answer.level] else "")


def _spell(answer: Answer) -> str:
    return f"**{answer.level}**: {answer.note}" if answer.note else "no"
