"""Signing keys: where they rest and who signs (docs/spec/journal.md, section 4).

    <state>/keys/<64 hex digits>.key   one line, mode 0600: `file <public key> <seed>` or `ssh-agent <public key> <socket>`
    <state>/keys/current               the name of the key that new logs begin with

The name is SHA-256 of the raw public key, in hex. Public keys, seeds and socket paths are base64: loading PEM costs a hook 18 ms.
A key in an ssh-agent is signed with over its socket; then the cryptography package is not loaded at all. Other places (an OS
keyring, an agent of our own) would be further words at the head of the line.
"""

from __future__ import annotations

import hashlib
import os
import struct
from binascii import a2b_base64, b2a_base64
from typing import NamedTuple, Protocol

from ledger.core import sshsig
from ledger.errors import FormatError, KeyUnavailable
from ledger.store.state import make_folder, read_regular_file, write_file

_MAX_LINE = 4096
_AGENT_TIMEOUT_S = 2.0
_REQUEST_IDENTITIES, _IDENTITIES = 11, 12
_SIGN_REQUEST, _SIGN_RESPONSE = 13, 14


class Signer(Protocol):
    """Whoever signs: in process, or an ssh-agent."""

    @property
    def public_key(self) -> bytes:
        """The raw 32-byte public key."""

    @property
    def storage(self) -> str:
        """`file` or `ssh-agent`."""

    def sign(self, namespace: str, message: bytes) -> bytes:
        """Return the 64 raw bytes of an SSHSIG over `message`. Raises KeyUnavailable."""


class FileSigner(NamedTuple):
    """Signs in this process with a seed from a 0600 file."""

    public_key: bytes
    seed: bytes
    storage: str = "file"

    def sign(self, namespace: str, message: bytes) -> bytes:
        """Return the 64 raw bytes of an SSHSIG over `message`."""
        from ledger.core.ed25519 import sign_sshsig  # loaded by whoever signs in process, and by nobody else

        return sign_sshsig(self.seed, namespace, message)


class AgentSigner(NamedTuple):
    """Signs through the ssh-agent that listens on `socket`. What the environment names now does not count."""

    public_key: bytes
    socket: str
    storage: str = "ssh-agent"

    def sign(self, namespace: str, message: bytes) -> bytes:
        """Return the 64 raw bytes of an SSHSIG over `message`. Raises KeyUnavailable."""
        blob = sshsig.format_key_blob(self.public_key)
        data = sshsig.format_signed_data(namespace, message)
        request = bytes([_SIGN_REQUEST]) + _string(blob) + _string(data) + struct.pack(">I", 0)
        reply = _ask_agent(self.socket, request)
        # SSH2_AGENT_SIGN_RESPONSE: byte 14, string(string("ssh-ed25519") ‖ string(64 bytes))
        expected = bytes([_SIGN_RESPONSE]) + struct.pack(">I", 83) + _string(sshsig.KEY_TYPE) + struct.pack(">I", 64)
        if len(reply) != len(expected) + 64 or not reply.startswith(expected):
            raise KeyUnavailable(
                f"the ssh-agent at {self.socket} does not sign with {sshsig.fingerprint(self.public_key)}",
                remedy="add the key with ssh-add; what happens meanwhile waits in the spool",
            )
        return reply[-64:]


def key_name(public_key: bytes) -> str:
    """Return the name under which a key rests."""
    return hashlib.sha256(public_key).hexdigest()


def keys_dir(state: str) -> str:
    """Return the folder of the keys."""
    return os.path.join(state, "keys")


def load_signer(state: str, name: str) -> FileSigner | AgentSigner:
    """Return the signer of the key called `name`. Raises KeyUnavailable."""
    path = os.path.join(keys_dir(state), name + ".key")
    line = read_regular_file(path, _MAX_LINE)
    if line is None:
        raise KeyUnavailable(
            f"the key {path} is missing or unreadable", remedy="restore it, or begin a new one with `ledger keys rotate`"
        )
    try:
        storage, public, secret = line.decode("ascii").rstrip("\n").split(" ")
        public_key, where = a2b_base64(public, strict_mode=True), a2b_base64(secret, strict_mode=True)
    except ValueError as error:
        raise KeyUnavailable(f"the key {path} is damaged", remedy="restore it from a backup") from error
    if key_name(public_key) == name and storage == "file" and len(where) == 32:
        return FileSigner(public_key, where)
    if key_name(public_key) == name and storage == "ssh-agent":
        return AgentSigner(public_key, os.fsdecode(where))
    raise KeyUnavailable(f"the key {path} is damaged", remedy="restore it from a backup")


def store_key(state: str, signer: FileSigner | AgentSigner, *, current: bool) -> str:
    """Write a key's line, and make it the one that new logs begin with if `current`; return its name."""
    sshsig.check_public_key(signer.public_key)
    make_folder(keys_dir(state))
    where = signer.seed if isinstance(signer, FileSigner) else os.fsencode(signer.socket)
    name = key_name(signer.public_key)
    words = [signer.storage, *(b2a_base64(data, newline=False).decode("ascii") for data in (signer.public_key, where))]
    line = " ".join(words) + "\n"
    write_file(os.path.join(keys_dir(state), name + ".key"), line.encode("ascii"), mode=0o600)
    public = f"{sshsig.format_public_key(signer.public_key)} git-ledger\n"
    write_file(os.path.join(keys_dir(state), name + ".pub"), public.encode("ascii"), mode=0o644)
    if current:
        write_file(os.path.join(keys_dir(state), "current"), f"{name}\n".encode("ascii"))
    return name


def current_key(state: str) -> str | None:
    """Return the name of the key that new logs begin with, or None before the first `init`."""
    line = read_regular_file(os.path.join(keys_dir(state), "current"), 128)
    return None if line is None else line.decode("ascii", "replace").strip()


def make_key(where: str) -> FileSigner | AgentSigner:
    """Make a key in a file (`file`), or take the one an ssh-agent holds (`ssh-agent` or `ssh-agent:SHA256:…`)."""
    if where == "file":
        from ledger.core.ed25519 import public_key_of

        seed = os.urandom(32)
        return FileSigner(public_key_of(seed), seed)
    kind, _, wanted = where.partition(":")
    if kind != "ssh-agent":
        raise FormatError(f"{where!r} is no place for a key", remedy="file, ssh-agent or ssh-agent:SHA256:…")
    socket = os.environ.get("SSH_AUTH_SOCK", "")
    if not socket:
        raise KeyUnavailable(
            "no ssh-agent: SSH_AUTH_SOCK is not set", remedy="start one and `ssh-add` an Ed25519 key, or use --key file"
        )
    held = [key for key in agent_keys(socket) if not wanted or sshsig.fingerprint(key) == wanted]
    if len(held) != 1:
        found = ", ".join(sshsig.fingerprint(key) for key in held) or "none"
        raise KeyUnavailable(
            f"the ssh-agent holds {len(held)} usable Ed25519 keys: {found}",
            remedy="name one: --key ssh-agent:SHA256:… (sk- keys cannot sign entries)",
        )
    return AgentSigner(held[0], os.path.abspath(socket))


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
            connection.settimeout(_AGENT_TIMEOUT_S)
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
