"""Every kernel of the opencl target: importing this file registers them. Only what compiles does so."""

from . import activation as activation
from . import arithmetic as arithmetic
from . import channels as channels
from . import conv as conv
from . import deconv as deconv
from . import depthwise as depthwise
from . import image as image
from . import matmul as matmul
from . import moving as moving
from . import norm as norm
from . import pool as pool
from . import quantized_conv as quantized_conv
from . import resize as resize
from . import team as team
