"""Write Excel workbooks as tests need them."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import openpyxl

Cells = Sequence[Sequence[Any]]


def write_workbook(path: Path, sheets: Mapping[str, Cells] | Cells, merged: str = "", hidden: str = "") -> Path:
    """Write a workbook of one sheet or of several by name; `merged` and `hidden` name cells and a sheet."""
    book = openpyxl.Workbook()
    book.remove(book["Sheet"])
    for name, rows in (sheets if isinstance(sheets, Mapping) else {"Table": sheets}).items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(list(row))
        if name == hidden:
            sheet.sheet_state = "hidden"
    if merged:
        book.worksheets[0].merge_cells(merged)
    book.save(path)
    return path


def calculate(path: Path, results: Mapping[str, str]) -> None:
    """Put the results of formulas into the only sheet of a workbook, by formula, as a spreadsheet program would.

    A result is a number, or a text in quotation marks, which may be empty.
    """
    with ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    name = next(name for name in parts if name.startswith("xl/worksheets/"))
    xml = parts[name].decode()
    for formula, result in results.items():
        kind = ' t="str"' if result.startswith('"') else ""
        cell = re.compile(rf"<c r=\"(\w+)\"><f>{re.escape(formula)}</f><v ?/?>(?:</v>)?</c>")
        value = result.strip('"')
        xml, n = cell.subn(rf'<c r="\1"{kind}><f>{formula}</f><v>{value}</v></c>', xml)
        if n == 0:
            raise ValueError(f"{formula} is no formula of the sheet: {xml}")
    with ZipFile(path, "w") as archive:
        for part, content in parts.items():
            archive.writestr(part, xml.encode() if part == name else content)
