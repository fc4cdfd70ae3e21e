// Rate, errors, durations: a table of services that open to their operations.
import { button, dot, el, fill, icon, save, value } from './dom.js';
import * as format from './format.js';
import * as search from './search.js';
import { failed, lens, sparks } from './lens.js';
import { ask, change, list, listed, open, state } from './state.js';

const ORDERS = ['rate', 'errors', 'p50', 'p95', 'p99'];

export function start(main, { signal }) {
  const top = el('div', { class: 'tools pad' });
  const body = el('div', { class: 'red', role: 'treegrid', 'aria-label': 'Services' });
  fill(main, el('div', { class: 'scroll pane' }, top, body));
  const opened = listed('open');
  let data = null, selected = -1, lines = [];
  const side = () => state.params.get('side') || 'called';
  const by = () => ORDERS.find((key) => key === state.params.get('by')) || 'in_flight';

  const { update: ask_ } = lens({
    signal,
    key: () => ['q', 't', 'side'].map((name) => state.params.get(name)).join(' '),
    get: () => ask('/view/red', { side: side() }, signal),
    show: (got) => { data = got; draw(); },
  });

  function draw() {
    const rows = [...data.rows].sort((a, b) => a.outside - b.outside || (b[by()] ?? -1) - (a[by()] ?? -1));
    const operations = rows.reduce((n, r) => n + r.operations.length, 0);
    search.tell(`${rows.filter((r) => !r.outside).length} services, ${operations} operations`);
    const tab = (name, title) => el('button', { role: 'tab', 'aria-selected': String(side() === name), onclick: () => change({ side: name === 'called' ? null : name }) }, title);
    fill(top, el('div', { class: 'tabs', role: 'tablist' }, tab('called', 'Called'), tab('made', 'Calls made')), el('span', { class: 'dim small' }, 'Compared with the range before. ▲ at least 1.5 times higher.'), el('span', { class: 'grow' }),
      button(opened.size ? 'Fold all' : 'Expand all', () => { const all = opened.size ? [] : rows.map((r) => r.name); opened.clear(); all.forEach((n) => opened.add(n)); remember(); }, { className: 'plain' }), button('CSV', () => csv(rows), { name: 'download' }));
    const times = rows.flatMap((r) => [r.p50, r.longest]).filter(Boolean);
    const [low, high] = [Math.min(1e6, ...times), Math.max(1e7, ...times)];
    const scale = (ns) => (Math.log(Math.max(ns, low) / low) / Math.log(high / low)) * 100;
    const column = (key, title, className = 'right') => el('button', { class: `label ${className}`, onclick: () => change({ by: key === 'in_flight' ? null : key }) }, title, by() === key && icon('down'));
    lines = [];
    const out = [el('div', { class: 'line head label' }, el('span', {}, 'Service and operation'), el('span', {}), column('rate', 'Requests /s'), el('span', {}), column('errors', 'Errors'), column('p50', 'p50'), column('p95', 'p95'), column('p99', 'p99'), el('span', { class: 'axis' }, el('span', {}, format.duration(low)), el('span', {}, format.duration(high))), column('in_flight', 'In flight'))];
    let outside = false;
    for (const row of rows) {
      if (row.outside && !outside) {
        outside = true;
        out.push(el('div', { class: 'line group label' }, 'Called, seen from outside only'));
      }
      out.push(line(row, null, scale));
      if (opened.has(row.name)) for (const operation of row.operations) out.push(line(row, operation, scale));
    }
    if (!rows.length) out.push(el('div', { class: 'sheet dim' }, 'Nothing matches in this range.'));
    fill(body, out);
    if (selected >= 0) select(selected);
  }

  function line(row, operation, scale) {
    const of = operation || row;
    const before = of.before || {};
    const number = (key, text) => {
      const higher = before[key] > 0 && of[key] / before[key] >= 1.5;
      return el('span', { class: `right ${higher ? 'strong' : ''}`, title: of.exact ? 'exact' : 'within 1%' }, higher && key !== 'errors' && el('span', { class: 'warn' }, '▲ '), of[key] === null ? '–' : text(of[key]));
    };
    const isOpen = opened.has(row.name);
    const at = lines.length;
    const [calls, failing] = sparks(of);
    const node = el('div', { class: `line ${operation ? 'operation' : ''}`, role: 'row', tabindex: '-1', 'aria-level': operation ? 2 : 1, 'aria-expanded': operation ? null : String(isOpen), onclick: () => (operation ? show(row, operation) : toggle(row.name)) },
      el('span', { class: 'row cut' }, operation ? el('span', { class: 'cut' }, value(operation.name)) : [icon(isOpen ? 'down' : 'right'), row.outside ? icon(row.icon) : dot(row.name), el('strong', { class: 'cut' }, value(row.name))]),
      calls, number('rate', format.rate), failing, failed(of.errors),
      number('p50', format.duration), number('p95', format.duration), number('p99', format.duration), strip(of, scale), number('in_flight', (n) => (n < 0.05 ? '<0.1' : format.rate(n))));
    lines.push({ node, row, operation });
    node.dataset.at = at;
    return node;
  }
  function strip(of, scale) {
    if (of.p50 === null) return el('span', {});
    const [a, b, c] = [of.p50, of.p95, of.p99 ?? of.p95].map(scale);
    const part = (className, left, to = left) => el('i', { class: className, at: { left: `${left}%`, 'min-width': `${to - left}%` } });
    return el('span', { class: 'strip', 'aria-hidden': 'true' }, part('thin', a, c), part('thick', a, b), part('mid', a), part('end', c));
  }

  function toggle(name) {
    opened.has(name) ? opened.delete(name) : opened.add(name);
    remember();
  }
  function remember() {
    change({ open: list(opened) }, { redraw: false });
    draw();
  }
  const query = (row, operation) => [`${row.outside ? 'peer' : 'service'}=${format.quote(row.name)}`, operation && side() === 'called' ? `name=${format.quote(operation.name)}` : ''].join(' ').trim();
  const show = (row, operation) => open('/traces', { q: query(row, operation) });

  function csv(rows) {
    const cell = (v) => (/[",\n]|^[=+@-]/.test(String(v)) ? `"'${String(v).replace(/"/g, '""')}"` : v ?? '');
    const text = [['service', 'operation', 'requests_per_s', 'error_share', 'p50_ns', 'p95_ns', 'p99_ns', 'in_flight'], ...rows.flatMap((r) => [r, ...r.operations].map((of) => [r.name, of === r ? '' : of.name, ...[...ORDERS, 'in_flight'].map((key) => of[key])]))]
      .map((cells) => cells.map(cell).join(',')).join('\n');
    save('services.csv', 'text/csv', text);
  }

  function select(at) {
    if (!lines.length) return;
    selected = Math.max(0, Math.min(lines.length - 1, at));
    lines[selected].node.focus();
  }
  function key({ key: pressed }) {
    const here = lines[selected];
    if (pressed === 'j' || pressed === 'ArrowDown') select(selected + 1);
    else if (pressed === 'k' || pressed === 'ArrowUp') select(selected - 1);
    else if (pressed === 'Enter' && here) show(here.row, here.operation);
    else if ((pressed === 'ArrowRight' || pressed === 'ArrowLeft') && here && opened.has(here.row.name) === (pressed === 'ArrowLeft')) toggle(here.row.name);
    else if (pressed === 'l' && here) open('/latency', { q: query(here.row, here.operation) });
    else return false;
    return true;
  }
  const update = () => ask_() || (data && draw());
  return { update, key, redraw: () => data && draw() };
}
