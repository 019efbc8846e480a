"""Small pieces of HTML. What is passed as ``*_html`` is trusted; everything else is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from physio_hqc.report._format import esc

VERDICT_SIGNS = {"good": "●", "fair": "▲", "poor": "■", "not checked": "○"}


def table(
    head_html: Sequence[str], rows_html: Iterable[Sequence[str]], *, classes: str = ""
) -> str:
    """Make a table whose first column is its row header; a row of one cell is a heading."""
    columns = len(head_html)
    head = "".join(f'<th scope="col">{cell}</th>' for cell in head_html)
    body = []
    for row in rows_html:
        if len(row) == 1 and columns > 1:
            heading = f'<th colspan="{columns}" scope="rowgroup">{row[0]}</th>'
            body.append(f'<tr class="pq-group">{heading}</tr>')
            continue
        first = f'<th scope="row">{row[0]}</th>'
        body.append(f"<tr>{first}{''.join(f'<td>{cell}</td>' for cell in row[1:])}</tr>")
    return (
        f'<div class="pq-scroll"><table class="pq-table {classes}"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def badge(verdict: str) -> str:
    """Make a verdict visible by color, sign and word."""
    css = verdict.replace(" ", "-")
    return f'<span class="pq-badge pq-{css}">{VERDICT_SIGNS[verdict]} {esc(verdict)}</span>'


def paragraph(text: str, classes: str = "") -> str:
    """Make a paragraph of plain text."""
    return f'<p class="{classes}">{esc(text)}</p>' if classes else f"<p>{esc(text)}</p>"


def lead_in(text: str) -> str:
    """Make a paragraph of plain text whose first sentence, one word or two, is a heading."""
    heading, _, rest = text.partition(". ")
    return f"<p><b>{esc(heading)}.</b> {esc(rest)}</p>"


def bullets(items: Iterable[str], classes: str = "") -> str:
    """Make a list of plain texts; nothing if there are none."""
    rows = "".join(f"<li>{esc(item)}</li>" for item in items)
    return f'<ul class="{classes}">{rows}</ul>' if rows else ""


CSS = """
body { color: #24292f; font-size: 14.5px; background: #fff; }
#top-bar { padding: .25rem .5rem; }
#top-bar img { display: none !important; }
#top-bar .fs-3 { font-size: 1.05rem !important; font-weight: 600; }
#filter-by-tags-dropdown-menu .btn { padding: .15rem .6rem; font-size: .8rem;
  background: #57606a; border-color: #57606a; }
#toc h5 { font-size: .78rem; text-transform: uppercase; letter-spacing: .05em; color: #57606a; }
#toc-navbar .nav-link { padding: .3rem .6rem; font-size: .88rem; border: 0; }
#content .accordion-header .badge { display: none; }
#content .accordion-button { font-size: 1.02rem; font-weight: 600; background: #f3f5f7;
  color: #24292f; box-shadow: none; }
#content .accordion-button a { color: inherit; }
#content .accordion-item { border-color: #d8dee4; }
#content .accordion-body { padding: .8rem 1rem; }
#content .section > .accordion-collapse > .accordion-body { padding: .4rem .6rem; }
#content .section .accordion-item { border: 0; }
#content .section .accordion-item .accordion-button { background: transparent; font-size: .92rem;
  padding-left: .4rem; color: #57606a; }
#content .section .accordion-item:only-child > .accordion-header { display: none; }
figure.figure { width: 100%; margin-bottom: .2rem; }
figure.figure img { width: 100%; max-width: 1300px; }
.figure-caption { max-width: 1100px; margin: .2rem auto 0; text-align: left !important; }
.pq-lead { font-size: 1.04rem; line-height: 1.45; max-width: 78em; margin: 0 0 .7rem; }
.pq-cards { display: grid; grid-template-columns: repeat(4, minmax(0, 1fr)); gap: .7rem;
  margin-bottom: .8rem; }
.pq-card { border: 1px solid #d8dee4; border-radius: 6px; padding: .45rem .7rem; min-width: 0; }
.pq-card h6 { font-size: .7rem; text-transform: uppercase; letter-spacing: .06em; color: #57606a;
  margin: 0 0 .1rem; }
.pq-card .pq-big { font-size: 1.15rem; font-weight: 600; overflow-wrap: anywhere;
  line-height: 1.25; }
.pq-card .pq-small { font-size: .82rem; color: #57606a; overflow-wrap: anywhere; }
.pq-columns { display: flex; flex-wrap: wrap; gap: .4rem 2rem; align-items: flex-start; }
.pq-columns > div { flex: 0 1 auto; min-width: 0; max-width: 100%; }
.pq-columns > div > :not(.pq-scroll) { width: 0; min-width: 100%; }
.pq-columns h6, .pq-heading { font-size: .9rem; font-weight: 600; margin: .2rem 0 .35rem; }
@media (max-width: 1100px) { .pq-cards { grid-template-columns: repeat(2, minmax(0, 1fr)); } }
.pq-scroll { overflow-x: auto; margin-bottom: .5rem; }
.pq-table { border-collapse: collapse; width: 100%; font-size: .85rem;
  font-variant-numeric: tabular-nums; }
.pq-table th, .pq-table td { padding: .22rem .5rem; border-bottom: 1px solid #e5e9ed;
  text-align: right; vertical-align: baseline; font-weight: 400; }
.pq-table thead th { border-bottom: 1.5px solid #8c959f; font-weight: 600;
  vertical-align: bottom; }
.pq-table th:first-child { text-align: left; }
.pq-table tbody tr:hover > * { background: #f6f8fa; }
.pq-table .pq-group th { background: #f3f5f7; font-weight: 600; color: #424a53;
  padding-top: .4rem; }
.pq-table.pq-words td { text-align: left; }
.pq-table.pq-words thead th { text-align: left; }
.pq-features { width: auto; min-width: 60%; }
.pq-features th:first-child { position: sticky; left: 0; background: #fff; z-index: 1;
  white-space: nowrap; }
.pq-features .pq-group th:first-child { background: #f3f5f7; }
.pq-features td { white-space: nowrap; }
.pq-features thead th { min-width: 5.2rem; }
.pq-when, .pq-unit { color: #57606a; font-weight: 400; font-size: .78rem; white-space: nowrap; }
.pq-delta { display: inline-block; min-width: 2.9rem; font-size: .8rem; color: #0b5394;
  white-space: nowrap; }
.pq-compact { font-size: .82rem; }
.pq-compact th, .pq-compact td { padding: .2rem .3rem; white-space: nowrap; }
.pq-compact.pq-stream th:first-child { white-space: normal; overflow-wrap: anywhere;
  min-width: 3.4rem; max-width: 9rem; }
.pq-numbers { width: auto; min-width: 70%; }
.pq-stream th:first-child { max-width: 9rem; overflow: hidden; text-overflow: ellipsis; }
.pq-stream td:nth-child(2), .pq-stream th:nth-child(2) { text-align: left; }
.pq-rule { color: #57606a; font-size: .78rem; }
.pq-none { color: #57606a; }
.pq-warn { color: #9a3d00; font-weight: 600; cursor: help; }
.pq-table sup, .pq-notes sup { font-size: .68rem; top: -.4em; line-height: 0; }
.pq-notes { font-size: .8rem; color: #424a53; max-width: 90em; margin: .2rem 0 .6rem;
  padding-left: 0; list-style: none; }
.pq-notes li { margin-bottom: .1rem; }
.pq-caution { border-left: 4px solid #d55e00; background: #fdf3ec; padding: .4rem .7rem;
  font-size: .85rem; margin: .4rem 0 .7rem; }
.pq-notice { border-left: 4px solid #e69f00; background: #fef8ea; padding: .4rem .7rem;
  font-size: .85rem; margin: .5rem 0 0; }
.pq-notice ul { margin: 0; padding-left: 1.1rem; }
.pq-badge { display: inline-block; padding: .02rem .45rem; border-radius: 999px; font-size: .76rem;
  font-weight: 600; white-space: nowrap; }
.pq-good { background: #d9f2ea; color: #00573f; }
.pq-fair { background: #fdeecb; color: #6b4800; }
.pq-poor { background: #fbdfd0; color: #8a3300; }
.pq-not-checked { background: #eceff2; color: #57606a; }
.pq-strip { position: relative; margin: 0 0 .9rem; font-size: .78rem; }
.pq-lane { position: relative; height: 1.7rem; background: #f3f5f7; border-radius: 3px;
  margin-bottom: 3px; overflow: hidden; }
.pq-lane.pq-thin { height: 1.15rem; }
.pq-lane.pq-ticks { height: .8rem; }
.pq-seg { position: absolute; top: 0; bottom: 0; overflow: hidden; white-space: nowrap;
  text-overflow: ellipsis; padding: .28rem .35rem; border-left: 2px solid #fff; color: #24292f; }
.pq-thin .pq-seg { padding: .05rem .3rem; border: 1px solid #6e7781;
  background: repeating-linear-gradient(45deg, #e7ebef, #e7ebef 4px, #f8fafb 4px, #f8fafb 8px); }
.pq-tick { position: absolute; top: 0; bottom: 0; width: 2px; background: #24292f; }
.pq-tick.pq-cuff { width: 7px; margin-left: -3px; height: 7px; top: 3px; border-radius: 50%;
  background: #0072b2; }
.pq-axis { position: relative; height: 1.1rem; color: #57606a; }
.pq-axis span { position: absolute; transform: translateX(-50%); white-space: nowrap; }
.pq-axis span:first-child { transform: none; }
.pq-axis span:last-child { transform: translateX(-100%); }
.pq-rows { display: grid; grid-template-columns: 6.2rem minmax(0, 1fr); column-gap: .6rem; }
.pq-rows > b { font-weight: 400; color: #57606a; line-height: 1.7rem; }
.pq-rows > b.pq-low { line-height: 1.15rem; }
.pq-rows > b.pq-lower { line-height: .8rem; }
.pq-methods { max-width: 78em; line-height: 1.5; }
.pq-mono { font-family: ui-monospace, Menlo, Consolas, monospace; font-size: .8rem;
  overflow-wrap: anywhere; }
@media print { #toc, #top-bar, footer { display: none; } #content { width: 100%; margin: 0; } }
"""
