"""Fixtures of the engine tests: a tiny model on disk, pictures, a context in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dafusion_core.domain.records import JobUnit, UnitState
from dafusion_core.domain.specs import ModelSource
from dafusion_core.engine.torch_setup import torch
from dafusion_core.jobs.context import NullContext

from . import tiny

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What the diffusion libraries deprecate in numpy or in each other is theirs to mend."""
    for item in items:
        if HERE in item.path.parents:
            for library in ("diffusers", "transformers", "huggingface_hub", "torch"):
                for kind in ("DeprecationWarning", "FutureWarning"):
                    item.add_marker(pytest.mark.filterwarnings(f"ignore::{kind}:{library}"))


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny tensors only lose time to more threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model as a diffusers folder."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    tiny.build().save_pretrained(str(folder))
    return folder


@pytest.fixture
def source(tiny_folder: Path) -> ModelSource:
    """The tiny model as a choice in a spec."""
    return ModelSource("folder", str(tiny_folder))


@pytest.fixture(autouse=True)
def fresh_cache() -> Iterator[None]:
    """No model survives a test in the process-wide cache."""
    from dafusion_core.engine.models import shared_cache

    yield
    shared_cache().clear()


@pytest.fixture
def ctx(tmp_path: Path) -> NullContext:
    """A context whose files are under the test's folder."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    return NullContext(scratch=scratch, root=tmp_path)


def draw_picture(seed: int, size: tuple[int, int] = (40, 30)) -> Image.Image:
    """Smooth colours, different for each seed."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
    return coarse.resize(size, Image.Resampling.BICUBIC)


def make_unit(number: int, key: str, seed: int = 0, /, **payload: Any) -> JobUnit:
    """A unit that is still to do."""
    return JobUnit(number, 1, number, key, seed, UnitState.TODO, payload)
