"""The report of small stores: its numbers are the tables', it holds together without labels and with many classes."""

import io
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from storage.arrays import IMAGES, PEAK, PROTOTYPES, ROWS, SALIENCY, write_array
from storage.artifacts import ArtifactRef, Draft, Recipe, Store
from storage.publish import CampaignRecord
from storage.tables import (
    ADJUSTED,
    ASSIGNMENTS,
    CLUSTER_SCORES,
    EPOCHS,
    METRICS,
    OBSERVATIONS,
    PLANTS,
    PREDICTIONS,
    REJECTED,
    rows_to_columns,
    write_table,
)
from tasks.adjust import metric_rows
from tasks.report import report_summary, write_report
from tasks.report_content import Headline, adjustment_effect, headline, rejected_rows
from tasks.report_inputs import rows_of
from tasks.score import score_cluster

DAYS = ("2021-08-23", "2021-09-03")
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
    is_trained: bool = True
    has_examples: bool = True
    first_plant: str = "2021_Ref_Plot1_A01"
    n_plants: int = 48
    size: int = 32
    campaign: str = "field2-2021"
    error_rates: tuple[float, ...] = (0.1, 1.0, 0.5)
    flat: dict[str, float] = field(default_factory=dict[str, float])
    roles: dict[str, ArtifactRef] = field(default_factory=dict[str, ArtifactRef])

    def __post_init__(self) -> None:
        self.store = Store(self.root)
        self.marks = {"explained_class": self.explained_class, "classifier": "c" * 24, "clusters": "k" * 24}
        self._write_classifier()
        days = [self._images(seed, day) for seed, day in enumerate(DAYS)]
        self._write_plants(days)
        for day, rows in zip(DAYS, days, strict=True):
            self._predict(day, rows)
        for method in self.methods:
            self._analyse(method, [[{**row, "cluster": self.cluster_of(method, row)} for row in day] for day in days])
        self.params: dict[str, Any] = {
            "campaign": self.campaign,
            "source": {"kind": "folder", "root": "/data"},
            "dates": list(DAYS),
            "explain": {"explained_class": self.explained_class, "methods": list(self.methods)},
            "adjust": {"threshold": 0.75},
            "score": {"confidence": 0.95},
        }
        self.differing: dict[str, Any] = {"ingest.image_size": self.size, "cluster.affinity": "gamma"}

    def report(self) -> ArtifactRef:
        return write_report.fn(self.campaign, str(self.root), self.params, self.differing, self.roles)

    def page(self) -> str:
        return self.store.open(self.report()).read_bytes("index.html").decode()

    def record(self) -> CampaignRecord:
        artifacts = {**self.roles, "report": self.report()}
        return CampaignRecord(
            campaign=self.campaign, params=self.params, artifacts=artifacts, report="reports/field2-2021/index.html"
        )

    def make(self, role: str, kind: str, write: Any, summary: dict[str, Any]) -> None:
        recipe = Recipe(kind, 1, {"role": role, "test": True})
        with self.store.create(recipe, {"python": "3.11", "numpy": "2.0"}) as draft:
            write(draft)
            draft.summary = summary
        self.roles[role] = recipe.ref

    def cluster_of(self, method: str, row: dict[str, Any]) -> int:
        """By Grad-CAM as the errors were made; by the other methods right and wrong answers are mixed."""
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

    def _images(self, seed: int, day: str) -> list[dict[str, Any]]:
        """The plants of a date with everything that later tables say of them."""
        random, n = np.random.default_rng(seed), len(self.classes)
        rows: list[dict[str, Any]] = []
        for i in range(self.n_plants):
            split, cluster = ("train", "val", "test")[i % 3], 1 + (i // 3) % len(self.error_rates)
            label = int(random.integers(n))
            is_wrong = random.random() < self.error_rates[cluster - 1]
            rows.append(
                {
                    "plant_id": self.first_plant if i == 1 else f"2021_Ref_Plot1_B{i:02d}",
                    "split": split,
                    "row": i,
                    "true": label,
                    "label": label if split != "test" or self.has_test_labels else None,
                    "predicted": (label + is_wrong) % n,
                    "cluster": cluster,
                }
            )
        pixels = self.draw(random, len(rows))

        def write(draft: Draft) -> None:
            write_array(draft, IMAGES, pixels)
            fixed = {"path": "p.png", "sha256": "0", "height": 32, "width": 32}
            remarks = [{**row, **fixed, "flags": "known_blurry" if row["row"] == 3 else ""} for row in rows]
            write_table(draft, OBSERVATIONS, rows_to_columns(OBSERVATIONS, remarks))
            reasons = ("harvested", "harvested", "strange_reason")
            left_out = [{"plant_id": f"Z{i}", "path": "", "reason": r, "detail": ""} for i, r in enumerate(reasons)]
            write_table(draft, REJECTED, rows_to_columns(REJECTED, left_out))

        self.make(f"images {day}", "images", write, {"date": day, "classes": list(self.classes)})
        return rows

    def draw(self, random: np.random.Generator, n: int) -> NDArray[np.integer]:
        """Noise, greener than anything."""
        return random.integers(60, 120, (n, self.size, self.size, 3)) + np.asarray([0, 60, 0])

    def _write_plants(self, days: list[list[dict[str, Any]]]) -> None:
        empty = dict.fromkeys(("easting", "northing", "harvest_after", "harvest_by"))
        rows = [
            {"plant_id": r["plant_id"], "split": r["split"], "split_source": "utm", "n_observations": 2, **empty}
            for r in days[0]
        ]
        paper = {"train": {"paper": 541, "found": 32, "difference": -509}}
        self.make(
            "plants",
            "plants",
            lambda draft: write_table(draft, PLANTS, rows_to_columns(PLANTS, rows)),  # pyright: ignore
            {"classes": list(self.classes), "dates": list(DAYS), "paper": paper},
        )
        self.make("survey", "survey", lambda draft: draft.write_json("survey.json", {"notes": ["a note & more"]}), {})

    def _analyse(self, method: str, days: list[list[dict[str, Any]]]) -> None:
        n_classes, adjusted = len(self.classes), list[dict[str, Any]]()
        val = [row for rows in days for row in rows if row["split"] == "val"]
        scores: list[dict[str, Any]] = []
        for cluster in range(1, len(self.error_rates) + 1):
            members = [(row["label"], row["predicted"]) for row in val if row["cluster"] == cluster]
            labels, predicted = np.asarray(members).T
            counted = score_cluster(labels, predicted, n_classes, 0.95)
            scores.append({"method": method, "cluster": cluster, **counted, **self.marks})
        self._table(f"scores {method}", CLUSTER_SCORES, scores)
        for day, rows in zip(DAYS, days, strict=True):
            adjusted += self._analyse_day(method, day, rows, scores)
        columns = {name: [row[name] for row in adjusted] for name in adjusted[0]}
        self._table(f"metrics {method}", METRICS, metric_rows(columns, n_classes))
        summary = {
            "method": method,
            "approximate": method == "occlusion_preview",
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
        means = self._maps(method, list(range(1, len(self.error_rates) + 1)))
        self.make(f"clusters {method}", "clusters", lambda draft: write_array(draft, PROTOTYPES, means), summary)  # pyright: ignore

    def _predict(self, day: str, rows: list[dict[str, Any]]) -> None:
        shares = np.eye(len(self.classes), dtype=np.float32)
        answers = [{**r, "probabilities": shares[r["predicted"]].tolist(), "classifier": "c" * 24} for r in rows]
        self._table(f"predictions {day}", PREDICTIONS, answers)

    def _analyse_day(
        self, method: str, day: str, rows: list[dict[str, Any]], scores: list[dict[str, Any]]
    ) -> list[dict[str, Any]]:
        chosen: list[dict[str, Any]] = [
            {**r, **self.marks, "method": method, "neighbour_agreement": 1.0, "is_flat_map": r["plant_id"] in self.flat}
            for r in rows
            if r["split"] != "train" and (self.has_examples or r["split"] != "val")
        ]
        self._table(f"assignments {method} {day}", ASSIGNMENTS, chosen)
        seen: list[dict[str, Any]] = [{**r, **self.marks, "method": method} for r in rows if r["split"] != "train"]
        for row in seen:
            row["reliability"] = 1 - scores[row["cluster"] - 1]["error_share"]
            row["is_swapped"] = len(self.classes) == 2 and row["reliability"] < 0.25
            row["adjusted"] = 1 - row["predicted"] if row["is_swapped"] else row["predicted"]
        self._table(f"adjusted {method} {day}", ADJUSTED, seen)
        maps = self._maps(method, [row["cluster"] for row in chosen])
        for shown, row in zip(maps, chosen, strict=True):
            shown[:] = self.flat.get(row["plant_id"], shown)

        def write(draft: Draft) -> None:
            write_array(draft, SALIENCY, maps)
            write_array(draft, PEAK, np.ones(len(maps)))
            write_array(draft, ROWS, np.asarray([row["row"] for row in chosen]))

        self.make(f"saliency {method} {day}", "saliency", write, {})
        return seen

    def _table(self, role: str, spec: Any, rows: list[dict[str, Any]]) -> None:
        def write(draft: Draft) -> None:
            write_table(draft, spec, rows_to_columns(spec, rows))

        self.make(role, role.split()[0], write, {})

    def _maps(self, method: str, clusters: list[int]) -> NDArray[np.float64]:
        """Maps (n, side, side) with their peak at another place in each cluster; beside Grad-CAM's also a trough."""
        side = {"gradcam": 8, "lime": self.size}.get(method, 13)
        y, x = (8 * axis / side for axis in np.mgrid[:side, :side])
        at = [(2.5 * np.sin(2.4 * c), 2.5 * np.cos(2.4 * c)) for c in clusters]
        peaks = [np.exp(-((y - 3.5 - cy) ** 2 + (x - 3.5 - cx) ** 2) / 6) for cy, cx in at]
        troughs = [np.exp(-((y - 3.5 + cy) ** 2 + (x - 3.5 + cx) ** 2) / 6) for cy, cx in at]
        depth = 0 if method == "gradcam" else 0.8
        return np.asarray(peaks).reshape(-1, side, side) - depth * np.asarray(troughs).reshape(-1, side, side)


class Page(HTMLParser):
    """Cells of the tables by class, resources, links, identifiers, headings, and whether every tag is closed."""

    VOID = frozenset({"meta", "link", "img", "br"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.resources: list[str] = []
        self.links: list[str] = []
        self.headings: list[str] = []
        self.tags: list[str] = []
        self.ids: set[str] = set()
        self.open: list[str] = []
        self.table = ""
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append(tag)
        self.ids.add(given.get("id") or "")
        named = [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action")]
        (self.links if tag == "a" else self.resources).extend(named)
        if tag in ("h2", "h3"):
            self.headings.append("")
        if tag == "table":
            self.table = given.get("class") or ""
            self.tables[self.table] = []
        if tag == "tr":
            self.tables[self.table].append([])
        if tag in ("td", "th"):
            self.tables[self.table][-1].append("")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if {"td", "th"} & set(self.open[-3:]):
            self.tables[self.table][-1][-1] += data
        if self.open and self.open[-1] in ("h2", "h3"):
            self.headings[-1] += data


def shares(text: str) -> list[float]:
    return [float(number) / 100 for number in re.findall(r"([\d.]+)\u00a0%", text)]


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> FakeCampaign:
    return FakeCampaign(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def html(campaign: FakeCampaign) -> str:
    return campaign.page()


def table_rows(campaign: FakeCampaign, role: str, spec: Any) -> list[dict[str, Any]]:
    return rows_of(campaign.store.open(campaign.roles[role]), spec)


def test_accuracies_on_the_page_are_those_of_the_table(campaign: FakeCampaign, html: str) -> None:
    metrics = table_rows(campaign, "metrics gradcam", METRICS)
    shown = Page(html).tables["accuracy"][1:]
    assert len(shown) == len(metrics) == 4
    for cells, row in zip(shown, metrics, strict=True):
        assert cells[0] == {"val": "validation", "test": "test"}[row["split"]]
        assert cells[1:4] == [row["state"], str(row["n"]), str(row["n_correct"])]
        expected = [row["overall_accuracy"], row["average_class_accuracy"]]
        assert shares(cells[4]) + shares(cells[5]) == pytest.approx(expected, abs=5.1e-4)
        assert ("in-sample" in cells[6]) == (row["split"] == "val" and row["state"] == "after")


def test_clusters_on_the_page_are_those_of_the_tables(campaign: FakeCampaign, html: str) -> None:
    clusters = table_rows(campaign, "scores gradcam", CLUSTER_SCORES)
    adjusted = [row for day in DAYS for row in table_rows(campaign, f"adjusted gradcam {day}", ADJUSTED)]
    shown = Page(html).tables["clusters-table"][1:]
    assert len(shown) == len(clusters) == 3
    for cells, row in zip(shown, clusters, strict=True):
        counts = [row[name] for name in ("cluster", "n", "tp", "tn", "fp", "fn")]
        assert [int(cell) for cell in cells[:6]] == counts
        assert sum(counts[2:]) == row["n"]
        expected = [row["error_share"], row["error_share_lower"], row["error_share_upper"]]
        assert shares(cells[6]) + shares(cells[7]) == pytest.approx(expected, abs=5.1e-4)
        assert float(cells[8]) == pytest.approx(row["reliability"], abs=5.1e-4)
        assert cells[9] == ("swapped" if row["error_share"] > 0.75 else "no")
        test = [one for one in adjusted if one["split"] == "test" and one["cluster"] == row["cluster"]]
        wrong = sum(one["label"] != one["predicted"] for one in test)
        assert [int(cell) for cell in cells[10:12]] == [len(test), wrong]
    assert [cells[9] for cells in shown] == ["no", "swapped", "no"]


def test_swaps_of_small_clusters_are_warned_of(campaign: FakeCampaign, html: str) -> None:
    n = table_rows(campaign, "scores gradcam", CLUSTER_SCORES)[1]["n"]
    assert f"swapped on the word of fewer than 20 validation images: cluster 2 (n = {n})" in html


def test_counts_and_reasons(html: str) -> None:
    page = Page(html)
    assert [row[:3] for row in page.tables["counts"][1:]] == [
        ["training", "16", "32"],
        ["validation", "16", "32"],
        ["test", "16", "32"],
    ]
    rejected = {row[0]: row[1:] for row in page.tables["rejected"][1:]}
    assert rejected["harvested"][0] == "4" and "already been harvested" in rejected["harvested"][1]
    assert rejected["strange_reason"][:2] == ["2", ""]
    assert page.tables["paper"][1] == ["train", "541", "32", "-509"]
    assert "a note &amp; more" in html and "known_blurry</code> 2" in html


def test_result_parameters_and_provenance_are_on_the_page(campaign: FakeCampaign, html: str) -> None:
    before, after = (r["overall_accuracy"] for r in table_rows(campaign, "metrics gradcam", METRICS)[2:])
    result = f"{100 * before:.1f} % right before adjustment, {100 * after:.1f} % after (n = 32)."
    assert f"On unseen test plants: {result}" in html.replace("\u00a0", " ")
    assert "cluster.affinity" in html and "Not the paper’s parameters" in html
    assert all(ref.digest in html for ref in campaign.roles.values())
    assert "tables/metrics/campaign=field2-2021/part-0.parquet" in html
    assert "tables/adjusted/campaign=field2-2021/date=&lt;YYYY-MM-DD&gt;/part-0.parquet" in html


def test_page_is_self_contained_and_has_no_scripts(html: str) -> None:
    page = Page(html)
    assert "http://" not in html and "https://" not in html
    assert "script" not in page.tags and "@import" not in html and "url(" not in html
    assert page.resources and all(resource.startswith("data:") for resource in page.resources)
    assert all(link.removeprefix("#") in page.ids for link in page.links)
    assert page.tags.count("img") == 4 + 3 * 3  # confusion, clusters, prototypes, training; three examples a cluster


def test_equal_inputs_give_equal_bytes(campaign: FakeCampaign, tmp_path: Path) -> None:
    ref = campaign.report()
    assert campaign.report() == ref
    again = FakeCampaign(tmp_path / "again")
    one, other = campaign.store.open(ref), again.store.open(again.report())
    assert one.manifest.files == other.manifest.files


def test_figures_can_be_opened(campaign: FakeCampaign) -> None:
    report = campaign.store.open(campaign.report())
    names = ["clusters-gradcam.png", "confusion-gradcam.png", "prototypes-gradcam.png"]
    assert sorted(report.manifest.files) == [*names[:2], "index.html", names[2]]
    for name in names:
        with Image.open(io.BytesIO(report.read_bytes(name))) as picture:
            picture.load()
            assert picture.format == "PNG" and min(picture.size) > 100
            assert np.ptp(np.asarray(picture.convert("L"))) > 100


@pytest.mark.parametrize(("choice", "is_marked"), [("predicted", False), ("ready", False), ("label", True)])
def test_banner_where_maps_use_ground_truth(tmp_path: Path, choice: str, is_marked: bool) -> None:
    campaign = FakeCampaign(tmp_path, explained_class=choice, n_plants=18)
    html = campaign.page()
    assert ("banner" in Page(html).ids) == is_marked
    assert ("uses ground truth; not valid for unseen data" in html) == is_marked
    assert ("uses ground truth" in report_summary(campaign.store, campaign.record())) == is_marked


def test_names_from_outside_are_escaped(tmp_path: Path) -> None:
    campaign = FakeCampaign(tmp_path, classes=("not_ready", HOSTILE), first_plant=HOSTILE, n_plants=18)
    campaign.params["source"]["root"] = HOSTILE
    campaign.differing = {"ingest.note": HOSTILE}
    html = campaign.page()
    assert "script" not in Page(html).tags
    assert "<script" not in html and "&lt;script&gt;" in html


def test_more_than_two_classes(tmp_path: Path) -> None:
    campaign = FakeCampaign(tmp_path, classes=("small", "medium", "large"))
    page, html = Page(campaign.page()), campaign.page()
    assert page.tables["clusters-table"][0][2:4] == ["right", "wrong"]
    clusters = table_rows(campaign, "scores gradcam", CLUSTER_SCORES)
    for cells, row in zip(page.tables["clusters-table"][1:], clusters, strict=True):
        assert [int(cell) for cell in cells[2:4]] == [row["n"] - row["n_wrong"], row["n_wrong"]]
        assert cells[7] == "no"
    assert "With more than two classes no answer is swapped" in html


def test_test_plants_without_labels(tmp_path: Path) -> None:
    campaign = FakeCampaign(tmp_path, has_test_labels=False)
    html = campaign.page()
    page = Page(html)
    assert "No unseen plant has a label" in html
    assert page.tables["accuracy"][-1] == ["test", "32 images, none with a label: accuracy unknown"]
    assert all(cells[11] == "–" for cells in page.tables["clusters-table"][1:])


def test_given_classifier_paper_parameters_and_no_examples(tmp_path: Path) -> None:
    campaign = FakeCampaign(tmp_path, is_trained=False, has_examples=False, n_plants=18)
    campaign.differing = {}
    html = campaign.page()
    assert "The classifier was given" in html and "The paper’s parameters" in html
    assert html.count("No labelled validation image.") == 3


def test_summary_for_the_user_interface(campaign: FakeCampaign) -> None:
    text = report_summary(campaign.store, campaign.record())
    assert text.startswith("# Campaign field2-2021\n")
    assert "On unseen test plants" in text and "| Grad-CAM | val | after (in-sample) | 32 |" in text
    assert "cluster.affinity = gamma" in text and "reports/field2-2021/index.html" in text


def metric(split: str, state: str, n_correct: int) -> dict[str, Any]:
    shares = dict.fromkeys(("overall_accuracy", "average_class_accuracy"), n_correct / 100)
    return {"split": split, "state": state, "n": 100, "n_correct": n_correct, "is_in_sample": False, **shares}


def swapped(n_corrected: int, n_spoiled: int) -> list[dict[str, Any]]:
    """Adjusted test images: some corrected, some spoiled, one untouched."""
    pairs = [(1, 0, 1)] * n_corrected + [(1, 1, 0)] * n_spoiled + [(1, 1, 1)]
    return [
        {"split": "test", "label": label, "predicted": was, "adjusted": now, "is_swapped": was != now}
        for label, was, now in pairs
    ]


def test_effect_of_adjustment_by_hand() -> None:
    effect = adjustment_effect(swapped(8, 1), "test")
    assert (effect.n_images, effect.n_swapped, effect.n_corrected, effect.n_spoiled) == (10, 9, 8, 1)
    assert effect.p_value == pytest.approx(2 * (1 + 9) / 2**9)  # two tails of the binomial with 9 coins
    assert adjustment_effect([], "test").p_value == 1


@pytest.mark.parametrize(
    ("n_corrected", "n_spoiled", "tone", "says"),
    [
        (20, 2, "better", "62.0\u00a0% right before adjustment, 80.0\u00a0% after (n\u00a0=\u00a0100)."),
        (3, 1, "same", "may be chance"),
        (2, 2, "same", "gained nothing"),
        (2, 20, "worse", "makes the answers worse"),
        (0, 0, "same", "changes nothing: no cluster was wrong in more than 75%"),
    ],
)
def test_headline_says_what_happened(n_corrected: int, n_spoiled: int, tone: str, says: str) -> None:
    metrics = [metric("test", "before", 62), metric("test", "after", 62 + n_corrected - n_spoiled)]
    found = headline(metrics, swapped(n_corrected, n_spoiled), 2, 0.75)
    assert found.tone == tone and says in found.text
    assert "(n\u00a0=\u00a0100)" in found.text


def test_headline_without_any_label() -> None:
    unknown = "No unseen plant has a label, so how often the answers are right on unseen plants is unknown."
    assert headline([], [], 2, 0.75) == Headline(unknown, "same")


def test_reasons_are_ordered_by_number() -> None:
    left_out = [{"plant_id": "a", "date": "2021-08-23", "reason": r} for r in ("blank", "harvested", "harvested")]
    rows = rejected_rows(left_out)
    assert [(row["reason"], row["n"]) for row in rows] == [("harvested", 2), ("blank", 1)]
    assert rejected_rows([]) == []
