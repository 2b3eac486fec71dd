"""The page: one HTML file without external resources, and a PNG of each figure beside it."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup
from matplotlib.image import imsave

from cloudmask import __version__
from cloudmask.errors import InputError
from cloudmask.report.blocks import (
    Cards,
    FigureBlock,
    Gallery,
    Image,
    Legend,
    Section,
    TableBlock,
)
from cloudmask.report.figure_style import COLOURS, DARK_COLOURS, inline_svg, save_png

PAGE_NAME = "report.html"


def write_page(folder: Path, title: str, sections: Sequence[Section]) -> Path:
    """Write the page and a PNG of each figure; files of an earlier report are replaced.

    Raises:
        InputError: the folder cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for section in sections:
            for block in section.blocks:
                if isinstance(block, FigureBlock):
                    save_png(block.figure.wide, folder / f"{block.name}.png")
                elif isinstance(block, Gallery):
                    save_png(block.contact_sheet, folder / f"{block.name}.png")
        page, partial = folder / PAGE_NAME, folder / f"{PAGE_NAME}.part"
        # Names of folders may have bytes that are no text: they become escapes.
        partial.write_text(render(title, sections), encoding="utf-8", errors="backslashreplace")
        os.replace(partial, page)
    except OSError as error:
        raise InputError(
            f"--output {folder} cannot be written to ({error.strerror}): give another folder"
        ) from error
    return page


def render(title: str, sections: Sequence[Section]) -> str:
    """The page as HTML, byte for byte the same for the same sections."""
    environment = Environment(
        loader=PackageLoader("cloudmask.report"),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"svg": _svg, "data_url": _data_url, "kind": _kind}
    template = environment.get_template("page.html")
    return template.render(
        title=title, sections=sections, light=COLOURS, dark=DARK_COLOURS, version=__version__
    )


def _svg(block: FigureBlock, layout: str) -> Markup:
    return Markup(inline_svg(getattr(block.figure, layout), f"{block.name}-{layout}"))


def _data_url(image: Image) -> str:
    png = io.BytesIO()
    imsave(png, image, format="png", pil_kwargs={"optimize": True})
    return "data:image/png;base64," + base64.b64encode(png.getvalue()).decode()


def _kind(block: object) -> str:
    kinds = {
        **{str: "text", TableBlock: "table", FigureBlock: "figure", Gallery: "gallery"},
        **{Cards: "cards", Legend: "legend"},
    }
    return kinds[type(block)]
