"""torch.export: a module becomes a graph of functional ATen operators, its high-level ones whole.

Every size of every input is left open if torch finds that the module allows it. Size 1 is special to torch (it
broadcasts), so an example of one image is traced with two.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...engine.errors import ConversionError, InputError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Exported:
    """What torch traced, the example, and what the module makes of it."""

    program: torch.export.ExportedProgram
    example: dict[str, torch.Tensor]
    results: list[torch.Tensor]
    names: list[str]  # of the results, where the module returns a dict; '' elsewhere

    @property
    def inputs(self) -> list[torch.fx.Node]:
        """The placeholders of the module's own inputs."""
        names = self.program.graph_signature.user_inputs
        return [n for n in self.program.graph.nodes if n.op == "placeholder" and n.name in names]

    @property
    def returned(self) -> list[Any]:
        """The nodes of the module's results; what it wrote into its inputs or buffers is none of them."""
        (nodes,) = next(n for n in self.program.graph.nodes if n.op == "output").args
        specs = self.program.graph_signature.output_specs
        return [n for n, s in zip(nodes, specs, strict=True) if s.kind.name == "USER_OUTPUT"]


def export(
    module: Any, example: tuple[torch.Tensor, ...], is_simple: Callable[[torch.export.ExportedProgram], bool]
) -> Exported:
    """Trace a module on an example. Raises ConversionError, InputError.

    is_simple  says of a traced program that the walk understands it as it is; others are brought to fewer operators
               that write into nothing, which takes torch several times as long as tracing
    """
    import torch

    if isinstance(module, torch.export.ExportedProgram):
        program = module
        results = _called(program.module(), example)
    elif isinstance(module, torch.nn.Module):
        with _evaluating(module):
            results = _called(module, example)
            program = _traced(module, example)
    else:
        raise InputError(
            f"{type(module).__name__} is no torch.nn.Module: give a module, or the path of a model file"
        )
    if not is_simple(program):
        with _quiet():
            program = program.run_decompositions(
                {}
            )  # makes it functional, and leaves high-level operators whole
    tensors, names = _flat(results)
    kept = [
        n
        for n in program.graph.nodes
        if n.op == "placeholder" and n.name in program.graph_signature.user_inputs
    ]
    return Exported(program, {n.name: t for n, t in zip(kept, example, strict=True)}, tensors, names)


def _called(module: Any, example: tuple[torch.Tensor, ...]) -> Any:
    """The module's result. Raises InputError if it does not take the example."""
    import torch

    try:
        with torch.no_grad(), _quiet():
            return module(*(t.clone() for t in example))  # it may write into its input
    except Exception as error:  # whatever the module's own code raises
        shapes = ", ".join(str(list(t.shape)) for t in example)
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"{type(module).__name__} does not take the example ({shapes}): {type(error).__name__}: {first}"
        ) from error


def _traced(module: torch.nn.Module, example: tuple[torch.Tensor, ...]) -> torch.export.ExportedProgram:
    """The traced module: all sizes open, else the batch alone, else none."""
    import torch

    auto = torch.export.Dim.AUTO
    two = tuple(torch.cat([t, t]) if t.ndim and t.shape[0] == 1 else t for t in example)
    every: Any = torch.export.ShapesCollection()
    batch: Any = torch.export.ShapesCollection()
    for t in two:
        every[t] = {axis: auto for axis, size in enumerate(t.shape) if size > 1}
        batch[t] = {0: auto} if t.ndim and t.shape[0] > 1 else {}
    failed: Exception | None = None
    for given, dims in ((two, every), (two, batch), (example, None)):
        try:
            with torch.no_grad(), _quiet():
                return torch.export.export(module, given, dynamic_shapes=dims, strict=False)
        except Exception as error:  # torch's many kinds, and the module's own
            failed = error
    lines = str(failed).strip().splitlines() or [""]
    raise ConversionError(
        f"torch.export cannot trace {type(module).__name__}: {type(failed).__name__}: {lines[0]}"
    ) from failed


def _flat(results: Any) -> tuple[list[torch.Tensor], list[str]]:
    """The results in torch's order, and the keys of those in a dict."""
    from torch.utils import _pytree as pytree

    pairs, _ = pytree.tree_flatten_with_path(results)
    names = [str(getattr(path[-1], "key", "")) if path and isinstance(getattr(path[-1], "key", None), str) else ""
             for path, _ in pairs]  # fmt: skip
    return [value for _, value in pairs], names


@contextmanager
def _evaluating(module: torch.nn.Module) -> Iterator[None]:
    """The module as it is when used, not trained; afterwards it is as it was."""
    training = [m for m in module.modules() if m.training]
    module.eval()
    try:
        yield
    finally:
        for m in training:
            m.training = True


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch says about itself, in warnings and in its log."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def open_sizes(nodes: Sequence[Any]) -> dict[str, Sequence[Any]]:
    """Input name -> its shape as torch traced it."""
    return {n.name: tuple(n.meta["val"].shape) for n in nodes}
