"""Training: what is watched while it runs, and what travels with the weights."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from safetensors import safe_open

from dafusion_core.domain.errors import EnvironmentProblem, UserError
from dafusion_core.domain.specs import Arm
from dafusion_core.engine import augment as augmenting
from dafusion_core.engine import classifiers
from dafusion_core.engine.classifiers import (
    build_classifier,
    choose_normalisation,
    download_weights,
)
from dafusion_core.engine.embedding import draw_map, flatten_map
from dafusion_core.engine.monitor import Alarms
from dafusion_core.jobs.context import NullContext
from dafusion_core.methods import fitting, train

from .test_train import UNITS, make_inputs, make_spec

# --------------------------------------------------------------------- watching a training


def test_early_stopping_takes_the_best_epoch_of_validation(
    tmp_path: Path, ctx: NullContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = make_inputs(tmp_path)
    planned = iter([0.5, 0.7, 0.6, 0.6, 0.6])
    rows: list[dict[str, Any]] = []
    real = fitting.Fit._do_epoch

    def fake(self: Any, epoch: int, unit: Any, at: Any) -> dict[str, Any]:
        row = real(self, epoch, unit, at) | {"validation_accuracy": next(planned)}
        rows.append(row | {"state": {k: v.clone() for k, v in self.network.state_dict().items()}})
        return row

    monkeypatch.setattr(fitting.Fit, "_do_epoch", fake)
    spec = make_spec(arms=(Arm("real"),), epochs=9, patience=2, protocol="finetune")
    train.run(spec, inputs, UNITS[:1], ctx)
    files, record = ctx.results["real/0"]
    assert (len(rows), record["chosen_epoch"], record["steps"]) == (4, 2, 12)
    assert record["test_accuracy_last"] == pytest.approx(rows[1]["test_accuracy"])
    with safe_open(str(files["weights"]), framework="pt") as stream:
        for name, value in rows[1]["state"].items():
            assert torch.equal(stream.get_tensor(name), value)
    with pytest.raises(UserError, match="needs validation images"):
        train.run(spec, dataclasses.replace(inputs, validation=()), UNITS[:1], ctx)


@pytest.mark.parametrize("has_validation", [True, False])
def test_a_fit_ends_on_request_with_its_best_epoch(
    tmp_path: Path, ctx: NullContext, monkeypatch: pytest.MonkeyPatch, *, has_validation: bool
) -> None:
    inputs = make_inputs(tmp_path)
    if not has_validation:
        inputs = dataclasses.replace(inputs, validation=())
    planned = iter([0.5, 0.7, 0.6] * 3)
    rows: list[dict[str, Any]] = []
    real = fitting.Fit._do_epoch

    def fake(self: Any, epoch: int, unit: Any, at: Any) -> dict[str, Any]:
        row = real(self, epoch, unit, at) | {"validation_accuracy": next(planned)}
        rows.append(row | {"state": {k: v.clone() for k, v in self.network.state_dict().items()}})
        return row

    wishes = iter(["", "", "", "finish", *[""] * 9])  # asked before, and after each epoch
    monkeypatch.setattr(NullContext, "take_wish", lambda self, what: next(wishes) == what)
    monkeypatch.setattr(fitting.Fit, "_do_epoch", fake)
    spec = make_spec(arms=(Arm("real"),), epochs=4, protocol="finetune")
    train.run(spec, inputs, UNITS[:1], ctx)
    files, record = ctx.results["real/0"]
    assert (len(rows), record["stopped_at"]) == (3, 3)
    chosen = 2 if has_validation else 3
    assert record["chosen_epoch"] == chosen
    assert record["test_accuracy_last"] == pytest.approx(rows[chosen - 1]["test_accuracy"])
    with safe_open(str(files["weights"]), framework="pt") as stream:
        for name, value in rows[chosen - 1]["state"].items():
            assert torch.equal(stream.get_tensor(name), value)
    train.run(spec, inputs, UNITS[:1], ctx)  # nobody wishes: all epochs, and the last one counts
    _, record = ctx.results["real/0"]
    assert (record["stopped_at"], record["chosen_epoch"]) == (None, 4)


def test_alarms() -> None:
    stuck = Alarms(chance=0.25)
    said = [stuck.look(1.4, 0.3, 0.3) for _ in range(8)]
    assert [len(texts) for texts in said] == [0, 0, 0, 0, 0, 1, 0, 0]
    assert "Nothing improves" in said[5][0]
    by_heart = Alarms(chance=0.25)
    assert by_heart.look(0.5, 1.0, 0.8) == []
    assert "by heart" in by_heart.look(0.1, 1.0, 0.25)[0]
    falling = Alarms(chance=0.25)
    assert [falling.look(1 / (1 + n), 0.6, 0.25) for n in range(9)] == [[]] * 9


def test_a_loss_that_is_no_number_stops_the_training(tmp_path: Path, ctx: NullContext) -> None:
    inputs = make_inputs(tmp_path)
    spec = make_spec(arms=(Arm("real"),), protocol="finetune", learning_rate=1e30)
    with pytest.raises(UserError, match="not a number"):
        train.run(spec, inputs, UNITS[:1], ctx)


def test_the_map_shows_training_and_test_images(tmp_path: Path, ctx: NullContext) -> None:
    inputs = make_inputs(tmp_path)
    train.run(make_spec(arms=(Arm("real"),), epochs=1), inputs, UNITS[:1], ctx)
    found = ctx.results["real/0"][1]["map"]
    assert found["image_ids"] == [image.id for image in (*inputs.train, *inputs.test)]
    assert found["method"] == "PCA"
    assert found["is_test"] == [0] * len(inputs.train) + [1] * len(inputs.test)
    assert np.shape(found["points"]) == (len(found["image_ids"]), 2)


def test_umap_draws_the_map_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in for the library, which is large and not part of the program."""
    asked: list[dict[str, Any]] = []

    class UMAP:
        def __init__(self, **options: Any) -> None:
            asked.append(options)

        def fit_transform(self, values: Any) -> Any:
            if np.ptp(values) == 0:
                raise ValueError("nothing differs")
            return values[:, :2] * 2

    module = types.ModuleType("umap")
    module.UMAP = UMAP  # type: ignore[attr-defined]
    module.__spec__ = importlib.util.spec_from_loader("umap", None)
    monkeypatch.setitem(sys.modules, "umap", module)
    values = torch.randn(12, 5, generator=torch.Generator().manual_seed(0))
    found = draw_map(values)
    assert (found.method, found.shares) == ("UMAP", [])
    assert np.allclose(found.points, 2 * values[:, :2].numpy())
    assert asked == [{"n_components": 2, "n_neighbors": 11, "random_state": 0}]
    assert draw_map(values[:4]).method == "PCA"  # too few for neighbourhoods
    assert draw_map(torch.ones(12, 5)).method == "PCA"  # it failed, the map does not
    monkeypatch.delitem(sys.modules, "umap")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert draw_map(values).points == flatten_map(values)[0]


def test_principal_components_are_those_of_scikit_learn() -> None:
    decomposition = pytest.importorskip("sklearn.decomposition", exc_type=ImportError)
    values = torch.randn(30, 7, generator=torch.Generator().manual_seed(0))
    points, shares = flatten_map(values)
    pca = decomposition.PCA(2).fit(values.double().numpy())
    expected = pca.transform(values.double().numpy())
    assert np.allclose(np.abs(points), np.abs(expected), atol=1e-8)
    assert shares == pytest.approx(pca.explained_variance_ratio_.tolist())
    assert flatten_map(torch.ones(4, 3)) == ([[0.0, 0.0]] * 4, [0.0, 0.0])


# --------------------------------------------------------------------------- normalisation


def test_normalisation_travels_with_the_weights(tmp_path: Path, ctx: NullContext) -> None:
    inputs = make_inputs(tmp_path)
    spec = make_spec(arms=(Arm("real"),), normalisation="imagenet", protocol="finetune", epochs=1)
    train.run(spec, inputs, UNITS[:1], ctx)
    weights = str(ctx.results["real/0"][0]["weights"])
    imagenet, half = augmenting.IMAGENET, augmenting.HALF
    assert choose_normalisation("auto", "finetune", weights) == imagenet
    assert choose_normalisation("auto", "paper", weights) == half
    assert choose_normalisation("half", "probe", weights) == half
    assert choose_normalisation("auto", "probe", "imagenet") == imagenet
    assert choose_normalisation("auto", "probe", "") == half
    picture = torch.randint(0, 256, (2, 3, 4, 4), dtype=torch.uint8)
    expected = torchvision.transforms.v2.functional.normalize(
        picture / 255, list(imagenet.mean), list(imagenet.std)
    )
    assert torch.allclose(augmenting.normalise(picture, imagenet), expected, atol=1e-6)


def test_a_network_of_timm_by_name(tmp_path: Path, ctx: NullContext) -> None:
    pytest.importorskip("timm")
    inputs = make_inputs(tmp_path)
    spec = make_spec(arms=(Arm("real"),), backbone="timm/test_resnet", epochs=1, protocol="probe")
    train.run(spec, inputs, UNITS[:1], ctx)
    assert ctx.results["real/0"][1]["steps"] == 3
    with pytest.raises(UserError, match="not a network of timm"):
        build_classifier("timm/none_such", 3)


def test_weights_are_fetched_only_when_asked_and_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    content = b"weights"
    digest = hashlib.sha256(content).hexdigest()[:8]
    (tmp_path / "good.pth").write_bytes(content)
    (tmp_path / "bad.pth").write_bytes(b"other")
    place = tmp_path / "hub" / f"resnet18-{digest}.pth"
    monkeypatch.setattr(classifiers, "weights_file", lambda backbone: place)
    with pytest.raises(EnvironmentProblem, match="damaged"):
        download_weights("resnet18", url=(tmp_path / "bad.pth").as_uri())
    with pytest.raises(EnvironmentProblem, match="could not be fetched"):
        download_weights("resnet18", url=(tmp_path / "none.pth").as_uri())
    assert list(place.parent.iterdir()) == []
    seen: list[tuple[int, int]] = []
    done = download_weights(
        "resnet18", lambda *now: seen.append(now), url=(tmp_path / "good.pth").as_uri()
    )
    assert done == place
    assert done.read_bytes() == content
    assert seen == [(7, 7)]
