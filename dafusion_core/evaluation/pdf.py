"""The report as a PDF: the same content as the page, for printing and sending."""

from __future__ import annotations

import importlib.util
import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from dafusion_core.domain.errors import (
    BadImage,
    EnvironmentProblem,
    UserError,
    translate_os_error,
)
from dafusion_core.domain.records import Curation
from dafusion_core.evaluation.figures import all_figures, to_bytes
from dafusion_core.evaluation.metrics import class_figures
from dafusion_core.evaluation.report import ReportData, Thumbnailer
from dafusion_core.evaluation.verdict import Verdict, paper_text, percent, points

__all__ = ["write_pdf"]

_FONT = "DejaVu"
_LINE = 5.2  # mm
_PICTURE = 22.0  # mm
_MOST_ROWS = 60
_MOST_PICTURES = 5  # synthetic images beside a photo


def _load_fpdf() -> Any:
    for name in ("fpdf", "matplotlib"):
        if importlib.util.find_spec(name) is None:
            raise EnvironmentProblem(
                f"A PDF needs the library {name}, which is not installed.",
                "Install it with `pip install fpdf2 matplotlib`, or write the HTML report.",
            )
    import fpdf

    return fpdf


class _Page:
    """A document that grows from the top to the bottom of its pages."""

    def __init__(self, title: str) -> None:
        fpdf = _load_fpdf()
        import matplotlib

        self.pdf = fpdf.FPDF(format="A4")
        fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
        self.pdf.add_font(_FONT, "", str(fonts / "DejaVuSans.ttf"))
        self.pdf.add_font(_FONT, "B", str(fonts / "DejaVuSans-Bold.ttf"))
        self.pdf.set_title(title)
        self.pdf.set_auto_page_break(True, margin=16)
        self.pdf.set_margins(18, 16, 18)
        self.pdf.add_page()

    def text(self, text: str, size: float = 9.5, style: str = "", after: float = 1.5) -> None:
        """A paragraph."""
        if not text:
            return
        self.pdf.set_font(_FONT, style, size)
        safe = text.encode("utf-8", "replace").decode()
        self.pdf.multi_cell(0, size * 0.55, safe, new_x="LMARGIN", new_y="NEXT", align="L")
        self.pdf.ln(after)

    def heading(self, text: str) -> None:
        """A section begins; never as the last line of a page."""
        if self.pdf.get_y() > self.pdf.h - 45:
            self.pdf.add_page()
        self.pdf.ln(3)
        self.text(text, 12.5, "B", 1.5)

    def table(self, head: Sequence[str], rows: Iterable[Sequence[str]], first: int = 3) -> None:
        """A table; the first column is `first` times as wide as the others."""
        shown = [list(row) for row in rows]
        if not shown:
            return
        self.pdf.set_font(_FONT, "", 7.5)
        widths = (first, *[2] * (len(head) - 1))
        align = ("LEFT", *["RIGHT"] * (len(head) - 1))
        with self.pdf.table(
            col_widths=widths, text_align=align, line_height=_LINE - 1, borders_layout="MINIMAL"
        ) as table:
            for values in [list(head), *shown[:_MOST_ROWS]]:
                row = table.row()
                for value in values:
                    row.cell(value.encode("utf-8", "replace").decode())
        if len(shown) > _MOST_ROWS:
            self.text(f"… and {len(shown) - _MOST_ROWS} more rows.", 8)
        self.pdf.ln(2)

    def image(self, content: bytes, width: float) -> None:
        """A picture on a line of its own, on the next page if it does not fit."""
        self.pdf.image(io.BytesIO(content), w=width, x="LEFT")
        self.pdf.ln(2)


def write_pdf(data: ReportData, path: Path | str, thumbnail: Thumbnailer) -> Path:
    """Write the report as a PDF, replacing an earlier one only when the new one is whole.

    Raises as `report.write_report` does, and EnvironmentProblem when a library is missing.
    """
    path = Path(path)
    if path.is_dir():
        raise UserError(f"“{path}” is a folder.", "Give the name of a file, such as report.pdf.")
    page = _Page(data.project)
    page.text(data.project, 17, "B", 1)
    page.text(f"Report of {data.created_at}", 9)
    _write_findings(page, data)
    _write_method(page, data)
    _write_counts(page, data)
    _write_sheets(page, data, thumbnail)
    _write_examples(page, data, thumbnail)
    if data.verdict is not None:
        _write_accuracy(page, data.verdict)
    _write_figures(page, data)
    _write_details(page, data)
    partial = path.with_name(path.name + ".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(bytes(page.pdf.output()))
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise translate_os_error(error, f"writing the report {path}") from error
    return path


def _write_findings(page: _Page, data: ReportData) -> None:
    page.heading("Did it help?")
    sentences = [arm.sentence for arm in data.verdict.arms] if data.verdict else []
    sentences += [text for table in data.experiments for text in table.sentences]
    for sentence in sentences or ["No comparison has been made yet."]:
        page.text(sentence, 10.5, "B" if sentences else "")
    for note in (*(data.verdict.notes if data.verdict else ()), *data.notes):
        page.text(note, 8.5)


def _write_method(page: _Page, data: ReportData) -> None:
    if data.method:
        page.heading("What was done")
        page.text(" ".join(data.method))


def _write_counts(page: _Page, data: ReportData) -> None:
    if data.real:
        page.heading("Images")
        parts = ["train", "validation", "test", "unused"]
        made: dict[str, list[int]] = {}
        for row in data.synthetic:
            counts = made.setdefault(row.label, [0, 0, 0])
            for place, count in enumerate((row.kept, row.rejected, row.undecided)):
                counts[place] += count
        page.table(
            ["Class", *parts, "synthetic", "kept", "rejected"],
            [
                [
                    row.label,
                    *(f"{row.parts.get(part, 0):,}" for part in parts),
                    f"{sum(made.get(row.label, [0])):,}",
                    *(f"{n:,}" for n in made.get(row.label, [0, 0, 0])[:2]),
                ]
                for row in data.real
            ],
        )


def _write_sheets(page: _Page, data: ReportData, thumbnail: Thumbnailer) -> None:
    for sheet in data.sheets:
        page.heading(sheet.title)
        page.text(sheet.text, 8.5)
        try:
            page.image(_png(thumbnail, sheet.path, 1200), 150)
        except (BadImage, OSError):
            page.text(f"{sheet.path.name} cannot be read.", 8.5)


def _png(thumbnail: Thumbnailer, path: Path, size: int) -> bytes:
    buffer = io.BytesIO()
    thumbnail(path, size).convert("RGB").save(buffer, "PNG")
    return buffer.getvalue()


def _write_examples(page: _Page, data: ReportData, thumbnail: Thumbnailer) -> None:
    if not data.examples:
        return
    page.heading("Examples: a photo, then edits of it by growing t0")
    for example in data.examples:
        if page.pdf.get_y() > page.pdf.h - 45:
            page.pdf.add_page()
        titles = [f"t0 = {made.t0:g}" for made in example.synthetics[:_MOST_PICTURES]]
        marks = [made.curation is Curation.REJECTED for made in example.synthetics]
        titles = [f"{t} ✕" if is_no else t for t, is_no in zip(titles, marks, strict=False)]
        page.text(f"{example.label}: photo, {', '.join(titles)}", 8.5, after=0.5)
        paths = [example.source, *(made.path for made in example.synthetics[:_MOST_PICTURES])]
        top = page.pdf.get_y()
        for number, path in enumerate(paths):
            try:
                content = _png(thumbnail, path, 260)
            except (BadImage, OSError):
                continue
            page.pdf.image(
                io.BytesIO(content),
                x=page.pdf.l_margin + number * (_PICTURE + 3),
                y=top,
                w=_PICTURE,
                h=_PICTURE,
                keep_aspect_ratio=True,
            )
        page.pdf.set_y(top + _PICTURE + 3)


def _write_accuracy(page: _Page, verdict: Verdict) -> None:
    page.heading("Accuracy by arm")
    arms = {arm.name: arm for arm in verdict.arms}
    rows = []
    for scores in verdict.scores:
        found = arms.get(scores.name)
        span = "–"
        if found is not None and found.low is not None:
            span = f"{points(found.low)} to {points(found.high)}"
        rows.append(
            [
                scores.name,
                str(len(scores.seeds)),
                percent(scores.mean),
                points(found.difference) if found else "baseline",
                span,
                paper_text(scores.paper),
                f"{scores.calibration_error:.3f}",
            ]
        )
    head = ["Arm", "seeds", "mean", "difference", "interval", "best epoch, 68 %*", "ECE"]
    page.table(head, rows)
    page.text(
        "Mean per-class accuracy on all test images after the last epoch. * As the DA-Fusion paper "
        "counts: the best epoch, chosen on the images it is scored on, so too high.",
        8,
    )
    page.heading("Figures per class, all seeds together")
    for scores in verdict.scores:
        page.text(scores.name, 9, "B", 0.5)
        import numpy as np

        found_classes = class_figures(np.asarray(scores.confusion, np.int64))
        page.table(
            ["Class", "test images", "accuracy", "precision", "recall", "F1"],
            [
                [
                    label,
                    f"{count:,}",
                    percent(share),
                    percent(one.precision),
                    percent(one.recall),
                    percent(one.f1),
                ]
                for label, count, share, one in zip(
                    verdict.labels,
                    verdict.test_images,
                    scores.per_class,
                    found_classes,
                    strict=True,
                )
            ],
        )


def _write_figures(page: _Page, data: ReportData) -> None:
    figures = all_figures(
        data.verdict, data.experiments, data.losses, data.accuracies, data.inspection
    )
    for _, title, figure in figures:
        width, height = figure.get_size_inches()
        wide = min(float(width) * 22, 165)
        if page.pdf.get_y() + wide * float(height / width) + 14 > page.pdf.h - 16:
            page.pdf.add_page()
        page.heading(title)
        page.image(to_bytes(figure, "png"), wide)


def _write_details(page: _Page, data: ReportData) -> None:
    if data.licence:
        page.heading("Model")
        page.text(data.licence, 8.5)
    for block in data.settings:
        page.heading(block.title)
        page.table(["Setting", "value"], block.rows, first=2)
    for title, rows in (("Fingerprints", data.hashes), ("Versions", data.versions)):
        if rows:
            page.heading(title)
            page.table(["Of what", "value"], rows, first=2)
