"""Features in the plane, so that a person can see which pictures the network thinks alike."""

from __future__ import annotations

import importlib
import importlib.util
import warnings
from dataclasses import dataclass
from typing import Any, Literal

import torch

__all__ = ["PlaneMap", "draw_map", "flatten_map"]

_NEIGHBOURS = 15  # umap-learn's own default
_LEAST = 10  # pictures; fewer have no neighbourhoods to speak of


@dataclass(frozen=True, slots=True)
class PlaneMap:
    """points: [n][2]; shares: of the variance along each axis, none for UMAP."""

    method: Literal["PCA", "UMAP"]
    points: list[list[float]]
    shares: list[float]


def draw_map(features: torch.Tensor) -> PlaneMap:
    """Features [n, d] in the plane: by UMAP where umap-learn is installed, else PCA.

    UMAP (arXiv 1802.03426) keeps neighbours together and says nothing by its axes; its random
    numbers are fixed. Where it fails on odd features (all alike, for example), PCA does not.
    """
    if len(features) >= _LEAST and importlib.util.find_spec("umap") is not None:
        umap: Any = importlib.import_module("umap")
        count = min(_NEIGHBOURS, len(features) - 1)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a fixed seed means one thread, it says
                found = umap.UMAP(n_components=2, n_neighbors=count, random_state=0).fit_transform(
                    features.float().cpu().numpy()
                )
        except (ValueError, TypeError, RuntimeError, IndexError, ZeroDivisionError):
            found = None
        if found is not None:
            points = torch.as_tensor(found).double()
            if points.shape == (len(features), 2) and bool(torch.isfinite(points).all()):
                return PlaneMap("UMAP", points.tolist(), [])
    flat, shares = flatten_map(features)
    return PlaneMap("PCA", flat, shares)


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
