"""Other engines in int8: what each one's own quantizer makes of a net, calibrated on the same samples.

`peers` are in fp32; these are their counterparts, loaded the same way, each by what its makers say: onnxruntime's
static quantizer, NNCF for OpenVINO, ncnn2table and ncnn2int8, mnnquant.

    @quantizer("onnxruntime")
    def onnxruntime(model, samples, threads, folder): ... return run      run(inputs) -> outputs, as a peer's
"""

from __future__ import annotations

import json
import logging
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ..engine.registry import Registry
from .peers import (
    Arrays,
    Model,
    Run,
    convert,
    loaded,
    mnn_file,
    mnn_run,
    ncnn_files,
    ncnn_run,
    onnxruntime_run,
    openvino_run,
)  # fmt: skip

LoadQuantized = Callable[[Model, Sequence[Arrays], int, Path], Run]
quantizers: Registry[LoadQuantized] = Registry("quantizer")


def quantizer(name: str) -> Callable[[LoadQuantized], LoadQuantized]:
    """Register a function (model, samples, threads, folder for its files) -> run(inputs) -> outputs."""

    def register(function: LoadQuantized) -> LoadQuantized:
        return quantizers.add(name, function, function.__module__)

    return register


def load_quantized(
    name: str, model: Model, samples: Sequence[Arrays], threads: int, folder: Path
) -> tuple[str, Run]:
    """The version of an engine, and the net in int8 by its own quantizer.

    samples  input name -> array, each of one image

    Raises RegistryError for a name that nobody knows, ConversionError with the reason if it cannot.
    """
    function = quantizers[name]
    return loaded(name, lambda: function(model, samples, threads, folder))


@quantizer("onnxruntime")
def _onnxruntime(model: Model, samples: Sequence[Arrays], threads: int, folder: Path) -> Run:
    return onnxruntime_run(
        onnxruntime_file(model.path, samples, folder / "quantized.onnx"), list(model.outputs), threads
    )


def onnxruntime_file(path: Path, samples: Sequence[Arrays], made: Path) -> Path:
    """The file that onnxruntime's static quantizer makes: form QDQ, a scale a channel, unsigned activations."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.left = iter(samples)

        def get_next(self) -> Arrays | None:
            return next(self.left, None)

    logging.getLogger().setLevel(logging.ERROR)
    ready = made.with_name("ready.onnx")
    quant_pre_process(str(path), str(ready), skip_symbolic_shape=True)  # folds normalisations
    quantize_static(
        str(ready), str(made), Reader(), quant_format=QuantFormat.QDQ, per_channel=True,
        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
    )  # fmt: skip
    return made


@quantizer("openvino")
def _openvino(model: Model, samples: Sequence[Arrays], threads: int, folder: Path) -> Run:
    import openvino

    try:
        import nncf
    except ImportError:
        raise ImportError("its quantizer is not installed: pip install nncf") from None
    logging.getLogger("nncf").setLevel(logging.ERROR)
    network = openvino.Core().read_model(str(model.path))
    chosen = nncf.QuantizationPreset.PERFORMANCE  # the default, by name: symmetric, the fastest
    network = nncf.quantize(network, nncf.Dataset(samples), preset=chosen, subset_size=len(samples))
    return openvino_run(network, list(model.outputs), threads)


@quantizer("ncnn")
def _ncnn(model: Model, samples: Sequence[Arrays], threads: int, folder: Path) -> Run:
    """By two programs that its wheel lacks: they are built from its source, with -DNCNN_BUILD_TOOLS=ON."""
    table, program = shutil.which("ncnn2table"), shutil.which("ncnn2int8")
    if table is None or program is None:
        raise ImportError(
            "its quantizer, ncnn2table and ncnn2int8, are not installed: build them from its source"
        )
    files = [str(file) for file in ncnn_files(model, folder)]
    lists = []
    for at, name in enumerate(model.inputs):
        lists.append(folder / f"in{at}.txt")
        paths = [folder / f"in{at}-{i}.npy" for i in range(len(samples))]
        for path, sample in zip(paths, samples, strict=True):
            np.save(path, sample[name][0])  # without the batch
        lists[-1].write_text("\n".join(map(str, paths)))
    shapes = ",".join(
        str(list(reversed(shape[1:]))).replace(" ", "") for shape in model.inputs.values()
    )  # [w,h,c]
    made = folder / "int8.table"
    convert(
        [table, *files, ",".join(map(str, lists)), str(made), f"shape={shapes}", "method=kl", "type=1"], made
    )
    quantized = folder / "int8.param", folder / "int8.bin"
    convert([program, *files, *map(str, quantized), str(made)], quantized[0])
    return ncnn_run(quantized, model, threads)


_MNN_QUANTIZE = "import sys, _tools; _tools.mnnquant(['mnnquant', *sys.argv[1:]])"  # see peers on mnnconvert


@quantizer("mnn")
def _mnn(model: Model, samples: Sequence[Arrays], threads: int, folder: Path) -> Run:
    for i, sample in enumerate(samples):
        place = folder / "samples" / str(i)
        place.mkdir(parents=True)
        for name in model.inputs:
            np.savetxt(place / f"{name}.txt", sample[name].ravel(), fmt="%.7g")
        inputs = [{"name": name, "shape": list(shape)} for name, shape in model.inputs.items()]
        (place / "input.json").write_text(json.dumps({"inputs": inputs, "outputs": list(model.outputs)}))
    wanted = {
        "input_type": "sequence", "path": f"{folder / 'samples'}/", "used_sample_num": len(samples),
        "feature_quantize_method": "KL", "weight_quantize_method": "MAX_ABS",
    }  # fmt: skip
    settings, made = folder / "settings.json", folder / "int8.mnn"
    settings.write_text(json.dumps(wanted))
    plain = mnn_file(model, folder)
    convert([sys.executable, "-c", _MNN_QUANTIZE, str(plain), str(made), str(settings)], made)
    return mnn_run(made, model, threads, "normal")
