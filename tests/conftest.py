"""What every test gets: a home of its own, an offscreen window system, and a check for leaks."""

from __future__ import annotations

import gc
import importlib.util
import multiprocessing
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
GRACE_S = 3.0


def _is_installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


HAS_QT = _is_installed("PySide6") and _is_installed("pytestqt")
HAS_TORCH = _is_installed("torch")

collect_ignore: list[str] = []
if not HAS_QT:
    collect_ignore += ["qt"]
if not HAS_TORCH:
    collect_ignore += ["engine", "e2e", "gpu"]
if not (HAS_QT and HAS_TORCH):
    collect_ignore += ["benchmarks"]

# Set before anything is imported that reads them once: no test asks the network or the screen.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
if os.environ.get("DAFUSION_TEST_HEADED") != "1":
    os.environ["QT_QPA_PLATFORM"] = "offscreen"


def pytest_addoption(parser: pytest.Parser) -> None:
    if not HAS_QT:
        # pyproject.toml sets these for pytest-qt; without it pytest would call them unknown.
        for name in ("qt_api", "qt_log_level_fail", "qt_log_ignore"):
            parser.addini(name, "not used: pytest-qt is not installed", type="linelist")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if fixtures & {"qtbot", "qapp", "qtmodeltester", "qtlog"}:
            item.add_marker(pytest.mark.gui)


# ------------------------------------------------------------------------------- isolation


@pytest.fixture(autouse=True)
def isolated_home(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Point home, settings and caches at a folder of this test."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    for name, folder in (
        ("XDG_CONFIG_HOME", ".config"),
        ("XDG_CACHE_HOME", ".cache"),
        ("XDG_DATA_HOME", ".local/share"),
        ("XDG_STATE_HOME", ".local/state"),
        ("HF_HOME", ".cache/huggingface"),
    ):
        monkeypatch.setenv(name, str(home / folder))
    for name in [name for name in os.environ if name.startswith("DAFUSION_")]:
        if not name.startswith(("DAFUSION_TEST_", "DAFUSION_SHARED_")):
            monkeypatch.delenv(name)
    if HAS_QT and request.node.get_closest_marker("gui"):
        from PySide6.QtCore import QSettings

        for kind in (QSettings.Format.NativeFormat, QSettings.Format.IniFormat):
            QSettings.setPath(kind, QSettings.Scope.UserScope, str(home / ".config"))
    return home


@pytest.fixture
def shared_data() -> Path:
    """The folder with real photographs and odd formats; skips where there is none."""
    places = [os.environ.get("DAFUSION_SHARED_DATA"), HERE.parent.parent / "shared" / "data"]
    for place in places:
        if place and Path(place).is_dir():
            return Path(place)
    pytest.skip("no shared test data here (set DAFUSION_SHARED_DATA to its folder)")


# ------------------------------------------------------------------------------- leaks


class _WatchedConnection(sqlite3.Connection):
    """A connection that knows whether it was closed; plain ones cannot be asked or found."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.is_open = True
        self.opened_on = str(arguments[0]) if arguments else "?"
        _open_connections.add(self)

    def close(self) -> None:
        self.is_open = False
        super().close()

    def __del__(self) -> None:
        if getattr(self, "is_open", False):
            _forgotten_connections.append(self.opened_on)


_open_connections: weakref.WeakSet[_WatchedConnection] = weakref.WeakSet()
_forgotten_connections: list[str] = []
_plain_connect = sqlite3.connect


def _watched_connect(*arguments: Any, **options: Any) -> sqlite3.Connection:
    if len(arguments) < 6:  # the sixth positional argument would be a factory
        options.setdefault("factory", _WatchedConnection)
    return _plain_connect(*arguments, **options)


sqlite3.connect = _watched_connect  # type: ignore[assignment]


def _threads() -> set[threading.Thread]:
    # Threads that Qt started and Python has only seen are Qt's to end.
    return {
        thread
        for thread in threading.enumerate()
        if not isinstance(thread, threading._DummyThread) and thread.name != "tqdm_monitor"
    }


def _connections() -> set[_WatchedConnection]:
    return {connection for connection in _open_connections if connection.is_open}


def _children() -> set[Any]:
    import psutil

    try:
        found = psutil.Process().children(recursive=True)
        return {child for child in found if child.status() != psutil.STATUS_ZOMBIE}
    except psutil.NoSuchProcess:
        return set()


def _is_resource_tracker(process: Any) -> bool:
    import psutil

    try:
        line = " ".join(process.cmdline())
    except psutil.Error:
        return True
    return "resource_tracker" in line or "forkserver" in line


@pytest.fixture(autouse=True)
def no_leaks(isolated_home: Path) -> Iterator[None]:
    """Fail a test that leaves threads, child processes or database connections behind."""
    threads, children, connections = _threads(), _children(), _connections()
    _forgotten_connections.clear()
    yield
    deadline = time.monotonic() + GRACE_S
    while True:
        multiprocessing.active_children()  # reaps those that have ended
        leaks = _describe_leaks(threads, children, connections)
        if not leaks or time.monotonic() > deadline:
            break
        gc.collect()
        time.sleep(0.02)
    assert not leaks, "left behind by this test: " + "; ".join(leaks)


def _describe_leaks(
    threads: set[threading.Thread], children: set[Any], connections: set[_WatchedConnection]
) -> list[str]:
    leaks = [f"thread {thread.name}" for thread in _threads() - threads]
    leaks += [f"process {c}" for c in _children() - children if not _is_resource_tracker(c)]
    leaks += [f"connection to {c.opened_on}" for c in _connections() - connections]
    leaks += [f"connection to {name}, never closed" for name in _forgotten_connections]
    return leaks
