"""Numbers out of a MATLAB 5 file (.mat), enough for label lists.

The layout is described in "MAT-File Format" (The MathWorks): a 128-byte header, then elements of
type, size and data, numbers padded to 8 bytes, whole variables mostly compressed.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dafusion_core.datasets.naming import show_name
from dafusion_core.domain.errors import UserError
from dafusion_core.language import _

__all__ = ["read_arrays"]

_NUMBERS = {
    1: "i1",
    2: "u1",
    3: "i2",
    4: "u2",
    5: "i4",
    6: "u4",
    7: "f4",
    9: "f8",
    12: "i8",
    13: "u8",
}
_MATRIX, _COMPRESSED = 14, 15
_NUMERIC_CLASSES = range(6, 16)
_MAX_BYTES = 1 << 28


def read_arrays(path: Path) -> dict[str, NDArray[np.float64]]:
    """The real numeric variables of a file by name; others are passed over.

    Raises UserError when it is no MATLAB 5 file or damaged. (Version 7.3 files are HDF5 and are
    refused.)
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(
            _("“{name}” cannot be read: {strerror}.").format(
                name=show_name(path), strerror=error.strerror
            )
        ) from error
    mark = data[126:128]
    if len(data) < 128 or mark not in (b"IM", b"MI"):
        raise UserError(
            _("“{name}” is no MATLAB 5 file.").format(name=show_name(path)),
            _("Save it with “-v7” or “-v6”."),
        )
    order = "<" if mark == b"IM" else ">"
    found: dict[str, NDArray[np.float64]] = {}
    try:
        for kind, body in _elements(data[128:], order):
            if kind == _COMPRESSED:
                # A bound, because a few bytes can unpack to gigabytes.
                body = zlib.decompressobj().decompress(body, _MAX_BYTES)
                kind, body = next(_elements(body, order))
            if kind == _MATRIX:
                variable = _matrix(body, order)
                if variable is not None:
                    found[variable[0]] = variable[1]
    except (struct.error, zlib.error, ValueError, StopIteration, IndexError) as error:
        raise UserError(
            _("“{show_name}” is damaged ({error}).").format(show_name=show_name(path), error=error)
        ) from error
    return found


def _elements(data: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    place = 0
    while place + 8 <= len(data):
        kind, size = struct.unpack_from(f"{order}II", data, place)
        if kind >> 16:  # up to four bytes stand in the tag itself
            size, kind = kind >> 16, kind & 0xFFFF
            yield kind, data[place + 4 : place + 4 + size]
            place += 8
            continue
        if place + 8 + size > len(data):
            raise ValueError(_("it is cut short"))
        yield kind, data[place + 8 : place + 8 + size]
        # Compressed variables are the only ones that are not padded.
        place += 8 + (size if kind == _COMPRESSED else -(-size // 8) * 8)


def _matrix(body: bytes, order: str) -> tuple[str, NDArray[np.float64]] | None:
    parts = list(_elements(body, order))
    flags = struct.unpack_from(f"{order}I", parts[0][1])[0]
    if flags & 0xFF not in _NUMERIC_CLASSES or len(parts) < 4 or flags & 0x0800:
        return None
    shape = np.frombuffer(parts[1][1], f"{order}i4")
    name = parts[2][1].decode("ascii", "replace")
    kind, raw = parts[3]
    values = np.frombuffer(raw, order + _NUMBERS[kind]).astype(np.float64)
    return name, values.reshape(tuple(shape), order="F")
