"""Schedulers, prompts and the denoising loop shared by SDEdit, previews and erasure.

The numbers are those of diffusers' pipelines: the same scheduler settings, the same order of
random draws, the same arithmetic; only the grouping of the work differs.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    PNDMScheduler,
    UniPCMultistepScheduler,
)
from diffusers.utils.torch_utils import randn_tensor

from dafusion_core.domain.errors import UserError
from dafusion_core.engine import parallel, tokens
from dafusion_core.engine.models import DiffusionModel
from dafusion_core.language import _

__all__ = [
    "PromptCache",
    "alphas_cumprod",
    "decode",
    "denoise",
    "draw_noise",
    "generate_latents",
    "make_scheduler",
    "noise_scales",
    "seeded",
]

OnStep = Callable[[int, int], None]
AfterStep = Callable[[int, torch.Tensor], torch.Tensor]

_KINDS: dict[str, tuple[Any, dict[str, Any]]] = {
    "pndm": (PNDMScheduler, {"skip_prk_steps": True}),
    "ddim": (DDIMScheduler, {"clip_sample": False}),
    "dpmsolver++": (DPMSolverMultistepScheduler, {"algorithm_type": "dpmsolver++"}),
    "euler": (EulerDiscreteScheduler, {}),
    "unipc": (UniPCMultistepScheduler, {}),
}


def make_scheduler(name: str, settings: Mapping[str, Any]) -> Any:
    """A new scheduler with a model's noise schedule.

    PNDM and DDIM get `steps_offset=1`, which diffusers' pipelines enforce for Stable Diffusion;
    latents are never clipped. Schedulers keep state: use a new one for each batch. Raises UserError
    where the sampler cannot work with the model.
    """
    if name == "pndm" and settings.get("prediction_type") == "sample":
        raise UserError(
            _("The PNDM sampler cannot be used with a model that predicts pictures directly."),
            _("Choose DDIM."),
        )
    kind, fixed = _KINDS[name]
    scheduler = kind.from_config(dict(settings), **fixed)
    if "steps_offset" in scheduler.config and scheduler.config.steps_offset != 1:
        scheduler = kind.from_config(scheduler.config, steps_offset=1, **fixed)
    return scheduler


@lru_cache(maxsize=8)
def _alphas(settings: str, device: torch.device) -> torch.Tensor:
    values: torch.Tensor = DDIMScheduler.from_config(json.loads(settings)).alphas_cumprod
    return values.to(device, torch.float32)


def alphas_cumprod(model: DiffusionModel) -> torch.Tensor:
    """ᾱ_t of the model's schedule, float32 [train_timesteps], on the model's device."""
    with torch.inference_mode(False):  # the kept values may later take part in a gradient
        return _alphas(json.dumps(dict(model.scheduler_config), default=str), model.device)


def noise_scales(
    model: DiffusionModel, timesteps: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """(√ᾱ_t, √(1−ᾱ_t)) shaped [n, 1, 1, 1] for timesteps [n]."""
    chosen = alphas_cumprod(model)[timesteps.to(model.device)].reshape(-1, 1, 1, 1)
    return chosen.sqrt(), (1 - chosen).sqrt()


def seeded(seed: int) -> torch.Generator:
    """A generator on the CPU, so that every device gets the same draws."""
    return torch.Generator("cpu").manual_seed(seed)


def draw_noise(
    model: DiffusionModel, shape: Sequence[int], generators: list[torch.Generator]
) -> torch.Tensor:
    """Gaussian noise [len(generators), *shape[1:]], row i from generator i."""
    noise: torch.Tensor = randn_tensor(
        tuple(shape), generator=generators, device=model.device, dtype=model.dtype
    )
    return noise


class PromptCache:
    """Text states per prompt, each encoded once."""

    def __init__(self, model: DiffusionModel) -> None:
        self._model = model
        self._states: dict[str, torch.Tensor] = {}

    def __getitem__(self, prompt: str) -> torch.Tensor:
        """Text states [length, d]."""
        if prompt not in self._states:
            with torch.inference_mode():
                self._states[prompt] = tokens.encode(self._model, [prompt])[0]
        return self._states[prompt]

    def stack(self, prompts: Sequence[str]) -> torch.Tensor:
        """Text states [len(prompts), length, d]."""
        return torch.stack([self[prompt] for prompt in prompts])


def denoise(
    model: DiffusionModel,
    scheduler: Any,
    timesteps: torch.Tensor,
    latents: torch.Tensor,
    text: torch.Tensor,
    negative: torch.Tensor | None,
    guidance: float,
    generators: list[torch.Generator] | None = None,
    on_step: OnStep | None = None,
    after_step: AfterStep | None = None,
) -> torch.Tensor:
    """Run `timesteps` of the reverse process on latents [n, c, h, w].

    `text`, `negative`: [n, length, d]. Guidance is used when it is above 1 and `negative` is
    given. `on_step(i, count)` is called before each step and may raise to stop;
    `after_step(i, latents)` returns what to go on with after step i.
    """
    accepted = set(inspect.signature(scheduler.step).parameters)
    extra: dict[str, Any] = {}
    if "generator" in accepted and generators is not None:
        extra["generator"] = generators
    is_guided = guidance > 1 and negative is not None
    states = torch.cat([negative, text]) if is_guided and negative is not None else text
    for i, t in enumerate(timesteps):
        if on_step is not None:
            on_step(i, len(timesteps))
        entry = torch.cat([latents] * 2) if is_guided else latents
        entry = scheduler.scale_model_input(entry, t)
        predicted = parallel.predict(model, entry, t, states)
        if is_guided:
            without, with_text = predicted.chunk(2)
            predicted = without + guidance * (with_text - without)
        latents = scheduler.step(predicted, t, latents, **extra, return_dict=False)[0]
        if after_step is not None:
            latents = after_step(i, latents)
    return latents


PIXELS_AT_ONCE = 1 << 19  # at once: two pictures of 512×512, so that decoding never sets the peak


def decode(model: DiffusionModel, latents: torch.Tensor) -> torch.Tensor:
    """Pictures [n, 3, H, W] in about -1…1 from latents."""
    pixels = latents.shape[2] * latents.shape[3] * model.scale**2
    parts = latents.split(max(1, PIXELS_AT_ONCE // pixels))

    def decode_part(part: torch.Tensor) -> torch.Tensor:
        pictures: torch.Tensor = model.vae.decode(part / model.latent_factor, return_dict=False)[0]
        return pictures

    return torch.cat([parallel.map_batch(decode_part, part) for part in parts])


@torch.inference_mode()
def generate_latents(
    model: DiffusionModel,
    prompts: Sequence[str],
    seeds: Sequence[int],
    *,
    scheduler: str = "ddim",
    steps: int = 20,
    guidance: float = 7.5,
    resolution: int | None = None,
    on_step: OnStep | None = None,
) -> torch.Tensor:
    """Text-to-image without a source: latents [n, c, h, w], one generator per seed."""
    side = model.check_resolution(resolution) // model.scale
    generators = [seeded(seed) for seed in seeds]
    plan = make_scheduler(scheduler, model.scheduler_config)
    plan.set_timesteps(steps, device=model.device)
    shape = (len(prompts), model.latent_channels, side, side)
    latents = draw_noise(model, shape, generators) * plan.init_noise_sigma
    cache = PromptCache(model)
    return denoise(
        model,
        plan,
        plan.timesteps,
        latents,
        cache.stack(prompts),
        cache.stack([""] * len(prompts)),
        guidance,
        generators,
        on_step,
    )
