"""The target that is somebody else's: shared libraries that export the six calls of nn.h, loaded at run time."""

from . import device as device
