"""Trained classifiers in use: predictions to CSV, and exports that say what the network says."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dafusion_core.domain.errors import UserError
from dafusion_core.domain.inputs import FileInput, ImageInput, ModelExportInputs, PredictionInputs
from dafusion_core.domain.specs import Arm, ModelExportSpec, PredictionSpec, derive_seed
from dafusion_core.engine import trained as trained_module
from dafusion_core.engine.classifiers import build_classifier
from dafusion_core.engine.trained import load_trained
from dafusion_core.jobs.context import NullContext
from dafusion_core.methods import export_model, predict, train

from .conftest import make_unit
from .test_train import BACKBONE, LABELS, make_inputs, make_spec


@pytest.fixture
def fitted(tmp_path: Path, ctx: NullContext) -> tuple[str, tuple[ImageInput, ...], Any]:
    """(weights, test images, record) of a small classifier with ImageNet's normalisation."""
    inputs = make_inputs(tmp_path)
    spec = make_spec(
        arms=(Arm("real"),), protocol="finetune", normalisation="imagenet", backbone="resnet18",
        iterations_per_epoch=2, epochs=1,
    )  # fmt: skip
    train.run(spec, inputs, [make_unit(1, "real/0", arm="real", seed=0)], ctx)
    files, record = ctx.results.pop("real/0")
    return str(files["weights"]), inputs.test, record


def test_predictions_are_those_of_the_training(
    tmp_path: Path, ctx: NullContext, fitted: tuple[str, tuple[ImageInput, ...], Any]
) -> None:
    weights, test, record = fitted
    (tmp_path / "broken.png").write_bytes(b"no picture")
    paths = [str(tmp_path / image.path) for image in test]
    paths.insert(2, str(tmp_path / "broken.png"))
    paths.append(str(tmp_path / "gone.png"))
    spec = PredictionSpec(run_id=1, paths=tuple(paths), batch_size=5)
    inputs = PredictionInputs(FileInput(weights, ""))
    predict.run(spec, inputs, [make_unit(1, "table")], ctx)
    files, summary = ctx.results["table"]
    assert summary == {"pictures": 14, "unreadable": 2}
    with files["table"].open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["path"] for row in rows] == paths
    good = [row for row in rows if not row["problem"]]
    assert [row["path"] for row in rows if row["problem"]] == [paths[2], paths[-1]]
    found = np.array([[float(row[label]) for label in LABELS] for row in good])
    assert np.abs(found - record["test"]["probabilities"]).max() < 1e-4
    for row, figures in zip(good, found, strict=True):
        assert row["label"] == LABELS[figures.argmax()]
        assert float(row["confidence"]) == figures.max()


def test_exports_agree_on_every_test_image_and_carry_what_is_needed(
    tmp_path: Path, ctx: NullContext, fitted: tuple[str, tuple[ImageInput, ...], Any]
) -> None:
    runtime = pytest.importorskip("onnxruntime")
    weights, test, record = fitted
    spec = ModelExportSpec(run_id=1)
    units = [make_unit(n, form, format=form) for n, form in enumerate(spec.formats)]
    inputs = ModelExportInputs(FileInput(weights, ""), test)
    export_model.run(spec, inputs, units, ctx)
    expected = np.array(record["test"]["probabilities"])
    pictures = np.stack(
        [
            np.asarray(Image.open(tmp_path / i.path).resize((32, 32), Image.Resampling.BILINEAR))
            for i in test
        ]
    ).transpose(0, 3, 1, 2)

    for form in spec.formats:
        _files, summary = ctx.results[form]
        assert summary["tested_on"] == len(test)
        assert summary["largest_difference"] <= 1e-4
        assert summary["labels"] == list(LABELS)

    session = runtime.InferenceSession(str(ctx.results["onnx"][0]["onnx"]))
    (found,) = session.run(None, {"pictures": pictures})
    assert np.abs(found - expected).max() <= 1e-4
    (one,) = session.run(None, {"pictures": pictures[:1]})  # any number at once
    assert np.abs(one - expected[:1]).max() <= 1e-4
    facts = session.get_modelmeta().custom_metadata_map
    assert json.loads(facts["labels"]) == list(LABELS)
    assert json.loads(facts["mean"]) == [0.485, 0.456, 0.406]

    extra = {"facts.json": ""}
    with trained_module._quiet():
        script = torch.jit.load(
            str(ctx.results["torchscript"][0]["torchscript"]), _extra_files=extra
        )
    assert np.abs(script(torch.from_numpy(pictures)).numpy() - expected).max() <= 1e-4
    assert json.loads(json.loads(extra["facts.json"])["labels"]) == list(LABELS)

    again = load_trained(ctx.results["safetensors"][0]["safetensors"])
    assert (again.labels, again.resolution) == (LABELS, 32)


def test_an_export_that_says_something_else_is_not_kept(
    ctx: NullContext,
    fitted: tuple[str, tuple[ImageInput, ...], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    weights, test, _ = fitted

    def skewed(path: Path) -> Any:
        return lambda pictures: torch.full((len(pictures), 3), 1 / 3)

    monkeypatch.setitem(trained_module.RUNNERS, "safetensors", skewed)
    spec = ModelExportSpec(run_id=1, formats=("safetensors",))
    with pytest.raises(UserError, match="other probabilities"):
        export_model.run(
            spec,
            ModelExportInputs(FileInput(weights, ""), test),
            [make_unit(1, "safetensors", format="safetensors")],
            ctx,
        )
    assert not ctx.results


def test_what_is_no_classifier_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(b"rubbish")
    with pytest.raises(UserError, match="is not a classifier"):
        load_trained(tmp_path / "x.safetensors")


def test_the_probe_leaves_the_frozen_part_as_it_was_and_says_what_the_network_says(
    tmp_path: Path, ctx: NullContext
) -> None:
    """Cached features give what a pass through the saved network gives."""
    inputs = make_inputs(tmp_path)
    spec = make_spec(arms=(Arm("real"),), protocol="probe", epochs=3)
    train.run(spec, inputs, [make_unit(1, "real/0", arm="real", seed=0)], ctx)
    files, record = ctx.results["real/0"]
    trained = load_trained(files["weights"])
    start = build_classifier(BACKBONE, 3, "", derive_seed("weights", 0)).state_dict()
    for name, value in trained.network.state_dict().items():
        assert torch.equal(value, start[name]) == (not name.startswith("fc.")), name
    pictures = np.stack(
        [
            np.asarray(Image.open(tmp_path / i.path).resize((32, 32), Image.Resampling.BILINEAR))
            for i in inputs.test
        ]
    ).transpose(0, 3, 1, 2)
    found = trained.probabilities(torch.from_numpy(pictures), torch.device("cpu")).numpy()
    assert np.abs(found - record["test"]["probabilities"]).max() < 1e-5
