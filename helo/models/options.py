"""What a model's options may be, said once: `from_layout` asks this table before it builds any model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf
from numbers import Integral, Real
from typing import Any

Rule = tuple[Callable[[Any], bool], str]  # whether a value is right, and what was expected


def check(model: str, options: Mapping[str, Any]) -> None:
    """Refuse an option that no model could be built with, or trained.

    Args:
        model: its name, for the message.
        options: all of the model's options by name, defaults too; `width` before `heads`. A name that the table does
            not know may be anything: the model looks at it itself.

    Raises:
        ValueError: the message names model, option, found and expected.
    """
    for name, value in options.items():
        right, expected = _rule(name, options)
        if not right(value):
            raise ValueError(f"{model}: {name} is {value!r}; expected {expected}")


def _rule(name: str, options: Mapping[str, Any]) -> Rule:
    if name == "heads":
        width = options["width"]
        return lambda n: _whole(1)[0](n) and width % n == 0, f"a divisor of width {width}"
    if name.endswith("dropout") or name == "dropkey":
        return lambda share: _is(Real, share) and 0 <= share < 1, f"0 <= {name} < 1"
    if name.endswith("_weight"):
        return lambda x: _is(Real, x) and 0 <= x < inf, "at least 0, and finite"
    return _RULES.get(name, (lambda value: True, ""))


def _is(kind: type, value: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)  # True is a number to Python, and none here


def _whole(least: int) -> Rule:
    return lambda n: _is(Integral, n) and n >= least, f"a whole number of at least {least}"


def _one_of(*known: Any) -> Rule:
    *first, last = map(repr, known)
    return lambda value: value in known, f"{', '.join(first)} or {last}"


_ABOVE_0: Rule = (lambda x: _is(Real, x) and 0 < x < inf, "above 0, and finite")
_RULES: dict[str, Rule] = {
    **dict.fromkeys(("width", "tokens", "vectors", "rank", "small", "factors", "iterations"), _whole(1)),
    **dict.fromkeys(("depth", "conditions"), _whole(0)),
    **dict.fromkeys(("epsilon", "temperature", "sharpness"), _ABOVE_0),
    **dict.fromkeys(("cross_attention", "detach_plan", "divide", "steer"), _one_of(False, True)),
    "stream": _one_of(0, 1),
    "transport": _one_of("wasserstein", "gromov", "none"),
    "correlation": _one_of("pearson", "cosine", "per-sample"),
    "same": _one_of("distribution", "class"),
}
