#include "report/html.h"

namespace nuclei {

// The five fates differ in colour (also for those who see few of them) and in how the line is drawn. The
// outlines lie on pictures of any colour, so their colours are the same in light and dark, over a dark
// casing.
const char* const report_style = R"css(
:root {
  color-scheme: light dark;
  --page: #f6f7f5; --card: #ffffff; --text: #1b2426; --quiet: #5c6a6e; --line: #dfe4e2; --soft: #eef2f0;
  --accent: #0b6e63; --shadow: 0 1px 2px rgb(20 40 40 / 6%), 0 4px 16px rgb(20 40 40 / 5%);
  --s1: #0b6e63; --s2: #c4490a; --s3: #2a63b8; --s4: #8c3f8f; --s5: #7d898c;
  --correct: #19c79a; --missed: #ff5b3a; --extra: #ffd633; --merged: #ee82ff; --split: #45a6ff;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #101517; --card: #182022; --text: #e7ecec; --quiet: #98a6a9; --line: #2c383b; --soft: #1f292b;
    --accent: #4fd1bd; --shadow: none;
    --s1: #4fd1bd; --s2: #ff9457; --s3: #79aefc; --s4: #d79bdc; --s5: #93a1a5;
  }
}
* { box-sizing: border-box; }
html { scroll-behavior: smooth; }
body {
  margin: 0; background: var(--page); color: var(--text);
  font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", sans-serif;
  -webkit-text-size-adjust: 100%;
}
main, header > div, footer { max-width: 1140px; margin: 0 auto; padding: 0 24px; }
header { background: var(--card); border-bottom: 1px solid var(--line); padding: 34px 0 0; }
.eyebrow { font-size: 12px; letter-spacing: .12em; text-transform: uppercase; color: var(--accent); font-weight: 650; }
h1 { font-size: 28px; line-height: 1.25; letter-spacing: -.01em; margin: 6px 0 4px; font-weight: 680; overflow-wrap: anywhere; }
.subject { color: var(--quiet); margin: 0 0 18px; overflow-wrap: anywhere; }
nav { display: flex; flex-wrap: wrap; gap: 4px 22px; padding-bottom: 12px; font-size: 14px; }
nav a { color: var(--quiet); text-decoration: none; padding: 4px 0; border-bottom: 2px solid transparent; }
nav a:hover, nav a:focus-visible { color: var(--text); border-color: var(--accent); }
section { margin: 34px 0; scroll-margin-top: 16px; }
h2 { font-size: 19px; letter-spacing: -.005em; margin: 0 0 4px; font-weight: 660; }
h3 { font-size: 15px; margin: 0 0 10px; font-weight: 640; }
p { margin: 0 0 14px; max-width: 78ch; }
.quiet { color: var(--quiet); }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 20px 22px; box-shadow: var(--shadow); }
.grid { display: grid; gap: 18px; grid-template-columns: repeat(auto-fit, minmax(min(100%, 440px), 1fr)); }
.tiles { display: grid; gap: 14px; grid-template-columns: repeat(auto-fit, minmax(160px, 1fr)); margin: 26px 0 0; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 15px 17px 14px; box-shadow: var(--shadow); }
.tile b { display: block; font-size: 29px; line-height: 1.2; letter-spacing: -.02em; font-weight: 660; font-variant-numeric: tabular-nums; }
.tile span { display: block; font-size: 13px; color: var(--quiet); }
.tile .name { color: var(--text); font-weight: 560; margin-bottom: 3px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: 14px; }
th, td { padding: 7px 12px; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { font-weight: 600; color: var(--quiet); font-size: 12.5px; vertical-align: bottom; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
th:last-child, td:last-child { padding-right: 0; }
tbody tr:last-child td { border-bottom: 0; }
tbody tr:hover { background: var(--soft); }
td small { color: var(--quiet); font-size: 12px; margin-left: 6px; }
td.muted { color: var(--quiet); }
table.pairs td { text-align: left; white-space: normal; overflow-wrap: anywhere; }
table.pairs td:first-child { color: var(--quiet); width: 34%; }
table.dense { font-size: 13.5px; }
table.dense th, table.dense td { padding-left: 6px; padding-right: 6px; white-space: nowrap; }
table.dense th:first-child, table.dense td:first-child { padding-left: 0; }
table.dense th:last-child, table.dense td:last-child { padding-right: 0; }
table.dense th { white-space: normal; }
table.dense td small { margin: 0; font-size: 11.5px; }
table.long { font-size: 13px; }
table.long td:first-child { max-width: 260px; overflow: hidden; text-overflow: ellipsis; }
table.long th button { all: unset; cursor: pointer; }
table.long th button:hover, table.long th button:focus-visible { color: var(--text); text-decoration: underline; }
details > summary { cursor: pointer; font-weight: 600; }
details[open] > summary { margin-bottom: 12px; }
.stack { display: flex; height: 22px; border-radius: 6px; overflow: hidden; gap: 2px; margin: 4px 0 14px; }
.stack i { display: block; min-width: 2px; }
.fates { display: grid; grid-template-columns: repeat(auto-fit, minmax(190px, 1fr)); gap: 12px 24px; }
.fates div { display: grid; grid-template-columns: 40px 1fr; align-items: start; font-size: 14px; }
.fates b { font-variant-numeric: tabular-nums; }
.fates small { display: block; color: var(--quiet); font-size: 12.5px; line-height: 1.4; }
.fates svg { margin-top: 5px; }
.sample rect { fill: #20292c; }
.sample .out { stroke-width: 2.4; }
.bg-correct { background: var(--correct); } .bg-missed { background: var(--missed); }
.bg-merged { background: var(--merged); } .bg-split { background: var(--split); }

.chart { position: relative; }
.chart svg { display: block; width: 100%; height: auto; overflow: visible; }
.chart .grid, .chart .axis { stroke: var(--line); stroke-width: 1; }
.chart .axis { stroke: var(--quiet); }
.chart text { fill: var(--quiet); font-size: 12px; font-variant-numeric: tabular-nums; }
.chart .end { text-anchor: end; } .chart .middle { text-anchor: middle; }
.curve { fill: none; stroke-width: 2.2; stroke-linejoin: round; stroke-linecap: round; }
.curve.dashed { stroke-dasharray: 5 5; }
.curve.s1 { stroke: var(--s1); } .curve.s2 { stroke: var(--s2); } .curve.s3 { stroke: var(--s3); } .curve.s4 { stroke: var(--s4); } .curve.s5 { stroke: var(--s5); }
.dot.s1, .bar.s1 { fill: var(--s1); } .dot.s2, .bar.s2 { fill: var(--s2); } .dot.s3, .bar.s3 { fill: var(--s3); } .dot.s4, .bar.s4 { fill: var(--s4); } .dot.s5, .bar.s5 { fill: var(--s5); }
.legend { display: flex; flex-wrap: wrap; gap: 4px 18px; margin: 0 0 8px; font-size: 13px; color: var(--quiet); }
.swatch { display: inline-block; width: 20px; height: 0; border-top: 3px solid; vertical-align: middle; margin-right: 7px; }
.swatch.dashed { border-top-style: dashed; }
.swatch.s1 { border-color: var(--s1); } .swatch.s2 { border-color: var(--s2); } .swatch.s3 { border-color: var(--s3); } .swatch.s4 { border-color: var(--s4); } .swatch.s5 { border-color: var(--s5); }
.cursor { stroke: var(--quiet); stroke-dasharray: 3 3; }
.tip {
  position: absolute; pointer-events: none; z-index: 2; background: var(--text); color: var(--page); border-radius: 8px;
  padding: 7px 11px; font-size: 12.5px; line-height: 1.5; white-space: nowrap; font-variant-numeric: tabular-nums;
}
.tip i { display: inline-block; width: 9px; height: 9px; border-radius: 50%; margin-right: 6px; }

.toolbar { display: flex; flex-wrap: wrap; gap: 6px 18px; align-items: center; margin: 2px 0 18px; font-size: 14px; }
.toolbar label { display: inline-flex; align-items: center; gap: 7px; cursor: pointer; }
.toolbar input { accent-color: var(--accent); margin: 0; }
.gallery { display: grid; gap: 18px; grid-template-columns: repeat(auto-fill, minmax(min(100%, 300px), 1fr)); margin-bottom: 28px; }
figure { margin: 0; background: var(--card); border: 1px solid var(--line); border-radius: 12px; overflow: hidden; box-shadow: var(--shadow); }
figure button { all: unset; display: block; width: 100%; cursor: zoom-in; background: #0b0e0f; }
figure button:focus-visible { outline: 3px solid var(--accent); outline-offset: -3px; }
figure button svg { display: block; width: 100%; height: 300px; }
figcaption { padding: 12px 15px 13px; font-size: 13px; line-height: 1.5; }
figcaption b { display: block; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; font-weight: 600; }
figcaption span { color: var(--quiet); display: block; font-variant-numeric: tabular-nums; }
.case { fill: none; stroke: #000; stroke-opacity: .55; stroke-width: 3.2; vector-effect: non-scaling-stroke; stroke-linejoin: round; }
.out { fill: none; stroke-width: 1.7; vector-effect: non-scaling-stroke; stroke-linejoin: round; }
.out.correct { stroke: var(--correct); }
.out.missed { stroke: var(--missed); stroke-dasharray: 5 3; }
.out.extra { stroke: var(--extra); }
.out.merged { stroke: var(--merged); }
.out.merged.true { stroke-dasharray: 5 3; }
.out.split { stroke: var(--split); }
.out.split.true { stroke-dasharray: 5 3; }
.hide-correct g.correct, .hide-missed g.missed, .hide-extra g.extra, .hide-merged g.merged, .hide-split g.split { display: none; }
dialog { border: 0; padding: 0; max-width: 96vw; max-height: 96vh; background: #0b0e0f; color: #e7ecec; border-radius: 12px; overflow: hidden; }
dialog::backdrop { background: rgb(0 0 0 / 72%); }
dialog svg { display: block; width: min(96vw, calc((96vh - 52px) * var(--aspect))); height: auto; cursor: zoom-out; }
dialog p { margin: 0; padding: 14px 18px; font-size: 14px; max-width: none; display: flex; gap: 20px; justify-content: space-between; overflow: hidden; }
dialog .out { stroke-width: 2.2; } dialog .case { stroke-width: 4; }
footer { color: var(--quiet); font-size: 13px; padding-top: 6px; padding-bottom: 44px; }
@media (max-width: 560px) { main, header > div, footer { padding-left: 16px; padding-right: 16px; } .card { padding: 16px; } }
@media print { nav, .toolbar { display: none; } .card, .tile, figure { break-inside: avoid; box-shadow: none; } }
)css";

const char* const report_script = R"js(
'use strict';
// Values of a chart under the pointer.
for (const svg of document.querySelectorAll('svg[data-hover]')) {
  const { label, points } = JSON.parse(svg.dataset.hover), box = svg.parentElement;
  const ns = 'http://www.w3.org/2000/svg', height = svg.viewBox.baseVal.height, width = svg.viewBox.baseVal.width;
  let marks = null, tip = null;
  const clear = () => { marks?.remove(); tip?.remove(); marks = tip = null; };
  svg.addEventListener('pointerleave', clear);
  svg.addEventListener('pointermove', (event) => {
    const area = svg.getBoundingClientRect(), scale = width / area.width, at = (event.clientX - area.left) * scale;
    let nearest = points[0].px;
    for (const p of points) if (Math.abs(p.px - at) < Math.abs(nearest - at)) nearest = p.px;
    const here = points.filter((p) => p.px === nearest);
    clear();
    marks = document.createElementNS(ns, 'g');
    const rule = marks.appendChild(document.createElementNS(ns, 'line'));
    for (const [name, value] of Object.entries({ class: 'cursor', x1: nearest, x2: nearest, y1: 14, y2: height - 46 }))
      rule.setAttribute(name, value);
    tip = document.createElement('div');
    tip.className = 'tip';
    tip.append(`${label} ${here[0].x}`);
    for (const p of here) {
      if (p.py !== undefined) {
        const dot = marks.appendChild(document.createElementNS(ns, 'circle'));
        for (const [name, value] of Object.entries({ class: `dot s${p.color}`, r: 4, cx: p.px, cy: p.py }))
          dot.setAttribute(name, value);
      }
      const row = tip.appendChild(document.createElement('div')), dot = row.appendChild(document.createElement('i'));
      dot.style.background = `var(--s${p.color})`;
      row.append(`${p.name}  ${p.y}`);
    }
    svg.append(marks);
    box.append(tip);
    const frame = box.getBoundingClientRect(), x = area.left - frame.left + nearest / scale;
    tip.style.left = (x + tip.offsetWidth + 16 < frame.width ? x + 12 : x - tip.offsetWidth - 12) + 'px';
    tip.style.top = Math.max(0, event.clientY - frame.top - tip.offsetHeight / 2) + 'px';
  });
}
// Which outlines are shown.
for (const box of document.querySelectorAll('[data-fate]'))
  box.addEventListener('change', () => document.body.classList.toggle('hide-' + box.dataset.fate, !box.checked));
// A picture as large as the window.
const dialog = document.querySelector('dialog');
for (const button of document.querySelectorAll('figure button')) {
  button.addEventListener('click', () => {
    const picture = button.querySelector('svg').cloneNode(true), view = picture.viewBox.baseVal;
    picture.style.setProperty('--aspect', view.width / view.height);
    const line = document.createElement('p'), caption = button.parentElement.querySelector('figcaption');
    for (const part of caption.children) line.appendChild(document.createElement('span')).textContent = part.textContent;
    dialog.replaceChildren(picture, line);
    dialog.showModal();
  });
}
dialog?.addEventListener('click', () => dialog.close());
// Tables that sort by the column that is clicked.
for (const table of document.querySelectorAll('table.long')) {
  table.querySelectorAll('th button').forEach((button, column) => {
    let up = column === 0;
    button.addEventListener('click', () => {
      const body = table.tBodies[0], value = (row) => row.cells[column].textContent;
      const rows = [...body.rows].sort((a, b) => {
        const x = value(a), y = value(b), n = Number(x) - Number(y);
        return (Number.isNaN(n) ? x.localeCompare(y) : n) * (up ? 1 : -1);
      });
      up = !up;
      body.append(...rows);
    });
  });
}
)js";

// The test of the report tells the new one when the script has changed.
const char* const report_script_sha256 = "NyL+jamEa4rO4ehmWVkNidv3KgblzJU7ihRHeVmqJZk=";

}  // namespace nuclei
