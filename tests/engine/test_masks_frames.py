"""Aspect ratios and masks: the way in and back, what may change, and diffusers' inpainting."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionInpaintPipeline
from PIL import Image

from dafusion_core.domain.errors import UserError
from dafusion_core.domain.inputs import RegionInput
from dafusion_core.domain.specs import ModelSource
from dafusion_core.engine import edit_masks, images
from dafusion_core.engine.frames import Frame
from dafusion_core.engine.models import load_model
from dafusion_core.engine.sdedit import Request, SDEdit, encode_posterior
from dafusion_core.jobs.context import NullContext
from dafusion_core.methods import generate

from . import tiny
from .conftest import draw_picture
from .test_generate import make_inputs, make_units, plan

BOX = RegionInput("box", {"box": [10, 6, 14, 12]})


@pytest.mark.parametrize("aspect", ["stretch", "pad", "crop"])
@pytest.mark.parametrize("size", [(64, 40), (40, 64), (32, 32), (24, 64)])
def test_what_goes_in_comes_back(aspect, size) -> None:  # type: ignore[no-untyped-def]
    picture = draw_picture(1, size)
    frame = Frame(size, 64, aspect)
    square = frame.place(picture)
    assert square.size == (64, 64)
    back = frame.restore(square)
    assert back.size == frame.result_size == frame.cut(picture).size
    away = np.abs(np.asarray(back, float) - np.asarray(frame.cut(picture), float))
    assert away.mean() < 6


def test_padding_keeps_the_proportions() -> None:
    picture = Image.new("RGB", (80, 40), "black")
    picture.paste("white", (30, 10, 50, 30))  # a square
    square = np.asarray(Frame((80, 40), 80, "pad").place(picture))[20:60, :, 0] > 127
    assert square.any(axis=0).sum() == square.any(axis=1).sum() == 20


@pytest.mark.parametrize("window", [1, 2, 3, 16])
def test_widening_is_a_maximum_filter(window: int) -> None:
    mask = (torch.rand(12, 9, generator=torch.Generator().manual_seed(1)) > 0.95).float()
    found = edit_masks.widen(mask, window)
    for y in range(12):
        for x in range(9):
            top, left = max(0, y - window // 2), max(0, x - window // 2)
            part = mask[top : y + (window - 1) // 2 + 1, left : x + (window - 1) // 2 + 1]
            assert found[y, x] == part.max()


def test_object_and_background_are_each_others_opposite() -> None:
    frame = Frame((40, 30), 32)
    inside = edit_masks.edit_mask([BOX], frame, "object", 4)
    outside = edit_masks.edit_mask([BOX], frame, "background", 4)
    assert torch.equal(inside + outside, torch.ones(32, 32))
    assert 0 < inside.mean() < 0.5
    with pytest.raises(UserError, match="No region"):
        edit_masks.edit_mask([], frame, "object", 4)
    whole = RegionInput("box", {"box": [0, 0, 40, 30]})
    with pytest.raises(UserError, match="nothing to change"):
        edit_masks.edit_mask([whole], frame, "background", 4)


@pytest.mark.parametrize("scheduler", ["pndm", "euler"])
def test_same_latents_as_diffusers_inpainting(tiny_folder: Path, scheduler: str) -> None:
    from .test_sdedit import THEIRS

    pipe = StableDiffusionInpaintPipeline.from_pretrained(str(tiny_folder), safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = THEIRS[scheduler].from_config(pipe.scheduler.config)
    picture = draw_picture(3, (tiny.SIDE, tiny.SIDE))
    mask = np.zeros((tiny.SIDE, tiny.SIDE), np.uint8)
    mask[8:24, 4:20] = 255
    theirs = pipe(
        prompt="a leaf",
        image=picture,
        mask_image=Image.fromarray(mask),
        strength=0.6,
        num_inference_steps=8,
        width=tiny.SIDE,
        height=tiny.SIDE,
        generator=torch.Generator().manual_seed(3),
        output_type="np",
    ).images[0]
    model = load_model(ModelSource("folder", str(tiny_folder)), torch.device("cpu"))
    posterior = encode_posterior(model, images.picture_to_pixels(picture))
    latent = edit_masks.latent_mask(torch.from_numpy(mask).float() / 255, model.scale)
    request = Request(posterior, "a leaf", 3, latent)
    sampler = SDEdit(model, scheduler=scheduler, steps=8)
    made = sampler.run([request, replace(request, mask=None)], 0.6)
    found = images.pixels_to_unit(made).permute(0, 2, 3, 1).numpy()
    assert np.abs(found[0] - theirs).max() <= 1e-3
    assert np.abs(found[1] - theirs).max() > 0.02


def test_masked_generation_changes_nothing_outside(
    source: ModelSource, ctx: NullContext, tmp_path: Path
) -> None:
    inputs = replace(make_inputs(tmp_path), regions={"0": (BOX,), "1": (BOX,), "2": (BOX,)})
    units = make_units((0.5,))
    generate.run(plan(source, mask="object", mask_dilation=2), inputs, units, ctx)
    assert set(ctx.failures) == {"3-0.5"}  # no region there
    for key in ("0-0.5", "1-0.5", "2-0.5"):
        with Image.open(ctx.results[key][0]["image"]) as made:
            values = np.asarray(made, int)
        own = np.asarray(Image.open(tmp_path / f"{key[0]}.png").convert("RGB"), int)
        changed = np.abs(values - own).max(axis=2) > 0
        assert changed[8:16, 12:22].mean() > 0.5
        assert not changed[:, :6].any()
        assert not changed[:, 30:].any()


def test_cropping_gives_squares(source: ModelSource, ctx: NullContext, tmp_path: Path) -> None:
    generate.run(plan(source, aspect="crop"), make_inputs(tmp_path), make_units((0.5,)), ctx)
    assert ctx.results["0-0.5"][1] == {"width": 30, "height": 30}
