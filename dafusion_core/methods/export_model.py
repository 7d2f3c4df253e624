"""Write a trained classifier for other programs, and see that the files say the same."""

from __future__ import annotations

from collections.abc import Sequence

from dafusion_core.domain.errors import UserError
from dafusion_core.domain.inputs import ModelExportInputs
from dafusion_core.domain.records import JobUnit
from dafusion_core.domain.specs import ModelExportSpec
from dafusion_core.engine.picture_store import PictureStore
from dafusion_core.engine.torch_setup import torch
from dafusion_core.engine.trained import EXPORTERS, RUNNERS, largest_difference, load_trained
from dafusion_core.jobs.context import JobContext
from dafusion_core.language import _

__all__ = ["TOLERANCE", "run"]

TOLERANCE = 1e-4  # of probabilities
_BATCH = 32


def run(
    spec: ModelExportSpec, inputs: ModelExportInputs, units: Sequence[JobUnit], ctx: JobContext
) -> None:
    """One unit per format. Each file is loaded anew and run on every test image.

    Raises UserError when a file answers differently by more than `TOLERANCE`: it is not kept.
    """
    trained = load_trained(ctx.resolve(inputs.weights.path))
    store = PictureStore(trained.resolution)
    for number, unit in enumerate(units):
        form = str(unit.payload["format"])
        ending, write = EXPORTERS[form]
        ctx.progress(number, len(units), _("writing {form}").format(form=form))
        path = ctx.scratch / f"classifier-{unit.id}{ending}"
        write(trained, path)
        runner, largest = RUNNERS[form](path), 0.0
        for start in range(0, len(inputs.test), _BATCH):
            ctx.progress(
                number + start / len(inputs.test),
                len(units),
                _("checking {form}").format(form=form),
            )
            part = inputs.test[start : start + _BATCH]
            pictures = store.stack([ctx.resolve(image.path) for image in part])
            expected = trained.probabilities(pictures, torch.device("cpu"))
            with torch.no_grad():
                largest = max(largest, largest_difference(runner(pictures), expected))
        if largest > TOLERANCE:
            raise UserError(
                _(
                    "The {form} file gives other probabilities than the network (by up to "
                    "{largest:.2g}), so it was not kept."
                ).format(form=form, largest=largest),
                _("Choose another format."),
            )
        record = {
            "format": form,
            "tested_on": len(inputs.test),
            "largest_difference": largest,
            "labels": list(trained.labels),
        }
        ctx.finish_unit(unit, {form: path}, record)
        ctx.log(
            _(
                "The {form} file agrees with the network on {number} test images (largest "
                "difference of a probability: {largest:.1e})."
            ).format(form=form, number=len(inputs.test), largest=largest)
        )
    ctx.progress(len(units), len(units), "done")
