"""Textual inversion against the plain loop it stands for, its file format, and its refusals."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler, StableDiffusionImg2ImgPipeline
from PIL import Image
from safetensors import safe_open

from dafusion_core.domain.errors import Cancelled, UserError
from dafusion_core.domain.inputs import ConceptInput, ImageInput, InversionInputs
from dafusion_core.domain.specs import InversionSpec, ModelSource
from dafusion_core.engine import images, learning, splice, templates, tokens
from dafusion_core.engine.models import DiffusionModel, load_model
from dafusion_core.engine.sdedit import Request, SDEdit, encode_posterior
from dafusion_core.jobs.context import NullContext
from dafusion_core.methods import invert

from . import tiny
from .conftest import draw_picture, make_unit


@pytest.fixture(autouse=True)
def short_previews(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(invert, "_PREVIEW_STEPS", 1)


def make_inputs(root: Path, names: tuple[str, ...] = ("oak", "fern")) -> InversionInputs:
    concepts = {}
    for label, name in enumerate(names):
        pictures = []
        for i in range(3):
            number = label * 10 + i
            draw_picture(number).save(root / f"{number}.png")
            pictures.append(ImageInput(number, f"{number}.png", "", label))
        concepts[str(label)] = ConceptInput(label, name, f"<{name}>", "plant", tuple(pictures))
    return InversionInputs(concepts)


def make_spec(source: ModelSource, **changes: Any) -> InversionSpec:
    options = {"split_id": 1, "model": source, "steps": 3, "batch_size": 2, "vectors": 2}
    return InversionSpec(**(options | changes))


def naive(
    model: DiffusionModel, spec: InversionSpec, concept: ConceptInput, seed: int, root: Path
) -> tuple[torch.Tensor, torch.Tensor, list[float]]:
    """The loop as one would write it first: the whole table trained, other rows put back.

    Returns (learned rows, the other rows, losses).
    """
    names = tokens.token_names(concept.placeholder, spec.vectors)
    first = tokens.initial_vector(model, concept.initialiser)
    learned = tokens.add_to_model(model, {concept.placeholder: first.repeat(spec.vectors, 1)})
    table = learned.text_encoder.get_input_embeddings()
    table.weight.requires_grad_(True)
    original = table.weight.detach().clone()
    new = torch.tensor(learned.tokenizer.convert_tokens_to_ids(names))
    keep = torch.ones(len(original), dtype=torch.bool)
    keep[new] = False
    optimiser = torch.optim.AdamW(
        table.parameters(), lr=spec.learning_rate, weight_decay=spec.weight_decay
    )
    schedule = DDPMScheduler.from_config(dict(model.scheduler_config))
    # Only to draw the same random numbers in the same order:
    learner = invert.prepare(make_unit(1, "0", seed), concept, spec, model, NullContext(root, root))
    learner.ids = torch.zeros(len(templates.OBJECT_TEMPLATES), 1)
    losses = []
    for _ in range(spec.steps):
        draw = invert.draw_step(learner, spec, model)
        latents, prompts = [], []
        for b in range(spec.batch_size):
            image = concept.images[int(draw.pictures[b])]
            pixels, _ = images.load_pixels(root / image.path, tiny.SIDE, images.BICUBIC)
            if draw.flips[b]:
                pixels = pixels.flip(-1)
            found = model.vae.encode(pixels[None]).latent_dist
            latents.append(found.mean[0] + found.std[0] * draw.sample[b])
            sentence = templates.OBJECT_TEMPLATES[int(draw.templates[b])]
            prompts.append(sentence.format(" ".join(names)))
        clean = torch.stack(latents) * model.vae.config.scaling_factor
        noisy = schedule.add_noise(clean, draw.noise, draw.timesteps)
        predicted = model.unet(noisy, draw.timesteps, tokens.encode(learned, prompts)).sample
        wanted = draw.noise
        if model.prediction_type == "v_prediction":
            wanted = schedule.get_velocity(clean, draw.noise, draw.timesteps)
        loss = torch.nn.functional.mse_loss(predicted, wanted)
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        with torch.no_grad():
            table.weight[keep] = original[keep]
        losses.append(loss.item())
    return table.weight.detach()[new], table.weight.detach()[keep], losses


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_equals_the_plain_loop(
    tmp_path: Path, ctx: NullContext, prediction: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "model"
    tiny.build(prediction).save_pretrained(str(folder))
    source = ModelSource("folder", str(folder))
    # With Adam's usual tiny epsilon the first steps only see the sign of a gradient; rounding
    # decides where it is near zero. The comparison is about gradients, so a larger one is used.
    adam = torch.optim.AdamW
    monkeypatch.setattr(torch.optim, "AdamW", lambda p, **o: adam(p, **(o | {"eps": 1e-4})))
    spec = make_spec(source, steps=4)
    inputs = make_inputs(tmp_path)
    units = [make_unit(i + 1, str(i), 100 + i, concept_id=i) for i in range(2)]
    assert invert.group_size(load_model(source, torch.device("cpu")), spec) >= 2
    invert.run(spec, inputs, units, ctx)
    model = load_model(source, torch.device("cpu"))
    for unit in units:
        concept = inputs.concepts[unit.key]
        rows, _, losses = naive(model, spec, concept, unit.seed, tmp_path)
        path = ctx.results[unit.key][0]["embedding"]
        found = tokens.read_embeddings([path])[concept.placeholder]
        start = tokens.initial_vector(model, "plant")
        assert (rows - start).abs().max() > 1e-3
        assert (found - rows).abs().max() < 2e-6
        assert ctx.results[unit.key][1]["loss_first"] == pytest.approx(losses[0], rel=1e-5)


TEN = ("oak", "fern", "moss", "reed", "dock", "yarrow", "clover", "nettle", "daisy", "sorrel")


def test_a_class_learned_with_nine_others_equals_it_alone(
    source: ModelSource, tmp_path: Path, ctx: NullContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Same order of pictures, same noise, float32: the vectors agree to 1e-5."""
    modules: list[splice.SplicedEmbedding] = []
    original = splice.splice_tokens

    def spy(*arguments: Any) -> Any:
        made = original(*arguments)
        modules.append(made[1])
        return made

    monkeypatch.setattr(splice, "splice_tokens", spy)
    inputs, spec = make_inputs(tmp_path, TEN), make_spec(source, steps=3, batch_size=1)
    model = load_model(source, torch.device("cpu"))
    table = model.text_encoder.get_input_embeddings().weight.detach().clone()
    units = [make_unit(i + 1, str(i), 100 + i, concept_id=i) for i in range(10)]
    assert invert.group_size(model, spec) >= 10
    invert.run(spec, inputs, units, ctx)
    together = tokens.read_embeddings([ctx.results["7"][0]["embedding"]])["<nettle>"]
    alone_ctx = NullContext(scratch=ctx.scratch, root=tmp_path)
    invert.run(spec, inputs, units[7:8], alone_ctx)
    alone = tokens.read_embeddings([alone_ctx.results["7"][0]["embedding"]])["<nettle>"]
    assert (alone - tokens.initial_vector(model, "plant")).abs().max() > 1e-3
    assert (together - alone).abs().max() < 1e-5
    assert len(modules) == 2  # all ten shared one lookup
    for module in modules:
        assert torch.equal(module.table, table[: module.first])  # other words: bit for bit


def test_nothing_but_the_rows_changes(
    source: ModelSource, tmp_path: Path, ctx: NullContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[DiffusionModel] = []
    original = splice.splice_tokens

    def spy(*arguments: Any) -> Any:
        kept.append(arguments[0])
        return original(*arguments)

    monkeypatch.setattr(splice, "splice_tokens", spy)
    invert.run(make_spec(source), make_inputs(tmp_path), [make_unit(1, "0", 1, concept_id=0)], ctx)
    fresh = load_model(source, torch.device("cpu"))
    for part in ("unet", "vae", "text_encoder"):
        used = getattr(kept[0], part).state_dict()
        for name, value in getattr(fresh, part).state_dict().items():
            assert torch.equal(value, used[name]), name
    assert len(kept[0].tokenizer) == len(fresh.tokenizer)


def test_spliced_rows_get_the_gradient_of_the_full_table(source: ModelSource) -> None:
    model = load_model(source, torch.device("cpu"))
    rows = torch.randn(2, tiny.DIM)
    spliced, module = splice.splice_tokens(model, ["<a>", "<a>_1"], rows)
    full = tokens.add_to_model(model, {"<a>": rows})
    table = full.text_encoder.get_input_embeddings()
    table.weight.requires_grad_(True)
    for version in (spliced, full):
        tokens.encode(version, ["a photo of a <a> <a>_1 oak"]).square().sum().backward()
    assert module.rows.grad is not None
    assert table.weight.grad is not None
    assert torch.allclose(module.rows.grad, table.weight.grad[-2:], atol=1e-6)
    assert module.rows.grad.abs().sum(dim=1).min() > 0
    assert torch.allclose(module.weight, table.weight)


def test_the_file_works_in_stock_diffusers(
    source: ModelSource, tiny_folder: Path, tmp_path: Path, ctx: NullContext
) -> None:
    invert.run(
        make_spec(source, learning_rate=0.05),
        make_inputs(tmp_path),
        [make_unit(1, "0", 1, concept_id=0)],
        ctx,
    )
    path = ctx.results["0"][0]["embedding"]
    with safe_open(str(path), framework="pt") as stream:
        assert list(stream.keys()) == ["<oak>"]
        assert stream.metadata() == {"format": "pt"}
        value = stream.get_tensor("<oak>")
    assert value.shape == (2, tiny.DIM)
    assert value.dtype == torch.float32

    pipe = StableDiffusionImg2ImgPipeline.from_pretrained(str(tiny_folder), safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    pipe.load_textual_inversion(str(path))
    picture = draw_picture(5, (tiny.SIDE, tiny.SIDE))
    theirs = pipe(
        prompt="a photo of a <oak>",
        image=picture,
        strength=0.8,
        num_inference_steps=6,
        generator=torch.Generator().manual_seed(3),
        output_type="np",
    ).images[0]

    model = load_model(source, torch.device("cpu"))
    with_token = tokens.add_to_model(model, tokens.read_embeddings([path]))
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 127.5 - 1
    request = Request(encode_posterior(model, pixels), "a photo of a <oak> <oak>_1", 3)
    made = SDEdit(with_token, scheduler="pndm", steps=6).run([request], 0.8)
    found = images.pixels_to_unit(made)[0].permute(1, 2, 0).numpy()
    assert np.abs(found - theirs).max() <= 1e-3


def test_the_loss_at_fixed_noise_falls(
    source: ModelSource, tmp_path: Path, ctx: NullContext
) -> None:
    spec = make_spec(source, steps=40, learning_rate=0.02, batch_size=2)
    invert.run(spec, make_inputs(tmp_path), [make_unit(1, "0", 1, concept_id=0)], ctx)
    record = ctx.results["0"][1]
    assert record["held_out_after"] < record["held_out_before"]
    assert record["moved"] > 0
    steps = {
        name: [step for series, step, _ in ctx.metrics if series == name]
        for name in ("loss/oak", "held-out/oak")
    }
    assert steps == {"loss/oak": [10, 20, 30, 40], "held-out/oak": [0, 25, 40]}


def test_the_record_has_what_the_project_stores(
    source: ModelSource, tmp_path: Path, ctx: NullContext
) -> None:
    invert.run(make_spec(source), make_inputs(tmp_path), [make_unit(1, "0", 1, concept_id=0)], ctx)
    record = ctx.results["0"][1]
    expected = {
        "placeholder", "vectors", "dim", "steps", "loss_first", "loss_last", "held_out_before",
        "held_out_after", "moved", "base_hash", "seconds",
    }  # fmt: skip
    assert expected <= record.keys()
    assert (record["placeholder"], record["vectors"], record["dim"]) == ("<oak>", 2, tiny.DIM)


def test_a_class_name_in_the_templates_is_refused(
    source: ModelSource, tmp_path: Path, ctx: NullContext
) -> None:
    inputs = make_inputs(tmp_path, ("oak", "dark photo"))
    units = [make_unit(i + 1, str(i), i, concept_id=i) for i in range(2)]
    with pytest.raises(UserError, match="shares the word"):
        invert.run(make_spec(source), inputs, units, ctx)
    assert not ctx.results


def test_templates_are_distinct_and_hold_the_concept_once() -> None:
    assert len(set(templates.OBJECT_TEMPLATES)) == len(templates.OBJECT_TEMPLATES) == 27
    assert all(template.count("{}") == 1 for template in templates.OBJECT_TEMPLATES)


def test_numbers_that_run_away_are_an_error(
    source: ModelSource, tmp_path: Path, ctx: NullContext
) -> None:
    spec = make_spec(source, learning_rate=1e30, steps=12)
    with pytest.raises(UserError, match="broke down at step"):
        invert.run(spec, make_inputs(tmp_path), [make_unit(1, "0", 1, concept_id=0)], ctx)
    assert not ctx.results


def test_a_vector_that_is_not_in_the_prompt_is_an_error(
    source: ModelSource, tmp_path: Path, ctx: NullContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The published script forgot every vector but the first: they only decayed."""
    original = invert.prompt_ids
    monkeypatch.setattr(invert, "prompt_ids", lambda model, names: original(model, names[:1]))
    with pytest.raises(UserError, match="1 of 2 vectors of oak did not learn"):
        invert.run(
            make_spec(source), make_inputs(tmp_path), [make_unit(1, "0", 1, concept_id=0)], ctx
        )


def test_an_unreadable_picture_is_left_out_and_none_left_is_an_error(
    source: ModelSource, tmp_path: Path, ctx: NullContext
) -> None:
    inputs = make_inputs(tmp_path)
    (tmp_path / "1.png").write_bytes(b"?")
    invert.run(make_spec(source), inputs, [make_unit(1, "0", 1, concept_id=0)], ctx)
    assert ctx.results["0"][1]["pictures"] == 2
    assert any("left out" in line for line in ctx.lines)
    for number in (0, 2):
        (tmp_path / f"{number}.png").unlink()
    with pytest.raises(UserError, match="no picture to learn from"):
        invert.run(make_spec(source), inputs, [make_unit(1, "0", 1, concept_id=0)], ctx)


def test_a_placeholder_that_exists_is_refused(
    source: ModelSource, tmp_path: Path, ctx: NullContext
) -> None:
    inputs = make_inputs(tmp_path)
    taken = dataclasses.replace(inputs.concepts["0"], placeholder="oak</w>")
    inputs = InversionInputs({"0": taken})
    with pytest.raises(UserError, match="already has the token"):
        invert.run(make_spec(source), inputs, [make_unit(1, "0", 1, concept_id=0)], ctx)


def test_more_vectors_than_fit_a_prompt_are_refused(source: ModelSource) -> None:
    model = copy.copy(load_model(source, torch.device("cpu")))
    model.tokenizer.model_max_length = 12
    with pytest.raises(UserError, match="do not fit"):
        invert.prompt_ids(model, tokens.token_names("<oak>", 14))


def test_it_stops_at_a_step(source: ModelSource, tmp_path: Path) -> None:
    class Impatient(NullContext):
        def progress(self, done: float, total: float, phase: str = "") -> None:
            if phase == "learning" and done > 0:
                raise Cancelled("stop")

    ctx = Impatient(scratch=tmp_path, root=tmp_path)
    with pytest.raises(Cancelled):
        invert.run(
            make_spec(source), make_inputs(tmp_path), [make_unit(1, "0", 1, concept_id=0)], ctx
        )
    assert not ctx.results


def test_a_first_step_that_does_not_fit_is_done_with_less_memory(
    source: ModelSource, tmp_path: Path, ctx: NullContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs, spec, unit = make_inputs(tmp_path), make_spec(source), make_unit(1, "0", concept_id=0)
    invert.run(spec, inputs, [unit], ctx)
    expected = tokens.read_embeddings([ctx.results["0"][0]["embedding"]])["<oak>"]
    original = learning.concept_loss

    def large(model: DiffusionModel, *rest: Any) -> torch.Tensor:
        if torch.is_grad_enabled() and not model.unet.is_gradient_checkpointing:
            raise torch.OutOfMemoryError("Tried to allocate 3.00 GiB")
        return original(model, *rest)

    monkeypatch.setattr(learning, "concept_loss", large)
    invert.run(spec, inputs, [unit], ctx)
    found = tokens.read_embeddings([ctx.results["0"][0]["embedding"]])["<oak>"]
    assert torch.allclose(found, expected, atol=1e-6)
    assert any("less memory" in line for line in ctx.lines)


def test_looks_are_kept_with_the_hash_of_their_vectors(
    source: ModelSource, ctx: NullContext, tmp_path: Path
) -> None:
    inputs = make_inputs(tmp_path)
    units = [make_unit(n, str(n), n, concept_id=n) for n in range(2)]
    invert.run(make_spec(source, steps=3, preview_every=2), inputs, units, ctx)
    for unit in units:
        files, record = ctx.results[unit.key]
        assert [look["step"] for look in record["previews"]] == [2, 3]
        hashes = [look["hash"] for look in record["previews"]]
        assert hashes[0] != hashes[1] == record["embedding_hash"][:8]
        with Image.open(files["previews"]) as sheet:
            assert sheet.size == (4 * 132 + 4, 2 * 132 + 4)
