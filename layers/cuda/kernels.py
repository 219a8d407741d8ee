"""Every kernel of the cuda target: importing this file registers them. Only what compiles does so."""

from . import activation as activation
from . import arithmetic as arithmetic
from . import concat as concat
from . import conv as conv
from . import deconv as deconv
from . import depthwise as depthwise
from . import dot as dot
from . import eltwise as eltwise
from . import gemm as gemm
from . import inner_product as inner_product
from . import matmul as matmul
from . import norm as norm
from . import pool as pool
from . import quantize as quantize
from . import quantized as quantized
from . import quantized_matmul as quantized_matmul
from . import reduce as reduce
from . import reshape as reshape
from . import resize as resize
from . import softmax as softmax
