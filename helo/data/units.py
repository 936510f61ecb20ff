"""Units of raw signals, and how they become those that the features are computed in."""

from __future__ import annotations

from collections.abc import Mapping

from helo.data.columns import short, some

#: Feature function -> unit as a file may write it -> factor to the unit of the features; the first is that unit.
UNITS = {
    "electrodermal": {"uS": 1.0, "µS": 1.0, "μS": 1.0, "microsiemens": 1.0, "mS": 1e3, "S": 1e6, "siemens": 1e6},
    "temperature": {"degC": 1.0, "°C": 1.0, "C": 1.0, "celsius": 1.0, "oC": 1.0},
    "movement": {"g": 1.0, "mg": 1e-3, "m/s^2": 1 / 9.80665, "m/s2": 1 / 9.80665, "m/s²": 1 / 9.80665},
    "walking": {"g": 1.0, "mg": 1e-3, "m/s^2": 1 / 9.80665, "m/s2": 1 / 9.80665, "m/s²": 1 / 9.80665},
    "muscle": {"mV": 1.0, "V": 1e3, "uV": 1e-3, "µV": 1e-3, "μV": 1e-3},
    "eeg": {"uV": 1.0},  # MNE gives volts, whatever the file has
    "heart_rate": {"1/min": 1.0, "bpm": 1.0},
}
_OTHERS = {"temperature": {"degF": (5 / 9, -160 / 9), "°F": (5 / 9, -160 / 9), "K": (1.0, -273.15)}}


def unit_of(entry: Mapping) -> str:
    """The unit that a signal has once it is read."""
    return next(iter(UNITS.get(entry["kind"], {entry.get("unit", "a.u."): 1.0})))


def factor_of(where: str, entry: Mapping, unit: object) -> tuple[float, float]:
    """Factor and summand that make a file's numbers those of the features' unit.

    Args:
        where: the file and column, for the message.
        entry: what the card says of the signal; its factor or unit goes before the file's.
        unit: the file's own; None where it says nothing, and is believed to have the features'.

    Raises:
        ValueError: a unit that is not known.
    """
    known = UNITS.get(entry["kind"])
    if entry["factor"] is not None or not known:
        return entry["factor"] or 1.0, 0.0
    unit = entry.get("unit", unit)
    if unit is None or unit == "":
        return 1.0, 0.0
    others = _OTHERS.get(entry["kind"], {})
    if isinstance(unit, str) and unit in others:
        return others[unit]
    if not isinstance(unit, str) or unit not in known:
        raise ValueError(
            f"{where} is in {short(unit)}; expected one of {some([*known, *others])}, or a factor in a card"
        )
    return known[unit], 0.0
