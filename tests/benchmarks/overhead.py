"""What a probe adds to a run, beside the goals and beside ``wandb.watch``: see ``--help`` and ``docs/cost.md``."""

import sys

if __name__ == "__main__":
    from costs.overhead_command import main

    sys.exit(main())
