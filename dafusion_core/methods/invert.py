"""Textual inversion: learn the vectors of a concept's tokens from its few pictures (§3).

Only the [n, d] rows are parameters. The gradient runs through the frozen U-Net and the frozen
text encoder; what the VAE says about each picture and its mirror image is computed once, and a
new latent is sampled from it at every step.

Several concepts may share a step: their losses are summed and no operation of the networks mixes
samples, so each row gets the gradient that it would get alone.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from dafusion_core.domain.errors import BadImage, OutOfMemory, UserError
from dafusion_core.domain.inputs import ConceptInput, InversionInputs
from dafusion_core.domain.records import JobUnit
from dafusion_core.domain.specs import InversionSpec, derive_seed
from dafusion_core.engine import images, objective, sampling, splice, templates, tokens
from dafusion_core.engine.devices import guard, release_memory, resolve_device
from dafusion_core.engine.models import DiffusionModel, shared_cache
from dafusion_core.engine.sdedit import encode_posterior
from dafusion_core.engine.torch_setup import torch
from dafusion_core.jobs.context import JobContext

__all__ = ["Draw", "Learner", "concept_loss", "draw_step", "run"]

_EVERY = 10  # steps between two points of the loss curve
_PREVIEW_EVERY = 100  # steps, or a quarter of all of them where that is longer
_PREVIEW_STEPS = 15
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


@dataclass
class Learner:
    """One concept while it is learned."""

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


def run(
    spec: InversionSpec, inputs: InversionInputs, units: Sequence[JobUnit], ctx: JobContext
) -> None:
    """Learn one embedding per unit.

    Raises UserError when a concept has no usable picture, its placeholder is taken, its name
    stands in the prompts, or training went wrong (values that are not numbers, vectors that
    never moved).
    """
    device = resolve_device(ctx.device)
    ctx.progress(0, len(units), "loading the model")
    model = shared_cache().get(
        spec.model,
        device=device,
        dtype=torch.float32,
        erasure=ctx.resolve(inputs.erasure.path) if inputs.erasure else None,
    )
    for unit in units:
        concept = inputs.concepts[str(unit.payload["concept_id"])]
        templates.check_neutral(concept.name, templates.OBJECT_TEMPLATES)
    size = group_size(model, spec)
    for start in range(0, len(units), size):
        group = units[start : start + size]
        with guard(device, f"learning {len(group)} concepts at once"):
            _learn_group(spec, inputs, group, model, ctx, start, len(units))
    ctx.progress(len(units), len(units), "done")


def group_size(model: DiffusionModel, spec: InversionSpec) -> int:
    """How many concepts share a step: as many as keep the step's latents small."""
    side = model.check_resolution(spec.resolution) // model.scale
    cells = spec.batch_size * side * side
    return max(1, min(16, 8192 // cells))


def _learn_group(
    spec: InversionSpec,
    inputs: InversionInputs,
    units: Sequence[JobUnit],
    base: DiffusionModel,
    ctx: JobContext,
    done: int,
    total: int,
) -> None:
    began = time.monotonic()
    learners = [
        prepare(unit, inputs.concepts[str(unit.payload["concept_id"])], spec, base, ctx)
        for unit in units
    ]
    names = [name for learner in learners for name in learner.names]
    start = torch.cat([learner.start for learner in learners])
    model, embedding = splice.splice_tokens(base, names, start)
    for learner in learners:
        learner.ids = prompt_ids(model, learner.names)
        learner.held_out_before = held_out_loss(model, learner)

    moved = torch.zeros(len(names), device=model.device)
    optimiser = torch.optim.AdamW(
        [embedding.rows], lr=spec.learning_rate, weight_decay=spec.weight_decay, eps=1e-8
    )
    pending: list[torch.Tensor] = []
    for step in range(spec.steps):
        ctx.progress(done + len(units) * step / spec.steps, total, "learning")
        draws = [draw_step(learner, spec, model) for learner in learners]
        losses = _backward(model, learners, draws, is_first=step == 0, ctx=ctx)
        gradient = embedding.rows.grad
        assert gradient is not None
        moved += gradient.abs().sum(dim=1)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        pending.append(losses)
        if len(pending) == _EVERY or step + 1 == spec.steps:
            _note_losses(learners, pending, step + 1, ctx)
        if step + 1 < spec.steps and (step + 1) % max(_PREVIEW_EVERY, spec.steps // 4) == 0:
            _preview(model, learners, spec, step + 1, ctx)

    seconds = (time.monotonic() - began) / len(learners)
    _preview(model, learners, spec, spec.steps, ctx)
    rows = embedding.rows.detach().cpu()
    for learner, vectors, gradient_sums in zip(
        learners, rows.split(spec.vectors), moved.cpu().split(spec.vectors), strict=True
    ):
        check_result(learner, vectors, gradient_sums)
        _finish(learner, vectors, model, spec, seconds, ctx)


def _backward(
    model: DiffusionModel,
    learners: Sequence[Learner],
    draws: Sequence[Draw],
    *,
    is_first: bool,
    ctx: JobContext,
) -> torch.Tensor:
    """Add the step's gradients to the rows and return the losses [len(learners)].

    If the first step does not fit the device, activations are recomputed in the backward pass
    from then on: the same gradients, for a third more time. Raises OutOfMemory if that is not
    enough.
    """
    try:
        with guard(model.device, "learning"):
            losses = concept_loss(model, learners, draws)
            losses.sum().backward()
        return losses.detach()
    except OutOfMemory as error:
        if not is_first or model.unet.is_gradient_checkpointing:
            raise
        ctx.log(f"{error.text} Going on with less memory and more time.", "warning")
    release_memory(model.device)
    model.unet.enable_gradient_checkpointing()
    return _backward(model, learners, draws, is_first=True, ctx=ctx)


def prepare(
    unit: JobUnit,
    concept: ConceptInput,
    spec: InversionSpec,
    model: DiffusionModel,
    ctx: JobContext,
) -> Learner:
    """Encode a concept's pictures and choose its first vectors.

    Pictures that cannot be read are left out with a line in the log; UserError when none is left.
    """
    resolution = model.check_resolution(spec.resolution)
    plain, mirrored = [], []
    for image in concept.images:
        ctx.check_cancelled()
        try:
            pixels, _ = images.load_pixels(ctx.resolve(image.path), resolution, images.BICUBIC)
        except (BadImage, OSError) as error:
            ctx.log(f"A picture of {concept.name} is left out: {error}", "warning")
            continue
        plain.append(encode_posterior(model, pixels))
        if spec.flip:
            mirrored.append(encode_posterior(model, pixels.flip(-1)))
    if not plain:
        raise UserError(
            f"The class {concept.name} has no picture to learn from.",
            "Add pictures to its training part, or leave the class out.",
        )
    sides = [plain, mirrored] if spec.flip else [plain]
    first = tokens.initial_vector(model, concept.initialiser)
    return Learner(
        unit=unit,
        concept=concept,
        names=tokens.token_names(concept.placeholder, spec.vectors),
        start=first.repeat(spec.vectors, 1),
        # Cloned: what inference mode made cannot take part in a gradient.
        mean=torch.stack([torch.cat([p.mean for p in side]) for side in sides]).clone(),
        std=torch.stack([torch.cat([p.std for p in side]) for side in sides]).clone(),
        generator=sampling.seeded(unit.seed),
    )


def prompt_ids(model: DiffusionModel, names: Sequence[str]) -> torch.Tensor:
    """Token ids [templates, length] of every template that the model can read to its end.

    Raises UserError when none is short enough.
    """
    words = " ".join(names)
    prompts = [template.format(words) for template in templates.OBJECT_TEMPLATES]
    fitting = [prompt for prompt in prompts if not tokens.is_cut(model, prompt)]
    if not fitting:
        raise UserError(
            f"The {len(names)} vectors of {names[0]} do not fit into a prompt of this model.",
            "Use fewer vectors.",
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
    predicted = model.unet(
        objective.add_noise(model, latents, added, times),
        times,
        encoder_hidden_states=states,
        return_dict=False,
    )[0]
    wanted = objective.target(model, latents, added, times)
    errors = (predicted.float() - wanted.float()).square()
    return errors.reshape(len(learners), -1).mean(dim=1)


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


def _note_losses(
    learners: Sequence[Learner], pending: list[torch.Tensor], step: int, ctx: JobContext
) -> None:
    values = torch.stack(pending).cpu()
    pending.clear()
    for learner, column in zip(learners, values.T, strict=True):
        if not bool(torch.isfinite(column).all()):
            raise UserError(
                f"Learning {learner.concept.name} broke down at step {step}: the loss is not a "
                "number any more.",
                "Use a smaller learning rate.",
            )
        learner.losses.extend(column.tolist())
        ctx.metric(f"loss/{learner.concept.name}", step, float(column.mean()), learner.unit)


def check_result(learner: Learner, vectors: torch.Tensor, gradient_sums: torch.Tensor) -> None:
    """Refuse vectors that are not numbers, never got a gradient, or are where they began.

    Raises UserError.
    """
    name = learner.concept.name
    if not bool(torch.isfinite(vectors).all()):
        raise UserError(
            f"The embedding of {name} holds values that are not numbers.",
            "Use a smaller learning rate.",
        )
    still = (vectors == learner.start).all(dim=1) | (gradient_sums == 0)
    if bool(still.any()):
        raise UserError(
            f"{int(still.sum())} of {len(vectors)} vectors of {name} did not learn anything.",
            "Check the learning rate, and that the prompts hold every token.",
        )


def _preview(
    model: DiffusionModel,
    learners: Sequence[Learner],
    spec: InversionSpec,
    step: int,
    ctx: JobContext,
) -> None:
    """A row of four pictures per concept, from noise and the tokens alone."""
    rows = []
    for learner in learners:
        prompt = templates.OBJECT_TEMPLATES[0].format(" ".join(learner.names))
        latents = sampling.generate_latents(
            model,
            [prompt] * 4,
            [derive_seed("preview", learner.unit.seed, i) for i in range(4)],
            steps=_PREVIEW_STEPS,
            guidance=5.0,
            resolution=spec.resolution,
            on_step=lambda i, count: ctx.check_cancelled(),
        )
        with torch.inference_mode():
            decoded = sampling.decode(model, latents)
        try:
            rows.append([images.pixels_to_picture(values) for values in decoded])
        except ValueError:
            return
    path = images.save_png(
        images.contact_sheet(rows), ctx.scratch / f"preview-{learners[0].unit.id}-{step}.png"
    )
    named = ", ".join(learner.concept.name for learner in learners)
    ctx.preview(path, f"{named}: step {step} of {spec.steps}")


def _finish(
    learner: Learner,
    vectors: torch.Tensor,
    model: DiffusionModel,
    spec: InversionSpec,
    seconds: float,
    ctx: JobContext,
) -> None:
    placeholder = learner.concept.placeholder
    after = held_out_loss(model, learner)
    some = max(1, min(50, len(learner.losses) // 4))
    record = {
        "placeholder": placeholder,
        "vectors": spec.vectors,
        "dim": int(vectors.shape[1]),
        "steps": spec.steps,
        "pictures": int(learner.mean.shape[1]),
        "templates": len(learner.ids),
        "loss_first": sum(learner.losses[:some]) / some,
        "loss_last": sum(learner.losses[-some:]) / some,
        "held_out_before": learner.held_out_before,
        "held_out_after": after,
        "moved": float((vectors - learner.start).norm(dim=1).mean()),
        "base_hash": model.base_hash,
        "seconds": round(seconds, 2),
    }
    name = f"{tokens.file_stem(placeholder)}-{learner.unit.id}.safetensors"
    path = tokens.write_embedding(ctx.scratch / name, placeholder, vectors)
    ctx.finish_unit(learner.unit, {"embedding": path}, record)
    ctx.log(
        f"Learned {learner.concept.name}: loss at fixed noise {learner.held_out_before:.4f} → "
        f"{after:.4f}."
    )
