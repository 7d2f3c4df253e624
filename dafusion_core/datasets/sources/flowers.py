"""Oxford Flowers 102: jpg/image_00001.jpg … with imagelabels.mat (and setid.mat).

Labels are numbers from 1; their names are those of the data set's page. `cat_to_name.json`
({"1": "pink primrose", …}) beside the labels wins, where there is one.
"""

from __future__ import annotations

import re
from pathlib import Path

from dafusion_core.datasets.naming import natural_key, normal_name
from dafusion_core.datasets.plan import Entry, ImportPlan, shorten_problems
from dafusion_core.datasets.sources.common import Findings, absolute, read_json
from dafusion_core.datasets.sources.matlab import read_arrays
from dafusion_core.domain.errors import UserError
from dafusion_core.domain.records import Part
from dafusion_core.language import _

__all__ = ["FLOWER_NAMES", "plan_flowers"]

FLOWER_NAMES = (
    "pink primrose", "hard-leaved pocket orchid", "canterbury bells", "sweet pea",
    "english marigold", "tiger lily", "moon orchid", "bird of paradise", "monkshood",
    "globe thistle", "snapdragon", "colt's foot", "king protea", "spear thistle", "yellow iris",
    "globe-flower", "purple coneflower", "peruvian lily", "balloon flower",
    "giant white arum lily", "fire lily", "pincushion flower", "fritillary", "red ginger",
    "grape hyacinth", "corn poppy", "prince of wales feathers", "stemless gentian", "artichoke",
    "sweet william", "carnation", "garden phlox", "love in the mist", "mexican aster",
    "alpine sea holly", "ruby-lipped cattleya", "cape flower", "great masterwort", "siam tulip",
    "lenten rose", "barbeton daisy", "daffodil", "sword lily", "poinsettia", "bolero deep blue",
    "wallflower", "marigold", "buttercup", "oxeye daisy", "common dandelion", "petunia",
    "wild pansy", "primula", "sunflower", "pelargonium", "bishop of llandaff", "gaura", "geranium",
    "orange dahlia", "pink-yellow dahlia", "cautleya spicata", "japanese anemone",
    "black-eyed susan", "silverbush", "californian poppy", "osteospermum", "spring crocus",
    "bearded iris", "windflower", "tree poppy", "gazania", "azalea", "water lily", "rose",
    "thorn apple", "morning glory", "passion flower", "lotus", "toad lily", "anthurium",
    "frangipani", "clematis", "hibiscus", "columbine", "desert-rose", "tree mallow", "magnolia",
    "cyclamen", "watercress", "canna lily", "hippeastrum", "bee balm", "ball moss", "foxglove",
    "bougainvillea", "camellia", "mallow", "mexican petunia", "bromelia", "blanket flower",
    "trumpet creeper", "blackberry lily",
)  # fmt: skip
_SETS = {"trnid": Part.TRAIN, "valid": Part.VALIDATION, "tstid": Part.TEST}


def plan_flowers(folder: Path | str, with_split: bool = True) -> ImportPlan:
    """The plan of a Flowers102 folder. `with_split`: take the official parts from setid.mat.

    Raises UserError when imagelabels.mat is missing or damaged.
    """
    root = absolute(folder)
    file = next((p for p in (root / "imagelabels.mat", root.parent / "imagelabels.mat")
                 if p.is_file()), None)  # fmt: skip
    if file is None:
        raise UserError(
            _("“{root}” holds no imagelabels.mat.").format(root=root),
            _("It belongs beside the folder jpg."),
        )
    arrays = read_arrays(file)
    if "labels" not in arrays:
        raise UserError(_("“{name}” holds no list called labels.").format(name=file.name))
    labels = arrays["labels"].ravel().astype(int)
    names = _names(file.parent)
    parts = _parts(file.parent) if with_split else {}
    findings, entries = Findings(), list[Entry]()
    pictures = root / "jpg" if (root / "jpg").is_dir() else root
    seen = set()
    for path in sorted(pictures.glob("*.jpg"), key=lambda path: natural_key(path.name)):
        match = re.fullmatch(r"image_(\d+)", path.stem)
        number = int(match[1]) if match else 0
        if not 1 <= number <= len(labels):
            findings.refuse(path, _("imagelabels.mat has no entry for it"))
            continue
        seen.add(number)
        label = names.get(int(labels[number - 1]), f"class {labels[number - 1]}")
        entries.append(Entry(str(path), label, part=parts.get(number)))
    missing = len(labels) - len(seen)
    if missing:
        findings.warnings.append(
            _("{missing:,} pictures of imagelabels.mat are not there.").format(missing=missing)
        )
    entries.sort(key=lambda entry: natural_key(entry.label))
    return ImportPlan(
        "flowers102", root, tuple(entries), shorten_problems(findings.problems),
        tuple(findings.warnings),
    )  # fmt: skip


def _names(folder: Path) -> dict[int, str]:
    path = folder / "cat_to_name.json"
    if path.is_file():
        value = read_json(path)
        if isinstance(value, dict):
            return {int(k): normal_name(str(v)) for k, v in value.items() if str(k).isdigit()}
    return dict(enumerate(FLOWER_NAMES, start=1))


def _parts(folder: Path) -> dict[int, Part]:
    path = folder / "setid.mat"
    if not path.is_file():
        return {}
    arrays = read_arrays(path)
    return {
        int(number): part
        for key, part in _SETS.items()
        if key in arrays
        for number in arrays[key].ravel()
    }
