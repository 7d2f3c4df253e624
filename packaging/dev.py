#!/usr/bin/env python3
"""The developers' commands in one place: `python packaging/dev.py COMMAND [ARGUMENTS]`.

Only the standard library is used, so that `setup` works on a fresh clone. Commands run in the
active virtual environment, or in `.venv` where none is active. What is given after the command
is passed on: `python packaging/dev.py test tests/unit -k split`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"

# What the unit tests may use besides the project itself: no Qt, no torch.
LIGHT = (
    "babel",
    "click",
    "filelock",
    "huggingface_hub",
    "numpy",
    "pillow",
    "platformdirs",
    "psutil",
    "pytest",
    "safetensors",
    "sqlite-utils",
    "tqdm",
)


def python() -> str:
    """The interpreter of the environment to work in."""
    in_environment = sys.prefix != sys.base_prefix
    if in_environment or not VENV.exists():
        return sys.executable
    return str(VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))


def run(*command: str, **environment: str) -> int:
    """Run one command in the project root, showing it first. Returns its exit code."""
    shown = ["python" if part == python() else part for part in command]
    print("$", *shown, flush=True)
    return subprocess.call(command, cwd=ROOT, env=os.environ | environment)


def run_all(*commands: Sequence[str]) -> int:
    """Run every command even when one fails; 0 only when all succeeded."""
    failed = [command for command in commands if run(*command) != 0]
    for command in failed:
        print("failed:", *command[1:])
    return 1 if failed else 0


def setup(arguments: Sequence[str]) -> int:
    """Make .venv with the project, the test tools and the checkers, and set the commit hook."""
    if sys.prefix == sys.base_prefix and not VENV.exists():
        venv.create(VENV, with_pip=True)
    code = run(
        python(), "-m", "pip", "install", "-c", "constraints.txt", "-e", ".[test,dev]", *arguments
    )
    if code == 0 and (ROOT / ".git").exists():
        code = run(python(), "-m", "pre_commit", "install")
    return code


def check(arguments: Sequence[str]) -> int:
    """Lint, formatting, types and import fences; `check quick` leaves out types and fences."""
    here = python()
    quick = (
        [here, "-m", "ruff", "check", "."],
        [here, "-m", "ruff", "format", "--check", "."],
    )
    if list(arguments) == ["quick"]:
        return run_all(*quick)
    return run_all(
        *quick,
        [here, "-m", "mypy"],
        [here, "-c", "from importlinter.cli import lint_imports_command as run; run()"],
    )


def fix(arguments: Sequence[str]) -> int:
    """Format, and repair what ruff can repair safely."""
    here = python()
    return run_all(
        [here, "-m", "ruff", "check", "--fix", ".", *arguments],
        [here, "-m", "ruff", "format", "."],
    )


def test(arguments: Sequence[str]) -> int:
    """The default tests."""
    return run(python(), "-m", "pytest", *arguments)


def test_slow(arguments: Sequence[str]) -> int:
    """The tests that take minutes: killed processes, full disks, whole chains."""
    marker = "slow and not gpu and not network"
    return run(python(), "-m", "pytest", "-m", marker, "--durations=10", *arguments)


def test_light(arguments: Sequence[str]) -> int:
    """The unit tests in a new environment without Qt and torch (in .venv-light)."""
    place = ROOT / ".venv-light"
    if not place.exists():
        venv.create(place, with_pip=True)
    light = str(place / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))
    code = run(light, "-m", "pip", "install", "-q", "-c", "constraints.txt", *LIGHT)
    return code or run(light, "-m", "pytest", "tests/unit", *arguments)


def bench(arguments: Sequence[str]) -> int:
    """The measurements in tests/benchmarks; figures are printed, not only judged."""
    return run(python(), "-m", "pytest", "tests/benchmarks", "-m", "", "-s", *arguments)


def build(arguments: Sequence[str]) -> int:
    """The wheel, into dist/."""
    return run(python(), "-m", "build", "--wheel", *arguments)


def app(arguments: Sequence[str]) -> int:
    """The program from this checkout: the window, or the command line with arguments."""
    return run(python(), "-m", "app.entry", *arguments)


COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "setup": setup,
    "check": check,
    "fix": fix,
    "test": test,
    "test-slow": test_slow,
    "test-light": test_light,
    "bench": bench,
    "build": build,
    "app": app,
}


def usage() -> str:
    """Every command with the first line of its docstring."""
    lines = [f"  {name:<11} {do.__doc__ or ''}" for name, do in COMMANDS.items()]
    return "python packaging/dev.py COMMAND [ARGUMENTS]\n\n" + "\n".join(lines)


def main() -> int:
    """Run the command named on the command line."""
    if len(sys.argv) < 2 or sys.argv[1] not in COMMANDS:
        print(usage())
        return 0 if sys.argv[1:] in ([], ["-h"], ["--help"]) else 2
    begin = time.monotonic()
    code = COMMANDS[sys.argv[1]](sys.argv[2:])
    print(f"{sys.argv[1]}: exit code {code} after {time.monotonic() - begin:.0f} s")
    return code


if __name__ == "__main__":
    raise SystemExit(main())
