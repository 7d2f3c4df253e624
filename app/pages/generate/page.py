"""How synthetic images are made: how far from the photo, how many, and how."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QComboBox, QSlider, QVBoxLayout, QWidget

from app import costs
from app.actions import Actions
from app.pages.generate.form import GenerateForm
from app.pages.generate.preview import PreviewStrip
from app.plans import DEFAULTS, GenerateChoices, queue_generation
from app.session import Session
from app.steps import newest
from app.text import t0_words
from app.widgets.fields import choice, whole_number
from app.widgets.fold import Fold
from app.widgets.page import Page
from app.widgets.parts import (
    EmptyState,
    action_button,
    button,
    card,
    form,
    guard_wheel,
    heading,
    label,
    row,
    scrolled,
)
from dafusion_core.api.base_models import ModelFacts, describe_model
from dafusion_core.domain.changes import ProjectChanges
from dafusion_core.domain.records import ImageRecord, Part
from dafusion_core.domain.specs import ModelSource
from dafusion_core.language import _, count


class GeneratePage(Page):
    """A preview, a short form and what it would make."""

    watch = ("images", "splits", "concepts", "jobs", "regions", "curation")

    def __init__(self, session: Session, actions: Actions) -> None:
        super().__init__(
            session,
            _("Generate"),
            _(
                "Each training photo is carried part of the way into noise and painted anew from "
                "there with the token of its class."
            ),
        )
        start = GenerateChoices()
        self.buttons.addWidget(action_button(actions["generate"], "primary"))
        self._photos = 0
        self._facts: dict[ModelSource, ModelFacts | None] = {}
        self.form = GenerateForm()
        self.preview = PreviewStrip(session, self._preview_choices)
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(5, 100)
        self.slider.setSingleStep(5)
        self.slider.setPageStep(10)
        self.slider.setValue(35)
        self.slider.setAccessibleName(_("Another distance from the photo"))
        self.slider.setToolTip(_("Left: close to the photo. Right: almost nothing left of it."))
        self.slider.valueChanged.connect(self._say_slider)
        self.slider_words = label("", "muted")
        self.add_t0 = button(
            _("Add"), self._add_t0, "small", _("Make pictures at this t0 as well.")
        )
        self.draw = choice(
            {
                True: _("every t0 for each photo"),
                False: _("one t0 for each picture, drawn at random (as in the paper)"),
            },
            tip=_("Which of the ticked t0 a photo gets."),
        )
        self.draw.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.draw.setMinimumContentsLength(24)
        self.variants = whole_number(
            1, 100, _("How many different pictures are made of a photo (M)."), value=start.variants
        )
        self.summary = label("", wrap=True)
        guard_wheel(self.slider)
        self._say_slider()
        self.set_pages(
            self._make_form(),
            EmptyState(
                _("No classes yet"),
                _("Add pictures first: synthetic images are made from training photos."),
                action_button(actions["import"], "primary"),
            ),
        )
        self.form.changed.connect(self._on_form)
        self.form.recipe_chosen.connect(self._take_recipe)
        self.preview.changed.connect(self._on_form)
        self.draw.currentIndexChanged.connect(lambda _i: self._on_form())
        self.variants.valueChanged.connect(lambda _v: self._on_form())
        actions.bind("generate", self.start)

    @property
    def t0_boxes(self) -> dict[float, Any]:
        """The box of each t0."""
        return dict(self.preview.boxes)

    def _make_form(self) -> QWidget:
        distance = card(
            heading(_("How far from the photo"), 1.1),
            label(
                _(
                    "t0 is where between the photo (0) and pure noise (1) the painting starts. "
                    "Preview one photo, then tick the distances that still show its class."
                ),
                "muted",
                wrap=True,
            ),
            self.preview,
            row(label(_("Another t0")), self.slider, self.slider_words, self.add_t0),
        )
        amount = QWidget()
        amount.setLayout(form((_("Take"), self.draw), (_("Pictures per photo"), self.variants)))
        fold = Fold(_("Advanced"), self.form, _("Prompt, guidance, sampler, size, memory, seed"))
        self.fold = fold
        inner = QWidget()
        inner.setMaximumWidth(760)
        stack = QVBoxLayout(inner)
        stack.setContentsMargins(0, 0, 8, 0)
        stack.setSpacing(12)
        stack.addLayout(row(label(_("Recipe")), self.form.recipe, None))
        stack.addWidget(distance)
        stack.addWidget(card(heading(_("How many"), 1.1), amount, self.form.masking_line))
        stack.addWidget(card(fold))
        stack.addWidget(self.summary)
        stack.addStretch(1)
        return scrolled(inner)

    def _say_slider(self) -> None:
        t0 = self.slider.value() / 100
        self.slider_words.setText(f"{t0:g}, {t0_words(t0)}")
        self.add_t0.setEnabled(t0 not in self.preview.boxes)

    def _add_t0(self) -> None:
        self.preview.add(self.slider.value() / 100, is_on=True)
        self._say_slider()
        self._on_form()

    def _take_recipe(self, values: dict[str, Any]) -> None:
        self.preview.choose(tuple(values["t0_set"]))
        self.draw.setCurrentIndex(self.draw.findData(values["draw"] == "each"))
        self.variants.setValue(values["variants"])
        self._say_slider()

    def choices(self) -> GenerateChoices:
        """What the form says. Raises ValueError where that is not clear: see `form.problem`."""
        return self.form.fill_in(
            self.preview.t0_set, bool(self.draw.currentData()), self.variants.value()
        )

    def _preview_choices(self) -> GenerateChoices | None:
        """The same at every t0 that can be ticked; ticks and amounts make no other preview."""
        if self.form.problem:
            self._summarise()
            return None
        return replace(
            self.choices(), t0_set=tuple(sorted(self.preview.boxes)), is_every=True, variants=1
        )

    def start(self) -> None:
        """Queue the generation."""
        if self.form.problem or not self.preview.t0_set:
            if self.form.problem:
                self.fold.open(True)
            self._summarise()
            return
        choices = self.choices()
        self.session.run(lambda: queue_generation(self.project, choices))

    def refresh(self, changes: ProjectChanges | None) -> None:
        """Count the training photos again."""
        self.show_content(bool(self.project.concepts()))
        split = self.project.current_split()
        self._photos = split.counts.get(Part.TRAIN.value, 0) if split else 0
        if changes is None or changes.images or changes.splits or changes.regions:
            self._facts.clear()
            self.session.reads.submit(self._read_photos, self._take_photos)
        self.preview.follow()
        self._summarise()

    def _read_photos(self) -> tuple[list[ImageRecord], int]:
        """In the background: a large project has many."""
        photos = self.project.images(part=Part.TRAIN) if self.project.current_split() else []
        marked = {region.image_id for region in self.project.regions()}
        shown = photos or self.project.images()
        return shown, sum(photo.id in marked for photo in shown)

    def _take_photos(self, found: tuple[list[ImageRecord], int]) -> None:
        photos, marked = found
        self.preview.show_photos(photos)
        self.form.has_regions(marked)
        self._summarise()

    def _on_form(self) -> None:
        self._summarise()
        self.preview.follow()

    def _model(self) -> ModelSource:
        learned = newest(self.project.jobs(), "invert")
        return ModelSource.from_dict(learned.spec["model"]) if learned else DEFAULTS.model

    def _summarise(self) -> None:
        problem = self.form.problem
        self.summary.setProperty("role", "error" if problem else "")
        self.summary.style().polish(self.summary)
        if problem:
            self.summary.setText(problem)
            return
        choices = self.choices()
        if not choices.t0_set:
            self.summary.setText(_("Choose at least one distance from the photo."))
        elif not self._photos:
            self.summary.setText(_("The images are divided into training and test at the start."))
        else:
            number = count(
                choices.pictures(self._photos), "{n:,} synthetic image", "{n:,} synthetic images"
            )
            photos = count(self._photos, "{n:,} training photo", "{n:,} training photos")
            model = self._model()
            if model not in self._facts:
                self._facts[model] = describe_model(model)
            cost = costs.generation(
                self.project,
                choices.pictures(self._photos),
                choices.steps,
                model.kind == "bundled",
            )
            memory = costs.memory_sentence(
                self._facts[model], BATCH, choices.resolution, choices.memory
            )
            self.summary.setText(
                _("This makes {images} from {photos}.").format(images=number, photos=photos)
                + f" {cost.sentence} {memory}"
            )


BATCH = 8  # what a plan makes at once unless told otherwise
