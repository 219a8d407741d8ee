"""caffe.proto, and what schema.py makes of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from fbnet.engine.errors import FileError
from fbnet.formats.caffe.schema import parse_binary, parse_text, schema

PATH = Path("net.prototxt")

# message, field, number: a few of the public caffe.proto's, from each corner of it
PUBLIC = [
    ("NetParameter", "layer", 100),
    ("NetParameter", "layers", 2),
    ("NetParameter", "input_dim", 4),
    ("LayerParameter", "bottom", 3),
    ("LayerParameter", "convolution_param", 106),
    ("LayerParameter", "scale_param", 142),
    ("LayerParameter", "prior_box_param", 203),
    ("V1LayerParameter", "inner_product_param", 17),
    ("V0LayerParameter", "cropsize", 20),
    ("ConvolutionParameter", "dilation", 18),
    ("PoolingParameter", "round_mode", 13),
    ("DetectionOutputParameter", "keep_top_k", 7),
    ("Blob", "data", 5),
    ("Caffemodel", "layer", 100),
    ("CaffemodelV0Layer", "blobs", 50),
]


@pytest.mark.parametrize(("message", "field", "number"), PUBLIC)
def test_numbers(message, field, number):
    assert schema()[message].DESCRIPTOR.fields_by_name[field].number == number


def test_defaults():
    assert schema()["LRNParameter"]().beta == 0.75
    assert schema()["BatchNormParameter"]().eps == pytest.approx(1e-5)
    assert schema()["ExpParameter"]().base == -1
    assert schema()["ConvolutionParameter"]().bias_term is True
    assert schema()["FlattenParameter"]().end_axis == -1
    net = schema()["NetState"]()
    assert net.phase == 1, "a net is in phase TEST if nothing else is said"


def test_unknown_fields_are_skipped():
    net = parse_text(
        'layer { name: "a" fork_param { x: [1, 2] deep { e: WORD s: "}" } }'
        "convolution_param { engine: MKL2017 pad: 1 } }"
        "debug_info: true solver { mode: GPU }",
        PATH,
    )
    assert net.layer[0].name == "a"
    assert list(net.layer[0].convolution_param.pad) == [1]


def test_unknown_enum_values_are_kept_by_name():
    net = parse_text(
        "layer { pooling_param { pool: MEDIAN round_mode: FLOOR } } layer { pooling_param { pool: AVE } }",
        PATH,
    )
    pool = net.layer[0].pooling_param
    enum = pool.DESCRIPTOR.fields_by_name["pool"].enum_type
    assert enum.values_by_number[pool.pool].name == "MEDIAN"
    assert net.layer[1].pooling_param.pool == 1
    plain = schema()["PoolingParameter"].DESCRIPTOR.fields_by_name["pool"].enum_type
    assert [v.name for v in plain.values] == ["MAX", "AVE", "STOCHASTIC"], "other files are not touched"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("layer { name: ", "1:15"),
        ('layer { name: "a"\n  convolution_param { pad: -1 } }', "2:"),
        ("layer { pooling_param { pool: pool } }", "PoolMethod"),
        ("layer { pooling_param { pool: 77 } }", "77"),
        ("a { " * 5000, "net.prototxt: is no prototxt"),
        ("<html>", "net.prototxt: is no prototxt"),
    ],
)
def test_no_prototxt(text, said):
    with pytest.raises(FileError) as error:
        parse_text(text, PATH)
    assert said in str(error.value) and "\n" not in str(error.value)


def test_no_caffemodel():
    with pytest.raises(FileError, match=r"w\.caffemodel: is damaged"):
        parse_binary(b"\xa2\x06\x7f", "Caffemodel", "w.caffemodel")


def test_without_protobuf(tmp_path):
    """A clean error that names the extra; and `import fbnet.formats.caffe` alone does not need the library."""
    (tmp_path / "google.py").write_text("")  # a `google` without a `protobuf`
    (tmp_path / "net.prototxt").write_text("layer { }")
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import fbnet, fbnet.formats.caffe\n"
        "try: fbnet.convert(sys.argv[1] + '/net.prototxt')\n"
        "except fbnet.ConversionError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], check=True, capture_output=True, text=True, cwd="/"
    )
    assert "pip install fbnet[caffe]" in done.stdout
