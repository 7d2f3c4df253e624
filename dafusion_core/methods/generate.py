"""Make synthetic images: SDEdit of each source with its concept's prompt (§1.5).

With learned tokens this is DA-Fusion; without an inversion it is Real Guidance, whose prompt
names the class.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from PIL import Image

from dafusion_core.datasets.pictures import load_rgb
from dafusion_core.domain.errors import OutOfMemory, UserError
from dafusion_core.domain.inputs import GenerationInputs, ImageInput
from dafusion_core.domain.records import JobUnit
from dafusion_core.domain.specs import GenerationPlan
from dafusion_core.engine import (
    compiling,
    edit_masks,
    footprint,
    images,
    parallel,
    templates,
    tokens,
)
from dafusion_core.engine.devices import guard, release_memory, resolve_device
from dafusion_core.engine.frames import Frame
from dafusion_core.engine.models import DiffusionModel, shared_cache
from dafusion_core.engine.sdedit import Posterior, Request, SDEdit, encode_posteriors
from dafusion_core.engine.torch_setup import torch
from dafusion_core.jobs.context import JobContext
from dafusion_core.language import _

__all__ = ["run"]


@dataclass(frozen=True, slots=True)
class _Source:
    """A source as the model sees it, and the way back; `mask`: [side, side], 1 may change."""

    path: Path
    posterior: Posterior
    frame: Frame
    mask: torch.Tensor | None


@dataclass(frozen=True, slots=True)
class _Ready:
    """A unit whose source could be read."""

    unit: JobUnit
    request: Request
    source: _Source


@dataclass(frozen=True, slots=True)
class _Weights:
    """The files that make the network one concept is drawn with."""

    erasure: Path | None
    adapter: Path | None


class _Studio:
    """The model at hand: changed where the next concept needs other weights."""

    def __init__(
        self,
        spec: GenerationPlan,
        inputs: GenerationInputs,
        units: Sequence[JobUnit],
        device: torch.device,
        ctx: JobContext,
    ) -> None:
        self._spec, self._inputs, self._ctx = spec, inputs, ctx
        self._device = device
        self._used = {str(unit.payload["concept_id"]) for unit in units}
        learned = [inputs.embeddings[key] for key in self._used if _learned(spec)]
        self._embeddings = tuple(sorted({ctx.resolve(item.path) for item in learned}))
        self._dtype = footprint.pick_dtype(spec.precision, device)
        self._weights: _Weights | None = None
        self._is_hopeless = False  # to compile
        self.model = self._load(self.weights_of(min(self._used)))
        self.resolution = self.model.check_resolution(spec.resolution)
        self.prompts = _prompts(spec, inputs, self._used, self.model, ctx)
        self._sampler = self._new_sampler()

    def weights_of(self, concept: str) -> _Weights:
        """The files of a concept's network."""
        erasure = self._inputs.erasures.get(concept, self._inputs.erasure)
        adapter = self._inputs.adapters.get(concept)
        return _Weights(
            self._ctx.resolve(erasure.path) if erasure else None,
            self._ctx.resolve(adapter.path) if adapter else None,
        )

    def sampler(self, weights: _Weights) -> SDEdit:
        """A sampler with these weights."""
        if weights != self._weights:
            self.model = self._load(weights)
            self._sampler = self._new_sampler()
        return self._sampler

    def _load(self, weights: _Weights) -> DiffusionModel:
        spec = self._spec
        model = shared_cache().get(
            spec.model,
            device=self._device,
            dtype=self._dtype,
            erasure=weights.erasure,
            adapter=weights.adapter,
            embeddings=self._embeddings,
            memory=spec.memory,
        )
        self._weights = weights
        if not spec.compile:
            compiling.undo(model)
        elif not self._is_hopeless:
            side = model.check_resolution(spec.resolution) // model.scale
            samples = spec.batch_size * (2 if spec.guidance > 1 else 1)
            part = parallel.part_of(self._device, samples)
            problem = compiling.compile_network(model, side, *part)
            if problem:
                self._is_hopeless = True
                self._ctx.log(
                    _(
                        "torch.compile does not work here ({problem}). The same pictures are made "
                        "without it, at the usual speed."
                    ).format(problem=problem),
                    "warning",
                )
        return model

    def _new_sampler(self) -> SDEdit:
        return SDEdit(
            self.model,
            scheduler=self._spec.scheduler,
            steps=self._spec.steps,
            guidance=self._spec.guidance,
            negative_prompt=self._spec.negative_prompt,
        )

    def read(self, wanted: Sequence[ImageInput]) -> dict[int, _Source | Exception]:
        """Sources by image id, encoded together; or what went wrong with one.

        Nothing is kept for the next batch: how a source is encoded may depend, in the last
        digits, on what it is encoded with, and a batch must come out the same after a stop.
        Together they take a small part of the time that they take one by one.
        """
        spec = self._spec
        found: dict[int, _Source | Exception] = {}
        read: list[tuple[int, torch.Tensor, Path, Frame, torch.Tensor | None]] = []
        for source in {image.id: image for image in wanted}.values():
            path = self._ctx.resolve(source.path)
            try:
                pixels, frame = images.load_source(path, self.resolution, spec.aspect)
                mask = None
                if spec.mask != "none":
                    regions = self._inputs.regions.get(str(source.id), ())
                    mask = edit_masks.edit_mask(regions, frame, spec.mask, spec.mask_dilation)
            except (UserError, OSError) as error:
                found[source.id] = error
            else:
                read.append((source.id, pixels, path, frame, mask))
        if read:
            encoded = encode_posteriors(self.model, torch.stack([pixels for _, pixels, *_ in read]))
            for i, (key, _pixels, path, frame, mask) in enumerate(read):
                one = Posterior(encoded.mean[i : i + 1], encoded.std[i : i + 1])
                found[key] = _Source(path, one, frame, mask)
        return found

    def request(self, unit: JobUnit, source: _Source) -> Request:
        """What the sampler is asked for."""
        mask = source.mask
        if mask is not None:
            mask = edit_masks.latent_mask(mask, self.model.scale)
        prompt = self.prompts[str(unit.payload["concept_id"])]
        return Request(source.posterior, prompt, unit.seed, mask)


def run(
    spec: GenerationPlan, inputs: GenerationInputs, units: Sequence[JobUnit], ctx: JobContext
) -> None:
    """Make the pictures of `units`, batch by batch as their payloads say.

    A unit whose source cannot be read fails alone. Raises UserError when an embedding is missing
    or a file does not fit the base model, and OutOfMemory when a batch does not fit the device.
    """
    device = resolve_device(ctx.device)
    _check_embeddings(spec, inputs, units)
    ctx.progress(0, len(units), _("loading the model"))
    studio = _Studio(spec, inputs, units, device, ctx)
    needed, least = (
        footprint.estimate_sampling(studio.model, count, studio.resolution, memory=spec.memory)
        for count in (spec.batch_size, 1)
    )
    ctx.log(
        footprint.report(
            studio.model,
            needed,
            least,
            _("A batch of {batch_size}").format(batch_size=spec.batch_size),
        )
    )
    done = 0
    for t0, concept, batch in _batches(units, studio):
        sampler = studio.sampler(studio.weights_of(concept))
        wanted = [inputs.sources[str(unit.payload["source_image_id"])] for unit in batch]
        with guard(device, _("reading pictures")):
            found = studio.read(wanted)
        ready: list[_Ready] = []
        for unit, image in zip(batch, wanted, strict=True):
            source = found[image.id]
            if isinstance(source, Exception):
                ctx.fail_unit(unit, source)
            else:
                ready.append(_Ready(unit, studio.request(unit, source), source))
        if ready:
            _make_or_halve(ready, t0, sampler, device, done, len(units), ctx)
        done += len(batch)
        ctx.progress(done, len(units), _("making pictures"))


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
        with guard(device, _("making {number} pictures at once").format(number=len(ready))):
            _make(ready, t0, sampler, done, total, ctx)
        return
    except OutOfMemory as error:
        if len(ready) == 1:
            raise
        ctx.log(
            _("{text} Going on with {number} at once.").format(
                text=error.text, number=len(ready) // 2
            ),
            "warning",
        )
    # Outside the handler, so that the failed attempt's tensors are no longer held by its traceback.
    release_memory(device)
    half = len(ready) // 2
    _make_or_halve(ready[:half], t0, sampler, device, done, total, ctx)
    _make_or_halve(ready[half:], t0, sampler, device, done + half, total, ctx)


def _make(
    ready: Sequence[_Ready], t0: float, sampler: SDEdit, done: int, total: int, ctx: JobContext
) -> None:
    def on_step(i: int, count: int) -> None:
        ctx.progress(done + len(ready) * i / count, total, _("making pictures"))

    pixels = sampler.run([item.request for item in ready], t0, on_step)
    for item, values in zip(ready, pixels, strict=True):
        try:
            picture = images.pixels_to_picture(values)
        except ValueError:
            ctx.fail_unit(
                item.unit,
                UserError(
                    _("The model returned values that are not numbers for this picture."),
                    _("Try a lower guidance, or run on the CPU."),
                ),
            )
            continue
        picture = _finish_picture(picture, item.source)
        path = images.save_png(picture, ctx.scratch / f"{item.unit.id}.png")
        ctx.finish_unit(
            item.unit, {"image": path}, {"width": picture.width, "height": picture.height}
        )
        # The context has adopted the file; a context that copies leaves it behind.
        path.unlink(missing_ok=True)


def _finish_picture(square: Image.Image, source: _Source) -> Image.Image:
    """The result in its source's shape; what was not to change has the source's own pixels."""
    picture = source.frame.restore(square)
    if source.mask is None:
        return picture
    own = source.frame.cut(load_rgb(source.path))
    shown = Image.fromarray((source.mask.numpy() * 255).astype("uint8"))
    return Image.composite(picture, own, source.frame.restore(shown))


def _batches(
    units: Sequence[JobUnit], studio: _Studio
) -> Iterator[tuple[float, str, list[JobUnit]]]:
    """(t0, a concept, units) computed together: the fixed batches, each parted by t0 and weights.

    Different t0 take different numbers of steps and so cannot share a batch; nor can concepts
    with networks of their own. The concept stands for the weights of all of its batch.
    """
    by_batch: dict[int, list[JobUnit]] = defaultdict(list)
    for unit in units:
        by_batch[int(unit.payload["batch"])].append(unit)
    weights = {
        key: studio.weights_of(key) for key in {str(unit.payload["concept_id"]) for unit in units}
    }
    places = {value: place for place, value in enumerate(dict.fromkeys(weights.values()))}

    def alike(unit: JobUnit) -> tuple[float, int]:
        return float(unit.payload["t0"]), places[weights[str(unit.payload["concept_id"])]]

    for number in sorted(by_batch):
        ordered = sorted(by_batch[number], key=lambda unit: (*alike(unit), unit.ordinal))
        for (t0, _place), group in groupby(ordered, key=alike):
            together = list(group)
            yield t0, str(together[0].payload["concept_id"]), together


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
            _("No token embedding was learned for {missing}.").format(missing=", ".join(missing)),
            _("Run the inversion for these classes, or leave them out of the plan."),
        )


def _warn_of_names(
    spec: GenerationPlan, inputs: GenerationInputs, used: set[str], ctx: JobContext
) -> None:
    """Say so when a prompt with learned words also has a class name: that is another method."""
    said = templates.class_words(spec.prompt.replace("{concept}", " "))
    for key in sorted(used):
        shared = said & templates.class_words(inputs.concepts[key].name)
        if shared:
            ctx.log(
                _(
                    "The prompt says “{shared}”, which is in the name of {name}: what the model "
                    "knows of the class helps."
                ).format(shared=min(shared), name=inputs.concepts[key].name),
                "warning",
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
                _("The prompt for {name} is longer than this model reads: “{prompts}”.").format(
                    name=concept.name, prompts=prompts[key]
                ),
                _("Shorten it."),
            )
    if tokens.is_cut(model, spec.negative_prompt):
        raise UserError(
            _("The negative prompt is longer than this model reads: “{negative_prompt}”.").format(
                negative_prompt=spec.negative_prompt
            ),
            _("Shorten it."),
        )
    if _learned(spec):
        _warn_of_names(spec, inputs, used, ctx)
    if "{concept}" not in spec.prompt:
        ctx.log(
            _("The prompt does not name the concept: every class gets the same prompt."), "warning"
        )
    return prompts
