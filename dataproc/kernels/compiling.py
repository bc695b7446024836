"""How kernels are compiled: with no more wrappers than their callers need.

Compiling is a cost that every new machine pays once. A kernel that only kernels call needs no way in from Python, and
one that makes no array needs no counting of references: each call of it would else count every array that it is given,
by atomic additions that take longer than a short step does (`_nrt` is a private option of numba's).
"""

import numba

kernel = numba.njit(cache=True, nogil=True, no_cfunc_wrapper=True)
"""For a kernel that Python calls."""

kernel_in_place = numba.njit(cache=True, nogil=True, no_cfunc_wrapper=True, _nrt=False)
"""For one that Python calls, and that makes no array."""

kernel_part = numba.njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True)
"""For one that only kernels call: without its wrappers a third of the compiling is saved."""

kernel_step = numba.njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True, _nrt=False)
"""For one that only kernels call, for each pretoken or byte, and that makes no array."""
