"""What curation needs beyond keep and reject: stars, saved views, where a picture comes from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dafusion_core.api.near_copies import find_groups, keep_best
from dafusion_core.domain.changes import ProjectChanges
from dafusion_core.domain.errors import UserError
from dafusion_core.domain.records import Lineage, Part, SavedView
from dafusion_core.language import _
from dafusion_core.storage import (
    concepts,
    images,
    jobs,
    overview,
    previews,
    splits,
    synthetic,
    views,
)

if TYPE_CHECKING:
    from dafusion_core.storage.project import ProjectFile


class Curating:
    """A part of `Project`."""

    file: ProjectFile

    def rate(self, ids: Sequence[int], rating: int) -> ProjectChanges:
        """Give synthetic images 1 to 5 stars, 0 takes them away. One undoable step."""
        self.file.require_writable()
        if not 0 <= rating <= 5:
            raise UserError(
                _("{rating} stars cannot be given.").format(rating=rating),
                _("Use 1 to 5, or 0 for none."),
            )
        return synthetic.rate(self.file.db, ids, rating)

    def keep_preview(self, job_id: int, t0: float) -> ProjectChanges:
        """Keep the picture that a preview made at `t0`: it becomes a synthetic image. Generating
        with the same plan makes it again, kept. One undoable step, which leaves it undecided.

        Raises UserError if there is no such picture.
        """
        self.file.require_writable()
        return previews.keep_preview(self.file.db, job_id, t0)

    def previews_with_images(self) -> list[int]:
        """Ids of the previews of which a picture was kept at some time."""
        return previews.previews_with_images(self.file.db)

    def near_copies(
        self, ids: Sequence[int], should_stop: Callable[[], bool] = lambda: False
    ) -> list[list[int]]:
        """Groups of these synthetic images that look nearly the same, each within a class.

        Every picture is read: a few milliseconds each. See `api.near_copies`.
        """
        found = synthetic.get_synthetic(self.file.db, ids)
        return find_groups(found, lambda image: self.file.objects.path(image.path), should_stop)

    def keep_best(self, groups: Sequence[Sequence[int]]) -> ProjectChanges:
        """Keep the best of each group, reject the others. One undoable step."""
        self.file.require_writable()
        return keep_best(self.file.db, groups)

    def saved_views(self, page: str) -> list[SavedView]:
        """Named filters of a page of the window, by name."""
        return views.all_views(self.file.db, page)

    def save_view(self, page: str, name: str, spec: Mapping[str, Any]) -> None:
        """Keep a filter under a name; one of that name is replaced."""
        self.file.require_writable()
        views.store_view(self.file.db, page, name, spec)

    def delete_view(self, page: str, name: str) -> None:
        """Forget a named filter."""
        self.file.require_writable()
        views.remove_view(self.file.db, page, name)

    def image_ids(self, label: str | None = None) -> list[int]:
        """Ids of the real images (of a class), by class and id."""
        return overview.image_ids(self.file.db, label)

    def part_counts(self) -> dict[str, dict[Part | None, int]]:
        """Class → part of the current split (None: in no part) → number of real images."""
        found = splits.all_splits(self.file.db)
        return overview.part_counts(self.file.db, found[-1].id if found else None)

    def lineage(self, synthetic_id: int) -> Lineage:
        """Photo, plan, prompt, token embedding and erased model of a synthetic image.

        Raises UserError if there is no such image.
        """
        db = self.file.db
        found = synthetic.get_synthetic(db, [synthetic_id])
        if not found:
            raise UserError(
                _("There is no synthetic image {synthetic_id}.").format(synthetic_id=synthetic_id)
            )
        image = found[0]
        plan = self._plan(image.job_id)
        source = images.find_images(db, ids=[image.source_image_id])[0]
        concept = next(c for c in concepts.all_concepts(db) if c.id == image.concept_id)
        learned = plan.get("inversion_job")
        embedding = next(
            (
                item
                for item in (concepts.token_embeddings(db, learned) if learned else [])
                if item.concept_id == concept.id
            ),
            None,
        )
        erasure = plan.get("erasure_job")
        erased = concepts.erased_models(db, erasure) if erasure else []
        word = concept.placeholder if learned else concept.name
        return Lineage(
            image,
            source,
            concept,
            str(plan.get("prompt", "")).replace("{concept}", word),
            plan,
            embedding,
            erased[-1] if erased else None,
        )

    def _plan(self, job_id: int) -> dict[str, Any]:
        spec = jobs.get_job(self.file.db, job_id).spec
        plan: dict[str, Any] = spec.get("plan", spec)  # of a preview
        return plan
