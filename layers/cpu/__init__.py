"""The cpu target: numba as the front end, LLVM as the back end, neither of them at run time."""

from . import device as device
