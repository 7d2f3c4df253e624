"""On a CUDA device: half precision, moving parts away, many classes at once. Not run by default."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dafusion_core.domain.specs import ModelSource
from dafusion_core.jobs.context import NullContext
from dafusion_core.methods import generate, invert

from .conftest import make_unit
from .test_generate import make_inputs, make_units, plan
from .test_invert import TEN, make_spec
from .test_invert import make_inputs as inversion_inputs

pytestmark = pytest.mark.gpu


def pictures(source: ModelSource, tmp_path: Path, name: str, device: str, **options: object):  # type: ignore[no-untyped-def]
    folder = tmp_path / name
    folder.mkdir()
    ctx = NullContext(scratch=folder, root=tmp_path, device=device)
    generate.run(plan(source, **options), make_inputs(tmp_path), make_units((0.5,)), ctx)
    return np.stack(
        [np.asarray(Image.open(files["image"]), int) for files, _ in ctx.results.values()]
    )


def test_every_mode_makes_nearly_the_same_pictures(source: ModelSource, tmp_path: Path) -> None:
    expected = pictures(source, tmp_path, "cpu", "cpu", precision="float32")
    modes = {
        "float32": {"precision": "float32"},
        "float16": {"precision": "float16"},
        "bfloat16": {"precision": "bfloat16"},
        "saving": {"precision": "float32", "memory": "saving"},
        "offload": {"precision": "float32", "memory": "offload"},
    }
    for name, options in modes.items():
        found = pictures(source, tmp_path, name, "cuda:0", **options)
        assert np.abs(found - expected).mean() < (1 if options["precision"] == "float32" else 4)


def test_ten_classes_share_a_step(
    source: ModelSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(invert, "_PREVIEW_STEPS", 1)
    ctx = NullContext(scratch=tmp_path, root=tmp_path, device="cuda:0")
    units = [make_unit(i + 1, str(i), i, concept_id=i) for i in range(10)]
    for precision in ("float32", "bfloat16"):
        spec = make_spec(source, precision=precision)
        invert.run(spec, inversion_inputs(tmp_path, TEN), units, ctx)
        assert len(ctx.results) == 10
    assert torch.cuda.max_memory_allocated() > 0
