"""What a file is, told from its first bytes; the ending of its name only helps with camera raws."""

from __future__ import annotations

import codecs
import stat
from pathlib import Path
from typing import Final

from dafusion_core.domain.errors import BadImage
from dafusion_core.language import _

__all__ = [
    "PICTURE_ENDINGS",
    "SUPPORTED",
    "BadPicture",
    "describe_foreign",
    "is_picture_name",
    "read_head",
    "refuse",
    "sniff_format",
    "unreadable",
]

SUPPORTED: Final = _("JPEG, PNG, TIFF, BMP or WebP")

#: Endings (lower case) that pictures of the supported formats usually have.
PICTURE_ENDINGS: Final = frozenset(
    [".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".tif", ".tiff", ".bmp", ".dib", ".webp"]
)

HEAD_BYTES: Final = 512

# Raw files of many cameras are TIFF containers whose first picture is only a small preview.
_RAW_ENDINGS: Final = frozenset(
    [".3fr", ".arw", ".cr2", ".dng", ".iiq", ".nef", ".nrw", ".orf", ".pef", ".raf", ".rw2", ".srw"]
)

# Sizes of the second header that a BMP may have; "BM" alone also starts many a text.
_BMP_HEADERS: Final = frozenset((12, 16, 40, 52, 56, 64, 108, 124))

_FOREIGN: Final[tuple[tuple[int, bytes, str], ...]] = (
    (0, b"GIF8", "a GIF"),
    (0, b"%PDF", _("a PDF document")),
    (0, b"PK\x03\x04", _("a ZIP archive or office document")),
    (0, b"8BPS", _("a Photoshop file")),
    (0, b"\x00\x00\x00\x0cjP  ", _("a JPEG 2000 picture")),
    (0, b"\xff\x4f\xff\x51", _("a JPEG 2000 picture")),
    (0, b"\x00\x00\x00\x0cJXL ", _("a JPEG XL picture")),
    (0, b"\xff\x0a", _("a JPEG XL picture")),
    (0, b"FUJIFILMCCD-RAW", _("a camera raw file")),
    (0, b"IIRO", _("a camera raw file")),
    (0, b"IIU\x00", _("a camera raw file")),
    (4, b"ftypcrx", _("a camera raw file")),
    (4, b"ftypheic", _("a HEIC picture")),
    (4, b"ftypheix", _("a HEIC picture")),
    (4, b"ftypmif1", _("a HEIC picture")),
    (4, b"ftypavif", _("an AVIF picture")),
    (4, b"ftyp", _("a video")),
    (128, b"DICM", _("a DICOM file")),
    (0, b"\x89HDF", _("an HDF5 file")),
    (0, b"\x93NUMPY", _("a numpy array")),
    (0, b"SQLite format 3", _("a database")),
    (0, b"version https://git-lfs", _("a Git LFS pointer whose picture was never downloaded")),
)


class BadPicture(BadImage):
    """A BadImage that also carries its bare `reason`, a clause without the file's name."""

    def __init__(self, text: str, hint: str = "", reason: str = "") -> None:
        super().__init__(text, hint)
        self.reason = reason or text


def refuse(path: Path, reason: str, hint: str = "") -> BadPicture:
    """The error for a picture at `path` that cannot be used because `reason` (a clause)."""
    name = path.name.encode("utf-8", "replace").decode()
    return BadPicture(
        _("“{name}” cannot be used: {reason}.").format(name=name, reason=reason), hint, reason
    )


def is_picture_name(name: str) -> bool:
    """True when the ending is one that supported pictures usually have, in any case."""
    return Path(name).suffix.lower() in PICTURE_ENDINGS


def read_head(path: Path, count: int = HEAD_BYTES) -> bytes:
    """The first `count` bytes of a regular, non-empty file, all where it has no more.

    Raises BadPicture when there is no such file, it may not be read, or it is empty.
    """
    try:
        # Asked first: opening a named pipe would wait for a writer for ever.
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise refuse(path, _("it is not a regular file"))
        if status.st_size == 0:
            raise refuse(path, _("the file is empty"))
        with path.open("rb") as file:
            # As much as is there: Python makes room for all that is asked for.
            data = file.read(min(count, status.st_size + 1))
            return data if len(data) <= status.st_size else data + file.read(count - len(data))
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: OSError) -> BadPicture:
    """The BadPicture for an error that the system reported while reading."""
    if isinstance(error, FileNotFoundError):
        return refuse(path, _("the file is not there (any more)"))
    if isinstance(error, PermissionError):
        return refuse(path, _("permission to read it was refused"), _("Change its permissions."))
    return refuse(
        path,
        _("the system could not read it ({strerror})").format(strerror=error.strerror or error),
    )


def sniff_format(path: Path, head: bytes) -> str | None:
    """ "JPEG", "PNG", "TIFF", "BMP" or "WEBP", or None for anything else."""
    if path.suffix.lower() in _RAW_ENDINGS:
        return None
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head.startswith((b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")):
        return "TIFF"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "WEBP"
    if head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in _BMP_HEADERS:
        return "BMP"
    return None


def describe_foreign(path: Path, head: bytes) -> str:
    """A clause saying what a file that is no supported picture seems to be."""
    kind = ""
    if path.suffix.lower() in _RAW_ENDINGS:
        kind = _("a camera raw file")
    for offset, magic, name in _FOREIGN:
        if not kind and head[offset:].startswith(magic):
            kind = name
    if not kind and _is_text(head):
        start = head.decode("utf-8", "ignore").lstrip("\ufeff \t\r\n").lower()
        if start.startswith(("<!doctype html", "<html")):
            kind = _("a web page")
        elif start.startswith("<svg") or (start.startswith("<?xml") and "<svg" in start):
            kind = _("an SVG drawing")
        else:
            kind = "text"
    if kind and is_picture_name(path.name):
        return _("the name says picture, but the content is {kind}").format(kind=kind)
    return (
        _("it is {kind}, not {SUPPORTED}").format(kind=kind, SUPPORTED=SUPPORTED)
        if kind
        else _("it is not a {SUPPORTED} picture").format(SUPPORTED=SUPPORTED)
    )


def _is_text(head: bytes) -> bool:
    try:
        # Incremental, because the cut may go through a character of several bytes.
        text = codecs.getincrementaldecoder("utf-8")().decode(head, final=False)
    except UnicodeDecodeError:
        return False
    return all(char.isprintable() or char in "\t\r\n\f\ufeff" for char in text)
