"""One classifier, fitted once: the loop that all protocols share (§1.7)."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from dafusion_core.domain.errors import UserError
from dafusion_core.domain.inputs import ImageInput, TrainingInputs
from dafusion_core.domain.records import JobUnit
from dafusion_core.domain.specs import Arm, TrainingSpec, derive_seed
from dafusion_core.engine.augment import augment, mix_batch, normalise
from dafusion_core.engine.classifiers import (
    build_classifier,
    choose_normalisation,
    head_of,
    weights_hash,
)
from dafusion_core.engine.devices import memory_format
from dafusion_core.engine.embedding import draw_map
from dafusion_core.engine.mixing import Batch, BatchSampler
from dafusion_core.engine.monitor import Alarms, SpeedMeter, memory_used
from dafusion_core.engine.picture_store import PictureStore
from dafusion_core.engine.sampling import seeded
from dafusion_core.engine.torch_setup import torch
from dafusion_core.engine.trained import save_trained
from dafusion_core.jobs.context import JobContext
from dafusion_core.language import _

__all__ = ["Fit", "class_accuracy"]

_MOMENTUM, _WEIGHT_DECAY = 0.9, 5e-4  # protocol "finetune" (§4.0)
_EVERY = 10

#: Called with the share of the epoch that is done; a cancel point.
OnShare = Callable[[float], None]


def class_accuracy(truth: torch.Tensor, predicted: torch.Tensor, labels: int) -> float:
    """Unweighted mean over classes of the share of right answers; absent classes do not count."""
    shares = []
    for label in range(labels):
        mine = truth == label
        if bool(mine.any()):
            shares.append(float((predicted[mine] == label).float().mean()))
    return sum(shares) / len(shares)


class Fit:
    """One network, trained once; protocols "paper" and "finetune"."""

    def __init__(
        self,
        spec: TrainingSpec,
        inputs: TrainingInputs,
        arm: Arm,
        seed: int,
        device: torch.device,
        store: PictureStore,
        ctx: JobContext,
    ) -> None:
        self.spec, self.inputs, self.arm, self.seed = spec, inputs, arm, seed
        self.device, self.store, self.ctx = device, store, ctx
        self.classes = len(inputs.labels)
        self.how = choose_normalisation(
            spec.normalisation, spec.protocol, spec.weights, spec.backbone
        )
        network = build_classifier(
            spec.backbone, self.classes, spec.weights, derive_seed("weights", seed)
        )
        self.network = network.to(device)
        self.network.to(memory_format=memory_format(device))  # type: ignore[call-overload]
        self.sampler = BatchSampler(
            inputs.train,
            inputs.synthetics.get(arm.name, {}) if arm.uses_synthetics else {},
            arm.alpha,
            seed,
            ctx.resolve,
            arm.mixing,
        )
        self.augmenting = seeded(derive_seed("augmentation", seed))
        self.steps = spec.epochs * spec.iterations_per_epoch
        _, self.head = head_of(self.network)
        self.optimiser, self.schedule = self._make_optimiser()
        self.loss = torch.nn.CrossEntropyLoss(label_smoothing=spec.label_smoothing)
        self.speed = SpeedMeter()
        self._tested = (torch.zeros(0), torch.zeros(0), torch.zeros(0))

    def _make_optimiser(self) -> tuple[torch.optim.Optimizer, Any]:
        rate = self.spec.learning_rate
        if self.spec.protocol != "finetune":
            self.network.requires_grad_(False)
            self.head.requires_grad_(True)
            return torch.optim.Adam(self.head.parameters(), lr=rate), None
        optimiser = torch.optim.SGD(
            self.network.parameters(), lr=rate, momentum=_MOMENTUM, weight_decay=_WEIGHT_DECAY
        )
        return optimiser, torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self.steps)

    # One fit ------------------------------------------------------------------------------

    def run(self, unit: JobUnit, place: int, total: int) -> None:
        """Train, test after every epoch, and finish the unit.

        With `patience`, and when the user wishes to "finish", the epoch that was best on the
        validation images is kept, without such images the last whole one; else the last.
        """
        spec, inputs, ctx = self.spec, self.inputs, self.ctx
        name = f"{self.arm.name}, seed {self.seed}"
        epochs: list[dict[str, Any]] = []
        alarms = Alarms(1 / self.classes)
        said: list[str] = []
        best: tuple[float, int, dict[str, torch.Tensor]] | None = None
        is_cut = False
        ctx.take_wish("finish")  # one that came too late was for the fit before
        for epoch in range(spec.epochs):

            def at(share: float, epoch: int = epoch) -> None:
                ctx.progress(place + (epoch + share) / spec.epochs, total, name)

            row = self._do_epoch(epoch, unit, at)
            epochs.append(row)
            held_out = row["validation_accuracy"]
            held_out = row["test_accuracy"] if held_out is None else held_out
            for text in alarms.look(row["train_loss"], row["train_accuracy"], held_out):
                said.append(text)
                ctx.log(f"{name}: {text}", "warning")
            if inputs.validation and (best is None or held_out > best[0]):
                state = {k: v.detach().clone() for k, v in self.network.state_dict().items()}
                best = (held_out, epoch, state)
            if ctx.take_wish("finish") and epoch + 1 < spec.epochs:
                is_cut = True
                ctx.log(f"{name}: ended on request after epoch {epoch + 1} of {spec.epochs}.")
                break
            if spec.patience is not None and best and epoch - best[1] >= spec.patience:
                break
        if spec.patience is None and not is_cut:
            best = None  # the last epoch counts
        if best is not None and best[1] + 1 < len(epochs):
            self.network.load_state_dict(best[2])
            self._tested = self._predict(inputs.test, at)
        probabilities, truth, features = self._tested
        last = class_accuracy(truth, probabilities.argmax(dim=1), self.classes)
        record = {
            "labels": list(inputs.labels),
            "arm": self.arm.name,
            "seed": self.seed,
            "steps": len(epochs) * spec.iterations_per_epoch,
            "weights_sha256": weights_hash(spec.weights, spec.backbone),
            "epochs": epochs,
            "chosen_epoch": best[1] + 1 if best else len(epochs),
            "stopped_at": len(epochs) if is_cut else None,
            "alarms": said,
            "test": {
                "image_ids": [image.id for image in inputs.test],
                "truth": [image.label for image in inputs.test],
                "probabilities": [[round(p, 6) for p in row] for row in probabilities.tolist()],
            },
            "map": self._map(features, at),
            "test_accuracy_last": last,
            "test_accuracy_best_epoch": max(row["test_accuracy"] for row in epochs),
        }
        weights = self._save(ctx.scratch / f"classifier-{unit.id}.safetensors")
        ctx.finish_unit(unit, {"weights": weights}, record)
        ctx.log(
            _(
                "{name}: {value:.1f} % of the test images right (mean over classes), "
                "{rate:.0f} examples per second."
            ).format(name=name, value=100 * last, rate=self.speed.rate)
        )

    def _do_epoch(self, epoch: int, unit: JobUnit, at: OnShare) -> dict[str, Any]:
        """Train and test once; the row of the record."""
        ctx, inputs = self.ctx, self.inputs
        loss, right = self._train_epoch(epoch, unit, at)
        ctx.metric("speed/examples_per_second", epoch + 1, self.speed.rate, unit)
        ctx.metric("memory/megabytes", epoch + 1, memory_used(self.device), unit)
        ctx.metric("accuracy/train", epoch + 1, right, unit)
        validation = None
        if inputs.validation:
            found, truth, _ = self._predict(inputs.validation, at)
            validation = class_accuracy(truth, found.argmax(dim=1), self.classes)
            ctx.metric("accuracy/validation", epoch + 1, validation, unit)
        self._tested = self._predict(inputs.test, at)
        found, truth, _ = self._tested
        tested = class_accuracy(truth, found.argmax(dim=1), self.classes)
        ctx.metric("accuracy/test", epoch + 1, tested, unit)
        return {
            "epoch": epoch + 1,
            "train_loss": loss,
            "train_accuracy": right,
            "validation_accuracy": validation,
            "test_accuracy": tested,
        }

    def _train_epoch(self, epoch: int, unit: JobUnit, at: OnShare) -> tuple[float, float]:
        """Mean loss and share of right answers over the epoch's batches."""
        spec, ctx = self.spec, self.ctx
        self._set_training_mode()
        losses: list[torch.Tensor] = []
        right = torch.zeros((), device=self.device)
        pending = 0
        self.speed.begin()
        for i in range(spec.iterations_per_epoch):
            at(i / spec.iterations_per_epoch)
            batch = self.sampler.draw(spec.batch_size)
            logits, target = self._forward_batch(batch)
            loss = self.loss(logits, target)
            loss.backward()
            self.optimiser.step()
            self.optimiser.zero_grad(set_to_none=True)
            if self.schedule is not None:
                self.schedule.step()
            losses.append(loss.detach())
            labels = batch.labels.to(self.device)
            right += (logits.detach().argmax(dim=1) == labels).float().mean()
            self.speed.add(len(labels))
            pending += 1
            if pending == _EVERY or i + 1 == spec.iterations_per_epoch:
                recent = float(torch.stack(losses[-pending:]).mean())
                if recent != recent:
                    raise UserError(
                        _("Training broke down: the loss is not a number."),
                        _("Use a smaller learning rate."),
                    )
                step = epoch * spec.iterations_per_epoch + i + 1
                ctx.metric("loss/train", step, recent, unit)
                pending = 0
        count = spec.iterations_per_epoch
        return float(torch.stack(losses).mean()), float(right) / count

    def _set_training_mode(self) -> None:
        # Train mode also in the paper's protocol: batch statistics are used and the running ones
        # drift, although the backbone's weights are frozen.
        self.network.train()

    def _forward_batch(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """(logits [n, classes], labels [n] or shares [n, classes])."""
        pictures = self.store.stack(batch.paths).to(self.device)
        pictures = augment(pictures, self.arm.augmentation, self.augmenting)
        values, target = mix_batch(
            normalise(pictures, self.how),
            batch.labels.to(self.device),
            self.arm.batch_mix,
            self.classes,
            self.augmenting,
        )
        return self._forward(values), target

    def _forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Logits [n, labels]; with a frozen backbone no gradient is kept below the head."""
        pictures = pictures.contiguous(memory_format=memory_format(self.device))
        is_half = self.device.type == "cuda" and self.spec.protocol == "finetune"
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=is_half):
            logits: torch.Tensor = self.network(pictures)
        return logits.float()

    @torch.no_grad()
    def _predict(
        self, images: Sequence[ImageInput], at: OnShare
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(probabilities [n, labels], truth [n], features [n, d]) in a full pass."""
        self.network.eval()
        rows, features = [], []

        def keep(module: torch.nn.Module, values: tuple[torch.Tensor, ...]) -> None:
            features.append(values[0].float().cpu())

        hook = self.head.register_forward_pre_hook(keep)
        try:
            for start in range(0, len(images), self.spec.batch_size):
                at(1.0)
                part = images[start : start + self.spec.batch_size]
                pictures = self.store.stack([self.ctx.resolve(image.path) for image in part])
                logits = self._forward(normalise(pictures.to(self.device), self.how))
                rows.append(logits.softmax(dim=1).cpu())
        finally:
            hook.remove()
        truth = torch.tensor([image.label for image in images])
        return torch.cat(rows), truth, torch.cat(features)

    def _map(self, test: torch.Tensor, at: OnShare) -> dict[str, Any]:
        """Training and test images in a plane that shows how their features differ."""
        _, _, train = self._predict(self.inputs.train, at)
        found = draw_map(torch.cat([train, test]))
        images = (*self.inputs.train, *self.inputs.test)
        return {
            "method": found.method,
            "shares": found.shares,
            "image_ids": [image.id for image in images],
            "labels": [image.label for image in images],
            "is_test": [0] * len(train) + [1] * len(test),
            "points": [[round(x, 4), round(y, 4)] for x, y in found.points],
        }

    def _save(self, path: Path) -> Path:
        # Buffers (running means and variances) drift in the paper's protocol.
        weights = self.network.named_parameters()
        frozen = frozenset(name for name, value in weights if not value.requires_grad)
        facts = {
            "backbone": self.spec.backbone,
            "labels": json.dumps(list(self.inputs.labels), ensure_ascii=False),
            "resolution": str(self.spec.resolution),
            "mean": json.dumps(self.how.mean),
            "std": json.dumps(self.how.std),
        }
        save_trained(path, self.network, facts, self.spec.weights, frozen)
        return path
