"""IB curves by ours, embo and dit, on the same random joints in one run: see ``--help`` and ``docs/ib-curves.md``."""

import os
import sys

# Before torch and numpy are loaded, here and in the peers' processes that inherit it.
os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))

if __name__ == "__main__":
    from ib_solvers.command import main

    sys.exit(main())
