"""Every QAction of the window in one table: text, shortcut, tip, when it can be used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, Qt
from PySide6.QtGui import QAction, QKeySequence

from app.text import plain
from app.verbs import MAIN_TEXTS, MainVerb
from dafusion_core.language import _


@dataclass(frozen=True, slots=True)
class Situation:
    """What decides which actions can be used."""

    has_project: bool = False
    is_read_only: bool = False
    has_images: bool = False
    is_importing: bool = False
    is_busy: bool = False  # the queue is being worked through
    main: MainVerb = MainVerb.EVERYTHING
    has_pictures: bool = False  # synthetic ones
    has_verdict: bool = False
    undo_text: str | None = None
    redo_text: str | None = None

    @property
    def is_writable(self) -> bool:
        """A project is open and can be changed."""
        return self.has_project and not self.is_read_only


When = Callable[[Situation], bool]


def _always(situation: Situation) -> bool:
    return True


def _open(situation: Situation) -> bool:
    return situation.has_project


def _writable(situation: Situation) -> bool:
    return situation.is_writable


def _has_images(situation: Situation) -> bool:
    return situation.is_writable and situation.has_images and not situation.is_importing


def _can_start(situation: Situation) -> bool:
    return _has_images(situation) and not situation.is_busy


def _has_next(situation: Situation) -> bool:
    is_something = situation.main not in (MainVerb.WORKING, MainVerb.NOTHING)
    return _has_images(situation) and is_something


def _curates(situation: Situation) -> bool:
    return situation.is_writable and situation.has_pictures


def _looks(situation: Situation) -> bool:
    return situation.has_project and situation.has_pictures


@dataclass(frozen=True, slots=True)
class ActionSpec:
    """One line of the table. `menu` is where it stands, "" for nowhere."""

    key: str
    menu: str
    text: str
    shortcuts: tuple[str, ...] = ()
    tip: str = ""
    when: When = _always


ACTIONS = (
    ActionSpec("new", "File", _("&New project from a folder…"), ("Ctrl+N",),
               _("Choose a folder with one folder of pictures per class.")),
    ActionSpec("open", "File", _("&Open project…"), ("Ctrl+O",), _("Open a .dafusion file.")),
    ActionSpec("sample", "File", _("Open the &sample project"), (),
               _("A small set of drawn flowers, to try everything in minutes.")),
    ActionSpec("import", "File", _("&Add pictures…"), ("Ctrl+I",),
               _("Import another folder; what is known already is skipped."), _writable),
    ActionSpec("report", "File", _("Save &report…"), (),
               _("One file with settings, figures and pictures."),
               lambda s: s.has_project and s.has_verdict),
    ActionSpec("export", "File", _("&Export pictures…"), ("Ctrl+E",),
               _("Copies for other programs, with a list of where each came from."),
               lambda s: s.has_project and s.has_pictures),
    ActionSpec("care", "File", _("Project ca&re…"), (),
               _("Check and find files, take in another project, copy, archive, make room."),
               _open),
    ActionSpec("copy_project", "File", _("&Copy project…"), (),
               _("File and pictures to another place; this one stays open."), _open),
    ActionSpec("move_project", "File", _("&Move or rename project…"), (),
               _("Closes it, moves file and pictures, and opens it there. Work can be resumed."),
               lambda s: s.is_writable and not s.is_importing),
    ActionSpec("settings", "File", _("Se&ttings…"), ("Ctrl+,",),
               _("Device, memory for thumbnails, light or dark.")),
    ActionSpec("close", "File", _("&Close project"), ("Ctrl+W",),
               _("Back to the welcome page."), _open),
    ActionSpec("quit", "File", _("&Quit"), ("Ctrl+Q",), _("Everything is saved already.")),
    ActionSpec("palette", "Edit", _("Find a &command…"), ("Ctrl+K", "Ctrl+Shift+P"),
               _("Every action, step and recent project by name.")),
    ActionSpec("undo", "Edit", _("&Undo"), ("Ctrl+Z",), _("Take back the last decision."),
               lambda s: s.is_writable and s.undo_text is not None),
    ActionSpec("redo", "Edit", _("&Redo"), ("Ctrl+Shift+Z", "Ctrl+Y"), _("Decide it again."),
               lambda s: s.is_writable and s.redo_text is not None),
    ActionSpec("keep", "Curate", _("&Keep"), ("P",), _("This picture may train."), _curates),
    ActionSpec("reject", "Curate", _("Re&ject"), ("X", "Del"),
               _("This picture may not train. Its file stays."), _curates),
    ActionSpec("undecide", "Curate", _("Un&decided"), ("U",),
               _("Take the decision back."), _curates),
    ActionSpec("rate_1", "Curate", _("1 star"), ("1",), "", _curates),
    ActionSpec("rate_2", "Curate", _("2 stars"), ("2",), "", _curates),
    ActionSpec("rate_3", "Curate", _("3 stars"), ("3",), "", _curates),
    ActionSpec("rate_4", "Curate", _("4 stars"), ("4",), "", _curates),
    ActionSpec("rate_5", "Curate", _("5 stars"), ("5",), "", _curates),
    ActionSpec("rate_0", "Curate", _("No stars"), ("0",), "", _curates),
    ActionSpec("next_undecided", "Curate", _("&Next undecided"), ("N",), "", _curates),
    ActionSpec("previous_undecided", "Curate", _("Pre&vious undecided"), ("Shift+N",), "",
               _curates),
    ActionSpec("next_picture", "Curate", _("Next picture"), ("D",), "", _looks),
    ActionSpec("previous_picture", "Curate", _("Previous picture"), ("A",), "", _looks),
    ActionSpec("view_grid", "Curate", _("&Grid"), ("G",),
               _("A row per photo, a column per t0."), _looks),
    ActionSpec("view_list", "Curate", _("&List"), ("L",), _("The pictures, filtered and sorted."),
               _looks),
    ActionSpec("view_rates", "Curate", _("Accept &rates"), ("R",),
               _("What was accepted, per class and t0."), _looks),
    ActionSpec("loupe", "Curate", _("L&oupe"), ("E",), _("The picture large, beside its photo."),
               _looks),
    ActionSpec("compare", "Curate", _("&Compare"), ("C",),
               _("The chosen pictures beside their photo."), _looks),
    ActionSpec("info", "Curate", _("&Info"), ("I",), _("Where the picture comes from."), _looks),
    ActionSpec("step", "Run", _("Do this &step"), ("Ctrl+Return", "Ctrl+Enter"),
               _("What the main button of the step shown does."), _open),
    ActionSpec("everything", "Run", _("Do everything"), ("Ctrl+Shift+Return", "Ctrl+Shift+Enter"),
               _("Divide the images, erase, learn, generate, train and compare."), _has_next),
    ActionSpec("health", "Run", _("C&heck pictures…"), (),
               _("Copies across the split, torn groups, blur, missing files, doubtful classes."),
               lambda s: s.has_project and s.has_images and not s.is_importing),
    ActionSpec("regions", "Run", _("Mark &regions…"), (),
               _("The picture in focus large, to draw boxes, polygons and masks on it."),
               lambda s: s.has_project and s.has_images),
    ActionSpec("split", "Run", _("&Divide images…"), (),
               _("Make a new split into training and test images."), _has_images),
    ActionSpec("concepts", "Run", _("Erase and &learn"), (),
               _("Erase the class names from the model, then learn each class from its pictures."),
               _can_start),
    ActionSpec("generate", "Run", _("&Generate"), (),
               _("Make synthetic images from the training images."), _can_start),
    ActionSpec("train", "Run", _("&Train and compare"), (),
               _("Train classifiers with and without synthetic images and compare them."),
               _can_start),
    ActionSpec("light", "View", _("&Light"), (), ""),
    ActionSpec("dark", "View", _("&Dark"), (), ""),
    ActionSpec("system", "View", _("Follow the &system"), (), ""),
    ActionSpec("jobs_panel", "View", _("&Jobs at the right"), ("Ctrl+J",),
               _("Show or hide the list of jobs."), _open),
    ActionSpec("log", "View", _("Worker &log"), ("Ctrl+L",), _("What the worker wrote."), _open),
    ActionSpec("shortcuts", "Help", _("&Keyboard shortcuts"), ("F1", "?"), ""),
    ActionSpec("bundle", "Help", _("&Debug bundle…"), (),
               _("One file with versions, settings and logs, to send with a question. "
                 "No pictures, no names of yours.")),
    ActionSpec("about", "Help", _("&About"), (), ""),
)  # fmt: skip

_SPECS = {spec.key: spec for spec in ACTIONS}

#: Menu → its title; the shortcuts that no menu has are in groups of their own.
MENUS = {
    "File": _("&File"),
    "Edit": _("&Edit"),
    "Curate": _("&Curate"),
    "Run": _("&Run"),
    "View": _("&View"),
    "Help": _("&Help"),
}
GROUP_NAMES = MENUS | {"Images": _("Images"), "Regions": _("Regions"), "Window": _("Window")}

#: A line in the menu after these.
GROUP_ENDS = (
    "sample", "export", "settings", "palette", "redo", "undecide", "rate_0", "previous_picture",
    "view_rates", "everything", "system", "shortcuts",
)  # fmt: skip

#: What only means something while a project is open; its pages bind these.
BOUND_BY_PAGES = (
    "keep", "reject", "undecide", "next_undecided", "previous_undecided", "next_picture",
    "previous_picture", "rate_0", "rate_1", "rate_2", "rate_3", "rate_4", "rate_5", "view_grid",
    "view_list", "view_rates", "loupe", "compare", "info", "concepts", "generate", "train",
    "health", "regions", "care", "step", "everything", "undo", "redo",
)  # fmt: skip

#: Keys that are not actions, for the overlay.
MORE_SHORTCUTS = (
    ("Curate", "1 … 5, 0", _("Give stars, take them away")),
    ("Curate", "← → ↑ ↓", _("Move; up and down stay at the same t0")),
    ("Curate", _("Shift+arrows, Ctrl+click, drag"), _("Select several")),
    ("Curate", "Space", _("Take into the selection, or out of it")),
    ("Curate", _("Click on a t0 heading"), _("Select that whole column")),
    ("Curate", _("Enter, double click"), _("Loupe")),
    ("Curate", _("W, held"), _("Loupe for a moment")),
    ("Curate", "M", _("In the loupe: side by side, slider, in turn")),
    ("Curate", _("+  −  wheel"), _("In the loupe: zoom")),
    ("Curate", "Esc", _("Back to the grid")),
    ("Images", "1 … 9, 0", _("Give a class, take it away")),
    ("Images", "L, S, X, U", _("Class by name, not sure, leave out, take back in")),
    ("Images", "Ctrl+G, T", _("Group, note")),
    ("Images", _("Enter, E, double click"), _("Large, to mark regions")),
    ("Images", "O", _("Regions on or off")),
    ("Images", "F2, Ins, Del, Alt+↑ ↓", _("In the list of classes: rename, new, remove, move")),
    ("Regions", "V, B, P, M, E", _("Select, box, polygon, brush, eraser")),
    ("Regions", "Shift+M, K", _("New mask, turn into a mask")),
    ("Regions", "[  ]", _("Size of the brush")),
    (
        "Regions",
        _("Arrows, Enter"),
        _("The mouse's cross and click; in Select they move the region"),
    ),
    ("Regions", _("Right button"), _("The brush erases, the eraser paints")),
    ("Regions", "N, Shift+N", _("Next, previous region")),
    ("Regions", ".  ,  I  Del", _("Next, previous point; insert, remove one")),
    ("Regions", _("Wheel, +  −, F, Ctrl+1"), _("Zoom, whole picture, 100 %")),
    ("Regions", _("Space or middle button, drag"), _("Move the picture")),
    ("Regions", _("A  D, Page up, Page down"), _("Previous, next picture")),
    ("Window", "Alt+1 … Alt+6", _("Go to a step")),
)


class Actions(QObject):
    """The actions by key. `bind` says what one does; `follow` enables them."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._actions: dict[str, QAction] = {}
        self._bound: dict[str, Callable[[], Any]] = {}
        self.import_from: Callable[[Path], Any] = lambda path: None
        for spec in ACTIONS:
            action = QAction(spec.text, self)
            action.setShortcuts([QKeySequence(keys) for keys in spec.shortcuts])
            action.setToolTip(_tip(spec, spec.tip or plain(spec.text)))
            if spec.menu == "Curate":  # letters must not fire while somebody types elsewhere
                action.setShortcutContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            action.triggered.connect(lambda _checked=False, key=spec.key: self.run(key))
            self._actions[spec.key] = action
        self.follow(Situation())

    def __getitem__(self, key: str) -> QAction:
        return self._actions[key]

    def bind(self, key: str, act: Callable[[], Any]) -> None:
        """What the action does from now on."""
        self._bound[key] = act

    def unbind(self, *keys: str) -> None:
        """These do nothing until they are bound again (their page is gone)."""
        for key in keys:
            self._bound.pop(key, None)

    def run(self, key: str) -> None:
        """Do what the action is bound to."""
        act = self._bound.get(key)
        if act is not None:
            act()

    def follow(self, situation: Situation) -> None:
        """Enable what can be used now, and say what undo would take back."""
        for spec in ACTIONS:
            self._actions[spec.key].setEnabled(spec.when(situation))
        text, hint = MAIN_TEXTS[situation.main]
        self._actions["everything"].setText(text)
        self._actions["everything"].setToolTip(_tip(_SPECS["everything"], hint))
        undo, redo = (
            f"{what[:1].lower()}{what[1:]}" if what else ""
            for what in (situation.undo_text, situation.redo_text)
        )
        self._actions["undo"].setText(_("&Undo: {what}").format(what=undo) if undo else _("&Undo"))
        self._actions["redo"].setText(_("&Redo: {what}").format(what=redo) if redo else _("&Redo"))


def _tip(spec: ActionSpec, text: str) -> str:
    keys = " or ".join(
        QKeySequence(keys).toString(QKeySequence.SequenceFormat.NativeText)
        for keys in spec.shortcuts[:1]
    )
    return f"{text}  ({keys})" if keys else text
