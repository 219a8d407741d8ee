"""Trains LeNet-5 on MNIST, in plain numpy, and writes lenet.fbnet and ten digits beside this file.

    python -m fbnet.tools.lenet.train            # about five minutes on two cores

The shape is Caffe's LeNet (examples/mnist/lenet.prototxt): 431,080 weights. LeCun et al. 1998, "Gradient-based
learning applied to document recognition". Activations are (N, H, W, C) while training, because then a convolution
is one matrix product; what is saved is NCHW, as everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ...engine.layer import Layer, layers
from ...engine.net import Net
from ...formats.ends import with_image_input
from ..fetch import fetch
from ..show import progress_bar

FOLDER = Path(__file__).parent
KERNEL = 5
SHIFT = 2  # training digits are moved by up to so many pixels each way
BATCH = 100
LEARNING_RATE, MOMENTUM, WEIGHT_DECAY = 0.02, 0.9, 5e-4

Weights = dict[str, np.ndarray]


def mnist(part: str) -> tuple[np.ndarray, np.ndarray]:
    """'train' or 't10k' -> images uint8[n,28,28], labels uint8[n]. The idx format: a header, then bytes."""
    folder = fetch("mnist")
    images = np.fromfile(folder / f"{part}-images-idx3-ubyte", np.uint8)[16:].reshape(-1, 28, 28)
    labels = np.fromfile(folder / f"{part}-labels-idx1-ubyte", np.uint8)[8:]
    return images, labels


# -- the network, forward and backward ---------------------------------------------------------------------


def initial_weights(rng: np.random.Generator) -> Weights:
    """Weights in Caffe's shapes, drawn with Caffe's 'xavier' filler: uniform, variance 1 / fan-in; biases 0."""
    shapes = {"conv1": (20, 1, 5, 5), "conv2": (50, 20, 5, 5), "ip1": (500, 800), "ip2": (10, 500)}
    weights = {}
    for name, shape in shapes.items():
        bound = np.sqrt(3 / np.prod(shape[1:]))
        weights[f"{name}.w"] = rng.uniform(-bound, bound, shape).astype(np.float32)
        weights[f"{name}.b"] = np.zeros(shape[0], np.float32)
    return weights


def convolve(x: np.ndarray, w: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x (N,H,W,C), w (M,C,5,5) -> y (N,H-4,W-4,M), and the patches that were multiplied."""
    windows = sliding_window_view(x, (KERNEL, KERNEL), axis=(1, 2))  # (N, H-4, W-4, C, 5, 5)
    patches = windows.reshape(-1, w[0].size)
    return (patches @ w.reshape(len(w), -1).T + b).reshape(*windows.shape[:3], len(w)), patches


def convolve_back(dy: np.ndarray, patches: np.ndarray, w: np.ndarray, x_shape: tuple[int, ...]) -> np.ndarray:
    """The gradient of `convolve` with respect to x."""
    n, oh, ow, _ = dy.shape
    dpatches = (dy.reshape(-1, len(w)) @ w.reshape(len(w), -1)).reshape(n, oh, ow, -1, KERNEL, KERNEL)
    dx = np.zeros(x_shape, np.float32)
    for i in range(KERNEL):
        for j in range(KERNEL):
            dx[:, i : i + oh, j : j + ow] += dpatches[..., i, j]
    return dx


def pool(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Maximum of 2 x 2: x (N,H,W,C) -> y (N,H/2,W/2,C), and where in x the maxima are."""
    n, h, w, c = x.shape
    cells = x.reshape(n, h // 2, 2, w // 2, 2, c)
    y = cells.max(axis=(2, 4))
    return y, (cells == y[:, :, None, :, None]).reshape(x.shape)


def pool_back(dy: np.ndarray, where: np.ndarray) -> np.ndarray:
    """The gradient of `pool`; equal maxima (rare) all receive it."""
    return dy.repeat(2, axis=1).repeat(2, axis=2) * where


def gradients(weights: Weights, x: np.ndarray, labels: np.ndarray) -> tuple[float, Weights]:
    """The mean cross entropy of a batch x (N,28,28,1), and its gradient for every weight."""
    n = len(x)
    y1, patches1 = convolve(x, weights["conv1.w"], weights["conv1.b"])
    p1, where1 = pool(y1)
    y2, patches2 = convolve(p1, weights["conv2.w"], weights["conv2.b"])
    p2, where2 = pool(y2)
    flat = p2.transpose(0, 3, 1, 2).reshape(n, -1)  # channels first, as the saved net flattens
    hidden = np.maximum(flat @ weights["ip1.w"].T + weights["ip1.b"], 0)
    scores = hidden @ weights["ip2.w"].T + weights["ip2.b"]
    scores -= scores.max(axis=1, keepdims=True)
    probabilities = np.exp(scores)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    loss = -np.log(probabilities[np.arange(n), labels] + 1e-9).mean()

    dscores = probabilities
    dscores[np.arange(n), labels] -= 1
    dscores /= n
    dhidden = (dscores @ weights["ip2.w"]) * (hidden > 0)
    dp2 = (dhidden @ weights["ip1.w"]).reshape(n, 50, 4, 4).transpose(0, 2, 3, 1)
    dy2 = pool_back(dp2, where2)
    dy1 = pool_back(convolve_back(dy2, patches2, weights["conv2.w"], p1.shape), where1)
    found = {"ip2": (dscores, hidden), "ip1": (dhidden, flat)}
    found |= {"conv2": (dy2.reshape(-1, 50), patches2), "conv1": (dy1.reshape(-1, 20), patches1)}
    result = {}
    for name, (dy, inputs) in found.items():
        result[f"{name}.w"] = (dy.T @ inputs).reshape(weights[f"{name}.w"].shape)
        result[f"{name}.b"] = dy.sum(axis=0)
    return float(loss), result


# -- training ----------------------------------------------------------------------------------------------


def shifted(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Every image of uint8[n,28,28] moved by up to SHIFT pixels down and right, black moving in."""
    n, h, w = images.shape
    padded = np.pad(images, ((0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT)))
    down, right = rng.integers(0, 2 * SHIFT + 1, (2, n, 1))
    rows, columns = down + np.arange(h), right + np.arange(w)
    return padded[np.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]]


def batches(images: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> Iterator[tuple]:
    """One epoch in a new order: batches x fp32[BATCH,28,28,1] in [0, 1], and their labels."""
    order = rng.permutation(len(images))
    for start in range(0, len(order), BATCH):
        chosen = order[start : start + BATCH]
        x = shifted(images[chosen], rng).astype(np.float32)[..., None] / 255
        yield x, labels[chosen].astype(np.intp)


def train(epochs: int, seed: int) -> Weights:
    """Stochastic gradient descent with momentum; the learning rate falls to zero along a half cosine."""
    rng = np.random.default_rng(seed)
    images, labels = mnist("train")
    weights = initial_weights(rng)
    velocity = {name: np.zeros_like(w) for name, w in weights.items()}
    steps = epochs * (len(images) // BATCH)
    step = 0
    with progress_bar("training LeNet-5", steps) as advance:
        for _ in range(epochs):
            for x, y in batches(images, labels, rng):
                rate = LEARNING_RATE * (1 + np.cos(np.pi * step / steps)) / 2
                loss, slopes = gradients(weights, x, y)
                for name, slope in slopes.items():
                    decay = WEIGHT_DECAY * weights[name] if name.endswith(".w") else 0
                    velocity[name] = MOMENTUM * velocity[name] - np.float32(rate) * (slope + decay)
                    weights[name] += velocity[name]
                step += 1
                advance(1, f"loss {loss:.3f}")
    return weights


# -- what is left of it ------------------------------------------------------------------------------------


def as_net(weights: Weights) -> Net:
    """The trained weights as a Net: data (N,1,28,28) -> prob (N,10)."""

    def made(kind: str, source: str, name: str, **attributes: Any) -> Layer:
        own = [weights[f"{name}.{p}"] for p in "wb"] if f"{name}.w" in weights else []
        return layers[kind](source, *own, name=name, **attributes)

    net = Net(
        [
            made("Convolution", "data", "conv1"),
            made("Pooling", "conv1", "pool1", kernel=(2, 2), stride=(2, 2), ceil=True),
            made("Convolution", "pool1", "conv2"),
            made("Pooling", "conv2", "pool2", kernel=(2, 2), stride=(2, 2), ceil=True),
            made("InnerProduct", "pool2", "ip1"),
            made("ReLU", "ip1", "relu1"),
            made("InnerProduct", "relu1", "ip2"),
            made("Softmax", "ip2", "prob"),
        ],
        inputs={"data": ("N", 1, 28, 28)},
        name="LeNet-5",
        metadata={
            "labels": [str(digit) for digit in range(10)],
            "source": "trained on MNIST by fbnet.tools.lenet.train",
            "license": "BSD-2-Clause",
        },
    )
    return with_image_input(net, scale=1 / 255)


def accuracy(net: Net) -> float:
    """The share of the 10,000 test digits that the net reads right."""
    images, labels = mnist("t10k")
    right = 0
    for start in range(0, len(images), 1000):
        x = images[start : start + 1000, :, :, None]
        right += int((net(x).argmax(axis=1) == labels[start : start + 1000]).sum())
    return right / len(images)


@click.command()
@click.option("--epochs", default=10, show_default=True)
@click.option("--seed", default=1, show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), default=FOLDER, help="Folder to write into.")
def main(epochs: int, seed: int, output: Path) -> None:
    """Train LeNet-5 on MNIST and write lenet.fbnet and digit_0.png ... digit_9.png."""
    from PIL import Image

    from ...formats.fbnet import write

    net = as_net(train(epochs, seed))
    images, labels = mnist("t10k")
    for digit in range(10):  # the first of each in the test set, not one picked for being easy
        Image.fromarray(images[np.argmax(labels == digit)]).save(output / f"digit_{digit}.png", optimize=True)
    sample = images[:1, :, :, None]
    write(
        net.replace(tests=[{"image": sample, "prob": net.forward(image=sample)["prob"]}]),
        output / "lenet.fbnet",
    )
    print(f"{accuracy(net):.2%} of the 10,000 test digits are read right; wrote {output / 'lenet.fbnet'}")


if __name__ == "__main__":
    main()
