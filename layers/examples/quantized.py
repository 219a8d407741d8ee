"""Integer layers on awkward shapes, over int8's whole range; every kernel must give the reference's bits."""

from ..concat import Concat, Slice
from ..layout import Reorder
from ..moving import DepthToSpace, StridedSlice
from ..quantize import Dequantize, Quantize, Requantize, Table
from ..quantized import QuantizedEltwise, QuantizedPooling
from ..reshape import Flatten, Pad, Permute, ShuffleChannel
from ..resize import Resize

FULL, WORDS = (-128, 127), (-(2**31), 2**31 - 1)


def cases(case):
    def quantized(layer, *shapes, whole=(0,), dtypes=None, ranges=None, **flags):
        """A case whose inputs `whole` are int8."""
        return case(
            layer,
            *shapes,
            dtypes=dict.fromkeys(whole, "int8") | (dtypes or {}),
            ranges=dict.fromkeys(whole, FULL) | (ranges or {}),
            exact=True,
            **flags,
        )

    def quantize(layer, *shape, **flags):
        return quantized(layer, shape, whole=(), **flags)

    def joined(operation, count):
        """Narrow enough at one end that some results are clamped."""
        zeros, factors = (5, -7, 0, 100)[:count], (0.7, 0.4, 1.3, 0.2)[:count]
        factors = (0.01,) if operation == "prod" else factors
        return QuantizedEltwise(
            operation=operation, x_zero=zeros, multiplier=factors, scale=1.0, zero=-9, low=-100
        )

    def pool(shape, method, size, **attributes):
        more = dict(kernel=(size, size)) if size else dict(global_pooling=True)
        layer = QuantizedPooling(
            method=method, x_zero=7, multiplier=1.3, scale=1.0, zero=-9, **more, **attributes
        )
        return quantized(layer, shape)

    around, halved = dict(pad=(1, 1, 1, 1)), dict(stride=(2, 2))
    pools = [
        *[
            pool(shape, method, size, **flags)
            for method in ("max", "average")
            for shape, size, flags in (
                ((2, 37, 9, 13), 3, around | dict(high=50)),
                ((1, 37, 13, 127), 3, halved | dict(ceil=True)),
                ((2, 37, 7, 13), 0, {}),
            )
        ],
        pool((1, 3, 20, 23), "max", 5, pad=(2, 1, 2, 3)),
        pool((1, 3, 20, 23), "average", 5, stride=(1, 3), pad=(2, 1, 2, 3), count_pad=False),
        pool((1, 16, 4, 4), "max", 1),
    ]
    moving = [
        Reorder(),
        Flatten(),
        ShuffleChannel(group=2),
        Pad(pads=(1, 2, 3, 0), value=-77),
        Permute(order=(0, 2, 3, 1)),
        Permute(order=(0, 3, 1, 2)),
        Resize(scale=(2, 2)),
        Resize(size=(5, 29)),
        DepthToSpace(block=2),
        StridedSlice(starts=(1,), ends=(7,), axes=(2,)),
        Slice(outputs=["a", "b"], points=(16,)),
        Slice(outputs=["a", "b", "c"], axis=3, points=(3, 5)),
    ]
    return [
        *pools,
        *[quantized(layer, (2, 36, 7, 13)) for layer in moving],
        quantized(Reorder(), (1, 19, 1, 3)),
        quantized(Concat(), *[(2, c, 7, 3) for c in (16, 32, 7)], whole=(0, 1, 2)),
        quantized(Concat(axis=2), *[(2, 13, h, 3) for h in (1, 7)], whole=(0, 1)),
        quantize(Quantize(scale=(0.02,), zero=(-5,)), 2, 37, 7, 13),
        quantize(Quantize(scale=(0.02,), zero=(3,)), 1, 3, 1, 127),
        quantize(Quantize(scale=(0.001,), to="uint16"), 1, 17, 3, 1),
        quantize(Quantize(scale=(0.02, 0.5, 1e-3), zero=(-5, 100, 0)), 2, 3, 7, 13),
        quantize(Quantize(scale=(0.02,) * 7, axis=-1, to="uint8", zero=(128,)), 13, 7),
        quantize(Quantize(scale=(1e-9,), zero=(9,), to="int32"), 13, 7, kernel=False),
        quantized(Dequantize(scale=(0.02,), zero=(-5,)), (2, 37, 7, 13)),
        quantized(Dequantize(scale=(0.02, 0.3, 1), zero=(-5, 7, 0)), (2, 3, 7, 1)),
        quantized(
            Dequantize(scale=(1e-7,), zero=(3,)), (127,), whole=(), dtypes={0: "int32"}, ranges={0: WORDS}
        ),
        quantized(Requantize(x_zero=-7, multiplier=0.37, scale=1.0, zero=11), (2, 37, 7, 13)),
        quantized(Requantize(x_zero=0, multiplier=2.5, scale=1.0, zero=0), (1, 127)),
        *[
            quantized(joined(operation, count), *[shape] * count, whole=range(count))
            for operation, count in (("sum", 2), ("sum", 3), ("max", 2), ("max", 4))
            for shape in ((2, 37, 7, 13), (1, 127))
        ],
        *[
            quantized(joined("prod", 2), *shapes, whole=(0, 1), batch=batch)
            for *shapes, batch in (
                ((2, 37, 7, 13), (2, 37, 7, 13), True),
                ((2, 37, 7, 13), (2, 37, 1, 1), True),
                ((1, 13, 1, 1), (1, 13, 7, 7), True),
                ((127,), (5, 1), False),
            )
        ],
        quantized(Table(scale=1.0, zero=0), (2, 37, 7, 13), (256,), whole=(0, 1)),
    ]  # fmt: skip
