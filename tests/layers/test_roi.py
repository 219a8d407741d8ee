"""Regions of interest against OpenCV's reader of Caffe and onnxruntime."""

import numpy as np
import pytest
from fbnet.engine.errors import AttributeValueError, ShapeError
from fbnet.engine.tensor import Spec
from fbnet.layers.roi import PSROIPooling, RoiAlign, ROIPooling

X = np.random.default_rng(0).standard_normal((1, 18, 12, 17)).astype(np.float32)
ROIS = np.float32([[0, 1, 2, 20, 11], [0, 3, 3, 3, 3], [0, 0, 0, 33, 23], [0, 7, 9, 12, 20]])


@pytest.mark.parametrize("scale", [1.0, 0.5, 0.0625])
def test_pooling_is_opencvs(caffe_run, scale):
    text = f'type: "ROIPooling" roi_pooling_param {{ pooled_h: 3 pooled_w: 4 spatial_scale: {scale} }}'
    rois = ROIS / np.float32(scale * 2)
    wanted = caffe_run(text, X, rois)
    found = ROIPooling(pooled=(3, 4), spatial_scale=scale).reference(X, rois)
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_position_sensitive_pooling_is_opencvs(caffe_run, scale):
    text = (
        f'type: "PSROIPooling" psroi_pooling_param {{ output_dim: 2 group_size: 3 spatial_scale: {scale} }}'
    )
    wanted = caffe_run(text, X, ROIS)
    found = PSROIPooling(pooled=(3, 3), spatial_scale=scale).reference(X, ROIS)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("mode", ["avg", "max"])
@pytest.mark.parametrize("transform", ["half_pixel", "output_half_pixel"])
@pytest.mark.parametrize(("sampling", "scale"), [(0, 1.0), (2, 0.5)])
def test_align_is_onnxruntimes(onnx_run, mode, transform, sampling, scale):
    x = np.random.default_rng(1).standard_normal((2, 3, 12, 17)).astype(np.float32)
    rois, images = ROIS[:, 1:] - np.float32([1.5, 0, 2, -1]), np.int64([0, 1, 1, 0])
    wanted = onnx_run(
        "RoiAlign", x, rois, images, mode=mode, output_height=3, output_width=2, sampling_ratio=sampling,
        spatial_scale=scale, coordinate_transformation_mode=transform,
    )  # fmt: skip
    layer = RoiAlign(
        pooled=(3, 2), sampling=sampling, spatial_scale=scale, aligned=transform == "half_pixel",
        method={"avg": "average", "max": "max"}[mode],
    )  # fmt: skip
    np.testing.assert_allclose(layer.reference(x, rois, images), wanted, rtol=1e-4, atol=1e-5)
    with_images = np.concatenate([images[:, None].astype(np.float32), rois], 1)
    np.testing.assert_array_equal(layer.reference(x, with_images), layer.reference(x, rois, images))


@pytest.mark.parametrize("cls", [ROIPooling, PSROIPooling, RoiAlign])
def test_what_they_refuse(cls):
    with pytest.raises(AttributeValueError, match=r"pooled is \(3,\)"):
        cls(pooled=(3,))
    with pytest.raises(AttributeValueError, match="spatial_scale 0"):
        cls(pooled=(3, 3), spatial_scale=0)
    with pytest.raises(ShapeError, match=r"give \(N, C, H, W\) and \(R, 5\)"):
        cls(pooled=(1, 1)).infer_outputs([Spec((1, 2, 3, 3)), Spec((4, 4))])
    with pytest.raises(ShapeError, match=r"\(R, 4\) and \(R,\)"):
        RoiAlign().infer_outputs([Spec((1, 2, 3, 3)), Spec((4, 4)), Spec((3,), "int64")])
    with pytest.raises(ShapeError, match="multiple of 9"):
        PSROIPooling(pooled=(3, 3)).infer_outputs([Spec((1, 8, 3, 3)), Spec((4, 5))])
