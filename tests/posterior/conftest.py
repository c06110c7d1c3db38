"""Put the hand-made designs of this folder within reach."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
