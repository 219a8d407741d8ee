"""What each layer means: one family a file, each with its class, attributes, shape rule and numpy reference."""

from . import activation
