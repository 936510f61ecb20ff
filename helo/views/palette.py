"""The colours of all pictures, saved and interactive; an emotion has one wherever it is shown."""

from __future__ import annotations

from collections.abc import Sequence

#: Okabe and Ito's, with a darker grey: theirs is pink to a reader without green cones.
COLOURS = ("#E69F00", "#D55E00", "#F0E442", "#009E73", "#0072B2", "#666666", "#CC79A7", "#56B4E9")
ORANGE, VERMILION, YELLOW, GREEN, BLUE, GREY, PINK, SKY = COLOURS


def emotion_colours(emotions: Sequence[str]) -> dict[str, str]:
    """A fixed colour for each emotion: eight distinct ones, or steps of an even scale where there are more."""
    if len(emotions) <= len(COLOURS):
        return dict(zip(emotions, COLOURS, strict=False))
    import seaborn as sns

    return dict(zip(emotions, sns.color_palette("viridis", len(emotions)).as_hex(), strict=True))
