"""Put the hand-made designs of ``tests/posterior`` within reach."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "posterior"))
