"""Make the module that writes the reference pages importable; it is no part of the installed program."""

import sys

from tests.support.repository import ROOT

sys.path.insert(0, str(ROOT))
