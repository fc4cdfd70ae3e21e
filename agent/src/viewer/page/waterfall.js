// What a waterfall shows, from the columns that the server sent: its rows, and the bars in them for one zoom. No object
// per span: rows are numbers in typed arrays.
import { colour, el } from './dom.js';
import * as format from './format.js';

export const SPAN = 0, GROUP = 1, GAP = 2, RULE = 3;
const MOST_GAPS = 5;
/** Width of the mark where bytes were lost, px. */
const HATCH = 14;
/** Height of a row, px. */
export const ROW = 26;

export class Trace {
  constructor(data) {
    Object.assign(this, data);
    const { columns } = data;
    this.count = columns.id.length;
    for (const name of ['start', 'duration', 'own']) this[name] = Float64Array.from(columns[name]);
    for (const name of ['parent', 'pair']) this[name] = Int32Array.from(columns[name]);
    this.ids = columns.id;
    this.segments = Map.groupBy(data.path, ([span]) => span);
    this.children = Array.from({ length: this.count }, () => []);
    for (let at = 0; at < this.count; at++) if (this.parent[at] >= 0) this.children[this.parent[at]].push(at);
    this.groupOf = new Int32Array(this.count).fill(-1);
    data.similar.forEach((group, at) => group.members.forEach((member) => (this.groupOf[member] = at)));
    this.gaps = this.findGaps();
  }

  /** Its parts of the critical path, each from and to. */
  onPath(at) { return (this.segments.get(at) || []).map(([, from, to]) => [from, to]); }
  text(column, at) { return this.strings[this.columns[column][at]]; }
  failed(at) { return this.columns.failed[at] === 1; }
  /** Its request is still under way. */
  isOpen(at) { return this.columns.open[at] === 1; }
  /** Bytes of it were lost, and with them its end. */
  lost(at) { return this.columns.lost[at] === 1; }
  /** Why it has no parent here; empty for one that has. */
  orphan(at) { return this.columns.orphan[at]; }
  isClient(at) { return this.pair[at] > at; }
  /** The end that a row is named by: a pair's server. */
  named(at, pairs) { return pairs && this.isClient(at) ? this.pair[at] : at; }

  /** Own time between two children that is worth a row: 5% of the trace, the five longest. */
  findGaps() {
    const least = this.duration[this.root] * 0.05;
    const found = [];
    for (const [span, segments] of this.segments) {
      if (this.isClient(span)) continue;
      const children = this.children[span];
      for (const [, from, to] of segments) {
        const isBetween = () => children.some((c) => this.start[c] + this.duration[c] <= from + 1) && children.some((c) => this.start[c] >= to - 1);
        if (to - from >= least && isBetween()) found.push({ span, from, to });
      }
    }
    return found.sort((a, b) => b.to - b.from - (a.to - a.from)).slice(0, MOST_GAPS);
  }
}

/** Longest that rows are laid out at a stretch, ms. */
const SLICE = 8;
/** Spans that are looked at between two looks at the clock. */
const STEP = 200;

/** The rows that are shown: kind, what (a span, a group or a gap by its number), depth, and the place among siblings. */
export function layout(trace, shown) {
  const steps = laying(trace, shown);
  for (;;) { const { done, value } = steps.next(); if (done) return value; }
}

/** The same in slices, between which the browser can do what else there is. */
export async function layoutInSlices(trace, shown) {
  const steps = laying(trace, shown);
  for (;;) {
    const until = performance.now() + SLICE;
    do { const { done, value } = steps.next(); if (done) return value; } while (performance.now() < until);
    await (globalThis.scheduler?.yield?.() ?? new Promise((go) => setTimeout(go)));
  }
}

function* laying(trace, { pairs, shut, opened }) {
  const kinds = [], whats = [], depths = [], places = [], sizes = [];
  const push = (kind, what, depth, place = 1, size = 1) => { kinds.push(kind); whats.push(what); depths.push(depth); places.push(place); sizes.push(size); };
  const stack = [];
  const roots = [];
  for (let at = 0; at < trace.count; at++) if (trace.parent[at] < 0) roots.push(at);
  const enter = (at, depth, place, size) => stack.push([SPAN, at, depth, place, size]);
  let laid = 0;
  for (const [number, root] of roots.entries()) {
    if (number === 1) push(RULE, 0, 0);
    enter(root, 0, number + 1, roots.length);
    while (stack.length) {
      if (++laid % STEP === 0) yield;
      const [kind, at, depth, place, size] = stack.pop();
      push(kind, at, depth, place, size);
      if (kind === GAP) continue;
      if (kind === GROUP) {
        const { members } = trace.similar[at];
        const median = trace.similar[at].total / members.length;
        const isOpen = opened.has(`g${at}`);
        for (let i = members.length - 1; i >= 0; i--) {
          const m = members[i];
          if (isOpen || trace.failed(m) || trace.duration[m] > median * 5) enter(m, depth + 1, i + 1, members.length);
        }
        continue;
      }
      if (shut.has(trace.ids[at])) continue;
      const owner = trace.named(at, pairs);
      const items = [];
      const seen = new Set();
      for (const child of trace.children[owner]) {
        const group = trace.groupOf[child];
        if (group < 0) items.push([SPAN, child, trace.start[child]]);
        else if (!seen.has(group)) {
          seen.add(group);
          items.push([GROUP, group, trace.start[child]]);
        }
      }
      trace.gaps.forEach((gap, number) => { if (gap.span === owner) items.push([GAP, number, gap.from]); });
      items.sort((a, b) => a[2] - b[2]);
      for (let i = items.length - 1; i >= 0; i--) stack.push([items[i][0], items[i][1], depth + 1, i + 1, items.length]);
    }
  }
  return { count: kinds.length, kind: Uint8Array.from(kinds), what: Int32Array.from(whats), depth: Int32Array.from(depths), place: Int32Array.from(places), size: Int32Array.from(sizes) };
}

/** The span that a row stands for; -1 for none. */
export function spanOf(trace, rows, row) {
  const what = rows.what[row];
  switch (rows.kind[row]) {
    case SPAN: return what;
    case GROUP: return trace.similar[what].members[0];
    case GAP: return trace.gaps[what].span;
    default: return -1;
  }
}

/** Whether a row has something below it. */
export function foldable(trace, rows, row, pairs) {
  if (rows.kind[row] === GROUP) return true;
  if (rows.kind[row] !== SPAN) return false;
  return trace.children[trace.named(rows.what[row], pairs)].length > 0;
}

/**
 * Bars: tint for the whole, solid where a span works itself, a thin line for the network, a line below for the critical
 * path, a red cap where it failed.
 */
export function barsOf({ trace, x, w0, w1, width }) {
  const pathLine = (from, to) => (to < w0 || from > w1 ? null : el('span', { class: 'onpath', at: { left: x(Math.max(from, w0)), width: Math.max(2, x(Math.min(to, w1)) - x(Math.max(from, w0))) } }));

  const pathLines = (at) => trace.onPath(at).map(([a, b]) => pathLine(a, b)).filter(Boolean);
  /** Where bytes were lost: behind the bar, as far as there is room. */
  const hatch = (at) => trace.lost(at) && el('span', { class: 'lost', title: 'Bytes of it were lost here: its end was not seen.', at: { left: Math.min(Math.ceil(x(trace.start[at] + trace.duration[at])), width - HATCH) } });

  function span(at, named) {
    const from = trace.start[at], to = from + trace.duration[at];
    const out = el('span', { class: 'bars' });
    if (to < w0 || from > w1) return out;
    const [inner, outer] = [trace.start[named], trace.start[named] + trace.duration[named]];
    // What is under way has no end to be drawn.
    const into = trace.isOpen(at) ? el('span', { class: 'fades' }) : out;
    if (into !== out) out.append(into);
    const box = (className, a, b, least = 2) => {
      const [l, r] = [Math.floor(x(Math.max(a, w0))), Math.ceil(x(Math.min(b, w1)))];
      if (b >= w0 && a <= w1) into.append(el('span', { class: className, at: { left: l, width: Math.max(least, r - l) } }));
    };
    if (named !== at) box('net', from, to);
    box('wait', inner, outer);
    let own = inner;
    for (const child of trace.children[named]) {
      const [a, b] = [trace.start[child], trace.start[child] + trace.duration[child]];
      if (a > own) box('own', own, Math.min(a, outer), 1);
      own = Math.max(own, Math.min(b, outer));
    }
    if (own < outer || trace.duration[named] === 0) box('own', own, outer, 1);
    for (const end of new Set([at, named])) out.append(...pathLines(end));
    if (trace.failed(at)) out.append(el('span', { class: 'cap', at: { left: Math.ceil(x(Math.min(to, w1))) - 2 } }));
    const took = format.micros(trace.duration[at]), cut = hatch(at) || hatch(named);
    if (cut) out.append(cut);
    out.append(into === out ? barLabel(from, to, took, own, outer, cut && HATCH) : barLabel(from, to, `${took} so far`, to));
    return out;
  }
  function group(group_) {
    const out = el('span', { class: 'bars' });
    const first = group_.members[0], last = group_.members.reduce((a, b) => (trace.start[b] + trace.duration[b] > trace.start[a] + trace.duration[a] ? b : a));
    let until = -1;
    for (const m of group_.members) {
      const l = Math.floor(x(trace.start[m])), r = Math.ceil(x(trace.start[m] + trace.duration[m]));
      if (r < 0 || l > width || r <= until) continue;
      out.append(el('span', { class: 'own each', at: { left: Math.max(l, until), width: Math.max(1, r - Math.max(l, until) - 1) } }));
      until = r;
      if (trace.lost(m)) out.append(hatch(m));
      out.append(...pathLines(m));
    }
    const how = group_.overlap < 0.1 ? `${format.micros(group_.total)} in ${group_.members.length} calls` : `${group_.members.length} calls in parallel, longest ${format.micros(group_.longest)}`;
    out.append(barLabel(trace.start[first], trace.start[last] + trace.duration[last], how));
    return out;
  }
  /** Beside the bar; where there is no room, on its last solid part, `own` to `outer`, else on the tint before that. */
  function barLabel(from, to, text, own = from, outer = to, beside = 0) {
    const l = x(Math.max(from, w0)), r = x(Math.min(to, w1)) + beside, need = text.length * 6.6 + 12;
    if (width - r > need) return el('span', { class: 'barlabel', at: { left: r + 6 } }, text);
    if (l > need) return el('span', { class: 'barlabel end', at: { right: width - l + 6 } }, text);
    const end = x(Math.min(outer, w1)), onSolid = end - x(Math.max(own, w0)) > need;
    return el('span', { class: `barlabel end inside ${onSolid ? 'onsolid' : ''}`, at: { right: width - (onSolid ? end : x(Math.min(own, w1))) + 6 + beside } }, text);
  }
  return { pathLine, span, group };
}

/** Draws all rows at once, small, and a frame around what of their time is shown. `ink` gives a colour by its name. */
export function drawOverview(canvas, { trace, rows, isPaired, ink, w0, w1, width: w }) {
  const ratio = devicePixelRatio || 1, h = 40;
  canvas.width = w * ratio;
  canvas.height = h * ratio;
  const draw = canvas.getContext('2d');
  draw.scale(ratio, ratio);
  const shown = Math.min(rows.count, 400);
  for (let row = 0; row < shown; row++) {
    const at = spanOf(trace, rows, row);
    if (at < 0 || rows.kind[row] === GAP) continue;
    draw.fillStyle = ink(trace.failed(at) && trace.cause === at ? 'error' : `s${colour(trace.text('service', trace.named(at, isPaired))).slice(1)}`);
    draw.fillRect((trace.start[at] / trace.length) * w, 2 + (row / Math.max(shown, 12)) * (h - 5), Math.max(1, (trace.duration[at] / trace.length) * w), 1.5);
  }
  draw.strokeStyle = ink('accent');
  draw.lineWidth = 2;
  draw.strokeRect((w0 / trace.length) * w + 1, 1, Math.max(2, ((w1 - w0) / trace.length) * w - 2), h - 2);
}
