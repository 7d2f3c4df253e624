"""How pictures are painted: recipe, what few people need, and what may change in a picture."""

from __future__ import annotations

from typing import Any, cast

from PySide6.QtCore import Signal
from PySide6.QtWidgets import (
    QComboBox,
    QLineEdit,
    QWidget,
)

from app.plans import GenerateChoices
from app.widgets.fields import choice, number, whole_number
from app.widgets.parts import form, guard_wheel, label, row
from dafusion_core.domain.presets import PRESETS
from dafusion_core.domain.specs import Aspect, Masking, Memory, Scheduler
from dafusion_core.language import _

SCHEDULERS = {
    "pndm": _("PNDM, as in the paper"),
    "ddim": "DDIM",
    "dpmsolver++": _("DPM-Solver++, good with few steps"),
    "euler": "Euler",
    "unipc": _("UniPC, good with few steps"),
}
ASPECTS = {
    "stretch": _("stretched, as in the paper"),
    "pad": _("padded with mirrored edges"),
    "crop": _("cut to the square in the middle"),
}
MASKS = {
    "none": _("the whole picture"),
    "object": _("only the marked object"),
    "background": _("only what is around it"),
}
MEMORIES = {
    "normal": _("fast"),
    "saving": _("less memory, slower"),
    "offload": _("least memory, for small graphics cards"),
}
LAPTOP = "laptop"


class GenerateForm(QWidget):
    """The fields below the distances; `recipe` stands on the page, above them.

    Signals:
        changed(): something else is wanted.
        recipe_chosen(dict): values of a recipe that are not fields of this form.
    """

    changed = Signal()
    recipe_chosen = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        start = GenerateChoices()
        self._is_named = False
        presets = {preset.name: preset.title for preset in PRESETS if preset.kind == "generate"}
        self.recipe = choice(
            {LAPTOP: _("Laptop, minutes")} | presets,
            _("Recipe"),
            _("Fills in the fields; where each value comes from is in the guide."),
        )
        self.may_change = choice(
            MASKS,
            _("What may change"),
            _(
                "Regions drawn on the Images page say where the "
                "object is. What may not change keeps "
                "the photo's own pixels."
            ),
        )
        self.dilation = whole_number(
            0, 256, _("Widens the object, so that its edge is painted anew too."), suffix=" px"
        )
        self.mask_note = label("", "muted", wrap=True)
        self.prompt = QLineEdit()
        self.prompt.setToolTip(_("{concept} becomes the token that was learned for the class."))
        self.negative = QLineEdit()
        self.negative.setPlaceholderText(_("nothing"))
        self.negative.setToolTip(_("What should not be in the pictures; mostly left empty."))
        self.guidance = number(
            1.0,
            30.0,
            _(
                "How strictly the prompt is followed: too low and "
                "classes blur, too high and colours "
                "burn."
            ),
            step=0.5,
        )
        self.steps = whole_number(
            2, 1000, _("More steps take longer and rarely look better than 50.")
        )
        self.scheduler = choice(
            SCHEDULERS, _("Sampler"), _("How noise is taken away step by step.")
        )
        self.resolution = QComboBox()
        self.resolution.setAccessibleName(_("Size of the pictures"))
        self.resolution.setEditable(True)
        self.resolution.addItem(_("the model's own"))
        for side in (64, 128, 256, 384, 512, 768):
            self.resolution.addItem(f"{side} px")
        self.resolution.setToolTip(
            _(
                "Side of the square that is painted. Models are best at their own size; a multiple "
                "of 64 is safe."
            )
        )
        self.aspect = choice(
            ASPECTS, _("Photos that are not square"), _("The result gets the photo's shape back.")
        )
        self.memory = choice(
            MEMORIES, _("Memory"), _("The pictures stay the same but for rounding.")
        )
        self.speed = choice(
            {False: _("ready at once"), True: _("faster, after minutes of preparation")},
            _("Speed"),
            _(
                "Compiles the model before the first picture, which pays from some hundreds of "
                "pictures on. Needs a C++ compiler, on a graphics card Triton; without one it goes "
                "on as usual. The pictures stay the same but for rounding."
            ),
        )
        self.seed = whole_number(
            0, 2**31 - 1, _("The same seed makes the same pictures; another one makes others.")
        )
        self.recipe.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.recipe.setMinimumContentsLength(36)
        guard_wheel(self.resolution)
        self.setLayout(
            form(
                (_("Prompt"), self.prompt),
                (_("Not in the picture"), self.negative),
                (_("Guidance"), self.guidance),
                (_("Denoising steps"), self.steps),
                (_("Sampler"), self.scheduler),
                (_("Size of the pictures"), self.resolution),
                (_("Photos that are not square"), self.aspect),
                (_("Memory"), self.memory),
                (_("Speed"), self.speed),
                (_("Seed"), self.seed),
            )
        )
        self.masking_line = QWidget()
        self.masking_line.setLayout(
            row(label(_("May change")), self.may_change, 8, self.dilation, None)
        )
        self.dilation.setAccessibleName(_("Widen the object by"))
        self._fill(start)
        self.has_regions(0)
        self.recipe.activated.connect(lambda _i: self._take_recipe())
        for signal in (
            self.may_change.currentIndexChanged, self.dilation.valueChanged,
            self.guidance.valueChanged,
            self.steps.valueChanged, self.scheduler.currentIndexChanged, self.seed.valueChanged,
            self.resolution.currentTextChanged, self.aspect.currentIndexChanged,
            self.memory.currentIndexChanged, self.speed.currentIndexChanged,
            self.prompt.textChanged, self.negative.textChanged,
        ):  # fmt: skip
            signal.connect(lambda *_: self._on_change())

    def has_regions(self, photos: int) -> None:
        """How many training photos have a region: without any there is nothing to spare."""
        self.masking_line.setVisible(photos > 0)
        if not photos:
            self.may_change.setCurrentIndex(0)
        self.dilation.setEnabled(self.may_change.currentData() != "none")

    @property
    def side(self) -> int | None:
        """Pixels of a side, None for the model's own. Raises ValueError for other words."""
        text = self.resolution.currentText().strip()
        if self.resolution.currentIndex() == 0 and text == self.resolution.itemText(0):
            return None
        side = int(text.lower().removesuffix("px").strip())
        if not 16 <= side <= 2048:
            raise ValueError(side)
        return side

    @property
    def problem(self) -> str:
        """Why it cannot start, "" if it can."""
        try:
            _side = self.side
        except ValueError:
            return _("The size of the pictures is a number of pixels from 16 to 2048, such as 512.")
        if not self.prompt.text().strip():
            return _("The prompt is empty. “a photo of a {concept}” is the usual one.")
        return ""

    def fill_in(self, t0_set: tuple[float, ...], is_every: bool, variants: int) -> GenerateChoices:
        """What the form says, with what the page says. Raises ValueError: see `problem`."""
        return GenerateChoices(
            t0_set=t0_set,
            is_every=is_every,
            variants=variants,
            guidance=self.guidance.value(),
            steps=self.steps.value(),
            prompt=self.prompt.text(),
            negative=self.negative.text(),
            seed=self.seed.value(),
            scheduler=cast(Scheduler, self.scheduler.currentData()),
            resolution=self.side,
            aspect=cast(Aspect, self.aspect.currentData()),
            mask=cast(Masking, self.may_change.currentData()),
            mask_dilation=self.dilation.value(),
            memory=cast(Memory, self.memory.currentData()),
            compile=bool(self.speed.currentData()),
            is_named=self._is_named,
        )

    def _fill(self, choices: GenerateChoices) -> None:
        self.guidance.setValue(choices.guidance)
        self.steps.setValue(choices.steps)
        self.prompt.setText(choices.prompt)
        self.negative.setText(choices.negative)
        self.scheduler.setCurrentIndex(self.scheduler.findData(choices.scheduler))
        self.aspect.setCurrentIndex(self.aspect.findData(choices.aspect))
        self.dilation.setValue(choices.mask_dilation)

    def _take_recipe(self) -> None:
        name = self.recipe.currentData()
        start = GenerateChoices()
        values: dict[str, Any] = {
            "t0_set": start.t0_set, "draw": "each", "variants": start.variants,
            "scheduler": start.scheduler, "steps": start.steps, "guidance": start.guidance,
            "aspect": start.aspect, "prompt": start.prompt,
        }  # fmt: skip
        preset = next((found for found in PRESETS if found.name == name), None)
        if preset is not None:
            values |= preset.values
        self._is_named = preset is not None and preset.is_named
        self.guidance.setValue(values["guidance"])
        self.steps.setValue(values["steps"])
        self.prompt.setText(values["prompt"])
        self.scheduler.setCurrentIndex(self.scheduler.findData(values["scheduler"]))
        self.aspect.setCurrentIndex(self.aspect.findData(values["aspect"]))
        self.recipe_chosen.emit(values)
        self._on_change()

    def _on_change(self) -> None:
        self.dilation.setEnabled(self.may_change.currentData() != "none")
        self.changed.emit()
