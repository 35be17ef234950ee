"""`ledger record`: facts of any agent, telemetry that agents send, and what goes between an agent and its MCP servers."""

from __future__ import annotations

import json
import sys
from base64 import b64decode
from typing import Any, BinaryIO

import click

from ledger.cli.main import Place
from ledger.cli.plain import safe
from ledger.core.fact import Fact, PayloadData
from ledger.core.text import clean_value
from ledger.errors import FormatError, LedgerError, NoRepository
from ledger.recorder import Recorder, check_fact

_MEMBERS = frozenset({"kind", "session", "turn", "call", "actor", "body", "payloads"})
_MAX_LINE_BYTES = 16 << 20


@click.group()
def command() -> None:
    """Record facts of any agent."""


@command.command(short_help="Record facts from standard input, one JSON object a line.")
@click.option("--json", "as_json", is_flag=True, help="Print the new entries' names as JSON.")
@click.option("--check", is_flag=True, help="Only say whether the facts are well formed.")
@click.pass_obj
def facts(place: Place, as_json: bool, check: bool) -> None:
    """Record facts from standard input, one JSON object a line.

    \b
    {"kind": "prompt.submitted", "session": "s1", "actor": {"type": "unknown"},
     "body": {}, "payloads": {"prompt": {"text": "fix it", "media": "text/plain"}}}

    All of the lines are recorded, or none. What the ledger says of itself and of git (kinds log, key, commit, ref, payload,
    hold and checkpoint) is refused. Prints the name of each new entry.
    """
    found = read_facts(sys.stdin.buffer)
    if check:
        click.echo(json.dumps({"facts": len(found)}) if as_json else f"{len(found)} well-formed facts")
        return
    with Recorder.open(place.cwd, state=place.state()) as recorder:
        names = [str(name) for name in recorder.record_facts(found)]
    click.echo(json.dumps({"entries": names}) if as_json else "\n".join(names), nl=bool(names) or as_json)


@command.command(short_help="Receive the agents' OpenTelemetry, and record what is evidence.")
@click.option("--listen", default="127.0.0.1:4318", show_default=True, metavar="HOST:PORT", help="Where to listen.")
@click.option("--allow-remote", is_flag=True, help="Listen also where other machines can reach it, and write into the log.")
@click.option("--until-idle", type=click.FloatRange(min=0.1), metavar="S", help="Stop when nothing came for S seconds.")
@click.option("--json", "as_json", is_flag=True, help="One line of JSON when it listens, and one when it stops.")
@click.pass_obj
def otlp(place: Place, listen: str, allow_remote: bool, until_idle: float | None, as_json: bool) -> None:
    """Receive what agents send as OpenTelemetry (OTLP over HTTP), and record what of it is evidence.

    JSON and, with the extra `otlp`, protobuf. A record is recorded in the repository in which hooks have recorded its session;
    all others are rejected. Runs until SIGINT or SIGTERM. docs/telemetry.md says how to make the agents send.
    """
    from ledger.receive.service import parse_listen, serve

    def say(status: dict[str, Any]) -> None:
        click.echo(json.dumps(status) if as_json else _describe_listening(status))
        sys.stdout.flush()  # whoever started this waits for the line

    try:
        address = parse_listen(listen, allow_remote=allow_remote)
    except FormatError as error:
        raise click.UsageError(f"--listen: {error.message}; {error.remedy}") from error
    done = serve(place.state(), address, allow_remote=allow_remote, until_idle_s=until_idle, started=say)
    click.echo(json.dumps(done) if as_json else _describe_stopped(done))


@command.command(
    short_help="Run an MCP server, and record what an agent asks of it.",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.option("--server", metavar="NAME", help="What the agent's settings call the server.")
@click.argument("argv", metavar="-- COMMAND...", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_obj
def mcp(place: Place, server: str | None, argv: tuple[str, ...]) -> None:
    """Run an MCP server and record what an agent asks of it, and what it answers.

    Bytes pass through as they are, in both directions; exit code and signals, too. Where nothing is to be recorded (no ledger in
    the repository here), the server is simply started. `ledger init --mcp` puts this before the servers in the agents' settings.
    """
    from ledger.receive import proxy
    from ledger.store.state import find_clone

    try:
        repo, state = place.repository(), place.state()
        known = find_clone(state, repo.common_dir, repo.work_tree).clone is not None
    except NoRepository:
        known = False
    except (LedgerError, OSError) as error:  # a ledger that is out of order must not take the server from the agent
        print(f"ledger: this MCP server is not recorded: {safe(str(error))}", file=sys.stderr)
        known = False
    if not known:
        proxy.replace_by(argv)

    def record(descriptor: int) -> None:
        from ledger.receive.mcp import McpRecorder

        McpRecorder(repo, state, server, argv).listen(descriptor)

    proxy.run(argv, record)


def _describe_listening(status: dict[str, Any]) -> str:
    protobuf = "protobuf" if status["protobuf"] else "no protobuf (the extra `otlp` is not installed)"
    return f"listening on {status['listening']} for {', '.join(status['paths'])}: JSON, {protobuf}"


def _describe_stopped(done: dict[str, Any]) -> str:
    counts = ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in done.items() if isinstance(number, int) and number)
    problem = f"; the last failure: {safe(done['problem'])}" if "problem" in done else ""
    return f"stopped: {counts or 'nothing came'}{problem}"


def read_facts(lines: BinaryIO) -> list[Fact]:
    """Return the facts of a stream of JSON lines. Raises FormatError that names the line."""
    found = []
    for number, line in enumerate(iter(lambda: lines.readline(_MAX_LINE_BYTES + 1), b""), 1):
        if not line.strip():
            continue
        try:
            found.append(_parse_fact(line))
        except FormatError as error:
            raise FormatError(f"line {number}: {error.message}", remedy=error.remedy) from error
    return found


def _parse_fact(line: bytes) -> Fact:
    if len(line) > _MAX_LINE_BYTES:
        raise FormatError(f"longer than {_MAX_LINE_BYTES} bytes")
    try:
        value = clean_value(json.loads(line))
    except (ValueError, RecursionError) as error:
        raise FormatError(f"not JSON: {error}") from error
    if not isinstance(value, dict):
        raise FormatError("not a JSON object")
    if value.keys() - _MEMBERS:
        raise FormatError(f"members unknown: {', '.join(sorted(value.keys() - _MEMBERS))}")
    kind, actor, body = value.get("kind"), value.get("actor"), value.get("body", {})
    if not isinstance(kind, str) or not isinstance(actor, dict) or not isinstance(body, dict):
        raise FormatError("a fact has a kind (text), an actor (object) and a body (object)")
    names = {name: value.get(name) for name in ("session", "turn", "call")}
    if any(text is not None and (not isinstance(text, str) or not 0 < len(text) <= 512) for text in names.values()):
        raise FormatError("session, turn and call are texts of 1 to 512 characters")
    payloads = _parse_payloads(value.get("payloads", {}))
    answers = "call" if kind in ("tool.finished", "approval.decided") and names["call"] else None
    once = f"{kind}:{names['call']}" if kind in ("tool.requested", "tool.finished") and names["call"] else None
    fact = Fact(kind, actor, body, names["session"], names["turn"], names["call"], payloads, once=once, answers=answers)
    check_fact(fact)
    return fact


def _parse_payloads(value: Any) -> dict[str, PayloadData]:
    if not isinstance(value, dict):
        raise FormatError("payloads is an object of names")
    found = {}
    for name, item in value.items():
        if not isinstance(item, dict) or len(item.keys() & {"text", "base64"}) != 1 or item.keys() - {"text", "base64", "media"}:
            raise FormatError(f'the payload {name!r} is not {{"text" or "base64", "media"}}')
        media = item.get("media", "text/plain" if "text" in item else "application/octet-stream")
        content = item.get("text", item.get("base64"))
        if not isinstance(media, str) or not isinstance(content, str):
            raise FormatError(f"the payload {name!r} has a content or media that is no text")
        try:
            data = content.encode("utf-8") if "text" in item else b64decode(content, validate=True)
        except ValueError as error:
            raise FormatError(f"the payload {name!r} is not base64") from error
        found[name] = PayloadData(data, media)
    return found
