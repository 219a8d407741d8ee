"""Cutting, repeating, unfolding, masking on awkward shapes; padding and resizing in all their modes."""

from ..moving import DepthToSpace, Expand, ReverseSequence, SpaceToDepth, StridedSlice, Tile, Trilu
from ..reshape import Pad
from ..resize import Resize

FIRST = -(2**31)


def cases(case):
    return [
        case(StridedSlice(starts=(1, -3), ends=(2**31, -1), axes=(1, 3)), (2, 3, 7, 13)),
        case(StridedSlice(starts=(-1, 5), ends=(FIRST, -20), axes=(1, -1), steps=(-1, -2)), (2, 3, 7, 13)),
        case(StridedSlice(starts=(0,), ends=(100,), steps=(3,), axes=(2,)), (2, 3, 127), dtypes={0: "int64"}),
        case(StridedSlice(starts=(0, 1), ends=(1, 2)), (2, 3), batch=False),
        case(Tile(repeats=(1, 2, 3, 1)), (2, 3, 1, 5)),
        case(Tile(repeats=(2, 3)), (3, 7), batch=False, dtypes={0: "int32"}),
        case(Expand(shape=(1, 3, 1, 5)), (2, 1, 7, 1)),
        case(Expand(shape=(4, 2, 1, 13)), (2, 7, 1), batch=False, dtypes={0: "bool"}),
        case(DepthToSpace(block=2), (2, 12, 3, 7)),
        case(DepthToSpace(block=3, mode="CRD"), (1, 18, 1, 5)),
        case(SpaceToDepth(block=2), (2, 3, 4, 14)),
        case(SpaceToDepth(block=3, mode="CRD"), (2, 2, 3, 9)),
        case(Trilu(), (2, 3, 7, 5), kernel=False),
        case(Trilu(k=-2, upper=False), (2, 7, 13), kernel=False),
        case(ReverseSequence(), (5, 3, 2), (3,), dtypes={1: "int64"}, batch=False, kernel=False),
        case(ReverseSequence(time_axis=1, batch_axis=0), (3, 5), (3,), dtypes={1: "int64"}, same=True, kernel=False),
        case(Pad(pads=(1, 2, 3, 0), mode="edge"), (2, 3, 7, 13)),
        case(Pad(pads=(3, 2, 1, 4), mode="reflect"), (2, 3, 7, 5)),
        case(Pad(pads=(2, 2), mode="reflect"), (2, 3)),
        case(Pad(pads=(1, 3, 2, 2, 0, 5), mode="wrap"), (2, 3, 2, 7)),
        case(Pad(pads=(0, 1, 2, 3, 0, 2, 0, 1), value=2), (2, 3, 7, 5), kernel=False),
        case(Pad(pads=(1, 0, 0, 1, 1, 2, 0, 0), mode="edge"), (2, 3, 7, 5), batch=False, kernel=False),
        case(Resize(method="cubic", scale=(2, 1.5)), (2, 3, 7, 4)),
        case(Resize(method="cubic", size=(5, 9), cubic=-0.5, exclude_outside=True), (1, 3, 7, 4)),
        case(Resize(method="linear", size=(3, 5), antialias=True), (2, 3, 13, 17)),
        case(Resize(method="cubic", scale=(0.5, 2), antialias=True), (1, 3, 8, 3)),
        case(Resize(size=(5, 9), coordinates="half_pixel", rounding="round_prefer_ceil"), (1, 3, 7, 4)),
        case(Resize(scale=(0.6, 2), coordinates="half_pixel_symmetric", rounding="ceil"), (1, 3, 7, 4)),
        case(Resize(method="linear", scale=(2, 2), coordinates="asymmetric"), (1, 3, 7, 4)),
        case(
            Resize(method="linear", size=(3, 4), coordinates="tf_crop_and_resize", region=(0.4, 0.6, 1, 2), outside=9),
            (1, 2, 7, 5), kernel=False,
        ),
    ]  # fmt: skip
