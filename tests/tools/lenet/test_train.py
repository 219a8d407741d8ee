from pathlib import Path

import fbnet
import numpy as np
import pytest
from fbnet.tools.lenet import train
from PIL import Image

FOLDER = Path(train.__file__).parent


@pytest.fixture(scope="module")
def lenet() -> fbnet.Net:
    return fbnet.load(FOLDER / "lenet.fbnet")


def test_the_file_is_small_and_what_the_script_makes(lenet):
    assert (FOLDER / "lenet.fbnet").stat().st_size < 2_000_000
    weights = {name: tensor.data for name, tensor in lenet.constants.items()}
    again = train.as_net(weights)
    assert again.digest == lenet.digest and again.metadata == lenet.metadata


def test_it_computes_its_own_test_vector(lenet):
    (test,) = lenet.tests
    np.testing.assert_allclose(lenet(test["image"]), test["prob"], atol=1e-6)
    np.testing.assert_allclose(lenet.forward(image=test["image"])["prob"], test["prob"], atol=1e-6)


def test_accuracy_on_the_ten_thousand(lenet, zoo):
    zoo("mnist")
    assert train.accuracy(lenet) == pytest.approx(0.9943, abs=2e-4)


def test_the_digits_are_the_first_of_each_class(zoo):
    zoo("mnist")
    images, labels = train.mnist("t10k")
    for digit in range(10):
        pixels = np.asarray(Image.open(FOLDER / f"digit_{digit}.png"))
        assert np.array_equal(pixels, images[np.argmax(labels == digit)])


def test_gradients_are_those_of_the_loss():
    rng = np.random.default_rng(0)
    weights = {name: w.astype(np.float64) for name, w in train.initial_weights(rng).items()}
    x, labels = rng.random((3, 28, 28, 1)), rng.integers(0, 10, 3)
    _, slopes = train.gradients(weights, x, labels)
    step = 1e-5
    for name, w in weights.items():
        place = np.unravel_index(np.argmax(np.abs(slopes[name])), w.shape)
        losses = []
        for sign in (1, -1):
            moved = w.copy()
            moved[place] += sign * step
            losses.append(train.gradients(weights | {name: moved}, x, labels)[0])
        assert slopes[name][place] == pytest.approx((losses[0] - losses[1]) / (2 * step), rel=1e-4)


def test_shifts_move_whole_digits():
    rng = np.random.default_rng(0)
    images = np.zeros((50, 28, 28), np.uint8)
    images[:, 10, 12] = 7
    moved = train.shifted(images, rng)
    _, rows, columns = np.nonzero(moved)
    assert moved.sum() == images.sum()
    assert set(rows) == set(range(8, 13)) and set(columns) == set(range(10, 15))
