"""Finding pictures that look nearly the same, and keeping one of each group."""

from __future__ import annotations

from PySide6.QtCore import QObject, Signal

from app.models.curation_grid import CurationGridModel
from app.session import Session
from dafusion_core.domain.changes import ProjectChanges
from dafusion_core.language import _, count, ngettext


class CopyFinder(QObject):
    """Looks in the background; what it found is in the model's `groups`.

    Signals:
        found(): the groups are other ones now.
    """

    found = Signal()

    def __init__(self, session: Session, model: CurationGridModel, parent: QObject) -> None:
        super().__init__(parent)
        self._session = session
        self._model = model
        self.is_looking = False

    def look(self) -> None:
        """Compare all pictures of the generation that is shown."""
        if self.is_looking:
            return
        self.is_looking = True
        project, runner = self._session.project, self._session.imports
        ids = self._model.ids_where()
        self._say(
            count(
                len(ids),
                "Looking for near copies among {n:,} picture…",
                "Looking for near copies among {n:,} pictures…",
            )
        )
        runner.submit(
            lambda: project.near_copies(ids, runner.should_stop.is_set),
            self._take,
            self._fail,
        )

    def _take(self, groups: list[list[int]]) -> None:
        self.is_looking = False
        self._model.take_groups(groups)
        number = sum(len(group) for group in groups)
        if groups:
            self._say(
                ngettext(
                    "{n:,} group of near copies, {pictures:,} pictures.",
                    "{n:,} groups of near copies, {pictures:,} pictures.",
                    len(groups),
                ).format(n=len(groups), pictures=number)
            )
        else:
            self._say(_("No near copies were found."))
        self.found.emit()

    def _fail(self, error: Exception) -> None:
        self.is_looking = False
        self._session.failed.emit(error)

    def keep_best(self) -> None:
        """Keep the best of each group and reject the others: one step to undo."""
        groups, project = self._model.groups, self._session.project
        if groups and not self._session.is_read_only:
            self._session.do(lambda: project.keep_best(groups))

    def _say(self, text: str) -> None:
        self._session.changes.publish(ProjectChanges(text=text))
