"""Folders per class: plain ones, ones inside train/ and test/, Caltech101 and leafy spurge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from dafusion_core.datasets.folder import scan_folder
from dafusion_core.datasets.importing import plan_folder
from dafusion_core.datasets.naming import natural_key, normal_name
from dafusion_core.datasets.plan import Entry, ImportPlan
from dafusion_core.datasets.sources.common import absolute, find_part, sub_folders
from dafusion_core.domain.errors import UserError
from dafusion_core.domain.records import ImportProblem
from dafusion_core.language import _

__all__ = ["has_part_folders", "is_caltech", "is_spurge", "plan_caltech", "plan_folders"]
__all__ += ["plan_part_folders", "plan_spurge"]

#: Class names of the leafy spurge data, by folder; those of the paper's program.
SPURGE = {"absent": "no spurge", "apparent": "leafy spurge"}
_CONFIGURATIONS = ("crop", "context")


def plan_folders(folder: Path | str) -> ImportPlan:
    """One folder per class. Raises UserError when the layout cannot be understood."""
    return plan_folder(folder)


def has_part_folders(root: Path) -> bool:
    """Whether the folders in `root` are called train, val, test … and hold class folders."""
    folders = sub_folders(root)
    return (
        bool(folders)
        and all(find_part(folder.name) is not None for folder in folders)
        and any(sub_folders(folder) for folder in folders)
    )


def plan_part_folders(folder: Path | str) -> ImportPlan:
    """train/daisy/1.jpg, test/daisy/2.jpg …: the upper folder is the part, the lower the class."""
    root = absolute(folder)
    entries: list[Entry] = []
    problems: list[ImportProblem] = []
    for sub in sub_folders(root):
        part = find_part(sub.name)
        if part is None:
            problems.append(ImportProblem(str(sub), _("its name is no part of a split")))
            continue
        try:
            scan = scan_folder(sub)
        except UserError as error:
            problems.append(ImportProblem(str(sub), error.text))
            continue
        problems += scan.problems
        entries += [Entry(str(path), label, part=part) for path, label in scan.files()]
    entries.sort(key=lambda entry: natural_key(entry.label))
    return ImportPlan("part-folders", root, tuple(entries), tuple(problems))


def _renamed(plan: ImportPlan, form: str, rename: Callable[[str], str]) -> ImportPlan:
    entries = [replace(entry, label=rename(entry.label)) for entry in plan.entries]
    entries.sort(key=lambda entry: natural_key(entry.label))
    return replace(plan, form=form, entries=tuple(entries))


def is_caltech(root: Path) -> bool:
    """Whether this is Caltech101's folder of classes (or holds it)."""
    return (_caltech_root(root) / "accordion").is_dir()


def _caltech_root(root: Path) -> Path:
    for place in ("101_ObjectCategories", "caltech-101/101_ObjectCategories"):
        if (root / place).is_dir():
            return root / place
    return root


def plan_caltech(folder: Path | str, with_background: bool = True) -> ImportPlan:
    """Caltech101. Class names are written as in the paper's program: "faces easy" for Faces_easy.

    `with_background`: also BACKGROUND_Google, pictures of nothing in particular, which the paper
    counts as a class (102 in all).
    """
    root = _caltech_root(absolute(folder))
    plan = plan_folder(root)
    if not with_background:
        kept = tuple(e for e in plan.entries if not e.label.lower().startswith("background"))
        gone = len(plan.entries) - len(kept)
        problem = ImportProblem(
            str(root / "BACKGROUND_Google"),
            _("{gone} background pictures were not wanted").format(gone=gone),
        )
        plan = replace(
            plan, entries=kept, problems=(*plan.problems, problem) if gone else plan.problems
        )
    return _renamed(plan, "caltech101", lambda name: name.lower().replace("_", " "))


def is_spurge(root: Path) -> bool:
    """Whether this is leafy spurge data: absent/ and apparent/, or crop/ and context/ with them."""
    if all((root / name).is_dir() for name in SPURGE):
        return True
    return any(
        (root / configuration / inner / "apparent").is_dir()
        for configuration in _CONFIGURATIONS
        for inner in ("", "train", "test")
    )


def plan_spurge(folder: Path | str, configuration: str = "") -> ImportPlan:
    """Leafy spurge: absent/ and apparent/, or its release with configurations as folders.

    `configuration`: "crop" (39 pixels around a plant) or "context" (1024 pixels); needed where
    both are there, because they show the same plants. Pictures in unlabelled/ come without a
    class. (The release as parquet files is read by the Hugging Face importer.) Raises UserError
    when it is neither, or the configuration is not there.
    """
    root = absolute(folder)
    there = [name for name in _CONFIGURATIONS if (root / name).is_dir()]
    if there and not configuration and len(there) > 1:
        raise UserError(
            _("This release shows the same plants twice, as “crop” and as “context”."),
            _("Say which one to import (crop is what the paper used)."),
        )
    if configuration and configuration not in there:
        raise UserError(
            _("There is no configuration “{configuration}” in “{root}”.").format(
                configuration=configuration, root=root
            ),
            _("There are: {there}.").format(there=", ".join(there) or "none"),
        )
    base = root / (configuration or there[0]) if there else root
    plan = plan_part_folders(base) if has_part_folders(base) else plan_folder(base)
    names = SPURGE | {"unlabelled": "", "unlabeled": ""}
    plan = _renamed(plan, "leafy-spurge", lambda name: names.get(name.lower(), normal_name(name)))
    extra = root / "unlabelled"
    if there and extra.is_dir():
        scan = scan_folder(root)
        more = tuple(Entry(str(path), "") for path in scan.classes.get("unlabelled", ()))
        plan = replace(plan, entries=(*plan.entries, *more))
    return replace(plan, root=root)
