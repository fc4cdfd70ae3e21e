// The shell: the bar, which view is shown, and the keyboard.
import { button, dot, el, fill, say, setSlots, value, copy } from './dom.js';
import { icon } from './icons.js';
import * as format from './format.js';
import * as search from './search.js';
import { ask, change, fixedLink, isLive, listen, local, open, readAddress, setToken, state, takeToken } from './state.js';

const VIEWS = { traces: 'Traces', services: 'Services', map: 'Map', latency: 'Latency' };
const MODULES = {
  traces: () => import('./traces.js'), trace: () => import('./trace.js'), services: () => import('./services.js'),
  map: () => import('./map.js'), latency: () => import('./latency.js'), compare: () => import('./compare.js'),
};
const main = document.getElementById('main');
const bar = document.getElementById('bar');
let shown = { name: '', view: null, stop: null };
export let host = { slots: {}, processes: [], spoken: {}, lost: {}, seen: {}, store: {} };
let failures = 0;

function theme() {
  const dark = local.get('theme') ? local.get('theme') === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
  document.documentElement.classList.toggle('dark', dark);
  return dark;
}
function swapTheme() {
  local.set('theme', theme() ? 'light' : 'dark');
  theme();
  drawBar();
  shown.view?.redraw?.();
}

function drawBar() {
  const here = state.path.split('/')[1];
  const tab = { trace: 'traces', compare: 'traces' }[here] || here;
  const lost = Object.entries(host.lost);
  const total = lost.reduce((sum, [, n]) => sum + n, 0);
  const away = failures > 0;
  const all = sum(host.processes), traced = sum(host.processes.filter((p) => p.is_traced)), services = Object.keys(host.spoken).length;
  fill(bar,
    el('span', { class: 'name' }, icon('pulse'), 'spanwire'),
    el('nav', { class: 'row', 'aria-label': 'Views' }, Object.entries(VIEWS).map(([name, title]) =>
      el('button', { class: 'tab', 'aria-current': tab === name ? 'page' : null, onclick: () => open(`/${name}`) }, title))),
    el('span', { class: 'grow' }),
    el('span', { class: `livedot ${away ? 'off' : ''}` }),
    away ? el('span', { class: 'dim' }, `No data since ${format.clock(lastAnswer)}, the agent stopped`)
      : el('span', {}, el('strong', {}, host.host || ''), el('span', { class: 'dim' }, all ? ` tracing ${traced === all ? '' : `${traced} of `}${format.many(all, 'process', 'processes')}` : services ? ` tracing ${format.many(services, 'service')}` : ' nothing seen yet')),
    !away && all > traced && el('button', { class: 'chip amber', onclick: showTraced }, `${all - traced} not traced`),
    total > 0 && el('button', { class: 'chip amber', title: 'What was lost, by reason', onclick: () => showLost(lost) }, `${format.count(total)} events lost`),
    el('span', { class: 'row' },
      button('', swapTheme, { name: document.documentElement.classList.contains('dark') ? 'sun' : 'moon', className: 'plain', title: 'Light or dark (d)' }),
      button('', help, { name: 'help', className: 'plain', title: 'Keys (?)' })));
}

const sum = (rows) => rows.reduce((n, row) => n + row.processes, 0);
/** Who talks here, and whether it is traced: the same as `spanwire ps`. */
export function tracedTable() {
  const seen = (p) => [...(host.spoken[p.service] || []), p.note].filter(Boolean).join(', ') || 'nothing yet';
  return el('table', { class: 'traced' }, el('tr', { class: 'label' }, ['', 'Service', 'Process', 'Runtime', 'Listens on', 'What is seen'].map((t) => el('th', {}, t))),
    host.processes.map((p) => el('tr', {}, el('td', { class: p.is_traced ? 'good' : 'warn', title: p.is_traced ? 'traced' : 'not traced' }, icon(p.is_traced ? 'check' : 'minus')), el('td', {}, el('span', { class: 'row' }, p.is_traced && dot(p.service), value(p.service, 'strong'), p.processes > 1 && el('span', { class: 'dim' }, `×${p.processes}`))),
      el('td', { class: 'mono' }, value(p.program)), el('td', { class: 'dim' }, value(p.runtime)), el('td', { class: 'dim' }, p.ports.slice(0, 8).join(', ')), el('td', { class: p.is_traced && !p.note ? 'dim' : 'warn' }, value(seen(p))))));
}
export const showTraced = () => dialog(el('h2', {}, 'What is traced, and what is not'), el('p', { class: 'dim' }, 'The same: spanwire ps'), tracedTable());

function dialog(...content) {
  const box = el('dialog', {}, content, el('p', {}, button('Close', () => box.close())));
  box.addEventListener('close', () => box.remove());
  document.body.append(box);
  box.showModal();
}
function showLost(lost) {
  dialog(el('h2', {}, 'Lost since the agent started'), el('table', {}, lost.map(([reason, n]) => el('tr', {}, el('td', {}, reason), el('td', { class: 'right' }, format.count(n))))),
    el('p', { class: 'dim' }, 'The same: spanwire doctor --live'));
}
const KEYS = [['/', 'search'], ['g t  g s  g m  g l', 'Traces, Services, Map, Latency'], ['Space', 'live'], ['t', 'range'], ['y', 'copy link'], ['d', 'light or dark'], ['Esc', 'one step back'],
  ['j k ↑ ↓', 'row'], ['Enter', 'open'], ['x', 'mark to compare, twice'], ['f', 'failing only'], ['.', 'take what is new'],
  ['← →', 'fold, unfold'], ['n N', 'along the critical path'], ['e E', 'along the causes'], ['p', 'split pairs'], ['+ − 0  w', 'zoom; to the span'], ['c', 'compare with typical'], ['[ ]', 'previous, next trace'], ['o', 'OTLP JSON']];
function help() {
  const off = local.get('keys') === 'off';
  dialog(el('h2', {}, 'Keys'), el('table', {}, KEYS.map(([key, what]) => el('tr', {}, el('td', {}, el('kbd', {}, key)), el('td', {}, what)))),
    el('p', {}, button(off ? 'Switch single letters on' : 'Switch single letters off', (event) => {
      local.set('keys', off ? 'on' : 'off');
      event.target.closest('dialog').close();
    })));
}

let lastAnswer = Date.now();
async function lookAtHost() {
  try {
    host = await ask('/view/host');
    failures = 0;
    lastAnswer = Date.now();
    setSlots(host.slots);
  } catch (error) {
    if (error.status === 401) return locked();
    failures += 1;
  }
  drawBar();
  setTimeout(lookAtHost, failures ? [1, 2, 5, 10][Math.min(failures - 1, 3)] * 1e3 : document.hidden ? 30e3 : 5e3);
}

function locked() {
  const input = el('input', { placeholder: 'http://127.0.0.1:7726/#k=…', 'aria-label': 'The printed link', class: 'mono' });
  fill(main, el('div', { class: 'sheet' }, el('h1', {}, 'This page is private.'),
    el('p', { class: 'dim' }, 'Open the link that spanwire printed, or paste it here.'),
    el('form', { class: 'row', onsubmit: (event) => { event.preventDefault(); setToken(input.value); location.reload(); } }, input, el('button', { class: 'button' }, 'Open'))));
  input.focus();
}

/** An error where the view would be: its text, and once more. */
export function trouble(error, retry) {
  if (error.status === 401) return locked();
  const gone = error.status === 410;
  fill(main, el('div', { class: 'sheet' }, el('h1', {}, gone ? 'This trace is no longer here.' : 'That did not work.'),
    el('p', { class: 'dim' }, gone ? `It left the store at ${format.clock(format.ms(error.body.at))} (oldest first, ${format.bytes(error.body.bytes)}).` : value(error.message)),
    el('p', { class: 'row' }, !gone && button('Retry', retry), button('Traces', () => open('/traces')))));
}

let waiting;
/** A thin line while something takes longer than a moment. */
export function busy(on) {
  clearTimeout(waiting);
  const line = document.getElementById('busy');
  if (!on) line.hidden = true;
  else waiting = setTimeout(() => (line.hidden = false), 150);
}

async function draw() {
  const [, name, ...rest] = state.path.split('/');
  const module = MODULES[name] ? name : 'traces';
  const key = [module, ...rest].join('/');
  search.draw(document.getElementById('query'), module === 'trace' || module === 'compare');
  drawBar();
  if (shown.name !== key) {
    shown.stop?.abort();
    shown = { name: key, view: null, stop: new AbortController() };
    const { stop } = shown;
    const loaded = await MODULES[module]();
    if (stop.signal.aborted) return;
    fill(main);
    document.title = `${VIEWS[module] || 'Trace'} · spanwire`;
    shown.view = loaded.start(main, { rest, signal: stop.signal, host: () => host });
  }
  shown.view?.update?.();
}

let went = 0;
addEventListener('keydown', (event) => {
  const typing = event.target.closest?.('input, textarea, select');
  if (event.key === 'Escape' && typing) return typing.blur();
  if (typing || event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]')) return;
  if (event.key.length === 1 && local.get('keys') === 'off' && event.key !== '/') return;
  const to = { t: 'traces', s: 'services', m: 'map', l: 'latency' }[event.key];
  if (Date.now() - went < 900 && to) {
    went = 0;
    open(`/${to}`);
  } else if (event.key === 'g') went = Date.now();
  else if (event.key === '/') (shown.view?.find || search.focus)();
  else if (event.key === 'd') swapTheme();
  else if (event.key === '?') help();
  else if (event.key === 'y') copy(fixedLink());
  else if (event.key === 't') search.openRanges();
  else if (event.key === ' ' && !event.target.closest('button')) change({ t: isLive() ? search.frozen() : '15m' });
  else if (!shown.view?.key?.(event)) {
    if (event.key !== 'Escape') return;
    history.length > 1 && state.path !== '/traces' ? history.back() : search.clear();
  }
  event.preventDefault();
});
addEventListener('popstate', () => { readAddress(); draw(); });

takeToken();
theme();
readAddress();
listen(draw);
draw();
lookAtHost();
say('');
