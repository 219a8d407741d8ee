"""What nets are mostly made of, on awkward shapes: convolution, pooling, activations, normalisation, reshaping ..."""

from ..activation import (
    BNLL,
    ELU,
    GELU,
    AbsVal,
    Clip,
    Dropout,
    Exp,
    HardSigmoid,
    HardSwish,
    Log,
    Mish,
    Power,
    PReLU,
    ReLU,
    Sigmoid,
    Swish,
    TanH,
)
from ..concat import Concat, Slice
from ..conv import Convolution, Deconvolution
from ..eltwise import Eltwise
from ..inner_product import InnerProduct
from ..layout import Reorder
from ..norm import LRN, MVN, BatchNorm, Bias, LayerNorm, Scale
from ..pool import Pooling
from ..reshape import Flatten, Pad, Permute, Reshape, ShuffleChannel
from ..resize import Resize
from ..softmax import Softmax


def cases(case):
    def average(**attributes) -> Pooling:
        return Pooling(method="average", **attributes)

    functions = [
        ReLU(),
        ReLU(negative_slope=0.1),
        Sigmoid(),
        TanH(),
        ELU(),
        ELU(alpha=0.5),
        Clip(min=0, max=1),
    ]
    functions += [Clip(), AbsVal(), BNLL(), Dropout(), Exp(), Exp(base=2, scale=0.5, shift=1)]
    functions += [Power(), Power(scale=2, shift=-1), Power(power=2, shift=1), Power(power=3)]
    functions += [
        HardSigmoid(),
        HardSigmoid(alpha=0.2, beta=0.3),
        HardSwish(),
        HardSwish(alpha=0.2, beta=0.4),
    ]
    functions += [Swish(), Swish(beta=1.5), Mish(), GELU(), GELU(approximate=True)]
    roots = [Log(), Log(base=10, scale=2, shift=1), Power(power=0.5), Power(power=-1.5, scale=2, shift=0.5)]
    return [
        *[case(f, shape) for f in functions for shape in ((2, 3, 7, 13), (1, 127))],
        *[case(f, shape, positive=True) for f in roots for shape in ((2, 3, 7, 13), (1, 127))],
        case(PReLU(), (2, 7, 13, 3), (7,)),
        case(PReLU(), (2, 7, 13, 3), (1,)),
        case(PReLU(), (3, 127), (127,)),
        case(Convolution(), (1, 1, 1, 1), (1, 1, 1, 1)),
        case(Convolution(pad=(1, 1, 1, 1)), (2, 3, 13, 7), (5, 3, 3, 3), (5,)),
        case(Convolution(stride=(2, 3), pad=(0, 1, 2, 3)), (2, 7, 13, 13), (4, 7, 5, 3), (4,)),
        case(Convolution(dilation=(2, 3), group=2, activation="ReLU"), (1, 4, 13, 13), (6, 2, 3, 3), (6,)),
        case(Convolution(group=7, pad=(1, 1, 1, 1)), (1, 7, 127, 1), (7, 1, 3, 3)),
        case(Convolution(group=7, stride=(1, 2), pad=(1, 2, 1, 1)), (1, 7, 5, 37), (7, 1, 3, 3), (7,)),
        # large enough for either of Winograd's tiles wherever a vector has 4 lanes
        case(Convolution(pad=(1, 1, 1, 1)), (1, 5, 14, 15), (7, 5, 3, 3), (7,)),
        case(Convolution(activation="Clip", activation_args=(-1,)), (1, 3, 7, 7), (2, 3, 3, 3)),
        case(Convolution(activation="Clip", activation_args=(0, 6)), (1, 3, 7, 7), (2, 3, 3, 3)),
        case(Convolution(activation="ELU", activation_args=(0.5,)), (1, 3, 7, 7), (2, 3, 7, 7), (2,)),
        case(Deconvolution(), (1, 1, 1, 1), (1, 1, 1, 1)),
        case(Deconvolution(stride=(2, 2), pad=(1, 1, 1, 1)), (2, 3, 7, 13), (3, 5, 4, 4), (5,)),
        case(Deconvolution(stride=(2, 3), pad=(0, 1, 2, 3), output_pad=(1, 2)), (2, 4, 7, 7), (4, 3, 5, 4)),
        case(Deconvolution(stride=(1, 2), dilation=(2, 3), group=2), (1, 4, 7, 1), (4, 3, 3, 3), (6,)),
        case(Deconvolution(group=7, stride=(4, 4), pad=(2, 2, 2, 2)), (1, 7, 13, 13), (7, 1, 8, 8)),
        case(InnerProduct(), (1, 1), (1, 1)),
        case(InnerProduct(), (2, 7, 13), (127, 91), (127,)),
        case(InnerProduct(axis=2, activation="ReLU", activation_args=(0.1,)), (2, 7, 13), (5, 13), (5,)),
        case(InnerProduct(axis=-1), (2, 3, 4, 5), (6, 5)),
        case(Pooling(), (1, 1, 1, 1)),
        case(Pooling(kernel=(2, 2), stride=(2, 2)), (2, 3, 127, 13)),
        case(Pooling(kernel=(3, 3), stride=(2, 2), ceil=True), (2, 3, 13, 7)),
        case(Pooling(kernel=(3, 2), stride=(2, 3), pad=(1, 0, 2, 1), ceil=True), (1, 3, 13, 13)),
        case(Pooling(kernel=(3, 3), pad=(1, 1, 1, 1)), (1, 2, 1, 1)),
        case(Pooling(kernel=(2, 2), stride=(3, 3), ceil=True), (1, 2, 7, 8)),
        case(average(kernel=(3, 3), stride=(2, 2), pad=(1, 1, 1, 1), ceil=True), (2, 3, 13, 8)),
        case(average(kernel=(3, 3), pad=(1, 1, 1, 1), count_pad=False), (1, 2, 7, 1)),
        case(average(kernel=(3, 2), stride=(2, 2), pad=(2, 0, 1, 1), count_pad=False), (1, 3, 13, 7)),
        case(average(kernel=(3, 3), stride=(2, 2), ceil=True, count_pad=False), (1, 3, 8, 8)),
        case(average(kernel=(5, 5), stride=(5, 5), ceil=True), (1, 2, 7, 13)),
        case(Pooling(global_pooling=True), (2, 3, 13, 7)),
        case(average(global_pooling=True), (2, 3, 13, 7)),
        case(average(global_pooling=True), (2, 13, 1, 1)),
        case(LRN(), (2, 7, 13, 3)),
        case(LRN(local_size=3, alpha=1e-2, beta=0.5, k=2), (1, 1, 1, 127)),
        case(LRN(local_size=7), (1, 13, 3, 3)),
        case(LRN(local_size=3, region="within"), (2, 3, 13, 7)),
        case(LRN(local_size=5, region="within", beta=1, alpha=0.1), (1, 2, 1, 3)),
        case(BatchNorm(), (2, 7, 13, 3), (7,), (7,)),
        case(BatchNorm(eps=0.1), (3, 127), (127,), (127,)),
        case(Scale(), (2, 7, 13, 3), (7,), (7,)),
        case(Scale(), (3, 127), (127,)),
        case(Scale(axis=0), (2, 7, 13, 3), (2, 7), batch=False),
        case(Scale(axis=-1), (2, 7, 13), (13,), (13,)),
        case(Scale(axis=2), (2, 7, 13, 3), (13, 3)),
        case(Scale(), (2, 7), ()),
        case(Bias(), (2, 7, 13, 3), (7,)),
        case(Bias(axis=0), (2, 7, 13), (2, 7, 13), batch=False),
        case(MVN(), (2, 7, 13, 3)),
        case(MVN(across_channels=True), (2, 7, 13, 3)),
        case(MVN(normalize_variance=False), (1, 3, 127)),
        case(LayerNorm(), (2, 7, 13), (13,), (13,)),
        case(LayerNorm(axis=1), (2, 7, 13), (7, 13)),
        case(LayerNorm(axis=2, eps=0.1), (2, 3, 7, 13)),
        case(Eltwise(), *[(2, 7, 13)] * 2),
        case(Eltwise(coeff=(1, -1, 0.5)), *[(2, 127)] * 3),
        case(Eltwise(operation="prod"), *[(1, 7, 13)] * 4),
        case(Eltwise(operation="max"), *[(1, 7, 13)] * 3),
        case(Concat(), (2, 3, 7), (2, 13, 7), (2, 1, 7)),
        case(Concat(axis=0), (2, 3), (5, 3), batch=False),
        case(Concat(axis=-1), (2, 3, 1), (2, 3, 127)),
        case(Slice(outputs=["a", "b", "c"]), (2, 9, 7)),
        case(Slice(outputs=["a", "b"], axis=2, points=(1,)), (2, 3, 13, 7)),
        case(Slice(outputs=["a", "b", "c"], axis=-1, points=(3, 5)), (1, 127)),
        case(Reorder(), (2, 3, 7, 13)),
        case(Reorder(), (1, 37, 1, 3)),
        case(Flatten(), (2, 3, 7, 13)),
        case(Flatten(axis=-3, end_axis=2), (2, 3, 7, 13)),
        case(Reshape(shape=(0, -1)), (2, 3, 7, 13)),
        case(Reshape(shape=(0, 7, -1, 3)), (2, 21, 13)),
        case(Reshape(shape=(3, 1, -1), axis=1, num_axes=1), (2, 9, 5)),
        case(Reshape(shape=(1, 1), axis=-1), (2, 5)),
        case(Permute(order=(0, 2, 3, 1)), (2, 3, 7, 13)),
        case(Permute(order=(0, 1, 2)), (2, 3, 7)),
        case(Permute(order=(3, 1, 0, 2)), (2, 3, 7, 1), batch=False),
        case(Permute(order=(5, 3, 1, 4, 2, 0)), (2, 3, 2, 5, 3, 2), batch=False),
        case(Pad(pads=(1, 2, 3, 0), value=0.5), (2, 3, 7, 13)),
        case(Pad(pads=(0, 0, 0, 1)), (13, 127)),
        case(Pad(pads=(3, 2)), (2, 7)),
        case(Pad(pads=(1, 0, 2, 2, 1, 0), value=-1), (2, 3, 7, 13)),
        case(Pad(pads=(0, 0, 0, 1, 0, 0)), (2, 3, 5), batch=False),
        case(ShuffleChannel(group=2), (2, 14, 3, 5)),
        case(ShuffleChannel(group=3), (1, 9)),
        case(Resize(scale=(2, 2)), (2, 3, 7, 13)),
        case(Resize(scale=(0.5, 1 / 3)), (1, 3, 7, 13)),
        case(Resize(size=(5, 29)), (1, 3, 7, 13)),
        case(Resize(method="linear", scale=(2, 2)), (2, 3, 7, 13)),
        case(Resize(method="linear", scale=(0.5, 1.5)), (2, 3, 8, 12)),
        case(Resize(method="linear", size=(5, 29), corners=True), (1, 3, 7, 1)),
        case(Resize(method="linear", size=(1, 1), corners=True), (1, 3, 7, 13)),
        case(Softmax(), (2, 127)),
        case(Softmax(), (2, 7, 13, 3)),
        case(Softmax(axis=-1), (2, 7, 13)),
        case(Softmax(axis=0), (5, 7), batch=False),
    ]  # fmt: skip
