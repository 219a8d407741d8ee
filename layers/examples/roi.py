"""Regions inside an image, over its edges, and beside it."""

import numpy as np

from ..roi import PSROIPooling, RoiAlign, ROIPooling

REGIONS = np.array(
    [
        [0, 1, 2, 20, 11],
        [1, 3, 3, 3, 3],
        [1, -4, -3, 9, 40],
        [0, 15, 1, 9, 2],
        [1, 0, 0, 27, 19],
        [0, 60, 60, 70, 70],
    ]
)


def cases(case):
    regions = dict(given={1: REGIONS}, batch=False)
    at = dict(dtypes={2: "int64"}, given={1: REGIONS[:, 1:], 2: REGIONS[:, 0]}, batch=False)
    return [
        case(ROIPooling(pooled=(3, 2), spatial_scale=0.5), (2, 3, 10, 14), (6, 5), **regions),
        case(ROIPooling(pooled=(1, 7)), (2, 1, 13, 7), (6, 5), **regions),
        case(PSROIPooling(pooled=(3, 3), spatial_scale=0.5), (2, 18, 10, 14), (6, 5), **regions),
        case(PSROIPooling(pooled=(1, 2)), (2, 2, 13, 7), (6, 5), **regions),
        case(RoiAlign(pooled=(3, 2), spatial_scale=0.5), (2, 3, 10, 14), (6, 5), **regions),
        case(RoiAlign(pooled=(2, 2), sampling=2, aligned=False), (2, 3, 10, 14), (6, 5), **regions),
        case(RoiAlign(pooled=(2, 3), method="max", spatial_scale=0.25), (2, 3, 7, 9), (6, 4), (6,), **at),
        case(RoiAlign(sampling=3), (2, 1, 13, 7), (6, 4), (6,), **at),
    ]
