"""torch.compile for the denoiser: slower to start, faster after that, where it works at all.

It needs a C++ compiler on the CPU and Triton on a GPU, which many computers do not have; then the
network stays as it was.

On the CPU a program is made for one number of samples, that of the parts which full batches are cut
into (`parallel`). Smaller parts are filled up while that is faster than running the network as
written, so that the last batch of a job costs no program of its own.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import torch
from platformdirs import user_cache_dir

from dafusion_core.engine.models import DiffusionModel

__all__ = ["compile_network", "evaluate", "is_compiled", "undo"]

# A compiled evaluation takes about three quarters of the time of one as written; filling up a part
# that is smaller than this share of the program's size would cost more than it brings.
_LEAST_SHARE = 0.75


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


def _keep_programs() -> None:
    # Torch's own choice is a folder for temporary files, which may be emptied at every start.
    folder = Path(user_cache_dir("dafusion-studio", appauthor=False)) / "compiled"
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(folder))


def compile_network(model: DiffusionModel, side: int, rows: int = 2, threads: int = 1) -> str:
    """Compile the denoiser and try it on latents of `side`; "" or why that did not work.

    rows, threads: samples of a part of a full batch, and the threads per operation it is computed
    with (`parallel.part_of`); on a GPU torch makes a program for each number that comes. Programs
    are kept on the disk, and the next process needs a fraction of the time.

    Nothing is raised: what goes wrong in a compiler has no common base, and the network then runs
    as written.
    """
    unet, before = model.unet, torch.get_num_threads()
    program = (rows, side, threads)
    if is_compiled(model) and (model.device.type != "cpu" or unet._program == program):
        return ""
    length = int(model.tokenizer.model_max_length)
    some: dict[str, Any] = {"device": model.device, "dtype": model.dtype}
    latents = torch.zeros((rows, model.latent_channels, side, side), **some)
    states = torch.zeros((rows, length, int(unet.config.cross_attention_dim)), **some)
    try:
        _keep_programs()
        _turn_on(unet)
        unet._program = program
        torch.set_num_threads(threads)
        with warnings.catch_warnings(), torch.inference_mode():
            warnings.simplefilter("ignore")  # what the compiler's own modules deprecate
            evaluate(model, latents, torch.tensor(1, device=model.device), states)
    except Exception as error:
        undo(model)
        lines = str(error).strip().splitlines() or [type(error).__name__]
        return lines[0]
    finally:
        torch.set_num_threads(before)
    return ""


def evaluate(
    model: DiffusionModel, latents: torch.Tensor, t: torch.Tensor, states: torch.Tensor
) -> torch.Tensor:
    """What the U-Net answers for latents [n, c, h, w], compiled where there is a program for them.

    t: one timestep for all, or [n]. On the CPU a program is only used without gradients, by a
    thread with its number of threads per operation, and with one timestep for all.
    """
    unet = model.unet
    if not is_compiled(model) or model.device.type != "cpu":
        answer: torch.Tensor = unet(latents, t, encoder_hidden_states=states, return_dict=False)[0]
        return answer
    rows, side, threads = unet._program
    count = len(latents)
    fits = (
        t.ndim == 0
        and _LEAST_SHARE * rows <= count <= rows
        and latents.shape[2:] == (side, side)
        and states.shape[1] == model.tokenizer.model_max_length
        and torch.get_num_threads() == threads
        and not torch.is_grad_enabled()
    )
    if not fits:
        # Not through the call, which would make another program.
        plain: torch.Tensor = unet.forward(
            latents, t, encoder_hidden_states=states, return_dict=False
        )[0]
        return plain
    more = rows - count
    if more:
        latents = torch.cat([latents, latents[:1].expand(more, -1, -1, -1)])
        states = torch.cat([states, states[:1].expand(more, -1, -1)])
    # One layout and one type of time, since a program is for these, too. The network makes the
    # same number of the time before it uses it.
    found: torch.Tensor = unet(
        latents.contiguous(),
        t.to(torch.float32),
        encoder_hidden_states=states.contiguous(),
        return_dict=False,
    )[0]
    return found[:count]
