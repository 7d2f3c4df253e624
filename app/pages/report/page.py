"""The verdict: did the synthetic images help?"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QComboBox, QStackedWidget, QVBoxLayout, QWidget

from app.actions import Actions
from app.delegates.thumbnail import paint_mark
from app.dialogs.export_model import ExportModelDialog, target_name
from app.session import Session
from app.steps import Step, StepState, derive_states, gather_facts
from app.theme import scaled_font, theme
from app.widgets.interval_chart import IntervalChart
from app.widgets.page import Page
from app.widgets.parts import (
    EmptyState,
    Segments,
    action_button,
    button,
    card,
    heading,
    label,
    row,
    scrolled,
)
from app.widgets.plain_table import PlainTable
from app.widgets.report_view import Prepared, ReportView, prepare
from dafusion_core.api.classifiers import copy_artefact, export_model, find_run, job_artefacts
from dafusion_core.api.project import Project
from dafusion_core.domain.changes import ProjectChanges
from dafusion_core.domain.errors import describe_error
from dafusion_core.domain.records import Evaluation, Job, JobState, TrainingRun
from dafusion_core.domain.specs import ModelFormat
from dafusion_core.evaluation.notes import tell_note
from dafusion_core.evaluation.verdict import ArmVerdict, Verdict, percent, points
from dafusion_core.evaluation.wording import arm_title, explain_arm
from dafusion_core.language import _, ngettext

FINDING_NAMES = {
    "helps": _("helps"),
    "hurts": _("hurts"),
    "no difference seen": _("no difference seen"),
    "too few to tell": _("too few to tell"),
}
HEADLINES = {
    "helps": _("It helps: {points} points"),
    "hurts": _("It hurts: {points} points"),
    "no difference seen": _("No difference seen"),
    "too few to tell": _("Too few to tell"),
}
FOOTNOTE = _(
    "Mean accuracy over classes at the last epoch, on test images that nothing was learned from. "
    "“Best epoch” is the figure of the paper: there the epoch is chosen on the test images "
    "themselves, so it is too high."
)


class FindingMark(QWidget):
    """Tick, cross, equals sign or question mark: the finding at a glance."""

    def __init__(self) -> None:
        super().__init__()
        self._finding = ""
        self.setFixedSize(44, 44)
        theme.changed.connect(self.update)

    def show_finding(self, finding: str) -> None:
        """Show the mark of a finding."""
        self._finding = finding
        self.setAccessibleName(FINDING_NAMES.get(finding, finding))
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the mark."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        box = QRectF(self.rect()).adjusted(2, 2, -2, -2)
        if self._finding in ("helps", "hurts"):
            paint_mark(painter, box, is_kept=self._finding == "helps")
        else:
            colors = theme.colors
            painter.setPen(QPen(QColor(colors.surface), 1.5))
            painter.setBrush(QColor(colors.muted))
            painter.drawEllipse(box)
            painter.setPen(QColor(colors.surface))
            painter.setFont(scaled_font(self.font(), 1.8, bold=True))
            text = "=" if self._finding == "no difference seen" else "?"
            painter.drawText(box, Qt.AlignmentFlag.AlignCenter, text)
        painter.end()


class ReportPage(Page):
    """Sentences first, numbers below."""

    watch = ("runs", "jobs", "curation")

    def __init__(self, session: Session, actions: Actions) -> None:
        super().__init__(
            session,
            _("Report"),
            _("Test accuracy with and without synthetic images, on the same split."),
        )
        self.verdict: Verdict | None = None
        self.choice = QComboBox()
        self.choice.setAccessibleName(_("Comparison"))
        self.choice.currentIndexChanged.connect(self._show_chosen)
        self.switch = Segments(
            [("verdict", _("Verdict"), _("The comparison in figures")),
             ("page", _("Whole report"), _("The report as it will be saved"))],
            _("Report"),
        )  # fmt: skip
        self.switch.chosen.connect(self.show_part)
        self.buttons.addWidget(self.choice)
        self.export_model = button(
            _("Export a classifier…"),
            self._ask_export,
            tip=_("A trained network for other programs: safetensors, TorchScript, ONNX."),
        )
        self.buttons.addWidget(self.export_model)
        self.buttons.addWidget(action_button(actions["report"], "primary"))
        self.view = ReportView()
        self.view_note = label("", "muted", wrap=True)
        self._page_is_old = True
        self._is_rendering = False
        self._exports: dict[int, tuple[Path, TrainingRun]] = {}
        self.mark = FindingMark()
        self.headline = heading("", 1.5)
        self.sentence = label("", wrap=True, select=True)
        self.stale = label("", "error")
        self.chart = IntervalChart()
        self.arms = PlainTable(
            [
                _("Way of training"),
                _("Mean accuracy"),
                _("Difference"),
                _("Interval"),
                _("Best epoch"),
            ],
            (1, 2, 3, 4),
        )
        self.classes = PlainTable([_("Class")])
        self.notes = label("", "muted", wrap=True, select=True)
        self.again = action_button(actions["train"], "small")
        self.set_pages(
            self._arrange(),
            EmptyState(
                _("No verdict yet"),
                _(
                    "It comes at the end: classifiers trained with "
                    "and without synthetic images are "
                    "compared on test images that neither has seen."
                ),
                action_button(actions["everything"], "primary"),
            ),
        )
        self._evaluations: list[Evaluation] = []

    def _arrange(self) -> QWidget:
        words = QVBoxLayout()
        words.setSpacing(4)
        words.addWidget(self.headline)
        words.addWidget(self.sentence)
        words.addLayout(row(self.stale, self.again, None))
        top = row(self.mark, spacing=16)
        top.setAlignment(self.mark, Qt.AlignmentFlag.AlignTop)
        top.addLayout(words, 1)
        inner = QWidget()
        stack = QVBoxLayout(inner)
        stack.setContentsMargins(0, 0, 8, 0)
        stack.setSpacing(12)
        stack.addWidget(card(top, self.chart, spacing=12))
        stack.addWidget(heading(_("By way of training"), 1.1))
        stack.addWidget(self.arms)
        stack.addWidget(heading(_("By class"), 1.1))
        stack.addWidget(self.classes)
        stack.addWidget(self.notes)
        stack.addStretch(1)
        scroll = scrolled(inner)
        whole = QWidget()
        page = QVBoxLayout(whole)
        page.setContentsMargins(0, 0, 0, 0)
        page.addWidget(self.view_note)
        page.addWidget(card(self.view), 1)
        self._whole = whole
        self.parts = QStackedWidget()
        self.parts.addWidget(scroll)
        self.parts.addWidget(whole)
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(10)
        layout.addLayout(row(self.switch, None))
        layout.addWidget(self.parts, 1)
        return content

    # The whole report ---------------------------------------------------------------------

    def show_part(self, name: str) -> None:
        """ "verdict" or "page"."""
        self.switch.select(name)
        self.parts.setCurrentIndex(1 if name == "page" else 0)
        if name == "page":
            self._render()

    def _render(self) -> None:
        """Make the page in the background, if what it is made from has changed."""
        if not self._page_is_old or self._is_rendering:
            return
        self._is_rendering, self._page_is_old = True, False
        self.view_note.setText(_("Putting the report together…"))
        self.view_note.show()
        project = self.project

        def work() -> Prepared:
            # Figures load a drawing library, which the window does not need before.
            from dafusion_core.api.results import collect_report
            from dafusion_core.datasets.pictures import make_thumbnail
            from dafusion_core.evaluation.report import render_report

            return prepare(render_report(collect_report(project), make_thumbnail))

        self.session.imports.submit(work, self._show_page, self._on_render_error)

    def _show_page(self, prepared: Prepared) -> None:
        self._is_rendering = False
        self.view_note.hide()
        self.view.show_page(prepared)
        if self._page_is_old and self.parts.currentWidget() is self._whole:
            self._render()

    def _on_render_error(self, error: Exception) -> None:
        self._is_rendering, self._page_is_old = False, True
        _kind, text, hint = describe_error(error)
        self.view_note.setText(
            _("The report cannot be shown: {text} {hint}").format(text=text, hint=hint).strip()
        )

    # Classifiers --------------------------------------------------------------------------

    def _ask_export(self) -> None:
        dialog = ExportModelDialog(self.session, self)
        dialog.asked.connect(self._export)
        dialog.open()

    def _export(self, run_id: int, formats: list[ModelFormat], folder: Path) -> None:
        project, run = self.project, find_run(self.project, run_id)

        def then(job: Job) -> None:
            self._exports[job.id] = (folder, run)
            self.session.start_queue()

        self.session.commands.submit(lambda: export_model(project, run_id, formats), then)

    def _follow_exports(self) -> None:
        """Copy what finished exports left to where it was asked for; the jobs tell of failures."""
        for job_id, (folder, run) in list(self._exports.items()):
            state = self.project.job(job_id).state
            if state is JobState.SUCCEEDED:
                del self._exports[job_id]
                self.session.imports.submit(
                    partial(_copy_files, self.project, job_id, folder, run),
                    partial(self._say_written, folder),
                )
            elif state.is_terminal:
                del self._exports[job_id]

    def _say_written(self, folder: Path, number: int) -> None:
        self.session.made.emit(
            (
                ngettext(
                    "{n:,} file written into {name}.", "{n:,} files written into {name}.", number
                ).format(n=number, name=folder.name),
                folder,
            )
        )

    def refresh(self, changes: ProjectChanges | None) -> None:
        """Read the comparisons again; a new one is shown at once."""
        found = self.project.evaluations()
        is_new = [e.id for e in found] != [e.id for e in self._evaluations]
        self._evaluations = found
        self.show_content(bool(found))
        if is_new:
            self.choice.blockSignals(True)
            self.choice.clear()
            for evaluation in reversed(found):
                when = evaluation.created_at[:16].replace("T", " ")
                self.choice.addItem(
                    _("Job {id}, {when}").format(id=evaluation.job_id, when=when),
                    evaluation.id,
                )
            self.choice.blockSignals(False)
            self._show_chosen()
        self.choice.setVisible(len(found) > 1)
        self._show_stale()
        self.export_model.setEnabled(not self.session.is_read_only and bool(found))
        self._follow_exports()
        self._page_is_old = self._page_is_old or changes is None or is_new or changes.curation
        if self.parts.currentWidget() is self._whole:
            self._render()

    def _show_stale(self) -> None:
        status = derive_states(gather_facts(self.project))[Step.REPORT]
        is_newest = self.choice.currentIndex() <= 0
        is_stale = status.state is StepState.STALE and is_newest
        self.stale.setText(_("Out of date: {note}.").format(note=status.note) if is_stale else "")
        self.stale.setVisible(is_stale)
        self.again.setVisible(is_stale)

    def _show_chosen(self) -> None:
        chosen = self.choice.currentData()
        evaluation = next((e for e in self._evaluations if e.id == chosen), None)
        if evaluation is None:
            return
        self.verdict = Verdict.from_dict(evaluation.result)
        self._show_verdict(self.verdict)
        self._show_stale()

    def _show_verdict(self, verdict: Verdict) -> None:
        first = verdict.arms[0]
        self.mark.show_finding(first.finding)
        headline = HEADLINES[first.finding].format(points=points(first.difference))
        self.headline.setText(
            headline if len(verdict.arms) == 1 else f"{arm_title(first.name)}: {headline}"
        )
        sentences = [explain_arm(verdict, arm) for arm in verdict.arms]
        self.sentence.setText("\n".join(sentences))
        self.chart.show_arms(verdict.arms, sentences)
        compared = {arm.name: arm for arm in verdict.arms}
        self.arms.fill(
            [
                [
                    arm_title(scores.name),
                    percent(scores.mean),
                    *_difference(compared.get(scores.name)),
                    percent(scores.paper.mean if scores.paper else None),
                ]
                for scores in verdict.scores
            ]
        )
        self.arms.fit_height()
        self._show_classes(verdict, compared)
        self.notes.setText("\n".join([*map(tell_note, verdict.notes), FOOTNOTE]))

    def _show_classes(self, verdict: Verdict, compared: dict[str, ArmVerdict]) -> None:
        names = [arm_title(scores.name) for scores in verdict.scores]
        columns = [_("Class"), _("Test images"), *names]
        if len(compared) == 1:
            columns.append(_("Difference"))
        self.classes.set_columns(columns, range(1, len(columns)))
        rows = []
        for number, name in enumerate(verdict.labels):
            cells = [name, f"{verdict.test_images[number]:,}"]
            cells += [percent(scores.per_class[number]) for scores in verdict.scores]
            if len(compared) == 1:
                cells.append(points(verdict.arms[0].class_differences[number]))
            rows.append(cells)
        self.classes.fill(rows)
        self.classes.fit_height(20)


def _copy_files(project: Project, job_id: int, folder: Path, run: TrainingRun) -> int:
    """Copy the files an export left; returns how many."""
    left = job_artefacts(project, job_id)
    for artefact in left:
        copy_artefact(project, artefact, folder / target_name(run, artefact.role))
    return len(left)


def _difference(arm: ArmVerdict | None) -> list[str]:
    if arm is None:
        return [_("baseline"), ""]
    interval = (
        "–"
        if arm.low is None
        else _("{low} to {high}").format(low=points(arm.low), high=points(arm.high))
    )
    return [points(arm.difference), interval]
