"""SDEdit: noise a picture part of the way and denoise it again (DA-Fusion eq. 6, §1.5).

Gives the picture that diffusers' StableDiffusionImg2ImgPipeline gives for the same source, seed
and settings, but in batches over sources and concepts, with each source encoded once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from dafusion_core.engine import parallel, sampling
from dafusion_core.engine.models import DiffusionModel

__all__ = [
    "Posterior",
    "Request",
    "SDEdit",
    "encode_posterior",
    "encode_posteriors",
    "executed_steps",
]


@dataclass(frozen=True, slots=True)
class Posterior:
    """What the VAE says about one picture: mean and standard deviation, each [1, c, h, w]."""

    mean: torch.Tensor
    std: torch.Tensor


@torch.inference_mode()
def encode_posterior(model: DiffusionModel, pixels: torch.Tensor) -> Posterior:
    """The posterior of one picture [3, H, W] in -1…1. Kept on the model's device."""
    batch = pixels[None].to(model.device, model.dtype)
    found = model.vae.encode(batch).latent_dist
    return Posterior(found.mean, found.std)


@torch.inference_mode()
def encode_posteriors(model: DiffusionModel, pixels: torch.Tensor) -> Posterior:
    """The posteriors of pictures [n, 3, H, W], mean and standard deviation [n, c, h, w].

    As many at once as are decoded at once; alone, small pictures take many times longer.
    """
    at_once = max(1, sampling.PIXELS_AT_ONCE // (pixels.shape[2] * pixels.shape[3]))

    def encode(part: torch.Tensor) -> torch.Tensor:
        found = model.vae.encode(part).latent_dist
        return torch.stack([found.mean, found.std], dim=1)

    parts = [part.to(model.device, model.dtype) for part in pixels.split(at_once)]
    mean, std = torch.cat([parallel.map_batch(encode, part) for part in parts]).unbind(1)
    return Posterior(mean.contiguous(), std.contiguous())


@dataclass(frozen=True, slots=True)
class Request:
    """One picture to make. `mask`: [1, h, w] of the latents, 1 where they may change; None: all."""

    source: Posterior
    prompt: str
    seed: int
    mask: torch.Tensor | None = None


def executed_steps(steps: int, t0: float) -> int:
    """Denoising steps that are run: ⌊steps·t0⌋ as in diffusers, but at least one."""
    return max(1, min(int(steps * t0), steps))


class SDEdit:
    """Makes pictures with one model and one set of sampler settings."""

    def __init__(
        self,
        model: DiffusionModel,
        *,
        scheduler: str = "pndm",
        steps: int = 50,
        guidance: float = 7.5,
        negative_prompt: str = "",
    ) -> None:
        self._model = model
        self._scheduler = scheduler
        self._steps = steps
        self._guidance = guidance
        self._negative = negative_prompt
        self._prompts = sampling.PromptCache(model)

    @torch.inference_mode()
    def run(
        self,
        requests: Sequence[Request],
        t0: float,
        on_step: Callable[[int, int], None] | None = None,
    ) -> torch.Tensor:
        """Pictures [len(requests), 3, H, W] in about -1…1.

        Each request has its own generator, from which first the posterior sample and then the
        noise is drawn, so a picture does not depend on what else is in its batch (up to
        rounding). `on_step(i, count)` may raise to stop.

        Where a request's mask is 0 the latents are put back after every step to those of the
        source with the same noise, and to the source itself at the end, as diffusers' inpainting
        does with networks that were not made for it (§1.5).
        """
        model = self._model
        generators = [sampling.seeded(request.seed) for request in requests]
        plan = sampling.make_scheduler(self._scheduler, model.scheduler_config)
        plan.set_timesteps(self._steps, device=model.device)
        start = (self._steps - executed_steps(self._steps, t0)) * plan.order
        timesteps = plan.timesteps[start:]
        if hasattr(plan, "set_begin_index"):
            plan.set_begin_index(start)

        mean = torch.cat([request.source.mean for request in requests])
        std = torch.cat([request.source.std for request in requests])
        drawn = mean + std * sampling.draw_noise(model, mean.shape, generators)
        clean = model.latent_factor * drawn
        noise = sampling.draw_noise(model, clean.shape, generators)
        latents = plan.add_noise(clean, noise, timesteps[:1].repeat(len(requests)))

        text = self._prompts.stack([request.prompt for request in requests])
        negative = None
        if self._guidance > 1:
            negative = self._prompts[self._negative][None].expand(len(requests), -1, -1)
        after_step = None
        if any(request.mask is not None for request in requests):
            everything = torch.ones(1, *clean.shape[2:])
            masks = [everything if r.mask is None else r.mask for r in requests]
            mask = torch.stack(masks).to(clean)

            def keep(i: int, latents: torch.Tensor) -> torch.Tensor:
                own = clean
                if i + 1 < len(timesteps):
                    after = timesteps[i + 1 : i + 2].repeat(len(requests))
                    own = plan.add_noise(clean, noise, after)
                return (1 - mask) * own + mask * latents

            after_step = keep
        latents = sampling.denoise(
            model,
            plan,
            timesteps,
            latents,
            text,
            negative,
            self._guidance,
            generators,
            on_step,
            after_step,
        )
        return sampling.decode(model, latents)
