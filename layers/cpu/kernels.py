"""Every kernel of the cpu target: importing this file registers them. Only what compiles does so."""

from . import conv as conv
from . import inner_product as inner_product
