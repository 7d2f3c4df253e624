"""From training to predictions and exports with the real worker and engine."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dafusion_core.api.classifiers import (
    copy_artefact,
    export_model,
    find_run,
    job_artefacts,
    predict,
    write_tensorboard,
)
from dafusion_core.domain.records import JobState
from dafusion_core.domain.specs import Arm
from dafusion_core.storage.results import stored_paths
from tests.e2e.projects import CLASSES, make_project


@pytest.mark.slow
def test_a_classifier_is_trained_used_and_exported(tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    with make_project(tmp_path) as project:
        project.train(
            arms=(Arm("plain"),), seeds=(0,), protocol="finetune", backbone="shufflenet_v2_x0_5",
            resolution=32, epochs=1, iterations_per_epoch=3, batch_size=8, learning_rate=1e-2,
        )  # fmt: skip
        project.run_queue(devices=["cpu"])
        run = find_run(project)
        asked = predict(project, run.id, tmp_path / "pictures")
        exported = export_model(project, run.id)
        project.run_queue(devices=["cpu"])
        assert {job.state for job in project.jobs()} == {JobState.SUCCEEDED}
        (table,) = job_artefacts(project, asked.id)
        target = copy_artefact(project, table, tmp_path / "answers" / "table.csv")
        with target.open(encoding="utf-8") as stream:
            answers = {Path(row["path"]): row for row in csv.DictReader(stream)}
        assert len(answers) == 30
        files = {one.role: one for one in job_artefacts(project, exported.id)}
        assert set(files) == {"safetensors", "torchscript", "onnx"}
        assert all(one.record["largest_difference"] <= 1e-4 for one in files.values())
        onnx = copy_artefact(project, files["onnx"], tmp_path / "classifier.onnx")
        session = runtime.InferenceSession(str(onnx))
        labels = json.loads(session.get_modelmeta().custom_metadata_map["labels"])
        assert labels == list(CLASSES)
        for path, row in answers.items():
            with Image.open(path) as picture:
                small = picture.convert("RGB").resize((32, 32), Image.Resampling.BILINEAR)
            values = np.asarray(small).transpose(2, 0, 1)[None]
            (found,) = session.run(None, {"pictures": values})
            expected = [float(row[label]) for label in labels]
            assert np.abs(found[0] - expected).max() <= 1e-4
        assert len(write_tensorboard(project, tmp_path / "board")) == 1
        # What artefacts name survives the sweep after an unclean end.
        project.file.objects.sweep(stored_paths(project.file.db))
        assert all(project.file.objects.path(one.path).is_file() for one in files.values())
