"""fbnet runs trained networks.

net = fbnet.load("model.fbnet")
y = net(x)
"""

# The root folder is the package. A tool that imports this file under the checkout's folder name gets the
# installed package instead of a second copy, in which every layer would be registered twice.
if __name__ != "fbnet":
    import sys

    import fbnet

    sys.modules[__name__] = fbnet
else:
    from . import layers as layers
    from .engine.layer import Elementwise, Layer, layer
    from .engine.net import Net
    from .engine.tensor import Spec, Tensor
    from .layers import cpu as _cpu
    from .layers import reference as _reference

    __all__ = ["Elementwise", "Layer", "Net", "Spec", "Tensor", "layer"]
