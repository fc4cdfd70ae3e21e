// One trace: why, the critical path, the waterfall.
import { button, colour, copy, dot, drag, el, fill, icon, save, token, value, visible } from './dom.js';
import * as format from './format.js';
import { drawn, fact, once, rowsInSight } from './lens.js';
import { ask, change, fixedLink, list, listed, open, state } from './state.js';
import { GAP, GROUP, ROW, RULE, Trace, barsOf, drawOverview, foldable, layout, layoutInSlices, spanOf } from './waterfall.js';
import { panel } from './panel.js';

/** Time between two looks at a request that is under way. */
const GROWS = 2e3;

export function start(main, { rest: [id], signal }) {
  let trace = null, rows = null, selected = -1, w0 = 0, w1 = 1, cause = -1;
  const opened = listed('open'), shut = listed('shut');
  const pairs = () => state.params.get('pairs') !== '0';
  const head = el('div', { class: 'tracehead' });
  const why = el('div', { class: 'why' });
  const left = el('div', { class: 'lefthead' }, icon('search'), el('input', { placeholder: 'Find in trace', 'aria-label': 'Find in trace', oninput: (event) => find(event.target.value), onkeydown: (event) => { if (event.key === 'Enter') findNext(); } }), el('span', { class: 'dim small' }));
  const mini = el('canvas', { class: 'mini', 'aria-hidden': 'true' });
  const ruler = el('div', { class: 'ruler label' });
  const space = el('div', { class: 'space' });
  const grid = el('div', { class: 'gridlines' });
  const scroll = el('div', { class: 'waterfall', role: 'treegrid', 'aria-label': 'Spans', 'aria-activedescendant': 'here', tabindex: '0' }, grid, space);
  const side = el('aside', { class: 'panel', hidden: true, 'aria-label': 'Span' });
  const body = el('div', { class: 'tracebody grow' }, why, el('div', { class: 'wfhead' }, left, el('div', { class: 'righthead' }, mini, ruler)), scroll);
  fill(main, el('div', { class: 'trace' }, head, el('div', { class: 'row stretch grow' }, body, side)));
  const inSight = rowsInSight(scroll, space, { height: ROW, count: () => rows.count, shows, make: rowNode });
  scroll.addEventListener('scroll', () => requestAnimationFrame(() => inSight.draw()), { passive: true, signal });
  space.addEventListener('click', ({ target }) => { const row = target.closest('.wf')?.row; if (row !== undefined) target.closest('button.fold') ? toggle(row) : select(row); });
  addEventListener('resize', redraw, { signal });

  const get = () => ask(`/view/trace/${encodeURIComponent(id)}`, { q: null, t: null, skew: state.params.get('skew') }, signal);
  async function load(quiet) {
    const data = await (quiet ? get().catch(() => null) : once(get));
    if (signal.aborted) return;
    // It goes on while a request of it is under way.
    if (trace?.open || data?.open) setTimeout(load, GROWS, true);
    if (!data) return;
    const seen = trace && selected >= 0 ? trace.ids[spanOf(trace, rows, selected)] : null;
    const next = new Trace(data), laid = await layoutInSlices(next, { pairs: pairs(), shut, opened });
    if (signal.aborted) return;
    [trace, rows] = [next, laid];
    const [from, to] = (state.params.get('w') || '').split('..').map(Number);
    [w0, w1] = to > from ? [from, to] : [0, Math.max(1, trace.length)];
    if (seen) selected = rowOf(trace.ids.indexOf(seen));
    redraw();
    if (seen) return;
    drawn();
    document.title = `${visible(entryText())} · spanwire`;
    const wanted = state.params.get('span');
    if (wanted) selectSpan(trace.ids.indexOf(wanted));
    if (state.params.get('find')) find(left.children[1].value = state.params.get('find'));
  }

  function redraw() {
    if (!trace) return;
    drawHead();
    drawWhy();
    drawBody();
  }
  /** After what every row shows: another trace, another zoom, another width. */
  function drawBody() {
    width = ruler.clientWidth;
    paint = barsOf({ trace, x, w0, w1, width });
    inks = {};
    inSight.forget();
    drawRows();
    drawRuler();
  }
  /** After which rows there are. */
  function drawRows() {
    inSight.draw();
    drawMini();
    left.lastChild.textContent = rowCount();
  }
  const rowCount = () => `${format.many(rows.kind.reduce((n, kind) => n + (kind !== RULE && kind !== GAP), 0), 'row')} for ${format.many(trace.count, 'span')}`;
  const entryText = () => trace.text('operation', trace.entry);

  function drawHead() {
    const outcome = trace.text('outcome', trace.entry);
    const began = format.ms(trace.began);
    fill(head, el('div', { class: 'row small dim' }, button('Traces', () => open('/traces'), { name: 'left', className: 'crumb' }), '/', el('span', { class: 'mono' }, trace.id), button('', () => copy(trace.id), { name: 'copy', className: 'crumb', title: 'Copy the id' })),
      el('div', { class: 'row' }, el('h1', {}, value(entryText())), outcome && !trace.isOpen(trace.entry) && el('span', { class: `chip ${trace.failing ? 'error' : ''}` }, trace.failing && icon('alert'), value(outcome)), trace.open > 0 && el('span', { class: 'chip blue' }, icon('clock'), `${format.count(trace.open)} still open`), trace.incomplete && el('span', { class: 'chip' }, icon('broken'), trace.incomplete), trace.clocks.map(clock), trace.broken && el('span', { class: 'chip amber' }, trace.broken),
        el('span', { class: 'grow' }), button('Compare with typical', compare, { name: 'compare', key: 'c' }), button('Copy link', () => copy(fixedLink()), { name: 'link' }), button('OTLP JSON', download, { name: 'download' })),
      el('div', { class: 'facts' }, el('strong', {}, trace.isOpen(trace.entry) ? `${format.micros(trace.duration[trace.entry])} so far` : format.micros(trace.whole)), el('span', { class: 'dim', title: format.utc(began) }, `${format.day(began)} ${format.clock(began, true)}`), of(trace.count, 'span'), of(trace.services, 'service'), trace.errors > 0 && of(trace.errors, 'error'), trace.left_out > 0 && el('span', { class: 'chip amber' }, `${format.count(trace.left_out)} more spans were left out`),
        trace.said.map(([key, text]) => fact(`${key} `, value(text)))));
  }
  /** How far a host's clock is off, and whether that is undone. */
  const clock = ({ host, ahead, within }) => el('button', { class: `chip ${ahead === null ? 'amber' : ''}`, 'aria-pressed': ahead === null ? null : String(!trace.raw), onclick: raw, title: ahead === null ? 'Its requests contradict each other: its times are shown as they came.' : 'No clocks that agree could have seen this. r shows its times as they came, and back.' },
    icon('clock'), value(host), ahead === null ? ' clock cannot be told' : ` clock ${format.signed(ahead * 1e3)} ±${format.micros(within)}${trace.raw ? ', shown raw' : ''}`);
  function raw() {
    if (!trace.clocks.some((c) => c.ahead !== null)) return;
    change({ skew: trace.raw ? null : 'raw' }, { redraw: false });
    load();
  }
  const of = (n, what) => el('span', {}, el('strong', {}, format.count(n)), el('span', { class: 'dim' }, ` ${what}${n === 1 ? '' : 's'}`));

  function drawWhy() {
    const total = trace.shares.reduce((sum, s) => sum + s.time, 0) || 1;
    fill(why, el('p', { class: 'sentence' }, trace.sentence.map((part) => (part.span === null ? part.text : el('button', { class: 'part', onclick: () => selectSpan(part.span) }, value(part.text))))),
      el('div', { class: 'pathbar' }, trace.shares.map((s) => {
        const share = s.time / total;
        const name = s.peer ? `${s.service} → ${s.peer}` : s.service;
        return el('span', { class: `seg ${colour(s.service)}`, title: `${name} ${format.micros(s.time)}, ${format.percent(share)}`, at: { flex: `${Math.max(0.003, share)} 0 0` } }, share > 0.08 && `${name} ${format.percent(share)}`);
      })),
      el('div', { class: 'row small dim legend' }, `Critical path, ${format.micros(total)}`, el('span', { class: 'grow' }), ['own', 'waiting', 'network', 'path'].map((kind, i) => [el('span', { class: `key ${kind}` }), ['own time', 'waiting for children', 'network and queue', 'critical path'][i]])));
  }

  let width = 1; // measured once for all that is drawn: each look would be a layout
  const x = (us) => ((us - w0) / (w1 - w0)) * width;
  /** Draws bars with the zoom and the width of now. */
  let paint = null;
  /** Colours of the theme of now, as the canvas wants them: each took a look at styles. */
  let inks = {};
  const ink = (name) => (inks[name] ??= token(name));

  const drawMini = () => drawOverview(mini, { trace, rows, isPaired: pairs(), ink, w0, w1, width });
  function drawRuler() {
    const step = format.step(w1 - w0, Math.floor(width / 90));
    fill(ruler);
    fill(grid);
    for (let t = Math.ceil(w0 / step) * step; t <= w1; t += step) {
      if (x(t) < width - 50) ruler.append(el('span', { at: { left: x(t) } }, t === 0 ? '0' : format.micros(t)));
      grid.append(el('span', { at: { left: `calc(var(--names) + ${x(t)}px)` } }));
    }
  }
  drag(mini, (from, to) => {
    if (!to) return;
    const [a, b] = [from, to].map(({ offsetX }) => (Math.max(0, Math.min(width, offsetX)) / width) * trace.length).sort((p, q) => p - q);
    b - a > trace.length * 0.004 ? zoom(a, b) : zoom(0, trace.length);
  });
  function zoom(a, b) {
    [w0, w1] = b - a < 0.01 ? [a, a + 0.01] : [Math.max(0, a), Math.min(trace.length, b)];
    change({ w: w0 === 0 && w1 === trace.length ? null : `${w0.toFixed(3)}..${w1.toFixed(3)}` }, { redraw: false });
    drawBody();
  }

  const isOpen = (row) => (rows.kind[row] === GROUP ? opened.has(`g${rows.what[row]}`) : !shut.has(trace.ids[rows.what[row]]));
  /** All that a row's looks depend on, besides what all of them do. */
  function shows(row) { return `${rows.kind[row]} ${rows.what[row]} ${isOpen(row)} ${row === selected}`; }

  function rowNode(row) {
    const kind = rows.kind[row];
    const depth = rows.depth[row];
    if (kind === RULE) return el('div', { class: 'wf rule' }, el('span', { class: 'names dimmer small' }, 'Without a parent here'));
    const pad = { 'padding-left': 12 + depth * 20 };
    const lines = depth > 0 && el('i', { class: 'stems', at: { width: Math.min(depth, 30) * 20 } });
    if (kind === GAP) {
      const gap = trace.gaps[rows.what[row]];
      return el('div', { class: `wf ${row === selected ? 'selected' : ''}`, role: 'row' }, el('span', { class: 'names', at: pad }, lines, el('em', { class: 'dim small gapname' }, `no span: ${format.micros(gap.to - gap.from)} inside ${visible(trace.text('service', gap.span))}`)),
        el('span', { class: 'bars' }, el('span', { class: 'gapbar', at: { left: x(gap.from), width: Math.max(2, x(gap.to) - x(gap.from)) } }), paint.pathLine(gap.from, gap.to)));
    }
    const group = kind === GROUP ? trace.similar[rows.what[row]] : null;
    const at = spanOf(trace, rows, row);
    const named = trace.named(at, pairs());
    const service = trace.text('service', named);
    const outcome = trace.text('outcome', named);
    const failed = trace.failed(at);
    const isCause = failed && (at === trace.cause || named === trace.cause);
    const parent = trace.parent[at];
    const sameService = parent >= 0 && trace.text('service', parent) === service && !(pairs() && trace.isClient(at));
    const canFold = foldable(trace, rows, row, pairs());
    const unfolded = isOpen(row);
    const symbol = trace.text('icon', at);
    const peer = trace.text('peer', at);
    const node = el('div', {
      class: `wf ${row === selected ? 'selected' : ''} ${trace.orphan(at) ? 'orphan' : ''} ${trace.columns.moved[at] ? 'moved' : ''} ${colour(service)}`, role: 'row', 'aria-level': depth + 1, 'aria-posinset': rows.place[row], 'aria-setsize': rows.size[row], 'aria-expanded': canFold ? String(unfolded) : null, 'aria-selected': String(row === selected),
      'aria-label': spoken(at, named, service, group), id: row === selected && 'here',
    }, el('span', { class: 'names', at: pad }, lines,
      canFold ? el('button', { class: 'fold', tabindex: '-1', 'aria-label': unfolded ? 'Fold' : 'Unfold' }, icon(unfolded ? 'down' : 'right')) : el('span', { class: 'fold' }),
      named !== at && parent < 0 && el('span', { class: 'dim' }, value(trace.text('service', at)), ' →'), dot(service), symbol && icon(symbol), !sameService && el('span', { class: 'dim' }, value(service)), el('span', { class: 'operation cut' }, value(trace.text('operation', named)), symbol === 'web' && peer && el('span', { class: 'dim' }, ' ', value(peer))),
      group && el('span', { class: 'chip amber' }, `×${group.members.length} similar`), trace.orphan(at) && at !== trace.root && el('span', { class: 'chip' }, trace.orphan(at)),
      outcome && el('span', { class: `ended small ${isCause ? 'bad strong row' : failed ? 'bad' : 'dim'}` }, isCause && icon('alert'), value(outcome, 'outcome cut'))));
    node.append(group ? paint.group(group) : paint.span(at, named));
    return node;
  }

  function spoken(at, named, service, group) {
    const outcome = trace.text('outcome', named);
    return visible(`${service} ${trace.text('operation', named)}, ${group ? `${group.members.length} similar calls, ` : ''}${trace.failed(at) ? 'failed ' : ''}${outcome}, starts at ${format.micros(trace.start[at])}, takes ${format.micros(trace.duration[at])}, own time ${format.micros(trace.own[named])}${trace.lost(at) || trace.lost(named) ? ', bytes of it were lost' : ''}${trace.onPath(at).length ? ', on the critical path' : ''}`);
  }

  function toggle(row, to) {
    const [set, key] = rows.kind[row] === GROUP ? [opened, `g${rows.what[row]}`] : [shut, trace.ids[rows.what[row]]];
    if (to !== undefined && to === isOpen(row)) return false;
    set.has(key) ? set.delete(key) : set.add(key);
    relayout();
    return true;
  }
  function relayout() {
    const at = selected >= 0 ? spanOf(trace, rows, selected) : -1;
    rows = layout(trace, { pairs: pairs(), shut, opened });
    change({ open: list(opened), shut: list(shut) }, { redraw: false });
    selected = at >= 0 ? rowOf(at) : -1;
    drawRows();
  }
  function rowOf(at) {
    for (let row = 0; row < rows.count; row++) if (rows.kind[row] === 0 && (rows.what[row] === at || (pairs() && trace.pair[rows.what[row]] === at && trace.isClient(rows.what[row])))) return row;
    return trace.groupOf[at] >= 0 ? [...rows.kind].findIndex((kind, row) => kind === GROUP && rows.what[row] === trace.groupOf[at]) : -1;
  }

  function select(row) {
    if (row < 0 || row >= rows.count || rows.kind[row] === RULE) return;
    const top = (selected = row) * ROW;
    if (top < scroll.scrollTop + ROW) scroll.scrollTop = Math.max(0, top - ROW * 2);
    else if (top > scroll.scrollTop + scroll.clientHeight - ROW * 2) scroll.scrollTop = top - scroll.clientHeight + ROW * 3;
    inSight.draw();
    const at = spanOf(trace, rows, row);
    change({ span: trace.ids[at] }, { redraw: false });
    const wasHidden = side.hidden;
    panel(side, trace, at, trace.named(at, pairs()), { close: () => { side.hidden = true; redraw(); }, selectSpan, signal, group: rows.kind[row] === GROUP && trace.similar[rows.what[row]] });
    if (wasHidden) { side.hidden = false; drawBody(); }
  }
  function selectSpan(at, alone) {
    if (at < 0 || at >= trace.count) return;
    if (alone) opened.add(`g${trace.groupOf[at]}`);
    for (let up = trace.parent[at]; up >= 0; up = trace.parent[up]) shut.delete(trace.ids[up]);
    rows = layout(trace, { pairs: pairs(), shut, opened });
    inSight.draw(); // it may lie further down than there were rows
    select(rowOf(at));
  }

  const spans = () => trace.ids.map((_, at) => at);
  let found = [], foundAt = -1;
  function find(text) {
    const wanted = text.toLowerCase();
    change({ find: text }, { redraw: false });
    found = spans().filter((at) => wanted && ['service', 'operation', 'outcome', 'peer'].some((c) => trace.text(c, at).toLowerCase().includes(wanted)));
    foundAt = -1;
    left.lastChild.textContent = wanted ? `${found.length} found` : rowCount();
  }
  function findNext() {
    if (found.length) selectSpan(found[(foundAt = (foundAt + 1) % found.length)]);
  }

  /** Half an hour around it: what is typical now may not have been then. */
  const around = () => [-9e5, 9e5].map((ms) => Math.round(format.ms(trace.began) + ms)).join('..');
  async function compare() {
    try {
      const typical = await ask(`/view/typical/${trace.id}`, { q: null, t: around() });
      open(`/compare/${typical.id}/${trace.id}`, { a: typical.of });
    } catch (error) {
      const chip = el('span', { class: 'chip amber' }, error.message);
      head.children[1].append(chip);
      setTimeout(() => chip.remove(), 6e3);
    }
  }
  const download = async () => save(`${trace.id}.json`, 'application/json', JSON.stringify(await ask(`/view/trace/${trace.id}/otlp`, { q: null, t: null })));

  const pathRows = () => trace.path.map(([span]) => rowOf(span)).filter((r) => r >= 0).sort((a, b) => a - b);
  const causes = () => spans().filter((at) => trace.failed(at) && !trace.children[at].some((c) => trace.failed(c)));
  function key({ key: pressed }) {
    if (!trace) return false;
    const at = selected >= 0 ? spanOf(trace, rows, selected) : -1;
    const move = (by) => { let row = selected + by; if (rows.kind[row] === RULE) row += by; select(Math.max(0, Math.min(rows.count - 1, row))); };
    const onPath = (by) => { const all = pathRows(); const next = by > 0 ? all.find((r) => r > selected) : all.findLast((r) => r < selected); if (next !== undefined) select(next); };
    const middle = (w0 + w1) / 2, half = (w1 - w0) / 2;
    switch (pressed) {
      case 'j': case 'ArrowDown': move(1); break;
      case 'k': case 'ArrowUp': move(-1); break;
      case 'ArrowRight': if (selected >= 0 && !(foldable(trace, rows, selected, pairs()) && toggle(selected, true))) move(1); break;
      case 'ArrowLeft': if (selected >= 0 && !(foldable(trace, rows, selected, pairs()) && toggle(selected, false)) && trace.parent[at] >= 0) selectSpan(trace.parent[at]); break;
      case 'n': onPath(1); break;
      case 'N': onPath(-1); break;
      case 'e': case 'E': { const all = causes(); if (all.length) { cause = (cause + (pressed === 'e' ? 1 : -1) + all.length) % all.length; selectSpan(all[cause]); } break; }
      case 'r': raw(); break;
      case 'p': change({ pairs: pairs() ? '0' : null }, { redraw: false }); inSight.forget(); relayout(); break;
      case '+': zoom(middle - half / 2, middle + half / 2); break;
      case '-': case '−': zoom(middle - half * 2, middle + half * 2); break;
      case '0': zoom(0, trace.length); break;
      case 'w': if (at >= 0) zoom(trace.start[at], trace.start[at] + trace.duration[at]); break;
      case 'c': compare(); break;
      case 'o': download(); break;
      case 'Enter': if (selected >= 0) { side.hidden = !side.hidden; redraw(); } break;
      case '[': case ']': { const all = JSON.parse(sessionStorage.getItem('spanwire.list') || '[]'); const next = all[all.indexOf(trace.id) + (pressed === ']' ? 1 : -1)]; if (next) open(`/trace/${next}`); break; }
      case 'Escape': if (!side.hidden) { side.hidden = true; redraw(); } else open('/traces'); break;
      default: return false;
    }
    return true;
  }
  load();
  return { key, redraw, find: () => left.querySelector('input')?.focus() };
}
