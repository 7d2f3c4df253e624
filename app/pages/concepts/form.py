"""How classes are erased and learned: what everybody sees, and the fold for the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, cast

from PySide6.QtCore import Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QLineEdit,
    QVBoxLayout,
    QWidget,
)

from app.plans import PAPER_CONCEPTS, ConceptChoices
from app.text import count
from app.widgets.fields import choice, number, whole_number
from app.widgets.fold import Fold
from app.widgets.model_picker import ModelPicker
from app.widgets.parts import button, card, form, label, row

RECIPES = {
    "laptop": ("Laptop, minutes", ConceptChoices()),
    "thorough": ("Thorough, ten times as long", ConceptChoices(steps=1000)),
    "paper": ("As in the paper, for a graphics card", PAPER_CONCEPTS),
}
METHODS = {"uce": "UCE: in closed form, seconds", "esd": "ESD: gradient steps, as in the paper"}


class ConceptsForm(QWidget):
    """Signals:
    changed(): something else is wanted.
    embeddings_wanted(): the user asks to choose files of embeddings.
    """

    changed = Signal()
    embeddings_wanted = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.recipe = choice({key: text for key, (text, _) in RECIPES.items()}, "Recipe")
        self.recipe.setMinimumWidth(110)  # in a narrow window it gives way
        self.erase = QCheckBox("Erase the class names first")
        self.erase.setToolTip("Without this, the model may already know the class by name.")
        self.model = ModelPicker()
        self.method = choice(METHODS)
        self.neighbours = QLineEdit()
        self.neighbours.setPlaceholderText("daisy, ivy, plant")
        self.neighbours.setToolTip(
            "Words the model shall go on knowing, with commas between. UCE holds them fixed, and "
            "the check shows them before and after, beside what was erased."
        )
        self.eta = number(0.1, 10.0, "How strongly ESD pushes away from the concept (η).", step=0.1)
        self.iterations = whole_number(1, 100_000)
        self.steps = whole_number(1, 100_000, "Steps of learning per class.")
        self.vectors = whole_number(
            1, 8, "Vectors per token: more can hold more, and need more pictures."
        )
        self.previews = whole_number(
            0,
            100_000,
            "How often pictures are made with what was learned so far. Each look takes seconds.",
            lowest="about four in all",
            suffix=" steps",
        )
        self.per_concept = QCheckBox("One model per class, each without that class only")
        self.per_concept.setToolTip(
            "As in the paper's runs: what the model knows of the other classes stays. Takes as "
            "many erasures, and as much disk, as there are classes."
        )
        self.imported: dict[str, Path] = {}
        self.embeddings = button(
            "Import embeddings…",
            self.embeddings_wanted.emit,
            "small",
            "Textual inversion files of diffusers or AUTOMATIC1111 instead of learning here.",
        )
        self.rate = number(0.00001, 1.0, decimals=5, step=0.0005)
        self.cost = label("", "muted", wrap=True)
        fields = QWidget()
        fields.setLayout(
            form(
                ("Base model", self.model),
                ("Erasure", self.method),
                ("Stays as it is", self.neighbours),
                ("η (ESD)", self.eta),
                ("Iterations (ESD)", self.iterations),
                ("Steps of learning", self.steps),
                ("Vectors per token", self.vectors),
                ("Learning rate", self.rate),
                ("A preview every", self.previews),
                ("", self.per_concept),
                ("Learned elsewhere", self.embeddings),
            )
        )
        self.fold = Fold("Advanced", fields, "Base model, erasure, steps")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(
            card(row(label("Recipe"), self.recipe, 12, self.erase, None), self.cost, self.fold)
        )
        self.set_choices(ConceptChoices())
        self.recipe.currentIndexChanged.connect(
            lambda _i: self.set_choices(RECIPES[self.recipe.currentData()][1])
        )
        for signal in (
            self.erase.toggled,
            self.method.currentIndexChanged,
            self.steps.valueChanged,
            self.iterations.valueChanged,
            self.model.changed,
            self.per_concept.toggled,
        ):
            signal.connect(lambda *_: self._on_change())

    def set_choices(self, choices: ConceptChoices) -> None:
        """Fill in a recipe; the base model stays."""
        self.erase.setChecked(choices.erase)
        self.method.setCurrentIndex(self.method.findData(choices.method))
        self.eta.setValue(choices.eta)
        self.iterations.setValue(choices.iterations)
        self.steps.setValue(choices.steps)
        self.vectors.setValue(choices.vectors)
        self.rate.setValue(choices.learning_rate)
        self.per_concept.setChecked(choices.per_concept)
        self._on_change()

    def choices(self) -> ConceptChoices:
        """What the form says."""
        return ConceptChoices(
            erase=self.erase.isChecked(),
            method=cast(Literal["uce", "esd"], self.method.currentData()),
            eta=self.eta.value(),
            iterations=self.iterations.value(),
            model=self.model.source,
            steps=self.steps.value(),
            vectors=self.vectors.value(),
            learning_rate=self.rate.value(),
            per_concept=self.per_concept.isChecked(),
            neighbours=tuple(
                dict.fromkeys(w.strip() for w in self.neighbours.text().split(",") if w.strip())
            ),
            preview_every=self.previews.value(),
            imported=tuple((name, str(path)) for name, path in self.imported.items()),
        )

    def take_embeddings(self, files: dict[str, Path]) -> None:
        """Read these classes from files."""
        self.imported = dict(files)
        number = len(files)
        self.embeddings.setText(
            f"Import embeddings… ({count(number, 'file')})" if number else "Import embeddings…"
        )
        self._on_change()

    def _on_change(self) -> None:
        is_esd = self.method.currentData() == "esd" and self.erase.isChecked()
        self.method.setEnabled(self.erase.isChecked())
        self.per_concept.setEnabled(self.erase.isChecked())
        self.neighbours.setEnabled(self.erase.isChecked())
        self.eta.setEnabled(is_esd)
        self.iterations.setEnabled(is_esd)
        self.changed.emit()
