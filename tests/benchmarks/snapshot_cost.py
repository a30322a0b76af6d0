"""What a snapshot costs by layers, rows and width, and seconds to a stated error: see ``--help``, ``docs/cost.md``."""

import sys

if __name__ == "__main__":
    from costs.snapshot_command import main

    sys.exit(main())
