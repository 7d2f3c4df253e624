"""What people say about images: classes, groups, notes, doubts, regions. All of it undoable."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dafusion_core.domain.changes import ProjectChanges
from dafusion_core.domain.errors import UserError
from dafusion_core.domain.records import UNLABELLED
from dafusion_core.domain.regions import Region, RegionKind, plain_data
from dafusion_core.language import _, count
from dafusion_core.storage.concepts import ensure_concepts
from dafusion_core.storage.database import Database
from dafusion_core.storage.images import add_label, all_labels
from dafusion_core.storage.journal import recording

_IN = "IN (SELECT value FROM json_each(?1))"

_DRAW = {
    RegionKind.BOX: _("Draw a box"),
    RegionKind.POLYGON: _("Draw a polygon"),
    RegionKind.MASK: _("Draw a mask"),
}


def _ids(ids: Iterable[int]) -> str:
    return json.dumps(list(ids))


def _images(number: int) -> str:
    return count(number, "{n:,} image", "{n:,} images")


def _label_id(db: Database, name: str) -> int:
    found = db.value("SELECT id FROM label WHERE name = ? AND ordinal >= 0", [name])
    if found is None:
        known = ", ".join(label.name for label in all_labels(db)) or "none yet"
        raise UserError(
            _("There is no class “{name}”. Nothing was changed.").format(name=name),
            _("Classes: {known}.").format(known=known),
        )
    return int(found)


# Classes ------------------------------------------------------------------------------------


def create_label(db: Database, name: str) -> ProjectChanges:
    """Make an empty class at the end of the order. Raises UserError if it is there."""
    with recording(db, _("Make class “{name}”").format(name=name)) as record:
        if db.value("SELECT 1 FROM label WHERE name = ? AND ordinal >= 0", [name]):
            raise UserError(
                _("There is a class “{name}” already. Nothing was changed.").format(name=name)
            )
        add_label(db, name)
        ensure_concepts(db)
    return record.changes


def relabel(db: Database, image_ids: Sequence[int], name: str) -> ProjectChanges:
    """Give images a class, made if it is new; "" takes theirs away."""
    with recording(db) as record:
        label_id = add_label(db, name)
        changed = db.query(
            f"UPDATE image SET label_id = ?2 WHERE id {_IN} AND label_id <> ?2 RETURNING id",
            [_ids(image_ids), label_id],
        )
        ensure_concepts(db)
        images = _images(len(changed))
        record.text = (
            _("Label {images} “{name}”").format(images=images, name=name)
            if name
            else _("Label {images} no class").format(images=images)
        )
    return record.changes


def rename_label(db: Database, old: str, new: str) -> ProjectChanges:
    """Rename a class; its concept's name follows, its placeholder token stays.

    Raises UserError if there is a class of the new name: merging them is another command.
    """
    with recording(db, _("Rename class “{old}” to “{new}”").format(old=old, new=new)) as record:
        label_id = _label_id(db, old)
        if old == new:
            return ProjectChanges()
        other = db.one("SELECT id, ordinal FROM label WHERE name = ?", [new])
        if other is not None and other["ordinal"] >= 0:
            raise UserError(
                _("There is a class “{new}” already. Nothing was changed.").format(new=new),
                _("To make one class of both, merge “{old}” into “{new}”.").format(
                    old=old, new=new
                ),
            )
        if other is not None:
            # A removed class keeps its row for the results made with it, under a name of its own.
            db.execute("UPDATE label SET name = ? WHERE id = ?", [f"{new} (removed {other['id']})",
                                                                 other["id"]])  # fmt: skip
        db.execute("UPDATE label SET name = ? WHERE id = ?", [new, label_id])
        db.execute(
            "UPDATE concept SET name = ? WHERE label_id = ? AND name = ?", [new, label_id, old]
        )
    return record.changes


def merge_labels(db: Database, sources: Sequence[str], into: str) -> ProjectChanges:
    """Move all images and regions of the classes `sources` to the class `into`."""
    with recording(db) as record:
        target = _label_id(db, into)
        gone = [_label_id(db, name) for name in sources if name != into]
        if not gone:
            return ProjectChanges()
        _empty_labels(db, gone, target)
        names = ", ".join(f"“{name}”" for name in sources if name != into)
        record.text = _("Merge {names} into “{into}”").format(names=names, into=into)
    return record.changes


def remove_label(db: Database, name: str) -> ProjectChanges:
    """Take a class away; its images are without a class afterwards."""
    with recording(db, _("Remove class “{name}”").format(name=name)) as record:
        _empty_labels(db, [_label_id(db, name)], None)
    return record.changes


def _empty_labels(db: Database, gone: Sequence[int], target: int | None) -> None:
    parameters = [_ids(gone), UNLABELLED if target is None else target]
    db.execute(f"UPDATE image SET label_id = ?2 WHERE label_id {_IN}", parameters)
    db.execute(f"UPDATE region SET label_id = ?2 WHERE label_id {_IN}", [parameters[0], target])
    db.execute(
        f"UPDATE label SET ordinal = -2, merged_into = ?2 WHERE id {_IN}", [parameters[0], target]
    )
    _renumber(db, [label.name for label in all_labels(db)])


def order_labels(db: Database, names: Sequence[str]) -> ProjectChanges:
    """Put the classes in this order, which is that of model outputs. All must be named once."""
    with recording(db, _("Reorder the classes")) as record:
        known = {label.name for label in all_labels(db)}
        if set(names) != known or len(names) != len(known):
            raise UserError(
                _("An order of the classes must name each of them once. Nothing was changed."),
                _("Classes: {known}.").format(known=", ".join(sorted(known))),
            )
        _renumber(db, names)
    return record.changes


def renumber_labels(db: Database) -> None:
    """Close the gaps in the order of the classes."""
    _renumber(db, [label.name for label in all_labels(db)])


def _renumber(db: Database, names: Sequence[str]) -> None:
    db.execute_many(
        "UPDATE label SET ordinal = ?1 WHERE name = ?2 AND ordinal <> ?1",
        [(ordinal, name) for ordinal, name in enumerate(names)],
    )


# Single images ------------------------------------------------------------------------------


def set_flag(
    db: Database, image_ids: Sequence[int], column: str, value: bool, words: str
) -> ProjectChanges:
    """Set `is_unsure` or `is_rejected` of images; `words` name the step, with {images}."""
    if column not in ("is_unsure", "is_rejected"):
        raise ValueError(column)
    with recording(db) as record:
        changed = db.query(
            f"UPDATE image SET {column} = ?2 WHERE id {_IN} AND {column} <> ?2 RETURNING id",
            [_ids(image_ids), int(value)],
        )
        record.text = words.format(images=_images(len(changed)))
    return record.changes


def set_note(db: Database, image_ids: Sequence[int], text: str) -> ProjectChanges:
    """Write a note on images, "" to take it away."""
    with recording(db) as record:
        changed = db.query(
            f"UPDATE image SET note = ?2 WHERE id {_IN} AND note <> ?2 RETURNING id",
            [_ids(image_ids), text],
        )
        record.text = (
            _("Write a note on {images}") if text else _("Clear the note of {images}")
        ).format(images=_images(len(changed)))
    return record.changes


# Groups -------------------------------------------------------------------------------------


def all_groups(db: Database) -> dict[str, list[int]]:
    """Group name → ids of its images, groups without images left out, by name."""
    groups: dict[str, list[int]] = {}
    for row in db.query(
        "SELECT image_group.name, image.id FROM image "
        "JOIN image_group ON image_group.id = image.group_id ORDER BY 1, 2"
    ):
        groups.setdefault(row[0], []).append(row[1])
    return groups


def set_groups(db: Database, groups: Mapping[str | None, Iterable[int]]) -> ProjectChanges:
    """Put images into groups (made if needed), or out of any with None. One undoable step."""
    with recording(db) as record:
        count = 0
        for name, image_ids in groups.items():
            group_id = None
            if name is not None:
                db.execute("INSERT INTO image_group(name) VALUES (?) ON CONFLICT DO NOTHING",
                           [name])  # fmt: skip
                group_id = db.value("SELECT id FROM image_group WHERE name = ?", [name])
            count += len(
                db.query(
                    f"UPDATE image SET group_id = ?2 WHERE id {_IN} AND group_id IS NOT ?2 "
                    "RETURNING id",
                    [_ids(image_ids), group_id],
                )
            )
        named = [name for name in groups if name is not None]
        if not named:
            record.text = _("Ungroup {images}").format(images=_images(count))
        elif len(named) == 1:
            record.text = _("Group {images} as “{name}”").format(
                images=_images(count), name=named[0]
            )
        else:
            record.text = _("Group {images} into {number:,} groups").format(
                images=_images(count), number=len(named)
            )
    return record.changes


def rename_group(db: Database, old: str, new: str) -> ProjectChanges:
    """Rename a group; into an existing one, they become one."""
    with recording(db, _("Rename group “{old}” to “{new}”").format(old=old, new=new)) as record:
        members = all_groups(db).get(old)
        if members is None:
            raise UserError(_("There is no group “{old}”. Nothing was changed.").format(old=old))
        set_groups(db, {new: members})
    return record.changes


# Regions ------------------------------------------------------------------------------------


def count_regions(db: Database) -> dict[str, int]:
    """How many regions there are of each kind; kinds without any are left out."""
    rows = db.query("SELECT kind, count(*) FROM region GROUP BY kind ORDER BY kind")
    return {row[0]: int(row[1]) for row in rows}


def find_regions(db: Database, image_ids: Sequence[int] | None = None) -> list[Region]:
    """Regions of these images (all with None), by image and age."""
    where = "1" if image_ids is None else f"region.image_id {_IN}"
    rows = db.query(
        "SELECT region.id, image_id, kind, data_json, label.name FROM region "
        f"LEFT JOIN label ON label.id = region.label_id WHERE {where} ORDER BY image_id, region.id",
        [] if image_ids is None else [_ids(image_ids)],
    )
    return [Region(r[0], r[1], RegionKind(r[2]), json.loads(r[3]), r[4]) for r in rows]


def _data_json(kind: RegionKind, data: Mapping[str, Any]) -> str:
    return json.dumps(plain_data(kind, data), separators=(",", ":"))


def add_regions(db: Database, regions: Sequence[Region]) -> list[int]:
    """Insert regions inside the caller's transaction or recording; their ids."""
    return [
        db.insert(
            "region",
            {
                "image_id": region.image_id,
                "label_id": None if region.label is None else add_label(db, region.label),
                "kind": region.kind.value,
                "data_json": _data_json(region.kind, region.data),
            },
        )
        for region in regions
    ]


def draw_region(db: Database, region: Region) -> tuple[int, ProjectChanges]:
    """Add one region as an undoable step; its id."""
    with recording(db, _DRAW[region.kind]) as record:
        (region_id,) = add_regions(db, [region])
        ensure_concepts(db)
    return region_id, record.changes


def change_region(
    db: Database,
    region_id: int,
    kind: RegionKind,
    data: Mapping[str, Any],
    label: str | None,
    text: str = "",
) -> ProjectChanges:
    """Replace shape and class of a region. `text` names the step. Raises UserError if it is
    gone."""
    with recording(db, text or _("Change a region")) as record:
        count = db.execute(
            "UPDATE region SET kind = ?, data_json = ?, label_id = ? WHERE id = ?",
            [
                kind.value,
                _data_json(kind, data),
                None if label is None else add_label(db, label),
                region_id,
            ],
        )
        if not count:
            raise UserError(_("This region is not there any more."), _("Draw it again."))
        ensure_concepts(db)
    return record.changes


def remove_regions(db: Database, region_ids: Sequence[int]) -> ProjectChanges:
    """Take regions away."""
    with recording(db) as record:
        gone = db.execute(f"DELETE FROM region WHERE id {_IN}", [_ids(region_ids)])
        record.text = count(gone, "Remove {n} region", "Remove {n} regions")
    return record.changes
