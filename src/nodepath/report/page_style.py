"""The page's style sheet: light and dark, phone and print."""

__all__ = ["STYLE"]

STYLE = """
:root { color-scheme: light dark; --text: #1b1f24; --page: #ffffff; --faint: #5b636d; --line: #d5d9de; --head: #f3f5f7;
  --link: #0b5cad; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e8eaed; --page: #16191d; --faint: #a5adb7; --line: #3a4048; --head: #22272d; --link: #7ab8ff; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1100px; padding: 1.2rem 1rem 3rem; background: var(--page); color: var(--text);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: .3rem 0 .6rem; overflow-wrap: anywhere; }
h2 { font-size: 1.35rem; margin: 2.2rem 0 .5rem; border-top: 1px solid var(--line); padding-top: 1.2rem;
  overflow-wrap: anywhere; }
h3 { font-size: 1.05rem; margin: 1.6rem 0 .3rem; }
p { margin: .4rem 0 .7rem; max-width: 75ch; overflow-wrap: anywhere; }
.lead { font-size: 1.08rem; }
.about, figcaption, caption, .notes { color: var(--faint); font-size: .9rem; }
figure { margin: .6rem 0 1rem; }
figcaption { max-width: 80ch; margin-top: .3rem; overflow-wrap: anywhere; }
.chart { width: 100%; }
.chart.vega-embed { display: block; padding: 0; }
.chart svg { display: block; max-width: 100%; height: auto; overflow: visible; }
.chart .failed { border: 1px solid var(--line); padding: .6rem; }
.split { display: grid; grid-template-columns: 3fr 2fr; gap: 2rem; align-items: start; }
.split > * { min-width: 0; }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: .1rem .9rem; margin: .3rem 0; padding: 0;
  font-size: .85rem; }
.legend li { display: flex; align-items: center; gap: .2rem; overflow-wrap: anywhere; }
.legend li:first-child { color: var(--faint); }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 1.5rem; }
.pair > * { min-width: 0; }
.wide { overflow-x: auto; -webkit-overflow-scrolling: touch; border: 1px solid var(--line); border-radius: 6px; }
.wide:focus-visible, th button:focus-visible { outline: 2px solid var(--link); outline-offset: -2px; }
table { border-collapse: collapse; width: 100%; font-size: .86rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding: .5rem .6rem; }
th, td { padding: .32rem .55rem; text-align: right; white-space: nowrap; border-top: 1px solid var(--line); }
th { background: var(--head); vertical-align: bottom; font-weight: 600; }
thead th { white-space: normal; min-width: 4.2rem; line-height: 1.2; padding: 0; }
th:first-child { text-align: left; position: sticky; left: 0; z-index: 1; }
tbody th { max-width: 11rem; overflow: hidden; text-overflow: ellipsis; font-weight: 500; }
th button { all: unset; cursor: pointer; display: block; width: 100%; padding: .4rem .55rem; }
th button::after { content: " \\2195"; color: var(--faint); font-size: .8em; }
th[aria-sort=ascending] button::after { content: " \\2191"; color: inherit; }
th[aria-sort=descending] button::after { content: " \\2193"; color: inherit; }
#vg-tooltip-element table { width: auto; }
#vg-tooltip-element td { border: 0; background: none; white-space: normal; padding: 2px 4px; }
@media (max-width: 720px) {
  .pair, .split { grid-template-columns: 1fr; gap: 0; }
  h1 { font-size: 1.35rem; }
  tbody th { max-width: 7.5rem; }
}
@media print {
  :root { color-scheme: light; --text: #000; --page: #fff; --faint: #333; --line: #bbb; --head: #eee; }
  body { max-width: none; padding: 0; font-size: 11pt; }
  .wide { overflow: visible; border: 0; }
  table { font-size: 7pt; }
  th, td { padding: 2px 3px; white-space: normal; }
  thead th { min-width: 0; }
  th button { padding: 2px 3px; }
  th button::after { content: none !important; }
  figure, tr { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
}
"""
