"""Devices, what their errors mean, and the preparation of torch."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from dafusion_core.domain.errors import DeviceFault, OutOfMemory, UserError
from dafusion_core.engine import devices, torch_setup
from dafusion_core.methods import registry

ROOT = Path(__file__).resolve().parents[2]
CPU = torch.device("cpu")


def test_too_much_memory_on_the_cpu_is_reported_with_the_amount() -> None:
    with pytest.raises(OutOfMemory) as caught, devices.guard("cpu", "making 8 pictures at once"):
        torch.empty(1 << 55, dtype=torch.uint8)
    assert "while making 8 pictures at once" in caught.value.text
    assert "33554432.0 GB more was needed" in caught.value.text
    assert "smaller batch" in caught.value.hint


def test_cudas_own_words_are_understood() -> None:
    error = torch.OutOfMemoryError(
        "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 7.79 GiB"
    )
    found = devices.translate_device_error(error, CPU, "learning")
    assert isinstance(found, OutOfMemory)
    assert "2.5 GB more was needed" in found.text
    for text in ("CUDA error: device-side assert triggered", "CUBLAS_STATUS_EXECUTION_FAILED"):
        fault = devices.translate_device_error(RuntimeError(text), CPU, "learning")
        assert isinstance(fault, DeviceFault)
        assert text in fault.text


def test_memory_errors_of_python_count_too() -> None:
    with pytest.raises(OutOfMemory), devices.guard("cpu", "reading"):
        raise MemoryError


def test_other_errors_pass() -> None:
    with pytest.raises(RuntimeError, match="shape"), devices.guard("cpu", "learning"):
        raise RuntimeError("shape mismatch")
    with pytest.raises(UserError), devices.guard("cpu", "learning"):
        raise UserError("no")


def test_devices_are_found_by_name() -> None:
    assert devices.resolve_device("cpu") == CPU
    assert devices.resolve_device("auto").type in ("cpu", "cuda")
    with pytest.raises(UserError, match="is not a device"):
        devices.resolve_device("toaster")
    with pytest.raises(UserError, match="GPU 99"):
        devices.resolve_device("cuda:99")
    info = devices.describe_device("cpu")
    assert info.total_bytes >= info.free_bytes > 0
    assert devices.list_devices()[-1].device == "cpu"


def test_number_types() -> None:
    assert devices.choose_dtype(CPU) == torch.float32
    assert devices.choose_dtype(torch.device("cuda:0")) == torch.float16
    assert devices.choose_dtype(torch.device("cuda:0"), is_training=True) == torch.float32


def test_preparing_makes_torchvision_importable() -> None:
    """In a fresh process, whichever module comes first."""
    code = (
        "import dafusion_core.methods.registry as r, sys\n"
        "assert 'torch' not in sys.modules\n"
        "r.load_method('train')\n"
        "import os, torchvision, diffusers, transformers\n"
        "from torchvision.transforms import v2\n"
        "from transformers import CLIPTextModel\n"
        "assert os.environ['OMP_WAIT_POLICY'] == 'passive'\n"
        "assert os.environ['HF_HUB_OFFLINE'] == '1'\n"
        "import torch; assert torch.are_deterministic_algorithms_enabled()\n"
        "print(torchvision.models.resnet18(num_classes=2)(torch.zeros(2, 3, 32, 32)).shape)\n"
    )
    environment = {
        key: value
        for key, value in os.environ.items()
        if key not in ("OMP_WAIT_POLICY", "HF_HUB_OFFLINE")
    }
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "torch.Size([2, 2])" in done.stdout


def test_the_shim_is_only_used_where_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    declared: list[str] = []

    class Library:
        def __init__(self, *where: str) -> None:
            pass

        def define(self, schema: str) -> None:
            declared.append(schema)

    monkeypatch.setattr(torch.library, "Library", Library)
    monkeypatch.setattr(torch_setup, "is_torchvision_complete", lambda: True)
    torch_setup.declare_missing_operators()
    assert declared == []
    if torch_setup._libraries:  # declared in this process already: not a second time
        monkeypatch.setattr(torch_setup, "is_torchvision_complete", lambda: False)
        torch_setup.declare_missing_operators()
        assert declared == []


def test_every_kind_of_job_has_its_method() -> None:
    for kind in registry.METHODS:
        assert callable(registry.load_method(kind))
    with pytest.raises(UserError, match="kind “paint”"):
        registry.load_method("paint")


@pytest.mark.skipif(sys.platform != "linux", reason="glibc")
def test_freed_memory_is_kept_for_the_next_tensor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it each of these tensors costs hundreds of page faults."""
    import resource

    for name in ("MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES", "DAFUSION_KEEP_MEMORY"):
        monkeypatch.delenv(name, raising=False)
    if not torch_setup.keep_memory():
        pytest.skip("this C library has no mallopt")

    def count() -> int:
        for _ in range(20):
            torch.ones(1 << 20)  # 4 MB, a thousand pages
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(5):
            torch.ones(1 << 20)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    assert count() < 500
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(count).result() < 500
    monkeypatch.setenv("DAFUSION_KEEP_MEMORY", "0")
    assert not torch_setup.keep_memory()
