"""`python -m runbus.web`."""

import gc
import sys

from runbus.web import main

if __name__ == "__main__":
    code = main()
    gc.freeze()  # or the interpreter looks through all that was loaded, for a second, as it ends
    sys.exit(code)
