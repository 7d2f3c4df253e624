"""Training: the sampling rule, the leak guard, fairness between arms, the two protocols."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

from dafusion_core.domain.errors import Cancelled, LeakError, UserError
from dafusion_core.domain.inputs import ImageInput, TrainingInputs
from dafusion_core.domain.specs import Arm, TrainingSpec, derive_seed
from dafusion_core.engine import augment as augmenting
from dafusion_core.engine.classifiers import (
    build_classifier,
)
from dafusion_core.engine.sampling import seeded
from dafusion_core.jobs.context import NullContext
from dafusion_core.methods import fitting, train

from .conftest import make_unit

BACKBONE = "shufflenet_v2_x0_5"  # small, and it has batch normalisation
LABELS = ("red", "green", "blue")


def paint(root: Path, name: str, label: int, seed: int) -> str:
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 60, (16, 16, 3), dtype=np.uint8)
    values[..., label] += 150
    Image.fromarray(values).save(root / name)
    return name


def make_inputs(root: Path, synthetics: bool = False) -> TrainingInputs:
    parts: dict[str, list[ImageInput]] = {"train": [], "validation": [], "test": []}
    number = 0
    for part, count in (("train", 3), ("validation", 1), ("test", 4)):
        for label in range(len(LABELS)):
            for _ in range(count):
                number += 1
                path = paint(root, f"{number}.png", label, number)
                parts[part].append(ImageInput(number, path, f"sha{number}", label))
    made = {}
    if synthetics:
        made = {
            str(image.id): tuple(
                paint(root, f"s{image.id}-{m}.png", image.label, 1000 * image.id + m)
                for m in range(2)
            )
            for image in parts["train"]
        }
    return TrainingInputs(
        labels=LABELS,
        train=tuple(parts["train"]),
        validation=tuple(parts["validation"]),
        test=tuple(parts["test"]),
        synthetics={"mixed": made} if made else {},
    )


def make_spec(**changes: Any) -> TrainingSpec:
    options = {
        "split_id": 1, "arms": (Arm("real"), Arm("mixed", alpha=0.5, generation_job=2)),
        "seeds": (0,), "backbone": BACKBONE, "resolution": 32, "epochs": 2,
        "iterations_per_epoch": 3, "batch_size": 8, "learning_rate": 1e-2,
    }  # fmt: skip
    return TrainingSpec(**(options | changes))


UNITS = [make_unit(1, "real/0", arm="real", seed=0), make_unit(2, "mixed/0", arm="mixed", seed=0)]


# ----------------------------------------------------------------------------- sampling rule


def sampler(alpha: float, seed: int = 0, have: tuple[int, ...] = (1, 2)) -> train.BatchSampler:
    images = [ImageInput(i, f"r{i}", "", i % 2) for i in range(4)]
    own = {str(i): tuple(f"s{i}-{m}" for m in range(3)) for i in have}
    return train.BatchSampler(images, own, alpha, seed)


def test_sampling_follows_the_papers_rule() -> None:
    n = 40_000
    batch = sampler(0.3).draw(n)
    counts = Counter(str(path) for path in batch.paths)
    spread = 5 * (n / 4) ** 0.5  # five standard deviations of the largest count, at most
    for image in (0, 3):  # no synthetics: always the real one
        assert abs(counts[f"r{image}"] - n / 4) < spread
    for image in (1, 2):
        assert abs(counts[f"r{image}"] - 0.7 * n / 4) < spread
        for m in range(3):
            assert abs(counts[f"s{image}-{m}"] - 0.1 * n / 4) < spread
    assert sum(counts.values()) == n
    assert not any(path.startswith(("s0", "s3")) for path in counts)


def test_a_synthetic_keeps_the_label_of_its_source() -> None:
    batch = sampler(0.9).draw(500)
    for path, label, is_synthetic in zip(batch.paths, batch.labels, batch.synthetic, strict=True):
        assert int(label) == int(str(path)[1]) % 2
        assert is_synthetic == str(path).startswith("s")


@pytest.mark.parametrize(("alpha", "expected"), [(0.0, 0.0), (1.0, 1.0)])
def test_alpha_at_its_ends(alpha: float, expected: float) -> None:
    batch = sampler(alpha, have=(0, 1, 2, 3)).draw(300)
    assert sum(batch.synthetic) == expected * 300


def test_arms_draw_the_same_real_images() -> None:
    def sources(batch: train.Batch) -> list[str]:
        return [str(path)[1] for path in batch.paths]

    plain, mixed = sampler(0.0), sampler(0.5)
    for _ in range(3):
        assert sources(plain.draw(50)) == sources(mixed.draw(50))
    assert sources(sampler(0.5, seed=0).draw(50)) != sources(sampler(0.5, seed=1).draw(50))


# -------------------------------------------------------------------------------- leak guard


def test_synthetics_of_a_test_image_are_refused(tmp_path: Path, ctx: NullContext) -> None:
    inputs = make_inputs(tmp_path, synthetics=True)
    test_id = str(inputs.test[0].id)
    leaking = {"mixed": inputs.synthetics["mixed"] | {test_id: ("s1-0.png",)}}
    inputs = dataclasses.replace(inputs, synthetics=leaking)
    with pytest.raises(LeakError, match=f"image {test_id} is in test"):
        train.run(make_spec(), inputs, UNITS, ctx)
    assert not ctx.results


def test_an_image_in_two_parts_is_refused(tmp_path: Path) -> None:
    inputs = make_inputs(tmp_path)
    with pytest.raises(LeakError, match="validation part"):
        train.check_leaks(dataclasses.replace(inputs, validation=inputs.train[:1]))
    twin = dataclasses.replace(inputs.test[0], sha256=inputs.train[0].sha256)
    with pytest.raises(LeakError, match="byte for byte"):
        train.check_leaks(dataclasses.replace(inputs, test=(twin,)))
    train.check_leaks(inputs)


# ------------------------------------------------------------------------------------- runs


@pytest.mark.parametrize("protocol", ["paper", "probe", "finetune"])
def test_runs_are_complete_and_repeatable(tmp_path: Path, ctx: NullContext, protocol: str) -> None:
    inputs = make_inputs(tmp_path, synthetics=True)
    spec = make_spec(protocol=protocol)
    train.run(spec, inputs, UNITS, ctx)
    record = ctx.results["mixed/0"][1]
    assert (record["arm"], record["seed"], record["labels"]) == ("mixed", 0, list(LABELS))
    assert [epoch["epoch"] for epoch in record["epochs"]] == [1, 2]
    assert all(epoch["validation_accuracy"] is not None for epoch in record["epochs"])
    assert record["test"]["image_ids"] == [image.id for image in inputs.test]
    assert record["test"]["truth"] == [image.label for image in inputs.test]
    assert np.shape(record["test"]["probabilities"]) == (len(inputs.test), len(LABELS))
    assert np.allclose(np.sum(record["test"]["probabilities"], axis=1), 1, atol=1e-4)
    assert record["test_accuracy_best_epoch"] >= record["test_accuracy_last"]
    assert {series for series, _, _ in ctx.metrics} == {
        "loss/train", "accuracy/train", "accuracy/validation", "accuracy/test",
        "speed/examples_per_second", "memory/megabytes",
    }  # fmt: skip

    again = NullContext(scratch=ctx.scratch, root=tmp_path)
    train.run(spec, inputs, UNITS[1:], again)
    assert again.results["mixed/0"][1] == record


def test_it_learns_colours(tmp_path: Path, ctx: NullContext) -> None:
    inputs = make_inputs(tmp_path)
    spec = make_spec(
        arms=(Arm("real"),), protocol="finetune", backbone="resnet18", iterations_per_epoch=8
    )
    train.run(spec, inputs, UNITS[:1], ctx)
    assert ctx.results["real/0"][1]["test_accuracy_last"] > 0.9


def test_the_papers_protocol_trains_the_head_and_lets_statistics_drift(
    tmp_path: Path, ctx: NullContext
) -> None:
    inputs = make_inputs(tmp_path)
    spec = make_spec(arms=(Arm("real"),))
    train.run(spec, inputs, UNITS[:1], ctx)
    start = build_classifier(BACKBONE, 3, "", derive_seed("weights", 0)).state_dict()
    with safe_open(str(ctx.results["real/0"][0]["weights"]), framework="pt") as stream:
        found = {key: stream.get_tensor(key) for key in stream.keys()}  # noqa: SIM118
    for name, value in found.items():
        is_same = torch.equal(value, start[name])
        if name.startswith("fc.") or "running_" in name or name.endswith("num_batches_tracked"):
            assert not is_same, name
        else:
            assert is_same, name


def test_the_papers_protocol_equals_its_plain_form_step_for_step(
    tmp_path: Path, ctx: NullContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Backbone under no_grad in train mode, Adam on the linear layer, 0.5/0.5 normalisation.

    The plain loop below shares nothing with ours but the drawn images and the random numbers of
    the augmentation.
    """
    monkeypatch.setattr(fitting, "_EVERY", 1)  # every loss, not their means
    inputs = make_inputs(tmp_path, synthetics=True)
    # Larger pictures than elsewhere here: where BatchNorm sees a handful of values only, it makes
    # much of the last digits, in which two layouts of the same convolution differ.
    spec = make_spec(
        arms=(Arm("mixed", alpha=0.5, generation_job=2),),
        iterations_per_epoch=5,
        resolution=64,
        batch_size=16,
        learning_rate=1e-4,
        backbone="resnet18",
    )
    train.run(spec, inputs, UNITS[1:], ctx)
    network: Any = build_classifier("resnet18", 3, "", derive_seed("weights", 0))
    head = network.fc
    network.fc = torch.nn.Identity()
    optimiser = torch.optim.Adam(head.parameters(), lr=spec.learning_rate)
    draws = train.BatchSampler(
        inputs.train, inputs.synthetics["mixed"], 0.5, 0, lambda path: tmp_path / path
    )
    luck = seeded(derive_seed("augmentation", 0))

    def read(path: Path) -> torch.Tensor:
        with Image.open(path) as picture:
            small = picture.resize((64, 64), Image.Resampling.BILINEAR)
        return torch.from_numpy(np.array(small)).permute(2, 0, 1)

    def plain(pictures: torch.Tensor) -> torch.Tensor:
        return (pictures.float() / 255 - 0.5) / 0.5

    losses, tested = [], []
    truth = torch.tensor([image.label for image in inputs.test])
    for _ in range(spec.epochs):
        network.train()
        for _ in range(spec.iterations_per_epoch):
            batch = draws.draw(16)
            pictures = torch.stack([read(path) for path in batch.paths])
            with torch.no_grad():
                features = network(plain(augmenting.augment(pictures, "standard", luck)))
            loss = torch.nn.functional.cross_entropy(head(features), batch.labels)
            loss.backward()
            optimiser.step()
            optimiser.zero_grad()
            losses.append(float(loss.detach()))
        network.eval()
        with torch.no_grad():
            pictures = torch.stack([read(tmp_path / image.path) for image in inputs.test])
            expected = head(network(plain(pictures))).softmax(dim=1)
        right = expected.argmax(dim=1) == truth
        tested.append(
            float(torch.stack([right[truth == k].float().mean() for k in range(3)]).mean())
        )

    found = [value for series, _, value in ctx.metrics if series == "loss/train"]
    assert len(found) == 10
    assert np.abs(np.array(found) - losses).max() < 1e-5
    files, record = ctx.results["mixed/0"]
    assert np.abs(np.array(record["test"]["probabilities"]) - expected.numpy()).max() < 1e-5
    assert [row["test_accuracy"] for row in record["epochs"]] == pytest.approx(tested)
    network.fc = head
    with safe_open(str(files["weights"]), framework="pt") as stream:
        for name, value in network.state_dict().items():
            assert torch.allclose(stream.get_tensor(name), value, atol=1e-5), name
    moved = build_classifier("resnet18", 3, "", derive_seed("weights", 0)).state_dict()
    drift = [n for n, v in network.state_dict().items() if n.endswith("running_mean")]
    assert drift
    assert all(not torch.equal(network.state_dict()[n], moved[n]) for n in drift)


def test_arms_of_a_seed_start_alike_and_seeds_differ() -> None:
    first = build_classifier("resnet18", 3, "", 5).state_dict()
    same = build_classifier("resnet18", 3, "", 5).state_dict()
    other = build_classifier("resnet18", 3, "", 6).state_dict()
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["conv1.weight"], other["conv1.weight"])


def test_mean_class_accuracy_weighs_classes_alike() -> None:
    truth = torch.tensor([0, 0, 0, 0, 1])
    predicted = torch.tensor([0, 0, 0, 0, 0])
    assert train.class_accuracy(truth, predicted, 3) == 0.5


# ---------------------------------------------------------------------------- other mixtures


def mixture(mixing: str, alpha: float, have: tuple[int, ...] = (1, 2)) -> train.BatchSampler:
    images = [ImageInput(i, f"r{i}", "", i % 2) for i in range(4)]
    own = {str(i): tuple(f"s{i}-{m}" for m in range(3)) for i in have}
    return train.BatchSampler(images, own, alpha, 0, Path, mixing)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("mixing", "alpha", "real", "synthetic"),
    [("concatenate", 0.0, 0.1, 0.1), ("only", 0.0, 0.0, 1 / 6), ("global", 0.4, 0.15, 0.4 / 6)],
)
def test_published_mixtures(mixing: str, alpha: float, real: float, synthetic: float) -> None:
    n = 20_000
    batch = mixture(mixing, alpha).draw(n)
    counts = Counter(str(path) for path in batch.paths)
    spread = 5 * (n / 6) ** 0.5
    for image in range(4):
        assert abs(counts[f"r{image}"] - real * n) < spread
    for image in (1, 2):
        for m in range(3):
            assert abs(counts[f"s{image}-{m}"] - synthetic * n) < spread
    for path, label in zip(batch.paths, batch.labels.tolist(), strict=True):
        assert label == int(str(path)[1]) % 2  # a synthetic image brings its own label


def test_an_arm_must_say_where_its_synthetics_come_from() -> None:
    with pytest.raises(UserError, match="names no generation"):
        Arm("all of them", mixing="concatenate")
    with pytest.raises(UserError, match="features of each picture once"):
        make_spec(arms=(Arm("cut", batch_mix="cutmix"),), protocol="probe")


@pytest.mark.parametrize("kind", ["cutmix", "mixup"])
def test_batches_are_mixed_every_other_time(kind: str) -> None:
    luck = torch.Generator().manual_seed(0)
    pictures = torch.arange(4.0)[:, None, None, None].expand(4, 3, 8, 8).contiguous()
    labels = torch.tensor([0, 1, 2, 0])
    mixed = 0
    for _ in range(60):
        values, target = augmenting.mix_batch(pictures, labels, kind, 3, luck)  # type: ignore[arg-type]
        if target.ndim == 1:
            assert torch.equal(values, pictures)
            continue
        mixed += 1
        assert torch.allclose(target.sum(dim=1), torch.ones(4))
        # The share of the other picture in the values is the share of its label.
        partner = pictures.roll(1, 0)
        own = (values - partner).abs().mean(dim=(1, 2, 3)) / (pictures - partner).abs().amax(
            dim=(1, 2, 3)
        )
        assert abs(float(own[1]) - float(target[1, 1])) < 1e-5
    assert 18 <= mixed <= 42


def test_every_arm_of_the_choices_trains(tmp_path: Path, ctx: NullContext) -> None:
    inputs = make_inputs(tmp_path, synthetics=True)
    inputs = dataclasses.replace(
        inputs, synthetics=dict.fromkeys(("a", "b", "c", "d"), inputs.synthetics["mixed"])
    )
    arms = (
        Arm("a", mixing="concatenate", generation_job=2, batch_mix="cutmix"),
        Arm("b", mixing="only", generation_job=2, augmentation="randaugment", batch_mix="mixup"),
        Arm("c", mixing="global", alpha=0.5, generation_job=2, augmentation="aerial"),
        Arm("d", alpha=0.5, generation_job=2, augmentation="standard+randaugment"),
    )
    units = [make_unit(i, f"{arm.name}/0", arm=arm.name, seed=0) for i, arm in enumerate(arms)]
    spec = make_spec(arms=arms, epochs=1, protocol="finetune", label_smoothing=0.1)
    train.run(spec, inputs, units, ctx)
    assert len(ctx.results) == 4
    losses = {ctx.results[unit.key][1]["epochs"][0]["train_loss"] for unit in units}
    assert len(losses) == 4


# ------------------------------------------------------------------------------ augmentation


def test_standard_augmentation_mirrors_and_turns_each_picture() -> None:
    picture = torch.zeros(1, 3, 33, 33, dtype=torch.uint8)
    picture[..., 12:21, 20:30] = 255
    made = augmenting.augment(
        picture.repeat(400, 1, 1, 1), "standard", torch.Generator().manual_seed(0)
    )
    assert made.dtype == torch.uint8
    right = made[..., 17:].float().sum(dim=(1, 2, 3)) > made[..., :17].float().sum(dim=(1, 2, 3))
    assert 0.4 < float(right.float().mean()) < 0.6
    mass = made.float()[:, 0] / 255
    assert torch.allclose(mass.sum(dim=(1, 2)), torch.tensor(90.0), atol=12)
    rows = torch.arange(33).float() - 16
    height = (mass * rows[None, :, None]).sum(dim=(1, 2)) / mass.sum(dim=(1, 2))
    side = (mass * rows[None, None, :]).sum(dim=(1, 2)) / mass.sum(dim=(1, 2))
    angle = torch.rad2deg(torch.atan2(height, side.abs()))
    assert float(angle.abs().max()) <= 16
    assert float(angle.max()) > 10
    assert float(angle.min()) < -10


def test_turning_equals_torchvisions_rotation() -> None:
    picture = torch.randint(0, 256, (1, 3, 40, 40), dtype=torch.uint8)

    class Fixed(torch.Generator):
        pass

    rolled = iter([torch.tensor([0.9]), torch.tensor([0.75])])  # not mirrored, +7.5°
    original = torch.rand
    try:
        torch.rand = lambda *a, **k: next(rolled)  # type: ignore[assignment]
        found = augmenting.flip_and_rotate(picture, Fixed())
    finally:
        torch.rand = original
    expected = torchvision.transforms.v2.functional.rotate(picture, 7.5)
    same = (found == expected).float().mean()
    other = (found == torchvision.transforms.v2.functional.rotate(picture, -7.5)).float().mean()
    assert same > 0.98
    assert other < 0.5


def test_randaugment_is_repeatable_and_leaves_the_global_state() -> None:
    pictures = torch.randint(0, 256, (6, 3, 24, 24), dtype=torch.uint8)
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    first = augmenting.augment(pictures, "randaugment", torch.Generator().manual_seed(3))
    assert torch.equal(torch.rand(1), expected)
    again = augmenting.augment(pictures, "randaugment", torch.Generator().manual_seed(3))
    assert torch.equal(first, again)
    assert not torch.equal(first, pictures)


# -------------------------------------------------------------------------------- refusals


def test_weights_come_from_a_file(tmp_path: Path) -> None:
    donor = build_classifier("resnet18", 7, "", 1)
    save_file(donor.state_dict(), str(tmp_path / "w.safetensors"))
    torch.save(donor.state_dict(), tmp_path / "w.pth")
    for name in ("w.safetensors", "w.pth"):
        network = build_classifier("resnet18", 3, str(tmp_path / name), 2)
        assert torch.equal(network.state_dict()["conv1.weight"], donor.state_dict()["conv1.weight"])
        assert network.state_dict()["fc.weight"].shape == (3, 512)


def test_weights_that_cannot_be_used_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(UserError, match="have not been downloaded"):
        build_classifier("resnet18", 3, "imagenet")
    with pytest.raises(UserError, match="is not there"):
        build_classifier("resnet18", 3, str(tmp_path / "none.pth"))
    (tmp_path / "bad.pth").write_bytes(b"rubbish")
    with pytest.raises(UserError, match=r"cannot be read|not a plain state dict"):
        build_classifier("resnet18", 3, str(tmp_path / "bad.pth"))
    save_file({"conv1.weight": torch.zeros(2)}, str(tmp_path / "other.safetensors"))
    with pytest.raises(UserError, match="does not fit resnet18"):
        build_classifier("resnet18", 3, str(tmp_path / "other.safetensors"))
    with pytest.raises(UserError, match="not an image classifier"):
        build_classifier("resnet-18", 3)


def test_nothing_to_train_or_mix_is_refused(tmp_path: Path, ctx: NullContext) -> None:
    inputs = make_inputs(tmp_path)
    with pytest.raises(UserError, match="none are there"):
        train.run(make_spec(), inputs, UNITS, ctx)
    spec = make_spec(arms=(Arm("real"),))
    with pytest.raises(UserError, match="no test images"):
        train.run(spec, dataclasses.replace(inputs, test=()), UNITS[:1], ctx)


def test_it_stops_at_a_step(tmp_path: Path) -> None:
    class Impatient(NullContext):
        steps = 0

        def progress(self, done: float, total: float, phase: str = "") -> None:
            self.steps += 1
            if self.steps == 3:
                raise Cancelled("stop")

    ctx = Impatient(scratch=tmp_path, root=tmp_path)
    with pytest.raises(Cancelled):
        train.run(make_spec(arms=(Arm("real"),)), make_inputs(tmp_path), UNITS[:1], ctx)
