"""`ledger record mcp`: stands between an agent and an MCP server, and lets every byte through.

    agent ──stdin──► proxy ──► server          proxy ──pipe──► recorder, a process of its own
    agent ◄─stdout── proxy ◄── server          (stderr is the server's own, untouched)

Two threads move bytes: read, put a copy into a bounded queue (which never waits), write. A third thread feeds the recorder.
Where the recorder does not keep up, the copy is dropped and counted, never the original. Parsing, signing and waiting for disks
happen in the other process, and take nothing from this one. The server's exit is ours, code or signal, after its last byte.

A crash of the recorder costs the record, and one line on stderr; a kill of the proxy ends the server as its own kill would.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import struct
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import NoReturn

from ledger.receive.conversation import CLIENT, SERVER

CHUNK = 64 << 10
MAX_COPIED = 64 << 20  # bytes of copies that wait for the recorder: a few of the largest frames
_OVERHEAD = 200  # bytes that a copy costs beside its own: somebody may send single bytes
HEADER = struct.Struct(">cQI")  # what it is, when in milliseconds, how many bytes follow
FROM_CLIENT, FROM_SERVER, LOST, EXIT = b"c", b"s", b"l", b"x"
_PATIENCE_S = 2.0
_SLOW_READER_S = 30.0
_FORWARDED = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")
_PR_SET_PDEATHSIG = 1  # prctl(2)


def replace_by(command: Sequence[str]) -> NoReturn:
    """Become the server: where nothing is to be recorded, nobody stands in the way."""
    try:
        os.execvp(command[0], list(command))
    except OSError as error:
        _fail(command[0], error)


def run(command: Sequence[str], record: Callable[[int], None]) -> NoReturn:
    """Run the server behind the proxy until it ends, and end as it did.

    `record` is called in a process of its own with the descriptor that copies come from; it returns at their end.
    """
    copies = _start_recorder(record)
    try:
        server = subprocess.Popen(list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, preexec_fn=_die_with())
    except OSError as error:
        _fail(command[0], error)
    assert server.stdin is not None and server.stdout is not None
    tee = Tee(copies)
    stopped: list[int] = []
    for name in _FORWARDED:
        signal.signal(getattr(signal, name), lambda number, frame: _forward(server, number, stopped))
    to_server = Pump(0, server.stdin.fileno(), lambda chunk: tee.copy(FROM_CLIENT, chunk))
    to_client = Pump(server.stdout.fileno(), 1, lambda chunk: tee.copy(FROM_SERVER, chunk))
    for pump in (to_server, to_client):
        pump.start()
    status = server.wait()
    to_client.drain()
    tee.finish({"status": status, "stopped": bool(stopped), "client_gone": to_server.ended})
    _end_as(status)


def _start_recorder(record: Callable[[int], None]) -> int:
    """Fork the recorder and return the descriptor that feeds it. Called before there are threads, and before the server."""
    reader, writer = os.pipe()
    if os.fork():
        os.close(reader)
        return writer
    # It holds none of the agent's descriptors, or the agent would wait for it; and no signal meant for the server ends it.
    try:
        os.close(writer)
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(null, number)
        for name in _FORWARDED:
            signal.signal(getattr(signal, name), signal.SIG_IGN)
        record(reader)
    finally:
        os._exit(0)


def _die_with() -> Callable[[], None] | None:
    """Return what makes the server die with the proxy (prctl(2), Linux): an agent that kills the one means the other."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl  # loaded before the fork

    def set_signal() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    return set_signal


def _forward(server: subprocess.Popen[bytes], number: int, stopped: list[int]) -> None:
    stopped.append(number)
    try:
        server.send_signal(number)
    except OSError:
        pass


def _end_as(status: int) -> NoReturn:
    """End with the server's exit code, or by the signal that ended it."""
    if status < 0:
        try:
            signal.signal(-status, signal.SIG_DFL)
        except OSError:
            pass  # SIGKILL has no other meaning anyway
        os.kill(os.getpid(), -status)
        time.sleep(0.1)
    os._exit(status if status >= 0 else 128 - status)


def _fail(program: str, error: OSError) -> NoReturn:
    """Say that the server cannot be started, and exit as a shell would."""
    print(f"ledger: cannot start {program!r}: {error.strerror}", file=sys.stderr, flush=True)
    os._exit(127 if isinstance(error, FileNotFoundError) else 126)


class Pump(threading.Thread):
    """Moves bytes from one descriptor to another until either ends, and closes both ends then, as a pipe would be."""

    def __init__(self, source: int, target: int, copy: Callable[[bytes], None]) -> None:
        super().__init__(daemon=True)
        self._source = source
        self._target = target
        self._copy = copy
        self._writing = False
        self.ended = False

    def run(self) -> None:
        """Move bytes."""
        try:
            while chunk := os.read(self._source, CHUNK):
                # Before it is written: else the answer's copy could overtake the request's.
                self._copy(chunk)
                self._writing = True
                write_all(self._target, chunk)
                self._writing = False
        except OSError:
            pass  # who reads is gone; closing our end tells who writes
        self.ended = True
        for descriptor in (self._target, self._source):
            try:
                os.close(descriptor)
            except OSError:
                pass

    def drain(self) -> None:
        """Wait until all is moved: shortly for a source that somebody else holds open, longer for a target that is slow to read."""
        waited = 0.0
        while self.is_alive() and waited < (_SLOW_READER_S if self._writing else _PATIENCE_S):
            self.join(0.1)
            waited += 0.1


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of `data`."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


class Tee:
    """The queue of copies, bounded by bytes. What does not fit is counted, and the count takes its place."""

    def __init__(self, descriptor: int, limit: int = MAX_COPIED) -> None:
        self._descriptor = descriptor
        self._limit = limit
        # Guarded by `_wake`: the queue as (what, when, bytes), how many bytes it holds, and whether nothing more comes.
        self._wake = threading.Condition()
        self._queue: deque[tuple[bytes, int, bytes]] = deque()
        self._size = 0
        self._ended = False
        self._broken = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def copy(self, what: bytes, chunk: bytes) -> None:
        """Queue a copy, or count it as lost. Never waits for the recorder."""
        at_ms = time.time_ns() // 1_000_000
        with self._wake:
            if self._broken:
                return
            if self._size + len(chunk) + _OVERHEAD > self._limit:
                self._lose(what, at_ms, len(chunk))
            else:
                self._queue.append((what, at_ms, chunk))
                self._size += len(chunk) + _OVERHEAD
            self._wake.notify()

    def _lose(self, what: bytes, at_ms: int, size: int) -> None:
        """Put the number of lost bytes of a direction where they would have been. Caller holds `_wake`."""
        for at in (-1, -2):  # one for each direction
            if len(self._queue) >= -at and self._queue[at][0] == LOST and self._queue[at][2][:1] == what:
                self._queue[at] = (LOST, at_ms, what + b"%d" % (size + int(self._queue[at][2][1:])))
                return
        self._queue.append((LOST, at_ms, what + b"%d" % size))

    def finish(self, status: dict[str, object]) -> None:
        """Queue how the server ended, and wait a moment until the recorder has everything."""
        with self._wake:
            self._queue.append((EXIT, time.time_ns() // 1_000_000, json.dumps(status).encode()))
            self._ended = True
            self._wake.notify()
        self._thread.join(_PATIENCE_S)

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._queue and not self._ended:
                    self._wake.wait()
                if not self._queue:
                    return
                what, at_ms, data = self._queue.popleft()
                self._size -= len(data) + _OVERHEAD if what in (FROM_CLIENT, FROM_SERVER) else 0
            try:
                write_all(self._descriptor, HEADER.pack(what, at_ms, len(data)) + data)
            except OSError:
                with self._wake:
                    self._broken = True
                    self._queue.clear()
                os.write(2, b"ledger: the recorder of this MCP server has ended; what follows is not recorded\n")
                return


class Copies:
    """The recorder's end: reads what the tee wrote."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._held = bytearray()

    def waits(self) -> bool:
        """Say whether something can be read without waiting."""
        return bool(self._held) or bool(select.select([self._descriptor], [], [], 0)[0])

    def read(self) -> tuple[bytes, int, bytes] | None:
        """Return the next copy (what, when, bytes), or None at their end."""
        if not self._fill(HEADER.size):
            return None
        what, at_ms, size = HEADER.unpack_from(self._held)
        if size > MAX_COPIED or not self._fill(HEADER.size + size):
            return None
        data = bytes(self._held[HEADER.size : HEADER.size + size])
        del self._held[: HEADER.size + size]
        return what, at_ms, data

    def _fill(self, size: int) -> bool:
        while len(self._held) < size:
            part = os.read(self._descriptor, CHUNK)
            if not part:
                return False
            self._held += part
        return True


DIRECTIONS = {FROM_CLIENT: CLIENT, FROM_SERVER: SERVER}
