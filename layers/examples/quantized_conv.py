"""Integer convolutions and products on awkward shapes, over int8's whole range; every kernel must give the reference's
bits."""

import numpy as np

from ..quantized import (
    QuantizedConvolution,
    QuantizedDeconvolution,
    QuantizedInnerProduct,
    QuantizedMatMul,
)

FULL, BIAS, SMALL = (-128, 127), (-9000, 9000), (-255, 255)


def cases(case):
    def weighted(layer, x, w, slope=False, residual=None, wide=False, heavy=False, gate=False, m=0, **flags):
        """Multipliers are such that results fill int8's range, and a little more.

        heavy  one bias is so large that float32 does not hold it
        """
        m, products = m or w[0], int(np.prod(w[1:]))
        if residual:
            layer = layer.replace(residual_zero=11, residual_multiplier=0.01 if gate else 0.3)
        spread = (1 if gate else 60) / (74 * (148 if wide else 74) * products**0.5)
        dtypes = {0: "int8", 1: "int16" if wide else "int8", 2: "int32"} | ({5: "int8"} if residual else {})
        given = {3: np.linspace(0.5, 1.5, m) * spread}
        given |= {2: [*range(m - 1), 2**26 + 1]} if heavy else {}
        given |= (
            {6: [*np.linspace(0.2, 0.8, m), *np.linspace(40, 90, m), *np.linspace(-9, 9, m)]} if gate else {}
        )
        return case(
            layer, x, w, (m,), (m,), (m,) if slope else None, residual, (3, m) if gate else None,
            dtypes=dtypes, ranges={0: FULL, 1: SMALL if wide else FULL, 2: BIAS, 4: (0.1, 0.5), 5: FULL},
            given=given, exact=True, batch=residual is None, **flags,
        )  # fmt: skip

    def conv(x, w, **flags):
        wiring = {k: flags.pop(k) for k in ("slope", "residual", "wide", "heavy", "gate") if k in flags}
        return weighted(QuantizedConvolution(scale=1.0, zero=-3, x_zero=7, **flags), x, w, **wiring)

    def product(x, w, **flags):
        wiring = {k: flags.pop(k) for k in ("slope", "residual", "wide", "heavy", "gate") if k in flags}
        return weighted(QuantizedInnerProduct(scale=1.0, zero=5, x_zero=-9, **flags), x, w, **wiring)

    def deconv(x, w, m, **flags):
        wiring = {k: flags.pop(k) for k in ("slope", "residual", "wide", "gate") if k in flags}
        layer = QuantizedDeconvolution(scale=1.0, zero=-3, x_zero=7, **flags)
        return weighted(layer, x, w, m=m, **wiring)

    def matmul(a, b, **flags):
        layer = QuantizedMatMul(a_zero=5, b_zero=-9, multiplier=2e-3, scale=1.0, zero=3, **flags)
        return case(
            layer, a, b, dtypes={0: "int8", 1: "int8"}, ranges={0: FULL, 1: FULL}, exact=True, batch=False
        )

    around = {"pad": (1, 1, 1, 1)}
    return [
        conv((1, 1, 1, 1), (1, 1, 1, 1)),
        conv((2, 37, 9, 7), (33, 37, 3, 3), **around),
        conv((2, 37, 9, 7), (33, 37, 3, 3), **around, slope=True, residual=(2, 33, 9, 7)),
        conv((1, 3, 17, 19), (24, 3, 3, 3), stride=(2, 2), pad=(1, 0, 1, 1), low=-3, high=100),
        conv((1, 32, 8, 8), (32, 8, 3, 3), group=4),
        conv((1, 24, 127, 3), (40, 24, 1, 1), stride=(2, 2), residual=(1, 40, 64, 2)),
        conv((3, 40, 6, 6), (20, 40, 3, 3), wide=True, dilation=(2, 2), pad=(2, 2, 2, 2)),
        conv((1, 17, 30, 5), (50, 17, 5, 3), pad=(2, 1, 2, 1), to="fp32"),
        conv((1, 17, 30, 5), (130, 17, 1, 1), to="int32"),
        conv((1, 19, 7, 13), (50, 19, 1, 1), gate=True, low=-20),
        conv((1, 24, 9, 7), (33, 24, 3, 3), **around, gate=True, residual=(1, 33, 9, 7)),
        conv((2, 3, 7, 7), (13, 3, 3, 3), stride=(2, 2), gate=True, to="fp32"),
        # one filter a channel
        conv((2, 37, 9, 21), (37, 1, 3, 3), group=37, **around),
        conv(
            (1, 37, 21, 9),
            (37, 1, 3, 3),
            group=37,
            stride=(2, 2),
            **around,
            slope=True,
            residual=(1, 37, 11, 5),
        ),
        conv((1, 7, 13, 127), (7, 1, 5, 5), group=7, stride=(2, 2), pad=(1, 2, 2, 1), wide=True),
        conv((1, 13, 7, 9), (13, 1, 3, 2), group=13, dilation=(2, 3), pad=(0, 1, 4, 3)),
        conv((1, 13, 3, 1), (13, 1, 2, 2), group=13, stride=(5, 7), pad=(6, 9, 6, 0), heavy=True),
        conv((1, 21, 13, 7), (21, 1, 3, 3), group=21, **around, gate=True, slope=True),
        product((1, 127), (13, 127)),
        product((3, 40), (21, 40), gate=True),
        product((1, 256), (300, 256), to="fp32"),
        product((7, 3, 5, 5), (130, 75), slope=True, residual=(7, 130)),
        product((5, 13, 7), (7, 7), axis=2, wide=True),
        product((4, 64), (16, 64), to="int32"),
        deconv((2, 3, 7, 13), (3, 5, 4, 4), 5, stride=(2, 2), **around),
        deconv((1, 3, 5, 7), (3, 5, 3, 3), 5, gate=True),
        deconv(
            (1, 4, 7, 1),
            (4, 3, 3, 3),
            6,
            group=2,
            stride=(1, 2),
            dilation=(2, 3),
            slope=True,
            residual=(1, 6, 11, 7),
        ),
        deconv(
            (1, 7, 5, 5), (7, 1, 3, 3), 7, group=7, stride=(2, 2), output_pad=(1, 1), wide=True, to="fp32"
        ),
        matmul((1, 1), (1, 1)),
        matmul((2, 1, 7, 127), (3, 127, 13)),
        matmul((7, 13), (13, 40), to="fp32"),
        matmul((2, 7, 13), (2, 13, 5), to="int32"),
    ]
