"""Layers that nobody knows: every importer keeps them as they are, and a registration fills them."""

import fbnet
import numpy as np
import pytest
from fbnet.engine.custom import Placeholder

PROTOTXT = """
name: "odd"
input: "data" input_shape { dim: 1 dim: 3 dim: 8 dim: 8 }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 4 kernel_size: 3 } }
layer {  # one that only a fork knows
  name: "f" type: "Frobnicate" bottom: "conv" top: "odd"
  frobnicate_param { alpha: .5 mode: FAST axis: 1 axis: 2 name2: "a \\"b\\"" }
  param { lr_mult: 1 }
}
layer { name: "relu" type: "ReLU" bottom: "odd" top: "odd" }
"""


@pytest.fixture
def prototxt(tmp_path):
    pytest.importorskip("google.protobuf")
    path = tmp_path / "odd.prototxt"
    path.write_text(PROTOTXT)
    return path


def test_caffe(prototxt):
    with pytest.raises(fbnet.ConversionError, match=r"f \(Frobnicate\): fbnet has no such layer"):
        fbnet.convert(prototxt, random_weights=1)
    net = fbnet.convert(prototxt, random_weights=1, allow_custom=True)
    assert isinstance(net["f"], Placeholder) and net.metadata["custom"] == ["Frobnicate"]
    assert net["f"].attributes == {"alpha": 0.5, "mode": "FAST", "axis": (1, 2), "name2": 'a "b"'}
    assert [layer.type for layer in net] == ["Convolution", "Frobnicate", "ReLU"]
    with pytest.raises(
        fbnet.RegistryError, match=r"f \(Frobnicate\): layer type 'Frobnicate' is not registered"
    ):
        net(np.zeros((1, 3, 8, 8), np.float32))


def test_caffes_blobs_are_its_inputs(prototxt, tmp_path):
    """As many as the .caffemodel has, of the shapes that it has."""
    from fbnet.formats.caffe.schema import schema

    model = schema()["Caffemodel"]()
    rng = np.random.default_rng(0)
    shapes = {"conv": [(4, 3, 3, 3), (4,)], "f": [(4,), (2, 3)]}
    arrays = {
        name: [rng.standard_normal(s).astype(np.float32) for s in all_of] for name, all_of in shapes.items()
    }
    for name, blobs in arrays.items():
        layer = model.layer.add(name=name.encode())
        for array in blobs:
            blob = layer.blobs.add()
            blob.data.append(array.tobytes())
            blob.shape.dim.extend(array.shape)
    (tmp_path / "odd.caffemodel").write_bytes(model.SerializeToString())
    net = fbnet.convert(prototxt, tmp_path / "odd.caffemodel", allow_custom=True)
    assert net["f"].inputs == ("conv", "f.blob0", "f.blob1")
    for i, array in enumerate(arrays["f"]):
        np.testing.assert_array_equal(net.constants[f"f.blob{i}"].data, array)


@pytest.mark.parametrize(
    ("field", "says"),
    [
        ("odd_param { a { b: 1 } }", "its field odd_param.a is a message in a message"),
        ("odd_param { a: 1 } odd_param { a: 2 }", "its field odd_param is repeated"),
        ("odd_param { name: 1 }", "its attribute 'name' has a name that layers use"),
    ],
)
def test_what_no_attribute_can_hold(prototxt, field, says):
    prototxt.write_text(PROTOTXT.replace("param { lr_mult: 1 }", field))
    with pytest.raises(fbnet.ConversionError) as caught:
        fbnet.convert(prototxt, random_weights=1, allow_custom=True)
    assert says in str(caught.value)


def test_a_name_that_is_taken(prototxt):
    prototxt.write_text(PROTOTXT.replace("Frobnicate", "Resize"))
    with pytest.raises(fbnet.ConversionError, match=r"f \(Resize\): fbnet has another layer of this name"):
        fbnet.convert(prototxt, random_weights=1, allow_custom=True)


def onnx_model(path, **attributes):
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    nodes = [
        helper.make_node("Relu", ["x"], ["r"], name="r"),
        helper.make_node("Frobnicate", ["r", "w", ""], ["odd"], name="f", domain="mine", **attributes),
        helper.make_node("Relu", ["odd"], ["y"], name="last"),
    ]
    floats = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        nodes, "odd",
        [helper.make_tensor_value_info("x", floats, ["n", 3, 4, 4])],
        [helper.make_tensor_value_info("y", floats, ["n", 3, 4, 4])],
        [onnx.numpy_helper.from_array(np.float32([1, 2]), "w")],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), path)


def test_onnx(tmp_path):
    onnx_model(tmp_path / "m.onnx", alpha=0.5, axis=[1, 2], mode="FAST")
    with pytest.raises(
        fbnet.ConversionError, match=r"f \(mine.Frobnicate\): there is no layer for this operator"
    ):
        fbnet.convert(tmp_path / "m.onnx")
    net = fbnet.convert(tmp_path / "m.onnx", allow_custom=True)
    assert net["f"].attributes == {"alpha": 0.5, "axis": (1, 2), "mode": "FAST"}
    assert net["f"].inputs == ("r", "w", "") and net.metadata["custom"] == ["mine.Frobnicate"]
    assert str(net.specs()["y"]) == "fp32[n,3,H,W]"


def test_ncnn(tmp_path):
    lines = [
        "7767517",
        "3 3",
        "Input x 0 1 x 0=4 1=4 2=3",
        "Frobnicate f 1 1 x odd 0=5.0e-1 1=3 -23302=2,1,2",
    ]
    (tmp_path / "m.param").write_text("\n".join([*lines, "ReLU r 1 1 odd y"]) + "\n")
    with pytest.raises(fbnet.ConversionError, match=r"f \(Frobnicate\): fbnet has no such layer"):
        fbnet.convert(tmp_path / "m.param")
    net = fbnet.convert(tmp_path / "m.param", allow_custom=True)
    assert net["f"].attributes == {"p0": 0.5, "p1": 3, "p2": (1, 2)} and net.metadata["custom"] == [
        "Frobnicate"
    ]
    assert [layer.type for layer in net] == ["Frobnicate", "ReLU"]
