"""The generate method: batches, resuming, missing embeddings, unreadable sources."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from dafusion_core.domain.errors import BadImage, OutOfMemory, UserError
from dafusion_core.domain.inputs import (
    ConceptInput,
    EmbeddingInput,
    FileInput,
    GenerationInputs,
    ImageInput,
)
from dafusion_core.domain.records import JobUnit
from dafusion_core.domain.specs import GenerationPlan, ModelSource
from dafusion_core.engine import tokens
from dafusion_core.engine.torch_setup import torch
from dafusion_core.jobs.context import NullContext
from dafusion_core.methods import generate

from . import tiny
from .conftest import draw_picture, make_unit


def make_inputs(root: Path, learned: tuple[int, ...] = ()) -> GenerationInputs:
    sources, concepts, embeddings = {}, {}, {}
    for label, name in enumerate(("oak", "plant")):
        concepts[str(label)] = ConceptInput(label, name, f"<{name}>", "plant")
        for i in range(2):
            number = label * 2 + i
            draw_picture(number).save(root / f"{number}.png")
            sources[str(number)] = ImageInput(number, f"{number}.png", "", label)
        if label in learned:
            path = root / f"{name}.safetensors"
            vectors = torch.randn(2, tiny.DIM, generator=torch.Generator().manual_seed(label))
            tokens.write_embedding(path, f"<{name}>", vectors)
            embeddings[str(label)] = EmbeddingInput(f"<{name}>", path.name, "")
    return GenerationInputs(sources, concepts, embeddings)


def make_units(t0_set: tuple[float, ...] = (0.5, 1.0), batch: int = 3) -> list[JobUnit]:
    units = []
    for t0 in t0_set:
        for source in range(4):
            n = len(units)
            units.append(
                make_unit(
                    n + 1,
                    f"{source}-{t0}",
                    1000 + n,
                    source_image_id=source,
                    concept_id=source // 2,
                    t0=t0,
                    variant=0,
                    batch=n // batch,
                )
            )
    return units


def plan(source: ModelSource, **changes: object) -> GenerationPlan:
    options: dict[str, object] = {"split_id": 1, "model": source, "steps": 4, "scheduler": "ddim"}
    return GenerationPlan(**(options | changes))  # type: ignore[arg-type]


def pixels(ctx: NullContext, key: str) -> bytes:
    with Image.open(ctx.results[key][0]["image"]) as picture:
        return picture.tobytes()


def test_every_unit_becomes_a_png_of_its_sources_size(
    source: ModelSource, ctx: NullContext, tmp_path: Path
) -> None:
    units = make_units()
    generate.run(plan(source), make_inputs(tmp_path), units, ctx)
    assert set(ctx.results) == {unit.key for unit in units}
    for files, record in ctx.results.values():
        with Image.open(files["image"]) as picture:
            assert (picture.format, picture.mode, picture.size) == ("PNG", "RGB", (40, 30))
        assert record == {"width": 40, "height": 30}
    assert pixels(ctx, "0-0.5") != pixels(ctx, "0-1.0")
    assert not list(ctx.scratch.glob("*.part"))


def test_a_resumed_run_makes_the_same_bits(
    source: ModelSource, ctx: NullContext, tmp_path: Path
) -> None:
    inputs, units = make_inputs(tmp_path), make_units()
    generate.run(plan(source), inputs, units, ctx)
    other = tmp_path / "second"
    other.mkdir()
    again = NullContext(scratch=other, root=tmp_path)
    later = [unit for unit in units if unit.payload["batch"] != 0]
    generate.run(plan(source), inputs, list(reversed(later)), again)
    assert set(again.results) == {unit.key for unit in later}
    for unit in later:
        assert pixels(again, unit.key) == pixels(ctx, unit.key)


def test_real_guidance_differs_from_learned_tokens(
    source: ModelSource, ctx: NullContext, tmp_path: Path
) -> None:
    inputs, units = make_inputs(tmp_path, learned=(0, 1)), make_units((1.0,))
    generate.run(plan(source), inputs, units, ctx)
    by_name = pixels(ctx, "0-1.0")
    generate.run(plan(source, inversion_job=3), inputs, units, ctx)
    assert pixels(ctx, "0-1.0") != by_name


def test_a_missing_embedding_is_an_error_that_names_the_class(
    source: ModelSource, ctx: NullContext, tmp_path: Path
) -> None:
    inputs = make_inputs(tmp_path, learned=(0,))
    with pytest.raises(UserError, match="learned for plant"):
        generate.run(plan(source, inversion_job=3), inputs, make_units(), ctx)
    assert not ctx.results


def test_an_unreadable_source_fails_alone(
    source: ModelSource, ctx: NullContext, tmp_path: Path
) -> None:
    inputs, units = make_inputs(tmp_path), make_units()
    (tmp_path / "1.png").write_bytes(b"not a picture")
    (tmp_path / "2.png").unlink()
    generate.run(plan(source), inputs, units, ctx)
    assert set(ctx.failures) == {"1-0.5", "1-1.0", "2-0.5", "2-1.0"}
    assert isinstance(ctx.failures["1-0.5"], BadImage)
    assert set(ctx.results) == {"0-0.5", "3-0.5", "0-1.0", "3-1.0"}


def test_the_prompt_holds_each_token_once(
    source: ModelSource, ctx: NullContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    original = generate.SDEdit.run

    def spy(self: generate.SDEdit, requests: list[generate.Request], *rest: object) -> object:
        seen.extend(request.prompt for request in requests)
        return original(self, requests, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(generate.SDEdit, "run", spy)
    inputs = make_inputs(tmp_path, learned=(0, 1))
    generate.run(plan(source, inversion_job=1), inputs, make_units((0.5,)), ctx)
    assert set(seen) == {"a photo of a <oak> <oak>_1", "a photo of a <plant> <plant>_1"}


def test_an_erasure_of_another_model_is_refused(
    source: ModelSource, ctx: NullContext, tmp_path: Path
) -> None:
    from dafusion_core.engine import differences

    path = tmp_path / "erased.safetensors"
    differences.write(
        path, {"conv_in.bias": torch.zeros(16)}, base_hash="other", method="uce", concepts=["oak"]
    )
    inputs = make_inputs(tmp_path)
    inputs = GenerationInputs(inputs.sources, inputs.concepts, {}, FileInput(path.name, ""))
    with pytest.raises(UserError, match="another base model"):
        generate.run(plan(source, erasure_job=1), inputs, make_units(), ctx)


def test_cancelling_stops_between_two_steps(source: ModelSource, tmp_path: Path) -> None:
    from dafusion_core.domain.errors import Cancelled

    class Impatient(NullContext):
        calls = 0

        def progress(self, done: float, total: float, phase: str = "") -> None:
            self.calls += 1
            if self.calls == 8:
                raise Cancelled("stop")

    ctx = Impatient(scratch=tmp_path, root=tmp_path)
    with pytest.raises(Cancelled):
        generate.run(plan(source), make_inputs(tmp_path), make_units(), ctx)
    assert 0 < len(ctx.results) < 8


def test_a_batch_that_does_not_fit_is_made_in_halves(
    source: ModelSource, ctx: NullContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs, units = make_inputs(tmp_path), make_units((0.5,), batch=4)
    generate.run(plan(source), inputs, units, ctx)
    original = generate.SDEdit.run
    sizes: list[int] = []

    def small(self: generate.SDEdit, requests: list[generate.Request], *rest: object) -> object:
        sizes.append(len(requests))
        if len(requests) > limit:
            raise torch.OutOfMemoryError("Tried to allocate 3.00 GiB")
        return original(self, requests, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(generate.SDEdit, "run", small)
    limit = 1
    again = NullContext(scratch=ctx.scratch, root=tmp_path)
    generate.run(plan(source), inputs, units, again)
    assert sizes == [4, 2, 1, 1, 2, 1, 1]
    assert set(again.results) == set(ctx.results)
    for key in ctx.results:
        near = zip(pixels(ctx, key), pixels(again, key), strict=True)
        assert max(abs(a - b) for a, b in near) <= 1
    assert any("3.0 GB more was needed" in line for line in again.lines)
    limit = 0
    with pytest.raises(OutOfMemory, match="making 1 pictures"):
        generate.run(plan(source), inputs, units, again)
