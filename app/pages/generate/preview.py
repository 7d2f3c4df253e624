"""One photo and what becomes of it at every t0, before anything is generated for training."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QCheckBox, QPushButton, QVBoxLayout, QWidget

from app.plans import GenerateChoices, queue_preview
from app.session import Session
from app.text import t0_words
from app.widgets.parts import button, label, row
from app.widgets.picture_strip import PictureTile, Strip
from dafusion_core.api.previews import preview_pictures
from dafusion_core.domain.records import ImageRecord, Job, JobState
from dafusion_core.language import _

NOT_KEPT = _(
    "To look at only: nothing of this trains. Generate makes the same pictures for training, and "
    "what you keep here is kept there."
)
T0_CHOICES = (0.25, 0.5, 0.75, 1.0)


class PreviewStrip(QWidget):
    """The distances as boxes to tick, each under what the photo looks like there.

    Signals:
        changed(): other distances are wanted.
    """

    changed = Signal()

    def __init__(self, session: Session, choices: Callable[[], GenerateChoices | None]) -> None:
        super().__init__()
        self._session = session
        self._choices = choices
        self._photos: list[ImageRecord] = []
        self._place = 0
        self._wanted: int | None = None
        self.job_id: int | None = None
        self._asked: tuple[GenerateChoices, int] | None = None
        self.boxes: dict[float, QCheckBox] = {}
        self.tiles: dict[float, PictureTile] = {}
        self.keeps: dict[float, QPushButton] = {}
        self.photo = PictureTile(_("The photo"), session.thumbnails)
        self.photo.show_words(_("a training photo"))
        self.photo.make_clickable(_("Another photo"))
        self.photo.clicked.connect(partial(self.step, 1))
        self.name = label("", "muted")
        self.previous = button("‹", partial(self.step, -1), "small", _("The photo before"))
        self.next = button("›", partial(self.step, 1), "small", _("The next photo"))
        self.previous.setAccessibleName(_("The photo before"))
        self.next.setAccessibleName(_("The next photo"))
        self.go = button(
            _("Preview this photo"),
            self.start,
            "small",
            _(
                "Seconds with the bundled model: what becomes of this one photo at every t0. "
                "Nothing of it trains."
            ),
        )
        self.stop = button(_("Cancel"), self.cancel, "small", _("End the preview."))
        self.note = label("", "muted", wrap=True)
        self.strip = Strip()
        self.strip.put(0, self.photo, self._photo_line())
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(8)
        layout.addWidget(self.strip)
        layout.addLayout(row(self.go, self.stop, 4, self.name, None))
        layout.addWidget(self.note)
        for t0 in T0_CHOICES:
            self.add(t0, is_on=True)
        self.stop.hide()
        self.show_photos([])

    def _photo_line(self) -> QWidget:
        line = QWidget()
        line.setLayout(row(self.previous, label(_("the photo")), self.next, None, spacing=4))
        return line

    # Distances ----------------------------------------------------------------------------

    def add(self, t0: float, *, is_on: bool) -> None:
        """A column for a t0."""
        if t0 in self.boxes:
            self.boxes[t0].setChecked(is_on)
            return
        words = t0_words(t0)
        box = QCheckBox(f"t0 {t0:g}")
        box.setAccessibleName(f"t0 {t0:g}, {words}")
        box.setToolTip(_("Make pictures at t0 {t0:g}: {words}.").format(t0=t0, words=words))
        box.setChecked(is_on)
        box.toggled.connect(lambda _on: self.changed.emit())
        tile = PictureTile(_("Preview at t0 {t0:g}").format(t0=t0), self._session.thumbnails)
        tile.make_clickable(_("Make pictures at t0 {t0:g}, or not").format(t0=t0))
        tile.clicked.connect(box.toggle)
        tile.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # the box below does the same
        meaning = label(words, "muted", wrap=True)
        keep = button(
            _("Keep"),
            partial(self.keep, t0),
            "small",
            _("Make a synthetic image of this picture, kept: it is in Curate then. Undo works."),
        )
        keep.setAccessibleName(_("Keep the preview at t0 {t0:g}").format(t0=t0))
        keep.hide()
        self.boxes[t0], self.tiles[t0], self.keeps[t0] = box, tile, keep
        self.strip.put(1 + sorted(self.boxes).index(t0), tile, box, keep, meaning)

    def choose(self, t0_set: tuple[float, ...]) -> None:
        """Tick these and no others."""
        for t0 in t0_set:
            self.add(t0, is_on=True)
        for t0, box in self.boxes.items():
            box.setChecked(t0 in t0_set)

    @property
    def t0_set(self) -> tuple[float, ...]:
        """What is ticked."""
        return tuple(sorted(t0 for t0, box in self.boxes.items() if box.isChecked()))

    # Photos -------------------------------------------------------------------------------

    def show_photos(self, photos: list[ImageRecord]) -> None:
        """The training photos to choose from; the chosen one stays chosen."""
        chosen = self.image_id
        self._photos = photos
        ids = [photo.id for photo in photos]
        self._place = ids.index(chosen) if chosen in ids else 0
        for made in (self.previous, self.next):
            made.setEnabled(len(photos) > 1)
        self._show_photo()

    @property
    def image_id(self) -> int | None:
        """The chosen photo."""
        return self._photos[self._place].id if self._photos else None

    def step(self, by: int) -> None:
        """Another photo."""
        if self._photos:
            self._place = (self._place + by) % len(self._photos)
            self._show_photo()

    def _show_photo(self) -> None:
        if not self._photos:
            self.photo.show_path("")
            self.name.setText("")
            return
        photo = self._photos[self._place]
        self.photo.show_path(str(self._session.project.image_path(photo)))
        self.photo.setAccessibleName(_("The photo: {label}").format(label=photo.label))
        self.name.setText(photo.label)
        self.follow()

    # The preview --------------------------------------------------------------------------

    def start(self) -> None:
        """Ask the worker, before its other work."""
        choices = self._choices()
        if choices is None or self._session.is_read_only:
            return
        image_id = self.image_id
        project = self._session.project
        self.note.setText(_("Starting…"))

        def then(job: Job) -> None:
            self.job_id = job.id
            self._asked = (choices, int(job.spec["image_id"]))
            for tile in self.tiles.values():
                tile.show_path("")
            self._session.start_queue()
            self.follow()

        self._session.commands.submit(lambda: queue_preview(project, choices, image_id), then)

    def cancel(self) -> None:
        """End the preview; what is there stays."""
        if self.job_id is not None:
            self.note.setText(_("Stopping…"))
            self._session.cancel(self.job_id)

    def keep(self, t0: float) -> None:
        """Keep the picture at this distance."""
        job_id, project = self.job_id, self._session.project
        if job_id is not None:
            self._session.do(lambda: project.keep_preview(job_id, t0))

    def follow(self) -> None:
        """Show what is there by now."""
        is_ready = not self._session.is_read_only and not self._session.is_closing
        if self.job_id is None:
            self.go.setEnabled(is_ready)
            return
        job = self._session.project.job(self.job_id)
        is_active = not job.state.is_terminal and job.state is not JobState.INTERRUPTED
        self.stop.setVisible(is_active)
        self.go.setEnabled(is_ready and not is_active)
        is_same = self._asked is not None and self.image_id == self._asked[1]
        found = {p.t0: p for p in preview_pictures(self._session.project, job.id)}
        for t0, tile in self.tiles.items():
            picture = found.get(t0) if is_same else None
            tile.show_path(str(picture.path) if picture else "")
            tile.show_words("…" if is_active and is_same else "")
            is_kept = picture is not None and picture.is_kept
            self.keeps[t0].setVisible(picture is not None)
            self.keeps[t0].setText(_("✓ Kept") if is_kept else _("Keep"))
            self.keeps[t0].setEnabled(is_ready and not is_kept)
        self.note.setText(self._words(job, len(found), is_same=is_same))

    def _words(self, job: Job, made: int, *, is_same: bool) -> str:
        if job.state is JobState.FAILED:
            text = job.error_text or _("It did not work.")
            return f"{text} {job.error_hint or ''}".strip()
        if job.state is JobState.RUNNING:
            return _("{made} of {total} are there.").format(made=made, total=job.total)
        if job.state is JobState.QUEUED:
            return _("Next in the queue: it starts when the work at hand comes to its end.")
        if job.state is JobState.CANCELLED:
            return _("Stopped; what was made is shown.")
        if job.state is JobState.INTERRUPTED:
            return _("Interrupted. Preview again, or resume it among the jobs.")
        if not is_same:
            return ""
        if self._asked is not None and self._choices() != self._asked[0]:
            return _("The settings have changed since: preview again to see the difference.")
        if _is_named(job):
            return _("Made with the class name, as nothing is learned yet.") + " " + NOT_KEPT
        return NOT_KEPT


def _is_named(job: Job) -> bool:
    return job.spec["plan"]["inversion_job"] is None
