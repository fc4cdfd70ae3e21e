// Two traces as one table of call paths: how often, how long, and what the request paid for the difference.
import { button, copy, dot, el, fill, icon, value } from './dom.js';
import * as format from './format.js';
import { once } from './lens.js';
import { ask, fixedLink, open, state } from './state.js';

export function start(main, { rest: [a, b], signal }) {
  const head = el('div', { class: 'tracehead' });
  const body = el('div', { class: 'compared', role: 'table' });
  const side = el('aside', { class: 'panel', hidden: true, 'aria-label': 'What differs in the row' });
  fill(main, el('div', { class: 'scroll pane' }, head, body), side);
  let data = null, all = false;

  async function load() {
    data = await once(() => ask(`/view/compare/${encodeURIComponent(a)}/${encodeURIComponent(b)}`, { q: null, t: null }, signal));
    if (data) draw();
  }

  function draw() {
    const difference = data.b.duration - data.a.duration, typical = state.params.get('a');
    const failed = data.b.failed && !data.a.failed ? ', and it failed' : data.a.failed && !data.b.failed ? ', and it did not fail' : '';
    const one = (letter, className, t) => el('button', { class: 'row', onclick: () => open(`/trace/${t.id}`) }, el('span', { class: `chip ${className}` }, letter), typical && el('span', {}, letter === 'B' ? 'this' : `typical, the median of ${typical}`), el('span', { class: 'mono dim' }, `${t.id.slice(0, 6)}…`), el('strong', {}, format.duration(t.duration)), el('span', { class: t.failed ? 'bad strong' : 'dim' }, value(t.outcome || '')), el('span', { class: 'dim small' }, `${format.day(format.ms(t.start))} ${format.clock(format.ms(t.start))}`));
    fill(head, el('div', { class: 'row small dim' }, button(`${data.b.service} ${data.b.operation}`, () => open(`/trace/${data.b.id}`), { name: 'left', className: 'crumb' })),
      el('div', { class: 'row' }, el('h1', {}, difference === 0 ? 'As long as the other' : `${format.duration(Math.abs(difference))} ${difference > 0 ? 'slower' : 'faster'} than ${typical ? 'typical' : 'A'}${failed}`), el('span', { class: 'grow' }), button('Swap', swap, { key: 'x' }), button('Copy link', () => copy(fixedLink()), { name: 'link' })),
      el('div', { class: 'facts' }, one('A', '', data.a), one('B', 'blue', data.b)));
    const longest = Math.max(1, ...data.rows.flatMap((r) => [r.a.time, r.b.time]));
    const least = Math.max(data.a.duration, data.b.duration) * 0.01;
    const gap = (row) => row.b.path - row.a.path;
    const most = Math.max(1, ...data.rows.map((r) => Math.abs(gap(r))));
    const matters = (row) => all || Math.abs(gap(row)) >= least || row.a.calls !== row.b.calls || row.depth < 1;
    const isShown = data.rows.map(matters);
    // Whoever is above a row that is shown is shown, too.
    data.rows.reduceRight((depth, row, at) => ((isShown[at] ||= row.depth < depth) ? row.depth : depth), 0);
    const hidden = isShown.filter((shown) => !shown).length;
    const bar = (className, time, bad) => el('i', { class: `${className} ${bad ? 'failing' : ''}`, at: { width: `${time ? Math.max(0.6, (time / longest) * 100) : 0}%` } });
    const time = (side) => (side.calls ? format.duration(side.time) : 'none');
    fill(body, el('div', { class: 'line head label', role: 'row' }, ['Call path', 'A above, B below', 'Calls', 'Time', 'Difference on the critical path', ''].map((t, i) => el('span', { class: i === 2 || i === 3 ? 'right' : '', role: 'columnheader' }, t))),
      data.rows.filter((_, at) => isShown[at]).map((row) => {
        const d = gap(row);
        const big = Math.abs(d) >= most * 0.25;
        const width = (Math.abs(d) / most) * 42;
        return el('div', { class: `line ${big ? 'much' : ''}`, role: 'row', tabindex: '0', onclick: () => differ(row), onkeydown: (event) => { if (event.key === 'Enter') differ(row); } },
          el('span', { class: 'row cut', role: 'cell', at: { 'padding-left': row.depth * 16 } }, dot(row.service), row.depth === 0 || !row.peer ? el('span', { class: 'dim' }, value(row.service)) : icon(row.icon), el('span', { class: 'operation cut' }, value(row.operation)), row.peer && el('span', { class: 'dim cut' }, value(row.peer)), row.b.failed && el('span', { class: 'bad' }, icon('alert')), !row.a.calls && el('span', { class: 'chip blue' }, 'only in B'), !row.b.calls && el('span', { class: 'chip' }, 'only in A')),
          el('span', { class: 'both', role: 'cell' }, bar('a', row.a.time, row.a.failed), bar('b', row.b.time, row.b.failed)),
          el('span', { class: `right ${row.a.calls !== row.b.calls ? 'strong' : 'dim'}`, role: 'cell' }, row.a.calls === row.b.calls ? row.a.calls : `${row.a.calls} → ${row.b.calls}`),
          el('span', { class: 'right', role: 'cell' }, el('span', { class: 'dim' }, `${time(row.a)} → `), el('span', { class: row.b.time > row.a.time * 1.5 ? 'strong' : '' }, time(row.b))),
          el('span', { class: 'axis', role: 'cell' }, el('i', { class: d < 0 ? 'less' : 'more', at: d < 0 ? { right: '50%', width: `${width}%` } : { left: '50%', width: `${width}%` } })),
          el('span', { class: `right ${big ? 'strong' : 'dim'}`, role: 'cell' }, d === 0 ? '' : format.signed(d)));
      }),
      hidden > 0 && el('div', { class: 'pad' }, button(`${hidden} rows differ by less than 1%`, () => { all = true; draw(); }, { className: 'plain' })));
  }
  /** Attributes of the row's first call that are not the same on both sides. */
  async function differ(row) {
    const of = (id, { span }) => (span ? ask(`/view/trace/${id}/span/${span}`, { q: null, t: null }, signal) : { attributes: [], process: [] });
    const [x, y] = (await Promise.all([of(a, row.a), of(b, row.b)])).map((s) => new Map([...s.process, ...s.attributes].map(([k, v]) => [k, typeof v === 'object' ? JSON.stringify(v) : String(v)])));
    const keys = [...new Set([...x.keys(), ...y.keys()])].filter((k) => x.get(k) !== y.get(k)).sort();
    side.hidden = false;
    fill(side, el('div', { class: 'row panelhead' }, dot(row.service), el('h2', { class: 'cut' }, value(row.operation)), el('span', { class: 'grow' }), button('', () => (side.hidden = true), { name: 'close', className: 'plain', title: 'Close' })),
      keys.length ? el('dl', {}, keys.map((k) => [el('dt', { class: 'cut', title: k }, value(k)), el('dd', {}, el('span', { class: 'dim' }, value(x.get(k) ?? 'none', 'mono')), ' → ', value(y.get(k) ?? 'none', 'mono'))])) : el('p', { class: 'dim' }, 'Every attribute is the same.'));
  }
  const swap = () => open(`/compare/${b}/${a}`);
  function key({ key: pressed }) {
    if (pressed === 'x') swap();
    else if (pressed === 'Escape') open(`/trace/${b}`);
    else return false;
    return true;
  }
  load();
  return { key, redraw: () => data && draw() };
}
