"""Images read at computed places, inside and outside of them."""

from ..sample import GridSample


def cases(case):
    return [
        case(GridSample(), (2, 3, 7, 5), (2, 4, 3, 2), same=True),
        case(
            GridSample(method="nearest", padding="border", corners=True),
            (2, 3, 7, 5),
            (2, 4, 3, 2),
            same=True,
        ),
        case(
            GridSample(method="cubic", padding="reflection"),
            (1, 2, 5, 7),
            (1, 1, 13, 2),
            same=True,
            kernel=False,
        ),
        case(
            GridSample(padding="reflection", corners=True),
            (1, 2, 3, 5, 7),
            (1, 2, 1, 13, 3),
            same=True,
            kernel=False,
        ),
    ]
