"""What is told of base models without loading them."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from dafusion_core.api.base_models import bytes_here, describe_model, estimate_memory
from dafusion_core.domain.specs import ModelSource


def write_tensors(path: Path, **shapes: list[int]) -> None:
    """A .safetensors file with a head only."""
    head = json.dumps({name: {"dtype": "F16", "shape": s} for name, s in shapes.items()}).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(head)) + head)


def test_the_bundled_model_is_described() -> None:
    facts = describe_model(ModelSource())
    assert facts is not None
    assert facts.shape is not None
    assert facts.resolution == 64
    assert facts.licence == "Apache-2.0"
    unet, vae, text = (round(n / 1e6, 2) for n in facts.shape.parameters)
    assert (unet, vae) == (5.55, 0.66)
    assert 0.3 <= text < 0.4  # grows with the vocabulary
    assert facts.shape.scale == 4
    one, eight = (estimate_memory(facts, 4, n, None) for n in (1, 8))
    assert one is not None
    assert eight is not None
    assert 25e6 < one < eight < 200e6
    assert estimate_memory(facts, 2, 8, None) == eight // 2


def test_models_of_the_hub_are_found_where_they_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    source = ModelSource("hub", "owner/name")
    assert describe_model(source) is None
    assert bytes_here(source) == 0
    folder = tmp_path / "models--owner--name"
    (folder / "blobs").mkdir(parents=True)
    (folder / "blobs" / "abc.incomplete").write_bytes(b"0" * 70)
    assert describe_model(source) is None  # still on its way
    assert bytes_here(source) == 70
    snapshot = folder / "snapshots" / "c0ffee"
    write_tensors(snapshot / "unet" / "diffusion_pytorch_model.safetensors", a=[2, 3], b=[4])
    (snapshot / "README.md").write_text("---\nlicense: creativeml-openrail-m\ntags: x\n---\n")
    (snapshot / "model_index.json").write_text("{}")
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("c0ffee")
    facts = describe_model(source)
    assert facts is not None
    assert facts.licence == "creativeml-openrail-m"
    assert facts.shape is None  # without configurations nothing is promised
    assert estimate_memory(facts, 4, 1, None) is None


def test_checkpoints_tell_their_parts(tmp_path: Path) -> None:
    path = tmp_path / "sd.safetensors"
    names = {"model.diffusion_model.x": [10, 10], "first_stage_model.x": [5], "other": [9]}
    write_tensors(path, **names)
    facts = describe_model(ModelSource("file", str(path)))
    assert facts is not None
    assert facts.shape is not None
    assert facts.shape.parameters == (100, 5, 0)
    path.write_bytes(b"no such thing")
    facts = describe_model(ModelSource("file", str(path)))
    assert facts is not None
    assert facts.shape is None
