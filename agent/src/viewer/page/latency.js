// When requests began and how long they took; and what differs between a box of them and the rest.
import { button, colour, dot, drag, el, fill, place, token, value } from './dom.js';
import * as format from './format.js';
import * as search from './search.js';
import { busy, lens, requestRow } from './lens.js';
import { ask, change, isLive, open, state } from './state.js';

const [LEFT, BOTTOM] = [64, 26];

export function start(main, { signal }) {
  const title = el('div', { class: 'row pad heathead' });
  const canvas = el('canvas', { tabindex: '0', role: 'img' });
  const box = el('div', { class: 'heatbox', hidden: true });
  const twin = el('table', { class: 'unseen' });
  const stage = el('div', { class: 'heat' }, canvas, box, twin);
  const below = el('div', { class: 'heatbelow' });
  const side = el('aside', { class: 'panel wide', 'aria-label': 'What differs' });
  fill(main, el('div', { class: 'scroll pane' }, title, stage, below), side);
  let data = null, found = null, rows = [0, 1], geometry = null;
  const { update } = lens({
    signal,
    key: () => ['q', 't', 'box'].map((name) => state.params.get(name)).join(' '),
    get: () => ask('/view/heat', {}, signal),
    show: (got) => {
      data = got;
      search.tell(`${format.count(data.requests)} requests`);
      draw();
      if (state.params.get('box')) differs();
      else drawSide();
    },
    rests: () => state.params.get('box'),
  });

  const micro = (row) => 2 ** (row / 4);
  function draw() {
    const cells = data.cells;
    const all = cells.map(([, row]) => row);
    rows = all.length ? [Math.min(...all) - 2, Math.max(...all) + 3] : [40, 60];
    if (rows[1] - rows[0] < 16) rows = [rows[0] - 6, rows[1] + 6];
    const most = Math.max(1, ...cells.map(([, , n]) => n));
    const name = data.operations.length === 1 ? [dot(data.operations[0][0][0]), el('strong', {}, value(data.operations[0][0].join(' ')))] : [el('strong', {}, 'All requests'), data.operations.slice(0, 2).map(([[service, operation]]) => el('button', { class: 'chip', onclick: () => change({ q: `service=${format.quote(service)} name=${format.quote(operation)}`, box: null }, { push: true }) }, dot(service), value(`${service} ${operation}`)))];
    fill(title, name, el('span', { class: 'dim small cut' }, `a cell is ${format.micros((time(1) - time(0)) * 1e3)} wide and 1.19× tall`), el('span', { class: 'grow' }),
      el('span', { class: 'row small dim heatkey' }, '1', [0, 1, 2, 3, 4, 5].map((n) => el('i', { at: { background: `var(--h${n})` } })), `${format.count(most)} requests`, el('i', { class: 'pip' }), 'failing'));
    paint(most);
    fill(twin, el('caption', {}, 'Requests by duration'), bands().map(([row, n, errors]) => el('tr', {}, el('th', {}, `from ${format.micros(micro(row))}`), el('td', {}, `${format.count(n)} requests, ${format.count(errors)} failing`))));
    canvas.setAttribute('aria-label', `${format.count(data.requests)} requests by start and duration. Drag a box to see what differs; a table of it follows.`);
    placeBox();
  }

  /** The picture as a table, for who cannot see it. */
  function bands() {
    const sum = (cells, of) => cells.reduce((n, cell) => n + cell[of], 0);
    return [...Map.groupBy(data.cells, ([, row]) => row)].sort((a, b) => b[0] - a[0]).map(([row, cells]) => [row, sum(cells, 2), sum(cells, 3)]);
  }

  function paint(most) {
    const ratio = devicePixelRatio || 1;
    const [w, h] = [stage.clientWidth, stage.clientHeight];
    canvas.width = w * ratio;
    canvas.height = h * ratio;
    const draw_ = canvas.getContext('2d');
    draw_.scale(ratio, ratio);
    const cw = (w - LEFT - 8) / data.columns, ch = (h - BOTTOM - 8) / (rows[1] - rows[0]);
    geometry = { w, h, cw, ch };
    const y = (row) => h - BOTTOM - (row - rows[0] + 1) * ch;
    draw_.font = '12px system-ui, sans-serif';
    draw_.textAlign = 'right';
    let last = Infinity;
    for (let power = -1; power < 9; power++) {
      for (const digit of [1, 2, 5]) {
        const us = digit * 10 ** power;
        const row = Math.log2(us) * 4;
        const at = h - BOTTOM - (row - rows[0]) * ch;
        if (row < rows[0] || row > rows[1] || last - at < 22) continue;
        last = at;
        draw_.fillStyle = token('ink3');
        draw_.fillText(format.micros(us).replace(/\.0+ /, ' '), LEFT - 10, at + 4);
        draw_.fillStyle = token('line');
        draw_.fillRect(LEFT, Math.round(at), w - LEFT - 8, 1);
      }
    }
    const colours = [0, 1, 2, 3, 4, 5].map((n) => token(`h${n}`));
    for (const [column, row, n, errors] of data.cells) {
      const step = most === 1 ? 2 : Math.min(5, Math.floor((Math.log(n) / Math.log(most + 1)) * 6));
      draw_.fillStyle = colours[step];
      const [px, py] = [LEFT + column * cw, y(row)];
      draw_.fillRect(px + 0.5, py + 0.5, Math.max(1.5, cw - 1), Math.max(1.5, ch - 1));
      if (errors > 0) {
        draw_.fillStyle = token('error');
        draw_.fillRect(px + cw / 2 - 2, py + ch / 2 - 2, 4, 4);
      }
    }
    draw_.textAlign = 'center';
    draw_.fillStyle = token('ink3');
    const [from, to] = [time(0), time(data.columns)];
    const step = format.timeStep(to - from, 6);
    for (let t = Math.ceil(from / step) * step; t < to; t += step) draw_.fillText(format.minute(t), LEFT + ((t - from) / (to - from)) * (w - LEFT - 8), h - 8);
  }

  /** A place in the picture as a column and a row, whole numbers. */
  function cell(event) {
    const bounds = canvas.getBoundingClientRect();
    const { h, cw, ch } = geometry;
    const column = Math.max(0, Math.min(data.columns - 1, Math.floor((event.clientX - bounds.left - LEFT) / cw)));
    const row = Math.max(rows[0], Math.min(rows[1] - 1, rows[0] + Math.floor((h - BOTTOM - (event.clientY - bounds.top)) / ch)));
    return [column, row];
  }
  const time = (column) => format.ms(data.from) + (column / data.columns) * (format.ms(data.to) - format.ms(data.from));
  drag(canvas, (from, to) => {
    if (!to) return placeBox();
    const [c0, c1, r0, r1] = sides(cell(from), cell(to));
    setBox([time(c0), time(c1), micro(r0), micro(r1)]);
  }, (from, to) => showBox(sides(cell(from), cell(to))));
  const sides = ([c, r], [d, s]) => [Math.min(c, d), Math.max(c, d) + 1, Math.min(r, s), Math.max(r, s) + 1];
  function showBox([c0, c1, r0, r1]) {
    const { h, cw, ch } = geometry;
    box.hidden = false;
    [r0, r1] = [Math.max(r0, rows[0]), Math.min(r1, rows[1])];
    place(box, { left: LEFT + c0 * cw, width: (c1 - c0) * cw, top: h - BOTTOM - (r1 - rows[0]) * ch, height: (r1 - r0) * ch });
  }
  const boxNow = () => (state.params.get('box') || '').split(',').map(Number);
  function placeBox() {
    const [t0, t1, d0, d1] = boxNow();
    if (!(t1 > t0)) return (box.hidden = true);
    const column = (t) => (t - time(0)) / (time(1) - time(0));
    showBox([column(t0), column(t1), Math.log2(d0) * 4, Math.log2(d1) * 4]);
  }
  function setBox([t0, t1, d0, d1]) {
    // A box belongs to fixed times: the range stops with it.
    change({ box: [t0.toFixed(3), t1.toFixed(3), d0.toFixed(3), d1.toFixed(3)].join(','), t: isLive() ? `${Math.floor(time(0))}..${Math.ceil(time(data.columns))}` : state.params.get('t') }, { push: true, redraw: false });
    placeBox();
    search.draw(document.getElementById('query'), false);
    differs();
  }

  async function differs() {
    busy(true);
    try {
      const [t0, t1, d0, d1] = boxNow();
      found = await ask('/view/differs', { box: [t0, t1, d0 * 1.0001, d1 * 1.0001].join(',') }, signal);
      drawSide();
      drawBelow();
    } catch (error) {
      if (error.name !== 'AbortError') fill(side, el('p', { class: 'bad' }, value(error.message)));
    } finally {
      busy(false);
    }
  }

  function drawSide() {
    const waits = !state.params.get('box') || !found;
    side.classList.toggle('waits', waits);
    if (waits) {
      fill(below);
      return fill(side, el('h2', {}, 'What differs'), el('p', { class: 'dim' }, 'Drag a box over requests that interest you, the slow ones for example. Here stands what they have in common and the others do not.'));
    }
    const most = Math.max(1, ...found.extra.map((e) => Math.abs(e.time)));
    const top = found.extra.slice(0, 3), others = found.extra.slice(3).reduce((sum, e) => sum + e.time, 0);
    const extra = (mark, name, ns, className) => el('div', { class: 'extra' }, el('span', { class: 'row cut' }, mark, name), el('span', {}, el('i', { class: `fill ${className}`, at: { width: `${Math.max(1, (Math.abs(ns) / most) * 100)}%` } })), el('strong', { class: 'right' }, format.signed(ns)));
    const bar = (share, className) => el('div', { class: 'share' }, el('span', { class: 'track' }, el('i', { class: className, at: { width: `${share * 100}%` } })), el('span', { class: `right small ${className === 'b' ? 'strong' : 'dim'}` }, `${Math.round(share * 100)}%`));
    fill(side, el('h2', {}, 'What differs'), el('p', { class: 'row small dim' }, el('i', { class: 'swatch b' }), `selected, ${format.count(found.selected)}`, el('i', { class: 'swatch' }), `the rest, ${format.count(found.rest)}`, found.sampled && el('span', { class: 'chip' }, 'a sample of 20,000')),
      found.selected > 0 && found.rest > 0 && el('section', {}, el('h3', {}, found.slower >= 0 ? `Where the extra ${format.duration(found.slower)} is` : `Where ${format.duration(-found.slower)} less go`),
        top.map((e) => extra(dot(e.service), [el('span', { class: 'dim' }, value(e.service)), el('span', { class: 'cut' }, value(e.operation), e.peer && el('span', { class: 'dim' }, ' ', value(e.peer)))], e.time, colour(e.service))), extra(el('span', { class: 'dot' }), 'everything else', others, '')),
      el('section', {}, el('h3', {}, 'What they have in common'), found.selected < found.least ? el('p', { class: 'dim' }, `${found.selected} requests are too few to be certain of anything; ${found.least} are needed.`) : found.facts.map((f) =>
        el('button', { class: 'fact', disabled: !f.term, onclick: () => f.term && search.filter(f.term) }, el('span', { class: 'row' }, value(f.text, 'mono cut'), el('span', { class: 'grow' }), f.also.length > 0 && el('span', { class: 'dim small cut' }, `also ${f.also.slice(0, 2).join(', ')}`)), bar(f.selected, 'b'), bar(f.rest, 'a'))),
      found.selected >= found.least && el('p', { class: 'dim small' }, `${format.count(found.tested - found.facts.length)} other values tested, no certain difference.${found.facts.length ? ' Click one to filter by it.' : ''}`)));
  }

  function drawBelow() {
    if (!found || !state.params.get('box')) return fill(below);
    const [t0, t1, d0, d1] = boxNow();
    fill(below, el('div', { class: 'row pad' }, el('span', { class: 'chip blue' }, `${format.count(found.selected)} selected`), el('span', { class: 'dim small' }, `${format.clock(t0)} to ${format.clock(t1)}, ${format.micros(d0)} to ${format.micros(d1)}`), el('span', { class: 'grow' }),
      button('Show these traces', showThese, { key: '↵' }), button('Compare a typical one of each', compare, { name: 'compare', key: 'c' }), button('Clear', clear, { className: 'plain', key: 'esc' })),
    el('div', { role: 'grid', 'aria-label': 'Requests' }, found.rows.map((row) => requestRow(row, el('span', { class: 'dim', role: 'gridcell' }, format.clock(format.ms(row.start))), '100%', '', { onclick: () => open(`/trace/${row.id}`) }))));
  }
  function showThese() {
    const [t0, t1, d0, d1] = boxNow();
    const q = [state.params.get('q'), `duration=${Math.round(d0)}us..${Math.round(d1)}us`].filter(Boolean).join(' ');
    open('/traces', { q, t: `${Math.floor(t0)}..${Math.ceil(t1)}`, sort: 'slowest' });
  }
  const compare = () => { const [a, b] = found?.typical || []; if (a && b) open(`/compare/${a}/${b}`); };
  function clear() {
    found = null;
    change({ box: null }, { push: true, redraw: false });
    placeBox();
    drawSide();
    drawBelow();
  }
  addEventListener('resize', () => data && draw(), { signal });
  function key(event) {
    const sidesNow = boxNow();
    if (!data) return false;
    if (event.key === 'Enter' && found) showThese();
    else if (event.key === 'c' && found) compare();
    else if (event.key === 'Escape' && state.params.get('box')) clear();
    else if (/^Arrow/.test(event.key) && sidesNow[1] > sidesNow[0]) {
      const dt = time(1) - time(0);
      const moves = { ArrowLeft: [-dt, 1], ArrowRight: [dt, 1], ArrowUp: [0, 2 ** 0.25], ArrowDown: [0, 2 ** -0.25] }[event.key];
      const [t0, t1, d0, d1] = sidesNow;
      setBox([event.shiftKey ? t0 : t0 + moves[0], t1 + moves[0], event.shiftKey ? d0 : d0 * moves[1], d1 * moves[1]]);
    } else return false;
    return true;
  }
  return { update, key, redraw: () => data && draw() };
}
