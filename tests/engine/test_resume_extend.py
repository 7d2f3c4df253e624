"""Going on: after a stop at any step, after a kill, beyond the end; embeddings from elsewhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionImg2ImgPipeline
from safetensors.torch import load_file, save_file

from dafusion_core.domain.errors import Stopped, UserError
from dafusion_core.domain.inputs import FileInput
from dafusion_core.domain.specs import GenerationPlan, ImportedEmbedding, ModelSource
from dafusion_core.engine import foreign_embeddings, images, tokens
from dafusion_core.engine.models import PipelineCache
from dafusion_core.engine.sdedit import Request, SDEdit, encode_posterior
from dafusion_core.jobs.context import NullContext
from dafusion_core.methods import generate, invert

from . import tiny
from .conftest import draw_picture, make_unit
from .test_generate import make_inputs as generation_inputs
from .test_generate import make_units
from .test_invert import make_inputs, make_spec

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def short_previews(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(invert, "_PREVIEW_STEPS", 1)


class StopsAt(NullContext):
    """Stops when the `at`-th step would begin."""

    at = 0

    def progress(self, done: float, total: float, phase: str = "") -> None:
        if phase == "learning":
            self.at -= 1
            if self.at < 0:
                raise Stopped("closing")


def learned(ctx: NullContext, key: str = "0", role: str = "embedding") -> dict[str, torch.Tensor]:
    return load_file(str(ctx.results[key][0][role]))


def fresh(tmp_path: Path, name: str, kind: type[NullContext] = NullContext) -> Any:
    folder = tmp_path / name
    folder.mkdir(exist_ok=True)
    return kind(scratch=folder, root=tmp_path)


@pytest.mark.parametrize("adaptation", ["embedding", "embedding+lora"])
@pytest.mark.parametrize("at", [1, 4])
def test_a_stopped_run_goes_on_as_if_it_had_not(
    source: ModelSource, tmp_path: Path, adaptation: Any, at: int
) -> None:
    spec = make_spec(source, steps=6, vectors=1, adaptation=adaptation, lora_rank=2)
    inputs, units = make_inputs(tmp_path), [make_unit(1, "0", 5, concept_id=0)]
    whole = fresh(tmp_path, "whole")
    invert.run(spec, inputs, units, whole)
    parted = fresh(tmp_path, "parted", StopsAt)
    parted.at = at
    with pytest.raises(Stopped):
        invert.run(spec, inputs, units, parted)
    parted.at = 99
    invert.run(spec, inputs, units, parted)
    assert f"Going on after step {at}." in parted.lines
    assert parted.results["0"][1]["begun_at_step"] == at
    roles = ["embedding", "state"] + (["lora"] if "lora" in adaptation else [])
    for role in roles:
        expected, found = learned(whole, role=role), learned(parted, role=role)
        assert expected.keys() == found.keys()
        for name, value in expected.items():
            assert torch.equal(value, found[name]), name
    assert not list((parted.scratch / "kept").glob("*.safetensors"))


def test_units_that_stand_at_different_steps_are_learned_apart(
    source: ModelSource, tmp_path: Path
) -> None:
    spec, inputs = make_spec(source, steps=4, vectors=1), make_inputs(tmp_path)
    units = [make_unit(i + 1, str(i), i, concept_id=i) for i in range(2)]
    whole, parted = fresh(tmp_path, "whole"), fresh(tmp_path, "parted", StopsAt)
    invert.run(spec, inputs, units, whole)
    parted.at = 2
    with pytest.raises(Stopped):
        invert.run(spec, inputs, units[:1], parted)
    parted.at = 99
    invert.run(spec, inputs, units, parted)
    assert [parted.results[key][1]["begun_at_step"] for key in "01"] == [2, 0]
    for key, name in (("0", "<oak>"), ("1", "<fern>")):
        assert (learned(parted, key)[name] - learned(whole, key)[name]).abs().max() < 1e-5


def test_what_was_kept_for_other_settings_is_not_used(source: ModelSource, tmp_path: Path) -> None:
    inputs, units = make_inputs(tmp_path), [make_unit(1, "0", 5, concept_id=0)]
    ctx = fresh(tmp_path, "parted", StopsAt)
    ctx.at = 2
    with pytest.raises(Stopped):
        invert.run(make_spec(source), inputs, units, ctx)
    ctx.at = 99
    invert.run(make_spec(source, learning_rate=1e-4), inputs, units, ctx)
    assert ctx.results["0"][1]["begun_at_step"] == 0


def test_a_finished_run_is_extended(source: ModelSource, tmp_path: Path) -> None:
    inputs, units = make_inputs(tmp_path), [make_unit(1, "0", 5, concept_id=0)]
    whole, first, second = (fresh(tmp_path, name) for name in ("whole", "first", "second"))
    invert.run(make_spec(source, steps=5), inputs, units, whole)
    invert.run(make_spec(source, steps=2), inputs, units, first)
    state = first.results["0"][0]["state"].relative_to(tmp_path)
    inputs = replace(inputs, states={"0": FileInput(str(state), "")})
    invert.run(make_spec(source, steps=5, extend_job=1), inputs, units, second)
    assert torch.equal(learned(second)["<oak>"], learned(whole)["<oak>"])
    assert second.results["0"][1]["begun_at_step"] == 2
    with pytest.raises(UserError, match="learned for 2 steps already"):
        invert.run(make_spec(source, steps=2, extend_job=1), inputs, units, second)
    with pytest.raises(UserError, match="differs in vectors"):
        invert.run(make_spec(source, steps=5, vectors=1, extend_job=1), inputs, units, second)
    with pytest.raises(UserError, match="left no state"):
        invert.run(make_spec(source, extend_job=1), replace(inputs, states={}), units, second)


def test_words_that_give_the_class_away_are_refused(source: ModelSource, tmp_path: Path) -> None:
    units = [make_unit(1, "0", 5, concept_id=0)]
    with pytest.raises(UserError, match="forbidden word “cropped tree”"):
        invert.run(
            make_spec(source, forbidden=("cropped tree",)),
            make_inputs(tmp_path),
            units,
            fresh(tmp_path, "x"),
        )


# ---------------------------------------------------------------------------------- LoRA


def test_a_lora_draws_the_same_in_stock_diffusers(
    source: ModelSource, tiny_folder: Path, tmp_path: Path
) -> None:
    ctx = fresh(tmp_path, "lora")
    spec = make_spec(
        source, vectors=1, adaptation="lora", lora_rank=2, lora_learning_rate=0.05, steps=4
    )
    invert.run(spec, make_inputs(tmp_path), [make_unit(1, "0", 5, concept_id=0)], ctx)
    files = ctx.results["0"][0]
    start = tokens.initial_vector(PipelineCache().get(source, device=CPU), "plant")
    assert torch.equal(learned(ctx)["<oak>"][0], start)  # the vectors stay where they start

    pipe = StableDiffusionImg2ImgPipeline.from_pretrained(str(tiny_folder), safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    pipe.load_textual_inversion(str(files["embedding"]))
    pipe.load_lora_weights(str(files["lora"].parent), weight_name=files["lora"].name)
    picture = draw_picture(5, (tiny.SIDE, tiny.SIDE))
    theirs = pipe(
        prompt="a photo of a <oak>",
        image=picture,
        strength=0.8,
        num_inference_steps=5,
        generator=torch.Generator().manual_seed(3),
        output_type="np",
    ).images[0]

    cache = PipelineCache()
    made = []
    for adapter in (files["lora"], None):
        model = cache.get(source, device=CPU, adapter=adapter, embeddings=(files["embedding"],))
        posterior = encode_posterior(model, images.picture_to_pixels(picture))
        sampler = SDEdit(model, scheduler="pndm", steps=5)
        pixels = sampler.run([Request(posterior, "a photo of a <oak>", 3)], 0.8)
        made.append(images.pixels_to_unit(pixels)[0].permute(1, 2, 0).numpy())
    assert np.abs(made[0] - theirs).max() <= 1e-3
    assert np.abs(made[1] - theirs).max() > 5e-3  # without it: the base model again


def test_each_concept_is_drawn_with_its_own_weights(source: ModelSource, tmp_path: Path) -> None:
    """A mixed batch is parted by weights; a concept without changes is drawn as by the base."""
    ctx = fresh(tmp_path, "lora")
    spec = make_spec(
        source, vectors=1, adaptation="lora", lora_rank=2, lora_learning_rate=0.05, steps=4
    )
    invert.run(spec, make_inputs(tmp_path), [make_unit(1, "0", 5, concept_id=0)], ctx)
    lora = str(ctx.results["0"][0]["lora"].relative_to(tmp_path))
    inputs = generation_inputs(tmp_path, learned=(0, 1))
    plan = GenerationPlan(
        split_id=1, model=source, steps=3, scheduler="ddim", inversion_job=1, t0_set=(1.0,)
    )
    units = make_units((1.0,), batch=4)
    plain, changed = fresh(tmp_path, "plain"), fresh(tmp_path, "changed")
    generate.run(plan, inputs, units, plain)
    generate.run(plan, replace(inputs, adapters={"0": FileInput(lora, "")}), units, changed)
    differs = {
        key: plain.results[key][0]["image"].read_bytes()
        != changed.results[key][0]["image"].read_bytes()
        for key in plain.results
    }
    assert differs == {"0-1.0": True, "1-1.0": True, "2-1.0": False, "3-1.0": False}


# ------------------------------------------------------------------------------ imports


class Evil:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return (print, ("executed",))


def written(folder: Path, kind: str, vectors: torch.Tensor) -> Path:
    path = folder / f"{kind}.pt"
    if kind == "diffusers":
        return Path(
            save_file({"<x>": vectors}, str(folder / "x.safetensors")) or folder / "x.safetensors"
        )
    content: Any = {
        "diffusers-bin": {"<x>": vectors[0]},
        "a1111": {
            "string_to_token": {"*": 265}, "string_to_param": {"*": vectors}, "name": "x",
            "step": 3, "sd_checkpoint": None, "sd_checkpoint_name": None,
        },
        "comfy": {"emb_params": vectors},
        "bare": vectors,
    }[kind]  # fmt: skip
    torch.save(content, path)
    return path


@pytest.mark.parametrize("kind", ["diffusers", "diffusers-bin", "a1111", "comfy", "bare"])
def test_formats_of_others_are_read(tmp_path: Path, kind: str) -> None:
    vectors = torch.randn(1 if kind == "diffusers-bin" else 2, tiny.DIM)
    found = foreign_embeddings.read_foreign(written(tmp_path, kind, vectors))
    assert torch.equal(found, vectors)


def test_files_that_execute_code_or_hold_something_else_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, content, match in (
        ("evil.pt", {"string_to_param": {"*": Evil()}}, "could run programs"),
        ("two.pt", {"a": torch.ones(2), "b": torch.ones(2)}, "not a token embedding"),
        ("deep.pt", torch.ones(2, 2, 2), "not a token embedding"),
        ("nan.pt", torch.tensor([float("nan")]), "not numbers"),
    ):
        torch.save(content, tmp_path / name)
        with pytest.raises(UserError, match=match):
            foreign_embeddings.read_foreign(tmp_path / name)
    (tmp_path / "short.safetensors").write_bytes(b"\x10\x00\x00")
    with pytest.raises(UserError, match="cannot be read"):
        foreign_embeddings.read_foreign(tmp_path / "short.safetensors")
    assert "executed" not in capsys.readouterr().out


def test_an_imported_embedding_takes_the_place_of_learning(
    source: ModelSource, tmp_path: Path
) -> None:
    vectors = torch.randn(3, tiny.DIM)
    written(tmp_path, "a1111", vectors)
    spec = make_spec(source, imported=(ImportedEmbedding("oak", "a1111.pt"),))
    inputs = replace(make_inputs(tmp_path), imported={"0": FileInput("a1111.pt", "")})
    units = [make_unit(i + 1, str(i), i, concept_id=i) for i in range(2)]
    ctx = fresh(tmp_path, "mixed")
    invert.run(spec, inputs, units, ctx)
    assert torch.equal(learned(ctx)["<oak>"], vectors)
    assert ctx.results["0"][1]["steps"] == 0
    assert ctx.results["1"][1]["steps"] == spec.steps
    torch.save(torch.ones(2, 768), tmp_path / "a1111.pt")
    with pytest.raises(UserError, match="another text encoder"):
        invert.run(spec, inputs, units, ctx)
