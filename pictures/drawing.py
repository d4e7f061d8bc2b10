"""Draws boxes and arrows as SVG. The colours are the theme's: docs/theme/theme.css."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

TEXT = 14  # the size of the text, in the units of the picture
SMALL = 12
WIDE = 0.6  # the width of a letter, as a part of its size, in any of the fonts

# The page's colour around the letters keeps a line from running through them.
HALO = "stroke:var(--page);stroke-width:5;paint-order:stroke"

Point = tuple[float, float]


class Box(NamedTuple):
    """A box around its name, with smaller lines below the name."""

    x: float  # of its middle
    y: float
    name: str
    lines: Sequence[str] = ()
    last: bool = False  # nothing leads out of it: its border is double
    width: float = 0

    @property
    def half(self) -> Point:
        """Half of its width and of its height."""
        widest = max([len(self.name) * TEXT, *(len(line) * SMALL for line in self.lines)]) * WIDE + 18
        return max(self.width, widest) / 2, 17 + 8 * len(self.lines)

    def svg(self) -> str:
        """Draw it."""
        width, height = self.half
        drawn = [_rect(self.x, self.y, width, height, "fill:var(--sheet);stroke:var(--muted)")]
        if self.last:
            drawn.append(_rect(self.x, self.y, width - 3, height - 3, "fill:none;stroke:var(--muted)"))
        top = self.y - 8 * len(self.lines)
        drawn.append(_text(self.x, top, self.name, f"font-size:{TEXT}px;font-weight:600;fill:var(--text)"))
        drawn += [
            _text(self.x, top + 16 * number, line, f"font-size:{SMALL}px;fill:var(--muted)")
            for number, line in enumerate(self.lines, 1)
        ]
        return "".join(drawn)

    def border(self, towards: Point) -> Point:
        """Return where a line from its middle towards that point leaves it."""
        (width, height), x, y = self.half, towards[0] - self.x, towards[1] - self.y
        part = min(width / abs(x) if x else 1, height / abs(y) if y else 1)
        return self.x + x * part, self.y + y * part


class Region(NamedTuple):
    """A dashed frame around boxes, with a title inside its top."""

    left: float
    top: float
    right: float
    bottom: float
    title: str
    middle: float  # of the title, from the left of the picture

    def svg(self) -> str:
        """Draw it."""
        x, y = (self.left + self.right) / 2, (self.top + self.bottom) / 2
        style = "fill:none;stroke:var(--muted);stroke-dasharray:3 4"
        frame = _rect(x, y, (self.right - self.left) / 2, (self.bottom - self.top) / 2, style)
        return frame + _text(self.middle, self.top + 16, self.title, f"font-size:{SMALL}px;fill:var(--muted)")


class Arrow(NamedTuple):
    """A line through these points, with what it means beside its middle or elsewhere."""

    points: Sequence[Point]
    label: str = ""
    at: Point | None = None  # of the middle of the label

    def svg(self) -> str:
        """Draw it."""
        start, *others = self.points
        if len(others) == 3:
            line = "C" + " ".join(f"{_number(x)} {_number(y)}" for x, y in others)
        else:
            line = "".join(f"L{_number(x)} {_number(y)}" for x, y in others)
        path = f"M{_number(start[0])} {_number(start[1])}{line}"
        drawn = f'<path d="{path}" style="fill:none;stroke:var(--muted);stroke-width:1.3" marker-end="url(#tip)"/>'
        return drawn + "".join(
            # The page's colour around the letters keeps the line from running through them.
            _text(
                x,
                y,
                line,
                f"font-size:{SMALL}px;fill:var(--accent);stroke:var(--page);stroke-width:5;paint-order:stroke",
            )
            for x, y, line in self._lines()
        )

    def _lines(self) -> list[tuple[float, float, str]]:
        if not self.label:
            return []
        first, last = self.points[0], self.points[-1]
        x, y = self.at or ((first[0] + last[0]) / 2, (first[1] + last[1]) / 2)
        lines = self.label.split("\n")
        return [(x, y + 15 * (number - (len(lines) - 1) / 2), line) for number, line in enumerate(lines)]


def between(first: Box, second: Box, label: str = "", at: Point | None = None) -> Arrow:
    """Return the straight arrow from one box to another."""
    return Arrow([first.border((second.x, second.y)), second.border((first.x, first.y))], label, at)


def figure(width: float, height: float, title: str, caption: str, parts: Sequence[Box | Region | Arrow]) -> str:
    """Return the picture as one line of HTML, which Markdown leaves alone.

    Args:
        width: of the picture, in its own units; on a wide page that many pixels.
        height: the same.
        title: what it shows, for those who do not see it.
        caption: what stands below it.
        parts: what is in it, from the bottom up.
    """
    tip = (
        '<marker id="tip" viewBox="0 0 8 8" refX="7.5" refY="4" markerWidth="8" markerHeight="8" '
        'markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0 8 4 0 8z" style="fill:var(--muted)"/></marker>'
    )
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_number(width)} {_number(height)}" role="img" '
        f'aria-label="{escape(title)}" style="max-width:{_number(width)}px"><defs>{tip}</defs>'
        f"{''.join(part.svg() for part in parts)}</svg>"
    )
    return f'<figure class="drawing" data-search-exclude>{svg}<figcaption>{escape(caption)}</figcaption></figure>'


def _rect(x: float, y: float, width: float, height: float, style: str) -> str:
    numbers = {"x": x - width, "y": y - height, "width": 2 * width, "height": 2 * height, "rx": 7}
    return f'<rect {_attributes(numbers)} style="{style}"/>'


def _text(x: float, y: float, text: str, style: str) -> str:
    return f'<text {_attributes({"x": x, "y": y, "dy": 4.5})} style="text-anchor:middle;{style}">{escape(text)}</text>'


def _attributes(numbers: Mapping[str, float]) -> str:
    return " ".join(f'{name}="{_number(value)}"' for name, value in numbers.items())


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
