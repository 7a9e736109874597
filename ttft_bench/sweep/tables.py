"""Result rows as Parquet: typed by the schema, every column with its unit and meaning, and back again unchanged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ttft_bench.errors import CorpusError
from ttft_bench.sweep.schema import COLUMNS, FIELDS, SCHEMA_VERSION, read_row

if TYPE_CHECKING:
    import pandas as pd

#: Key of the file's metadata that holds the schema version.
VERSION_KEY = b"ttft_bench.schema_version"


def to_frame(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Rows as a data frame: Int64, float64 and string columns, lists as objects."""
    import pandas as pd

    frame = pd.DataFrame(list(rows), columns=list(COLUMNS))
    for field in FIELDS:
        if field.kind == "int":
            frame[field.name] = frame[field.name].astype("Int64")
        elif field.kind == "float":
            frame[field.name] = frame[field.name].astype("float64")
        elif field.kind == "str":
            frame[field.name] = frame[field.name].fillna("").astype("string")
    return frame


def write_parquet(frame: pd.DataFrame, handle: IO[bytes]) -> None:
    """Write a frame of :func:`to_frame`; units and meanings go with the columns, the version with the file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {"str": pa.string(), "int": pa.int64(), "float": pa.float64(), "list": pa.list_(pa.int64())}
    schema = pa.schema(
        [
            pa.field(item.name, kinds[item.kind], metadata={"unit": item.unit, "meaning": item.meaning})
            for item in FIELDS
        ]
    )
    table = pa.Table.from_pandas(frame, schema=schema, preserve_index=False)
    told = {**(table.schema.metadata or {}), VERSION_KEY: str(SCHEMA_VERSION).encode()}
    pq.write_table(table.replace_schema_metadata(told), handle)


def read_parquet(path: Path) -> list[dict[str, Any]]:
    """The rows of a Parquet file as they are in :attr:`ttft_bench.sweep.store.Run.rows`; older schemas are brought up.

    Raises:
        CorpusError: the file cannot be read as Parquet, or its rows are of a newer schema.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        records = pq.read_table(path).to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise CorpusError(
            f"{path} cannot be read as Parquet: {error}; write it again with `ttft-bench report`"
        ) from error
    return [read_row(record, str(path)) for record in records]


__all__ = ["VERSION_KEY", "read_parquet", "to_frame", "write_parquet"]
