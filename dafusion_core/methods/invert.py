"""Teach the model each concept from its few pictures (§3): vectors, and what else is chosen.

The mathematics is in `engine.learning`; here is what surrounds it: which concepts share a step,
going on after a stop, previews, and the files that are left.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from itertools import groupby

from dafusion_core.domain.errors import BadImage, Interruption, OutOfMemory, UserError
from dafusion_core.domain.inputs import ConceptInput, FileInput, InversionInputs
from dafusion_core.domain.records import JobUnit
from dafusion_core.domain.specs import InversionSpec, derive_seed
from dafusion_core.engine import (
    footprint,
    foreign_embeddings,
    images,
    sampling,
    splice,
    templates,
    tokens,
)
from dafusion_core.engine.adaptations import Adaptation, chosen
from dafusion_core.engine.devices import describe_device, guard, release_memory, resolve_device
from dafusion_core.engine.learning import (
    Draw,
    Learner,
    add_gradients,
    check_result,
    draw_step,
    held_out_loss,
    prompt_ids,
)
from dafusion_core.engine.learning_state import (
    LearningState,
    SaveClock,
    moments_of,
    set_moments,
    write_state,
)
from dafusion_core.engine.models import DiffusionModel, shared_cache
from dafusion_core.engine.sdedit import Posterior, encode_posteriors
from dafusion_core.engine.torch_setup import torch
from dafusion_core.jobs.context import JobContext
from dafusion_core.language import _
from dafusion_core.methods.learning_tasks import Task, first_words, kept_path, make_task

__all__ = ["Draw", "Learner", "draw_step", "run"]

_EVERY = 10  # steps between two points of the loss curve
_PREVIEW_EVERY = 25  # steps, or a quarter of all of them where that is longer
_PREVIEW_STEPS = 15
_ENCODED = 16  # pictures read before they are encoded together


def run(
    spec: InversionSpec, inputs: InversionInputs, units: Sequence[JobUnit], ctx: JobContext
) -> None:
    """Learn one embedding per unit, or read it where the spec names a file.

    Raises UserError when a concept has no usable picture, its placeholder is taken, its name or
    a forbidden word stands in the prompts, what it shall go on from does not fit, or training
    went wrong (values that are not numbers, vectors that never moved).
    """
    device = resolve_device(ctx.device)
    ctx.progress(0, len(units), _("loading the model"))
    for unit in units:
        concept = inputs.concepts[str(unit.payload["concept_id"])]
        templates.check_neutral(concept.name, templates.OBJECT_TEMPLATES, spec.forbidden)
    done = 0
    learned = []
    for unit in units:
        if str(unit.payload["concept_id"]) in inputs.imported:
            _import(spec, inputs, unit, _model(spec, None, device, ctx), ctx)
            done += 1
        else:
            learned.append(unit)
    tasks = [
        make_task(spec, inputs, unit, _model(spec, None, device, ctx), ctx) for unit in learned
    ]
    for group in _groups(tasks, spec, _model(spec, None, device, ctx) if tasks else None):
        model = _model(spec, group[0].erasure, device, ctx)
        with guard(device, _("learning {number} concepts at once").format(number=len(group))):
            _learn_group(spec, group, model, ctx, done, len(units))
        done += len(group)
    ctx.progress(len(units), len(units), "done")


def _model(
    spec: InversionSpec, erasure: FileInput | None, device: torch.device, ctx: JobContext
) -> DiffusionModel:
    return shared_cache().get(
        spec.model,
        device=device,
        dtype=torch.float32,
        erasure=ctx.resolve(erasure.path) if erasure else None,
    )


def group_size(model: DiffusionModel, spec: InversionSpec) -> int:
    """How many concepts share a step, 1 to 16: on a GPU as many as should fit its free memory,
    else as many as keep the step's latents small.

    Changes of the network belong to one concept, so those are learned one by one.
    """
    if spec.has_adapter:
        return 1
    resolution = model.check_resolution(spec.resolution)
    if model.device.type == "cuda":
        free = describe_device(model.device).free_bytes
        needed = spec.batch_size * footprint.estimate_learning(model, resolution)
        return max(1, min(16, int(0.6 * free / needed)))
    cells = spec.batch_size * (resolution // model.scale) ** 2
    return max(1, min(16, 16384 // cells))


def _groups(
    tasks: Sequence[Task], spec: InversionSpec, model: DiffusionModel | None
) -> Iterator[list[Task]]:
    """Tasks that share steps: on the same weights, and equally far."""
    if model is None:
        return
    size = group_size(model, spec)
    for _key, alike in groupby(sorted(tasks, key=lambda task: task.alike), lambda task: task.alike):
        together = list(alike)
        for start in range(0, len(together), size):
            yield together[start : start + size]


# -------------------------------------------------------------------------------- learning


def _learn_group(
    spec: InversionSpec,
    tasks: Sequence[Task],
    base: DiffusionModel,
    ctx: JobContext,
    done: int,
    total: int,
) -> None:
    began = time.monotonic()
    learners = []
    for task in tasks:
        learner = prepare(task.unit, task.concept, spec, base, ctx)
        learner.identity, learner.begins = task.identity, task.begins
        learners.append(learner)
    names = [name for learner in learners for name in learner.names]
    rows = torch.cat([item.begins.rows if item.begins else item.start for item in learners])
    adaptation = chosen(spec, derive_seed("adaptation", tasks[0].unit.seed))
    changed = adaptation.attach(base) if adaptation else base
    model, embedding = splice.splice_tokens(changed, names, rows)
    embedding.rows.requires_grad_(spec.adaptation != "lora")
    optimiser = torch.optim.AdamW(
        [
            {"params": [embedding.rows]},
            *(adaptation.groups() if adaptation else []),
        ],
        lr=spec.learning_rate,
        weight_decay=spec.weight_decay,
        eps=1e-8,
    )
    every_one = [value for group in optimiser.param_groups for value in group["params"]]
    trained = [value for value in every_one if value.requires_grad]
    moved = torch.zeros(len(names), device=model.device)
    loop = _Loop(spec, learners, model, embedding.rows, moved, optimiser, adaptation, ctx)
    for learner in learners:
        learner.ids = prompt_ids(model, learner.names)
        learner.held_out_before = held_out_loss(model, learner)
    first = loop.begin()
    if first == 0:
        for learner in learners:
            name = f"held-out/{learner.concept.name}"
            ctx.metric(name, 0, learner.held_out_before, learner.unit)
    every = spec.preview_every or max(_PREVIEW_EVERY, spec.steps // 4)
    pending: list[torch.Tensor] = []
    for step in range(first, spec.steps):
        try:
            ctx.progress(done + len(tasks) * step / spec.steps, total, "learning")
        except Interruption:
            loop.save(step, pending)
            raise
        draws = [draw_step(learner, spec, model) for learner in learners]
        with torch.autocast(
            model.device.type, torch.bfloat16, enabled=spec.precision == "bfloat16"
        ):
            losses = _backward(model, learners, draws, trained, is_first=step == first, ctx=ctx)
        pending.append(losses)
        if embedding.rows.grad is not None:
            moved += embedding.rows.grad.abs().sum(dim=1)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        if len(pending) == _EVERY or step + 1 == spec.steps:
            _note_losses(learners, pending, step + 1, ctx)
            loop.save_now_and_then(step + 1)
        if step + 1 == spec.steps:
            break
        if ctx.take_wish("save"):
            loop.save(step + 1, pending)
            pending.clear()
        if ctx.take_wish("sample") or (step + 1) % every == 0:
            _look(loop, step + 1)

    seconds = (time.monotonic() - began) / len(learners)
    _look(loop, spec.steps)
    if adaptation is not None:
        adaptation.check()
    ends = loop.states(spec.steps)
    for learner, end in zip(learners, ends, strict=True):
        if spec.adaptation != "lora":
            check_result(learner, end.rows, end.moved)
        _finish(learner, end, loop, seconds)


class _Loop:
    """What a group of concepts trains, and its state between steps."""

    def __init__(
        self,
        spec: InversionSpec,
        learners: Sequence[Learner],
        model: DiffusionModel,
        rows: torch.nn.Parameter,
        moved: torch.Tensor,
        optimiser: torch.optim.Optimizer,
        adaptation: Adaptation | None,
        ctx: JobContext,
    ) -> None:
        self.spec, self.learners, self.model, self.ctx = spec, learners, model, ctx
        self.rows, self.moved = rows, moved
        self.optimiser, self.adaptation = optimiser, adaptation
        self._clock = SaveClock()

    def begin(self) -> int:
        """Put everything where the learners go on from; return the first step to do."""
        begins = [learner.begins for learner in self.learners]
        if begins[0] is None:
            return 0
        states = [state for state in begins if state is not None]
        step = states[0].step
        first = torch.cat([state.moments[0] for state in states])
        second = torch.cat([state.moments[1] for state in states])
        set_moments(self.optimiser, self.rows, (first, second), step)
        self.moved.copy_(torch.cat([state.moved for state in states]))
        for learner, state in zip(self.learners, states, strict=True):
            learner.generator.set_state(state.generator)
            learner.losses = list(state.losses)
            learner.start = state.start
            learner.held_out_before = state.held_out_before
        if self.adaptation is not None:
            self.adaptation.restore(states[0].extra)
            for name, value in self._extra():
                set_moments(self.optimiser, value, states[0].extra_moments[name], step)
        return step

    def _extra(self) -> list[tuple[str, torch.Tensor]]:
        if self.adaptation is None:
            return []
        parameters = [p for group in self.adaptation.groups() for p in group["params"]]
        return list(zip(self.adaptation.state(), parameters, strict=True))

    def states(self, step: int) -> list[LearningState]:
        """Where each learner stands after `step` steps."""
        count = self.spec.vectors
        first, second = moments_of(self.optimiser, self.rows)
        parts = zip(
            self.rows.detach().cpu().split(count),
            first.cpu().split(count),
            second.cpu().split(count),
            self.moved.cpu().split(count),
            strict=True,
        )
        return [
            LearningState(
                identity=learner.identity,
                step=step,
                rows=rows,
                start=learner.start,
                moments=(one, two),
                moved=moved,
                generator=learner.generator.get_state(),
                losses=learner.losses,
                held_out_before=learner.held_out_before,
                extra={name: value.detach() for name, value in self._extra()},
                extra_moments={n: moments_of(self.optimiser, p) for n, p in self._extra()},
            )
            for learner, (rows, one, two, moved) in zip(self.learners, parts, strict=True)
        ]

    def save(self, step: int, pending: list[torch.Tensor]) -> None:
        """Leave everything for the next attempt."""
        if pending:
            _note_losses(self.learners, pending, step, self.ctx)
        with self._clock.saving():
            for learner, state in zip(self.learners, self.states(step), strict=True):
                write_state(kept_path(self.ctx, learner.unit), state)

    def save_now_and_then(self, step: int) -> None:
        """Save if some seconds have gone by since the last time."""
        if step < self.spec.steps and self._clock.is_due():
            self.save(step, [])


def _backward(
    model: DiffusionModel,
    learners: Sequence[Learner],
    draws: Sequence[Draw],
    trained: Sequence[torch.Tensor],
    *,
    is_first: bool,
    ctx: JobContext,
) -> torch.Tensor:
    """Add the step's gradients to what is trained and return the losses [len(learners)].

    If the first step does not fit the device, activations are recomputed in the backward pass
    from then on: the same gradients, for a third more time. Raises OutOfMemory if that is not
    enough.
    """
    try:
        with guard(model.device, "learning"):
            return add_gradients(model, learners, draws, trained)
    except OutOfMemory as error:
        if not is_first or model.unet.is_gradient_checkpointing:
            raise
        ctx.log(
            _("{text} Going on with less memory and more time.").format(text=error.text), "warning"
        )
    release_memory(model.device)
    model.unet.enable_gradient_checkpointing()
    return _backward(model, learners, draws, trained, is_first=True, ctx=ctx)


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
    sides: list[list[Posterior]] = [[], []] if spec.flip else [[]]
    for start in range(0, len(concept.images), _ENCODED):
        shown = []
        for image in concept.images[start : start + _ENCODED]:
            ctx.check_cancelled()
            try:
                path = ctx.resolve(image.path)
                shown.append(images.load_pixels(path, resolution, images.BICUBIC)[0])
            except (BadImage, OSError) as error:
                ctx.log(
                    _("A picture of {name} is left out: {error}").format(
                        name=concept.name, error=error
                    ),
                    "warning",
                )
        if shown:
            pixels = torch.stack(shown)
            sides[0].append(encode_posteriors(model, pixels))
            if spec.flip:
                sides[1].append(encode_posteriors(model, pixels.flip(-1)))
    if not sides[0]:
        raise UserError(
            _("The class {name} has no picture to learn from.").format(name=concept.name),
            _("Add pictures to its training part, or leave the class out."),
        )
    first = tokens.initial_vector(model, first_words(spec, concept))
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


def _note_losses(
    learners: Sequence[Learner], pending: list[torch.Tensor], step: int, ctx: JobContext
) -> None:
    values = torch.stack(pending).cpu()
    pending.clear()
    for learner, column in zip(learners, values.T, strict=True):
        if not bool(torch.isfinite(column).all()):
            raise UserError(
                _(
                    "Learning {name} broke down at step {step}: the loss is not a number any more."
                ).format(name=learner.concept.name, step=step),
                _("Use a smaller learning rate."),
            )
        learner.losses.extend(column.tolist())
        ctx.metric(f"loss/{learner.concept.name}", step, float(column.mean()), learner.unit)


def _look(loop: _Loop, step: int) -> None:
    """A row of four pictures per concept, from noise and the tokens alone, and the fixed loss."""
    spec, model, ctx = loop.spec, loop.model, loop.ctx
    rows, named = [], []
    for learner, vectors in zip(
        loop.learners, loop.rows.detach().cpu().split(spec.vectors), strict=True
    ):
        name = learner.concept.name
        ctx.metric(f"held-out/{name}", step, held_out_loss(model, learner), learner.unit)
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
        learner.looks.append((step, vectors_hash(vectors)[:8], rows[-1]))
        named.append(f"{name} ({learner.looks[-1][1]})")
    path = images.save_png(
        images.contact_sheet(rows), ctx.scratch / f"preview-{loop.learners[0].unit.id}-{step}.png"
    )
    ctx.preview(
        path,
        # Not translated: the window reads names, hashes and the step out of it.
        f"{', '.join(named)}: step {step} of {spec.steps}",
    )


def vectors_hash(vectors: torch.Tensor) -> str:
    """SHA-256 (hex) of the float32 values of an embedding: which vectors a picture shows."""
    return hashlib.sha256(vectors.detach().float().cpu().numpy().tobytes()).hexdigest()


# --------------------------------------------------------------------------------- results


def _finish(learner: Learner, end: LearningState, loop: _Loop, seconds: float) -> None:
    spec, model, ctx = loop.spec, loop.model, loop.ctx
    placeholder, vectors = learner.concept.placeholder, end.rows
    after = held_out_loss(model, learner)
    some = max(1, min(50, len(learner.losses) // 4))
    record = {
        "placeholder": placeholder,
        "vectors": spec.vectors,
        "dim": int(vectors.shape[1]),
        "steps": spec.steps,
        "adaptation": spec.adaptation,
        "begun_at_step": learner.begins.step if learner.begins else 0,
        "pictures": int(learner.mean.shape[1]),
        "templates": len(learner.ids),
        "loss_first": sum(learner.losses[:some]) / some,
        "loss_last": sum(learner.losses[-some:]) / some,
        "held_out_before": learner.held_out_before,
        "held_out_after": after,
        "moved": float((vectors - learner.start).norm(dim=1).mean()),
        "embedding_hash": vectors_hash(vectors),
        "base_hash": model.base_hash,
        "seconds": round(seconds, 2),
    }
    stem = f"{tokens.file_stem(placeholder)}-{learner.unit.id}"
    files = {
        "embedding": tokens.write_embedding(
            ctx.scratch / f"{stem}.safetensors", placeholder, vectors
        ),
        "state": write_state(ctx.scratch / f"{stem}-state.safetensors", end),
    }
    if learner.looks:
        record["previews"] = [{"step": step, "hash": digest} for step, digest, _ in learner.looks]
        sheet = images.contact_sheet([row for _step, _digest, row in learner.looks])
        files["previews"] = images.save_png(sheet, ctx.scratch / f"{stem}-previews.png")
    if loop.adaptation is not None:
        role = loop.adaptation.role
        files[role] = loop.adaptation.save(ctx.scratch / f"{stem}-{role}.safetensors", model)
    ctx.finish_unit(learner.unit, files, record)
    kept_path(ctx, learner.unit).unlink(missing_ok=True)
    ctx.log(
        _("Learned {name}: loss at fixed noise {held_out_before:.4f} → {after:.4f}.").format(
            name=learner.concept.name, held_out_before=learner.held_out_before, after=after
        )
    )


def _import(
    spec: InversionSpec,
    inputs: InversionInputs,
    unit: JobUnit,
    model: DiffusionModel,
    ctx: JobContext,
) -> None:
    """Take a concept's vectors from a file. Raises UserError when it does not fit the model."""
    key = str(unit.payload["concept_id"])
    concept = inputs.concepts[key]
    path = ctx.resolve(inputs.imported[key].path)
    vectors = foreign_embeddings.read_foreign(path)
    foreign_embeddings.check_fit(vectors, model, path.name)
    tokens.add_to_model(model, {concept.placeholder: vectors})  # the placeholder must be new
    record = {
        "placeholder": concept.placeholder,
        "vectors": len(vectors),
        "dim": int(vectors.shape[1]),
        "steps": 0,
        "imported": path.name,
        "embedding_hash": vectors_hash(vectors),
        "base_hash": model.base_hash,
    }
    name = f"{tokens.file_stem(concept.placeholder)}-{unit.id}.safetensors"
    file = tokens.write_embedding(ctx.scratch / name, concept.placeholder, vectors)
    ctx.finish_unit(unit, {"embedding": file}, record)
    ctx.log(
        _("Imported {name} from {name2}: {number} vectors.").format(
            name=concept.name, name2=path.name, number=len(vectors)
        )
    )
