"""Signing through an ssh-agent: a socket and `struct`, and no cryptography (draft-miller-ssh-agent)."""

from __future__ import annotations

import struct
from typing import NamedTuple

from ledger.core import sshsig
from ledger.errors import FormatError, KeyUnavailable

_TIMEOUT_S = 2.0
_REQUEST_IDENTITIES, _IDENTITIES = 11, 12
_SIGN_REQUEST, _SIGN_RESPONSE = 13, 14


class AgentSigner(NamedTuple):
    """Signs through the ssh-agent that listens on `socket`. What the environment names now does not count."""

    public_key: bytes
    socket: str
    storage: str = "ssh-agent"

    def sign(self, namespace: str, message: bytes) -> bytes:
        """Return the 64 raw bytes of an SSHSIG over `message`. Raises KeyUnavailable."""
        return self.sign_message(sshsig.format_signed_data(namespace, message))

    def sign_message(self, message: bytes) -> bytes:
        """Return the 64 raw bytes of the signature over `message` itself, as checkpoints have it. Raises KeyUnavailable."""
        blob = sshsig.format_key_blob(self.public_key)
        request = bytes([_SIGN_REQUEST]) + _string(blob) + _string(message) + struct.pack(">I", 0)
        reply = _ask_agent(self.socket, request)
        # SSH2_AGENT_SIGN_RESPONSE: byte 14, string(string("ssh-ed25519") ‖ string(64 bytes))
        expected = bytes([_SIGN_RESPONSE]) + struct.pack(">I", 83) + _string(sshsig.KEY_TYPE) + struct.pack(">I", 64)
        if len(reply) != len(expected) + 64 or not reply.startswith(expected):
            raise KeyUnavailable(
                f"the ssh-agent at {self.socket} does not sign with {sshsig.fingerprint(self.public_key)}",
                remedy="add the key with ssh-add; what happens meanwhile waits in the spool",
            )
        return reply[-64:]


def agent_keys(socket: str) -> list[bytes]:
    """Return the raw public keys of the plain Ed25519 keys that the ssh-agent on `socket` holds."""
    reply = _ask_agent(socket, bytes([_REQUEST_IDENTITIES]))
    if reply[:1] != bytes([_IDENTITIES]):
        raise KeyUnavailable(f"the ssh-agent at {socket} does not list its keys", remedy="is it locked? try ssh-add -X")
    keys, rest = [], reply[5:]
    while rest:
        blob, rest = _take(rest)
        _, rest = _take(rest)
        try:
            keys.append(sshsig.parse_key_blob(blob))
        except FormatError:
            continue  # another type of key
    return keys


def _ask_agent(path: str, request: bytes) -> bytes:
    """Send one message to an ssh-agent and return its answer, without the length (draft-miller-ssh-agent)."""
    import socket

    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_TIMEOUT_S)
            connection.connect(path)
            connection.sendall(_string(request))
            size = int.from_bytes(_receive(connection, 4), "big")
            if size > 1 << 18:
                raise KeyUnavailable(f"the ssh-agent at {path} answers nonsense")
            return _receive(connection, size)
    except OSError as error:
        raise KeyUnavailable(
            f"the ssh-agent at {path} cannot be reached: {error}",
            remedy="start it on that socket, or change the key with `ledger keys rotate --to file`",
        ) from error


def _receive(connection: object, size: int) -> bytes:
    data = b""
    while len(data) < size:
        chunk: bytes = connection.recv(size - len(data))  # type: ignore[attr-defined]  # socket is imported only by who needs it
        if not chunk:
            raise KeyUnavailable("the ssh-agent closed the connection")
        data += chunk
    return data


def _string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def _take(data: bytes) -> tuple[bytes, bytes]:
    end = 4 + int.from_bytes(data[:4], "big")
    if len(data) < 4 or end > len(data):
        raise KeyUnavailable("the ssh-agent's answer is cut short")
    return data[4:end], data[end:]
