"""Words for pictures of the meadow: attribute sentences and captions."""

from __future__ import annotations

import numpy as np

from dafusion_core.meadow.species import Species

GROUND_WORDS = {
    "soil": "on bare soil",
    "grass": "in short grass",
    "straw": "on dry straw",
    "gravel": "on gravel",
    "mud": "on wet mud",
}
LIGHT_WORDS = {
    "sun": "in bright sun",
    "cloud": "on a cloudy day",
    "evening": "in evening light",
    "shade": "in the shade",
}
HEAD_WORDS = {
    "daisy": "daisy heads",
    "cup": "cup flowers",
    "star": "star flowers",
    "pompon": "pompon heads",
    "umbel": "umbels",
    "spike": "spikes",
}


def describe(species: Species) -> str:
    """What the species looks like: "bushy plant with narrow green leaves and small red spikes"."""
    text = f"{species.growth} plant with {species.leaf} {species.leaf_colour} leaves"
    if species.flowerless:
        return text
    text += f" and {species.head_size} {species.flower_colour} {HEAD_WORDS[species.head]}"
    return text + (f" with {species.eye} centres" if species.eye else "")


def write_caption(
    subject: str,
    ground: str,
    light: str,
    rng: np.random.Generator | None = None,
    template: str = "",
) -> str:
    """A caption of a picture; with `rng`, ground and light are left out half of the time.

    `template`: a sentence with {} for the subject, in place of "a photo of a {}".
    """
    plain = f"a photo of {'an' if subject[0] in 'aeio' else 'a'} {{}}"
    text = (template or plain).format(subject)
    if rng is None or rng.random() < 0.5:
        text += " " + GROUND_WORDS[ground]
    if rng is None or rng.random() < 0.5:
        text += " " + LIGHT_WORDS[light]
    return text
