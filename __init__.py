"""fbnet runs trained networks.

    net = fbnet.load("model.fbnet")
    y = net(x)

The way of the data: a model file is read into a Net (formats/); a Net is compiled to a Plan (engine/) of the kernels
that a device has for its layers (layers/, layers/<device>/); a Session runs the plan.
"""

# The root folder is the package. A tool that imports this file under the checkout's folder name gets the
# installed package instead of a second copy, in which every layer would be registered twice.
if __name__ != "fbnet":
    import sys

    import fbnet

    sys.modules[__name__] = fbnet
else:
    from . import layers as layers
    from .engine.check import check_layer
    from .engine.check_device import check_device
    from .engine.device import Device, device
    from .engine.dtype import DType, dtype
    from .engine.errors import (
        AttributeValueError,
        CheckError,
        CompileError,
        ConversionError,
        DeviceError,
        FbnetError,
        FetchError,
        FileError,
        InputError,
        NetError,
        QuantizationError,
        RegistryError,
        ShapeError,
    )
    from .engine.format import importer
    from .engine.kernel import kernel
    from .engine.layer import Elementwise, Layer, layer
    from .engine.lower import HostFallback
    from .engine.net import Net
    from .engine.plan import Plan
    from .engine.rewrite import rewrite
    from .engine.session import Session
    from .engine.settings import debug
    from .engine.tensor import Dim, Spec, Tensor
    from .formats import convert, load, save
    from .formats.ends import with_answers, with_image_input
    from .layers import cpu as _cpu  # noqa: F401 (registers the device)
    from .layers import reference as _reference  # noqa: F401

    __version__ = "0.1.0"
    __all__ = [
        "AttributeValueError",
        "CheckError",
        "CompileError",
        "ConversionError",
        "DType",
        "Device",
        "DeviceError",
        "Dim",
        "Elementwise",
        "FbnetError",
        "FetchError",
        "FileError",
        "HostFallback",
        "InputError",
        "Layer",
        "Net",
        "NetError",
        "Plan",
        "QuantizationError",
        "RegistryError",
        "Session",
        "ShapeError",
        "Spec",
        "Tensor",
        "check_device",
        "check_layer",
        "convert",
        "debug",
        "device",
        "dtype",
        "importer",
        "kernel",
        "layer",
        "load",
        "rewrite",
        "save",
        "with_answers",
        "with_image_input",
    ]
