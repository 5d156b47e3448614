"""`python -m sdbench.calibration` trains the small networks."""

from __future__ import annotations

import sys

from sdbench.calibration.training import main

if __name__ == "__main__":
    sys.exit(main())
