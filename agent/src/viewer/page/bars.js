// Bars of the waterfall, for one zoom: tint for the whole, solid where a span works itself, a thin line for the network,
// a line below for the critical path, a red cap where it failed.
import { el } from './dom.js';
import * as format from './format.js';

export function barsOf({ trace, x, w0, w1, width }) {
  const pathLine = (from, to) => (to < w0 || from > w1 ? null : el('span', { class: 'onpath', at: { left: x(Math.max(from, w0)), width: Math.max(2, x(Math.min(to, w1)) - x(Math.max(from, w0))) } }));

  function span(at, named) {
    const from = trace.start[at], to = from + trace.duration[at];
    const out = el('span', { class: 'bars' });
    if (to < w0 || from > w1) return out;
    const [inner, outer] = [trace.start[named], trace.start[named] + trace.duration[named]];
    const box = (className, a, b, least = 2) => {
      const [l, r] = [Math.floor(x(Math.max(a, w0))), Math.ceil(x(Math.min(b, w1)))];
      if (b >= w0 && a <= w1) out.append(el('span', { class: className, at: { left: l, width: Math.max(least, r - l) } }));
    };
    if (named !== at) {
      box('net', from, to);
    }
    box('wait', inner, outer);
    let own = inner;
    for (const child of trace.children[named]) {
      const [a, b] = [trace.start[child], trace.start[child] + trace.duration[child]];
      if (a > own) box('own', own, Math.min(a, outer), 1);
      own = Math.max(own, Math.min(b, outer));
    }
    if (own < outer || trace.duration[named] === 0) box('own', own, outer, 1);
    for (const end of named === at ? [at] : [at, named]) for (const [a, b] of trace.segments.get(end) || []) { const line = pathLine(a, b); if (line) out.append(line); }
    if (trace.failed(at)) out.append(el('span', { class: 'cap', at: { left: Math.ceil(x(Math.min(to, w1))) - 2 } }));
    out.append(barLabel(from, to, format.micros(trace.duration[at]), own, outer));
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
      for (const [a, b] of trace.segments.get(m) || []) { const line = pathLine(a, b); if (line) out.append(line); }
    }
    const how = group_.overlap < 0.1 ? `${format.micros(group_.total)} in ${group_.members.length} calls` : `${group_.members.length} calls in parallel, longest ${format.micros(group_.longest)}`;
    out.append(barLabel(trace.start[first], trace.start[last] + trace.duration[last], how));
    return out;
  }
  /** Beside the bar; where there is no room, on its last solid part, `own` to `outer`, else on the tint before that. */
  function barLabel(from, to, text, own = from, outer = to) {
    const l = x(Math.max(from, w0)), r = x(Math.min(to, w1)), need = text.length * 6.6 + 12;
    if (width - r > need) return el('span', { class: 'barlabel', at: { left: r + 6 } }, text);
    if (l > need) return el('span', { class: 'barlabel end', at: { right: width - l + 6 } }, text);
    const end = x(Math.min(outer, w1)), onSolid = end - x(Math.max(own, w0)) > need;
    return el('span', { class: `barlabel end inside ${onSolid ? 'onsolid' : ''}`, at: { right: width - (onSolid ? end : x(Math.min(own, w1))) + 6 } }, text);
  }
  return { pathLine, span, group };
}
