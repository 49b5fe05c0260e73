"""`python -m dynamic_vision`: the same as the command `dynamic-vision`."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
