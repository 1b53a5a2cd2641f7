"""Write a small invented campaign to a store, and read the report's page, for tests of the report."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.arrays.specs import IMAGES, PEAK, ROWS, SALIENCY
from storage.arrays.zarr_files import write_array, write_group
from storage.artifacts import ArtifactRef, Draft, Recipe, Store
from storage.records.campaigns import CampaignRecord
from storage.tables import (
    ADJUSTED,
    ASSIGNMENTS,
    CALIBRATION,
    CLUSTER_MATCHES,
    CLUSTER_SCORES,
    CROSSFIT,
    DECIDED,
    DRIFT,
    EPOCHS,
    EVALUATION,
    METRICS,
    OBSERVATIONS,
    PLANTS,
    PREDICTIONS,
    PROMISES,
    READY_COUNTS,
    REJECTED,
    RELIABILITIES,
    SENSITIVITY,
    SWAPS,
)
from storage.tables.parquet import TableSpec, rows_to_columns, write_table
from storage.tables.rows import rows_of
from tasks.report.report import write_report
from tasks.score.rating import INHERITED
from tasks.statistics.detection import brier, calibration, calibration_error, detect
from tests.support.report_axes import maps_of, write_axes
from tests.support.report_decisions import TOLERATED, calibration_rows, decide_row, promise_rows, ready_rows

DAYS = ("2021-08-23", "2021-09-03")
ENDS = (("lower", 0.9), ("upper", 1.1))
GAINS = (("lower", -0.0765), ("upper", 0.0543))  # interval of any score's AUROC minus that of the cluster score
SCORES = (
    "reliability",
    "nearest_map_reliability",
    "softmax",
    "calibrated_softmax",
    "feature_reliability",
    "trust_score",
    "combined_reliability",
)
SHEET: list[dict[str, Any]] = [
    {
        "affinity": affinity,
        "scale": scale,
        "n_clusters": 8,
        "neighbours": 5,
        "threshold": 0.75,
        "is_used": is_used,
        **dict(zip(("largest", "n_splinters", "stability", "n_swapped", "accuracy", "auroc"), found, strict=True)),
        "problem": problem,
    }
    for affinity, scale, is_used, found, problem in (
        ("median", 0.5, True, (12, 1, 0.52, 1, 0.7123, 0.6123), ""),
        ("gamma", 0.2, False, (30, 4, 0.31, 0, 0.6456, None), ""),
        ("sigma", 1e-05, False, (None,) * 6, "every affinity is zero & nothing is near"),
    )
]
MOST_DRAWN = 500  # images that are drawn for a date; with more plants, they are repeated
HOSTILE = "<script>alert('x')</script>&$\\frac{1}{0}$"


@dataclass
class FakeCampaign:
    """A store as a campaign leaves it, small and made up.

    Cluster 1 is mostly right, cluster 2 always wrong (so it is swapped), cluster 3 in between.
    """

    root: Path
    classes: tuple[str, ...] = ("not_ready", "ready")
    explained_class: str = "predicted"
    methods: tuple[str, ...] = ("gradcam",)
    has_test_labels: bool = True
    has_labels: bool = True  # of validation and test plants
    has_unseen: bool = True
    has_earlier: bool = False
    outside: tuple[str, ...] = ()  # dates
    is_trained: bool = True
    has_examples: bool = True
    first_plant: str = "2021_Ref_Plot1_A01"
    notes: tuple[str, ...] = ("a note & more",)
    n_plants: int = 48
    n_plots: int = 1  # plots of equal size, one behind the other
    size: int = 32
    campaign: str = "field2-2021"
    error_rates: tuple[float, ...] = (0.1, 1.0, 0.5)
    has_intervals: bool = True
    has_places: bool = False
    scored_days: tuple[str, ...] = ()  # dates scored later: no labels, no training
    n_scored: int = 0  # plants on each of them; 0: as on the others
    has_scored_clusters: bool = False  # whether their maps have clusters, by every method
    map_noise: float = 0.0  # standard deviation of what tells maps of a cluster apart
    is_promised: bool = True  # whether validation plants certify some answers
    promise: str = "together"
    reviewed: tuple[int, ...] = ()  # clusters of which a person said that no answer should be acted on
    flat: dict[str, float] = field(default_factory=dict[str, float])
    roles: dict[str, ArtifactRef] = field(default_factory=dict[str, ArtifactRef])
    scored: dict[str, ArtifactRef] = field(default_factory=dict[str, ArtifactRef])

    def __post_init__(self) -> None:
        self.store = Store(self.root)
        self.marks = {"explained_class": self.explained_class, "classifier": "c" * 24, "clusters": "k" * 24}
        self._write_classifier()
        days = [self._images(seed, day, self.n_plants) for seed, day in enumerate(DAYS)]
        self._write_plants(days)
        for day, rows in zip(DAYS, days, strict=True):
            self._predict(day, rows)
        for method in self.methods:
            self._analyse(method, [[{**row, "cluster": self.cluster_of(method, row)} for row in day] for day in days])
        for seed, day in enumerate(self.scored_days, start=len(DAYS)):
            self._score_later(seed, day)
        self.params: dict[str, Any] = {
            "campaign": self.campaign,
            "source": {"kind": "folder", "root": "/data"},
            "dates": list(DAYS),
            "export": {"crs": "EPSG:25832"},
            "explain": {"explained_class": self.explained_class, "methods": list(self.methods)},
            "ingest": {"image_size": self.size, "window_days": 3},
            "cluster": {"affinity": "sigma", "scale": 0.2},
            "adjust": {"threshold": 0.75},
            "score": {"confidence": 0.95},
            "decide": {"tolerated_error": TOLERATED, "promise": self.promise, "least_novelty": 0.02},
        }
        self.differing: dict[str, Any] = {"ingest.image_size": self.size, "cluster.affinity": "gamma"}

    def report(self) -> ArtifactRef:
        return write_report.fn(str(self.root), self.campaign, self.params, self.differing, self.roles, self.scored, [])

    def page(self) -> str:
        """Return the page for the reviewer."""
        return self.store.open(self.report()).read_bytes("analysis.html").decode()

    def field_page(self) -> str:
        """Return the page for the field."""
        return self.store.open(self.report()).read_bytes("index.html").decode()

    def record(self) -> CampaignRecord:
        artifacts, report = {**self.roles, "report": self.report()}, "reports/field2-2021/index.html"
        return CampaignRecord(campaign=self.campaign, params=self.params, artifacts=artifacts, report=report)

    def make(self, role: str, kind: str, write: Any, summary: dict[str, Any], **params: Any) -> None:
        recipe = Recipe(kind, 1, {"role": role, "test": True, **params})
        with self.store.create(recipe, {"python": "3.11", "numpy": "2.0"}) as draft:
            write(draft)
            draft.summary = summary
        self.roles[role] = recipe.ref

    def cluster_of(self, method: str, row: dict[str, Any]) -> int:
        """Return the cluster of a row: by error rate for Grad-CAM; other methods mix right and wrong answers."""
        return row["cluster"] if method == "gradcam" else 1 + row["row"] // 9 % len(self.error_rates)

    def _write_classifier(self) -> None:
        def write(draft: Draft) -> None:
            draft.write_json("card.json", {"architecture": "resnet18", "classes": list(self.classes), "n_samples": 12})
            if self.is_trained:
                losses = [(1, 0.9, 0.5, 0.8, 0.55), (2, 0.6, 0.7, 0.7, 0.65), (3, 0.4, 0.8, None, None)]
                names = ("epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy")
                rows = [{**dict(zip(names, values, strict=True)), "learning_rate": 1e-4} for values in losses]
                write_table(draft, EPOCHS, rows_to_columns(EPOCHS, rows))

        self.make("classifier", "classifier", write, {})

    def _images(self, seed: int, day: str, n_plants: int) -> list[dict[str, Any]]:
        """Make the plants of a date, with all values that later tables need."""
        random, n = np.random.default_rng(seed), len(self.classes)
        rows: list[dict[str, Any]] = []
        for i in range(n_plants):
            split, cluster = (
                ("train", "val", "test" if self.has_unseen else "val")[i % 3],
                1 + (i // 3) % len(self.error_rates),
            )
            label = int(random.integers(n))
            is_wrong = random.random() < self.error_rates[cluster - 1]
            rows.append(
                {
                    "plant_id": self.first_plant
                    if i == 1
                    else f"2021_Ref_Plot{1 + i * self.n_plots // n_plants}_B{i:02d}",
                    "split": split,
                    "row": i,
                    "true": label,
                    "label": label if self._is_known(split) else None,
                    "predicted": (label + is_wrong) % n,
                    "cluster": cluster,
                }
            )
        drawn = self.draw(random, min(n_plants, MOST_DRAWN))
        pixels = drawn[np.arange(n_plants) % MOST_DRAWN]

        def write(draft: Draft) -> None:
            write_array(draft, IMAGES, pixels)
            write_group(draft, [row["plant_id"] for row in rows], {"date": day})
            fixed = {"path": "p.png", "sha256": "0", "height": 32, "width": 32}
            remarks = [{**row, **fixed, "flags": "known_blurry" if row["row"] == 3 else ""} for row in rows]
            write_table(draft, OBSERVATIONS, rows_to_columns(OBSERVATIONS, remarks))
            reasons = ("harvested", "harvested", "strange_reason")
            left_out = [{"plant_id": f"Z{i}", "path": "", "reason": r, "detail": ""} for i, r in enumerate(reasons)]
            write_table(draft, REJECTED, rows_to_columns(REJECTED, left_out))

            entries = [{**row, **self.place(row["row"])} for row in rows]
            draft.write_json("listing.json", {"date": day, "images": entries})

        self.make(f"images {day}", "images", write, {"date": day, "classes": list(self.classes)})
        return rows

    def place(self, row: int) -> dict[str, float | None]:
        """Return the position of a plant: rows of a hundred, half a metre apart; every fiftieth has none."""
        if not self.has_places or row % 50 == 49:
            return {"easting": None, "northing": None}
        return {"easting": 365_000 + 0.5 * (row % 100), "northing": 5_609_000 + 0.5 * (row // 100)}

    def _is_known(self, split: str) -> bool:
        return split == "train" or (self.has_labels and (split == "val" or self.has_test_labels))

    def draw(self, random: np.random.Generator, n: int) -> NDArray[np.integer]:
        """Draw n images of greenish noise."""
        return random.integers(60, 120, (n, self.size, self.size, 3)) + np.asarray([0, 60, 0])

    def _write_plants(self, days: list[list[dict[str, Any]]]) -> None:
        fixed = {"split_source": "utm", "n_observations": 2, "harvest_after": None, "harvest_by": None}
        rows = [{"plant_id": r["plant_id"], "split": r["split"], **fixed, **self.place(r["row"])} for r in days[0]]
        paper = {"train": {"paper": 541, "found": 32, "difference": -509}}
        self.make(
            "plants",
            "plants",
            lambda draft: write_table(draft, PLANTS, rows_to_columns(PLANTS, rows)),  # pyright: ignore
            {"classes": list(self.classes), "dates": list(DAYS), "paper": paper, "rejected": {"harvested": 4}},
        )
        self.make("survey", "survey", lambda draft: draft.write_json("survey.json", {"notes": list(self.notes)}), {})

    def _analyse(self, method: str, days: list[list[dict[str, Any]]]) -> None:
        marks = {"method": method, **self.marks}
        explained: list[dict[str, Any]] = [
            {**row, **marks, "acquired": date.fromisoformat(day)}
            for day, rows in zip(DAYS, days, strict=True)
            for row in rows
            if row["split"] != "train"
        ]
        scores = [{**marks, **self._score(explained, c)} for c in range(1, len(self.error_rates) + 1)]
        rated = [self._rate(row, scores[row["cluster"] - 1]) for row in explained]
        crossfit = [{**row, "fold": 1 + row["row"] % 5} for row in rated if row["split"] == "val"]
        crossfit = [row for row in crossfit if row["label"] is not None]
        self._table(f"scores {method}", CLUSTER_SCORES, scores)
        decided = [{**row, **self._decide(row)} for row in scores]
        self._table(f"swaps {method}", SWAPS, decided, {"warnings": ["cluster <3> is small"]})
        left_out = {"warnings": ["in 1 of 5 folds <nothing> was clustered"]}
        self._table(f"crossfit {method}", CROSSFIT, crossfit, left_out)
        self._table(f"sensitivity {method}", SENSITIVITY, [{**marks, **row} for row in SHEET])
        promises = promise_rows(len(crossfit), self.classes, self.is_promised, self.promise)
        self._table(f"promises {method}", PROMISES, [{**marks, **row} for row in promises])
        compared = calibration_rows(rated, self.classes)
        self._table(f"calibration {method}", CALIBRATION, [{**marks, **row} for row in compared])
        self._table(f"metrics {method}", METRICS, [{**marks, **row} for row in self._metrics(rated, crossfit)])
        self._table(f"evaluation {method}", EVALUATION, [{**marks, **row} for row in self._evaluate(rated, crossfit)])
        if self.has_earlier:
            pairs = [(1, 2, 0.98), (2, None, None), (3, 1, 0.71)]
            names = ("cluster", "earlier_cluster", "likeness")
            rows = [{**marks, **dict(zip(names, pair, strict=True)), "earlier": "e" * 24} for pair in pairs]
            self._table(f"matches {method}", CLUSTER_MATCHES, rows)
        for day in DAYS:
            of_day = [row for row in rated if row["acquired"].isoformat() == day]
            self._analyse_day(method, day, of_day)
        self._fit(method, scores)

    def _score_later(self, seed: int, day: str) -> None:
        """Write a date that was scored later; every method gets the same rows."""
        found = self._images(seed, day, self.n_scored or self.n_plants)
        fixed = {"split": "new", "label": None, "acquired": date.fromisoformat(day)}
        rows: list[dict[str, Any]] = [{**row, **fixed} for row in found]
        for method in self.methods:
            marks: dict[str, Any] = {"method": method, **self.marks}
            scores = rows_of(self.store.open(self.roles[f"scores {method}"]), CLUSTER_SCORES)
            rated = [{**self._rate(row, scores[row["cluster"] - 1]), **marks} for row in rows]
            (self._analyse_day if self.has_scored_clusters else self._judge_day)(method, day, rated)
        if not self.has_scored_clusters:
            self._explain(self.methods[0], day, rows)  # the page for the field reads those of the first method alone
        self.scored |= {role: self.roles.pop(role) for role in list(self.roles) if role.endswith(day)}

    def _score(self, explained: list[dict[str, Any]], cluster: int) -> dict[str, Any]:
        """Return a row of the table `clusters`; without labels, as if two validation images were both right."""
        members = [row for row in explained if row["split"] == "val" and row["cluster"] == cluster]
        known = [row for row in members if row["label"] is not None] or [{"label": 1, "predicted": 1}] * 2
        kinds = Counter((row["label"], row["predicted"]) for row in known)
        n_wrong = sum(row["label"] != row["predicted"] for row in known)
        share = n_wrong / len(known)
        pairs = {"tp": (1, 1), "tn": (0, 0), "fp": (0, 1), "fn": (1, 0)}
        return {
            "cluster": cluster,
            "n": len(known),
            "n_plants": len({row["plant_id"] for row in members}) or len(known),
            "n_effective": float(len(known)),
            "n_wrong": n_wrong,
            **{name: kinds[pair] if len(self.classes) == 2 else None for name, pair in pairs.items()},
            "error_share": share,
            "error_share_lower": max(0.0, share - 0.123),
            "error_share_upper": min(1.0, share + 0.234),
            "reliability": 1 - share,
            "p_value": 0.01 + cluster / 100,
        }

    def _decide(self, score: dict[str, Any]) -> dict[str, Any]:
        """Decide by another threshold than the parameters', because the page must take decisions from the table."""
        is_swapped = len(self.classes) == 2 and score["error_share"] > 0.9
        reason = "more than <nine> in ten" if is_swapped else "too few wrong"
        p = {"p_holm": 0.03 + score["cluster"] / 100}
        by_rule = {"rule": "confident", "is_proposed": is_swapped}
        if score["cluster"] in self.reviewed:
            decision = {"decision": "abstain", "decided_by": "person", "reviewer": HOSTILE}
            return {**p, **by_rule, **decision, "is_swapped": False, "reason": f"why {HOSTILE}"}
        decision = {"decision": "swap" if is_swapped else "keep", "decided_by": "rule", "reviewer": None}
        return {**p, **by_rule, **decision, "is_swapped": is_swapped, "reason": reason}

    def _rate(self, row: dict[str, Any], score: dict[str, Any]) -> dict[str, Any]:
        """Return an explained image with every column of the tables made for each image from `reliability` on."""
        is_swapped = self._decide(score)["is_swapped"]
        # Most scores use the true label, with different weights, so that their order is known.
        hint = 1.0 if row["true"] == row["predicted"] else 0.0
        noise = (row["row"] * 37 % 48) / 48
        rated = {
            **row,
            **{name: score[theirs] for name, theirs in INHERITED.items()},
            "neighbour_agreement": 0.8,
            "novelty": noise,
            "nearest_map_reliability": 0.5 * hint + 0.5 * noise,
            "softmax": 1 - noise,
            "calibrated_softmax": 0.1 * hint + 0.9 * noise,
            "feature_reliability": 0.7 * hint + 0.3 * noise,
            "trust_score": 3 * noise,
            "combined_reliability": 0.4 * hint + 0.6 * noise,
            "is_swapped": is_swapped,
            "adjusted": 1 - row["predicted"] if is_swapped else row["predicted"],
        }
        is_outside = row["acquired"].isoformat() in self.outside and row["split"] in ("test", "new")
        is_doubted = row["cluster"] in self.reviewed
        return rated | decide_row(rated, self.classes, self.is_promised, is_doubted, is_outside)

    def _metrics(self, rated: list[dict[str, Any]], crossfit: list[dict[str, Any]]) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        for split in ("val", "test"):
            known = [row for row in rated if row["split"] == split and row["label"] is not None]
            states = [("before", known, "predicted"), ("after", known, "adjusted")]
            crossfitted = "cross-fitted rule" if self.reviewed else "cross-fitted"
            states += [(crossfitted, crossfit[:-1], "adjusted")] if split == "val" else []
            states += [("decided", known[: max(1, len(known) - 2)], "answer")]
            for state, of_state, column in states if known else []:
                rows.append({"split": split, "state": state, **self._metric(of_state, column)})
                rows[-1]["is_in_sample"] = (split, state) == ("val", "after")
        return rows

    def _metric(self, rows: list[dict[str, Any]], column: str) -> dict[str, Any]:
        confusion = np.zeros((len(self.classes), len(self.classes)), np.int64)
        for row in rows:
            confusion[row["label"], row[column]] += 1
        recalls = [confusion[c, c] / confusion[c].sum() for c in range(len(self.classes)) if confusion[c].any()]
        shares = {"overall_accuracy": np.trace(confusion) / len(rows), "average_class_accuracy": np.mean(recalls)}
        ends = {f"{name}_{end}": min(1.0, float(share) * f) for name, share in shares.items() for end, f in ENDS}
        changed = [row for row in rows if row[column] != row["predicted"]]
        return {
            "n": len(rows),
            "n_correct": int(np.trace(confusion)),
            **{name: float(share) for name, share in shares.items()},
            **(ends if self.has_intervals else dict.fromkeys(ends)),
            "confusion": confusion.ravel().tolist(),
            "n_corrected": sum(row[column] == row["label"] for row in changed),
            "n_spoiled": sum(row["predicted"] == row["label"] for row in changed),
            "mcnemar_p": 0.0321 if changed else 1.0,
            "gain_lower": 0.0123 if column != "predicted" and self.has_intervals else None,
            "gain_upper": 0.4567 if column != "predicted" and self.has_intervals else None,
        }

    def _evaluate(self, rated: list[dict[str, Any]], crossfit: list[dict[str, Any]]) -> list[dict[str, Any]]:
        parts = {"val": crossfit, "test": [r for r in rated if r["split"] == "test" and r["label"] is not None]}
        return [
            {"split": split, "score": score, **self._quality(rows, score)}
            for split, rows in parts.items()
            for score in SCORES
            if rows
        ]

    def _quality(self, rows: list[dict[str, Any]], score: str) -> dict[str, Any]:
        values, right = [row[score] for row in rows], [row["label"] == row["predicted"] for row in rows]
        found = vars(detect(values, [not one for one in right]))
        ends = {
            f"{name}_{end}": None if found[name] is None or not self.has_intervals else min(1.0, found[name] * f)
            for name in ("auroc", "aurc", "augrc")
            for end, f in ENDS
        }
        ends |= {f"auroc_gain_{end}": None if score == "reliability" else gain for end, gain in GAINS}
        claims = score != "trust_score"
        gap = calibration_error(calibration(values, right)) if claims else None
        return {**found, **ends, "brier": brier(values, right) if claims else None, "calibration_error": gap}

    def _fit(self, method: str, scores: list[dict[str, Any]]) -> None:
        summary = {
            "method": method,
            "approximate": method == "occlusion_preview",
            "kernel": ["median", 0.5],
            "sizes": [score["n"] for score in scores],
            "n_dimensions": 7,
            "variance_share": 0.987,
            "stability": 0.52,
            "eigengap": 0.031,
            "n_isolated": 0,
            "n_zero": 1,
            "n_constant": 2,
            "warnings": ["1 of 32 maps are zero everywhere: nothing spoke for <the> explained class"],
        }
        means = maps_of(method, list(range(1, len(self.error_rates) + 1)), self.size)
        made: dict[str, Any] = {"size": self.size, "scaling": "unit"}
        self.make(f"clusters {method}", "clusters", lambda draft: write_axes(draft, means), summary, **made)  # pyright: ignore

    def _predict(self, day: str, rows: list[dict[str, Any]]) -> None:
        shares = np.eye(len(self.classes), dtype=np.float32)
        answers = [{**r, "probabilities": shares[r["predicted"]].tolist(), "classifier": "c" * 24} for r in rows]
        self._table(f"predictions {day}", PREDICTIONS, answers)

    def _analyse_day(self, method: str, day: str, rated: list[dict[str, Any]]) -> None:
        chosen: list[dict[str, Any]] = [
            {**row, "is_flat_map": row["plant_id"] in self.flat, "seen": None}
            for row in rated
            if self.has_examples or row["split"] != "val"
        ]
        self._table(f"assignments {method} {day}", ASSIGNMENTS, chosen)
        self._judge_day(method, day, rated)
        self._explain(method, day, chosen)

    def _explain(self, method: str, day: str, chosen: list[dict[str, Any]]) -> None:
        """Write the saliency maps of images in the order of `chosen`."""
        maps = maps_of(method, [row["cluster"] for row in chosen], self.size, self.map_noise)
        for shown, row in zip(maps, chosen, strict=True):
            shown[:] = self.flat.get(row["plant_id"], shown)

        def write(draft: Draft) -> None:
            write_array(draft, SALIENCY, maps)
            write_array(draft, PEAK, np.ones(len(maps)))
            write_array(draft, ROWS, np.asarray([row["row"] for row in chosen]))
            write_group(draft, [row["plant_id"] for row in chosen], {"date": day, "method": method})

        self.make(f"saliency {method} {day}", "saliency", write, {})

    def _judge_day(self, method: str, day: str, rated: list[dict[str, Any]]) -> None:
        self._table(f"reliability {method} {day}", RELIABILITIES, rated)
        self._table(f"adjusted {method} {day}", ADJUSTED, rated)
        self._write_decided(method, day, rated)
        is_outside = day in self.outside
        drift = {
            "split": "new" if day in self.scored_days else "test",
            "n": sum(row["split"] in ("test", "new") for row in rated),
            "n_seen": 3,
            "share_shift": 0.432 if is_outside else 0.098,
            "share_shift_p": 0.0001 if is_outside else 0.345,
            "answer_shift": 0.123,
            "answer_shift_p": 0.567,
            "novel_share": 0.067,
            "novel_share_p": 0.456,
            "is_outside": is_outside,
            "reason": "clusters" if is_outside else "",
            "method": method,
            **self.marks,
        }
        self._table(f"drift {method} {day}", DRIFT, [drift] if self.has_unseen else [])

    def _write_decided(self, method: str, day: str, rated: list[dict[str, Any]]) -> None:
        plots = ["1" if "Plot1" in row["plant_id"] else None for row in rated]
        counted = [{"method": method, **self.marks, **row} for row in ready_rows(rated, plots)]

        def write(draft: Draft) -> None:
            write_table(draft, DECIDED, rows_to_columns(DECIDED, rated))
            write_table(draft, READY_COUNTS, rows_to_columns(READY_COUNTS, counted))

        self.make(f"decided {method} {day}", "decided", write, {"date": day, "is_share_outside": False})

    def _table(
        self, role: str, spec: TableSpec, rows: list[dict[str, Any]], summary: dict[str, Any] | None = None
    ) -> None:
        def write(draft: Draft) -> None:
            write_table(draft, spec, rows_to_columns(spec, rows))

        self.make(role, role.split()[0], write, summary or {})


def table_rows(campaign: FakeCampaign, role: str, spec: TableSpec) -> list[dict[str, Any]]:
    return rows_of(campaign.store.open(campaign.roles[role]), spec)
