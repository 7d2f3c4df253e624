"""What the command palette offers at this moment."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtGui import QKeySequence

from app import ui_state
from app.actions import ACTIONS
from app.dialogs.palette import Entry
from app.steps import STEP_TITLES, Step
from app.text import plain
from dafusion_core.language import _

if TYPE_CHECKING:
    from app.main_window import MainWindow


def palette_entries(window: MainWindow) -> list[Entry]:
    """Actions that can be used now, the steps, and projects opened before."""
    found = []
    for spec in ACTIONS:
        action = window.actions_table[spec.key]
        if action.isEnabled() and spec.key != "palette":
            keys = action.shortcut().toString(QKeySequence.SequenceFormat.NativeText)
            text = plain(action.text()).rstrip("…")
            found.append(Entry(text, keys, action.trigger))
    if window.workspace is not None:
        for number, step in enumerate(Step, 1):
            go = partial(window.workspace.show_step, step)
            found.append(
                Entry(
                    _("Go to {step}").format(step=STEP_TITLES[step]),
                    f"Alt+{number}",
                    go,
                )
            )
    else:
        for path in ui_state.recent_projects():
            if path.is_file():
                act = partial(window.open_project, path)
                found.append(Entry(_("Open {stem}").format(stem=path.stem), str(path.parent), act))
    return found
