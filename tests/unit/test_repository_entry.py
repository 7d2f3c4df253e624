"""The one command: window or command line, and what it says where no window can open."""

from __future__ import annotations

import sys
import types
from typing import Any

import pytest

from app import entry


@pytest.mark.parametrize(
    ("arguments", "is_window"),
    [
        ([], True),
        (["--project", "weeds.dafusion"], True),
        (["--project=weeds.dafusion"], True),
        (["weeds.dafusion"], True),
        (["jobs"], False),
        (["--version"], False),
        (["report", "weeds.dafusion"], False),
    ],
)
def test_which_of_the_two_is_meant(arguments: list[str], is_window: bool) -> None:
    assert entry.wants_window(arguments) is is_window


def test_a_shell_that_completes_never_opens_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_DAFUSION_COMPLETE", "bash_complete")
    assert not entry.wants_window([])


def test_the_window_gets_the_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    window = types.SimpleNamespace(main=lambda argv: seen.append(argv) or 7)
    monkeypatch.setattr(entry, "import_module", lambda name: window)
    monkeypatch.setattr(sys, "argv", ["dafusion", "weeds.dafusion"])
    assert entry.main() == 7
    assert seen == [["dafusion", "weeds.dafusion"]]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has no screen")
def test_without_a_screen_it_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    assert entry.open_window() == 3
    assert "no screen" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ModuleNotFoundError("No module named 'PySide6'", name="PySide6"), "Qt is not installed"),
        (
            ImportError("libEGL.so.1: cannot open shared object file", name="PySide6.QtGui"),
            "cannot load (libEGL.so.1",
        ),
    ],
)
def test_where_qt_is_missing_it_says_so(
    error: ImportError,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(name: str) -> Any:
        raise error

    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    monkeypatch.setattr(entry, "import_module", fail)
    assert entry.open_window() == 3
    err = capsys.readouterr().err
    assert words in err
    assert "Your projects are untouched" in err


def test_a_mistake_in_our_own_imports_is_not_blamed_on_qt(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> Any:
        raise ModuleNotFoundError("No module named 'app.pages.frob'", name="app.pages.frob")

    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    monkeypatch.setattr(entry, "import_module", fail)
    with pytest.raises(ModuleNotFoundError):
        entry.open_window()
