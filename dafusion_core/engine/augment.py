"""What is done to training pictures on their way into the network, on the device."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torchvision.transforms import v2

__all__ = ["augment", "normalise"]

_ROTATION_DEGREES = 15.0  # § 1.7


def normalise(pictures: torch.Tensor) -> torch.Tensor:
    """uint8 [n, 3, s, s] to float32 with mean and deviation 0.5, the paper's, not ImageNet's."""
    return pictures.float().div_(127.5).sub_(1.0)


def flip_and_rotate(pictures: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Mirror each picture with probability ½ and turn it by up to ±15°, in one resampling.

    Nearest neighbour and black corners, as torchvision's RandomRotation; the mirror image is
    taken first.
    """
    n = len(pictures)
    mirrored = torch.rand(n, generator=generator) < 0.5
    degrees = (torch.rand(n, generator=generator) * 2 - 1) * _ROTATION_DEGREES
    angle = degrees * (math.pi / 180)
    cos, sin = angle.cos(), angle.sin()
    sign = torch.where(mirrored, -1.0, 1.0)
    # Rows map an output place to the input place it is read from; the sign mirrors the latter.
    matrix = torch.zeros(n, 2, 3)
    matrix[:, 0, 0], matrix[:, 0, 1] = sign * cos, -sign * sin
    matrix[:, 1, 0], matrix[:, 1, 1] = sin, cos
    grid = torch.nn.functional.affine_grid(
        matrix.to(pictures.device), list(pictures.shape), align_corners=False
    )
    turned: torch.Tensor = torch.nn.functional.grid_sample(
        pictures.float(), grid, mode="nearest", padding_mode="zeros", align_corners=False
    )
    return turned.to(torch.uint8)


def _randaugment(pictures: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    transform = v2.RandAugment()  # two operations of magnitude 9: torchvision's defaults
    # torchvision draws from the global state; it is put back afterwards.
    seed = int(torch.randint(1 << 62, (1,), generator=generator))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return torch.stack([transform(picture) for picture in pictures])


def augment(
    pictures: torch.Tensor,
    kind: Literal["none", "standard", "randaugment"],
    generator: torch.Generator,
) -> torch.Tensor:
    """Augment uint8 pictures [n, 3, s, s], each on its own.

    "standard": mirror and turn; "randaugment": torchvision's RandAugment in their place.
    """
    if kind == "standard":
        return flip_and_rotate(pictures, generator)
    if kind == "randaugment":
        return _randaugment(pictures, generator)
    return pictures
