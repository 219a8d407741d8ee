"""places: where every tensor of a plan lies, so that as few bytes as possible are moved and held."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from .device import Device
from .dtype import dtypes
from .errors import CompileError
from .kernel import Scratch
from .layout import PLAIN, stored_shape
from .lower import Lowered, LoweredNet
from .memory import Block, arrange
from .net import Net
from .plan import ARENA, Place, Stored
from .rounds import Batch, Round
from .tensor import Spec


class Places:
    """Where every stored tensor and every stage's scratch lies.

    Time is the index of a lowered layer; inputs are written before time 0, and outputs are read after the end. Inputs
    stay whole to the end as well, so that a session may run again without setting them again.

    Several tensors can share the bytes of one, their root: the result of a layer that only gives a new shape, a result
    written over an input, a part of a whole (see Stage.lies).
    """

    def __init__(self, net: Net, device: Device, lowered: LoweredNet):
        self.net, self.device, self.specs, self.layouts = net, device, lowered.specs, lowered.layouts
        specs = lowered.specs
        self.constants: list[np.ndarray | str] = []
        self.left_out: set[tuple[int, int]] = set()  # (time, stage) of copies that need not be made
        self._regions: dict[str | int, int] = {}
        self._roots: dict[str, tuple[str, int]] = {}  # tensor -> (root, offset in bytes)
        self._divided: set[str] = set()  # roots that hold parts
        items = self._items = lowered.items
        self.rounds = lowered.rounds[1]
        self._whole: set[str] = set()  # roots that a round has a part of
        for item in items:
            if isinstance(item.layer, Round):
                self._roots[item.layer.outputs[0]] = self.root(item.layer.inputs[0])
                self._whole.add(item.layer.inputs[0])
            elif isinstance(item.layer, Batch):
                part, whole = item.layer.inputs[0], item.layer.outputs[0]
                for name in [part, *(n for n, (root, _) in self._roots.items() if root == part)]:
                    self._roots[name] = (whole, 0)
                self._whole.add(whole)
            elif item.alias:
                given, made = (specs[n].concrete for n in (item.layer.inputs[0], item.layer.outputs[0]))
                if given.nbytes != made.nbytes:
                    raise CompileError(f"{item.layer} is an alias, but makes {made} of {given}: bytes differ")
                self._roots[item.layer.outputs[0]] = self.root(item.layer.inputs[0])
        self._last_use = self._uses(items)
        self._blocks: dict[str, Block] = {
            name: Block(self.nbytes(name), -1, len(items)) for name in net.inputs
        }
        for time, item in enumerate(items):
            if not item.alias:
                self._place_outputs(time, item, len(items))
        self._scratch: dict[tuple[int, int, str], Block] = {}
        scratch: dict[
            tuple[int, int], Block
        ] = {}  # by time and object: stages that name one object share its bytes
        for time, item in enumerate(items):
            for number, stage in enumerate(item.stages):
                for name, value in stage.params.items():
                    if isinstance(value, Scratch):
                        nbytes = int(np.prod(value.shape)) * dtypes[value.dtype].itemsize
                        block = scratch.setdefault((time, id(value)), Block(nbytes, time, time))
                        self._scratch[time, number, name] = block
        self.arena_bytes = arrange([*self._blocks.values(), *scratch.values()])

    def root(self, name: str) -> tuple[str, int]:
        """The tensor whose bytes this one shares, and where in them it begins; itself and 0 if it shares none."""
        return self._roots.get(name, (name, 0))

    def stored_shape(self, name: str) -> tuple[int, ...]:
        return stored_shape(self.specs[name].concrete.shape, self.layouts.get(name, PLAIN), self.device.lanes)

    def nbytes(self, name: str) -> int:
        """Bytes of a stored tensor."""
        return prod(self.stored_shape(name)) * self.specs[name].dtype.itemsize

    def _uses(self, items: Sequence[Lowered]) -> dict[str, int]:
        """Root tensor -> the last time it is read."""
        last = {self.root(o)[0]: len(items) for o in (*self.net.outputs, *self.net.inputs)}
        for time, item in enumerate(items):
            for name in item.layer.inputs:
                root = self.root(name)[0]
                last[root] = max(last.get(root, -1), time)
        return last

    def _place_outputs(self, time: int, item: Lowered, end: int) -> None:
        """Give every output its block, or its share of another's."""
        for output in item.layer.outputs:
            whole = self.root(output)[0]
            if whole in self._whole:  # is being filled from the first round on
                last = self._last_use.get(whole, time)
                self._blocks.setdefault(whole, Block(self.nbytes(whole), 0, last))
                continue
            host = self._overwritten(item, output, time)
            last = max(time, self._last_use.get(self.root(output)[0], time))
            if host is not None:
                self._share(output, host, 0)
                self._blocks[host].last = max(time, self._last_use[host])
            else:
                self._blocks[output] = Block(self.nbytes(output), time, last)
        names = dict(zip(item.layer.input_names(), item.layer.inputs, strict=True))
        names |= dict(zip(item.layer.output_names(), item.layer.outputs, strict=True))
        for number, stage in enumerate(item.stages):
            if stage.lies is not None:
                part, whole, offset = stage.lies
                if self._lay_inside(names[part], names[whole], offset):
                    self.left_out.add((time, number))

    def _overwritten(self, item: Lowered, output: str, time: int) -> str | None:
        """The root tensor that `output` may be written over: it dies here and its kernel can work in place."""
        if item.kernel is None or len(item.stages) != 1 or len(item.layer.outputs) != 1:
            return None
        for parameter, name in zip(item.layer.input_names(), item.layer.inputs, strict=True):
            host = self.root(name)[0]
            if parameter not in item.kernel.inplace or host not in self._blocks or host in self._divided:
                continue
            same_size = self._blocks[host].nbytes == self.nbytes(output)
            read_once = [self.root(i)[0] for i in item.layer.inputs].count(host) == 1
            if self._last_use[host] == time and same_size and read_once:
                return host
        return None

    def _lay_inside(self, part: str, whole: str, offset: int) -> bool:
        """Let `part` lie inside `whole` from element `offset` on, if nothing forbids it."""
        (root, at), (into, start) = self.root(part), self.root(whole)
        alone = root in self._blocks and at == 0 and self._blocks[root].nbytes == self.nbytes(part)
        fixed = {self.root(name)[0] for name in (*self.net.inputs, *self.net.outputs)}
        if not alone or root == into or root in fixed or into not in self._blocks:
            return False
        offset = start + offset * self.specs[part].dtype.itemsize
        block = self._blocks.pop(root)
        home = self._blocks[into]
        home.first, home.last = min(home.first, block.first), max(home.last, block.last)
        self._share(root, into, offset)
        self._divided.add(into)
        return True

    def _share(self, tensor: str, host: str, offset: int) -> None:
        """`tensor`, and whatever shares its bytes, lies `offset` bytes into `host`."""
        self._last_use[host] = max(self._last_use.get(host, -1), self._last_use.get(tensor, -1))
        self._roots[tensor] = (host, offset)
        for name, (root, at) in self._roots.items():
            if root == tensor:
                self._roots[name] = (host, at + offset)

    def place(self, name: str) -> Place:
        """Where a tensor lies."""
        root, offset = self.root(name)
        if root in self.net.constants:
            return Place(self.region(root), offset)
        return Place(ARENA, self._blocks[root].offset + offset)

    def stride(self, name: str) -> int:
        """How many bytes further a tensor lies in each round; 0 if it lies at the same place."""
        root = self.root(name)[0]
        return self.nbytes(root) // self.rounds if root in self._whole else 0

    def scratch(self, time: int, stage: int, name: str) -> Place:
        return Place(ARENA, self._scratch[time, stage, name].offset)

    def stored(self) -> list[Stored]:
        """Every tensor that has a place in the arena, in the order in which they are written, and all scratch."""
        writers = {o: item.layer.name for item in self._items for o in item.layer.outputs}
        found = []
        for name in [*self.net.inputs, *writers]:
            root, _ = self.root(name)
            if root not in self._blocks:
                continue  # a constant in another shape
            block, layout = self._blocks[root], self.layouts.get(name, PLAIN)
            spec, tensor = self.specs[name].concrete, name.removesuffix(f"@{layout}")
            times = (block.first, block.last, root if root != name else "")
            shape = self.stored_shape(name)
            found.append(Stored(tensor, writers.get(name, ""), self.place(name), spec, shape, layout, *times))
        scratch = {id(block): (block, time) for (time, _, _), block in self._scratch.items()}
        for block, time in scratch.values():
            place, spec = Place(ARENA, block.offset), Spec((block.nbytes,), "uint8")
            layer = self._items[time].layer.name
            found.append(Stored("", layer, place, spec, spec.shape, PLAIN, block.first, block.last))
        return found

    def region(self, constant: np.ndarray | str) -> int:
        """The region of a constant of the net, by name, or of a packed array."""
        key = constant if isinstance(constant, str) else id(constant)
        if key not in self._regions:
            self.constants.append(constant if isinstance(constant, str) else np.asarray(constant, order="C"))
            self._regions[key] = len(self.constants)
        return self._regions[key]
