"""Which pictures a batch is made of: the ways to mix real and synthetic images (§1.6)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from dafusion_core.domain.inputs import ImageInput
from dafusion_core.domain.specs import Mixing, derive_seed
from dafusion_core.engine.sampling import seeded

__all__ = ["Batch", "BatchSampler"]


@dataclass(frozen=True, slots=True)
class Batch:
    """Paths, labels and which of them are synthetic, each of the batch's length."""

    paths: list[Path]
    labels: torch.Tensor
    synthetic: list[bool]


class BatchSampler:
    """Draws batches with replacement.

    "own" is the paper's rule (eq. 7): a real image i is drawn uniformly; if it has synthetic
    images and U(0, 1) < α, one of its own takes its place. "global": with the same chance, any
    synthetic image of the pool takes its place and brings its own label. "concatenate": uniform
    over real and synthetic images together; "only": uniform over the synthetic ones. A synthetic
    image has the label of its source.

    Real draws and the rest have separate generators, so that every arm of one seed that draws
    real images draws the same ones.
    """

    def __init__(
        self,
        train: Sequence[ImageInput],
        synthetics: Mapping[str, Sequence[str]],
        alpha: float,
        seed: int,
        resolve: Callable[[str], Path] = Path,
        mixing: Mixing = "own",
    ) -> None:
        self._alpha = alpha
        self._mixing = mixing
        self._real = [(resolve(image.path), image.label, False) for image in train]
        self._own = [
            [(resolve(path), image.label, True) for path in synthetics.get(str(image.id), ())]
            for image in train
        ]
        self._pool = [item for own in self._own for item in own]
        self._real_draws = seeded(derive_seed("real draws", seed))
        self._swap_draws = seeded(derive_seed("synthetic draws", seed))

    @property
    def paths(self) -> list[Path]:
        """Every picture that can come up, real ones first, in a fixed order."""
        if self._mixing == "only":
            return [path for path, _, _ in self._pool]
        uses_pool = self._mixing == "concatenate" or self._alpha > 0
        return [path for path, _, _ in (*self._real, *(self._pool if uses_pool else ()))]

    def draw(self, count: int) -> Batch:
        """The next `count` training images."""
        if self._mixing in ("concatenate", "only"):
            items = [*self._real, *self._pool] if self._mixing == "concatenate" else self._pool
            chosen = torch.randint(len(items), (count,), generator=self._swap_draws)
            return _batch([items[i] for i in chosen.tolist()])
        chosen = torch.randint(len(self._real), (count,), generator=self._real_draws)
        chance = torch.rand(count, generator=self._swap_draws).tolist()
        which = torch.rand(count, generator=self._swap_draws).tolist()
        drawn = []
        for i, u, v in zip(chosen.tolist(), chance, which, strict=True):
            candidates = self._own[i] if self._mixing == "own" else self._pool
            is_swapped = bool(candidates) and u < self._alpha
            drawn.append(candidates[int(v * len(candidates))] if is_swapped else self._real[i])
        return _batch(drawn)


def _batch(items: Sequence[tuple[Path, int, bool]]) -> Batch:
    return Batch(
        paths=[path for path, _, _ in items],
        labels=torch.tensor([label for _, label, _ in items]),
        synthetic=[is_synthetic for _, _, is_synthetic in items],
    )
