// The shell: the bar, which view is shown, and the keyboard.
import { button, copy, dialog, el, fill, icon, refill, say, setSlots } from './dom.js';
import * as format from './format.js';
import * as search from './search.js';
import { locked } from './lens.js';
import { showOpen, showTraced } from './traced.js';
import { ask, change, fixedLink, host, isLive, listen, local, open, rangeName, readAddress, setHost, state, takeToken } from './state.js';

const VIEWS = { traces: 'Traces', services: 'Services', map: 'Map', latency: 'Latency' };
const MODULES = {
  traces: () => import('./traces.js'), trace: () => import('./trace.js'), services: () => import('./services.js'),
  map: () => import('./map.js'), latency: () => import('./latency.js'), compare: () => import('./compare.js'),
};
const main = document.getElementById('main');
const bar = document.getElementById('bar');
let shown = { name: '', view: null, stop: null };
let failures = 0;

const DARK = '(prefers-color-scheme: dark)';
/** The system's theme, unless another was chosen here. */
const isDark = () => (local.get('theme') || (matchMedia(DARK).matches ? 'dark' : 'light')) === 'dark';
function theme() {
  for (const name of ['light', 'dark']) document.documentElement.classList.toggle(name, local.get('theme') === name);
}
function swapTheme() {
  local.set('theme', isDark() ? 'light' : 'dark');
  theme();
  redraw();
}
function redraw() {
  drawBar();
  shown.view?.redraw?.();
}

function drawBar() {
  const here = state.path.split('/')[1];
  const tab = { trace: 'traces', compare: 'traces' }[here] || here;
  const total = Object.values(host.lost).reduce((sum, n) => sum + n, 0);
  const away = failures > 0;
  const all = sum(host.processes), traced = sum(host.processes.filter((p) => p.is_traced)), services = Object.keys(host.spoken).length;
  refill(bar,
    el('span', { class: 'name' }, icon('pulse'), 'spanwire'),
    el('nav', { class: 'row', 'aria-label': 'Views' }, Object.entries(VIEWS).map(([name, title]) =>
      el('button', { class: 'tab', 'aria-current': tab === name ? 'page' : null, onclick: () => open(`/${name}`) }, title))),
    el('span', { class: 'grow' }),
    el('span', { class: 'row' }, el('span', { class: `livedot ${away ? 'off' : ''}` }), away ? el('span', { class: 'dim' }, `No data since ${format.clock(lastAnswer)}, the agent stopped`)
      : el('span', {}, el('strong', {}, host.host || ''), el('span', { class: 'dim' }, all ? ` tracing ${traced === all ? '' : `${traced} of `}${format.many(all, 'process', 'processes')}` : services ? ` tracing ${format.many(services, 'service')}` : ' nothing seen yet'))),
    !away && host.open.length > 0 && el('button', { class: 'chip', title: 'Requests that have not ended yet', onclick: showOpen }, `${host.open.length} under way`),
    !away && all > traced && el('button', { class: 'chip amber', onclick: showTraced }, `${all - traced} not traced`),
    host.kept && el('span', { class: 'chip', title: 'Sampling leaves out the others. Rates are scaled by it: ~' }, `${+(host.kept * 100).toPrecision(2)}% kept`),
    total > 0 && el('button', { class: 'chip amber', title: 'What was lost, by reason', onclick: showLost }, `${format.count(total)} events lost ${within}`),
    el('span', { class: 'row' },
      button('', swapTheme, { name: isDark() ? 'sun' : 'moon', className: 'plain', title: 'Light or dark (d)' }),
      button('', help, { name: 'help', className: 'plain', title: 'Keys (?)' })));
}

const sum = (rows) => rows.reduce((n, row) => n + row.processes, 0);
function showLost() {
  dialog(el('h2', {}, `Lost ${within}`), el('table', {}, Object.entries(host.lost).map(([reason, n]) => el('tr', {}, el('td', {}, reason), el('td', { class: 'right' }, format.count(n))))),
    el('p', { class: 'dim' }, 'Since the agent started: spanwire doctor --live'));
}
const KEYS = [['/', 'search'], ['g t  g s  g m  g l', Object.values(VIEWS).join(', ')], ['Space', 'live'], ['t', 'range'], ['y', 'copy link'], ['d', 'light or dark'], ['Esc', 'one step back'],
  ['j k ↑ ↓', 'row'], ['Enter', 'open'], ['x', 'mark to compare, twice'], ['f', 'failing only'], ['.', 'take what is new'],
  ['← →', 'fold, unfold'], ['n N', 'along the critical path'], ['e E', 'along the causes'], ['p', 'split pairs'], ['r', 'clocks as they came'], ['+ − 0  w', 'zoom; to the span'], ['c', 'compare with typical'], ['[ ]', 'previous, next trace'], ['o', 'OTLP JSON']];
function help() {
  const off = local.get('keys') === 'off';
  dialog(el('h2', {}, 'Keys'), el('table', {}, KEYS.map(([key, what]) => el('tr', {}, el('td', {}, el('kbd', {}, key)), el('td', {}, what)))),
    el('p', {}, button(off ? 'Switch single letters on' : 'Switch single letters off', (event) => {
      local.set('keys', off ? 'on' : 'off');
      event.target.closest('dialog').close();
    })));
}

let lastAnswer = Date.now();
/** The range that losses were told of. */
let within = '';
/** Asks now and from now on; whether this page may know. */
async function lookAtHost() {
  try {
    const name = rangeName();
    setHost(await ask('/view/host', { q: null }));
    within = name ? `in ${name.slice(5)}` : 'in this range';
    format.sampled(host.kept);
    failures = 0;
    lastAnswer = Date.now();
    // Colours that were guessed from names may have been another's.
    if (setSlots(host.slots)) shown.view?.redraw?.();
  } catch (error) {
    if (error.status === 401) return locked();
    failures += 1;
  }
  drawBar();
  setTimeout(lookAtHost, failures ? [1, 2, 5, 10][Math.min(failures - 1, 3)] * 1e3 : document.hidden ? 30e3 : 5e3);
  return true;
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
    // Colours are the host's to say: nothing is drawn in others.
    const [loaded, mayKnow] = await Promise.all([MODULES[module](), known]);
    if (stop.signal.aborted || !mayKnow) return;
    main.classList.remove('stale');
    fill(main);
    document.title = `${VIEWS[module] || 'Trace'} · spanwire`;
    shown.view = loaded.start(main, { rest, signal: stop.signal });
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
addEventListener('lost', drawBar);
// The system's own change, at dusk for one: what is drawn on canvases keeps its colours otherwise.
matchMedia(DARK).addEventListener('change', redraw);
addEventListener('popstate', () => { readAddress(); draw(); });

takeToken();
theme();
readAddress();
listen(draw);
const known = lookAtHost();
draw();
say('');
