"""Measurements on synthetic images, each against pictures whose answer is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from transformers import CLIPVisionConfig, CLIPVisionModel, Dinov2Config, Dinov2Model

from dafusion_core import resources
from dafusion_core.domain.errors import UserError
from dafusion_core.domain.inputs import CheckInputs, ImageInput, SyntheticInput
from dafusion_core.domain.specs import CheckSpec, ModelSource
from dafusion_core.engine import measures
from dafusion_core.engine.classifiers import build_classifier
from dafusion_core.jobs.context import NullContext
from dafusion_core.methods import check

from .conftest import make_unit


def coloured(seed: int, red: bool) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 70, (32, 32, 3))
    noise[..., 0 if red else 2] += 150
    return Image.fromarray(noise.astype(np.uint8))


def save(picture: Image.Image, folder: Path, name: str) -> str:
    picture.save(folder / name)
    return name


@pytest.fixture(autouse=True)
def nothing_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a model in this computer's cache nor the bundled backbone, unless a test says so."""
    monkeypatch.setattr(measures, "find_image_model", lambda: None)
    monkeypatch.setattr(check, "bundled_weights", list)


@pytest.fixture
def inputs(tmp_path: Path) -> CheckInputs:
    train, test = [], []
    for i in range(8):
        item = ImageInput(i, save(coloured(i, i % 2 == 0), tmp_path, f"r{i}.png"), "", i % 2)
        (train if i < 6 else test).append(item)
    made = {
        "1": SyntheticInput(101, "r0.png", 0, 0),  # a copy of its source
        "2": SyntheticInput(102, "r6.png", 0, 0),  # a copy of a held-out picture
        "3": SyntheticInput(103, save(coloured(50, False), tmp_path, "b.png"), 2, 0),
        "4": SyntheticInput(104, save(Image.new("RGB", (32, 32), "grey"), tmp_path, "e.png"), 1, 1),
        "5": SyntheticInput(105, "gone.png", 1, 1),
    }
    return CheckInputs(("red", "blue"), made, tuple(train), tuple(test))


def test_every_measure_sees_what_is_there(
    source: ModelSource, ctx: NullContext, inputs: CheckInputs
) -> None:
    spec = CheckSpec(generation_job=1, model=source, batch_size=2)
    check.run(spec, inputs, [make_unit(1, "0", units=[1, 2, 3, 4, 5, 6])], ctx)
    rows = {row["synthetic_id"]: row for row in ctx.results["0"][1]["rows"]}
    assert {row["features"] for row in rows.values()} == {f"network of {source.location}"}
    assert set(rows) == {101, 102, 103, 104}  # one cannot be read, one was never made
    assert any("gone.png is left out" in line for line in ctx.lines)
    copy, leak, other, blank = (rows[i] for i in (101, 102, 103, 104))
    assert copy["source_distance"] < 1e-5
    assert (copy["train_image_id"], copy["train_distance"] < 1e-5) == (0, True)
    assert (leak["test_image_id"], leak["test_distance"] < 1e-5) == (6, True)
    assert leak["train_distance"] > 1e-3
    assert (copy["predicted"], copy["agreement"] > 0.5) == ("red", True)
    assert (other["predicted"], other["agreement"] < 0.5) == ("blue", True)
    assert (copy["is_blank"], blank["is_blank"]) == (0, 1)
    assert blank["sharpness"] == 0 < copy["sharpness"]
    assert all(0 <= row["test_distance"] <= 2 for row in rows.values())


def test_sharpness_falls_with_blur() -> None:
    from PIL import ImageFilter

    sharp = coloured(1, True)
    soft = sharp.filter(ImageFilter.GaussianBlur(2))
    assert measures.sharpness(soft) < 0.5 * measures.sharpness(sharp)
    assert not measures.is_blank(sharp)


def test_features_of_a_model_folder(tmp_path: Path, ctx: NullContext, inputs: CheckInputs) -> None:
    torch.manual_seed(0)
    config = CLIPVisionConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        image_size=32, patch_size=8,
    )  # fmt: skip
    CLIPVisionModel(config).save_pretrained(str(tmp_path / "clip"))
    spec = CheckSpec(generation_job=1, features=str(tmp_path / "clip"))
    check.run(spec, inputs, [make_unit(1, "0", units=[1, 2])], ctx)
    rows = ctx.results["0"][1]["rows"]
    assert rows[0]["features"] == "clip_vision_model (clip)"
    assert rows[0]["source_distance"] < 1e-5
    with pytest.raises(UserError, match="holds no model"):
        measures.FolderFeatures(tmp_path, torch.device("cpu"))


def test_a_dino_model_in_the_cache_is_found(
    tmp_path: Path, ctx: NullContext, inputs: CheckInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    assert measures.find_image_model() is None
    cache = tmp_path / "hub" / "models--facebook--dinov2-small"
    config = Dinov2Config(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=28, patch_size=14
    )
    Dinov2Model(config).save_pretrained(str(cache / "snapshots" / "abc"))
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text("abc")
    assert measures.find_image_model() == cache / "snapshots" / "abc"
    check.run(CheckSpec(generation_job=1), inputs, [make_unit(1, "0", units=[1, 2])], ctx)
    copy, leak = ctx.results["0"][1]["rows"]
    assert copy["features"] == leak["features"] == "dinov2 (abc)"
    assert copy["source_distance"] < 1e-5 < leak["source_distance"]
    assert "Pictures are compared by the features of: dinov2 (abc)." in ctx.lines


def test_without_one_the_bundled_backbone_is_used(
    tmp_path: Path, ctx: NullContext, inputs: CheckInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = build_classifier("resnet18", 2, "", 4).state_dict()
    kept = {name: value for name, value in network.items() if not name.startswith("fc.")}
    facts = {"mean": "[0.5, 0.5, 0.5]", "std": "[0.5, 0.5, 0.5]"}
    save_file(kept, str(tmp_path / "w.safetensors"), metadata=facts)
    monkeypatch.setattr(resources, "BACKBONES", {"resnet18": str(tmp_path / "w.safetensors")})
    monkeypatch.setattr(check, "bundled_weights", lambda: ["resnet18"])
    check.run(CheckSpec(generation_job=1), inputs, [make_unit(1, "0", units=[1, 2, 3])], ctx)
    copy, leak, other = ctx.results["0"][1]["rows"]
    assert copy["features"] == "bundled resnet18"
    assert copy["source_distance"] < 1e-5
    assert leak["test_distance"] < 1e-5
    assert other["predicted"] == "blue"


def test_the_bundled_backbone_can_be_asked_for(ctx: NullContext, inputs: CheckInputs) -> None:
    spec = CheckSpec(generation_job=1, features="bundled")
    if resources.resources_root().joinpath(resources.BACKBONES["resnet50"]).is_file():
        check.run(spec, inputs, [make_unit(1, "0", units=[1])], ctx)
        assert ctx.results["0"][1]["rows"][0]["features"] == "bundled resnet50"
        return
    with pytest.raises(UserError, match="not part of this installation"):
        check.run(spec, inputs, [make_unit(1, "0", units=[1])], ctx)


def test_one_class_has_no_agreement(
    source: ModelSource, ctx: NullContext, inputs: CheckInputs
) -> None:
    red = tuple(item for item in inputs.train if item.label == 0)
    few = CheckInputs(("red", "blue"), inputs.synthetics, red, ())
    spec = CheckSpec(generation_job=1, model=source)
    check.run(spec, few, [make_unit(1, "0", units=[1])], ctx)
    (row,) = ctx.results["0"][1]["rows"]
    assert (row["agreement"], row["test_distance"]) == (None, None)
