"""Parts of a batch on threads of their own: how several processor cores share the work.

When the threads of one operation divide it among them, they wait for each other at its end, some
hundreds of times in one evaluation of the network; for small feature maps that costs more than
the second core brings. The samples of a batch have nothing to wait for: no operation of the
networks mixes them. So a batch is cut, and each part runs alone, with one thread per operation.

Results change by rounding, as they do with the number of threads. How a batch is cut depends
on its size and on torch's number of threads only, so the same work gives the same bits again.
GPUs are left alone. Networks that torch.compile has translated are cut in the same way.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from dafusion_core.engine import compiling

if TYPE_CHECKING:
    from dafusion_core.engine.models import DiffusionModel

__all__ = ["close", "count_parts", "few_threads", "map_batch", "part_of", "predict", "run_parts"]

T = TypeVar("T")

# Numbers in the largest feature map below which one thread is at least as fast as two that sleep
# while they wait (measured on two cores; at 16 pictures of 64 pixels they were even).
_WORTH_THREADS = 1 << 18

_own = threading.local()
_lock = threading.Lock()
_pools: dict[tuple[int, int], ThreadPoolExecutor] = {}


def count_parts(device: torch.device, samples: int) -> int:
    """Into how many parts a batch of `samples` is cut: 1 but on a CPU with several threads."""
    if device.type != "cpu" or getattr(_own, "is_part", False):
        return 1
    return max(1, min(samples, torch.get_num_threads()))


def part_of(device: torch.device, samples: int) -> tuple[int, int]:
    """(samples, threads per operation) of the largest part of a batch of `samples`."""
    parts = count_parts(device, samples)
    return -(-samples // parts), max(1, torch.get_num_threads() // parts)


def close() -> None:
    """End the threads that wait for work; the next batch begins new ones."""
    with _lock:
        for pool in _pools.values():
            pool.shutdown()
        _pools.clear()


def _pool(parts: int, threads: int) -> ThreadPoolExecutor:
    with _lock:
        if (parts, threads) not in _pools:
            _pools[parts, threads] = _begin_pool(parts, threads)
        return _pools[parts, threads]


def _begin_pool(parts: int, threads: int) -> ThreadPoolExecutor:
    """`parts` threads that are running already, each with `threads` per operation.

    torch.set_num_threads sets the number of the thread that calls it, and what threads that
    come later begin with. So each calls it once, and the caller afterwards with its own number.
    """
    before = torch.get_num_threads()
    begun = threading.Barrier(parts + 1)

    def begin() -> None:
        torch.get_num_threads()  # else the thread's first operation would take the common number
        torch.set_num_threads(threads)
        _own.is_part = True

    pool = ThreadPoolExecutor(parts, "part", begin)
    for _ in range(parts):
        pool.submit(begun.wait)
    begun.wait()
    torch.set_num_threads(before)
    return pool


def run_parts(function: Callable[..., T], arguments: Sequence[tuple[Any, ...]]) -> list[T]:
    """`function(*arguments[i])` for every i at the same time; the results in order.

    The threads compute in the caller's modes (gradients, inference, autocast). All of them have
    ended when this returns; if some raised, the first one's exception is raised.
    """
    if len(arguments) == 1:
        return [function(*arguments[0])]
    threads = torch.get_num_threads()
    pool = _pool(len(arguments), max(1, threads // len(arguments)))
    is_inference, has_gradient = torch.is_inference_mode_enabled(), torch.is_grad_enabled()
    is_cast, cast_to = torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")

    def one(own: tuple[Any, ...]) -> T:
        with (
            torch.inference_mode(is_inference),
            torch.set_grad_enabled(has_gradient),
            torch.autocast("cpu", cast_to, enabled=is_cast),
        ):
            return function(*own)

    futures: list[Future[T]] = [pool.submit(one, own) for own in arguments]
    wait(futures)
    return [future.result() for future in futures]


def map_batch(function: Callable[..., torch.Tensor], *batches: torch.Tensor) -> torch.Tensor:
    """`function(*batches)` for tensors [n, ...] whose rows do not depend on each other.

    Not for what a gradient runs through: its way back would run on one thread.
    """
    parts = count_parts(batches[0].device, len(batches[0]))
    if parts == 1:
        return function(*batches)
    cut = [batch.tensor_split(parts) for batch in batches]
    return torch.cat(run_parts(function, list(zip(*cut, strict=True))))


def predict(
    model: DiffusionModel, latents: torch.Tensor, t: torch.Tensor, states: torch.Tensor
) -> torch.Tensor:
    """What the U-Net answers for latents [n, c, h, w] with text states [n, length, d].

    t: one timestep for all, or [n].
    """

    def evaluate(x: torch.Tensor, text: torch.Tensor, *times: torch.Tensor) -> torch.Tensor:
        return compiling.evaluate(model, x, times[0] if times else t, text)

    own_times = (t,) if t.ndim else ()
    if torch.is_grad_enabled():
        return evaluate(latents, states, *own_times)
    return map_batch(evaluate, latents, states, *own_times)


@contextmanager
def few_threads(model: DiffusionModel, samples: int, side: int) -> Iterator[None]:
    """One thread inside the block where the feature maps of `samples` latents are small.

    For what cannot be cut: the steps of a training with one picture each. side: of a latent.
    """
    before = torch.get_num_threads()
    numbers = samples * side * side * int(model.unet.config.block_out_channels[0])
    is_small = model.device.type == "cpu" and numbers < _WORTH_THREADS
    if is_small:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if is_small:
            torch.set_num_threads(before)
