"""Models and half-finished trainings on disk: safetensors with configuration and checksum inside, never a pickle.

Both are readable by their owner alone: weights are learned from recordings of people and can betray who was among
them; nearest neighbours and kernel methods keep the very windows. Who may share a model opens its file to others.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import load as from_bytes
from safetensors.torch import save as to_bytes

from helo import checksums
from helo.data.emotion_data import BEHAVIORAL, PHYSIOLOGICAL, Layout
from helo.models import EmotionModel, available, from_layout
from helo.reading import expanded, shown


def save(model: EmotionModel, path: str | Path) -> None:
    """Write a model as one safetensors file, weights and configuration; whole or not at all.

    Raises:
        ValueError: a model whose library has no format but pickle (`pyldl`), or no place for a file.
    """
    if not model.can_be_saved:
        raise ValueError(f"{path}: a {model.name!r} model cannot be saved; its library has no format but pickle")
    about = {"model": model.name, "seed": model.seed, "options": model.options, "layout": layout_to_json(model.layout)}
    checksums.write(expanded(path), "helo", about, weights(model), to_bytes)


def load_model(path: str | Path, device: str | torch.device = "cpu") -> EmotionModel:
    """Read a model that `save` wrote; no pickle is involved. One without a checksum, of before, comes with a warning.

    Raises:
        MissingFile: no such file.
        ValueError: not a model of this library, or damaged.
    """
    about, tensors = checksums.read(Path(path), "helo", from_bytes, older=True)
    try:
        model = _rebuild(about, tensors)
    except Exception as error:  # a configuration from outside can fail anywhere in a model's constructor
        raise ValueError(
            f"{path}: configuration and weights do not fit a model of this version ({shown(error, 900)})"
        ) from None
    return model.to(device).eval()


def _rebuild(about, tensors):
    if set(about) != {"model", "seed", "options", "layout"}:
        raise ValueError(f"it says {sorted(about)}; expected model, seed, options and layout")
    layout, name, options = _layout_from_json(about["layout"]), about["model"], about["options"]
    if name not in available():
        raise ValueError(f"unknown model {name!r}; expected one of {list(available())}")
    broken = [key for key, tensor in tensors.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise ValueError(f"weights {broken[:3]} hold NaN or Inf")
    largest = {"depth": len(tensors)}  # a layer has weights of its own
    for key, value in options.items():
        if isinstance(value, int) and not 0 <= value <= largest.get(key, 100_000):
            raise ValueError(f"option {key!r} is {value}; expected 0 to {largest.get(key, 100_000)}")
    with torch.device("meta"):  # first without memory: a file cannot declare more than it holds
        expected = from_layout(name, layout, about["seed"], options).state_dict()
    for key, tensor in expected.items():
        if key not in tensors or (tensors[key].shape != tensor.shape and tensor.numel()):
            found = "missing" if key not in tensors else f"of shape {tuple(tensors[key].shape)}"
            raise ValueError(f"weight {key!r} is {found}; expected {tuple(tensor.shape)}")
    model = from_layout(name, layout, about["seed"], options)
    model.load_state_dict(tensors)
    return model


def weights(model: EmotionModel) -> dict[str, torch.Tensor]:
    """A copy of all parameters and buffers, on the CPU."""
    return {k: v.detach().cpu().clone().contiguous() for k, v in model.state_dict().items()}


def layout_to_json(layout: Layout) -> dict:
    """The layout as JSON would give it back."""
    return json.loads(json.dumps(asdict(layout)))


def _layout_from_json(about):
    shapes = {m: tuple(shape) for m, shape in about["shapes"].items()}
    roles = {role: tuple(names) for role, names in about["roles"].items()}
    emotions, query = tuple(about["emotions"]), about["query"]
    for m, shape in shapes.items():
        if len(shape) != 2 or not all(type(n) is int and 0 < n < 2**31 for n in shape):
            raise ValueError(f"shape of {m!r} is {shape}; expected (tokens, features)")
    if sorted(m for names in roles.values() for m in names) != sorted(shapes) or set(roles) - {
        PHYSIOLOGICAL,
        BEHAVIORAL,
    }:
        raise ValueError(f"roles {roles}; expected each modality once, as physiological or behavioral")
    if len(emotions) < 2 or len(set(emotions)) < len(emotions) or not all(isinstance(e, str) for e in emotions):
        raise ValueError(f"emotions are {emotions}; expected at least two names")
    if query is not None and query not in roles.get(PHYSIOLOGICAL, ()):
        raise ValueError(f"query is {query!r}; expected a physiological modality")
    return Layout(shapes, roles, emotions, query)


def write_checkpoint(
    path: Path,
    settings: dict,
    history: list[dict[str, float]],
    best_epoch: int,
    model: EmotionModel,
    best: dict[str, torch.Tensor],
    optimizer: torch.optim.Optimizer,
) -> None:
    """Write everything a training needs to go on: weights now and at best, optimiser, history, settings."""
    tensors = {f"now/{k}": v for k, v in weights(model).items()} | {f"best/{k}": v for k, v in best.items()}
    for i, state in optimizer.state_dict()["state"].items():
        tensors |= {f"adam/{i}/{k}": v.detach().cpu().contiguous() for k, v in state.items()}
    about = {"settings": settings, "history": history, "best_epoch": best_epoch}
    checksums.write(path, "helo-checkpoint", about, tensors, to_bytes)


def resume(
    path: Path, settings: dict, model: EmotionModel, optimizer: torch.optim.Optimizer
) -> tuple[list[dict[str, float]], dict[str, torch.Tensor], int]:
    """Put a checkpoint's weights into model and optimiser; gives history, best weights and best epoch.

    Raises:
        ValueError: not a checkpoint, a damaged one, or one written with other settings; the message names them.
    """
    about, tensors = checksums.read(path, "helo-checkpoint", from_bytes)
    if set(about) != {"settings", "history", "best_epoch"}:
        raise ValueError(f"{path}: not a helo-checkpoint file (it lacks settings, history or best_epoch)")
    if not isinstance(about["settings"], dict):
        raise ValueError(f"{path}: not a helo-checkpoint file (its settings are no dictionary)")
    found, expected = about["settings"], json.loads(json.dumps(settings))
    differ = [name for name in expected if found.get(name) != expected[name]]
    if differ:
        told = shown("; ".join(f"{name} was {found.get(name)}, now {expected[name]}" for name in differ), 900)
        raise ValueError(f"{path}: checkpoint of another run ({told}); delete it or choose another file")
    try:
        history, best, best_epoch = _continue(about, tensors, model, optimizer)
    except Exception as error:  # what is damaged can fail anywhere
        raise ValueError(f"{path}: damaged checkpoint ({shown(error, 900)}); delete it") from None
    return history, best, best_epoch


def _continue(about, tensors, model, optimizer):
    history, best_epoch = about["history"], about["best_epoch"]
    if not isinstance(history, list):
        raise ValueError(f"its history is a {type(history).__name__}")
    rows = [
        all(type(v) in (int, float) for v in row.values()) and row["epoch"] == k for k, row in enumerate(history, 1)
    ]
    if not all(rows) or type(best_epoch) is not int or not 0 <= best_epoch <= len(history):
        raise ValueError(f"a history of {len(history)} epochs, the best of them {best_epoch}")
    parts: dict[str, dict[str, torch.Tensor]] = {"now": {}, "best": {}, "adam": {}}
    for name, tensor in tensors.items():
        part, _, rest = name.partition("/")
        parts[part][rest] = tensor
        if not torch.isfinite(tensor).all():
            raise ValueError(f"{name!r} holds NaN or Inf")
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    moments: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in parts["adam"].items():
        i, _, key = name.partition("/")
        moments.setdefault(int(i), {})[key] = tensor
        if tensor.shape != (torch.Size([]) if key == "step" else parameters[int(i)].shape):
            raise ValueError(f"'adam/{name}' is of shape {tuple(tensor.shape)}")
    if any(set(moment) != {"step", "exp_avg", "exp_avg_sq"} for moment in moments.values()):
        raise ValueError("not Adam's moments")
    for name, now in model.state_dict().items():
        if any(
            part[name].shape != now.shape or part[name].dtype != now.dtype for part in (parts["now"], parts["best"])
        ):
            raise ValueError(f"weight {name!r} is not of shape {tuple(now.shape)} and type {now.dtype}")
    model.load_state_dict(parts["now"])
    state = optimizer.state_dict()
    state["state"] = moments
    optimizer.load_state_dict(state)
    return history, parts["best"], best_epoch
