"""lower: pick a kernel for every layer, and the layout of every tensor.

Of the kernels registered for a layer's type, device and dtype, highest score first, the first one that does not refuse.
Each input that would have to be brought into another layout first takes REORDER off a kernel's score: a convolution in
blocks (4) is worth its reorder, a pooling in blocks (1.5) only where its input lies in blocks already.

A batch is computed by the kernels that were chosen for one of its images: what a net answers does not depend on who
else is in the batch.

Why the others were refused is kept, so that nothing falls to something slow in silence: a layer that no kernel serves
runs by its reference on the host, and a warning says so.

A tensor keeps the layout in which its kernel writes it. Where a kernel wants another, a reorder is put between, which
is no work where both layouts are the same bytes.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from .device import Device
from .errors import CompileError
from .kernel import Call, Kernel, Stage, candidates
from .layer import Layer, layers
from .layout import PLAIN, SAME, same_bytes, stored_name
from .net import Net
from .progress import report
from .rounds import Batch, Round, span
from .share import Shares
from .tensor import Spec

MAX_WORKSPACE = 64 << 20  # bytes that a step's working memory may take, if the caller does not say
GROWTH = (
    1.5  # of constants, that a compact plan does not allow: blocks are filled up, but nothing is transformed
)
REORDER = 1.0  # what an input in another layout than the kernel's takes off its score


class HostFallback(UserWarning):
    """A layer runs by its numpy reference, since the device has no kernel for it."""


@dataclass(frozen=True)
class Lowered:
    """A layer and how it will be computed: the stages of a kernel, or, without one, its reference.

    The layer's inputs and outputs are tensors as they are stored: 'conv1@blocked'.

    alias    the output is the input's bytes: no work, no stages
    threads  how many are to share the work, at most
    """

    layer: Layer
    kernel: Kernel | None
    stages: list[Stage]
    why: str
    alias: bool = False
    threads: int = 1


@dataclass(frozen=True)
class Choice:
    """A kernel for a layer, or None; the layouts of its parameters, its stages, and why it was chosen."""

    kernel: Kernel | None
    layouts: Mapping[str, str]
    stages: list[Stage]
    why: str


@dataclass(frozen=True)
class LoweredNet:
    """The lowered layers in order, and of every stored tensor its Spec and layout."""

    items: list[Lowered]
    specs: dict[str, Spec]
    layouts: dict[str, str]

    @property
    def rounds(self) -> tuple[int, int]:
        """(end, count): the items before `end` run `count` times, see engine/rounds.py."""
        return span([item.layer for item in self.items], self.specs)


Fastest = Callable[[Layer, Sequence[Kernel], int], tuple[Kernel, str]]


def lower(
    net: Net,
    device: Device,
    dtype: str,
    specs: Mapping[str, Spec],
    shares: Shares,
    only: str = "",
    *,
    one: tuple[Mapping[str, Spec], Shares] | None = None,
    fastest: Fastest | None = None,
    max_workspace: int = MAX_WORKSPACE,
    compact: bool = False,
) -> LoweredNet:
    """Choose for every layer of the net. `specs` are concrete. Raises CompileError.

    only           a kernel's registered name: no other is considered for its layer type, as when it is to be tested
    one            specs and shares of a batch of one, which kernels are chosen for; by default those of the net itself
    fastest        (layer, kernels in the order of their scores, threads) -> one of them, and why; else the first
    max_workspace  bytes of working memory that a step may take, unless no kernel takes less
    compact        take no kernel that keeps a layer's constants in GROWTH times their bytes, unless all do
    """
    lowering = _Lowering(
        net, device, dtype, specs, shares, only, one or (specs, shares), fastest, max_workspace, compact
    )
    for number, layer in enumerate(net.layers):
        report(str(layer), number, len(net.layers))
        lowering.add(layer)
    for output in net.outputs:
        lowering.stored(output, PLAIN)
    return LoweredNet(lowering.items, lowering.specs, lowering.layouts)


def call_of(
    layer: Layer,
    net: Net,
    specs: Mapping[str, Spec],
    threads: int,
    device: Device,
    layouts: Mapping[str, str] | None = None,
) -> Call:
    """What a kernel may know about a layer: its specs and constants by the names that `reference` uses."""
    names = [*layer.parameters, *layer.input_names()[len(layer.parameters) :]]
    given = dict(zip(layer.input_names(), layer.inputs, strict=True))
    found: dict[str, Spec | None] = {name: specs[given[name]] if given.get(name) else None for name in names}
    found |= {r: specs[output] for r, output in zip(layer.output_names(), layer.outputs, strict=True)}
    constants = _Constants({name: tensor for name, tensor in given.items() if tensor in net.constants}, net)
    stored = {name: net.constants[tensor].narrow for name, tensor in given.items() if tensor in net.constants}
    narrow = {name: tensor for name, tensor in stored.items() if tensor is not None}
    return Call(
        layer, found, constants, threads, device.lanes, device.registers, layouts or {},
        dots=device.dots, shift=device.shift, halves=device.halves, narrow=narrow,
    )  # fmt: skip


class _Constants(Mapping[str, np.ndarray]):
    """A layer's constants by parameter name, each fetched only when a kernel asks for it."""

    def __init__(self, names: Mapping[str, str], net: Net):
        self.names, self.net = names, net

    def __getitem__(self, parameter: str) -> np.ndarray:
        data = self.net.constants[self.names[parameter]].data
        assert data is not None
        return data

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


class _Lowering:
    """The state of lowering a net: what is lowered so far, and in which layouts each tensor is there."""

    def __init__(
        self,
        net: Net,
        device: Device,
        dtype: str,
        specs: Mapping[str, Spec],
        shares: Shares,
        only: str,
        one: tuple[Mapping[str, Spec], Shares],
        fastest: Fastest | None,
        max_workspace: int,
        compact: bool,
    ):
        self.one_specs, self.one_shares = one
        self.fastest, self.max_workspace, self.compact = fastest, max_workspace, compact
        self.net, self.device, self.dtype, self.shares, self.only = net, device, dtype, shares, only
        self.items: list[Lowered] = []
        self.logical = specs
        self.specs = dict(specs)  # by stored name
        self.layouts: dict[str, str] = {}
        self.there: dict[str, list[str]] = {name: [PLAIN] for name in [*net.inputs, *net.constants]}

    def add(self, layer: Layer) -> None:
        """Lower one layer, and what must come before it."""
        if layer.alias:
            layout = self.there[layer.inputs[0]][0] if isinstance(layer, (Round, Batch)) else PLAIN
            same = {layer.input_names()[0]: layout, layer.output_names()[0]: layout}
            self._emit(layer, Choice(None, same, [], "an alias"))
            return
        choice = self._choose(layer)
        if choice.kernel is None and self.device.has_kernels:
            warn_of_fallback(layer, choice.why)
        self._emit(layer, choice)

    def _choose(self, layer: Layer) -> Choice:
        if not self.device.has_kernels:
            return Choice(None, {}, [], f"{self.device.name} runs every layer by its reference")
        choices = [
            (kernel, self._layouts(layer, kernel))
            for kernel in candidates(layer, self.device.name, self.dtype)
            if not self.only or self.only == kernel.name or layer.type != self.only.split("/")[2]
        ]
        choices.sort(key=lambda choice: REORDER * self._reorders(layer, choice[1]) - choice[0].score)
        refusals: list[str] = []
        serving: list[tuple[Kernel, dict[str, str]]] = []
        for kernel, layouts in choices:
            reason = kernel.refuses(self._call(layer, layouts)) or kernel.refuses(self._asked(layer, layouts))
            if not reason:
                serving.append((kernel, layouts))
            elif not serving:
                refusals.append(f"{kernel.name.split('/')[-1]}: {reason}")
        if not serving:
            nothing = f"no kernel for {layer.type} on {self.device.name} in {self.dtype}"
            return Choice(None, {}, [], "; ".join(refusals) or nothing)
        return self._first_that_fits(layer, serving, refusals)

    def _first_that_fits(
        self, layer: Layer, serving: list[tuple[Kernel, dict[str, str]]], refusals: list[str]
    ) -> Choice:
        """Of the kernels that serve a layer the best one, by measurement if that is asked for, within the workspace."""
        (best, layouts), why = serving[0], f"score {serving[0][0].score:g}"
        if self.fastest is not None:  # of those that want their tensors alike: layouts are chosen by score
            alike = [k for k, wanted in serving if wanted == layouts]
            best, measured = self.fastest(layer, alike, self.one_shares.of(layer))
            why = measured or why
        serving.sort(key=lambda choice: choice[0] is not best)  # the others stay in their order
        tried = []
        for kernel, layouts in serving:
            stages = kernel.stages(self._call(layer, layouts))
            too_large = self._too_large(layer, stages) if len(serving) > 1 else ""
            if not too_large:
                reasons = "".join(f"; not {r}" for r in refusals)
                return Choice(kernel, layouts, stages, (why if kernel is best else "it fits") + reasons)
            refusals.append(f"{kernel.name.split('/')[-1]}: {too_large}")
            tried.append((kernel, layouts, stages))
        kernel, layouts, stages = min(tried, key=lambda t: sum(s.workspace + s.packed for s in t[2]))
        return Choice(kernel, layouts, stages, "; ".join(refusals))

    def _too_large(self, layer: Layer, stages: Sequence[Stage]) -> str:
        """Why a kernel takes more memory than is asked for; '' if it does not."""
        needed = max((stage.workspace for stage in stages), default=0)
        if needed > self.max_workspace:
            return f"it needs {needed:,} bytes of workspace"
        kept = sum(stage.packed for stage in stages)
        given = sum(
            self.net.constants[name].spec.nbytes for name in layer.inputs if name in self.net.constants
        )
        if self.compact and kept >= GROWTH * given > 0:
            return f"it keeps {given:,} bytes of constants in {kept:,}"
        return ""

    def _layouts(self, layer: Layer, kernel: Kernel) -> dict[str, str]:
        """The layouts that a kernel would work in here; SAME is the one that most of its inputs have already."""
        names = dict(zip(layer.input_names(), layer.inputs, strict=True))
        variadic = kernel.layouts.get(f"*{layer.variadic}", PLAIN) if layer.variadic else PLAIN
        wanted = {n: kernel.layouts.get(n, variadic if n not in layer.parameters else PLAIN) for n in names}
        wanted |= {r: kernel.layouts.get(r, kernel.layouts.get("*", PLAIN)) for r in layer.output_names()}
        has = [self.there[names[n]] for n, w in wanted.items() if w == SAME and names.get(n)]
        same = max(
            (layout for layouts in has for layout in layouts), default=PLAIN, key=lambda x: _votes(x, has)
        )
        return {name: same if layout == SAME else layout for name, layout in wanted.items()}

    def _reorders(self, layer: Layer, layouts: Mapping[str, str]) -> int:
        """How many inputs are not there yet in these layouts, nor as the same bytes."""
        given = zip(layer.input_names(), layer.inputs, strict=True)
        return sum(
            not any(self._same_bytes(tensor, layouts.get(name, PLAIN), there) for there in self.there[tensor])
            for name, tensor in given
            if tensor
        )

    def _same_bytes(self, tensor: str, a: str, b: str) -> bool:
        return same_bytes(self.logical[tensor].concrete.shape, a, b, self.device.lanes)

    def _call(self, layer: Layer, layouts: Mapping[str, str]) -> Call:
        return call_of(layer, self.net, self.logical, self.shares.of(layer), self.device, layouts)

    def _asked(self, layer: Layer, layouts: Mapping[str, str]) -> Call:
        """The call that a kernel is chosen for."""
        threads = self.one_shares.of(layer)
        return call_of(layer, self.net, self.one_specs, threads, self.device, layouts)

    def _emit(self, layer: Layer, choice: Choice) -> None:
        inputs = tuple(
            self.stored(tensor, choice.layouts.get(name, PLAIN)) if tensor else tensor
            for name, tensor in zip(layer.input_names(), layer.inputs, strict=True)
        )
        outputs = tuple(
            self._written(tensor, choice.layouts.get(result, PLAIN))
            for result, tensor in zip(layer.output_names(), layer.outputs, strict=True)
        )
        placed = layer.replace(inputs=inputs, outputs=outputs)
        threads = self.shares.of(layer)
        self.items.append(Lowered(placed, choice.kernel, choice.stages, choice.why, layer.alias, threads))

    def stored(self, tensor: str, layout: str) -> str:
        """The stored name of a tensor in a layout, after a reorder if it is not there in it yet."""
        if layout not in self.there[tensor]:
            source = self.there[tensor][0]
            reorder = layers[self.device.reorder](
                tensor, name=f"{tensor}@{layout} from {source}", outputs=[tensor]
            )
            name, output = stored_name(tensor, source), self._written(tensor, layout)
            item = reorder.replace(inputs=(name,), outputs=(output,))
            if self._same_bytes(tensor, source, layout):
                self.items.append(Lowered(item, None, [], "the same bytes", alias=True))
                return output
            wanted = {"x": source, "y": layout}
            kernel = next(
                (k for k in candidates(reorder, self.device.name, self.dtype) if dict(k.layouts) == wanted),
                None,
            )
            if kernel is None:
                raise CompileError(f"{self.device.name} cannot bring {tensor!r} from {source} to {layout}")
            call = replace(self._call(reorder, wanted), layouts=wanted)
            why = f"{source} to {layout}"
            self.items.append(Lowered(item, kernel, kernel.stages(call), why, threads=call.threads))
        return stored_name(tensor, layout)

    def _written(self, tensor: str, layout: str) -> str:
        """Take note that a tensor is there in a layout; returns its stored name."""
        name = stored_name(tensor, layout)
        self.there.setdefault(tensor, []).append(layout)
        self.specs[name] = self.logical[tensor]
        self.layouts[name] = layout
        return name


def _votes(layout: str, has: list[list[str]]) -> tuple[int, bool]:
    """How many inputs are there in a layout; between equals, the one that is not plain."""
    return sum(layout in layouts for layouts in has), layout != PLAIN


def warn_of_fallback(layer: Layer, why: str) -> None:
    """Say aloud that a layer runs on the host; also when its plan was made in another process."""
    warnings.warn(f"{layer} runs by its numpy reference: {why}", HostFallback, stacklevel=2)
