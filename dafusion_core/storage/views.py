"""Saved views: filters under a name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from dafusion_core.domain.records import SavedView
from dafusion_core.storage.database import Database


def all_views(db: Database, page: str) -> list[SavedView]:
    """The saved views of a page, by name."""
    rows = db.query(
        "SELECT id, page, name, spec_json FROM saved_view WHERE page = ? ORDER BY name", [page]
    )
    return [SavedView(row[0], row[1], row[2], json.loads(row[3])) for row in rows]


def store_view(db: Database, page: str, name: str, spec: Mapping[str, Any]) -> None:
    """Store a view; one of the same name is replaced."""
    with db.atomic():
        db.execute(
            "INSERT INTO saved_view(page, name, spec_json) VALUES (?, ?, ?) "
            "ON CONFLICT(page, name) DO UPDATE SET spec_json = excluded.spec_json",
            [page, name, json.dumps(dict(spec))],
        )


def remove_view(db: Database, page: str, name: str) -> None:
    """Forget a view."""
    with db.atomic():
        db.execute("DELETE FROM saved_view WHERE page = ? AND name = ?", [page, name])
