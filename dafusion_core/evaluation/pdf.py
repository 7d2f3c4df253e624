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
from dafusion_core.evaluation.fonts import add_to_pdf, hangul_font
from dafusion_core.evaluation.metrics import class_figures
from dafusion_core.evaluation.notes import tell_note
from dafusion_core.evaluation.report import ReportData, Thumbnailer
from dafusion_core.evaluation.verdict import Verdict, paper_text, percent, points
from dafusion_core.evaluation.wording import arm_title, explain_arm, part_title, span_text
from dafusion_core.language import _, pgettext

__all__ = ["write_pdf"]

_FONT = "DejaVu"
_OTHER_FONT = "Other"
_MISSING = "□"
_LINE = 5.2  # mm
_PICTURE = 22.0  # mm
_MOST_ROWS = 60
_MOST_PICTURES = 5  # synthetic images beside a photo


def _load_fpdf() -> Any:
    for name in ("fpdf", "matplotlib"):
        if importlib.util.find_spec(name) is None:
            raise EnvironmentProblem(
                _("A PDF needs the library {name}, which is not installed.").format(name=name),
                _("Install it with `pip install fpdf2 matplotlib`, or write the HTML report."),
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
        self._known: set[int] = set(self.pdf.fonts[_FONT.lower()].cmap)
        self._is_widened = False
        self.has_gaps = False

    def letters(self, text: str) -> str:
        """The text as it can be printed: letters that no font here has become a mark."""
        safe = text.encode("utf-8", "replace").decode()
        if all(ord(letter) in self._known or letter.isspace() for letter in safe):
            return safe
        self._widen()
        kept = [
            letter if ord(letter) in self._known or letter.isspace() else _MISSING
            for letter in safe
        ]
        self.has_gaps = self.has_gaps or kept != list(safe)
        return "".join(kept)

    def _widen(self) -> None:
        """Take a font of this computer for letters that the first one lacks, if there is one."""
        font = None if self._is_widened else hangul_font()
        self._is_widened = True
        if font is None:
            return
        add_to_pdf(self.pdf, _OTHER_FONT, font)
        self.pdf.set_fallback_fonts([_OTHER_FONT], exact_match=False)
        self._known |= set(self.pdf.fonts[_OTHER_FONT.lower()].cmap)

    def text(self, text: str, size: float = 9.5, style: str = "", after: float = 1.5) -> None:
        """A paragraph."""
        if not text:
            return
        self.pdf.set_font(_FONT, style, size)
        safe = self.letters(text)
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
                    row.cell(self.letters(value))
        if len(shown) > _MOST_ROWS:
            self.text(_("… and {more} more rows.").format(more=len(shown) - _MOST_ROWS), 8)
        self.pdf.ln(2)

    def image(self, content: bytes, width: float) -> None:
        """A picture on a line of its own, on the next page if it does not fit."""
        self.pdf.image(io.BytesIO(content), w=width, x="LEFT")
        self.pdf.ln(2)


def write_pdf(data: ReportData, path: Path | str, thumbnail: Thumbnailer, remark: str = "") -> Path:
    """Write the report as a PDF, replacing an earlier one only when the new one is whole.

    `remark`: a sentence about the file itself, under its title. Letters that no font of this
    computer has are printed as □, and the last line says so. Raises as `report.write_report` does,
    and EnvironmentProblem when a library is missing.
    """
    path = Path(path)
    if path.is_dir():
        raise UserError(
            _("“{path}” is a folder.").format(path=path),
            _("Give the name of a file, such as report.pdf."),
        )
    page = _Page(data.project)
    page.text(data.project, 17, "B", 1)
    page.text(_("Report of {date}").format(date=data.created_at), 9)
    page.text(remark, 9)
    _write_findings(page, data)
    _write_method(page, data)
    _write_counts(page, data)
    _write_sheets(page, data, thumbnail)
    _write_examples(page, data, thumbnail)
    if data.verdict is not None:
        _write_accuracy(page, data.verdict)
    _write_figures(page, data)
    _write_details(page, data)
    if page.has_gaps:
        page.text(_("□ stands for a letter that no font of this computer has."), 8)
    partial = path.with_name(path.name + ".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(bytes(page.pdf.output()))
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise translate_os_error(error, _("writing the report {path}").format(path=path)) from error
    return path


def _write_findings(page: _Page, data: ReportData) -> None:
    page.heading(_("Did it help?"))
    verdict = data.verdict
    sentences = [explain_arm(verdict, arm) for arm in verdict.arms] if verdict else []
    sentences += [text for table in data.experiments for text in table.sentences]
    for sentence in sentences or [_("No comparison has been made yet.")]:
        page.text(sentence, 10.5, "B" if sentences else "")
    for note in (*(verdict.notes if verdict else ()), *data.notes):
        page.text(tell_note(note), 8.5)


def _write_method(page: _Page, data: ReportData) -> None:
    if data.method:
        page.heading(_("What was done"))
        page.text(" ".join(data.method))
    if data.method_for_papers:
        page.text(_("For a paper, in English"), 9.5, "B", 0.5)
        page.text(" ".join(data.method_for_papers))


def _write_counts(page: _Page, data: ReportData) -> None:
    if data.real:
        page.heading(_("Images"))
        parts = ["train", "validation", "test", "unused"]
        made: dict[str, list[int]] = {}
        for row in data.synthetic:
            counts = made.setdefault(row.label, [0, 0, 0])
            for place, count in enumerate((row.kept, row.rejected, row.undecided)):
                counts[place] += count
        page.table(
            [
                _("Class"),
                *map(part_title, parts),
                _("synthetic"),
                pgettext("decision", "kept"),
                pgettext("decision", "rejected"),
            ],
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
            page.text(_("{name} cannot be read.").format(name=sheet.path.name), 8.5)


def _png(thumbnail: Thumbnailer, path: Path, size: int) -> bytes:
    buffer = io.BytesIO()
    thumbnail(path, size).convert("RGB").save(buffer, "PNG")
    return buffer.getvalue()


def _write_examples(page: _Page, data: ReportData, thumbnail: Thumbnailer) -> None:
    if not data.examples:
        return
    page.heading(_("Examples: a photo, then edits of it by growing t0"))
    for example in data.examples:
        if page.pdf.get_y() > page.pdf.h - 45:
            page.pdf.add_page()
        titles = [f"t0 = {made.t0:g}" for made in example.synthetics[:_MOST_PICTURES]]
        marks = [made.curation is Curation.REJECTED for made in example.synthetics]
        titles = [f"{t} ✕" if is_no else t for t, is_no in zip(titles, marks, strict=False)]
        words = _("{label}: photo, {edits}").format(label=example.label, edits=", ".join(titles))
        page.text(words, 8.5, after=0.5)
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
    page.heading(_("Accuracy by arm"))
    arms = {arm.name: arm for arm in verdict.arms}
    rows = []
    for scores in verdict.scores:
        found = arms.get(scores.name)
        rows.append(
            [
                arm_title(scores.name),
                str(len(scores.seeds)),
                percent(scores.mean),
                points(found.difference) if found else _("baseline"),
                span_text(found),
                paper_text(scores.paper),
                f"{scores.calibration_error:.3f}",
            ]
        )
    head = [_("Arm"), _("seeds"), _("mean"), _("difference"), _("interval")]
    head += [_("best epoch, 68 %*"), "ECE"]
    page.table(head, rows)
    page.text(
        _(
            "Mean per-class accuracy on all test images after the last epoch. * As the DA-Fusion "
            "paper counts: the best epoch, chosen on the images it is scored on, so too high."
        ),
        8,
    )
    page.heading(_("Figures per class, all seeds together"))
    for scores in verdict.scores:
        page.text(arm_title(scores.name), 9, "B", 0.5)
        import numpy as np

        found_classes = class_figures(np.asarray(scores.confusion, np.int64))
        page.table(
            [
                _("Class"),
                _("test images"),
                _("accuracy"),
                _("precision"),
                _("recall"),
                "F1",
            ],
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
    for _name, title, figure in figures:
        width, height = figure.get_size_inches()
        wide = min(float(width) * 22, 165)
        if page.pdf.get_y() + wide * float(height / width) + 14 > page.pdf.h - 16:
            page.pdf.add_page()
        page.heading(title)
        page.image(to_bytes(figure, "png"), wide)


def _write_details(page: _Page, data: ReportData) -> None:
    if data.licence:
        page.heading(_("Model"))
        page.text(data.licence, 8.5)
    for block in data.settings:
        page.heading(block.title)
        page.table([_("Setting"), _("value")], block.rows, first=2)
    for title, rows in ((_("Fingerprints"), data.hashes), (_("Versions"), data.versions)):
        if rows:
            page.heading(title)
            page.table([_("Of what"), _("value")], rows, first=2)
