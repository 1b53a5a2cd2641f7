"""Compose the styles with which QGIS opens the layers of points and of plots (QML). Pure functions.

QGIS reads the style of a layer from the table `layer_styles` of its GeoPackage. What the elements mean is known from
the files that QGIS 3 writes; the format has no specification.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple
from xml.etree import ElementTree as Xml

from storage.published.forms import AT, Form

COLOURED_BY = "decision"  # column that colour and shape tell
SIZE = 2.4  # diameter of a point, in mm on the screen or paper
INK, WHITE = "28,36,32,255", "255,255,255,255"  # colours of outlines and labels: red, green, blue and opacity
POINTS, POLYGONS = "0", "2"  # QGIS's numbers of kinds of geometry
DOCTYPE = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>"
CATEGORIES = "Symbology|Labeling|Fields|Forms"  # parts of a layer's style that are stated
NULL_VALUE = "{2839923C-8B7D-419E-B84B-CA2FE9B80EC7}"  # value of QGIS's value maps that empties a cell
NOT_CHECKED = "(not checked)"  # shown for it
AUDIT_LABEL = """CASE WHEN "is_audit" THEN 'random' END"""  # QGIS expression
NOW = f'coalesce("{AT}", now())'  # QGIS expression: fills in the time when a form is saved, and keeps one that is there
TIME_WIDGET = {  # how QGIS asks for a time
    "allow_null": "1",
    "calendar_popup": "1",
    "display_format": "yyyy-MM-dd HH:mm",
    "field_format": "yyyy-MM-dd HH:mm:ss",
    "field_iso_format": "0",
}
# Shapes that QGIS has under another name than Plotly, and the angle in degrees by which they are turned.
TURNED = {"triangle-up": ("triangle", 0), "triangle-down": ("triangle", 180)}


class Look(NamedTuple):
    """Look of a decision on a map.

    Attributes
    ----------
    shape : Plotly's name of the shape, such as `circle` or `triangle-up`.
    colour : red, green and blue as `#RRGGBB`.
    legend : text in the legend.
    """

    shape: str
    colour: str
    legend: str


def points_style(looks: Mapping[str, Look], aliases: Mapping[str, str], name_column: str, form: Form) -> str:
    """Return the style of a layer of points as QML: values of the column `decision` have their look and legend.

    Plants that were drawn for a look have a label. Only the columns of the form can be edited.

    Parameters
    ----------
    looks : look of every decision.
    aliases : heading of every column, by its name.
    name_column : column that names a point in lists of QGIS.
    """
    root = Xml.Element("qgis", version="3.22", styleCategories=CATEGORIES, labelsEnabled="1")
    renderer = Xml.SubElement(root, "renderer-v2", type="categorizedSymbol", attr=COLOURED_BY, symbollevels="0")
    categories, symbols = (Xml.SubElement(renderer, name) for name in ("categories", "symbols"))
    for i, (decision, look) in enumerate(looks.items()):
        category = {"value": decision, "label": look.legend, "symbol": str(i), "render": "true", "type": "string"}
        Xml.SubElement(categories, "category", category)
        _add_marker(symbols, str(i), look)
    _add_label(root, AUDIT_LABEL, size=8, placement="6")  # beside the point, in the first free place around it
    fields = _add_fields(root, aliases)
    _add_value_map(fields[COLOURED_BY], {look.legend: decision for decision, look in looks.items()})
    _add_form(root, fields, form)
    return _finished(root, name_column, POINTS)


def plots_style(aliases: Mapping[str, str], label: str, name_column: str) -> str:
    """Return the style of a layer of polygons as QML: an outline without filling, and a label.

    Parameters
    ----------
    aliases : heading of every column, by its name.
    label : QGIS expression of the label.
    name_column : column that names a polygon in lists of QGIS.
    """
    root = Xml.Element("qgis", version="3.22", styleCategories=CATEGORIES, labelsEnabled="1")
    renderer = Xml.SubElement(root, "renderer-v2", type="singleSymbol", symbollevels="0")
    outline = {"outline_color": INK, "outline_style": "solid", "outline_width": "0.4", "outline_width_unit": "MM"}
    _add_symbol(Xml.SubElement(renderer, "symbols"), "fill", "0", "SimpleFill", {"style": "no", **outline})
    _add_label(root, label, size=9, placement="8")  # outside the polygon, where no plants are drawn
    _add_fields(root, aliases)
    return _finished(root, name_column, POLYGONS)


def _finished(root: Xml.Element, name_column: str, geometry: str) -> str:
    Xml.SubElement(root, "previewExpression").text = f'"{name_column}"'
    Xml.SubElement(root, "layerGeometryType").text = geometry
    return f"{DOCTYPE}\n{Xml.tostring(root, encoding='unicode')}"


def _add_label(root: Xml.Element, expression: str, size: int, placement: str) -> None:
    """Label every feature by an expression of QGIS; `size` is in points, `placement` QGIS's number of a rule."""
    settings = Xml.SubElement(Xml.SubElement(root, "labeling", type="simple"), "settings", calloutType="simple")
    text = {"fieldName": expression, "isExpression": "1", "fontSize": str(size), "fontSizeUnit": "Point"}
    text |= {"textColor": INK, "fontWeight": "75"}  # bold, in numbers of Qt 5
    style = Xml.SubElement(settings, "text-style", text)
    Xml.SubElement(style, "text-buffer", bufferDraw="1", bufferSize="1", bufferSizeUnits="MM", bufferColor=WHITE)
    Xml.SubElement(settings, "placement", placement=placement)


def _add_fields(root: Xml.Element, aliases: Mapping[str, str]) -> dict[str, Xml.Element]:
    """Give every column its heading; return the elements that say how columns are edited, by column."""
    found: dict[str, Xml.Element] = {}
    fields, headings = (Xml.SubElement(root, name) for name in ("fieldConfiguration", "aliases"))
    for i, (column, alias) in enumerate(aliases.items(), start=1):  # the column `fid` is the first
        found[column] = Xml.SubElement(fields, "field", name=column, configurationFlags="None")
        Xml.SubElement(headings, "alias", index=str(i), field=column, name=alias)
    return found


def _add_form(root: Xml.Element, fields: Mapping[str, Xml.Element], form: Form) -> None:
    """Offer the words of a form and the time in which it is saved, and protect all other columns."""
    _add_value_map(fields[form.column], {NOT_CHECKED: NULL_VALUE, **{word: word for word in form.words}})
    config = Xml.SubElement(Xml.SubElement(fields[AT], "editWidget", type="DateTime"), "config")
    _add_options(Xml.SubElement(config, "Option", type="Map"), TIME_WIDGET.items())
    defaults, editable = (Xml.SubElement(root, name) for name in ("defaults", "editable"))
    Xml.SubElement(defaults, "default", field=AT, expression=NOW, applyOnUpdate="1")
    filled = {column.name for column in form.columns}
    for column in fields:
        Xml.SubElement(editable, "field", name=column, editable=str(int(column in filled)))


def _add_marker(symbols: Xml.Element, name: str, look: Look) -> None:
    shape, angle = TURNED.get(look.shape, (look.shape, 0))
    settings = {
        "name": shape,
        "angle": str(angle),
        "color": _rgba(look.colour),
        "outline_color": WHITE,  # so that neighbours stay apart where plants lie close together
        "outline_style": "solid",
        "outline_width": "0.2",
        "outline_width_unit": "MM",
        "size": str(SIZE),
        "size_unit": "MM",
    }
    _add_symbol(symbols, "marker", name, "SimpleMarker", settings)


def _add_symbol(symbols: Xml.Element, kind: str, name: str, drawn_as: str, settings: Mapping[str, str]) -> None:
    symbol = Xml.SubElement(symbols, "symbol", type=kind, name=name, alpha="1", clip_to_extent="1", force_rhr="0")
    layer = Xml.SubElement(symbol, "layer", {"class": drawn_as, "enabled": "1", "pass": "0", "locked": "0"})
    _add_options(Xml.SubElement(layer, "Option", type="Map"), settings.items())


def _add_value_map(field: Xml.Element, values: Mapping[str, str]) -> None:
    """Show the values of a column by their meaning, in forms and in the table of attributes."""
    config = Xml.SubElement(Xml.SubElement(field, "editWidget", type="ValueMap"), "config")
    listed = Xml.SubElement(Xml.SubElement(config, "Option", type="Map"), "Option", type="List", name="map")
    for shown, value in values.items():
        _add_options(Xml.SubElement(listed, "Option", type="Map"), [(shown, value)])


def _add_options(parent: Xml.Element, options: Iterable[tuple[str, str]]) -> None:
    for name, value in options:
        Xml.SubElement(parent, "Option", type="QString", name=name, value=value)


def _rgba(colour: str) -> str:
    """Return a colour `#RRGGBB` as QGIS writes it: red, green, blue and opacity, 0..255."""
    return ",".join([*(str(int(colour[i : i + 2], 16)) for i in (1, 3, 5)), "255"])
