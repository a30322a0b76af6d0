"""Truth, our estimates and the peers', on every known answer of ``docs/accuracy.md``: see ``--help``."""

import os
import sys

# Before torch and numpy are loaded, here and in the worker processes that inherit it.
os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))

if __name__ == "__main__":
    from known_answers.command import main

    sys.exit(main())
