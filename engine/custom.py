"""custom: a layer of a type that nobody has registered yet. A typed place that a researcher's registration fills.

    layer = custom("Frobnicate", "x", name="f", outputs=["y"], attributes={"alpha": 0.5})

It loads, saves and prints as any other, keeps its attributes and inputs, and is taken to keep its first input's spec.
It cannot run: that raises RegistryError, which names it. As soon as `@layer("Frobnicate")` has run, it is that layer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from .errors import AttributeValueError, RegistryError, did_you_mean
from .layer import Attribute, Layer, layers
from .tensor import Spec, Tensor

PACKAGE = __name__.split(".")[0] + ".layers."


class Placeholder(Layer):
    """y = what the registered layer of this type will say        x: (...) -> y: (...)

    Each instance has a class of its own: its type and the attributes that it was given.
    """

    variadic: ClassVar[str] = "xs"
    results: ClassVar[tuple[str, ...]] = ()

    @property
    def filled(self) -> Layer | None:
        """The layer of the class that is registered under this type by now; None if there is none."""
        if self.type not in layers:
            return None
        return layers[self.type](*self.inputs, name=self.name, outputs=self.outputs, **self.attributes)

    def infer(self, *specs: Spec | None) -> tuple[Spec, ...]:
        real = self.filled
        if real is not None:
            return real.infer_outputs(specs)
        first = next((spec for spec in specs if spec is not None), None)
        if first is None:
            raise self.unknown()
        return (first,) * len(self.outputs)

    def reference(self, *xs: np.ndarray | None) -> Any:
        real = self.filled
        if real is None:
            raise self.unknown()
        return real.compute(xs)

    def unknown(self) -> RegistryError:
        """The error of using it before its type is registered."""
        return RegistryError(
            f"{self}: layer type {self.type!r} is not registered.{did_you_mean(self.type, layers)} "
            f"Import the module that registers it"
        )


def custom(
    type: str,
    *inputs: str | np.ndarray | Tensor | None,
    name: str,
    outputs: Sequence[str],
    attributes: Mapping[str, Any],
) -> Layer:
    """A layer of the class registered under this type; of a Placeholder if there is none.

    Raises AttributeValueError for attributes that no layer can have: they are int, float, bool, str, or a tuple of one
    of these.
    """
    if type in layers and layers.owner(type).startswith(PACKAGE):
        raise AttributeValueError(
            f"{name} ({type}): fbnet has another layer of this name, of another meaning"
        )
    if type in layers:
        return layers[type](*inputs, name=name, outputs=outputs, **attributes)
    declared = {}
    for key, value in sorted(attributes.items()):  # in the order in which a file returns them
        if not key.isidentifier() or hasattr(Layer, key) or key in ("name", "inputs", "outputs", "filled"):
            raise AttributeValueError(f"{name} ({type}): its attribute {key!r} has a name that layers use")
        try:
            declared[key] = Attribute(key, _kind(value), Attribute.REQUIRED)
        except AttributeValueError:
            raise AttributeValueError(f"{name} ({type}): its attribute {key!r} is {value!r:.60}") from None
    return _class_of(type, declared)(*inputs, name=name, outputs=outputs, **attributes)


def _class_of(layer_type: str, declared: dict[str, Attribute]) -> type[Placeholder]:
    """The class of a placeholder of this type."""
    return type("Placeholder", (Placeholder,), {"type": layer_type, "declared": declared})


def _kind(value: Any) -> Any:
    """The kind of attribute that a value is; a list of numbers that are not all whole is one of floats."""
    if isinstance(value, np.generic):
        value = value.item()
    if not isinstance(value, (list, tuple)):
        return value.__class__
    kinds = {_kind(item) for item in value} or {int}
    kind = float if kinds == {int, float} else kinds.pop() if len(kinds) == 1 else None
    return _TUPLES.get(kind)


_TUPLES: dict[Any, Any] = {
    int: tuple[int, ...],
    float: tuple[float, ...],
    bool: tuple[bool, ...],
    str: tuple[str, ...],
}


def filled(net_layers: Iterable[Layer]) -> list[Layer]:
    """The layers, with every placeholder that is registered by now as the layer it stands for."""
    return [(layer.filled or layer) if isinstance(layer, Placeholder) else layer for layer in net_layers]


def refuse_placeholders(net_layers: Iterable[Layer]) -> None:
    """Raises RegistryError that names every type that is still unknown."""
    unknown = [layer for layer in net_layers if isinstance(layer, Placeholder) and layer.filled is None]
    if unknown:
        also = sorted({str(layer) for layer in unknown[1:]})
        raise RegistryError(str(unknown[0].unknown()) + (f"; likewise for {', '.join(also)}" if also else ""))
