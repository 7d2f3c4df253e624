"""A classifier that was trained here: load it, ask it, hand it to other programs."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from dafusion_core.domain.errors import UserError
from dafusion_core.engine.augment import Normalisation
from dafusion_core.engine.classifiers import build_classifier, weights_hash
from dafusion_core.engine.devices import memory_format
from dafusion_core.language import _

__all__ = [
    "EXPORTERS",
    "RUNNERS",
    "TrainedClassifier",
    "largest_difference",
    "load_trained",
    "save_trained",
]

#: Weights that every computer can have again, so that what a training left alone of them need not
#: be written: 0.2 MB for each fit of a frozen ResNet-50, which would otherwise take 94 MB.
REFERRED = ("bundled", "imagenet")

#: uint8 pictures [n, 3, side, side] → probabilities [n, labels], on the CPU.
Runner = Callable[[torch.Tensor], torch.Tensor]


class _Complete(torch.nn.Module):
    """The network with what belongs before and after it: numbers in, probabilities out."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, network: torch.nn.Module, how: Normalisation) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(how.mean)[:, None, None] * 255)
        self.register_buffer("std", torch.tensor(how.std)[:, None, None] * 255)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Probabilities [n, labels] from uint8 pictures [n, 3, side, side]."""
        values = (pictures.float() - self.mean) / self.std
        return torch.softmax(self.network(values).float(), dim=1)


@dataclass(frozen=True, slots=True)
class TrainedClassifier:
    """A network in evaluation mode with all that is needed to use it."""

    network: torch.nn.Module
    backbone: str
    labels: tuple[str, ...]
    resolution: int
    normalisation: Normalisation

    def facts(self) -> dict[str, str]:
        """What another program must know, as text: it travels inside every exported file."""
        return {
            "labels": json.dumps(list(self.labels), ensure_ascii=False),
            "backbone": self.backbone,
            "resolution": str(self.resolution),
            "mean": json.dumps(self.normalisation.mean),
            "std": json.dumps(self.normalisation.std),
            "input": f"RGB uint8 [n, 3, {self.resolution}, {self.resolution}]; pictures turned "
            "upright (EXIF) and stretched to a square with Pillow's bilinear filter; "
            "normalisation is part of the model",
            "output": "probabilities [n, labels]",
        }

    def complete(self) -> torch.nn.Module:
        """uint8 pictures to probabilities."""
        return _Complete(self.network, self.normalisation).eval()

    @torch.no_grad()
    def probabilities(self, pictures: torch.Tensor, device: torch.device) -> torch.Tensor:
        """[n, labels] on the CPU from uint8 pictures [n, 3, side, side]."""
        values = pictures.to(device).float()
        mean = torch.tensor(self.normalisation.mean, device=device)[:, None, None] * 255
        std = torch.tensor(self.normalisation.std, device=device)[:, None, None] * 255
        values = ((values - mean) / std).contiguous(memory_format=memory_format(device))
        return self.network(values).float().softmax(dim=1).cpu()


def save_trained(
    path: Path,
    network: torch.nn.Module,
    facts: dict[str, str],
    weights: str,
    frozen: frozenset[str] = frozenset(),
) -> None:
    """Write a classifier for `load_trained`. `facts`: labels, backbone, resolution, mean, std.

    `weights`: what it began with; the tensors named in `frozen` are as they were there, and are
    left out where `weights` is one of `REFERRED`.
    """
    metadata = {"format": "pt"} | facts
    values = network.state_dict()
    if frozen and weights in REFERRED:
        values = {name: value for name, value in values.items() if name not in frozen}
        metadata |= {"base": weights, "base_sha256": weights_hash(weights, facts["backbone"])}
    plain = {name: value.detach().cpu().contiguous() for name, value in values.items()}
    save_file(plain, str(path), metadata=metadata)


def _complete_network(facts: dict[str, str], values: dict[str, torch.Tensor]) -> torch.nn.Module:
    """The network of a file that may hold only what its training changed."""
    backbone, base = facts["backbone"], facts.get("base", "")
    labels = len(json.loads(facts["labels"]))
    network = build_classifier(backbone, labels, base)
    if base and weights_hash(base, backbone) != facts["base_sha256"]:
        raise UserError(
            _(
                "This classifier was trained on other {base} weights of {backbone} than this "
                "computer has now. Nothing was lost: what was measured with it stands in the "
                "project."
            ).format(base=base, backbone=backbone),
            _("Use the version of the program that trained it, or train again."),
        )
    network.load_state_dict(network.state_dict() | values if base else values)
    return network


def load_trained(path: Path, device: torch.device | None = None) -> TrainedClassifier:
    """Read a classifier that a training wrote.

    Raises UserError when the file is none, or when the weights it was trained on are not here.
    """
    device = device or torch.device("cpu")
    try:
        with safe_open(str(path), framework="pt") as stream:
            facts = stream.metadata() or {}
            values = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
        labels = tuple(json.loads(facts["labels"]))
        # Files of the first version hold a single number for all three channels.
        mean, std = (json.loads(facts[name]) for name in ("mean", "std"))
        how = Normalisation(*(tuple(v) if isinstance(v, list) else (v,) * 3 for v in (mean, std)))
        network = _complete_network(facts, values)
    except (SafetensorError, OSError, KeyError, ValueError, RuntimeError) as error:
        raise UserError(
            _("“{path}” is not a classifier that this program wrote ({error}).").format(
                path=path, error=error
            ),
            _("Choose the weights of a training run."),
        ) from error
    network.to(device).to(memory_format=memory_format(device))  # type: ignore[call-overload]
    network.requires_grad_(False).eval()
    return TrainedClassifier(network, facts["backbone"], labels, int(facts["resolution"]), how)


# Export -------------------------------------------------------------------------------------


@contextmanager
def _quiet() -> Iterator[None]:
    """What torch's exporters say of themselves (deprecations, progress) is not for users."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _export_safetensors(trained: TrainedClassifier, path: Path) -> None:
    values = {name: value.contiguous() for name, value in trained.network.state_dict().items()}
    save_file(values, str(path), metadata={"format": "pt"} | trained.facts())


def _example(trained: TrainedClassifier) -> torch.Tensor:
    return torch.zeros(2, 3, trained.resolution, trained.resolution, dtype=torch.uint8)


def _export_torchscript(trained: TrainedClassifier, path: Path) -> None:
    extra = {"facts.json": json.dumps(trained.facts(), ensure_ascii=False)}
    with _quiet(), torch.no_grad():
        traced: Any = torch.jit.trace(trained.complete(), _example(trained))
        torch.jit.save(traced, str(path), _extra_files=extra)


def _export_onnx(trained: TrainedClassifier, path: Path) -> None:
    try:
        import onnx
        import onnxscript  # noqa: F401  (torch's exporter needs it)
    except ImportError as error:
        raise UserError(
            _("ONNX files need the library {name}, which is not installed.").format(
                name=error.name
            ),
            _(
                "Install it with `pip install onnx onnxscript`, or "
                "export safetensors or TorchScript."
            ),
        ) from error
    with _quiet(), torch.no_grad():
        torch.onnx.export(
            trained.complete(),
            (_example(trained),),
            str(path),
            input_names=["pictures"],
            output_names=["probabilities"],
            dynamic_shapes={"pictures": {0: torch.export.Dim("n")}},
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    model = onnx.load(str(path))
    onnx.helper.set_model_props(model, trained.facts())
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def _run_safetensors(path: Path) -> Runner:
    return load_trained(path).complete()


def _run_torchscript(path: Path) -> Runner:
    with _quiet():
        loaded: Runner = torch.jit.load(str(path))
    return loaded


def _run_onnx(path: Path) -> Runner:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def run(pictures: torch.Tensor) -> torch.Tensor:
        (found,) = session.run(None, {"pictures": pictures.numpy()})
        return torch.from_numpy(found)

    return run


#: Format → (file ending, writer).
EXPORTERS: dict[str, tuple[str, Callable[[TrainedClassifier, Path], None]]] = {
    "safetensors": (".safetensors", _export_safetensors),
    "torchscript": (".pt", _export_torchscript),
    "onnx": (".onnx", _export_onnx),
}

#: Format → what loads an exported file anew, to compare it with the original.
RUNNERS: dict[str, Callable[[Path], Runner]] = {
    "safetensors": _run_safetensors,
    "torchscript": _run_torchscript,
    "onnx": _run_onnx,
}


def largest_difference(one: torch.Tensor, other: torch.Tensor) -> float:
    """The largest absolute difference of two tables of probabilities; 0 for empty ones."""
    return float((one - other).abs().max()) if one.numel() else 0.0
