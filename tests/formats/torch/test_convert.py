"""Sizes that stay open, names, views, and everything that is refused, at once and in words."""

from __future__ import annotations

import fbnet
import numpy as np
import pytest
from fbnet.engine.errors import CheckError, ConversionError, InputError, RegistryError
from fbnet.engine.layer import layers
from fbnet.formats.torch.table import operator, operators

torch = pytest.importorskip("torch")
nn, F = torch.nn, torch.nn.functional


class Attention(nn.Module):
    """One projection for queries, keys and values, as timm writes it."""

    def __init__(self):
        super().__init__()
        self.qkv, self.proj = nn.Linear(16, 48), nn.Linear(16, 16)

    def forward(self, x):
        n, t, c = x.shape
        q, k, v = self.qkv(x).reshape(n, t, 3, 4, c // 4).permute(2, 0, 3, 1, 4).unbind(0)
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, t, c))


@pytest.mark.parametrize("module", [Attention(), nn.MultiheadAttention(16, 4)], ids=["timm", "torch"])
def test_attention_keeps_no_transpose_that_it_does_not_need(module, settled, numbers, judged, close, types):
    """Heads are brought forward in q, k and v and back in the result: all that is in one layer."""

    class Self(nn.Module):
        def __init__(self):
            super().__init__()
            self.module = module

        def forward(self, x):
            if isinstance(self.module, Attention):
                return self.module(x)
            x = x.transpose(0, 1)
            return self.module(x, x, x, need_weights=False)[0].transpose(0, 1)

    model = settled(Self())
    net = fbnet.convert(model, (1, 7, 16))
    assert str(net.inputs["x"]) == "fp32[N,D1,16]"
    assert types(net).count("Permute") == 0 and types(net).count("Attention") == 1
    for shape in ((1, 7, 16), (3, 5, 16)):
        x = numbers(*shape)
        close(net.forward(x=x)[net.outputs[0]], judged(model, x)[0])
        close(net(x), judged(model, x)[0])


def test_names_are_those_of_the_modules(settled):
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm, self.act = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()

        def forward(self, x):
            y = self.act(self.norm(self.conv(x)))
            return self.act(y + 1) * y.sigmoid()

    net = fbnet.convert(settled(nn.Sequential(Block())), (1, 3, 9, 9))
    found = [(layer.name, layer.type) for layer in net]
    assert found == [
        ("0.conv", "Convolution"), ("0.norm/batchnorm", "BatchNorm"), ("0.norm", "Scale"), ("0.act", "ReLU"),
        ("0.add", "Power"), ("0.act_1", "ReLU"), ("0.sigmoid", "Sigmoid"), ("0.mul", "Eltwise"),
    ]  # fmt: skip
    assert set(net.constants) >= {"0.conv.weight", "0.conv.bias", "0.norm.running_mean"}
    assert net.name == "Sequential" and net.metadata["source"].startswith("Sequential, torch 2.")


def test_sizes_are_fixed_only_where_they_must_be(settled, numbers, judged, close):
    """Pixels before a linear layer fix H and W; a window of a number of pixels fixes nothing."""
    head = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Flatten(), nn.Linear(4 * 6 * 5, 2))
    assert str(fbnet.convert(settled(head), (1, 3, 6, 5)).inputs["input"]) == "fp32[N,3,6,5]"
    body = settled(
        nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    )
    net = fbnet.convert(body, (1, 3, 6, 5))
    assert str(net.inputs["input"]) == "fp32[N,3,H,W]"
    x = numbers(2, 3, 17, 12)
    close(net.forward(input=x)["3"], judged(body, x)[0])
    parts = settled(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d((3, 2)), nn.Flatten(), nn.Linear(24, 2))
    )
    net = fbnet.convert(parts, (1, 3, 8, 9))
    assert str(net.inputs["input"]) == "fp32[N,3,H,W]"
    for shape in ((1, 3, 8, 9), (2, 3, 5, 4), (3, 3, 17, 12)):
        x = numbers(*shape)
        close(net.forward(input=x)["3"], judged(parts, x)[0])


def test_a_batch_that_the_module_fixes(settled, numbers, judged, close):
    class Fixed(nn.Module):
        def forward(self, x):
            return x.reshape(2, 12) + torch.arange(12)

    net = fbnet.convert(Fixed(), (2, 3, 4))
    assert str(net.inputs["x"]) == "fp32[2,3,4]"
    x = numbers(2, 3, 4)
    close(net.forward(x=x)[net.outputs[0]], judged(Fixed(), x)[0])
    for run in (lambda: net(numbers(4, 3, 2)), lambda: net.compile(shapes={"x": (4, 3, 2)})):
        with pytest.raises(
            fbnet.ShapeError, match=r"x.*\[2,3,4\], but got \[4,3,2\].*fixed at 2, as torch traced"
        ):
            run()


def test_who_fixed_a_size_is_said(settled, numbers):
    """A size that is burnt in fits others by chance: nonsense, which is refused."""

    class Rows(nn.Module):
        def forward(self, x):
            return F.interpolate(x, size=(x.shape[2] // 2, 7)) + torch.linspace(0, 1, x.shape[3])[::2][:7]

    net = fbnet.convert(Rows(), (1, 2, 8, 14))
    assert net(numbers(2, 2, 8, 14)).shape == (2, 2, 4, 7)
    fixed = net.metadata["fixed"]["x"]
    assert set(fixed) == {"2", "3"}
    assert fixed["2"].startswith(
        "upsample_nearest2d (upsample_nearest2d) needs it as a number: convert with an"
    )
    for shape, axis in (((1, 2, 8, 16), 3), ((1, 2, 10, 14), 2)):
        with pytest.raises(fbnet.ShapeError, match=f"its axis {axis} is fixed at {(8, 14)[axis - 2]}, as "):
            net(numbers(*shape))


def test_constants_are_computed_at_once(settled, numbers, judged, close, types):
    """A table of positions, resized: nothing of it is left but the result."""

    class Table(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Parameter(torch.randn(1, 4, 3, 3))

        def forward(self, x):
            return x + F.interpolate(self.table, size=(6, 6), mode="bicubic").exp()

    module = settled(Table())
    net = fbnet.convert(module, (1, 4, 6, 6))
    assert types(net) == ["Bias"]
    x = numbers(2, 4, 6, 6)
    close(net.forward(x=x)[net.outputs[0]], judged(module, x)[0])


def test_the_module_is_left_as_it_was(numbers):
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Dropout(), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
    module[1].eval()
    x = torch.from_numpy(numbers(1, 3, 8, 8))
    before = {k: v.clone() for k, v in module.state_dict().items()}
    net = fbnet.convert(module, x)
    assert [m.training for m in module] == [True, False, True, True] and module.training
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())
    assert torch.equal(x, torch.from_numpy(numbers(1, 3, 8, 8)))
    assert "Dropout" not in [layer.type for layer in net]


def test_an_exported_program(numbers, close, settled, judged):
    module = settled(nn.Linear(4, 3))
    x = torch.from_numpy(numbers(2, 4))
    net = fbnet.convert(torch.export.export(module, (x,)), x)
    close(net.forward(input=x.numpy())[net.outputs[0]], judged(module, x.numpy())[0])


def test_half_precision_is_computed_in_fp32(settled, numbers):
    module = settled(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())).half()
    x = torch.from_numpy(numbers(1, 3, 8, 8)).half()
    net = fbnet.convert(module, x)
    assert {str(c.spec.dtype) for c in net.constants.values()} == {"fp32"}
    wanted = module(x).detach().float().numpy()
    np.testing.assert_allclose(net.forward(input=x.float().numpy())["1"], wanted, rtol=5e-3, atol=5e-3)


IN_PLACE = {
    "a chain": lambda x: F.relu_(x * 2).add_(x).mul_(0.5),
    "read before and after": lambda x: (lambda y: y.sigmoid() + y.relu_() + y)(x * 2),
    "by another name": lambda x: (lambda y: [y.relu_(), y.add_(1), y * y][2])(x - 0.5),
    "a view of it": lambda x: (lambda y: [v := y.view(-1), y.relu_(), v][2])(x * 2),
    "a view by another name": lambda x: (lambda y: [r := y.relu_(), v := y.view(-1), r.add_(1), v][3])(x * 2),
    "a part of it": lambda x: (lambda y: [y[:, 0].zero_(), y[:, 1:].mul_(3), y][2])(x * 2),
    "a constant, in parts": lambda x: (lambda m: [m[:1].fill_(3), m[1:, 2:].fill_(5), m.zero_() * 0 + m + x, x + m][3])(
        torch.ones(3, 4)
    ),
    "a mask, in parts": lambda x: (lambda m: [m[:1].fill_(3), m[1:, 2:].fill_(5), x + m][2])(x.new_zeros(3, 4)),
    "its input": lambda x: x.mul_(2) + 1,
}  # fmt: skip


@pytest.mark.parametrize("name", IN_PLACE)
def test_what_is_written_in_place(name, numbers):
    """Whoever looks at the memory later sees what was written, under whatever name."""

    class InPlace(nn.Module):
        def forward(self, x):
            return IN_PLACE[name](x)

    x = numbers(2, 3, 4)
    wanted = IN_PLACE[name](torch.from_numpy(x.copy())).numpy()
    net = fbnet.convert(InPlace(), torch.from_numpy(x))
    np.testing.assert_allclose(net.forward(x=x)[net.outputs[0]], wanted, rtol=1e-6, atol=1e-6)


def test_an_operator_of_ones_own(numbers):
    """As in the docs: a function in the table, and the module converts."""

    @torch.library.custom_op("fbnettest::cube", mutates_args=())
    def cube(x: torch.Tensor) -> torch.Tensor:
        return x**3

    cube.register_fake(torch.empty_like)

    class Cube(nn.Module):
        def forward(self, x):
            return cube(x) + 1

    with pytest.raises(ConversionError, match=r"there is no layer for fbnettest\.cube"):
        fbnet.convert(Cube(), (2, 3))
    net = fbnet.convert(Cube(), (2, 3), allow_custom=True)
    assert [layer.type for layer in net.layers] == ["cube", "Power"] and net.metadata["custom"] == ["cube"]

    @fbnet.layer("cube")
    class Registered(fbnet.Elementwise):
        """y = x ** 3"""

        def reference(self, x):
            return x**3

    try:
        x = numbers(2, 3)
        np.testing.assert_allclose(net.forward(x=x)["add"], x**3 + 1, rtol=1e-5)
    finally:
        layers.discard("cube")
    operator("fbnettest::cube")(lambda g, node, x: g.add("Power", x, power=3.0))
    try:
        x = numbers(2, 3)
        np.testing.assert_allclose(fbnet.convert(Cube(), (2, 3)).forward(x=x)["add"], x**3 + 1, rtol=1e-5)
    finally:
        del operators["fbnettest::cube"]


def test_a_net_that_is_not_the_module_is_not_returned():
    class Chance(nn.Module):
        def forward(self, x):
            return x + self.calls

        calls = 0

        def __call__(self, *xs):
            self.calls += 1
            return super().__call__(*xs)

    with pytest.raises(
        CheckError, match=r"Chance: add differs from torch by .*; check=False converts all the same"
    ):
        fbnet.convert(Chance(), (2, 3))
    assert fbnet.convert(Chance(), (2, 3), check=False).outputs == ("add",)


class Odd(nn.Module):
    """Three things that no layer expresses, in two modules and outside of one."""

    def __init__(self):
        super().__init__()
        self.fold, self.pool = nn.Fold((4, 4), (2, 2)), nn.MaxUnpool2d(2)

    def forward(self, x):
        values, places = F.max_pool2d(x, 2, return_indices=True)
        return self.pool(values, places), self.fold(x.flatten(2)[:, :, :9]), torch.linalg.inv(x), x.relu()


def test_everything_that_is_missing_is_listed_at_once():
    with pytest.raises(ConversionError) as caught:
        fbnet.convert(Odd(), (1, 4, 6, 6))
    text = str(caught.value)
    assert text.startswith("Odd: ") and len(caught.value.problems) >= 3
    assert any(p.startswith("fold (") and "no layer" in p for p in caught.value.problems)
    assert "places of its maxima" in text and "linalg_inv" in text and "relu" not in text


def test_what_is_no_module():
    with pytest.raises(InputError, match=r"int is no torch\.nn\.Module: give a module"):
        fbnet.convert(3, (1, 3))
    with pytest.raises(InputError, match="needs an example of its input"):
        fbnet.convert(nn.ReLU())
    with pytest.raises(InputError, match="the example is empty"):
        fbnet.convert(nn.ReLU(), ())
    with pytest.raises(InputError, match="input 0 of the example is str: give a tensor, an array or a shape"):
        fbnet.convert(nn.ReLU(), "x")
    with pytest.raises(InputError, match="give up to 8 sizes of at least 1"):
        fbnet.convert(nn.ReLU(), (1, 0, 3))
    with pytest.raises(InputError, match=r"example shape \[.*\]: "):
        fbnet.convert(nn.ReLU(), (1 << 40, 1 << 20))
    with pytest.raises(InputError, match=r"Linear does not take the example \(\[1, 5\]\): RuntimeError: "):
        fbnet.convert(nn.Linear(4, 3), (1, 5))
    with pytest.raises(InputError, match="takes no weights"):
        fbnet.convert(torch.export.export(nn.ReLU(), (torch.ones(2),)), (2,), weights="x.pth")


def test_control_flow_that_depends_on_numbers():
    class Branch(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    with pytest.raises(ConversionError, match=r"torch\.export cannot trace Branch: "):
        fbnet.convert(Branch(), (1, 3))


def test_modules_without_a_tensor_to_give():
    class Nothing(nn.Module):
        def forward(self, x):
            return None

    with pytest.raises(ConversionError, match="Nothing returns no tensor"):
        fbnet.convert(Nothing(), (1, 3))


def test_results_that_are_inputs_constants_or_twice(numbers):
    class Same(nn.Module):
        def forward(self, x):
            y = x * 2
            return x, y, y, torch.ones(3), y.reshape(-1)

    x = numbers(2, 3)
    found = list(fbnet.convert(Same(), (2, 3)).forward(x=x).values())
    for array, wanted in zip(found, (x, 2 * x, np.ones(3), 2 * x.ravel()), strict=True):
        np.testing.assert_array_equal(array, wanted)


def test_operators_are_entered_once():
    with pytest.raises(
        RegistryError, match=r"'relu' is already registered by fbnet\.formats\.torch\.activation"
    ):
        operator("relu")(lambda g, node, x: x)
