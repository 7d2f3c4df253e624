"""Training pictures as uint8 tensors, kept in memory as far as a budget allows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from dafusion_core.datasets.pictures import load_rgb

__all__ = ["PictureStore"]


class PictureStore:
    """Pictures [3, side, side], uint8, stretched to a square, each decoded once if it fits.

    They are kept on `device`, so that a batch need not travel there.
    """

    def __init__(
        self, side: int, budget_bytes: int = 2 << 30, device: torch.device | None = None
    ) -> None:
        self._side = side
        self._device = device or torch.device("cpu")
        self._left = budget_bytes
        self._kept: dict[Path, torch.Tensor] = {}

    def get(self, path: Path) -> torch.Tensor:
        """One picture. Raises BadImage when it cannot be read."""
        found = self._kept.get(path)
        if found is not None:
            return found
        picture = load_rgb(path)
        if picture.size != (self._side, self._side):
            picture = picture.resize((self._side, self._side), Image.Resampling.BILINEAR)
        values = torch.from_numpy(np.array(picture)).permute(2, 0, 1).contiguous().to(self._device)
        if values.nbytes <= self._left:
            self._left -= values.nbytes
            self._kept[path] = values
        return values

    def stack(self, paths: Sequence[Path]) -> torch.Tensor:
        """Pictures [n, 3, side, side], uint8."""
        return torch.stack([self.get(path) for path in paths])
