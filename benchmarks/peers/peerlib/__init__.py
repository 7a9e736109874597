"""Parts of the side-by-side benchmarks. Not installed: the scripts beside this folder put it on the path.

Importing it bounds every library to one thread, which works only before NumPy is imported: import it first.
"""

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[_name] = "1"
