"use strict";
const D = JSON.parse(document.getElementById("payload").textContent);
const $ = id => document.getElementById(id);
const pct = (v, digits = 1) => v == null ? "–" : (100 * v).toFixed(digits);
/** A difference in points with its sign; what rounds to nothing has none. */
const sign = v => { const text = Math.abs(100 * v).toFixed(1); return text === "0.0" ? text : (v > 0 ? "+" : "\u2212") + text };
const count = n => n == null ? "–" : n.toLocaleString("en-US").replace(/,/g, "\u202f");
const ONLY = "score"; // the label of an axis that the sweep lacks
const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const HUES = [216, 28, 152, 330, 265, 190, 55, 0];

function el(tag, attrs = {}, ...kids) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(attrs)) {
    if (name === "class") e.className = value; else if (name === "style") e.style.cssText = value; else e.setAttribute(name, value);
  }
  for (const kid of kids) if (kid != null) e.append(kid);
  return e;
}
function svg(tag, attrs = {}, text) {
  const e = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const name in attrs) e.setAttribute(name, attrs[name]);
  if (text != null) e.textContent = text;
  return e;
}
const isCell = x => x instanceof Node && (x.tagName === "TD" || x.tagName === "TH");
function row(tag, ...cells) {
  const tr = el("tr");
  for (const c of cells) tr.append(isCell(c) ? c : el(tag, {}, c));
  return tr;
}
const stars = p => p == null ? "" : p < .001 ? "***" : p < .01 ? "**" : p < .05 ? "*" : "";
const average = values => values.length && values.every(v => v != null) ? values.reduce((a, b) => a + b, 0) / values.length : null;
/** Half of the 95 % interval of a mean over rows. */
const halfOf = m => m.half ?? (m.se == null ? null : 1.96 * m.se);
/** What the runs of a cell differ by, such as seeds. */
const spread = r => r ? `${r.sd == null ? "" : `sd ${pct(r.sd)}, `}${r.n < r.of ? `${r.n} of ` : ""}${r.of} run${r.of === 1 ? "" : "s"}` : "";
const each = r => r ? r.values.map(([name, v]) => `${name}: ${pct(v)}`).join(", ") : "";
const side = delta => delta.low > 0 ? "up" : delta.high < 0 ? "down" : "";

function themes() {
  const root = document.documentElement;
  if (D.theme !== "auto") root.dataset.theme = D.theme;
  $("theme").onclick = () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  };
}

/* ---- scores ---- */
const whole = () => D.table.rows.filter(r => !D.table.left_out.includes(r.label));
const floorOf = r => r.chance == null && r.majority == null ? null : Math.max(r.chance ?? 0, r.majority ?? 0);
function ranking() {
  const t = D.table, box = $("ranking"), rows = whole(), floor = average(rows.map(floorOf));
  const means = t.columns.map((name, i) => ({ name, mean: t.means[i] })).filter(m => m.mean);
  if (!means.length) { box.remove(); $("rankkey").remove(); return }
  const best = means.reduce((a, b) => b.mean.value > a.mean.value ? b : a);
  const grid = el("div", { class: "rank" }), clip = v => Math.min(100, Math.max(0, 100 * v));
  for (const { name, mean } of means) {
    // One row is no mean: its own interval, which is not even and not nothing where all is right.
    const only = rows.length === 1 ? rows[0].cells[t.columns.indexOf(name)] : null;
    const half = only ? (only.high - only.low) / 2 : halfOf(mean) ?? 0, low = only?.low ?? mean.value - half, high = only?.high ?? mean.value + half;
    const track = el("div", { class: "track" });
    track.append(el("i", { class: name === best.name ? "best" : "", style: `width:${clip(mean.value)}%` }));
    track.append(el("u", { style: `left:${clip(low)}%;width:${clip(high) - clip(low)}%` }));
    if (floor != null) track.append(el("em", { style: `left:${clip(floor)}%`, title: `without looking: ${pct(floor)}` }));
    const delta = mean.delta && { value: mean.delta[0], low: mean.delta[1], high: mean.delta[2] };
    const text = el("span", {}, el("b", {}, pct(mean.value)), el("span", { class: "s" }, mean.se == null ? " " : ` ±${pct(half)} `));
    if (delta) text.append(el("span", { class: side(delta) }, sign(delta.value)));
    grid.append(el("span", { class: "name", title: name }, name), track, text);
  }
  box.append(grid);
  finding(best, means, floor, rows);
  $("rankkey").textContent = "Mean score with its 95 % interval (dark line)." + (floor == null ? "" : " Dashed: what the best answer reaches that never looks.")
    + (t.baseline ? ` Last number: difference to ${t.baseline}, coloured where its interval leaves out zero.` : "");
}
const adjustment = () => D.table.adjust === "bh" ? "Benjamini–Hochberg" : "Holm";
/** What a reader in a hurry takes along: who is best, whether that may be chance, and what it costs. */
function finding(best, means, floor, rows) {
  const t = D.table, box = $("finding"), bold = text => el("b", {}, text);
  const over = rows.length > 1 ? ` in the mean over ${rows.length} benchmarks` : rows[0].label === ONLY ? "" : ` in ${rows[0].label}`;
  if (best.name === ONLY) box.append(bold("The score"), " is "); else box.append(bold(best.name), means.length > 1 ? " scores highest, " : " scores ");
  box.append(bold(pct(best.mean.value) + " %"), over);
  if (floor != null) box.append(`; an answer that never looks at the picture would reach ${pct(floor)} %`);
  box.append(".");
  // Where nothing is above the baseline, the question is how the model fares that was to be.
  const others = best.name === t.baseline ? means.filter(m => m.mean.delta) : [];
  const told = best.mean.delta ? best : others.find(m => m.name === t.gain?.of) ?? others.at(-1);
  if (told) {
    const [value, low, high] = told.mean.delta;
    box.append(told === best ? ` Against ${t.baseline}: ` : ` Against it ${told.name} has `, el("b", { class: side({ low, high }) }, `${sign(value)} points`));
    box.append(low == null ? ", without an interval" : ` (95\u00a0%\u00a0interval ${sign(low)} to ${sign(high)})` + (low > 0 || high < 0 ? "" : ", which may be chance"), ".");
    const at = t.columns.indexOf(told.name), sure = rows.filter(r => r.cells[at].delta && r.cells[at].adjusted < .05);
    const named = up => sure.filter(r => r.cells[at].delta.value > 0 === up).map(r => r.label), [more, fewer] = [named(true), named(false)];
    const parts = [more.length && `above ${t.baseline} in ${more.join(", ")}`, fewer.length && `below it in ${fewer.join(", ")}`].filter(Boolean);
    if (rows.length > 1) box.append(` Tested on each benchmark (${adjustment()}), ` + (parts.length ? `it is ${parts.join(" and ")}.` : "none tells the two apart."));
  }
  const spent = t.columns.map((name, i) => ({ name, cost: t.rows.map(r => r.cells[i].cost).filter(c => c != null).reduce((a, b) => a + b, 0) })).filter(s => s.cost);
  if (spent.length) box.append(` Their replies cost ${spent.map(s => `${s.name} ${s.cost.toPrecision(3)}`).join(", ")} in the money of the models' prices.`);
}
function scoreCell(c, r) {
  if (c.value == null) return el("span", { class: "s", title: c.hole || "" }, "– " + (c.hole || ""));
  const floor = floorOf(r) ?? 0, gain = (c.value - floor) / Math.max(.05, gain_room(floor, c.value)), box = el("span", { class: "cell" });
  const color = gain >= 0 ? "var(--good)" : "var(--bad)", strength = Math.round(Math.min(1, Math.abs(gain)) * 30);
  const value = el("b", { class: "tint", style: `background:color-mix(in srgb,${color} ${strength}%,transparent)` }, pct(c.value));
  box.append(el("span", {}, value, el("span", { class: "s" }, c.low == null ? " no interval" : ` ±${pct((c.high - c.low) / 2)}`)));
  if (c.low != null) box.title = `95 % interval ${pct(c.low)} to ${pct(c.high)}`;
  if (c.runs) box.append(el("span", { class: "s", title: each(c.runs) }, spread(c.runs)));
  if (c.delta) {
    const title = `${sign(c.delta.low)} to ${sign(c.delta.high)}, p ${c.delta.p.toPrecision(2)} (${c.delta.test}), adjusted ${c.adjusted == null ? "–" : c.adjusted.toPrecision(2)}; ${c.delta.wins} won, ${c.delta.losses} lost`;
    box.append(el("span", { class: "s " + side(c.delta), title }, `${sign(c.delta.value)} ±${pct((c.delta.high - c.delta.low) / 2)} ${stars(c.adjusted)}`));
  }
  if (c.published) box.append(el("span", { class: "s", title: c.published }, "† published"));
  if (c.compat != null && Math.abs(c.compat - c.value) >= .005) box.append(el("span", { class: "s", title: "under the second profile" }, `compat ${pct(c.compat)}`));
  for (const what of ["refused", "failed", "truncated"]) if (c[what] >= .005) box.append(el("span", { class: "s warn" }, `${pct(c[what], 0)} % ${what === "truncated" ? "cut off" : what}`));
  if (c.unparsed >= .005) box.append(el("span", { class: "s warn" }, `${pct(c.unparsed, 0)} % unreadable`));
  return box;
}
const gain_room = (floor, value) => value >= floor ? 1 - floor : floor;
let sorted = { by: null, down: true };
const sortable = (r, by) => by === 0 ? r.label : by <= D.table.columns.length ? r.cells[by - 1].value : [r.n, r.chance, r.majority][by - 1 - D.table.columns.length];
function order(rows) {
  if (sorted.by == null) return rows;
  const rank = (a, b) => typeof a === "string" ? a.localeCompare(b) : (a ?? -1) - (b ?? -1);
  return [...rows].sort((a, b) => (sorted.down ? -1 : 1) * rank(sortable(a, sorted.by), sortable(b, sorted.by)));
}
function heading(name, by) {
  const button = el("button", { class: "sort", title: "Sort by " + (name || "name") }, name || "benchmark"), th = el("th", {}, button);
  if (sorted.by === by) { th.setAttribute("aria-sort", sorted.down ? "descending" : "ascending"); button.append(sorted.down ? " ↓" : " ↑") }
  button.onclick = () => {
    sorted = { by, down: sorted.by === by ? !sorted.down : by !== 0 };
    table();
    $("table").querySelectorAll("button.sort")[by].focus();
  };
  return th;
}
function table() {
  const t = D.table, out = $("table");
  out.replaceChildren(row("th", ...["", ...t.columns, "n", "chance", "majority"].map(heading)));
  for (const r of order(t.rows)) out.append(row("td", r.label, ...r.cells.map(c => scoreCell(c, r)), count(r.n), pct(r.chance), pct(r.majority)));
  if (t.rows.length > 1) {
    const cell = m => {
      if (!m) return "–";
      const box = el("span", { class: "cell" }, el("span", {}, el("b", {}, pct(m.value)), el("span", { class: "s" }, m.published ? " †" : m.se == null ? " no interval" : ` ±${pct(halfOf(m))}`)));
      if (m.runs) box.append(el("span", { class: "s", title: each(m.runs) }, spread(m.runs)));
      if (m.delta) box.append(el("span", { class: "s " + side({ low: m.delta[1], high: m.delta[2] }) }, sign(m.delta[0]) + (m.delta[1] == null ? "" : ` ±${pct((m.delta[2] - m.delta[1]) / 2)}`)));
      return box;
    };
    const tr = row("td", el("td", {}, el("b", {}, "mean")), ...t.means.map(cell), "", pct(average(whole().map(r => r.chance))), pct(average(whole().map(r => r.majority))));
    tr.className = "mean";
    out.append(tr);
  }
  const compared = t.baseline ? ` Second line: paired difference to ${t.baseline}, ± half of its 95 % interval; * p < 0.05, ** < 0.01, *** < 0.001 after ${adjustment()}.` : "";
  const over = t.over?.length ? ` Each score is the mean of its runs over ${t.over.join(", ")}; sd: standard deviation between them; intervals cover other questions and other runs.` : "";
  const differs = c => c.compat != null && c.value != null && Math.abs(c.compat - c.value) >= .005;
  const second = t.rows.some(r => r.cells.some(differs)) ? " compat: the score under the second profile, where it is another." : "";
  const holes = t.left_out.length ? ` The mean leaves out rows with a hole: ${t.left_out.join(", ")}.` : "";
  $("legend").textContent = "Percent; ± half of the 95 % interval. Green: above what is reached without looking, red: below." + over + compared + " chance: guessing among the options; majority: the best answer that never looks at the picture." + second + holes;
}

/* ---- from model to model ---- */
function slopes() {
  const t = D.table, box = $("slopes"), rows = t.rows.filter(r => r.cells.filter(c => c.value != null).length > 1);
  if (t.columns.length < 2 || !rows.length) { box.remove(); return }
  const W = 1000, H = 380, L = 46, R = 190, X = i => L + (W - L - R) * i / (t.columns.length - 1);
  const lines = rows.map((r, k) => ({ name: r.label, values: r.cells.map(c => c.value), color: `hsl(${HUES[k % HUES.length]} 60% 52%)`, dash: k >= HUES.length ? "6 4" : "none" }));
  if (t.means.every(m => m) && rows.length > 1) lines.push({ name: "mean", values: t.means.map(m => m.value), color: "var(--fg)", thick: true });
  const all = lines.flatMap(l => l.values).filter(v => v != null), low = Math.max(0, Math.floor(10 * Math.min(...all) - .4) / 10), high = Math.min(1, Math.ceil(10 * Math.max(...all) + .4) / 10);
  const Y = v => H - 34 - (H - 50) * (v - low) / (high - low || 1), out = svg("svg", { class: "plot", viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": "Scores from model to model" });
  for (let v = low, step = high - low > .5 ? .2 : .1; v < high + 1e-9; v += step) {
    out.append(svg("line", { class: "axis", x1: L, x2: W - R, y1: Y(v), y2: Y(v) }), svg("text", { x: L - 8, y: Y(v) + 4, "text-anchor": "end" }, pct(v, 0)));
  }
  t.columns.forEach((name, i) => out.append(svg("text", { x: X(i), y: H - 8, "text-anchor": "middle" }, name)));
  const ends = lines.map(l => ({ l, y: Y(l.values.findLast(v => v != null)) })).sort((a, b) => a.y - b.y);
  ends.forEach((e, i) => { if (i) e.y = Math.max(e.y, ends[i - 1].y + 13) });
  const over = Math.max(0, ends[ends.length - 1].y - (H - 30));
  for (const { l, y } of ends) {
    const group = svg("g", { class: "slope", tabindex: 0 }), known = l.values.map((v, i) => [i, v]).filter(p => p[1] != null);
    group.append(svg("title", {}, `${l.name}: ${known.map(([i, v]) => `${t.columns[i]} ${pct(v)}`).join(", ")}`));
    const d = known.map(([i, v], k) => (k ? "L" : "M") + X(i).toFixed(1) + " " + Y(v).toFixed(1)).join("");
    group.append(svg("path", { d, style: `stroke:${l.color};stroke-width:${l.thick ? 3.5 : 1.8};stroke-dasharray:${l.dash ?? "none"}` }));
    for (const [i, v] of known) group.append(svg("circle", { cx: X(i), cy: Y(v), r: l.thick ? 4 : 2.8, style: `fill:${l.color}` }));
    group.append(svg("text", { x: W - R + 10, y: y - over + 4, style: l.thick ? "font-weight:650;fill:var(--fg)" : "" }, `${l.name} ${pct(l.values.findLast(v => v != null))}`));
    out.append(group);
  }
  box.append(el("h3", {}, "From model to model"), out);
}

function gains() {
  const t = D.table, box = $("gains"), g = t.gain, rows = g ? t.columns.map((name, i) => ({ name, g: g.over[i] })).filter(r => r.g) : [];
  if (!rows.length) { box.remove(); return }
  const W = 1000, L = 170, R = 250, step = 26, H = 30 + step * rows.length, ends = rows.flatMap(r => [r.g.difference.low, r.g.difference.high, 0]);
  const low = Math.min(...ends), high = Math.max(...ends), X = v => L + (W - L - R) * (v - low) / (high - low || 1);
  const out = svg("svg", { class: "plot", viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": `What ${g.of} gains over each other model` });
  for (const v of [low, 0, high]) out.append(svg("line", { class: "axis", x1: X(v), x2: X(v), y1: 4, y2: H - 18, "stroke-width": v === 0 ? 2 : 1 }), svg("text", { x: X(v), y: H - 4, "text-anchor": "middle" }, v ? sign(v) : "0"));
  rows.forEach(({ name, g }, i) => {
    const d = g.difference, y = 18 + step * i, group = svg("g", { class: "gain " + side(d) });
    group.append(svg("title", {}, `${d.n} questions of ${g.rows} rows: ${d.wins} won, ${d.losses} lost; p ${d.p.toPrecision(2)} (${d.test}), adjusted ${g.adjusted.toPrecision(2)}`));
    group.append(svg("text", { x: L - 14, y: y + 4, "text-anchor": "end" }, "over " + name), svg("line", { x1: X(d.low), x2: X(d.high), y1: y, y2: y }), svg("circle", { cx: X(d.value), cy: y, r: 4.5 }));
    group.append(svg("text", { x: W - R + 14, y: y + 4 }, `${sign(d.value)} [${sign(d.low)}, ${sign(d.high)}] ${stars(g.adjusted)}`));
    out.append(group);
  });
  box.append(el("h3", {}, `What ${g.of} gains `, el("span", { class: "s" }, "points in the mean over benchmarks, on the same questions, with the 95 % interval of a bootstrap over clusters")), out);
}

/* ---- calibration ---- */
function diagram(m, c) {
  const W = 400, H = 330, L = 40, B = 74, T = 10, side = W - L - 12, X = v => L + side * v, Y = v => T + (H - T - B) * (1 - v);
  const out = svg("svg", { class: "plot", viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": `Confidence and accuracy of ${m}` });
  for (const v of [0, .25, .5, .75, 1]) {
    out.append(svg("line", { class: "axis", x1: X(0), x2: X(1), y1: Y(v), y2: Y(v) }), svg("text", { x: L - 6, y: Y(v) + 3.5, "text-anchor": "end" }, pct(v, 0)));
    out.append(svg("text", { x: X(v), y: H - 4, "text-anchor": "middle" }, pct(v, 0)));
  }
  const most = Math.max(...c.raw.bins.map(b => b.n)), base = H - 34;
  for (const b of c.raw.bins) {
    const group = svg("g", { class: "bin" }), x = X(b.confidence), h = 22 * b.n / most;
    group.append(svg("title", {}, `${count(b.n)} questions: confidence ${pct(b.confidence)}, right ${pct(b.accuracy)} (${pct(b.low)} to ${pct(b.high)})`));
    group.append(svg("rect", { class: "said", x: X(b.from) + 1, width: side / 10 - 2, y: Y(b.accuracy), height: Y(0) - Y(b.accuracy) }));
    group.append(svg("line", { class: "whisker", x1: x, x2: x, y1: Y(b.low), y2: Y(b.high) }), svg("circle", { cx: x, cy: Y(b.accuracy), r: 3.2 }));
    group.append(svg("rect", { class: "n", x: X(b.from) + 1, width: side / 10 - 2, y: base - h, height: h }), svg("text", { x: X(b.from + .05), y: base + 12, "text-anchor": "middle" }, count(b.n)));
    out.append(group);
  }
  out.append(svg("path", { class: "ideal", d: `M${X(0)} ${Y(0)}L${X(1)} ${Y(1)}` }));
  for (const b of c.held_out ? c.held_out.bins : []) out.append(svg("circle", { class: "held", cx: X(b.confidence), cy: Y(b.accuracy), r: 3.6 }));
  const after = c.held_out ? `; ${pct(c.held_out.ece)} at a fitted temperature (${c.temperature.toFixed(2)})` : "";
  return el("div", { class: "card" }, el("h3", {}, m + " ", el("span", { class: "s" }, `${count(c.n)} questions, ${pct(c.accuracy)} right, sure by ${pct(c.raw.confidence)}`)),
    el("p", { class: "s" }, `ECE ${pct(c.raw.ece)}${after} · NLL ${c.raw.nll.toFixed(3)}${c.held_out ? " → " + c.held_out.nll.toFixed(3) : ""} · Brier ${c.raw.brier.toFixed(3)}${c.held_out ? " → " + c.held_out.brier.toFixed(3) : ""}`), out);
}
function calibration() {
  const box = $("reliability");
  if (box) for (const m of D.runs) if (D.calibration[m]) box.append(diagram(m, D.calibration[m]));
}

/* ---- format against skill ---- */
function formats() {
  const out = $("formats"), models = D.models;
  const head = el("tr", {}, el("th"));
  for (const m of models) head.append(el("th", { colspan: 2 }, m));
  out.append(head, row("th", "", ...models.flatMap(() => ["readable", "skill"])));
  const find = (b, m) => {
    const c = D.table.rows.find(r => r.label === b)?.cells[models.indexOf(m)];
    return c?.unparsed == null ? null : { format: 1 - c.unparsed, skill: c.skill, truncated: c.truncated, failed: c.failed };
  };
  const line = (label, cells) => row("td", label, ...cells.flatMap(f => {
    if (!f) return ["–", "–"];
    const why = [f.truncated >= .005 && `${pct(f.truncated, 0)} % cut off`, f.failed >= .005 && `${pct(f.failed, 0)} % failed`].filter(Boolean).join(", ");
    return [el("td", { class: f.format < .98 ? "warn" : "", title: why }, pct(f.format)), el("td", {}, pct(f.skill))];
  }));
  for (const b of D.benches) out.append(line(b, models.map(m => find(b, m))));
  if (D.benches.length > 1) {
    const mean = (m, key) => average(D.benches.map(b => find(b, m)).filter(Boolean).map(f => f[key]));
    const tr = line("mean", models.map(m => ({ format: mean(m, "format"), skill: mean(m, "skill"), truncated: 0, failed: 0 })));
    tr.className = "mean";
    out.append(tr);
  }
}

/* ---- one benchmark ---- */
const NAMES = { letter: "letters", letters: "sets of letters", option: "options by text", yes_no: "yes or no", number: "numbers", text: "texts" };
function bench() {
  const b = $("bench").value, g = $("groups"), h = $("hist"), by = D.groups[b] || {};
  g.replaceChildren(); h.replaceChildren();
  for (const name of [...new Set(Object.values(by).flatMap(Object.keys))]) {
    const have = D.models.filter(m => by[m] && by[m][name]), values = [...new Set(have.flatMap(m => Object.keys(by[m][name])))];
    if (values.length < 2) continue;
    const head = row("th", name, ...have, "n");
    head.className = "part";
    g.append(head);
    for (const v of values) {
      const cells = have.map(m => {
        const e = by[m][name][v];
        return e ? el("td", { title: e.low == null ? "no interval" : `95 % interval ${pct(e.low)} to ${pct(e.high)}` }, pct(e.value)) : "–";
      });
      g.append(row("td", v, ...cells, count(by[have[0]][name][v]?.n)));
    }
  }
  if (!g.children.length) g.append(row("td", el("td", { class: "s" }, "This benchmark has no groups.")));
  const all = D.histograms[b] || {}, sorts = [...new Set(Object.values(all).flat().map(x => x.of))];
  for (const of of sorts) for (const m of D.models) {
    const one = (all[m] || []).find(x => x.of === of);
    if (!one) continue;
    const most = Math.max(...one.bars.map(x => Math.max(x.said, x.right)), one.unreadable, 1), width = n => `width:${(100 * n / most).toFixed(1)}%`;
    const grid = el("div", { class: "hist" });
    for (const x of one.bars) {
      const bars = el("span", { class: "b" }, el("i", { class: "said", style: width(x.said) }), el("i", { class: "right", style: width(x.right) }));
      const title = `said ${x.said} times, right ${x.right} times, both ${x.hit} times`;
      grid.append(el("span", { class: "a", title: x.answer }, x.answer), bars, el("span", { class: "s", title }, `${pct(x.said / one.n, 0)} / ${pct(x.right / one.n, 0)} %`));
    }
    if (one.unreadable) grid.append(el("span", { class: "a s" }, "unreadable"), el("span", { class: "b" }, el("i", { class: "gone", style: width(one.unreadable) })), el("span", { class: "s" }, pct(one.unreadable / one.n, 0) + " %"));
    h.append(el("div", {}, el("h3", {}, `${m} `, el("span", { class: "s" }, NAMES[of] || of)), grid));
  }
  if (!h.children.length) h.append(el("p", { class: "s" }, "Points, pairs and replies that a judge marks have no histogram; see them among the samples."));
}

/* ---- data ---- */
function funnel() {
  const box = $("funnel");
  if (!box) return;
  const steps = D.funnel.steps, most = Math.max(1, ...steps.map(s => Math.max(s.rows_in ?? 0, s.rows_out ?? 0)));
  let sources = true;
  for (const s of steps) {
    if (sources && s.from.length && box.children.length) { box.append(el("div", { class: "rule" })); sources = false }
    const before = s.rows_in ?? s.counts.read ?? s.rows_out, after = s.rows_out, scale = n => 100 * n / most, grows = after > before;
    const track = el("div", { class: "track", style: `width:${scale(Math.max(before, after))}%` });
    track.append(el("i", { style: `width:${100 * (grows ? before : after) / Math.max(1, before, after)}%` }));
    const why = s.reasons.map(([what, reason, n]) => `${count(n)} ${what === "other" ? "" : what + ": "}${reason}`).join(" · ");
    const diff = before === after ? "" : grows ? ` +${count(after - before)}` : ` −${count(before - after)}`;
    const counts = Object.entries(s.counts).filter(([k]) => !["read", "kept", "dropped"].includes(k)).map(([k, n]) => `${k} ${count(n)}`).join(" · ");
    const middle = el("div", { class: grows ? "more" : "" }, track);
    if (why) middle.append(el("div", { class: "why" }, why)); else if (counts) middle.append(el("div", { class: "why" }, counts));
    const name = el("div", { class: "op", title: s.op }, s.op, s.label ? el("div", { class: "s" }, s.label) : null);
    box.append(name, middle, el("div", { class: "rows" }, el("b", {}, count(after)), el("span", { class: "s" }, diff)));
  }
  for (const part of D.funnel.makeup) {
    const most = Math.max(...part.values.map(v => v[1]), 1), grid = el("div", { class: "hist" });
    for (const [v, n] of part.values) grid.append(el("span", { class: "a", title: v }, v), el("span", { class: "b" }, el("i", { class: "said", style: `width:${100 * n / most}%` })), el("span", { class: "s" }, `${count(n)} · ${pct(n / D.funnel.rows, 0)} %`));
    $("makeup").append(el("div", { class: "card" }, el("h3", {}, `Rows by ${part.name}`), grid));
  }
}

/* ---- training ---- */
function smooth(points) {
  const near = Math.max(1, Math.round(points.length / 30));
  return points.map((p, i) => { const part = points.slice(Math.max(0, i - near), i + near + 1); return [p[0], part.reduce((a, q) => a + q[1], 0) / part.length] });
}
function plot(title, points, evals, zero) {
  const W = 400, H = 190, L = 42, all = points.concat(evals);
  if (!all.length) return "";
  const xs = all.map(p => p[0]), ys = all.map(p => p[1]), x0 = Math.min(...xs), x1 = Math.max(...xs, x0 + 1);
  const low = zero ? 0 : Math.min(...ys), high = zero ? Math.max(1, ...ys) : Math.max(...ys), y0 = low === high ? low - .5 : low, y1 = low === high ? high + .5 : high;
  const X = x => L + (W - L - 10) * (x - x0) / (x1 - x0), Y = y => H - 24 - (H - 38) * (y - y0) / (y1 - y0);
  const out = svg("svg", { class: "plot", viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": title });
  for (const f of [0, .25, .5, .75, 1]) {
    const y = y0 + f * (y1 - y0);
    out.append(svg("line", { class: "axis", x1: L, x2: W - 10, y1: Y(y), y2: Y(y) }), svg("text", { x: L - 6, y: Y(y) + 3.5, "text-anchor": "end" }, y.toPrecision(3)));
  }
  const path = (ps, cls) => out.append(svg("path", { class: cls, d: ps.map((p, i) => (i ? "L" : "M") + X(p[0]).toFixed(1) + " " + Y(p[1]).toFixed(1)).join("") }));
  out.append(svg("text", { x: L, y: H - 6 }, "step " + x0), svg("text", { x: W - 10, y: H - 6, "text-anchor": "end" }, "step " + x1));
  path(points, points.length > 60 ? "raw" : ""); if (points.length > 60) path(smooth(points), "");
  if (evals.length) path(evals, "eval");
  const last = points.length ? `ends at ${smooth(points)[points.length - 1][1].toPrecision(3)}` : "";
  return el("div", { class: "card" }, el("h3", {}, title + " ", el("span", { class: "s" }, last)), out);
}
function curves() {
  const box = $("curves");
  if (!box) return;
  for (const t of D.training) {
    box.append(plot(t.name + " – loss", t.loss, t.eval, false));
    if (t.accuracy.length) box.append(plot(t.name + " – preference accuracy", t.accuracy, [], true));
  }
}

/* ---- samples ---- */
const HEIGHT = 48, on = new Set();
let shown = [], chosen = -1; // places of the samples that the filters leave
/** The samples lie in blocks of their own, which are parsed when one of them is wanted. */
const blocks = new Map(), texts = new Map();
function block(b, at) {
  const id = `${b.id}-${at}`;
  if (!blocks.has(id)) blocks.set(id, JSON.parse($(id).textContent));
  return blocks.get(id);
}
const sample = place => { const b = D.samples[$("sbench").value]; return b && place != null ? block(b, Math.floor(place / b.block))[place % b.block] : null };
/** What a search looks through, in lower case; it is kept for the next letter that is typed. */
function text(b, m, place) {
  const key = b.id + "|" + m;
  if (!texts.has(key)) texts.set(key, Array.from({ length: b.n }, (_, i) => { const s = sample(i), r = s.r[m]; return r ? `${s.q} ${r.t ?? ""}`.toLowerCase() : "" }));
  return texts.get(key)[place];
}
const verdict = r => r.v == null ? "warn" : r.s >= .5 ? "up" : "down";
const tone = r => r.v == null ? "var(--warn)" : r.s >= .5 ? "var(--good)" : "var(--bad)";
function samples() {
  const b = D.samples[$("sbench").value], m = $("smodel").value, q = $("find").value.toLowerCase(), n = b ? b.n : 0;
  const wanted = (on.has("wrong") ? 1 : 0) | (on.has("unparsed") ? 2 : 0), differ = on.has("differ");
  shown = [];
  for (let i = 0; i < n; i++) {
    const mark = b.marks[m][i];
    if (mark !== "-" && (mark & wanted) === wanted && (!differ || b.differ[i] === "1") && (!q || text(b, m, i).includes(q))) shown.push(i);
  }
  $("count").textContent = `${count(shown.length)} of ${count(n)}`;
  $("list").scrollTop = 0;
  pick(0);
}
function paint() {
  const list = $("list"), m = $("smodel").value, top = Math.max(0, Math.floor(list.scrollTop / HEIGHT) - 4);
  const end = Math.min(shown.length, top + Math.ceil(list.clientHeight / HEIGHT) + 8);
  list.replaceChildren(el("div", { style: `height:${HEIGHT * shown.length}px` }));
  for (let i = top; i < end; i++) {
    const s = sample(shown[i]), r = s.r[m], line = el("div", { class: "row" + (i === chosen ? " on" : ""), role: "option", "aria-selected": i === chosen, style: `top:${HEIGHT * i}px` });
    for (const name of D.runs) if (s.r[name]) line.append(el("span", { class: "dot", title: name, style: `background:${tone(s.r[name])}` }));
    line.append(" " + s.q.slice(0, 80), el("br"), el("span", { class: "s" }, `${s.i} · ${r.v ?? "unreadable"} / ${s.k || "area"}`));
    line.onclick = () => pick(i);
    list.append(line);
  }
}
function overlay(s) {
  const out = svg("svg", { class: "over", viewBox: "0 0 100 100", preserveAspectRatio: "none" });
  if (s.a) out.append(svg("polygon", { points: s.a.map(v => 100 * v[0] + "," + 100 * v[1]).join(" "), fill: "#2f9e4455", stroke: "#37b24d", "stroke-width": .8 }));
  if (s.d) { const [x, y] = s.d.map(v => 100 * v); out.append(svg("path", { d: `M${x - 3} ${y}H${x + 3}M${x} ${y - 3}V${y + 3}`, stroke: "#37b24d", "stroke-width": 1.2, fill: "none" })) }
  D.runs.forEach((m, k) => {
    for (const [x, y, x2, y2] of (s.r[m] || {}).x || []) {
      const mine = m === $("smodel").value, color = `hsl(${HUES[k % HUES.length]} 85% 55%)`;
      const dot = x2 == null
        ? svg("circle", { cx: 100 * x, cy: 100 * y, r: mine ? 2.6 : 1.5, fill: color, stroke: "#fff", "stroke-width": .6 })
        : svg("rect", { x: 100 * Math.min(x, x2), y: 100 * Math.min(y, y2), width: 100 * Math.abs(x2 - x), height: 100 * Math.abs(y2 - y), fill: color, "fill-opacity": .12, stroke: color, "stroke-width": mine ? 1.4 : .7 });
      dot.append(svg("title", {}, m));
      out.append(dot);
    }
  });
  return out;
}
/** Where a picture lies: in the page, or beside it. */
const source = p => $("p" + p)?.textContent ?? D.pictures.beside[p];
function pictures(s) {
  const box = el("div", { class: "pics" });
  s.p.forEach((p, n) => {
    const src = source(p), gone = why => el("span", { class: "s" }, `Picture ${n + 1} ${why}.`);
    if (!src) { box.append(gone(D.pictures.absent[p] ?? "is not in this page")); return }
    const img = el("img", { src, alt: "picture " + (n + 1), loading: "lazy" }), pic = el("div", { class: "pic" }, img);
    img.onerror = () => pic.replaceWith(gone(`is not there: this page looks for it in ${src}, beside itself`));
    if (n === 0) { const mask = s.m && source(s.m); if (mask) pic.append(el("img", { class: "over", src: mask, alt: "target area" })); pic.append(overlay(s)) }
    box.append(pic);
  });
  return box;
}
function pick(i) {
  chosen = i; paint();
  const box = $("one"), s = sample(shown[i]);
  box.replaceChildren();
  if (!s) { box.append(el("p", { class: "s" }, "Nothing fits.")); return }
  box.append(el("div", { class: "s" }, [$("sbench").value, s.i, ...Object.entries(s.g).map(([k, v]) => k + ": " + v)].join(" · ")), pictures(s));
  const option = s.k && s.o.length ? [...s.k].map(c => s.o[LETTERS.indexOf(c)]).join("; ") : null;
  box.append(el("h3", {}, "Prompt"), el("pre", {}, s.t || s.q));
  box.append(el("h3", {}, "Right answer"), el("pre", {}, s.k ? s.k + (option && option !== s.k ? " – " + option : "") : "a point in the area"));
  const replies = el("div", { class: "grid narrow" });
  box.append(replies);
  for (const [k, m] of D.runs.entries()) {
    const r = s.r[m];
    if (!r) continue;
    const more = [r.u && "rule " + r.u, r.c != null && r.c !== r.s && "compat " + r.c.toFixed(2), r.o, r.n].filter(Boolean).join(" · ");
    const dot = el("span", { class: "dot", style: `background:hsl(${HUES[k % HUES.length]} 85% 55%)` });
    const sure = r.p ? el("div", { class: "s" }, "probabilities: " + r.p.map((p, i) => `${s.o.length ? LETTERS[i] : ["yes", "no"][i]} ${p.toFixed(2)}`).join(" · ")) : null;
    replies.append(el("div", {}, el("h3", {}, r.x ? dot : null, m + " ", el("span", { class: verdict(r) }, r.v == null ? "unreadable " : `${r.v} → ${r.s.toFixed(2)} `), el("span", { class: "s" }, more)), el("pre", {}, r.t ?? ""), sure));
  }
}
function keys(e) {
  const list = $("list"), page = Math.max(1, Math.floor(list.clientHeight / HEIGHT) - 1), last = shown.length - 1;
  const to = { ArrowDown: chosen + 1, j: chosen + 1, ArrowUp: chosen - 1, k: chosen - 1, PageDown: chosen + page, PageUp: chosen - page, Home: 0, End: last }[e.key];
  if (to == null || last < 0 || e.defaultPrevented) return;
  e.preventDefault();
  const next = Math.min(last, Math.max(0, to)), top = HEIGHT * next;
  if (top < list.scrollTop) list.scrollTop = top; else if (top + HEIGHT > list.scrollTop + list.clientHeight) list.scrollTop = top + HEIGHT - list.clientHeight;
  pick(next);
}
/** Keys that need no focus: while nobody writes, they move through the samples and switch their filters. */
function shortcuts(e) {
  if (e.ctrlKey || e.metaKey || e.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(e.target.tagName)) return;
  const filter = document.querySelector(`[data-k="${CSS.escape(e.key)}"]`);
  if (filter) filter.click(); else if (e.key === "/") { e.preventDefault(); $("find").focus() } else if (e.key === "j" || e.key === "k") keys(e);
}

function fill(id, values, then) {
  for (const v of values) $(id).append(el("option", {}, v));
  $(id).onchange = then;
}
themes(); ranking(); table(); slopes(); gains(); formats();
fill("bench", D.benches, bench); bench(); calibration(); funnel(); curves();
/** The samples come after this script, so that all above stands there before they are read. */
function browse() {
  fill("sbench", Object.keys(D.samples), samples); fill("smodel", D.runs, samples);
  if (D.runs.length) $("smodel").value = D.runs[D.runs.length - 1];
  for (const b of document.querySelectorAll("[data-f]")) b.onclick = () => { const f = b.dataset.f; if (!on.delete(f)) on.add(f); b.setAttribute("aria-pressed", b.classList.toggle("on")); samples() };
  $("find").oninput = samples; $("list").onscroll = paint; $("list").onkeydown = keys; document.addEventListener("keydown", shortcuts); samples();
  document.documentElement.dataset.ready = "yes";
}
