"""Erasure: UCE against a naive twin, ESD's choices and objective, the difference file."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

from dafusion_core.api.chain import ChainOptions, erasure_spec
from dafusion_core.domain.errors import Cancelled, Stopped, UserError
from dafusion_core.domain.inputs import ErasureInputs
from dafusion_core.domain.specs import ErasureSpec, ModelSource
from dafusion_core.engine import differences, erasure, tokens
from dafusion_core.engine.models import DiffusionModel, PipelineCache, load_model
from dafusion_core.jobs.context import NullContext
from dafusion_core.methods import erase

from . import tiny
from .conftest import make_unit

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def short_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erase, "_CHECK_STEPS", 1)
    monkeypatch.setattr(erase, "_CHECK_PICTURES", 1)
    monkeypatch.setattr(erase, "_CHECK_PREDICTIONS", 2)


@pytest.fixture
def model(source: ModelSource) -> DiffusionModel:
    return load_model(source, CPU)


def make_spec(source: ModelSource, **changes: Any) -> ErasureSpec:
    options = {
        "model": source, "concepts": ("oak",), "guide": "plant", "preserve": ("a leaf", "fern"),
        "iterations": 6, "steps": 5, "resolution": None,
    }  # fmt: skip
    return ErasureSpec(**(options | changes))


def erased(
    source: ModelSource, ctx: NullContext, **changes: Any
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    erase.run(make_spec(source, **changes), ErasureInputs(), [make_unit(1, "model", 9)], ctx)
    files, record = ctx.results["model"]
    with safe_open(str(files["weights"]), framework="pt") as stream:
        return {key: stream.get_tensor(key) for key in stream.keys()}, record  # noqa: SIM118


# -------------------------------------------------------------------------------------- UCE


def naive_uce(
    weight: torch.Tensor,
    concepts: list[torch.Tensor],
    guides: list[torch.Tensor],
    preserve: list[torch.Tensor],
    ridge: float,
) -> torch.Tensor:
    """The published formula, term by term, float64."""
    w = weight.double()
    left = ridge * w
    right = ridge * torch.eye(w.shape[1], dtype=torch.float64)
    for c, g in zip(concepts, guides, strict=True):
        left = left + torch.outer(w @ g.double(), c.double())
        right = right + torch.outer(c.double(), c.double())
    for p in preserve:
        left = left + torch.outer(w @ p.double(), p.double())
        right = right + torch.outer(p.double(), p.double())
    return left @ torch.linalg.inv(right)


def last_subject_state(model: DiffusionModel, prompt: str, after: int = 0) -> torch.Tensor:
    encoded = model.tokenizer([prompt], padding="max_length", truncation=True, return_tensors="pt")
    place = max(0, int(encoded["attention_mask"].sum()) - 2)
    states = model.text_encoder(encoded["input_ids"])[0][0]
    return states[min(place + after, len(states) - 1)]


@pytest.mark.parametrize("moved_tokens", ["subject", "subject+end", "all"])
@pytest.mark.parametrize("guide", ["plant", ""])
@pytest.mark.parametrize("concepts", [("oak",), ("oak", "a big oak", "thistle")])
def test_uce_equals_the_formula(
    source: ModelSource,
    model: DiffusionModel,
    ctx: NullContext,
    guide: str,
    concepts: Any,
    moved_tokens: str,
) -> None:
    found, record = erased(
        source, ctx, guide=guide, concepts=concepts, ridge=0.3, uce_tokens=moved_tokens
    )
    last = int(model.tokenizer.model_max_length) - 1
    places = range({"subject": 1, "subject+end": 2, "all": last}[moved_tokens])
    c = [last_subject_state(model, concept, k) for concept in concepts for k in places]
    g = [last_subject_state(model, guide, k) for _ in concepts for k in places]
    p = [last_subject_state(model, prompt, k) for prompt in ("a leaf", "fern") for k in places]
    expected_names = [
        name
        for name, _ in model.unet.named_parameters()
        if "attn2.to_k" in name or "attn2.to_v" in name
    ]
    assert sorted(found) == sorted(expected_names)
    own = dict(model.unet.named_parameters())
    moved = 0.0
    for name in expected_names:
        expected = naive_uce(own[name].detach(), c, g, p, 0.3)
        assert (found[name].double() - expected).abs().max() < 1e-6 * expected.abs().max()
        moved = max(moved, float((expected - own[name]).abs().max()))
    assert moved > 1e-3
    assert record["method"] == "uce"


def test_the_bundled_model_forgets_a_name_with_the_defaults(ctx: NullContext) -> None:
    spec = erasure_spec(ChainOptions(), ["dandelion"])
    erase.run(spec, ErasureInputs(), [make_unit(1, "model", 0)], ctx)
    check = ctx.results["model"][1]["check"]
    assert abs(check["concept_left"]) < 0.15
    assert check["prompts"][0]["prediction_change"] > 0.02


def test_uce_sends_the_concept_to_the_guide_and_holds_the_rest(
    source: ModelSource, model: DiffusionModel, ctx: NullContext
) -> None:
    found, record = erased(source, ctx, ridge=1e-6)
    own = dict(model.unet.named_parameters())
    states = erasure.concept_vectors(model, ["oak", "plant", "a leaf"])
    for name, weight in found.items():
        old = own[name].detach()
        assert torch.allclose(weight @ states[0], old @ states[1], atol=1e-3)
        assert torch.allclose(weight @ states[2], old @ states[2], atol=1e-3)
    check = record["check"]
    assert check["concept_prediction_change"] > check["preserve_prediction_change"]
    assert abs(check["concept_left"]) < 0.5


@pytest.mark.parametrize("share", [1.0, 0.25, 0.0, -1.0])
def test_what_is_left_is_the_share_of_the_effect_and_nothing_else(share: float) -> None:
    """ESD's target is the opposite of the concept, which is as far from the guide as before."""
    torch.manual_seed(0)
    guide, effect = torch.randn(4, 1, 2, 2), torch.randn(4, 1, 2, 2)
    aside = torch.randn(4, 1, 2, 2)
    aside -= effect * (aside * effect).sum() / effect.square().sum()
    pictures = torch.zeros(2, 1, 3, 4, 4)
    before = erase.Snapshot(pictures, torch.stack([guide + effect, guide]))
    now = guide + share * effect + 0.5 * aside
    after = erase.Snapshot(pictures, torch.stack([now, guide]))
    spec = ErasureSpec(concepts=("oak",), guide="plant")
    check = erase.compare_snapshots(spec, {"oak": "concept", "plant": "guide"}, before, after)
    assert check["concept_left"] == pytest.approx(share, abs=1e-5)
    row = check["prompts"][0]
    assert row["left"] == pytest.approx(share, abs=1e-5)
    apart = (share**2 + 0.25 * float(aside.square().sum() / effect.square().sum())) ** 0.5
    assert row["distance"] == pytest.approx(apart, rel=1e-4)


def test_subject_place_of_the_empty_prompt_is_the_beginning_mark(model: DiffusionModel) -> None:
    assert tokens.subject_index(model, "") == 0
    assert tokens.subject_index(model, "oak") == 1
    assert tokens.subject_index(model, "a big oak") == 5  # a, b, i, g, oak


# -------------------------------------------------------------------------------------- ESD

KINDS = {
    "x": lambda name: "attn2" in name,
    "x-strict": lambda name: "attn2.to_k" in name or "attn2.to_v" in name,
    "u": lambda name: (
        "attn2" not in name
        and not name.startswith("time_embedding")
        and not name.startswith("conv_out")
        and not name.startswith("conv_norm_out")
    ),
    "selfattn": lambda name: "attn1" in name,
    "full": lambda name: True,
}


@pytest.mark.parametrize("kind", list(KINDS))
def test_esd_changes_only_what_was_chosen(
    source: ModelSource, model: DiffusionModel, ctx: NullContext, kind: str
) -> None:
    found, record = erased(
        source, ctx, method="esd", train_parameters=kind, iterations=2, learning_rate=1e-3
    )
    own = dict(model.unet.named_parameters())
    assert set(found) == {name for name in own if KINDS[kind](name)}
    changed = [name for name, value in found.items() if not torch.equal(value, own[name])]
    assert len(changed) > 0.6 * len(found)
    assert record["train_parameters"] == kind
    assert record["changed_parameters"] == sum(value.numel() for value in found.values())


@pytest.mark.parametrize("kind", ["x-strict", "full"])
def test_one_step_has_the_gradient_of_the_plain_formula(model: DiffusionModel, kind: Any) -> None:
    """ε_θ(x,c,t) against ε* − η(ε*_c − ε*), with teacher and student called one by one."""
    eta = 1.3
    batch = erasure.esd_examples(
        model, ["oak"], "", count=2, eta=eta, guidance=3.0, steps=4, resolution=tiny.SIDE, seed=5
    )
    students = [copy.deepcopy(model.unet) for _ in range(2)]
    with torch.no_grad():  # not where training starts: there, student and teacher would agree
        for student in students:
            for value in student.parameters():
                value.mul_(1.01)
    chosen = [erasure.choose_parameters(student, kind) for student in students]
    for parameters in chosen:
        for value in parameters.values():
            value.requires_grad_(True)
    erasure.esd_loss(students[0], batch).backward()

    text, empty = tokens.encode(model, ["oak"]), tokens.encode(model, [""])
    total = torch.zeros(())
    for x, t in zip(batch.x, batch.timesteps, strict=True):
        with torch.no_grad():
            base = model.unet(x[None], t, encoder_hidden_states=empty).sample
            named = model.unet(x[None], t, encoder_hidden_states=text).sample
        student = students[1](x[None], t, encoder_hidden_states=text).sample
        total = total + (student - (base - eta * (named - base))).square().mean() / 2
    total.backward()
    for name, value in chosen[0].items():
        expected = chosen[1][name].grad
        assert value.grad is not None
        assert expected is not None
        scale = float(expected.abs().max())
        assert (value.grad - expected).abs().max() <= 1e-6 + 1e-3 * scale, name
    others = set(dict(students[0].named_parameters())) - set(chosen[0])
    assert all(dict(students[0].named_parameters())[name].grad is None for name in others)


def test_esd_lowers_its_objective(source: ModelSource, ctx: NullContext) -> None:
    _, record = erased(
        source, ctx, method="esd", train_parameters="full", iterations=20, batch_size=2,
        learning_rate=4e-3, guide="",
    )  # fmt: skip
    assert record["loss_last"] < 0.7 * record["loss_first"]
    assert [(series, step) for series, step, _ in ctx.metrics][-1] == ("loss/erase", 20)


@pytest.mark.parametrize("guide", ["", "plant"])
def test_esd_examples_equal_the_plain_way(model: DiffusionModel, guide: str) -> None:
    """One example at a time with diffusers' scheduler: x_t, t and the paper's target."""
    eta, guidance, steps = 1.5, 3.0, 6
    made = erasure.esd_examples(
        model, ["oak", "fern"], guide, count=5, eta=eta, guidance=guidance, steps=steps,
        resolution=tiny.SIDE, seed=4, at_once=3,
    )  # fmt: skip
    draws = torch.Generator().manual_seed(4)
    chosen = []
    for _ in range(5):
        concept = int(torch.randint(2, (1,), generator=draws))
        chosen.append((concept, int(torch.randint(steps, (1,), generator=draws))))
    seeds = torch.randint(1 << 62, (5,), generator=draws).tolist()
    assert len({k for _, k in chosen}) > 1
    with torch.no_grad():
        for place, (concept, k) in enumerate(chosen):
            text = tokens.encode(model, [["oak", "fern"][concept]])
            empty = tokens.encode(model, [""])
            plan = DDIMScheduler.from_config(dict(model.scheduler_config), clip_sample=False)
            plan.set_timesteps(steps)
            generator = torch.Generator().manual_seed(seeds[place])
            x = torch.randn((1, 4, 16, 16), generator=generator)
            for t in plan.timesteps[:k]:
                with_text = model.unet(x, t, text).sample
                without = model.unet(x, t, empty).sample
                guided = without + guidance * (with_text - without)
                x = plan.step(guided, t, x).prev_sample
            t = plan.timesteps[k]
            base = model.unet(x, t, tokens.encode(model, [guide])).sample
            target = base - eta * (model.unet(x, t, text).sample - base)
            assert int(made.timesteps[place]) == int(t)
            assert (made.x[place] - x[0]).abs().max() < 1e-4
            assert (made.target[place] - target[0]).abs().max() < 1e-4
            assert (made.text[place] - text[0]).abs().max() < 1e-5


def test_esd_examples_do_not_depend_on_grouping(model: DiffusionModel) -> None:
    made = [
        erasure.esd_examples(
            model, ["oak"], "", count=4, eta=1.0, guidance=3.0, steps=4,
            resolution=tiny.SIDE, seed=1, at_once=at_once,
        )
        for at_once in (1, 4)
    ]  # fmt: skip
    assert torch.allclose(made[0].x, made[1].x, atol=2e-4)
    assert torch.allclose(made[0].target, made[1].target, atol=2e-4)


@pytest.mark.parametrize("at_once", [None, 2])
@pytest.mark.parametrize("guide", ["", "plant"])
def test_several_examples_of_one_trajectory(
    model: DiffusionModel, guide: str, at_once: int | None
) -> None:
    """What the whole trajectory ends at, with new noise for each; all k differ; all places."""
    options: dict[str, Any] = {
        "eta": 1.5, "guidance": 3.0, "steps": 6, "resolution": tiny.SIDE, "seed": 3,
    }  # fmt: skip
    made = erasure.esd_examples(
        model, ["oak"], guide, count=7, per_trajectory=3, at_once=at_once, **options
    )
    runs = erasure._draw_runs(7, 1, 6, 3, torch.Generator().manual_seed(3))
    assert [len(run.stops) for run in runs] == [3, 3, 1]
    assert sorted(place for run in runs for _, place in run.stops) == list(range(7))
    plan = DDIMScheduler.from_config(dict(model.scheduler_config), clip_sample=False)
    plan.set_timesteps(6)
    text, empty, anchor = (tokens.encode(model, [prompt]) for prompt in ("oak", "", guide))
    with torch.no_grad():
        for run in runs:
            assert len({at for at, _ in run.stops}) == len(run.stops)
            generator = torch.Generator().manual_seed(run.seed)
            x = torch.randn((1, 4, 16, 16), generator=generator)
            for t in plan.timesteps:
                named, base = model.unet(x, t, text).sample, model.unet(x, t, empty).sample
                x = plan.step(base + 3.0 * (named - base), t, x).prev_sample
            for at, place in run.stops:
                t = plan.timesteps[at]
                noisy = plan.add_noise(x, torch.randn(x.shape, generator=generator), t[None])
                named, base = model.unet(noisy, t, text).sample, model.unet(noisy, t, anchor).sample
                size = made.x[place].abs().max()
                assert (made.x[place] - noisy[0]).abs().max() < 1e-4 * size
                wanted = (base - 1.5 * (named - base))[0]
                assert (made.target[place] - wanted).abs().max() < 1e-4 * size
                assert int(made.timesteps[place]) == int(t)


@pytest.mark.parametrize("phase", ["sampling the frozen model", "training"])
def test_a_stopped_erasure_goes_on_as_if_it_had_not(
    source: ModelSource, ctx: NullContext, tmp_path: Path, phase: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    class Impatient(NullContext):
        calls = 0

        def progress(self, done: float, total: float, phase_: str = "") -> None:
            self.calls += phase_ == phase
            if self.calls == 4:
                self.calls += 1
                raise Stopped("closing")

    # All parameters: kernels have a memory layout of their own, which their moments must share.
    kind = "full" if phase == "training" else "x"
    options: dict[str, Any] = {"method": "esd", "train_parameters": kind, "learning_rate": 1e-3}
    expected, _ = erased(source, ctx, **options)
    folder = tmp_path / "other"
    folder.mkdir()
    parted = Impatient(scratch=folder, root=tmp_path)
    with pytest.raises(Stopped):
        erased(source, parted, **options)
    found, record = erased(source, parted, **options)
    assert record["begun_at_step"] == (3 if phase == "training" else 0)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(value, found[name]), name
    if phase == "training":
        assert "Going on after step 3." in parted.lines
    assert not (folder / "kept" / "erase-1").exists()


def test_one_model_per_concept(
    source: ModelSource, model: DiffusionModel, ctx: NullContext, tmp_path: Path
) -> None:
    units = [make_unit(i + 1, name, i, concept=name) for i, name in enumerate(("oak", "elm"))]
    spec = make_spec(source, concepts=("oak", "elm"), per_concept=True)
    erase.run(spec, ErasureInputs(), units, ctx)
    alone = NullContext(scratch=tmp_path / "alone", root=tmp_path)
    alone.scratch.mkdir()
    one, _ = erased(source, alone, concepts=("elm",))
    assert [ctx.results[key][1]["concepts"] for key in ("oak", "elm")] == [["oak"], ["elm"]]
    with safe_open(str(ctx.results["elm"][0]["weights"]), framework="pt") as stream:
        for name, value in one.items():
            assert torch.equal(stream.get_tensor(name), value), name


def test_esd_leaves_the_shared_model_alone(
    source: ModelSource, model: DiffusionModel, ctx: NullContext
) -> None:
    from dafusion_core.engine.models import shared_cache

    erased(source, ctx, method="esd", iterations=2, learning_rate=1e-2)
    kept = shared_cache().get(source, device=CPU, dtype=torch.float32)
    for name, value in model.unet.state_dict().items():
        assert torch.equal(value, kept.unet.state_dict()[name]), name
    assert not any(value.requires_grad for value in kept.unet.parameters())


# ------------------------------------------------------------------------- files and refusals


def test_the_file_names_its_origin_and_the_sheet_is_a_picture(
    source: ModelSource, model: DiffusionModel, ctx: NullContext
) -> None:
    erased(source, ctx)
    files, record = ctx.results["model"]
    with safe_open(str(files["weights"]), framework="pt") as stream:
        metadata = stream.metadata()
    assert metadata["base_hash"] == model.base_hash == record["base_hash"]
    assert metadata["method"] == "uce"
    assert json.loads(metadata["concepts"]) == ["oak"]
    with Image.open(files["sheet"]) as sheet:
        assert sheet.format == "PNG"
        assert sheet.width < sheet.height  # before and after, four prompts
    assert {row["role"] for row in record["check"]["prompts"]} == {"concept", "preserve", "guide"}


def test_the_cache_applies_and_removes_an_erasure(
    source: ModelSource, model: DiffusionModel, ctx: NullContext
) -> None:
    found, _ = erased(source, ctx)
    path = ctx.results["model"][0]["weights"]
    cache = PipelineCache()
    base = dict(model.unet.named_parameters())
    with_erasure = cache.get(source, device=CPU, erasure=path)
    for name, value in with_erasure.unet.named_parameters():
        assert torch.equal(value, found.get(name, base[name])), name
    plain = cache.get(source, device=CPU)
    for name, value in plain.unet.named_parameters():
        assert torch.equal(value, base[name]), name


@pytest.mark.parametrize(
    ("tensors", "base", "match"),
    [
        ({"conv_in.bias": torch.zeros(16)}, "0" * 64, "another base model"),
        ({"conv_in.bias": torch.zeros(17)}, "", "1 of 1 tensors do not match"),
        ({"no.such": torch.zeros(1)}, "", "does not fit the network"),
        ({}, "", "does not fit the network"),
    ],
)
def test_files_that_do_not_belong_are_refused(
    model: DiffusionModel, tmp_path: Path, tensors: Any, base: str, match: str
) -> None:
    path = tmp_path / "d.safetensors"
    save_file(tensors, str(path), metadata={"base_hash": base or model.base_hash})
    with pytest.raises(UserError, match=match):
        differences.read(path, model)


def test_a_damaged_file_is_refused(model: DiffusionModel, tmp_path: Path) -> None:
    path = tmp_path / "d.safetensors"
    path.write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00{}")
    with pytest.raises(UserError, match="cannot be read"):
        differences.read(path, model)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"concepts": (" ",)}, "empty"),
        ({"concepts": ("oak",), "preserve": ("oak",)}, "erased and to be kept"),
        ({"guide": "oak"}, "erased and to be kept"),
        ({"method": "esd", "learning_rate": 1e30, "iterations": 12}, "broke down|not numbers"),
    ],
)
def test_requests_that_cannot_be_met(
    source: ModelSource, ctx: NullContext, changes: dict[str, Any], match: str
) -> None:
    with pytest.raises(UserError, match=match):
        erased(source, ctx, **changes)
    assert not ctx.results


def test_it_stops_while_sampling(source: ModelSource, tmp_path: Path) -> None:
    class Impatient(NullContext):
        def progress(self, done: float, total: float, phase: str = "") -> None:
            if phase == "sampling the frozen model" and done > 0.1:
                raise Cancelled("stop")

    ctx = Impatient(scratch=tmp_path, root=tmp_path)
    with pytest.raises(Cancelled):
        erased(source, ctx, method="esd")


def test_a_concept_that_is_still_there_is_said(source: ModelSource, ctx: NullContext) -> None:
    erased(source, ctx, ridge=1e6)
    assert any("is left. Let UCE move all text states" in line for line in ctx.lines)
