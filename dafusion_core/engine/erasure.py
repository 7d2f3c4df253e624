"""The mathematics of removing concepts from a U-Net: UCE in closed form, ESD's targets (§2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from dafusion_core.domain.errors import UserError
from dafusion_core.domain.specs import TrainParameters
from dafusion_core.engine import sampling, tokens
from dafusion_core.engine.models import DiffusionModel

__all__ = [
    "EsdExample",
    "choose_parameters",
    "concept_vectors",
    "esd_examples",
    "esd_loss",
    "uce_matrix",
    "uce_weights",
]


@torch.inference_mode()
def concept_vectors(
    model: DiffusionModel, prompts: Sequence[str], *, with_end: bool = False
) -> torch.Tensor:
    """Text states, float32, that stand for prompts: at the last subject token, [prompts, d].

    For the empty prompt that is the beginning mark. `with_end` adds the states of the end marks
    after them: [2·prompts, d]. Attention is causal, so an end mark has seen the whole prompt.
    """
    states = tokens.encode(model, list(prompts)).float()
    places = torch.tensor([tokens.subject_index(model, prompt) for prompt in prompts])
    rows = torch.arange(len(prompts))
    found = states[rows, places]
    return torch.cat([found, states[rows, places + 1]]) if with_end else found


def uce_matrix(
    erase: torch.Tensor, guide: torch.Tensor, preserve: torch.Tensor, ridge: float
) -> torch.Tensor:
    """The matrix M [d, d], float64, with W_new = W_old·M for every projection W.

    Concepts c in `erase` [e, d] shall be projected as their guides g in `guide` [e, d], those in
    `preserve` [p, d] as before (UCE 2308.14761; ridge λ as in its code):

        W_new = (Σ W g cᵀ + Σ W p pᵀ + λ W)(Σ c cᵀ + Σ p pᵀ + λ I)⁻¹

    Since every term on the left begins with W, the rest is shared by all layers.
    """
    c, g, p = erase.double(), guide.double(), preserve.double()
    identity = torch.eye(c.shape[1], dtype=torch.float64, device=c.device)
    kept = p.T @ p + ridge * identity
    moved = g.T @ c + kept
    whole = c.T @ c + kept
    # whole is symmetric, so M = moved·whole⁻¹ solves whole·Mᵀ = movedᵀ.
    solution: torch.Tensor = torch.linalg.solve(whole, moved.T).T
    return solution


def uce_weights(unet: Any, matrix: torch.Tensor) -> dict[str, torch.Tensor]:
    """The new weights, float32, of every cross-attention key and value projection."""
    changed = {}
    for name, value in unet.named_parameters():
        if name.endswith(("attn2.to_k.weight", "attn2.to_v.weight")):
            changed[name] = (value.detach().double() @ matrix).float()
    return changed


_CHOICES: dict[str, Callable[[str], bool]] = {
    "x": lambda name: ".attn2." in name,
    "x-strict": lambda name: ".attn2.to_k." in name or ".attn2.to_v." in name,
    # All but cross-attention, the time embedding and the last layers, as in the paper's code.
    "u": lambda name: (
        not (
            ".attn2." in name or name.startswith(("time_embedding.", "conv_norm_out.", "conv_out."))
        )
    ),
    "selfattn": lambda name: ".attn1." in name,
    "full": lambda name: True,
}


def choose_parameters(unet: Any, choice: TrainParameters) -> dict[str, torch.nn.Parameter]:
    """The U-Net's parameters that ESD trains, by name. Raises UserError when there are none."""
    chosen = {name: value for name, value in unet.named_parameters() if _CHOICES[choice](name)}
    if not chosen:
        raise UserError(
            f"This model has no parameters of the kind “{choice}”.", "Choose “full” instead."
        )
    return chosen


@dataclass(frozen=True, slots=True)
class EsdExample:
    """What the student learns from: latents, timesteps, text states and targets of one batch.

    x, target: [n, c, h, w]; timesteps: [n]; text: [n, length, d]. All come from frozen weights.
    """

    x: torch.Tensor
    timesteps: torch.Tensor
    text: torch.Tensor
    target: torch.Tensor


@dataclass(slots=True)
class _Run:
    """A trajectory on its way: which concept, when it ends, its place in the result."""

    concept: int
    steps: int
    place: int


@torch.no_grad()  # and not inference mode, whose tensors cannot take part in a gradient later
def esd_examples(
    model: DiffusionModel,
    concepts: Sequence[str],
    guide: str,
    *,
    count: int,
    eta: float,
    guidance: float,
    steps: int,
    resolution: int,
    seed: int,
    at_once: int | None = None,
    on_step: Callable[[float], None] | None = None,
) -> EsdExample:
    """`count` training examples drawn with the frozen model (§2.1), kept on the CPU as float32.

    For each, a concept and a number k of steps, 0 ≤ k < `steps`, are drawn uniformly; a DDIM
    trajectory with guidance toward the concept runs k steps from noise; t is the timestep that
    comes next. The target is ε(g) − η·[ε(c) − ε(g)], with ε(·) the frozen prediction without
    guidance and g the guide ("" is the unconditional prompt), so η is the paper's.

    Every example has its own generator, so the examples do not depend on how they are grouped.
    `on_step(share)` tells how much is done, from 0 to 1, and may raise to stop.
    """
    draws = sampling.seeded(seed)
    plan = sampling.make_scheduler("ddim", model.scheduler_config)
    plan.set_timesteps(steps, device=model.device)
    prompts = sampling.PromptCache(model)
    anchor = prompts[guide]
    nothing = prompts[""]
    side = resolution // model.scale
    shape = (model.latent_channels, side, side)
    at_once = at_once or max(1, min(64, 16384 // (side * side)))
    runs = [
        _Run(
            concept=int(torch.randint(len(concepts), (1,), generator=draws)),
            steps=int(torch.randint(steps, (1,), generator=draws)),
            place=place,
        )
        for place in range(count)
    ]
    seeds = torch.randint(1 << 62, (count,), generator=draws).tolist()
    x = torch.zeros(count, *shape)
    target = torch.zeros(count, *shape)
    total = sum(run.steps + 1 for run in runs)
    done = 0

    # Trajectories of like length run together, so that few are waiting for the longest.
    runs.sort(key=lambda run: run.steps)
    for first in range(0, count, at_once):
        group = runs[first : first + at_once]
        text = prompts.stack([concepts[run.concept] for run in group])
        generators = [sampling.seeded(seeds[run.place]) for run in group]
        latents = sampling.draw_noise(model, (len(group), *shape), generators)
        for k in range(max(run.steps for run in group) + 1):
            if on_step is not None:
                on_step(done / total)
            t = plan.timesteps[k]
            ending = [i for i, run in enumerate(group) if run.steps == k]
            if ending:
                _finish(model, latents, text, anchor, t, group, ending, eta, x, target)
                going = [i for i, run in enumerate(group) if run.steps > k]
                group = [group[i] for i in going]
                done += len(ending)
                if not going:
                    break
                latents, text = latents[going], text[going]
            latents = _step(model, plan, latents, text, nothing, t, guidance)
            done += len(group)

    by_place = sorted(runs, key=lambda run: run.place)
    return EsdExample(
        x=x,
        timesteps=torch.stack([plan.timesteps[run.steps].cpu() for run in by_place]),
        text=prompts.stack([concepts[run.concept] for run in by_place]).float().cpu(),
        target=target,
    )


def _step(
    model: DiffusionModel,
    plan: Any,
    latents: torch.Tensor,
    text: torch.Tensor,
    nothing: torch.Tensor,
    t: torch.Tensor,
    guidance: float,
) -> torch.Tensor:
    states = torch.cat([nothing.expand_as(text), text])
    predicted = model.unet(torch.cat([latents] * 2), t, encoder_hidden_states=states).sample
    without, with_text = predicted.chunk(2)
    guided = without + guidance * (with_text - without)
    moved: torch.Tensor = plan.step(guided, t, latents, return_dict=False)[0]
    return moved


def _finish(
    model: DiffusionModel,
    latents: torch.Tensor,
    text: torch.Tensor,
    anchor: torch.Tensor,
    t: torch.Tensor,
    group: Sequence[_Run],
    ending: Sequence[int],
    eta: float,
    x: torch.Tensor,
    target: torch.Tensor,
) -> None:
    """Store x_t and the teacher's target of the trajectories that end at t."""
    chosen = latents[list(ending)]
    states = torch.cat([anchor.expand(len(ending), -1, -1), text[list(ending)]])
    predicted = model.unet(torch.cat([chosen] * 2), t, encoder_hidden_states=states).sample.float()
    base, named = predicted.chunk(2)
    places = [group[i].place for i in ending]
    x[places] = chosen.float().cpu()
    target[places] = (base - eta * (named - base)).cpu()


def esd_loss(unet: Any, batch: EsdExample) -> torch.Tensor:
    """Mean squared error between the student's conditional prediction and the target."""
    predicted = unet(batch.x, batch.timesteps, encoder_hidden_states=batch.text).sample
    return torch.nn.functional.mse_loss(predicted.float(), batch.target)
