"""Kernel: a fast way to the numbers that a layer's `reference` defines, on one device, for one dtype.

A kernel is a plain function over arrays and scalars. It fills what it is given and allocates nothing:

    @kernel(ELU, device="cpu", dtype="fp32")
    def elu(x, y, alpha):
        for i in range(x.size):
            y[i] = x[i] if x[i] > 0 else alpha * math.expm1(x[i])

Its parameters are named after the layer's: an input or result is an array (for an Elementwise layer flat, and cut
into one share a thread), an attribute a scalar. What else it needs it asks for by `bind`. Its indices count from 0:
a negative one does not wrap, it is out of bounds.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Any

import numpy as np

from .dtype import dtypes
from .errors import CompileError
from .layer import Elementwise, Layer
from .layout import PLAIN, SAME, stored_shape
from .registry import Registry
from .tensor import Spec, Tensor

SHARE = ("ith", "nth")  # parameters by which a kernel takes its thread's share itself


@dataclass(frozen=True)
class View:
    """A parameter that sees tensor `tensor` (a reference's or result's name) as an array of this shape.

    `offset` counts elements from the tensor's start. Together they must stay inside the tensor.
    """

    tensor: str
    shape: tuple[int, ...]
    offset: int = 0


@dataclass(frozen=True)
class Scratch:
    """A parameter that is working memory, of unknown content, for the time of one layer.

    Stages of a kernel that are given one and the same object hand each other what is in it.
    """

    shape: tuple[int, ...]
    dtype: str = "fp32"


@dataclass(frozen=True, eq=False)
class Packed:
    """A parameter that is a constant made at plan time, like weights in the order a kernel wants them."""

    data: np.ndarray


@dataclass(frozen=True)
class Stage:
    """One call of a function with bound parameters. Most kernels are one; a kernel may bind to several in turn.

    params    parameter -> View, Scratch, Packed, int or float; what is left out is bound by name
    split     parameters cut along axis 0 into one share a thread; all have the same length there
    function  what to call, if it is not the kernel's own
    lies      (part, whole, offset): all that the stage does is copy one tensor to or from its place, `offset` elements
              into another; if the part can lie there from the start, the stage is left out
    """

    params: Mapping[str, Any]
    split: Sequence[str] | None = None
    function: Callable | None = None
    lies: tuple[str, str, int] | None = None

    @property
    def workspace(self) -> int:
        """Bytes of working memory that the stage asks for."""
        scratch = [value for value in self.params.values() if isinstance(value, Scratch)]
        return sum(prod(s.shape) * dtypes[s.dtype].itemsize for s in scratch)

    @property
    def packed(self) -> int:
        """Bytes of the constants that the stage keeps in an order of its own."""
        return sum(value.data.nbytes for value in self.params.values() if isinstance(value, Packed))


@dataclass(frozen=True)
class Parameter:
    """How a compiled kernel reads one of its parameters from the words that a plan recorded.

    kind   'array': an address, then ndim sizes; 'int' or 'float': one word; 'share': ith or nth;
           'block': the address of the words themselves
    dtype  numpy name of an array's elements
    split  True: the array's first axis is cut into one share a thread
    same   an earlier parameter that is the very same array: the kernel works in place
    """

    name: str
    kind: str
    dtype: str = ""
    ndim: int = 0
    split: bool = False
    same: str = ""

    @property
    def words(self) -> int:
        """How many words it takes."""
        return {"array": 1 + self.ndim, "share": 0, "block": 0}.get(self.kind, 1)


@dataclass(frozen=True)
class Call:
    """What is known when a kernel is chosen for a layer.

    layer      the layer; its attributes
    specs      input and result names, as `reference` and `results` have them -> concrete Spec, None if absent
    constants  those inputs that are constants -> stored array
    threads    how many threads will share the work
    lanes      fp32 numbers in one vector of the target
    registers  vector registers of the target
    layouts    input or result -> its layout in memory, plain if it is not named
    dots       small integers that a lane of the target multiplies in one instruction: 2 int16, or 4 bytes
    shift      what is to be added to each of four bytes first: 128 where the instruction reads them unsigned
    halves     whether the target reads fp16
    narrow     those constants that are stored in a narrower dtype than their spec's, as they are stored
    """

    layer: Layer
    specs: Mapping[str, Spec | None]
    constants: Mapping[str, np.ndarray]
    threads: int = 1
    lanes: int = 8
    registers: int = 16
    layouts: Mapping[str, str] = field(default_factory=dict)
    dots: int = 2
    shift: int = 0
    halves: bool = False
    narrow: Mapping[str, Tensor] = field(default_factory=dict)

    def in_halves(self, name: str) -> bool:
        """Whether an input is a constant that is stored in fp16, and the target reads that."""
        stored = self.narrow.get(name)
        return self.halves and stored is not None and stored.spec.dtype.name == "fp16"

    def layout(self, name: str) -> str:
        """The layout of an input or result."""
        return self.layouts.get(name, PLAIN)

    def stored(self, name: str) -> tuple[int, ...]:
        """The shape of an input or result as it lies in memory; (0,) if it is absent."""
        spec = self.specs.get(name)
        return (0,) if spec is None else stored_shape(spec.shape, self.layout(name), self.lanes)

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of an input or result; (0,) if it is absent."""
        spec = self.specs.get(name)
        return (0,) if spec is None else spec.shape

    def flat(self, name: str) -> View:
        """An input or result as one flat array."""
        return View(name, (prod(self.stored(name)),))

    def planes(self, name: str, trailing: int = 2) -> View:
        """An input or result with all but its last `trailing` axes collapsed into the first."""
        shape = self.stored(name)
        cut = len(shape) - trailing
        return View(name, (prod(shape[:cut]), *shape[cut:]))


Bind = Callable[[Call], "Mapping[str, Any] | Stage | Sequence[Stage]"]


@dataclass(frozen=True, eq=False)
class Kernel:
    """An entry of the kernel registry.

    when      predicate: True, or the reason why not, in words
    score     of several kernels that serve a call, the highest is tried first; see lower for what a reorder costs
    split     see Stage; None is every array for an Elementwise layer, none otherwise
    inplace   results may lie over these inputs if nobody reads them afterwards
    layouts   input or result -> the layout it must have, or SAME; plain if not named
    """

    name: str
    layer: str
    device: str
    dtype: str
    function: Callable
    elementwise: bool
    bind: Bind | None = None
    split: Sequence[str] | None = None
    when: Callable[[Call], bool | str] | None = None
    score: float = 1.0
    inplace: Sequence[str] = ()
    layouts: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def parameters(self) -> tuple[str, ...]:
        """The function's parameter names."""
        return tuple(inspect.signature(self.function).parameters)

    def refuses(self, call: Call) -> str:
        """'' if this kernel serves the call, else why it does not."""
        verdict = True if self.when is None else self.when(call)
        if isinstance(verdict, str) and verdict:
            return verdict
        return "" if verdict else f"{self.name} does not serve these attributes"

    def stages(self, call: Call) -> list[Stage]:
        """The bound calls that this kernel makes, every parameter resolved."""
        bound = {} if self.bind is None else self.bind(call)
        stages = [bound] if isinstance(bound, (Stage, Mapping)) else list(bound)
        return [self._resolved(s if isinstance(s, Stage) else Stage(s), call) for s in stages]

    def _resolved(self, stage: Stage, call: Call) -> Stage:
        function = stage.function or self.function
        names = [p for p in inspect.signature(function).parameters if p not in SHARE]
        params = {name: self._resolve(name, stage.params, call) for name in names}
        split = stage.split if stage.split is not None else self.split
        if split is None:
            arrays = [k for k, v in params.items() if isinstance(v, View) and v.shape != (0,)]
            split = arrays if self.elementwise else ()
        lengths = {name: params[name].shape[0] for name in split}
        if len(set(lengths.values())) > 1:
            raise CompileError(f"kernel {self.name}: {call.layer}: cannot split {lengths}: lengths differ")
        return Stage(params, tuple(split), function, stage.lies)

    def _resolve(self, name: str, params: Mapping[str, Any], call: Call) -> Any:
        """What a parameter is: as bound, or the tensor or the attribute of that name."""
        if name in params:
            return params[name]
        if name in call.specs:
            spec = call.specs[name]
            if spec is None:
                return View(name, (0,))
            return call.flat(name) if self.elementwise else View(name, call.stored(name))
        if name in call.layer.declared:
            return getattr(call.layer, name)
        raise CompileError(
            f"kernel {self.name}: {call.layer} has no input, result or attribute {name!r}; bind it"
        )


kernels: Registry[Kernel] = Registry("kernel")


def kernel(
    layer: type[Layer],
    *,
    device: str,
    dtype: str = "fp32",
    bind: Bind | None = None,
    split: Sequence[str] | None = None,
    when: Callable[[Call], bool | str] | None = None,
    score: float = 1.0,
    inplace: Sequence[str] | None = None,
    layouts: Mapping[str, str] | None = None,
    name: str = "",
    **options: Any,
) -> Callable[[Callable], Callable]:
    """Register a function as a kernel of a layer; see Kernel for the arguments. Returns the function itself.

    The registered name is 'device/dtype/Layer/function', or `name` in the function's place. `options` are the
    target's own. Raises RegistryError.
    """

    def register(function: Callable) -> Callable:
        elementwise = issubclass(layer, Elementwise)
        full = f"{device}/{dtype}/{layer.type}/{name or function.__name__}"
        entry = Kernel(
            full, layer.type, device, dtype, function, elementwise, bind, split, when, score,
            inplace if inplace is not None else layer.parameters[:1] if elementwise else (),
            layouts if layouts is not None else _any_layout(layer) if elementwise else {}, options,
        )  # fmt: skip
        kernels.add(full, entry, function.__module__)
        return function

    return register


def _any_layout(layer: type[Layer]) -> dict[str, str]:
    """An Elementwise layer does not care how its tensors lie, as long as they lie alike."""
    return dict.fromkeys([*layer.parameters, *layer.results], SAME)


def candidates(layer: Layer, device: str, dtype: str) -> list[Kernel]:
    """The kernels registered for a layer's type on a device, highest score first.

    A layer on integers has kernels in int8 alone, and runs by them in a plan of any dtype.
    """
    of_layer = [k for k in kernels.values() if (k.layer, k.device) == (layer.type, device)]
    found = [k for k in of_layer if k.dtype == dtype] or [k for k in of_layer if k.dtype == "int8"]
    return sorted(found, key=lambda k: -k.score)
