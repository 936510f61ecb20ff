"""A model's architecture, drawn from what its forward pass computes."""

from __future__ import annotations

import html
import inspect
import re
from collections.abc import Sequence

from IPython.display import HTML

from helo.data.emotion_data import PHYSIOLOGICAL
from helo.models import EmotionModel
from helo.views.layers import place
from helo.views.palette import BLUE, GREEN, GREY, VERMILION
from helo.views.tracing import Block, blocks, code

#: pixels: a block's height, between rows, around a step; the column of the steps' names
_BLOCK, _BETWEEN, _AROUND, _NAMES = 46, 16, 11, 150
#: where a step is taught: class and method -> notebook
_TAUGHT = {
    "HeLo.encode": "01_explore",
    "HeLo.attend": "02_train",
    "HeLo.transport_and_fuse": "03_transport",
    "HeLo.label_driven": "04_correlation",
    "FoalNet.fuse": "06_alignment",
}
_OTHERS = {"": "01_explore", "losses": "02_train"}
_BAND = "position: absolute; left: 0; right: 0; box-sizing: border-box; border-top: 1px solid #8886"
_CLIP = "display: -webkit-box; -webkit-box-orient: vertical; overflow: hidden; opacity: 0.8; -webkit-line-clamp: "
_TIP = "position: absolute; width: 0; height: 0; margin-left: -4px; opacity: 0.7; border: 4px solid transparent; "
_TIP += "border-bottom-width: 0; border-top: 6px solid currentColor; "
_TEXT = "color: inherit; text-decoration: none; overflow: hidden; white-space: nowrap; text-overflow: ellipsis; "


def architecture(model: EmotionModel, root: str | None = "../") -> HTML:
    """The blocks of a model with the shapes of its data, step by step, each a link to its code.

    Nothing is typed in: the picture is what one forward pass on windows of zeros computes (`helo.views.tracing`), for
    any system, data set and option. Blue comes from the body, green from behavior, orange from both, grey from neither.
    It is plain HTML that takes its colors from the theme and fits its place from 560 pixels on, or from 600 where a
    long name stands in a narrow block.

    Args:
        model: from `helo.build`; one that is solved must have been.
        root: the way from the page to the project's folder, for the links; None draws none.

    Raises:
        ValueError: a model that cannot answer yet.
    """
    drawn = blocks(model)
    places = place(drawn)
    tops, bands, height = _heights(places)
    boxes = [_box(model, drawn, k, places, tops, root) for k in range(len(drawn))]
    steps = "".join(_step(model, step, top, bottom, root) for step, top, bottom in bands)
    flow = height
    loss, height = _loss(model, drawn, height, root)
    area = f"position: absolute; left: {_NAMES}px; right: 0; top: 0; height: {flow}px"
    told = html.escape(summary(model, drawn))
    name = max((10 + 7 * len(block.name)) / width for block, width in zip(drawn, places.widths, strict=True))
    least = min(600, max(560, round(_NAMES + 100 * name)))  # a bold letter of 11 pixels takes up to 7
    whole = f"position: relative; min-width: {least}px; max-width: 1100px; height: {height}px; line-height: 14px"
    return HTML(
        f'<div role="group" aria-label="{told}" style="{whole}; font-size: 12px">{steps}{loss}'
        f'<div style="{area}">{_arrows(places, tops, flow)}{"".join(boxes)}</div></div>'
        f'<div style="font-size: 12px; margin-top: 4px">{told}</div>'
    )


def summary(model: EmotionModel, drawn: Sequence[Block]) -> str:
    """One line: what comes in, the shape of the plan where there is one, what goes out, how many weights."""
    size = {block.name: _times(block.shape) for block in drawn}
    told = [", ".join(f"{m} {size[m]}" for m in model.layout.modalities)]
    told += [f"plan {size['plan']}"] if "plan" in size else []
    told += [f"{len(model.layout.emotions)} emotions"]
    weights = sum(p.numel() for p in model.parameters())
    return f"{model.name}: {' → '.join(told)}; {weights:,} trained weights; tokens × features"


def _times(shape):
    return " × ".join(map(str, shape))


def _heights(places):
    """The top of every row; each step with its top and bottom; the height of all."""
    tops, bands, y = {}, [], 0
    for step, first, last in places.bands:
        top = y
        y += _AROUND
        for row in range(first, last + 1):
            tops[row] = y + (row > first) * _BETWEEN
            y = tops[row] + _BLOCK
        y += _AROUND
        bands.append((step, top, y))
    return tops, bands, y


def _box(model, drawn, k, places, tops, root):
    block = drawn[k]
    color = _color(model, drawn, k)
    name, shape = block.name, _times(block.shape)
    if block.kind == "answer":
        name, shape = f"{len(model.layout.emotions)} emotions", "distribution"
    where = f"{block.file.rpartition('/')[2]}:{block.line}" if block.file else "data"
    lines = (f"<b>{html.escape(name)}</b>", shape, f'<span style="opacity: 0.75">{where}</span>')
    inside = "".join(f'<span style="display: block; {_TEXT}">{line}</span>' for line in lines)
    left, width = places.centers[k] - places.widths[k] / 2, places.widths[k]
    style = (
        f"position: absolute; left: {left:.2f}%; width: {width:.2f}%; top: {tops[places.rows[k]]}px; "
        f"height: {_BLOCK}px; box-sizing: border-box; border: 1.5px solid {color}; background: {color}2E; "
        f"border-radius: 5px; text-align: center; display: block; font-size: 11px; {_TEXT}"
    )
    about = html.escape(f"{block.about} ({block.file}:{block.line})" if block.file else f"modality {block.name}")
    return _link(block.file, root, inside, f'data-block="{k}" title="{about}" style="{style}"')


def _link(file, root, inside, attributes=""):
    if root is None or not file:
        return f"<span {attributes}>{inside}</span>"
    return f'<a href="{html.escape(root + file)}" target="_blank" {attributes}>{inside}</a>'


def _color(model, drawn, k):
    """Of the body, of behavior, of both, or of neither: what a block hangs on, through all before it."""
    seen, ask = set(), [k]
    while ask:
        at = ask.pop()
        seen |= {drawn[at].name} if drawn[at].kind == "data" else set()
        ask += drawn[at].sources
    body = set(model.layout.roles[PHYSIOLOGICAL])
    return GREY if not seen else BLUE if seen <= body else GREEN if not seen & body else VERMILION


def _step(model, step, top, bottom, root):
    """A step's band: number and name, where it is and is taught, and as much of what it does as there is room for."""
    if not step:
        name, told, links = "data", "one window of every modality", _taught(model, step, root)
    else:
        name, told = _said(model, step)
        links = f"{_place(getattr(type(model), step), root)} {_taught(model, step, root)}"
    room = (bottom - top - 8) // 14 - 2 - (len(name) > 24)
    # two lines of them would push the text out of its band
    links = f'<span style="white-space: nowrap; font-size: 11px">{links}</span>'
    inside = f'<b>{html.escape(name)}</b><br>{links}<span style="{_CLIP}{room}">{html.escape(told)}</span>'
    inside = f'<div style="width: {_NAMES - 10}px" title="{html.escape(told)}">{inside}</div>'
    return f'<div style="{_BAND}; top: {top}px; height: {bottom - top}px; padding: 4px 0">{inside}</div>'


def _said(model, step):
    """A step's name with its number, and the first sentence of its docstring: "Step 3, OTHM: a plan ..."."""
    told = (inspect.getdoc(getattr(type(model), step)) or "").replace("\n", " ")
    numbered = re.match(r"Step (\d+)(?:, ([^:]+))?: (.*)", told)
    number, short, rest = numbered.groups() if numbered else ("", "", told)
    name = f"{number} {step.replace('_', ' ')}".strip() + (f" ({short})" if short else "")
    return name, re.split(r"[;.] |[;.]$", rest)[0]


def _place(call, root):
    _, file, line = code(call)
    return _link(file, root, f"{file.rpartition('/')[2]}:{line}")


def _taught(model, step, root):
    names = [f"{kind.__name__}.{step}" for kind in type(model).__mro__]
    notebook = next((_TAUGHT[name] for name in names if name in _TAUGHT), _OTHERS.get(step))
    return _link(f"notebooks/{notebook}.ipynb", root, f"notebook {notebook[:2]}") if notebook else ""


def _loss(model, drawn, height, root):
    """What training adds: the terms of the loss with their weights, and the steps that only it takes."""
    terms = " + ".join(f"{'' if w == 1 else f'{w:g} '}{name}" for name, w in model.weights.items() if w)
    name = _said(model, "losses")[0] if "Step" in (inspect.getdoc(type(model).losses) or "") else "loss"
    place = f"{_place(type(model).losses, root)} {_taught(model, 'losses', root)}"
    lines = [f"<b>{html.escape(name)}</b> = {html.escape(terms)} &nbsp; {place}"]
    taken = {block.step for block in drawn} | {"losses"}
    for step in (name for name, f in vars(type(model)).items() if inspect.isfunction(f) and name not in taken):
        if (inspect.getdoc(getattr(type(model), step)) or "").startswith("Step "):
            name, told = _said(model, step)
            place = _place(getattr(type(model), step), root)
            lines.append(f"<b>{html.escape(name)}</b> {html.escape(told)} &nbsp; {place}")
    style = f"{_BAND}; top: {height}px; padding-top: 5px"
    return f'<div style="{style}">{"<br>".join(lines)}</div>', height + 10 + 16 * len(lines)


def _arrows(places, tops, height):
    """Lines from below each source, through its lanes, to the top of what reads it."""
    lines = []
    for (s, t), xs in places.arrows.items():
        row, path = places.rows[s], f"M{xs[0]:.2f} {tops[places.rows[s]] + _BLOCK}"
        for k in range(1, len(xs)):
            above, below = tops[row + k - 1] + _BLOCK, tops[row + k]
            middle = (above + below) / 2
            path += f" C{xs[k - 1]:.2f} {middle} {xs[k]:.2f} {middle} {xs[k]:.2f} {below}"
            path += f" L{xs[k]:.2f} {below + _BLOCK}" if k < len(xs) - 1 else ""
        lines.append(f'<path d="{path}" data-arrow="{s} {t}" vector-effect="non-scaling-stroke"/>')
    style = "position: absolute; left: 0; top: 0; width: 100%; height: 100%; overflow: visible; opacity: 0.55"
    box = f'viewBox="0 0 100 {height}" preserveAspectRatio="none" style="{style}"'
    tips = {(t, xs[-1]) for (_, t), xs in places.arrows.items()}
    heads = "".join(
        f'<span style="{_TIP}left: {x:.2f}%; top: {tops[places.rows[t]] - 6}px"></span>' for t, x in sorted(tips)
    )
    return f'<svg {box}><g fill="none" stroke="currentColor" stroke-width="1.2">{"".join(lines)}</g></svg>{heads}'
