"""net.quantize: integer layers where there are rules, near fp32, and a clear word for bad input."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pytest
from fbnet import InputError, Net, NetError, Plan, QuantizationError, RegistryError
from fbnet.engine.layer import layers
from fbnet.engine.quantize import quantizer
from fbnet.engine.quantize import samples as samples_module
from fbnet.engine.quantize.correction import adapted, best_damping, moments
from fbnet.engine.quantize.front import quantize_net
from fbnet.engine.quantize.quality import quality, seconds_of, tensor_errors

L = layers
rng = np.random.default_rng(5)
SAMPLES = [rng.normal(size=(1, 3, 12, 12)).astype(np.float32) for _ in range(12)]


def w(*shape: int) -> np.ndarray:
    return (rng.normal(size=shape) * np.prod(shape[1:]) ** -0.5).astype(np.float32)


def net() -> Net:
    """One of everything: residual, gate, concat, pooling, curves, slopes, transposes, a norm in the middle."""
    return Net(
        [
            L["Convolution"]("x", w(8, 3, 3, 3), w(8), name="c1", pad=(1, 1, 1, 1)),
            L["Clip"]("c1", name="relu6", min=0, max=6),
            L["Convolution"]("relu6", w(8, 1, 3, 3), name="dw", pad=(1, 1, 1, 1), group=8),
            L["Swish"]("dw", name="swish"),
            L["Convolution"]("swish", w(8, 8, 1, 1), w(8), name="c2"),
            L["Eltwise"]("c2", "relu6", name="sum"),
            L["PReLU"]("sum", rng.uniform(0, 0.3, 8).astype(np.float32), name="prelu"),
            L["Pooling"]("prelu", name="squeeze", method="average", global_pooling=True),
            L["Convolution"]("squeeze", w(8, 8, 1, 1), w(8), name="excite"),
            L["Sigmoid"]("excite", name="gate"),
            L["Flatten"]("gate", name="flat"),
            L["Scale"]("prelu", "flat", name="gated", axis=0),
            L["Pooling"]("gated", name="max", kernel=(2, 2), stride=(2, 2)),
            L["BatchNorm"]("max", w(8), rng.uniform(0.5, 2, 8).astype(np.float32), name="norm"),
            L["Concat"]("max", "norm", name="concat"),
            L["Deconvolution"]("concat", w(16, 4, 2, 2), w(4), name="up", stride=(2, 2)),
            L["ReLU"]("up", name="leaky", negative_slope=0.1),
            L["Resize"]("leaky", name="half", size=(6, 6)),
            L["Convolution"]("half", w(6, 4, 3, 3), w(6), name="c3"),
            L["ReLU"]("c3", name="relu"),
            L["InnerProduct"]("relu", w(5, 6 * 4 * 4), w(5), name="fc"),
            L["Softmax"]("fc", name="prob"),
        ],
        inputs={"x": ("N", 3, 12, 12)},
    )


@pytest.fixture(scope="module", autouse=True)
def by_reference() -> Iterator[None]:
    """What is observed and judged here runs in numpy: compiling kernels for it would take most of the time."""

    def plan_for(net: Net, inputs: Mapping[str, np.ndarray], threads: int | None = None) -> Plan:
        return net.compile("reference", shapes={name: array.shape for name, array in inputs.items()})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(samples_module, "plan_for", plan_for)
        patch.setattr(quantizer, "seconds_of", lambda net, sample: {})  # then multiply-adds are the cost
        yield


@pytest.fixture(scope="module")
def fp32() -> Net:
    return net()


@pytest.fixture(scope="module")
def made(fp32):
    return quantize_net(fp32, SAMPLES)


def test_all_is_integers_but_the_end(made):
    types = {layer.name: layer.type for layer in made.net}
    assert types["prob"] == "Softmax" and made.floats == {"prob": "Softmax has no integer layer"}
    floats = {t for t in types.values() if not t.startswith("Quantized")}
    assert floats == {"Quantize", "Table", "Concat", "Reshape", "Flatten", "Resize", "Softmax"}
    assert made.net["fc"].to == "fp32" and made.net["fc"].outputs == ("fc",)
    assert sum(t == "Quantize" for t in types.values()) == 1


def test_it_is_near_fp32(fp32, made):
    fresh = np.concatenate([rng.normal(size=(1, 3, 12, 12)).astype(np.float32) for _ in range(8)])
    wanted, got = (n.forward(upto="fc", x=fresh)["fc"] for n in (fp32, made.net))
    assert np.abs(got - wanted).max() < 0.05 * np.abs(wanted).max()
    assert 0 < made.quality.error < 0.03 and made.quality.agreement >= 90
    rows = tensor_errors(made.exact, made.body, [{"x": fresh}], scaled={n.name for n in fp32})
    assert {"relu6", "prelu", "gated", "max", "concat", "leaky", "fc"} <= {row.name for row in rows}
    assert all(row.sqnr_db > 20 and row.cosine > 0.99 for row in rows), rows


@pytest.mark.filterwarnings("ignore::fbnet.HostFallback")
def test_cpu_and_reference_are_the_same_bits(made):
    wanted = made.net.forward(x=SAMPLES[0], upto="c3")["relu"]
    np.testing.assert_array_equal(made.net.replace(outputs=["relu"])(SAMPLES[0]), wanted)


def test_layers_are_timed():
    conv = Net([L["Convolution"]("x", w(8, 3, 3, 3), w(8), name="c1")], inputs={"x": (1, 3, 12, 12)})
    assert (
        set(seconds_of(conv, {"x": SAMPLES[0]})) >= {"c1"} and seconds_of(conv, {"x": SAMPLES[0]})["c1"] > 0
    )


def test_the_mean_error_goes_into_the_bias():
    """Inputs far from 0 make the rounding of few weights a shift of the output: what a bias can take back."""
    conv = Net([L["Convolution"]("x", w(16, 4, 1, 1), name="c")], inputs={"x": ("N", 4, 6, 6)})
    some = [rng.normal(5, 0.3, (1, 4, 6, 6)).astype(np.float32) for _ in range(20)]
    x = np.concatenate(some[10:])
    wanted = conv.forward(x=x)["c"]

    def error(bias: bool) -> float:
        q = conv.quantize(some[:10], equalise=False, adaptive=False, bias=bias)
        return float(np.square(q.forward(x=x)["c"] - wanted).mean())

    assert error(True) < 0.3 * error(False)


def test_rounding_looks_at_what_the_sums_do():
    """Inputs that go together: an error in one weight is made up for by the next."""
    columns = rng.normal(size=(2, 1, 500)) + 0.2 * rng.normal(size=(2, 12, 500))
    steps = rng.normal(0, 20, (8, 12))

    def error(whole: np.ndarray) -> float:
        difference = (whole - steps).reshape(2, 4, 12) @ columns
        return float(np.square(difference).mean())

    found = adapted(steps, moments(columns))
    assert found.dtype == np.int8 and error(found) < 0.4 * error(np.rint(steps))
    other = rng.normal(size=(2, 12, 500))
    assert best_damping(steps, moments(columns), moments(columns)) is not None
    assert best_damping(steps, moments(columns[..., :6]), moments(other)) is None, "six places teach nothing"


@pytest.mark.parametrize(
    "activation",
    [
        L["ReLU"]("c", name="y"),
        L["ReLU"]("c", name="y", negative_slope=0.2),
        L["Clip"]("c", name="y", min=0, max=1.5),
        L["PReLU"]("c", np.linspace(0, 1, 4, dtype=np.float32), name="y"),
        L["Sigmoid"]("c", name="y"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("transposed", [False, True])
def test_an_activation_at_the_end_is_real(activation, transposed):
    """fp32 comes out of the last layer with weights, and its activation is that of real numbers."""
    shape, kind = ((3, 4, 2, 2), "Deconvolution") if transposed else ((4, 3, 2, 2), "Convolution")
    ends = Net([L[kind]("x", w(*shape), w(4), name="c"), activation], inputs={"x": ("N", 3, 12, 12)})
    q = ends.quantize(SAMPLES)
    wanted, got = (n.forward(x=SAMPLES[0])["y"] for n in (ends, q))
    assert q["c"].to == "fp32" and got.dtype == np.float32
    sums = ends.forward(x=SAMPLES[0], upto="c")["c"]
    assert np.abs(got - wanted).max() < 0.02 * np.abs(sums).max()


def test_channels_of_different_ranges_are_equalised():
    """A channel of a hundredth of the other's range keeps its numbers: factors go into weights, no more."""
    first = w(2, 3, 1, 1) * np.array([1, 0.01], np.float32).reshape(2, 1, 1, 1)
    second = w(2, 2, 1, 1) * np.array([0.01, 1], np.float32).reshape(1, 2, 1, 1)
    layers_ = [
        L["Convolution"]("x", first, name="a", activation="ReLU"),
        L["Convolution"]("a", second, name="b"),
    ]
    both = Net(layers_, inputs={"x": ("N", 3, 12, 12)})
    wanted = both.forward(x=SAMPLES[0])["b"]

    def error(equalise: bool) -> float:
        q = quantize_net(both, SAMPLES, equalise=equalise, bias=False, adaptive=False)
        np.testing.assert_allclose(q.exact.forward(x=SAMPLES[0])["b"], wanted, rtol=1e-4, atol=1e-6)
        return float(np.square(q.net.forward(x=SAMPLES[0])["b"] - wanted).mean())

    assert error(True) < 0.2 * error(False)


def test_a_method_is_judged_by_samples_that_its_ranges_have_not_seen(fp32, monkeypatch):
    learnt, judged = [], []

    def observe(net, tensors, samples):
        learnt[:] = samples
        return observed(net, tensors, samples)

    def answers(net, outputs, samples):
        judged.append([id(x) for s in samples for x in s.values()])
        return answered(net, outputs, samples)

    observed, answered = quantizer.observe, quantizer.answers
    monkeypatch.setattr(quantizer, "observe", observe)
    monkeypatch.setattr(quantizer, "answers", answers)
    quantizer.Quantizer(fp32, SAMPLES, quantizer.Recipe(adaptive=False))
    from_ranges = {id(x) for s in learnt for x in s.values()}
    assert len(learnt) == 6 and len(judged[-1]) == 6 and not from_ranges & set(judged[-1])


def test_a_file_keeps_it(made, tmp_path):
    import fbnet

    made.net.save(tmp_path / "q.fbnet")
    again = fbnet.load(tmp_path / "q.fbnet")
    np.testing.assert_array_equal(again.forward(x=SAMPLES[0])["prob"], made.net.forward(x=SAMPLES[0])["prob"])
    assert again.metadata["quantization"]["floats"] == made.floats


def test_layers_that_are_kept_stay_fp32(fp32):
    made = quantize_net(fp32, SAMPLES, keep=["c2"], adaptive=False)
    assert made.net["c2"].type == "Convolution" and made.floats["c2"] == "asked for"
    assert 0 < made.float_share < 0.5
    with pytest.raises(RegistryError, match=r"no layer .c22. to keep in float\. Did you mean .c2."):
        quantize_net(fp32, SAMPLES, keep=["c22"])


def test_a_budget_puts_layers_back_to_fp32_or_is_refused(fp32, made):
    half = quantize_net(fp32, SAMPLES, max_error=0.6 * made.quality.error, most_float=0.95)
    assert half.quality.error <= 0.6 * made.quality.error
    kept = [c.layer for c in half.candidates if c.kept]
    assert kept and all(half.net[name].type == "Convolution" for name in kept if name.startswith("c"))
    assert half.float_share == pytest.approx(sum(c.share for c in half.candidates if c.kept), abs=0.05)
    with pytest.raises(QuantizationError, match=r"an error of 0\.01 % is not met with .* in fp32") as refused:
        quantize_net(fp32, SAMPLES, max_error=1e-4, most_float=0.3)
    assert {row["layer"] for row in refused.value.table} >= {"c1", "c2", "fc"}


def test_labels_count_what_is_lost(fp32):
    best = [int(fp32.forward(x=x)["prob"].argmax()) for x in SAMPLES]
    found = quantize_net(fp32, SAMPLES, labels=best, max_drop=100, adaptive=False).quality
    assert found.top1_fp32 == 100 and found.drop == 100 - found.top1_int8
    scores = [{"y": np.eye(3, dtype=np.float32)[best]} for best in ([0, 1, 2, 2], [0, 1, 0, 1])]
    even = quality(scores[:1], scores[1:], [0, 1, 2, 1])
    assert even.top1_int8 == even.top1_fp32 == 75 and even.drop == 25, "one gained makes up for none lost"
    for wrong, why in (
        (best[:-1], "11 labels for 12 samples"),
        ([*best[:-1], 5], r"label 11 is \[5\], but the net has the classes 0 to 4"),
    ):
        with pytest.raises(InputError, match=why):
            quantize_net(fp32, SAMPLES, labels=wrong)


NAN = np.full((1, 3, 12, 12), np.nan, np.float32)


@pytest.mark.parametrize(
    ("samples", "why"),
    [
        (None, "nothing to calibrate with"),
        ([], "nothing to calibrate with"),
        ([np.zeros((1, 3, 12, 12), np.float32)] * 9, "every calibration sample is 0.0 all over"),
        ([*SAMPLES, NAN], "sample 12 holds NaN"),
        ([{"y": SAMPLES[0]}] * 9, "sample 0 has y but the inputs are x"),
        ([np.zeros((3, 4), np.float32)] * 9, "give it 4 dimensions"),
    ],
)
def test_bad_samples(fp32, samples, why):
    with pytest.raises(InputError, match=why):
        fp32.quantize(samples)


def test_bad_nets(fp32):
    bad = fp32.replace(constants=dict(fp32.constants) | {"c2.w": np.full((8, 8, 1, 1), np.nan, np.float32)})
    with pytest.raises(NetError, match=r"'c2.w' of c2 \(Convolution\) holds NaN"):
        bad.quantize(SAMPLES)
    with pytest.raises(RegistryError, match="calibration method 'mean' is not registered"):
        fp32.quantize(SAMPLES, method="mean")
    with pytest.raises(InputError, match="no layer that integers could compute"):
        Net([L["ReLU"]("x", name="r")], inputs={"x": (1, 3, 12, 12)}).quantize(SAMPLES)
    with pytest.raises(InputError, match="give max_error"):
        Net([L["Convolution"]("x", w(2, 3, 3, 3), name="c")], inputs={"x": (1, 3, 12, 12)}).quantize(
            SAMPLES, max_drop=1
        )


def test_one_image_is_enough_to_go_on_with_a_warning(fp32):
    with pytest.warns(UserWarning, match="calibrated with only 1 sample: give some tens"):
        q = fp32.quantize(SAMPLES[0])
    assert q.metadata["quantization"]["method"] == "minmax"


def chained(activation):
    """A convolution, an activation, half of 1 more, and a convolution of one filter a channel."""
    constant = np.array(0.5, np.float32)
    return Net(
        [
            L["Convolution"]("x", w(4, 3, 1, 1), w(4), name="c"),
            L[activation]("c", name="curve"),
            L["Binary"]("curve", constant, name="shifted", operation="add"),
            L["Convolution"]("shifted", w(4, 1, 3, 3), w(4), name="d", group=4),
        ],
        inputs={"x": ("N", 3, 12, 12)},
    )


def test_functions_one_behind_the_other_are_one_table():
    """What lies between is not rounded: only x and y are."""
    made = quantize_net(chained("Swish"), SAMPLES, adaptive=False)
    (table,) = (layer for layer in made.net if layer.type == "Table")
    specs = made.net.specs()
    before, after = (specs[name].quantization for name in (table.inputs[0], table.outputs[0]))
    x = (np.arange(-128, 128, dtype=np.float32) - before.zero[0]) * np.float32(before.scale[0])
    wanted = x / (1 + np.exp(-x)) + 0.5
    steps = np.clip(wanted / after.scale[0] + after.zero[0], -128, 127)
    assert np.abs(made.net.constants[table.inputs[1]].data - steps).max() <= 0.501
    assert "curve" not in specs and "shifted" in specs


@pytest.mark.parametrize("equalise", [False, True])
def test_a_hard_swish_and_what_is_linear_behind_it_are_the_layers_gate(equalise):
    """Between the sum and y nothing is rounded to int8: y errs by what its own steps, its inputs and weights do."""
    net = chained("HardSwish")
    made = quantize_net(net, SAMPLES, adaptive=False, equalise=equalise, method="minmax")
    assert [layer.type for layer in made.net] == ["Quantize", *["QuantizedConvolution"] * 2]
    first = made.net.layers[1]
    gate = made.net.constants[first.inputs[6]].data
    factors = gate[1] * first.scale / 6  # 1 but for equalising: u * clamp(u / 6 + 1/2, 0, 1) * factor + shift
    np.testing.assert_allclose(gate[0], 0.5)
    np.testing.assert_allclose(gate[2] * first.scale, 0.5 * factors, rtol=1e-5)
    assert (factors.max() > 1.01) == equalise and factors.min() > 0.99
    fp32 = made.net.replace(outputs=["shifted"], tests=(), plans={})
    wanted = net.replace(outputs=["shifted"], tests=(), plans={})(SAMPLES[0]) * factors.reshape(
        1, -1, 1, 1
    ).astype("f")
    got = (fp32(SAMPLES[0]).astype(np.float32) - first.zero) * np.float32(first.scale)
    assert np.sqrt(np.mean((got - wanted) ** 2)) < 2 * first.scale


def test_what_counts_may_be_a_metric_of_the_users(fp32):
    """Without classes: how near the fourth score comes to fp32's. It is asked for whole nets, fp32's first."""
    asked: list[Net] = []
    wanted = [fp32.forward(x=x)["prob"][0, 3] for x in SAMPLES]

    def metric(net: Net) -> float:
        asked.append(net)
        got = [net.forward(x=x)["prob"][0, 3] for x in SAMPLES]
        return 100 - 1000 * float(np.abs(np.subtract(got, wanted)).max())

    made = quantize_net(fp32, SAMPLES, adaptive=False, metric=metric, max_drop=0.5, most_float=1.0)
    assert asked[0] is fp32 and made.quality.metric_fp32 == 100
    assert len(asked) > 2 and 0 < made.quality.drop <= 0.5 and 0 < made.float_share < 1
    assert "metric 99." in str(made.quality) and metric(made.net) == made.quality.metric_int8


def test_a_text_is_kept_to_the_letter():
    """Twelve steps of six letters: without a budget some lines read otherwise than in fp32, with one none does."""
    import fbnet

    chain = [
        L["Convolution"]("x", w(16, 3, 12, 1), w(16), name="a", activation="ReLU"),
        L["Convolution"]("a", w(6, 16, 1, 1), name="b"),
        L["Permute"]("b", name="turned", order=(0, 3, 1, 2)),
        L["Flatten"]("turned", name="steps", axis=2),
        L["Softmax"]("steps", name="shares", axis=2),
    ]
    reader = fbnet.with_answers(Net(chain, inputs={"x": ("N", 3, 12, 12)}), ctc=0)
    lines = [rng.normal(size=(1, 3, 12, 12)).astype(np.float32) for _ in range(60)]

    def same(net: Net) -> float:
        pairs = [(reader.forward(x=x)["classes"], net.forward(x=x)["classes"]) for x in lines]
        return 100 * float(np.mean([np.array_equal(a, b) for a, b in pairs]))

    plain, held = (quantize_net(reader, lines, adaptive=False, most_float=1, max_drop=m) for m in (None, 0.0))
    assert plain.quality.agreement == pytest.approx(same(plain.net)) and same(plain.net) < 100
    assert same(held.net) == held.quality.agreement == 100
    assert 0 < plain.quality.error < 0.05, "of the scores, not of the letters"
