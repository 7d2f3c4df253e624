"""Load base models and keep the current one ready, with its erasure and its tokens."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.utils import logging as diffusers_logging
from safetensors import SafetensorError
from transformers import CLIPTextModel, CLIPTokenizer
from transformers.utils import logging as transformers_logging

from dafusion_core.domain.errors import UserError
from dafusion_core.domain.specs import Memory, ModelSource
from dafusion_core.engine import differences, footprint, lowrank, single_file, sources, tokens
from dafusion_core.engine.devices import choose_dtype, guard, memory_format
from dafusion_core.language import _

__all__ = ["DiffusionModel", "PipelineCache", "load_model", "shared_cache"]

# What they report on the way (bars, notes on number types) is no news to the user; what matters
# is checked here and raised.
for _library in (diffusers_logging, transformers_logging):
    _library.set_verbosity_error()
    _library.disable_progress_bar()


@dataclass(frozen=True)
class DiffusionModel:
    """A Stable Diffusion 1.x/2.x model on a device. Weights are frozen and in eval mode."""

    tokenizer: Any
    text_encoder: Any
    vae: Any
    unet: Any
    scheduler_config: Mapping[str, Any]
    base_hash: str
    title: str
    device: torch.device
    dtype: torch.dtype

    @property
    def scale(self) -> int:
        """Pixels per latent cell along one side."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    @property
    def resolution(self) -> int:
        """The side in pixels that the U-Net was trained for."""
        size = self.unet.config.sample_size
        return int(size[0] if isinstance(size, (list, tuple)) else size) * self.scale

    def check_resolution(self, asked: int | None) -> int:
        """`asked`, or the model's own. Raises UserError when the U-Net cannot take it."""
        if asked is None:
            return self.resolution
        step = self.scale * 2 ** (len(self.unet.config.block_out_channels) - 1)
        if asked < step or asked % step:
            raise UserError(
                _("This model cannot work at {asked} pixels.").format(asked=asked),
                _("Use a multiple of {step}; its own size is {resolution}.").format(
                    step=step, resolution=self.resolution
                ),
            )
        return asked

    @property
    def latent_channels(self) -> int:
        """Channels of a latent."""
        return int(self.vae.config.latent_channels)

    @property
    def latent_factor(self) -> float:
        """What VAE latents are multiplied by before diffusion."""
        return float(self.vae.config.scaling_factor)

    @property
    def prediction_type(self) -> str:
        """ "epsilon", "v_prediction" or "sample": what the U-Net's output means."""
        return str(self.scheduler_config.get("prediction_type", "epsilon"))

    @property
    def train_timesteps(self) -> int:
        """Length of the noise schedule."""
        return int(self.scheduler_config.get("num_train_timesteps", 1000))

    @property
    def embedding_dim(self) -> int:
        """Length of a token embedding."""
        return int(self.text_encoder.get_input_embeddings().weight.shape[1])

    def with_text(self, tokenizer: Any, text_encoder: Any) -> DiffusionModel:
        """The same model with another tokenizer and text encoder."""
        return replace(self, tokenizer=tokenizer, text_encoder=text_encoder)


@contextmanager
def _explained(title: str, component: str) -> Any:
    """Turn what the loading libraries raise into sentences."""
    try:
        yield
    except UserError:
        raise
    except SafetensorError as error:
        raise UserError(
            _("The {component} weights of {title} are damaged or incomplete ({error}).").format(
                component=component, title=title, error=error
            ),
            _("Copy or download the model again."),
        ) from error
    except torch.OutOfMemoryError:
        raise
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, EOFError) as error:
        first_line = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(
            _("The {component} of {title} could not be loaded: {first_line}").format(
                component=component, title=title, first_line=first_line
            ),
            _("Check that the folder is a complete Stable Diffusion 1.x or 2.x model."),
        ) from error


def _load_component(kind: Any, folder: Path, component: str, title: str) -> Any:
    chosen = sources.weight_file(folder / component)
    options: dict[str, Any] = {
        "local_files_only": True,
        "use_safetensors": "safetensors" in chosen.name,
        "output_loading_info": True,
    }
    if ".fp16" in chosen.name:
        options["variant"] = "fp16"
    with _explained(title, component):
        module, info = kind.from_pretrained(
            str(folder), subfolder=component, dtype=torch.float32, **options
        )
    missing = [k for k in info.get("missing_keys", ()) if not k.endswith("position_ids")]
    if missing or info.get("mismatched_keys"):
        # The libraries would fill these with random numbers and go on.
        raise UserError(
            _(
                "The {component} weights of {title} do not fit its settings: {number} tensors "
                "are missing or have another shape, for example {next}."
            ).format(
                component=component,
                title=title,
                number=len(missing) or len(info["mismatched_keys"]),
                next=next(iter(missing or info["mismatched_keys"])),
            ),
            _("Copy or download the model again."),
        )
    return module


def _load_tokenizer(folder: Path, title: str) -> Any:
    with _explained(title, "tokenizer"):
        return CLIPTokenizer.from_pretrained(str(folder / "tokenizer"), local_files_only=True)


def _load_folder(folder: Path, title: str) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
    sources.check_folder(folder)
    return (
        _load_tokenizer(folder, title),
        _load_component(CLIPTextModel, folder, "text_encoder", title),
        _load_component(AutoencoderKL, folder, "vae", title),
        _load_component(UNet2DConditionModel, folder, "unet", title),
        sources.read_json(folder / "scheduler" / "scheduler_config.json"),
    )


def _check_fit(model: DiffusionModel) -> None:
    """The parts must belong together. Raises UserError."""
    hidden = int(model.text_encoder.config.hidden_size)
    expected = model.unet.config.cross_attention_dim
    if hidden != expected:
        raise UserError(
            _(
                "The parts of {title} do not belong together: its text encoder gives {hidden} "
                "numbers per token and its network expects {expected}."
            ).format(title=model.title, hidden=hidden, expected=expected),
            _("Choose a folder whose parts come from one model."),
        )
    words = len(model.tokenizer)
    rows = int(model.text_encoder.get_input_embeddings().weight.shape[0])
    if words < 100 or words > rows:
        raise UserError(
            _("The tokenizer of {title} knows {words} tokens and its text encoder {rows}.").format(
                title=model.title, words=words, rows=rows
            ),
            _("Copy or download the model again."),
        )
    longest = int(model.text_encoder.config.max_position_embeddings)
    if model.tokenizer.model_max_length > longest:
        model.tokenizer.model_max_length = longest
    if model.prediction_type not in ("epsilon", "v_prediction", "sample"):
        raise UserError(
            _("{title} predicts “{prediction_type}”, which is not known.").format(
                title=model.title, prediction_type=model.prediction_type
            )
        )


def load_model(
    source: ModelSource, device: torch.device, dtype: torch.dtype | None = None
) -> DiffusionModel:
    """Load a base model, without safety checker, frozen, onto a device.

    Raises UserError when it is missing, incomplete, damaged or of another architecture, and
    OutOfMemory when it does not fit the device.
    """
    files = sources.locate(source)
    if dtype is None:
        dtype = choose_dtype(device)
    if files.is_single_file:
        with _explained(files.title, "checkpoint"):
            parts = single_file.load(files.path)
    else:
        parts = _load_folder(files.path, files.title)
    tokenizer, text_encoder, vae, unet, scheduler_config = parts
    with guard(device, f"loading {files.title}"):
        for module in (text_encoder, vae, unet):
            module.requires_grad_(False)
            module.eval()
            module.to(device=device, dtype=dtype)
        vae.to(memory_format=memory_format(device))
        unet.to(memory_format=memory_format(device))
    model = DiffusionModel(
        tokenizer=tokenizer,
        text_encoder=text_encoder,
        vae=vae,
        unet=unet,
        scheduler_config=scheduler_config,
        base_hash=sources.hash_weights(files),
        title=files.title,
        device=device,
        dtype=dtype,
    )
    _check_fit(model)
    return model


class PipelineCache:
    """Keeps the last base model, with the last erasure patched in and the last tokens added.

    One model at a time, since one job runs at a time and a GPU rarely holds two. The model that
    `get` returned before is not valid any more once `get` is called with another erasure.
    """

    def __init__(self) -> None:
        self._base_key: tuple[str, ...] = ()
        self._base: DiffusionModel | None = None
        self._patch_key = ("", "")
        self._originals: dict[str, torch.Tensor] = {}
        self._token_key: tuple[str, ...] = ()
        self._with_tokens: DiffusionModel | None = None

    def clear(self) -> None:
        """Forget everything and give the memory back."""
        self.__init__()  # type: ignore[misc]
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def get(
        self,
        source: ModelSource,
        *,
        device: torch.device,
        dtype: torch.dtype | None = None,
        erasure: Path | None = None,
        adapter: Path | None = None,
        embeddings: tuple[Path, ...] = (),
        memory: Memory = "normal",
    ) -> DiffusionModel:
        """The model of `source`, with a difference file patched in and embeddings added.

        `adapter`: low-rank changes, added to what the erasure left. `memory`: see
        `footprint.save_memory`. Raises UserError when a file does not belong to this base model.
        """
        dtype = dtype or choose_dtype(device)
        base = self._get_base(source, device, dtype, memory)
        self._patch(base, erasure, adapter)
        key = tuple(sources.file_hash(path) for path in embeddings)
        if not embeddings:
            return base
        if self._with_tokens is None or key != self._token_key:
            learned = tokens.read_embeddings(embeddings)
            self._with_tokens = tokens.add_to_model(base, learned)
            self._token_key = key
        return self._with_tokens

    def _get_base(
        self,
        source: ModelSource,
        device: torch.device,
        dtype: torch.dtype,
        memory: Memory,
    ) -> DiffusionModel:
        files = sources.locate(source)
        if not files.is_single_file:
            sources.check_folder(files.path)
        settings = sources.hash_settings(files)
        identity = (sources.hash_weights(files), settings, str(files.path))
        key = (*identity, str(device), str(dtype), memory)
        if self._base is None or key != self._base_key:
            self.clear()
            self._base = load_model(source, device, dtype)
            footprint.save_memory(self._base, memory)
            self._base_key = key
        return self._base

    def _patch(self, base: DiffusionModel, erasure: Path | None, adapter: Path | None) -> None:
        wanted = tuple(
            sources.file_hash(path) if path is not None else "" for path in (erasure, adapter)
        )
        if wanted == self._patch_key:
            return
        changed = differences.read(erasure, base) if erasure is not None else {}
        deltas = lowrank.read_deltas(adapter, base) if adapter is not None else {}
        if self._originals:
            differences.put(base.unet, self._originals)
            self._originals, self._patch_key = {}, ("", "")
        self._originals = differences.take(base.unet, {*changed, *deltas})
        differences.put(base.unet, changed)
        for name, delta in deltas.items():
            before = changed[name] if name in changed else self._originals[name]
            differences.put(base.unet, {name: before.float() + delta})
        self._patch_key = (wanted[0], wanted[1])


_shared = PipelineCache()


def shared_cache() -> PipelineCache:
    """The cache of this process."""
    return _shared
