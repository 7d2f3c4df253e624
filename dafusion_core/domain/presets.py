"""Named settings of inversion and generation: what each sets, and where that comes from.

"§" refers to docs/methods.md. A preset is only a set of values for a spec; the spec that is queued
records the values, not the name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from dafusion_core.domain.errors import UserError
from dafusion_core.language import _

__all__ = ["PRESETS", "Choice", "Preset", "find_preset", "preset_values"]

Kind = Literal["invert", "generate"]


@dataclass(frozen=True, slots=True)
class Choice:
    """One value that a preset sets, and its source."""

    field: str
    value: Any
    source: str


@dataclass(frozen=True, slots=True)
class Preset:
    """Named settings for one kind of job. `is_named`: the prompt has class names, not words
    that were learned, so no inversion is needed."""

    name: str
    kind: Kind
    title: str
    choices: tuple[Choice, ...]
    is_named: bool = False

    @property
    def values(self) -> dict[str, Any]:
        """{field of the spec: value}."""
        return {choice.field: choice.value for choice in self.choices}


_CODE = "program published with the paper (§1.5)"
_PAPER = "paper, section 4 and its program (§1.5)"
_LATER = "UniDiffDA, shared protocol (§4.1)"
_SAMPLER = (
    Choice("scheduler", "pndm", _CODE),
    Choice("steps", 50, _CODE),
    Choice("guidance", 7.5, _CODE),
    Choice("aspect", "stretch", _CODE),
)
_FOUR = Choice("t0_set", (0.25, 0.5, 0.75, 1.0), _PAPER)
_HALF = Choice("t0_set", (0.5,), _PAPER)
_UNIFORM = Choice("draw", "uniform", "paper, t0 ~ U{1/k … k/k} (§1.5)")
_TEN = Choice("variants", 10, "paper's M for common datasets; 50 for leafy spurge (§1.5)")

PRESETS: tuple[Preset, ...] = (
    Preset(
        "repo-scripts",
        "invert",
        _("The scripts that come with the paper"),
        (
            Choice("vectors", 1, "published scripts (§1.3)"),
            Choice("initialiser", "the", "published scripts (§1.3)"),
            Choice("steps", 1000, "published scripts (§1.3)"),
            Choice("batch_size", 4, "published scripts (§1.3)"),
            Choice("learning_rate", 2e-3, "5e-4, scaled by the batch of 4 (§1.3)"),
        ),
    ),
    Preset(
        "paper-revision",
        "invert",
        _("What the authors recommended later"),
        (
            Choice("vectors", 4, "the authors' later advice (§1.3)"),
            Choice("initialiser", "{concept}", "the class name, mean of its tokens (§1.3)"),
            Choice("steps", 2000, "the authors' later advice (§1.3)"),
            Choice("batch_size", 8, "the authors' later advice (§1.3)"),
            Choice("learning_rate", 4e-3, "5e-4, scaled by the batch of 8 (§1.3)"),
        ),
    ),
    Preset(
        "paper",
        "generate",
        _("DA-Fusion: four t0, drawn uniformly"),
        (
            _FOUR, _UNIFORM, _TEN, *_SAMPLER,
            Choice("prompt", "a photo of a {concept}", _CODE),
        ),
    ),
    Preset(
        "paper-single",
        "generate",
        _("DA-Fusion with one t0"),
        (_HALF, _UNIFORM, _TEN, *_SAMPLER, Choice("prompt", "a photo of a {concept}", _CODE)),
    ),
    Preset(
        "real-guidance",
        "generate",
        _("Real Guidance, as the paper compares with it: the class name in the prompt"),
        (_HALF, _UNIFORM, _TEN, *_SAMPLER, Choice("prompt", "a photo of a {concept}", _CODE)),
        is_named=True,
    ),
    Preset(
        "real-guidance-agnostic",
        "generate",
        _("Real Guidance without class names, so that the prompt gives nothing away"),
        (_HALF, _UNIFORM, _TEN, *_SAMPLER, Choice("prompt", "a photo", _CODE)),
        is_named=True,
    ),
    Preset(
        "unidiffda-fine-grained",
        "generate",
        _("DA-Fusion as UniDiffDA ran it on fine-grained classes"),
        (
            Choice("t0_set", (0.9,), "UniDiffDA, tuned on birds and aircraft (§4.1)"),
            Choice("draw", "uniform", _LATER),
            Choice("variants", 5, _LATER),
            Choice("scheduler", "dpmsolver++", _LATER),
            Choice("steps", 25, _LATER),
            Choice("guidance", 7.5, _LATER),
            Choice("aspect", "stretch", _LATER),
            Choice("prompt", "a photo of a {concept}", _LATER),
        ),
    ),
)  # fmt: skip


def find_preset(kind: str, name: str) -> Preset:
    """A preset by name. Raises UserError listing those there are."""
    known = [preset for preset in PRESETS if preset.kind == kind]
    for preset in known:
        if preset.name == name:
            return preset
    names = ", ".join(preset.name for preset in known)
    raise UserError(
        _("There is no preset “{name}” for this.").format(name=name),
        _("Presets: {names}.").format(names=names),
    )


def preset_values(kind: str, name: str | None, given: dict[str, Any]) -> dict[str, Any]:
    """The preset's values, with those that were given in their place; without a name only these."""
    return {**(find_preset(kind, name).values if name else {}), **given}
