"""A network as a library of its own: plans of the cpu target, kernels, weights and a runtime in C, without Python.

platforms.py  where it is to run: processor, ABI, and who compiles C for it
tables.py     plans -> C tables and one file of weights
library.py    all of it, compiled and linked

nn.h          the calls, for whoever uses it       runtime.c     the calls, which includes the other headers
nn_load.h     a library chosen at run time
model.h       the tables' types                    team.h        threads
processor.h   what the processor must have         weights.h     weights in the library, or a mapped file
"""
