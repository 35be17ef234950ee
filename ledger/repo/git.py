"""The git command line, run so that nothing around it changes its answers. The one place that starts git.

`subprocess` costs a hook 5 ms to import, so children are started with posix_spawn. Every scar of git's environment is here:

- git exports GIT_DIR, GIT_INDEX_FILE and more to its hooks; with them, asking about anything else answers wrongly
- Gemini CLI sets GIT_CONFIG_COUNT overrides for all it runs; they would apply to us too
- replace refs and grafts would show another history than the one that is hashed, so they are switched off
- external diff drivers, textconv filters and fsmonitor hooks are programs that the audited repository names: never run them
- PATH may lead into the audited work tree (`.`, node_modules/.bin): a `git` in there is not git, and would run outside any sandbox
- git reads settings, attributes and .mailmap from files that an agent can replace by a FIFO: it would then wait for ever
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Iterable, Sequence

from ledger.errors import RepoError

_KEPT = frozenset({"GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "GIT_EXEC_PATH", "GIT_TEMPLATE_DIR"})
_ALWAYS = (
    *("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "core.quotePath=false"),
    *("-c", "log.mailmap=false", "-c", "advice.graftFileDeprecated=false"),
    # The settings that change the patches of plumbing as well (git 2.39), each with git's own default: an empty line of context
    # without its space, other borders of a hunk, and what counts as binary for its size or by the user's attributes.
    *("-c", "diff.suppressBlankEmpty=false", "-c", "diff.indentHeuristic=true"),
    *("-c", "core.bigFileThreshold=512m", "-c", "core.attributesFile=/dev/null"),
)
# What may steer how git reaches a remote: whoever syncs wants the connection that their own git has, and no more than that.
_CONNECTING = frozenset(
    """
    GIT_ASKPASS GIT_SSH GIT_SSH_COMMAND GIT_SSH_VARIANT GIT_PROXY_COMMAND GIT_SSL_CAINFO GIT_SSL_CAPATH GIT_SSL_CERT GIT_SSL_KEY
    GIT_SSL_NO_VERIFY GIT_SSL_VERSION GIT_HTTP_USER_AGENT GIT_HTTP_LOW_SPEED_LIMIT GIT_HTTP_LOW_SPEED_TIME GIT_PROTOCOL
    GIT_ALLOW_PROTOCOL GIT_TRACE GIT_TRACE_CURL GIT_TRACE_PACKET
    """.split()
)
_SIGKILL = 9
_MAX_SAID = 1 << 16  # bytes of standard error that are kept: a server can let git say a lot there
PATIENCE_S = 8.0  # what a recorder lets git take: agents end a hook after 30 s, and what it was about to record is lost then


def git_env() -> dict[str, str]:
    """Return this process's environment without what git or an agent put there to steer git."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_") or name in _KEPT}
    env["GIT_NO_REPLACE_OBJECTS"] = "1"
    env["GIT_GRAFT_FILE"] = os.devnull
    env["GIT_ATTR_NOSYSTEM"] = "1"
    env["GIT_OPTIONAL_LOCKS"] = "0"
    env["GIT_NO_LAZY_FETCH"] = "1"  # a partial clone must not reach for the network on our account
    env["GIT_TERMINAL_PROMPT"] = "0"
    env["LC_ALL"] = "C"
    return env


def connecting_env() -> dict[str, str]:
    """Return `git_env` with what the user set for reaching remotes; a terminal may be asked for a password."""
    env = git_env()
    env |= {name: value for name, value in os.environ.items() if name in _CONNECTING}
    if os.environ.get("GIT_TERMINAL_PROMPT") != "0":
        del env["GIT_TERMINAL_PROMPT"]
    return env


def spawn_git(args: Sequence[str], cwd: str, descriptors: tuple[int, int, int], env: dict[str, str] | None = None) -> int:
    """Start `git -C cwd args…` on these descriptors as its 0, 1 and 2, and return its process id. Raises RepoError."""
    actions = [(os.POSIX_SPAWN_DUP2, descriptor, number) for number, descriptor in enumerate(descriptors)]
    try:
        argv = ["git", "-C", cwd, *_ALWAYS, *args]
        return os.posix_spawn(find_git(cwd), argv, git_env() if env is None else env, file_actions=actions)
    except OSError as error:
        raise RepoError(f"git cannot be started: {error.strerror}", remedy="install git 2.30 or newer") from error


class Child:
    """A started git. `finish()` returns its standard output, or raises RepoError when it failed.

    `input` goes to its standard input while its output is read, whatever their sizes.
    """

    def __init__(
        self,
        args: Sequence[str],
        *,
        cwd: str,
        stdin: int | None = None,
        input: bytes | None = None,
        env: dict[str, str] | None = None,
    ) -> None:
        self.args = args
        self.code = -1
        self.complaint = ""  # the first line that it wrote to standard error, advice and warnings apart
        self.started = time.monotonic()
        self._input = memoryview(input or b"")
        self._in = -1
        self.out, out_end = os.pipe()
        self._err, err_end = os.pipe()
        given = os.open(os.devnull, os.O_RDONLY)
        if input is not None:
            os.close(given)
            given, self._in = os.pipe()
            os.set_blocking(self._in, False)
        try:
            self.pid = spawn_git(args, cwd, (given if stdin is None else stdin, out_end, err_end), env)
        except BaseException:
            for descriptor in (self.out, self._err, *([self._in] if self._in >= 0 else [])):
                os.close(descriptor)
            raise
        finally:
            for descriptor in (out_end, err_end, given):
                os.close(descriptor)

    def finish(self, *, check: bool = True, patience_s: float | None = None, limit: int | None = None) -> bytes:
        """Return all that git wrote to its standard output; behind `limit` bytes it is killed, and what came so far is returned.

        Raises RepoError, whatever `check`, when git has not ended `patience_s` after its start; it is killed then.
        """
        size = said = 0
        until = None if patience_s is None else self.started + patience_s
        texts: dict[int, list[bytes]] = {self.out: [], self._err: []}
        poll = select.poll()
        for descriptor in texts:
            poll.register(descriptor, select.POLLIN | select.POLLHUP)
        still_open = set(texts)
        if self._in >= 0:
            poll.register(self._in, select.POLLOUT | select.POLLERR)
            still_open.add(self._in)
        while still_open:
            ready = poll.poll(None if until is None else max(0.0, until - time.monotonic()) * 1000)
            if not ready:
                self._abandon(still_open)
                raise RepoError(f"git {self._verb()} did not end within {patience_s:g} s", remedy="see whether git works here")
            for descriptor, _ in ready:
                if descriptor == self._in:
                    more = self._feed()
                else:
                    chunk = os.read(descriptor, 1 << 16)
                    more = bool(chunk)
                    if descriptor == self.out or said < _MAX_SAID:
                        texts[descriptor].append(chunk)
                    if descriptor == self.out:
                        size += len(chunk)
                    else:
                        said += len(chunk)
                if not more:
                    poll.unregister(descriptor)
                    os.close(descriptor)
                    still_open.remove(descriptor)
            if limit is not None and size > limit:
                self._abandon(still_open)
                return b"".join(texts[self.out])
        self.code = self._wait()
        complaint = b"".join(texts[self._err]).decode("utf-8", "replace").strip()
        said_lines = [line for line in complaint.splitlines() if not line.startswith(("hint:", "warning:"))]
        self.complaint = next(iter(said_lines or complaint.splitlines()), "no message")
        if check and self.code != 0:
            raise RepoError(f"git {self._verb()} failed with {self.code}: {self.complaint}")
        return b"".join(texts[self.out])

    def _feed(self) -> bool:
        """Write what the pipe takes of the input; false when all is written, or git does not want more."""
        try:
            self._input = self._input[os.write(self._in, self._input) :]
        except BlockingIOError:
            return True
        except BrokenPipeError:
            return False  # its exit status says why
        return len(self._input) > 0

    def _verb(self) -> str:
        """Return the git command's name, which stands behind its `-c` settings."""
        words = list(self.args)
        while words[0] == "-c":
            del words[:2]
        return words[0]

    def _abandon(self, descriptors: Iterable[int]) -> None:
        for descriptor in descriptors:
            os.close(descriptor)
        self._end()

    def _end(self) -> None:
        os.kill(self.pid, _SIGKILL)
        self._wait()

    def _wait(self) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def find_git(cwd: str) -> str:
    """Return the path of git: the first on PATH that lies neither below this folder or `cwd`'s repository, nor at a relative path.

    Raises RepoError where there is none.
    """
    hostile = [_repository_around(os.path.realpath(cwd))]
    try:
        hostile.append(_repository_around(os.getcwd()))
    except OSError:
        pass  # removed under our feet
    for folder in os.get_exec_path():
        path = os.path.join(folder, "git")
        if not os.path.isabs(path) or not os.access(path, os.X_OK) or os.path.isdir(path):
            continue
        real = os.path.realpath(path)
        if not any(place.startswith(root + "/") for place in (os.path.abspath(path), real) for root in hostile if root):
            return path
    raise RepoError("git cannot be started: there is none on PATH", remedy="install git 2.30 or newer")


def _repository_around(place: str) -> str:
    """Return the nearest folder with a `.git` at or above `place`, or the empty string."""
    while place != "/":
        if os.path.lexists(os.path.join(place, ".git")):
            return place
        place = os.path.dirname(place)
    return ""


def run_git(
    args: Sequence[str],
    *,
    cwd: str,
    input: bytes | None = None,
    check: bool = True,
    patience_s: float | None = None,
    env: dict[str, str] | None = None,
) -> bytes:
    """Run `git -C cwd args…` and return its standard output; `input` goes to its standard input.

    Raises RepoError when it fails, unless `check` is false, and when it takes longer than `patience_s`.
    """
    return Child(args, cwd=cwd, input=input, env=env).finish(check=check, patience_s=patience_s)


def start_git(args: Sequence[str], *, cwd: str, input: bytes | None = None) -> Child:
    """Start `git -C cwd args…` and return the running child, so that several can run at once."""
    return Child(args, cwd=cwd, input=input)


def pipe_git(first: Sequence[str], second: Sequence[str], *, cwd: str, stdin: int | None = None) -> Child:
    """Start `git first… | git second…`, reap the first when the second is finished, and return the second.

    `stdin` is a descriptor that the first reads, a file: nobody would feed a pipe.
    """
    producer = Child(first, cwd=cwd, stdin=stdin)
    consumer = _Consumer(second, cwd=cwd, stdin=producer.out)
    consumer.producer = producer
    return consumer


class _Consumer(Child):
    producer: Child

    def _end(self) -> None:
        os.kill(self.producer.pid, _SIGKILL)
        super()._end()

    def _wait(self) -> int:
        code = super()._wait()
        self.producer.finish(check=False)
        return code
