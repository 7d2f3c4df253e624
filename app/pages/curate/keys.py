"""What the actions of the Curate menu do on the curation page."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from dafusion_core.domain.records import Curation

if TYPE_CHECKING:
    from app.pages.curate.page import CuratePage

DECISIONS = {
    "keep": Curation.KEPT,
    "reject": Curation.REJECTED,
    "undecide": Curation.UNDECIDED,
}
VIEWS = ("grid", "list", "rates")


def bind_keys(page: CuratePage) -> None:
    """Bind the actions; their keys work while the focus is somewhere on the page."""
    keys: dict[str, Callable[[], Any]] = {
        **{key: partial(page.decide, curation) for key, curation in DECISIONS.items()},
        **{f"rate_{n}": partial(page.rate, n) for n in range(6)},
        "next_undecided": lambda: page.pictures.advance(1, only_undecided=True),
        "previous_undecided": lambda: page.pictures.advance(-1, only_undecided=True),
        "next_picture": lambda: page.pictures.advance(1),
        "previous_picture": lambda: page.pictures.advance(-1),
        **{f"view_{name}": partial(page.show_view, name) for name in VIEWS},
        "loupe": page.toggle_loupe,
        "compare": page.toggle_compare,
        "info": page.toggle_info,
    }
    for key, act in keys.items():
        page.addAction(page.actions_table[key])
        page.actions_table.bind(key, act)
