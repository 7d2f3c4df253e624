"""Building blocks of the report page. Every text passes through `escape`."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

from dafusion_core.evaluation.verdict import MINUS, Verdict, points
from dafusion_core.evaluation.wording import arm_title
from dafusion_core.language import ENGLISH, _, spoken

__all__ = [
    "TONES",
    "Cell",
    "Raw",
    "draw_differences",
    "escape",
    "page",
    "paragraph",
    "section",
    "table",
]

_STYLE = """
:root { color-scheme: light dark; --ink: #1f2530; --soft: #5d6675; --rule: #dfe3e9;
  --paper: #ffffff; --band: #f3f5f8; --good: #1f66b0; --bad: #b4530c; --open: #8b93a0; }
@media (prefers-color-scheme: dark) { :root { --ink: #e2e6ec; --soft: #9aa4b2; --rule: #343b46;
  --paper: #15181d; --band: #1e232a; --good: #6fb0f2; --bad: #f0a468; --open: #8b93a0; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2.5rem 1.25rem 4rem; max-width: 62rem; background: var(--paper);
  color: var(--ink); font: 1rem/1.55 system-ui, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.5rem 0 .6rem; }
p { max-width: 46rem; margin: .5rem 0; overflow-wrap: anywhere; }
.lead, .under-title, .note { color: var(--soft); }
.under-title, .note { font-size: .9rem; }
.finding { border-left: .3rem solid var(--open); padding: .35rem 0 .35rem .9rem;
  font-size: 1.1rem; }
.finding.good { border-color: var(--good); } .finding.bad { border-color: var(--bad); }
.wide { overflow-x: auto; margin: .6rem 0; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .9rem .3rem 0; text-align: right; white-space: nowrap;
  border-bottom: 1px solid var(--rule); vertical-align: top; }
th { color: var(--soft); font-weight: 500; vertical-align: bottom; }
th:first-child, td:first-child { text-align: left; }
td:first-child { max-width: 18rem; overflow: hidden; text-overflow: ellipsis; }
tr.total td { border-top: 2px solid var(--rule); font-weight: 600; }
table.settings th, table.settings td { text-align: left; white-space: normal;
  overflow-wrap: anywhere; max-width: 34rem; }
table.pictures th, table.pictures td { text-align: left; }
table.pictures td + td { white-space: normal; }
table.pictures span { display: inline-block; position: relative; margin: 0 .3rem .3rem 0; }
table.pictures img { display: block; max-width: 5.5rem; max-height: 5.5rem; border-radius: 3px; }
.rejected img { opacity: .4; }
.rejected::after { content: "✕"; position: absolute; inset: 0; display: grid;
  place-items: center; font-size: 2.2rem; color: var(--bad); }
table.pictures .gap { width: 5.5rem; vertical-align: top; padding: .6rem;
  font-size: .75rem; color: var(--soft); background: var(--band); border-radius: 3px;
  overflow-wrap: anywhere; }
img.drawing { max-width: 100%; background: #ffffff; border-radius: 4px; }
h3 { font-size: 1rem; margin: 1.4rem 0 .4rem; }
details { margin: .4rem 0; } summary { cursor: pointer; overflow-wrap: anywhere; }
code { font-size: .85em; overflow-wrap: anywhere; }
svg { display: block; width: 100%; max-width: 46rem; height: auto; margin: 1rem 0; }
svg text { fill: var(--soft); font: 12px system-ui, "Segoe UI", Roboto, sans-serif; }
svg .name { fill: var(--ink); font-size: 13px; } svg .axis { stroke: var(--rule); }
svg .zero { stroke: var(--open); stroke-dasharray: 3 3; } svg .band { fill: var(--band); }
svg .mark { stroke: var(--open); fill: var(--open); stroke-width: 2.5; }
svg .mark.good { stroke: var(--good); fill: var(--good); }
svg .mark.bad { stroke: var(--bad); fill: var(--bad); }
svg .seed { fill: none; stroke: var(--soft); stroke-width: 1; }
@media print { body { max-width: none; padding: 0; } .wide { overflow: visible; }
  section, tr, svg { break-inside: avoid; } }
"""

# Korean is broken between words, as English is, not between any two syllables.
_KOREAN_STYLE = "body { word-break: keep-all; }\n"

# A page that may load nothing cannot tell anybody that it was opened.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"

#: CSS class of each finding.
TONES = {"helps": "good", "hurts": "bad"}


@dataclass(frozen=True, slots=True)
class Raw:
    """Text that is HTML already."""

    text: str


Cell = str | Raw


def escape(text: object) -> str:
    """Text that is safe anywhere in the page, also inside attributes."""
    # Names may hold bytes that are no text (Linux); they could not be written as UTF-8.
    safe = html.escape(str(text).encode("utf-8", "replace").decode(), quote=True)
    return safe.replace(" %", "\N{NO-BREAK SPACE}%")


def page(title: str, lead: str, parts: Sequence[str]) -> str:
    """The whole page from sections that are HTML already."""
    style = _STYLE if spoken() == ENGLISH else _STYLE + _KOREAN_STYLE
    return (
        f'<!DOCTYPE html>\n<html lang="{spoken()}"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{style}</style></head>\n<body>\n"
        f"<header><h1>{escape(title)}</h1>{paragraph(lead, 'lead')}</header>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def section(title: str, *body: str) -> str:
    """A section with a heading; `body` is HTML already."""
    return f"<section><h2>{escape(title)}</h2>\n{''.join(body)}</section>"


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph of plain text, nothing if there is none."""
    style = f' class="{kind}"' if kind else ""
    return f"<p{style}>{escape(text)}</p>" if text else ""


def table(
    head: Sequence[str], rows: Sequence[Sequence[Cell]], kind: str = "", has_total: bool = False
) -> str:
    """A table; the first column is text, the others numbers unless `kind` says otherwise."""
    titles = "".join(f'<th scope="col">{escape(title)}</th>' for title in head)
    lines = []
    for i, row in enumerate(rows):
        style = ' class="total"' if has_total and i == len(rows) - 1 else ""
        lines.append(f"<tr{style}>{''.join(_cell(cell) for cell in row)}</tr>")
    style = f' class="{kind}"' if kind else ""
    return (
        f'<div class="wide"><table{style}><thead><tr>{titles}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _cell(cell: Cell) -> str:
    if isinstance(cell, Raw):
        return f"<td>{cell.text}</td>"
    title = f' title="{escape(cell)}"' if len(cell) > 40 else ""
    return f"<td{title}>{escape(cell)}</td>"


def draw_differences(verdict: Verdict, relevant: float = 0.05) -> str:
    """A drawing of every arm's difference to the baseline: seeds, mean and interval.

    The band marks differences smaller than `relevant`.
    """
    if not verdict.arms:
        return ""
    values = [0.0, -relevant, relevant]
    for arm in verdict.arms:
        values += [arm.difference, *arm.differences]
        values += [end for end in (arm.low, arm.high) if end is not None]
    # Two seeds can give intervals beyond what is possible; they are cut at the frame.
    low, high = max(min(values), -1.0), min(max(values), 1.0)
    step = _tick(high - low)
    left, width, row = 190, 520, 34
    bottom = row * len(verdict.arms) + 8

    def place(value: float) -> float:
        share = (min(max(value, low), high) - low) / (high - low)
        return round(left + 10 + share * (width - 20), 1)

    lines = [
        f'<rect class="band" x="{place(-relevant)}" y="0" '
        f'width="{round(place(relevant) - place(-relevant), 1)}" height="{bottom}"/>'
    ]
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    for i in range(first, last + 1):
        x = place(i * step)
        style = "axis" if i else "zero"
        label = f"{100 * i * step:+g}".replace("-", MINUS) if i else "0"
        lines.append(f'<line class="{style}" x1="{x}" x2="{x}" y1="0" y2="{bottom}"/>')
        lines.append(f'<text x="{x}" y="{bottom + 16}" text-anchor="middle">{label}</text>')
    for i, arm in enumerate(verdict.arms):
        y = row * i + row // 2 + 4
        tone = TONES.get(arm.finding, "open")
        title = arm_title(arm.name)
        name = title if len(title) <= 24 else title[:23] + "…"
        lines.append(f'<text class="name" x="0" y="{y + 4}">{escape(name)}</text>')
        lines += [
            f'<circle class="seed" cx="{place(value)}" cy="{y}" r="3.5"/>'
            for value in arm.differences
        ]
        if arm.low is not None and arm.high is not None:
            lines.append(
                f'<line class="mark {tone}" x1="{place(arm.low)}" x2="{place(arm.high)}" '
                f'y1="{y}" y2="{y}"/>'
            )
        lines.append(
            f'<circle class="mark {tone}" cx="{place(arm.difference)}" cy="{y}" r="5">'
            f"<title>{escape(title)}: {points(arm.difference)}</title></circle>"
        )
    caption = (
        _(
            "Points more than {baseline}: each seed (rings), their mean (dot) and the "
            "{confidence:g} % interval (bar). Within the band a difference hardly matters."
        )
    ).format(baseline=arm_title(verdict.baseline), confidence=100 * verdict.confidence)
    return (
        f'<figure style="margin:0"><svg viewBox="0 0 {left + width} {bottom + 22}" role="img" '
        f'aria-label="{escape(caption)}">{"".join(lines)}</svg>'
        f"<figcaption>{paragraph(caption, 'note')}</figcaption></figure>"
    )


def _tick(span: float) -> float:
    """A round distance that gives four to ten marks over `span`."""
    for step in (0.01, 0.02, 0.05, 0.1, 0.2):
        if span / step <= 10:
            return step
    return 0.5
