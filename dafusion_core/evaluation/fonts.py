"""Fonts of the computer, for letters that the bundled font of matplotlib does not have.

The PDF and figures with pixels need a font file; Korean has eleven thousand letters, and a font
with them is too large to be bundled. Computers that are used in Korean have one.
"""

from __future__ import annotations

import contextlib
import logging
import re
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

__all__ = ["FontFile", "can_print", "fit_figure", "hangul_font", "has_hangul"]

_HANGUL = re.compile(r"[\u1100-\u11ff\u3130-\u318f\uac00-\ud7a3]")
_NEEDS_HANGUL = ("ko",)
# Where systems without fontconfig keep theirs.
_KNOWN = (
    "C:/Windows/Fonts/malgun.ttf",
    "C:/Windows/Fonts/gulim.ttc",
    "/System/Library/Fonts/Supplemental/AppleGothic.ttf",
    "/System/Library/Fonts/AppleSDGothicNeo.ttc",
    "/Library/Fonts/NanumGothic.ttf",
)
_SIGNATURES = (b"\0\1\0\0", b"OTTO", b"true", b"ttcf")


@dataclass(frozen=True, slots=True)
class FontFile:
    """A file, and the place of the font in it where it holds several."""

    path: Path
    index: int = 0


def has_hangul(text: str) -> bool:
    """Whether there are Korean letters in a text."""
    return _HANGUL.search(text) is not None


def can_print(language: str) -> bool:
    """Whether letters of this language can be put into a PDF and into pictures here."""
    return language not in _NEEDS_HANGUL or hangul_font() is not None


@cache
def hangul_font() -> FontFile | None:
    """The first font of this computer that a PDF with Korean letters can be written with."""
    return next((font for font in _candidates() if _is_usable(font)), None)


def _candidates() -> list[FontFile]:
    found = [FontFile(Path(name)) for name in _KNOWN if Path(name).is_file()]
    if sys.platform in ("win32", "darwin"):
        return found
    command = ["fc-list", ":lang=ko", "--format", "%{file}\t%{index}\t%{weight}\n"]
    best = ["fc-match", ":lang=ko", "--format", "%{file}\t%{index}\t80\n"]
    lines: list[str] = []
    for call in (best, command):
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            done = subprocess.run(call, capture_output=True, text=True, timeout=10, check=False)
            lines += done.stdout.splitlines()
    for line in lines:
        name, index, weight = (*line.split("\t"), "", "")[:3]
        # 80 is the weight of running text; some collections hold variations beyond 65535.
        if weight == "80" and index.isdecimal() and int(index) < 65536:
            found.append(FontFile(Path(name), int(index)))
    return list(dict.fromkeys(found))[:8]


def _is_usable(font: FontFile) -> bool:
    """Whether a PDF can really be written with it: some outlines are not understood."""
    try:
        import fpdf
    except ImportError:
        return False
    try:
        with font.path.open("rb") as file:
            if file.read(4) not in _SIGNATURES:
                return False
        pdf: Any = fpdf.FPDF()
        pdf.add_page()
        add_to_pdf(pdf, "trial", font)
        if not all(ord(letter) in pdf.fonts["trial"].cmap for letter in "가힣"):
            return False
        pdf.set_font("trial", "", 10)
        pdf.cell(text="가힣")
        return len(pdf.output()) > 0
    except Exception:
        return False


def add_to_pdf(pdf: Any, name: str, font: FontFile) -> None:
    """Make a font known to a document of fpdf2."""
    # It tells of every table of a font that a subset does without.
    logging.getLogger("fontTools.subset").setLevel(logging.ERROR)
    more = {"collection_font_number": font.index} if font.index else {}
    pdf.add_font(name, "", str(font.path), **more)


def fit_figure(figure: Any) -> None:
    """Let texts of a matplotlib figure be drawn with a Korean font where they need one."""
    from matplotlib import font_manager
    from matplotlib.text import Text

    for axes in figure.axes:
        axes.get_xticklabels()  # asked for, they get their words
        axes.get_yticklabels()
    needy = [text for text in figure.findobj(Text) if has_hangul(text.get_text())]
    font = hangul_font() if needy else None
    if font is None:
        return
    font_manager.fontManager.addfont(str(font.path))
    name = font_manager.FontProperties(fname=str(font.path)).get_name()
    for text in needy:
        text.set_fontfamily(["DejaVu Sans", name])
