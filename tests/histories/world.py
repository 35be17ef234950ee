"""Random histories with known truth: an agent and a person edit, and git does to their commits whatever git can do.

    world = World(sandbox)
    world.do("agent_edits", random.Random(1))
    world.score()

The recorder is the real one and git is the real one; only the processes between them are left out, so that thousands of commits
take minutes: what a hook would hand over is handed over here. In the share `unseen` of the operations no hook runs, as on a forge
or with `core.hooksPath` set elsewhere.

Truth is in the text. Nearly every line that somebody writes holds a word of its own, by which it is known wherever git takes it.
Lines as they are all over a source file (`}`, `pass`, an empty one) only follow such a line, and whose they are is known as long as
they stand behind a line behind which only one of the two ever wrote them.
"""

from __future__ import annotations

import json
import os
import random
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ledger.recorder import Recorder, begin_log
from ledger.recording.ancestry import nearest
from ledger.recording.events import make_event, record_event
from ledger.recording.writer import now_ms
from ledger.repo.blame import blame_file
from ledger.repo.commits import read_commit
from ledger.repo.gitdir import find_repository
from ledger.store.state import find_clone
from ledger.trace.attribution import Attribution
from ledger.trace.build import build_trace
from ledger.trace.logs import Logs
from ledger.trace.matching import Commits

COMMON = ("}", "pass", "", "    return None", "else:")
_word = re.compile(r"word_([0-9]+)").search
PERSON = "person"


class Author(NamedTuple):
    """Who wrote a line: `call` is the id of an agent's call, empty for a person."""

    call: str

    @property
    def is_agent(self) -> bool:
        """Whether an agent wrote it."""
        return bool(self.call)


@dataclass(slots=True)
class Score:
    """Counts over histories. `wrong_exact` are a person's lines given to an agent with `exact`."""

    lines: int = 0
    agents_lines: int = 0
    given: int = 0
    given_right: int = 0
    wrong_exact: list[str] = field(default_factory=list)
    missed: dict[str, int] = field(default_factory=dict)
    files: int = 0
    agents_files: int = 0
    given_files: int = 0
    given_files_right: int = 0
    commits: int = 0
    operations: dict[str, int] = field(default_factory=dict)
    rungs: dict[str, int] = field(default_factory=dict)

    def add(self, other: Score) -> None:
        """Take the counts of another."""
        for name in self.__slots__:
            mine, theirs = getattr(self, name), getattr(other, name)
            if isinstance(theirs, dict):
                for key, count in theirs.items():
                    mine[key] = mine.get(key, 0) + count
            else:
                setattr(self, name, mine + theirs)

    def ratios(self) -> dict[str, float]:
        """Return precision and recall, of lines and of files."""
        return {
            "line precision": self.given_right / max(1, self.given),
            "line recall": self.given_right / max(1, self.agents_lines),
            "file precision": self.given_files_right / max(1, self.given_files),
            "file recall": self.given_files_right / max(1, self.agents_files),
        }

    def say(self) -> str:
        """Return the figures as text."""
        ratios = ", ".join(f"{name} {value:.2%}" for name, value in self.ratios().items())
        counts = f"{self.commits} commits, {self.lines} lines ({self.agents_lines} an agent's), {self.files} changed files"
        done = ", ".join(f"{name} {count}" for name, count in sorted(self.operations.items()))
        rungs = ", ".join(f"{name} {count}" for name, count in sorted(self.rungs.items()))
        return f"{counts}\n{ratios}; a person's lines given to an agent as exact: {len(self.wrong_exact)}\nrungs: {rungs}\n{done}"


class World:
    """One repository with its log, and what is true of it."""

    def __init__(self, sandbox: Any, name: str = "world", unseen: float = 0.15, files: int = 12) -> None:
        self.sandbox = sandbox
        self.files = files
        self.unseen = unseen
        self.path: Path = sandbox.make_repo(name, commit=True)
        self.repo = find_repository(str(self.path))
        self.log = begin_log(self.repo, str(sandbox.state)).log
        self.recorder = Recorder.open(str(self.path), state=str(sandbox.state), wait_s=10.0)
        self.authors: dict[str, Author] = {}
        self.behind: dict[tuple[str, str], set[Author]] = {}  # (line before, common line) -> who wrote it there
        self.calls: dict[str, int] = {}  # call id -> seq of its request
        self.results: dict[str, str] = {}  # entry of a result -> call id
        self.wrote: set[tuple[str, str]] = set()  # (path, call id)
        self.done: dict[str, int] = {}
        self.branches = 0
        self._number = 0
        self._map = sandbox.home / f"{name}-rewritten"
        hook = self.path / ".git/hooks/post-rewrite"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f'#!/bin/sh\ncat >>"{self._map}"\n')
        hook.chmod(0o755)
        self._ancestors = nearest()
        self.hook("SessionStart", source="startup")
        self.hook("UserPromptSubmit", prompt="begin")

    def close(self) -> None:
        """Let go of the journal."""
        self.recorder.close()

    # The doors, without their processes

    def hook(self, event: str, **members: Any) -> None:
        """Hand over what the agent says to its hook."""
        whole = {"session_id": "s1", "turn_id": "t1", "cwd": str(self.path), "hook_event_name": event, **members}
        self._hand("codex", (), json.dumps(whole).encode(), {})

    def _hand(self, door: str, words: tuple[str, ...], data: bytes, environ: Mapping[str, str]) -> None:
        event = make_event(door, words, data, str(self.path), environ, now_ms())
        self.recorder.append(
            lambda writer: record_event(writer, self.repo, event, live=True, ancestors=[] if door == "git" else self._ancestors)
        )

    def git(self, *args: str, check: bool = True, input: str | None = None, **env: str) -> str:
        """Run git without a hook of ours; what post-rewrite is told is kept."""
        out: str = self.sandbox.git(*args, cwd=self.path, check=check, input=input, **{"GIT_EDITOR": ":", **env})
        return out

    def works(self, *args: str, **env: str) -> bool:
        """Run git and say whether it succeeded."""
        done = self.sandbox.run("git", *args, cwd=self.path, **{"GIT_EDITOR": ":", **env})
        return bool(done.returncode == 0)

    def made(self, dice: random.Random, how: str = "post-commit", call: str | None = None, *, seen: bool | None = None) -> None:
        """Let the hooks say what git did, unless this is one of the times when none runs."""
        told = self._map.read_bytes() if self._map.exists() else b""
        self._map.unlink(missing_ok=True)
        if not (dice.random() >= self.unseen if seen is None else seen):
            return
        environ = {"CODEX_SESSION_ID": "s1", "CODEX_TOOL_CALL_ID": call} if call else {}
        if how == "post-commit":
            self._hand("git", ("post-commit",), b"", environ)
        if told:
            self._hand("git", ("post-rewrite", "amend" if how == "post-commit" else "rebase"), told, environ)
        elif how != "post-commit":
            self._hand("git", (how,), b"", environ)

    # Writing

    def _write(self, dice: random.Random, author: Author, path: str) -> None:
        target = self.path / path
        if author.is_agent:
            self.wrote.add((path, author.call))
        lines = target.read_text().split("\n")[:-1] if target.exists() else []
        for _ in range(dice.randint(1, 3)):
            self._change(dice, author, lines)
        target.parent.mkdir(exist_ok=True)
        target.write_text("".join(f"{line}\n" for line in lines))

    def _change(self, dice: random.Random, author: Author, lines: list[str]) -> None:
        at = dice.randint(0, len(lines))
        sort = dice.random()
        if sort < 0.55 or len(lines) < 6:
            lines[at:at] = self._new(dice, author, dice.randint(1, 6))
        elif sort < 0.85:
            lines[at : at + dice.randint(1, 3)] = self._new(dice, author, dice.randint(1, 3))
        else:
            del lines[at : at + dice.randint(1, 2)]

    def _new(self, dice: random.Random, author: Author, count: int) -> list[str]:
        made: list[str] = []
        for _ in range(count):
            self._number += 1
            line = f"{'    ' * dice.randint(0, 2)}word_{self._number} = {dice.randint(0, 9)}"
            self.authors[str(self._number)] = author
            made.append(line)
            if dice.random() < 0.25:
                common = dice.choice(COMMON)
                self.behind.setdefault((line, common), set()).add(author)
                made.append(common)
        return made

    def _path(self, dice: random.Random) -> str:
        there = sorted(path.name for path in self.path.iterdir() if path.suffix == ".py")
        if there and dice.random() < 0.8:
            return dice.choice(there)
        return f"f{len(there)}_{self._number}.py" if len(there) < self.files else dice.choice(there)

    def _call(self, tool: str, given: Any, work: Callable[[str], None]) -> None:
        name = f"c{len(self.calls)}"
        members = {"tool_name": tool, "tool_input": given, "tool_use_id": name}
        self.hook("PreToolUse", **members)
        assert self.recorder._head is not None
        self.calls[name] = self.recorder._head.seq
        work(name)
        self.hook("PostToolUse", tool_response="done", **members)
        assert self.recorder._head is not None
        self.results[f"{self.log}/{self.recorder._head.seq}"] = name

    # Operations: each takes the dice, and says whether it did anything

    def agent_edits(self, dice: random.Random) -> bool:
        """A patch of the agent's."""
        path = self._path(dice)
        given = {"command": f"*** Begin Patch\n*** Update File: {path}\n@@\n*** End Patch"}
        self._call("apply_patch", given, lambda call: self._write(dice, Author(call), path))
        return True

    def agent_runs_sed(self, dice: random.Random) -> bool:
        """A shell command of the agent's that changes a file it does not name."""
        path = self._path(dice)
        self._call("Bash", {"command": "sh generate"}, lambda call: self._write(dice, Author(call), path))
        return True

    def person_edits(self, dice: random.Random) -> bool:
        """A person's edit, between calls."""
        self._write(dice, Author(""), self._path(dice))
        time.sleep(0.03)  # files are stamped in ticks, and no agent answers a person's saving within one
        return True

    def person_commits(self, dice: random.Random) -> bool:
        """A commit of all, or of some files."""
        names = [line[3:] for line in self.git("status", "--porcelain").split("\n") if line]
        if not names:
            return False
        some = names if dice.random() < 0.7 else dice.sample(names, dice.randint(1, len(names)))
        self.git("add", "--", *some)
        self.git("commit", "-q", "-m", f"by hand {self._number}")
        self.made(dice)
        return True

    def agent_commits(self, dice: random.Random) -> bool:
        """A commit of all, inside a call."""
        if not self.git("status", "--porcelain"):
            return False

        def commit(call: str) -> None:
            self.git("add", "-A")
            self.git("commit", "-q", "-m", f"by the agent {self._number}")
            self.made(dice, call=call)

        self._call("Bash", {"command": "git commit -qam work"}, commit)
        return True

    def amend(self, dice: random.Random) -> bool:
        """A person's amend, with what lies in the work tree or only of the message."""
        if self._depth() < 2 or self._is_merge():
            return False
        if dice.random() < 0.6:
            self.git("add", "-A")
        self.git("commit", "-q", "--amend", "--allow-empty", "-m", f"amended {self._number}")
        self.made(dice)
        return True

    def new_branch(self, dice: random.Random) -> bool:
        """A branch from here or from a little earlier."""
        self._settle(dice)
        self.branches += 1
        self.git("checkout", "-q", "-b", f"b{self.branches}", f"HEAD~{dice.randint(0, min(3, self._depth() - 1))}")
        return True

    def switch(self, dice: random.Random) -> bool:
        """Another branch."""
        self._settle(dice)
        return self.works("checkout", "-q", dice.choice(self._names()))

    def rebase(self, dice: random.Random) -> bool:
        """This branch onto another, plain or with `--onto`."""
        self._settle(dice)
        other = self._other(dice)
        if other is None or self._is_merge():
            return False
        more = ("--onto", other, f"HEAD~{dice.randint(1, 2)}") if dice.random() < 0.3 and self._depth() > 3 else (other,)
        if not self.works("rebase", "-q", *more):
            self.works("rebase", "--abort")
            self._map.unlink(missing_ok=True)
            return False
        self.made(dice, "post-rewrite")
        return True

    def melt(self, dice: random.Random) -> bool:
        """An interactive rebase that squashes, fixes up, or reorders the last commits."""
        self._settle(dice)
        count = dice.randint(2, 3)
        if self._linear() < count + 1:
            return False
        todo = dice.choice([f"2,{count}s/^pick/squash/", f"2,{count}s/^pick/fixup/", "1{h;d};2{G}"])
        if not self.works("rebase", "-q", "-i", f"HEAD~{count}", GIT_SEQUENCE_EDITOR=f"sed -i -e '{todo}'"):
            self.works("rebase", "--abort")
            self._map.unlink(missing_ok=True)
            return False
        self.made(dice, "post-rewrite")
        return True

    def autosquash(self, dice: random.Random) -> bool:
        """A `fixup!` commit of what lies in the work tree, and the rebase that melts it in."""
        if self._linear() < 3 or not self.git("status", "--porcelain"):
            return False
        self.git("add", "-A")
        self.git("commit", "-q", "--fixup", "HEAD~1")
        self.made(dice)
        if not self.works("rebase", "-q", "-i", "--autosquash", "HEAD~3", GIT_SEQUENCE_EDITOR=":"):
            self.works("rebase", "--abort")
            self._map.unlink(missing_ok=True)
            return False
        self.made(dice, "post-rewrite")
        return True

    def cherry_pick(self, dice: random.Random) -> bool:
        """A commit of another branch, as it is or into a commit of one's own."""
        self._settle(dice)
        other = self._other(dice)
        if other is None:
            return False
        without = dice.random() < 0.3
        if not self.works("cherry-pick", *(["-n"] if without else []), other):
            self.works("cherry-pick", "--abort") or self.git("reset", "-q", "--hard")
            return False
        if without:
            if not self.git("status", "--porcelain"):
                return False
            self.git("commit", "-q", "-m", f"picked {self._number}")
        self.made(dice)
        return True

    def revert(self, dice: random.Random) -> bool:
        """A revert of a recent commit."""
        self._settle(dice)
        if self._linear() < 3:
            return False
        if not self.works("revert", "--no-edit", f"HEAD~{dice.randint(0, 1)}"):
            self.works("revert", "--abort") or self.git("reset", "-q", "--hard")
            return False
        self.made(dice)
        return True

    def merge(self, dice: random.Random) -> bool:
        """A merge of another branch; of a conflict both sides are kept."""
        self._settle(dice)
        other = self._other(dice)
        if other is None:
            return False
        before = self._head()
        if not self.works("merge", "-q", "--no-edit", other):
            for path in self.git("diff", "--name-only", "--diff-filter=U").split("\n"):
                target = self.path / path
                if not target.is_file():
                    self.git("merge", "--abort")
                    return False
                kept = [line for line in target.read_text().split("\n") if not line.startswith(("<<<<<<<", "=======", ">>>>>>>"))]
                target.write_text("\n".join(kept))
            self.git("add", "-A")
            self.git("commit", "-q", "--no-edit")
            self.made(dice)
        elif self._head() != before:
            self.made(dice, "post-merge")
        return True

    def squash(self, dice: random.Random) -> bool:
        """`merge --squash` of another branch, committed by hand, or made by a forge where no hook runs."""
        self._settle(dice)
        other = self._other(dice)
        if other is None:
            return False
        if not self.works("merge", "-q", "--squash", other):
            self.git("reset", "-q", "--hard")
            return False
        if not self.git("status", "--porcelain"):
            return False
        self.git("commit", "-q", "-m", f"squashed {self._number}")
        self.made(dice, seen=dice.random() < 0.5)
        return True

    def mailbox(self, dice: random.Random) -> bool:
        """The last commit of another branch by `git format-patch` and `git am`."""
        self._settle(dice)
        other = self._other(dice)
        if other is None:
            return False
        mail = self.git("format-patch", "--stdout", "-1", other)
        if not mail or self.sandbox.run("git", "am", "-q", "--3way", cwd=self.path, input=mail + "\n").returncode:
            self.works("am", "--abort")
            return False
        return True  # no hook of ours runs for it

    def plumb(self, dice: random.Random) -> bool:
        """The same tree under another commit, by plumbing."""
        self._settle(dice)
        if self._linear() < 2:
            return False
        copy = self.git("commit-tree", "HEAD^{tree}", "-p", "HEAD^", "-m", f"plumbed {self._number}")
        self.git("update-ref", f"refs/heads/{self.git('branch', '--show-current')}", copy)
        return True

    def stash(self, dice: random.Random) -> bool:
        """Away with the work, and back."""
        if not self.git("status", "--porcelain", "--untracked-files=no"):
            return False
        self.git("stash", "-q")
        if dice.random() < 0.5:
            self.hook("UserPromptSubmit", prompt=f"meanwhile {self._number} {len(self.done)} {dice.random()}")
        self.git("stash", "pop", "-q")
        return True

    def do(self, name: str, dice: random.Random) -> bool:
        """Do one of the OPERATIONS, if it can be done now."""
        did: bool = getattr(self, name)(dice)
        if did:
            self.done[name] = self.done.get(name, 0) + 1
        return did

    def finish(self, dice: random.Random) -> None:
        """Commit what lies about, and let the agent say something, so that the last moves are noticed."""
        self._settle(dice)
        self.hook("Stop", last_assistant_message="done")

    def _settle(self, dice: random.Random) -> None:
        if self.git("status", "--porcelain"):
            (self.agent_commits if dice.random() < 0.5 else self.person_commits)(dice)
        if self.git("status", "--porcelain"):
            self.git("add", "-A")
            self.git("commit", "-q", "-m", f"the rest {self._number}")
            self.made(dice)

    def _names(self) -> list[str]:
        return self.git("for-each-ref", "--format=%(refname:short)", "--sort=-creatordate", "--count=6", "refs/heads/").split("\n")

    def _other(self, dice: random.Random) -> str | None:
        here = self.git("branch", "--show-current")
        others = [name for name in self._names() if name != here]
        return dice.choice(others) if others else None

    def _head(self) -> str:
        return self.git("rev-parse", "HEAD")

    def _depth(self) -> int:
        return int(self.git("rev-list", "--count", "--max-count=6", "--first-parent", "HEAD"))

    def _linear(self) -> int:
        """Return how many commits up to HEAD are no merges, without the first one of all; at most 6."""
        parents = self.git("log", "--format=%p", "--max-count=6").split("\n")
        return next((number for number, said in enumerate(parents) if len(said.split()) != 1), len(parents))

    def _is_merge(self) -> bool:
        return len(self.git("log", "--format=%p", "-1").split()) > 1

    # What is true, and what is said

    def author_of(self, lines: list[str], at: int) -> Author | None:
        """Return who wrote a line of a file, or None where that cannot be told of a common one."""
        word = _word(lines[at])
        if word is not None:
            return self.authors.get(word[1])
        before = lines[at - 1] if at else ""
        known = self.behind.get((before, lines[at]), set())
        return next(iter(known)) if len(known) == 1 else None

    def logs(self) -> Logs:
        """Return the logs of the repository."""
        clone = find_clone(str(self.sandbox.state), self.repo.common_dir).clone
        return Logs(str(self.sandbox.state), clone, repo=self.repo)

    def score(self, commits: int | None = None) -> Score:
        """Hold what blame and trace say of HEAD, and of its last `commits`, against the truth."""
        score = Score(operations=dict(self.done))
        with self.logs() as logs:
            self._score_lines(score, logs)
            oids = self.git("rev-list", "--no-merges", *([] if commits is None else [f"--max-count={commits}"]), "HEAD").split()
            score.commits = len(oids)
            for oid in oids:
                self._score_files(score, logs, oid)
        return score

    def _score_lines(self, score: Score, logs: Logs) -> None:
        names = {seq: call for call, seq in self.calls.items()}
        known, head = Commits(self.repo, logs), self.git("rev-parse", "HEAD")
        with Attribution(known) as attribution:
            for path in self.git("ls-files", "*.py").split("\n"):
                if not path:
                    continue
                blamed = blame_file(self.repo, head, os.fsencode(path))
                known.prepare([line.oid for line in blamed])
                lines = self.git("show", f"HEAD:{path}").split("\n")
                for line in blamed:
                    truth = self.author_of(lines, line.number - 1) if line.number <= len(lines) else None
                    if truth is None:
                        continue
                    said = attribution.line(line.oid, line.path, line.original)
                    call = names.get(said.call) if said.by == "agent" and said.call is not None else None
                    score.lines += 1
                    score.agents_lines += truth.is_agent
                    score.given += said.by == "agent"
                    score.given_right += call is not None and call == truth.call
                    if (said.by == "agent" or truth.is_agent) and call != (truth.call or None):
                        whose = "an agent's" if truth.is_agent else "a person's"
                        key = f"line of {whose} given to {said.by} {said.link} {said.why} {known.match(line.oid).rung}"
                        score.missed[key] = score.missed.get(key, 0) + 1
                    if said.by == "agent" and said.link == "exact" and not truth.is_agent:
                        score.wrong_exact.append(f"{path}:{line.number} of {line.oid}: {lines[line.number - 1]!r}")

    def _score_files(self, score: Score, logs: Logs, oid: str) -> None:
        trace = build_trace(self.repo, logs, oid)
        score.rungs[trace["match"]["rung"]] = score.rungs.get(trace["match"]["rung"], 0) + 1
        facts = read_commit(self.repo, oid)
        assert facts is not None
        links = {str(item["path"]): item["link"] for item in trace["changed"]}
        # A call that only took lines away left the file as well, and none of the lines is its.
        left = {str(item["path"]): {self.results.get(call, "") for call in item["calls"]} for item in trace["changed"]}
        for change in facts.paths:
            path = os.fsdecode(change.path)
            authors = self._added(oid, path) if change.blob is not None else set()
            if not authors:
                continue  # only took lines away, or lines of which it cannot be told whose they are
            truth = any(author.is_agent for author in authors) or any((path, call) in self.wrote for call in left.get(path, ()))
            said = links.get(path, "none") != "none"
            score.files += 1
            score.agents_files += truth
            score.given_files += said
            score.given_files_right += truth and said
            if truth != said:
                key = f"file {'missed' if truth else 'made up'} {links.get(path)} {trace['match']['rung']}"
                score.missed[key] = score.missed.get(key, 0) + 1

    def _added(self, oid: str, path: str) -> set[Author]:
        lines = self.git("show", f"{oid}:{path}").split("\n")
        patch = self.git("show", "--format=", "--first-parent", "-U0", "--no-renames", oid, "--", path).split("\n")
        found: set[Author] = set()
        for line in patch:
            hunk = re.match(r"@@ -\S+ \+([0-9]+)(?:,([0-9]+))? @@", line)
            if hunk:
                first, count = int(hunk[1]), int(hunk[2] or "1")
                found |= {author for at in range(first - 1, first - 1 + count) if (author := self.author_of(lines, at)) is not None}
        return found


COMMITTING = ("person_commits", "agent_commits")
OPERATIONS = (
    *("agent_edits",) * 6,
    *("agent_runs_sed",) * 2,
    *("person_edits",) * 5,
    *("person_commits",) * 4,
    *("agent_commits",) * 4,
    *("amend", "new_branch", "switch", "rebase", "melt", "autosquash", "cherry_pick", "revert", "merge", "squash", "mailbox"),
    *("plumb", "stash"),
)
