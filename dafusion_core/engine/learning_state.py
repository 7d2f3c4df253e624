"""Where learning a concept stands: enough to go on as if it had never stopped.

One safetensors file: the vectors and what the adaptation changed, AdamW's two moments of each,
the generator, the losses so far. Reading one never executes anything.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from dafusion_core.domain.errors import UserError
from dafusion_core.language import _

__all__ = ["LearningState", "SaveClock", "moments_of", "read_state", "set_moments", "write_state"]

_SAVE_EVERY_S = float(os.environ.get("DAFUSION_SAVE_EVERY_S", "5"))
_SHARE_OF_SAVING = 1 / 20  # of the time, at most

Moments = tuple[torch.Tensor, torch.Tensor]


@dataclass(slots=True)
class LearningState:
    """A concept after `step` steps.

    rows, start: [n, d]; moved: [n], summed gradient sizes; moments: of the rows; generator: the
    bytes of its state. `extra` holds the adaptation's parameters, `extra_moments` theirs.
    `identity` says what it belongs to (base model, batch, …): only the same may go on from it.
    """

    identity: str
    step: int
    rows: torch.Tensor
    start: torch.Tensor
    moments: Moments
    moved: torch.Tensor
    generator: torch.Tensor
    losses: list[float]
    held_out_before: float
    extra: dict[str, torch.Tensor] = field(default_factory=dict)
    extra_moments: dict[str, Moments] = field(default_factory=dict)


class SaveClock:
    """Says when to leave the state of learning for another attempt.

    A killed process loses a few seconds of work, or more where the state is so large that
    writing it takes long: saving never takes more than a twentieth of the time. The environment
    variable DAFUSION_SAVE_EVERY_S changes the seconds.
    """

    def __init__(self) -> None:
        self._saved_at = time.monotonic()
        self._pause = _SAVE_EVERY_S

    def is_due(self) -> bool:
        """True when enough time has gone by since the last time."""
        return time.monotonic() - self._saved_at >= self._pause

    @contextmanager
    def saving(self) -> Iterator[None]:
        """Around the writing."""
        began = time.monotonic()
        yield
        self._saved_at = time.monotonic()
        self._pause = max(_SAVE_EVERY_S, (self._saved_at - began) / _SHARE_OF_SAVING)


def write_state(path: Path, state: LearningState) -> Path:
    """Save so that `path` never holds half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, torch.Tensor] = {
        "rows": state.rows,
        "start": state.start,
        "first": state.moments[0],
        "second": state.moments[1],
        "moved": state.moved,
        "generator": state.generator,
        "losses": torch.tensor(state.losses, dtype=torch.float64),
        "held_out_before": torch.tensor([state.held_out_before], dtype=torch.float64),
        "step": torch.tensor([state.step]),
    }
    for name, value in state.extra.items():
        first, second = state.extra_moments[name]
        tensors |= {f"extra/{name}": value, f"first/{name}": first, f"second/{name}": second}
    plain = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    partial = path.with_name(path.name + ".part")
    save_file(plain, str(partial), metadata={"identity": state.identity})
    os.replace(partial, path)
    return path


def read_state(path: Path) -> LearningState:
    """Read back. Raises UserError when the file is damaged or not such a file."""
    try:
        with safe_open(str(path), framework="pt") as stream:
            identity = (stream.metadata() or {})["identity"]
            found: dict[str, Any] = {key: stream.get_tensor(key) for key in stream.keys()}  # noqa: SIM118
        extra = {k.removeprefix("extra/"): v for k, v in found.items() if k.startswith("extra/")}
        return LearningState(
            identity=identity,
            step=int(found["step"][0]),
            rows=found["rows"],
            start=found["start"],
            moments=(found["first"], found["second"]),
            moved=found["moved"],
            generator=found["generator"],
            losses=found["losses"].tolist(),
            held_out_before=float(found["held_out_before"][0]),
            extra=extra,
            extra_moments={n: (found[f"first/{n}"], found[f"second/{n}"]) for n in extra},
        )
    except (SafetensorError, OSError, KeyError) as error:
        raise UserError(
            _("The state of the inversion in {name} cannot be read ({error}).").format(
                name=path.name, error=error
            ),
            _("Run the inversion again from the beginning."),
        ) from error


def moments_of(optimiser: torch.optim.Optimizer, value: torch.Tensor) -> Moments:
    """AdamW's two moments of a parameter; zeros before the first step."""
    state = optimiser.state.get(value) or {}
    zeros = torch.zeros_like(value)
    return state.get("exp_avg", zeros).detach(), state.get("exp_avg_sq", zeros).detach()


def set_moments(
    optimiser: torch.optim.Optimizer, value: torch.Tensor, moments: Moments, step: int
) -> None:
    """Let Adam go on for a parameter as after `step` steps.

    The moments get the parameter's memory layout: fused optimisers go through both as they lie in
    memory, and files hold them in another order than kernels in the layout of convolutions.
    """
    first, second = (torch.empty_like(value).copy_(moment) for moment in moments)
    optimiser.state[value] = {
        "step": torch.tensor(float(step)),
        "exp_avg": first,
        "exp_avg_sq": second,
    }
