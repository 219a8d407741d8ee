"""Windows, what they held put back, and lengths."""

import numpy as np

from ..activation import Threshold
from ..lstm_unit import LSTMUnit
from ..normalize import Normalize
from ..select import Crop, Filter
from ..window import SPP, AdaptivePooling, Im2col, Upsample


def cases(case):
    places = np.random.default_rng(1).permuted(np.tile(np.arange(60), (6, 1)), axis=1)[:, :15]
    return [
        case(Threshold(), (2, 3, 7, 13)),
        case(Threshold(threshold=0.5), (1, 127)),
        case(Im2col(kernel=(1, 1)), (1, 1, 1, 1)),
        case(Im2col(kernel=(3, 2), stride=(2, 1), pad=(1, 0, 2, 1), dilation=(1, 3)), (2, 3, 7, 13)),
        case(SPP(levels=1), (2, 3, 7, 13)),
        case(SPP(levels=3), (2, 3, 13, 10)),
        case(SPP(levels=2, method="average"), (1, 7, 13, 5)),
        case(AdaptivePooling(size=(3, 4)), (2, 3, 7, 13)),
        case(AdaptivePooling(size=(7, 0), method="max"), (2, 3, 5, 6)),
        case(
            Upsample(scale=(2, 2)),
            (2, 3, 3, 5),
            (2, 3, 3, 5),
            dtypes={1: "int64"},
            given={1: places},
            batch=False,
        ),
        case(
            Upsample(size=(5, 12)),
            (2, 3, 3, 5),
            (2, 3, 3, 5),
            dtypes={1: "int64"},
            given={1: places},
            batch=False,
        ),
        case(Normalize(), (2, 7, 13, 3), (7,)),
        case(Normalize(across_spatial=False), (2, 7, 13, 3), (7,)),
        case(Normalize(across_spatial=False, guard="most", eps=0.5), (2, 5, 3), (1,)),
        case(Normalize(across_channels=False, guard="inside", eps=9.0), (1, 7, 13, 3)),
        case(Normalize(across_channels=False, across_spatial=False, eps=1.0), (2, 127)),
        case(Crop(offset=(1, 2)), (2, 3, 7, 13), (2, 1, 5, 6), batch=False),
        case(Crop(axis=0), (2, 3, 7, 13), (1, 2, 5, 6), batch=False),
        case(Crop(axis=-1, offset=(3,)), (3, 127), (3, 7), batch=False),
        case(Filter(outputs=["a", "b"]), (5, 3, 7), (5, 1), (5,), given={2: (0, 1, 0, 2, -1)}, batch=False),
        case(Filter(outputs=["a"]), (3, 2), (3, 1, 1), given={1: (0, 0, 0)}, batch=False),
        case(LSTMUnit(), (1, 3, 7), (1, 3, 28), (1, 3), given={2: (1, 0, 1)}, batch=False),
    ]
