"""Other engines in int8, each on a tiny net if its quantizer is installed: near to fp32, and not fp32."""

from importlib import metadata

import numpy as np
import pytest
from fbnet import ConversionError
from fbnet.engine.errors import RegistryError
from fbnet.tools.numbers import random_inputs
from fbnet.tools.quantizers import load_quantized, quantizers

pytest.importorskip("onnx")


@pytest.mark.parametrize("name", ["onnxruntime", "openvino", "ncnn", "mnn"])
def test_an_engine_in_int8_is_near_to_fp32(small_net, small_model, tmp_path, name):
    inputs = small_net.replace(inputs={"data": (1, 3, 8, 8)}).inputs
    samples = [random_inputs(inputs, seed) for seed in range(4)]
    try:
        version, run = load_quantized(name, small_model(1), samples, 1, tmp_path)
    except ConversionError as error:
        if "not installed" not in str(error):
            raise
        pytest.skip(str(error))
    assert version == metadata.version(name)
    for sample in samples:
        wanted, got = small_net.forward(**sample)["pool"], run(sample)["pool"]
        error = np.sqrt(np.mean((got - wanted) ** 2)) / wanted.std()
        assert 1e-4 < error < 0.05


def test_every_quantizer_is_known():
    assert list(quantizers) == ["onnxruntime", "openvino", "ncnn", "mnn"]
    with pytest.raises(RegistryError, match="Did you mean 'mnn'"):
        load_quantized("mn", None, [], 1, None)
