"""Measurements on pictures: features to compare them in, sharpness, blankness, a linear probe."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image

from dafusion_core.domain.errors import UserError
from dafusion_core.engine import images, sampling, tokens
from dafusion_core.engine.augment import normalise
from dafusion_core.engine.classifiers import build_classifier, choose_normalisation, head_of
from dafusion_core.engine.frames import Frame
from dafusion_core.engine.models import DiffusionModel
from dafusion_core.language import _

__all__ = [
    "BackboneFeatures",
    "Features",
    "FolderFeatures",
    "Neighbours",
    "NetworkFeatures",
    "Probe",
    "find_image_model",
    "is_blank",
    "sharpness",
]

_BLANK_SPREAD = 10.0  # grey values 0–255 between the 2nd and the 98th percentile
_BUNDLED_SIDE = 64  # pixels, as the bundled backbone was trained
#: DINO before CLIP: it tells pictures apart by what is seen, not by what it is called.
_IMAGE_MODELS = (
    "facebook/dinov2-base",
    "facebook/dinov2-small",
    "facebook/dinov2-large",
    "facebook/dino-vits16",
    "openai/clip-vit-large-patch14",
    "openai/clip-vit-base-patch32",
    "openai/clip-vit-base-patch16",
)
_IMAGE_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_SHARES_OF_TIME = 0.05  # of the schedule: nearly no noise


def _grey(picture: Image.Image) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.asarray(picture.convert("L"), np.float64)


def sharpness(picture: Image.Image) -> float:
    """Standard deviation of the 4-neighbour Laplacian of the grey values (0–255)."""
    grey = _grey(picture)
    if min(grey.shape) < 3:
        return 0.0
    inner = grey[1:-1, 1:-1] * 4
    inner = inner - grey[:-2, 1:-1] - grey[2:, 1:-1] - grey[1:-1, :-2] - grey[1:-1, 2:]
    return float(inner.std())


def is_blank(picture: Image.Image) -> bool:
    """True when nearly all pixels have nearly the same grey: nothing to see."""
    low, high = np.percentile(_grey(picture), [2, 98])
    return bool(high - low < _BLANK_SPREAD)


class Features(Protocol):
    """Numbers that are close for pictures that show alike things."""

    name: str

    def __call__(self, pictures: Sequence[Image.Image]) -> torch.Tensor:
        """[n, d] float32 on the CPU."""


class NetworkFeatures:
    """Features of a diffusion model's own network: its middle, averaged over the picture.

    The picture is shown to the U-Net with hardly any noise time and an empty prompt, without
    noise, so that equal pictures have equal features.
    """

    def __init__(self, model: DiffusionModel, resolution: int | None = None) -> None:
        self.name = f"network of {model.title}"
        self._model = model
        self._side = model.check_resolution(resolution)
        with torch.inference_mode():
            self._empty = tokens.encode(model, [""])

    @torch.inference_mode()
    def __call__(self, pictures: Sequence[Image.Image]) -> torch.Tensor:
        """[n, d] float32 on the CPU."""
        model = self._model
        pixels = torch.stack(
            [images.picture_to_pixels(Frame(p.size, self._side).place(p)) for p in pictures]
        ).to(model.device, model.dtype)
        time = torch.tensor([int(_SHARES_OF_TIME * model.train_timesteps)])
        signal, _ = sampling.noise_scales(model, time)
        clean = model.vae.encode(pixels).latent_dist.mean * model.latent_factor
        seen: list[torch.Tensor] = []
        hook = model.unet.mid_block.register_forward_hook(
            lambda module, given, result: seen.append(result)
        )
        try:
            model.unet(
                signal.to(clean) * clean,
                time.to(model.device),
                encoder_hidden_states=self._empty.expand(len(clean), -1, -1),
            )
        finally:
            hook.remove()
        found = seen[0].float()
        return torch.cat([found.mean(dim=(2, 3)), found.std(dim=(2, 3))], dim=1).cpu()


class BackboneFeatures:
    """Features before the last layer of a classifier network with its bundled weights."""

    def __init__(self, backbone: str, device: torch.device, resolution: int | None = None) -> None:
        self.name = f"bundled {backbone}"
        self._network = build_classifier(backbone, 2, "bundled").requires_grad_(False).eval()
        self._network.to(device)
        self._head = head_of(self._network)[1]
        self._how = choose_normalisation("auto", "probe", "bundled", backbone)
        self._side = resolution or _BUNDLED_SIDE
        self._device = device

    @torch.inference_mode()
    def __call__(self, pictures: Sequence[Image.Image]) -> torch.Tensor:
        """[n, d] float32 on the CPU."""
        shown = [np.array(Frame(p.size, self._side).place(p, images.BICUBIC)) for p in pictures]
        pixels = torch.from_numpy(np.stack(shown)).permute(0, 3, 1, 2).to(self._device)
        seen: list[torch.Tensor] = []
        hook = self._head.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
        try:
            self._network(normalise(pixels, self._how))
        finally:
            hook.remove()
        return seen[0].float().cpu()


def find_image_model() -> Path | None:
    """The folder of a well-known DINO or CLIP model, if the hub's cache on this computer has one.

    Nothing is downloaded. None where there is none.
    """
    from huggingface_hub import try_to_load_from_cache

    for name in _IMAGE_MODELS:
        found = try_to_load_from_cache(name, "config.json")
        if isinstance(found, str):
            folder = Path(found).parent
            if any((folder / file).is_file() for file in _IMAGE_WEIGHTS):
                return folder
    return None


class FolderFeatures:
    """Image features of a CLIP or DINO model in a local folder, in the layout of transformers."""

    def __init__(self, folder: Path, device: torch.device) -> None:
        from transformers import AutoModel

        if not (folder / "config.json").is_file():
            raise UserError(
                _("{folder} holds no model that features could come from.").format(folder=folder),
                _("Choose a CLIP or DINO folder with config.json and weights, or none."),
            )
        try:
            self._model: Any = AutoModel.from_pretrained(
                str(folder), local_files_only=True, use_safetensors=None
            )
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise UserError(
                _("The model {folder} cannot be loaded: {splitlines}").format(
                    folder=folder, splitlines=str(error).splitlines()[0]
                ),
                _("Choose another folder, or none."),
            ) from error
        self._model.requires_grad_(False).eval().to(device)
        self._device = device
        self.name = f"{self._model.config.model_type} ({folder.name})"
        settings: dict[str, Any] = {}
        if (folder / "preprocessor_config.json").is_file():
            text = (folder / "preprocessor_config.json").read_text(encoding="utf-8")
            settings = json.loads(text)
        vision = getattr(self._model.config, "vision_config", self._model.config)
        self._side = int(getattr(vision, "image_size", 224))
        mean = settings.get("image_mean", [0.485, 0.456, 0.406])
        std = settings.get("image_std", [0.229, 0.224, 0.225])
        self._mean = torch.tensor(mean).reshape(3, 1, 1)
        self._std = torch.tensor(std).reshape(3, 1, 1)

    @torch.inference_mode()
    def __call__(self, pictures: Sequence[Image.Image]) -> torch.Tensor:
        """[n, d] float32 on the CPU."""
        shown = []
        for picture in pictures:
            square = Frame(picture.size, self._side).place(picture, images.BICUBIC)
            unit = images.picture_to_pixels(square) / 2 + 0.5
            shown.append((unit - self._mean) / self._std)
        pixels = torch.stack(shown).to(self._device)
        if hasattr(self._model, "get_image_features"):
            found = self._model.get_image_features(pixel_values=pixels)
        else:
            found = self._model(pixel_values=pixels)
        if not isinstance(found, torch.Tensor):
            pooled = getattr(found, "pooler_output", None)
            found = found.last_hidden_state[:, 0] if pooled is None else pooled
        return found.float().cpu().flatten(1)


class Neighbours:
    """Cosine distances (0–2) among features from which the mean of the training ones is taken."""

    def __init__(self, train: torch.Tensor) -> None:
        self._centre = train.mean(dim=0) if len(train) > 1 else torch.zeros(train.shape[1])

    def place(self, features: torch.Tensor) -> torch.Tensor:
        """Centred features of length 1."""
        return torch.nn.functional.normalize(features - self._centre, dim=1)

    def between(self, one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """Distances [n] of rows to rows."""
        return (1 - (self.place(one) * self.place(other)).sum(dim=1)).clamp(min=0)

    def nearest(
        self, features: torch.Tensor, among: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(distances [n], row indices [n]) of each one's nearest in `among`."""
        closest = (self.place(features) @ self.place(among).T).max(dim=1)
        return (1 - closest.values).clamp(min=0), closest.indices


class Probe:
    """A linear classifier on features: multinomial logistic regression with a ridge, float64."""

    def __init__(
        self, features: torch.Tensor, labels: Sequence[int], classes: int, ridge: float = 1e-2
    ) -> None:
        values = features.double()
        self._mean = values.mean(dim=0)
        self._scale = values.std(dim=0, unbiased=False).clamp(min=1e-6)
        wanted = torch.tensor(labels)
        x = self._prepare(features)
        self._weights = torch.zeros(x.shape[1], classes, dtype=torch.float64, requires_grad=True)
        optimiser = torch.optim.LBFGS([self._weights], max_iter=200, line_search_fn="strong_wolfe")

        def closure() -> torch.Tensor:
            optimiser.zero_grad()
            loss = torch.nn.functional.cross_entropy(x @ self._weights, wanted)
            loss = loss + ridge * self._weights[:-1].square().sum() / 2
            loss.backward()
            return loss

        optimiser.step(closure)
        self._weights = self._weights.detach()

    def _prepare(self, features: torch.Tensor) -> torch.Tensor:
        x = (features.double() - self._mean) / self._scale / len(self._mean) ** 0.5
        return torch.cat([x, torch.ones(len(x), 1, dtype=torch.float64)], dim=1)

    def __call__(self, features: torch.Tensor) -> torch.Tensor:
        """Probabilities [n, classes]."""
        return (self._prepare(features) @ self._weights).softmax(dim=1)
