"""Taking an import back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dafusion_core.domain.changes import ProjectChanges
from dafusion_core.domain.errors import UserError
from dafusion_core.language import _, count
from dafusion_core.storage import arrivals, care
from dafusion_core.storage.arrivals import ArrivalMark

if TYPE_CHECKING:
    from dafusion_core.storage.project import ProjectFile


class Arrivals:
    """A part of `Project`."""

    file: ProjectFile

    def arrival_mark(self) -> ArrivalMark:
        """This moment. One taken before and one after an import tell what it brought."""
        return arrivals.take_mark(self.file.db)

    def undo_import(self, before: ArrivalMark, after: ArrivalMark) -> ProjectChanges:
        """Remove what came between two marks: images, their copied files, and the classes, groups
        and split made for them. What was there before stays as it is now.

        It cannot be undone itself, but imported again. Raises UserError, and changes nothing, when
        a job was queued since: it may use the pictures.
        """
        self.file.require_writable()
        if arrivals.take_mark(self.file.db).job > before.job:
            raise UserError(
                _(
                    "Jobs were queued since this import and may use "
                    "its pictures. Nothing was removed."
                ),
                _("Leave the pictures out instead: select them and press X."),
            )
        number, paths = arrivals.remove_arrivals(self.file.db, before, after)
        known = care.known_paths(self.file.db)
        self.file.objects.remove(set(paths) - known)
        return ProjectChanges(
            images=number > 0,
            regions=number > 0,
            splits=number > 0,
            concepts=number > 0,
            text=count(
                number,
                "Import undone: {n:,} image removed",
                "Import undone: {n:,} images removed",
            ),
        )
