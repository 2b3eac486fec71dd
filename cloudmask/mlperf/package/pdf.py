"""Markdown as PDF."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from pathlib import Path

DATED = datetime(2000, 1, 1, tzinfo=timezone.utc)  # the same text makes the same bytes
FONT = "DejaVu"
STYLES = {"": "", "B": "-Bold", "I": "-Oblique", "BI": "-BoldOblique"}
# Points; tables of many columns take the smaller one.
TEXT_SIZE, WIDE_TABLE_SIZE, MANY_COLUMNS = 10, 7, 5


def write_pdf(markdown: str, path: Path) -> None:
    """Write Markdown with headings, paragraphs, lists and tables as an A4 document."""
    # Imported here because only packages for MLCommons Science need them.
    import matplotlib
    from fpdf import FPDF
    from fpdf.fonts import FontFace
    from markdown import markdown as to_html

    document = FPDF()
    document.set_creation_date(DATED)
    fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    for style, name in STYLES.items():
        document.add_font(FONT, style, fonts / f"DejaVuSans{name}.ttf")
    document.add_font(f"{FONT}Mono", "", fonts / "DejaVuSansMono.ttf")
    document.set_font(FONT, size=TEXT_SIZE)
    document.add_page()
    html = to_html(markdown, extensions=["tables"])
    for block in re.split(r"(<table>.*?</table>)", html, flags=re.DOTALL):
        table = block.startswith("<table>")
        columns = block.partition("</tr>")[0].count("<th")
        wide = table and columns > MANY_COLUMNS
        document.set_font(FONT, size=WIDE_TABLE_SIZE if wide else TEXT_SIZE)
        # Cells hold plain text: the library takes no markup inside them.
        text = re.sub(r"</?(?:code|strong|em)>", "", block) if table else block
        document.write_html(
            text, tag_styles={"code": FontFace(family=f"{FONT}Mono")}, table_line_separators=True
        )
    document.output(str(path))
