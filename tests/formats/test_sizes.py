"""Every imported net of the zoo at three sizes, where it allows that, and with batches of 1 and 3.

Each size is judged by the framework that the file came from, where that takes it, and a batch by one of its images.
A net that holds for one size alone says so, and which of its layers that is due to. All of it by the layers'
definitions, to which other tests hold the devices.
"""

from __future__ import annotations

from collections.abc import Sequence

import fbnet
import numpy as np
import pytest
from fbnet.engine.tensor import Dim, Spec
from fbnet.tools.catalogue import entry
from fbnet.tools.sources import judged, source_of
from fbnet.tools.vectors import picture

ANY = ((64, 64), (97, 70), (128, 96))
# entry of the zoo -> images (H, W) to run at; None where its own size is the only one, and more options of convert
NETS: dict[str, tuple[Sequence[tuple[int, int]] | None, dict]] = {
    "squeezenet_v1.1": (ANY, {}),
    "squeezenet_v1.1_ncnn": (ANY, {}),
    "open_nsfw_onnx": (None, {}),
    "mtcnn_det1": (((12, 12), (37, 50), (60, 41)), {}),
    "mtcnn_det3": (None, {}),
    "mtcnn_pnet_onnx": (((12, 12), (37, 50), (60, 41)), {}),
    "mtcnn_onet_onnx": (None, {}),
    "ppocr_v4_det": (((32, 64), (64, 96), (96, 32)), {}),
    "ppocr_v4_rec": (((48, 64), (48, 100), (48, 160)), {"shapes": {"x": ("N", 3, 48, "W")}}),
    "ppocr_v2_cls": (ANY, {}),
    "centerface": (((32, 32), (64, 96), (96, 64)), {}),
    "yolov8n_nudenet": (None, {"shapes": {"images": (1, 3, 320, 320)}}),
    "waifu2x_upconv7": (((24, 24), (37, 50), (60, 41)), {}),
    "span_x2": (((24, 24), (37, 50), (60, 41)), {}),
    "blazeface": (None, {}),
    "selfie_segmentation_landscape": (None, {}),
    "pose_detection": (((64, 64), (128, 96), (64, 160)), {}),
}
# what it says of nets whose layers would fit together for other sizes, too, and compute nonsense
FIXED = {
    "open_nsfw_onnx": r"/Pad_1 \(Pad\) is right for it alone: convert with shapes= for another",
    "mtcnn_onet_onnx": r"pooling \(MaxPool\) is right for it alone",
    "yolov8n_nudenet": "is right for it alone: convert with shapes= for another",
    "blazeface": r"its axis 1 is fixed at 128, as conv2d \(CONV_2D\) is right for it alone",
    "selfie_segmentation_landscape": r"fixed at 144, as conv2d \(CONV_2D\) is right for it alone",
}


def shape_of(spec: Spec, size: tuple[int, int] | None, batch: int) -> tuple[int, ...]:
    """(batch, ...) of a net's input for images of this size, by default its own."""
    axes = (1, 2) if spec.shape[3] in (1, 3) and not isinstance(spec.shape[3], Dim) else (2, 3)
    shape = [batch, *map(int, spec.shape[1:])]
    for axis, side in zip(axes, size or (), strict=False):
        shape[axis] = side
    return tuple(shape)


def images(shape: Sequence[int]) -> np.ndarray:
    """Pictures of 0..1; on noise some of these nets compute more noise."""
    first = shape[1] in (1, 3)
    pixels = picture([shape[i] for i in (0, 2, 3, 1)] if first else shape) / np.float32(255)
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2) if first else pixels)


@pytest.mark.parametrize("name", NETS)
def test_three_sizes_and_batches(zoo, name):
    sizes, options = NETS[name]
    folder = zoo(name)
    paths = [folder / file for file in entry(name).model]
    net = fbnet.convert(*paths, **options)
    ((key, spec),) = net.inputs.items()
    engine = source_of(paths)
    for number, size in enumerate(sizes or (None,)):
        batch = 3 if number == 0 else 1
        x = images(shape_of(spec, size, batch))
        found = net.forward(**{key: x})
        for output, one in net.forward(**{key: x[-1:]}).items() if batch > 1 else ():
            np.testing.assert_allclose(found[output][-1:], one, rtol=0, atol=1e-5 * max(1, np.abs(one).max()))
        if engine is not None:
            try:
                _, wanted = judged(engine, paths, net, {key: x[:1]}, net.outputs)
            except fbnet.ConversionError:
                assert (
                    engine.name == "litert" and size is not None
                )  # its delegate does not take every other size
                continue
            for output, right in wanted.items():
                got = found[output][:1].reshape(right.shape)
                np.testing.assert_allclose(got, right, rtol=0, atol=1e-4 * max(1, np.abs(right).max()))
    if sizes is None:  # no other, even if its layers would fit together
        other = shape_of(spec, tuple(s + 32 for s in shape_of(spec, None, 1) if s > 3)[:2], 1)
        with pytest.raises(fbnet.ShapeError, match=FIXED.get(name)):
            net(np.zeros(other, np.float32))
    assert (name in FIXED) == ("fixed" in net.metadata)
