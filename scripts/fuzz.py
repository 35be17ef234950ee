"""Runs atheris on the targets of tests/fuzzing.py, one process each, and says what it found. Called by scripts/fuzz.

atheris ends its process when it is done or finds something, so each target gets a child of its own.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MAX_INPUT_BYTES = 4096


def fuzz(name: str, limit: str, folder: Path) -> None:
    """Fuzz one target in this process, which does not return."""
    import atheris

    with atheris.instrument_imports(include=["ledger.core"]):
        from fuzzing import TARGETS
    target = TARGETS[name]
    seeds = folder / "seeds"
    seeds.mkdir()
    for number, seed in enumerate(target.seeds):
        (seeds / str(number)).write_bytes(seed)
    options = [limit, f"-max_len={MAX_INPUT_BYTES}", f"-artifact_prefix={folder}/found-", "-verbosity=0", str(seeds)]

    def take(data: bytes) -> None:
        target.run(data)  # atheris gives return values a meaning of their own

    atheris.Setup([sys.argv[0], *options], take)
    atheris.Fuzz()


def run(name: str, limit: str) -> bool:
    """Fuzz one target in a child and say whether nothing was found; what was is printed, input included."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--child", folder, f"--limit={limit}", name]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        found = sorted(Path(folder).glob("found-*"))
        if done.returncode == 0 and not found:
            print(f"{name}: nothing", flush=True)
            return True
        print(f"{name}: exit {done.returncode}\n{(done.stdout + done.stderr)[-3000:]}")
        for path in found:
            print(f"input: {path.read_bytes()!r}", flush=True)
        return False


def main() -> int:
    """Fuzz what the command line names; return 1 where anything was found."""
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*")
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--runs", type=int)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--limit", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        fuzz(options.targets[0], options.limit, Path(options.child))
    from fuzzing import TARGETS

    unknown = [name for name in options.targets if name not in TARGETS]
    if unknown:
        parser.error(f"no such target: {', '.join(unknown)}; there are {', '.join(TARGETS)}")
    limit = f"-max_total_time={options.seconds}" if options.runs is None else f"-runs={options.runs}"
    failed = [name for name in options.targets or TARGETS if not run(name, limit)]
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
