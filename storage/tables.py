"""Parquet tables: one schema each, with the meaning and unit of every column, checked on writing and on reading.

Campaign and acquisition date are not columns of the files: they are the folders a table is published under
(`tables/<table>/campaign=<id>/date=<YYYY-MM-DD>/part-0.parquet`), which every Parquet reader turns into columns.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from storage.artifacts import Artifact, Draft
from storage.errors import ArtifactError

VERSION_KEY = b"harvest_reliability.version"
TABLE_KEY = b"harvest_reliability.table"

Rows = dict[str, list[Any]]


@dataclass(frozen=True)
class Column:
    """One column: its Arrow type, unit and meaning."""

    name: str
    type: pa.DataType
    meaning: str
    unit: str = ""
    nullable: bool = False


@dataclass(frozen=True)
class TableSpec:
    """One table. Raise `version` when a column changes its name, type or meaning."""

    name: str
    meaning: str
    columns: tuple[Column, ...]
    per_date: bool = True
    version: int = 1

    @property
    def schema(self) -> pa.Schema:
        """Arrow schema with meanings and units in its metadata."""
        fields = [
            pa.field(c.name, c.type, c.nullable, {b"meaning": c.meaning.encode(), b"unit": c.unit.encode()})
            for c in self.columns
        ]
        return pa.schema(fields, {TABLE_KEY: self.name.encode(), VERSION_KEY: str(self.version).encode()})


TEXT, DAY, WHOLE, SHARE = pa.string(), pa.date32(), pa.int32(), pa.float64()
CLASS = pa.int16()

PLANT = Column("plant_id", TEXT, "the release's own id of the plant")
SPLIT = Column("split", TEXT, "train, val, test, or new for plants that no split knows")
ROW = Column("row", WHOLE, "position of the image in the date's images array", "from 0")
LABEL = Column("label", CLASS, "true class; null where nothing is known", "class index", nullable=True)
METHOD = Column("method", TEXT, "saliency method: gradcam, occlusion, occlusion_preview (approximate) or lime")
EXPLAINED = Column(
    "explained_class", TEXT, "class the maps explain; `label` uses ground truth: not valid for unseen data"
)
CLUSTER = Column("cluster", CLASS, "cluster of the saliency map, 1 is the largest")
ERROR_SHARE = Column("error_share", SHARE, "share of wrong classifications in the validation cluster", "0..1")
ERROR_LOWER = Column("error_share_lower", SHARE, "lower end of its Wilson interval", "0..1")
ERROR_UPPER = Column("error_share_upper", SHARE, "upper end of its Wilson interval", "0..1")
RELIABILITY = Column("reliability", SHARE, "1 - error_share", "0..1")
PREDICTED = Column("predicted", CLASS, "class the classifier answers", "class index")
CLASSIFIER = Column("classifier", TEXT, "digest of the classifier artefact")
CLUSTERS = Column("clusters", TEXT, "digest of the clusters artefact")
MADE_BY = (EXPLAINED, CLASSIFIER, CLUSTERS)  # what a number about clusters rests on

PLANTS = TableSpec(
    "plants",
    "every plant of the campaign's dates",
    (
        PLANT,
        SPLIT,
        Column("split_source", TEXT, "where the split was read"),
        Column("easting", SHARE, "position in the source's own projection", "m", nullable=True),
        Column("northing", SHARE, "position in the source's own projection", "m", nullable=True),
        Column("harvest_after", DAY, "last day known to be before the harvest", nullable=True),
        Column("harvest_by", DAY, "first day known to be on or after the harvest; null: none known", nullable=True),
        Column("n_observations", WHOLE, "images that went on, over all dates"),
    ),
    per_date=False,
)
OBSERVATIONS = TableSpec(
    "observations",
    "every image that went on, one a plant and date",
    (
        PLANT,
        SPLIT,
        LABEL,
        ROW,
        Column("path", TEXT, "file, relative to the source"),
        Column("sha256", TEXT, "checksum of the file's content"),
        Column("height", WHOLE, "of the file, before resizing", "pixel"),
        Column("width", WHOLE, "of the file, before resizing", "pixel"),
        Column("flags", TEXT, "remarks that do not exclude, separated by spaces"),
    ),
)
REJECTED = TableSpec(
    "rejected",
    "every plant-date that was left out, and why",
    (
        PLANT,
        Column("path", TEXT, "file, relative to the source; empty where there is none"),
        Column("reason", TEXT, "one word: harvested, ambiguous, unreadable, duplicate, ..."),
        Column("detail", TEXT, "what was found"),
    ),
)
AUGMENTATION = TableSpec(
    "augmentation",
    "one row per training sample",
    (
        Column("acquired", DAY, "acquisition date of the image"),
        PLANT,
        ROW,
        Column("label", CLASS, "true class", "class index"),
        Column("symmetry", CLASS, "element of the square's symmetry group: quarter turns + 4 x flip", "0..7"),
        Column("photometric_seed", pa.int64(), "seed of the brightness and contrast change; null: none", nullable=True),
    ),
    per_date=False,
)
EPOCHS = TableSpec(
    "epochs",
    "training, one row an epoch",
    (
        Column("epoch", WHOLE, "from 1"),
        Column("learning_rate", SHARE, "of this epoch"),
        Column("train_loss", SHARE, "mean cross-entropy over the augmented samples, while training", "nat"),
        Column("train_accuracy", SHARE, "over the augmented samples, while training", "0..1"),
        Column("val_loss", SHARE, "mean cross-entropy on validation; null without labels", "nat", nullable=True),
        Column("val_accuracy", SHARE, "on validation; null without labels", "0..1", nullable=True),
    ),
    per_date=False,
)
PREDICTIONS = TableSpec(
    "predictions",
    "the classifier's answer for every image",
    (
        PLANT,
        SPLIT,
        LABEL,
        ROW,
        PREDICTED,
        Column("probabilities", pa.list_(pa.float32()), "softmax of every class, in class order", "0..1"),
        CLASSIFIER,
    ),
)
ASSIGNMENTS = TableSpec(
    "assignments",
    "the cluster of every explained image",
    (
        PLANT,
        SPLIT,
        ROW,
        METHOD,
        CLUSTER,
        Column("neighbour_agreement", SHARE, "share of the k nearest validation maps in this cluster", "0..1"),
        Column(
            "is_flat_map",
            pa.bool_(),
            "the map is the same everywhere, mostly zero: it says nothing about where the evidence lies",
        ),
        *MADE_BY,
    ),
    version=2,
)
CLUSTER_SCORES = TableSpec(
    "clusters",
    "every cluster of validation maps and how often the classifier is wrong there",
    (
        METHOD,
        CLUSTER,
        Column("n", WHOLE, "validation images"),
        Column("n_wrong", WHOLE, "of them classified wrongly"),
        *(
            Column(name, WHOLE, meaning + " (class 1 positive); null with more than two classes", nullable=True)
            for name, meaning in (
                ("tp", "true positives"),
                ("tn", "true negatives"),
                ("fp", "false positives"),
                ("fn", "false negatives"),
            )
        ),
        ERROR_SHARE,
        ERROR_LOWER,
        ERROR_UPPER,
        RELIABILITY,
        *MADE_BY,
    ),
    per_date=False,
)
RELIABILITIES = TableSpec(
    "reliability",
    "what every explained image inherits from its cluster",
    (
        PLANT,
        SPLIT,
        ROW,
        METHOD,
        CLUSTER,
        ERROR_SHARE,
        ERROR_LOWER,
        ERROR_UPPER,
        RELIABILITY,
        Column("neighbour_agreement", SHARE, "share of the k nearest validation maps in this cluster", "0..1"),
        *MADE_BY,
    ),
)
ADJUSTED = TableSpec(
    "adjusted",
    "the answer after adjustment",
    (
        PLANT,
        SPLIT,
        LABEL,
        METHOD,
        CLUSTER,
        PREDICTED,
        Column("adjusted", CLASS, "class after swapping where the cluster is mostly wrong", "class index"),
        Column("is_swapped", pa.bool_(), "adjusted differs from predicted"),
        RELIABILITY,
        *MADE_BY,
    ),
)
METRICS = TableSpec(
    "metrics",
    "accuracy before and after adjustment per split",
    (
        METHOD,
        SPLIT,
        Column("state", TEXT, "before or after adjustment"),
        Column("n", WHOLE, "labelled images"),
        Column("n_correct", WHOLE, "of them classified correctly"),
        Column("overall_accuracy", SHARE, "n_correct / n", "0..1"),
        Column("average_class_accuracy", SHARE, "mean recall of the classes present", "0..1"),
        Column("confusion", pa.list_(pa.int64()), "counts by (true, predicted) class, true class first"),
        Column("is_in_sample", pa.bool_(), "the clusters were scored on these images: flatters the state `after`"),
        *MADE_BY,
    ),
    per_date=False,
)

TABLES: dict[str, TableSpec] = {
    spec.name: spec
    for spec in (
        PLANTS,
        OBSERVATIONS,
        REJECTED,
        AUGMENTATION,
        EPOCHS,
        PREDICTIONS,
        ASSIGNMENTS,
        CLUSTER_SCORES,
        RELIABILITIES,
        ADJUSTED,
        METRICS,
    )
}


def rows_to_columns(spec: TableSpec, rows: Sequence[Mapping[str, Any]]) -> Rows:
    """Turn row dictionaries into columns in the schema's order."""
    return {column.name: [row[column.name] for row in rows] for column in spec.columns}


def write_table(draft: Draft, spec: TableSpec, columns: Mapping[str, Any]) -> None:
    """Write a table into a draft as `<name>.parquet`, with page checksums.

    Raises
    ------
    ValueError : missing or extra columns, a value of another type, a null where none may be.
    """
    draft.write_bytes(f"{spec.name}.parquet", table_bytes(spec, to_arrow(spec, columns)))


def to_arrow(spec: TableSpec, columns: Mapping[str, Any]) -> pa.Table:
    """Columns as an Arrow table of exactly this schema (see `write_table` for what is refused)."""
    names = [column.name for column in spec.columns]
    if sorted(columns) != sorted(names):
        raise ValueError(f"table {spec.name} has columns {names}, got {list(columns)}")
    arrays = [pa.array(columns[c.name], c.type) for c in spec.columns]
    for column, array in zip(spec.columns, arrays, strict=True):
        # Arrow cuts off the fraction of Python's floats without a word.
        if pa.types.is_integer(column.type) and not all(isinstance(v, Integral | None) for v in columns[column.name]):
            raise ValueError(f"column {spec.name}.{column.name} holds whole numbers, got others")
        if array.null_count and not column.nullable:
            raise ValueError(f"column {spec.name}.{column.name} may hold no null, got {array.null_count}")
    return pa.Table.from_arrays(arrays, schema=spec.schema)


def table_bytes(spec: TableSpec, table: pa.Table) -> bytes:
    """An Arrow table of this schema as the content of a Parquet file."""
    sink = pa.BufferOutputStream()
    pq.write_table(table.cast(spec.schema), sink, compression="zstd", write_page_checksum=True)
    return sink.getvalue().to_pybytes()


def read_table(artifact: Artifact, spec: TableSpec) -> Rows:
    """Read a table of an artefact as columns of Python values."""
    return load_table(artifact.file(f"{spec.name}.parquet"), spec).to_pydict()


def load_table(path: Path, spec: TableSpec) -> pa.Table:
    """Read a Parquet file that must have this schema and version.

    Raises
    ------
    ArtifactError : it cannot be read, or has another schema or version.
    """
    try:
        # ParquetFile, not a data set: a data set would add the columns `campaign` and `date` of the folders.
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            problem = schema_problem(file.schema_arrow, spec)
            if problem:
                raise ArtifactError(f"{path}: {problem}")
            return file.read()
    except (pa.ArrowException, OSError) as error:
        raise ArtifactError(f"{path} cannot be read as Parquet: {error}") from error


def schema_problem(found: pa.Schema, spec: TableSpec) -> str:
    """What distinguishes a schema from a table's; empty when nothing does."""
    metadata = found.metadata or {}
    version = metadata.get(VERSION_KEY, b"").decode()
    if version != str(spec.version):
        return f"table {spec.name} has version {version or 'none'}, this program reads {spec.version}"
    expected = {c.name: (c.type, c.nullable) for c in spec.columns}
    actual = {f.name: (f.type, f.nullable) for f in found}
    wrong = [
        f"{name} is {_describe(actual.get(name))}, expected {_describe(expected.get(name))}"
        for name in [*expected, *(n for n in actual if n not in expected)]
        if actual.get(name) != expected.get(name)
    ]
    return f"table {spec.name} has the wrong schema: " + "; ".join(wrong) if wrong else ""


def _describe(column: tuple[pa.DataType, bool] | None) -> str:
    return "absent" if column is None else f"{column[0]}{' (nullable)' if column[1] else ''}"
