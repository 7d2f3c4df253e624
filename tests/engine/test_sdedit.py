"""SDEdit against diffusers' own image-to-image pipeline, and its independence of batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    PNDMScheduler,
    StableDiffusionImg2ImgPipeline,
    UniPCMultistepScheduler,
)

from dafusion_core.domain.specs import ModelSource
from dafusion_core.engine import images, sampling, tokens
from dafusion_core.engine.models import DiffusionModel, load_model
from dafusion_core.engine.sdedit import Request, SDEdit, encode_posterior, executed_steps

from . import tiny
from .conftest import draw_picture

PROMPTS = ["a photo of a plant", "a photo of a <fern>", "a leaf"]
OURS = ["a photo of a plant", "a photo of a <fern> <fern>_1", "a leaf"]
THEIRS = {
    "pndm": PNDMScheduler,
    "ddim": DDIMScheduler,
    "dpmsolver++": DPMSolverMultistepScheduler,
    "euler": EulerDiscreteScheduler,
    "unipc": UniPCMultistepScheduler,
}


@pytest.fixture(scope="module")
def fern(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A token embedding of two vectors, as an inversion writes it."""
    vectors = torch.randn(2, tiny.DIM, generator=torch.Generator().manual_seed(7))
    return tokens.write_embedding(
        tmp_path_factory.mktemp("words") / "fern.safetensors", "<fern>", vectors
    )


def with_fern(folder: Path, fern: Path) -> DiffusionModel:
    model = load_model(ModelSource("folder", str(folder)), torch.device("cpu"))
    return tokens.add_to_model(model, tokens.read_embeddings([fern]))


def stock(folder: Path, fern: Path) -> StableDiffusionImg2ImgPipeline:
    pipe = StableDiffusionImg2ImgPipeline.from_pretrained(str(folder), safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    pipe.load_textual_inversion(str(fern))
    return pipe


@pytest.fixture(scope="module")
def model(tiny_folder: Path, fern: Path) -> DiffusionModel:
    return with_fern(tiny_folder, fern)


@pytest.fixture(scope="module")
def pipe(tiny_folder: Path, fern: Path) -> StableDiffusionImg2ImgPipeline:
    return stock(tiny_folder, fern)


@pytest.fixture(scope="module")
def velocity_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "velocity"
    tiny.build("v_prediction").save_pretrained(str(folder))
    return folder


def reference(
    pipe: StableDiffusionImg2ImgPipeline,
    scheduler: str,
    t0: float,
    steps: int,
    guidance: float,
    seeds: list[int],
    negative: str = "",
) -> np.ndarray:
    """[n, H, W, 3] in 0…1: diffusers, one picture at a time."""
    pipe.scheduler = THEIRS[scheduler].from_config(pipe.scheduler.config)
    made = []
    for i, seed in enumerate(seeds):
        made.append(
            pipe(
                prompt=PROMPTS[i],
                negative_prompt=negative,
                image=draw_picture(i, (tiny.SIDE, tiny.SIDE)),
                strength=t0,
                num_inference_steps=steps,
                guidance_scale=guidance,
                generator=torch.Generator("cpu").manual_seed(seed),
                output_type="np",
            ).images[0]
        )
    return np.stack(made)


def ask(model: DiffusionModel, i: int, seed: int) -> Request:
    values = np.array(draw_picture(i, (tiny.SIDE, tiny.SIDE)))
    pixels = torch.from_numpy(values).permute(2, 0, 1).float() / 255 * 2 - 1
    return Request(encode_posterior(model, pixels), OURS[i], seed)


def ours(
    model: DiffusionModel,
    scheduler: str,
    t0: float,
    steps: int,
    guidance: float,
    seeds: list[int],
    negative: str = "",
) -> np.ndarray:
    """The same in one batch: other sources, other concepts, one of them learned."""
    requests = [ask(model, i, seed) for i, seed in enumerate(seeds)]
    sampler = SDEdit(
        model, scheduler=scheduler, steps=steps, guidance=guidance, negative_prompt=negative
    )
    made = sampler.run(requests, t0)
    return images.pixels_to_unit(made).permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("scheduler", list(THEIRS))
@pytest.mark.parametrize("t0", [0.25, 0.5, 0.75, 1.0])
def test_same_picture_as_diffusers(
    model: DiffusionModel, pipe: StableDiffusionImg2ImgPipeline, scheduler: str, t0: float
) -> None:
    expected = reference(pipe, scheduler, t0, 8, 7.5, [11, 22, 33])
    found = ours(model, scheduler, t0, 8, 7.5, [11, 22, 33])
    assert np.abs(found - expected).max() <= 1e-3


@pytest.mark.parametrize("t0", [0.58, 0.99])
def test_same_picture_as_diffusers_where_steps_do_not_divide(
    model: DiffusionModel, pipe: StableDiffusionImg2ImgPipeline, t0: float
) -> None:
    expected = reference(pipe, "pndm", t0, 7, 4.0, [1, 2], "a leaf")
    found = ours(model, "pndm", t0, 7, 4.0, [1, 2], "a leaf")
    assert np.abs(found - expected).max() <= 1e-3
    assert np.abs(found - ours(model, "pndm", t0, 7, 4.0, [1, 2])).max() > 5e-3


@pytest.mark.parametrize("scheduler", ["pndm", "ddim"])
def test_same_picture_as_diffusers_without_guidance(
    model: DiffusionModel, pipe: StableDiffusionImg2ImgPipeline, scheduler: str
) -> None:
    expected = reference(pipe, scheduler, 0.5, 8, 1.0, [5])
    assert np.abs(ours(model, scheduler, 0.5, 8, 1.0, [5]) - expected).max() <= 1e-3


@pytest.mark.parametrize("scheduler", ["pndm", "ddim"])
def test_same_picture_as_diffusers_when_the_model_predicts_velocity(
    velocity_folder: Path, fern: Path, scheduler: str
) -> None:
    model, pipe = with_fern(velocity_folder, fern), stock(velocity_folder, fern)
    expected = reference(pipe, scheduler, 0.7, 8, 5.0, [1, 2])
    assert np.abs(ours(model, scheduler, 0.7, 8, 5.0, [1, 2]) - expected).max() <= 1e-3


def test_order_and_batch_size_change_no_picture(model: DiffusionModel) -> None:
    requests = [ask(model, i % 3, 100 + i) for i in range(5)]
    sampler = SDEdit(model, scheduler="pndm", steps=6)
    together = sampler.run(requests, 0.8)
    backwards = sampler.run(requests[::-1], 0.8).flip(0)
    parts = torch.cat([sampler.run(requests[:2], 0.8), sampler.run(requests[2:], 0.8)])
    assert (together - backwards).abs().max() / 2 <= 1e-4
    assert (together - parts).abs().max() / 2 <= 1e-4


def test_prompt_seed_and_strength_matter(model: DiffusionModel) -> None:
    """The comparisons above would mean nothing if the tiny model ignored its inputs."""
    base = ours(model, "ddim", 0.7, 6, 7.5, [1])
    assert np.abs(ours(model, "ddim", 0.7, 6, 7.5, [2]) - base).max() > 0.02
    assert np.abs(ours(model, "ddim", 0.4, 6, 7.5, [1]) - base).max() > 0.02
    two = ours(model, "ddim", 0.7, 6, 7.5, [1, 1])
    assert np.abs(two[0] - two[1]).max() > 0.02
    assert np.abs(ours(model, "ddim", 0.7, 6, 1.0, [1]) - base).max() > 0.005


def test_a_picture_does_not_depend_on_its_batch(model: DiffusionModel) -> None:
    together = ours(model, "pndm", 0.6, 6, 7.5, [1, 2, 3])
    alone = ours(model, "pndm", 0.6, 6, 7.5, [1])
    assert np.abs(together[0] - alone[0]).max() < 1e-5


def test_the_same_batch_gives_the_same_bits(model: DiffusionModel) -> None:
    first = ours(model, "ddim", 0.6, 6, 7.5, [1, 2])
    assert np.array_equal(first, ours(model, "ddim", 0.6, 6, 7.5, [1, 2]))


@pytest.mark.parametrize(
    ("t0", "expected"), [(0.25, 12), (0.5, 25), (0.75, 37), (1.0, 50), (0.001, 1)]
)
def test_executed_steps_are_those_of_the_paper(t0: float, expected: int) -> None:
    assert executed_steps(50, t0) == expected


def test_progress_is_told_before_each_step_and_may_stop(model: DiffusionModel) -> None:
    class Halt(Exception):
        pass

    seen: list[tuple[int, int]] = []

    def on_step(i: int, count: int) -> None:
        seen.append((i, count))
        if i == 2:
            raise Halt

    pixels = torch.zeros(3, tiny.SIDE, tiny.SIDE)
    request = Request(encode_posterior(model, pixels), "a", 0)
    with pytest.raises(Halt):
        SDEdit(model, scheduler="ddim", steps=10).run([request], 0.5, on_step)
    assert seen == [(0, 5), (1, 5), (2, 5)]


def test_each_prompt_is_encoded_once(
    model: DiffusionModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    encode = sampling.tokens.encode

    def counting(m: DiffusionModel, prompts: list[str]) -> torch.Tensor:
        asked.extend(prompts)
        return encode(m, prompts)

    monkeypatch.setattr(sampling.tokens, "encode", counting)
    posterior = encode_posterior(model, torch.zeros(3, tiny.SIDE, tiny.SIDE))
    sampler = SDEdit(model, scheduler="ddim", steps=4)
    for seed in range(3):
        sampler.run([Request(posterior, "a leaf", seed), Request(posterior, "a oak", seed)], 0.5)
    assert sorted(asked) == ["", "a leaf", "a oak"]
