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
from app.widgets.fields import choice, number, whole_number
from app.widgets.fold import Fold
from app.widgets.model_picker import ModelPicker
from app.widgets.parts import button, card, form, label, row
from dafusion_core.language import _, count

RECIPES = {
    "laptop": (_("Laptop, minutes"), ConceptChoices()),
    "thorough": (_("Thorough, ten times as long"), ConceptChoices(steps=1000)),
    "paper": (_("As in the paper, for a graphics card"), PAPER_CONCEPTS),
}
METHODS = {
    "uce": _("UCE: in closed form, seconds"),
    "esd": _("ESD: gradient steps, as in the paper"),
}


class ConceptsForm(QWidget):
    """Signals:
    changed(): something else is wanted.
    embeddings_wanted(): the user asks to choose files of embeddings.
    """

    changed = Signal()
    embeddings_wanted = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.recipe = choice({key: text for key, (text, _) in RECIPES.items()}, _("Recipe"))
        self.erase = QCheckBox(_("Erase the class names first"))
        self.erase.setToolTip(_("Without this, the model may already know the class by name."))
        self.model = ModelPicker()
        self.method = choice(METHODS)
        self.neighbours = QLineEdit()
        self.neighbours.setPlaceholderText("daisy, ivy, plant")
        self.neighbours.setToolTip(
            _(
                "Words the model shall go on knowing, with commas "
                "between. UCE holds them fixed, and "
                "the check shows them before and after, beside what was erased."
            )
        )
        self.eta = number(
            0.1, 10.0, _("How strongly ESD pushes away from the concept (η)."), step=0.1
        )
        self.iterations = whole_number(1, 100_000)
        self.steps = whole_number(1, 100_000, _("Steps of learning per class."))
        self.vectors = whole_number(
            1, 8, _("Vectors per token: more can hold more, and need more pictures.")
        )
        self.previews = whole_number(
            0,
            100_000,
            _("How often pictures are made with what was learned so far. Each look takes seconds."),
            lowest=_("about four in all"),
            suffix=_(" steps"),
        )
        self.per_concept = QCheckBox(_("One model per class, each without that class only"))
        self.per_concept.setToolTip(
            _(
                "As in the paper's runs: what the model knows of the other classes stays. Takes as "
                "many erasures, and as much disk, as there are classes."
            )
        )
        self.imported: dict[str, Path] = {}
        self.embeddings = button(
            _("Import embeddings…"),
            self.embeddings_wanted.emit,
            "small",
            _("Textual inversion files of diffusers or AUTOMATIC1111 instead of learning here."),
        )
        self.rate = number(0.00001, 1.0, decimals=5, step=0.0005)
        self.cost = label("", "muted", wrap=True)
        fields = QWidget()
        fields.setLayout(
            form(
                (_("Base model"), self.model),
                (_("Erasure"), self.method),
                (_("Stays as it is"), self.neighbours),
                ("η (ESD)", self.eta),
                (_("Iterations (ESD)"), self.iterations),
                (_("Steps of learning"), self.steps),
                (_("Vectors per token"), self.vectors),
                (_("Learning rate"), self.rate),
                (_("A preview every"), self.previews),
                ("", self.per_concept),
                (_("Learned elsewhere"), self.embeddings),
            )
        )
        self.fold = Fold(_("Advanced"), fields, _("Base model, erasure, steps"))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(
            card(row(label(_("Recipe")), self.recipe, 12, self.erase, None), self.cost, self.fold)
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
            count(number, "Import embeddings… ({n:,} file)", "Import embeddings… ({n:,} files)")
            if number
            else _("Import embeddings…")
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
