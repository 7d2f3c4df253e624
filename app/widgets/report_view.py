"""The report as it will be saved, shown inside the window.

The page is written for browsers; Qt's rich text knows neither its style sheet nor drawings inside
the text. So drawings and pictures are taken out and given back as images of the right size, and
the colours come from the window's scheme.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field

from PySide6.QtCore import QByteArray, QRectF, QTimer, QUrl
from PySide6.QtGui import QColor, QImage, QPainter, QResizeEvent, QTextDocument
from PySide6.QtWidgets import QFrame, QTextBrowser, QWidget

from app.theme import Colors, theme
from dafusion_core.language import _

THUMBNAIL = 88  # pixels of a picture in the tables
SMALL = 240  # pixels of a picture that is one of many; larger ones are sheets of pictures
DRAWING = 640  # pixels of a drawing's width
MARGIN = 18
SCHEME = "report"

_DRAWING = re.compile(r"<svg\b.*?</svg>", re.DOTALL)
_IMAGE = re.compile(r'<img\b([^>]*?)src="data:([^;"]+);base64,([^"]*)"([^>]*)>')
_SIZE = re.compile(r'viewBox="0 0 ([\d.]+) ([\d.]+)"')


@dataclass(frozen=True, slots=True)
class Prepared:
    """A page for rich text, and what its pictures are: (kind, bytes) by name."""

    html: str
    pictures: dict[str, tuple[str, bytes]] = field(default_factory=dict)


def prepare(page: str) -> Prepared:
    """Take head, drawings and pictures out of a page of the core."""
    pictures: dict[str, tuple[str, bytes]] = {}

    def keep(kind: str, content: bytes) -> str:
        name = f"{SCHEME}:{len(pictures)}"
        pictures[name] = (kind, content)
        return f'<img src="{name}">'

    def drawing(match: re.Match[str]) -> str:
        return keep("drawing", match.group(0).encode())

    def picture(match: re.Match[str]) -> str:
        before, kind, data, after = match.groups()
        try:
            content = base64.b64decode(data, validate=True)
        except binascii.Error:
            return ""
        is_large = 'class="drawing"' in before + after or kind == "image/svg+xml"
        return keep("drawing-in-image" if is_large else kind, content)

    body = page.split("<body>", 1)[-1].rsplit("</body>", 1)[0]
    body = _IMAGE.sub(picture, _DRAWING.sub(drawing, body))
    body = body.replace("<details>", "<div>").replace("</details>", "</div>")
    body = re.sub(r"<summary>(.*?)</summary>", r"<h3>\1</h3>", body, flags=re.DOTALL)
    return Prepared(re.sub(r"</?(section|header|figure|figcaption)[^>]*>", "", body), pictures)


def style(c: Colors) -> str:
    """What rich text understands of the report's style, in the window's colours."""
    return f"""
    h1 {{ font-size: 18pt; color: {c.text}; }}
    h2 {{ font-size: 13pt; color: {c.text}; margin-top: 22px; }}
    h3 {{ font-size: 10.5pt; color: {c.text}; margin-top: 12px; }}
    p {{ color: {c.text}; margin-top: 4px; margin-bottom: 6px; }}
    p.lead, p.note, p.under-title {{ color: {c.muted}; }}
    p.finding {{ font-size: 12pt; }}
    p.good {{ color: {c.kept}; }}
    p.bad {{ color: {c.rejected}; }}
    th {{ color: {c.muted}; font-weight: normal; text-align: left; padding: 2px 12px 2px 0; }}
    td {{ color: {c.text}; padding: 2px 12px 2px 0; }}
    .pictures th, .pictures td {{ white-space: nowrap; }}
    """


def drawing_style(c: Colors) -> str:
    """The colours of drawings, which their page gives by names that are not known here."""
    return f"""<style>
    text {{ fill: {c.muted}; font-size: 12px; font-family: sans-serif; }}
    .name {{ fill: {c.text}; }} .axis {{ stroke: {c.border}; }}
    .zero {{ stroke: {c.muted}; }} .band {{ fill: {c.raised}; }}
    .mark {{ stroke: {c.muted}; fill: {c.muted}; stroke-width: 2.5; }}
    .good {{ stroke: {c.kept}; fill: {c.kept}; }}
    .bad {{ stroke: {c.rejected}; fill: {c.rejected}; }}
    .seed {{ fill: none; stroke: {c.muted}; stroke-width: 1; }}
    </style>"""


class ReportView(QTextBrowser):
    """Shows a page of the core."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("report")
        self.setAccessibleName(_("The whole report"))
        self.setOpenLinks(False)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self._prepared = Prepared("")
        self._images: dict[str, QImage] = {}
        self._drawn_at = 0
        # A window that is being resized asks for one new page at its end.
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(150)
        self._soon.timeout.connect(self._show)
        theme.changed.connect(self._show)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Drawings are never wider than the view."""
        super().resizeEvent(event)
        if self._prepared.pictures and self._wide != self._drawn_at:
            self._soon.start()

    @property
    def _wide(self) -> int:
        """Pixels that a drawing is shown at."""
        return max(200, min(DRAWING, self.viewport().width() - 2 * MARGIN - 4))

    def show_page(self, prepared: Prepared) -> None:
        """Show a report; the place in it stays where it was."""
        self._prepared = prepared
        self._show()

    def _show(self) -> None:
        place = self.verticalScrollBar().value()
        self._images.clear()
        self.document().clear()
        self.document().setDefaultStyleSheet(style(theme.colors))
        self.document().setDocumentMargin(MARGIN)
        self._drawn_at = self._wide
        html = self._prepared.html
        for name, (kind, _content) in self._prepared.pictures.items():
            size = self._image(name).size()
            is_small = "drawing" not in kind and max(size.width(), size.height()) <= SMALL
            most = THUMBNAIL / max(1, size.width(), size.height())
            width = round(size.width() * min(1.0, most)) if is_small else self._drawn_at
            shown = f'<img src="{name}" width="{max(1, width)}">'
            html = html.replace(f'<img src="{name}">', shown if is_small else f"<p>{shown}</p>")
        self.setHtml(html)
        self.verticalScrollBar().setValue(place)

    def loadResource(self, kind: int, name: QUrl | str) -> object:
        """Pictures come from the page itself; nothing is read from anywhere else."""
        if kind == QTextDocument.ResourceType.ImageResource.value:
            return self._image(QUrl(name).toString())
        return None

    def _image(self, name: str) -> QImage:
        if name not in self._images:
            kind, content = self._prepared.pictures.get(name, ("", b""))
            if content[:200].lstrip().startswith((b"<svg", b"<?xml")):
                self._images[name] = self._draw(content, is_own=kind == "drawing")
            else:
                self._images[name] = QImage.fromData(QByteArray(content))
        return self._images[name]

    def _draw(self, content: bytes, *, is_own: bool) -> QImage:
        from PySide6.QtSvg import QSvgRenderer  # only reports need it

        if is_own:
            text = content.decode()
            found = _SIZE.search(text)
            size = f' width="{found.group(1)}" height="{found.group(2)}"' if found else ""
            text = re.sub(
                r"<svg\b",
                f'<svg xmlns="http://www.w3.org/2000/svg"{size}',
                text,
                count=1,
            )
            head, rest = text.split(">", 1)
            content = f"{head}>{drawing_style(theme.colors)}{rest}".encode()
        renderer = QSvgRenderer(QByteArray(content))
        if not renderer.isValid():
            return QImage()
        box = renderer.viewBoxF()
        ratio = max(1.0, self.devicePixelRatioF())
        width = round(self._wide * ratio)
        height = max(1, round(width * box.height() / max(1.0, box.width())))
        image = QImage(width, height, QImage.Format.Format_ARGB32_Premultiplied)
        image.fill(QColor(theme.colors.surface if is_own else "#ffffff"))
        painter = QPainter(image)
        renderer.render(painter, QRectF(0, 0, width, height))
        painter.end()
        return image
