"""Devices: which one, how much memory, which number type, and what its errors mean."""

from __future__ import annotations

import gc
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from dafusion_core.domain.errors import DeviceFault, OutOfMemory, UserError
from dafusion_core.language import _

__all__ = [
    "DeviceInfo",
    "choose_dtype",
    "describe_device",
    "guard",
    "list_devices",
    "memory_format",
    "release_memory",
    "resolve_device",
    "translate_device_error",
]


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """A device for people. Memory in bytes; 0 where it is not known."""

    device: str
    name: str
    total_bytes: int
    free_bytes: int


def resolve_device(name: str = "auto") -> torch.device:
    """The torch device for "cpu", "cuda", "cuda:N", "mps" or "auto" (the first GPU, else the CPU).

    Raises UserError when the device is not on this machine.
    """
    if name in ("auto", ""):
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UserError(
            _("“{name}” is not a device.").format(name=name), _("Use auto, cpu or cuda:0.")
        ) from error
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        index = device.index or 0
        if index >= count:
            found = _("{count} were found").format(count=count) if count else _("none was found")
            raise UserError(
                _(
                    "GPU {index} was asked for, but {found} that this build of torch can use."
                ).format(index=index, found=found),
                _("Choose another device, or install the build of torch made for your GPU."),
            )
        return torch.device("cuda", index)
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UserError(_("No Apple GPU was found."), _("Choose auto or cpu."))
    return device


def _cpu_memory() -> tuple[int, int]:
    try:
        page = os.sysconf("SC_PAGE_SIZE")
        return os.sysconf("SC_PHYS_PAGES") * page, os.sysconf("SC_AVPHYS_PAGES") * page
    except (AttributeError, ValueError, OSError):
        return 0, 0


def describe_device(device: torch.device | str) -> DeviceInfo:
    """Name and memory of a device."""
    device = torch.device(device)
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return DeviceInfo(str(device), torch.cuda.get_device_name(device), total, free)
    total, free = _cpu_memory()
    threads = _("CPU, {threads} threads").format(threads=torch.get_num_threads())
    name = _("Apple GPU") if device.type == "mps" else threads
    return DeviceInfo(str(device), name, total, free)


def list_devices() -> list[DeviceInfo]:
    """Every device of this machine, GPUs first."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return [describe_device(f"cuda:{i}") for i in range(count)] + [describe_device("cpu")]


def choose_dtype(device: torch.device, *, is_training: bool = False) -> torch.dtype:
    """The number type to compute in.

    float32 on the CPU (half precision was slower there for narrow networks) and wherever
    gradients are taken; float16 for sampling on a CUDA GPU.
    """
    if device.type == "cuda" and not is_training:
        return torch.float16
    return torch.float32


def memory_format(device: torch.device) -> torch.memory_format:
    """Channels last: convolutions are faster in it on the CPU and on tensor cores."""
    return torch.contiguous_format if device.type == "mps" else torch.channels_last


_SIZES = {"bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


def _asked_bytes(text: str) -> int | None:
    match = re.search(r"[Tt]ried to allocate ([\d.]+) ?(bytes|[KMG]iB)", text)
    return int(float(match[1]) * _SIZES[match[2]]) if match else None


def _readable(count: int) -> str:
    return f"{count / (1 << 30):.1f} GB" if count >= 1 << 30 else f"{max(1, count >> 20)} MB"


def _out_of_memory(device: torch.device, text: str, doing: str) -> OutOfMemory:
    asked = _asked_bytes(text)
    sentence = _("{device} ran out of memory while {doing}.").format(
        device=describe_name(device), doing=doing
    )
    if asked is not None:
        try:
            free = describe_device(device).free_bytes
        except RuntimeError:
            free = 0
        words = (
            _(" {asked} more was needed and {free} was free.")
            if free
            else _(" {asked} more was needed.")
        )
        sentence += words.format(asked=_readable(asked), free=_readable(free))
    return OutOfMemory(
        sentence,
        _(
            "What was finished is kept. Use a smaller batch size or resolution, or close other "
            "programs, then resume."
        ),
    )


def describe_name(device: torch.device) -> str:
    """“The GPU (name)” or “The computer”, to begin a sentence with."""
    if device.type == "cuda":
        try:
            return _("The GPU ({name})").format(name=torch.cuda.get_device_name(device))
        except (RuntimeError, AssertionError):
            return _("The GPU")
    return _("The Apple GPU") if device.type == "mps" else _("The computer")


def translate_device_error(
    error: BaseException, device: torch.device, doing: str
) -> OutOfMemory | DeviceFault | None:
    """OutOfMemory or DeviceFault for an error that means one; None for every other error.

    `doing` continues “while …”. The CPU allocator and CUDA report with plain RuntimeErrors, so
    their words have to be read.
    """
    text = str(error)
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return _out_of_memory(device, text, doing)
    if not isinstance(error, RuntimeError):
        return None
    if "out of memory" in text or "can't allocate memory" in text:
        return _out_of_memory(device, text, doing)
    accelerator_error = getattr(torch, "AcceleratorError", None)
    is_fault = accelerator_error is not None and isinstance(error, accelerator_error)
    if is_fault or re.search(r"CUDA error|CUBLAS_STATUS|CUDNN_STATUS|NCCL error|HIP error", text):
        first_line = text.splitlines()[0] if text else type(error).__name__
        return DeviceFault(
            _("{describe_name} reported a fault while {doing}: {first_line}").format(
                describe_name=describe_name(device), doing=doing, first_line=first_line
            ),
            _(
                "What was finished is kept and the device will be restarted. If it comes back, "
                "update the driver or choose another device."
            ),
        )
    return None


def release_memory(device: torch.device) -> None:
    """Give cached but unused device memory back."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


@contextmanager
def guard(device: torch.device | str, doing: str) -> Iterator[None]:
    """Turn device errors inside the block into OutOfMemory or DeviceFault.

    `doing` continues “while …”, for example "making pictures in batches of 8".
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        known = translate_device_error(error, torch.device(device), doing)
        if known is None:
            raise
        raise known from error
