"""Run the command line as ``python -m anymask``."""

import sys

from anymask.cli import main

sys.exit(main())
