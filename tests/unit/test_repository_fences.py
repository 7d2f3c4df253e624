"""What must stay true of the repository as a whole."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

import dafusion_core

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


LIBRARIES = ("torch", "torchvision", "diffusers", "transformers", "PySide6")
HEAVY = (*LIBRARIES, "numpy", "PIL", "sqlite_utils")


@pytest.mark.parametrize("module", ["dafusion_core", "app.entry", "dafusion_core.settings"])
def test_importing_it_loads_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = run_python(code)
    assert done.stdout.strip() == "[]", done.stderr


def test_the_command_line_answers_without_torch_and_qt() -> None:
    code = (
        "import sys; from dafusion_core.cli.main import main; code = main(['--help']); "
        f"print(code, [m for m in {LIBRARIES!r} if m in sys.modules], file=sys.stderr)"
    )
    done = run_python(code)
    assert done.stderr.strip().splitlines()[-1] == "0 []"
    assert "Usage" in done.stdout


def test_the_window_does_not_load_torch() -> None:
    pytest.importorskip("PySide6")
    if not (ROOT / "app" / "main.py").exists():
        pytest.skip("the window is not there yet")
    done = run_python("import app.main, sys; print('torch' in sys.modules)")
    assert done.stdout.strip() == "False", done.stderr


def test_importing_the_core_takes_less_than_a_tenth_of_a_second() -> None:
    import_time = "import time; t = time.perf_counter(); import dafusion_core; "
    begin = time.perf_counter()
    best = min(
        float(run_python(import_time + "print(time.perf_counter() - t)").stdout) for _ in range(3)
    )
    assert best < 0.1, f"{best:.3f} s (three runs took {time.perf_counter() - begin:.1f} s)"


def test_unknown_names_of_the_package_raise_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'opne'"):
        _ = dafusion_core.opne


def test_every_dependency_is_pinned_and_the_pin_is_in_range() -> None:
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    pins = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, version = line.split("==")
            pins[canonicalize_name(name)] = version
    project = PYPROJECT["project"]
    wanted = list(project["dependencies"])
    for extra in project["optional-dependencies"].values():
        wanted += extra
    for text in wanted:
        requirement = Requirement(text)
        name = canonicalize_name(requirement.name)
        assert name in pins, f"{name} is not pinned in constraints.txt"
        assert requirement.specifier.contains(pins[name]), f"{name} {pins[name]} is out of range"


def test_the_packaging_folder_is_no_package() -> None:
    # The checkout's root is on sys.path in an editable install; an __init__.py here would hide
    # the library of that name from pip, pytest and everybody else.
    assert not (ROOT / "packaging" / "__init__.py").exists()


def test_no_python_file_is_longer_than_600_lines() -> None:
    folders = ("app", "dafusion_core", "packaging", "tests")
    long = {
        str(path.relative_to(ROOT)): lines
        for folder in folders
        for path in (ROOT / folder).rglob("*.py")
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 600
    }
    assert long == {}


def test_the_changelog_knows_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## \[{re.escape(dafusion_core.__version__)}\]", text, re.MULTILINE)
