"""What all tests share: a cache folder, empty at first; the zoo's files, fetched once and kept; two foreign judges."""

import gc
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from fbnet.engine.errors import FetchError
from fbnet.engine.settings import cache_folder
from fbnet.tools.fetch import fetch
from hypothesis import settings

settings.register_profile("fbnet", deadline=None, max_examples=50)  # time on a busy machine proves nothing
settings.load_profile("fbnet")


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The cache folder of this test run: all its processes share it. Only the zoo in it is that of every day."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "fbnet-cache"
    folder.mkdir(exist_ok=True)
    with suppress(OSError):
        kept = cache_folder() / "zoo"
        kept.mkdir(parents=True, exist_ok=True)
        (folder / "zoo").symlink_to(kept.resolve())
    ours = {
        "FBNET_CACHE": str(folder),
        "FBNET_TUNE": "0",
    }  # measuring kernels proves nothing here, and takes long
    before = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours)
    yield folder
    for name, value in before.items():
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value


@pytest.fixture
def thread_count() -> Callable[[], int]:
    """A function that counts Python's threads. What earlier tests left to the garbage collector is gone by now."""
    gc.collect()
    return threading.active_count


@pytest.fixture(scope="session")
def zoo() -> Callable[[str], Path]:
    """`zoo("squeezenet_v1.1")` is the folder with the files of that entry of the zoo.

    Without a network the test that asks is skipped, and says so; under CI it fails, so that nothing is forgotten.
    """

    def folder(name: str) -> Path:
        try:
            return fetch(name)
        except FetchError as error:
            if os.environ.get("CI", "").lower() not in ("", "0", "false"):
                raise
            pytest.skip(f"needs the zoo's {name}: {error}")

    return folder


@pytest.fixture(scope="session")
def onnx_run():
    """A function (operator, *arrays, **attributes) -> the outputs of onnxruntime for that one node.

    None among the arrays is an optional input that is left out.
    """
    ort = pytest.importorskip("onnxruntime")
    from onnx import TensorProto, helper

    def run(operator: str, *arrays: np.ndarray | None, outputs: int = 1, opset: int = 17, **attributes):
        names = ["" if a is None else f"i{i}" for i, a in enumerate(arrays)]
        given = {n: a for n, a in zip(names, arrays, strict=True) if a is not None}
        results = [f"o{i}" for i in range(outputs)]
        types = {np.dtype(np.float32): TensorProto.FLOAT, np.dtype(np.int64): TensorProto.INT64}
        graph = helper.make_graph(
            [helper.make_node(operator, names, results, **attributes)],
            "one",
            [helper.make_tensor_value_info(n, types[a.dtype], a.shape) for n, a in given.items()],
            [helper.make_tensor_value_info(r, TensorProto.FLOAT, None) for r in results],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
        session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        found = session.run(None, given)
        return found[0] if outputs == 1 else found

    return run


@pytest.fixture(scope="session")
def caffe_run():
    """A function (prototxt of a layer's type and parameters, *arrays) -> that layer's outputs in OpenCV.

    OpenCV is not among the test requirements, since its wheels pin older numpys: without it the tests skip.
    """
    cv2 = pytest.importorskip("cv2")

    def run(text: str, *arrays: np.ndarray, outputs: int = 1):
        names = [f"i{i}" for i in range(len(arrays))]
        lines = [
            f'input: "{n}" input_shape {{ {" ".join(f"dim: {d}" for d in a.shape)} }}'
            for n, a in zip(names, arrays, strict=True)
        ]
        bottoms = " ".join(f'bottom: "{n}"' for n in names)
        tops = " ".join(f'top: "o{i}"' for i in range(outputs))
        lines.append(f'layer {{ name: "one" {bottoms} {tops} {text} }}')
        net = cv2.dnn.readNetFromCaffe(np.frombuffer("\n".join(lines).encode(), np.uint8))
        for name, array in zip(names, arrays, strict=True):
            net.setInput(array, name)
        found = net.forwardAndRetrieve(["one"])[0]
        return found[0] if outputs == 1 else found

    return run
