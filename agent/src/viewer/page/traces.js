// The list: what is happening, what is known to be wrong, which requests.
import { button, dot, drag, el, fill, icon, place, reasonIcon, refill, say, setSlots, value } from './dom.js';
import * as format from './format.js';
import * as search from './search.js';
import { failed, lens, requestRow, rowsInSight } from './lens.js';
import { empty, showTraced } from './traced.js';
import { ask, change, host, isLive, open, range, setHost, state, stream } from './state.js';

const MOST = 400;
const ROW = 31;

export function start(main, { signal }) {
  const rail = el('aside', { class: 'rail', 'aria-label': 'Services and results' });
  const wrong = el('div', { class: 'findings' });
  const four = el('div', { class: 'four' }), counts = el('div', { class: 'histogram', title: 'Drag to choose a range' });
  const numbers = el('div', { class: 'numbers' }, four, counts);
  const tabs = el('div', { class: 'tabs', role: 'tablist' }), note = el('span', { class: 'dim small told' }), mark = el('span', { class: 'chip blue', hidden: true }, 'A marked, x again marks B');
  const pending = el('button', { class: 'chip blue pending', hidden: true, onclick: takePending });
  const tools = el('div', { class: 'tools' }, button('Filters', () => main.classList.toggle('railopen'), { name: 'filter', className: 'button railbutton' }), tabs, note, el('span', { class: 'grow' }), mark, pending);
  const above = el('div', { class: 'above' });
  const head = el('div', { class: 'list head label', role: 'row' }, ['Age', 'Request', 'Why', 'Where the time went', 'Duration', 'Spans'].map((t, i) => el('span', { role: 'columnheader', class: i > 3 ? 'right' : '' }, t)));
  const list = el('div', { class: 'rows', role: 'rowgroup' });
  const scroll = el('div', { class: 'scroll' }, above, el('div', { role: 'grid', 'aria-label': 'Requests' }, head, list));
  fill(main, rail, scroll);

  let data = null, rows = [], held = [], heldCount = 0, selected = -1, longest = 0, marked = null, inside = false, box = null, live = null, told = '';
  const inSight = rowsInSight(scroll, list, {
    height: ROW, count: () => rows.length, make: rowNode,
    shows: (at) => `${rows[at].id} ${longest} ${at === selected} ${at === Math.max(0, selected)} ${rows[at].id === marked}`,
  });
  scroll.addEventListener('scroll', () => requestAnimationFrame(drawVisible), { passive: true });
  scroll.addEventListener('pointerenter', () => (inside = true));
  scroll.addEventListener('pointerleave', () => (inside = false));
  scroll.addEventListener('pointerdown', () => main.classList.remove('railopen'));
  const clockwork = setInterval(drawAges, 2e3);
  const spoken = setInterval(() => { if (heldCount) say(`${heldCount} new requests`); }, 10e3);
  signal.addEventListener('abort', () => { clearInterval(clockwork); clearInterval(spoken); live?.abort(); });
  document.addEventListener('visibilitychange', () => listen_(), { signal });

  const sort = () => state.params.get('sort') || 'latest';

  const { load, update: ask_ } = lens({
    signal,
    key: () => `${state.params}`,
    rests: () => box,
    // The latest come by themselves: then only what stands around them is asked for again.
    get: (quiet) => ask('/view/traces', { sort: sort(), only: state.params.get('only'), limit: quiet && sort() === 'latest' ? 1 : 200 }, signal),
    show: (got, quiet) => {
      if (got.opens && !quiet) return open(`/trace/${got.opens}`);
      const keeps = quiet && sort() === 'latest';
      if (keeps && !rows.length && got.rows.length) return load();
      data = got;
      search.tell(state.params.get('q') ? `${format.count(got.totals.count)} match` : `${format.rate(got.totals.rate)}/s`);
      if (keeps) return draw(true);
      rows = got.rows;
      held = [];
      heldCount = 0;
      selected = -1;
      draw();
      const from = rows.findIndex((row) => row.id === sessionStorage.getItem('spanwire.from'));
      sessionStorage.removeItem('spanwire.from');
      if (from >= 0) select(from);
    },
  });

  /** New traces as they come, while somebody looks. */
  async function listen_() {
    live?.abort();
    live = null;
    if (signal.aborted || !isLive() || document.hidden || sort() !== 'latest' || state.params.get('only')) return;
    const mine = (live = new AbortController());
    signal.addEventListener('abort', () => mine.abort());
    let pause = 0;
    while (!mine.signal.aborted) {
      try {
        await stream('/view/live', data ? { t: range(), after: data.newest } : { t: range() }, mine.signal, (line) => {
          pause = 0;
          if (mine.signal.aborted) return;
          if (line.lost) {
            setHost({ ...host, lost: line.lost });
            dispatchEvent(new Event('lost'));
          }
          if (data) {
            if (line.slots && setSlots(line.slots)) draw();
            if (line.findings) drawFindings(line.findings);
            if (line.newest) data.newest = line.newest;
          }
          if (line.rows) arrive(line);
        });
      } catch { /* the bar says so */ }
      await new Promise((done) => setTimeout(done, [1, 2, 5, 10][Math.min(pause++, 3)] * 1e3));
    }
  }

  function arrive({ rows: new_, count }) {
    told = count > new_.length ? `${new_.length * 2} of ${count * 2} a second shown, failing and slow ones first` : '';
    const known = new Set(rows.slice(0, 300).map((row) => row.id));
    const fresh = new_.filter((row) => !known.has(row.id));
    if (!fresh.length) return;
    if (!data?.rows.length && !rows.length) return load();
    held = [...fresh, ...held].slice(0, MOST);
    heldCount += count;
    // Nothing moves under the pointer, nor under who reads.
    if (!inside && selected < 0 && scroll.scrollTop < 4) takePending();
    else drawPending();
  }
  function takePending() {
    rows = [...held, ...rows].slice(0, MOST);
    if (selected >= 0) selected += held.length;
    held = [];
    heldCount = 0;
    drawRows();
    drawPending();
  }
  function drawPending() {
    pending.hidden = !heldCount;
    fill(pending, `${format.count(heldCount)} new`, icon('right'));
    note.textContent = told;
  }

  function draw(keeps) {
    const nothing = !data.rows.length && !state.params.get('q') && !state.params.get('only') && sort() === 'latest' && !rows.length;
    rail.hidden = nothing;
    if (nothing) return drawEmpty();
    drawRail();
    if (above.firstChild !== numbers) fill(above, numbers, wrong, tools);
    drawNumbers();
    drawHistogram();
    drawFindings(data.findings);
    drawTabs();
    mark.hidden = !marked;
    head.hidden = false;
    if (keeps) drawVisible();
    else { inSight.forget(); drawRows(); }
    drawPending();
  }

  function drawNumbers() {
    const { totals, before } = data;
    const up = (now, then) => (then > 0 && now / then >= 1.5 ? el('span', { class: 'up' }, `▲ ${(now / then).toFixed(now / then < 10 ? 1 : 0)}×`) : null);
    const errors = totals.count ? totals.errors / totals.count : 0;
    const one = (name, [text, unit], more) => el('div', { class: 'number' }, el('span', { class: 'label' }, name), el('span', { class: 'big' }, text, el('span', { class: 'unit' }, unit), more));
    refill(four,
      one('Requests', [format.rate(totals.rate), '/s']),
      one('Errors', [format.percent(errors).slice(0, -1), '%'], up(errors, before.count ? before.errors / before.count : 0)),
      one('p50', format.parts(totals.p50), up(totals.p50, before.p50)),
      one('p99', format.parts(totals.p99), up(totals.p99, before.p99)));
  }

  function drawHistogram() {
    if (box) return;
    const most = Math.max(1, ...data.counts.map(([n]) => n));
    const from = format.ms(data.from), to = format.ms(data.to);
    const bars = el('div', { class: 'bars' }, data.counts.map(([n, errors], i) => {
      const at = from + ((i + 0.5) / data.counts.length) * (to - from);
      return el('span', { class: 'column', title: `${format.clock(at)}: ${format.count(n)} requests, ${format.count(errors)} failing`, at: { height: `${(n / most) * 100}%` } }, errors > 0 && el('span', { class: 'failed', at: { height: `max(2px, ${(errors / n) * 100}%)` } }));
    }));
    const step = format.timeStep(to - from, 6);
    const ticks = [];
    for (let t = Math.ceil(from / step) * step; t < to - step * 0.3; t += step) ticks.push(el('span', { at: { left: `${((t - from) / (to - from)) * 100}%` } }, format.minute(t)));
    fill(counts, bars, el('div', { class: 'ticks label' }, ticks, isLive() && el('span', { class: 'now' }, 'now')));
    const at = (event) => Math.min(1, Math.max(0, (event.clientX - bars.getBoundingClientRect().left) / bars.clientWidth));
    drag(bars, (a, b) => {
      box?.remove();
      box = null;
      if (!b) return;
      const [x, y] = [at(a), at(b)].sort((x, y) => x - y);
      if (y - x > 0.005) change({ t: `${Math.floor(from + x * (to - from))}..${Math.ceil(from + y * (to - from))}` }, { push: true });
    }, (a, b) => {
      if (!box) bars.append((box = el('span', { class: 'dragged' })));
      place(box, { left: `${Math.min(at(a), at(b)) * 100}%`, width: `${Math.abs(at(b) - at(a)) * 100}%` });
    });
  }

  const drawFindings = (findings) => refill(wrong, (data.findings = findings).map((finding, i) =>
    el('button', { class: 'finding', onclick: () => change({ q: data.findings[i].query }, { push: true }) },
      el('span', { class: finding.kind === 'repeats' ? 'warn' : 'bad' }, icon(reasonIcon(finding.kind))), el('span', { class: 'cut' }, el('strong', {}, value(finding.title)), el('br'), el('span', { class: 'dim small' }, value(finding.detail))))));

  function drawTabs() {
    const tab = (name, title, n) => el('button', { role: 'tab', 'aria-selected': String(sort() === name), onclick: () => change({ sort: name === 'latest' ? null : name }, { push: true }) }, title, n > 0 && el('span', { class: 'bad strong' }, format.count(n)));
    refill(tabs, tab('latest', 'Latest'), tab('slowest', 'Slowest'), tab('failing', 'Failing', data.totals.errors));
  }

  function drawRail() {
    const line = (what, term, count, share) => el('button', { class: 'line', title: 'Alt-click excludes', 'aria-pressed': String(search.has(term)), onclick: (event) => search.filter(term, { exclude: event.altKey }) },
      what, el('span', { class: 'right dim' }, format.rate(count)), failed(share));
    const named = (mark, name) => el('span', { class: 'row cut' }, mark, el('span', { class: 'cut' }, value(name)));
    const { services, peers } = data.beside;
    const only = (name, title, n) => el('button', { class: 'line check', role: 'checkbox', 'aria-checked': String(state.params.get('only') === name || (name === 'failing' && sort() === 'failing')),
      onclick: () => (name === 'failing' ? change({ sort: sort() === 'failing' ? null : 'failing' }, { push: true }) : change({ only: state.params.get('only') === name ? null : name }, { push: true })) },
    el('span', { class: 'row' }, el('span', { class: 'box' }), title), el('span'), el('span', { class: `right ${name === 'failing' && n ? 'bad' : 'dim'}` }, format.count(n)));
    refill(rail, el('div', { class: 'line head label' }, el('span', {}, 'Services'), el('span', { class: 'right' }, 'req/s'), el('span', { class: 'right' }, 'errors')),
      services.slice(0, 30).map((s) => line(named(dot(s.name), s.name), `service=${format.quote(s.name)}`, s.rate, s.errors)),
      peers.length > 0 && el('div', { class: 'line head label' }, 'Talks to'),
      peers.slice(0, 20).map((p) => line(named(icon(p.icon), p.name), `peer=${format.quote(p.name)}`, p.rate, p.errors)),
      el('div', { class: 'line head label' }, 'Result'),
      only('failing', 'Failing', data.totals.errors), only('slow', 'Slow for its kind', data.totals.slow), only('incomplete', 'Incomplete', data.totals.incomplete), notTraced());
  }

  function notTraced() {
    const not = host.processes.filter((p) => !p.is_traced);
    return not.length > 0 && el('div', { class: 'nottraced small' }, el('div', { class: 'row' }, el('strong', {}, 'Not traced'), el('span', { class: 'grow' }), el('button', { class: 'why-not dim', onclick: showTraced }, 'why?')), not.slice(0, 3).map((p) => el('div', { class: 'dim cut' }, value(`${p.service}, ${p.note}`))));
  }

  function drawRows() {
    longest = Math.max(1e6, ...rows.slice(0, 60).map((row) => row.duration));
    drawVisible();
    if (!rows.length && data) {
      place(list, { height: 'auto' });
      fill(list, el('div', { class: 'sheet' }, el('p', { class: 'dim' }, 'Nothing matches in this range.'), data.excluding.map((e) =>
        el('p', {}, button(`without ${e.without}: ${format.count(e.count)}`, () => search.filter(e.without))))));
    }
  }
  function drawVisible() {
    if (!rows.length) return;
    inSight.draw();
    drawAges();
  }

  function rowNode(at) {
    const row = rows[at];
    const width = Math.max(0.02, Math.log10(Math.max(row.duration, 1e6) / 1e6 + 1) / Math.log10(longest / 1e6 + 1));
    return requestRow(row, el('span', { class: 'dim age', role: 'gridcell', title: format.utc(format.ms(row.start)) }), `${width * 100}%`, row.id === marked ? 'marked' : '',
      { tabindex: at === Math.max(0, selected) ? '0' : '-1', 'aria-selected': String(at === selected), onclick: () => go(row) });
  }
  function drawAges() {
    const now = Date.now();
    for (const { row, firstChild: node } of list.querySelectorAll('.item')) {
      const age = format.age(format.ms(rows[row].start), now);
      if (node.textContent !== age) node.textContent = age;
    }
  }

  function drawEmpty() {
    box = null;
    head.hidden = true;
    fill(above, empty());
    fill(list);
  }

  function go(row) {
    sessionStorage.setItem('spanwire.list', JSON.stringify(rows.map((r) => r.id)));
    sessionStorage.setItem('spanwire.from', row.id);
    open(`/trace/${row.id}`);
  }
  function select(at) {
    if (!rows.length) return;
    selected = Math.max(0, Math.min(rows.length - 1, at));
    const y = inSight.top() + selected * ROW;
    if (y < ROW * 2) scroll.scrollTop += y - ROW * 2;
    else if (y > scroll.clientHeight - ROW * 2) scroll.scrollTop += y - scroll.clientHeight + ROW * 2;
    drawVisible();
    list.querySelector('[aria-selected=true]').focus({ preventScroll: true });
  }

  function key({ key: pressed, target }) {
    if (pressed === 'j' || pressed === 'ArrowDown') select(selected + 1);
    else if (pressed === 'k' || pressed === 'ArrowUp') select(selected - 1);
    else if (pressed === 'Enter' && rows[selected] && !target.closest?.('button')) go(rows[selected]);
    else if (pressed === 'f') change({ sort: sort() === 'failing' ? null : 'failing' }, { push: true });
    else if (pressed === '.') takePending();
    else if (pressed === 'x' && rows[selected]) {
      if (marked && marked !== rows[selected].id) return open(`/compare/${marked}/${rows[selected].id}`), true;
      marked = rows[selected].id;
      draw();
      select(selected);
    } else if (pressed === 'Escape' && selected >= 0) {
      selected = -1;
      drawRows();
    } else return false;
    return true;
  }

  const update = () => ask_()?.then(listen_);
  return { update, key, redraw: () => data && draw() };
}
