"""Parsers and bad input: whatever comes in, FormatError and nothing else comes out."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from fuzzing import TARGETS
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.errors import FormatError

ROOT = Path(__file__).resolve().parents[2]
COULD_NOT = 77  # what scripts/fuzz exits with where atheris cannot be had


@pytest.mark.parametrize("name", TARGETS)
def test_what_fuzzing_begins_from_is_good(name: str) -> None:
    """Every target accepts its seeds, so that what is mutated gets past the first line of the parser."""
    assert TARGETS[name].seeds
    assert all(TARGETS[name].run(seed) for seed in TARGETS[name].seeds)


@pytest.mark.parametrize("name", TARGETS)
def test_random_bytes_raise_nothing_but_format_error(name: str) -> None:
    """Bytes out of nowhere are refused or accepted; what is accepted is what the twin writes."""

    @given(st.one_of(st.binary(max_size=200), st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass"))))
    @settings(max_examples=100, deadline=None)
    def check(data: bytes) -> None:
        assert TARGETS[name].run(data) in (True, False)

    check()


@st.composite
def damaged(draw: st.DrawFn, seed: bytes) -> bytes:
    """Return good input with up to four parts cut out, doubled, put in from elsewhere, or changed by a bit."""
    data = bytearray(seed)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = draw(st.integers(start, min(len(data), start + 40)))
        how = draw(st.sampled_from(["cut", "double", "put", "flip", "newline"]))
        if how == "flip" and start < len(data):
            data[start] ^= 1 << draw(st.integers(0, 7))
        else:
            put = {"cut": b"", "double": bytes(data[start:end]) * 2, "newline": b"\n"}.get(how)
            data[start:end] = draw(st.binary(max_size=9)) if put is None else put
    return bytes(data)


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_input_raises_nothing_but_format_error(name: str) -> None:
    """Good input that was cut, doubled, mixed or changed is refused or accepted, and nothing else happens."""

    @given(st.sampled_from(TARGETS[name].seeds).flatmap(damaged))
    @settings(max_examples=150, deadline=None)
    def check(data: bytes) -> None:
        assert TARGETS[name].run(data) in (True, False)

    check()


def test_a_target_lets_other_errors_through() -> None:
    """The check can fail: an error that is not FormatError, or a twin that writes something else, comes out."""
    from fuzzing import _only, _twins

    def fail(data: bytes) -> None:
        raise (FormatError("x") if data else KeyError("x"))

    assert _only(fail)(b"x") is False
    with pytest.raises(KeyError):
        _only(fail)(b"")
    with pytest.raises(AssertionError, match="otherwise"):
        _twins(lambda data: data, lambda data: data + b"x")(b"")


@pytest.mark.fuzz
def test_atheris_finds_nothing() -> None:
    """A guided fuzzer, which sees where the parsers branch, finds no other way out either."""
    done = subprocess.run([ROOT / "scripts" / "fuzz", "--runs", "20000"], capture_output=True, text=True, check=False)
    if done.returncode == COULD_NOT:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
