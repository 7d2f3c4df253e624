"""Find CLIP's vocabulary and merges on this computer, for checkpoints that bring none."""

from __future__ import annotations

import gzip
import importlib.util
import json
from pathlib import Path

from dafusion_core.domain.errors import EnvironmentProblem

__all__ = ["find"]

Words = tuple[dict[str, int], list[tuple[str, str]]]
_PACKED = "bpe_simple_vocab_16e6.txt.gz"  # the merge list as OpenAI published it
_MERGES = 49152 - 256 - 2  # CLIP's vocabulary without its bytes and marks


def _read(folder: Path) -> Words | None:
    packed = folder / _PACKED
    if packed.is_file():
        return _from_merges(gzip.decompress(packed.read_bytes()).decode("utf-8"))
    vocabulary, merges = folder / "vocab.json", folder / "merges.txt"
    if not (vocabulary.is_file() and merges.is_file()):
        return None
    words: dict[str, int] = json.loads(vocabulary.read_text(encoding="utf-8"))
    lines = merges.read_text(encoding="utf-8").splitlines()
    pairs = [tuple(line.split()) for line in lines if line and not line.startswith("#version")]
    return words, [(pair[0], pair[1]) for pair in pairs if len(pair) == 2]


def _byte_letters() -> list[str]:
    """The letters that stand for the 256 bytes, in CLIP's order: printable ones first."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + i) for i in range(len(others))]


def _from_merges(text: str) -> Words:
    """Vocabulary and merges from CLIP's published merge list: ids follow the order of merges."""
    lines = text.splitlines()[1 : 1 + _MERGES]
    pairs = [(first, second) for first, second in (line.split() for line in lines)]
    letters = _byte_letters()
    tokens = letters + [letter + "</w>" for letter in letters]
    tokens += ["".join(pair) for pair in pairs] + ["<|startoftext|>", "<|endoftext|>"]
    return {token: index for index, token in enumerate(tokens)}, pairs


def find(folder: Path) -> Words | None:
    """(vocabulary, merges) from `tokenizer/` in `folder`, the program's files, or open_clip.

    Read are vocab.json with merges.txt, or the merge list alone, from which the rest follows.
    None when there is none.
    """
    places = [folder / "tokenizer", folder]
    try:
        from dafusion_core.resources import resource_path

        places.append(Path(resource_path("models/clip_tokenizer")))
    except (EnvironmentProblem, OSError):
        pass
    for place in places:
        words = _read(place)
        if words is not None:
            return words
    spec = importlib.util.find_spec("open_clip")
    if spec is not None and spec.origin is not None:
        return _read(Path(spec.origin).parent)
    return None
