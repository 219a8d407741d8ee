import json

import fbnet
import pytest
from fbnet import InputError
from fbnet.tools import standing
from fbnet.tools.race import Lane, Race
from fbnet.tools.standing import Entry, entries, markdown

MACHINE = {
    "cpu": "Abacus", "cores": 2, "target": "wood", "versions": {"fbnet": "0.1", "peer": "9"}, "peak_gflops": {1: 7.6},
}  # fmt: skip


def lane(name, *seconds, error=0.0):
    return Lane(name, "9", error, list(seconds), list(seconds))


def test_the_list_names_what_there_is():
    found = entries()
    assert len({entry.name for entry in found}) == len(found) >= 20
    for entry in found:
        for source in entry.source:
            if ":" not in source:
                assert (standing.FOLDER / source).is_file()
        if entry.source[0].startswith("zoo:"):
            assert standing.catalogue.entry(entry.source[0].removeprefix("zoo:")).model


def test_where_nets_come_from(tmp_path):
    lenet = Entry("lenet", ("fbnet:tools/lenet/lenet.fbnet",)).open(tmp_path)
    assert lenet.name == "lenet" and list(lenet.inputs) == ["data"]
    lenet.save(tmp_path / "beside.fbnet")
    assert Entry("other", ("beside.fbnet",)).open(tmp_path).name == "other"
    with pytest.raises(InputError, match="the package nowhere is not installed"):
        Entry("x", ("nowhere:x.onnx",)).open(tmp_path)


def test_weights_from_a_seed(tmp_path):
    pytest.importorskip("google.protobuf")
    net = Entry("alexnet", ("nets/alexnet.prototxt",), seed=1)
    (tmp_path / "small.prototxt").write_text(
        'input: "data" input_shape { dim: 1 dim: 3 dim: 4 dim: 4 }'
        ' layer { name: "c" type: "Convolution" bottom: "data" top: "c"'
        " convolution_param { num_output: 2 kernel_size: 3 } }"
    )
    one, same, other = (Entry("c", ("small.prototxt",), seed).open(tmp_path) for seed in (1, 1, 2))
    assert one.digest == same.digest != other.digest and net.seed == 1


def test_without_a_list(tmp_path):
    with pytest.raises(InputError, match="belongs to the repository"):
        entries(tmp_path)
    (tmp_path / "standing.json").write_text(
        json.dumps([{"name": "a", "source": ["b"], "shape": {"x": [1, 2]}}])
    )
    assert entries(tmp_path) == [Entry("a", ("b",), None, {"x": (1, 2)})]


def test_a_page_of_results():
    races = [
        Race(
            "fast",
            {"data": (1, 3, 8, 8)},
            1,
            lane("fbnet", 0.001, 0.003),
            [lane("peer", 0.004)],
            {"lost": "not here"},
        ),
        Race("slow", {"data": (1, 3, 8, 8)}, 1, lane("fbnet", 0.004), [lane("peer", 0.002)], {}),
        Race("wrong", {"data": (1, 3, 8, 8)}, 1, lane("fbnet", 0.004), [lane("peer", 0.002, error=0.5)], {}),
        Race("fast", {"data": (1, 3, 8, 8)}, 2, lane("fbnet", 0.0005), [], {}),
        Race("wee", {"data": (1, 3, 8, 8)}, 2, lane("fbnet", 0.000012), [], {}),
    ]
    text = markdown(races, {"gone": "cannot be read"}, MACHINE)
    assert "Abacus, 2 cores, wood · fbnet 0.1, peer 9" in text and "fma peak: 8 GFLOP/s" in text
    assert "| fast | 1×3×8×8 | 2.00 (1.00) | 4.00 (4.00) | 2.00 |" in text
    assert "| slow | 1×3×8×8 | 4.00 (4.00) | 2.00 (2.00) | 0.50 |" in text
    assert "| wrong | 1×3×8×8 | 4.00 (4.00) | 2.00 (2.00), error 5e-01 | – |" in text
    assert "Geometric mean of 2 ratios: **1.00**, median 1.25, least 0.50." in text
    assert "## Scaling from 1 thread" in text and "| engine | to 2 |" in text
    assert "| fbnet | 2.00 |\n| peer | – |" in text and "| fast | 1×3×8×8 | 500 µs" not in text
    assert "| fast | 1×3×8×8 | 0.50 (0.50) |" in text and "| wee | 1×3×8×8 | 12 µs (12) |" in text
    assert "## 2 threads" in text and "- fast, lost: not here" in text and "- gone: cannot be read" in text
    assert "Other work" not in text
    races[0].ours.cpu_s = [0.0, 0.0]
    assert "**Other work ran on this machine: one thread got 0.50 of a processor.**" in markdown(
        races[:2], {}, MACHINE
    )


def test_the_package_is_the_root():
    assert standing.ROOT.joinpath("__init__.py").samefile(fbnet.__file__)
