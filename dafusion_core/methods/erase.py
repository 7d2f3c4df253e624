"""Remove concepts from the base model, so that it cannot know the classes beforehand (§2).

UCE edits the cross-attention keys and values in closed form; ESD trains the network toward its
own opposite of the concept. Results say which of the two made them: one is not the other.
"""

from __future__ import annotations

import copy
import dataclasses
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dafusion_core.domain.errors import Interruption, UserError
from dafusion_core.domain.inputs import ErasureInputs
from dafusion_core.domain.records import JobUnit
from dafusion_core.domain.specs import ErasureSpec, canonical_json, derive_seed
from dafusion_core.engine import (
    differences,
    erasure,
    images,
    objective,
    parallel,
    sampling,
    tokens,
)
from dafusion_core.engine.devices import guard, resolve_device
from dafusion_core.engine.learning_state import SaveClock, moments_of, set_moments
from dafusion_core.engine.models import DiffusionModel, shared_cache
from dafusion_core.engine.torch_setup import torch
from dafusion_core.jobs.context import JobContext
from dafusion_core.language import _

__all__ = ["Snapshot", "run", "take_snapshot"]

_CHECK_STEPS = 20
_CHECK_PICTURES = 3
_CHECK_PREDICTIONS = 8
_CHECK_PROMPTS = 6  # of each role
_EVERY = 10
_DRAWING = 2  # how examples are drawn; those of another way are not gone on with
_MUCH_LEFT = 0.7
_QUICKLY_SAVED = 50_000_000  # parameters whose state is written within a stop's two seconds


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a model makes of some prompts: pictures, and predictions at fixed noise.

    pictures: [prompts, n, 3, H, W] in -1…1; predictions: [prompts, m, c, h, w].
    """

    pictures: torch.Tensor
    predictions: torch.Tensor


def run(
    spec: ErasureSpec, inputs: ErasureInputs, units: Sequence[JobUnit], ctx: JobContext
) -> None:
    """Erase the concepts of `spec` and finish the one unit with a difference file.

    Raises UserError when a prompt is empty, the method changes nothing, or training broke down.
    """
    device = resolve_device(ctx.device)
    _check_prompts(spec)
    for done, unit in enumerate(units):
        began = time.monotonic()
        ctx.progress(done, len(units), _("loading the model"))
        model = shared_cache().get(spec.model, device=device, dtype=torch.float32)
        with guard(device, _("erasing a concept")):
            _erase(_spec_of(spec, unit), unit, model, began, _Part(ctx, done, len(units)), ctx)
    ctx.progress(len(units), len(units), "done")


@dataclass(frozen=True, slots=True)
class _Part:
    """Progress of one unit among several."""

    ctx: JobContext
    done: int
    total: int

    def progress(self, share: float, phase: str) -> None:
        """`share` of this unit, 0–1."""
        self.ctx.progress(self.done + share, self.total, phase)


def _spec_of(spec: ErasureSpec, unit: JobUnit) -> ErasureSpec:
    """What one unit erases: everything, or the one concept of its model.

    The other concepts are then neighbours that the check looks at.
    """
    if not spec.per_concept:
        return spec
    concept = str(unit.payload["concept"])
    return dataclasses.replace(spec, concepts=(concept,))


def _check_prompts(spec: ErasureSpec) -> None:
    if any(not concept.strip() for concept in spec.concepts):
        raise UserError(_("A concept to erase is empty."), _("Name what is to be removed."))
    overlap = set(spec.concepts) & {*spec.preserve, spec.guide}
    if overlap:
        raise UserError(
            _("“{overlap}” is to be erased and to be kept at the same time.").format(
                overlap=min(overlap)
            ),
            _("Take it out of one of the lists."),
        )


def _erase(
    spec: ErasureSpec,
    unit: JobUnit,
    model: DiffusionModel,
    began: float,
    part: _Part,
    ctx: JobContext,
) -> None:
    prompts = _check_list(spec)
    for prompt in prompts:
        if tokens.is_cut(model, prompt):
            raise UserError(
                _("“{prompt}” is longer than this model reads.").format(prompt=prompt),
                _("Name the concept in fewer words."),
            )
    resolution = model.check_resolution(spec.resolution)
    before = take_snapshot(model, list(prompts), spec, part, (0.0, 0.05))
    # The shared model stays as it is; only a copy of its network is changed.
    student = copy.deepcopy(model.unet)
    erased = dataclasses.replace(model, unet=student)
    numbers: dict[str, float] = {}
    if spec.method == "uce":
        changed = _uce(spec, model)
    else:
        changed, numbers = _esd(spec, unit, model, student, resolution, part)
    _check_changed(changed, model)
    differences.put(student, changed)
    after = take_snapshot(erased, list(prompts), spec, part, (0.95, 1.0))

    weights = differences.write(
        ctx.scratch / f"erased-{unit.id}.safetensors",
        changed,
        base_hash=model.base_hash,
        method=spec.method,
        concepts=spec.concepts,
    )
    sheet = _save_sheet(before, after, ctx.scratch / f"erased-{unit.id}.png")
    # Finishing moves the sheet into the project; the preview shows a copy that stays in scratch.
    shown = ctx.scratch / f"preview-{unit.id}.png"
    shutil.copyfile(sheet, shown)
    ctx.preview(shown, "before (left) and after (right): " + ", ".join(p for p in prompts if p))
    check = compare_snapshots(spec, prompts, before, after)
    _warn_if_left(spec, check, ctx)
    record: dict[str, Any] = {
        "method": spec.method,
        "train_parameters": spec.train_parameters if spec.method == "esd" else "",
        "uce_tokens": spec.uce_tokens if spec.method == "uce" else "",
        "base_hash": model.base_hash,
        "concepts": list(spec.concepts),
        "guide": spec.guide,
        "changed_parameters": sum(value.numel() for value in changed.values()),
        "changed_tensors": len(changed),
        "check": check,
        **numbers,
        "seconds": round(time.monotonic() - began, 2),
    }
    if spec.method == "esd":
        record["per_trajectory"] = spec.per_trajectory
        record["sampling"] = (
            "an independent trajectory for every x_t"
            if spec.per_trajectory == 1
            else f"{spec.per_trajectory} x_t from one trajectory: its end, noised anew for each"
        )
    ctx.finish_unit(unit, {"weights": weights, "sheet": sheet}, record)
    shutil.rmtree(_kept_folder(ctx, unit), ignore_errors=True)


def _uce(spec: ErasureSpec, model: DiffusionModel) -> dict[str, torch.Tensor]:
    """W·M for every cross-attention key and value; seconds."""
    concepts = erasure.concept_vectors(model, spec.concepts, spec.uce_tokens)
    guides = [spec.guide] * len(spec.concepts)
    guide = erasure.concept_vectors(model, guides, spec.uce_tokens)
    preserve = concepts[:0]
    if spec.preserve:
        preserve = erasure.concept_vectors(model, spec.preserve, spec.uce_tokens)
    matrix = erasure.uce_matrix(concepts, guide, preserve, spec.ridge)
    return erasure.uce_weights(model.unet, matrix)


def _kept_folder(ctx: JobContext, unit: JobUnit) -> Path:
    return ctx.kept / f"erase-{unit.id}"


def _esd(
    spec: ErasureSpec,
    unit: JobUnit,
    model: DiffusionModel,
    student: Any,
    resolution: int,
    part: _Part,
) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
    """Draw every example from the frozen model first, then train the copy on them.

    Both are left in the job's folder as they come, for an attempt after a stop to go on from.
    """
    ctx = part.ctx
    folder = _kept_folder(ctx, unit)
    identity = canonical_json([_DRAWING, model.base_hash, unit.seed, resolution, spec.to_dict()])
    examples = erasure.esd_examples(
        model,
        spec.concepts,
        spec.guide,
        count=spec.iterations * spec.batch_size,
        eta=spec.eta,
        guidance=spec.guidance,
        steps=spec.steps,
        resolution=resolution,
        seed=derive_seed("esd", unit.seed, spec.seed),
        per_trajectory=spec.per_trajectory,
        kept=erasure.KeptExamples(folder, identity),
        on_step=lambda share: part.progress(0.05 + 0.6 * share, _("sampling the frozen model")),
    )
    chosen = erasure.choose_parameters(student, spec.train_parameters)
    for value in chosen.values():
        value.requires_grad_(True)
    optimiser = torch.optim.Adam(chosen.values(), lr=spec.learning_rate, fused=_can_fuse(model))
    losses: list[float] = []
    path = folder / "training.safetensors"
    first = _continue(path, identity, chosen, optimiser, losses)
    if first:
        ctx.log(_("Going on after step {first}.").format(first=first))
    clock = SaveClock()
    pending: list[torch.Tensor] = []
    for step in range(first, spec.iterations):
        try:
            part.progress(0.65 + 0.3 * step / spec.iterations, "training")
        except Interruption:
            if sum(value.numel() for value in chosen.values()) < _QUICKLY_SAVED:
                losses.extend(torch.stack(pending).tolist() if pending else [])
                _leave(path, identity, chosen, optimiser, losses, step)
            raise
        batch = _slice(examples, step * spec.batch_size, spec.batch_size, model.device)
        with parallel.few_threads(model, spec.batch_size, batch.x.shape[-1]):
            loss = erasure.esd_loss(student, batch)
            loss.backward()
            optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        pending.append(loss.detach())
        if len(pending) == _EVERY or step + 1 == spec.iterations:
            values = torch.stack(pending).cpu()
            pending.clear()
            if not bool(torch.isfinite(values).all()):
                raise UserError(
                    _("The erasure broke down at step {step}: the loss is not a number.").format(
                        step=step + 1
                    ),
                    _("Use a smaller learning rate."),
                )
            losses.extend(values.tolist())
            ctx.metric("loss/erase", step + 1, float(values.mean()), unit)
            if step + 1 < spec.iterations and clock.is_due():
                with clock.saving():
                    _leave(path, identity, chosen, optimiser, losses, step + 1)
    student.requires_grad_(False)
    some = max(1, min(50, len(losses) // 4))
    changed = {name: value.detach().clone() for name, value in chosen.items()}
    numbers = {
        "begun_at_step": first,
        "loss_first": sum(losses[:some]) / some,
        "loss_last": sum(losses[-some:]) / some,
    }
    return changed, numbers


def _can_fuse(model: DiffusionModel) -> bool:
    """True where torch has Adam as one operation: the same steps in a third of the time."""
    return model.device.type in ("cpu", "cuda")


def _leave(
    path: Path,
    identity: str,
    chosen: dict[str, torch.nn.Parameter],
    optimiser: torch.optim.Optimizer,
    losses: list[float],
    step: int,
) -> None:
    """Write where training stands after `step` steps."""
    tensors: dict[str, torch.Tensor] = {
        "step": torch.tensor([step]),
        "losses": torch.tensor(losses, dtype=torch.float64),
    }
    for name, value in chosen.items():
        first, second = moments_of(optimiser, value)
        tensors |= {f"value/{name}": value, f"first/{name}": first, f"second/{name}": second}
    erasure.write_kept(path, tensors, identity)


def _continue(
    path: Path,
    identity: str,
    chosen: dict[str, torch.nn.Parameter],
    optimiser: torch.optim.Optimizer,
    losses: list[float],
) -> int:
    """Put everything where an earlier attempt stood; return how many steps it had done."""
    found = erasure.read_kept(path, identity)
    if found is None:
        return 0
    step = int(found["step"][0])
    losses.extend(found["losses"].tolist())
    with torch.no_grad():
        for name, value in chosen.items():
            value.copy_(found[f"value/{name}"])
    for name, value in chosen.items():
        set_moments(optimiser, value, (found[f"first/{name}"], found[f"second/{name}"]), step)
    return step


def _slice(
    examples: erasure.EsdExample, start: int, count: int, device: torch.device
) -> erasure.EsdExample:
    part = slice(start, start + count)
    return erasure.EsdExample(
        x=examples.x[part].to(device),
        timesteps=examples.timesteps[part].to(device),
        text=examples.text[part].to(device),
        target=examples.target[part].to(device),
    )


def _check_changed(changed: dict[str, torch.Tensor], model: DiffusionModel) -> None:
    """Refuse results that are not numbers or equal the base model. Raises UserError."""
    if not all(bool(torch.isfinite(value).all()) for value in changed.values()):
        raise UserError(
            _("The erased model holds values that are not numbers."),
            _("Use a smaller learning rate (ESD) or a larger ridge (UCE)."),
        )
    own = dict(model.unet.named_parameters())
    if not changed or all(torch.equal(own[name], value) for name, value in changed.items()):
        raise UserError(
            _("The erasure changed nothing."),
            _("The concept may mean to this model what the guide means; choose another guide."),
        )


# ------------------------------------------------------------------------- before and after


def _check_list(spec: ErasureSpec) -> dict[str, str]:
    """{prompt: role} of what is looked at before and after."""
    prompts = dict.fromkeys(spec.concepts[:_CHECK_PROMPTS], "concept")
    prompts |= dict.fromkeys(spec.preserve[:_CHECK_PROMPTS], "preserve")
    prompts.setdefault(spec.guide, "guide")
    return prompts


@torch.inference_mode()
def take_snapshot(
    model: DiffusionModel,
    prompts: list[str],
    spec: ErasureSpec,
    part: _Part,
    span: tuple[float, float],
) -> Snapshot:
    """Pictures and predictions for each prompt with the same noise every time."""
    resolution = model.check_resolution(spec.resolution)
    side = resolution // model.scale
    seeds = [derive_seed("check", spec.seed, i) for i in range(_CHECK_PICTURES)]
    generator = sampling.seeded(derive_seed("check predictions", spec.seed))
    shape = (_CHECK_PREDICTIONS, model.latent_channels, side, side)
    noise = torch.randn(shape, generator=generator).to(model.device)
    times = torch.linspace(0.3, 0.98, _CHECK_PREDICTIONS).mul(model.train_timesteps).long()
    times = times.to(model.device)
    pictures, predictions = [], []
    for n, prompt in enumerate(prompts):
        whole = span[0] + (span[1] - span[0]) * n / len(prompts)
        part.progress(whole, _("looking at the model"))
        latents = sampling.generate_latents(
            model,
            [prompt] * len(seeds),
            seeds,
            steps=_CHECK_STEPS,
            resolution=resolution,
            on_step=lambda i, count: part.ctx.check_cancelled(),
        )
        pictures.append(sampling.decode(model, latents).float().cpu())
        # Predictions are compared on what the frozen and the erased model see alike: pure noise
        # scaled to each timestep.
        noisy = objective.add_noise(model, torch.zeros_like(noise), noise, times)
        text = tokens.encode(model, [prompt]).expand(len(times), -1, -1)
        predictions.append(parallel.predict(model, noisy, times, text).cpu())
    return Snapshot(torch.stack(pictures), torch.stack(predictions))


def compare_snapshots(
    spec: ErasureSpec, prompts: dict[str, str], before: Snapshot, after: Snapshot
) -> dict[str, Any]:
    """How much each prompt changed.

    `pixel_change`: mean absolute difference of the pictures, 0–1. `prediction_change`: root mean
    square change of the prediction. `left` (concepts only): how much of what the concept did to
    the old prediction, beyond the guide, the new one still does (projected on that direction):
    1 means untouched, 0 nothing, below 0 the opposite, which is where ESD pushes (its target is
    −η). `distance`: from the old prediction for the guide, divided by that distance before; it
    counts every other change too. `concept_left`: `left` over all concepts together, each with
    the weight of its effect, because the share says nothing for a word that the model never knew.
    """
    names = list(prompts)
    guide = before.predictions[names.index(spec.guide)]
    rows = []
    effect_before, effect_after = 0.0, 0.0
    for i, prompt in enumerate(names):
        old, new = before.predictions[i], after.predictions[i]
        pixels = (images.pixels_to_unit(before.pictures[i]), after.pictures[i])
        row: dict[str, Any] = {
            "prompt": prompt,
            "role": prompts[prompt],
            "pixel_change": float((pixels[0] - images.pixels_to_unit(pixels[1])).abs().mean()),
            "prediction_change": float((new - old).square().mean().sqrt()),
        }
        if prompts[prompt] == "concept":
            was, now = old - guide, new - guide
            effect, kept = float(was.square().sum()), float((now * was).sum())
            row["left"] = kept / effect if effect > 0 else 0.0
            row["distance"] = float(now.norm()) / effect**0.5 if effect > 0 else 0.0
            effect_before, effect_after = effect_before + effect, effect_after + kept
        rows.append(row)

    def mean(role: str, key: str) -> float | None:
        values = [row[key] for row in rows if row["role"] == role]
        return sum(values) / len(values) if values else None

    return {
        "prompts": rows,
        "concept_pixel_change": mean("concept", "pixel_change"),
        "preserve_pixel_change": mean("preserve", "pixel_change"),
        "concept_prediction_change": mean("concept", "prediction_change"),
        "preserve_prediction_change": mean("preserve", "prediction_change"),
        "concept_left": effect_after / effect_before if effect_before > 0 else None,
    }


def _warn_if_left(spec: ErasureSpec, check: dict[str, Any], ctx: JobContext) -> None:
    """Say so when the concept is still there: a method may run well and yet do little."""
    left = check["concept_left"]
    if left is None or left < _MUCH_LEFT:
        return
    way_out = _("Try more iterations or other parameters to train.")
    if spec.method == "uce":
        way_out = _("Try ESD.")
        if spec.uce_tokens != "all":
            way_out = _("Let UCE move all text states after the word too (all), or try ESD.")
    ctx.log(
        _("About {value:.0f} % of the concept's effect is left. {way_out}").format(
            value=100 * min(left, 1), way_out=way_out
        ),
        "warning",
    )


def _save_sheet(before: Snapshot, after: Snapshot, path: Path) -> Path:
    """One row per prompt: the pictures before, then the same noise after."""
    rows = []
    for old, new in zip(before.pictures, after.pictures, strict=True):
        values = [*old, *new]
        # A broken picture must not hide the numbers; it is shown as the grey it stands for.
        rows.append([images.pixels_to_picture(torch.nan_to_num(value)) for value in values])
    return images.save_png(images.contact_sheet(rows), path)
