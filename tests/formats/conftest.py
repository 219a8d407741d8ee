"""A layer, a small net and its file, which the tests of fbnet's own format share."""

from __future__ import annotations

import json
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fbnet.engine.errors import FbnetError
from fbnet.engine.layer import Layer, layer, layers
from fbnet.engine.net import Net
from fbnet.engine.tensor import Spec
from fbnet.formats.fbnet import write


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the definitions of well-known networks, without weights: caffe/*.prototxt and ncnn/*.param.

    Each folder's README says where they come from, and under which licence.
    """
    folder = tmp_path_factory.mktemp("models")
    with zipfile.ZipFile(Path(__file__).with_name("models.zip")) as file:
        file.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def odd() -> Iterator[type[Layer]]:
    """A layer type with an attribute of every kind, whose own check does not expect everything."""

    @layer("FbnetFileTest")
    class Odd(Layer):
        """y = x        x: (...) -> y: (...)"""

        flag: bool = False
        count: int = 3
        ratio: float = 0.5
        word: str = "none"
        flags: tuple[bool, ...] = ()
        counts: tuple[int, ...] = (1,)
        ratios: tuple[float, ...] = (0.25,)
        words: tuple[str, ...] = ()

        def check(self) -> None:
            _ = self.counts[0]

        def reference(self, x, a=None, b=None):
            return x

    yield Odd
    layers.discard(Odd.type)


@pytest.fixture
def make_tiny(odd) -> Callable[..., Net]:
    """`make_tiny(seed)`: a small net that has everything a file can hold but odd dtypes."""

    def make(seed: int = 0) -> Net:
        rng = np.random.default_rng(seed)

        def weights(*shape: int) -> np.ndarray:
            return rng.standard_normal(shape, dtype=np.float32)

        conv, pool, product = (layers[name] for name in ("Convolution", "Pooling", "InnerProduct"))
        net = Net(
            [
                conv("data", weights(4, 3, 3, 3), weights(4), pad=(1, 1, 1, 1), name="conv1"),
                layers["ReLU"]("conv1", name="relu1", negative_slope=0.1),
                pool("relu1", name="pool1", kernel=(2, 2), stride=(2, 2), method="average"),
                odd("pool1", None, "conv1.b", name="odd", flag=True, words=("a", "é"), ratios=(0.1, 1e300)),
                product("odd", weights(5, 64), name="fc"),
                layers["Softmax"]("fc", name="prob"),
            ],
            inputs={"data": Spec(("N", 3, 8, 8))},
            name="tiny",
            metadata={
                "labels": ["cat", "dog", "é", "", "x"],
                "image": {"size": [8, 8], "mean": [1.5, 2, 0.1], "resize": None},
            },
        )
        x = weights(2, 3, 8, 8)
        return net.replace(tests=[{"data": x, **net.forward(data=x)}])

    return make


@pytest.fixture
def tiny(make_tiny) -> Net:
    """The net of `make_tiny()`."""
    return make_tiny()


@pytest.fixture
def packed(tmp_path: Path) -> Callable[..., bytes]:
    """`packed(net)`: the bytes of its file."""

    def pack(net: Net, **options: Any) -> bytes:
        path = tmp_path / "packed.fbnet"
        write(net, path, **options)
        data = path.read_bytes()
        path.unlink()
        return data

    return pack


@pytest.fixture
def same() -> Callable[[Net, Net], None]:
    """`same(a, b)` asserts that nothing of two nets differs, down to types and bits."""

    def compare(a: Net, b: Net) -> None:
        assert _described(a) == _described(b)
        for (name, one), (other_name, two) in zip(_arrays(a), _arrays(b), strict=True):
            assert (name, one.dtype, one.shape) == (other_name, two.dtype, two.shape)
            assert one.tobytes() == two.tobytes(), name

    return compare


def _described(net: Net) -> list[Any]:
    """All of a net but its arrays."""
    specs = [*net.inputs.items(), *((name, tensor.spec) for name, tensor in net.constants.items())]
    return [
        (net.name, net.outputs, net.digest, json.dumps(dict(net.metadata), sort_keys=True)),
        [(repr(n), n.outputs, repr(n.attributes)) for n in net],
        [(name, str(spec), spec.concrete, repr(spec.quantization)) for name, spec in specs],
    ]


def _arrays(net: Net) -> list[tuple[str, Any]]:
    """A net's constants, and the arrays of its test vectors."""
    constants = [(name, tensor.data) for name, tensor in net.constants.items()]
    return constants + [(name, array) for test in net.tests for name, array in test.items()]


def _outcome(read: Callable[..., Net], *args: Any, **options: Any) -> str:
    """'net' or the error's kind. Anything but an FbnetError gets out of here; so does a net that does not hold."""
    start = time.process_time()
    try:
        net = read(*args, **options)
        net.specs()
        assert len(net) and all(np.isfinite(c.spec.nbytes) for c in net.constants.values())
        found = "net"
    except FbnetError as error:
        assert "\n" not in str(error)
        found = type(error).__name__
    assert time.process_time() - start < 1
    return found


def _mutants(data: bytes, count: int, words: list[bytes]) -> list[bytes]:
    """Seeded copies of `data` with a few bytes changed, inserted, removed, moved, or a word put in."""
    random, made = np.random.default_rng(count), []
    for _ in range(count):
        mutant = bytearray(data)
        for _ in range(random.integers(1, 4)):
            at, to = sorted(random.integers(0, len(mutant) + 1, 2))
            match random.integers(0, 5):
                case 0:
                    mutant[at : at + 1] = random.bytes(1)
                case 1:
                    mutant[at:at] = words[random.integers(len(words))]
                case 2:
                    del mutant[at : min(to, at + 40)]
                case 3:
                    mutant[at:at] = mutant[at : min(to, at + 60)]
                case 4:
                    mutant[at : at + 2] = words[random.integers(len(words))]
        made.append(bytes(mutant))
    return made


@pytest.fixture(scope="session")
def outcome() -> Callable[..., str]:
    """outcome(read, *args, **options): 'net', or the kind of the error that reading a file raised; in no time."""
    return _outcome


@pytest.fixture(scope="session")
def mutants() -> Callable[..., list[bytes]]:
    """mutants(data, count, words): seeded damaged copies of a file."""
    return _mutants
