"""`ledger record otlp` as agents and attackers meet it: a process on loopback."""

from __future__ import annotations

import gzip
import json
import signal
import socket
import time

import pytest
from listener import SESSION, Sandbox, Scene, decision, kinds, record, request


def test_a_decision_of_a_recorded_session_becomes_an_entry(scene: Scene) -> None:
    """What Codex's telemetry says of an approval is recorded, as telemetry, in the session's repository."""
    with scene.listening() as listener:
        assert listener.post(request(decision("call-1"))) == (200, {})
        said = listener.stop()
    (entry,) = scene.entries(source="otel")
    assert (entry.kind, entry.session, entry.call) == ("approval.decided", SESSION, "call-1")
    assert entry.body["decider"] == "human"
    assert (said["received"], said["recorded"], said["rejected"]) == (1, 1, 0)


def test_a_batch_sent_twice_is_recorded_once(scene: Scene) -> None:
    """A sender that missed the answer sends again; nothing is there twice."""
    batch = request(decision("a"), decision("b"), record("codex.network_proxy.policy_decision", network__policy__decision="deny"))
    with scene.listening() as listener:
        assert listener.post(batch)[0] == listener.post(batch)[0] == 200
        said = listener.stop()
    assert kinds(scene.entries(source="otel")).count("approval.decided") == 2
    assert said["received"] == 6
    assert said["recorded"] + said["ignored"] + said["repeated"] == 6


def test_disorder_means_nothing(scene: Scene) -> None:
    """The result may come before the decision, in another request."""
    with scene.listening() as listener:
        result = record("codex.tool_result", tool_name="exec_command", call_id="c", arguments="{}", output="ok", success="true")
        assert listener.post(request(result))[0] == 200
        assert listener.post(request(decision("c")))[0] == 200
    assert "approval.decided" in kinds(scene.entries(source="otel"))


def result(call: str) -> dict[str, object]:
    """Return Codex's record of a call's result."""
    return record("codex.tool_result", tool_name="exec_command", call_id=call, arguments="{}", output="told", success="true")


def test_a_result_waits_for_the_hooks(scene: Scene) -> None:
    """Telemetry may be faster than the hook, which knows more: the hook's result is the one that is recorded."""
    hook = {"session_id": SESSION, "turn_id": "t", "tool_name": "Bash", "tool_use_id": "c", "tool_input": {"command": "ls"}}
    scene.tell("codex", hook_event_name="PreToolUse", **hook)
    with scene.listening() as listener:
        assert listener.post(request(result("c"))) == (200, {})
        scene.tell("codex", hook_event_name="PostToolUse", tool_response="seen", **hook)
    (finished,) = [entry for entry in scene.entries() if entry.kind == "tool.finished"]
    assert finished.source == "hook"


def test_a_result_that_no_hook_tells_of_is_telemetrys(scene: Scene) -> None:
    """At the end, or after a while, what no hook has said is recorded as telemetry has it."""
    hook = {"session_id": SESSION, "turn_id": "t", "tool_name": "Bash", "tool_use_id": "c", "tool_input": {"command": "ls"}}
    scene.tell("codex", hook_event_name="PreToolUse", **hook)
    with scene.listening() as listener:
        assert listener.post(request(result("c"))) == (200, {})
        listener.stop()
    finished = [entry for entry in scene.entries() if entry.kind == "tool.finished"]
    assert [entry.source for entry in finished] == ["otel"]


def test_what_is_of_no_known_repository_is_rejected(scene: Scene) -> None:
    """Records of a session that no journal knows are counted in the answer, and not recorded; the others are."""
    with scene.listening() as listener:
        status, answer = listener.post(request(decision("x", session="somebody-else"), decision("y")))
    assert status == 200
    assert answer["partialSuccess"]["rejectedLogRecords"] == "1"
    assert [entry.call for entry in scene.entries(source="otel")] == ["y"]


def test_a_session_whose_hooks_come_later_gets_what_was_kept(scene: Scene) -> None:
    """Telemetry that overtakes its session's first hook is rejected, and recorded all the same once the session is known."""
    with scene.listening() as listener:
        assert "partialSuccess" in listener.post(request(decision("early", session="s-new")))[1]
        scene.tell("codex", hook_event_name="SessionStart", session_id="s-new", source="startup")
        for _ in range(100):  # the receiver looks again every second
            if scene.entries(source="otel"):
                break
            time.sleep(0.1)
        said = listener.stop()
    assert [(entry.session, entry.call) for entry in scene.entries(source="otel")] == [("s-new", "early")]
    assert said["late"] == 1


def test_a_subagents_conversation_belongs_to_its_session(scene: Scene) -> None:
    """A subagent has a conversation of its own; its records are the session's that started it."""
    scene.tell("codex", hook_event_name="SubagentStart", session_id=SESSION, agent_id="thread-2", agent_type="worker", turn_id="t")
    with scene.listening() as listener:
        assert listener.post(request(decision("sub", session="thread-2"))) == (200, {})
    (entry,) = scene.entries(source="otel")
    assert (entry.session, entry.body["subagent"]) == (SESSION, "thread-2")


def test_each_repository_gets_its_own(sandbox: Sandbox) -> None:
    """One receiver serves every clone of its state folder; a request may hold records of several."""
    one, two = Scene.begin(sandbox, "one", "s-1"), Scene.begin(sandbox, "two", "s-2")
    with one.listening() as listener:
        assert listener.post(request(decision("a", "s-1"), decision("b", "s-2"), decision("c", "s-1"))) == (200, {})
    assert [entry.call for entry in one.entries(source="otel")] == ["a", "c"]
    assert [entry.call for entry in two.entries(source="otel")] == ["b"]


def test_nobody_speaks_for_another_agents_session(scene: Scene) -> None:
    """What calls itself Claude Code's telemetry is not recorded in a session of Codex."""
    forged = record("tool_decision", tool_use_id="t", decision="accept", source="user_temporary", tool_name="Bash")
    with scene.listening() as listener:
        assert listener.post(request(forged, service="claude-code"))[0] == 200
    assert scene.entries(source="otel") == []


def test_gzip_and_protobuf_say_the_same_as_json(scene: Scene) -> None:
    """A body may be packed, and may be protobuf: the entries are the same."""
    logs = pytest.importorskip("opentelemetry.proto.collector.logs.v1.logs_service_pb2", reason="the extra `otlp` is missing")
    from google.protobuf.json_format import Parse

    message = Parse(request(decision("p1")).decode(), logs.ExportLogsServiceRequest()).SerializeToString()
    foreign = Parse(request(decision("p2", session="?")).decode(), logs.ExportLogsServiceRequest()).SerializeToString()
    with scene.listening() as listener:
        kind = "application/x-protobuf"
        assert listener.post(gzip.compress(request(decision("j1"))), Content_Encoding="gzip") == (200, {})
        assert listener.post_raw(message, Content_Type=kind) == (200, b"")
        assert listener.post_raw(gzip.compress(message), Content_Type=kind, Content_Encoding="gzip") == (200, b"")
        status, body = listener.post_raw(foreign, Content_Type=kind)
    assert status == 200
    assert logs.ExportLogsServiceResponse.FromString(body).partial_success.rejected_log_records == 1
    first, second = scene.entries(source="otel")
    assert (first.call, second.call) == ("j1", "p1")
    assert first.body == second.body


@pytest.mark.parametrize("path", ["/v1/traces", "/v1/metrics"])
def test_traces_and_metrics_are_taken_and_not_recorded(scene: Scene, path: str) -> None:
    """An agent that sends all of its telemetry to one place gets no errors for what is no evidence."""
    name = {"/v1/traces": "resourceSpans", "/v1/metrics": "resourceMetrics"}[path]
    before = len(scene.entries())
    with scene.listening() as listener:
        assert listener.post(json.dumps({name: [{"resource": {}}]}).encode(), path) == (200, {})
    assert len(scene.entries()) == before


def test_an_event_of_a_span_counts_if_it_has_a_name_of_its_own(scene: Scene) -> None:
    """A decision that comes as an event of a span is recorded; the same one as a log record adds nothing."""
    event = decision("in-span")
    span = {"name": "turn", "events": [{"name": "codex.tool_decision", "attributes": event["attributes"]}]}
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "codex_exec"}}]}
    spans = {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [span]}]}]}
    with scene.listening() as listener:
        assert listener.post(json.dumps(spans).encode(), "/v1/traces") == (200, {})
        assert listener.post(request(event)) == (200, {})
    assert kinds(scene.entries(source="otel")) == ["approval.decided"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_everything_recorded(scene: Scene, number: int) -> None:
    """What was answered is there after the end, and the last line counts it."""
    with scene.listening() as listener:
        for count in range(20):
            assert listener.post(request(decision(f"c{count}")))[0] == 200
        said = listener.stop(number)
    assert said["recorded"] == len(scene.entries(source="otel")) == 20


def test_it_ends_when_nothing_comes(scene: Scene) -> None:
    """With --until-idle it ends by itself."""
    with scene.listening("--until-idle", "0.3") as listener:
        out, err = listener.process.communicate(timeout=30)
    assert listener.process.returncode == 0, err
    assert json.loads(out)["received"] == 0


def test_a_log_in_use_costs_nothing(scene: Scene) -> None:
    """Records that cannot be written now are refused with 503, for the sender to send again, and what was refused is noted."""
    from ledger.store.lock import Lock
    from ledger.store.state import lock_path

    with scene.listening() as listener:
        with Lock(lock_path(str(scene.state), scene.log)):
            assert listener.post(request(decision("z")))[0] == 503
        assert listener.post(request(decision("z"))) == (200, {})
    found = scene.entries()
    assert [entry.call for entry in found if entry.kind == "approval.decided"] == ["z"]
    (gap,) = [entry for entry in found if entry.kind == "gap.noted"]
    assert (gap.body["reason"], gap.body["count"], gap.source) == ("otlp-refused", 1, "otel")


def test_while_paused_nothing_is_recorded(scene: Scene) -> None:
    """A pause holds for telemetry, too."""
    done = scene.sandbox.run(*scene.ledger("pause"), cwd=scene.path)
    assert done.returncode == 0, done.stderr
    with scene.listening() as listener:
        assert listener.post(request(decision("quiet")))[0] == 200
        assert listener.stop()["paused"] == 1
    assert scene.entries(source="otel") == []


def test_remote_addresses_are_refused_unless_asked_for(scene: Scene) -> None:
    """It listens on loopback alone, and says how to have it otherwise."""
    done = scene.sandbox.run(*scene.ledger("record", "otlp", "--listen", "0.0.0.0:0"), cwd=scene.path)
    assert done.returncode == 1
    assert "--allow-remote" in done.stderr


def test_an_address_that_is_taken_is_an_error_in_one_line(scene: Scene) -> None:
    """Two receivers cannot have one port."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        done = scene.sandbox.run(*scene.ledger("record", "otlp", "--listen", where), cwd=scene.path)
    assert done.returncode == 1
    assert "cannot listen" in done.stderr and "Traceback" not in done.stderr
