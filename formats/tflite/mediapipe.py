"""MediaPipe's own operators, by their public sources (mediapipe/util/tflite/operations)."""

from __future__ import annotations

import struct

from .graph import Graph, Node, Unsupported, Value, operator
from .moving import unturned
from .window import deconvolved, plane, weights

SAME = 1  # TfLitePadding, which has 0 for 'unknown'


@operator("Convolution2DTransposeBias")
def transpose_conv_bias(g: Graph, node: Node, x: Value, w: Value, b: Value) -> Value:
    """A transposed convolution by w: (M,KH,KW,C), with a bias. Its options are a C struct: padding, strides w and h."""
    if node.custom is None or len(node.custom) < 12:
        raise Unsupported("its options are not the 12 bytes of padding and strides")
    padding, *given = struct.unpack_from("<3i", node.custom)
    size, stride = plane(x), given[::-1]
    if not 1 <= min(stride) <= max(stride) < 1 << 16:
        raise Unsupported(f"its strides are {stride}")
    filters = weights(g, w, (3, 0, 1, 2))
    cut = []
    for i in (0, 1):
        total = max(0, filters.shape[2 + i] - (size[i] - 1) % stride[i] - 1) if padding == SAME else 0
        g.sizes_fixed |= padding == SAME and filters.shape[2 + i] > 1 and stride[i] > 1
        cut.append((total // 2, total - total // 2))
    return unturned(g, deconvolved(g, x, filters, b, stride, cut))
