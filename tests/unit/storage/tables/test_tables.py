"""Check that tables round-trip, refuse what does not fit their schema, and open in any reader when published."""

import dataclasses
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from storage.artifacts import Artifact, ArtifactRef, Recipe, Store
from storage.errors import ArtifactError
from storage.published.publish import publish_table
from storage.tables import (
    ADJUSTED,
    ASSIGNMENTS,
    BACKFILL,
    PLANTS,
    PREDICTIONS,
    REJECTED,
    RELIABILITIES,
    TABLES,
    parquet,
)
from storage.tables.parquet import (
    GROUP_ROWS,
    Column,
    TableSpec,
    is_by_plant,
    iter_table,
    load_table,
    read_table,
    rows_to_columns,
    table_bytes,
    to_arrow,
    write_table,
    writing_table,
)
from tests.support.local_stores import local

DAYS = (date(2021, 8, 23), date(2021, 9, 3))


def some_value(column: Column, i: int) -> Any:
    if column.nullable and i == 0:
        return None
    if pa.types.is_list(column.type):
        return [0.25, 0.5] if pa.types.is_floating(column.type.value_type) else [1, i]
    if pa.types.is_integer(column.type):
        return i
    examples: dict[Any, Any] = {
        pa.string(): f"wörd {i}",
        pa.date32(): date(2021, 8, 1 + i),
        pa.float64(): i / 4,
        pa.bool_(): bool(i % 2),
    }
    return examples[column.type]


def some_rows(spec: TableSpec, n: int = 3) -> list[dict[str, Any]]:
    return [{column.name: some_value(column, i) for column in spec.columns} for i in range(n)]


def columns(spec: TableSpec, n: int = 3) -> dict[str, list[Any]]:
    return rows_to_columns(spec, some_rows(spec, n))


def artifact_with(store: Store, spec: TableSpec, rows: dict[str, list[Any]], part: int = 0) -> Artifact:
    recipe = Recipe("kind", 1, {"table": spec.name, "part": part})
    with store.create(recipe) as draft:
        write_table(draft, spec, rows)
    return store.open(recipe.ref)


class TestRoundTrip:
    @pytest.mark.parametrize("spec", TABLES.values(), ids=lambda spec: spec.name)
    @pytest.mark.parametrize("n", [0, 3])
    def test_every_table(self, tmp_path: Path, spec: TableSpec, n: int) -> None:
        artifact = artifact_with(Store(tmp_path), spec, columns(spec, n))
        assert read_table(artifact, spec) == columns(spec, n)
        schema = pq.read_schema(artifact.file(f"{spec.name}.parquet"))
        assert schema.names == [column.name for column in spec.columns]
        for column, field in zip(spec.columns, schema, strict=True):
            assert (field.type, field.nullable) == (column.type, column.nullable)
            assert field.metadata[b"meaning"].decode() == column.meaning != ""
            assert field.metadata[b"unit"].decode() == column.unit

    def test_tables_are_named_by_themselves(self) -> None:
        assert len(TABLES) == 27 and all(name == spec.name for name, spec in TABLES.items())
        for spec in TABLES.values():
            names = [column.name for column in spec.columns]
            # A reader turns the folders into the columns `campaign` and `date`.
            assert len(set(names)) == len(names) and not {"campaign", "date", spec.partitioned_by} & set(names)

    def test_rows_of_a_date_name_their_fit(self) -> None:
        """Check which tables of a date do: all except those of images alone, and checks, which outlive a fit."""
        for spec in (spec for spec in TABLES.values() if spec.per_date):
            names = {column.name for column in spec.columns}
            # Clusters name the classifier whose maps they were fitted on.
            others = {"observations": None, "rejected": None, "checks": None, "predictions": "classifier"}
            expected = others.get(spec.name, "clusters")
            assert expected in names if expected else not names & {"classifier", "clusters"}, spec.name

    def test_all_but_the_backfill_are_partitioned_by_campaign(self) -> None:
        assert {spec.name: spec.partitioned_by for spec in TABLES.values() if spec.partitioned_by != "campaign"} == {
            "backfill": "backfill"
        }

    @pytest.mark.parametrize("spec", TABLES.values(), ids=lambda spec: spec.name)
    def test_rows_in_any_order_of_keys(self, spec: TableSpec) -> None:
        backwards = [dict(reversed(row.items())) for row in some_rows(spec)]
        assert rows_to_columns(spec, backwards) == columns(spec)


class TestInParts:
    @pytest.mark.parametrize("at_once", [1, 3, 5, 100])
    def test_parts_are_the_whole(self, tmp_path: Path, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(parquet, "ROWS_AT_ONCE", at_once)
        artifact = artifact_with(Store(tmp_path), RELIABILITIES, columns(RELIABILITIES, 5))
        parts = list(iter_table(artifact, RELIABILITIES))
        assert {len(part["row"]) for part in parts[:-1]} <= {at_once}
        whole = {name: [value for part in parts for value in part[name]] for name in parts[0]}
        assert whole == columns(RELIABILITIES, 5)

    def test_some_columns_and_equal_texts_once(self, tmp_path: Path) -> None:
        rows = columns(RELIABILITIES, 3) | {"method": ["gradcam"] * 3}
        (part,) = iter_table(artifact_with(Store(tmp_path), RELIABILITIES, rows), RELIABILITIES, ("method", "row"))
        assert list(part) == ["method", "row"]
        assert part["method"][0] is part["method"][2]

    def test_another_version_is_refused(self, tmp_path: Path) -> None:
        artifact = artifact_with(Store(tmp_path), REJECTED, columns(REJECTED))
        with pytest.raises(ArtifactError, match="version"):
            next(iter_table(artifact, dataclasses.replace(REJECTED, version=9)))


class TestWrittenInParts:
    @pytest.mark.parametrize("n", [0, 1, 7, 14, 20])
    @pytest.mark.parametrize("at_once", [1, 5, 7, 100])
    @pytest.mark.parametrize("spec", [RELIABILITIES, PLANTS, BACKFILL], ids=lambda spec: spec.name)
    def test_the_file_is_that_of_the_whole(
        self, tmp_path: Path, spec: TableSpec, at_once: int, n: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(parquet, "GROUP_ROWS", 7)
        found, store = columns(spec, n), Store(tmp_path)
        whole = artifact_with(store, spec, found)
        by_plant = "plant_id" in found and is_by_plant(found["plant_id"])
        with (
            store.create(Recipe("in-parts", 1, {})) as draft,
            writing_table(draft, spec, by_plant) as write,
        ):
            for start in range(0, n, at_once):
                write({name: values[start : start + at_once] for name, values in found.items()})
        parts = store.open(Recipe("in-parts", 1, {}).ref)
        name = f"{spec.name}.parquet"
        assert local(parts.file(name)).read_bytes() == local(whole.file(name)).read_bytes()

    def test_rows_that_do_not_fit_leave_no_artefact(self, tmp_path: Path) -> None:
        store, recipe = Store(tmp_path), Recipe("in-parts", 1, {})
        with (
            pytest.raises(ValueError, match="got 1 nulls, but may hold none"),
            store.create(recipe) as draft,
            writing_table(draft, REJECTED, by_plant=False) as write,
        ):
            write(columns(REJECTED))
            write({**columns(REJECTED), "plant_id": [None, "a", "b"]})
        assert not store.holds(recipe.ref)

    @pytest.mark.parametrize(
        ("ids", "expected"), [([], True), (["b"], True), (["a", "a", "b"], True), (["b", "a"], False)]
    )
    def test_whether_rows_are_by_plant(self, ids: list[str], expected: bool) -> None:
        assert is_by_plant(ids) is expected


class TestRefusedOnWriting:
    @pytest.mark.parametrize("spec", TABLES.values(), ids=lambda spec: spec.name)
    def test_missing_and_extra_columns(self, spec: TableSpec) -> None:
        good = columns(spec)
        for name in good:
            with pytest.raises(ValueError, match=f"table {spec.name} got columns"):
                to_arrow(spec, {key: value for key, value in good.items() if key != name})
        with pytest.raises(ValueError, match="surprise"):
            to_arrow(spec, {**good, "surprise": [1, 2, 3]})

    @pytest.mark.parametrize("spec", TABLES.values(), ids=lambda spec: spec.name)
    def test_null_only_where_the_schema_says(self, spec: TableSpec) -> None:
        for column in spec.columns:
            holed = {**columns(spec), column.name: [None] * 3}
            if column.nullable:
                assert to_arrow(spec, holed).column(column.name).null_count == 3
            else:
                with pytest.raises(ValueError, match=rf"{spec.name}\.{column.name} got 3 nulls, but may hold none"):
                    to_arrow(spec, holed)

    @pytest.mark.parametrize("spec", TABLES.values(), ids=lambda spec: spec.name)
    def test_wrong_type(self, spec: TableSpec) -> None:
        for column in spec.columns:
            with pytest.raises((ValueError, TypeError)):
                to_arrow(spec, {**columns(spec), column.name: [{"a": 1}] * 3})

    def test_values_that_do_not_fit(self) -> None:
        for name, value in (("predicted", 2**15), ("row", 1.5), ("predicted", "ready"), ("plant_id", 7)):
            with pytest.raises((ValueError, TypeError)):
                to_arrow(PREDICTIONS, {**columns(PREDICTIONS), name: [value] * 3})

    @pytest.mark.parametrize("spec", TABLES.values(), ids=lambda spec: spec.name)
    @pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
    def test_numbers_that_are_none(self, spec: TableSpec, value: float) -> None:
        for column in spec.columns:
            kept = columns(spec)[column.name]
            if pa.types.is_floating(column.type):
                bad = [*kept[:2], value]
            elif pa.types.is_list(column.type) and pa.types.is_floating(column.type.value_type):
                bad = [*kept[:2], [0.5, value]]
            else:
                continue
            with pytest.raises(ValueError, match=rf"{spec.name}\.{column.name} got NaN or infinite values"):
                to_arrow(spec, {**columns(spec), column.name: bad})

    def test_columns_of_different_length(self) -> None:
        with pytest.raises(ValueError, match="length"):
            to_arrow(REJECTED, {**columns(REJECTED), "detail": ["one"]})


class TestRefusedOnReading:
    def save(self, path: Path, spec: TableSpec) -> Path:
        path.write_bytes(table_bytes(spec, to_arrow(spec, columns(spec))))
        return path

    def changed(self, name: str, column: Column | None) -> TableSpec:
        """Return the table of predictions with one column replaced or left out."""
        kept = [column if c.name == name else c for c in PREDICTIONS.columns]
        return dataclasses.replace(PREDICTIONS, columns=tuple(c for c in kept if c is not None))

    def test_another_version(self, tmp_path: Path) -> None:
        path = self.save(tmp_path / "t.parquet", dataclasses.replace(PREDICTIONS, version=2))
        with pytest.raises(ArtifactError, match=r"t\.parquet: table predictions has version 2, this program reads 1"):
            load_table(path, PREDICTIONS)

    def test_assignments_from_before_flat_maps_are_refused(self, tmp_path: Path) -> None:
        old = [Column("is_zero_map", c.type, c.meaning) if c.name == "is_flat_map" else c for c in ASSIGNMENTS.columns]
        path = self.save(tmp_path / "t.parquet", dataclasses.replace(ASSIGNMENTS, columns=tuple(old), version=1))
        with pytest.raises(ArtifactError, match="table assignments has version 1, this program reads 4"):
            load_table(path, ASSIGNMENTS)

    def test_a_table_of_another_program(self, tmp_path: Path) -> None:
        pq.write_table(pa.table({"plant_id": ["a"]}), tmp_path / "t.parquet")
        with pytest.raises(ArtifactError, match="version none"):
            load_table(tmp_path / "t.parquet", PREDICTIONS)

    @pytest.mark.parametrize(
        ("name", "column", "message"),
        [
            ("row", Column("row", pa.int64(), ""), "row is int64, expected int32"),
            ("row", Column("row", pa.int32(), "", nullable=True), r"row is int32 \(nullable\), expected int32"),
            ("row", None, "row is absent, expected int32"),
            ("row", Column("line", pa.int32(), ""), "row is absent, expected int32; line is int32, expected absent"),
            ("label", Column("label", pa.int16(), ""), r"label is int16, expected int16 \(nullable\)"),
        ],
    )
    def test_another_schema_names_the_column(
        self, tmp_path: Path, name: str, column: Column | None, message: str
    ) -> None:
        path = self.save(tmp_path / "t.parquet", self.changed(name, column))
        with pytest.raises(ArtifactError, match=rf"t\.parquet: table predictions has the wrong schema: {message}$"):
            load_table(path, PREDICTIONS)

    def test_a_flipped_byte_in_any_column(self, tmp_path: Path) -> None:
        """Find damage by Parquet's page checksums, without the manifest."""
        path = self.save(tmp_path / "t.parquet", PREDICTIONS)
        whole = path.read_bytes()
        group = pq.ParquetFile(path).metadata.row_group(0)
        for i in range(group.num_columns):
            chunk = group.column(i)
            start = chunk.dictionary_page_offset or chunk.data_page_offset
            position = start + chunk.total_compressed_size - 1  # the last byte of its last page
            path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
            with pytest.raises(ArtifactError, match=r"t\.parquet cannot be read as Parquet: .*(?i:crc|checksum)"):
                load_table(path, PREDICTIONS)

    @pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1 no table PAR1"])
    def test_no_parquet(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "t.parquet").write_bytes(content)
        with pytest.raises(ArtifactError, match=r"t\.parquet cannot be read as Parquet"):
            load_table(tmp_path / "t.parquet", PREDICTIONS)

    def test_truncated(self, tmp_path: Path) -> None:
        path = self.save(tmp_path / "t.parquet", PREDICTIONS)
        path.write_bytes(path.read_bytes()[:-10])
        with pytest.raises(ArtifactError, match=r"t\.parquet cannot be read as Parquet"):
            load_table(path, PREDICTIONS)


class TestEarlierVersions:
    """A table of which a later version has more columns."""

    FIRST = TableSpec("t", "a table", (Column("plant_id", pa.string(), "a plant"), Column("n", pa.int32(), "a count")))
    LATER = dataclasses.replace(
        FIRST, columns=(*FIRST.columns, Column("m", pa.int32(), "more", nullable=True, since=2)), version=2
    )

    def test_what_was_added_is_null(self, tmp_path: Path) -> None:
        artifact = artifact_with(Store(tmp_path), self.FIRST, {"plant_id": ["a", "b"], "n": [1, 2]})
        assert read_table(artifact, self.LATER) == {"plant_id": ["a", "b"], "n": [1, 2], "m": [None, None]}
        (part,) = iter_table(artifact, self.LATER, ("m", "n"))
        assert part == {"n": [1, 2], "m": [None, None]}
        (alone,) = iter_table(artifact, self.LATER, ("m",))
        assert alone == {"m": [None, None]}
        path = local(publish_table(Store(tmp_path), self.LATER, [artifact.ref], "c"))
        assert load_table(path, self.LATER).to_pydict()["m"] == [None, None]
        assert pq.read_schema(path).names == ["plant_id", "n", "m"]

    @pytest.mark.parametrize(
        "changes",
        [
            {"version": 3},  # the second version changed something else
            {"columns": (*LATER.columns[:2], dataclasses.replace(LATER.columns[2], nullable=False))},
            {"columns": (LATER.columns[0], LATER.columns[2])},  # the second version has lost a column
        ],
        ids=["changed", "no null", "fewer"],
    )
    def test_other_changes_are_not_read(self, tmp_path: Path, changes: dict[str, Any]) -> None:
        artifact = artifact_with(Store(tmp_path), self.FIRST, {"plant_id": ["a"], "n": [1]})
        with pytest.raises(ArtifactError, match="table t"):
            read_table(artifact, dataclasses.replace(self.LATER, **changes))

    def test_a_later_version_is_not_read(self, tmp_path: Path) -> None:
        artifact = artifact_with(Store(tmp_path), self.LATER, {"plant_id": ["a"], "n": [1], "m": [2]})
        with pytest.raises(ArtifactError, match="table t has version 2, this program reads 1"):
            read_table(artifact, self.FIRST)


class TestLayoutOfAFile:
    """Check row groups, dictionaries and statistics in the metadata of the files."""

    N = 2 * GROUP_ROWS + 1000

    def rows(self, spec: TableSpec, order: int = 1) -> dict[str, Any]:
        """Return many rows sorted by plant, with distinct numbers and repeated texts."""
        found = {column.name: [some_value(column, 1)] * self.N for column in spec.columns}
        plants = [f"2021_Ref_Plot{1 + i // 10_000}_{i % 10_000:04d}" for i in range(self.N)]
        return found | {"plant_id": plants[::order], "reliability": np.random.default_rng(0).random(self.N)}

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        """Return a published file of the table `adjusted`."""
        store = Store(tmp_path)
        rows = artifact_with(store, ADJUSTED, self.rows(ADJUSTED)).ref
        return local(publish_table(store, ADJUSTED, [rows], "c", DAYS[0]))

    def test_row_groups_of_some_thousand_rows(self, path: Path) -> None:
        found = pq.read_metadata(path)
        assert [found.row_group(i).num_rows for i in range(found.num_row_groups)] == [GROUP_ROWS, GROUP_ROWS, 1000]

    def test_texts_are_in_dictionaries_and_numbers_are_not(self, path: Path) -> None:
        group, schema = pq.read_metadata(path).row_group(0), pq.read_schema(path)
        for i, field in enumerate(schema):
            column = group.column(i)
            assert column.has_dictionary_page == pa.types.is_string(field.type), field.name
            assert ("RLE_DICTIONARY" in column.encodings) == pa.types.is_string(field.type), field.name

    def test_a_digest_is_stored_once_a_row_group(self, path: Path) -> None:
        group, names = pq.read_metadata(path).row_group(0), pq.read_schema(path).names
        assert group.column(names.index("classifier")).total_uncompressed_size < 200

    def test_statistics_and_a_page_index_of_every_column(self, path: Path) -> None:
        found = pq.read_metadata(path)
        for i in range(found.num_row_groups):
            for j in range(found.num_columns):
                column = found.row_group(i).column(j)
                assert column.is_stats_set and column.statistics.has_min_max and column.statistics.null_count == 0
                assert column.has_column_index and column.has_offset_index

    def test_a_reader_of_one_plant_opens_one_row_group(self, path: Path) -> None:
        (fragment,) = ds.dataset(path, format="parquet").get_fragments()
        kept = fragment.split_by_row_group(filter=ds.field("plant_id") == "2021_Ref_Plot2_7000")
        assert [group.row_groups[0].id for group in kept] == [1]

    def test_files_say_that_rows_are_by_plant_only_where_they_are(self, tmp_path: Path) -> None:
        forth, back = (to_arrow(ADJUSTED, self.rows(ADJUSTED, order)) for order in (1, -1))
        for table, index in ((forth, 0), (back, None), (pa.concat_tables([forth, forth]), None)):
            (tmp_path / "t.parquet").write_bytes(table_bytes(ADJUSTED, table))
            found = pq.read_metadata(tmp_path / "t.parquet").row_group(0).sorting_columns
            assert [column.column_index for column in found] == ([] if index is None else [index])
            assert load_table(tmp_path / "t.parquet", ADJUSTED) == table  # in the order of writing


class TestPublishedForAnyReader:
    """Check what DuckDB and pyarrow read from the folders, without this project."""

    @pytest.fixture
    def tables(self, tmp_path: Path) -> Path:
        store = Store(tmp_path)

        def publish(spec: TableSpec, part: int, campaign: str, day: date | None) -> None:
            ref: ArtifactRef = artifact_with(store, spec, columns(spec), part).ref
            publish_table(store, spec, [ref], campaign, day)

        for i, day in enumerate(DAYS):
            publish(PREDICTIONS, i, "field2", day)
        publish(PREDICTIONS, 0, "field1", DAYS[0])
        publish(PLANTS, 0, "field2", None)
        return tmp_path / "tables"

    def test_duckdb(self, tables: Path) -> None:
        with duckdb.connect() as database:
            files = f"read_parquet('{tables}/predictions/**/*.parquet', hive_partitioning = true)"
            counted = database.sql(
                f"select campaign, date, count(*), sum(probabilities[2]) from {files} group by all order by all"
            ).fetchall()
            described = {row[0]: row[1] for row in database.sql(f"describe select * from {files}").fetchall()}
            plants = f"read_parquet('{tables}/plants/*/*.parquet', hive_partitioning = true)"
            assert database.sql(f"select distinct campaign from {plants}").fetchall() == [("field2",)]
        assert counted == [("field1", DAYS[0], 3, 1.5), ("field2", DAYS[0], 3, 1.5), ("field2", DAYS[1], 3, 1.5)]
        names = [column.name for column in PREDICTIONS.columns]
        assert list(described) == [*names, "campaign", "date"]
        assert (described["campaign"], described["date"], described["row"]) == ("VARCHAR", "DATE", "INTEGER")

    def test_pyarrow_dataset(self, tables: Path) -> None:
        found = ds.dataset(tables / "predictions", format="parquet", partitioning="hive")
        rows = found.to_table(filter=(ds.field("campaign") == "field2")).to_pylist()
        assert sorted({(row["campaign"], str(row["date"])) for row in rows}) == [("field2", str(day)) for day in DAYS]
        keys = ("campaign", "date")
        expected = some_rows(PREDICTIONS)
        assert [{k: v for k, v in row.items() if k not in keys} for row in rows] == [*expected, *expected]

    def test_a_backfill_has_its_own_partition(self, tmp_path: Path) -> None:
        store = Store(tmp_path)
        ref = artifact_with(store, BACKFILL, columns(BACKFILL)).ref
        path = publish_table(store, BACKFILL, [ref], "all-fields")
        assert path == store.root / "tables/backfill/backfill=all-fields/part-0.parquet"
        with duckdb.connect() as database:
            files = f"read_parquet('{store.root}/tables/backfill/**/*.parquet', hive_partitioning=true)"
            found = database.sql(f"select backfill, count(*), count(fit) from {files} group by all").fetchall()
        assert found == [("all-fields", 3, 2)]
