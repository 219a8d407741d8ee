"""Large .fbnet files: opened at once, and beyond 4 GB right."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fbnet.engine.errors import FileError
from fbnet.engine.layer import Layer, layers
from fbnet.engine.net import Net
from fbnet.formats import flexbuffer
from fbnet.formats.container import Contents
from fbnet.formats.fbnet import read

OPEN_AND_MEASURE = """
import sys, time
import fbnet
import fbnet.formats.fbnet  # not part of opening a file

def resident():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024

before, start = resident(), time.perf_counter()
net = fbnet.load(sys.argv[1])
seconds = time.perf_counter() - start
print(seconds, resident() - before, len(net), sum(t.spec.nbytes for t in net.constants.values()))
"""


def sparse(path: Path, net: Net, sizes: dict[str, int]) -> None:
    """A file whose constants have sizes but no content: a hole in the disk, and digests that are nobody's."""
    contents, constants = Contents(), []
    for index, (name, nbytes) in enumerate(sizes.items()):
        row = contents.add(np.uint32([index]), {"name": name, "dtype": "fp32", "shape": [nbytes // 4]})
        row["nbytes"] = nbytes
        contents._arrays[row["digest"]] = np.broadcast_to(np.uint8(0), (nbytes,))
        constants.append(row)
    root = {
        "name": net.name,
        "inputs": [{"name": "data", "dtype": "fp32", "shape": [1, 1000]}],
        "layers": [
            {key: getattr(n, key) for key in ("type", "name", "inputs", "outputs")}
            | {"attributes": flexbuffer.encode(n.attributes)}
            for n in net
        ],
        "constants": constants,
        "outputs": net.outputs,
        "metadata": flexbuffer.encode(
            {"labels": [f"class {i}, with a name of usual length" for i in range(1000)]}
        ),
    }
    with path.open("wb") as out:
        for chunk in contents.chunks(root):
            if isinstance(chunk, np.ndarray):
                out.seek(chunk.nbytes, os.SEEK_CUR)
            else:
                out.write(chunk)
        out.truncate()


def chain(count: int) -> Net:
    """`count` pairs of an InnerProduct and a ReLU, the former with a weight and a bias to be given."""
    made: list[Layer] = []
    for i in range(count):
        source = f"relu{i - 1}" if i else "data"
        made.append(layers["InnerProduct"](source, f"w{i}", f"b{i}", name=f"fc{i}"))
        made.append(layers["ReLU"](f"fc{i}", name=f"relu{i}"))
    names = [f"{kind}{i}" for i in range(count) for kind in "wb"]
    return Net(made, {"data": (1, 1000)}, {name: np.zeros(1, np.float32) for name in names})


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_opening_half_a_gigabyte_takes_no_time_and_no_memory(tmp_path):
    path, net = tmp_path / "large.fbnet", chain(60)
    sparse(path, net, {name: 8_400_000 if name[0] == "w" else 4000 for name in net.constants})
    try:
        assert path.stat().st_size > 500_000_000
        call = [sys.executable, "-c", OPEN_AND_MEASURE, path]
        runs = [subprocess.run(call, capture_output=True, text=True, check=True).stdout for _ in range(3)]
    finally:
        path.unlink()
    figures = [[float(word) for word in run.split()] for run in runs]
    assert all(f[2:] == [120, 504_240_000] for f in figures)
    seconds, megabytes = min(f[0] for f in figures), max(f[1] for f in figures)
    assert seconds < 0.05 and megabytes < 20, figures


def test_offsets_beyond_4_gigabytes(tmp_path):
    path, net = tmp_path / "large.fbnet", chain(2)
    sparse(path, net, {"w0": 5 << 30, "b0": 4096, "w1": 64, "b1": 4})
    try:
        with pytest.raises(FileError, match=r"b0: 4096 bytes at 536\d{7} have the digest"):
            _ = read(path).constants["b0"].data
    finally:
        path.unlink()
