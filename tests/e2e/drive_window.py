"""Walk a user's whole path through the real window with the real worker, with screenshots.

    python tests/e2e/drive_window.py FOLDER OUT [--fake]

FOLDER (one folder per class; "sample" for the sample pictures) is copied, so nothing is written
beside it. Drops it, runs everything, rejects three pictures, takes one back,
closes while work is running, opens again, resumes, and waits for the verdict. Works on a screen,
under Xvfb, and with QT_QPA_PLATFORM=offscreen. `--fake` uses methods without torch.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QMimeData, QPointF, Qt, QTimer, QUrl
from PySide6.QtGui import QDropEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QMessageBox, QWidget

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from app.main import make_application  # noqa: E402
from app.main_window import MainWindow  # noqa: E402
from app.pages.train.page import TrainPage  # noqa: E402
from app.session import Session  # noqa: E402
from app.steps import Step  # noqa: E402
from app.theme import Mode, theme  # noqa: E402
from app.workspace import Workspace  # noqa: E402
from dafusion_core.domain.records import Curation, JobState  # noqa: E402
from dafusion_core.meadow import draw_sample  # noqa: E402

SIZE = (1320, 840)


class Driver:
    """A user with a stopwatch and a camera."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.began = time.monotonic()
        self.shots = 0
        self.window = self.open_window()

    def open_window(self) -> MainWindow:
        window = MainWindow()
        window.errors.install()
        window.resize(*SIZE)
        window.show()
        window.activateWindow()  # keys need it where no window manager gives the focus
        window.setFocus()
        return window

    @property
    def session(self) -> Session:
        assert self.window.session is not None
        return self.window.session

    @property
    def workspace(self) -> Workspace:
        assert self.window.workspace is not None
        return self.window.workspace

    def say(self, text: str) -> None:
        print(f"[{time.monotonic() - self.began:6.1f} s] {text}", flush=True)  # noqa: T201

    def wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            QApplication.processEvents()
            time.sleep(0.01)

    def until(self, what: str, holds: Callable[[], bool], limit_s: float) -> None:
        self.say(f"until {what} …")
        end = time.monotonic() + limit_s
        while not holds():
            if time.monotonic() > end:
                self.shoot("gave-up")
                raise SystemExit(f"gave up waiting until {what}")
            self.wait(0.1)
        self.wait(0.5)

    def shoot(self, name: str, widget: QWidget | None = None) -> None:
        self.shots += 1
        path = self.out / f"{self.shots:02}-{name}.png"
        (widget or self.window).grab().save(str(path))
        self.say(f"picture {path.name}")

    def drop(self, path: Path) -> None:
        mime = QMimeData()
        mime.setUrls([QUrl.fromLocalFile(str(path))])
        event = QDropEvent(
            QPointF(20, 20),
            Qt.DropAction.CopyAction,
            mime,
            Qt.MouseButton.LeftButton,
            Qt.KeyboardModifier.NoModifier,
        )
        self.window.welcome.zone.dropEvent(event)

    def pictures(self) -> int:
        return len(self.session.project.synthetic_ids())

    def states(self) -> dict[str, JobState]:
        return {job.kind: job.state for job in self.session.project.jobs()}

    def stopped(self) -> bool:
        if JobState.FAILED in self.states().values():
            self.shoot("failed")
            raise SystemExit([job.error_text for job in self.session.project.jobs()])
        return set(self.states().values()) == {JobState.SUCCEEDED}

    # The path -----------------------------------------------------------------------------

    def start(self, folder: Path) -> None:
        self.wait(0.5)
        self.shoot("welcome")
        self.drop(folder)
        self.until("imported", lambda: not self.session.imports.is_busy, 120)
        self.shoot("images")
        for step in (Step.CONCEPTS, Step.GENERATE, Step.CURATE, Step.TRAIN, Step.REPORT):
            self.workspace.show_step(step)
            self.wait(0.3)
            self.shoot(f"before-{step.value}")
        self.window.actions_table["everything"].trigger()
        self.wait(3)
        self.shoot("started")

    def curate(self) -> None:
        self.until("pictures arrive", lambda: self.pictures() >= 8 or self.stopped(), 1800)
        self.workspace.show_step(Step.CURATE)
        self.window.activateWindow()
        QTest.qWaitForWindowActive(self.window)
        grid = self.workspace.curate.grid
        grid.setFocus()
        grid.focus_first()
        self.wait(1)
        for key in (Qt.Key.Key_P, Qt.Key.Key_X, Qt.Key.Key_X, Qt.Key.Key_X):
            QTest.keyClick(grid, key)
            self.wait(0.2)
        self.until("three are rejected", lambda: self.rejected() == 3, 10)
        QTest.keyClick(self.window, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
        self.until("one is back", lambda: self.rejected() == 2, 10)
        self.shoot("rejected-three-undid-one")

    def rejected(self) -> int:
        return len(self.session.project.synthetic_ids(curation=Curation.REJECTED))

    def close_while_running(self) -> Path:
        path = self.session.project.path
        is_running = bool(self.session.running_jobs())
        self.say(f"closing, {'work is running' if is_running else 'nothing is running'}")

        def answer() -> None:
            box = QApplication.activeModalWidget()
            if isinstance(box, QMessageBox):
                self.shoot("question", box)
                box.buttons()[0].click()

        QTimer.singleShot(500, answer)
        self.window.close()
        window = self.window
        self.until("closed", lambda: not window.isVisible(), 60)
        return path

    def resume(self, path: Path) -> None:
        self.window = self.open_window()
        self.window.open_project(path)
        self.workspace.show_step(Step.CURATE)
        self.wait(1)
        self.shoot("opened-again")
        message = self.window.bar.messages.get("resume")
        if message is not None:
            self.say(message.text)
            message.buttons[0].click()

    def finish(self) -> None:
        self.until("everything is done", self.stopped, 3600)
        for mode in (Mode.LIGHT, Mode.DARK):
            theme.choose(mode)
            for step in Step:
                self.workspace.show_step(step)
                self.wait(0.8)
                self.shoot(f"{mode.value}-{step.value}")
        self.workspace.show_step(Step.CURATE)
        page = self.workspace.curate
        theme.choose(Mode.LIGHT)
        page.grid.go_to(page.model.index(0, 2))
        page.open_stage()
        self.wait(1)
        self.shoot("loupe")
        page.stage.next_mode()
        self.wait(0.5)
        self.shoot("slider")
        page.close_stage()
        page.toggle_info()
        self.wait(0.5)
        self.shoot("lineage")
        page.toggle_info()
        for view in ("list", "rates"):
            page.show_view(view)
            self.wait(0.8)
            self.shoot(view)
        page.show_view("grid")
        self.workspace.show_step(Step.TRAIN)
        train = self.workspace.pages[Step.TRAIN]
        assert isinstance(train, TrainPage)
        train.show_part("mistakes")
        self.wait(0.8)
        self.shoot("mistakes")
        self.window.resize(1140, 640)
        self.workspace.show_step(Step.CURATE)
        self.wait(0.8)
        self.shoot("small-window")
        for evaluation in self.session.project.evaluations():
            for arm in evaluation.result["arms"]:
                self.say(arm["sentence"])
        self.window.close()
        self.until("closed", lambda: not self.window.isVisible(), 60)


def main() -> None:
    """Run the walk."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("out", type=Path)
    parser.add_argument("--fake", action="store_true")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="drive-window-") as place:
        home = Path(place) / "home"
        home.mkdir()
        os.environ["HOME"] = os.environ["USERPROFILE"] = str(home)
        os.environ["XDG_CONFIG_HOME"] = str(home / ".config")
        folder = Path(place) / Path(options.folder).name
        if options.folder == "sample":
            draw_sample(folder)
        else:
            shutil.copytree(options.folder, folder)
        make_application(["drive-window"])
        theme.choose(Mode.LIGHT)
        if options.fake:
            Session.worker_target, Session.devices = "tests.fake_methods:run", ("cpu",)
            os.environ["DAFUSION_TEST_STEP_S"] = "0.1"
        driver = Driver(options.out)
        driver.start(folder)
        driver.curate()
        path = driver.close_while_running()
        driver.resume(path)
        driver.finish()


if __name__ == "__main__":
    main()
