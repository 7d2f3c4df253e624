"""The window in Korean, read like a person would: every page, view, menu and dialog."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.korean_words import is_korean

ROOT = Path(__file__).parents[2]


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
    assert {
        "welcome",
        "hardware",
        "curate, rates",
        "train, mistakes",
        "train, differences",
        "report, page",
        "dialog split",
        "errors",
    } <= set(read)
    assert "도움이 되었습니까?" in read["whole report"]
    assert len(read["whole report"]) > 60
    english: dict[str, list[str]] = {}
    for place, found in read.items():
        strange = [text for text in found if not is_korean(text)]
        if strange:
            english[place] = strange
    assert english == {}
