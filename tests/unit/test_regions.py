"""Regions by command line, and what masked generation is given of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import dafusion_core as df
from dafusion_core.datasets.masks import decode_mask
from dafusion_core.domain.errors import BadImage, UserError
from dafusion_core.domain.specs import GenerationPlan, ModelSource
from dafusion_core.worker.binding import bind_generation
from tests.unit.cli_driver import CommandLine, make_pictures


@pytest.fixture
def project(tmp_path: Path) -> Path:
    with df.create(tmp_path / "weeds") as made:
        made.import_folder(make_pictures(tmp_path / "photos"))
        made.make_split()
    return tmp_path / "weeds.dafusion"


def test_masked_generation_is_given_the_painted_pixels(project: Path) -> None:
    with df.open(project) as opened:
        first, second = opened.images(part="train")[:2]
        test = opened.images(part="test")[0]
        mask = np.random.default_rng(1).random((first.height, first.width)) < 0.2
        opened.add_mask(first.id, mask)
        opened.add_region(second.id, "box", {"box": [1, 2, 3, 4]})
        opened.add_region(test.id, "box", {"box": [1, 2, 3, 4]})
        split = opened.current_split()
        assert split is not None
        plan = GenerationPlan(split.id, ModelSource("bundled"), mask="object")
        inputs = bind_generation(opened.file.db, plan)
        assert set(inputs.regions) == {str(first.id), str(second.id)}
        (painted,) = inputs.regions[str(first.id)]
        assert np.array_equal(decode_mask(painted.data), mask)
        assert inputs.regions[str(second.id)][0].data == {"box": [1.0, 2.0, 3.0, 4.0]}
        opened.remove_regions([region.id for region in opened.regions()])
        with pytest.raises(UserError, match="No training image has a region"):
            bind_generation(opened.file.db, plan)


def test_a_mask_from_a_file(project: Path, tmp_path: Path) -> None:
    with df.open(project) as opened:
        first = opened.images()[0]
        mask = np.random.default_rng(2).random((first.height, first.width)) < 0.5
        for name, values in {
            "black and white": Image.fromarray(mask.astype(np.uint8) * 255),
            "zero and one": Image.fromarray(mask.astype(np.uint8)),
            "colours": Image.fromarray(np.where(mask[..., None], [128, 0, 64], 0).astype(np.uint8)),
            "one bit": Image.fromarray(mask),
        }.items():
            values.save(tmp_path / f"{name}.png")
            opened.add_mask_file(first.id, tmp_path / f"{name}.png", "dock")
            assert np.array_equal(opened.region_mask(opened.regions([first.id])[-1]), mask), name
        assert opened.count_regions() == {"mask": 4}
        for size, reason in (
            ((3, 3), "3×3"),
            ((first.width, first.height), "every pixel is black"),
        ):
            Image.new("L", size, 255 if size == (3, 3) else 0).save(tmp_path / "wrong.png")
            with pytest.raises(UserError, match=reason):
                opened.add_mask_file(first.id, tmp_path / "wrong.png")
        (tmp_path / "broken.png").write_bytes(b"no")
        with pytest.raises(BadImage):
            opened.add_mask_file(first.id, tmp_path / "broken.png")
        assert opened.count_regions() == {"mask": 4}


def test_the_verbs(
    project: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cli = CommandLine(capsys)
    monkeypatch.setenv("DAFUSION_PROJECT", str(project))
    with df.open(project) as opened:
        first = opened.images()[0]
    mask = np.zeros((first.height, first.width), np.uint8)
    mask[2:5, 3:9] = 255
    Image.fromarray(mask).save(tmp_path / "leaf.png")
    found = cli.ok("annotate", "mark", first.id, "--mask", tmp_path / "leaf.png")
    cli.ok("annotate", "mark", first.id, "--box", 1, 2, 3, 4, "--class", "sorrel")
    rows = cli.ok("annotate", "regions")["regions"]
    assert rows[0] == {
        "id": found["region_id"], "picture": first.id, "kind": "mask", "class": first.label,
        "box": [3.0, 2.0, 6.0, 3.0], "pixels": 18,
    }  # fmt: skip
    assert (rows[1]["class"], rows[1]["pixels"]) == ("sorrel", 12)
    assert cli.ok("annotate", "regions", first.id + 1)["regions"] == []
    assert cli.ok("annotate", "unmark", rows[1]["id"])["text"] == "Remove 1 region"
    assert len(cli.ok("annotate", "regions")["regions"]) == 1
    cli.ok("annotate", "undo")
    assert len(cli.ok("annotate", "regions")["regions"]) == 2
    assert "no region 99" in cli("annotate", "unmark", 99).err
    assert "either --box or --mask" in cli("annotate", "mark", first.id).err
    assert "no picture 999" in cli("annotate", "mark", 999, "--box", 1, 1, 2, 2).err
