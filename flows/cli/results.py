"""Print the results of a finished campaign, or return them as JSON values."""

from typing import Any

from rich.markup import escape
from rich.table import Table

from flows.cli.listing import broken_promises
from flows.cli.options import tables_console
from flows.report.exports import Exports, exports_of
from storage.artifacts import Artifact, Store
from storage.published.publish import published_rows
from storage.records.campaigns import CampaignRecord
from storage.tables import CALIBRATION, CLUSTER_SCORES, DECIDED, DRIFT, EVALUATION, FOUND, METRICS, PROMISES, SWAPS
from storage.tables.parquet import TableSpec
from storage.tables.rows import dated_rows, rows_of
from tasks.adjust.review_choices import PERSON
from tasks.decide.promised import guarantee_sentences, used_promises
from tasks.report.method.cautions import check_sentence, decision_counts, outside_sentence, review_note
from tasks.report.method.promises import calibration_table
from tasks.report.method.scores import judged_scores
from tasks.report.words import figure_text, score_name

Row = dict[str, Any]


def results(store: Store, record: CampaignRecord) -> dict[str, Any]:
    """Return a campaign's metrics, clusters, scores, notes of the source, warnings and paths as JSON values.

    `decisions` has a row for each method and split: the number of images, how many are to be checked and why, and
    `(n_labelled, n_right)` of the answers acted on and of those to check. The other lists have the rows of the tables
    of the same name; `promises` only those that the decisions follow.
    """
    params = record.params
    artifacts = {role: store.open(ref) for role, ref in record.artifacts.items()}
    clusters = [artifact.summary for role, artifact in artifacts.items() if role.startswith("clusters ")]
    methods = [summary["method"] for summary in clusters]
    return {
        "campaign": record.campaign,
        "image_size": params["ingest"]["image_size"],
        "kernel": _kernel(params["cluster"], clusters),
        "explained_class": params["explain"]["explained_class"],
        "threshold": params["adjust"]["threshold"],
        "confidence": params["score"]["confidence"],
        "metrics": _rows(artifacts, "metrics", METRICS),
        "clusters": _rows(artifacts, "scores", CLUSTER_SCORES),
        "swaps": _rows(artifacts, "swaps", SWAPS),
        "evaluation": _rows(artifacts, "evaluation", EVALUATION),
        "drift": [row for method in methods for row in dated_rows(artifacts, f"drift {method}", DRIFT)],
        "promises": used_promises(_rows(artifacts, "promises", PROMISES)),
        "calibration": [_dated(row) for row in _rows(artifacts, "calibration", CALIBRATION)],
        "found": [_dated(row) for row in published_rows(store, FOUND, record.campaign)],
        "decisions": [row for method in methods for row in _decisions(artifacts, method)],
        "rejected": artifacts["plants"].summary["rejected"],
        "notes": artifacts["survey"].read_json("survey.json")["notes"],
        "warnings": [
            f"{method}: {text}"
            for method in methods
            for kind in ("clusters", "crossfit", "swaps")
            for text in artifacts[f"{kind} {method}"].summary["warnings"]
        ]
        + broken_promises(store, record.campaign),
        "report": str(store.root / record.report),
        "tables": str(store.root / "tables"),
        "exports": exports_of(store, record.campaign, record.artifacts),
    }


def _kernel(params: Row, clusters: list[Row]) -> str:
    """Name the kernels that were used; `cluster.choose_kernel` may have chosen another one for each method."""
    used = [summary.get("kernel", (params["affinity"], params["scale"])) for summary in clusters]
    return "; ".join(dict.fromkeys(f"{affinity} = {scale}" for affinity, scale in used))


def _rows(artifacts: dict[str, Artifact], kind: str, spec: TableSpec) -> list[Row]:
    return [row for role, found in artifacts.items() if role.split()[0] == kind for row in rows_of(found, spec)]


def _dated(row: Row) -> Row:
    return {**row, "acquired": None if row["acquired"] is None else row["acquired"].isoformat()}


def _decisions(artifacts: dict[str, Artifact], method: str) -> list[Row]:
    decided = dated_rows(artifacts, f"decided {method}", DECIDED)
    return [{"method": method, **row} for row in decision_counts(decided)]


def print_results(found: dict[str, Any]) -> None:
    """Print a campaign's results as tables and notes."""
    console = tables_console()
    console.print(_metrics_table(found))
    console.print(_clusters_table(found))
    if found["evaluation"]:
        console.print(_scores_table(found))
    if found["calibration"]:
        console.print(_calibration_table(found))
    for text in (*_doubts(found), *(f"note: {text}" for text in (*found["warnings"], *found["notes"]))):
        console.print(text, markup=False)
    left_out = ", ".join(f"{n} {reason}" for reason, n in sorted(found["rejected"].items()))
    console.print(f"left out: {left_out or 'nothing'}", markup=False)
    for name in ("tables", "report"):
        print(f"{name + ':':8} {found[name]}")  # plain, so that a path is never wrapped
    if found["exports"]:
        print(*export_lines(found["exports"]), sep="\n")


def export_lines(found: Exports) -> list[str]:
    """Return the lines that name the folder of exports, and say how many of their rows some of the files lack."""
    n_rows, n_without = found["n_rows"], found["n_without_position"]
    lines = [f"{'exports:':8} {found['folder']}"]
    if n_without == n_rows:
        lines.append("note: no plant has a position: the exports are CSV and XLSX alone, without files for maps")
    elif n_without:
        lines.append(
            f"note: {n_without} of {n_rows} rows of the exports have no position: in GeoParquet and GeoJSON they have "
            "no geometry"
        )
    if found["n_without_workbook"]:
        lines.append(
            f"note: {found['n_without_workbook']:,} of {n_rows:,} rows of the exports are in no workbook, because "
            "spreadsheets become slow: a date of more than 100,000 plants has its CSV and its files for maps alone"
        )
    return lines


def _metrics_table(found: dict[str, Any]) -> Table:
    title = (
        f"{found['campaign']}: accuracy before and after adjustment "
        f"({found['image_size']} px, kernel {found['kernel']}, explained class {found['explained_class']})"
    )
    table = Table(title=title, title_justify="left")
    for name in ("method", "split", "state", "n", "overall accuracy", "average class accuracy", "gain", ""):
        table.add_column(name, justify="left" if name in ("method", "split", "state", "") else "right")
    for row in found["metrics"]:
        shares = [_share(row, name) for name in ("overall_accuracy", "average_class_accuracy")]
        table.add_row(row["method"], row["split"], row["state"], str(row["n"]), *shares, _gain(row), _note(row))
    return table


def _share(row: Row, name: str) -> str:
    low, high = row[f"{name}_lower"], row[f"{name}_upper"]
    return f"{row[name]:.1%}" + ("" if low is None or high is None else f" ({100 * low:.0f}..{100 * high:.0f})")


def _gain(row: Row) -> str:
    """Write adjustment's gain of overall accuracy in percentage points, with its interval over resampled plants."""
    low, high = row["gain_lower"], row["gain_upper"]
    if row["state"] == "before":
        return ""
    interval = "" if low is None or high is None else f" ({100 * low:.0f}..{100 * high:.0f})"
    return f"{100 * (row['n_corrected'] - row['n_spoiled']) / row['n']:+.1f}{interval}"


def _note(row: Row) -> str:
    if row["is_in_sample"]:
        return "in-sample"
    return {
        "cross-fitted": "plants left out",
        "cross-fitted rule": "without the review",
        "decided": "more probable class",
    }.get(row["state"], "")


def _clusters_table(found: dict[str, Any]) -> Table:
    table = Table(title="clusters of validation maps", title_justify="left")
    decided = {(row["method"], row["cluster"]): _decision(row) for row in found["swaps"]}
    interval = f"{found['confidence']:.4g} interval"
    for name in ("method", "cluster", "n", "TP", "TN", "FP", "FN", "error share", interval, "reliability", ""):
        table.add_column(name, justify="left" if name in ("method", "") else "right")
    for row in found["clusters"]:
        counts = ["" if row[name] is None else str(row[name]) for name in ("tp", "tn", "fp", "fn")]
        table.add_row(
            row["method"],
            str(row["cluster"]),
            str(row["n"]),
            *counts,
            f"{row['error_share']:.2f}",
            f"{row['error_share_lower']:.2f} .. {row['error_share_upper']:.2f}",
            f"{row['reliability']:.2f}",
            decided[row["method"], row["cluster"]],
        )
    return table


def _decision(row: Row) -> str:
    said = {"swap": "swapped", "keep": "", "abstain": "abstain"}[row["decision"]]
    return f"{said or 'kept'} by {escape(row['reviewer'])}" if row["decided_by"] == PERSON else said


def _scores_table(found: dict[str, Any]) -> Table:
    """Tabulate every score of every method: on unseen plants if they have labels, else on cross-fitted validation."""
    by_method: dict[str, list[Row]] = {}
    for row in found["evaluation"]:
        by_method.setdefault(row["method"], []).append(row)
    judged = [row for rows in by_method.values() for row in judged_scores(rows)]
    one = judged[0]
    where = "cross-fitted val" if one["split"] == "val" else one["split"]
    title = f"how well each score tells errors ({where}, n = {one['n']}, {one['n_wrong']} wrong)"
    table = Table(title=title, title_justify="left")
    for name in ("method", "score", "AUROC", "0.95 interval", "AUGRC"):
        table.add_column(name, justify="left" if name in ("method", "score") else "right")
    for row in judged:
        low, high = row["auroc_lower"], row["auroc_upper"]
        interval = "" if low is None or high is None else f"{low:.2f} .. {high:.2f}"
        figures = (figure_text(row["auroc"]), interval, figure_text(row["augrc"]))
        table.add_row(row["method"], score_name(row["score"]), *figures)
    return table


def _calibration_table(found: dict[str, Any]) -> Table:
    """Tabulate promised against observed shares of right answers, by split, date and answer."""
    table = Table(title="promised against observed (acted on in brackets)", title_justify="left")
    for name in ("method", "split", "date", "answers", "n", "promised", "observed"):
        table.add_column(name, justify="left" if name in ("method", "split", "date", "answers") else "right")
    for method in dict.fromkeys(row["method"] for row in found["calibration"]):
        for row in calibration_table([one for one in found["calibration"] if one["method"] == method]):
            everything, acted = row["all"], row["acted_on"]
            figures = [f"{everything['n']}", f"{everything['promised']:.2f}", f"{everything['observed']:.2f}"]
            if acted:
                inner = (f"{acted['n']}", f"{acted['promised']:.2f}", f"{acted['observed']:.2f}")
                figures = [f"{figure} ({one})" for figure, one in zip(figures, inner, strict=True)]
            table.add_row(method, row["split"], row["date"], row["answers"], *figures)
    return table


def _doubts(found: dict[str, Any]) -> list[str]:
    """Return one line for each promise and caution: reviews, answers to check, dates outside what was validated."""
    lines: list[str] = []
    for method in dict.fromkeys(row["method"] for row in found["decisions"]):
        decisions, drift, promises = (
            [row for row in found[name] if row["method"] == method] for name in ("decisions", "drift", "promises")
        )
        review = review_note([row for row in found["swaps"] if row["method"] == method])
        said = (
            review.text if review else "",
            *guarantee_sentences(promises),
            check_sentence(decisions),
            outside_sentence(drift),
        )
        lines += [f"{method}: {sentence}" for sentence in said if sentence]
    return lines
