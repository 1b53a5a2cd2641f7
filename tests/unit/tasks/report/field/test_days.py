"""Test that the field page proposes the random extra checks that the exports name."""

from datetime import date

from tasks.decide.audit_plants import audit_plants, audit_seed
from tasks.report.field.days import with_extra_checks
from tasks.report.field.summary import FieldDay
from tests.support.field_rows import plant


def test_extra_checks_are_those_of_the_exports() -> None:
    rows = [plant(f"p{i}", ("harvest", "leave", "check")[i % 3], 0.9) for i in range(60)]
    marked = with_extra_checks(FieldDay("2021-09-03", True, rows), "field2", 0.1)
    drawn = {row["plant_id"] for row in marked.rows if row["is_audit"]}
    assert drawn == audit_plants(rows, 0.1, audit_seed("field2", date(2021, 9, 3))) and len(drawn) == 4
    assert with_extra_checks(FieldDay("2021-09-03", True, rows), "field2", 0).rows[0]["is_audit"] is False
