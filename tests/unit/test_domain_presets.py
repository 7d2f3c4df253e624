"""Presets: they fit their specs, say where each value is from, and give way to what is asked."""

from __future__ import annotations

import pytest

from dafusion_core.domain.errors import UserError
from dafusion_core.domain.presets import PRESETS, preset_values
from dafusion_core.domain.specs import GenerationPlan, InversionSpec

SPECS = {"invert": InversionSpec, "generate": GenerationPlan}


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_a_preset_fits_its_spec_and_names_its_sources(preset) -> None:  # type: ignore[no-untyped-def]
    spec = SPECS[preset.kind](split_id=1, **preset.values)
    for choice in preset.choices:
        assert getattr(spec, choice.field) == choice.value
        assert choice.source
    assert len(preset.values) == len(preset.choices)


def test_the_published_presets_are_there() -> None:
    names = {preset.name for preset in PRESETS}
    assert names == {
        "repo-scripts", "paper-revision", "paper", "paper-single", "real-guidance",
        "real-guidance-agnostic", "unidiffda-fine-grained",
    }  # fmt: skip
    assert preset_values("generate", "paper", {})["t0_set"] == (0.25, 0.5, 0.75, 1.0)
    assert preset_values("generate", "real-guidance-agnostic", {})["prompt"] == "a photo"
    assert preset_values("invert", "paper-revision", {})["vectors"] == 4


def test_what_is_given_wins() -> None:
    values = preset_values("generate", "paper", {"variants": 2, "seed": 4})
    assert (values["variants"], values["seed"], values["steps"]) == (2, 4, 50)
    assert preset_values("generate", None, {"seed": 4}) == {"seed": 4}
    with pytest.raises(UserError, match="no preset “paper”"):
        preset_values("invert", "paper", {})
