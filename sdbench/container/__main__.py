"""`python -m sdbench.container`."""

import sys

from sdbench.container.command import main

if __name__ == "__main__":
    sys.exit(main())
