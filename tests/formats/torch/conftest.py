"""What the importer's tests share: modules, converted and held to torch itself on the same numbers."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import fbnet
import numpy as np
import pytest

torch = pytest.importorskip("torch")
logging.getLogger("torch.__trace").setLevel(
    logging.ERROR
)  # pytest records all that is said, and it says much


@pytest.fixture(scope="session")
def models() -> ModuleType:
    """torchvision.models: definitions that nobody here wrote. Its compiled half, which is not needed, asks for the very
    build of torch that it was made with; without it two operators are missed when it is imported."""
    for name in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, name):
            torch.library.define(
                f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("torchvision.models", exc_type=ImportError)


def _settled(module: Any, seed: int = 0) -> Any:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 1.5, generator=generator)
            elif name.endswith(("running_mean", "bias")):
                tensor.normal_(0, 0.1, generator=generator)
            elif tensor.ndim == 1 and tensor.is_floating_point():
                tensor.uniform_(0.5, 1.5, generator=generator)
            elif tensor.ndim > 1 and tensor.is_floating_point():
                tensor.normal_(0, tensor[0].numel() ** -0.5, generator=generator)
    return module.eval()


def _numbers(*shape: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def _judged(module: Any, *arrays: np.ndarray) -> list[np.ndarray]:
    with torch.no_grad():
        results = module(*(torch.from_numpy(a.copy()) for a in arrays))
    return [r.numpy() for r in (results if isinstance(results, (tuple, list)) else [results])]


def _close(found: np.ndarray, wanted: np.ndarray, relative: float = 1e-4) -> None:
    assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
    if found.dtype.kind != "f":
        np.testing.assert_array_equal(found, wanted)
    else:
        most = max(1e-9, np.abs(wanted).max(initial=0))
        np.testing.assert_allclose(found, wanted, rtol=0, atol=relative * most)


@pytest.fixture(scope="session")
def settled() -> Callable[..., Any]:
    """settled(module): for inference, with seeded weights, and statistics and scales that are not 0 and 1."""
    return _settled


@pytest.fixture(scope="session")
def numbers() -> Callable[..., np.ndarray]:
    """numbers(*shape): seeded, around 0."""
    return _numbers


@pytest.fixture(scope="session")
def judged() -> Callable[..., list[np.ndarray]]:
    """judged(module, *arrays): what torch makes of these inputs."""
    return _judged


@pytest.fixture(scope="session")
def close() -> Callable[..., None]:
    """close(found, wanted, relative=1e-4) asserts equality to a part of the largest number; others to the bit."""
    return _close


@pytest.fixture
def agree() -> Callable[..., fbnet.Net]:
    """agree(module, shape, *other_shapes, relative=) converts on the first shape, and compares on all -> Net"""

    def run(module: Any, *shapes: Sequence[int], relative: float = 1e-5) -> fbnet.Net:
        net = fbnet.convert(_settled(module), torch.from_numpy(_numbers(*shapes[0])))
        for shape in shapes:
            x = _numbers(*shape)
            found = net.forward(**{next(iter(net.inputs)): x})
            for name, wanted in zip(found, _judged(module, x), strict=True):
                _close(found[name], wanted, relative)
        return net

    return run


@pytest.fixture
def types() -> Callable[[fbnet.Net], list[str]]:
    """types(net) -> its layers' types, in order"""
    return lambda net: [layer.type for layer in net.layers]
