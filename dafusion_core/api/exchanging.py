"""Data in and out of a project: plans of imports, imports, exports."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dafusion_core.api.importing import ProjectImages
from dafusion_core.datasets.export import ExportItem, ExportReport
from dafusion_core.datasets.export_forms import export_items
from dafusion_core.datasets.importing import ImportReport, import_plan
from dafusion_core.datasets.plan import Entry, ImportPlan, PlannedRegion, PlannedSynthetic
from dafusion_core.datasets.sources import plan_import
from dafusion_core.domain.errors import UserError
from dafusion_core.domain.records import Curation, ImportProblem, Part
from dafusion_core.domain.specs import GenerationPlan
from dafusion_core.language import _
from dafusion_core.meadow import draw_sample, sample_folder
from dafusion_core.storage import annotation, concepts, images, lineage, splits, synthetic
from dafusion_core.storage.objects import hash_file

if TYPE_CHECKING:
    from dafusion_core.domain.records import ImageRecord, Split
    from dafusion_core.storage.project import ProjectFile

Progress = Callable[[int, int, str], None]


class Exchanging:
    """A part of `Project`."""

    file: ProjectFile

    if TYPE_CHECKING:

        def current_split(self) -> Split | None:
            """See `Splitting`."""

        def images(
            self, label: str | None = None, part: Part | str | None = None
        ) -> list[ImageRecord]:
            """See `Project`."""

    # In -----------------------------------------------------------------------------------

    def plan_import(self, path: Path | str, form: str = "auto", **options: Any) -> ImportPlan:
        """What an import would bring, and what it would leave out and why. Changes nothing.

        `form`: one of `datasets.sources.FORMS`, "auto" to find out; `options` as in the form's
        planner. Raises UserError when there is nothing that can be imported.
        """
        return plan_import(path, form, **options)

    def import_data(
        self,
        source: ImportPlan | Path | str,
        form: str = "auto",
        mode: Literal["copy", "reference"] = "copy",
        on_progress: Progress | None = None,
        should_stop: Callable[[], bool] | None = None,
        **options: Any,
    ) -> ImportReport:
        """Import a plan, or what `plan_import` finds at a path.

        Importing again adds only what is new, so a stopped import goes on. Parts that the source
        states become the current split once everything is in; an image that is not part of the
        import keeps its part. Synthetic images of an earlier export come back as synthetic
        images, where their sources are there.
        """
        self.file.require_writable()
        plan = source if isinstance(source, ImportPlan) else plan_import(source, form, **options)
        store = ProjectImages(self.file)
        report = import_plan(store, plan, mode, on_progress, should_stop)
        concepts.ensure_concepts(self.file.db)
        if report.stopped:
            return report
        notes = _import_synthetics(self.file, plan.synthetics, self.current_split())
        self._adopt_parts(plan)
        return replace(report, problems=(*report.problems, *notes))

    def import_sample(
        self,
        on_progress: Progress | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> ImportReport:
        """Draw the sample pictures beside the project, unless they are there, and import them.

        `on_progress` counts first the drawing, with "" for the path, and then the import. Raises
        as `draw_sample`.
        """
        self.file.require_writable()

        def drawing(done: int, total: int, _name: str) -> None:
            if on_progress is not None:
                on_progress(done, total, "")

        drawn = draw_sample(sample_folder(self.file.path), drawing, should_stop)
        if drawn.stopped:
            return ImportReport(0, 0, (), {}, stopped=True)
        report = self.import_data(drawn.folder, on_progress=on_progress, should_stop=should_stop)
        return replace(report, warnings=(*report.warnings, *filter(None, [drawn.warning])))

    def plan_merge(self, path: Path | str) -> ImportPlan:
        """The plan of taking another project in: its images with all that was said of them, its
        parts, and its synthetic images that were not rejected. `import_data` then does it.

        Images of both stay as they are here. Raises UserError when it is this project.
        """
        from dafusion_core.api.project import open as open_project

        with open_project(path, read_only=True) as other:
            if other.path.resolve() == self.file.path.resolve():
                raise UserError(_("A project cannot be merged with itself."))
            items = list(other._export_items("both", "all", None))
            origins = {image.id: image.original_path for image in other.images()}
            labels = tuple(label.name for label in images.all_labels(other.file.db))
        entries = tuple(
            Entry(
                str(item.path),
                item.label,
                origin=origins[item.id],
                part=Part(item.part) if item.part else None,
                group=item.group,
                note=item.note,
                is_unsure=item.is_unsure,
                regions=item.regions,
            )
            for item in items
            if item.kind == "real"
        )
        synthetics = tuple(
            PlannedSynthetic(
                str(item.path), item.sha256, item.source_sha256, item.label, item.t0 or 1.0,
                item.seed or 0, item.variant or 0, Curation(item.curation), item.rating,
            )
            for item in items
            if item.kind == "synthetic"
        )  # fmt: skip
        return ImportPlan("project", other.path, entries, labels=labels, synthetics=synthetics)

    def _adopt_parts(self, plan: ImportPlan) -> None:
        """Make the parts that a plan states the current split, unless they already are."""
        stated = {entry.source: entry.part for entry in plan.entries if entry.part is not None}
        if not stated:
            return
        locked = splits.locked_test(self.file.db)
        parts: dict[int, Part] = {}
        for image in self.images():
            part = stated.get(image.original_path, image.part or Part.UNUSED)
            if (image.id in locked) != (part is Part.TEST) and locked:
                part = Part.TEST if image.id in locked else Part.UNUSED
            parts[image.id] = part
        current = self.current_split()
        if current is not None and splits.parts_of(self.file.db, current.id) == parts:
            return
        spec = {"from": plan.form, "path": str(plan.root)}
        splits.add_split(self.file.db, _("From {name}").format(name=plan.root.name), 0, spec, parts)

    # Out ----------------------------------------------------------------------------------

    def export(
        self,
        folder: Path | str,
        form: str = "folders",
        what: Literal["real", "synthetic", "both"] = "both",
        *,
        curation: Literal["kept", "all"] = "kept",
        parts: Sequence[Part | str] | None = None,
        overwrite: bool = False,
        on_progress: Progress | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> ExportReport:
        """Write images to `folder` in one of `datasets.export_forms.EXPORT_FORMS`.

        `what`: real images, synthetic ones, or both; `curation`: synthetic images that were kept,
        or all but the rejected; `parts`: only real images of these parts (None: all, also those
        in no split) and only synthetic images whose sources are in them. Rejected real images
        stay behind. Nothing is overwritten unless `overwrite`; a stopped export goes on when it
        is started again in the same way.
        """
        wanted = None if parts is None else {Part(part) for part in parts}
        items = list(self._export_items(what, curation, wanted))
        labels = [label.name for label in images.all_labels(self.file.db)]
        split = self.current_split()
        about: dict[str, Any] = {"project": self._name()}
        if split is not None:
            about["split"] = {"name": split.name, "seed": split.seed, **split.spec}
        return export_items(items, folder, form, labels, overwrite, on_progress, should_stop, about)

    def _name(self) -> str:
        return str(self.file.db.value("SELECT value FROM project WHERE key = 'name'"))

    def _export_items(
        self, what: str, curation: str, parts: set[Part] | None
    ) -> Iterator[ExportItem]:
        if what not in ("real", "synthetic", "both") or curation not in ("kept", "all"):
            raise UserError(
                _("Export “real”, “synthetic” or “both”; “kept” or “all” of the latter.")
            )
        found = {
            image.id: image
            for image in self.images()
            if not image.is_rejected and (parts is None or image.part in parts)
        }
        if what != "synthetic":
            regions: dict[int, list[PlannedRegion]] = {}
            for region in annotation.find_regions(self.file.db):
                planned = PlannedRegion(region.kind, region.data, region.label or "")
                regions.setdefault(region.image_id, []).append(planned)
            for image in found.values():
                yield ExportItem(
                    kind="real",
                    id=image.id,
                    label=image.label,
                    part="" if image.part is None else image.part.value,
                    path=self.file.objects.path(image.path),
                    name=Path(image.original_path.replace("#", "_")).name,
                    sha256=image.sha256,
                    width=image.width,
                    height=image.height,
                    group=image.group or "",
                    note=image.note,
                    is_unsure=image.is_unsure,
                    regions=tuple(regions.get(image.id, ())),
                )
        if what != "real":
            yield from self._synthetic_items(curation, found)

    def _synthetic_items(
        self, curation: str, sources: Mapping[int, ImageRecord]
    ) -> Iterator[ExportItem]:
        db = self.file.db
        names = concepts.concept_labels(db)
        told = lineage.lineages(db)
        ids = synthetic.find_synthetic_ids(db)
        for made in synthetic.get_synthetic(db, ids):
            source = sources.get(made.source_image_id)
            if source is None or made.curation is Curation.REJECTED:
                continue
            if curation == "kept" and made.curation is not Curation.KEPT:
                continue
            yield ExportItem(
                kind="synthetic",
                id=made.id,
                label=names[made.concept_id],
                # A synthetic image belongs to the part of its source.
                part="" if source.part is None else source.part.value,
                path=self.file.objects.path(made.path),
                name=f"t0_{made.t0:g}.png",
                sha256=made.sha256,
                source_id=made.source_image_id,
                t0=made.t0,
                seed=made.seed,
                curation=str(made.curation),
                width=made.width,
                height=made.height,
                variant=made.variant,
                rating=made.rating,
                source_sha256=source.sha256,
                lineage=told.get((made.job_id, made.concept_id), {}),
            )


def _import_synthetics(
    file: ProjectFile, planned: Sequence[PlannedSynthetic], split: Split | None
) -> list[ImportProblem]:
    """Bring synthetic images of an export back as results of a finished job.

    Those that are there already, or whose sources or classes are not, are left out.
    """
    db = file.db
    known = {row[0] for row in db.query("SELECT sha256 FROM synthetic_image")}
    sources = {row[0]: row[1] for row in db.query("SELECT sha256, id FROM image")}
    concept_of = {concept.name: concept.id for concept in concepts.all_concepts(db)}
    notes, good = list[ImportProblem](), list[tuple[PlannedSynthetic, str]]()
    for made in planned:
        if made.sha256 in known:
            continue
        if made.source_sha256 not in sources or made.label not in concept_of:
            notes.append(
                ImportProblem(made.path, _("the source of this synthetic image is missing"))
            )
        elif hash_file(Path(made.path)) != made.sha256:
            notes.append(
                ImportProblem(made.path, _("this synthetic image changed since its export"))
            )
        else:
            known.add(made.sha256)
            path = file.objects.copy_in(Path(made.path), made.sha256)
            good.append((made, path))
    if good:
        for _rest, path in good:
            file.objects.flush_name(path)
        plan = GenerationPlan(
            split_id=split.id if split else 0,
            t0_set=tuple(sorted({made.t0 for made, _ in good})),
            variants=max(made.variant for made, _ in good) + 1,
        )
        lineage.add_imported(db, plan, good, sources, concept_of)
    for problem in notes:
        images.add_problem(db, problem.path, problem.reason, problem.is_refused)
    return notes
