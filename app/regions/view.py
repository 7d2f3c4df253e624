"""Where an image is on the screen: zoom, place, and the way between both kinds of coordinates."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF, QSizeF

LARGEST = 64.0
MARGIN = 14.0


class ImageView:
    """`scale` is screen points per image pixel, `origin` the screen place of the image's (0, 0).

    While `is_fit`, the whole image is shown whatever the size of the window.
    """

    def __init__(self) -> None:
        self.size = QSizeF(1, 1)
        self.room = QSizeF(1, 1)
        self.scale = 1.0
        self.origin = QPointF()
        self.is_fit = True

    def show_image(self, size: QSizeF) -> None:
        """Another image: whole."""
        self.size = size
        self.fit()

    def resize(self, room: QSizeF) -> None:
        """The window has another size; what is in its middle stays there."""
        middle = self.to_image(QPointF(self.room.width() / 2, self.room.height() / 2))
        self.room = room
        if self.is_fit:
            self.fit()
        else:
            self.center_on(middle)

    @property
    def fit_scale(self) -> float:
        """The scale at which the whole image can be seen."""
        wide = (self.room.width() - 2 * MARGIN) / max(1.0, self.size.width())
        high = (self.room.height() - 2 * MARGIN) / max(1.0, self.size.height())
        return max(1e-3, min(wide, high, LARGEST))

    @property
    def smallest(self) -> float:
        """As far as one can zoom out."""
        return min(1.0, self.fit_scale) / 2

    def fit(self) -> None:
        """Show the whole image."""
        self.is_fit = True
        self.scale = self.fit_scale
        self.center_on(QPointF(self.size.width() / 2, self.size.height() / 2))

    def zoom_to(self, scale: float, at: QPointF | None = None) -> None:
        """Zoom so that what is at this place of the screen stays there; None: the middle."""
        place = at or QPointF(self.room.width() / 2, self.room.height() / 2)
        held = self.to_image(place)
        self.is_fit = False
        self.scale = min(LARGEST, max(self.smallest, scale))
        self.origin = place - held * self.scale
        self._hold()

    def pan(self, by: QPointF) -> None:
        """Move the image on the screen."""
        self.is_fit = False
        self.origin += by
        self._hold()

    def center_on(self, place: QPointF) -> None:
        """Bring a place of the image to the middle."""
        middle = QPointF(self.room.width() / 2, self.room.height() / 2)
        self.origin = middle - place * self.scale
        if not self.is_fit:
            self._hold()

    def reveal(self, place: QPointF) -> bool:
        """Move as little as needed to see a place of the image; whether it moved."""
        at = self.to_screen(place)
        edge = min(40.0, self.room.width() / 4, self.room.height() / 4)
        x = min(max(at.x(), edge), self.room.width() - edge)
        y = min(max(at.y(), edge), self.room.height() - edge)
        if self.is_fit or (x, y) == (at.x(), at.y()):
            return False
        self.pan(QPointF(x, y) - at)
        return True

    def _hold(self) -> None:
        """The middle of the screen always shows a part of the image."""
        wide, high = self.size.width() * self.scale, self.size.height() * self.scale
        middle = QPointF(self.room.width() / 2, self.room.height() / 2)
        self.origin = QPointF(
            min(middle.x(), max(middle.x() - wide, self.origin.x())),
            min(middle.y(), max(middle.y() - high, self.origin.y())),
        )

    def to_image(self, at: QPointF) -> QPointF:
        """Screen to image."""
        return (at - self.origin) / self.scale

    def to_screen(self, place: QPointF) -> QPointF:
        """Image to screen."""
        return self.origin + place * self.scale

    @property
    def area(self) -> QRectF:
        """Where the image is on the screen."""
        return QRectF(
            self.origin.x(),
            self.origin.y(),
            self.size.width() * self.scale,
            self.size.height() * self.scale,
        )
