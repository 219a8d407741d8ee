"""Convolution and pooling over volumes, on awkward shapes."""

from ..volume import AveragePooling3D, Convolution3D, Deconvolution3D, MaxPooling3D


def cases(case):
    return [
        case(Convolution3D(), (1, 1, 1, 1, 1), (1, 1, 1, 1, 1)),
        case(Convolution3D(pad=(1, 0, 2, 1, 1, 0), stride=(1, 2, 1)), (2, 3, 3, 7, 5), (5, 3, 3, 2, 3), (5,)),
        case(Convolution3D(dilation=(1, 2, 2), group=2), (1, 4, 2, 7, 7), (6, 2, 1, 3, 2), (6,)),
        case(Deconvolution3D(), (1, 1, 1, 1, 1), (1, 1, 1, 1, 1)),
        case(
            Deconvolution3D(stride=(2, 1, 2), pad=(1, 0, 1, 0, 1, 0), output_pad=(0, 0, 1)),
            (2, 3, 2, 5, 3), (3, 2, 2, 3, 3), (2,),
        ),
        case(Deconvolution3D(group=2, dilation=(1, 2, 1)), (1, 4, 2, 3, 3), (4, 3, 1, 2, 2)),
        case(MaxPooling3D(kernel=(2, 3, 2), stride=(1, 2, 2), pad=(1, 1, 0, 0, 1, 1)), (2, 3, 3, 7, 5)),
        case(MaxPooling3D(kernel=(1, 2, 2), dilation=(1, 2, 3), ceil=True, stride=(1, 3, 2)), (1, 2, 1, 8, 7)),
        case(AveragePooling3D(kernel=(2, 3, 2), stride=(1, 2, 2), pad=(1, 1, 0, 0, 1, 1)), (2, 3, 3, 7, 5)),
        case(AveragePooling3D(kernel=(1, 3, 3), pad=(0, 1, 1, 0, 1, 1), count_pad=True, ceil=True, stride=(1, 2, 2)),
             (1, 2, 1, 8, 7)),
        case(AveragePooling3D(kernel=(1, 2, 2), dilation=(1, 2, 1), power=2), (1, 2, 1, 5, 7), kernel=False),
    ]  # fmt: skip
