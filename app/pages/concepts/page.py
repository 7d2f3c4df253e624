"""What each class means to the generator, and how well it was learned."""

from __future__ import annotations

from PySide6.QtWidgets import QCheckBox, QVBoxLayout, QWidget

from app.actions import Actions
from app.dialogs.before_after import BeforeAfterDialog
from app.plans import queue_concepts
from app.session import Session
from app.widgets.page import Page
from app.widgets.parts import EmptyState, action_button, button, label, row
from app.widgets.plain_table import PlainTable
from dafusion_core.domain.changes import ProjectChanges
from dafusion_core.domain.records import ErasedModel, Part, TokenEmbedding
from dafusion_core.storage.concepts import sheet_path

LOSS_TIP = (
    "How far off the model's predictions are for this class, before → after learning: the same "
    "pictures, timesteps and noise both times. Smaller is better."
)
MOVED_TIP = "How far the token's vectors moved from where they started; 0 means: nothing learned."


class ConceptsPage(Page):
    """One row per class: its token, its training images, what was learned."""

    watch = ("images", "splits", "concepts", "jobs")

    def __init__(self, session: Session, actions: Actions) -> None:
        super().__init__(
            session,
            "Concepts",
            "Each class gets a token of its own, learned from its training images only. Erasing "
            "its name from the model first makes sure that nothing was known in advance.",
        )
        self.buttons.addWidget(action_button(actions["concepts"], "primary"))
        self.erase_box = QCheckBox("Erase the class names first")
        self.erase_box.setChecked(True)
        self.erase_box.setToolTip("Without this, the model may already know the class by name.")
        self.table = PlainTable(
            ["Class", "Token", "Training images", "Learned", "Loss", "Moved"], (2, 4, 5)
        )
        for place, tip in ((4, LOSS_TIP), (5, MOVED_TIP)):
            item = self.table.horizontalHeaderItem(place)
            if item is not None:
                item.setToolTip(tip)
        self.note = label("", "muted")
        self.compare = button("Show before and after", self._show_sheet, "link")
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(row(self.erase_box, None))
        layout.addWidget(self.table, 1)
        layout.addLayout(row(self.note, self.compare, None))
        self.set_pages(
            content,
            EmptyState(
                "No classes yet",
                "Classes come from the folders of your pictures.",
                action_button(actions["import"], "primary"),
            ),
        )
        self._erased: ErasedModel | None = None
        actions.bind("concepts", self.start)

    def start(self) -> None:
        """Queue erasure and inversion."""
        erase = self.erase_box.isChecked()
        self.session.run(lambda: queue_concepts(self.project, erase=erase))

    def refresh(self, changes: ProjectChanges | None) -> None:
        """Read concepts and what was learned again."""
        concepts = self.project.concepts()
        self.show_content(bool(concepts))
        learned = {found.concept_id: found for found in self.project.embeddings()}
        counts: dict[int, int] = {}
        for image in self.project.images(part=Part.TRAIN):
            counts[image.label_id] = counts.get(image.label_id, 0) + 1
        has_split = self.project.current_split() is not None
        rows = []
        for concept in concepts:
            images = f"{counts.get(concept.label_id, 0):,}" if has_split else "–"
            found = learned.get(concept.id)
            rows.append([concept.name, concept.placeholder, images, *_learned(found)])
        self.table.fill(rows)
        erased = self.project.erasures()
        self._erased = erased[-1] if erased else None
        self.note.setText(_erasure_note(self._erased))
        self.compare.setVisible(self._erased is not None)

    def _show_sheet(self) -> None:
        if self._erased is None:
            return
        sheet = sheet_path(self.project.file.db, self._erased.job_id)
        path = None if sheet is None else self.project.file.objects.path(str(sheet))
        BeforeAfterDialog(self._erased, path, self).open()


def _learned(found: TokenEmbedding | None) -> list[str]:
    if found is None:
        return ["not yet", "–", "–"]
    record = found.record
    before, after = record.get("held_out_before"), record.get("held_out_after")
    loss = f"{before:.4f} → {after:.4f}" if before is not None and after is not None else "–"
    moved = record.get("moved")
    steps = record.get("steps")
    return [
        f"{steps:,} steps" if steps else "yes",
        loss,
        f"{moved:.3f}" if isinstance(moved, (int, float)) else "–",
    ]


def _erasure_note(erased: ErasedModel | None) -> str:
    if erased is None:
        return "Nothing has been erased from the model."
    names = ", ".join(erased.concepts)
    return f"Erased from the model ({erased.method.upper()}): {names}."
