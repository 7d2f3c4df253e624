"""The quick protocol: a frozen network, so that features are computed once per picture (§1.7)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dafusion_core.domain.inputs import ImageInput
from dafusion_core.domain.specs import Augmentation, TrainingSpec, derive_seed
from dafusion_core.engine.augment import augment, normalise
from dafusion_core.engine.mixing import Batch
from dafusion_core.engine.sampling import seeded
from dafusion_core.engine.torch_setup import torch
from dafusion_core.methods.fitting import Fit, OnShare

__all__ = ["FeatureCache", "ProbeFit"]


_AT_ONCE = 32  # pictures


class FeatureCache:
    """Features of pictures, kept for all fits of a job that have the same frozen network."""

    def __init__(self) -> None:
        self.values: dict[tuple[Any, ...], torch.Tensor] = {}


class ProbeFit(Fit):
    """Linear head on features of a frozen network in evaluation mode.

    Each picture has `spec.views` augmented versions (one without augmentation), whose random
    numbers follow from its file, not from the run: all arms and seeds share them. Test pictures
    are not augmented.
    """

    def __init__(self, cache: FeatureCache, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.cache = cache
        self.views_drawn = seeded(derive_seed("views", self.seed))
        self._rows: dict[Path, int] = {}
        self._table = torch.zeros(0)

    def _make_optimiser(self) -> tuple[torch.optim.Optimizer, Any]:
        """The paper's, as one operation: a step on a few features is mostly calls."""
        self.network.requires_grad_(False)
        self.head.requires_grad_(True)
        is_fused = self.device.type in ("cpu", "cuda")
        rate = self.spec.learning_rate
        return torch.optim.Adam(self.head.parameters(), lr=rate, fused=is_fused), None

    def _network_key(self) -> tuple[Any, ...]:
        """What the frozen part depends on: without weights, on the seed as well."""
        spec: TrainingSpec = self.spec
        seed = None if spec.weights else self.seed
        return spec.backbone, spec.weights, spec.resolution, self.how, seed

    @torch.no_grad()
    def _features(self, path: Path, kind: Augmentation, views: int) -> torch.Tensor:
        """[views, d] of one picture; computed together, so that they never depend on a batch."""
        key = (*self._network_key(), path, kind, views)
        found = self.cache.values.get(key)
        if found is None:
            pictures = self.store.get(path).to(self.device)[None].repeat(views, 1, 1, 1)
            generator = seeded(derive_seed("view", path.name))
            values = normalise(augment(pictures, kind, generator), self.how)
            found = self.cache.values[key] = self._before_head(values)
        return found

    def _train_epoch(self, epoch: int, unit: Any, at: OnShare) -> tuple[float, float]:
        if not self._rows:
            self._fill(at)
        return super()._train_epoch(epoch, unit, at)

    def _fill(self, at: OnShare) -> None:
        """Features of everything that can be drawn, as one table [pictures, views, d]."""
        self.network.eval()
        kind = self.arm.augmentation
        views = 1 if kind == "none" else self.spec.views
        paths = list(dict.fromkeys(self.sampler.paths))
        rows = []
        for number, path in enumerate(paths):
            at(0.0)
            self._rows[path] = number
            rows.append(self._features(path, kind, views))
        self._table = torch.stack(rows)

    def _set_training_mode(self) -> None:
        self.network.eval()

    def _forward_batch(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        rows = torch.tensor([self._rows[path] for path in batch.paths])
        views = torch.randint(self._table.shape[1], (len(rows),), generator=self.views_drawn)
        features = self._table[rows.to(self.device), views.to(self.device)]
        return self.head(features), batch.labels.to(self.device)

    def _plain_features(self, images: Sequence[ImageInput], at: OnShare) -> torch.Tensor:
        """[n, d] without augmentation, in batches that depend on the list alone.

        What a picture is computed with may change its last digits; a list is the same for all
        fits and after a stop, so that they agree.
        """
        paths = tuple(self.ctx.resolve(image.path) for image in images)
        key = (*self._network_key(), paths)
        found = self.cache.values.get(key)
        if found is None:
            self.network.eval()
            parts = []
            for start in range(0, len(paths), _AT_ONCE):
                at(1.0)
                pictures = self.store.stack(paths[start : start + _AT_ONCE]).to(self.device)
                parts.append(self._before_head(normalise(pictures, self.how)))
            found = self.cache.values[key] = torch.cat(parts)
        return found

    def _before_head(self, values: torch.Tensor) -> torch.Tensor:
        """What the head is given for normalised pictures."""
        kept: list[torch.Tensor] = []
        hook = self.head.register_forward_pre_hook(lambda _, given: kept.append(given[0]))
        try:
            self._forward(values)
        finally:
            hook.remove()
        return kept[0].detach()

    @torch.no_grad()
    def _predict(
        self, images: Sequence[ImageInput], at: OnShare
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        features = self._plain_features(images, at)
        probabilities = self.head(features).softmax(dim=1).cpu()
        return probabilities, torch.tensor([i.label for i in images]), features.cpu()
