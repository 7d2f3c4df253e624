"""Walk through every page, view, menu and dialog of the window and print what can be read there.

    DAFUSION_LANGUAGE=ko python tests/qt/korean_walk.py FOLDER [PICTURES]

FOLDER gets a project with three classes, worked through with methods that need no torch. The last
line printed is a JSON object: place → its texts. With PICTURES, a folder, every page is also shot
in two sizes. The language is installed first, as the command `dafusion` does it: that is why this
is a process of its own and no fixture.
"""

from __future__ import annotations

import faulthandler
import json
import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from app.entry import speak  # noqa: E402

speak()

from PIL import Image  # noqa: E402
from PySide6.QtCore import QAbstractItemModel, QAbstractListModel, QModelIndex, QPoint, Qt, QTimer  # noqa: E402
from PySide6.QtWidgets import (  # noqa: E402
    QAbstractButton,
    QAbstractItemView,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QDialog,
    QGroupBox,
    QLabel,
    QLineEdit,
    QListWidget,
    QMenu,
    QMessageBox,
    QPlainTextEdit,
    QTableView,
    QTabWidget,
    QWidget,
)

from app.dialogs.closing import ask_closing  # noqa: E402
from app.dialogs.embeddings import EmbeddingsDialog  # noqa: E402
from app.dialogs.export_model import ExportModelDialog  # noqa: E402
from app.main import make_application  # noqa: E402
from app.main_window import MainWindow  # noqa: E402
from app.pages.images.grouping import GroupingDialog  # noqa: E402
from app.pages.images.labelling import ClassDialog  # noqa: E402
from app.pages.train.experiments import ExperimentDialog  # noqa: E402
from app.pages.train.runs import RunsView, setting_title  # noqa: E402
from app.session import Session  # noqa: E402
from app.steps import Step  # noqa: E402
from app.widgets.fold import Fold  # noqa: E402
from app.widgets.parts import Segments  # noqa: E402
from dafusion_core.cli import diagnosis  # noqa: E402
from dafusion_core.domain.errors import UserError  # noqa: E402
from dafusion_core.domain.records import JobState  # noqa: E402
from dafusion_core.domain.specs import Arm, TrainingSpec  # noqa: E402
from tests.fake_methods import TARGET  # noqa: E402
from tests.korean_words import report_texts  # noqa: E402

CLASSES = ("dandelion", "ragwort", "spurge")
LIMIT_S = 230
SIZES = ((1024, 700), (1440, 900))
ROLES = (
    Qt.ItemDataRole.DisplayRole,
    Qt.ItemDataRole.ToolTipRole,
    Qt.ItemDataRole.AccessibleTextRole,
)


def make_photos(folder: Path) -> None:
    """Three classes of eight small pictures."""
    for number, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for picture in range(8):
            dice = random.Random(100 * number + picture)
            image = Image.new("RGB", (64, 48), tuple(dice.randrange(256) for _ in range(3)))
            image.save(folder / name / f"{name}-{picture:02}.png")


def texts_of(widget: QWidget) -> Iterator[str]:
    """Everything a person or a screen reader gets from this widget alone."""
    yield widget.windowTitle().replace("[*]", "")
    yield widget.toolTip()
    yield widget.accessibleName()
    yield widget.accessibleDescription()
    yield widget.statusTip()
    if isinstance(widget, (QLabel, QAbstractButton)):
        yield widget.text()
    if isinstance(widget, QGroupBox):
        yield widget.title()
    if isinstance(widget, QLineEdit | QPlainTextEdit):
        yield widget.placeholderText()
    if isinstance(widget, QComboBox):
        yield from (widget.itemText(place) for place in range(widget.count()))
    if isinstance(widget, QAbstractSpinBox):
        yield widget.specialValueText()
        yield getattr(widget, "suffix", str)()
    if isinstance(widget, QTabWidget):
        yield from (widget.tabText(place) for place in range(widget.count()))
    if isinstance(widget, QMenu):
        yield widget.title()
    for action in widget.actions():
        yield action.text()
        yield action.toolTip()
    if isinstance(widget, QAbstractItemView) and widget.model() is not None:
        yield from texts_of_model(widget.model())


def texts_of_model(model: QAbstractItemModel) -> Iterator[str]:
    """Headers, and the first thirty rows."""
    columns = 1 if isinstance(model, QAbstractListModel) else min(model.columnCount(), 12)
    for section in range(columns):
        for role in ROLES:
            yield str(model.headerData(section, Qt.Orientation.Horizontal, role) or "")
    for row in range(min(model.rowCount(QModelIndex()), 30)):
        for column in range(columns):
            for role in ROLES:
                yield str(model.index(row, column).data(role) or "")


class Walk:
    """The window, and what was read so far."""

    def __init__(self, folder: Path, pictures: Path | None) -> None:
        self.pictures = pictures
        self.read: dict[str, set[str]] = {}
        Session.worker_target = TARGET
        Session.devices = ("cpu",)
        make_photos(folder / "weeds")
        self.app = make_application(["walk"])
        self.window = MainWindow()
        self.window.resize(*SIZES[-1])
        self.window.show()
        self.photos = folder / "weeds"

    @property
    def workspace(self) -> Any:
        return self.window.workspace

    @property
    def session(self) -> Session:
        assert self.window.session is not None
        return self.window.session

    def wait(self, seconds: float = 0.05) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            QApplication.processEvents()
            time.sleep(0.005)

    def until(self, what: str, holds: Callable[[], bool], limit_s: float = 100.0) -> None:
        end = time.monotonic() + limit_s
        while not holds():
            if time.monotonic() > end:
                sys.stderr.write(f"gave up waiting until {what}\n")
                sys.stderr.flush()
                os._exit(3)  # threads of the window would keep the process
            self.wait()

    def note(self, place: str, root: QWidget | None = None) -> None:
        """Read a widget and all that is in it, shown or not: hidden parts are shown some time."""
        top = root or self.window
        found = self.read.setdefault(place, set())
        for widget in (top, *top.findChildren(QWidget)):
            found.update(text.strip() for text in texts_of(widget) if text)

    def shoot(self, name: str, widget: QWidget | None = None) -> None:
        if self.pictures is None:
            return
        if widget is not None:
            widget.grab().save(str(self.pictures / f"{name}.png"))
            return
        for size in SIZES:
            self.window.resize(*size)
            self.wait(0.3)
            self.window.grab().save(str(self.pictures / f"{name}-{size[0]}.png"))

    # The way ------------------------------------------------------------------------------

    def welcome(self) -> None:
        self.note("welcome")
        self.shoot("0-welcome")

    def work(self) -> None:
        self.window.take(self.photos)
        self.until(
            "imported",
            lambda: (
                self.window.session is not None
                and self.session.project.image_count() == 24
                and not self.session.imports.is_busy
            ),
        )
        for step in Step:
            self.workspace.show_step(step)
            self.wait()
            self.note(f"{step.value}, empty")
        self.window.actions_table["everything"].trigger()
        self.wait(0.5)
        self.note("running")
        self.until("all is done", self.is_done)
        self.wait(0.5)

    def is_done(self) -> bool:
        jobs = self.session.project.jobs()
        if any(job.state is JobState.FAILED for job in jobs):
            raise SystemExit([job.error_text for job in jobs])
        return bool(jobs) and all(job.state is JobState.SUCCEEDED for job in jobs)

    def pages(self) -> None:
        for number, step in enumerate(Step, 1):
            self.workspace.show_step(step)
            self.wait(0.3)
            page = self.workspace.pages[step]
            self.shoot(f"{number}-{step.value}")
            for fold in page.findChildren(Fold):
                fold.button.setChecked(True)
            self.wait(0.1)
            self.note(step.value)
            self.shoot(f"{number}-{step.value}-open")
            for switch in page.findChildren(Segments):
                for key, button in switch.buttons.items():
                    if button.isEnabled() and button.isVisible():
                        button.click()
                        self.wait(0.3)
                        self.note(f"{step.value}, {key}")
                        self.shoot(f"{number}-{step.value}-{key}")
        self.whole_report()
        self.differences()
        self.workspace.jobs.show()
        self.note("jobs", self.workspace.jobs)
        self.decide()
        self.note("after an undo")

    def whole_report(self) -> None:
        """The page that is shown in the window, without keys of settings and quoted English."""
        self.workspace.show_step(Step.REPORT)
        page = self.workspace.pages[Step.REPORT]
        page.show_part("page")
        self.until("the report is shown", lambda: "<h2>" in page.view._prepared.html)
        self.wait(0.3)
        self.shoot("9-whole-report")
        self.read["whole report"] = {text for _tag, text in report_texts(page.view._prepared.html)}

    def differences(self) -> None:
        """What differs between the runs, all of them chosen."""
        self.workspace.show_step(Step.TRAIN)
        for view in self.workspace.pages[Step.TRAIN].findChildren(RunsView):
            view.table.selectAll()
            self.wait(0.1)
            self.note("train, differences", view)
            self.read["train, differences"] |= {
                setting_title(field.name)
                for kind in (Arm, TrainingSpec)
                for field in fields(kind)
                if field.name not in ("arms", "seeds", "name", "spec_version")  # never listed
            }

    def hardware(self) -> None:
        """The card with what the helper says, which is looked up here without waiting for torch."""
        card = self.window.welcome.hardware
        healthy = {
            "version": "2", "cuda_build": None, "threads": 2, "has_cuda": False,
            "is_torchvision_complete": True,
        }  # fmt: skip
        device = {"device": "cpu", "name": "Xeon", "free_bytes": 1, "total_bytes": 2}
        for torch in ({"error": "x"}, healthy):
            facts = {"torch": torch, "libraries": {}, "devices": [device]}
            found = [*diagnosis.look_at_torch(facts), diagnosis.look_at_python((3, 9, 1))]
            found.append(diagnosis.look_at_model({}))
            card.take({"findings": [asdict(one) for one in found]})
            self.note("hardware", card)
        self.wait(0.3)
        self.shoot("0-hardware", card)

    def decide(self) -> None:
        """What a command is called stands in the menu."""
        project = self.session.project
        ids = project.synthetic_ids()[:2]
        labels = [image.id for image in project.images()[:2]]
        for act in (
            lambda: project.reject(ids),
            lambda: project.rate(ids, 3),
            lambda: project.relabel(labels, "ragwort"),
            lambda: project.set_note(labels, "x"),
            lambda: project.mark_unsure(labels),
            lambda: project.reject_images(labels),
        ):
            self.session.do(act)
            self.wait(0.2)
            self.note("history", self.window.menuBar())
            for key in ("undo", "redo"):
                self.read["history"].add(self.window.actions_table[key].text())

    def menus(self) -> None:
        for menu in self.window.findChildren(QMenu):
            menu.aboutToShow.emit()
            self.note("menus", menu)
        for action in self.window.actions_table._actions.values():
            self.read["menus"] |= {action.text(), action.toolTip()}

    def dialogs(self) -> None:
        table = self.window.actions_table
        for key in ("settings", "palette", "shortcuts", "split", "export", "health", "care", "log"):
            self.until(f"{key} can be used", table[key].isEnabled)
            table[key].trigger()
            self.until(f"{key} is open", lambda: bool(self.open_dialogs()))
            self.wait(0.3)
            self.read_dialogs(key)
        names = list(CLASSES)
        self.workspace.show_step(Step.TRAIN)
        for name, made in {
            "embeddings": EmbeddingsDialog(names, {}, self.window),
            "groups": GroupingDialog(self.session, [1, 2], self.window),
            "class": ClassDialog(names, 2, self.window),
            "experiment": ExperimentDialog(self.session, self.window),
            "classifier": ExportModelDialog(self.session, self.window),
        }.items():
            made.open()
            self.wait(0.2)
            self.read_dialogs(name)

        def answer() -> None:
            for box in self.app.topLevelWidgets():
                if isinstance(box, QMessageBox) and box.isVisible():
                    self.note("closing", box)
                    self.shoot("d-closing", box)
                    box.reject()

        QTimer.singleShot(200, answer)
        ask_closing(self.window, 2)

    def read_dialogs(self, name: str) -> None:
        for dialog in self.open_dialogs():
            self.note(f"dialog {name}", dialog)
            self.shoot(f"d-{name}", dialog)
            dialog.close()
        self.until(f"{name} is closed", lambda: not self.open_dialogs())

    def open_dialogs(self) -> list[QDialog]:
        """Dialogs on the screen. A child of the window is no top-level widget in every style."""
        found = [w for w in self.app.allWidgets() if isinstance(w, QDialog) and w.isVisible()]
        return [w for w in found if w.isWindow()]

    def image_menus(self) -> None:
        self.workspace.show_step(Step.IMAGES)
        page = self.workspace.pages[Step.IMAGES]
        for child in page.findChildren(QListWidget) + page.findChildren(QTableView):
            child.setFocus()
            child.customContextMenuRequested.emit(QPoint(5, 5))
            self.wait(0.1)
            for menu in self.app.topLevelWidgets():
                if isinstance(menu, QMenu) and menu.isVisible():
                    self.note("context menus", menu)
                    menu.close()
        if page.editor is not None:
            self.note("editor", page.editor)

    def errors(self) -> None:
        try:
            self.session.project.rename_class("nobody", "somebody")
        except UserError as error:
            self.window.errors.show(error)
        self.window.errors.show(OSError(28, "No space left on device"))
        self.window.errors.show(MemoryError())
        self.wait(0.1)
        self.note("errors", self.window.bar)

    def walk(self) -> dict[str, list[str]]:
        self.welcome()
        self.hardware()
        self.work()
        self.pages()
        self.menus()
        self.image_menus()
        self.dialogs()
        self.errors()
        self.session.close_now()
        self.window.close()
        self.wait(0.1)
        return {place: sorted(texts) for place, texts in self.read.items()}


def main() -> int:
    """See the top of this file."""
    folder = Path(sys.argv[1])
    pictures = Path(sys.argv[2]) if len(sys.argv) > 2 else None
    folder.mkdir(parents=True, exist_ok=True)
    if pictures is not None:
        pictures.mkdir(parents=True, exist_ok=True)
    # Whatever waits for an answer ends here, with the place where it waits.
    faulthandler.dump_traceback_later(LIMIT_S, exit=True)
    print(json.dumps(Walk(folder, pictures).walk(), ensure_ascii=False))  # noqa: T201
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
