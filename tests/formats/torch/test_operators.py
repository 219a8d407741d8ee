"""Every operator, as small modules: what the net computes by its layers' definitions is what torch computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import fbnet
import numpy as np
import pytest

torch = pytest.importorskip("torch")
nn, F = torch.nn, torch.nn.functional
IMAGE = (2, 4, 9, 8)


class Call(nn.Module):
    """A function of tensors as a module."""

    def __init__(self, function: Callable[..., Any], **tensors: Any):
        super().__init__()
        self.function = function
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor)

    def forward(self, *xs: Any) -> Any:
        return self.function(*xs, **dict(self.named_buffers()))


def call(function: Callable[..., Any], **tensors: Any) -> Call:
    return Call(function, **tensors)


def random(*shape: int) -> Any:
    return torch.randn(shape, generator=torch.Generator().manual_seed(3))


ACTIVATIONS = [
    nn.ReLU(), nn.ReLU6(), nn.LeakyReLU(0.2), nn.ELU(0.7), nn.CELU(1.3), nn.SELU(), nn.GELU(), nn.GELU("tanh"),
    nn.SiLU(), nn.Mish(), nn.Hardswish(), nn.Hardsigmoid(), nn.Hardtanh(-0.5, 0.7), nn.Sigmoid(), nn.Tanh(),
    nn.Softplus(2.0), nn.Softsign(), nn.LogSigmoid(), nn.PReLU(), nn.PReLU(4), nn.Dropout(), nn.Identity(),
    nn.Hardshrink(), nn.Softshrink(), nn.Tanhshrink(), nn.Threshold(0.1, 2.0), nn.Softmin(1),
]  # fmt: skip

UNARY = "abs neg sign square exp expm1 floor ceil round trunc erf sin cos tan atan sinh cosh asinh".split()  # noqa: SIM905
POSITIVE = "sqrt rsqrt reciprocal log log2 log10 log1p".split()  # noqa: SIM905

ARITHMETIC = {
    "numbers": lambda x: (2 - x * 3 + 1) / 4 - 0.5,
    "division by a tensor": lambda x: 1 / (x * x + 1),
    "whole division": lambda x: torch.div(x, 0.3, rounding_mode="floor"),
    "channels": lambda x: x * x.mean((2, 3), keepdim=True) + x[:, :1],
    "rows": lambda x: x - x.amax(-1, keepdim=True),
    "two tensors": lambda x: (
        torch.add(x, x.flip(1), alpha=0.5) * torch.maximum(x, -x) - torch.minimum(x, x * x)
    ),
    "powers": lambda x: x.pow(2) + (x * x + 1) ** -0.5,
    "addcmul": lambda x: torch.addcmul(x, x, x, value=0.1),
    "clamps": lambda x: x.clamp(-0.5, 0.5) + x.clamp(min=0.1) + x.clamp(max=0.2),
    "comparisons": lambda x: (
        torch.where(x > 0.5, x, -x) + (x <= 0).float() + ((x > 0) & (x < 1)).to(torch.float32)
    ),
    "masks": lambda x: x.masked_fill(x < 0, -2.0),
    "remainders": lambda x: torch.fmod(x, 0.3) + torch.remainder(x, 0.3),
    "lerp": lambda x: torch.lerp(x, x * x, 0.3),
    "in place": lambda x: (x + 1).mul_(2).sub_(x).relu_(),
}

MOVING = {
    "flatten": lambda x: x.flatten(1),
    "flatten pixels": lambda x: x.flatten(2).transpose(1, 2),
    "view": lambda x: x.view(x.shape[0], 2, 2, -1),
    "shuffle": lambda x: x.view(x.shape[0], 2, 2, *x.shape[2:]).transpose(1, 2).reshape(x.shape),
    "squeeze": lambda x: x[:, :1].squeeze(1).unsqueeze(-1),
    "permute": lambda x: x.permute(0, 2, 3, 1).contiguous() * 2,
    "split": lambda x: torch.cat(torch.split(x, [1, 3], 1)[::-1], 1) + torch.cat(x.chunk(2, 1), 1),
    "slices": lambda x: x[:, 1:3, ::2, -3:],
    "select": lambda x: x[:, 2] + x[:, -1],
    "unbind": lambda x: torch.stack(x.unbind(1)[::-1], 2),
    "stack": lambda x: torch.stack([x, -x], 1),
    "roll": lambda x: x.roll((2, -1), (2, 3)),
    "flip": lambda x: x.flip((1, 3)),
    "expand": lambda x: x[:, :1].expand(-1, 3, -1, -1) * 2,
    "repeat": lambda x: x.repeat(1, 2, 1, 3),
    "index": lambda x: x[:, [2, 0, 1]],
    "gather": lambda x: x.index_select(1, torch.tensor([3, 1])),
    "pad": lambda x: F.pad(x, (1, 2, 3, 0)),
    "pad with a number": lambda x: F.pad(x, (1, 1), value=2.0),
    "crop": lambda x: F.pad(x, (-1, 2, 0, -3)),
    "reflect": lambda x: F.pad(x, (1, 2, 3, 0), mode="reflect"),
    "edge": lambda x: F.pad(x, (1, 2, 3, 0), mode="replicate"),
    "windows": lambda x: (
        x[..., :8, :8].reshape(-1, 4, 2, 4, 2, 4).permute(0, 2, 4, 3, 5, 1).reshape(-1, 16, 4)
    ),
    "pixels from channels": lambda x: (
        x.view(-1, 1, 2, 2, 9, 8).permute(0, 1, 4, 2, 5, 3).reshape(-1, 1, 18, 16)
    ),
    "pixel shuffle": nn.PixelShuffle(2),
    "pixel unshuffle": lambda x: F.pixel_unshuffle(x[:, :, :8], 2),
    "channel shuffle": nn.ChannelShuffle(2),
    "triangles": lambda x: x.tril() + x.triu(1),
    "movedim": lambda x: x.movedim(1, -1),
}

ALONG_AXES = {
    "sum": lambda x: x.sum((1, 3)), "mean": lambda x: x.mean(1), "mean of pixels": lambda x: x.mean((2, 3)),
    "all": lambda x: x.sum().reshape(1), "amax": lambda x: x.amax((2, 3), keepdim=True), "amin": lambda x: x.amin(1),
    "max": lambda x: x.max(1)[0], "max and place": lambda x: tuple(x.max(1)),
    "min": lambda x: x.min(2, keepdim=True)[0],
    "argmax": lambda x: x.argmax(1), "argmin": lambda x: x.argmin(-1, keepdim=True),
    "logsumexp": lambda x: x.logsumexp(1), "cumsum": lambda x: x.cumsum(2), "topk": lambda x: tuple(x.topk(3, 1)),
    "softmax": lambda x: x.softmax(1), "log softmax": lambda x: x.log_softmax(-1), "std": lambda x: x.std(1),
    "var": lambda x: x.var(3, unbiased=False), "norm": lambda x: x.norm(dim=1), "normalize": lambda x: F.normalize(x),
    "l1": lambda x: x.norm(1, dim=1), "prod": lambda x: x.prod(1),
}  # fmt: skip

LAYERS = {
    "conv": nn.Conv2d(4, 6, 3, 2, 1),
    "conv with groups": nn.Conv2d(4, 8, (3, 1), dilation=(2, 1), groups=2, bias=False),
    "conv same": nn.Conv2d(4, 6, 4, padding="same"), "conv valid": nn.Conv2d(4, 6, 3, padding="valid"),
    "conv circular": nn.Conv2d(4, 6, 3, padding=1, padding_mode="circular"),
    "deconv": nn.ConvTranspose2d(4, 6, 3, 2, 1, output_padding=1, groups=2), "max pool": nn.MaxPool2d(3, 2, 1),
    "max pool up": nn.MaxPool2d(2, ceil_mode=True), "max pool with holes": nn.MaxPool2d(2, 1, dilation=2),
    "average pool": nn.AvgPool2d(3, 2, 1), "average pool of the image": nn.AvgPool2d(3, 2, 1, count_include_pad=False),
    "average pool up": nn.AvgPool2d((2, 3), ceil_mode=True), "global": nn.AdaptiveAvgPool2d(1),
    "global max": nn.AdaptiveMaxPool2d((1, 1)), "adaptive": nn.AdaptiveAvgPool2d((3, 4)),
    "adaptive, uneven": nn.AdaptiveAvgPool2d((4, 5)), "adaptive max": nn.AdaptiveMaxPool2d((3, None)),
    "batch norm": nn.BatchNorm2d(4), "batch norm alone": nn.BatchNorm2d(4, affine=False),
    "group norm": nn.GroupNorm(2, 4),
    "instance norm": nn.InstanceNorm2d(4, affine=True), "layer norm": nn.LayerNorm((9, 8)),
    "layer norm, last": nn.LayerNorm(8, bias=False), "lrn": nn.LocalResponseNorm(3), "rms norm": nn.RMSNorm(8),
    "linear": nn.Linear(8, 5), "bilinear": nn.Upsample(scale_factor=2, mode="bilinear"),
    "nearest": nn.Upsample(scale_factor=3),
    "corners": nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True), "size": nn.Upsample(size=(5, 20)),
    "bicubic": nn.Upsample(scale_factor=2, mode="bicubic"),
    "as large as": call(lambda x: F.interpolate(F.max_pool2d(x, 2), size=x.shape[2:], mode="nearest")),
    "zero pad": nn.ZeroPad2d((1, 0, 2, 1)),
}  # fmt: skip


def named(table: Any) -> list[Any]:
    items = table.items() if isinstance(table, dict) else [(repr(v), v) for v in table]
    return [pytest.param(v if isinstance(v, nn.Module) else call(v), id=k) for k, v in items]


@pytest.mark.parametrize(
    "module", named(ACTIVATIONS) + named({k: (lambda x, k=k: getattr(torch, k)(x)) for k in UNARY})
)
def test_of_one_element(module, agree):
    net = agree(module, IMAGE, (1, 4, 6, 7))
    assert str(net.inputs[next(iter(net.inputs))]).startswith("fp32[N,")


@pytest.mark.parametrize("name", POSITIVE)
def test_of_positive_numbers(name, agree):
    agree(call(lambda x: getattr(torch, name)(x.abs() + 0.1)), IMAGE)


@pytest.mark.parametrize("module", named(ARITHMETIC))
def test_of_two_operands(module, agree):
    agree(module, IMAGE, (1, 4, 5, 6))


@pytest.mark.parametrize("module", named(MOVING))
def test_that_moves(module, agree):
    agree(module, IMAGE, (3, *IMAGE[1:]))


@pytest.mark.parametrize("module", named(ALONG_AXES))
def test_along_axes(module, agree):
    agree(module, IMAGE, (1, 4, 5, 6), relative=2e-5)


@pytest.mark.parametrize("module", named(LAYERS))
def test_layer(module, agree):
    agree(module, IMAGE, (1, *IMAGE[1:]))


def with_tokens(x: Any, t: Any) -> Any:
    """A learned token before the sequence, ones behind it, for every image of a batch."""
    return torch.cat([t.expand(x.shape[0], -1, -1), x, x.new_ones(1, 1, 5).expand(x.shape[0], -1, -1)], 1)


SEQUENCES = {
    "conv1d": nn.Conv1d(6, 4, 3, 2, 1), "deconv1d": nn.ConvTranspose1d(6, 4, 3, 2), "max pool": nn.MaxPool1d(2),
    "average pool": nn.AvgPool1d(3, 1, 1), "global": nn.AdaptiveAvgPool1d(1), "batch norm": nn.BatchNorm1d(6),
    "lstm": nn.LSTM(5, 7, batch_first=True), "lstm both ways": nn.LSTM(5, 7, 2, bidirectional=True, batch_first=True),
    "lstm, time first": nn.LSTM(5, 7, bidirectional=True), "gru": nn.GRU(5, 7, 2, batch_first=True),
    "rnn": nn.RNN(5, 7, nonlinearity="relu", bias=False),
    "encoder": nn.TransformerEncoderLayer(5, 5, 16, batch_first=True), "linear": nn.Linear(5, 3),
    "bmm": call(lambda x: x @ x.transpose(1, 2)), "matmul": call(lambda x, w: x @ w, w=random(5, 3)),
    "einsum": call(lambda x: torch.einsum("btc,bsc->bts", x, 2 * x)), "vector": call(lambda x, v: x @ v, v=random(5)),
    "a table": call(lambda x, t: x + t[torch.arange(6)], t=random(9, 5)),
    "causal": call(lambda x: F.scaled_dot_product_attention(x, x, x, is_causal=True)),
    "mask": call(lambda x, m: F.scaled_dot_product_attention(x, x, x, m > 0), m=torch.eye(6) + 0.5),
    "scale": call(lambda x: F.scaled_dot_product_attention(x, -x, x, scale=0.3)),
    "class token": call(with_tokens, t=random(1, 1, 5)),
}  # fmt: skip


def flat(module: Any) -> Any:
    """The module with a flat tuple of results, as its net has."""
    return call(lambda x: tuple(_leaves(module(x))))


def _leaves(value: Any) -> list[Any]:
    return [leaf for v in value for leaf in _leaves(v)] if isinstance(value, tuple) else [value]


@pytest.mark.parametrize("module", named(SEQUENCES))
def test_of_sequences(module, settled, numbers, judged, close):
    net = fbnet.convert(settled(module), torch.from_numpy(numbers(2, 6, 5)))
    (name,) = net.inputs
    for batch in (2, 3):
        x = numbers(batch, 6, 5)
        for found, wanted in zip(net.forward(**{name: x}).values(), judged(flat(module), x), strict=True):
            close(found, wanted, 1e-5)


VOLUMES = {
    "conv": nn.Conv3d(4, 3, 3, 2, 1), "deconv": nn.ConvTranspose3d(4, 3, 2, 2), "max pool": nn.MaxPool3d(2),
    "average pool": nn.AvgPool3d(2, padding=1), "batch norm": nn.BatchNorm3d(4),
}  # fmt: skip


@pytest.mark.parametrize("module", named(VOLUMES))
def test_of_volumes(module, agree):
    agree(module, (2, 4, 5, 6, 7), (1, 4, 5, 6, 7))


def test_whole_numbers_in(settled, judged):
    module = settled(nn.Sequential(nn.Embedding(10, 4), nn.Linear(4, 3)))
    ids = np.array([[1, 9, 3], [0, 2, 5]], np.int64)
    net = fbnet.convert(module, torch.from_numpy(ids))
    assert str(net.inputs["input"]) == "int64[N,D1]"
    np.testing.assert_allclose(
        net.forward(input=ids)[net.outputs[0]], judged(module, ids)[0], rtol=1e-5, atol=1e-6
    )


def test_several_inputs_and_named_outputs(numbers):
    module = call(lambda a, b: {"sum": a + b, "parts": [a * 2, (b, a)]})
    a, b = numbers(2, 3), numbers(2, 3, seed=5)
    net = fbnet.convert(module, (torch.from_numpy(a), b))
    assert [str(s) for s in net.inputs.values()] == ["fp32[N,D1]"] * 2
    found = net.forward(**dict(zip(net.inputs, (a, b), strict=True)))
    assert next(iter(found)) == "sum"
    for array, wanted in zip(found.values(), (a + b, a * 2, b, a), strict=True):
        np.testing.assert_array_equal(array, wanted)
