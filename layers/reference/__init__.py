"""The target that needs no kernels."""

from . import device as device
