"""The framework that a model file came from, running that file: the judge of what we made of it.

    @source(".onnx", "onnxruntime")
    def onnxruntime(paths, inputs, tensors): ... return arrays, name -> array

`tensors` are (name, layer name) of what is wanted; what a framework cannot show is left out. All in fp32.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..engine.errors import ConversionError, InputError
from ..engine.net import Net
from .peers import captured

Arrays = Mapping[str, np.ndarray]
Wanted = Sequence[tuple[str, str]]
Function = Callable[[Sequence[Path], Arrays, Wanted], "dict[str, np.ndarray]"]


class Source(NamedTuple):
    """An engine that reads the files of a framework."""

    name: str
    packages: tuple[str, ...]  # what it may be installed as
    suffixes: tuple[str, ...]
    run: Function


SOURCES: dict[str, Source] = {}


def source(name: str, *suffixes: str, packages: Sequence[str] = ()) -> Callable[[Function], Function]:
    """Enter a function as the engine `name`, which reads files with these endings."""

    def enter(function: Function) -> Function:
        SOURCES[name] = Source(name, tuple(packages) or (name,), suffixes, function)
        return function

    return enter


def source_of(paths: Sequence[Path]) -> Source | None:
    """The engine of the framework that these files came from."""
    suffixes = {path.suffix.lower() for path in paths}
    return next((s for s in SOURCES.values() if suffixes & set(s.suffixes)), None)


def judged(
    engine: Source, paths: Sequence[Path], net: Net, inputs: Arrays, tensors: Sequence[str]
) -> tuple[str, dict[str, np.ndarray]]:
    """(engine and version, tensors by name) of the model in `paths`, of which `net` was made, on these inputs.

    tensors  names of the net's. Raises ConversionError with the reason if there are none.
    """
    version = next((v for v in map(_version, engine.packages) if v), "")
    if not version:
        raise ConversionError(f"{engine.name} is not installed: pip install {engine.packages[0]}")
    writers = {o: layer.name for layer in net.layers for o in layer.outputs}
    wanted = [(name, writers[name]) for name in tensors if name in writers]
    with captured() as said:
        try:
            return f"{engine.name} {version}", engine.run(paths, inputs, wanted)
        except Exception as error:  # whatever another engine throws
            reason = str(error) or type(error).__name__
    words = " ".join(line.strip() for line in [*reason.splitlines(), *said] if line.strip())
    raise ConversionError(f"{engine.name} {version} cannot run {paths[0].name}: {words[:300]}")


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


@source("onnxruntime", ".onnx")
def _onnxruntime(paths: Sequence[Path], inputs: Arrays, tensors: Wanted) -> dict[str, np.ndarray]:
    """Inner tensors are seen by making them outputs, other sizes taken by leaving them open: that takes onnx."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    cpu = ["CPUExecutionProvider"]
    session = onnxruntime.InferenceSession(str(paths[0]), options, providers=cpu)
    outputs = {o.name for o in session.get_outputs()}
    inner = [name for name, _ in tensors if name not in outputs]
    fixed = [
        i.name for i in session.get_inputs() if i.name in inputs and _differs(i.shape, inputs[i.name].shape)
    ]
    if inner or fixed:
        import onnx

        model = onnx.load(str(paths[0]))
        known = {o for node in model.graph.node for o in node.output}
        inner = [name for name in inner if name in known]
        for value in (*model.graph.input, *model.graph.output) if fixed else ():
            for axis, size in enumerate(value.type.tensor_type.shape.dim):
                size.dim_param = f"{value.name}.{axis}"
        del model.graph.value_info[:]
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in inner)
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=cpu)
    names = [name for name, _ in tensors if name in outputs or name in inner]
    return dict(zip(names, session.run(names, dict(inputs)), strict=True))


def _differs(declared: Sequence[int | str | None], shape: Sequence[int]) -> bool:
    """Whether a shape is another than a model declares, where it declares numbers."""
    return any(isinstance(a, int) and a != b for a, b in zip(declared, shape, strict=False))


@source(
    "opencv", ".prototxt", ".caffemodel",
    packages=("opencv-python-headless", "opencv-python", "opencv-contrib-python-headless"),
)  # fmt: skip
def _opencv(paths: Sequence[Path], inputs: Arrays, tensors: Wanted) -> dict[str, np.ndarray]:
    """OpenCV up to 4.12 reads Caffe. It calls results by their layers, and fuses some away."""
    import cv2

    ordered = sorted(paths, key=lambda path: path.suffix.lower() != ".prototxt")
    if len(ordered) != 2:
        raise InputError("it needs the weights, too")
    net = cv2.dnn.readNetFromCaffe(*map(str, ordered))
    net.enableFusion(False)
    for name, array in inputs.items():
        net.setInput(array, name)
    known = set(net.getLayerNames())
    found: dict[str, np.ndarray] = {}
    of_layer = [(name, layer) for name, layer in tensors if layer in known]
    results = net.forwardAndRetrieve([layer for _, layer in of_layer])
    for (name, layer), result in zip(of_layer, results, strict=True):
        if len(result) == 1:
            found[name] = result[0]
            if (
                net.getLayer(layer).type == "DetectionOutput"
            ):  # its rows that are no box begin with 0, ours with -1
                found[name][result[0][..., 2] == 0, 0] = -1
    return found


@source("ncnn", ".param", ".bin")
def _ncnn(paths: Sequence[Path], inputs: Arrays, tensors: Wanted) -> dict[str, np.ndarray]:
    """ncnn has no batch: it gets one image, and its results get their batch axis back."""
    import ncnn

    param = next(path for path in paths if path.suffix.lower() == ".param")
    weights = next((path for path in paths if path != param), param.with_suffix(".bin"))
    net = ncnn.Net()
    for name in dir(net.opt):
        if name.startswith(("use_fp16", "use_bf16", "use_vulkan")):
            setattr(net.opt, name, False)
    net.opt.lightmode = False  # keeps inner tensors
    net.opt.num_threads = 1
    if net.load_param(str(param)) != 0 or net.load_model(str(weights)) != 0:
        raise InputError("it cannot read it")
    extractor = net.create_extractor()
    for name, array in inputs.items():
        if array.shape[0] != 1:
            raise InputError("it runs one image at a time")
        extractor.input(name, ncnn.Mat(array[0]).clone())
    found = {}
    for name, _ in tensors:
        failed, mat = extractor.extract(name)
        if not failed:
            found[name] = np.array(mat)[None]
    return found


@source("litert", ".tflite", packages=("ai-edge-litert", "tflite-runtime", "tensorflow"))
def _litert(paths: Sequence[Path], inputs: Arrays, tensors: Wanted) -> dict[str, np.ndarray]:
    """TensorFlow Lite's runtime shows its outputs; it knows none of MediaPipe's own operators."""
    from ai_edge_litert.interpreter import Interpreter  # type: ignore[import-untyped]

    runtime = Interpreter(model_path=str(paths[0]), num_threads=1)
    places = {row["name"]: row["index"] for row in runtime.get_input_details()}
    for name, array in inputs.items():
        runtime.resize_tensor_input(places[name], array.shape)
    runtime.allocate_tensors()
    for name, array in inputs.items():
        runtime.set_tensor(places[name], array)
    runtime.invoke()
    outputs = {row["name"]: row["index"] for row in runtime.get_output_details()}
    return {name: runtime.get_tensor(outputs[name]) for name, _ in tensors if name in outputs}


@source(
    "opencv for Darknet", ".cfg", ".weights",
    packages=("opencv-python-headless", "opencv-python", "opencv-contrib-python-headless"),
)  # fmt: skip
def _opencv_darknet(paths: Sequence[Path], inputs: Arrays, tensors: Wanted) -> dict[str, np.ndarray]:
    """OpenCV calls results otherwise: its outputs are those of the file, in order. A [yolo] section's probabilities
    below a threshold are 0 there, unless the section names one that none is below."""
    import cv2

    cfg, weights = sorted(paths, key=lambda path: path.suffix.lower() != ".cfg")
    text = cfg.read_bytes().replace(b"[yolo]", b"[yolo]\nthresh=0")
    net = cv2.dnn.readNetFromDarknet(np.frombuffer(text, np.uint8), np.fromfile(weights, np.uint8))
    net.setInput(next(iter(inputs.values())))
    results = net.forward(net.getUnconnectedOutLayersNames())
    return {name: result for (name, _), result in zip(tensors, results, strict=True)}
