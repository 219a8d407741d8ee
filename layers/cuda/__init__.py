"""The cuda target: NVIDIA's GPUs, through kernels written with numba.cuda and the driver's own library."""

from . import device as device
