"""Convolutions and products of integers, as ncnn2int8 writes them.

Behind the weights come their scales and the input's, which numbers are multiplied by to become integers of -127 to 127;
and the output's, where the next layer reads those integers. A layer is written here as one on real numbers that were
quantized and dequantized; engine/quantize/given.py makes integer layers of that after the walk. ncnn rounds halves away
from zero and adds biases in fp32: our results are within a step of its.

Parameter 8, int8_scale_term: 1 a scale for each group or output, 2 in a ConvolutionDepthWise one for all, in others the
same as 1; 100 more: the output has a scale. Source: ncnn, src/layer/convolution.cpp, convolutiondepthwise.cpp,
innerproduct.cpp.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...engine.tensor import Tensor
from .graph import Source

LARGEST = 127  # ncnn has no -128
PASSING = ("Dropout", "Pooling", "Concat", "Flatten", "Reshape", "Slice", "ShuffleChannel", "Permute")


@dataclass
class Integers:
    """What a layer reads: x as it is after quantization, w in fp32; `step` is the scale of what it writes, if any."""

    source: Source
    x: str
    w: Tensor
    step: float | None = None

    def result(self, y: str) -> str:
        """y, behind its activation, as the next layers read it."""
        return y if self.step is None else through_int8(self.source, y, self.step)


def integers_of(s: Source, w: Tensor, outputs: int, groups: int) -> Integers:
    """The next blobs, if the layer is for integers: scales for `groups` parts of w, which has `outputs` rows."""
    term = s.integer(8)
    if not term:
        return Integers(s, s.x, w)
    shared = s.node.type == "ConvolutionDepthWise" and term % 100 == 2
    scales = s.weight("w_scales", (1 if shared else groups,))
    read = s.graph.weights.step(s.weight("x_scale", (1,)))
    written = s.graph.weights.step(s.weight("y_scale", (1,))) if term > 100 else None
    s.graph.int8[s.node.name] = {"input": read, "output": written}
    if read is None:  # no file, no scales
        return Integers(s, s.x, w)
    by = np.repeat(np.broadcast_to(np.asarray(scales.data, np.float32), (groups,)), outputs // groups)
    steps = np.divide(1, by, out=np.ones_like(by), where=by != 0)
    s.graph.weight_scales.append(steps.tolist())
    stored_as_integers = s.graph.weights.is_int8(w)

    def data() -> np.ndarray:
        rows = np.asarray(w.data, np.float32).reshape(outputs, -1)
        whole = rows if stored_as_integers else np.clip(np.rint(rows * by[:, None]), -LARGEST, LARGEST)
        return (whole * np.where(by != 0, steps, 0)[:, None]).reshape(w.spec.shape)

    return Integers(s, through_int8(s, s.x, read), s.derived("w", w.spec.shape, data), written)


def through_int8(s: Source, x: str, step: float) -> str:
    """x, quantized and dequantized; itself where a layer before gave those integers."""
    if x in s.graph.integers:
        return x
    if (x, step) not in s.graph.coarse:  # layers that read the same integers share them
        limit = LARGEST * step
        within = x if _never_negative(s, x) else s.add("Clip", x, min=-limit, max=limit)
        y = s.add("Dequantize", s.add("Quantize", within, scale=[step]), scale=[step])
        s.graph.coarse[x, step] = y
        s.graph.integers.add(y)
    return s.graph.coarse[x, step]


def _never_negative(s: Source, x: str) -> bool:
    """Whether layers show that no number of x is below 0: then -128 is not reached anyway."""
    writer = next((layer for layer in reversed(s.graph.layers) if x in layer.outputs), None)
    if writer is None:
        return False
    if writer.type in PASSING:
        return all(_never_negative(s, name) for name in writer.inputs)
    return (
        writer.type == "Sigmoid"
        or (writer.type == "ReLU" and writer.negative_slope == 0)
        or (writer.type == "Clip" and writer.min >= 0)
    )
