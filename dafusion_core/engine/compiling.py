"""torch.compile for the denoiser: slower to start, faster after that, where it works at all.

It needs a C++ compiler on the CPU and Triton on a GPU, which many computers do not have; then the
network stays as it was.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch

from dafusion_core.engine.models import DiffusionModel

__all__ = ["compile_network", "is_compiled", "undo"]


def is_compiled(model: DiffusionModel) -> bool:
    """True when the denoiser runs compiled."""
    return getattr(model.unet, "_compiled_call_impl", None) is not None


def undo(model: DiffusionModel) -> None:
    """Let the denoiser run as written."""
    if is_compiled(model):
        model.unet._compiled_call_impl = None


def _turn_on(unet: Any) -> None:
    # In place, so that parameters keep their names and can still be patched. One program for each
    # batch size, of which torch makes eight and runs further ones as written: a program for all
    # sizes (dynamic=True) was still being traced after two minutes for a network of toy size, one
    # for a fixed size was ready in 50 seconds.
    unet.compile(dynamic=False)


def compile_network(model: DiffusionModel, side: int) -> str:
    """Compile the denoiser and try it on latents of `side`; "" or why that did not work.

    Nothing is raised: what goes wrong in a compiler has no common base, and the network then runs
    as written.
    """
    if is_compiled(model):
        return ""
    unet = model.unet
    shape = (2, model.latent_channels, side, side)
    states = (2, 8, int(unet.config.cross_attention_dim))
    some: dict[str, Any] = {"device": model.device, "dtype": model.dtype}
    try:
        _turn_on(unet)
        with warnings.catch_warnings(), torch.inference_mode():
            warnings.simplefilter("ignore")  # what the compiler's own modules deprecate
            unet(
                torch.zeros(shape, **some),
                torch.tensor(1, device=model.device),
                encoder_hidden_states=torch.zeros(states, **some),
            )
    except Exception as error:
        undo(model)
        lines = str(error).strip().splitlines() or [type(error).__name__]
        return lines[0]
    return ""
