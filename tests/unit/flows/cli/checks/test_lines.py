"""Tests of the lines of a TOML file's keys."""

from flows.cli.checks.lines import key_lines, line_of

TEXT = """# a comment = 1
campaign = "x"
train = { epochs = 3, lr = 1 }
cluster.scale = 0.3

[source]
kind = "folder"
[source.harvest_table]
path = "h.csv"
[[seasons]]
campaign = "a"
[[seasons]]
campaign = "b"
[seasons.source]
"root" = "x"
[ explain . gradcam ]
layer = "y"
"""


def test_every_key_has_its_line() -> None:
    lines = key_lines(TEXT)
    assert lines["campaign",] == 2
    assert lines["train", "epochs"] == lines["train", "lr"] == lines["train",] == 3
    assert lines["cluster", "scale"] == 4
    assert (lines["source",], lines["source", "kind"], lines["source", "harvest_table", "path"]) == (6, 7, 9)
    assert (lines["seasons", 0, "campaign"], lines["seasons", 1, "campaign"]) == (11, 13)
    assert (lines["seasons", 1, "source"], lines["seasons", 1, "source", "root"]) == (14, 15)
    assert lines["explain", "gradcam", "layer"] == 17


def test_a_value_that_is_not_named_has_the_line_of_what_is_around_it() -> None:
    lines = key_lines(TEXT)
    assert line_of(lines, ("source", "harvest_table", "plant_column")) == 8
    assert line_of(lines, ("campaign", 0)) == 2
    assert line_of(lines, ("dates",)) is None
