"""Make synthetic images: SDEdit of each source with its concept's prompt (§1.5).

With learned tokens this is DA-Fusion; without an inversion it is Real Guidance, whose prompt
names the class.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from dafusion_core.domain.errors import BadImage, OutOfMemory, UserError
from dafusion_core.domain.inputs import GenerationInputs, ImageInput
from dafusion_core.domain.records import JobUnit
from dafusion_core.domain.specs import GenerationPlan
from dafusion_core.engine import images, tokens
from dafusion_core.engine.devices import guard, release_memory, resolve_device
from dafusion_core.engine.models import DiffusionModel, shared_cache
from dafusion_core.engine.sdedit import Posterior, PosteriorCache, Request, SDEdit, encode_posterior
from dafusion_core.engine.torch_setup import torch
from dafusion_core.jobs.context import JobContext

__all__ = ["run"]


@dataclass(frozen=True, slots=True)
class _Ready:
    """A unit whose source could be read, and that source's size."""

    unit: JobUnit
    request: Request
    size: tuple[int, int]


def run(
    spec: GenerationPlan, inputs: GenerationInputs, units: Sequence[JobUnit], ctx: JobContext
) -> None:
    """Make the pictures of `units`, batch by batch as their payloads say.

    A unit whose source cannot be read fails alone. Raises UserError when an embedding is missing
    or a file does not fit the base model, and OutOfMemory when a batch does not fit the device.
    """
    device = resolve_device(ctx.device)
    _check_embeddings(spec, inputs, units)
    ctx.progress(0, len(units), "loading the model")
    used = {str(unit.payload["concept_id"]) for unit in units}
    embeddings = sorted(
        {ctx.resolve(inputs.embeddings[key].path) for key in used if _learned(spec)}
    )
    model = shared_cache().get(
        spec.model,
        device=device,
        erasure=ctx.resolve(inputs.erasure.path) if inputs.erasure else None,
        embeddings=tuple(embeddings),
    )
    resolution = model.check_resolution(spec.resolution)
    prompts = _prompts(spec, inputs, used, model, ctx)
    sampler = SDEdit(
        model,
        scheduler=spec.scheduler,
        steps=spec.steps,
        guidance=spec.guidance,
        negative_prompt=spec.negative_prompt,
    )
    posteriors = PosteriorCache()
    sizes: dict[int, tuple[int, int]] = {}

    def read(source: ImageInput) -> Posterior:
        def encode() -> Posterior:
            pixels, sizes[source.id] = images.load_pixels(ctx.resolve(source.path), resolution)
            return encode_posterior(model, pixels)

        return posteriors.get(source.id, encode)

    done = 0
    for t0, batch in _batches(units):
        ready: list[_Ready] = []
        for unit in batch:
            source = inputs.sources[str(unit.payload["source_image_id"])]
            try:
                with guard(device, "reading a picture"):
                    posterior = read(source)
            except (BadImage, OSError) as error:
                ctx.fail_unit(unit, error)
                continue
            prompt = prompts[str(unit.payload["concept_id"])]
            ready.append(_Ready(unit, Request(posterior, prompt, unit.seed), sizes[source.id]))
        if ready:
            _make_or_halve(ready, t0, sampler, device, done, len(units), ctx)
        done += len(batch)
        ctx.progress(done, len(units), "making pictures")


def _make_or_halve(
    ready: Sequence[_Ready],
    t0: float,
    sampler: SDEdit,
    device: torch.device,
    done: int,
    total: int,
    ctx: JobContext,
) -> None:
    """Make the pictures; where they do not fit the device together, in two halves.

    Pictures do not depend on their batch except by rounding, so this changes no result that
    matters. Raises OutOfMemory when not even one fits.
    """
    try:
        with guard(device, f"making {len(ready)} pictures at once"):
            _make(ready, t0, sampler, done, total, ctx)
        return
    except OutOfMemory as error:
        if len(ready) == 1:
            raise
        ctx.log(f"{error.text} Going on with {len(ready) // 2} at once.", "warning")
    # Outside the handler, so that the failed attempt's tensors are no longer held by its traceback.
    release_memory(device)
    half = len(ready) // 2
    _make_or_halve(ready[:half], t0, sampler, device, done, total, ctx)
    _make_or_halve(ready[half:], t0, sampler, device, done + half, total, ctx)


def _make(
    ready: Sequence[_Ready], t0: float, sampler: SDEdit, done: int, total: int, ctx: JobContext
) -> None:
    def on_step(i: int, count: int) -> None:
        ctx.progress(done + len(ready) * i / count, total, "making pictures")

    pixels = sampler.run([item.request for item in ready], t0, on_step)
    for item, values in zip(ready, pixels, strict=True):
        try:
            picture = images.pixels_to_picture(values)
        except ValueError:
            ctx.fail_unit(
                item.unit,
                UserError(
                    "The model returned values that are not numbers for this picture.",
                    "Try a lower guidance, or run on the CPU.",
                ),
            )
            continue
        picture = images.resize_back(picture, item.size)
        path = images.save_png(picture, ctx.scratch / f"{item.unit.id}.png")
        ctx.finish_unit(
            item.unit, {"image": path}, {"width": picture.width, "height": picture.height}
        )
        # The context has adopted the file; a context that copies leaves it behind.
        path.unlink(missing_ok=True)


def _batches(units: Sequence[JobUnit]) -> Iterator[tuple[float, list[JobUnit]]]:
    """(t0, units) computed together: the fixed batches, each parted by t0.

    Only the number of steps depends on t0, so different t0 cannot share a batch.
    """
    by_batch: dict[int, list[JobUnit]] = defaultdict(list)
    for unit in units:
        by_batch[int(unit.payload["batch"])].append(unit)
    for number in sorted(by_batch):
        ordered = sorted(by_batch[number], key=lambda u: (float(u.payload["t0"]), u.ordinal))
        for t0, group in groupby(ordered, key=lambda u: float(u.payload["t0"])):
            yield t0, list(group)


def _learned(spec: GenerationPlan) -> bool:
    return spec.inversion_job is not None


def _check_embeddings(
    spec: GenerationPlan, inputs: GenerationInputs, units: Sequence[JobUnit]
) -> None:
    if not _learned(spec):
        return
    used = {str(unit.payload["concept_id"]) for unit in units}
    missing = sorted(inputs.concepts[key].name for key in used if key not in inputs.embeddings)
    if missing:
        # Diffusers would read the unknown placeholder as ordinary letters and go on.
        raise UserError(
            f"No token embedding was learned for {', '.join(missing)}.",
            "Run the inversion for these classes, or leave them out of the plan.",
        )


def _prompts(
    spec: GenerationPlan,
    inputs: GenerationInputs,
    used: set[str],
    model: DiffusionModel,
    ctx: JobContext,
) -> dict[str, str]:
    """The prompt of each concept id (text), with its tokens or its name filled in once."""
    prompts: dict[str, str] = {}
    for key in sorted(used):
        concept = inputs.concepts[key]
        words = concept.name.replace("_", " ")
        if _learned(spec):
            placeholder = inputs.embeddings[key].placeholder
            words = tokens.joined(placeholder, tokens.count_vectors(model, placeholder))
        prompts[key] = spec.prompt.replace("{concept}", words)
        if tokens.is_cut(model, prompts[key]):
            raise UserError(
                f"The prompt for {concept.name} is longer than this model reads: “{prompts[key]}”.",
                "Shorten it.",
            )
    if "{concept}" not in spec.prompt:
        ctx.log(
            "The prompt does not name the concept: every class gets the same prompt.", "warning"
        )
    return prompts
