from pathlib import Path

import fbnet
import numpy as np
import pytest

LENET = Path(fbnet.__file__).parent / "tools" / "lenet" / "lenet.fbnet"


@pytest.mark.parametrize("device", ["cpu", "reference"])
def test_the_model_that_comes_along(program, device):
    found = program.json("check", LENET, "--device", device)
    assert found["ok"] and found["tests"] == 1
    (row,) = found["outputs"]
    assert row["output"] == "prob" and row["error"] < 1e-5 and row["holds"]
    result = program("check", LENET)
    assert result.exit_code == 0 and "1 of 1 outputs are right on cpu, within 0.001" in result.stdout


def test_a_model_that_is_wrong(program, tmp_path):
    net = fbnet.load(LENET)
    wrong = np.asarray(net.tests[0]["prob"])[:, ::-1].copy()
    fbnet.save(net.replace(tests=[dict(net.tests[0]) | {"prob": wrong}]), tmp_path / "wrong.fbnet")
    result = program("check", tmp_path / "wrong.fbnet")
    assert result.exit_code == 1 and "WRONG" in result.stdout and "0 of 1 outputs are right" in result.stdout
    result = program("check", tmp_path / "wrong.fbnet", "--json")
    assert result.exit_code == 1 and '"ok": false' in result.stdout
    assert program("check", tmp_path / "wrong.fbnet", "--tolerance", 2).exit_code == 0


def test_inner_tensors_can_be_tested(program, tmp_path):
    net = fbnet.load(LENET)
    image = np.asarray(net.tests[0]["image"])
    inner = net.forward(upto="pool1", image=image)
    fbnet.save(net.replace(tests=[{"image": image} | inner]), tmp_path / "inner.fbnet")
    assert program.json("check", tmp_path / "inner.fbnet")["outputs"][0]["output"] == "pool1"


def test_models_with_nothing_to_check(program, tmp_path):
    net = fbnet.load(LENET)
    fbnet.save(net.replace(tests=()), tmp_path / "none.fbnet")
    assert "none.fbnet has no test vector: fbnet convert writes one" in program.fails(
        "check", tmp_path / "none.fbnet"
    )
    fbnet.save(net.replace(tests=[{"prob": np.zeros(10, np.float32)}]), tmp_path / "half.fbnet")
    assert "test vector 0 lacks the input image" in program.fails("check", tmp_path / "half.fbnet")
    assert "there is no such file" in program.fails("check", tmp_path / "nope.fbnet")
    assert "'gpu9'" in program.fails("check", LENET, "--device", "gpu9")
