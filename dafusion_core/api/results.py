"""What leaves a project: a report to read, and pictures for other programs."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from dafusion_core.api.experiments import experiment_table, list_experiments
from dafusion_core.api.project import Project
from dafusion_core.datasets.export import ExportItem, ExportReport
from dafusion_core.datasets.export import export_folder as copy_items
from dafusion_core.datasets.pictures import make_thumbnail
from dafusion_core.domain.records import Curation, Job, JobState, Part
from dafusion_core.domain.specs import load_spec
from dafusion_core.evaluation import figures, pdf, report
from dafusion_core.evaluation.fonts import can_print
from dafusion_core.evaluation.inspection import Inspection, inspect_record
from dafusion_core.evaluation.method_text import describe_method, list_settings
from dafusion_core.evaluation.verdict import Verdict
from dafusion_core.evaluation.wording import arm_title
from dafusion_core.language import ENGLISH, _, speaking, spoken
from dafusion_core.storage.concepts import concept_labels, inversion_files, sheet_paths

EXAMPLES_PER_CLASS = 2
MOST_LOOKS = 12  # learned words whose previews are shown
FONT_IS_MISSING = (
    "This computer has no font with the letters of the chosen language, so this PDF is in English. "
    "The report as an HTML page is in that language."
)
_STEPS = {"erase": "erasure", "invert": "inversion", "generate": "generation", "train": "training"}


def export_folder(
    project: Project,
    folder: Path | str,
    what: Literal["kept", "all"] = "kept",
    *,
    real: bool = True,
    overwrite: bool = False,
) -> ExportReport:
    """Copy images to `folder`, a folder per class, with a manifest of their lineage.

    `what`: synthetic images that were kept, or all of them whatever was decided. `real` adds the
    training images of the current split; validation and test images are never written, so that
    nobody trains on them by accident. See `datasets.export.export_folder` for what is refused.
    """
    return copy_items(_items(project, what, real), folder, overwrite)


def _items(project: Project, what: str, real: bool) -> Iterator[ExportItem]:
    if real:
        for image in project.images(part=Part.TRAIN):
            yield ExportItem(
                kind="real",
                id=image.id,
                label=image.label,
                part=str(image.part),
                path=project.image_path(image),
                name=Path(image.original_path).name,
                sha256=image.sha256,
            )
    names = {concept.id: concept.name for concept in project.concepts()}
    wanted = Curation.KEPT if what == "kept" else None
    for made in project.synthetic(project.synthetic_ids(curation=wanted)):
        yield ExportItem(
            kind="synthetic",
            id=made.id,
            label=names[made.concept_id],
            part=str(Part.TRAIN),
            path=project.synthetic_path(made),
            name=f"t0_{made.t0:g}.png",
            sha256=made.sha256,
            source_id=made.source_image_id,
            t0=made.t0,
            seed=made.seed,
            curation=str(made.curation),
        )


def write_report(project: Project, path: Path | str, *, language: str | None = None) -> Path:
    """Write the newest verdict and all that led to it as one file; return its path.

    A name that ends in .pdf gives a PDF, any other an HTML page that needs nothing else.
    `language`: "en" or "ko"; by default the installed one, English in a script. A PDF is English
    where the computer has no font for the language, and says so. Raises UserError when `path` is
    a folder, EnvironmentProblem when it cannot be written.
    """
    wanted = language or spoken()
    if Path(path).suffix.lower() != ".pdf":
        with speaking(wanted):
            return report.write_report(collect_report(project), path, make_thumbnail)
    if can_print(wanted):
        with speaking(wanted):
            return pdf.write_pdf(collect_report(project), path, make_thumbnail)
    with speaking(ENGLISH):
        return pdf.write_pdf(collect_report(project), path, make_thumbnail, FONT_IS_MISSING)


def write_figures(
    project: Project, folder: Path | str, *, language: str | None = None
) -> list[Path]:
    """Write every figure of the report into `folder`, as SVG and as PNG; return the paths.

    `language`: as for `write_report`; English where the computer has no font for it. Raises
    EnvironmentProblem when they cannot be drawn or written.
    """
    wanted = language or spoken()
    with speaking(wanted if can_print(wanted) else ENGLISH):
        data = collect_report(project)
        drawn = figures.all_figures(
            data.verdict, data.experiments, data.losses, data.accuracies, data.inspection
        )
        return figures.save_figures(drawn, Path(folder))


def collect_report(project: Project) -> report.ReportData:
    """What the report shows: the newest verdict with the jobs it came from."""
    evaluations = project.evaluations()
    chain = _chain(project, evaluations[-1].job_id if evaluations else None)
    generation = chain.get("generate")
    return report.ReportData(
        project=project.name,
        created_at=datetime.now().strftime(_("%d %B %Y, %H:%M")),
        method=_method(chain),
        method_for_papers=_method_for_papers(chain),
        verdict=Verdict.from_dict(evaluations[-1].result) if evaluations else None,
        real=_real_counts(project),
        synthetic=_synthetic_counts(project, generation),
        examples=tuple(_examples(project, generation)),
        settings=tuple(
            report.SettingsBlock(
                _("Job {id}: {title}").format(id=job.id, title=job.title),
                tuple(list_settings(job.spec)),
            )
            for job in chain.values()
        ),
        hashes=_hashes(project, chain),
        versions=_versions(),
        problems=tuple(project.import_problems()),
        experiments=tuple(experiment_table(project, one.id) for one in list_experiments(project)),
        losses=_curves(project, chain.get("train"), "loss/train"),
        accuracies=_curves(project, chain.get("train"), "accuracy/test"),
        inspection=_inspection(project, chain.get("train")),
        sheets=(
            *_sheets(project, chain.get("erase")),
            *_learned_looks(project, chain.get("invert")),
        ),
        licence=_licence(chain),
    )


def _curves(project: Project, training: Job | None, series: str) -> dict[str, list[Any]]:
    """Run → points of one curve."""
    if training is None:
        return {}
    names = {unit.id: _curve_title(unit.key) for unit in project.units(training.id)}
    curves: dict[str, list[Any]] = {}
    for metric in project.metrics(training.id, series):
        name = names.get(metric.unit_id or 0, series)
        curves.setdefault(name, []).append((metric.step, metric.value))
    return curves


def _curve_title(key: str) -> str:
    """The name of a run from the key of its unit, ARM/SEED."""
    arm, slash, seed = key.rpartition("/")
    return _("{arm}, seed {seed}").format(arm=arm_title(arm), seed=seed) if slash else key


def _inspection(project: Project, training: Job | None) -> Inspection | None:
    """The last arm's first seed: an example of a run, not the best one."""
    runs = project.runs(training.id) if training else []
    if not runs or training is None:
        return None
    last = training.spec["arms"][-1]["name"]
    mine = [run for run in runs if run.arm == last] or runs
    return inspect_record(min(mine, key=lambda run: run.seed).record)


def _sheets(project: Project, erasure: Job | None) -> Iterator[report.Sheet]:
    if erasure is None:
        return
    sheets, models = sheet_paths(project.file.db, erasure.id), project.erasures(erasure.id)
    for model in models:
        if model.id not in sheets:
            continue
        measured = [
            _("{name}: {share:.0f} % of its effect is left").format(name=name, share=100 * left)
            for name, left in _left_over(model.record)
        ]
        title = (
            _("Erasure check, the model without {names}: before (left) and after (right)")
            if len(models) > 1
            else _("Erasure check: before (left) and after (right)")
        )
        yield report.Sheet(
            title.format(names=", ".join(model.concepts)),
            "; ".join(measured),
            project.file.objects.path(sheets[model.id]),
        )


def _learned_looks(project: Project, inversion: Job | None) -> Iterator[report.Sheet]:
    """What each learned word drew while it was learned, from noise alone."""
    if inversion is None:
        return
    records = {found.concept_id: found.record for found in project.embeddings(inversion.id)}
    names = concept_labels(project.file.db)
    sheets = inversion_files(project.file.db, inversion.id, "previews")
    for concept_id, (path, _hash) in list(sheets.items())[:MOST_LOOKS]:
        record = records.get(concept_id, {})
        rows = [
            _("step {step} ({hash})").format(step=row["step"], hash=row["hash"])
            for row in record.get("previews", ())
        ]
        yield report.Sheet(
            _("What the word for “{name}” draws").format(name=names.get(concept_id, concept_id)),
            _("From noise and the learned word alone, no photo; rows from the top: {rows}.").format(
                rows=", ".join(rows) or _("not recorded")
            ),
            project.file.objects.path(path),
        )


def _left_over(record: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """(concept, share of its effect that is left) as far as the erasure recorded it."""
    for row in (record.get("check") or {}).get("prompts", ()):
        if row["role"] == "concept":
            yield row["prompt"], max(0.0, float(row["left"]))  # below 0: pushed beyond it


def _licence(chain: dict[str, Job]) -> str:
    """What is known of the base model's licence."""
    for kind in ("generate", "invert", "erase"):
        model = chain[kind].spec.get("model", {}) if kind in chain else {}
        if model.get("kind") == "bundled":
            return _(
                "Base model: the one bundled with this program (Apache-2.0, see its model card)."
            )
        if model:
            place = f"{model.get('location', '')} {model.get('revision', '')}".strip()
            return _(
                "Base model: {place}. Its licence is that of its publisher; see its model card."
            ).format(place=place)
    return ""


def _chain(project: Project, comparison: int | None) -> dict[str, Job]:
    """Kind → the job of that kind behind a comparison, or the newest that succeeded."""
    jobs = {job.id: job for job in project.jobs()}
    wanted = {i for i, job in jobs.items() if job.state is JobState.SUCCEEDED}
    if comparison is not None:
        wanted, todo = set(), [comparison]
        while todo:
            wanted.add(todo[-1])
            todo.extend(jobs[todo.pop()].needs)
    return {jobs[i].kind: jobs[i] for i in sorted(wanted)}


def _method(chain: dict[str, Job]) -> tuple[str, ...]:
    specs: dict[str, Any] = {
        name: load_spec(kind, chain[kind].spec) for kind, name in _STEPS.items() if kind in chain
    }
    if "compare" in chain:
        specs["evaluation"] = load_spec("compare", chain["compare"].spec)
    return describe_method(**specs)


def _method_for_papers(chain: dict[str, Job]) -> tuple[str, ...]:
    """The method in English too, where the report is not: few papers are in another language."""
    if spoken() == ENGLISH:
        return ()
    with speaking(ENGLISH):
        return _method(chain)


def _real_counts(project: Project) -> tuple[report.ClassCounts, ...]:
    counts: dict[str, dict[str, int]] = {label.name: {} for label in project.labels()}
    for image in project.images():
        part = str(image.part or Part.UNUSED)
        if not image.label:
            continue  # pictures without a class are in no part
        counts[image.label][part] = counts[image.label].get(part, 0) + 1
    return tuple(report.ClassCounts(label, parts) for label, parts in counts.items())


def _synthetic_counts(
    project: Project, generation: Job | None
) -> tuple[report.SyntheticCounts, ...]:
    if generation is None:
        return ()
    names = {concept.id: concept.name for concept in project.concepts()}
    return tuple(
        report.SyntheticCounts(
            names[concept_id],
            t0,
            kept=found.get(Curation.KEPT, 0),
            rejected=found.get(Curation.REJECTED, 0),
            undecided=found.get(Curation.UNDECIDED, 0),
        )
        for (concept_id, t0), found in sorted(project.curation_counts(generation.id).items())
    )


def _examples(project: Project, generation: Job | None) -> Iterator[report.Example]:
    if generation is None:
        return
    for label in project.labels():
        sources = project.images(label=label.name, part=Part.TRAIN)[:EXAMPLES_PER_CLASS]
        for source in sources:
            ids = project.synthetic_ids(job_id=generation.id, source_image_id=source.id)
            first = [made for made in project.synthetic(ids) if made.variant == 0]
            yield report.Example(
                label=label.name,
                source=project.image_path(source),
                synthetics=tuple(
                    report.ExampleImage(project.synthetic_path(made), made.t0, made.curation)
                    for made in sorted(first, key=lambda made: made.t0)
                ),
            )


def _hashes(project: Project, chain: dict[str, Job]) -> tuple[tuple[str, str], ...]:
    rows = [
        (
            _("settings of job {id} ({kind}, computed on {device})").format(
                id=job.id, kind=job.kind, device=job.device
            ),
            job.spec_hash,
        )
        for job in chain.values()
    ]
    if "erase" in chain:
        for model in project.erasures(chain["erase"].id):
            rows += [(_("base model"), model.base_hash), (_("erased weights"), model.sha256)]
    if "invert" in chain:
        rows += [
            (_("embedding {word}").format(word=found.placeholder), found.sha256)
            for found in project.embeddings(chain["invert"].id)
        ]
    if "train" in chain:
        rows += [
            (
                _("classifier, {arm}, seed {seed}").format(arm=arm_title(run.arm), seed=run.seed),
                run.sha256,
            )
            for run in project.runs(chain["train"].id)
        ]
    return tuple(rows)


def _versions() -> tuple[tuple[str, str], ...]:
    rows = [("Python", platform.python_version())]
    for package in ("dafusion-studio", "torch", "torchvision", "diffusers", "transformers"):
        try:
            rows.append((package, metadata.version(package)))
        except metadata.PackageNotFoundError:
            continue
    return tuple(rows)
