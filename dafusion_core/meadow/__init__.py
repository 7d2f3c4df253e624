"""The meadow: drawn pictures of invented weeds, for trying things without photographs.

A species is a combination of attributes (growth, leaves, flower heads). `draw_picture` draws one
plant of a species on a field plot as a camera above would see it; the same arguments give the same
picture on every machine. Nothing here resembles a real plant closely enough to learn botany from.
"""

from __future__ import annotations

from dafusion_core.meadow.captions import describe, write_caption
from dafusion_core.meadow.folder import write_folder
from dafusion_core.meadow.ground import GROUNDS
from dafusion_core.meadow.picture import LIGHTS, Picture, draw_picture, draw_sheet
from dafusion_core.meadow.sample import SAMPLE, SampleReport, draw_sample, sample_folder
from dafusion_core.meadow.species import (
    ATTRIBUTES,
    HELD_OUT,
    TRAINING,
    Species,
    find_species,
    look_alikes,
    random_species,
)

__all__ = [
    "ATTRIBUTES",
    "GROUNDS",
    "HELD_OUT",
    "LIGHTS",
    "SAMPLE",
    "TRAINING",
    "Picture",
    "SampleReport",
    "Species",
    "describe",
    "draw_picture",
    "draw_sample",
    "draw_sheet",
    "find_species",
    "look_alikes",
    "random_species",
    "sample_folder",
    "write_caption",
    "write_folder",
]
