"""The report: one HTML file that needs nothing else, to keep, print or send.

It holds no scripts and loads nothing; pictures are inside as small JPEGs. It follows the reader's
light or dark setting.
"""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from dafusion_core.domain.errors import BadImage, UserError, translate_os_error
from dafusion_core.domain.records import Curation, ImportProblem, Part
from dafusion_core.evaluation.few_shot import ExperimentTable, shots_text
from dafusion_core.evaluation.figures import Curves, all_figures, are_available, to_bytes
from dafusion_core.evaluation.html import (
    TONES,
    Cell,
    Raw,
    draw_differences,
    escape,
    page,
    paragraph,
    section,
    table,
)
from dafusion_core.evaluation.inspection import Inspection
from dafusion_core.evaluation.metrics import class_figures
from dafusion_core.evaluation.notes import tell_note
from dafusion_core.evaluation.verdict import Verdict, paper_text, percent, points
from dafusion_core.evaluation.wording import (
    arm_title,
    curation_title,
    explain_arm,
    finding_title,
    part_title,
    span_text,
)
from dafusion_core.language import _

__all__ = [
    "ClassCounts",
    "Example",
    "ExampleImage",
    "ReportData",
    "SettingsBlock",
    "Sheet",
    "SyntheticCounts",
    "Thumbnailer",
    "render_report",
    "write_report",
]

#: (path, size) → RGB picture that fits into size×size pixels; raises BadImage or OSError.
Thumbnailer = Callable[[Path, int], Image.Image]

_PICTURE_PIXELS = 224  # twice the size shown, for screens with fine pixels
_SHEET_PIXELS = 1200
_MOST_PROBLEMS = 200
_MOST_CONFUSION = 24  # classes; wider matrices do not fit on a page

_PARTS = (Part.TRAIN, Part.VALIDATION, Part.TEST, Part.UNUSED)


@dataclass(frozen=True, slots=True)
class ClassCounts:
    """Real images of one class per part of the split."""

    label: str
    parts: dict[str, int]


@dataclass(frozen=True, slots=True)
class SyntheticCounts:
    """Synthetic images of one class at one t0, by human decision."""

    label: str
    t0: float
    kept: int = 0
    rejected: int = 0
    undecided: int = 0


@dataclass(frozen=True, slots=True)
class ExampleImage:
    """A synthetic image to show."""

    path: Path
    t0: float
    curation: Curation = Curation.UNDECIDED


@dataclass(frozen=True, slots=True)
class Example:
    """A source image with some of its synthetic images."""

    label: str
    source: Path
    synthetics: tuple[ExampleImage, ...]


@dataclass(frozen=True, slots=True)
class Sheet:
    """A picture of many pictures, such as prompts before and after an erasure."""

    title: str
    text: str
    path: Path


@dataclass(frozen=True, slots=True)
class SettingsBlock:
    """A titled list of (name, value), for example the spec of one job."""

    title: str
    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class ReportData:
    """Everything the report shows. Empty parts are left out of the page.

    `losses`, `accuracies`: curves of the trainings; `inspection`: the run that is looked at more
    closely; `licence`: of the base model. `method`: sentences (see `describe_method`), and
    `method_for_papers` the same in English where the report is not; `hashes`: (what, SHA-256 or
    other identity); `versions`: (program or package, version); `created_at`: a
    date for people.
    """

    project: str
    created_at: str
    method: tuple[str, ...] = ()
    verdict: Verdict | None = None
    real: tuple[ClassCounts, ...] = ()
    synthetic: tuple[SyntheticCounts, ...] = ()
    examples: tuple[Example, ...] = ()
    settings: tuple[SettingsBlock, ...] = ()
    hashes: tuple[tuple[str, str], ...] = ()
    versions: tuple[tuple[str, str], ...] = ()
    problems: tuple[ImportProblem, ...] = ()
    notes: tuple[str, ...] = ()
    experiments: tuple[ExperimentTable, ...] = ()
    losses: Curves = field(default_factory=dict)
    accuracies: Curves = field(default_factory=dict)
    inspection: Inspection | None = None
    sheets: tuple[Sheet, ...] = ()
    licence: str = ""
    method_for_papers: tuple[str, ...] = ()


def write_report(data: ReportData, path: Path | str, thumbnail: Thumbnailer) -> Path:
    """Write the report to `path`, replacing an earlier one only when the new one is whole.

    `thumbnail` makes the small pictures; one that fails is shown as a gap. Raises UserError when
    `path` is a folder and EnvironmentProblem (DiskFull…) when it cannot be written.
    """
    path = Path(path)
    if path.is_dir():
        raise UserError(
            _("“{path}” is a folder.").format(path=path),
            _("Give the name of a file, such as report.html."),
        )
    text = render_report(data, thumbnail)
    partial = path.with_name(path.name + ".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, encoding="utf-8", newline="\n")
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise translate_os_error(error, _("writing the report {path}").format(path=path)) from error
    return path


def render_report(data: ReportData, thumbnail: Thumbnailer) -> str:
    """The report as the text of an HTML page."""
    parts = [*_findings(data), *_experiments(data), *_method(data), *_accuracies(data)]
    parts += [*_figures(data), *_counts(data), *_sheets(data.sheets, thumbnail)]
    parts += [*_examples(data.examples, thumbnail), *_details(data), *_problems(data.problems)]
    lead = _("Report of {date}").format(date=data.created_at) if data.created_at else ""
    return page(data.project, lead, parts)


def _findings(data: ReportData) -> Iterator[str]:
    verdict = data.verdict
    if verdict is None:
        yield section(_("Did it help?"), paragraph(_("No comparison has been made yet.")))
        return
    body = [
        paragraph(explain_arm(verdict, arm), f"finding {TONES.get(arm.finding, 'open')}")
        for arm in verdict.arms
    ]
    body.append(draw_differences(verdict))
    notes = (*verdict.notes, *data.notes)
    body += [paragraph(tell_note(note), "note") for note in notes]
    yield section(_("Did it help?"), *body)


def _experiments(data: ReportData) -> Iterator[str]:
    for found in data.experiments:
        rows: list[list[Cell]] = []
        for cell in found.cells:
            verdicts = {one.name: one for one in cell.verdict.arms} if cell.verdict else {}
            for point in cell.points:
                one = verdicts.get(point.arm)
                rows.append(
                    [
                        f"{shots_text(cell.shots)}: {arm_title(point.arm)}",
                        f"{len(point.accuracies)}",
                        percent(point.mean),
                        points(one.difference) if one else "–",
                        span_text(one),
                        finding_title(one.finding) if one else "",
                    ]
                )
        yield section(
            _("Experiment: {name}").format(name=found.experiment),
            *(paragraph(sentence) for sentence in found.sentences),
            table(
                [
                    _("Shots and arm"),
                    _("seeds"),
                    _("mean"),
                    _("difference"),
                    _("interval"),
                    _("finding"),
                ],
                rows,
            ),
            paragraph(
                _("{done} of {planned} trainings are done.").format(
                    done=found.finished, planned=found.planned
                ),
                "note",
            ),
        )


def _figures(data: ReportData) -> Iterator[str]:
    """Drawings beyond the differences, which are at the top of the page."""
    if not are_available():
        return
    drawn = []
    found = all_figures(None, data.experiments, data.losses, data.accuracies, data.inspection)
    for _name, title, figure in found:
        image = base64.b64encode(to_bytes(figure, "svg")).decode()
        drawn.append(
            f'<h3>{escape(title)}</h3><img class="drawing" alt="{escape(title)}" '
            f'src="data:image/svg+xml;base64,{image}">'
        )
    if drawn:
        yield section(_("Figures"), *drawn)


def _sheets(sheets: Sequence[Sheet], thumbnail: Thumbnailer) -> Iterator[str]:
    for sheet in sheets:
        picture = _picture(sheet.path, sheet.title, thumbnail, pixels=_SHEET_PIXELS)
        yield section(sheet.title, paragraph(sheet.text, "under-title"), picture)


def _method(data: ReportData) -> Iterator[str]:
    if data.method:
        body = [paragraph(sentence) for sentence in data.method]
        if data.method_for_papers:
            title, words = _("For a paper, in English"), escape(" ".join(data.method_for_papers))
            body.append(f"<h3>{escape(title)}</h3>")
            body.append(f'<p lang="en">{words}</p>')
        yield section(_("What was done"), *body)


def _accuracies(data: ReportData) -> Iterator[str]:
    verdict = data.verdict
    if verdict is None:
        return
    seeds = sorted({seed for scores in verdict.scores for seed in scores.seeds})
    rows: list[list[Cell]] = []
    for scores in verdict.scores:
        of_seed = dict(zip(scores.seeds, scores.accuracies, strict=True))
        found = next((arm for arm in verdict.arms if arm.name == scores.name), None)
        rows.append(
            [
                arm_title(scores.name),
                *(percent(of_seed.get(seed)) for seed in seeds),
                percent(scores.mean),
                points(found.difference) if found else _("baseline"),
                span_text(found),
                paper_text(scores.paper),
                f"{scores.calibration_error:.3f}",
            ]
        )
    head = [_("Arm"), *(_("seed {seed}").format(seed=seed) for seed in seeds)]
    head += [_("mean"), _("difference, points")]
    head += [
        _("{confidence:g} % interval").format(confidence=100 * verdict.confidence),
        _("best epoch, 68 % interval*"),
        _("calibration error"),
    ]
    yield section(
        _("Accuracy by arm and seed"),
        paragraph(
            _("Mean per-class accuracy on all test images after the last epoch."), "under-title"
        ),
        table(head, rows),
        paragraph(
            _(
                "* As the DA-Fusion paper counts: the best epoch, chosen on the very images it is "
                "scored on, so too high; only for comparison with published numbers. One epoch "
                "is taken for all seeds."
            ),
            "note",
        ),
    )
    names = [arm_title(scores.name) for scores in verdict.scores]
    differences = {arm.name: arm.class_differences for arm in verdict.arms}
    by_class: list[list[Cell]] = []
    for i, label in enumerate(verdict.labels):
        row: list[Cell] = [label, f"{verdict.test_images[i]:,}"]
        for scores in verdict.scores:
            text = percent(scores.per_class[i])
            gain = differences.get(scores.name, (None,) * len(verdict.labels))[i]
            row.append(text if gain is None else f"{text} ({points(gain)})")
        by_class.append(row)
    yield section(
        _("Accuracy by class"),
        paragraph(_("Mean over seeds; in brackets the difference in points."), "under-title"),
        table([_("Class"), _("test images"), *names], by_class),
        *_per_class_figures(verdict),
        *_confusions(verdict),
    )


def _per_class_figures(verdict: Verdict) -> Iterator[str]:
    for scores in verdict.scores:
        rows: list[list[Cell]] = [
            [label, percent(one.precision), percent(one.recall), percent(one.f1)]
            for label, one in zip(
                verdict.labels, class_figures(np.asarray(scores.confusion, np.int64)), strict=True
            )
        ]
        grid = table([_("Class"), _("precision"), _("recall"), "F1"], rows)
        title = _("Precision, recall and F1 of “{name}” (all seeds together)").format(
            name=arm_title(scores.name)
        )
        yield f"<details><summary>{escape(title)}</summary>{grid}</details>"


def _confusions(verdict: Verdict) -> Iterator[str]:
    if len(verdict.labels) > _MOST_CONFUSION:
        return
    for scores in verdict.scores:
        rows = [
            [label, *(f"{count:,}" for count in counts)]
            for label, counts in zip(verdict.labels, scores.confusion, strict=True)
        ]
        grid = table([_("true class ↓ taken for →"), *verdict.labels], rows)
        title = _("What “{name}” took for what (test images, all seeds)").format(
            name=arm_title(scores.name)
        )
        yield f"<details><summary>{escape(title)}</summary>{grid}</details>"


def _counts(data: ReportData) -> Iterator[str]:
    if data.real:
        shown = [part for part in _PARTS if any(row.parts.get(part) for row in data.real)]
        rows: list[list[Cell]] = [
            [row.label, *(f"{row.parts.get(part, 0):,}" for part in shown)] for row in data.real
        ]
        totals = [sum(row.parts.get(part, 0) for row in data.real) for part in shown]
        rows.append([_("all classes"), *(f"{total:,}" for total in totals)])
        head = [_("Class"), *map(part_title, shown)]
        yield section(_("Real images"), table(head, rows, has_total=True))
    if data.synthetic:
        strengths = sorted({row.t0 for row in data.synthetic})
        labels = list(dict.fromkeys(row.label for row in data.synthetic))
        cells = {(row.label, row.t0): row for row in data.synthetic}
        rows = []
        for label in labels:
            found = [cells.get((label, t0)) for t0 in strengths]
            rows.append([label, *(_curated(row) for row in found), _total(found)])
        rows.append(
            [
                _("all classes"),
                *(_total(cells.get((label, t0)) for label in labels) for t0 in strengths),
                _total(data.synthetic),
            ]
        )
        yield section(
            _("Synthetic images"),
            paragraph(
                _(
                    "Kept / rejected / undecided, by how far they are from the photo (t0: small "
                    "values stay close)."
                ),
                "under-title",
            ),
            table(
                [_("Class"), *(f"t0 = {t0:g}" for t0 in strengths), _("all")],
                rows,
                has_total=True,
            ),
        )


def _curated(row: SyntheticCounts | None) -> str:
    return f"{row.kept:,} / {row.rejected:,} / {row.undecided:,}" if row else "–"


def _total(rows: Iterable[SyntheticCounts | None]) -> str:
    found = [row for row in rows if row is not None]
    return _curated(
        SyntheticCounts(
            "",
            0,
            sum(row.kept for row in found),
            sum(row.rejected for row in found),
            sum(row.undecided for row in found),
        )
    )


def _examples(examples: Sequence[Example], thumbnail: Thumbnailer) -> Iterator[str]:
    if not examples:
        return
    strengths = sorted({image.t0 for example in examples for image in example.synthetics})
    rows: list[list[Cell]] = []
    for example in examples:
        row: list[Cell] = [
            example.label,
            Raw(
                _picture(example.source, _("photo, {label}").format(label=example.label), thumbnail)
            ),
        ]
        for t0 in strengths:
            images = [image for image in example.synthetics if image.t0 == t0]
            row.append(
                Raw(
                    "".join(
                        _picture(
                            image.path,
                            f"{example.label}, t0 = {t0:g}, {curation_title(image.curation)}",
                            thumbnail,
                            is_rejected=image.curation is Curation.REJECTED,
                        )
                        for image in images
                    )
                    or "–"
                )
            )
        rows.append(row)
    yield section(
        _("Examples"),
        paragraph(
            _(
                "One photo per row, with synthetic images made from it. Rejected ones are crossed "
                "out."
            ),
            "under-title",
        ),
        table([_("Class"), _("photo"), *(f"t0 = {t0:g}" for t0 in strengths)], rows, "pictures"),
    )


def _picture(
    path: Path,
    text: str,
    thumbnail: Thumbnailer,
    is_rejected: bool = False,
    pixels: int = _PICTURE_PIXELS,
) -> str:
    try:
        image = thumbnail(path, pixels)
    except (BadImage, OSError):
        gap = _("{name} cannot be read").format(name=path.name)
        return f'<span class="gap">{escape(gap)}</span>'
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=82)
    data = base64.b64encode(buffer.getvalue()).decode()
    mark = ' class="rejected"' if is_rejected else ""
    note = escape(text)
    return (
        f'<span{mark}><img alt="{note}" title="{note}" src="data:image/jpeg;base64,{data}"></span>'
    )


def _details(data: ReportData) -> Iterator[str]:
    if data.licence:
        yield section(_("Base model"), paragraph(data.licence))
    blocks = []
    for block in data.settings:
        rows: list[list[Cell]] = [[name, value] for name, value in block.rows]
        grid = table([_("Setting"), _("value")], rows, "settings")
        blocks.append(f"<details><summary>{escape(block.title)}</summary>{grid}</details>")
    if blocks:
        yield section(_("Settings and seeds"), *blocks)
    if data.hashes:
        rows = [[name, Raw(f"<code>{escape(value)}</code>")] for name, value in data.hashes]
        yield section(_("Fingerprints"), table([_("Of what"), _("hash")], rows, "settings"))
    if data.versions:
        rows = [[name, value] for name, value in data.versions]
        yield section(_("Versions"), table([_("Program"), _("version")], rows, "settings"))


def _problems(problems: Sequence[ImportProblem]) -> Iterator[str]:
    if not problems:
        return
    rows: list[list[Cell]] = [
        [problem.path, _("left out") if problem.is_refused else _("imported"), problem.reason]
        for problem in problems[:_MOST_PROBLEMS]
    ]
    refused = sum(problem.is_refused for problem in problems)
    more = len(problems) - len(rows)
    title = _("{refused:,} left out, {imported:,} imported with a warning").format(
        refused=refused, imported=len(problems) - refused
    )
    rest = [paragraph(_("… and {more:,} more.").format(more=more), "note")] if more else []
    grid = table([_("File"), "", _("why")], rows, "settings")
    yield section(
        _("Problems with files"),
        f"<details><summary>{escape(title)}</summary>{grid}</details>",
        *rest,
    )
