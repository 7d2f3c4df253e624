"""What the bundled backbone knows: `python tests/benchmarks/bench_backbone.py`. Prints JSON.

A linear classifier is trained on frozen features of a few pictures per class, with the bundled
ResNet-50, with the same network of random weights, and on the pixels themselves. Two tasks: the
meadow's 24 held-out species, which the backbone has never seen, half of them look-alikes of the
other half, and the sample's four, of which it knows the dandelion. `--weights FILE` judges
another file, `--smoke` little data.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import RidgeClassifier
from sklearn.preprocessing import StandardScaler

from dafusion_core.engine.classifiers import build_classifier, head_of
from dafusion_core.engine.torch_setup import prepare, torch
from dafusion_core.meadow import HELD_OUT, SAMPLE, Species, draw_picture

SIDE, SEED = 64, 9_000_000  # far from the seeds of training
DRAWS = 8

Pixels = npt.NDArray[np.uint8]
Task = tuple[Pixels, npt.NDArray[np.int64]]


def draw_meadow(classes: Sequence[Species], each: int) -> Task:
    """(classes × each, 64, 64, 3) pictures of some species, and their classes."""
    pictures = [
        draw_picture(species, SEED + i, plot=SEED + i, size=SIDE).pixels
        for species in classes
        for i in range(each)
    ]
    return np.stack(pictures), np.repeat(np.arange(len(classes)), each)


def find_features(pixels: Pixels, weights: str) -> npt.NDArray[np.float32]:
    """(n, 2048) of a frozen ResNet-50 in evaluation mode."""
    network = build_classifier("resnet50", 2, weights)
    parent, _, leaf = head_of(network)[0].rpartition(".")
    setattr(network.get_submodule(parent), leaf, torch.nn.Identity())
    network.eval()
    parts = []
    with torch.inference_mode():
        for part in np.array_split(pixels, max(1, len(pixels) // 64)):
            x = torch.from_numpy(part).permute(0, 3, 1, 2).float() / 127.5 - 1
            parts.append(network(x.contiguous(memory_format=torch.channels_last)).numpy())
    return np.concatenate(parts)


def measure(features: npt.NDArray[np.float32], classes: npt.NDArray[np.int64], shots: int) -> float:
    """Accuracy of a linear classifier from `shots` pictures per class, mean over draws."""
    scores = []
    for seed in range(DRAWS):
        rng = np.random.default_rng(seed)
        train = np.concatenate(
            [rng.permutation(np.flatnonzero(classes == c))[:shots] for c in np.unique(classes)]
        )
        test = np.setdiff1d(np.arange(len(classes)), train)
        scaler = StandardScaler().fit(features[train])
        linear = RidgeClassifier(alpha=100.0)
        linear.fit(scaler.transform(features[train]), classes[train])
        scores.append(linear.score(scaler.transform(features[test]), classes[test]))
    return float(np.mean(scores))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", default="bundled")
    parser.add_argument("--each", type=int, default=24, help="pictures per class")
    parser.add_argument("--smoke", action="store_true")
    args = parser.parse_args()
    prepare()
    each = 6 if args.smoke else args.each
    result: dict[str, Any] = {"weights": args.weights, "draws": DRAWS}
    for task, (pixels, classes) in {
        "held-out species": draw_meadow(HELD_OUT, each),
        "sample project": draw_meadow(SAMPLE, each),
    }.items():
        began = time.perf_counter()
        sets = {
            "backbone": find_features(pixels, args.weights),
            "random weights": find_features(pixels, ""),
            "pixels": pixels[:, ::4, ::4].reshape(len(pixels), -1).astype(np.float32),
        }
        result[task] = {
            "classes": len(np.unique(classes)),
            "pictures": len(pixels),
            "chance": 1 / len(np.unique(classes)),
            "accuracy by shots": {
                name: {shots: round(measure(found, classes, shots), 3) for shots in (1, 2, 4)}
                for name, found in sets.items()
            },
            "seconds": round(time.perf_counter() - began, 1),
        }
    result["machine"] = {"cores": os.cpu_count(), "system": platform.system()}
    print(json.dumps(result, indent=2))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
