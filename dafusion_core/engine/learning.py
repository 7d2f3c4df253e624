"""The loop body of textual inversion (§3): draws, prompts, the loss of several concepts at once.

Only the [n, d] rows of the new tokens are parameters. The gradient runs through the frozen U-Net
and the frozen text encoder; what the VAE says about each picture and its mirror image is computed
once, and a new latent is sampled from it at every step.

Several concepts may share a step: their losses are summed and no operation of the networks mixes
samples, so each row gets the gradient that it would get alone.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, fields

import torch
from PIL import Image

from dafusion_core.domain.errors import UserError
from dafusion_core.domain.inputs import ConceptInput
from dafusion_core.domain.records import JobUnit
from dafusion_core.domain.specs import InversionSpec, derive_seed
from dafusion_core.engine import objective, parallel, sampling, templates, tokens
from dafusion_core.engine.learning_state import LearningState
from dafusion_core.engine.models import DiffusionModel
from dafusion_core.language import _

__all__ = [
    "Draw",
    "Learner",
    "add_gradients",
    "check_result",
    "concept_loss",
    "draw_step",
    "held_out_loss",
    "prompt_ids",
]

_HELD_OUT = 16  # fixed (picture, timestep, noise) triples for the loss before and after


@dataclass(frozen=True, slots=True)
class Draw:
    """The random choices of one step for one concept; b is the batch size.

    pictures, timesteps, templates: [b]; flips: [b] of 0/1; sample, noise: [b, c, h, w].
    """

    pictures: torch.Tensor
    flips: torch.Tensor
    templates: torch.Tensor
    sample: torch.Tensor
    noise: torch.Tensor
    timesteps: torch.Tensor

    def rows(self, first: int, end: int) -> Draw:
        """The choices for the samples first … end − 1."""
        every = (getattr(self, item.name) for item in fields(self))
        return Draw(*(values[first:end] for values in every))


@dataclass
class Learner:
    """One concept while it is learned. `begins` is where it goes on from, None for the start."""

    unit: JobUnit
    concept: ConceptInput
    names: list[str]
    start: torch.Tensor  # [n, d]
    mean: torch.Tensor  # [2, pictures, c, h, w]: as they are, mirrored
    std: torch.Tensor
    generator: torch.Generator
    ids: torch.Tensor = field(default_factory=lambda: torch.zeros(0))  # [templates, length]
    held_out_before: float = 0.0
    losses: list[float] = field(default_factory=list)
    identity: str = ""
    begins: LearningState | None = None
    # (step, start of the hash of its vectors, pictures made with them), as they were looked at.
    looks: list[tuple[int, str, list[Image.Image]]] = field(default_factory=list)


def prompt_ids(model: DiffusionModel, names: Sequence[str]) -> torch.Tensor:
    """Token ids [templates, length] of every template that the model can read to its end.

    Raises UserError when none is short enough.
    """
    words = " ".join(names)
    prompts = [template.format(words) for template in templates.OBJECT_TEMPLATES]
    fitting = [prompt for prompt in prompts if not tokens.is_cut(model, prompt)]
    if not fitting:
        raise UserError(
            _("The {number} vectors of {names} do not fit into a prompt of this model.").format(
                number=len(names), names=names[0]
            ),
            _("Use fewer vectors."),
        )
    return tokens.token_ids(model, fitting)


def draw_step(learner: Learner, spec: InversionSpec, model: DiffusionModel) -> Draw:
    """The next random choices of a concept, all from its own generator."""
    count, generator = spec.batch_size, learner.generator
    sides, pictures = learner.mean.shape[:2]
    shape = (count, *learner.mean.shape[2:])

    def whole(high: int) -> torch.Tensor:
        return torch.randint(high, (count,), generator=generator)

    return Draw(
        pictures=whole(pictures),
        flips=whole(sides),
        templates=whole(len(learner.ids)),
        sample=torch.randn(shape, generator=generator),
        noise=torch.randn(shape, generator=generator),
        timesteps=whole(model.train_timesteps),
    )


def concept_loss(
    model: DiffusionModel, learners: Sequence[Learner], draws: Sequence[Draw]
) -> torch.Tensor:
    """Mean squared error of the denoiser, one number per concept [len(learners)].

    Each distinct prompt of the step is encoded once.
    """
    clean, noise, timesteps, prompts = [], [], [], []
    for learner, draw in zip(learners, draws, strict=True):
        where = (draw.flips, draw.pictures)
        sample = draw.sample.to(model.device)
        clean.append(model.latent_factor * (learner.mean[where] + learner.std[where] * sample))
        noise.append(draw.noise)
        timesteps.append(draw.timesteps)
        prompts.append(learner.ids[draw.templates])
    latents, added = torch.cat(clean), torch.cat(noise).to(model.device)
    times = torch.cat(timesteps).to(model.device)
    distinct, place = torch.unique(torch.cat(prompts), dim=0, return_inverse=True)
    states = model.text_encoder(distinct)[0][place]
    noisy = objective.add_noise(model, latents, added, times)
    predicted = parallel.predict(model, noisy, times, states)
    wanted = objective.target(model, latents, added, times)
    errors = (predicted.float() - wanted.float()).square()
    return errors.reshape(len(learners), -1).mean(dim=1)


def add_gradients(
    model: DiffusionModel,
    learners: Sequence[Learner],
    draws: Sequence[Draw],
    parameters: Sequence[torch.Tensor],
) -> torch.Tensor:
    """Add the step's gradients to `parameters` and return the losses [len(learners)].

    On several cores each takes some of the concepts, or some of the samples where there are fewer
    concepts than cores. The loss of a concept is a mean over samples that do not meet, so the sum
    of the shares' gradients is the gradient of the whole.
    """

    def share(
        own: Sequence[Learner], drawn: Sequence[Draw], weight: float
    ) -> tuple[torch.Tensor, tuple[torch.Tensor | None, ...]]:
        losses = weight * concept_loss(model, own, drawn)
        found = torch.autograd.grad(losses.sum(), list(parameters), allow_unused=True)
        return losses.detach(), found

    shares = _shares(learners, draws, parallel.count_parts(model.device, sys.maxsize))
    results = parallel.run_parts(share, shares)
    for place, parameter in enumerate(parameters):
        for _losses, found in results:
            value = found[place]
            if value is not None:
                parameter.grad = value if parameter.grad is None else parameter.grad + value
    every = [losses for losses, _found in results]
    return torch.cat(every) if len(shares[0][0]) < len(learners) else torch.stack(every).sum(dim=0)


def _shares(
    learners: Sequence[Learner], draws: Sequence[Draw], parts: int
) -> list[tuple[Sequence[Learner], Sequence[Draw], float]]:
    """What each core takes: some concepts with weight 1, or of every concept some samples."""
    if len(learners) >= parts:
        ends = [len(learners) * part // parts for part in range(parts + 1)]
        return [(learners[a:b], draws[a:b], 1.0) for a, b in itertools.pairwise(ends)]
    count = len(draws[0].pictures)
    parts = min(parts, count)
    ends = [count * part // parts for part in range(parts + 1)]
    return [
        (learners, [draw.rows(a, b) for draw in draws], (b - a) / count)
        for a, b in itertools.pairwise(ends)
    ]


@torch.no_grad()
def held_out_loss(model: DiffusionModel, learner: Learner) -> float:
    """The loss at fixed pictures, timesteps and noise, with the first template.

    The same before and after learning, so that the two can be compared; the loss of single steps
    mostly shows which timesteps were drawn.
    """
    generator = sampling.seeded(derive_seed("held out", learner.unit.seed))
    pictures = torch.arange(_HELD_OUT) % learner.mean.shape[1]
    shape = (_HELD_OUT, *learner.mean.shape[2:])
    draw = Draw(
        pictures=pictures,
        flips=torch.zeros_like(pictures),
        templates=torch.zeros_like(pictures),
        sample=torch.randn(shape, generator=generator),
        noise=torch.randn(shape, generator=generator),
        timesteps=torch.linspace(0.02, 0.98, _HELD_OUT).mul(model.train_timesteps).long(),
    )
    return float(concept_loss(model, [learner], [draw])[0])


def check_result(learner: Learner, vectors: torch.Tensor, gradient_sums: torch.Tensor) -> None:
    """Refuse vectors that are not numbers, never got a gradient, or are where they began.

    Raises UserError.
    """
    name = learner.concept.name
    if not bool(torch.isfinite(vectors).all()):
        raise UserError(
            _("The embedding of {name} holds values that are not numbers.").format(name=name),
            _("Use a smaller learning rate."),
        )
    still = (vectors == learner.start).all(dim=1) | (gradient_sums == 0)
    if bool(still.any()):
        raise UserError(
            _("{still} of {number} vectors of {name} did not learn anything.").format(
                still=int(still.sum()), number=len(vectors), name=name
            ),
            _("Check the learning rate, and that the prompts hold every token."),
        )
