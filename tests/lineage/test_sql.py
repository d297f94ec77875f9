"""Plain SQL over the tables: what they hold, and that nothing else can be reached."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import provml
from provml.lineage.tables import SAMPLES, TABLES, build_markdown

SCHEMAS = Path(__file__).parents[2] / "schemas"


def test_the_tables_are_described() -> None:
    """schemas/tables.md would describe other columns than there are."""
    assert (SCHEMAS / "tables.md").read_text("utf-8") == build_markdown()


def test_the_tables_have_the_columns_described(pipeline: Any) -> None:
    """A column would have another name or type than is said."""
    store = provml.open_store(pipeline.store)
    for table, columns in (*TABLES.items(), ("samples", SAMPLES)):
        described = store.sql(f"DESCRIBE {table}")
        found = [(column["column_name"], column["column_type"]) for column in described]
        assert found == [(column.name, column.type) for column in columns]


def test_the_tables_hold_what_was_recorded(store: Path) -> None:
    """A question to the tables would be answered otherwise than by the journal."""
    with provml.start_run("e", store=store, formats=(), tags={"t": "1"}) as run:
        run.log_params({"i": 2**70, "f": 0.1, "s": "é\x00", "n": None, "l": [1, 2], "b": True})
        run.log_param("f", 0.2)
        for step, value in enumerate((1.5, float("inf"), 2**63 - 1, "text", 2**70)):
            run.log_metric("m", value, "training", step, epoch=3)
        run.log_metric("m", 7)
        run.log_environment()
    opened = provml.open_store(store)
    params = opened.sql(
        "SELECT name, version, is_last, type, text, number FROM params ORDER BY ALL"
    )
    assert params.rows == [
        ("b", 1, True, "bool", "true", None),
        ("f", 1, False, "float", "0.1", 0.1),
        ("f", 2, True, "float", "0.2", 0.2),
        ("i", 1, True, "int", str(2**70), float(2**70)),
        ("l", 1, True, "json", "[1,2]", None),
        ("n", 1, True, "null", "null", None),
        ("s", 1, True, "str", "é\x00", None),
        ("t", 1, True, "str", "1", None),
    ]
    samples = opened.sql("SELECT context, step, epoch, value, text FROM samples ORDER BY time_ns")
    assert samples.rows == [
        ("training", 0, 3, 1.5, None),
        ("training", 1, 3, float("inf"), None),
        ("training", 2, 3, float(2**63 - 1), str(2**63 - 1)),
        ("training", 3, 3, None, "text"),
        ("training", 4, 3, float(2**70), str(2**70)),
        (None, None, None, 7.0, None),
    ]
    assert opened.sql("SELECT count(*) FROM packages WHERE name = 'numpy' AND version = ?",
                      [np.__version__]).rows == [(1,)]  # fmt: skip
    statements = list(provml.load(run.path).statements("series"))
    elements = [s for s in statements if s.id is not None]
    assert opened.sql("SELECT count(*) FROM nodes").rows == [(len(elements),)]
    assert opened.sql("SELECT count(*) FROM edges").rows == [(len(statements) - len(elements),)]
    joined = """SELECT count(*) FROM edges e
                JOIN nodes s ON (s.run, s.node) = (e.run, e.source)
                JOIN nodes t ON (t.run, t.node) = (e.run, e.target)"""
    assert opened.sql(joined).rows == [(len(statements) - len(elements),)]
    (row,) = opened.sql("SELECT status, sample_count, started_ns, duration_s FROM runs").rows
    assert row[:2] == ("finished", 6) and row[2] > 0 and row[3] >= 0


FORBIDDEN = [
    "INSERT INTO runs SELECT * FROM runs",
    "DELETE FROM runs",
    "UPDATE runs SET id = 'x'",
    "DROP TABLE runs",
    "CREATE TABLE x AS SELECT 1",
    "CREATE VIEW runs2 AS SELECT 1",
    "COPY runs TO '{out}'",
    "COPY (SELECT 1) TO '{out}' (FORMAT parquet)",
    "COPY runs TO '{tables}/x.csv'",
    "EXPORT DATABASE '{out}'",
    "ATTACH '{out}'",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET enable_external_access = true",
    "SET lock_configuration = false",
    "PRAGMA enable_external_access",
    "CALL pragma_version()",
    "BEGIN; SELECT 1",
    "SELECT 1; SELECT 2",
    "SELECT 1; DROP TABLE runs",
    "WITH x AS (DELETE FROM runs RETURNING *) SELECT * FROM x",
    "EXPLAIN ANALYZE DELETE FROM runs",
    "PREPARE x AS SELECT 1",
    "EXECUTE x",
    "VACUUM",
    "CHECKPOINT",
    "",
    ";",
    "-- nothing",
    "SELECT * FROM nothing",
    "SELECT",
    "SELECT '\ud800'",
    "SELECT * FROM read_csv('{secret}')",
    "SELECT * FROM read_text('{secret}')",
    "SELECT * FROM read_blob('{secret}')",
    "SELECT * FROM read_json('{secret}')",
    "SELECT * FROM read_parquet('{secret}')",
    "SELECT * FROM '{secret}'",
    "SELECT * FROM glob('{folder}/*')",
    "SELECT * FROM read_text('{tables}/../../../secret.csv')",
    "SELECT * FROM 'https://example.org/x.csv'",
    "SELECT getenv('HOME')",
    "FROM query('COPY runs TO ''{out}''')",
    "SELECT * FROM local_frame",
]


@pytest.mark.parametrize("query", FORBIDDEN)
def test_sql_can_neither_write_nor_read_files(pipeline: Any, tmp_path: Path, query: str) -> None:
    """A question that somebody passes on would change the tables, or read the machine's files."""
    import pyarrow as pa

    local_frame = pa.table({"secret": ["secret"]})
    assert local_frame.num_rows
    (tmp_path / "secret.csv").write_text("secret\n1\n")
    store = provml.open_store(pipeline.store)
    filled = query.format(
        out=tmp_path / "out",
        secret=tmp_path / "secret.csv",
        folder=tmp_path,
        tables=store.tables_folder,
    )
    with pytest.raises(provml.QueryError) as refused:
        store.sql(filled)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "out").exists()
    assert not list(store.tables_folder.glob("*.csv"))
    assert store.sql("SELECT count(*) FROM runs").rows == [(5,)]


def test_sql_takes_parameters_and_gives_frames(pipeline: Any) -> None:
    """Values would have to be pasted into the SQL."""
    store = provml.open_store(pipeline.store)
    answer = store.sql("SELECT id, 1 AS id, [1, 2] AS l FROM runs WHERE experiment = ?", ["train"])
    assert answer.columns == ["id", "id_1", "l"]
    assert answer.to_arrow().num_rows == 1
    counted = "SELECT count(*) FROM query_table('ru' || 'ns')"
    assert store.sql(counted).rows == [(5,)]
