"""How synthetic images are made: how far from the photo, how many, and how."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QLineEdit,
    QScrollArea,
    QSlider,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from app import costs
from app.actions import Actions
from app.plans import GenerateChoices, queue_generation
from app.session import Session
from app.steps import newest
from app.text import count, t0_words
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
)
from dafusion_core.domain.changes import ProjectChanges
from dafusion_core.domain.records import Part

T0_CHOICES = (0.25, 0.5, 0.75, 1.0)


class GeneratePage(Page):
    """A short form and what it would make."""

    watch = ("images", "splits", "concepts", "jobs")

    def __init__(self, session: Session, actions: Actions) -> None:
        super().__init__(
            session,
            "Generate",
            "Each training photo is carried part of the way into noise and painted anew from "
            "there with the token of its class.",
        )
        start = GenerateChoices()
        self.buttons.addWidget(action_button(actions["generate"], "primary"))
        self._photos = 0
        self.t0_boxes = {t0: QCheckBox(f"t0 {t0:g}, {t0_words(t0)}") for t0 in T0_CHOICES}
        for t0, box in self.t0_boxes.items():
            box.setChecked(t0 in start.t0_set)
            box.toggled.connect(self._summarise)
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(5, 100)
        self.slider.setSingleStep(5)
        self.slider.setPageStep(10)
        self.slider.setValue(35)
        self.slider.setAccessibleName("Another distance from the photo")
        self.slider.setToolTip("Left: close to the photo. Right: almost nothing left of it.")
        self.slider.valueChanged.connect(self._say_slider)
        self.slider_words = label("", "muted")
        self.add_t0 = button("Add", self._add_t0, "small", "Make pictures at this t0 as well.")
        self._boxes = QVBoxLayout()
        self._boxes.setSpacing(6)
        for box in self.t0_boxes.values():
            self._boxes.addWidget(box)
        self.negative = QLineEdit()
        self.negative.setToolTip("What should not be in the pictures; mostly left empty.")
        self.seed = QSpinBox()
        self.seed.setRange(0, 2**31 - 1)
        self.seed.setToolTip("The same seed makes the same pictures; another one makes others.")
        self.draw = QComboBox()
        self.draw.addItem("every t0 for each photo", True)
        self.draw.addItem("one t0 for each picture, drawn at random (as in the paper)", False)
        self.draw.currentIndexChanged.connect(self._summarise)
        self.variants = QSpinBox()
        self.variants.setRange(1, 100)
        self.variants.setValue(start.variants)
        self.variants.valueChanged.connect(self._summarise)
        self.guidance = QDoubleSpinBox()
        self.guidance.setRange(1.0, 30.0)
        self.guidance.setSingleStep(0.5)
        self.guidance.setValue(start.guidance)
        self.steps = QSpinBox()
        self.steps.setRange(2, 1000)
        self.steps.setValue(start.steps)
        self.steps.valueChanged.connect(self._summarise)
        self.prompt = QLineEdit(start.prompt)
        self.summary = label("", wrap=True)
        guard_wheel(self.draw, self.variants, self.guidance, self.steps, self.seed, self.slider)
        self._say_slider()
        self.set_pages(
            self._make_form(),
            EmptyState(
                "No classes yet",
                "Add pictures first: synthetic images are made from training photos.",
                action_button(actions["import"], "primary"),
            ),
        )
        actions.bind("generate", self.start)

    def _make_form(self) -> QWidget:
        distance = card(
            heading("How far from the photo", 1.1),
            label(
                "t0 is where between the photo (0) and pure noise (1) the painting starts.",
                "muted",
                wrap=True,
            ),
            self._boxes_holder(),
            row(self.slider, self.slider_words, self.add_t0),
        )
        amount = QWidget()
        amount.setLayout(form(("Take", self.draw), ("Pictures per photo", self.variants)))
        advanced = QWidget()
        advanced.setLayout(
            form(
                ("Prompt", self.prompt),
                ("Guidance", self.guidance),
                ("Denoising steps", self.steps),
                ("Not in the picture", self.negative),
                ("Seed", self.seed),
            )
        )
        inner = QWidget()
        inner.setMaximumWidth(720)
        stack = QVBoxLayout(inner)
        stack.setContentsMargins(0, 0, 8, 0)
        stack.setSpacing(12)
        stack.addWidget(distance)
        stack.addWidget(card(heading("How many", 1.1), amount))
        stack.addWidget(card(Fold("Advanced", advanced, "Prompt, guidance, steps, seed")))
        stack.addWidget(self.summary)
        stack.addStretch(1)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setWidget(inner)
        return scroll

    def _boxes_holder(self) -> QWidget:
        holder = QWidget()
        self._boxes.setContentsMargins(0, 0, 0, 0)
        holder.setLayout(self._boxes)
        return holder

    def _say_slider(self) -> None:
        t0 = self.slider.value() / 100
        self.slider_words.setText(f"t0 {t0:g}, {t0_words(t0)}")
        self.add_t0.setEnabled(t0 not in self.t0_boxes)

    def _add_t0(self) -> None:
        t0 = self.slider.value() / 100
        box = QCheckBox(f"t0 {t0:g}, {t0_words(t0)}")
        box.setChecked(True)
        box.toggled.connect(self._summarise)
        self.t0_boxes[t0] = box
        place = sorted(self.t0_boxes).index(t0)
        self._boxes.insertWidget(place, box)
        self._say_slider()
        self._summarise()

    def choices(self) -> GenerateChoices:
        """What the form says."""
        return GenerateChoices(
            t0_set=tuple(sorted(t0 for t0, box in self.t0_boxes.items() if box.isChecked())),
            is_every=bool(self.draw.currentData()),
            variants=self.variants.value(),
            guidance=self.guidance.value(),
            steps=self.steps.value(),
            prompt=self.prompt.text(),
            negative=self.negative.text(),
            seed=self.seed.value(),
        )

    def start(self) -> None:
        """Queue the generation."""
        choices = self.choices()
        if not choices.t0_set:
            self._summarise()
            return
        self.session.run(lambda: queue_generation(self.project, choices))

    def refresh(self, changes: ProjectChanges | None) -> None:
        """Count the training photos again."""
        self.show_content(bool(self.project.concepts()))
        split = self.project.current_split()
        self._photos = split.counts.get(Part.TRAIN.value, 0) if split else 0
        self._summarise()

    def _summarise(self) -> None:
        choices = self.choices()
        if not choices.t0_set:
            self.summary.setText("Choose at least one distance from the photo.")
        elif not self._photos:
            self.summary.setText("The images are divided into training and test at the start.")
        else:
            number = count(choices.pictures(self._photos), "synthetic image")
            photos = count(self._photos, "training photo")
            learned = newest(self.project.jobs(), "invert")
            model = (learned.spec.get("model") or {}) if learned else {}
            cost = costs.generation(
                self.project,
                choices.pictures(self._photos),
                choices.steps,
                model.get("kind", "bundled") == "bundled",
            )
            self.summary.setText(f"This makes {number} from {photos}. {cost.sentence}")
