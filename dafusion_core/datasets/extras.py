"""What this program's exports say beyond what their format can hold: the file dafusion.json.

It lies beside the annotation files of every export. An import of that export takes from it only
what the format itself does not say (so that changes made with other programs count), the order of
the classes, and which pictures are synthetic.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from dafusion_core.datasets.naming import normal_name
from dafusion_core.datasets.plan import Entry, ImportPlan, PlannedRegion, PlannedSynthetic
from dafusion_core.domain.errors import DaFusionError
from dafusion_core.domain.records import Curation, ImportProblem, Part
from dafusion_core.domain.regions import RegionKind
from dafusion_core.language import _

__all__ = ["EXTRAS", "apply_extras", "describe_entry", "read_extras", "regions_from", "regions_to"]

EXTRAS = "dafusion.json"
_ORPHAN = _("it is a synthetic image whose source is not in this export")


def regions_to(regions: tuple[PlannedRegion, ...]) -> list[dict[str, Any]]:
    """Regions as JSON values."""
    return [
        {"kind": region.kind.value, "data": dict(region.data), "label": region.label}
        for region in regions
    ]


def regions_from(values: Any) -> tuple[PlannedRegion, ...]:
    """Regions from JSON values; damaged ones are left out."""
    found = []
    for value in values if isinstance(values, list) else ():
        try:
            kind, data = RegionKind(value["kind"]), dict(value["data"])
        except (KeyError, TypeError, ValueError):
            continue
        found.append(PlannedRegion(kind, data, str(value.get("label") or "")))
    return tuple(found)


def describe_entry(values: Mapping[str, Any], path: str) -> Entry:
    """An entry for `path` from JSON values as an export writes them."""
    part = values.get("part")
    return Entry(
        path,
        normal_name(str(values.get("label") or "")),
        part=Part(part) if part in {p.value for p in Part} else None,
        group=normal_name(str(values.get("group") or "")),
        note=str(values.get("note") or ""),
        is_unsure=bool(values.get("is_unsure")),
        regions=regions_from(values.get("regions")),
    )


def read_extras(root: Path) -> Mapping[str, Any]:
    """The values of dafusion.json in a folder, {} where there is none or it is damaged."""
    path = root / EXTRAS
    try:
        value = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except (OSError, ValueError, RecursionError):
        return {}
    is_ours = isinstance(value, dict) and isinstance(value.get("files"), dict)
    return value if is_ours else {}


def apply_extras(plan: ImportPlan) -> ImportPlan:
    """The plan with what dafusion.json in its root adds; unchanged where there is none."""
    extras = read_extras(plan.root)
    if not extras:
        return plan
    files: Mapping[str, Any] = extras["files"]
    entries, problems = list[Entry](), list(plan.problems)
    for entry in plan.entries:
        values = files.get(_relative(entry.path, plan.root))
        if not isinstance(values, dict):
            entries.append(entry)
        elif values.get("kind") != "synthetic":
            entries.append(_filled(entry, describe_entry(values, entry.path)))
    synthetics = []
    for name, values in files.items():
        if isinstance(values, dict) and values.get("kind") == "synthetic":
            made = _synthetic(plan.root, name, values)
            if made is None:
                problems.append(ImportProblem(str(plan.root / name), _ORPHAN))
            else:
                synthetics.append(made)
    labels = tuple(normal_name(str(label)) for label in extras.get("classes") or ())
    return replace(
        plan,
        entries=tuple(entries),
        problems=tuple(problems),
        labels=labels or plan.labels,
        synthetics=tuple(synthetics),
    )


def _relative(path: str, root: Path) -> str:
    found = Path(path)
    return found.relative_to(root).as_posix() if found.is_relative_to(root) else path


def _filled(entry: Entry, extra: Entry) -> Entry:
    return replace(
        entry,
        part=entry.part or extra.part,
        group=entry.group or extra.group,
        note=entry.note or extra.note,
        is_unsure=entry.is_unsure or extra.is_unsure,
        regions=entry.regions or extra.regions,
    )


def _synthetic(root: Path, name: str, values: Mapping[str, Any]) -> PlannedSynthetic | None:
    try:
        path = root / name
        if ".." in Path(name).parts or not values["source_sha256"] or not path.is_file():
            return None
        return PlannedSynthetic(
            path=str(path),
            sha256=str(values["sha256"]),
            source_sha256=str(values["source_sha256"]),
            label=normal_name(str(values.get("label") or "")),
            t0=float(values["t0"]),
            seed=int(values["seed"]),
            variant=int(values.get("variant") or 0),
            curation=Curation(values.get("curation") or "undecided"),
            rating=int(values.get("rating") or 0),
            lineage={key: values[key] for key in ("job", "plan", "placeholder") if key in values},
        )
    except (KeyError, TypeError, ValueError, DaFusionError):
        return None
