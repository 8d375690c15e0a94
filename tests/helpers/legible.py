"""Whether the text of a figure can be read."""

import itertools

from matplotlib import rc_context
from matplotlib.text import Text

from redalign_jax.report import render, style
from redalign_jax.report.style import STYLE


def check(chart, width):
    """Asserts letters of 8 points or more that stand out, inside the figure, not touching."""
    with rc_context(STYLE):
        figure = render.laid_out(chart.draw(width))
        renderer = figure.canvas.get_renderer()
        figure.draw(renderer)
        frame = figure.bbox
        texts = [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip()]
        assert all(t.get_fontsize() >= 8 for t in texts)
        for ax in figure.axes:
            for text in ax.texts:
                assert contrast(text.get_color(), behind(ax, text)) >= 4.5, (chart.name, text)
            if not ax.axison:
                continue
            mine = [t for t in ax.texts if t.get_text()]
            # ticks beyond the limits exist, but are not drawn
            (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
            below = [t for t in ax.get_xticklabels() if left <= t.get_position()[0] <= right]
            beside = [t for t in ax.get_yticklabels() if bottom <= t.get_position()[1] <= top]
            for group in (mine, below, beside):
                group = [t for t in group if t.get_visible() and t.get_text()]
                boxes = [t.get_window_extent(renderer) for t in group]
                for box in boxes:
                    assert box.x0 >= frame.x0 - 1 and box.x1 <= frame.x1 + 1, chart.name
                for one, other in itertools.combinations(boxes, 2):
                    # a pixel of 100 to the inch is forgiven
                    apart = min(one.x1, other.x1) - max(one.x0, other.x0) < 1
                    apart |= min(one.y1, other.y1) - max(one.y0, other.y0) < 1
                    assert apart, (chart.name, [t.get_text() for t in group])


def behind(ax, text):
    """The colour of the cell that a text is written on, white where there is none."""
    if text.get_transform() != ax.transData:
        return "white"
    cells = [p for p in ax.patches if p.get_fill() and p.get_facecolor()[3]]
    at = ax.transData.transform(text.get_position())
    return next((c.get_facecolor() for c in cells if c.contains_point(at)), "white")


def contrast(one, other):
    """The contrast of WCAG 2, 1 to 21."""
    light, pale = sorted((style.luminance(one), style.luminance(other)), reverse=True)
    return (light + 0.05) / (pale + 0.05)
