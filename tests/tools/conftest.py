"""What the tests of the programs share: `fbnet` as a function, packages in the zoo, a net for other engines."""

import hashlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from fbnet import Net
from fbnet.engine.layer import layers
from fbnet.engine.tensor import Dim
from fbnet.tools import catalogue
from fbnet.tools.catalogue import Entry
from fbnet.tools.main import main
from fbnet.tools.packages import Package
from fbnet.tools.peers import Model
from PIL import Image


class Program:
    """`fbnet("info", path)` runs the program and returns click's Result."""

    def __call__(self, *words: Any) -> Result:
        return CliRunner().invoke(main, [str(word) for word in words])

    def fails(self, *words: Any, code: int = 2) -> str:
        """The one line that the program says when it fails, without its 'fbnet: '."""
        result = self(*words)
        assert result.exit_code == code, result.output
        (line,) = result.stderr.splitlines()
        assert line.startswith("fbnet: ")
        return line.removeprefix("fbnet: ")

    def json(self, *words: Any) -> Any:
        """What it prints as JSON; one value, or a list of them if it prints several lines."""
        result = self(*words, "--json")
        assert result.exit_code == 0, result.output
        values = [json.loads(line) for line in result.stdout.splitlines()]
        return values[0] if len(values) == 1 else values


@pytest.fixture
def program() -> Program:
    return Program()


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A small photo of noise."""
    path = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)).save(path)
    return path


@pytest.fixture
def own_zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Entry]:
    """`own_zoo(archive, client, **{name: content})` makes a zoo with the one entry 'thing', in an empty cache.

    The archive lies where pip looks for packages, and pip looks nowhere else.
    """
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    monkeypatch.setenv("FBNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")

    def make(archive: Path, client: str, folder: str, contents: dict[str, bytes]) -> Entry:
        data = archive.read_bytes()
        (shelf / archive.name).write_bytes(data)
        text = "\n".join(f"{hashlib.sha256(c).hexdigest()} {len(c)} {name}" for name, c in contents.items())
        sha256 = hashlib.sha256(data).hexdigest()
        package = Package(client, "thing-data", "1.0", len(data), sha256, folder, text)
        entry = Entry("thing", "data", package, tuple(contents), "a thing", "MIT")
        monkeypatch.setattr(catalogue, "ENTRIES", (entry,))
        return entry

    return make


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """A wheel with thing_data/a.txt and thing_data/b.bin."""
    path = tmp_path / "thing_data-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("thing_data/a.txt", b"hello")
        file.writestr("thing_data/b.bin", bytes(1000))
        file.writestr(
            "thing_data-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: thing-data\nVersion: 1.0\n"
        )
        file.writestr("thing_data-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        file.writestr("thing_data-1.0.dist-info/RECORD", "")
    return path


@pytest.fixture
def small_net() -> Net:
    """A convolution and a pooling, which every engine has."""
    random = np.random.default_rng(0)
    w = random.standard_normal((4, 3, 3, 3)).astype(np.float32)
    b = random.standard_normal(4).astype(np.float32)
    made = [
        layers["Convolution"]("data", w, b, name="conv", pad=(1, 1, 1, 1), activation="ReLU"),
        layers["Pooling"]("conv", name="pool", kernel=(3, 3), stride=(2, 2), ceil=True),
    ]
    return Net(made, inputs={"data": (Dim("N", 1), 3, 8, 8)})


@pytest.fixture
def small_model(small_net: Net, tmp_path: Path) -> Callable[[int], Model]:
    """`small_model(batch)`: small_net as other engines get it."""

    def model(batch: int) -> Model:
        paths = {size: tmp_path / f"{size}.onnx" for size in (1, batch)}
        for size, path in paths.items():
            small_net.replace(inputs={"data": (size, 3, 8, 8)}).save(path)
        return Model(paths[batch], paths[1], {"data": (batch, 3, 8, 8)}, {"pool": (batch, 4, 4, 4)})

    return model
