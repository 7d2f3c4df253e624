"""Checks on synthetic images, and embeddings that come from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dafusion_core.api.enqueue import enqueue
from dafusion_core.domain.errors import UserError
from dafusion_core.domain.records import Job
from dafusion_core.domain.specs import CheckSpec, ImportedEmbedding
from dafusion_core.language import _
from dafusion_core.storage import checks, jobs
from dafusion_core.storage.objects import hash_file

if TYPE_CHECKING:
    from dafusion_core.storage.project import ProjectFile


def foreign_embeddings(files: Mapping[str, Path | str]) -> tuple[ImportedEmbedding, ...]:
    """{class name: embedding file} as a spec wants it, with hashes. Raises UserError.

    For `Project.invert(imported=…)`: these classes are not learned but read.
    """
    found = []
    for concept, file in files.items():
        path = Path(file).expanduser().resolve()
        if not path.is_file():
            raise UserError(
                _("There is no embedding file {path}.").format(path=path), _("Check its name.")
            )
        found.append(ImportedEmbedding(concept, str(path), hash_file(path)))
    return tuple(found)


class Measuring:
    """A part of `Project`."""

    file: ProjectFile

    def check(self, generation_job: int, **settings: Any) -> Job:
        """Queue measurements on the images of a generation. Settings: `CheckSpec`."""
        self.file.require_writable()
        spec = CheckSpec(generation_job=generation_job, **settings)
        return jobs.get_job(self.file.db, enqueue(self.file.db, spec))

    def checks(self, ids: Sequence[int]) -> dict[int, checks.SyntheticCheck]:
        """{synthetic id: its measurements} of those that were measured."""
        return checks.checks_of(self.file.db, ids)

    def sort_by_check(self, ids: Sequence[int], key: str, *, descending: bool = False) -> list[int]:
        """`ids` by a measurement (`storage.checks.SORT_KEYS`); those without come last."""
        if key not in checks.SORT_KEYS:
            raise UserError(
                _("Images cannot be sorted by “{key}”.").format(key=key),
                _("Use {SORT_KEYS}.").format(SORT_KEYS=", ".join(checks.SORT_KEYS)),
            )
        return checks.sort_by_check(self.file.db, ids, key, descending=descending)
