"""Show exported points with Leaflet in a browser: every plant is a mark inside the field's bounds."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.support.exported import Exported, exported

LEAFLET = Path("/usr/share/javascript/leaflet")  # where Debian installs it
DRAW = """(text) => {
    const map = L.map("map", {zoomAnimation: false, fadeAnimation: false});
    const ids = [];
    const layer = L.geoJSON(JSON.parse(text), {
        pointToLayer: (feature, place) => {
            ids.push([feature.properties.plant_id, place.lng, place.lat]);
            return L.circleMarker(place, {radius: 3});
        },
    });
    map.fitBounds(layer.getBounds(), {padding: [20, 20], maxZoom: 25});
    layer.addTo(map);
    const bounds = layer.getBounds();
    return {ids, bounds: [bounds.getWest(), bounds.getSouth(), bounds.getEast(), bounds.getNorth()]};
}"""
# Centres of the drawn marks, in pixels from the corner of the map.
CENTRES = """() => {
    const map = document.getElementById("map").getBoundingClientRect();
    return [...document.querySelectorAll("#map path.leaflet-interactive")].map((mark) => {
        const box = mark.getBoundingClientRect();
        return [box.x + box.width / 2 - map.x, box.y + box.height / 2 - map.y];
    });
}"""
SIDE = 500  # pixels of the map


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return exported(tmp_path_factory.mktemp("store"))


def test_leaflet_draws_every_plant_inside_the_field(files: Exported, browser: Browser) -> None:
    if not (LEAFLET / "leaflet.js").is_file():
        pytest.skip("needs Leaflet: apt-get install libjs-leaflet")
    page = browser.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.set_content(f'<!doctype html><div id="map" style="width: {SIDE}px; height: {SIDE}px"></div>')
    page.add_style_tag(path=LEAFLET / "leaflet.css")
    page.add_script_tag(path=LEAFLET / "leaflet.js")
    drawn: dict[str, Any] = page.evaluate(DRAW, files.file("decisions.geojson").read_text("utf-8"))
    west, south, east, north = files.degrees()
    assert drawn["bounds"] == pytest.approx([west, south, east, north], abs=2e-7)
    assert {plant for plant, *_ in drawn["ids"]} == files.ids()
    centres = page.evaluate(CENTRES)
    assert len(centres) == len(files.ids()) and all(0 < part < SIDE for centre in centres for part in centre)
    # Web Mercator is drawn, so steps to the east are alike over the whole map; its first plant is the westernmost.
    steps = {plant: x for (plant, *_), (x, _) in zip(drawn["ids"], centres, strict=True)}
    places = {plant: x for plant, x, _ in drawn["ids"]}
    scale = (max(steps.values()) - min(steps.values())) / (east - west)
    for plant, x in steps.items():
        assert x - min(steps.values()) == pytest.approx(scale * (places[plant] - west), abs=1.5)
    assert complaints == []
    page.close()
