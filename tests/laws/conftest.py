"""Put the tables and the comparison of the laws within reach."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
