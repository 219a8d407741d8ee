"""A net in a .fbnet file comes back bit for bit; what cannot be written leaves nothing behind; flatc agrees."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import resource
import shutil
import subprocess
from pathlib import Path

import fbnet
import numpy as np
import pytest
from fbnet.engine.dtype import Quantization
from fbnet.engine.errors import FbnetError, FileError, InputError
from fbnet.engine.layer import layers
from fbnet.engine.net import Net
from fbnet.engine.tensor import Dim, Spec, Tensor
from fbnet.formats import flatbuffer
from fbnet.formats.fbnet import StoredPlan, from_buffer, read, read_plans, write

# -- round trip --------------------------------------------------------------------------------------------


def test_round_trip(same, tiny, tmp_path):
    tiny.save(tmp_path / "a.fbnet")
    net = fbnet.load(tmp_path / "a.fbnet", verify="full")
    same(tiny, net)
    x = np.random.default_rng(1).standard_normal((3, 3, 8, 8), dtype=np.float32)
    assert net.forward(data=x)["prob"].tobytes() == tiny.forward(data=x)["prob"].tobytes()
    test = net.tests[0]
    assert net.forward(data=test["data"])["prob"].tobytes() == test["prob"].tobytes()
    assert [type(size) for size in net.inputs["data"].shape] == [Dim, int, int, int]


def test_every_dtype_quantization_and_awkward_shape_comes_back(odd, same, tmp_path):
    rng = np.random.default_rng(2)
    quantized = Spec((3, 5), "int8", Quantization((0.1, 1e-30, 3.0), (0, -128, 127), 0))
    from_end = Spec((2, 3), "int32", Quantization((1 / 3, 2.0, 3.0), (1 << 31, 0, -7), -1))
    whole = Spec(("N", 4, Dim("H/2", 9)), "uint8", Quantization((0.0078125,), (128,)))
    bits = np.frombuffer(rng.bytes(64), np.float32)  # among them NaNs whose bits say something
    constants = {
        "half": np.float16([[1.5], [np.inf]]), "bits": bits, "empty": np.zeros((0, 3), np.float32),
        "scalar": np.array(7, np.int64), "bool": np.array([True, False]), "one": np.zeros((1,) * 20, np.uint8),
        "int8": Tensor("int8", quantized, rng.integers(-128, 128, (3, 5)).astype(np.int8)),
        "int32": Tensor("int32", from_end, np.arange(6, dtype=np.int32).reshape(2, 3)),
    }  # fmt: skip
    chain, last = [], "x"
    for name in constants:
        chain.append(odd(last, name, name=f"take {name}"))
        last = f"take {name}"
    net = Net(chain, {"x": whole, "y": ()}, constants, [last, "x"], tests=[{}, {"x": np.uint8([[[1]]])}])
    write(net, tmp_path / "a.fbnet")
    same(net, read(tmp_path / "a.fbnet", verify="full"))


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"count": -(1 << 63), "counts": ((1 << 63) - 1, 0, -1), "flags": (True, False)},
        {"ratio": 1e300, "ratios": (0.1, -0.0, float("inf"), 5e-324, 3)},
        {"word": "\0 é \U0001f600\n", "words": ("", "a" * 1000)},
    ],
)
def test_attributes_come_back_exactly(attributes, odd, tmp_path):
    net = Net([odd("x", name="a", **attributes)], {"x": (1,)})
    write(net, tmp_path / "a.fbnet")
    assert repr(read(tmp_path / "a.fbnet")["a"].attributes) == repr(net["a"].attributes)


def test_the_same_net_gives_the_same_bytes(make_tiny, packed, tiny):
    data = packed(tiny)
    assert packed(make_tiny()) == data
    assert packed(from_buffer(data)) == data
    assert packed(make_tiny(seed=1)) != data


def test_constants_are_mapped_read_only_and_aligned(tiny, tmp_path):
    tiny.save(tmp_path / "a.fbnet")
    for tensor in read(tmp_path / "a.fbnet").constants.values():
        assert (
            tensor.data.ctypes.data % 64 == 0
            and not tensor.data.flags.writeable
            and not tensor.data.flags.owndata
        )


def test_equal_constants_are_stored_once_and_the_file_is_little_more_than_weights(packed):
    weights = np.random.default_rng(0).standard_normal((1000, 1000), dtype=np.float32)
    product = layers["InnerProduct"]
    net = Net([product("x", weights, name="a"), product("a", weights.copy(), name="b")], {"x": (1, 1000)})
    assert weights.nbytes <= len(packed(net)) <= weights.nbytes * 1.02 + 65536
    assert len(packed(net)) < weights.nbytes + 2048


def test_what_is_written_is_what_the_array_holds_now(tmp_path):
    weights = np.zeros((2, 2), np.float32)
    net = Net([layers["InnerProduct"]("x", weights, name="a")], {"x": (1, 2)})
    assert net.digest
    weights[:] = 5
    write(net, tmp_path / "a.fbnet")
    assert (read(tmp_path / "a.fbnet", verify="full").constants["a.w"].data == 5).all()


def test_saving_over_the_file_that_is_mapped(same, tiny, tmp_path):
    path = tmp_path / "a.fbnet"
    tiny.save(path)
    net, untouched = read(path), read(path)
    net.replace(name="renamed").save(path)
    same(tiny, untouched)
    assert read(path, verify="full").name == "renamed"
    (tmp_path / "link.fbnet").symlink_to(path)
    tiny.save(tmp_path / "link.fbnet")
    assert (tmp_path / "link.fbnet").is_symlink() and read(path).name == "tiny"


# -- plans -------------------------------------------------------------------------------------------------


def test_plans_travel_but_only_trusted_ones_reach_the_net(same, tiny, tmp_path):
    path, code = tmp_path / "a.fbnet", bytes(range(256)) * 9
    write(
        tiny,
        path,
        plans=[
            StoredPlan("cpu", "k1", code),
            StoredPlan("gpu", "k2", memoryview(b"")),
            StoredPlan("", "k3", b"x"),
        ],
    )
    assert [(p.device, p.key, bytes(p.blob)) for p in read_plans(path)] == [
        ("cpu", "k1", code),
        ("gpu", "k2", b""),
        ("", "k3", b"x"),
    ]
    assert (
        [p.key for p in read_plans(path, device="cpu")]
        == [p.key for p in read_plans(path, key="k1")]
        == ["k1"]
    )
    assert read_plans(path, key="k1")[0].blob.readonly
    same(tiny, read(path))
    assert not read(path).plans
    trusted = read(path, trust_plans=True)
    assert bytes(trusted.plans["k1"]) == code and trusted.plans.get("k9") is None
    write(trusted, tmp_path / "b.fbnet", plans=[StoredPlan("cpu", "k3", b"newer")])
    assert {p.key: bytes(p.blob) for p in read_plans(tmp_path / "b.fbnet")} == {
        "k1": code,
        "k2": b"",
        "k3": b"newer",
    }
    damaged = bytearray(path.read_bytes())
    damaged[damaged.index(code) + 1000] ^= 1
    path.write_bytes(damaged)
    assert read(path) and read_plans(path, key="k2")
    for use in (
        lambda: read_plans(path),
        lambda: read(path, trust_plans=True).plans["k1"],
        lambda: read(path, verify="full"),
    ):
        with pytest.raises(FileError, match=r"plan k1: .*damaged"):
            use()


# -- writing that fails ------------------------------------------------------------------------------------


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tiny, tmp_path, monkeypatch):
    path = tmp_path / "a.fbnet"
    tiny.save(path)
    before = path.read_bytes()
    big = tiny.replace(tests=[{"data": np.ones((1, 3, 500, 500), np.float32)}])
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(
        resource.RLIMIT_FSIZE, (1 << 20, limit[1])
    )  # writing past it fails as a full disk does
    try:
        with pytest.raises(FileError, match=r"a.fbnet: it cannot be written: File too large"):
            big.save(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["a.fbnet"]

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FileError, match="No space left on device"):
        tiny.save(tmp_path / "b.fbnet")
    assert os.listdir(tmp_path) == ["a.fbnet"]


@pytest.mark.parametrize("name", ["missing/a.fbnet", "folder.fbnet", "\0.fbnet", "x" * 300 + ".fbnet"])
def test_a_place_that_cannot_be_written_is_a_file_error(name, tiny, tmp_path):
    (tmp_path / "folder.fbnet" / "full").mkdir(parents=True)
    with pytest.raises(FileError, match="cannot be written"):
        tiny.save(tmp_path / name)
    assert os.listdir(tmp_path) == ["folder.fbnet"]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_no_permission_is_a_file_error(tiny, tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(FileError, match="Permission denied"):
        tiny.save(tmp_path / "a.fbnet")


def test_an_interrupt_leaves_nothing(tiny, tmp_path, monkeypatch):
    def interrupt(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        tiny.save(tmp_path / "a.fbnet")
    assert os.listdir(tmp_path) == []


def test_what_a_file_cannot_hold_is_named(odd, tiny, tmp_path):
    path = tmp_path / "a.fbnet"
    for changes, problem in [
        (
            {"metadata": {"image": {"mean": np.zeros(3)}}},
            r"a.fbnet: metadata: image.mean: .*ndarray.*cannot be stored",
        ),
        ({"name": "\ud800"}, "name: string cannot hold"),
        (
            {"tests": [{"data": np.zeros(3, np.complex64)}]},
            "test vector 'data': dtype 'complex64' is not registered",
        ),
        (
            {"inputs": {"data": Spec((1,), "int8", Quantization((1.0,), (1 << 70,)))}},
            r"inputs\[0\].quantization.zero: long",
        ),
        (
            {"constants": {**tiny.constants, "fc.w": Tensor("fc.w", Spec((5, 64)))}},
            "fc.w: its data is missing",
        ),
    ]:
        with pytest.raises(FbnetError, match=problem):
            write(tiny.replace(**changes), path)
    net = Net([odd("x", name="a", count=1 << 70)], {"x": (1,)})
    with pytest.raises(InputError, match=r"a .FbnetFileTest.: count: .*cannot be stored"):
        write(net, path)
    assert not os.listdir(tmp_path)


# -- the specification -------------------------------------------------------------------------------------


def test_flatc_accepts_the_schema_and_decodes_a_file(tiny, tmp_path):
    flatc = shutil.which("flatc") or pytest.skip("flatc is not installed")
    tiny.save(tmp_path / "tiny.fbnet")
    fbs = Path(flatbuffer.__file__).with_name("fbnet.fbs")
    call = [
        flatc,
        "--json",
        "--strict-json",
        "--raw-binary",
        "-o",
        tmp_path,
        fbs,
        "--",
        tmp_path / "tiny.fbnet",
    ]
    subprocess.run(call, check=True)
    found = json.loads((tmp_path / "tiny.json").read_text())
    assert [(n["type"], n["name"], tuple(n["inputs"])) for n in found["layers"]] == [
        (n.type, n.name, n.inputs) for n in tiny
    ]
    assert found["layers"][0]["attributes"]["pad"] == [1, 1, 1, 1]
    assert found["layers"][3]["attributes"]["words"] == ["a", "é"]
    assert found["metadata"]["labels"] == tiny.metadata["labels"]
    data = (tmp_path / "tiny.fbnet").read_bytes()
    for row in found["constants"]:
        blob = data[row["offset"] : row["offset"] + row["nbytes"]]
        assert hashlib.sha256(blob).hexdigest()[:32] == row["digest"]
        assert blob == tiny.constants[row["name"]].data.tobytes()
