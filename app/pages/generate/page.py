"""How synthetic images are made: how far from the photo, how many, and how."""

from __future__ import annotations

from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QLineEdit,
    QScrollArea,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from app.actions import Actions
from app.plans import GenerateChoices, queue_generation
from app.session import Session
from app.text import count, t0_words
from app.widgets.page import Page
from app.widgets.parts import EmptyState, action_button, card, form, guard_wheel, heading, label
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
        self.prompt = QLineEdit(start.prompt)
        self.summary = label("", wrap=True)
        guard_wheel(self.draw, self.variants, self.guidance, self.steps)
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
            *self.t0_boxes.values(),
        )
        amount = QWidget()
        amount.setLayout(form(("Take", self.draw), ("Pictures per photo", self.variants)))
        advanced = QWidget()
        advanced.setLayout(
            form(
                ("Prompt", self.prompt),
                ("Guidance", self.guidance),
                ("Denoising steps", self.steps),
            )
        )
        inner = QWidget()
        inner.setMaximumWidth(720)
        stack = QVBoxLayout(inner)
        stack.setContentsMargins(0, 0, 8, 0)
        stack.setSpacing(12)
        stack.addWidget(distance)
        stack.addWidget(card(heading("How many", 1.1), amount))
        stack.addWidget(card(heading("How", 1.1), advanced))
        stack.addWidget(self.summary)
        stack.addStretch(1)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setWidget(inner)
        return scroll

    def choices(self) -> GenerateChoices:
        """What the form says."""
        return GenerateChoices(
            t0_set=tuple(t0 for t0, box in self.t0_boxes.items() if box.isChecked()),
            is_every=bool(self.draw.currentData()),
            variants=self.variants.value(),
            guidance=self.guidance.value(),
            steps=self.steps.value(),
            prompt=self.prompt.text(),
        )

    def start(self) -> None:
        """Queue the generation."""
        choices = self.choices()
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
            self.summary.setText(f"This makes {number} from {photos}.")
