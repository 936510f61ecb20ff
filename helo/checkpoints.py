"""Models and half-finished trainings on disk: safetensors with the configuration inside, never a pickle."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes

from helo.data.emotion_data import Layout
from helo.files import MissingFile, atomic_write
from helo.models import EmotionModel, from_layout


def save(model: EmotionModel, path: str | Path) -> None:
    """Write a model as one safetensors file, weights and configuration; whole or not at all."""
    if not model.can_be_saved:
        raise ValueError(f"{path}: a {model.name!r} model cannot be saved; its library has no format but pickle")
    about = {
        "model": model.name, "seed": model.seed, "options": model.options, "layout": layout_to_json(model.layout)
    }  # fmt: skip
    atomic_write(Path(path), to_bytes(weights(model), metadata={"helo": json.dumps(about)}))


def load_model(path: str | Path, device: str | torch.device = "cpu") -> EmotionModel:
    """Read a model that `save` wrote; no pickle is involved.

    Raises:
        MissingFile: no such file.
        ValueError: not a model of this library.
    """
    about, tensors = _read(Path(path), "helo")
    try:
        layout = _layout_from_json(about["layout"])
        model = from_layout(about["model"], layout, about["seed"], about["options"])
        model.load_state_dict(tensors)
    except (KeyError, TypeError, AttributeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{path}: configuration and weights do not fit a model of this version ({error})") from None
    return model.to(device).eval()


def weights(model: EmotionModel) -> dict[str, torch.Tensor]:
    """A copy of all parameters and buffers, on the CPU."""
    return {k: v.detach().cpu().clone().contiguous() for k, v in model.state_dict().items()}


def layout_to_json(layout: Layout) -> dict:
    """The layout as JSON would give it back."""
    return json.loads(json.dumps(asdict(layout)))


def _layout_from_json(about):
    return Layout(
        {m: tuple(shape) for m, shape in about["shapes"].items()},
        {role: tuple(names) for role, names in about["roles"].items()},
        tuple(about["emotions"]),
        about["query"],
    )


def _read(path, key):
    if not path.exists():
        raise MissingFile(f"{path}: no such file; expected a {key} file")
    try:
        with safe_open(str(path), framework="pt") as file:
            about = json.loads((file.metadata() or {})[key])
            return about, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    except (SafetensorError, KeyError, json.JSONDecodeError, OSError) as error:
        raise ValueError(f"{path}: not a {key} file ({type(error).__name__}: {error})") from None


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
    atomic_write(path, to_bytes(tensors, metadata={"helo-checkpoint": json.dumps(about)}))


def resume(
    path: Path, settings: dict, model: EmotionModel, optimizer: torch.optim.Optimizer
) -> tuple[list[dict[str, float]], dict[str, torch.Tensor], int]:
    """Put a checkpoint's weights into model and optimiser; gives history, best weights and best epoch.

    Raises:
        ValueError: not a checkpoint, or one written with other settings; the message names them.
    """
    about, tensors = _read(path, "helo-checkpoint")
    if not isinstance(about, dict) or set(about) != {"settings", "history", "best_epoch"}:
        raise ValueError(f"{path}: not a helo-checkpoint file (it lacks settings, history or best_epoch)")
    found, expected = about["settings"], json.loads(json.dumps(settings))
    differ = [name for name in expected if found.get(name) != expected[name]]
    if differ:
        told = "; ".join(f"{name} was {found.get(name)}, now {expected[name]}" for name in differ)
        raise ValueError(f"{path}: checkpoint of another run ({told}); delete it or choose another file")
    parts: dict[str, dict[str, torch.Tensor]] = {"now": {}, "best": {}, "adam": {}}
    for name, tensor in tensors.items():
        part, _, rest = name.partition("/")
        parts[part][rest] = tensor
    model.load_state_dict(parts["now"])
    state = optimizer.state_dict()
    for name, tensor in parts["adam"].items():
        i, _, key = name.partition("/")
        state["state"].setdefault(int(i), {})[key] = tensor
    optimizer.load_state_dict(state)
    return about["history"], parts["best"], about["best_epoch"]
