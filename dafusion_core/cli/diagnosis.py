"""What `dafusion doctor` looks at. Every finding that is not fine says so in one sentence."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import psutil

import dafusion_core
import dafusion_core.api as df
from dafusion_core.cli.output import plural, readable_bytes
from dafusion_core.domain.errors import DaFusionError
from dafusion_core.language import N_, _, count
from dafusion_core.settings import SETTINGS, Settings

State = Literal["fine", "note", "problem"]

ENOUGH_DISK = 5e9
ENOUGH_MEMORY = 3e9
TORCH_TIMEOUT_S = 180
QT_TIMEOUT_S = 30
BAD_QT = {
    "6.11.0": N_("This version resizes docks wrongly; install another one."),
    "6.11.1": N_("This version resizes docks wrongly; install another one."),
    "6.12.0": N_(
        "This version loses references to None until the program aborts; install another one."
    ),
}
QT_PACKAGES = (
    "libegl1 libgl1 libxkbcommon0 libdbus-1-3 libfontconfig1 libglib2.0-0 libxcb-cursor0 "
    "libxkbcommon-x11-0 libxcb-icccm4 libxcb-keysyms1 libxcb-image0 libxcb-shape0 "
    "libxcb-render-util0 libxcb-xkb1"
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `text` is empty when it is fine; `topic` is a key, the same in
    every language. `total_bytes`: the memory of a device."""

    topic: str
    value: str
    state: State = "fine"
    text: str = ""
    total_bytes: int = 0


def examine(project: Path | None = None) -> list[Finding]:
    """Look at everything. Takes some seconds, because torch is loaded in another process."""
    facts = torch_facts()
    return [
        look_at_program(),
        look_at_python(sys.version_info[:3]),
        look_at_sqlite(),
        look_at_qt(),
        *look_at_torch(facts),
        look_at_memory(),
        look_at_model(facts),
        look_at_disk(project.parent if project else Path.cwd()),
        *([look_at_project(project)] if project else []),
        look_at_settings(),
    ]


def look_at_program() -> Finding:
    """Version and place of this program."""
    place = Path(dafusion_core.__file__).parent.parent
    return Finding("Program", f"dafusion-studio {dafusion_core.__version__} in {place}")


def look_at_python(version: tuple[int, ...]) -> Finding:
    """The interpreter."""
    value = f"{'.'.join(map(str, version))} on {platform.platform(terse=True)} ({sys.executable})"
    if not (3, 11) <= version[:2] < (3, 14):
        return Finding("Python", value, "problem", _("Python 3.11, 3.12 or 3.13 is needed."))
    return Finding("Python", value)


def look_at_sqlite() -> Finding:
    """The database library that Python was built with."""
    value = sqlite3.sqlite_version
    if sqlite3.sqlite_version_info < (3, 38):
        return Finding(
            "SQLite",
            value,
            "problem",
            _("SQLite 3.38 or newer is needed; install a newer Python."),
        )
    return Finding("SQLite", value)


def version_of(distribution: str) -> str | None:
    """The installed version of a distribution, None if it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def look_at_qt() -> Finding:
    """Qt: there, of a good version, and able to load."""
    version = version_of("PySide6-Essentials") or version_of("PySide6")
    if version is None:
        return Finding(
            "Qt",
            "not installed",
            "note",
            "The window cannot open; the command line works. "
            "Install it with `pip install PySide6-Essentials`.",
        )
    if version in BAD_QT:
        return Finding(
            "Qt",
            version,
            "problem",
            _(BAD_QT[version]),
        )
    code = "from PySide6.QtWidgets import QApplication; QApplication([])"
    try:
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"QT_QPA_PLATFORM": "offscreen"},
            capture_output=True,
            text=True,
            timeout=QT_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Finding(
            "Qt",
            version,
            "problem",
            _("Qt did not start within {limit} s.").format(limit=QT_TIMEOUT_S),
        )
    if done.returncode == 0:
        return Finding("Qt", version)
    return Finding("Qt", version, "problem", explain_qt(done.stderr))


def explain_qt(stderr: str) -> str:
    """One sentence for what Qt wrote when it could not start."""
    match = re.search(r"(lib[\w.+-]+\.so[\d.]*): cannot open shared object", stderr)
    if match:
        return (
            _(
                "The window cannot open because the system library {name} is missing; on Debian "
                "or Ubuntu: apt-get install {packages}"
            )
        ).format(name=match[1], packages=QT_PACKAGES)
    lines = [line for line in stderr.splitlines() if line.strip()]
    reason = lines[-1].strip() if lines else _("Qt gave no reason")
    return _("The window cannot open: {reason}").format(reason=reason)


def torch_facts() -> dict[str, Any]:
    """What `torch_facts.gather` found in its own process, or {"torch": {"error": …}}."""
    command = [sys.executable, "-m", "dafusion_core.cli.torch_facts"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=TORCH_TIMEOUT_S, check=False
        )
        facts: dict[str, Any] = json.loads(done.stdout)
        return facts
    except subprocess.TimeoutExpired:
        return {
            "torch": {"error": _("it did not load within {limit} s").format(limit=TORCH_TIMEOUT_S)}
        }
    except ValueError:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        why = (
            lines[-1].strip()
            if lines
            else _("it ended with code {code}").format(code=done.returncode)
        )
        return {"torch": {"error": why}}


def has_nvidia_driver() -> bool:
    """True where an NVIDIA driver is installed, whatever torch thinks of it."""
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None


def look_at_torch(facts: dict[str, Any]) -> list[Finding]:
    """torch's build, its neighbours, and the devices it can use."""
    torch = facts["torch"]
    if "error" in torch:
        if version_of("torch") is None:
            value = _("not installed")
            text = _("Jobs cannot run; install it with `pip install torch`.")
        else:
            value = str(version_of("torch"))
            text = _("torch does not load ({why}), so no job can run; install it again.").format(
                why=torch["error"]
            )
        return [Finding("torch", value, "problem", text)]
    cuda = torch["cuda_build"]
    build = _("CUDA {version} build").format(version=cuda) if cuda else _("CPU build")
    threads = count(torch["threads"], "{n:,} thread", "{n:,} threads")
    value = f"{torch['version']} ({build}, {threads})"
    findings = [Finding("torch", value)]
    if has_nvidia_driver() and not torch["cuda_build"]:
        findings = [
            Finding(
                "torch",
                value,
                "note",
                _(
                    "There is an NVIDIA card, but this build of torch cannot use it; install a "
                    "CUDA build, see https://pytorch.org/get-started/locally."
                ),
            )
        ]
    elif torch["cuda_build"] and has_nvidia_driver() and not torch["has_cuda"]:
        findings = [
            Finding(
                "torch",
                value,
                "note",
                _(
                    "There is an NVIDIA card, but torch cannot reach it; the driver may be too old "
                    "for CUDA {version}."
                ).format(version=cuda),
            )
        ]
    return [*findings, *_look_at_libraries(torch, facts), *_look_at_devices(facts)]


def _look_at_libraries(torch: dict[str, Any], facts: dict[str, Any]) -> list[Finding]:
    problems = facts["libraries"].get("problems", {}) | (
        {"torchvision": facts["libraries"]["error"]} if "error" in facts["libraries"] else {}
    )
    findings = []
    for name in ("torchvision", "diffusers", "transformers", "accelerate", "safetensors"):
        version = version_of(name)
        if version is None or name in problems:
            why = problems.get(name, _("it is not installed"))
            findings.append(
                Finding(
                    name,
                    version or "not installed",
                    "problem",
                    _("{name} cannot be used ({why}); install the program again.").format(
                        name=name, why=why
                    ),
                )
            )
        elif name == "torchvision" and not torch["is_torchvision_complete"]:
            findings.append(
                Finding(
                    name,
                    version,
                    "note",
                    "Its compiled operators belong to another build of torch; nothing here needs "
                    "them, and training works.",
                )
            )
        else:
            findings.append(Finding(name, version))
    return findings


def _look_at_devices(facts: dict[str, Any]) -> list[Finding]:
    devices = facts["devices"]
    if isinstance(devices, dict):
        return [Finding("Devices", "unknown", "problem", f"{devices['error']}.")]
    return [
        Finding(
            f"Device {info['device']}",
            _("{name}, {free} of {total} free").format(
                name=info["name"],
                free=readable_bytes(info["free_bytes"]),
                total=readable_bytes(info["total_bytes"]),
            ),
            total_bytes=info["total_bytes"],
        )
        for info in devices
    ]


def look_at_memory() -> Finding:
    """Main memory."""
    memory = psutil.virtual_memory()
    value = f"{readable_bytes(memory.available)} of {readable_bytes(memory.total)} free"
    if memory.available < ENOUGH_MEMORY:
        return Finding(
            "Memory",
            value,
            "note",
            "That is little: the bundled model fits, Stable Diffusion may not; close other "
            "programs.",
        )
    return Finding("Memory", value)


def look_at_model(facts: dict[str, Any]) -> Finding:
    """The model that comes with the program."""
    model = facts.get("model", {"error": _("torch does not load, so it was not looked at")})
    if "error" in model:
        return Finding("Bundled model", "unusable", "problem", f"{model['error']}")
    return Finding("Bundled model", f"{readable_bytes(model['bytes'])} in {model['path']}")


def look_at_disk(folder: Path) -> Finding:
    """Free space where projects are made, and whether one can write there."""
    folder = folder.expanduser().absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    value = f"{readable_bytes(free)} free in {folder}"
    if not os.access(folder, os.W_OK):
        return Finding(
            "Disk", value, "problem", _("No project can be made there: it cannot be written to.")
        )
    if free < ENOUGH_DISK:
        return Finding(
            "Disk",
            value,
            "note",
            "That is little: 10,000 synthetic images of 512×512 take about 5 GB.",
        )
    return Finding("Disk", value)


def look_at_project(path: Path) -> Finding:
    """One project: whether it opens, and what is in it."""
    try:
        with df.open(path, read_only=True) as project:
            waiting = len(project.interrupted_jobs())
            value = (
                f"{project.name}: {plural(project.image_count(), 'picture')}, "
                f"{plural(len(project.synthetic_ids()), 'synthetic image')}, "
                f"{plural(len(project.jobs()), 'job')}"
            )
    except DaFusionError as error:
        return Finding("Project", str(path), "problem", str(error))
    if waiting:
        return Finding(
            "Project",
            value,
            "note",
            f"{plural(waiting, 'job')} stopped half-way; `dafusion worker` goes on.",
        )
    return Finding("Project", value)


def look_at_settings() -> Finding:
    """What differs from the defaults, and where it is kept."""
    settings = Settings()
    changed = [f"{key}={value}" for key, value in settings.overrides().items()]
    wrong = []
    for setting in SETTINGS:
        if setting.environment_name in os.environ:
            changed.append(f"{setting.environment_name}={os.environ[setting.environment_name]}")
            try:
                settings.get(setting.key)
            except DaFusionError as error:
                wrong.append(str(error))
    value = f"{', '.join(changed) or 'all as they came'} ({settings.path})"
    if wrong:
        return Finding("Settings", value, "problem", " ".join(wrong))
    return Finding("Settings", value)
