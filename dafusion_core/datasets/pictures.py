"""Check and read pictures of any origin, always ending with RGB, 8 bit, upright.

Deep pixels become 8 bit by these rules, in this order (the picture's own values decide):

* integers, none negative: white is the highest value of the smallest of 8, 10, 12, 14 or 16 bits
  that holds the maximum. So a 12-bit camera's pictures in 16-bit files are not nearly black;
* floating point within 0–1: white is 1; within 0–65535: as integers;
* anything else (negative values, more than 16 bits): from minimum to maximum. Values that are not
  numbers become black.

16 bit per colour channel is cut to its upper 8 bits by the decoder. Transparent pixels are laid
over white. Embedded colour profiles are not applied.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import (
    BmpImagePlugin,
    ExifTags,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from dafusion_core.datasets.facts import PictureFacts, draft_size, measure
from dafusion_core.datasets.small_copy import SIDE, encode_small
from dafusion_core.datasets.sniffing import (
    HEAD_BYTES,
    BadPicture,
    describe_foreign,
    read_head,
    refuse,
    sniff_format,
    unreadable,
)
from dafusion_core.language import _

__all__ = [
    "MAX_PIXELS",
    "CheckedPicture",
    "ExaminedPicture",
    "check_picture",
    "examine_picture",
    "load_rgb",
    "make_thumbnail",
]

#: Pictures with more pixels are refused: 200 million pixels are 600 MB of RGB.
MAX_PIXELS: Final = 200_000_000
#: Sides shorter than this are worth a warning: a generator works at 256 pixels or more.
SMALL_SIDE: Final = 32

#: Files up to this size are read into memory once; a few dozen may wait there at a time.
KEPT_BYTES: Final = 16 << 20

_BIG_PIXELS: Final = 32_000_000
_CHUNK: Final = 1 << 20

# The plugin classes are called directly: `Image.open` would apply Pillow's own, process-wide
# pixel limit, and try every format it knows.
_READERS: Final[dict[str, type[ImageFile.ImageFile]]] = {
    "BMP": BmpImagePlugin.BmpImageFile,
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
}
_DEEP: Final = frozenset(("I", "I;16", "I;16L", "I;16B", "I;16N", "F"))
_FLAT: Final = frozenset(
    ("1", "L", "P", "RGB", "RGBX", "LA", "PA", "RGBA", "La", "RGBa", "CMYK", "YCbCr")
)
# EXIF orientation -> what makes the picture upright. TIFFs come out of the decoder upright.
_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_DAMAGED_HINT: Final = _("Copy it again from where it came, or save it anew from another program.")

# Several big pictures at once could fill the memory: they are decoded one after another.
_big_picture = threading.Lock()


class _Quiet:
    """Ignore Pillow's warnings while any thread is inside.

    `warnings.catch_warnings` alone is not safe with several threads: they would restore each
    other's filters. Here only the first in saves them and only the last out puts them back.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._saved = contextlib.ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._saved.enter_context(warnings.catch_warnings())
                warnings.filterwarnings("ignore", module=re.escape("PIL."))
            self._inside += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._saved.close()


_quiet = _Quiet()


@dataclass(frozen=True, slots=True)
class CheckedPicture:
    """A picture that was decoded to its end.

    `sha256` is that of the file's bytes (hex); `width` and `height` are in pixels after EXIF
    orientation; `mode` is Pillow's name of the stored pixel format; `bytes` the file size;
    `warnings` are clauses, for example "only the first of 3 pages is used".
    """

    sha256: str
    width: int
    height: int
    mode: str
    bytes: int
    warnings: tuple[str, ...] = ()


def check_picture(path: Path | str, max_pixels: int = MAX_PIXELS) -> CheckedPicture:
    """Hash the file and decode it completely.

    Raises BadImage with a plain reason when it cannot be used; a picture of more than
    `max_pixels` is refused from its header alone, without decoding.
    """
    return examine_picture(path, max_pixels).picture


@dataclass(frozen=True, slots=True)
class ExaminedPicture:
    """A checked picture with what was learned on the way.

    `data`: the file's bytes, None when they are more than `KEPT_BYTES`; hash, pixels and facts
    are of the very same bytes then, also while another program writes the file. `small`: a small
    copy as JPEG, where it was asked for and the picture is not small itself.
    """

    picture: CheckedPicture
    facts: PictureFacts
    data: bytes | None
    small: bytes | None = None


def examine_picture(
    path: Path | str,
    max_pixels: int = MAX_PIXELS,
    data: bytes | None = None,
    with_small: bool = False,
) -> ExaminedPicture:
    """`check_picture`, and measurements of its pixels, reading and decoding the file once.

    `data`: the bytes of a picture that is no file of its own; `path` then only names it.
    `with_small`: whether to make the small copy that views use too.
    """
    path = Path(path)
    if data is None:
        data = _read_small(path)
    notes: list[str] = []
    with _opened(path, max_pixels, data) as image:
        notes += _count_pages(image)
        stored, mode = image.size, image.mode
        with_small = with_small and max(stored) > SIDE
        # A JPEG in grey at a fraction of its size takes less than half the time, in colour little
        # more. All of its data are read even so; left out is the step from waves to pixels, which
        # cannot fail.
        image.draft(None if with_small else "L", draft_size(stored))
        with _decoding(path, image, stored):
            mode = mode if image.format == "JPEG" else image.mode
            width, height = _upright(stored, image)
            if mode in _DEEP:
                flat, note = _flatten(image)
                notes.append(note)
                rgb: Image.Image = Image.fromarray(flat)
                turn = _TURNS.get(_orientation(image))
                facts = measure(rgb)
            else:
                rgb = image if mode in ("RGB", "L") else _to_rgb(image)
                turn = _TURNS.get(_orientation(image)) if rgb is image else None
                facts = measure(rgb, turn, (width, height) if turn is None else stored)
                if with_small and rgb is image and image.has_transparency_data:
                    rgb, turn = _to_rgb(image), None
            small = encode_small(rgb, turn) if with_small else None
    if min(width, height) < SMALL_SIDE:
        notes.append(_("it is only {width}×{height} pixels").format(width=width, height=height))
    if data is not None:
        digest, size = hashlib.sha256(data).hexdigest(), len(data)
    else:
        digest, size = _hash_file(path)
    return ExaminedPicture(
        CheckedPicture(digest, width, height, mode, size, tuple(notes)), facts, data, small
    )


def _read_small(path: Path) -> bytes | None:
    data = read_head(path, KEPT_BYTES + 1)
    return data if len(data) <= KEPT_BYTES else None


def load_rgb(path: Path | str, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """The picture as RGB, 8 bit per channel, upright (EXIF orientation applied).

    Only the first page or frame is read. Raises BadImage as `check_picture` does.
    """
    path = Path(path)
    with _opened(path, max_pixels) as image, _decoding(path, image):
        return _to_rgb(image)


def make_thumbnail(
    path: Path | str, size: int, max_pixels: int = MAX_PIXELS, data: bytes | None = None
) -> Image.Image:
    """A small RGB copy that fits into `size`×`size` pixels, upright, never enlarged.

    JPEGs are decoded at a fraction of their size, which is several times faster. `data`: as for
    `examine_picture`. Raises BadImage as `check_picture` does.
    """
    path = Path(path)
    with _opened(path, max_pixels, data) as image:
        # Twice the size asked for, so that the last step down still averages over pixels.
        image.draft(None, (2 * size, 2 * size))
        with _decoding(path, image):
            small = _to_rgb(image)
    small.thumbnail((size, size), Image.Resampling.BICUBIC)
    return small


@contextlib.contextmanager
def _opened(
    path: Path, max_pixels: int, data: bytes | None = None
) -> Iterator[ImageFile.ImageFile]:
    """The picture with its header read and its size found bearable."""
    head = read_head(path) if data is None else data[:HEAD_BYTES]
    if data is not None and not data:
        raise refuse(path, _("the file is empty"))
    form = sniff_format(path, head)
    if form is None:
        raise refuse(path, describe_foreign(path, head), _("Save it as PNG or JPEG."))
    with contextlib.ExitStack() as stack:
        stack.enter_context(_quiet)
        try:
            file: IO[bytes] = path.open("rb") if data is None else io.BytesIO(data)
            stack.enter_context(file)
            image = stack.enter_context(_READERS[form](file, str(path)))
        except Exception as error:
            raise _explain(path, form, error) from error
        width, height = image.size
        if width < 1 or height < 1:
            raise refuse(path, _("it has no pixels"), _DAMAGED_HINT)
        if width * height > max_pixels:
            raise _too_big(
                path,
                _("{width}×{height} pixels are").format(width=width, height=height),
                max_pixels,
            )
        yield image


@contextlib.contextmanager
def _decoding(
    path: Path, image: ImageFile.ImageFile, stored: tuple[int, int] | None = None
) -> Iterator[None]:
    """Load the pixels, one big picture at a time, and keep the lock while they are in use.

    `stored`: the size in the file, where less is decoded; a progressive JPEG needs memory for it.
    """
    width, height = stored or image.size
    is_big = width * height > _BIG_PIXELS
    with _big_picture if is_big else contextlib.nullcontext():
        try:
            image.load()
        # A decoder meets arbitrary bytes; whatever it raises, the file is what is wrong.
        except Exception as error:
            raise _explain(path, image.format or "", error) from error
        if image.mode not in _DEEP | _FLAT:
            raise refuse(
                path,
                _("its colour mode {mode} is not supported").format(mode=image.mode),
                _("Save it as RGB."),
            )
        yield


def _explain(path: Path, form: str, error: Exception) -> BadPicture:
    """Say in plain words why Pillow gave up."""
    if isinstance(error, OSError) and error.errno is not None:
        return unreadable(path, error)
    if isinstance(error, MemoryError):
        return refuse(path, _("there was not enough memory to open it"), _("Make it smaller."))
    if isinstance(error, Image.DecompressionBombError):
        return _too_big(path, _("its pixels are"), MAX_PIXELS)
    if "truncat" in str(error).lower():
        return refuse(path, _("the file is cut short"), _DAMAGED_HINT)
    if form == "TIFF" and (pixels := _describe_tiff(path)):
        return refuse(
            path,
            _("{pixels} cannot be read").format(pixels=pixels),
            _("Save it with 8 or 16 bits per channel."),
        )
    return refuse(path, _("its {form} data are damaged").format(form=form), _DAMAGED_HINT)


def _too_big(path: Path, what: str, max_pixels: int) -> BadPicture:
    limit = (
        _("{max_pixels:,.0f} million").format(max_pixels=max_pixels / 1e6)
        if max_pixels >= 1e6
        else f"{max_pixels:,}"
    )
    return refuse(
        path,
        _("{what} too many (the limit is {limit} pixels)").format(what=what, limit=limit),
        _("Make it smaller or cut it up."),
    )


def _describe_tiff(path: Path) -> str:
    """The pixel type of a TIFF that Pillow refused because of it, or ""."""
    kinds = {1: _("unsigned integers"), 2: _("signed integers"), 3: _("floating-point numbers")}
    try:
        with path.open("rb") as file:
            head = file.read(16)
            # Version 43 is BigTIFF, whose header is 16 bytes.
            is_big = 43 in head[2:4]
            folder: Any = TiffImagePlugin.ImageFileDirectory_v2(head if is_big else head[:8])
            file.seek(folder.next)
            folder.load(file)
            bits = tuple(folder.get(258, ()))
            kind = kinds.get(next(iter(folder.get(339, (1,)))), _("samples of an unusual kind"))
    except Exception:  # the tags are damaged too; there is nothing to add
        return ""
    return (
        _("a TIFF with {number} × {bits}-bit {kind} per pixel").format(
            number=len(bits), bits=bits[0], kind=kind
        )
        if bits
        else ""
    )


def _hash_file(path: Path) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                size += len(chunk)
    except OSError as error:
        raise unreadable(path, error) from error
    return digest.hexdigest(), size


def _count_pages(image: ImageFile.ImageFile) -> list[str]:
    """A warning when there is more than one page or frame."""
    if not getattr(image, "is_animated", False):
        return []
    try:
        pages: int | None = int(getattr(image, "n_frames", 0))
        image.seek(0)
    except Exception:  # a damaged second page does not make the first one useless
        pages = None
    return [
        _("only the first of {pages} pages is used").format(pages=pages)
        if pages
        else _("only its first page is used")
    ]


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # damaged EXIF: the picture is shown as stored
        return 1


def _upright(stored: tuple[int, int], image: Image.Image) -> tuple[int, int]:
    """The size in the file as it is after EXIF orientation."""
    width, height = stored
    return (height, width) if _orientation(image) in (5, 6, 7, 8) else (width, height)


def _to_rgb(image: Image.Image) -> Image.Image:
    """A new upright RGB picture from a loaded one."""
    if image.mode in _DEEP:
        rgb = Image.fromarray(_flatten(image)[0]).convert("RGB")
    elif image.mode in ("La", "RGBa", "PA") or image.has_transparency_data:
        clear = image.convert("RGBA")
        rgb = Image.new("RGB", clear.size, "white")
        rgb.paste(clear, mask=clear.getchannel("A"))
    else:
        rgb = image.convert("RGB") if image.mode != "RGB" else image.copy()
    turn = _TURNS.get(_orientation(image))
    if turn is not None:
        rgb = rgb.transpose(turn)
    # Nothing of the file (EXIF, profiles, comments) travels on with the pixels.
    rgb.info.clear()
    return rgb


def _flatten(image: Image.Image) -> tuple[NDArray[np.uint8], str]:
    """Deep pixels [height, width] as 8 bit, and a clause saying what was done."""
    raw = np.asarray(image)
    values: NDArray[np.float64] = raw.astype(np.float64)
    is_number = np.isfinite(values)
    if not is_number.all():
        values = np.where(is_number, values, 0)
    low, high = float(values.min()), float(values.max())
    if low >= 0 and high <= 1 and raw.dtype.kind == "f":
        white, text = 1.0, _("white is 1")
    elif low >= 0 and high <= 65535:
        bits = next(b for b in (8, 10, 12, 14, 16) if high <= 2**b - 1)
        white, text = 2.0**bits - 1, _("white is {value}").format(value=2**bits - 1)
    else:
        values, white = values - low, max(high - low, 1e-30)
        text = _("from {low:.4g} (black) to {high:.4g} (white)").format(low=low, high=high)
    eight = np.rint(values * 255.0 / white).clip(0, 255).astype(np.uint8)
    kind = "floating-point" if raw.dtype.kind == "f" else f"{raw.dtype.itemsize * 8}-bit"
    return eight, _("its {kind} grey values become 8 bit: {text}").format(kind=kind, text=text)
