"""A batch in parts on threads of their own: the same results, errors, and stops."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionImg2ImgPipeline

from dafusion_core.domain.errors import Cancelled, OutOfMemory
from dafusion_core.domain.specs import ModelSource
from dafusion_core.engine import compiling, erasure, learning, parallel, sampling, splice
from dafusion_core.engine.devices import guard
from dafusion_core.engine.images import load_pixels
from dafusion_core.engine.models import DiffusionModel, load_model
from dafusion_core.engine.sdedit import Request, SDEdit, encode_posterior, encode_posteriors
from dafusion_core.jobs.context import NullContext
from dafusion_core.methods import invert

from .conftest import draw_picture, make_unit
from .test_invert import make_inputs, make_spec

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    torch.set_num_threads(2)
    yield
    parallel.close()
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def model(tiny_folder: Path) -> DiffusionModel:
    return load_model(ModelSource("folder", str(tiny_folder)), CPU)


@pytest.fixture
def parts(model: DiffusionModel) -> Iterator[list[tuple[str, int, int]]]:
    """(thread, samples, its threads per operation) of every evaluation of the network."""
    seen: list[tuple[str, int, int]] = []

    def note(module: Any, given: tuple[torch.Tensor, ...], result: Any) -> None:
        seen.append((threading.current_thread().name, len(given[0]), torch.get_num_threads()))

    hook = model.unet.register_forward_hook(note)
    yield seen
    hook.remove()


def some(model: DiffusionModel, count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    draws = sampling.seeded(count)
    states = torch.randn(count, 7, model.embedding_dim, generator=draws)
    times = torch.randint(1000, (count,), generator=draws)
    return torch.randn(count, 4, 16, 16, generator=draws), times, states


@pytest.mark.parametrize("count", [1, 2, 5, 16])
@pytest.mark.parametrize("is_one_time", [True, False])
@torch.no_grad()
def test_parts_give_what_the_whole_gives(
    model: DiffusionModel, parts: list[tuple[str, int, int]], count: int, is_one_time: bool
) -> None:
    x, times, states = some(model, count)
    t = times[0] if is_one_time else times
    found = parallel.predict(model, x, t, states)
    seen = list(parts)
    whole = model.unet(x, t, encoder_hidden_states=states).sample
    assert found.shape == whole.shape
    assert (found - whole).abs().max() < 1e-5
    if count > 1:
        assert len({thread for thread, _, _ in seen}) == 2
        assert sorted(samples for _, samples, _ in seen) == [count // 2, count - count // 2]
        assert all(threads == 1 for _, _, threads in seen)


def test_more_cores_than_samples_share_them(
    model: DiffusionModel, parts: list[tuple[str, int, int]]
) -> None:
    torch.set_num_threads(4)
    x, times, states = some(model, 2)
    with torch.no_grad():
        parallel.predict(model, x, times, states)
    assert [seen[1:] for seen in parts] == [(1, 2), (1, 2)]


def test_threads_of_everybody_else_stay(model: DiffusionModel) -> None:
    later: list[int] = []
    with torch.no_grad():
        x, times, states = some(model, 2)
        parallel.predict(model, x, times, states)
        other = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
        other.start()
        other.join()
        with parallel.few_threads(model, 1, 16):
            assert torch.get_num_threads() == 1
        with parallel.few_threads(model, 1, 256):
            assert torch.get_num_threads() == 2
    assert torch.get_num_threads() == 2
    assert later == [2]


def test_left_alone(model: DiffusionModel) -> None:
    """A gradient needs its network in one piece; parts have no parts."""
    threads: list[str] = []
    hook = model.unet.register_forward_hook(
        lambda *_: threads.append(threading.current_thread().name)
    )
    x, times, states = some(model, 4)
    parallel.predict(model, x, times, states)
    hook.remove()
    assert threads == [threading.main_thread().name]
    assert parallel.count_parts(torch.device("cuda"), 8) == 1
    assert parallel.run_parts(parallel.count_parts, [(CPU, 8), (CPU, 8)]) == [1, 1]


Program = list[tuple[int, torch.dtype, bool]]


@pytest.fixture
def program(model: DiffusionModel, monkeypatch: pytest.MonkeyPatch) -> Iterator[Program]:
    """(samples, type of t, in a part) of every run of a program; it is made for parts of 4."""
    seen: Program = []

    def turn_on(unet: Any) -> None:
        def run(x: torch.Tensor, t: torch.Tensor, **named: Any) -> Any:
            is_part = threading.current_thread() is not threading.main_thread()
            seen.append((len(x), t.dtype, is_part))
            assert x.is_contiguous()
            return unet.forward(x, t, **named)

        unet._compiled_call_impl = run

    monkeypatch.setattr(compiling, "_turn_on", turn_on)
    assert parallel.part_of(CPU, 7) == (4, 1)
    assert compiling.compile_network(model, 16, 4, 1) == ""
    assert torch.get_num_threads() == 2
    assert seen == [(4, torch.float32, False)]
    seen.clear()
    yield seen
    compiling.undo(model)


# 8: two full parts; 7: one is filled up; 5 and 4: parts of 2 are not worth it; 9: one is too large.
@pytest.mark.parametrize(("count", "runs"), [(8, 2), (7, 2), (5, 1), (4, 0), (9, 1)])
@torch.no_grad()
def test_parts_of_a_compiled_network(
    model: DiffusionModel, program: Program, count: int, runs: int
) -> None:
    x, times, states = some(model, count)
    states = torch.nn.functional.pad(states, (0, 0, 0, model.tokenizer.model_max_length - 7))
    # The layout that a network's answer has, and with it the latents from the second step on.
    x = x.to(memory_format=torch.channels_last)
    found = parallel.predict(model, x, times[0], states)
    assert program == [(4, torch.float32, True)] * runs
    whole = model.unet.forward(x, times[0], encoder_hidden_states=states).sample
    assert found.shape == whole.shape
    assert (found - whole).abs().max() < 1e-5


@torch.no_grad()
def test_what_a_program_was_not_made_for_runs_as_written(
    model: DiffusionModel, program: Program
) -> None:
    x, times, states = some(model, 8)
    full = torch.nn.functional.pad(states, (0, 0, 0, model.tokenizer.model_max_length - 7))
    t = times[0]
    for given in ((x, times, full), (x, t, states), (x[:, :, :8, :8], t, full)):
        expected = model.unet.forward(given[0], given[1], encoder_hidden_states=given[2]).sample
        assert (parallel.predict(model, *given) - expected).abs().max() < 1e-5
    with torch.enable_grad():
        parallel.predict(model, x[:4], t, full[:4])
    torch.set_num_threads(1)
    assert not program
    parallel.predict(model, x[:4], t, full[:4])
    torch.set_num_threads(4)
    parallel.predict(model, x, t, full)
    assert program == [(4, torch.float32, False)]


def test_modes_go_along() -> None:
    def modes(_: int) -> tuple[bool, bool, bool, torch.dtype]:
        return (
            torch.is_inference_mode_enabled(),
            torch.is_grad_enabled(),
            torch.is_autocast_enabled("cpu"),
            torch.mm(torch.ones(2, 2), torch.ones(2, 2)).dtype,
        )

    asked: list[Any] = [(0,), (1,)]
    with torch.inference_mode():
        assert parallel.run_parts(modes, asked) == [(True, False, False, torch.float32)] * 2
    with torch.no_grad():
        assert parallel.run_parts(modes, asked) == [(False, False, False, torch.float32)] * 2
    with torch.autocast("cpu", torch.bfloat16):
        assert parallel.run_parts(modes, asked) == [(False, True, True, torch.bfloat16)] * 2
    assert parallel.run_parts(modes, asked) == [(False, True, False, torch.float32)] * 2


def test_what_goes_wrong_in_a_part(model: DiffusionModel) -> None:
    ended: list[int] = []

    def fail(number: int) -> None:
        if number == 0:
            raise torch.OutOfMemoryError("Tried to allocate 3.00 GiB")
        time.sleep(0.2)
        ended.append(number)

    with pytest.raises(OutOfMemory, match="while trying"), guard(CPU, "trying"):
        parallel.run_parts(fail, [(0,), (1,)])
    assert ended == [1]

    def wrong(number: int) -> None:
        raise ValueError(f"part {number}")

    with pytest.raises(ValueError, match="part 0"):
        parallel.run_parts(wrong, [(0,), (1,)])


# ------------------------------------------------------------------------------ what uses it


@pytest.fixture(scope="module")
def requests(model: DiffusionModel, tmp_path_factory: pytest.TempPathFactory) -> list[Request]:
    folder = tmp_path_factory.mktemp("pictures")
    made = []
    for number in range(5):
        path = folder / f"{number}.png"
        draw_picture(number).save(path)
        source = encode_posterior(model, load_pixels(path, 32)[0])
        made.append(Request(source, f"a photo of a {('plant', 'leaf')[number % 2]}", number))
    return made


@pytest.mark.parametrize("scheduler", ["pndm", "euler"])
def test_pictures_are_those_of_one_thread_and_the_same_again(
    model: DiffusionModel, requests: list[Request], scheduler: str
) -> None:
    sampler = SDEdit(model, scheduler=scheduler, steps=8)
    first, second = sampler.run(requests, 0.5), sampler.run(requests, 0.5)
    assert torch.equal(first, second)
    torch.set_num_threads(1)
    alone = sampler.run(requests, 0.5)
    assert (first - alone).abs().max() < 1e-5
    assert alone.std() > 0.01


def test_a_picture_is_that_of_the_stock_pipeline(
    model: DiffusionModel, requests: list[Request], tiny_folder: Path
) -> None:
    pipe = StableDiffusionImg2ImgPipeline.from_pretrained(str(tiny_folder), safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    ours = SDEdit(model, steps=8).run(requests, 0.5)[3] / 2 + 0.5
    theirs = pipe(
        prompt=requests[3].prompt,
        image=draw_picture(3).resize((32, 32), 2),
        strength=0.5,
        num_inference_steps=8,
        generator=sampling.seeded(3),
        output_type="pt",
    ).images[0]
    assert (ours.clamp(0, 1) - theirs).abs().max() < 1e-3


def test_sources_are_encoded_as_one_by_one(
    model: DiffusionModel, requests: list[Request], tmp_path: Path
) -> None:
    for number in range(5):
        draw_picture(number).save(tmp_path / f"{number}.png")
    pixels = [load_pixels(tmp_path / f"{number}.png", 32)[0] for number in range(5)]
    found = encode_posteriors(model, torch.stack(pixels))
    for row, request in enumerate(requests):
        assert (found.mean[row] - request.source.mean[0]).abs().max() < 1e-5
        assert (found.std[row] - request.source.std[0]).abs().max() < 1e-5


def test_a_stop_takes_effect_at_a_step(
    model: DiffusionModel, requests: list[Request], parts: list[tuple[str, int, int]]
) -> None:
    def stop(step: int, count: int) -> None:
        if step == 2:
            raise Cancelled("stop")

    with pytest.raises(Cancelled):
        SDEdit(model, scheduler="ddim", steps=8).run(requests, 1.0, stop)
    assert len(parts) == 2 * 2


@pytest.mark.parametrize("per_trajectory", [1, 3])
def test_examples_of_an_erasure(model: DiffusionModel, per_trajectory: int) -> None:
    def draw() -> erasure.EsdExample:
        return erasure.esd_examples(
            model, ["oak"], "plant", count=6, eta=1.0, guidance=3.0, steps=6, resolution=32,
            seed=5, per_trajectory=per_trajectory,
        )  # fmt: skip

    first, second = draw(), draw()
    torch.set_num_threads(1)
    alone = draw()
    assert torch.equal(first.x, second.x)
    assert torch.equal(first.target, second.target)
    for found, expected in ((first.x, alone.x), (first.target, alone.target)):
        assert (found - expected).abs().max() < 1e-5 * expected.abs().max()


@pytest.mark.parametrize("names", [("oak",), ("oak", "fern", "moss")])
def test_gradients_of_the_parts_are_those_of_the_whole(
    source: ModelSource, tmp_path: Path, names: tuple[str, ...]
) -> None:
    """With fewer concepts than threads each thread takes some samples, else some concepts."""
    base, spec = load_model(source, CPU), make_spec(source, batch_size=3)
    context = NullContext(tmp_path, tmp_path)
    inputs = make_inputs(tmp_path, names)
    learners = [
        invert.prepare(make_unit(i + 1, key, i, concept_id=i), concept, spec, base, context)
        for i, (key, concept) in enumerate(inputs.concepts.items())
    ]
    every = [name for learner in learners for name in learner.names]
    rows = torch.cat([learner.start for learner in learners])
    model, embedding = splice.splice_tokens(base, every, rows)
    for learner in learners:
        learner.ids = invert.prompt_ids(model, learner.names)
    draws = [invert.draw_step(learner, spec, model) for learner in learners]
    evaluated: list[int] = []
    hook = model.unet.register_forward_hook(lambda _, given, __: evaluated.append(len(given[0])))
    losses = learning.add_gradients(model, learners, draws, [embedding.rows])
    hook.remove()
    assert sorted(evaluated) == ([1, 2] if len(names) == 1 else [3, 6])
    assert embedding.rows.grad is not None
    found = embedding.rows.grad.clone()
    embedding.rows.grad = None
    learning.add_gradients(model, learners, draws, [embedding.rows])
    assert torch.equal(embedding.rows.grad, found)

    embedding.rows.grad = None
    whole = learning.concept_loss(model, learners, draws)
    whole.sum().backward()
    assert losses.shape == whole.shape
    assert (losses - whole).abs().max() < 1e-6
    assert (embedding.rows.grad.abs().sum(dim=1) > 0).all()
    assert (found - embedding.rows.grad).abs().max() < 1e-5 * embedding.rows.grad.abs().max()
