"""Layer: the one class a researcher writes, and the registry it goes into.

    @layer("ELU")
    class ELU(Elementwise):
        '''y = x if x > 0 else alpha * (exp(x) - 1)        x: (...) -> y: (...)'''
        alpha: float = 1.0

        def reference(self, x):
            return np.where(x > 0, x, self.alpha * np.expm1(x))

The class body says everything once. Annotated names are the attributes (kind and default): the file, the
command line and the catalogue read them here. The parameters of `reference` are the inputs: one with a default is
optional, `*xs` takes any number. `reference` is the layer's definition, in numpy.

An instance is one layer of a net: its attributes, its name, and the names of the tensors it reads and writes.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, get_args, get_origin

import numpy as np

from .dtype import dtype_of
from .errors import AttributeValueError, FbnetError, InputError, ShapeError, did_you_mean
from .registry import Registry
from .tensor import Spec, Tensor

ABSENT = ""  # the input name of an optional input that is not given


class Attribute:
    """One declared attribute of a layer class: name, kind (int, float, bool, str, or a tuple of one), default."""

    REQUIRED = object()

    def __init__(self, name: str, kind: Any, default: Any):
        self.name, self.kind, self.default = name, kind, default
        self.element = get_args(kind)[0] if get_origin(kind) is tuple else None
        if (self.element or kind) not in (int, float, bool, str):
            raise AttributeValueError(
                f"attribute {name!r} is declared as {kind!r}: use int, float, bool, str or a tuple[kind, ...]"
            )

    def coerce(self, value: Any) -> Any:
        """`value` as this attribute's kind. Raises TypeError or ValueError if it is of another."""
        if self.element is None:
            return _scalar(self.kind, value)
        if isinstance(value, (str, bytes)) or not isinstance(value, (Sequence, np.ndarray)):
            raise TypeError(value)
        return tuple(_scalar(self.element, v) for v in value)

    def __str__(self) -> str:
        kind = f"tuple[{self.element.__name__}, ...]" if self.element else self.kind.__name__
        return f"{self.name}: {kind}" + ("" if self.default is self.REQUIRED else f" = {self.default!r}")


def _scalar(kind: type, value: Any) -> Any:
    """`value` as an int, float, bool or str; 3.0 is no int and 1 is a float and a bool."""
    if isinstance(value, np.generic):
        value = value.item()
    if kind is float and isinstance(value, int):
        return float(value)
    if kind is bool and value in (0, 1):
        return bool(value)
    if (kind is int and isinstance(value, bool)) or not isinstance(value, kind):
        raise TypeError(value)
    return value


class Layer:
    """A step of a net. Subclass it (or Elementwise) under `@layer("Type")`.

    type       the registered type name, set by the decorator
    results    the names of the outputs, as formulas and kernels call them; () for any number of them
    alias      True: the output is input 0's bytes under another shape, and no work is ever done

    `Layer("data", w, name="fc", alpha=2)`: positional arguments are the inputs: a tensor's name, an array or a
    Tensor (which become constants of the net), or None for an optional input that is left out. Without
    `outputs`, a layer with one output calls it by the layer's own name.
    """

    type: ClassVar[str] = ""
    results: ClassVar[tuple[str, ...]] = ("y",)
    alias: ClassVar[bool] = False
    declared: ClassVar[dict[str, Attribute]] = {}
    parameters: ClassVar[tuple[str, ...]] = ()  # the inputs of `reference`, in order
    optional: ClassVar[frozenset[str]] = frozenset()
    variadic: ClassVar[str] = ""  # 'xs' if reference takes *xs

    def __init__(
        self,
        *inputs: str | np.ndarray | Tensor | None,
        name: str = "",
        outputs: Sequence[str] = (),
        **attributes: Any,
    ):
        self.name = name
        self.inputs: tuple[Any, ...] = tuple(ABSENT if i is None else i for i in inputs)
        self.outputs: tuple[str, ...] = tuple(outputs)
        for key in attributes:
            if key not in self.declared:
                known = ", ".join(map(str, self.declared.values())) or "none"
                raise AttributeValueError(
                    f"{self} has no attribute {key!r}.{did_you_mean(key, self.declared)} It takes: {known}"
                )
        for key, attribute in self.declared.items():
            value = attributes.get(key, attribute.default)
            if value is Attribute.REQUIRED:
                raise AttributeValueError(f"{self} needs the attribute {attribute}")
            try:
                setattr(self, key, attribute.coerce(value))
            except (TypeError, ValueError, OverflowError):
                raise AttributeValueError(f"{self}: {attribute} cannot be {value!r}") from None
        self.check()

    if TYPE_CHECKING:  # attributes are declared by each class

        def __getattr__(self, name: str) -> Any: ...

    # -- what a layer author writes ------------------------------------------------------------------------

    def check(self) -> None:
        """Refuse attribute values that make no sense, with AttributeValueError. Called at construction."""

    def infer(self, *specs: Spec | None) -> Spec | tuple[Spec, ...]:
        """Input specs (None for an absent optional input) -> output spec(s). Raises ShapeError.

        The default runs `reference` on zeros. Write it out for layers on large tensors, and to keep symbolic
        dimensions: they are ints, so ordinary arithmetic keeps them.
        """
        zeros = [None if s is None else np.zeros(s.concrete.shape, s.dtype.storage) for s in specs]
        with np.errstate(all="ignore"):  # zeros are no real input: 0 / 0 is nothing to warn of
            results = self.compute(zeros)
        return tuple(Spec(r.shape, dtype_of(r)) for r in results)

    def reference(self, *arrays: Any) -> Any:
        """Input arrays (None for absent) -> output array(s), in numpy: the definition of the layer."""
        raise NotImplementedError(f"{self.type or type(self).__name__} defines no reference")

    def macs(self, *specs: Spec | None) -> int:
        """Multiply-adds of one run, by the convention of the field: only convolutions and products count."""
        return 0

    def apart(self, *specs: Spec | None) -> bool:
        """Whether the images of a batch, the items along axis 0, are computed apart, none of them from another.

        Specs as `infer` gets them. A batch of large images is then computed a few at a time (engine/rounds.py). The
        default is what is always right: no. `each_image` and `each_image_off_axis_0` are the answers of most layers.
        """
        return False

    # -- what the engine uses ------------------------------------------------------------------------------

    @property
    def attributes(self) -> dict[str, Any]:
        """Every declared attribute and its value."""
        return {key: getattr(self, key) for key in self.declared}

    def replace(self, **changes: Any) -> Layer:
        """A copy with another name, other inputs, outputs or attributes."""
        wiring = {key: changes.pop(key, getattr(self, key)) for key in ("name", "inputs", "outputs")}
        inputs = wiring.pop("inputs")
        return type(self)(*inputs, **wiring, **(self.attributes | changes))

    @property
    def output(self) -> str:
        """The name of the tensor that the layer writes, to wire the next one: `ReLU(net["conv1"].output)`.

        Raises InputError if it writes several, or is not in a net yet.
        """
        if len(self.outputs) != 1:
            raise InputError(f"{self} writes {', '.join(self.outputs) or 'nothing yet'}: ask for `outputs`")
        return self.outputs[0]

    def input_names(self) -> list[str]:
        """What `reference` calls the inputs that this layer has: x, w, b; or xs0, xs1, ... for *xs."""
        fixed = list(self.parameters[: len(self.inputs)])
        rest = self.variadic or "input"
        return fixed + [f"{rest}{i}" for i in range(len(self.inputs) - len(fixed))]

    def output_names(self) -> list[str]:
        """What formulas and kernels call the outputs that this layer has: y; or y0, y1, ... for any number."""
        return list(self.results) or [f"y{i}" for i in range(len(self.outputs))]

    def infer_outputs(self, specs: Sequence[Spec | None]) -> tuple[Spec, ...]:
        """`infer` with its arguments checked and its errors named: raises only FbnetError."""
        self._check_arity(len(specs), [s is None for s in specs])
        try:
            results = as_tuple(self.infer(*specs))
        except FbnetError as error:
            raise type(error)(f"{self}: {error}") from None
        except (
            ValueError,
            IndexError,
            TypeError,
            ArithmeticError,
            MemoryError,
            NotImplementedError,
        ) as error:
            shapes = ", ".join(str(s) for s in specs)
            raise ShapeError(f"{self} does not take ({shapes}): {error}") from error
        named = self.outputs or self.results
        if named and len(results) != len(named):
            raise ShapeError(f"{self} computes {len(results)} outputs but names {len(named)}")
        return results

    def compute(self, arrays: Sequence[np.ndarray | None]) -> tuple[np.ndarray, ...]:
        """`reference` on stored arrays; every result contiguous, and fp32 where numpy made float64."""
        results = [np.asarray(r, order="C") for r in as_tuple(self.reference(*arrays))]
        return tuple(r.astype(np.float32) if r.dtype == np.float64 else r for r in results)

    def _check_arity(self, count: int, absent: Sequence[bool]) -> None:
        least = len(self.parameters) - len(self.optional)
        most = None if self.variadic else len(self.parameters)
        if count < least or (most is not None and count > most):
            wanted = ", ".join(self.parameters) + (f", *{self.variadic}" if self.variadic else "")
            raise ShapeError(f"{self} got {count} inputs but takes ({wanted})")
        for missing, parameter in zip(absent, self.parameters, strict=False):
            if missing and parameter not in self.optional:
                raise ShapeError(f"{self} needs its input {parameter!r}")

    def __str__(self) -> str:
        return f"{self.name} ({self.type})" if self.name else self.type or type(self).__name__

    def __repr__(self) -> str:
        changed = [f"{k}={v!r}" for k, v in self.attributes.items() if v != self.declared[k].default]
        inputs = [str(i) if isinstance(i, str) else "<array>" for i in self.inputs]
        name = [f"name={self.name!r}"] if self.name else []
        return f"{type(self).__name__}({', '.join(inputs + name + changed)})"


def each_image(layer: Layer, *specs: Spec | None) -> bool:
    """`apart` of a layer that treats each image for itself, if its results have one image for each that it reads."""
    return True


def each_image_off_axis_0(layer: Layer, x: Spec, *more: Spec | None) -> bool:
    """`apart` of a layer that works along `axis`: unless that is the batch's."""
    return layer.axis % x.ndim != 0


class Elementwise(Layer):
    """A layer whose output has its input's spec and whose elements do not look at each other."""

    apart = each_image

    def infer(self, x: Spec) -> Spec:  # type: ignore[override]
        return x


layers: Registry[type[Layer]] = Registry("layer type")


def layer(name: str) -> Callable[[type[Layer]], type[Layer]]:
    """Register a Layer class under the type name that files will store.

    Raises RegistryError if the name is taken, AttributeValueError if an attribute's kind cannot be stored.
    """

    def register(cls: type[Layer]) -> type[Layer]:
        cls.type = name
        cls.declared = _declared(cls)
        parameters = list(inspect.signature(cls.reference).parameters.values())[1:]
        cls.parameters = tuple(p.name for p in parameters if p.kind is not p.VAR_POSITIONAL)
        cls.optional = frozenset(p.name for p in parameters if p.default is None)
        cls.variadic = next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), "")
        return layers.add(name, cls, cls.__module__)

    return register


def _declared(cls: type[Layer]) -> dict[str, Attribute]:
    """The attributes that the class and its bases declare; names of the Layer class itself are not among them."""
    found: dict[str, Attribute] = {}
    for base in reversed(cls.__mro__):
        if not issubclass(base, Layer) or base is Layer:
            continue
        for key, kind in inspect.get_annotations(base, eval_str=True).items():
            if get_origin(kind) is ClassVar or kind is ClassVar:
                continue
            if hasattr(Layer, key) or key in ("name", "inputs", "outputs"):
                raise AttributeValueError(
                    f"{cls.__name__}: {key!r} is a name of Layer itself; call it otherwise"
                )
            found[key] = Attribute(key, kind, getattr(base, key, Attribute.REQUIRED))
    return found


def activated(y: np.ndarray, type: str, args: Sequence[float] = ()) -> np.ndarray:
    """`y` after a fused activation: the Elementwise layer `type` ('' is none), its attributes in declared order.

    Raises RegistryError or AttributeValueError if there is no such activation.
    """
    if not type:
        return y
    cls = layers[type]
    if not issubclass(cls, Elementwise) or len(cls.parameters) != 1:
        raise AttributeValueError(f"{type} is no activation: give an Elementwise layer of one input")
    if len(args) > len(cls.declared):
        takes = ", ".join(map(str, cls.declared.values())) or "no arguments"
        raise AttributeValueError(f"activation {type} got {len(args)} arguments but takes {takes}")
    attributes: dict[str, Any] = dict(zip(cls.declared, args, strict=False))
    return cls(**attributes).reference(y)


def as_tuple(results: Any) -> tuple:
    """One result or several, as a tuple."""
    return tuple(results) if isinstance(results, (tuple, list)) else (results,)
