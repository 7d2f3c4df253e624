"""Every QAction of the window in one table: text, shortcut, tip, when it can be used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, Qt
from PySide6.QtGui import QAction, QKeySequence

from app.verbs import MAIN_TEXTS, MainVerb


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
    ActionSpec("new", "File", "&New project from a folder…", ("Ctrl+N",),
               "Choose a folder with one folder of pictures per class."),
    ActionSpec("open", "File", "&Open project…", ("Ctrl+O",), "Open a .dafusion file."),
    ActionSpec("sample", "File", "Open the &sample project", (),
               "A small set of drawn flowers, to try everything in minutes."),
    ActionSpec("import", "File", "&Add pictures…", ("Ctrl+I",),
               "Import another folder; what is known already is skipped.", _writable),
    ActionSpec("report", "File", "Save &report…", (),
               "One file with settings, figures and pictures.",
               lambda s: s.has_project and s.has_verdict),
    ActionSpec("export", "File", "&Export pictures…", ("Ctrl+E",),
               "Copies for other programs, with a list of where each came from.",
               lambda s: s.has_project and s.has_pictures),
    ActionSpec("care", "File", "Project ca&re…", (),
               "Check and find files, take in another project, copy, archive, make room.", _open),
    ActionSpec("settings", "File", "Se&ttings…", ("Ctrl+,",),
               "Device, memory for thumbnails, light or dark."),
    ActionSpec("close", "File", "&Close project", ("Ctrl+W",), "Back to the welcome page.", _open),
    ActionSpec("quit", "File", "&Quit", ("Ctrl+Q",), "Everything is saved already."),
    ActionSpec("palette", "Edit", "Find a &command…", ("Ctrl+K", "Ctrl+Shift+P"),
               "Every action, step and recent project by name."),
    ActionSpec("undo", "Edit", "&Undo", ("Ctrl+Z",), "Take back the last decision.",
               lambda s: s.is_writable and s.undo_text is not None),
    ActionSpec("redo", "Edit", "&Redo", ("Ctrl+Shift+Z", "Ctrl+Y"), "Decide it again.",
               lambda s: s.is_writable and s.redo_text is not None),
    ActionSpec("keep", "Curate", "&Keep", ("P",), "This picture may train.", _curates),
    ActionSpec("reject", "Curate", "Re&ject", ("X", "Del"),
               "This picture may not train. Its file stays.", _curates),
    ActionSpec("undecide", "Curate", "Un&decided", ("U",), "Take the decision back.", _curates),
    ActionSpec("rate_1", "Curate", "1 star", ("1",), "", _curates),
    ActionSpec("rate_2", "Curate", "2 stars", ("2",), "", _curates),
    ActionSpec("rate_3", "Curate", "3 stars", ("3",), "", _curates),
    ActionSpec("rate_4", "Curate", "4 stars", ("4",), "", _curates),
    ActionSpec("rate_5", "Curate", "5 stars", ("5",), "", _curates),
    ActionSpec("rate_0", "Curate", "No stars", ("0",), "", _curates),
    ActionSpec("next_undecided", "Curate", "&Next undecided", ("N",), "", _curates),
    ActionSpec("previous_undecided", "Curate", "Pre&vious undecided", ("Shift+N",), "", _curates),
    ActionSpec("next_picture", "Curate", "Next picture", ("D",), "", _looks),
    ActionSpec("previous_picture", "Curate", "Previous picture", ("A",), "", _looks),
    ActionSpec("view_grid", "Curate", "&Grid", ("G",), "A row per photo, a column per t0.", _looks),
    ActionSpec("view_list", "Curate", "&List", ("L",), "The pictures, filtered and sorted.",
               _looks),
    ActionSpec("view_rates", "Curate", "Accept &rates", ("R",),
               "What was accepted, per class and t0.", _looks),
    ActionSpec("loupe", "Curate", "L&oupe", ("E",), "The picture large, beside its photo.",
               _looks),
    ActionSpec("compare", "Curate", "&Compare", ("C",),
               "The chosen pictures beside their photo.", _looks),
    ActionSpec("info", "Curate", "&Info", ("I",), "Where the picture comes from.", _looks),
    ActionSpec("step", "Run", "Do this &step", ("Ctrl+Return", "Ctrl+Enter"),
               "What the main button of the step shown does.", _open),
    ActionSpec("everything", "Run", "Do everything", ("Ctrl+Shift+Return", "Ctrl+Shift+Enter"),
               "Divide the images, erase, learn, generate, train and compare.", _has_next),
    ActionSpec("health", "Run", "C&heck pictures…", (),
               "Copies across the split, torn groups, blur, missing files, doubtful classes.",
               lambda s: s.has_project and s.has_images and not s.is_importing),
    ActionSpec("regions", "Run", "Mark &regions…", (),
               "The picture in focus large, to draw boxes, polygons and masks on it.",
               lambda s: s.has_project and s.has_images),
    ActionSpec("split", "Run", "&Divide images…", (),
               "Make a new split into training and test images.", _has_images),
    ActionSpec("concepts", "Run", "Erase and &learn", (),
               "Erase the class names from the model, then learn each class from its pictures.",
               _can_start),
    ActionSpec("generate", "Run", "&Generate", (),
               "Make synthetic images from the training images.", _can_start),
    ActionSpec("train", "Run", "&Train and compare", (),
               "Train classifiers with and without synthetic images and compare them.",
               _can_start),
    ActionSpec("light", "View", "&Light", (), ""),
    ActionSpec("dark", "View", "&Dark", (), ""),
    ActionSpec("system", "View", "Follow the &system", (), ""),
    ActionSpec("jobs_panel", "View", "&Jobs at the right", ("Ctrl+J",),
               "Show or hide the list of jobs.", _open),
    ActionSpec("log", "View", "Worker &log", ("Ctrl+L",), "What the worker wrote.", _open),
    ActionSpec("shortcuts", "Help", "&Keyboard shortcuts", ("F1", "?"), ""),
    ActionSpec("bundle", "Help", "&Debug bundle…", (),
               "One file with versions, settings and logs, to send with a question. "
               "No pictures, no names of yours."),
    ActionSpec("about", "Help", "&About", (), ""),
)  # fmt: skip

_SPECS = {spec.key: spec for spec in ACTIONS}

MENUS = ("File", "Edit", "Curate", "Run", "View", "Help")

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
    ("Curate", "1 … 5, 0", "Give stars, take them away"),
    ("Curate", "← → ↑ ↓", "Move; up and down stay at the same t0"),
    ("Curate", "Shift+arrows, Ctrl+click, drag", "Select several"),
    ("Curate", "Space", "Take into the selection, or out of it"),
    ("Curate", "Click on a t0 heading", "Select that whole column"),
    ("Curate", "Enter, double click", "Loupe"),
    ("Curate", "W, held", "Loupe for a moment"),
    ("Curate", "M", "In the loupe: side by side, slider, in turn"),
    ("Curate", "+  −  wheel", "In the loupe: zoom"),
    ("Curate", "Esc", "Back to the grid"),
    ("Images", "1 … 9, 0", "Give a class, take it away"),
    ("Images", "L, S, X, U", "Class by name, not sure, leave out, take back in"),
    ("Images", "Ctrl+G, T", "Group, note"),
    ("Images", "Enter, E, double click", "Large, to mark regions"),
    ("Images", "O", "Regions on or off"),
    ("Images", "F2, Ins, Del, Alt+↑ ↓", "In the list of classes: rename, new, remove, move"),
    ("Regions", "V, B, P, M, E", "Select, box, polygon, brush, eraser"),
    ("Regions", "Shift+M, K", "New mask, turn into a mask"),
    ("Regions", "[  ]", "Size of the brush"),
    ("Regions", "Arrows, Enter", "The mouse's cross and click; in Select they move the region"),
    ("Regions", "Right button", "The brush erases, the eraser paints"),
    ("Regions", "N, Shift+N", "Next, previous region"),
    ("Regions", ".  ,  I  Del", "Next, previous point; insert, remove one"),
    ("Regions", "Wheel, +  −, F, Ctrl+1", "Zoom, whole picture, 100 %"),
    ("Regions", "Space or middle button, drag", "Move the picture"),
    ("Regions", "A  D, Page up, Page down", "Previous, next picture"),
    ("Window", "Alt+1 … Alt+6", "Go to a step"),
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
            action.setToolTip(_tip(spec, spec.tip or spec.text.replace("&", "")))
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
        for key, what in (("undo", situation.undo_text), ("redo", situation.redo_text)):
            name = key.capitalize()
            words = f"{name}: {what[:1].lower()}{what[1:]}" if what else name
            self._actions[key].setText(f"&{words}")


def _tip(spec: ActionSpec, text: str) -> str:
    keys = " or ".join(
        QKeySequence(keys).toString(QKeySequence.SequenceFormat.NativeText)
        for keys in spec.shortcuts[:1]
    )
    return f"{text}  ({keys})" if keys else text
