"""A picture of a schedule, as SVG: a row a rank, a box an action, in it the number of the micro-batch.

As the DualPipe paper draws it: forward passes orange, backward passes green, gradients for inputs and for weights two
lighter shades of it and blue, overlapped pairs in halves. The second direction, or the way back through a V, is darker.
Gaps are the bubble. Text is text, colours are legible in light and dark pages, and equal timelines give equal bytes.
"""

from xml.sax.saxutils import escape

from corpusmill.training.simulate.actions import Action, Chunk, Kind
from corpusmill.training.simulate.events import Timed, Timeline

ROW, GAP, LEFT, TOP, LEGEND = 22, 3, 56, 34, 30
NARROWEST_NUMBER = 9.0
"""Pixels of a box below which its number is left out."""

COLOURS = {
    Kind.FORWARD: ("#f4b266", "#d98324"),
    Kind.BACKWARD: ("#7fbf7b", "#3d8f45"),
    Kind.INPUT: ("#b5dca9", "#84bd7a"),
    Kind.WEIGHT: ("#9ecae1", "#5a9bc4"),
}
"""Of a kind: in the first direction, or on the way down; in the second, or on the way up."""

WORDS = {
    Kind.FORWARD: "forward",
    Kind.BACKWARD: "backward",
    Kind.INPUT: "backward, for inputs",
    Kind.WEIGHT: "backward, for weights",
}


def draw(timeline: Timeline, title: str, micro_batches: int, stages: int, copies: int = 1, width: int = 1100) -> str:
    """The SVG of a step.

    Args:
        timeline: of all ranks.
        title: its heading.
        micro_batches: of both directions together.
        stages: that the model is cut into; more than there are ranks make a V.
        copies: 2 where micro-batches come from both ends.
        width: pixels.
    """
    ranks, scale = len(timeline.ranks), (width - LEFT - 10) / timeline.seconds
    height = TOP + ranks * (ROW + GAP) + LEGEND

    def second(chunk: Chunk) -> bool:
        if copies == 2:
            return chunk.micro_batch >= micro_batches // 2
        return stages > ranks and chunk.stage >= ranks

    def number(chunk: Chunk) -> int:
        return chunk.micro_batch

    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'font-family="sans-serif" font-size="10" role="img" aria-label="{escape(title, {chr(34): "&quot;"})}">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="20" font-size="14" fill="#222222">{escape(title)}</text>',
    ]
    for rank, row in enumerate(timeline.ranks):
        top = TOP + rank * (ROW + GAP)
        lines.append(f'<text x="4" y="{top + 15}" fill="#222222">rank {rank}</text>')
        lines.append(f'<rect x="{LEFT}" y="{top}" width="{width - LEFT - 10}" height="{ROW}" fill="#f0f0f0"/>')
        for timed in row:
            for kind, chunk, part_top, part in _parts(timed.action):
                colour = COLOURS[kind][second(chunk)]
                lines += _box(timed, scale, top + part_top * ROW, part * ROW, colour, number(chunk))
    lines += _legend(timeline, TOP + ranks * (ROW + GAP) + 6)
    return "\n".join([*lines, "</svg>", ""])


def _parts(action: Action) -> list[tuple[Kind, Chunk, float, float]]:
    """(kind, chunk, top, height) of each half of a pair, or of the whole box; heights as parts of a row."""
    if action.kind is Kind.PAIR:
        assert action.forward is not None and action.backward is not None
        return [(Kind.FORWARD, action.forward, 0.0, 0.5), (Kind.BACKWARD, action.backward, 0.5, 0.5)]
    chunk = action.forward or action.backward
    assert chunk is not None
    return [(action.kind, chunk, 0.0, 1.0)]


def _box(timed: Timed, scale: float, top: float, height: float, colour: str, number: int) -> list[str]:
    left, wide = LEFT + timed.start * scale, (timed.end - timed.start) * scale
    box = (
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{wide:.1f}" height="{height:.1f}" fill="{colour}" '
        f'stroke="#ffffff" stroke-width="0.6"/>'
    )
    if wide < NARROWEST_NUMBER:
        return [box]
    size = 8 if height < ROW or wide < 14 else 10
    middle, base = left + wide / 2, top + height / 2 + size * 0.36
    text = (
        f'<text x="{middle:.1f}" y="{base:.1f}" font-size="{size}" text-anchor="middle" fill="#111111">{number}</text>'
    )
    return [box, text]


def _legend(timeline: Timeline, top: float) -> list[str]:
    used = {action.action.kind for row in timeline.ranks for action in row}
    if Kind.PAIR in used:
        used |= {Kind.FORWARD, Kind.BACKWARD}
    lines, left = [], float(LEFT)
    for kind, (first, second) in COLOURS.items():
        if kind in used:
            lines.append(f'<rect x="{left}" y="{top}" width="9" height="12" fill="{first}"/>')
            lines.append(f'<rect x="{left + 9}" y="{top}" width="9" height="12" fill="{second}"/>')
            lines.append(f'<text x="{left + 23}" y="{top + 10}" fill="#222222">{WORDS[kind]}</text>')
            left += 44 + 6 * len(WORDS[kind])
    if Kind.PAIR in used:
        lines.append(f'<text x="{left}" y="{top + 10}" fill="#222222">halves: an overlapped pair</text>')
    return lines
