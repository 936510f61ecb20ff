"""What a model computes, block by block, as one forward pass on windows of zeros shows it.

Nothing is told here about any system. A block is a module with layers of its own, a part that `helo.knockout` could
take out (`EmotionModel.part`), a method that gives one tensor, or weights that are no module's; an arrow is that a
tensor was computed from another block's. Linear maps and norms between blocks are part of the arrow.
"""

from __future__ import annotations

import copy
import functools
import inspect
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from helo.models import EmotionModel
from helo.models.dropout import Dropout

_ROOT = Path(__file__).parents[2]
#: methods that are no step of the computation
_NOT_STEPS = {"forward", "losses", "prepare", "solve"}


@dataclass
class Block:
    """One block of the picture.

    Args:
        name: as the code says it.
        shape: of what it gives for one window.
        sources: the blocks it is computed from, by their number.
        step: the method that computes it, as "encode"; "" for the data.
        about: the class, or the docstring's first line.
        file, line: where its code is, the file relative to the project; "" where there is none.
        kind: "data", "module", "part", "method", "weights" or "answer".
    """

    name: str
    shape: tuple[int, ...]
    sources: frozenset[int]
    step: str = ""
    about: str = ""
    file: str = ""
    line: int = 0
    kind: str = "data"


@torch.no_grad()
def blocks(model: EmotionModel) -> list[Block]:
    """The blocks of a model in the order of its forward pass: its modalities first, its answer last.

    Raises:
        ValueError: the model cannot answer yet, as one that is solved and has not been.
    """
    model = copy.deepcopy(model).cpu().eval()
    windows = _unlike(model)
    signals = {m: torch.zeros(windows, *shape) for m, shape in model.layout.shapes.items()}
    masks = {m: torch.ones(windows, shape[0], dtype=torch.bool) for m, shape in model.layout.shapes.items()}
    trace = _Trace(model, windows)
    for m, x in signals.items():
        trace.give(x, Block(m, model.layout.shapes[m], frozenset()))
    trace.listen()
    try:
        with trace:
            answer = model(signals, masks).distributions
    except (RuntimeError, IndexError, ValueError) as error:
        raise ValueError(f"{model.name} cannot answer yet ({error}); fit it first") from None
    about, file, line = code(type(model).forward)
    sources = trace.origins(answer)
    trace.blocks.append(Block("distribution", tuple(answer.shape[1:]), sources, "", about, file, line, "answer"))
    trace.stacks.append(())
    return trace.in_steps()


class _Trace(TorchFunctionMode):
    """Follows tensors through a forward pass."""

    def __init__(self, model, windows):
        super().__init__()
        self.model, self.windows = model, windows
        self.blocks: list[Block] = []
        self.stacks: list[tuple[str, ...]] = []
        self.stack: list[str] = []
        self.inside = 0
        self.known: dict[int, tuple[Tensor, frozenset[int]]] = {}  # keeps the tensors, so that no id is used twice
        own = [*model.named_parameters(), *model.named_buffers()]
        kept = [(n, w) for n, w in own if w.numel() > 1 and not n.startswith(("mean_", "scale_"))]
        lists = {n for n, m in model.named_modules() if isinstance(m, nn.ParameterList)}
        self.weights = {id(w): (n, w) for n, w in kept if "." not in n or n.rpartition(".")[0] in lists}

    def __torch_function__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        sources = self.origins(args, kwargs)
        for tensor in _tensors(out):
            own = self.known.get(id(tensor), (tensor, frozenset()))[1]  # where it was changed in place
            self.known[id(tensor)] = tensor, sources | own if tensor.dtype != torch.bool else frozenset()
        return out

    def origins(self, *values: Any) -> frozenset[int]:
        """The blocks that tensors were computed from."""
        found: frozenset[int] = frozenset()
        for tensor in _tensors(values):
            if id(tensor) in self.weights:
                name, weights = self.weights.pop(id(tensor))
                name = name.partition(".")[0].replace("_", " ")
                place = _asking()
                self.give(weights, Block(name, tuple(weights.shape), frozenset(), "", "weights", *place, "weights"))
            found |= self.known.get(id(tensor), (tensor, frozenset()))[1]
        return found

    def give(self, tensors: Any, block: Block) -> None:
        """From here on these tensors are what a block gave."""
        self.blocks.append(block)
        self.stacks.append(tuple(self.stack))
        for tensor in _tensors(tensors):
            mask = tensor.dtype == torch.bool  # says what is there; an arrow is what is read
            self.known[id(tensor)] = tensor, frozenset() if mask else frozenset({len(self.blocks) - 1})

    def shape(self, value: Any) -> tuple[int, ...]:
        """Of one window: without the axis that counts the windows."""
        sizes = list(next(iter(_tensors(value))).shape)
        if self.windows in sizes:
            sizes.remove(self.windows)
        return tuple(sizes)

    def listen(self) -> None:
        """Hear of every call of a module, a part and a method."""
        for path, module in self.model.named_modules():
            if path:
                module.register_forward_pre_hook(self._enter)
                module.register_forward_hook(functools.partial(self._leave, path), with_kwargs=False)
        self.model.part = functools.partial(self._part, self.model.part)
        kinds = type(self.model).__mro__[: type(self.model).__mro__.index(EmotionModel)]
        names = {n for kind in kinds for n, f in vars(kind).items() if inspect.isfunction(f) and n[0] != "_"}
        for name in sorted(names - _NOT_STEPS):
            setattr(self.model, name, functools.partial(self._method, name, getattr(self.model, name)))

    def computed(self) -> int:
        return sum(block.kind != "weights" for block in self.blocks)

    def _enter(self, module, args):
        self.inside += 1
        if self.inside == 1:
            self.before = self.computed()

    def _leave(self, path, module, args, out):
        self.inside -= 1
        sources = self.origins(args)
        if self.inside or self.computed() > self.before or not self._is_block(module, sources):
            return
        torchs = type(module).__module__.startswith("torch.")  # torch's own: where the model calls it
        about, file, line = (type(module).__name__, *_asking()) if torchs else code(type(module))
        name, _, number = path.partition(".")
        several = isinstance(self.model.get_submodule(name), nn.ModuleList) and len(self.model.get_submodule(name)) > 1
        name = name.replace("_", " ") + (f" {int(number.split('.')[0]) + 1}" if several else "")
        self.give(out, Block(name, self.shape(out), sources, "", about, file, line, "module"))

    def _is_block(self, module, sources):
        if isinstance(module, Dropout) or not any(True for _ in module.parameters()):
            return False
        own = not type(module).__module__.startswith("torch.") or any(True for _ in module.children())
        return own or (isinstance(module, nn.Linear) and all(self.blocks[k].kind == "data" for k in sources))

    def _part(self, ask, name, x, instead=None):
        sources = self.origins(x)
        about = f"without it: {self.model.parts[name]}" if name in self.model.parts else ""
        out = ask(name, x, instead)
        if x.dtype == torch.bool:
            return out
        if out is not x:  # taken out; what stands in its place is what is drawn
            name, sources = f"{name} (out)", self.origins(out)
        block = Block(name, self.shape(x), sources, "", about, *_asking(), "part")
        only = self.blocks[next(iter(sources))] if len(sources) == 1 else block
        read = any(sources & other.sources for other in self.blocks)
        if only.kind in ("module", "weights") and only.shape == block.shape and not read and out is x:
            only.name, only.about, only.file, only.line = name, about or only.about, block.file, block.line
            return x
        out = out.view_as(out)
        self.give(out, block)
        return out

    def _method(self, name, call, *args, **kwargs):
        before, sources = self.computed(), self.origins(args, kwargs)
        self.stack.append(name)
        try:
            out = call(*args, **kwargs)
        finally:
            self.stack.pop()
        if isinstance(out, Tensor) and self.computed() == before and not self.inside:
            sources = sources | self.origins(out)
            about, file, line = code(getattr(type(self.model), name))
            self.give(out, Block(name.replace("_", " "), self.shape(out), sources, "", about, file, line, "method"))
        return out

    def in_steps(self) -> list[Block]:
        """Every block with its step: the outermost method that makes a block itself."""
        made = [stack for block, stack in zip(self.blocks, self.stacks, strict=True) if block.kind != "weights"]
        direct = {stack[-1] for stack in made if stack}
        for block, stack in zip(self.blocks, self.stacks, strict=True):
            block.step = "" if block.kind == "data" else next((s for s in stack if s in direct), "forward")
        return self.blocks


def _unlike(model):
    """A number of windows that no other axis has, so that it can be told from them."""
    sizes = {n for w in (*model.parameters(), *model.buffers()) for n in w.shape}
    sizes |= {n for shape in model.layout.shapes.values() for n in shape} | {len(model.layout.emotions)}
    return next(n for n in range(3, 1000) if n not in sizes)


def _tensors(value) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _tensors(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _tensors(inner)


def code(thing: Callable) -> tuple[str, str, int]:
    """The first line of what is said about it, its file and line."""
    own = inspect.getdoc(thing) if not inspect.isclass(thing) or thing.__doc__ else None
    told = (own or thing.__qualname__).partition("\n")[0]
    thing = inspect.unwrap(thing)
    path, line = Path(inspect.getsourcefile(thing) or ""), inspect.getsourcelines(thing)[1]
    return told, _relative(path), line


def _asking() -> tuple[str, int]:
    """File and line of the model's own code that is being computed."""
    frame = sys._getframe(1)
    while frame.f_back and (frame.f_code.co_filename == __file__ or "torch" in Path(frame.f_code.co_filename).parts):
        frame = frame.f_back
    return _relative(Path(frame.f_code.co_filename)), frame.f_lineno


def _relative(path):
    return path.relative_to(_ROOT).as_posix() if path.is_relative_to(_ROOT) else path.name
