"""An independent judge of meadow pictures: a network trained on renders only.

It names each attribute of the plant; a picture is taken for the species, of those that compete,
whose attributes are most likely together. So any species can compete, with no further training.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dafusion_core.engine.classifiers import build_classifier
from dafusion_core.engine.torch_setup import torch
from dafusion_core.meadow import ATTRIBUTES, Species, draw_picture, random_species

JUDGE_SEED = 6_000_000  # far from the seeds of training and of the pictures that are judged
VALUES = list(ATTRIBUTES.values())
RATE = 5e-4  # largest learning rate
Pixels = npt.NDArray[np.uint8]


def numbers(species: Species) -> list[int]:
    """(7,) number of each attribute's value, -1 where the species has none."""
    return [v.index(g) if g else -1 for v, g in zip(VALUES, species.genome, strict=True)]


def to_tensor(pixels: Pixels) -> torch.Tensor:
    """(n, 64, 64, 3) uint8 -> (n, 3, 64, 64) in -1..1."""
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1
    return x.contiguous(memory_format=torch.channels_last)


class Judge(torch.nn.Module):
    """The bundled ResNet-50 with one output per attribute value, trained further as a whole."""

    def __init__(self) -> None:
        super().__init__()
        self.network = build_classifier("resnet50", sum(len(v) for v in VALUES), "bundled")
        self.head = self.network.fc
        self.network.fc = torch.nn.Identity()

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """(n, 3, 64, 64) -> (n, 2048): means of the last layer."""
        found: torch.Tensor = self.network(x)
        return found

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Scores of the values of each attribute, seven tensors."""
        return self.head(self.features(x)).split([len(v) for v in VALUES], 1)

    @torch.inference_mode()
    def decide(self, pixels: Pixels, competitors: Sequence[Species]) -> npt.NDArray[np.int64]:
        """(n,) number of the competitor that each picture is taken for."""
        found = []
        for part in to_tensor(pixels).split(256):
            logs = [scores.log_softmax(1) for scores in self(part)]
            columns = []
            for species in competitors:
                pairs = zip(logs, numbers(species), strict=True)
                columns.append(torch.stack([p[:, k] for p, k in pairs if k >= 0]).sum(0))
            found.append(torch.stack(columns, 1).argmax(1).numpy())
        return np.concatenate(found)

    @torch.inference_mode()
    def embed(self, pixels: Pixels) -> torch.Tensor:
        """(n, 2048) features of pictures."""
        return torch.cat([self.features(part) for part in to_tensor(pixels).split(256)])


def _draw(count: int, cache: Path) -> tuple[Pixels, torch.Tensor]:
    """Pictures of species drawn at random, kept in `cache`."""
    if not cache.exists():
        rng = np.random.default_rng(5)
        species = [random_species(rng) for _ in range(count)]
        pixels = [draw_picture(s, JUDGE_SEED + 8 * i).pixels for i, s in enumerate(species)]
        np.savez(cache, pixels=np.stack(pixels), labels=[numbers(s) for s in species])
    with np.load(cache) as file:
        return file["pixels"], torch.from_numpy(file["labels"])


def get_judge(work: Path, pictures: int, steps: int) -> Judge:
    """The judge kept in `work`, trained when it is missing."""
    path, judge = work / f"judge-{pictures}-{steps}.pt", Judge()
    if path.exists():
        judge.load_state_dict(torch.load(path, weights_only=True))
        return judge.eval()
    pixels, labels = _draw(pictures, work / f"judge-{pictures}.npz")
    began = time.monotonic()
    generator = torch.Generator().manual_seed(0)
    judge = judge.to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(judge.parameters(), RATE, weight_decay=0.02)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = RATE * min(1, (step + 1) / 50, 0.02 + (steps - step) / (0.6 * steps))
        pick = torch.randint(0, len(pixels), (64,), generator=generator)
        x = _vary(to_tensor(pixels[pick.numpy()]), generator)
        losses = [
            torch.nn.functional.cross_entropy(s, labels[pick, i], ignore_index=-1)
            for i, s in enumerate(judge(x))
        ]
        optimiser.zero_grad(set_to_none=True)
        torch.stack(losses).sum().backward()
        optimiser.step()
        if (step + 1) % 50 == 0:
            total = float(torch.stack(losses).detach().sum())
            passed = time.monotonic() - began
            print(f"judge: step {step + 1}, loss {total:.3f}, {passed:.0f} s", flush=True)
    torch.save(judge.state_dict(), path)
    return judge.eval()


def _vary(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Turn, mirror, shift, brighten and, half of the time, blur a batch."""

    def whole(low: int, high: int) -> int:
        return int(torch.randint(low, high, (), generator=generator))

    x = torch.rot90(x, whole(0, 4), (2, 3))
    x = x.flip(3) if whole(0, 2) else x
    x = torch.roll(x, (whole(-4, 5), whole(-4, 5)), (2, 3))
    x = x * (0.88 + 0.24 * torch.rand(len(x), 1, 1, 1, generator=generator))
    if whole(0, 2):  # pictures of a model are softer than renders
        resize = torch.nn.functional.interpolate
        small = resize(x, size=whole(30, 56), mode="bilinear", antialias=True)
        x = resize(small, size=64, mode="bilinear")
    return x
