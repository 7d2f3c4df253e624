"""The scripts that train the bundled model: they run, the losses fall, the result loads."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dafusion_core.domain.specs import ModelSource
from dafusion_core.engine.classifiers import build_classifier, choose_normalisation
from dafusion_core.engine.models import load_model
from dafusion_core.engine.torch_setup import torch

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "packaging" / "bundled_model"

_SAME = """
import sys, common, torch
from pathlib import Path
from meadow_export import assemble
from meadow_data import genome_numbers
from meadow_models import PLACEHOLDER, build_unet, conditioner, token_ids, tokenizer
from dafusion_core.meadow import find_species
folder = Path(sys.argv[1])
pipe = assemble(folder)
state = torch.load(folder / "unet.pt", weights_only=True)
built = tokenizer()
both = torch.nn.ModuleDict({"unet": build_unet("smoke"), "words": conditioner(built)})
both.load_state_dict({**state["model"], **state["average"]})
worst, between = 0.0, 1e9
with torch.no_grad():
    for name in ("daisy", "poppy", "fern"):
        genome = torch.tensor([genome_numbers(find_species(name))])
        text = "a photo of a {} on bare soil"
        trained = both["words"](token_ids(built, [text.format(PLACEHOLDER)]), genome)
        plain = pipe.text_encoder(token_ids(pipe.tokenizer, [text.format(name)]))[0]
        other = pipe.text_encoder(token_ids(pipe.tokenizer, [text.format("ivy")]))[0]
        worst = max(worst, float((trained - plain).abs().max()))
        between = min(between, float((other - plain).abs().max()))
print(worst, between)
"""


def run(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=SCRIPTS,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": f"{SCRIPTS}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def falls(output: str, key: str) -> bool:
    values = [float(v) for v in re.findall(rf"{key} ([0-9.e+-]+)", output)]
    assert len(values) >= 6
    return sum(values[-2:]) < 0.93 * sum(values[:2])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("meadow")
    assert falls(run("meadow_vae.py", "--smoke", "--out", str(folder)), "loss")
    assert falls(run("meadow_unet.py", "--smoke", "--parts", "2", "--out", str(folder)), "error")
    run("meadow_export.py", "--out", str(folder), "--to", str(folder / "model"))
    return folder


def test_the_trained_model_loads(trained: Path) -> None:
    model = load_model(ModelSource("folder", str(trained / "model")), torch.device("cpu"))
    assert (model.resolution, model.latent_channels) == (64, 8)
    assert model.dtype == torch.float32


def test_polishing_the_decoder_leaves_the_latents_alone(trained: Path) -> None:
    run("meadow_vae.py", "--smoke", "--decoder-only", "--out", str(trained))
    before, after = (
        torch.load(trained / name, weights_only=True) for name in ("vae.pt", "vae-polished.pt")
    )
    assert before["scale"] == after["scale"]
    for name, value in before["average"].items():
        is_same = torch.equal(value, after["average"][name])
        assert is_same == name.startswith(("encoder.", "quant_conv.")), name


def test_names_mean_what_their_attributes_meant_in_training(trained: Path) -> None:
    worst, between = (float(v) for v in run("-c", _SAME, str(trained)).split())
    assert worst < 1e-4 < between


def test_the_backbone_fits_the_classifier(trained: Path) -> None:
    weights = trained / "backbone.safetensors"
    output = run("meadow_backbone.py", "--smoke", "--out", str(trained), "--export", str(weights))
    assert falls(output, "loss")
    network = build_classifier("resnet18", 3, str(weights))
    assert network(torch.zeros(1, 3, 64, 64)).shape == (1, 3)
    assert choose_normalisation("auto", "finetune", str(weights)).mean == (0.5, 0.5, 0.5)


def test_a_training_goes_on_where_it_stopped(trained: Path) -> None:
    state = torch.load(trained / "vae.pt", weights_only=True)
    shorter = ("meadow_vae.py", "--smoke", "--resume", "--out", str(trained))
    assert f"saved {state['step']}" in run(*shorter)  # all steps were done: none is added


def test_the_benchmark_goes_through_every_stage(trained: Path, tmp_path: Path) -> None:
    bench = str(ROOT / "tests" / "benchmarks" / "bench_model.py")
    run(bench, "--smoke", "--work", str(tmp_path), "--model", str(trained / "model"))
    report = json.loads((tmp_path / "bench_model.json").read_text(encoding="utf-8"))
    stages = {"vae", "names", "erasure", "inversion", "sdedit", "fewshot", "speed"}
    assert stages <= set(report)
    assert report["vae"]["pictures"] == 48
    assert set(report["sdedit"]) == {"0.25", "0.5", "0.75", "1.0"}
