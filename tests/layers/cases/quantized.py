"""Integer layers on awkward shapes, over int8's whole range; every kernel must give the reference's bits."""

from fbnet.layers.quantize import Dequantize, Quantize, Requantize, Table
from fbnet.layers.quantized import QuantizedEltwise

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

    return [
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
