"""The queue and the thread behind the receiver: what is refused is counted, and nothing that a record leads to ends it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from listener import Scene, decision, kinds, request

from ledger.agents import otel
from ledger.receive import otlp
from ledger.receive.telemetry import Busy, Receiver


def take(receiver: Receiver, *records: dict[str, Any]) -> Any:
    """Hand records over and return the answer."""
    return asyncio.run(receiver.take(otlp.decode_json("logs", request(*records))))


def test_a_record_that_breaks_the_translation_costs_only_itself(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistake in an adapter is not the neighbours' loss: they are recorded, and the one is a gap."""
    good = otel.translate_record

    def translate(service: str, name: str, attributes: Any, body: Any, at_ms: int) -> Any:
        if attributes["call_id"] == "bad":
            raise ZeroDivisionError
        return good(service, name, attributes, body, at_ms)

    monkeypatch.setattr(otel, "translate_record", translate)
    receiver = Receiver(str(scene.state))
    receiver.start()
    try:
        assert take(receiver, decision("a"), decision("bad"), decision("b")).rejected == 1
    finally:
        receiver.stop()
    entries = scene.entries(source="otel")
    assert [entry.call for entry in entries if entry.kind == "approval.decided"] == ["a", "b"]
    assert [entry.body["reason"] for entry in entries if entry.kind == "gap.noted"] == ["otlp-not-understood"]


def test_a_fact_that_no_entry_can_hold_costs_only_itself(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """What turns out not to fit while it is written is taken back alone."""
    good = otel.translate_record

    def translate(*words: Any) -> Any:
        seen = good(*words)
        assert seen is not None
        fact = seen.facts[0]
        return seen._replace(facts=(fact._replace(body={**fact.body, "real": 0.5}),)) if fact.call == "bad" else seen

    monkeypatch.setattr(otel, "translate_record", translate)
    receiver = Receiver(str(scene.state))
    receiver.start()
    try:
        take(receiver, decision("a"), decision("bad"), decision("b"))
    finally:
        receiver.stop()
    assert kinds(scene.entries(source="otel")) == ["approval.decided", "approval.decided", "gap.noted"]
    assert scene.entries(source="otel")[-1].body["count"] == 1


def test_the_thread_outlives_whatever_happens(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that nobody foresaw is answered as busy, and the next request is served."""
    receiver = Receiver(str(scene.state))
    record_batches, fails = receiver._record_batches, [True]

    def fail_once(*words: Any) -> None:
        if fails and words[0]:
            fails.clear()
            raise MemoryError
        record_batches(*words)

    monkeypatch.setattr(receiver, "_record_batches", fail_once)
    receiver.start()
    try:
        with pytest.raises(Busy):
            take(receiver, decision("a"))
        assert take(receiver, decision("a")).rejected == 0
    finally:
        receiver.stop()
    assert receiver.counts["failures"] == 1
    assert kinds(scene.entries(source="otel")) == ["approval.decided"]


def test_a_full_queue_refuses_and_the_number_is_noted(scene: Scene) -> None:
    """Beyond the limit of what may wait, requests are refused; how many records that was is on record."""

    async def crowd(receiver: Receiver) -> list[Any]:
        batches = [otlp.decode_json("logs", request(decision(f"c{number}"), decision(f"d{number}"))) for number in range(6)]
        waiting = [asyncio.ensure_future(receiver.take(batch)) for batch in batches]
        await asyncio.sleep(0)  # all six are handed over, and nobody records yet
        receiver.start()
        return await asyncio.gather(*waiting, return_exceptions=True)

    receiver = Receiver(str(scene.state), max_queued=5)
    answers = asyncio.run(crowd(receiver))
    receiver.stop()
    assert [type(answer) is Busy for answer in answers] == [False, False, True, True, True, True]
    entries = scene.entries(source="otel")
    assert kinds(entries).count("approval.decided") == 4
    assert [entry.body["count"] for entry in entries if entry.kind == "gap.noted"] == [8]
    assert (receiver.counts["refused"], receiver.counts["received"]) == (8, 4)
