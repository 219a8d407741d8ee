"""What each layer means. One family a file: class, attributes, shape rule and numpy reference.

Letters, in formulas and code: N batch, C channels in, M channels out, H W height and width, KH KW of a filter
or window, OH OW of the output, K the length of a product's sum.
"""

from ..engine.case import examples as _examples
from ..engine.device import devices as _devices
from . import activation as activation
from . import attention as attention
from . import binary as binary
from . import boxes as boxes
from . import cast as cast
from . import color as color
from . import concat as concat
from . import conv as conv
from . import ctc as ctc
from . import detection as detection
from . import eltwise as eltwise
from . import fold as fold
from . import fused as fused
from . import gather as gather
from . import image as image
from . import inner_product as inner_product
from . import integer_elements as integer_elements
from . import integer_moves as integer_moves
from . import integer_weights as integer_weights
from . import layout as layout
from . import lstm_unit as lstm_unit
from . import matmul as matmul
from . import moving as moving
from . import norm as norm
from . import normalize as normalize
from . import order as order
from . import pool as pool
from . import quantize as quantize
from . import quantized as quantized
from . import recurrent as recurrent
from . import reduce as reduce
from . import reshape as reshape
from . import resize as resize
from . import roi as roi
from . import sample as sample
from . import select as select
from . import softmax as softmax
from . import unary as unary
from . import volume as volume
from . import window as window

_examples.add_later("fbnet", f"{__name__}.examples")
for _name in ("cuda", "lib", "npu", "opencl"):  # cpu and reference are always there
    _devices.add_later(_name, f"{__name__}.{_name}")
