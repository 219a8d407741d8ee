"""The opencl target: GPUs such as Mali, and any processor by PoCL, through kernels in OpenCL C and pyopencl."""

from . import device as device
