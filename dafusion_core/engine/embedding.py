"""Features in the plane, so that a person can see which pictures the network thinks alike."""

from __future__ import annotations

import torch

__all__ = ["flatten_map"]


def flatten_map(features: torch.Tensor) -> tuple[list[list[float]], list[float]]:
    """(points [n][2], shares of the variance [2]) of features [n, d] by principal components.

    The sign of each axis is chosen so that its largest loading is positive; features that do not
    differ all lie at the origin.
    """
    centred = features.double() - features.double().mean(dim=0)
    _, sizes, axes = torch.linalg.svd(centred, full_matrices=False)
    axes = axes[:2]
    signs = axes.gather(1, axes.abs().argmax(dim=1, keepdim=True)).sign()
    points = centred @ (axes * torch.where(signs == 0, 1.0, signs)).T
    if points.shape[1] < 2:
        points = torch.nn.functional.pad(points, (0, 2 - points.shape[1]))
    power = sizes**2
    whole = float(power.sum())
    shares = [float(one) / whole if whole else 0.0 for one in power[:2]]
    return points.tolist(), [*shares, 0.0, 0.0][:2]
