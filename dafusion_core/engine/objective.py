"""The denoising objective: noising latents and what the network should answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from dafusion_core.engine.models import DiffusionModel

from dafusion_core.engine.sampling import noise_scales

__all__ = ["add_noise", "target"]


def add_noise(
    model: DiffusionModel, clean: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor
) -> torch.Tensor:
    """x_t = √ᾱ_t·x₀ + √(1−ᾱ_t)·ε for latents [n, c, h, w] and timesteps [n]."""
    signal, sigma = noise_scales(model, timesteps)
    return signal.to(clean) * clean + sigma.to(clean) * noise


def target(
    model: DiffusionModel, clean: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor
) -> torch.Tensor:
    """What the U-Net should return: noise, velocity √ᾱ·ε − √(1−ᾱ)·x₀, or x₀."""
    if model.prediction_type == "epsilon":
        return noise
    if model.prediction_type == "sample":
        return clean
    signal, sigma = noise_scales(model, timesteps)
    return signal.to(clean) * noise - sigma.to(clean) * clean
