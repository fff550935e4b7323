"""A text in Criteo's layout, as long as wanted."""

from pathlib import Path

import numpy as np
import polars as pl

LABEL = "click"
NUMERIC = [f"I{i}" for i in range(1, 14)]
CATEGORICAL = [f"C{i}" for i in range(1, 27)]
COLUMNS = [LABEL, *NUMERIC, *CATEGORICAL]

# Distinct values of C1 to C26 in the 45.8 million rows of the official file.
_DISTINCT = (
    *(1460, 583, 10_131_227, 2_202_608, 305, 24, 12_517, 633, 3, 93_145, 5683, 8_351_593, 3194),
    *(27, 14_992, 5_461_306, 10, 5652, 2173, 4, 7_046_547, 18, 15, 286_181, 105, 142_572),
)
_OFFICIAL_ROWS = 45_840_617
_BLOCK_ROWS = 100_000


def write_criteo_text(path: Path, rows: int, source: Path | None = None, seed: int = 0) -> Path:
    """Write `rows` rows; a file that exists is taken as it is.

    Rows are drawn from a source, and in each column a share of the tokens is replaced with ones never seen before, such
    that the distinct values grow by the row as they do in the official file.

    Args:
        path: the file to write.
        rows: number of rows.
        source: a file in the official layout, e.g. an excerpt of it. Defaults to `None`: 30,000 rows made up with
            skewed counts and tokens.
        seed: seed of the draws. Defaults to 0.
    """
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    table = _made_up(rng) if source is None else _read(source)
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("wb") as file:
        for start in range(0, rows, _BLOCK_ROWS):
            block = table[rng.integers(0, len(table), min(_BLOCK_ROWS, rows - start))]
            fresh = [
                _with_fresh_tokens(block[name], distinct / _OFFICIAL_ROWS, rng)
                for name, distinct in zip(CATEGORICAL, _DISTINCT, strict=True)
            ]
            block.with_columns(fresh).write_csv(file, include_header=False, separator="\t", quote_style="never")
    return partial.rename(path)


def _read(source: Path) -> pl.DataFrame:
    schema = dict.fromkeys(COLUMNS, pl.String)
    return pl.read_csv(source, has_header=False, separator="\t", quote_char=None, schema=schema, n_rows=1_000_000)


def _made_up(rng: np.random.Generator, rows: int = 30_000) -> pl.DataFrame:
    columns = {LABEL: (rng.random(rows) < 0.25).astype("int64")}
    columns |= {name: np.floor(np.exp(rng.exponential(2.0, rows)) - 1).astype("int64") for name in NUMERIC}
    table = pl.DataFrame(columns).cast(pl.String)
    for name, distinct in zip(CATEGORICAL, _DISTINCT, strict=True):
        ranks = (float(distinct) ** rng.random(rows)).astype("uint64")
        table = table.with_columns(_tokens(name, ranks * np.uint64(2_654_435_761) % np.uint64(2**32)))
    missing = [pl.when(pl.lit(pl.Series(rng.random(rows) > 0.15))).then(pl.col(name)) for name in COLUMNS[1:]]
    return table.with_columns(missing)


def _with_fresh_tokens(tokens: pl.Series, share: float, rng: np.random.Generator) -> pl.Series:
    at = np.flatnonzero(rng.random(len(tokens)) < share)
    return tokens.scatter(at, _tokens("fresh", rng.integers(0, 2**32, len(at)))).rename(tokens.name)


def _tokens(name: str, numbers: np.ndarray) -> pl.Series:
    return pl.Series(name, [f"{number:08x}" for number in numbers.tolist()], dtype=pl.String)
