"""`python -m sdbench`."""

import sys

from sdbench.cli import main

if __name__ == "__main__":
    sys.exit(main())
