"""torch.compile: the same pictures, and patching weights still reaches the network."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from dafusion_core.domain.specs import ModelSource
from dafusion_core.engine import differences
from dafusion_core.engine.models import PipelineCache, load_model
from dafusion_core.jobs.context import NullContext
from dafusion_core.methods import generate

from .test_generate import make_inputs, make_units, plan

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("g++") is None, reason="compiling on the CPU needs g++"),
    # What the compiler's own modules deprecate is theirs.
    pytest.mark.filterwarnings("ignore"),
]


def test_a_compiled_network_makes_the_same_pictures(source: ModelSource, tmp_path: Path) -> None:
    inputs, units = make_inputs(tmp_path), make_units((0.5,), batch=4)
    made = []
    for is_compiled in (False, True):
        folder = tmp_path / str(is_compiled)
        folder.mkdir()
        ctx = NullContext(scratch=folder, root=tmp_path)
        generate.run(plan(source, compile=is_compiled), inputs, units, ctx)
        made.append([Image.open(files["image"]).tobytes() for files, _ in ctx.results.values()])
    for one, two in zip(*made, strict=True):
        assert max(abs(a - b) for a, b in zip(one, two, strict=True)) <= 1


def test_weights_of_a_compiled_network_can_be_patched(source: ModelSource, tmp_path: Path) -> None:
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
            unet = cache.get(
                source, device=torch.device("cpu"), erasure=erasure, is_compiled=True
            ).unet
            found.append(unet(x, t, encoder_hidden_states=text).sample)
        expected = plain.unet(x, t, encoder_hidden_states=text).sample
    assert torch.allclose(found[0], expected, atol=1e-4)
    assert (found[1] - found[0]).abs().max() > 1e-3
