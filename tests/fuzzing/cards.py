"""Cards by grammar: valid YAML with hostile values, keys and structure."""

from __future__ import annotations

import json

from fuzzing.changes import CELLS, JSON
from fuzzing.pickles import size

_KEYS = (
    "name",
    "subject",
    "trial",
    "condition",
    "start",
    "window",
    "modalities",
    "emotions",
    "scale",
    "query",
    "ignore",
)
_COLUMNS = ("subject", "trial", "eda.mean.1", "eda.*", "face.AU1", "face.*", "*", "emotion.happy", "emotion.sad", "age")


def scalar(rng) -> str:
    n = size(rng, 2**20)
    ways = (
        "1" + ":59" * n,
        "9" * n,
        "0x" + "f" * n,
        "0b" + "1" * n,
        "1_" * n + "1",
        "." + "1" * n,
        "1e" + "9" * n,
        "190:20:30.15",
        ".inf",
        "-.inf",
        ".nan",
        "~",
        "yes",
        "2001-12-14t21:59:43.10-05:00",
        "9999-99-99",
        "!!binary " + "A" * n,
        "!!timestamp 2001-12-14",
        "!!int x",
        "!!float x",
        "!!set {a, b}",
        "!!omap [a: 1]",
        "!!pairs [a: 1]",
        "!!python/name:os.system",
        "!!python/object/apply:os.system ['true']",
        "!" + "x" * n + " y",
        "%" + "x" * n,
        "&a" + "b" * n + " c",
        "*a",
        '"' + "\\u0041" * n + '"',
        '"' + "\\x1b" * n + '"',
        "'" + "''" * n + "'",
        "|\n  " + "x\n  " * n,
        ">\n  " + "x " * n,
        "a" * n,
        "\u202e" * n,
    )
    return ways[rng.integers(len(ways))]


def pattern(rng) -> str:
    n = size(rng, 2**12)
    ways = ("*" * n, "*a" * n, "?" * n, "[!" + "a-z" * n + "]", "[" * n, "[a-" * n, "[]", "(a+)+" * n, "\\" * n, "*.*")
    return json.dumps(ways[rng.integers(len(ways))])


def structure(rng) -> str:
    n = size(rng, 2**16)
    ways = (
        "[" * n + "]" * n,
        "{a: " * n + "}" * n,
        "[" + "x, " * n + "]",
        "{" + ", ".join(f"k{k}: 1" for k in range(n)) + "}",
        "{" + "a: 1, " * n + "}",
        "{" + ", ".join(f"{k * (2**61 - 1)}: 1" for k in range(min(n, 10_000))) + "}",
        "{" + ", ".join(f"m{k}: physiological" for k in range(n)) + "}",
        "{" + ", ".join(f"m{k}: {{columns: ['*']}}" for k in range(n)) + "}",
        "{eda: {columns: [" + ", ".join(pattern(rng) for _ in range(min(n, 2000))) + "]}}",
        "[" + ", ".join(pattern(rng) for _ in range(min(n, 2000))) + "]",
        "{" + ", ".join(f"e{k}: emotion.{k}" for k in range(n)) + "}",
        "{eda: {tokens: [" + ", ".join(map(str, range(n))) + "]}}",
        "{? [a, b] : c}",
        "{<<: {a: 1}}",
        "{<<: [" + "{a: 1}, " * n + "]}",
        "[&a x, " + "*a, " * n + "]",
    )
    return ways[rng.integers(len(ways))]


def roles(rng) -> str:
    role = ("physiological", "behavioural", "BEHAVIORAL", "[physiological]", "{a: b}", "1", "", "x" * size(rng, 2**16))
    entry = {
        "role": role[rng.integers(len(role))],
        "columns": ('["eda.*"]', "[face.AU1, eda.mean.1]", "[]", "x", "[1]", "[[x]]")[rng.integers(6)],
        "rate": ("64", "0", "-1", ".inf", ".nan", "1e308", "true", "x", "1" + ":59" * 200)[rng.integers(9)],
        "kind": ("pulse", "heart", "x", "[pulse]", "{a: b}", "~")[rng.integers(6)],
        "tokens": ("6", "0", "-1", "true", "1000000", "[a, b]", "[1, 2]", "[]", "[[a]]", "{a: b}")[rng.integers(10)],
    }
    kept = [f"{key}: {said}" for key, said in entry.items() if rng.random() < 0.5]
    names = ("eda", "face", "skin", "", "emotion", "vote", "subject", "x" * size(rng, 2**14))
    return "{" + f"{json.dumps(names[rng.integers(len(names))])}: {{{', '.join(kept)}}}" + "}"


def said(rng, key: str) -> str:
    """A value for a key: of the right kind more often than not."""
    if rng.random() < 0.3:
        return (scalar, structure)[rng.integers(2)](rng)
    right = {
        "modalities": roles(rng),
        "emotions": "{joy: emotion.happy, grief: emotion.sad}" if rng.random() < 0.5 else "[happy, sad]",
        "ignore": "[" + ", ".join(pattern(rng) for _ in range(rng.integers(4))) + "]",
        "scale": ("[1, 9]", "[0, .inf]", "[1, 1e308]", "[9, 1]", "[.nan, 1]", "[1]", "1")[rng.integers(7)],
        "window": ("5", "0", "1e-300", "1e308", ".inf", "true")[rng.integers(6)],
        "query": ("eda", "face", "x")[rng.integers(3)],
    }
    column = _COLUMNS[rng.integers(len(_COLUMNS))]
    return right.get(key, json.dumps(column) if rng.random() < 0.8 else json.dumps(CELLS[rng.integers(len(CELLS))]))


def card(rng) -> bytes:
    lines = []
    for _ in range(rng.integers(1, 6)):
        key = _KEYS[rng.integers(len(_KEYS))] if rng.random() < 0.95 else scalar(rng)
        lines.append(f"{key}: {said(rng, key)}")
    if rng.random() < 0.1:
        lines.append(f"name: {json.dumps(JSON[rng.integers(len(JSON))])}")
    if rng.random() < 0.05:
        lines.insert(
            0, ("---", "%YAML 1.1\n---", "%TAG ! tag:x,2000:\n---", "\ufeff", "...", "--- a\n--- b")[rng.integers(6)]
        )
    encoding = str(rng.choice(["utf-8", "utf-16", "latin1"], p=[0.96, 0.02, 0.02]))
    return "\n".join(lines).encode(encoding, "replace")
