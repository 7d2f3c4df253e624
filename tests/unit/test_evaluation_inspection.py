"""Inspections name the pictures behind every figure; curves go to TensorBoard unchanged."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dafusion_core.api.classifiers import (
    collect_pictures,
    export_model,
    find_run,
    inspect_run,
    predict,
    write_tensorboard,
)
from dafusion_core.domain.errors import UserError
from dafusion_core.domain.records import Metric
from dafusion_core.domain.specs import Arm
from dafusion_core.evaluation.event_files import write_events
from dafusion_core.evaluation.inspection import Inspection, inspect_record
from tests.e2e.projects import make_project, run_queue


def make_record() -> dict[str, object]:
    rng = np.random.default_rng(0)
    rows = rng.dirichlet([1, 1, 1], 30).round(6)
    return {
        "labels": ["a", "b", "c"], "arm": "x", "seed": 4,
        "test": {
            "image_ids": list(range(100, 130)), "truth": [i % 3 for i in range(30)],
            "probabilities": rows.tolist(),
        },
        "map": {
            "shares": [0.6, 0.2], "image_ids": [7, 100], "labels": [1, 0], "is_test": [0, 1],
            "points": [[0.5, 1.0], [-1.0, 2.0]],
        },
    }  # fmt: skip


def test_every_picture_is_in_the_cell_it_belongs_to() -> None:
    record = make_record()
    found = inspect_record(record)
    rows = np.array(record["test"]["probabilities"])  # type: ignore[index]
    for true in range(3):
        for guess in range(3):
            expected = [100 + i for i in range(30) if i % 3 == true and rows[i].argmax() == guess]
            assert list(found.cells[true][guess]) == expected
    assert sum(sum(row) for row in found.confusion) == 30
    wrong = {
        i for t, row in enumerate(found.cells) for g, ids in enumerate(row) if t != g for i in ids
    }
    assert {one.image_id for one in found.mistakes} == wrong
    sure = [one.confidence for one in found.mistakes]
    assert sure == sorted(sure, reverse=True)
    assert found.points[0].guess is None
    assert found.points[1].guess == rows[0].argmax()
    assert Inspection.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_tensorboard_reads_our_event_files(tmp_path: Path) -> None:
    reader = pytest.importorskip(
        "tensorboard.backend.event_processing.event_file_loader", exc_type=ImportError
    )
    at = "2026-11-22T10:00:00.500000+00:00"
    points = [Metric(1, 2, "loss/träin", step, 1 / (step + 1), at) for step in (0, 1, 300, 70_000)]
    path = write_events(tmp_path / "run", points)
    events = list(reader.EventFileLoader(str(path)).Load())
    assert events[0].file_version == "brain.Event:2"
    found = [(event.summary.value[0].tag, event.step, event.wall_time) for event in events[1:]]
    assert found == [("loss/träin", p.step, 1795341600.5) for p in points]
    values = [event.summary.value[0].tensor.float_val[0] for event in events[1:]]
    assert values == pytest.approx([p.value for p in points], rel=1e-6)


def test_the_checksum_is_castagnolis() -> None:
    from dafusion_core.evaluation import event_files

    # CRC-32C of "123456789" is E3069283; masked as TensorFlow does.
    crc = 0xE3069283
    masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
    assert event_files._masked_crc(b"123456789") == masked.to_bytes(4, "little")


def test_pictures_are_found_by_name_folder_and_list(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jpg", "notes.txt", "deep/c.tif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    listed = tmp_path / "list.csv"
    listed.write_text("path,note\nb.PNG,x\n\ndeep/c.tif,\n", encoding="utf-8")
    names = [path.name for path in collect_pictures(tmp_path)]
    assert names == ["a.jpg", "b.PNG", "c.tif"]
    assert [path.name for path in collect_pictures(listed)] == ["b.PNG", "c.tif"]
    assert collect_pictures(tmp_path / "a.jpg") == [tmp_path / "a.jpg"]
    (tmp_path / "empty.csv").write_text("path\n", encoding="utf-8")
    for wrong in ("none.jpg", "empty.csv"):
        with pytest.raises(UserError):
            collect_pictures(tmp_path / wrong)


def test_runs_are_looked_at_and_used(tmp_path: Path) -> None:
    with make_project(tmp_path) as project:
        with pytest.raises(UserError, match="no trained classifier"):
            find_run(project)
        project.train(arms=(Arm("plain"),), seeds=(0, 1))
        run_queue(project)
        run = find_run(project)
        assert (run.arm, run.seed) == ("plain", 0)
        found = inspect_run(project, run.id)
        assert sum(one.images for one in found.classes) == len(project.images(part="test"))
        with pytest.raises(UserError, match="no training run 99"):
            inspect_run(project, 99)
        with pytest.raises(UserError, match="no curves"):
            write_tensorboard(project, tmp_path / "board")
        job = predict(project, run.id, tmp_path / "pictures" / "dock")
        assert job.title == "Look at 10 pictures"
        assert export_model(project, run.id, ["onnx"]).total == 1
        with pytest.raises(UserError, match="not a format"):
            export_model(project, run.id, ["pickle"])  # type: ignore[list-item]
