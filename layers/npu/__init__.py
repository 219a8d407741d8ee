"""The target that is an accelerator for int8 alone: see docs/npu.md. Its chip is a simulator."""

from . import device as device
