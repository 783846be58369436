// How the pages look. Monospace is for data only; colour is for severity, links and focus.
export const STYLE: string = `
:root {
  color-scheme: light dark;
  --paper: light-dark(#ffffff, #16181c);
  --raised: light-dark(#f6f7f9, #1d2025);
  --text: light-dark(#1b1f24, #e3e6ea);
  --muted: light-dark(#57606a, #9aa4b0);
  --line: light-dark(#d8dde3, #343a42);
  --link: light-dark(#0550ae, #7db4ff);
  --fatal: light-dark(#a40e26, #ff9492);
  --fatal-back: light-dark(#ffebe9, #3c1618);
  --warning: light-dark(#7d4e00, #e9b44c);
  --warning-back: light-dark(#fff5d6, #332607);
  --good: light-dark(#116329, #7ee08f);
  --found: light-dark(#ffe26a, #6b5600);
  --mono: ui-monospace, 'SF Mono', 'Cascadia Mono', 'DejaVu Sans Mono', 'Liberation Mono', monospace;
  --gap: 2.5rem;
}
:root[data-theme='light'] { color-scheme: light; }
:root[data-theme='dark'] { color-scheme: dark; }
* { box-sizing: border-box; }
html { scroll-padding-top: 1rem; }
body {
  margin: 0; background: var(--paper); color: var(--text); overflow-wrap: anywhere;
  font: 15px/1.55 system-ui, -apple-system, 'Segoe UI', 'Noto Sans', 'DejaVu Sans', sans-serif;
  font-variant-numeric: tabular-nums;
}
a { color: var(--link); text-underline-offset: 0.15em; text-decoration-thickness: 1px; }
:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; border-radius: 2px; }
h1, h2, h3 { line-height: 1.25; font-weight: 600; margin: 0; }
h1 { font-size: 1.6rem; letter-spacing: -0.01em; }
h2 { font-size: 1.2rem; margin-bottom: 0.9rem; }
h3 { font-size: 0.95rem; margin: 1.5rem 0 0.5rem; color: var(--muted); }
p { margin: 0.5rem 0; max-width: 75ch; }
code, pre, td.data, .log, kbd { font-family: var(--mono); font-size: 0.8125rem; line-height: 1.5; }
.data, .log, pre, code { direction: ltr; unicode-bidi: bidi-override; }
.note { color: var(--muted); font-size: 0.875rem; }
.fatal { color: var(--fatal); }
.warning { color: var(--warning); }
.good { color: var(--good); }

.skip { position: absolute; left: -100vw; top: 0; padding: 0.5rem 1rem; background: var(--paper); z-index: 2; }
.skip:focus { left: 0; }
.frame { max-width: 1500px; margin: 0 auto; padding: 0 1rem; }
header.top { border-bottom: 1px solid var(--line); padding: 1.25rem 0 1.25rem; }
header.top .frame { display: flex; gap: 1rem; align-items: start; justify-content: space-between; flex-wrap: wrap; }
.kind { color: var(--muted); font-size: 0.875rem; margin: 0 0 0.25rem; }
.tools { display: flex; gap: 0.5rem; }
button, input {
  font: inherit; font-size: 0.875rem; color: inherit; background: var(--raised); border: 1px solid var(--line);
  border-radius: 5px; padding: 0.3rem 0.7rem;
}
button { cursor: pointer; }
button:hover { border-color: var(--muted); }
button[aria-pressed='true'] { background: var(--line); }
input { background: var(--paper); }
kbd { border: 1px solid var(--line); border-radius: 3px; padding: 0 0.35em; background: var(--raised); }

nav.sections ul { list-style: none; margin: 0; padding: 0.75rem 0; display: flex; flex-wrap: wrap; gap: 0.25rem 1.1rem; }
nav.sections a { text-decoration: none; color: var(--muted); font-size: 0.9rem; }
nav.sections a:hover { color: var(--link); text-decoration: underline; }
main > section { padding: 1.5rem 0 var(--gap); border-top: 1px solid var(--line); outline-offset: -2px; }
main > section:first-child { border-top: 0; }
@media (min-width: 1200px) {
  .layout { display: grid; grid-template-columns: 10.5rem minmax(0, 1fr); gap: 2.5rem; }
  nav.sections { position: sticky; top: 0; align-self: start; max-height: 100vh; overflow: auto; padding-top: 1rem; }
  nav.sections ul { flex-direction: column; gap: 0.4rem; }
}

.verdict { font-size: 1.15rem; line-height: 1.45; margin: 0 0 0.25rem; max-width: none; }
.verdict code { font-size: 1rem; }
dl.facts { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: 0.3rem 1.5rem; margin: 1rem 0 0; }
dl.facts dt { color: var(--muted); }
dl.facts dd { margin: 0; }
@media (max-width: 599px) {
  dl.facts { grid-template-columns: minmax(0, 1fr); gap: 0; }
  dl.facts dd { margin-bottom: 0.5rem; }
}
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 0.875rem; overflow-wrap: break-word; }
th, td { text-align: left; vertical-align: top; padding: 0.22rem 1rem 0.22rem 0; border-bottom: 1px solid var(--line); }
thead th { color: var(--muted); font-weight: 500; white-space: nowrap; }
tbody th { font-weight: 500; }
tbody tr:last-child > * { border-bottom: 0; }
td.number, th.number { text-align: right; white-space: nowrap; }
td.fixed, th.fixed { white-space: nowrap; overflow-wrap: normal; }
td.name { min-width: 9rem; }
.plain { width: auto; }
.dense td:last-child { overflow-wrap: anywhere; min-width: 8.5rem; }
.dense th, .dense td { padding-top: 0.08rem; padding-bottom: 0.08rem; }
dl.facts + details, .log + details, .log + .note { margin-top: 0.75rem; }

details > summary { cursor: pointer; }
.vcpu { border: 1px solid var(--line); border-radius: 6px; margin: 0.75rem 0; }
.vcpu > summary { padding: 0.55rem 0.9rem; }
.vcpu > summary h3 { display: inline; margin: 0; color: var(--text); font-size: 1rem; }
.vcpu > summary .note { margin-left: 0.75rem; }
.vcpu > div { padding: 0 0.9rem 0.9rem; }
.columns { display: grid; gap: 0 2.5rem; grid-template-columns: minmax(0, 1fr); }
@media (min-width: 1000px) { .columns { grid-template-columns: minmax(0, 6fr) minmax(0, 5fr); } }
.heading { display: flex; align-items: baseline; justify-content: space-between; gap: 1rem; }
.heading button { padding: 0.1rem 0.5rem; font-size: 0.8125rem; }
ol.frames { list-style: none; margin: 0; padding: 0; border-bottom: 1px solid var(--line); }
ol.frames > li { border-top: 1px solid var(--line); }
ol.frames summary { padding: 0.28rem 0; list-style: none; display: grid; gap: 0 0.75rem; align-items: baseline;
  grid-template-columns: 1.9rem minmax(0, 1fr) auto; }
ol.frames summary::-webkit-details-marker { display: none; }
ol.frames summary::before { content: counter(frame); color: var(--muted); font: 0.8125rem/1.5 var(--mono); text-align: right; }
ol.frames { counter-reset: frame -1; }
ol.frames > li.real { counter-increment: frame; }
ol.frames > li.event summary::before { content: '\\2013'; }
ol.frames summary:hover code { text-decoration: underline; text-decoration-thickness: 1px; }
ol.frames .place { color: var(--muted); display: block; }
ol.frames .how { color: var(--muted); font-size: 0.8125rem; }
ol.frames details[open] > summary { font-weight: 600; }
ol.frames details > div { padding: 0.1rem 0 0.7rem 2.65rem; }
ol.frames dl.facts { margin: 0; font-size: 0.875rem; }
ul.chain { list-style: none; margin: 0; padding: 0; }
pre.bytes { white-space: pre-wrap; }
.bytes .here { font-weight: 700; color: var(--fatal); text-decoration: underline; text-underline-offset: 0.2em; }

.bar { display: flex; flex-wrap: wrap; gap: 0.5rem; align-items: center; margin-bottom: 0.6rem; }
.bar label { color: var(--muted); font-size: 0.875rem; }
.bar input { flex: 0 1 22rem; min-width: 8rem; }
.bar output { color: var(--muted); font-size: 0.875rem; min-width: 9rem; }
/* Room for the number of a line. */
.log { --gutter: 3.2rem; }
.log.long { --gutter: 4.8rem; }
.log { border: 1px solid var(--line); border-radius: 6px; overflow: auto; max-height: 75vh; background: var(--raised); padding: 0.4rem 0; }
.log ol { list-style: none; margin: 0; padding: 0; width: max-content; min-width: 100%; }
.log li { margin-left: var(--gutter); padding-right: 1rem; position: relative; white-space: pre; min-height: 1.5em; tab-size: 8; overflow-wrap: normal; }
.log li::before { content: counter(list-item); position: absolute; left: calc(-1 * var(--gutter)); width: calc(var(--gutter) - 0.8rem); text-align: right;
  color: var(--muted); cursor: pointer; user-select: none; }
.log li.fatal, .log li.warning { box-shadow: calc(-1 * var(--gutter)) 0 0 var(--back); background: var(--back); }
.log li.fatal { --back: var(--fatal-back); }
.log li.warning { --back: var(--warning-back); }
.log li.current, .log li:target { outline: 2px solid var(--link); outline-offset: -1px; }
/* A piece has 250 lines of 19.5 px. */
.long .piece { content-visibility: auto; contain-intrinsic-size: auto 60rem auto 304.6875rem; }
::highlight(found) { background: var(--found); color: inherit; }
pre { margin: 0.5rem 0; padding: 0.7rem 0.9rem; border: 1px solid var(--line); border-radius: 6px; background: var(--raised);
  overflow: auto; max-height: 75vh; overflow-wrap: normal; tab-size: 8; }
.file { border-top: 1px solid var(--line); padding: 0.4rem 0; }
.file > summary code { font-size: 0.875rem; }
.source-xen { color: var(--muted); }

.pair { display: grid; gap: 1.5rem; grid-template-columns: minmax(0, 1fr); }
@media (min-width: 900px) { .pair { grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); } }
tr.only-a > :first-child, tr.only-b > :first-child, tr.differs > :last-child { color: var(--warning); font-weight: 600; white-space: nowrap; }
tr.both td { color: var(--muted); }

dialog { color: inherit; background: var(--paper); border: 1px solid var(--line); border-radius: 8px; padding: 1.25rem 1.5rem; max-width: 30rem; }
dialog::backdrop { background: rgb(0 0 0 / 0.4); }
footer { border-top: 1px solid var(--line); color: var(--muted); font-size: 0.875rem; padding: 1rem 0 2rem; }

@media print {
  :root, :root[data-theme] { color-scheme: light; }
  body { font-size: 10pt; }
  nav.sections, .tools, .bar, .skip, dialog, .heading button { display: none; }
  .layout { display: block; }
  .log, pre { max-height: none; overflow: visible; border: 0; padding: 0; background: none; }
  .log li, pre { white-space: pre-wrap; }
  .log ol { width: auto; }
  .long .piece { content-visibility: visible; }
  .log.long .piece:not(:last-child) { display: none; }
  h2, h3, summary { break-after: avoid; }
  a { color: inherit; text-decoration: none; }
}
`;
