"""rounds: a batch of large images, a few of them at a time.

What a layer writes for sixteen images has left the cache before the next layer reads it; for two of them it is still
there. So where no layer looks at more than one image, the first layers of a net run for some images, then for the next
ones, until the batch is through. From the first layer on whose weights are many, and more than what it reads and
writes, like AlexNet's fc6, all images are computed at once, so that weights are read once.

    data -> Round -> conv1 .. pool5 -> Batch -> fc6 ..

The net says so by two layers that are no work: what a round reads is a part of the whole tensor, `Round`, and what it
writes lies in its place in the whole tensor, `Batch`. The plan then holds the steps between them once for each round.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from .errors import FbnetError
from .layer import Attribute, Layer
from .net import Net
from .tensor import Spec

MOST = 2  # images in a round, if they are large: weights are then read half as often as for one
ROUND = 1 << 20  # bytes that a layer reads and writes in a round, at most, if images are small
CACHED = 4 << 20  # bytes: a layer that reads and writes no more for the whole batch gains nothing
LIGHT = 1 << 20  # bytes of weights that may be read in every round


class Round(Layer):
    """Some images of x: `images` of them, or all if there are fewer."""

    type: ClassVar[str] = "Round"
    alias: ClassVar[bool] = True
    parameters: ClassVar[tuple[str, ...]] = ("x",)
    declared: ClassVar[dict[str, Attribute]] = {"images": Attribute("images", int, Attribute.REQUIRED)}

    def infer(self, x: Spec) -> Spec:  # type: ignore[override]
        return x.replace(shape=(min(int(self.images), int(x.shape[0])), *x.shape[1:]))


class Batch(Layer):
    """All images, of which x has those of a round; as many as `whole` has, the tensor that was divided."""

    type: ClassVar[str] = "Batch"
    alias: ClassVar[bool] = True
    parameters: ClassVar[tuple[str, ...]] = ("x", "whole")

    def infer(self, x: Spec, whole: Spec) -> Spec:  # type: ignore[override]
        return x.replace(shape=(whole.shape[0], *x.shape[1:]))


def in_rounds(net: Net, specs: Mapping[str, Spec]) -> Net | None:
    """The net with a Round and a Batch around its first layers; None if all images are to be computed at once.

    specs  of every tensor, for the shapes at hand
    """
    inputs = [name for name in net.inputs if specs[name].ndim]
    batches = {int(specs[name].shape[0]) for name in inputs}
    if len(batches) != 1 or len(inputs) != len(net.inputs):
        return None
    (batch,) = batches
    if batch <= MOST:
        return None
    images = _divisor(batch, MOST)
    try:
        few = net.specs({name: (images, *map(int, specs[name].shape[1:])) for name in inputs})
    except FbnetError:  # a size of the batch is written into a layer
        return None
    first = _first(net, specs, few, batch, images)
    largest = max((_moved(layer, net, specs) for layer in first), default=0)
    if largest <= CACHED:
        return None
    return _divided(net, first, _divisor(batch, max(MOST, ROUND * batch // largest)))


def _divisor(number: int, most: int) -> int:
    """The largest divisor that is at most `most`."""
    return next(n for n in range(min(most, number), 0, -1) if number % n == 0)


def _first(
    net: Net, specs: Mapping[str, Spec], few: Mapping[str, Spec], batch: int, images: int
) -> list[Layer]:
    """The layers from the beginning on that are to run in rounds."""
    found: list[Layer] = []
    for layer in net.layers:
        tensors = [t for t in (*layer.inputs, *layer.outputs) if t and t not in net.constants]
        along = all(_is_batch(specs[t], few[t], batch, images) for t in tensors)
        weights = sum(net.constants[i].spec.nbytes for i in layer.inputs if i in net.constants)
        if not along or not layer.apart(*(few.get(i) for i in layer.inputs)):
            break
        if weights > max(LIGHT, _moved(layer, net, specs)):
            break
        found.append(layer)
    while found and found[-1].alias:  # no work: it may as well be done for all
        found.pop()
    return found


def _is_batch(whole: Spec, few: Spec, batch: int, images: int) -> bool:
    """Whether a tensor has an image for each of the batch along axis 0, and sizes that do not depend on how many."""
    return (
        whole.ndim > 0
        and (int(whole.shape[0]), int(few.shape[0])) == (batch, images)
        and list(map(int, whole.shape[1:])) == list(map(int, few.shape[1:]))
    )


def _moved(layer: Layer, net: Net, specs: Mapping[str, Spec]) -> int:
    """Bytes of images that a layer reads and writes."""
    if layer.alias:
        return 0
    return sum(
        specs[t].concrete.nbytes for t in (*layer.inputs, *layer.outputs) if t and t not in net.constants
    )


def _divided(net: Net, first: Sequence[Layer], images: int) -> Net | None:
    """The net with its first layers between Round and Batch."""
    rest = net.layers[len(first) :]
    read = {i for layer in rest for i in layer.inputs} | set(net.outputs)
    entering = [name for name in net.inputs if any(name in layer.inputs for layer in first)]
    leaving = [o for layer in first for o in layer.outputs if o in read]
    aliased = {layer.outputs[0] for layer in first if layer.alias}
    if aliased & set(leaving):  # its bytes would be at two places of the batch
        return None
    inside = {name: f"{name}/round" for name in (*entering, *leaving)}
    rounds: list[Layer] = [Round(x, name=inside[x], outputs=[inside[x]], images=images) for x in entering]
    for layer in first:
        wired = [inside.get(i, i) for i in layer.inputs]
        rounds.append(layer.replace(inputs=wired, outputs=[inside.get(o, o) for o in layer.outputs]))
    rounds += [Batch(inside[y], entering[0], name=f"{y}/batch", outputs=[y]) for y in leaving]
    return net.replace(layers=[*rounds, *rest], plans={}, tests=())


def span(net_layers: Sequence[Layer], specs: Mapping[str, Spec]) -> tuple[int, int]:
    """(end, count): the layers before `end` run `count` times; (0, 1) if there are no rounds."""
    ends = [i for i, layer in enumerate(net_layers) if isinstance(layer, (Round, Batch))]
    if not ends:
        return 0, 1
    x, part = (specs[name] for name in (net_layers[0].inputs[0], net_layers[0].outputs[0]))
    return ends[-1] + 1, int(x.shape[0]) // int(part.shape[0])
