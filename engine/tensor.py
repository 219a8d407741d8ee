"""Dim, Spec and Tensor: what is known of an array before it exists, and a constant when it does.

Spec((1, 3, 224, 224))              fp32[1,3,224,224]
Spec(("N", 3, 8, 8), "int8")        int8[N,3,8,8]
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cached_property
from math import prod

import numpy as np

from .dtype import DType, Quantization, dtype_of, dtypes
from .errors import ShapeError


class Dim(int):
    """A size that may change from call to call: an int (its usual value) that remembers its name.

    Because it is an int, shape rules are ordinary arithmetic: `(h + 2 * p - k) // s + 1` of Dim('H', 224) is
    a Dim that prints as '(H+2-3)//2+1' and counts as 112. A plan is always made for plain ints.
    """

    text: str

    def __new__(cls, text: str, size: int = 1) -> Dim:
        dim = super().__new__(cls, size)
        dim.text = text
        return dim

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Dim({self.text!r}, {int(self)})"

    def __reduce__(self) -> tuple:
        return Dim, (self.text, int(self))

    def __hash__(self) -> int:
        return super().__hash__()

    def __eq__(self, other: object) -> bool:
        return int(self) == other

    def __add__(self, other: int) -> int:
        return _derived(self, "+", other, int.__add__)

    def __radd__(self, other: int) -> int:
        return _derived(other, "+", self, int.__add__)

    def __sub__(self, other: int) -> int:
        return _derived(self, "-", other, int.__sub__)

    def __rsub__(self, other: int) -> int:
        return _derived(other, "-", self, int.__sub__)

    def __mul__(self, other: int) -> int:
        return _derived(self, "*", other, int.__mul__)

    def __rmul__(self, other: int) -> int:
        return _derived(other, "*", self, int.__mul__)

    def __floordiv__(self, other: int) -> int:
        return _derived(self, "//", other, int.__floordiv__)

    def __rfloordiv__(self, other: int) -> int:
        return _derived(other, "//", self, int.__floordiv__)

    def __neg__(self) -> int:
        return _derived(0, "-", self, int.__sub__)


def _derived(a: int, operator: str, b: int, compute: Callable[[int, int], int]) -> int:
    """The Dim `a operator b`, its text kept short: no +0, no *1, no //1, no +-2, products of plain 0 are plain.

    With anything but an int, like a float or a list, it is what it would be for the plain number.
    """
    if not isinstance(a, (int, np.integer)) or not isinstance(b, (int, np.integer)):
        return NotImplemented
    size = compute(int(a), int(b))
    if operator in "+-" and not isinstance(b, Dim) and b == 0:
        return a
    if operator == "+" and not isinstance(a, Dim) and a == 0:
        return b
    if operator in "+-" and not isinstance(b, Dim) and b < 0:
        operator, b = "-" if operator == "+" else "+", -b
    if operator in ("*", "//") and not isinstance(b, Dim) and b == 1:
        return a
    if operator == "*" and not isinstance(a, Dim) and a in (0, 1):
        return b if a else 0
    if operator == "*" and not isinstance(b, Dim) and b == 0:
        return 0
    left = _operand(a, plain=operator in "+-")  # sums are read from left to right
    return Dim(f"{left}{operator}{_operand(b, plain=operator == '+')}", size)


def _operand(value: int, plain: bool) -> str:
    text = str(value)
    return text if plain or text.isidentifier() or text.isdigit() else f"({text})"


def broadcast(*shapes: Sequence[int]) -> tuple[int, ...]:
    """The shape in which arrays of these shapes meet: aligned at the end, an axis of size 1 repeated along the others'.

    A Dim of usual size 1 is repeated only where another size is known to be larger. Raises ShapeError. numpy's rule.
    """
    rank = max(map(len, shapes), default=0)
    result: list[int] = [1] * rank
    for shape in shapes:
        for axis, size in enumerate(shape, rank - len(shape)):
            known = result[axis]
            if int(size) not in (1, int(known)) and int(known) != 1:
                texts = ", ".join(f"[{','.join(map(str, s))}]" for s in shapes)
                raise ShapeError(f"shapes {texts} cannot be broadcast: {known} and {size} meet")
            wider = int(known) == 1 != int(size)
            if wider or (isinstance(size, Dim) and int(size) == int(known)):
                result[axis] = size
    return tuple(result)


class Spec:
    """The type of a tensor: shape, dtype, and quantization if it has one. Immutable, hashable.

    `shape` takes ints, Dims, and strings (which become Dims of usual size 1).
    """

    __slots__ = ("dtype", "quantization", "shape")

    def __init__(
        self,
        shape: Sequence[int | str],
        dtype: DType | str = "fp32",
        quantization: Quantization | None = None,
    ):
        sizes = tuple(Dim(s) if isinstance(s, str) else s if isinstance(s, Dim) else int(s) for s in shape)
        if any(s < 0 for s in sizes):
            raise ShapeError(f"a shape has no negative sizes, but got {list(map(str, sizes))}")
        object.__setattr__(self, "shape", sizes)
        object.__setattr__(self, "dtype", dtypes[dtype] if isinstance(dtype, str) else dtype)
        object.__setattr__(self, "quantization", quantization)

    shape: tuple[int, ...]
    dtype: DType
    quantization: Quantization | None

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("a Spec is immutable: make another with spec.replace(...)")

    def __reduce__(self) -> tuple:
        return Spec, (self.shape, self.dtype.name, self.quantization)

    def replace(self, **changes) -> Spec:
        """The same Spec with another shape, dtype or quantization."""
        return Spec(**({k: getattr(self, k) for k in self.__slots__} | changes))

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements, at the usual sizes of symbolic dimensions."""
        return prod(map(int, self.shape))

    @property
    def nbytes(self) -> int:
        """Bytes of the stored array."""
        return self.size * self.dtype.itemsize

    def axis(self, axis: int) -> int:
        """`axis`, which may count from the end, as 0 <= axis < ndim. Raises ShapeError."""
        if not -self.ndim <= axis < self.ndim:
            raise ShapeError(f"axis {axis} is not one of {self}")
        return axis % self.ndim

    @property
    def concrete(self) -> Spec:
        """The same Spec with every symbolic dimension at its usual size."""
        return self.replace(shape=tuple(map(int, self.shape)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Spec):
            return NotImplemented
        return (self.shape, self.dtype, self.quantization) == (other.shape, other.dtype, other.quantization)

    def __hash__(self) -> int:
        return hash((self.shape, self.dtype.name, self.quantization))

    def __str__(self) -> str:
        return f"{self.dtype}[{','.join(map(str, self.shape))}]"

    __repr__ = __str__


class Tensor:
    """A named Spec, with data when it is a constant.

    `data` is an array, or a function that returns it: a file's constants are checked and mapped only when
    they are first used. `digest` names the content and is known without touching a mapped constant. `narrow` is the
    constant as it is stored, if these are its numbers in a wider dtype; see `computed`.
    """

    narrow: Tensor | None = None

    def __init__(
        self,
        name: str,
        spec: Spec | None = None,
        data: np.ndarray | Callable[[], np.ndarray] | None = None,
        digest: str | None = None,
    ):
        if isinstance(data, np.ndarray):
            data = np.ascontiguousarray(data) if data.ndim else data
            spec = spec or Spec(data.shape, dtype_of(data))
            if data.shape != spec.shape or data.dtype != spec.dtype.storage:
                raise ShapeError(f"{name}: data is {data.dtype}{list(data.shape)} but its spec is {spec}")
        if spec is None:
            raise ShapeError(f"{name}: a tensor without data needs a spec")
        self.name = name
        self.spec = spec
        self._data = data
        self._digest = digest

    @property
    def is_constant(self) -> bool:
        return self._data is not None

    @property
    def data(self) -> np.ndarray | None:
        """The stored array (shape and dtype of `spec`), or None if the tensor is not a constant."""
        if callable(self._data):
            self._data = self._data()
        return self._data

    @cached_property
    def digest(self) -> str:
        """32 hex digits that name a constant's bytes."""
        return self._digest or content_digest(self.data)

    @cached_property
    def computed(self) -> Tensor:
        """The constant as layers see it: itself, or its numbers in fp32 if its dtype is one that only stores."""
        kind, quantization = self.spec.dtype, self.spec.quantization
        if not kind.arithmetic or not self.is_constant:
            return self
        spec = self.spec.replace(dtype=kind.arithmetic, quantization=None)
        digest = content_digest(f"{self.digest} {kind} {quantization}".encode())

        def widened() -> np.ndarray:
            assert self.data is not None
            return kind.dequantize(self.data, quantization)

        wide = Tensor(self.name, spec, widened, digest)
        wide.narrow = self
        return wide

    def __str__(self) -> str:
        return f"{self.name}: {self.spec}{' constant' if self.is_constant else ''}"

    def _repr_html_(self) -> str:
        from .html import tensor_html

        return tensor_html(self)

    __repr__ = __str__


def content_digest(data: np.ndarray | bytes | memoryview | None) -> str:
    """The first 128 bits of SHA-256, as hex digits."""
    if isinstance(data, np.ndarray):
        data = np.ascontiguousarray(data).reshape(-1).view(np.uint8).data
    return hashlib.sha256(data or b"").hexdigest()[:32]
