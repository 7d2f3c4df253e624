"""What a training tells while it runs: speed, memory, and alarms in words."""

from __future__ import annotations

import time
from collections.abc import Sequence

import psutil
import torch

from dafusion_core.language import _

__all__ = ["Alarms", "SpeedMeter", "memory_used"]

_MEGABYTE = 1 << 20


def memory_used(device: torch.device) -> float:
    """Megabytes: the most that was taken on a GPU since the start, this process's on the CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / _MEGABYTE
    return float(psutil.Process().memory_info().rss) / _MEGABYTE


class SpeedMeter:
    """Examples per second of training, without the time spent on testing."""

    def __init__(self) -> None:
        self._begun = time.perf_counter()
        self._count = 0

    def begin(self) -> None:
        """Start an epoch."""
        self._begun, self._count = time.perf_counter(), 0

    def add(self, examples: int) -> None:
        """Count examples that were trained on."""
        self._count += examples

    @property
    def rate(self) -> float:
        """Examples per second since `begin`."""
        return self._count / max(time.perf_counter() - self._begun, 1e-9)


class Alarms:
    """Sentences about a training that does not go as it should, each said once.

    `chance`: accuracy of guessing. Losses that are not numbers stop a training and are not here.
    """

    _PATIENCE = 5  # epochs in which the loss has to fall at all

    def __init__(self, chance: float) -> None:
        self._chance = chance
        self._losses: list[float] = []
        self._said: set[str] = set()

    def look(self, loss: float, train_accuracy: float, held_out_accuracy: float) -> list[str]:
        """New alarms after an epoch."""
        self._losses.append(loss)
        found = [*self._stuck(), *self._overfit(train_accuracy, held_out_accuracy)]
        new = [text for kind, text in found if kind not in self._said]
        self._said |= {kind for kind, _ in found}
        return new

    def _stuck(self) -> Sequence[tuple[str, str]]:
        if len(self._losses) <= self._PATIENCE:
            return ()
        if min(self._losses[-self._PATIENCE :]) < 0.99 * self._losses[0]:
            return ()
        return [
            (
                "stuck",
                _(
                    "Nothing improves: after {number} epochs the loss is {last:.3f}, at first it "
                    "was {first:.3f}. The learning rate may be far too large or far too small."
                ).format(number=len(self._losses), last=self._losses[-1], first=self._losses[0]),
            )
        ]

    def _overfit(self, train: float, held_out: float) -> Sequence[tuple[str, str]]:
        if train < 0.995 or held_out > 1.1 * self._chance:
            return ()
        return [
            (
                "overfit",
                _(
                    "The training images are all recognised, held-out ones no better than by "
                    "guessing ({value:.0f} %). The network learns them by heart, or the labels of "
                    "the two sides do not mean the same."
                ).format(value=100 * held_out),
            )
        ]
