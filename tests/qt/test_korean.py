"""The window in Korean, read like a person would: every page, view, menu and dialog."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HANGUL = re.compile(r"[가-힣]")

# What is the same in every language: names of programs, methods and forms of files, keys, units,
# paths, hashes; and what the user or the project called something.
NAMES = re.compile(
    r"DA-Fusion( Studio)?|Stable Diffusion|PASCAL VOC|TorchScript|ONNX|DDIM|Euler|English"
    r"|resnet\d+|ResNet-\d+|SHA-256|F1|UCE|ESD|CPU|cpu|UTC|GB|MB|kB|px|t0"
    r"|Page (Up|Down)|Ctrl|Shift|Alt|Esc|Enter|Return|Space|Del|Ins|F\d+"
    r"|(dandelion|ragwort|spurge)(-\d+\.png)?|weeds|daisy, ivy, plant"
    r"|<[^>]*>|[0-9a-f]{6,}|/\S+"
)
# Three plain words in a row, outside of quotation marks and brackets, are English.
ENGLISH = re.compile(r"\b[a-z]{3,} [a-z]{2,} [a-z]{2,}")
ASIDES = re.compile(r"“[^”]*”|\([^()]*\)|https?\S+")


def is_korean(text: str) -> bool:
    """Whether nothing English is left in this text besides names."""
    bare = NAMES.sub("", text)
    if HANGUL.search(text):
        return not ENGLISH.search(ASIDES.sub("", bare))
    return not re.search(r"[A-Za-z]{2}", bare)


@pytest.mark.parametrize(
    ("text", "korean"),
    [
        ("Keep", False),
        ("Curves appear with the first epoch.", False),
        ("Few answers: 힌트", True),
        ("답 96개: 맞습니다. take it as a hint", False),
        ("채택  (P)", True),
        ("t0 0.25", True),
        ("/home/user/weeds.dafusion", True),
        ("“a photo of a weed”입니다", True),
        ("DA-Fusion Studio", True),
        ("12", True),
    ],
)
def test_english_is_told_from_korean(text: str, korean: bool) -> None:
    assert is_korean(text) is korean


def test_everything_that_can_be_read_is_korean(tmp_path: Path, isolated_home: Path) -> None:
    done = subprocess.run(
        [sys.executable, "tests/qt/korean_walk.py", str(tmp_path / "walk")],
        cwd=ROOT,
        env=os.environ | {"DAFUSION_LANGUAGE": "ko", "QT_QPA_PLATFORM": "offscreen"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=260,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    read = json.loads(done.stdout.strip().splitlines()[-1])
    texts = {text for found in read.values() for text in found}
    assert len(texts) > 700  # the walk really went everywhere
    assert {"welcome", "curate, rates", "train, mistakes", "dialog split", "errors"} <= set(read)
    english: dict[str, list[str]] = {}
    for place, found in read.items():
        strange = [text for text in found if not is_korean(text)]
        if strange:
            english[place] = strange
    assert english == {}
