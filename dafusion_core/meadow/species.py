"""Species of the meadow: named combinations of a few visible attributes.

The training species and the held-out ones come from the same attributes, but no training picture
ever shows a held-out combination. Half of the held-out species are look-alikes of the other half.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

GROWTHS = ("rosette", "bushy", "creeping")
LEAVES = ("narrow", "oval", "round", "toothed", "feathered", "lobed")
LEAF_COLOURS = ("green", "dark green", "grey-green", "yellow-green", "bronze")
HEADS = ("none", "daisy", "cup", "star", "pompon", "umbel", "spike")
FLOWER_COLOURS = ("white", "yellow", "orange", "red", "pink", "purple", "blue", "lime")
HEAD_SIZES = ("large", "small")
EYES = ("yellow", "dark")
EYED = frozenset({"daisy", "cup", "star"})  # heads that show a centre of another colour

ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "growth": GROWTHS,
    "leaf": LEAVES,
    "leaf_colour": LEAF_COLOURS,
    "head": HEADS,
    "flower_colour": FLOWER_COLOURS,
    "head_size": HEAD_SIZES,
    "eye": EYES,
}
"""Every attribute with its values. Attributes a plant cannot show are the empty text."""


@dataclass(frozen=True)
class Species:
    """A kind of plant. `flower_colour`, `head_size` and `eye` are "" where there is none to see."""

    name: str
    growth: str
    leaf: str
    leaf_colour: str
    head: str = "none"
    flower_colour: str = ""
    head_size: str = ""
    eye: str = ""

    def __post_init__(self) -> None:
        """Refuse values that are not in `ATTRIBUTES`, and flowers on a flowerless plant."""
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "name":
                continue
            shown = field.name in shown_attributes(self.head)
            if (value in ATTRIBUTES[field.name]) != shown or (not shown and value != ""):
                raise ValueError(f"{self.name}: {field.name} cannot be {value!r}")

    @property
    def flowerless(self) -> bool:
        """Whether the plant never flowers."""
        return self.head == "none"

    @property
    def genome(self) -> tuple[str, ...]:
        """The attribute values in the order of `ATTRIBUTES`; equal genomes look the same."""
        return tuple(getattr(self, name) for name in ATTRIBUTES)


def shown_attributes(head: str) -> tuple[str, ...]:
    """The attributes that a plant with this flower head has."""
    names = ["growth", "leaf", "leaf_colour", "head"]
    if head != "none":
        names += ["flower_colour", "head_size"]
    if head in EYED:
        names.append("eye")
    return tuple(names)


def random_species(rng: np.random.Generator, name: str = "plant") -> Species:
    """A species drawn evenly from the attributes; one in six is flowerless."""
    head = "none" if rng.random() < 1 / 6 else str(rng.choice(HEADS[1:]))
    values = {"head": head}
    for attribute in shown_attributes(head):
        if attribute != "head":
            values[attribute] = str(rng.choice(ATTRIBUTES[attribute]))
    return Species(name, **values)


def change(species: Species, rng: np.random.Generator, count: int, name: str = "") -> Species:
    """The species with `count` of its visible attributes (never the head) given other values."""
    names = [n for n in shown_attributes(species.head) if n != "head"]
    picked = [str(n) for n in rng.choice(names, count, replace=False)]
    values = {
        n: str(rng.choice([v for v in ATTRIBUTES[n] if v != getattr(species, n)])) for n in picked
    }
    return replace(species, name=name or species.name, **values)


def look_alikes(species: Species, count: int = 2) -> tuple[Species, ...]:
    """`count` near relations, always the same: one or two attributes changed, never a namesake.

    They are called "like NAME 1", "like NAME 2", … and none equals a held-out species.
    """
    rng = np.random.default_rng([11, *species.name.encode()])
    taken = {species.genome} | {s.genome for s in HELD_OUT}
    found: list[Species] = []
    while len(found) < count:
        relation = change(species, rng, 1 + len(found) % 2, f"like {species.name} {len(found) + 1}")
        if relation.genome not in taken:
            taken.add(relation.genome)
            found.append(relation)
    return tuple(found)


# Species that look roughly like their namesakes; the rest is drawn by lot.
_KNOWN = (
    Species("dandelion", "rosette", "toothed", "green", "pompon", "yellow", "large"),
    Species("daisy", "rosette", "oval", "green", "daisy", "white", "small", "yellow"),
    Species("poppy", "bushy", "feathered", "grey-green", "cup", "red", "large", "dark"),
    Species("clover", "creeping", "round", "green", "pompon", "white", "small"),
    Species("thistle", "bushy", "toothed", "grey-green", "pompon", "purple", "large"),
    Species("cornflower", "bushy", "narrow", "grey-green", "star", "blue", "large", "dark"),
    Species("lavender", "rosette", "narrow", "grey-green", "spike", "purple", "small"),
    Species("marigold", "bushy", "feathered", "dark green", "pompon", "orange", "large"),
    Species("buttercup", "bushy", "lobed", "green", "cup", "yellow", "small", "yellow"),
    Species("fern", "rosette", "feathered", "green"),
    Species("ivy", "creeping", "lobed", "dark green"),
    Species("ryegrass", "rosette", "narrow", "green"),
    Species("plantain", "rosette", "oval", "green", "spike", "white", "small"),
    Species("dock", "rosette", "oval", "bronze"),
    Species("pennywort", "creeping", "round", "yellow-green"),
    Species("yarrow", "bushy", "feathered", "grey-green", "umbel", "white", "small"),
)
_NAMES = """
aconite agrimony alyssum anemone angelica arnica asphodel aster avens balm balsam barberry basil
bedstraw betony bindweed bistort bittercress borage bracken brooklime broom bryony bugle bugloss
burdock burnet butterwort calamint campion candytuft caraway catmint catsear celandine centaury
chamomile charlock chervil chickweed chicory cinquefoil clary cleavers coltsfoot columbine comfrey
corncockle cowslip cranesbill cress crocus crosswort cudweed darnel deadnettle dogwood dropwort
elecampane eyebright fennel fescue feverfew figwort flax fleabane foxglove fumitory gentian
germander goldenrod gorse gromwell groundsel harebell hawkweed heather hellebore hemlock henbane
hogweed horehound houseleek hyssop iris knawel ladysmock larkspur loosestrife lousewort lovage
lungwort lupin mallow mayweed meadowsweet medick melilot milkwort mint monkshood moschatel mugwort
mullein mustard nettle nightshade nipplewort orache oregano oxlip pansy parsnip pimpernel pignut
primrose purslane radish rampion restharrow rocket rue sage sainfoin samphire sandwort saxifrage
scabious scurvygrass sedge selfheal senna sneezewort soapwort sorrel speedwell spurrey stitchwort
stonecrop strawberry sundew tansy tare teasel thrift thyme toadflax tormentil valerian vervain
vetch violet willowherb woodruff wormwood woundwort
"""
_KNOWN_HELD_OUT = (
    Species("leafy spurge", "bushy", "narrow", "yellow-green", "umbel", "lime", "small"),
    Species(
        "common ragwort", "bushy", "feathered", "dark green", "daisy", "yellow", "small", "dark"
    ),
    Species("rough hawkbit", "rosette", "toothed", "grey-green", "pompon", "yellow", "small"),
    Species(
        "spotted knapweed", "bushy", "feathered", "grey-green", "star", "pink", "large", "dark"
    ),
    Species("ground elder", "creeping", "lobed", "green", "umbel", "white", "large"),
    Species("hedge garlic", "bushy", "toothed", "yellow-green"),
    Species("red sorrel", "rosette", "narrow", "bronze"),
    Species(
        "sticky mouse-ear", "creeping", "oval", "grey-green", "star", "white", "small", "yellow"
    ),
)
_HELD_OUT_NAMES = (
    "hoary cress", "corn chamomile", "hedge bluebell", "water pepper", "marsh cypress",
    "velvet leaf", "corn spurrey", "lacy phacelia", "bladder vetch", "sheep's bit",
    "rush skeletonweed", "houndstongue", "cheatgrass", "kochia", "puncturevine", "medusahead",
)  # fmt: skip


def _draw_held_out() -> tuple[Species, ...]:
    """Eight designed species, four drawn, and one look-alike of each of the twelve."""
    rng = np.random.default_rng(20_240)
    names = iter(_HELD_OUT_NAMES)
    first = list(_KNOWN_HELD_OUT)
    taken = {s.genome for s in (*_KNOWN, *first)}
    while len(first) < 12:
        drawn = random_species(rng)
        # flowerless plants are the hard ones to learn: the set holds at least six
        if len(first) == 8:
            drawn = Species("", "creeping", "narrow", "dark green")
        if drawn.genome not in taken:
            taken.add(drawn.genome)
            first.append(replace(drawn, name=next(names)))
    second = []
    for species in first:
        while True:
            drawn = change(species, rng, 1 if species.flowerless else int(rng.integers(1, 3)))
            if drawn.genome not in taken:
                break
        taken.add(drawn.genome)
        second.append(replace(drawn, name=next(names)))
    return (*first, *second)


def _draw_training() -> tuple[Species, ...]:
    rng = np.random.default_rng(20_241)
    species = list(_KNOWN)
    taken = {s.genome for s in (*_KNOWN, *HELD_OUT)}
    for name in _NAMES.split():
        while True:
            drawn = random_species(rng, name)
            if drawn.genome not in taken:
                break
        taken.add(drawn.genome)
        species.append(drawn)
    return tuple(species)


HELD_OUT: tuple[Species, ...] = _draw_held_out()
"""24 species that no training picture shows; number 12 + i is a look-alike of number i."""

TRAINING: tuple[Species, ...] = _draw_training()
"""The species that the bundled model is to know by name; each name is one word."""


def find_species(name: str) -> Species:
    """The training or held-out species of that name. Raises KeyError."""
    for species in (*TRAINING, *HELD_OUT):
        if species.name == name:
            return species
    raise KeyError(name)
