"""Every kernel of the cpu target: importing this file registers them. Only what compiles does so."""

from . import activation as activation
from . import color as color
from . import concat as concat
from . import conv as conv
from . import ctc as ctc
from . import deconv as deconv
from . import depthwise as depthwise
from . import detection as detection
from . import direct as direct
from . import eltwise as eltwise
from . import image as image
from . import inner_product as inner_product
from . import layout as layout
from . import matmul as matmul
from . import norm as norm
from . import normalize as normalize
from . import pool as pool
from . import reshape as reshape
from . import resize as resize
from . import roi as roi
from . import softmax as softmax
from . import window as window
from . import winograd as winograd
