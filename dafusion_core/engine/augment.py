"""What is done to training pictures on their way into the network, on the device."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torchvision.transforms import v2

from dafusion_core.domain.specs import Augmentation, BatchMix

__all__ = ["HALF", "IMAGENET", "Normalisation", "augment", "mix_batch", "normalise"]

_ROTATION_DEGREES = 15.0  # §1.7
_AERIAL_DEGREES = 45.0  # §1.7: pictures taken from above have no up and down
_MIX_CHANCE = 0.5


@dataclass(frozen=True, slots=True)
class Normalisation:
    """Mean and deviation per channel of values from 0 to 1, as the weights expect them."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


HALF = Normalisation((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
IMAGENET = Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def normalise(pictures: torch.Tensor, how: Normalisation = HALF) -> torch.Tensor:
    """uint8 [n, 3, s, s] to float32; the default is the paper's, not ImageNet's."""
    if how == HALF:
        return pictures.float().div_(127.5).sub_(1.0)
    mean = torch.tensor(how.mean, device=pictures.device)[:, None, None]
    std = torch.tensor(how.std, device=pictures.device)[:, None, None]
    return pictures.float().sub_(255 * mean).div_(255 * std)


def flip_and_rotate(
    pictures: torch.Tensor,
    generator: torch.Generator,
    degrees: float = _ROTATION_DEGREES,
    is_upside_down_possible: bool = False,
) -> torch.Tensor:
    """Mirror each picture with probability ½ and turn it by up to ±`degrees`, in one resampling.

    Nearest neighbour and black corners, as torchvision's RandomRotation; the mirror image is
    taken first.
    """
    n = len(pictures)
    mirrored = torch.rand(n, generator=generator) < 0.5
    turn = (torch.rand(n, generator=generator) * 2 - 1) * degrees
    flipped = torch.zeros(n, dtype=torch.bool)
    if is_upside_down_possible:
        flipped = torch.rand(n, generator=generator) < 0.5
    angle = turn * (math.pi / 180)
    cos, sin = angle.cos(), angle.sin()
    across, down = torch.where(mirrored, -1.0, 1.0), torch.where(flipped, -1.0, 1.0)
    # Rows map an output place to the input place it is read from; the signs mirror the latter.
    matrix = torch.zeros(n, 2, 3)
    matrix[:, 0, 0], matrix[:, 0, 1] = across * cos, -across * sin
    matrix[:, 1, 0], matrix[:, 1, 1] = down * sin, down * cos
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


def augment(pictures: torch.Tensor, kind: Augmentation, generator: torch.Generator) -> torch.Tensor:
    """Augment uint8 pictures [n, 3, s, s], each on its own.

    "standard": mirror and turn; "aerial": also upside down, and turned further; "randaugment":
    torchvision's RandAugment in their place; "standard+randaugment": one after the other.
    """
    if kind in ("standard", "standard+randaugment"):
        pictures = flip_and_rotate(pictures, generator)
    elif kind == "aerial":
        pictures = flip_and_rotate(pictures, generator, _AERIAL_DEGREES, True)
    if kind in ("randaugment", "standard+randaugment"):
        pictures = _randaugment(pictures, generator)
    return pictures


def mix_batch(
    pictures: torch.Tensor,
    labels: torch.Tensor,
    kind: BatchMix,
    classes: int,
    generator: torch.Generator,
) -> tuple[torch.Tensor, torch.Tensor]:
    """CutMix or MixUp (α = 1) of normalised pictures [n, 3, s, s] in every other batch.

    Returns pictures and labels; mixed labels are shares [n, classes], others class indices [n].
    """
    if kind == "none":
        return pictures, labels
    seed = int(torch.randint(1 << 62, (1,), generator=generator))
    if float(torch.rand(1, generator=generator)) >= _MIX_CHANCE:
        return pictures, labels
    mix = v2.CutMix if kind == "cutmix" else v2.MixUp
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        mixed: tuple[torch.Tensor, torch.Tensor] = mix(num_classes=classes, alpha=1.0)(
            pictures, labels
        )
    return mixed
