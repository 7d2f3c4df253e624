"""The report is whole in each of its forms: page, PDF, figures."""

from __future__ import annotations

import re
import zlib
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image

import dafusion_core as df
from dafusion_core.api import ChainOptions, Project
from dafusion_core.api.experiments import plan_experiment
from dafusion_core.api.presets import make_experiment
from dafusion_core.api.results import collect_report
from dafusion_core.evaluation.figures import draw_map
from tests.e2e.projects import CLASSES, make_project, run_queue

pytest.importorskip("matplotlib")
pytest.importorskip("fpdf")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a chain, an experiment and pictures that were judged."""
    options = ChainOptions(variants=1, t0_set=(0.5,), seeds=(0, 1, 2), epochs=1)
    with make_project(tmp_path_factory.mktemp("made")) as project:
        project.plan_chain(options)
        plan_experiment(project, make_experiment("quick", CLASSES, options, shots=(1, 2)))
        run_queue(project)
        ids = project.synthetic_ids()
        project.reject(ids[:2])
        project.keep(ids[2:5])
        return project.path


@pytest.fixture
def project(path: Path):  # type: ignore[no-untyped-def]
    with df.open(path, read_only=True) as opened:
        yield opened


def test_figures_are_written_as_svg_and_png(project: Project, tmp_path: Path) -> None:
    written = df.write_figures(project, tmp_path / "figures")
    names = {file.name for file in written}
    for name in ("few-shot-quick", "differences", "confusion-1", "confusion-2", "calibration"):
        assert {f"{name}.svg", f"{name}.png"} <= names
    for file in written:
        if file.suffix == ".svg":
            assert ElementTree.parse(file).getroot().tag.endswith("svg")
        else:
            with Image.open(file) as picture:
                assert picture.width > 300
    few_shot = (tmp_path / "figures" / "few-shot-quick.svg").read_text(encoding="utf-8")
    for word in ("DA-Fusion", "standard augmentation", "training images per class"):
        assert word in few_shot
    again = df.write_figures(project, tmp_path / "again")
    assert [file.read_bytes() for file in again] == [file.read_bytes() for file in written]


def test_the_page_has_figures_and_experiments_inside(project: Project, tmp_path: Path) -> None:
    text = df.write_report(project, tmp_path / "report.html").read_text(encoding="utf-8")
    for title in (
        "Did it help?", "Experiment: quick", "What was done", "Accuracy by class", "Figures",
        "Real images", "Synthetic images", "Examples", "Settings and seeds", "Fingerprints",
        "Versions", "Precision, recall and F1", "Base model",
    ):  # fmt: skip
        assert title in text, title
    for name in CLASSES:
        assert f"What the word for “{name}” draws" in text
    assert "rows from the top: step 2 (00000002), step 4 (00000004)." in text
    assert text.count("data:image/svg+xml;base64,") >= 2
    assert 'http-equiv="Content-Security-Policy"' in text
    outside = re.findall(r'(?:src|href)="(?!data:)([^"]+)"', text)
    assert outside == []


def test_the_axes_of_a_map_say_what_they_mean(project: Project) -> None:
    inspection = collect_report(project).inspection
    assert inspection is not None
    assert draw_map(inspection).axes[0].get_ylabel().startswith("second component")
    umap = draw_map(replace(inspection, map_method="UMAP", shares=()))
    assert umap.axes[0].get_xlabel().startswith("UMAP")
    assert umap.axes[0].get_ylabel() == ""


def test_the_pdf_is_whole(project: Project, tmp_path: Path) -> None:
    content = df.write_report(project, tmp_path / "report.pdf").read_bytes()
    assert content.startswith(b"%PDF-")
    assert content.rstrip().endswith(b"%%EOF")
    assert len(re.findall(rb"/Type /Page\b", content)) >= 3
    assert content.count(b"/Subtype /Image") >= 5
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", content, re.DOTALL)
    readable = 0
    for stream in streams:
        try:
            readable += b"BT" in zlib.decompress(stream)
        except zlib.error:
            continue
    assert readable >= 3


def test_a_project_without_results_has_a_report_too(tmp_path: Path) -> None:
    with df.create(tmp_path / "empty") as project:
        for name in ("report.html", "report.pdf"):
            assert df.write_report(project, tmp_path / name).stat().st_size > 1000
        assert df.write_figures(project, tmp_path / "none") == []
