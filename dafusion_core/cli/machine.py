"""Verbs for this computer: doctor, models, settings."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from dafusion_core.cli.diagnosis import examine
from dafusion_core.cli.options import PROJECT_VARIABLE, Model, verb
from dafusion_core.cli.output import EXIT_ENVIRONMENT, EXIT_OK, Output, readable_bytes
from dafusion_core.domain.errors import DaFusionError, EnvironmentProblem, UserError
from dafusion_core.domain.specs import ModelSource
from dafusion_core.language import ENGLISH, resolve, speaking
from dafusion_core.settings import SETTINGS, Settings, Value, find_setting

MARKS = {"fine": "✓", "note": "!", "problem": "✗"}


@click.command()
@click.option(
    "--project",
    "-p",
    "project_path",
    type=click.Path(path_type=Path),
    envvar=PROJECT_VARIABLE,
    help="Also look at this project and its disk.",
)
@verb
def doctor(out: Output, project_path: Path | None) -> int:
    """Look at this computer: Python, Qt, torch, devices, memory, model, disk.

    ✓ is fine, ! works but is worth knowing, ✗ must be put right. What is wrong is said in one
    sentence each. Exit code 3 if anything must be put right.
    """
    # The window shows these sentences too, and says so in its language.
    with speaking(resolve(os.environ.get("DAFUSION_LANGUAGE", ENGLISH))):
        findings = examine(project_path)
    width = max(len(finding.topic) for finding in findings)
    for finding in findings:
        out.say(f"{MARKS[finding.state]} {finding.topic:<{width}}  {finding.value}")
        if finding.text:
            out.say(f"  {'':<{width}}  {finding.text}")
    is_ill = any(finding.state == "problem" for finding in findings)
    out.result({"findings": findings, "is_fine": not is_ill})
    return EXIT_ENVIRONMENT if is_ill else EXIT_OK


@click.group(invoke_without_command=True)
@verb
@click.pass_context
def models(context: click.Context, out: Output) -> int:
    """List the base models on this computer; check one; download one.

    Any model of the Stable Diffusion 1.x or 2.x architecture can be used: as a diffusers folder,
    as one .safetensors file, or by its hub id once it was downloaded. The network is only used
    by `dafusion models download`, and only after you agreed to size and licence.

    \b
    Examples:
      dafusion models
      dafusion models check path/to/model
      dafusion models download owner/name
    """
    if context.invoked_subcommand is not None:
        return EXIT_OK
    rows = [{"model": "bundled", **_check(ModelSource())}, *_downloaded()]
    head = ("model", "size", "usable")
    out.table(
        head,
        (
            (row["model"], readable_bytes(row["bytes"]), "yes" if row["ok"] else row["problem"])
            for row in rows
        ),
    )
    out.result({"models": rows})
    return EXIT_OK


def _sources() -> Any:
    # Loads torch, so only the verbs that look into a model pay for it.
    return import_module("dafusion_core.engine.sources")


def _check(source: ModelSource) -> dict[str, Any]:
    """Whether a model can be used: {"ok", "problem", "path", "bytes"}."""
    try:
        files = _sources().locate(source)
        if not files.is_single_file:
            _sources().check_folder(files.path)
    except DaFusionError as error:
        return {"ok": False, "problem": error.text, "path": None, "bytes": 0}
    paths = [files.path] if files.is_single_file else files.path.rglob("*")
    size = sum(path.stat().st_size for path in paths if path.is_file())
    return {"ok": True, "problem": "", "path": str(files.path), "bytes": size}


def _downloaded() -> list[dict[str, Any]]:
    hub: Any = import_module("huggingface_hub")
    try:
        cache = hub.scan_cache_dir()
    except hub.errors.CacheNotFound:
        return []
    rows = []
    for repository in sorted(cache.repos, key=lambda repository: repository.repo_id):
        has_model = any(
            file.file_name == "model_index.json"
            for revision in repository.revisions
            for file in revision.files
        )
        if repository.repo_type == "model" and has_model:
            row = _check(ModelSource("hub", repository.repo_id))
            rows.append({"model": repository.repo_id, **row, "bytes": repository.size_on_disk})
    return rows


@models.command()
@click.argument("model", type=Model())
@verb
def check(out: Output, model: ModelSource) -> int:
    """Say whether MODEL (a folder, a .safetensors file, a hub id) can be used, and why not."""
    sources = _sources()
    files = sources.locate(model)
    if not files.is_single_file:
        sources.check_folder(files.path)
    identity = sources.hash_weights(files)
    out.say(f"{files.title} can be used.")
    out.say(f"  where   {files.path}")
    out.say(f"  weights {identity}")
    out.result({"model": files.title, "path": files.path, "weights_hash": identity, "ok": True})
    return EXIT_OK


# What is needed to run a model, without the copies in other formats and precisions.
DOWNLOADED_FILES = (
    "model_index.json",
    "scheduler/*.json",
    "text_encoder/*.json",
    "text_encoder/model*.safetensors",
    "tokenizer/*",
    "unet/*.json",
    "unet/diffusion_pytorch_model*.safetensors",
    "vae/*.json",
    "vae/diffusion_pytorch_model*.safetensors",
    "LICENSE*",
    "README.md",
)
UNWANTED_FILES = ("*fp16*", "*non_ema*")


@models.command()
@click.argument("model", metavar="OWNER/NAME", type=Model())
@click.option("--yes", is_flag=True, help="Agree to size and licence without being asked.")
@click.option("--look", is_flag=True, help="Only show size and licence; download nothing.")
@verb
def download(out: Output, model: ModelSource, yes: bool, look: bool) -> int:
    """Download a model from the hub, after showing its size and licence.

    Ctrl-C stops it; the same command goes on where it was.
    """
    if model.kind != "hub":
        raise UserError(
            f"“{model.location or 'bundled'}” is on this computer already. Nothing was done.",
            "To download, give a hub id such as owner/name.",
        )
    # Read once when the library is imported, therefore before it is.
    os.environ["HF_HUB_OFFLINE"] = "0"
    hub: Any = import_module("huggingface_hub")
    from fnmatch import fnmatch

    try:
        info = hub.HfApi().model_info(
            model.location, revision=model.revision or None, files_metadata=True
        )
        wanted = [
            file
            for file in info.siblings or []
            if any(fnmatch(file.rfilename, pattern) for pattern in DOWNLOADED_FILES)
            and not any(fnmatch(file.rfilename, pattern) for pattern in UNWANTED_FILES)
        ]
        size = sum(file.size or 0 for file in wanted)
        licence = (info.card_data or {}).get("license") or "not stated"
        out.note(f"{model.location}: {readable_bytes(size)}, licence: {licence}.")
        out.note(f"Read the licence at https://huggingface.co/{model.location} before you agree.")
        if look:
            out.result({"model": model.location, "bytes": size, "licence": licence})
            return EXIT_OK
        if not yes and not click.confirm("Download it?", err=True):
            out.note("Nothing was downloaded.")
            return EXIT_OK
        folder = hub.snapshot_download(
            model.location,
            revision=model.revision or None,
            allow_patterns=[file.rfilename for file in wanted],
        )
    except (DaFusionError, click.Abort):
        raise
    except Exception as error:  # the library's own errors of the network are no OSError
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise EnvironmentProblem(
            f"{model.location} could not be downloaded: {reason}.",
            "What has arrived is kept. Check the name and the connection, then do the same again; "
            "or copy the model's folder from another computer and choose that.",
        ) from error
    out.say(f"Downloaded. Use it with --model {model.location}")
    out.result({"model": model.location, "path": folder, "bytes": size, "licence": licence})
    return EXIT_OK


def in_words(value: Value) -> str:
    """A setting's value as one would type it."""
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


@click.command()
@click.argument("key", required=False)
@click.argument("value", required=False)
@click.option("--reset", is_flag=True, help="Go back to the default.")
@verb
def settings(out: Output, key: str | None, value: str | None, reset: bool) -> int:
    """Show the settings, or change one.

    Settings belong to you and this computer, never to a project. An environment variable
    DAFUSION_KEY wins over what is stored.

    \b
    Examples:
      dafusion settings
      dafusion settings device cuda:0
      dafusion settings device --reset
    """
    store = Settings()
    if reset and key is not None:
        store.reset(key)
    elif key is not None and value is not None:
        store.set(key, value)
    shown = SETTINGS if key is None else (find_setting(key),)
    for setting in shown:
        now = store.get(setting.key)
        known = "" if now == setting.default else f" (default {in_words(setting.default)})"
        out.say(f"{setting.key} = {in_words(now)}{known}")
        out.say(f"    {setting.note}")
    out.result({"settings": {s.key: store.get(s.key) for s in shown}, "path": store.path})
    if key is None:
        out.say(f"Stored in {store.path}")
    return EXIT_OK
