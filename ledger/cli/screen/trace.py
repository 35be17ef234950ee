"""The page of `ledger trace`: a headline, the eight answers, and what could not be established."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from io import StringIO
from typing import Any, NamedTuple

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from ledger.cli.plain import safe
from ledger.cli.screen.rows import Rows
from ledger.cli.screen.texts import DIM, clock, graded, path_text, print_page, short, words

_STEP_MARKS = {"completed": ("✓", "green"), "in_progress": ("▶", "cyan"), "pending": ("○", DIM)}
_RUNGS = {
    "exact": ("", " id"),
    "rewrite-map": ("the ", ""),
    "trailer": ("a ", ""),
    "patch-id": ("an equal ", ""),
    "range-patch-id": ("an equal ", ""),
    "tree": ("an equal ", ""),
    "blobs": ("equal ", ""),
}
_MOST = 100  # of a kind that a page shows
_REF = 7  # the width of `#12345`; a longer name of an entry goes on below
_FOREIGN = re.compile(r"(?:@font-face \{[^}]*\}|<!--.*?-->)\s*")  # what names another host
_LEADING = re.compile(r' x="([0-9.]+)" y="([0-9.]+)" textLength="([0-9.]+)"([^>]*)>((?:&#160;)+)(?=[^<&])')
_CELL = 12.2  # rich's width of a character in a picture


def render_trace(trace: Mapping[str, Any]) -> None:
    """Print the page."""
    print_page(_page(trace))


def export_trace(trace: Mapping[str, Any], path: str, title: str) -> None:
    """Write the page as an SVG picture, 100 columns wide, that loads nothing from elsewhere."""
    picture = Console(
        record=True, width=100, file=StringIO(), force_terminal=True, color_system="truecolor", no_color=False, markup=False
    )
    picture.print(_page(trace))
    svg = _LEADING.sub(_move_right, _FOREIGN.sub("", picture.export_svg(title=safe(title))))
    with open(path, "w", encoding="utf-8") as file:
        file.write(svg)


def _move_right(match: re.Match[str]) -> str:
    """Write a run's leading spaces as its position, for not every viewer keeps them."""
    x, y, length, rest, spaces = match.groups()
    width = _CELL * (len(spaces) // len("&#160;"))
    return f' x="{float(x) + width:g}" y="{y}" textLength="{float(length) - width:g}"{rest}>'


class _View(NamedTuple):
    """What the page leaves out where it says it once: the day of the times, and the log of the entries if there is one only."""

    day: str
    log: str

    def ref(self, entry: Any) -> str:
        """Return an entry's name as short as it may be."""
        log, _, seq = str(entry or "").partition("/")
        return f"#{seq}" if log and log == self.log else short(entry)

    def dim(self, entry: Any) -> Text:
        """Return an entry's name for the right margin."""
        return Text(safe(self.ref(entry)), style=DIM)


def _view(trace: Mapping[str, Any]) -> _View:
    items = [item for name in ("asked", "planned", "ran", "approvals", "network", "boundary") for item in trace[name]]
    day = str(items[0]["at"] if items else trace["commit"]["at"] or "")[:10]
    refs = [str(item["entry"]) for item in items] + [call for path in trace["changed"] for call in path["calls"]]
    logs = {ref.partition("/")[0] for ref in refs if "/" in ref}
    return _View(day, logs.pop() if len(logs) == 1 else "")


def _page(trace: Mapping[str, Any]) -> Group:
    view = _view(trace)
    sections: list[RenderableType] = [_headline(trace, view)]
    answers: list[tuple[str, list[RenderableType]]] = [
        ("Who asked", [_asked(item, view) for item in trace["asked"]]),
        ("What was planned", _planned(trace["planned"], view)),
        ("What ran", _ran(trace["ran"], view)),
        ("With which tools and MCP servers", _tools(trace["ran"])),
        ("Which approvals", _approvals(trace["approvals"], view)),
        ("Which network rules", _network(trace["network"], view)),
        ("Which sandbox boundary", [_boundary(item, view) for item in trace["boundary"]]),
        ("What changed", _changed(trace["changed"], view)),
    ]
    for number, (title, parts) in enumerate(answers, 1):
        sections.append(_title(f"{number}  {title}"))
        sections.extend(Padding(part, (0, 0, 0, 3)) for part in parts or [Text("not on record", style=DIM)])
    if trace.get("contradictions"):
        sections.append(_title("!  Where the surfaces contradict each other", "red"))
        sections.append(Padding(_bullets(trace["contradictions"]), (0, 0, 0, 3)))
    if trace["unknown"]:
        sections.append(_title("?  What could not be established", "yellow"))
        sections.append(Padding(_bullets(trace["unknown"]), (0, 0, 0, 3)))
    return Group(*sections)


def _headline(trace: Mapping[str, Any], view: _View) -> RenderableType:
    commit, match = trace["commit"], trace["match"]
    first = Text.assemble(("commit ", "bold"), (safe(commit["oid"]), "bold yellow"))
    subject = words(commit["subject"], lines=1, characters=200)
    subject.stylize("bold")
    at = f"  {safe(commit['at'][:19].replace('T', ' '))} UTC" if commit["at"] else ""
    author = Text(safe(commit["author"][:200]) + at, style=DIM)
    verdict = Text.assemble("ledger ", graded(trace["verdict"]), "  ·  ")
    if match["rung"] == "none":
        verdict.append("no log here knows this commit", style="yellow")
    else:
        before, after = _RUNGS.get(match["rung"], ("", ""))
        verdict.append_text(Text.assemble("commit found by ", before, graded(match["rung"]), after))
    if match["confidence"] == "ambiguous":
        verdict.append(f", ambiguous: {len(match['candidates'])} recorded commits fit equally well", style="yellow")
    if match["recorded_oid"] not in (None, commit["oid"]):
        verdict.append(f" as {safe(match['recorded_oid'][:12])}")
    lines = [subject, author, verdict]
    if view.log:
        log = safe(view.log[:8])
        lines.append(Text(f"#N is the entry {log}/N: `ledger show {log}/N`; times are UTC", style=DIM))
    return Group(first, *(Padding(line, (0, 0, 0, 3)) for line in lines))


def _title(text: str, style: str = "cyan") -> RenderableType:
    return Padding(Rule(Text(text, style=f"bold {style}"), align="left", style=DIM, characters="─"), (1, 0, 0, 0))


def _grid(*columns: tuple[int | None, str]) -> Table:
    """Return a table without lines; each column is (width or None for what is left, justification)."""
    table = Table.grid(padding=(0, 2, 0, 0), expand=True)
    for width, justify in columns:
        table.add_column(width=width, ratio=None if width else 1, justify=justify, overflow="fold")  # type: ignore[arg-type]
    return table


def _asked(item: Mapping[str, Any], view: _View) -> RenderableType:
    who = item["who"]
    if who["basis"] == "agent":
        name = Text("an agent", style="bold")
    else:
        name = Text(safe(str(who["name"] or who["principal"] or "somebody")), style="bold")
        if who["principal"] and who["principal"] != who["name"]:
            name.append(f" <{safe(str(who['principal'])[:200])}>")
    line = Text.assemble(name, "  ", graded(who["basis"]))
    if item["agent"]:
        line.append(f"  to {safe(item['agent'])}")
    if item["session"]:
        line.append(f", session {safe(item['session'][:8])}", style=DIM)
    for claim in _claimed(who):
        line.append(f"\n{safe(claim)}", style=DIM)
    head = Rows((None, "left"), (19 if item["at"][:10] != view.day else 8, "right"), (_REF, "right"))
    head.add_row(line, Text(clock(item["at"], view.day), style=DIM), view.dim(item["entry"]))
    text = words(item["prompt"], lines=12, characters=1200, more=f"ledger show {short(item['entry'])}")
    return Group(head, Padding(text, (0, 0, 0, 2)))


def _claimed(who: Mapping[str, Any]) -> list[str]:
    """Return what else is claimed of who asked: the account the agent names, and the CI job it says that it runs in."""
    ci = who["ci"] or {}
    job = {
        name: str(ci[name])[:100]
        for name in ("provider", "repository", "project_path", "actor", "user_login", "run_id")
        if ci.get(name)
    }
    said = [f"account {str(who['account'])[:200]}, as the agent says"] if who["account"] else []
    return said + (["CI job, as its environment says: " + ", ".join(job.values())] if job else [])


def _planned(plans: list[Mapping[str, Any]], view: _View) -> list[RenderableType]:
    if not plans:
        return []
    last = plans[-1]
    earlier = ", ".join(view.ref(plan["entry"]) for plan in plans[:-1][-4:])
    before = f"after {len(plans) - 1} earlier: {earlier}" if earlier else ""
    head = _grid((None, "left"), (_REF, "right"))
    head.add_row(Text(f"as of {clock(last['at'], view.day)}  {before}", style=DIM), view.dim(last["entry"]))
    steps = last["steps"]
    if not isinstance(steps, list):
        return [head, words(steps, lines=1, characters=200)]
    table = _grid((1, "left"), (None, "left"))
    for step in steps[:20]:
        mark, style = _STEP_MARKS.get(str(step.get("status")), ("•", DIM))
        table.add_row(Text(mark, style=style), words(step.get("step"), lines=2, characters=300))
    if len(steps) > 20:
        table.add_row("", Text(f"… {len(steps)} steps in all: ledger show {short(last['entry'])}", style=DIM))
    return [head, table]


def _ran(calls: list[Mapping[str, Any]], view: _View) -> list[RenderableType]:
    table = Rows((8, "left"), (16, "left"), (None, "left"), (9, "left"), (12, "right"), (_REF, "right"))
    for call in calls:
        more = f"ledger show {short(call['entry'])}"
        table.add_row(
            Text(safe(call["at"][11:19]), style=DIM),
            words(_tool(call), lines=1, characters=60),
            _command(call["command"], more),
            graded(call["outcome"]),
            Text(_cost(call), style=DIM),
            view.dim(call["entry"] or call["result_entry"]),
        )
    return [table] if calls else []


def _command(command: Any, more: str) -> Text:
    """Return a command, or the beginning of an input that is no command: JSON is for `ledger show`."""
    if isinstance(command, str) and command[:1] in ("{", "["):
        return words(command, lines=1, characters=60)
    return words(command, lines=4, characters=320, more=more)


def _tool(call: Mapping[str, Any]) -> str:
    name = str(call["tool"] or "?")
    server = call["mcp_server"]
    return f"{server} ▸ {name.removeprefix(f'mcp__{server}__')}" if server else name


def _cost(call: Mapping[str, Any]) -> str:
    parts = []
    if call["exit_code"]:
        parts.append(f"exit {call['exit_code']}")
    if call["duration_ms"] is not None:
        parts.append(f"{call['duration_ms']} ms" if call["duration_ms"] < 1000 else f"{call['duration_ms'] / 1000:,.1f} s")
    return " ".join(parts)


def _tools(calls: list[Mapping[str, Any]]) -> list[RenderableType]:
    plain = Counter(str(call["tool"] or "?") for call in calls if not call["mcp_server"])
    servers = Counter(str(call["mcp_server"]) for call in calls if call["mcp_server"])
    line = Text(", ".join(f"{safe(name[:60])} ×{count}" for name, count in plain.most_common()))
    for name, count in servers.most_common():
        line.append(f"{', ' if line else ''}MCP server ")
        line.append(f"{safe(name[:60])} ×{count}", style="magenta")
    return [line] if line else []


_GROUNDS = {
    "answer": "answered",
    "review": "reviewed",
    "rule": "a rule",
    "settings": "settings",
    "hook": "a hook",
    "session-grant": "granted before",
    "standing-rule": "a standing rule",
    "mode": "the mode",
    "interrupt": "interrupted",
    "none": "nobody to ask",
}
_MANY = 12  # decisions by rules and settings, beyond which they are counted and not listed


def _approvals(approvals: list[Mapping[str, Any]], view: _View) -> list[RenderableType]:
    """Return what was asked for or decided by somebody, and of what settings let through no more than a few."""
    quiet = [item for item in approvals if _is_routine(item)]
    shown = [item for item in approvals if not _is_routine(item)] if len(quiet) > _MANY else approvals
    table = Rows((8, "left"), (None, "left"), (10, "left"), (26, "left"), (_REF, "right"))
    for item in shown:
        table.add_row(
            Text(safe(item["at"][11:19]), style=DIM),
            words(item["subject"], lines=2, characters=200, more=f"ledger show {short(item['entry'])}"),
            graded(item["decision"]),
            _decider(item),
            view.dim(item["entry"]),
        )
    parts: list[RenderableType] = [table] if shown else []
    if len(quiet) > _MANY:
        parts.append(Text(f"… and {len(quiet)} calls that settings or rules let through: --json lists them", style=DIM))
    return parts


def _is_routine(item: Mapping[str, Any]) -> bool:
    return item["decider"] == "policy" and item["decision"] == "approved" and not item.get("asked")


def _decider(item: Mapping[str, Any]) -> Text:
    scope = f" for {item['scope']}" if item["scope"] and item["decider"] == "human" else ""
    grounds = _GROUNDS.get(str(item.get("grounds")), "")
    text = Text(safe(f"by {item['decider']}{scope}"), style="" if item["decider"] == "human" else DIM)
    if grounds:
        text.append(f", {grounds}", style=DIM)
    return text


def _network(decisions: list[Mapping[str, Any]], view: _View) -> list[RenderableType]:
    table = Rows((8, "left"), (None, "left"), (10, "left"), (36, "left"), (_REF, "right"))
    for item in decisions:
        port = f":{item['port']}" if item["port"] is not None else ""
        protocol = f"{item['protocol']} " if item["protocol"] else ""
        rule = ", ".join(str(part) for part in (item["rule"], item.get("source")) if part)
        table.add_row(
            Text(safe(item["at"][11:19]), style=DIM),
            words(f"{protocol}{item['host']}{port}", lines=1, characters=200),
            graded(item["decision"]),
            words(rule, lines=2, characters=160),
            view.dim(item["entry"]),
        )
    return [table] if decisions else []


def _boundary(item: Mapping[str, Any], view: _View) -> RenderableType:
    table = _grid((10, "left"), (None, "left"), (_REF, "right"))
    ref = view.dim(item["entry"])
    for name in ("subagent", "mode", "writable", "protected", "network", "approvals", "reviewer", "grants"):
        value = item.get(name)
        if value is not None:
            table.add_row(Text(name, style=DIM), words(_listed(value), lines=3, characters=300), ref)
            ref = Text()
    for hit in item["hits"]:
        said = ", ".join(f"{name} {value}" for name, value in hit.items() if name not in ("at", "entry"))
        table.add_row(Text("hit", style="red"), words(said, lines=2, characters=300), view.dim(hit.get("entry")))
    return table


def _listed(value: Any) -> str:
    """Return a list's items, or an object's members, in words."""
    if isinstance(value, list):
        return ", ".join(_listed(item) for item in value)
    if isinstance(value, dict):
        return " ".join(
            f"{name} {_listed(item)[:16]}" if name == "digest" else f"{name} {_listed(item)}" for name, item in value.items()
        )
    return str(value)


def _changed(paths: list[Mapping[str, Any]], view: _View) -> list[RenderableType]:
    table = Rows((1, "left"), (None, "left"), (13, "right"), (8, "left"), (20, "left"))
    for item in paths[:200]:
        counts = Text()
        if item["added"] is not None:
            counts.append(f"+{item['added']} ", style="green")
            counts.append(f"−{item['deleted']}", style="red")
        calls = ", ".join(view.ref(call) for call in item["calls"][:2]) + (" …" if len(item["calls"]) > 2 else "")
        table.add_row(
            Text(safe(item["status"][:1]), style="bold"),
            Text(path_text(item["path"])[:1000]),
            counts,
            graded(item["link"]),
            Text(f"← {calls}" if calls else "", style=DIM),
        )
    rest = [Text(f"… {len(paths):,} paths in all: --json lists them", style=DIM)] if len(paths) > 200 else []
    return [table, *rest] if paths else []


def _bullets(sentences: list[str]) -> RenderableType:
    table = _grid((1, "left"), (None, "left"))
    for sentence in sentences:
        table.add_row(Text("·", style="yellow"), words(sentence, lines=1, characters=500))
    return table


def answer_sections(answer: Mapping[str, Any], names: Iterable[str]) -> list[RenderableType]:
    """Return the sections called `names`, in their order, for the page of an answer that is no commit's."""
    items = [item for name in names for item in answer[name]]
    logs = {str(item["entry"]).partition("/")[0] for item in items if item["entry"]}
    view = _View(str(items[0]["at"] if items else "")[:10], logs.pop() if len(logs) == 1 else "")
    made: dict[str, tuple[str, Callable[[Any], list[RenderableType]]]] = {
        "asked": ("Who asked", lambda found: [_asked(item, view) for item in found]),
        "planned": ("What was planned", lambda found: _planned(found, view)),
        "ran": ("What ran", lambda found: _ran(found, view)),
        "approvals": ("Which approvals", lambda found: _approvals(found, view)),
        "network": ("Which network rules", lambda found: _network(found, view)),
        "boundary": ("Which sandbox boundary", lambda found: [_boundary(item, view) for item in found]),
    }
    sections: list[RenderableType] = []
    for name in names:
        said, build = made[name]
        shown = answer[name][:_MOST]
        parts = build(shown) or [Text("not on record", style=DIM)]
        if len(answer[name]) > _MOST:
            parts.append(Text(f"… {len(answer[name]):,} in all: --json lists them", style=DIM))
        sections += [_title(said), *(Padding(part, (0, 0, 0, 3)) for part in parts)]
    return sections
