"""Gathering and scattering on awkward shapes."""

from ..gather import Gather, GatherElements, GatherND, OneHot, ScatterElements, ScatterND

INDEX = {"dtypes": {1: "int64"}}


def cases(case):
    return [
        case(Gather(), (5, 7), (3, 2), batch=False, **INDEX),
        case(Gather(axis=2), (2, 3, 7, 5), (4,), **INDEX),
        case(Gather(axis=-1), (2, 3, 7), (), given={1: -2}, **INDEX),
        case(Gather(axis=1), (2, 5), (3,), dtypes={0: "int64", 1: "int32"}, given={1: [-1, 0, -5]}),
        case(GatherElements(axis=1), (3, 5, 7), (2, 13, 7), batch=False, **INDEX, kernel=False),
        case(
            GatherElements(),
            (5, 3),
            (2, 3),
            batch=False,
            given={1: [[-1, 0, 4], [1, -5, 2]]},
            **INDEX,
            kernel=False,
        ),
        case(GatherND(), (5, 7, 3), (4, 2), batch=False, **INDEX, kernel=False),
        case(GatherND(), (5, 5, 5), (2, 3, 3), batch=False, **INDEX, kernel=False),
        case(GatherND(batch_dims=1), (2, 5, 3), (2, 4, 1), same=True, **INDEX, kernel=False),
        case(
            ScatterElements(axis=1),
            (2, 5),
            (2, 2),
            (2, 2),
            batch=False,
            given={1: [[0, -1], [3, 1]]},
            **INDEX,
            kernel=False,
        ),
        case(ScatterElements(reduction="add"), (5, 3), (2, 3), (2, 3), batch=False, **INDEX, kernel=False),
        case(ScatterND(), (5, 7), (2, 1), (2, 7), batch=False, given={1: [[0], [-1]]}, **INDEX, kernel=False),
        case(ScatterND(reduction="max"), (5, 5), (4, 2), (4,), batch=False, **INDEX, kernel=False),
        case(OneHot(depth=5), (7,), (2,), dtypes={0: "int64"}, kernel=False),
        case(OneHot(depth=3, axis=1), (2, 3, 5), (2,), dtypes={0: "int64"}, kernel=False),
    ]
