"""Which part of a picture may change: from the regions marked on it to a mask of the latents."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

from dafusion_core.datasets.masks import union_mask
from dafusion_core.domain.errors import UserError
from dafusion_core.domain.inputs import RegionInput
from dafusion_core.domain.regions import Region, RegionKind
from dafusion_core.domain.specs import Masking
from dafusion_core.engine.frames import NEAREST, Frame
from dafusion_core.language import _

__all__ = ["edit_mask", "latent_mask", "widen"]


def widen(mask: torch.Tensor, window: int) -> torch.Tensor:
    """A mask [H, W] of 0 and 1, each pixel the largest in a window of `window` pixels around it.

    Even windows reach one further to the left and up, as scipy's maximum filter does, which the
    paper's programs use with a window of 16 (§1.5).
    """
    if window <= 1:
        return mask
    before, after = window // 2, (window - 1) // 2
    padded = torch.nn.functional.pad(mask[None, None].float(), (before, after, before, after))
    return torch.nn.functional.max_pool2d(padded, window, stride=1)[0, 0].to(mask.dtype)


def edit_mask(
    regions: Sequence[RegionInput], frame: Frame, masking: Masking, dilation: int
) -> torch.Tensor:
    """[side, side] float of 1 where the model may change the picture and 0 where it may not.

    Raises UserError when the source has no region, or they leave nothing to change.
    """
    if not regions:
        raise UserError(
            _("No region is marked on this picture, so there is no object to edit or to keep."),
            _("Draw one, or generate without a mask."),
        )
    width, height = frame.size
    marked = [Region(0, 0, RegionKind(item.kind), item.data) for item in regions]
    whole = Image.fromarray(union_mask(marked, height, width).astype(np.uint8) * 255)
    square = np.asarray(frame.place(whole, NEAREST)) > 127
    mask = widen(torch.from_numpy(square).float(), dilation)
    if masking == "background":
        mask = 1 - mask
    if not bool(mask.any()):
        raise UserError(
            _("The mask of this picture leaves nothing to change."),
            _("Check its regions, and how much they are widened."),
        )
    return mask


def latent_mask(mask: torch.Tensor, scale: int) -> torch.Tensor:
    """[1, side/scale, side/scale]: the mask at every latent cell, nearest."""
    return mask[None, ::scale, ::scale]
