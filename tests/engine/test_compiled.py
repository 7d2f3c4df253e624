"""torch.compile: the same pictures where it works, and a sentence where it does not."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch._dynamo.utils import counters

from dafusion_core.domain.specs import ModelSource
from dafusion_core.engine import compiling, differences, parallel
from dafusion_core.engine.models import PipelineCache, load_model, shared_cache
from dafusion_core.jobs.context import NullContext
from dafusion_core.methods import generate

from .test_generate import make_inputs, make_units, plan

needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")


def made(source: ModelSource, tmp_path: Path, name: str, **settings: Any) -> NullContext:
    """One batch of pictures."""
    folder = tmp_path / name
    folder.mkdir()
    ctx = NullContext(scratch=folder, root=tmp_path)
    inputs, units = make_inputs(tmp_path), make_units((0.5,), batch=4)
    generate.run(plan(source, **settings), inputs, units, ctx)
    return ctx


def pictures(ctx: NullContext) -> list[bytes]:
    return [Image.open(files["image"]).tobytes() for files, _ in ctx.results.values()]


@pytest.mark.slow
@needs_compiler
@pytest.mark.filterwarnings("ignore")  # what the compiler's own modules deprecate is theirs
def test_a_compiled_network_makes_the_same_pictures(
    source: ModelSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The compiler's own pool of threads would outlive the test.
    monkeypatch.setattr("torch._inductor.config.compile_threads", 1)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "programs"))
    torch.set_num_threads(2)  # so that the batch is cut
    start = counters["stats"]["unique_graphs"]
    try:
        plain, compiled = made(source, tmp_path, "plain"), made(source, tmp_path, "c", compile=True)
        first = counters["stats"]["unique_graphs"] - start
        again = made(source, tmp_path, "again", compile=True)
        both = counters["stats"]["unique_graphs"] - start
    finally:
        parallel.close()
        torch.set_num_threads(1)
        shared_cache().clear()
    assert first == both == 1  # a program for the parts, and for nothing else
    assert pictures(again) == pictures(compiled)
    assert not any("torch.compile" in line for line in (*plain.lines, *compiled.lines))
    for one, two in zip(pictures(plain), pictures(compiled), strict=True):
        assert max(abs(a - b) for a, b in zip(one, two, strict=True)) <= 1


def test_without_a_compiler_it_is_said_and_the_pictures_are_made(
    source: ModelSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(unet: Any) -> None:
        def no_compiler(*given: Any, **named: Any) -> Any:
            raise RuntimeError("InvalidCxxCompiler: No working C++ compiler found\nmore")

        unet._compiled_call_impl = no_compiler

    monkeypatch.setattr(compiling, "_turn_on", broken)
    ctx = made(source, tmp_path, "c", compile=True)
    assert any(
        line.startswith("torch.compile does not work here (InvalidCxxCompiler: No working")
        and "same pictures" in line
        for line in ctx.lines
    )
    assert pictures(ctx) == pictures(made(source, tmp_path, "plain"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_weights_of_a_compiled_network_can_be_patched(
    source: ModelSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compiling in place leaves the parameters where they are and what they are called."""
    monkeypatch.setattr(compiling, "_turn_on", lambda unet: unet.compile(backend="eager"))
    plain = load_model(source, torch.device("cpu"))
    path = differences.write(
        tmp_path / "d.safetensors",
        {"conv_in.bias": torch.ones_like(plain.unet.conv_in.bias)},
        base_hash=plain.base_hash,
        method="uce",
        concepts=["oak"],
    )
    cache = PipelineCache()
    x, t, text = torch.randn(1, 4, 16, 16), torch.tensor(10), torch.randn(1, 32, 32)
    found = []
    with torch.inference_mode():
        for erasure in (None, path):
            model = cache.get(source, device=torch.device("cpu"), erasure=erasure)
            assert compiling.compile_network(model, 16) == ""
            assert compiling.is_compiled(model)
            found.append(model.unet(x, t, encoder_hidden_states=text).sample)
        expected = plain.unet(x, t, encoder_hidden_states=text).sample
    assert torch.allclose(found[0], expected, atol=1e-5)
    assert (found[1] - found[0]).abs().max() > 1e-3
    compiling.undo(model)
    assert not compiling.is_compiled(model)
