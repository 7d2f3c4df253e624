"""How much memory pictures take, from the shapes of a model alone: no torch, no weights loaded."""

from __future__ import annotations

from dataclasses import dataclass

from dafusion_core.domain.specs import Memory

__all__ = ["ModelShape", "sampling_bytes"]


@dataclass(frozen=True, slots=True)
class ModelShape:
    """What counts of a diffusion model.

    `parameters`: numbers of U-Net, VAE and text encoder; `channels`: of the U-Net's blocks, widest
    picture first; `layers`: per block; `vae_channels`: likewise; `scale`: pixels per latent.
    """

    parameters: tuple[int, int, int]
    channels: tuple[int, ...]
    layers: int
    vae_channels: tuple[int, ...]
    scale: int


def sampling_bytes(
    shape: ModelShape, item: int, batch_size: int, resolution: int, memory: Memory = "normal"
) -> int:
    """About how many bytes a batch of pictures takes at its peak, weights included.

    `item`: bytes of a number. Counted are the feature maps that are alive at once at the widest
    place: in the U-Net the skip connections of the whole way down and the inside of one
    feed-forward layer, for twice the batch because of guidance; in the VAE one picture at full
    size (two at most are decoded at once). Allocators round up; take it as a guide.
    """
    numbers = max(shape.parameters) if memory == "offload" else sum(shape.parameters)
    side = resolution // shape.scale
    skips = sum(c * (side >> i) ** 2 * (shape.layers + 1) for i, c in enumerate(shape.channels))
    inside = 10 * shape.channels[0] * side**2
    unet = 2 * batch_size * (skips + inside) * item
    at_once = 1 if memory != "normal" else max(1, min(batch_size, (1 << 19) // resolution**2))
    vae = 6 * max(shape.vae_channels[:2]) * resolution**2 * at_once * item
    return numbers * item + max(unet, vae)
