"""Turn the long tables that ``make_reference.R`` left in TMP_DIR into Parquet files.

python pack_large.py TMP_DIR [OUT_DIR]

Writes ``<name>.ranef.parquet`` with the columns group, level, column, value (the
conditional mode, BLUP) and sd (its conditional SD), one row per random effect.
"""

import sys
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq


def main(source: Path, target: Path) -> None:
    for path in sorted(source.glob("*.csv")):
        frame = pd.read_csv(path, dtype=str)
        table = pa.table(
            {
                "group": pa.array(frame["group"]).dictionary_encode(),
                "level": pa.array(frame["level"], pa.string()),
                "column": pa.array(frame["column"]).dictionary_encode(),
                "value": pa.array([float(v) for v in frame["value"]]),
                "sd": pa.array([float(v) for v in frame["sd"]]),
            }
        )
        pq.write_table(
            table, target / f"{path.stem}.ranef.parquet", compression="zstd", compression_level=19
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).parent)
