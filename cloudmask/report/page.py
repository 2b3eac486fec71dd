"""The page: one HTML file that needs nothing else, and its figures as PNG beside it."""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from cloudmask.errors import InputError
from cloudmask.report.blocks import Gallery, Picture, Section, Table
from cloudmask.report.figure_style import COLOURS, DARK_COLOURS, inline_svg, save_png

PAGE_NAME = "report.html"
PNG = ".png"


def write_page(folder: Path, title: str, sections: Sequence[Section]) -> Path:
    """Write the page and a PNG of each of its figures; files of an earlier report are replaced.

    Raises:
        InputError: the folder cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for section in sections:
            for block in section.blocks:
                if isinstance(block, Picture):
                    save_png(block.figure, folder / (block.name + PNG))
                elif isinstance(block, Gallery):
                    save_png(block.sheet, folder / (block.name + PNG))
        page, partial = folder / PAGE_NAME, folder / (PAGE_NAME + ".part")
        partial.write_text(render(title, sections), encoding="utf-8")
        os.replace(partial, page)
    except OSError as error:
        raise InputError(
            f"--output {folder} cannot be written to ({error.strerror}): give another folder"
        ) from error
    return page


def render(title: str, sections: Sequence[Section]) -> str:
    """The page as HTML; the same sections give the same text."""
    environment = Environment(
        loader=PackageLoader("cloudmask.report"),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"svg": _svg, "data_url": _data_url, "kind": _kind}
    template = environment.get_template("page.html")
    return template.render(title=title, sections=sections, light=COLOURS, dark=DARK_COLOURS)


def _svg(picture: Picture) -> Markup:
    return Markup(inline_svg(picture.figure, picture.name, picture.alt))


def _data_url(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _kind(block: object) -> str:
    kinds = {str: "text", Table: "table", Picture: "picture", Gallery: "gallery"}
    return kinds[type(block)]
