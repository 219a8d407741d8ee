"""Other engines that run the same net: each a small function that loads an ONNX file the way its makers say.

All of them in fp32 (reduced precisions off), with the same number of threads, every input copied in and every output
copied out, as ours does. A peer that is not installed, or cannot convert the net, says why and is left out.

    @peer("onnxruntime")
    def onnxruntime(model, threads, folder): ... return run      run(inputs) -> outputs, both name -> array
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ..engine.errors import ConversionError
from ..engine.registry import Registry

Arrays = Mapping[str, np.ndarray]
Run = Callable[[Arrays], "dict[str, np.ndarray]"]

CONVERT_SECONDS = 300  # what a peer's converter may take


@dataclass(frozen=True)
class Model:
    """A net as its peers get it: an .onnx file of fixed shapes.

    path      the file          single   the same net for one image, for engines without a batch
    inputs    name -> shape     outputs  name -> shape
    """

    path: Path
    single: Path
    inputs: Mapping[str, tuple[int, ...]]
    outputs: Mapping[str, tuple[int, ...]]


Load = Callable[[Model, int, Path], Run]
peers: Registry[Load] = Registry("peer")


def peer(name: str) -> Callable[[Load], Load]:
    """Register a function (model, threads, folder for its files) -> run(inputs) -> outputs."""

    def register(function: Load) -> Load:
        return peers.add(name, function, function.__module__)

    return register


def load(name: str, model: Model, threads: int, folder: Path) -> tuple[str, Run]:
    """The version and the run function of a peer. Raises ConversionError with the reason if there is none."""
    function = peers[name]
    return loaded(name, lambda: function(model, threads, folder))


def loaded(name: str, make: Callable[[], Run]) -> tuple[str, Run]:
    """The version of an engine and what `make` makes with it. Raises ConversionError with the reason if it cannot."""
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        raise ConversionError(f"{name} is not installed: pip install {name}") from None
    with captured() as said:
        try:
            return version, make()
        except Exception as error:  # whatever another engine throws
            reason = str(error) or type(error).__name__
    lines = [line.strip() for line in [*reason.splitlines(), *said] if line.strip()]
    raise ConversionError(f"{name} {version} cannot load it: {' '.join(lines)[:300]}")


@peer("onnxruntime")
def _onnxruntime(model: Model, threads: int, folder: Path) -> Run:
    return onnxruntime_run(model.path, list(model.outputs), threads)


def onnxruntime_run(path: Path, names: list[str], threads: int, optimised: bool = True) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry(
        "session.force_spinning_stop", "1"
    )  # or its threads disturb who runs next
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(inputs: Arrays) -> dict[str, np.ndarray]:
        return dict(zip(names, session.run(names, dict(inputs)), strict=True))

    return run


@peer("openvino")
def _openvino(model: Model, threads: int, folder: Path) -> Run:
    import openvino

    return openvino_run(openvino.Core().read_model(str(model.path)), list(model.outputs), threads)


def openvino_run(network: Any, names: list[str], threads: int) -> Run:
    """network  an openvino.Model"""
    import openvino

    wanted = {
        "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": "1", "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
    }  # fmt: skip
    request = openvino.Core().compile_model(network, "CPU", wanted).create_infer_request()

    def run(inputs: Arrays) -> dict[str, np.ndarray]:
        request.infer(dict(inputs))
        return {name: request.get_output_tensor(i).data.copy() for i, name in enumerate(names)}

    return run


@peer("ncnn")
def _ncnn(model: Model, threads: int, folder: Path) -> Run:
    return ncnn_run(ncnn_files(model, folder), model, threads)


Files = tuple[Path, Path]


def ncnn_files(model: Model, folder: Path) -> Files:
    """Its .param and .bin by pnnx, which calls inputs and outputs in0, out0 and so on."""
    found = find_spec("pnnx")
    if found is None or found.origin is None:
        raise ImportError("its converter is not installed: pip install pnnx (--no-deps leaves torch out)")
    shapes = ",".join(str([1, *shape[1:]]).replace(" ", "") for shape in model.inputs.values())
    program = Path(found.origin).with_name("pnnx.exe" if sys.platform == "win32" else "pnnx")
    copy = folder / "net.onnx"  # it writes its results beside its source
    copy.write_bytes(model.single.read_bytes())
    param = folder / "net.ncnn.param"
    convert([str(program), str(copy), f"inputshape={shapes}", "fp16=0"], param)
    return param, folder / "net.ncnn.bin"


def ncnn_run(files: Files, model: Model, threads: int) -> Run:
    """ncnn has no batch: it gets image by image."""
    import ncnn

    net = ncnn.Net()
    for name in (
        "fp16_packed",
        "fp16_storage",
        "fp16_arithmetic",
        "bf16_storage",
        "bf16_packed",
        "vulkan_compute",
    ):
        if hasattr(net.opt, f"use_{name}"):
            setattr(net.opt, f"use_{name}", False)
    net.opt.num_threads = threads
    for file, read in zip(files, (net.load_param, net.load_model), strict=True):
        if read(str(file)) != 0:
            raise ValueError(f"it cannot read {file.name}")

    def image(inputs: Arrays, index: int) -> list[np.ndarray]:
        extractor = net.create_extractor()
        for i, array in enumerate(inputs.values()):
            extractor.input(f"in{i}", ncnn.Mat(array[index]).clone())
        return [np.array(extractor.extract(f"out{i}")[1]) for i in range(len(model.outputs))]

    def run(inputs: Arrays) -> dict[str, np.ndarray]:
        batch = len(next(iter(inputs.values())))
        images = [image(inputs, index) for index in range(batch)]
        return {
            name: _shaped(np.stack([outputs[i] for outputs in images]), shape)
            for i, (name, shape) in enumerate(model.outputs.items())
        }

    return run


# Not the program `mnnconvert`: what its file imports fetches a logging package and calls home. This is the converter.
_MNN_CONVERT = "import sys, _tools; _tools.mnnconvert(['mnnconvert', *sys.argv[1:]])"


@peer("mnn")
def _mnn(model: Model, threads: int, folder: Path) -> Run:
    return mnn_run(mnn_file(model, folder), model, threads, "high")


def mnn_file(model: Model, folder: Path) -> Path:
    made = folder / "net.mnn"
    words = ["-f", "ONNX", "--modelFile", str(model.path), "--MNNModel", str(made), "--bizCode", "fbnet"]
    convert([sys.executable, "-c", _MNN_CONVERT, *words], made)
    return made


def mnn_run(made: Path, model: Model, threads: int, precision: str) -> Run:
    import MNN.expr as expr
    import MNN.nn as nn

    runtime = nn.create_runtime_manager(({"backend": "CPU", "precision": precision, "numThread": threads},))
    names = list(model.outputs)
    module = nn.load_module_from_file(
        str(made), list(model.inputs), names, runtime_manager=runtime, shape_mutable=False
    )
    given = {name: expr.placeholder(list(shape), expr.NCHW) for name, shape in model.inputs.items()}

    def run(inputs: Arrays) -> dict[str, np.ndarray]:
        for name, variable in given.items():
            variable.write(inputs[name])
        found = module.forward(list(given.values()))
        results = found if isinstance(found, (list, tuple)) else [found]
        outputs = {}
        for name, result in zip(names, results, strict=True):
            if result.data_format != expr.NCHW:
                result = expr.convert(result, expr.NCHW)
            outputs[name] = _shaped(np.array(result.read(), copy=True), model.outputs[name])
        return outputs

    return run


def convert(command: Sequence[str], result: Path) -> None:
    """Run a peer's converter in the folder of its result, which must be there afterwards. Raises ValueError."""
    done = subprocess.run(
        command, cwd=result.parent, capture_output=True, text=True, errors="replace", timeout=CONVERT_SECONDS
    )
    if done.returncode or not result.is_file():
        lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise ValueError(f"its converter failed: {' '.join(lines[-3:]) or f'exit code {done.returncode}'}")


def _shaped(array: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """An output in the shape that it has in ONNX, where an engine has dropped or added axes of size 1."""
    return array.reshape(shape) if array.size == np.prod(shape, dtype=int) else array


@contextmanager
def captured() -> Iterator[list[str]]:
    """What C++ prints while the block runs goes into the list, at its end, and not to the terminal."""
    said: list[str] = []
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(1), os.dup(2)]
    with tempfile.TemporaryFile("w+", errors="replace") as file:
        try:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
            yield said
        finally:
            for number, copy in enumerate(kept, 1):
                os.dup2(copy, number)
                os.close(copy)
            file.seek(0)
            said += file.read().splitlines()[-3:]
