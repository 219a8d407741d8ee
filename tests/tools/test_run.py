from functools import partial
from pathlib import Path

import fbnet
import pytest
from fbnet.engine.layer import layers
from fbnet.tools.model import Runner
from fbnet.tools.run import found_images, results, with_pixels
from PIL import Image

LENET = Path(fbnet.__file__).parent / "tools" / "lenet"
MODEL = LENET / "lenet.fbnet"
mean = partial(layers["Pooling"], method="average", global_pooling=True)
DIGITS = [LENET / f"digit_{digit}.png" for digit in range(10)]


def saved(path: Path, shape: tuple, **metadata) -> Path:
    """A net that writes the mean of each channel (or row, if channels are last), and the pixels."""
    net = fbnet.Net([mean("x", name="mean")], {"x": shape}, outputs=["mean", "x"], metadata=metadata)
    fbnet.save(net, path)
    return path


@pytest.mark.parametrize("device", ["cpu", "reference"])
@pytest.mark.parametrize("batch", [1, 3, 10])
def test_ten_digits(program, device, batch):
    found = program.json("run", MODEL, *DIGITS, "--device", device, "--batch", batch, "--threads", 1)
    assert [Path(row["file"]) for row in found] == DIGITS
    assert [row["top"][0]["label"] for row in found] == list("0123456789")
    for row in found:
        assert len(row["top"]) == 5 and row["ms"] > 0
        scores = [entry["score"] for entry in row["top"]]
        assert scores == sorted(scores, reverse=True) and all(
            e["label"] == str(e["index"]) for e in row["top"]
        )


def test_a_folder_and_top(program):
    found = program.json("run", MODEL, LENET, "--top", 1)
    assert [row["top"][0]["index"] for row in found] == list(range(10))
    assert all(len(row["top"]) == 1 for row in found)


def test_for_people(program):
    result = program("run", MODEL, DIGITS[7], "--top", 2)
    assert result.exit_code == 0
    first, second, third = result.stdout.splitlines()
    assert first.startswith(f"{DIGITS[7]}  (") and first.endswith(" ms)")
    assert second.endswith("  7") and "0.9999" in second and not third.endswith("  7")


def test_other_labels(program, tmp_path):
    (tmp_path / "names.txt").write_text("zero\none\n")
    found = program.json("run", MODEL, DIGITS[1], DIGITS[7], "--labels", tmp_path / "names.txt")
    assert [row["top"][0]["label"] for row in found] == ["one", "7"]  # what has no name is its number


def test_what_cannot_be_read_is_named_and_the_others_run(program, tmp_path):
    (tmp_path / "bad.png").write_text("no image")
    photos = [DIGITS[3], tmp_path / "bad.png", tmp_path / "nope.png", DIGITS[4]]
    result = program("run", MODEL, *photos, "--batch", 4, "--json")
    assert result.exit_code == 2
    bad, missing = result.stderr.splitlines()
    assert bad.endswith("bad.png: no image of a known kind")
    assert missing.endswith("nope.png: there is no such file")
    assert result.stdout.count('"top"') == 2 and result.stdout.count('"error"') == 2


def test_flags_count_before_the_file(program, tmp_path, photo):
    model = saved(tmp_path / "m.fbnet", ("N", 3, "H", "W"), image={"mean": [1.0, 1.0, 1.0], "size": [4, 4]})
    Image.new("RGB", (8, 8), (30, 20, 10)).save(photo)
    flags = ["--size", "2x3", "--mean", "0,0,10", "--scale", "2", "--input-color", "bgr"]
    found = program.json("run", model, photo, *flags)
    assert found["outputs"]["x"] == {
        "shape": [3, 2, 3],
        "min": 20.0,
        "max": 40.0,
        "mean": pytest.approx(100 / 3),
    }
    assert program.json("run", model, photo)["outputs"]["x"]["shape"] == [3, 4, 4]


def test_photos_of_many_sizes(program, tmp_path):
    model = saved(tmp_path / "m.fbnet", ("N", 1, "H", "W"))
    for i, size in enumerate([(3, 4), (3, 4), (5, 2)]):
        Image.new("L", size, i).save(tmp_path / f"{i}.png")
    net = with_pixels(fbnet.load(model))
    with Runner(net, "reference") as runner:
        found = list(results(runner, sorted(tmp_path.glob("*.png")), batch=8))
    assert [row["outputs"]["x"].shape for row in found] == [(1, 4, 3), (1, 4, 3), (1, 2, 5)]
    assert [float(row["outputs"]["mean"].item()) for row in found] == [0.0, 1.0, 2.0]


def test_photos_of_many_sizes_are_one_batch_where_the_net_resizes_them(tmp_path):
    net = fbnet.with_image_input(fbnet.load(saved(tmp_path / "m.fbnet", ("N", 1, "H", "W"))), size=(4, 4))
    for i, size in enumerate([(3, 4), (9, 4), (5, 2)]):
        Image.new("L", size, i).save(tmp_path / f"{i}.png")
    with Runner(net) as runner:
        batches = []
        runner.prepare_rest = lambda tensors: batches.append({k: a.shape for k, a in tensors.items()})
        found = list(results(runner, sorted(tmp_path.glob("*.png")), batch=8))
    assert [row["outputs"]["mean"].item() for row in found] == [0.0, 1.0, 2.0]
    assert [shape[0] for (shape,) in (batch.values() for batch in batches)] == [3]


def test_a_photo_too_small_to_be_cut(program, tmp_path, photo):
    net = fbnet.with_image_input(
        fbnet.load(saved(tmp_path / "m.fbnet", ("N", 3, "H", "W"))), size=(30, 50), fit="cut"
    )
    fbnet.save(net, tmp_path / "m.fbnet")
    Image.new("RGB", (50, 29)).save(tmp_path / "small.png")
    result = program("run", tmp_path / "m.fbnet", photo, tmp_path / "small.png")
    assert result.exit_code == 2 and result.stdout.startswith(str(photo))
    assert "small.png: image.resize (ImageResize): an image of 29x50" in result.stderr


def test_what_a_net_prepares_itself_is_not_changed(program, tmp_path, photo):
    assert "prepares images itself: convert its source again" in program.fails(
        "run", MODEL, photo, "--mean", "3"
    )


def test_channels_last(program, tmp_path, photo):
    model = saved(tmp_path / "m.fbnet", ("N", 5, 7, 3), image={"order": "RGB"})
    assert program.json("run", model, photo)["outputs"]["x"]["shape"] == [5, 7, 3]


def test_a_model_that_does_not_say_how_images_are_prepared(program, tmp_path, photo):
    model = saved(tmp_path / "m.fbnet", ("N", 3, 8, 8))
    result = program("run", model, photo)
    assert result.exit_code == 0 and "does not say how images are prepared" in result.stderr
    assert program("run", model, photo, "--input-color", "bgr").stderr == ""


@pytest.mark.parametrize(
    ("inputs", "image", "says"),
    [
        (
            {"x": (1, 3, 8, 8), "z": (1, 3, 8, 8)},
            {},
            "reads x, z: fbnet run takes a net that reads one image",
        ),
        ({"x": (1, 100)}, {}, "fp32[1,100], which is no image"),
        ({"x": (1, 4, 8, 8)}, {}, "fp32[1,4,8,8], which is no image"),
        ({"x": (1, 3, 8, 8)}, {"order": "GRAY"}, "GRAY has the wrong number of channels"),
        ({"x": (1, 1, 8, 8)}, {"order": "BGR"}, "BGR has the wrong number of channels"),
        ({"x": (1, 3, 8, 8)}, {"mean": "high"}, "'high' is no number"),
        ({"x": (1, 3, 8, 8)}, {"zoom": 1}, "image preparation has no 'zoom'. It has: input, size"),
    ],
)
def test_nets_that_read_no_image(inputs, image, says):
    steps = [mean(name, name=f"mean_{name}") for name in inputs]
    with pytest.raises((fbnet.InputError, fbnet.AttributeValueError)) as caught:
        with_pixels(fbnet.Net(steps, inputs, metadata={"image": image}))
    assert says in str(caught.value)


def test_folders(program, tmp_path):
    (tmp_path / "b").mkdir()
    for name in ("b/2.JPG", "a.png", "notes.txt"):
        (tmp_path / name).touch()
    assert found_images([tmp_path, tmp_path / "x"]) == [
        tmp_path / "a.png",
        tmp_path / "b" / "2.JPG",
        tmp_path / "x",
    ]
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "there is no image in this folder" in program.fails("run", MODEL, empty)


def test_unknown_device(program):
    assert "'cpv'" in program.fails("run", MODEL, DIGITS[0], "--device", "cpv")
