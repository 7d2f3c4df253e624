"""Classifier weights that come with the program, by name, wherever weights are named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from dafusion_core import resources
from dafusion_core.domain.errors import UserError
from dafusion_core.domain.specs import Arm, Protocol, TrainingSpec
from dafusion_core.engine.augment import Normalisation
from dafusion_core.engine.classifiers import (
    build_classifier,
    bundled_weights,
    choose_normalisation,
    weights_hash,
)
from dafusion_core.engine.picture_store import PictureStore
from dafusion_core.engine.sources import file_hash
from dafusion_core.engine.trained import EXPORTERS, load_trained
from dafusion_core.jobs.context import NullContext
from dafusion_core.methods import train

from .test_train import UNITS, make_inputs, make_spec

MEAN, STD = [0.4, 0.5, 0.6], [0.1, 0.2, 0.3]
TINY = "shufflenet_v2_x0_5"


@pytest.fixture
def bundled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file as the program brings one: no last layer, half precision, its normalisation in it."""
    donor = build_classifier(TINY, 2, "", 5).state_dict()
    values = {name: value for name, value in donor.items() if not name.startswith("fc.")}
    for name, value in values.items():
        if value.is_floating_point() and "running" not in name:
            values[name] = value.half()
    path = tmp_path / "bundled.safetensors"
    save_file(values, str(path), metadata={"mean": json.dumps(MEAN), "std": json.dumps(STD)})
    monkeypatch.setattr(resources, "BACKBONES", {TINY: str(path)})
    monkeypatch.setattr("dafusion_core.engine.classifiers.BACKBONES", resources.BACKBONES)
    return path


def spec_of(protocol: Protocol) -> TrainingSpec:
    return make_spec(
        arms=(Arm("real"),), protocol=protocol, backbone=TINY, weights="bundled", epochs=1
    )


def test_training_begins_with_the_bundled_weights_and_their_normalisation(
    bundled: Path, tmp_path: Path, ctx: NullContext
) -> None:
    spec = spec_of("probe")
    train.run(spec, make_inputs(tmp_path), UNITS[:1], ctx)
    files, record = ctx.results["real/0"]
    assert record["weights_sha256"] == file_hash(bundled)
    with safe_open(str(files["weights"]), framework="pt") as stream:
        assert json.loads(stream.metadata()["mean"]) == MEAN
        assert json.loads(stream.metadata()["std"]) == STD
    found = load_trained(files["weights"]).network.state_dict()["conv1.0.weight"]
    with safe_open(str(bundled), framework="pt") as stream:
        assert torch.equal(found, stream.get_tensor("conv1.0.weight").float())
    assert found.dtype == torch.float32
    assert bundled_weights() == [TINY]


@pytest.mark.parametrize("protocol", ["probe", "paper"])
def test_a_fit_writes_only_what_it_changed_and_comes_back_whole(
    protocol: Protocol, bundled: Path, tmp_path: Path, ctx: NullContext
) -> None:
    inputs = make_inputs(tmp_path)
    spec = spec_of(protocol)
    train.run(spec, inputs, UNITS[:1], ctx)
    files, record = ctx.results["real/0"]
    assert files["weights"].stat().st_size < 0.2 * bundled.stat().st_size
    trained = load_trained(files["weights"])
    paths = [tmp_path / image.path for image in inputs.test]
    pictures = PictureStore(spec.resolution).stack(paths)
    found = trained.probabilities(pictures, torch.device("cpu"))
    truth = torch.tensor(record["test"]["probabilities"])
    assert (found - truth).abs().max() < 1e-5
    # Exported, it needs nothing else.
    EXPORTERS["safetensors"][1](trained, tmp_path / "whole.safetensors")
    bundled.write_bytes(bundled.read_bytes() + b" ")
    again = load_trained(tmp_path / "whole.safetensors")
    assert torch.equal(again.probabilities(pictures, torch.device("cpu")), found)


def test_other_weights_than_those_it_was_trained_on_are_refused(
    bundled: Path, tmp_path: Path, ctx: NullContext
) -> None:
    spec = spec_of("probe")
    train.run(spec, make_inputs(tmp_path), UNITS[:1], ctx)
    values = load_file(str(bundled))
    save_file({name: value * 2 for name, value in values.items()}, str(bundled))
    with pytest.raises(UserError, match="other bundled weights"):
        load_trained(ctx.results["real/0"][0]["weights"])


def test_the_paper_keeps_its_own_normalisation(bundled: Path) -> None:
    half = Normalisation((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert choose_normalisation("auto", "paper", "bundled", TINY) == half
    own = Normalisation((0.4, 0.5, 0.6), (0.1, 0.2, 0.3))
    assert choose_normalisation("auto", "finetune", "bundled", TINY) == own
    assert weights_hash("", TINY) == ""


def test_another_network_or_a_missing_file_is_said(
    bundled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=f"No weights for resnet18 .* only for {TINY}"):
        build_classifier("resnet18", 3, "bundled")
    bundled.unlink()
    assert bundled_weights() == []
    with pytest.raises(UserError, match="not part of this installation"):
        build_classifier(TINY, 3, "bundled")
    with pytest.raises(UserError, match="not part of this installation"):
        choose_normalisation("auto", "probe", "bundled", TINY)


@pytest.mark.skipif("resnet50" not in bundled_weights(), reason="no weights in this checkout")
def test_the_weights_that_come_with_the_program_fit() -> None:
    begun = build_classifier("resnet50", 3, "bundled", 1).state_dict()
    fresh = build_classifier("resnet50", 3, "", 1).state_dict()
    assert not torch.equal(begun["conv1.weight"], fresh["conv1.weight"])
    assert torch.equal(begun["fc.weight"], fresh["fc.weight"])  # the head is the seed's
    assert all(bool(torch.isfinite(value).all()) for value in begun.values())
    with safe_open(str(resources.backbone_path("resnet50")), framework="pt") as stream:
        assert {"mean", "std"} <= set(stream.metadata())
    assert isinstance(choose_normalisation("auto", "probe", "bundled", "resnet50"), Normalisation)
