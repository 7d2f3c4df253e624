"""Methods without torch, for tests of the queue, the worker process and the window.

`run` is a worker target: it puts these in the place of the real ones and then is the real worker.
How slow they are and what goes wrong comes from environment variables, because the worker is
another process.
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from PIL import Image

from dafusion_core.domain.records import JobUnit, UnitState
from dafusion_core.jobs.context import JobContext
from dafusion_core.jobs.protocol import WorkerSettings

TARGET = "tests.fake_methods:run"


def delay_s() -> float:
    """How long one step takes."""
    return float(os.environ.get("DAFUSION_TEST_STEP_S", "0.001"))


def todo(units: Sequence[JobUnit]) -> list[JobUnit]:
    return [unit for unit in units if unit.state is not UnitState.DONE]


def picture(seed: int) -> Image.Image:
    """A picture that only this seed gives."""
    noise = Image.effect_mandelbrot((32, 32), (-2.0, -1.2, 0.8, 1.2), 20)
    tint = tuple((seed >> shift) & 255 for shift in (0, 8, 16))
    return Image.merge("RGB", [noise.point(lambda v, t=t: (v + t) & 255) for t in tint])


def generate(spec: Any, inputs: Any, units: Sequence[JobUnit], ctx: JobContext) -> None:
    batches: dict[int, list[JobUnit]] = {}
    for unit in units:
        batches.setdefault(unit.payload["batch"], []).append(unit)
    done = 0
    for batch in batches.values():
        assert todo(batch), "a worker passes only batches with something to do"
        for step in range(3):
            time.sleep(delay_s())
            ctx.progress(done + len(batch) * step / 3, len(units), "making pictures")
        for unit in batch:
            obey(os.environ.get("DAFUSION_TEST_TROUBLE", ""), unit)
            if os.environ.get("DAFUSION_TEST_BAD_UNIT") == str(unit.ordinal):
                ctx.fail_unit(unit, ValueError("this picture is bad"))
                continue
            path = ctx.scratch / f"{unit.id}.png"
            picture(unit.seed).save(path)
            ctx.finish_unit(unit, {"image": path}, {"width": 32, "height": 32})
        done += len(batch)
    ctx.progress(len(units), len(units), "making pictures")


def obey(trouble: str, unit: JobUnit) -> None:
    """Get into the trouble a test asks for, at the unit it names ("kind@ordinal")."""
    kind, _, ordinal = trouble.partition("@")
    if not kind or unit.ordinal != int(ordinal):
        return
    if kind == "die":
        os._exit(9)
    if kind == "die-once":
        flag = Path(os.environ["DAFUSION_TEST_FLAG"])
        if not flag.exists():
            flag.touch()
            os._exit(9)
    if kind == "hang":
        while True:
            time.sleep(0.1)
    if kind == "disk-full":
        raise OSError(errno.ENOSPC, "No space left on device")
    if kind == "memory":
        raise MemoryError


def erase(spec: Any, inputs: Any, units: Sequence[JobUnit], ctx: JobContext) -> None:
    for unit in todo(units):
        ctx.progress(0, 1, "erasing")
        path = ctx.scratch / "weights.safetensors"
        path.write_bytes(b"weights")
        record = {"method": spec.method, "concepts": list(spec.concepts), "base_hash": "0"}
        ctx.finish_unit(unit, {"weights": path}, record)


def invert(spec: Any, inputs: Any, units: Sequence[JobUnit], ctx: JobContext) -> None:
    for number, unit in enumerate(todo(units)):
        concept = inputs.concepts[str(unit.payload["concept_id"])]
        for step in range(5):
            time.sleep(delay_s())
            ctx.progress(number + step / 5, len(units), f"learning {concept.name}")
            ctx.metric(f"loss/{concept.name}", step, 1 / (1 + step), unit)
            if ctx.take_wish("save"):
                ctx.log(f"saved at step {step}")
            if step in (2, 4) or ctx.take_wish("sample"):
                look(unit, concept.name, step, ctx)
        path = ctx.scratch / f"{unit.id}.safetensors"
        path.write_bytes(concept.name.encode())
        files = {"embedding": path, "previews": ctx.scratch / f"{unit.id}-previews.png"}
        shutil.copyfile(ctx.scratch / f"preview-{unit.id}-4.png", files["previews"])
        looks = [{"step": step, "hash": f"0000000{step}"} for step in (2, 4)]
        ctx.finish_unit(unit, files, {"placeholder": concept.placeholder, "previews": looks})


def look(unit: JobUnit, name: str, step: int, ctx: JobContext) -> None:
    """A preview as the inversion announces it: a row of four pictures on white."""
    sheet = Image.new("RGB", (4 * 132 + 4, 136), "white")
    for place in range(4):
        sheet.paste((50 * step, 60 * place, 0), (4 + 132 * place, 4, 132 + 132 * place, 132))
    path = ctx.scratch / f"preview-{unit.id}-{step}.png"
    sheet.save(path)
    ctx.preview(path, f"{name} (0000000{step}): step {step} of 5")


def train(spec: Any, inputs: Any, units: Sequence[JobUnit], ctx: JobContext) -> None:
    """Predictions in which the arm with synthetic images is right more often."""
    for number, unit in enumerate(todo(units)):
        ctx.progress(number, len(units), f"training {unit.payload['arm']}")
        time.sleep(5 * delay_s())
        stopped_at = 1 if ctx.take_wish("finish") else None
        arm = next(arm for arm in spec.arms if arm.name == unit.payload["arm"])
        rows = []
        for index, image in enumerate(inputs.test):
            is_right = (index * 7 + unit.payload["seed"]) % 10 < (9 if arm.alpha else 5)
            guess = image.label if is_right else (image.label + 1) % len(inputs.labels)
            rows.append([0.9 if k == guess else 0.1 for k in range(len(inputs.labels))])
        accuracy = 0.9 if arm.alpha else 0.5
        path = ctx.scratch / f"{unit.id}.safetensors"
        path.write_bytes(str(unit.id).encode())
        record = {
            "labels": list(inputs.labels),
            "arm": arm.name,
            "seed": unit.payload["seed"],
            "stopped_at": stopped_at,
            "epochs": [{"epoch": 1, "train_loss": 1.0, "train_accuracy": accuracy}],
            "test": {
                "image_ids": [image.id for image in inputs.test],
                "truth": [image.label for image in inputs.test],
                "probabilities": rows,
            },
            "test_accuracy_last": accuracy,
            "test_accuracy_best_epoch": accuracy,
        }
        ctx.finish_unit(unit, {"weights": path}, record)


def run(connection: Connection, settings: WorkerSettings) -> None:
    """A worker whose methods are those of this file (comparing is the real one)."""
    from dafusion_core.methods import registry
    from dafusion_core.worker import main

    for kind in ("erase", "invert", "generate", "train"):
        registry.METHODS[kind] = f"tests.fake_methods:{kind}"
    registry.METHODS["preview"] = "tests.fake_methods:generate"
    if "DAFUSION_TEST_HUB" in os.environ:
        from dafusion_core.methods import download

        download.PROGRAM = (sys.executable, os.environ["DAFUSION_TEST_HUB"])
    main.run(connection, settings)
