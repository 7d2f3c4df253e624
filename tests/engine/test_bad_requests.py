"""Requests that cannot be met: each a sentence that says what to do. And memory that stays flat."""

from __future__ import annotations

import gc
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from dafusion_core.domain.errors import OutOfMemory, UserError
from dafusion_core.domain.inputs import ErasureInputs, ImageInput
from dafusion_core.domain.specs import (
    ErasureSpec,
    GenerationPlan,
    InversionSpec,
    ModelSource,
)
from dafusion_core.engine import footprint
from dafusion_core.engine.models import PipelineCache, load_model
from dafusion_core.jobs.context import NullContext
from dafusion_core.methods import erase, generate, invert

from .conftest import draw_picture, make_unit
from .test_generate import make_inputs, make_units, plan
from .test_invert import make_inputs as inversion_inputs
from .test_invert import make_spec

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("request_", "text", "way_out"),
    [
        (lambda: GenerationPlan(split_id=1, t0_set=(0.0,)), "t0 = 0.0 is outside", "0.25 or 0.5"),
        (lambda: GenerationPlan(split_id=1, t0_set=(1.5,)), "t0 = 1.5 is outside", "0.25 or 0.5"),
        (lambda: GenerationPlan(split_id=1, t0_set=()), "No t0", "0 to 1"),
        (lambda: GenerationPlan(split_id=1, variants=0), "M ≥ 1", "1 or more"),
        (lambda: InversionSpec(split_id=1, vectors=9), "from 1 to 8", ""),
        (lambda: ErasureSpec(), "No concept", "Name at least one"),
        (lambda: ErasureSpec(concepts=("a",), per_trajectory=51), "cannot be taken", "from 1"),
    ],
)
def test_a_spec_says_what_is_wrong_with_it(request_: Any, text: str, way_out: str) -> None:
    with pytest.raises(UserError) as caught:
        request_()
    assert text in caught.value.text
    assert way_out in caught.value.hint


def test_a_source_of_twenty_pixels_is_edited(
    source: ModelSource, ctx: NullContext, tmp_path: Path
) -> None:
    inputs = make_inputs(tmp_path)
    draw_picture(1, (20, 20)).save(tmp_path / "0.png")
    generate.run(plan(source), inputs, make_units((0.5,)), ctx)
    with Image.open(ctx.results["0-0.5"][0]["image"]) as made:
        assert made.size == (20, 20)


def test_a_prompt_that_is_too_long_is_named(
    source: ModelSource, ctx: NullContext, tmp_path: Path
) -> None:
    long = plan(source, prompt="a photo of a {concept} " + "in the rain " * 12)
    with pytest.raises(UserError, match="longer than this model reads") as caught:
        generate.run(long, make_inputs(tmp_path), make_units(), ctx)
    assert caught.value.hint == "Shorten it."
    with pytest.raises(UserError, match="negative prompt is longer"):
        generate.run(
            plan(source, negative_prompt="in the rain " * 12),
            make_inputs(tmp_path),
            make_units(),
            ctx,
        )
    wordy = ErasureSpec(model=source, concepts=("a weed in the rain " * 4,))
    with pytest.raises(UserError, match="longer than this model reads"):
        erase.run(wordy, ErasureInputs(), [make_unit(1, "model", 1)], ctx)


def test_a_class_with_one_picture_is_learned(
    source: ModelSource, tmp_path: Path, ctx: NullContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(invert, "_PREVIEW_STEPS", 1)
    inputs = inversion_inputs(tmp_path)
    one = replace(inputs.concepts["0"], images=inputs.concepts["0"].images[:1])
    inputs = replace(inputs, concepts={"0": one})
    invert.run(make_spec(source), inputs, [make_unit(1, "0", 1, concept_id=0)], ctx)
    assert ctx.results["0"][1]["pictures"] == 1


def test_modes_that_a_device_does_not_have_are_refused(
    source: ModelSource, ctx: NullContext, tmp_path: Path
) -> None:
    inputs, units = make_inputs(tmp_path), make_units((0.5,))
    with pytest.raises(UserError, match="float16"):
        generate.run(plan(source, precision="float16"), inputs, units, ctx)
    with pytest.raises(UserError, match="runs on the CPU"):
        generate.run(plan(source, memory="offload"), inputs, units, ctx)


def test_less_memory_gives_the_same_pictures(
    source: ModelSource, ctx: NullContext, tmp_path: Path
) -> None:
    inputs, units = make_inputs(tmp_path), make_units((0.5,))
    generate.run(plan(source), inputs, units, ctx)
    other = NullContext(scratch=tmp_path / "other", root=tmp_path)
    other.scratch.mkdir()
    generate.run(plan(source, memory="saving"), inputs, units, other)
    for key in ctx.results:
        one, two = (Image.open(c.results[key][0]["image"]) for c in (ctx, other))
        assert max(abs(a - b) for a, b in zip(one.tobytes(), two.tobytes(), strict=True)) <= 1
    assert any("needs about" in line for line in ctx.lines)


def test_bfloat16_gives_nearly_the_same(
    source: ModelSource, ctx: NullContext, tmp_path: Path
) -> None:
    model = PipelineCache().get(source, device=CPU, dtype=torch.bfloat16)
    assert model.dtype == torch.bfloat16
    generate.run(plan(source, precision="bfloat16"), make_inputs(tmp_path), make_units((0.5,)), ctx)
    assert len(ctx.results) == 4


def test_learning_in_bfloat16_is_near(
    source: ModelSource, tmp_path: Path, ctx: NullContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(invert, "_PREVIEW_STEPS", 1)
    inputs, unit = inversion_inputs(tmp_path), make_unit(1, "0", 1, concept_id=0)
    losses = []
    for precision in ("float32", "bfloat16"):
        invert.run(make_spec(source, precision=precision), inputs, [unit], ctx)
        losses.append(ctx.results["0"][1]["loss_first"])
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)
    with pytest.raises(UserError, match="loses small gradients"):
        make_spec(source, precision="float16")


def test_a_class_name_in_the_prompt_is_said(
    source: ModelSource, ctx: NullContext, tmp_path: Path
) -> None:
    inputs = make_inputs(tmp_path, learned=(0, 1))
    words = plan(source, inversion_job=1, prompt="a plant, a {concept}", steps=1)
    generate.run(words, inputs, make_units((0.5,)), ctx)
    said = [line for line in ctx.lines if "The prompt says" in line]
    assert len(said) == 1
    assert "name of plant" in said[0]


def test_the_estimate_grows_with_the_batch_and_refuses_what_can_never_fit(
    source: ModelSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_model(source, CPU)
    small, large = (footprint.estimate_sampling(model, n, 32) for n in (1, 64))
    assert 0 < small < large
    assert footprint.estimate_sampling(model, 64, 64) > large
    tiny_device = footprint.describe_device(CPU)
    monkeypatch.setattr(
        footprint, "describe_device", lambda device: replace(tiny_device, total_bytes=1 << 20)
    )
    with pytest.raises(OutOfMemory, match="has 1 MB"):
        footprint.report(model, 9 << 20, 3 << 20, "A batch")
    assert "9 MB" in footprint.report(model, 9 << 20, 1 << 20, "A batch")


def tensor_bytes() -> int:
    gc.collect()
    # Asking an object for its class can wake deprecated modules; its type cannot.
    alive = [item for item in gc.get_objects() if issubclass(type(item), torch.Tensor)]
    return sum(item.numel() * item.element_size() for item in alive)


def test_memory_stays_flat_as_pictures_are_made(source: ModelSource, tmp_path: Path) -> None:
    """What is alive after the last batch is what was alive after the third."""
    inputs = make_inputs(tmp_path)
    sources = {str(i): ImageInput(i, f"{i % 4}.png", "", 0) for i in range(80)}
    inputs = replace(inputs, sources=sources)
    units = [
        make_unit(
            i + 1, str(i), i, source_image_id=i, concept_id=0, t0=0.5, variant=0, batch=i // 8
        )
        for i in range(80)
    ]
    seen: list[int] = []

    class Watching(NullContext):
        def progress(self, done: float, total: float, phase: str = "") -> None:
            if phase == "making pictures" and done in (24, 80):
                seen.append(tensor_bytes())

    ctx = Watching(scratch=tmp_path / "scratch", root=tmp_path)
    ctx.scratch.mkdir()
    generate.run(plan(source, steps=1), inputs, units, ctx)
    assert len(seen) >= 2
    assert abs(seen[-1] - seen[0]) < 20_000  # one source is 8 kB
