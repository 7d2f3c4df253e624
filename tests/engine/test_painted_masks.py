"""From the pixels that somebody painted to the pixels that the model may change."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

import dafusion_core as df
from dafusion_core.domain.specs import GenerationPlan, ModelSource
from dafusion_core.engine.edit_masks import edit_mask
from dafusion_core.engine.frames import Frame
from dafusion_core.worker.binding import bind_generation


def test_only_the_painted_pixels_may_change(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(2):
            values = np.random.default_rng(number + 10 * ord(name)).integers(0, 255, (64, 64, 3))
            Image.fromarray(values.astype(np.uint8)).save(
                tmp_path / "photos" / name / f"{number}.png"
            )
    with df.create(tmp_path / "weeds") as project:
        project.import_folder(tmp_path / "photos")
        split = project.make_split()
        image = project.images(part="train")[0]
        painted = np.random.default_rng(3).random((64, 64)) < 0.3
        project.add_mask(image.id, painted)
        plan = GenerationPlan(split.id, ModelSource("bundled"), mask="object")
        regions = bind_generation(project.file.db, plan).regions[str(image.id)]
    frame = Frame((64, 64), 64)
    inside = edit_mask(regions, frame, "object", 0)
    outside = edit_mask(regions, frame, "background", 0)
    assert np.array_equal(inside.numpy() > 0.5, painted)
    assert np.array_equal(outside.numpy() > 0.5, ~painted)
