"""Loading base models: every form a good one may take, and a sentence for every bad one."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel

from dafusion_core.domain.errors import UserError
from dafusion_core.domain.specs import ModelSource
from dafusion_core.engine import clip_words, single_file, sources, tokens
from dafusion_core.engine.models import PipelineCache, load_model

from . import tiny

CPU = torch.device("cpu")


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model to damage."""
    copy = tmp_path / "model"
    shutil.copytree(tiny_folder, copy)
    return copy


@pytest.fixture(scope="session")
def checkpoint(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model as one file, with its settings in a folder of the same name beside it."""
    place = tmp_path_factory.mktemp("single")
    path = tiny.save_checkpoint(tiny.build(), place / "tiny.safetensors")
    for part in ("unet", "vae", "text_encoder", "scheduler", "tokenizer"):
        (place / "tiny" / part).mkdir(parents=True)
        for file in (tiny_folder / part).iterdir():
            if file.suffix != ".safetensors":
                shutil.copy(file, place / "tiny" / part)
    shutil.copy(tiny_folder / "model_index.json", place / "tiny")
    return path


def load(folder: Path) -> Any:
    return load_model(ModelSource("folder", str(folder)), CPU)


def change_settings(path: Path, **changes: Any) -> None:
    value = json.loads(path.read_text())
    path.write_text(json.dumps(value | changes))


# ---------------------------------------------------------------------------------- good ones


def test_a_folder_loads_frozen_and_whole(folder: Path) -> None:
    model = load(folder)
    original = tiny.build()
    for part in ("unet", "vae", "text_encoder"):
        loaded = getattr(model, part)
        assert not loaded.training
        assert not any(value.requires_grad for value in loaded.parameters())
        for name, value in getattr(original, part).state_dict().items():
            assert torch.equal(loaded.state_dict()[name], value), name
    assert (model.resolution, model.scale, model.embedding_dim) == (32, 2, tiny.DIM)
    assert model.prediction_type == "epsilon"


def test_a_single_file_equals_the_folder(checkpoint: Path, tiny_folder: Path) -> None:
    one = load_model(ModelSource("file", str(checkpoint)), CPU)
    other = load(tiny_folder)
    for part in ("unet", "vae", "text_encoder"):
        expected = getattr(other, part).state_dict()
        found = getattr(one, part).state_dict()
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], expected[name]) for name in expected)
    prompt = ["a photo of a oak"]
    assert torch.equal(tokens.token_ids(one, prompt), tokens.token_ids(other, prompt))


@pytest.mark.parametrize("variant", ["fp16", "bin"])
def test_other_weight_formats_load(folder: Path, variant: str) -> None:
    for part in ("unet", "vae", "text_encoder"):
        [path] = (folder / part).glob("*.safetensors")
        values = load_file(str(path))
        if variant == "fp16":
            half = {name: value.half() for name, value in values.items()}
            save_file(half, str(path.with_suffix(".fp16.safetensors")), metadata={"format": "pt"})
        elif part == "text_encoder":
            torch.save(values, path.with_name("pytorch_model.bin"))
        else:
            torch.save(values, path.with_suffix(".bin"))
        path.unlink()
    model = load(folder)
    expected = tiny.build().unet.state_dict()
    for name, value in model.unet.state_dict().items():
        assert value.dtype == torch.float32
        assert torch.allclose(value, expected[name], atol=1e-2), name


def test_the_weights_identify_a_model(folder: Path, tmp_path: Path) -> None:
    first = load(folder).base_hash
    moved = folder.rename(tmp_path / "elsewhere")
    assert load(moved).base_hash == first
    [path] = (moved / "unet").glob("*.safetensors")
    values = load_file(str(path))
    values["conv_in.bias"] += 1
    save_file(values, str(path), metadata={"format": "pt"})
    assert load(moved).base_hash != first


def test_a_file_is_hashed_again_only_when_it_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"one")
    first = sources.file_hash(path)
    opened: list[Path] = []
    original = Path.open

    def counting(self: Path, *rest: Any, **more: Any) -> Any:
        opened.append(self)
        return original(self, *rest, **more)

    monkeypatch.setattr(Path, "open", counting)
    assert sources.file_hash(path) == first
    assert opened == []
    with original(path, "wb") as stream:
        stream.write(b"two")
    os.utime(path, ns=(1, 1))
    assert sources.file_hash(path) != first
    assert opened == [path]


def test_the_cache_loads_once_and_notices_other_settings(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = PipelineCache()
    source = ModelSource("folder", str(folder))
    first = cache.get(source, device=CPU)
    assert cache.get(source, device=CPU) is first
    change_settings(folder / "scheduler" / "scheduler_config.json", prediction_type="v_prediction")
    assert cache.get(source, device=CPU).prediction_type == "v_prediction"


def test_tokens_in_the_cache_do_not_stay_in_the_base_model(folder: Path, tmp_path: Path) -> None:
    cache = PipelineCache()
    source = ModelSource("folder", str(folder))
    paths = []
    for name in ("fern", "moss"):
        path = tmp_path / f"{name}.safetensors"
        paths.append(tokens.write_embedding(path, f"<{name}>", torch.randn(1, tiny.DIM)))
    with_fern = cache.get(source, device=CPU, embeddings=(paths[0],))
    assert tokens.count_vectors(with_fern, "<fern>") == 1
    with_moss = cache.get(source, device=CPU, embeddings=(paths[1],))
    assert with_moss.unet is with_fern.unet
    with pytest.raises(UserError, match="does not know the token"):
        tokens.count_vectors(with_moss, "<fern>")
    with pytest.raises(UserError, match="does not know the token"):
        tokens.count_vectors(cache.get(source, device=CPU), "<moss>")


def test_a_resolution_must_fit_the_network(folder: Path) -> None:
    model = load(folder)
    assert model.check_resolution(None) == 32
    assert model.check_resolution(64) == 64
    for wrong in (30, 0, 2):
        with pytest.raises(UserError, match="cannot work at"):
            model.check_resolution(wrong)


# ----------------------------------------------------------------------------------- bad ones


@pytest.mark.parametrize("component", ["unet", "vae", "text_encoder", "tokenizer", "scheduler"])
def test_a_missing_component_is_named(folder: Path, component: str) -> None:
    shutil.rmtree(folder / component)
    with pytest.raises(UserError, match=f"incomplete: .*{component}"):
        load(folder)


@pytest.mark.parametrize("component", ["unet", "vae", "text_encoder"])
def test_missing_weights_are_named(folder: Path, component: str) -> None:
    for path in (folder / component).glob("*.safetensors"):
        path.unlink()
    with pytest.raises(UserError, match=f"the weights of {component}"):
        load(folder)


@pytest.mark.parametrize("component", ["unet", "vae", "text_encoder"])
def test_truncated_weights_are_an_error(folder: Path, component: str) -> None:
    [path] = (folder / component).glob("*.safetensors")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match=component):
        load(folder)


@pytest.mark.parametrize("component", ["unet", "vae", "text_encoder"])
def test_tensors_that_are_not_in_the_file_are_an_error(folder: Path, component: str) -> None:
    """The libraries would fill them with random numbers."""
    [path] = (folder / component).glob("*.safetensors")
    values = load_file(str(path))
    del values[sorted(values)[0]]
    save_file(values, str(path), metadata={"format": "pt"})
    with pytest.raises(UserError, match=f"{component} weights .* missing"):
        load(folder)


def test_other_architectures_are_recognised(folder: Path) -> None:
    (folder / "text_encoder_2").mkdir()
    with pytest.raises(UserError, match="Stable Diffusion XL"):
        load(folder)
    (folder / "text_encoder_2").rmdir()
    change_settings(folder / "unet" / "config.json", addition_embed_type="text_time")
    with pytest.raises(UserError, match="looks like SDXL"):
        load(folder)
    change_settings(folder / "unet" / "config.json", addition_embed_type=None, in_channels=9)
    with pytest.raises(UserError, match="inpainting"):
        load(folder)
    change_settings(folder / "unet" / "config.json", in_channels=4, time_cond_proj_dim=256)
    with pytest.raises(UserError, match="LCM"):
        load(folder)
    (folder / "unet").rename(folder / "transformer")
    with pytest.raises(UserError, match="not Stable Diffusion"):
        load(folder)


def test_parts_of_different_models_are_an_error(folder: Path) -> None:
    other = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=600, hidden_size=48, intermediate_size=8, num_hidden_layers=1,
            num_attention_heads=2, max_position_embeddings=32,
        )
    )  # fmt: skip
    shutil.rmtree(folder / "text_encoder")
    other.save_pretrained(str(folder / "text_encoder"))
    with pytest.raises(UserError, match="do not belong together"):
        load(folder)


@pytest.mark.parametrize(
    ("kind", "location", "match"),
    [
        ("folder", "", "No model was chosen"),
        ("folder", "nowhere", "is not there"),
        ("file", "nowhere.safetensors", "is not there"),
        ("file", "empty", "is a folder"),
        ("folder", "a.txt", "is a file"),
        ("file", "a.txt", r"is not a \.safetensors file"),
        ("folder", "empty", "is not a diffusers model folder"),
        ("hub", "nobody/never-was", "has not been downloaded"),
        ("hub", "not an id", "is not a model id"),
    ],
)
def test_sources_that_lead_nowhere(tmp_path: Path, kind: Any, location: str, match: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.txt").write_text("?")
    place = location if kind == "hub" or not location else str(tmp_path / location)
    with pytest.raises(UserError, match=match):
        load_model(ModelSource(kind, place), CPU)


# ------------------------------------------------------------------------------- single files


def rewritten(checkpoint: Path, target: Path, change: Any) -> Path:
    values = load_file(str(checkpoint))
    change(values)
    save_file(values, str(target))
    return target


def drop(prefix: str) -> Any:
    def change(values: dict[str, torch.Tensor]) -> None:
        for name in [name for name in values if name.startswith(prefix)]:
            del values[name]

    return change


FIRST = "model.diffusion_model.input_blocks.0.0.weight"


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (drop("first_stage_model."), "no picture coder"),
        (drop("cond_stage_model."), "no text encoder"),
        (drop("model."), "not a Stable Diffusion"),
        (lambda v: v.update({"conditioner.embedders.0.x": torch.zeros(1)}), "XL"),
        (lambda v: v.update({"lora_unet_x.lora_up": torch.zeros(1)}), "LoRA"),
        (lambda v: v.update({FIRST: torch.zeros(16, 9, 3, 3)}), "inpainting"),
    ],
)
def test_checkpoints_of_other_kinds_are_recognised(
    checkpoint: Path, tmp_path: Path, change: Any, match: str
) -> None:
    path = rewritten(checkpoint, tmp_path / "other.safetensors", change)
    with pytest.raises(UserError, match=match):
        load_model(ModelSource("file", str(path)), CPU)


def test_an_incomplete_checkpoint_is_an_error(checkpoint: Path, tmp_path: Path) -> None:
    shutil.copytree(checkpoint.with_suffix(""), tmp_path / "part")
    gone = "model.diffusion_model.middle_block.0.in_layers.2.weight"
    path = rewritten(checkpoint, tmp_path / "part.safetensors", drop(gone))
    with pytest.raises(UserError, match=r"could not be loaded|incomplete"):
        load_model(ModelSource("file", str(path)), CPU)


def test_a_truncated_checkpoint_is_an_error(checkpoint: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.safetensors"
    path.write_bytes(checkpoint.read_bytes()[:5000])
    with pytest.raises(UserError, match="damaged or incomplete"):
        load_model(ModelSource("file", str(path)), CPU)


def test_without_a_vocabulary_the_way_out_is_named(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(single_file.clip_words, "find", lambda folder: None)
    path = tmp_path / "alone.safetensors"
    shutil.copy(checkpoint, path)
    with pytest.raises(UserError, match="no vocabulary") as caught:
        load_model(ModelSource("file", str(path)), CPU)
    assert str(tmp_path) in caught.value.hint


@pytest.mark.parametrize(
    ("version", "unet", "vae", "text"),
    [("v1", 859_520_964, 83_653_863, 123_060_480), ("v2", 865_910_724, 83_653_863, 340_387_840)],
)
def test_the_settings_of_the_published_models_have_their_sizes(
    tmp_path: Path, version: str, unet: int, vae: int, text: int
) -> None:
    """The parameter counts of Stable Diffusion 1.5 and 2.1."""
    single_file._write_settings(tmp_path, version)
    settings = CLIPTextConfig.from_pretrained(str(tmp_path / "text_encoder"))
    with torch.device("meta"):
        made = [
            UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(tmp_path / "unet")),
            AutoencoderKL.from_config(AutoencoderKL.load_config(tmp_path / "vae")),
            CLIPTextModel(settings),
        ]
    counts = [sum(value.numel() for value in module.parameters()) for module in made]
    assert counts == [unet, vae, text]


def test_clips_vocabulary_follows_from_its_merges() -> None:
    merges = "\n".join(["#version", *(f"x{i} y{i}" for i in range(50_000))])
    words, pairs = clip_words._from_merges(merges)
    assert len(words) == 49_408
    assert words["<|startoftext|>"] == 49_406
    assert words["<|endoftext|>"] == 49_407
    assert words["!"] == 0
    assert words["!</w>"] == 256
    assert words["x0y0"] == 512
    assert pairs[0] == ("x0", "y0")


def test_a_vocabulary_beside_the_file_is_used(tmp_path: Path) -> None:
    place = tmp_path / "tokenizer"
    place.mkdir()
    (place / "vocab.json").write_text(json.dumps({"a</w>": 0, "b</w>": 1}))
    (place / "merges.txt").write_text("#version: 0.2\na b</w>\n")
    assert clip_words.find(tmp_path) == ({"a</w>": 0, "b</w>": 1}, [("a", "b</w>")])
    packed = gzip.compress("\n".join(["#version", *["p q"] * 50_000]).encode())
    (place / "bpe_simple_vocab_16e6.txt.gz").write_bytes(packed)
    words = clip_words.find(tmp_path)
    assert words is not None
    assert words[1][0] == ("p", "q")


@pytest.mark.parametrize(("kind", "expected"), [("epsilon", True), ("v", False)])
def test_a_velocity_model_is_told_from_a_noise_model(kind: str, expected: bool) -> None:
    class Network(torch.nn.Module):
        config = type("C", (), {"cross_attention_dim": 8})

        def forward(self, x: torch.Tensor, t: Any, encoder_hidden_states: Any) -> Any:
            noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(9))
            answer = x * 0.9 + 0.2 * noise if kind == "epsilon" else noise
            return type("Out", (), {"sample": answer})

    assert single_file._predicts_noise(Network()) is expected
