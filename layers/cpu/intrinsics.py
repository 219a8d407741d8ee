"""The simd operations as numba intrinsics, and arrays made of addresses. Imported only when something is compiled."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.core.datamodel import models
from numba.extending import intrinsic, register_model
from numba.np.arrayobj import populate_array

from .builder import Builder, Tile
from .target import Target


class VectorType(types.Type):
    """LANES float32 in one register."""

    def __init__(self, lanes: int):
        self.lanes = lanes
        super().__init__(name=f"fbnet_vector{lanes}")


class TileType(types.Type):
    """rows × columns vectors."""

    def __init__(self, lanes: int, rows: int, columns: int):
        self.lanes, self.rows, self.columns = lanes, rows, columns
        super().__init__(name=f"fbnet_tile{lanes}x{rows}x{columns}")


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: VectorType):
        super().__init__(manager, kind, ir.VectorType(ir.FloatType(), kind.lanes))


@register_model(TileType)
class _TileModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: TileType):
        vector = ir.VectorType(ir.FloatType(), kind.lanes)
        super().__init__(manager, kind, ir.ArrayType(vector, kind.rows * kind.columns))


_SCALARS = {"i": types.int64, "f": types.float32, "d": types.float64, "w": types.int32, "-": types.void}


def make(name: str, signature: str, emit: Callable, target: Target) -> Any:
    """The operation as an intrinsic. `signature` is as in simd: 'v(iv)'; l is a literal int."""
    result, operands = signature[0], signature[2:-1]

    def typing(*given: types.Type) -> Any:
        tile = next((g for g in given if isinstance(g, TileType)), None)
        literal = [k for k, o in enumerate(operands) if o == "l"]
        if not all(isinstance(given[k], types.IntegerLiteral) for k in literal):
            return None
        sizes = {k: given[k].literal_value for k in literal}
        if result == "t" and tile is None:
            return TileType(target.lanes, *sizes.values())(*given), _code(emit, target, None, sizes)
        kinds = {**_SCALARS, "v": VectorType(target.lanes), "t": tile}
        taken = (given[k] if o == "l" else kinds[o] for k, o in enumerate(operands))
        return kinds[result](*taken), _code(emit, target, tile, sizes)

    # numba reads the number of arguments from the signature
    names = ", ".join(f"a{i}" for i in range(len(operands)))
    scope: dict[str, Any] = {"typing": typing}
    exec(f"def {name}(context, {names}):\n    return typing({names})", scope)
    return intrinsic(prefer_literal="l" in operands)(scope[name])


def _code(emit: Callable, target: Target, tile: TileType | None, sizes: dict[int, int]) -> Callable:
    """The lowering of an operation; `sizes` are its literal operands by position."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        values: list[Any] = [
            Tile(builder, a, tile.rows, tile.columns) if tile and isinstance(k, TileType) else a
            for a, k in zip(args, signature.args, strict=True)
        ]
        for position, size in sizes.items():
            values[position] = size
        result = emit(Builder(builder, target), *values)
        if signature.return_type == types.void:
            return context.get_dummy_value()
        return result.value if isinstance(result, Tile) else result

    return code


@lru_cache
def array_maker(dtype: Any, ndim: int) -> Any:
    """An intrinsic (address, size0, size1, ...) -> C-contiguous numba array of `dtype`."""
    kind = types.Array(dtype, ndim, "C")

    def typing(*given: types.Type) -> Any:
        def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            array = context.make_array(kind)(context, builder)
            itemsize = ir.Constant(ir.IntType(64), getattr(dtype, "bitwidth", 8) // 8)  # bool has none
            strides = [itemsize]
            for size in reversed(args[2:]):
                strides.insert(0, builder.mul(strides[0], size))
            data = builder.inttoptr(args[0], array.data.type)
            populate_array(
                array, data, shape=list(args[1:]), strides=strides, itemsize=itemsize, meminfo=None
            )
            return array._getvalue()

        return kind(*(types.int64,) * (ndim + 1)), code

    names = ", ".join(f"a{i}" for i in range(ndim + 1))
    scope: dict[str, Any] = {"typing": typing}
    exec(f"def array(context, {names}):\n    return typing({names})", scope)
    return intrinsic(scope["array"])


@intrinsic
def address(context, array):
    """The address of an array's first element."""

    def code(context, builder, signature, args):
        made = context.make_array(signature.args[0])(context, builder, args[0])
        return builder.ptrtoint(made.data, ir.IntType(64))

    return types.int64(array), code
