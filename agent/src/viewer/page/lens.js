// What views have in common: asking for what they show, waiting for it, what went wrong; rows that are in sight; and how a
// request looks in one.
import { button, colour, dot, el, fill, icon, place, reasonIcon, spark, value } from './dom.js';
import * as format from './format.js';
import * as search from './search.js';
import { isLive, open, setToken } from './state.js';

const main = document.getElementById('main');
const line = document.getElementById('busy');
const REFRESH = 5e3;
/** Rows beyond what is in sight that are there all the same. */
const SPARE = 10;
/** Above so many rows' nodes, only those in sight are kept. */
const KEPT = 200;

export function locked() {
  const input = el('input', { placeholder: 'http://127.0.0.1:7726/#k=…', 'aria-label': 'The printed link', class: 'mono' });
  fill(main, el('div', { class: 'sheet' }, el('h1', {}, 'This page is private.'),
    el('p', { class: 'dim' }, 'Open the link that spanwire printed, or paste it here.'),
    el('form', { class: 'row', onsubmit: (event) => { event.preventDefault(); setToken(input.value); location.reload(); } }, input, el('button', { class: 'button' }, 'Open'))));
  input.focus();
}

/** An error where the view would be: its text, and once more. */
export function trouble(error) {
  if (error.status === 401) return locked();
  const gone = error.status === 410;
  fill(main, el('div', { class: 'sheet' }, el('h1', {}, gone ? 'This trace is no longer here.' : 'That did not work.'),
    el('p', { class: 'dim' }, gone ? `It left the store at ${format.clock(format.ms(error.body.at))} (oldest first, ${format.count(error.body.bytes / 2 ** 20)} MiB).` : value(error.message)),
    el('p', { class: 'row' }, !gone && button('Retry', () => location.reload()), button('Traces', () => open('/traces')))));
}

/** Tells the browser's tools that what was asked for is there. */
export function drawn() {
  performance.clearMarks();
  performance.mark('drawn');
}

let waiting;
/** A thin line while something takes longer than a moment. */
export function busy(on) {
  clearTimeout(waiting);
  if (!on) line.hidden = true;
  else waiting = setTimeout(() => (line.hidden = false), 150);
}

/** What `get` brings, with the line meanwhile; nothing where it fails, which is shown. */
export async function once(get) {
  busy(true);
  try {
    return await get();
  } catch (error) {
    if (error.name !== 'AbortError') trouble(error);
  } finally {
    busy(false);
  }
}

/**
 * Asks with `get` when `key` has changed, and again every few seconds while the range is live and `rests` is not so; both
 * it and `show`, which has the answer, are told whether nobody asked for it. A mistake in the query leaves what is there, dimmed.
 */
export function lens({ signal, key, get, show, rests = () => false }) {
  let asked = null;
  async function load(quiet = false) {
    const now = key();
    if (!quiet) busy(true);
    try {
      const data = await get(quiet);
      if (signal.aborted || now !== key()) return;
      search.explain(data);
      main.classList.remove('stale');
      show(data, quiet);
      if (!quiet) drawn();
    } catch (error) {
      if (error.body?.mistake) {
        search.explain({ error: error.message, wrong: error.body.mistake });
        main.classList.add('stale');
      } else if (error.name !== 'AbortError' && (!quiet || error.status === 401)) trouble(error);
    } finally {
      if (!quiet) busy(false);
    }
  }
  const again = setInterval(() => { if (isLive() && !document.hidden && !rests()) load(true); }, REFRESH);
  signal.addEventListener('abort', () => clearInterval(again));
  /** Whether it asks anew, as a promise. */
  function update() {
    if (key() === asked) return null;
    asked = key();
    return load();
  }
  return { load, update };
}

/** A share that fails. */
export const failed = (share) => el('span', { class: `right ${share >= 0.01 ? 'bad strong' : 'dim'}` }, format.percent(share));
/** Requests over the range, and how many of them fail. */
export const sparks = ({ series, errors }, width) => [spark(series.map(([n]) => n), width), spark(series.map(([n, e]) => (n ? e / n : 0)), width, errors >= 0.01 ? 'failing' : '')];
export const fact = (name, text) => el('span', {}, el('span', { class: 'dim' }, name), el('strong', {}, text));
/** A request as a row, which begins with `first`; what its time went into is so wide. */
export function requestRow(row, first, width, className, attributes) {
  const cell = (looks, ...content) => el('span', { class: looks, role: 'gridcell' }, content);
  const { why } = row;
  return el('div', { class: `list item ${row.failed ? 'failing' : ''} ${className}`, role: 'row', ...attributes },
    first,
    cell('row cut', dot(row.service), el('span', { class: 'dim cut' }, value(row.service)), el('span', { class: 'operation cut' }, value(row.operation)), row.outcome && el('span', { class: `outcome cut ${row.failed ? 'bad strong' : 'dim'}` }, value(row.outcome))),
    cell(`row cut small ${why ? { error: 'bad', warn: 'warn' }[why.level] || 'dim' : ''}`, why && [icon(reasonIcon(why.kind)), el('span', { class: 'cut' }, value(why.text))]),
    cell('', el('span', { class: 'went', at: { width } }, row.shares.map(([service, time]) => el('span', { class: `seg ${colour(service)}`, title: `${service} ${format.duration(time)}`, at: { flex: `${Math.max(1, row.duration / 250, time)} 0 0` } })))),
    cell('right strong', format.duration(row.duration)),
    cell('right dim', row.spans));
}

/**
 * Rows of one `height` in `space`, which scrolls in `scroll`. `count()` says how many there are, `shows(row)` all that one's
 * looks depend on, `make(row)` draws it; `node.row` tells which it is. A node is kept by what it shows, so that folding,
 * scrolling and what is new move rows instead of drawing them anew.
 */
export function rowsInSight(scroll, space, { height, count, shows, make }) {
  let kept = new Map();

  /** Where the rows begin, seen from the scroll's top, px. */
  const top = () => space.getBoundingClientRect().top - scroll.getBoundingClientRect().top;

  /** Before anything else is changed: afterwards asking what is in sight costs a layout. */
  function draw() {
    const all = count(), y = top();
    const first = Math.max(0, Math.floor(-y / height) - SPARE), last = Math.min(all, Math.ceil((scroll.clientHeight - y) / height) + SPARE);
    const wanted = new Map();
    for (let row = first; row < last; row++) {
      const key = shows(row), node = kept.get(key) ?? make(row);
      wanted.set(key, node);
      if (node.row === row) continue;
      node.row = row;
      node.setAttribute('aria-rowindex', row + 1);
      place(node, { top: row * height });
    }
    kept = kept.size > KEPT ? wanted : new Map([...kept, ...wanted]);
    place(space, { height: all * height });
    space.parentNode.setAttribute('aria-rowcount', all);
    const stays = new Set(wanted.values());
    for (const node of [...space.children]) if (!stays.has(node)) node.remove();
    // Those that stay are in order already, and are not touched: one of them may have the pointer on it.
    let before = space.firstChild;
    for (const node of stays) node === before ? (before = before.nextSibling) : space.insertBefore(node, before);
  }

  /** After a change of what all rows show. */
  const forget = () => kept.clear();

  return { top, draw, forget };
}
