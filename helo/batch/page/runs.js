"use strict";
// Sorts, filters and compares the rows that are in the page; makes text of everything it shows.
const at = (id) => document.getElementById(id);
const body = at("runs").tBodies[0], rows = [...body.rows], heads = [...at("runs").tHead.rows[0].cells];
const names = heads.map((head) => head.dataset.name);
const value = (row, i) => row.cells[i].dataset.v ?? row.cells[i].textContent.trim();
const isNumber = (text) => text !== "" && !Number.isNaN(Number(text));
const inWords = new Intl.Collator(undefined, { numeric: true });

function sortBy(i) {
  const down = heads[i].getAttribute("aria-sort") === "ascending";
  heads.forEach((head) => head.removeAttribute("aria-sort"));
  heads[i].setAttribute("aria-sort", down ? "descending" : "ascending");
  const keyed = rows.map((row) => [value(row, i), row]);
  const [full, empty] = [keyed.filter(([v]) => v !== ""), keyed.filter(([v]) => v === "")];
  const inOrder = full.every(([v]) => isNumber(v)) ? (a, b) => a - b : inWords.compare;
  full.sort(([a], [b]) => (down ? -1 : 1) * inOrder(a, b));
  body.append(...[...full, ...empty].map(([, row]) => row)); // what has no value comes last both ways
}
heads.forEach((head, i) => head.querySelector("button")?.addEventListener("click", () => sortBy(i)));

// "helo kl<0.05 protocol=subjects": words anywhere in a row's values, and conditions on columns; all must hold
const all = rows.map((row) => names.map((name, i) => (name ? value(row, i) : "")).join("\n").toLowerCase());
const shared = new Map([...document.querySelectorAll("details dl dt")]
  .map((dt) => [dt.textContent.toLowerCase(), dt.nextElementSibling.textContent]));
function holds(row, text, term) {
  const [, name, sign, wanted] = term.match(/^(.+?)(<=|>=|<|>|=)(.+)$/) ?? [];
  const i = names.findIndex((n) => n && n.toLowerCase() === name);
  const found = (i < 0 ? shared.get(name) : value(row, i))?.toLowerCase();
  if (found === undefined) return text.includes(term);
  if (sign === "=") return found === wanted || (isNumber(found) && isNumber(wanted) && +found === +wanted);
  if (!isNumber(found) || !isNumber(wanted)) return false;
  return { "<": +found < +wanted, ">": +found > +wanted, "<=": +found <= +wanted, ">=": +found >= +wanted }[sign];
}
function filter() {
  const terms = at("filter").value.toLowerCase().split(/\s+/).filter(Boolean), state = at("state").value;
  let shown = 0;
  rows.forEach((row, k) => {
    row.hidden = (state && row.dataset.state !== state) || !terms.every((term) => holds(row, all[k], term));
    shown += !row.hidden;
  });
  at("shown").textContent = `${shown} of ${rows.length} runs`;
}
at("filter").addEventListener("input", filter);
at("state").addEventListener("change", filter);

const ticked = []; // at most two: a third takes the place of the first
rows.forEach((row) => row.querySelector("input").addEventListener("change", (event) => {
  const box = event.target;
  if (box.checked) ticked.push(row); else ticked.splice(ticked.indexOf(row), 1);
  if (ticked.length > 2) ticked.shift().querySelector("input").checked = false;
  at("compare").disabled = ticked.length < 2;
}));

function make(tag, text, properties = {}) {
  return Object.assign(document.createElement(tag), { textContent: text }, properties);
}
function compare() {
  const pair = [...ticked], lines = [];
  names.forEach((name, i) => {
    if (!name) return;
    const found = pair.map((row) => value(row, i)), differs = found[0] !== found[1];
    if (name !== "run" && !found.every((v) => v === "")) lines.push({ name, found, differs, i });
  });
  const head = make("tr", "");
  head.append(make("th", ""), ...pair.map((row) => make("th", value(row, 2), { scope: "col" })));
  head.append(make("th", "difference", { scope: "col" }));
  at("values").replaceChildren(head, ...[...lines.filter((l) => l.differs), ...lines.filter((l) => !l.differs)].map((l) => {
    const line = make("tr", "", { className: l.differs ? "differs" : "" });
    const both = l.differs && l.found.every(isNumber);
    line.append(make("th", l.name, { scope: "row" }), ...pair.map((row) => make("td", row.cells[l.i].textContent.trim())));
    line.append(make("td", both ? Number((l.found[1] - l.found[0]).toPrecision(4)).toString() : l.differs ? "differs" : ""));
    return line;
  }));
  const pictures = pair.map((row) => [...row.querySelectorAll("img")]);
  const each = [...new Set(pictures.flat().map((image) => image.dataset.name))];
  at("pictures").replaceChildren(...each.flatMap((name) => pictures.map((held) => {
    const figure = make("figure", ""), image = held.find((one) => one.dataset.name === name);
    if (image) figure.append(image.cloneNode());
    figure.append(make("figcaption", image ? name : `no ${name}`));
    return figure;
  })));
  at("comparison").hidden = false;
  at("compared").focus();
}
at("compare").addEventListener("click", compare);
at("close").addEventListener("click", () => { at("comparison").hidden = true; at("compare").focus(); });
