"""Lines of steps, with few classes so that some come twice in a row."""

from ..ctc import CTCGreedy


def cases(case):
    return [
        case(CTCGreedy(), (3, 127, 3)),
        case(CTCGreedy(blank=-1), (2, 13, 2)),
        case(CTCGreedy(blank=2), (1, 1, 7)),
    ]
