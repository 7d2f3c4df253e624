"""The mathematics of removing concepts from a U-Net: UCE in closed form, ESD's targets (§2)."""

from __future__ import annotations

import bisect
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from dafusion_core.domain.errors import UserError
from dafusion_core.domain.specs import TrainParameters, UceTokens
from dafusion_core.engine import objective, parallel, sampling, tokens
from dafusion_core.engine.models import DiffusionModel
from dafusion_core.language import _

__all__ = [
    "EsdExample",
    "KeptExamples",
    "choose_parameters",
    "concept_vectors",
    "esd_examples",
    "esd_loss",
    "read_kept",
    "uce_matrix",
    "uce_weights",
    "write_kept",
]


@torch.inference_mode()
def concept_vectors(
    model: DiffusionModel, prompts: Sequence[str], moved: UceTokens = "subject"
) -> torch.Tensor:
    """Text states, float32, that stand for prompts: at the last subject token, [prompts, d].

    For the empty prompt that is the beginning mark. "subject+end" adds the end mark after it,
    [2·prompts, d], and "all" everything after it, [(length - 1)·prompts, d]. Attention is causal,
    so the end mark and the padding have seen the whole prompt.
    """
    states = tokens.encode(model, list(prompts)).float()
    places = torch.tensor([tokens.subject_index(model, prompt) for prompt in prompts])
    rows, last = torch.arange(len(prompts)), states.shape[1] - 1
    count = {"subject": 1, "subject+end": 2, "all": last}[moved]
    # As many of every prompt, so that concepts and guides make pairs: the last one counts again.
    return torch.cat([states[rows, (places + k).clamp(max=last)] for k in range(count)])


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
            _("This model has no parameters of the kind “{choice}”.").format(choice=choice),
            _("Choose “full” instead."),
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


@dataclass(frozen=True, slots=True)
class _Run:
    """A trajectory: its concept, its seed, and the examples it gives, as (k, place in the result).

    t of an example is the timestep that comes after k steps.
    """

    concept: int
    seed: int
    stops: list[tuple[int, int]]


def _draw_runs(
    count: int, concepts: int, steps: int, per_trajectory: int, draws: torch.Generator
) -> list[_Run]:
    """Trajectories that give `count` examples, `per_trajectory` each (the last one the rest)."""

    def whole(high: int) -> int:
        return int(torch.randint(high, (1,), generator=draws))

    if per_trajectory == 1:
        runs = [(whole(concepts), [(whole(steps), place)]) for place in range(count)]
    else:
        # Examples of one trajectory are alike; scattered, they do not meet in one batch.
        places = torch.randperm(count, generator=draws).tolist()
        runs = []
        for start in range(0, count, per_trajectory):
            own = places[start : start + per_trajectory]
            stops = torch.randperm(steps, generator=draws)[: len(own)].tolist()
            runs.append((whole(concepts), list(zip(stops, own, strict=True))))
    seeds = torch.randint(1 << 62, (len(runs),), generator=draws).tolist()
    return [_Run(concept, seed, stops) for (concept, stops), seed in zip(runs, seeds, strict=True)]


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
    per_trajectory: int = 1,
    kept: KeptExamples | None = None,
    on_step: Callable[[float], None] | None = None,
) -> EsdExample:
    """`count` training examples drawn with the frozen model (§2.1), kept on the CPU as float32.

    For each, a concept and a number k of steps, 0 ≤ k < `steps`, are drawn uniformly; a DDIM
    trajectory with guidance toward the concept runs k steps from noise; t is the timestep that
    comes next. The target is ε(g) − η·[ε(c) − ε(g)], with ε(·) the frozen prediction without
    guidance and g the guide ("" is the unconditional prompt), so η is the paper's.

    `per_trajectory` above 1 lets each trajectory run to its end and takes that many examples, at
    different k, from what it arrives at: x_t is that, with new noise for each as much as t has.
    The examples of one trajectory share their picture, but not their noise.

    Every trajectory has its own generator, so the examples do not depend on how they are grouped.
    `kept` remembers finished groups, so that a stopped run does not draw them again.
    `on_step(share)` tells how much is done, from 0 to 1, and may raise to stop.
    """
    plan = sampling.make_scheduler("ddim", model.scheduler_config)
    plan.set_timesteps(steps, device=model.device)
    prompts = sampling.PromptCache(model)
    nothing = prompts[""]
    side = resolution // model.scale
    source = _Source(
        model=model,
        plan=plan,
        texts=prompts.stack(concepts),
        nothing=nothing,
        anchor=prompts[guide] if guide else nothing,
        guidance=guidance,
        eta=eta,
        shape=(model.latent_channels, side, side),
        at_once=at_once or max(1, min(64, 16384 // (side * side))),
    )
    runs = _draw_runs(count, len(concepts), steps, per_trajectory, sampling.seeded(seed))
    is_single = per_trajectory == 1

    def cost(run: _Run) -> int:
        return run.stops[0][0] + 1 if is_single else steps + len(run.stops)

    x = torch.zeros(count, *source.shape)
    target = torch.zeros(count, *source.shape)
    total, done = sum(map(cost, runs)), 0

    def tell(more: int) -> None:
        if on_step is not None:
            on_step((done + more) / total)

    # Trajectories of like length run together, so that few are waiting for the longest.
    ordered = sorted(runs, key=lambda run: run.stops[0][0]) if is_single else runs
    for number, first in enumerate(range(0, len(ordered), source.at_once)):
        group = ordered[first : first + source.at_once]
        places = [place for run in group for _, place in run.stops]
        known = kept.read(number) if kept is not None else None
        if known is None:
            draw = _stop_on_the_way if is_single else _noise_again
            known = draw(source, group, tell)
            if kept is not None:
                kept.write(number, *known)
        x[places], target[places] = known
        done += sum(map(cost, group))

    concept_at, steps_at = [0] * count, [0] * count
    for run in runs:
        for at, place in run.stops:
            concept_at[place], steps_at[place] = run.concept, at
    return EsdExample(
        x=x,
        timesteps=torch.stack([plan.timesteps[at].cpu() for at in steps_at]),
        text=source.texts[concept_at].float().cpu(),
        target=target,
    )


@dataclass(frozen=True, slots=True)
class _Source:
    """What examples are drawn from: the frozen model, its DDIM steps, and the prompts' states.

    texts: [concepts, length, d]; nothing, anchor (the guide): [length, d]; shape: of a latent.
    """

    model: DiffusionModel
    plan: Any
    texts: torch.Tensor
    nothing: torch.Tensor
    anchor: torch.Tensor
    guidance: float
    eta: float
    shape: tuple[int, int, int]
    at_once: int

    def target(self, named: torch.Tensor, base: torch.Tensor) -> torch.Tensor:
        """ε(g) − η·[ε(c) − ε(g)], float32 on the CPU."""
        return (base.float() - self.eta * (named.float() - base.float())).cpu()


def _stop_on_the_way(
    source: _Source, group: Sequence[_Run], tell: Callable[[int], None]
) -> tuple[torch.Tensor, torch.Tensor]:
    """(x_t, target) of trajectories that give one example each, in the order of their lengths.

    Each ends where its example is, so the batch becomes smaller.
    """
    x = torch.zeros(len(group), *source.shape)
    target = torch.zeros_like(x)
    lengths = [run.stops[0][0] for run in group]
    generators = [sampling.seeded(run.seed) for run in group]
    text = source.texts[[run.concept for run in group]]
    latents = sampling.draw_noise(source.model, (len(group), *source.shape), generators)
    first, done = 0, 0  # the first that is still on its way
    for k in range(lengths[-1] + 1):
        tell(done)
        t = source.plan.timesteps[k]
        end = bisect.bisect_right(lengths, k)
        here = end - first
        named, without, base = _predict(source, latents, text, t, here)
        x[first:end] = latents[:here].float().cpu()
        target[first:end] = source.target(named[:here], base)
        done += len(latents)
        if end == len(group):
            break
        guided = without + source.guidance * (named[here:] - without)
        latents = source.plan.step(guided, t, latents[here:], return_dict=False)[0]
        text, first = text[here:], end
    return x, target


def _noise_again(
    source: _Source, group: Sequence[_Run], tell: Callable[[int], None]
) -> tuple[torch.Tensor, torch.Tensor]:
    """(x_t, target) of trajectories that give several examples each, in their order."""
    model, steps = source.model, len(source.plan.timesteps)
    generators = [sampling.seeded(run.seed) for run in group]
    text = source.texts[[run.concept for run in group]]
    latents = sampling.draw_noise(model, (len(group), *source.shape), generators)
    for k, t in enumerate(source.plan.timesteps):
        tell(k * len(group))
        named, without, _ = _predict(source, latents, text, t, 0)
        guided = without + source.guidance * (named - without)
        latents = source.plan.step(guided, t, latents, return_dict=False)[0]
    rows = [row for row, run in enumerate(group) for _ in run.stops]
    times = source.plan.timesteps[[at for run in group for at, _ in run.stops]]
    noise = sampling.draw_noise(
        model, (len(rows), *source.shape), [generators[row] for row in rows]
    )
    x = objective.add_noise(model, latents[rows], noise, times)
    target = torch.zeros(len(rows), *source.shape)
    for part in torch.arange(len(rows)).split(source.at_once):
        tell(steps * len(group) + int(part[0]))
        own = text[[rows[i] for i in part]]
        states = torch.cat([own, source.anchor.expand(len(part), -1, -1)])
        entry, when = torch.cat([x[part]] * 2), torch.cat([times[part]] * 2)
        target[part] = source.target(*parallel.predict(model, entry, when, states).chunk(2))
    return x.float().cpu(), target


class KeptExamples:
    """Groups of examples that are drawn already, as files of one folder.

    `identity` says what they were drawn for; groups of something else are not read.
    """

    def __init__(self, folder: Path, identity: str) -> None:
        self._folder, self._identity = folder, identity

    def _path(self, number: int) -> Path:
        return self._folder / f"examples-{number}.safetensors"

    def read(self, number: int) -> tuple[torch.Tensor, torch.Tensor] | None:
        """(x, target) of a group; None when it has to be drawn."""
        found = read_kept(self._path(number), self._identity)
        return None if found is None else (found["x"], found["target"])

    def write(self, number: int, x: torch.Tensor, target: torch.Tensor) -> None:
        """Remember a group."""
        write_kept(self._path(number), {"x": x, "target": target}, self._identity)


def read_kept(path: Path, identity: str) -> dict[str, torch.Tensor] | None:
    """The tensors of a file that `write_kept` left for the same `identity`; else None."""
    try:
        with safe_open(str(path), framework="pt") as stream:
            if (stream.metadata() or {}).get("identity") != identity:
                return None
            return {key: stream.get_tensor(key) for key in stream.keys()}  # noqa: SIM118
    except (SafetensorError, OSError):
        return None


def write_kept(path: Path, tensors: Mapping[str, torch.Tensor], identity: str) -> None:
    """Save tensors for a later attempt, so that `path` never holds half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    plain = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    save_file(plain, str(partial), metadata={"identity": identity})
    os.replace(partial, path)


def _predict(
    source: _Source, latents: torch.Tensor, text: torch.Tensor, t: torch.Tensor, here: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Everything that one step needs, in one batch and no prediction twice.

    The first `here` rows give an example, the others go on. Returned: for the concept, of every
    row; for the empty prompt, of those that go on; for the guide, of those that give an example.

    An example's target and the step that follows it would need the same prediction for the
    concept, and with the empty prompt as guide the same for that one, too.
    """
    count = len(latents)
    states = [text, source.anchor.expand(here, -1, -1), source.nothing.expand(count - here, -1, -1)]
    predicted = parallel.predict(source.model, torch.cat([latents] * 2), t, torch.cat(states))
    named, base, without = predicted.split([count, here, count - here])
    return named, without, base


def esd_loss(unet: Any, batch: EsdExample) -> torch.Tensor:
    """Mean squared error between the student's conditional prediction and the target."""
    predicted = unet(batch.x, batch.timesteps, encoder_hidden_states=batch.text).sample
    return torch.nn.functional.mse_loss(predicted.float(), batch.target)
