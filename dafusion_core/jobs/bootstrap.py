"""First code of a worker process: environment and log before anything heavy is imported."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from multiprocessing.connection import Connection

from dafusion_core.jobs.protocol import WorkerSettings
from dafusion_core.language import install

LOG_LIMIT_BYTES = 5_000_000


def prepare_environment(settings: WorkerSettings) -> None:
    """Set what torch and the model libraries read once, when they are imported.

    OMP_WAIT_POLICY: with a busy process beside it, a spinning OpenMP made steps up to nine times
    slower. CUDA_VISIBLE_DEVICES: the worker sees its own device only.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if settings.is_offline:
        os.environ["HF_HUB_OFFLINE"] = "1"
    if settings.device.startswith("cuda:"):
        os.environ["CUDA_VISIBLE_DEVICES"] = settings.device.partition(":")[2]
    elif settings.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


def redirect_output(settings: WorkerSettings) -> None:
    """Send everything the process prints, also from native code, to its log file."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    try:
        settings.log.parent.mkdir(parents=True, exist_ok=True)
        if settings.log.exists() and settings.log.stat().st_size > LOG_LIMIT_BYTES:
            settings.log.replace(settings.log.with_suffix(".old.log"))
        handle = os.open(settings.log, flags, 0o644)
    except OSError:  # A full disk: work without a log; what needs room will say so.
        handle = os.open(os.devnull, os.O_WRONLY)
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    os.close(handle)
    sys.stdout = open(1, "w", encoding="utf-8", buffering=1, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", buffering=1, closefd=False)  # noqa: SIM115


def start(target: str, connection: Connection, settings: WorkerSettings) -> None:
    """Entry of the spawned process: call `target` ("module:function") with both arguments.

    Ctrl-C in a terminal reaches the whole process group; the supervisor decides what it means.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    prepare_environment(settings)
    install(settings.language)
    redirect_output(settings)
    module, _, function = target.partition(":")
    getattr(importlib.import_module(module), function)(connection, settings)
