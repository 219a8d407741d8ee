"""Images: awkward sizes, every way to fit and every filter; frames of cameras."""

from ..color import ImageColor
from ..image import BoxesToImage, ImageResize, ImageToTensor

PIXELS = dict(dtypes={0: "uint8"}, below=256)


def cases(case):
    ways = [
        ImageResize(size=(9, 4), fit="stretch"),
        ImageResize(size=(5, 0), fit="stretch", filter="corners"),
        ImageResize(size=(5, 6), fit="crop", shorter=7),
        ImageResize(size=(5, 3), fit="cut"),
        ImageResize(size=(20, 16), fit="letterbox", fill=114),
        ImageResize(size=(4, 9), fit="letterbox", fill=3, at_corner=True),
        ImageResize(size=(4, 5), fit="multiple"),
    ]
    shapes = [(2, 7, 13, 3), (1, 13, 6, 1)]
    resized = [
        case(way.replace(filter=filter), shape, **PIXELS)
        for way in ways
        for shape in shapes
        for filter in (way.filter, "antialias", "antialias_cubic")
    ]
    colors = [
        *[
            case(ImageColor(source=source, target=target), (2, 3, 7, channels), **PIXELS)
            for source, channels in (("RGB", 3), ("BGRA", 4), ("GRAY", 1))
            for target in ("RGB", "BGR", "GRAY")
        ],
        *[
            case(ImageColor(source=source, target=target), (2, 9, 14), **PIXELS)
            for source in ("NV12", "NV21", "I420")
            for target in ("RGB", "BGR", "GRAY")
        ],
    ]
    return [
        *resized,
        *colors,
        case(ImageResize(size=(3, 9)), (2, 7, 13, 3)),
        case(BoxesToImage(), (2, 9, 6), (2, 7, 13, 3), same=True),
        case(BoxesToImage(size=(4, 4), fit="letterbox", relative=True), (2, 1, 5, 7), (2, 9, 6), same=True),
        case(BoxesToImage(size=(4, 6), fit="crop", shorter=6), (3, 127, 4), (3, 3, 2, 1), same=True),
        case(ImageToTensor(), (2, 7, 13, 3), **PIXELS),
        case(ImageToTensor(order=(2, 1, 0), mean=(1, 2, 3), scale=(0.5,)), (1, 13, 7, 4), **PIXELS),
        case(ImageToTensor(order=(0, 0, 0), mean=(7,), scale=(1, 2, 3)), (2, 3, 1, 1)),
    ]
