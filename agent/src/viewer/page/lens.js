// What views have in common: asking for what they show, waiting for it, what went wrong; and how a request looks in a row.
import { button, colour, dot, el, fill, icon, reasonIcon, value } from './dom.js';
import * as format from './format.js';
import * as search from './search.js';
import { isLive, open, setToken } from './state.js';

const main = document.getElementById('main');
const line = document.getElementById('busy');
const REFRESH = 5e3;

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
    el('p', { class: 'dim' }, gone ? `It left the store at ${format.clock(format.ms(error.body.at))} (oldest first, ${format.bytes(error.body.bytes)}).` : value(error.message)),
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

/** Parts of any row of a request. */
export const asked_ = (row) => [dot(row.service), el('span', { class: 'dim cut' }, value(row.service)), el('span', { class: 'operation cut' }, value(row.operation))];
export const reason = ({ why }) => why && [icon(reasonIcon(why.kind)), el('span', { class: 'cut' }, value(why.text))];
export const shares = (row) => row.shares.map(([service, time]) => el('span', { class: `seg ${colour(service)}`, title: `${service} ${format.duration(time)}`, at: { flex: `${Math.max(1, row.duration / 250, time)} 0 0` } }));
