"""How fast pictures are made: `python tests/benchmarks/bench_generation.py [--device cpu]`.

Prints JSON. Reference: diffusers' StableDiffusionImg2ImgPipeline, one picture per call, as in
published augmentation programs. Ours: the same pictures in batches over classes and sources, the
sources of a batch encoded together, each prompt once. Same model, seeds, sampler and steps;
`difference` is the largest between any two of their pixels, 0–1. Loading the model counts on
neither side. The reference also runs with one thread per operation, and in a process of its own
with threads that wait as torch has it. `--compile` makes ours once more with torch.compile
(`compile_s`: what that takes before the first picture; far less where it ran before).

On a GPU: `python tests/benchmarks/bench_generation.py --model sd-size --device cuda:0`, a model of
Stable Diffusion 1.x's size with random weights at 512 pixels in bfloat16. `share_of_matmul_rate`
is what the denoiser's counted operations come to per second of ours, as a share of the rate of a
large matrix product measured in the same run.
"""

from __future__ import annotations

import argparse
import time
from contextlib import nullcontext

import numpy as np
from engine_bench import (
    add_model_option,
    compare,
    load_wanted,
    on_one_thread,
    over_the_best,
    ratio,
    sample_pictures,
    serve,
    show,
    with_torch_defaults,
)
from PIL import Image

from dafusion_core.engine import compiling, images, parallel
from dafusion_core.engine.sdedit import (
    Posterior,
    Request,
    SDEdit,
    encode_posteriors,
    executed_steps,
)
from dafusion_core.engine.torch_setup import torch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    add_model_option(parser)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--variants", type=int, default=4, help="of each of 4 sources")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--t0", type=float, default=0.5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--compile", action="store_true", help="ours once more, with torch.compile")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    torch.set_num_threads(wanted.threads)
    model, pipe = load_wanted(wanted.model, wanted.device, torch.bfloat16)
    side = model.resolution
    tasks = [
        (f"a photo of a {name}", paths[0], seed)
        for name, paths in sample_pictures().items()
        for seed in range(wanted.variants)
    ]
    made: dict[str, np.ndarray] = {}

    def one_by_one() -> None:
        found = []
        for prompt, path, seed in tasks:
            picture = Image.open(path).convert("RGB").resize((side, side), images.BILINEAR)
            found.append(
                pipe(
                    prompt=prompt,
                    image=picture,
                    strength=wanted.t0,
                    num_inference_steps=wanted.steps,
                    guidance_scale=7.5,
                    generator=torch.Generator("cpu").manual_seed(seed),
                    output_type="np",
                ).images[0]
            )
        made["reference"] = np.stack(found)

    def batches(name: str = "ours") -> None:
        sampler = SDEdit(model, scheduler="pndm", steps=wanted.steps)
        found = []
        for start in range(0, len(tasks), wanted.batch):
            batch = tasks[start : start + wanted.batch]
            paths = list(dict.fromkeys(path for _, path, _ in batch))
            shown = torch.stack([images.load_pixels(path, side)[0] for path in paths])
            encoded = encode_posteriors(model, shown)
            kept = {
                path: Posterior(encoded.mean[i : i + 1], encoded.std[i : i + 1])
                for i, path in enumerate(paths)
            }
            requests = [Request(kept[path], prompt, seed) for prompt, path, seed in batch]
            found.append(images.pixels_to_unit(sampler.run(requests, wanted.t0)))
        made[name] = torch.cat(found).permute(0, 2, 3, 1).cpu().numpy()

    if wanted.serve:
        serve({"reference": one_by_one})
        return
    batches()  # once for nothing, so that neither pays for the first use
    ways = {
        "reference": one_by_one,
        "reference, one thread": on_one_thread(one_by_one),
        "ours": batches,
    }
    compile_s = 0.0
    if wanted.compile:
        began = time.perf_counter()
        part = parallel.part_of(model.device, 2 * wanted.batch)
        problem = compiling.compile_network(model, side // model.scale, *part)
        assert not problem, problem
        compile_s = round(time.perf_counter() - began, 1)
        program = model.unet._compiled_call_impl
        compiling.undo(model)

        def compiled() -> None:
            model.unet._compiled_call_impl = program
            batches("ours, compiled")
            compiling.undo(model)

        compiled()
        ways["ours, compiled"] = compiled
    with with_torch_defaults() if wanted.device == "cpu" else nullcontext() as way:
        if way is not None:
            ways = {"reference, torch's own threads": way("reference"), **ways}
        measured = compare(ways, wanted.rounds, wanted.device)
    extra: dict[str, float] = {}
    if wanted.model != "bundled":
        from large_model import matmul_rate, sampling_flops

        evaluations = 2 * executed_steps(wanted.steps, wanted.t0) * len(tasks)
        rate = matmul_rate(wanted.device, model.dtype)
        ours = evaluations * sampling_flops(model, side) / measured["ours"]["wall_s"]
        extra = {
            "matmul_tflops": round(rate / 1e12, 3),
            "denoiser_tflops": round(ours / 1e12, 3),
            "share_of_matmul_rate": round(ours / rate, 3),
        }
    show(
        wanted.device,
        model=wanted.model,
        dtype=str(model.dtype),
        **extra,
        pictures=len(tasks),
        settings={"t0": wanted.t0, "steps": wanted.steps, "batch": wanted.batch, "side": side},
        seconds=measured,
        speedup=ratio(measured, "reference", "ours"),
        speedup_over_one_thread=ratio(measured, "reference, one thread", "ours"),
        speedup_over_the_best={
            name: over_the_best(measured, name) for name in ways if "ours" in name
        },
        compile_s=compile_s,
        difference={
            name: float(np.abs(made["reference"] - pictures).max())
            for name, pictures in made.items()
            if "ours" in name
        },
    )


if __name__ == "__main__":
    main()
