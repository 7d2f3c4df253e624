"""How much memory pictures take, told before the start, and ways to need less."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from dafusion_core.domain.errors import OutOfMemory, UserError
from dafusion_core.domain.footprint import ModelShape, sampling_bytes
from dafusion_core.domain.specs import Memory, Precision
from dafusion_core.engine.devices import choose_dtype, describe_device, describe_name
from dafusion_core.language import _

if TYPE_CHECKING:
    from dafusion_core.engine.models import DiffusionModel

__all__ = ["estimate_learning", "estimate_sampling", "pick_dtype", "report", "save_memory"]

_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def pick_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """The number type of a plan; "auto" is `choose_dtype`'s.

    Raises UserError for float16 on the CPU, where some operators have no such version.
    """
    if precision == "auto":
        return choose_dtype(device)
    if precision == "float16" and device.type == "cpu":
        raise UserError(
            _("The CPU cannot compute pictures in float16."), _("Use float32, bfloat16 or auto.")
        )
    return _DTYPES[precision]


def save_memory(model: DiffusionModel, memory: Memory) -> None:
    """Make a model need less memory, for more time; the pictures differ by rounding at most.

    "saving" computes attention slice by slice and decodes pictures one by one and in tiles;
    "offload" besides keeps on the device only the part (text encoder, VAE, U-Net) that is at
    work. Raises UserError for "offload" without a device to offload from.
    """
    if memory == "normal":
        return
    model.unet.set_attention_slice("auto")
    model.vae.enable_slicing()
    model.vae.enable_tiling()
    if memory == "offload":
        if model.device.type == "cpu":
            raise UserError(
                _("There is nothing to move away from: this job runs on the CPU."),
                _("Use the memory mode “saving”."),
            )
        from accelerate import cpu_offload_with_hook

        hook: Any = None
        for part in (model.text_encoder, model.vae, model.unet):
            _rest, hook = cpu_offload_with_hook(part, model.device, prev_module_hook=hook)


def _shape(model: DiffusionModel) -> ModelShape:
    layers = model.unet.config.layers_per_block
    parts = (model.unet, model.vae, model.text_encoder)
    unet, vae, text = (sum(p.numel() for p in part.parameters()) for part in parts)
    return ModelShape(
        parameters=(unet, vae, text),
        channels=tuple(int(c) for c in model.unet.config.block_out_channels),
        layers=int(layers if isinstance(layers, int) else max(layers)),
        vae_channels=tuple(int(c) for c in model.vae.config.block_out_channels),
        scale=model.scale,
    )


def estimate_sampling(
    model: DiffusionModel, batch_size: int, resolution: int, *, memory: Memory = "normal"
) -> int:
    """About how many bytes a batch takes at its peak, weights included (`sampling_bytes`)."""
    size = torch.finfo(model.dtype).bits // 8
    return sampling_bytes(_shape(model), size, batch_size, resolution, memory)


def estimate_learning(model: DiffusionModel, resolution: int) -> int:
    """About how many bytes of activations one picture takes in a training step, in float32.

    The feature maps of the skip connections times what blocks keep for their gradients (norms,
    attention, feed-forward): about eighty of them in Stable Diffusion 1.
    """
    shape, side = _shape(model), resolution // model.scale
    maps = sum(c * (side >> i) ** 2 * (shape.layers + 1) for i, c in enumerate(shape.channels))
    return 80 * 4 * maps


def _readable(count: int) -> str:
    return f"{count / (1 << 30):.1f} GB" if count >= 1 << 30 else f"{max(1, count >> 20)} MB"


def report(model: DiffusionModel, needed: int, least: int, doing: str) -> str:
    """A sentence on what is needed and what there is.

    Raises OutOfMemory when the device has less than half of `least` altogether, which a single
    picture needs: then no halving of batches can help. (Half, because estimates err.)
    """
    info = describe_device(model.device)
    sentence = _("{doing} needs about {readable}").format(doing=doing, readable=_readable(needed))
    if info.total_bytes and least > 2 * info.total_bytes:
        raise OutOfMemory(
            _("{sentence}; {describe_name} has {readable}.").format(
                sentence=sentence,
                describe_name=describe_name(model.device),
                readable=_readable(info.total_bytes),
            ),
            _("Use a smaller batch size or resolution, or the memory modes saving or offload."),
        )
    return (
        _("{sentence}; {readable} are free.").format(
            sentence=sentence, readable=_readable(info.free_bytes)
        )
        if info.free_bytes
        else sentence
    )
