"""What of a net is deployed: phases, inputs, in-place wiring, losses and labels."""

from __future__ import annotations

import fbnet
import numpy as np
import pytest
from fbnet.engine.errors import ConversionError, InputError

INPUT = (
    'layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 9 dim: 9 } } } '
)
IP = "inner_product_param { num_output: 4 }"


def layer(type: str, name: str, bottoms: str = "", params: str = "", tops: str | None = None) -> str:
    bottom = " ".join(f'bottom: "{b}"' for b in bottoms.split())
    top = " ".join(f'top: "{t}"' for t in (name if tops is None else tops).split())
    return f'layer {{ name: "{name}" type: "{type}" {bottom} {top} {params} }} '


def wiring(net) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """(name, tensors read, tensors written) of every layer."""
    return [(n.name, tuple(i for i in n.inputs if i not in net.constants), n.outputs) for n in net.layers]


# -- in place ------------------------------------------------------------------------------------------------


def test_in_place_the_last_writer_keeps_the_name(read):
    chain = layer("ReLU", "r", "c", tops="c") + layer("TanH", "t", "c", tops="c")
    net = read(INPUT + layer("InnerProduct", "ip", "data", IP, tops="c") + chain + layer("Sigmoid", "s", "c"))
    assert wiring(net) == [
        ("ip", ("data",), ("c/ip",)),
        ("r", ("c/ip",), ("c/r",)),
        ("t", ("c/r",), ("c",)),
        ("s", ("c",), ("s",)),
    ]


def test_an_input_keeps_its_name(read):
    net = read(INPUT + layer("Power", "p", "data", tops="data") + layer("ReLU", "r", "data", tops="data"))
    assert wiring(net) == [("p", ("data",), ("data/p",)), ("r", ("data/p",), ("data/r",))]
    assert list(net.inputs) == ["data"] and net.outputs == ("data/r",)


def test_a_reader_between_two_writers_sees_the_first(read):
    net = read(
        INPUT
        + layer("AbsVal", "a", "data", tops="x")
        + layer("ReLU", "before", "x")
        + layer("TanH", "t", "x", tops="x")
        + layer("ReLU", "after", "x")
    )
    assert dict((name, reads) for name, reads, _ in wiring(net))["before"] == ("x/a",)
    assert dict((name, reads) for name, reads, _ in wiring(net))["after"] == ("x",)


def test_split_is_no_layer(read):
    net = read(INPUT + layer("Split", "s", "data", tops="a b") + layer("Eltwise", "e", "a b"))
    assert wiring(net) == [("e", ("data", "data"), ("e",))]


def test_names_used_twice(read):
    net = read(
        INPUT
        + layer("ReLU", "r", "data", tops="x")
        + layer("ReLU", "r", "x", tops="y")
        + layer("TanH", "", "y", tops="z")
    )
    assert [n.name for n in net.layers] == ["r", "r#2", "tanh"]


# -- phases --------------------------------------------------------------------------------------------------

RULES = [
    ("include { phase: TEST }", {}, True),
    ("include { phase: TRAIN }", {}, False),
    ("include { phase: TRAIN } include { phase: TEST }", {}, True),
    ("exclude { phase: TRAIN }", {}, True),
    ("exclude { phase: TEST }", {}, False),
    ('include { stage: "deploy" }', {}, True),
    ('include { stage: "val" }', {}, False),
    ('include { stage: "val" }', {"stages": ["val"]}, True),
    ('include { stage: "val" stage: "b" }', {"stages": ["val"]}, False),
    ('include { phase: TEST not_stage: "deploy" }', {}, False),
    ('include { not_stage: "deploy" }', {"stages": []}, True),
    ("include { min_level: 2 }", {}, False),
    ("include { min_level: 2 max_level: 4 }", {"level": 3}, True),
    ("include { max_level: 4 }", {"level": 5}, False),
    ('exclude { stage: "a" } exclude { phase: TEST min_level: 1 }', {"level": 1}, False),
]


@pytest.mark.parametrize(("rule", "options", "kept"), RULES)
def test_rules(read, rule, options, kept):
    net = read(INPUT + layer("ReLU", "always", "data") + layer("TanH", "maybe", "data", rule), **options)
    assert ("maybe" in [n.name for n in net.layers]) is kept


def test_the_files_own_state(read):
    text = 'state { stage: "val" level: 3 } ' + INPUT
    text += layer("TanH", "a", "data", 'include { stage: "val" min_level: 3 }')
    assert [n.name for n in read(text).layers] == ["a"]


# -- inputs --------------------------------------------------------------------------------------------------

SOURCES = [
    # type, parameters -> shape of `data`
    ("Data", "transform_param { crop_size: 9 } data_param { batch_size: 5 }", (5, 3, 9, 9)),
    ("Data", "data_param { batch_size: 5 crop_size: 7 }", (5, 3, 7, 7)),
    ("Data", "transform_param { crop_h: 7 crop_w: 9 force_gray: true }", (1, 1, 7, 9)),
    ("Data", "transform_param { resize_param { height: 7 width: 9 } }", (1, 3, 7, 9)),
    ("ImageData", "image_data_param { batch_size: 4 new_height: 7 new_width: 9 }", (4, 3, 7, 9)),
    ("ImageData", "image_data_param { new_height: 7 new_width: 9 is_color: false }", (1, 1, 7, 9)),
    ("ImageData", "transform_param { crop_size: 5 } image_data_param { new_height: 7 new_width: 9 }", (1, 3, 5, 5)),
    ("MemoryData", "memory_data_param { batch_size: 2 channels: 5 height: 7 width: 9 }", (2, 5, 7, 9)),
    ("WindowData", "window_data_param { batch_size: 6 crop_size: 9 }", (6, 3, 9, 9)),
    ("DummyData", "dummy_data_param { num: 2 channels: 3 height: 4 width: 5 }", (2, 3, 4, 5)),
    ("DummyData", "dummy_data_param { shape { dim: 2 dim: 7 } shape { dim: 2 } }", (2, 7)),
]  # fmt: skip


@pytest.mark.parametrize(("type", "params", "shape"), SOURCES)
def test_data_layers_become_inputs(read, type, params, shape):
    text = layer(type, "source", "", params, tops="data label") + layer("InnerProduct", "ip", "data", IP)
    net = read(text + layer("SoftmaxWithLoss", "loss", "ip label"))
    assert list(net.inputs) == ["data"]
    assert net.inputs["data"].shape == shape
    assert str(net.inputs["data"].shape[0]) == "N"


def test_hdf5_tops_are_told_apart_by_name(read):
    text = layer("HDF5Data", "h", "", tops="image depth label_class") + layer("Concat", "c", "image depth")
    net = read(
        text + layer("EuclideanLoss", "l", "c label_class"),
        shapes={"image": (1, 3, 4, 4), "depth": (1, 1, 4, 4)},
    )
    assert sorted(net.inputs) == ["depth", "image"]


def test_a_shape_the_file_does_not_tell(read, write):
    text = layer("Data", "mnist", "", "data_param { batch_size: 64 }", tops="data label") + layer(
        "ReLU", "r", "data"
    )
    with pytest.raises(
        ConversionError, match=r"shape of the input 'data': pass shapes={'data': \(N, C, H, W\)}"
    ):
        read(text)
    assert read(text, shapes={"data": (7, 1, 28, 28)}).inputs["data"].shape == (7, 1, 28, 28)
    with pytest.raises(InputError, match=r"has no input 'dta'\. Did you mean 'data'\? It has: data"):
        read(text, shapes={"dta": (7, 1, 28, 28)})
    for nonsense in ({"data": "7,1,28,28"}, {"data": 7}, [("data", (1, 2))], {"data": (1.5, 2)}):
        with pytest.raises(InputError, match="give input names and their sizes"):
            read(text, shapes=nonsense)


@pytest.mark.parametrize("dims", ["dim: 0 dim: 3", "dim: -1 dim: 3", "dim: 99999999 dim: 99999999"])
def test_a_shape_that_is_none(read, dims):
    with pytest.raises(ConversionError, match="the input 'data' has the shape"):
        read(f'input: "data" input_shape {{ {dims} }}' + layer("ReLU", "r", "data"))


def test_a_data_layer_of_another_phase_tells_the_input(read):
    text = layer(
        "Data", "d", "", "transform_param { crop_size: 9 } include { phase: TRAIN }", tops="data label"
    )
    net = read(text + layer("ReLU", "r", "data"))
    assert net.inputs["data"].shape == (1, 3, 9, 9)


def test_image_preparation_comes_from_the_data_layer(read):
    transform = "transform_param { crop_size: 9 mean_value: 104 mean_value: 117 mean_value: 123 scale: 0.5 }"
    net = read(layer("Data", "d", "", transform, tops="data label") + layer("ReLU", "r", "data"))
    wanted = {"size": [9, 9], "fit": "crop", "mean": [104, 117, 123], "scale": 0.5, "order": "BGR"}
    assert net.metadata["image"] == wanted
    mean_file = 'transform_param { crop_size: 9 mean_file: "mean.binaryproto" }'
    net = read(layer("Data", "d", "", mean_file, tops="data label") + layer("ReLU", "r", "data"))
    assert "image" not in net.metadata, "half of the truth would be wrong"
    net = read(INPUT + layer("ReLU", "r", "data"), image={"order": "RGB"})
    assert net.metadata["image"] == {"order": "RGB"}


# -- losses and labels ---------------------------------------------------------------------------------------

DATA = layer("Data", "d", "", "transform_param { crop_size: 9 }", tops="data label")
SCORES = DATA + layer("InnerProduct", "ip", "data", IP)

ENDS = [
    # the end of a net that computes ip from data -> (types, outputs)
    (layer("SoftmaxWithLoss", "loss", "ip label"), (["InnerProduct", "Softmax"], ["prob"])),
    (layer("SoftmaxWithLoss", "loss", "ip label", tops="loss p"), (["InnerProduct", "Softmax"], ["p"])),
    (layer("SoftmaxWithLoss", "loss", "ip label", tops=""), (["InnerProduct", "Softmax"], ["prob"])),
    (
        layer("Softmax", "prob", "ip") + layer("SoftmaxWithLoss", "loss", "ip label"),
        (["InnerProduct", "Softmax"], ["prob"]),
    ),
    (
        layer("Accuracy", "acc", "ip label", "include { phase: TEST }")
        + layer("SoftmaxWithLoss", "loss", "ip label"),
        (["InnerProduct", "Softmax"], ["prob"]),
    ),
    (layer("SigmoidCrossEntropyLoss", "loss", "ip label"), (["InnerProduct", "Sigmoid"], ["prob"])),
    (layer("EuclideanLoss", "loss", "ip label"), (["InnerProduct"], ["ip"])),
    (layer("HingeLoss", "loss", "ip label"), (["InnerProduct"], ["ip"])),
    (layer("EuclideanLoss", "loss", "label ip"), (["InnerProduct"], ["ip"])),
    (layer("SmoothL1LossOHEM", "loss", "ip label"), (["InnerProduct"], ["ip"])),
    (layer("Accuracy", "acc", "ip label", "accuracy_param { top_k: 5 }"), (["InnerProduct"], ["ip"])),
    (layer("Silence", "quiet", "label", tops=""), (["InnerProduct"], ["ip"])),
    (
        layer("ArgMax", "argmax", "label") + layer("Reshape", "r", "argmax") + layer("EuclideanLoss", "loss", "ip r"),
        (["InnerProduct"], ["ip"]),
    ),
    (
        layer("TanH", "other", "data") + layer("Silence", "quiet", "other", tops=""),
        (["InnerProduct"], ["ip"]),
    ),
    (layer("HDF5Output", "save", "ip label", tops=""), (["InnerProduct"], ["ip"])),
]  # fmt: skip


@pytest.mark.parametrize(("end", "wanted"), ENDS)
def test_ends(read, end, wanted):
    net = read(SCORES + end)
    assert ([n.type for n in net.layers], list(net.outputs)) == wanted


def test_several_losses_keep_their_names(read):
    """GoogLeNet's train_val has three classifiers."""
    net = read(
        SCORES
        + layer("SoftmaxWithLoss", "loss1", "ip label", "loss_weight: 0.3", tops="loss1/loss")
        + layer("InnerProduct", "ip2", "ip", IP)
        + layer("SoftmaxWithLoss", "loss2", "ip2 label", tops="loss2/loss")
    )
    assert net.outputs == ("loss1/loss", "loss2/loss")


def test_an_autoencoders_target_is_no_output(read):
    """Caffe's mnist_autoencoder: flatdata feeds both losses, and a Sigmoid that is there already stays."""
    net = read(
        layer("Data", "d", "", "transform_param { crop_size: 9 force_gray: true }", tops="data")
        + layer("Flatten", "flatdata", "data")
        + layer("InnerProduct", "decode1", "data", "inner_product_param { num_output: 81 }")
        + layer("SigmoidCrossEntropyLoss", "loss", "decode1 flatdata", "loss_weight: 1", tops="cross")
        + layer("Sigmoid", "decode1neuron", "decode1")
        + layer("EuclideanLoss", "loss", "decode1neuron flatdata", "loss_weight: 0", tops="l2")
    )
    assert [n.name for n in net.layers] == ["decode1", "decode1neuron"]
    assert net.outputs == ("decode1neuron",)


def test_siamese_shares_weights(read):
    """Both branches are outputs, and their constants are one."""
    shared = IP + ' param { name: "w" } param { name: "b" }'
    net = read(
        'layer { name: "pair" type: "HDF5Data" top: "pair" top: "label" } '
        + layer("Slice", "slice", "pair", "slice_param { slice_dim: 1 slice_point: 1 }", tops="data data_p")
        + layer("InnerProduct", "feat", "data", shared)
        + layer("InnerProduct", "feat_p", "data_p", shared)
        + layer("ContrastiveLoss", "loss", "feat feat_p label"),
        shapes={"pair": (1, 2, 5, 5)},
    )
    assert net.outputs == ("feat", "feat_p")
    assert sorted(net.constants) == ["feat.b", "feat.w"]
    same = np.tile(np.float32(np.arange(25)).reshape(1, 1, 5, 5), (1, 2, 1, 1))
    y = net.forward(pair=same)
    np.testing.assert_array_equal(y["feat"], y["feat_p"])


def test_the_deploy_net_and_its_train_val_are_one(write):
    body = layer("InnerProduct", "ip", "data", IP)
    deploy = INPUT + body + layer("Softmax", "prob", "ip")
    train_val = DATA + body + layer("SoftmaxWithLoss", "loss", "ip label")
    x = np.random.default_rng(0).standard_normal((1, 3, 9, 9), np.float32)
    ys = [
        fbnet.convert(*write(text), random_weights=3).forward(data=x)["prob"] for text in (deploy, train_val)
    ]
    np.testing.assert_array_equal(*ys)


WRONG = [
    (INPUT + layer("ReLU", "r", "dta"), r"r \(ReLU\) reads 'dta', which nothing before it writes"),
    (
        INPUT + layer("ReLU", "a", "data", tops="x") + layer("TanH", "b", "data", tops="x"),
        r"b \(TanH\) writes 'x', which a layer before it writes too",
    ),
    (SCORES + layer("Eltwise", "e", "ip label"), r"e \(Eltwise\) reads the label 'label'"),
    (DATA + layer("Accuracy", "a", "data label"), "no layer is left"),
    (INPUT + layer("ReLU", "r", "", tops="x"), r"r \(ReLU\): reads nothing"),
]


@pytest.mark.parametrize(("text", "said"), WRONG)
def test_what_does_not_fit_together(read, text, said):
    with pytest.raises(ConversionError, match=said):
        read(text)
