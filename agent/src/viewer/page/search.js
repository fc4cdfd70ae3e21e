// The query line: what is typed in colour, completion from live data, the range, and what a mistake is.
import { button, el, fill, icon, place, value } from './dom.js';
import { minute, percent, quote } from './format.js';
import { ask, change, isLive, local, query, range, rangeName, window_ } from './state.js';

const RANGES = ['1m', '5m', '15m', '1h', '6h', '24h'];
const TOKENS = /("(?:\\.|[^"])*"?|'(?:\\.|[^'])*'?)|([^\s(){}"',=!<>~:&|]+)(\s*(?:!=|>=|<=|==|=~|[=<>~:])\s*)("(?:\\.|[^"])*"?|[^\s(){}]*)|([\s\S])/g;
let box, input, shown, note, says, keys = [], mistake = null, pop = null;

/** Colours a query: keys, operators, values. Not a parser: that is the server's. */
function paint() {
  const text = input.value;
  const parts = [];
  for (const [whole, , key, op, given] of text.matchAll(TOKENS)) {
    if (key !== undefined) parts.push(key, el('span', { class: 't-op' }, op), el('span', { class: 't-value' }, given));
    else parts.push(whole);
  }
  fill(shown, parts);
  if (mistake) {
    // The place is told in UTF-16 units, as texts are counted here.
    const { from, to } = mistake;
    fill(shown, text.slice(0, from), el('span', { class: 't-wrong' }, text.slice(from, Math.max(to, from + 1)) || ' '), text.slice(Math.max(to, from + 1)));
  }
  place(shown, { transform: `translateX(${-input.scrollLeft}px)` });
}

export function draw(root, isHidden) {
  root.hidden = isHidden;
  if (!input) build(root);
  if (document.activeElement !== input) input.value = query();
  paint();
  fill(box.range, icon('clock'), isLive() ? rangeName() : `${minute(window_().from)} to ${minute(window_().to)}`, icon('down'));
  box.live.setAttribute('aria-pressed', String(isLive()));
  box.live.firstChild.classList.toggle('off', !isLive());
}

function build(root) {
  input = el('input', {
    id: 'q', placeholder: 'Filter: a word, a trace id, or service=orders status>=500 duration>200ms user.id=42', spellcheck: 'false', autocomplete: 'off', maxlength: '4096',
    role: 'combobox', 'aria-label': 'Search', 'aria-expanded': 'false', 'aria-controls': 'completion', 'aria-autocomplete': 'list',
    oninput: () => { mistake = null; paint(); complete(); later(); }, onfocus: () => { refreshKeys(); complete(); }, onkeydown: onKey,
    onblur: () => setTimeout(close, 150), onscroll: paint,
  });
  shown = el('div', { class: 'shown', 'aria-hidden': 'true' });
  note = el('span', { class: 'dim small' });
  box = {
    range: button('', openRanges, { title: 'Range (t)' }),
    live: button('', () => change({ t: isLive() ? frozen() : '15m' }), { pressed: 'true', title: 'New requests as they come' }),
  };
  fill(box.live, el('span', { class: 'livedot' }), 'Live', el('kbd', {}, 'space'));
  says = el('div', { class: 'says small', hidden: true });
  fill(root, el('div', { class: 'field' }, icon('search'), el('div', { class: 'typed' }, input, shown), note, el('kbd', {}, '/')), box.range, box.live);
  root.after(says);
}

/** What stands at the end of the line: how many match. */
export function tell(text) {
  if (note) note.textContent = text;
}

/** How the query was read, or what is wrong with it. */
export function explain({ guesses = [], error = null, wrong = null } = {}) {
  mistake = wrong;
  paint();
  const text = error || guesses.join(' · ');
  says.hidden = !text;
  fill(says, el('span', { class: error ? 'bad' : 'dim' }, error && icon('alert'), value(text)));
}

export const focus = () => { input.focus(); input.select(); };
export function clear() {
  if (query()) change({ q: null }, { push: true });
}
/** The live range as it is now. */
export const frozen = () => `${Math.floor(window_().from)}..${Math.ceil(window_().to)}`;

/** Adds a term, or takes it away where it is there already. */
export function filter(term, { exclude = false } = {}) {
  const wanted = exclude ? `-${term}` : term;
  const now = query().split(/\s+(?=(?:[^"]*"[^"]*")*[^"]*$)/).filter(Boolean);
  const next = now.includes(wanted) ? now.filter((t) => t !== wanted) : [...now.filter((t) => t !== term && t !== `-${term}`), wanted];
  change({ q: next.join(' ') }, { push: true });
}
export const has = (term) => query().includes(term);

let timer;
function later() {
  clearTimeout(timer);
  timer = setTimeout(() => change({ q: input.value.trim() }), 250);
}

let asked = 0;
async function refreshKeys() {
  if (Date.now() - asked < 10e3) return;
  asked = Date.now();
  try {
    keys = (await ask('/view/keys', { q: null })).keys;
    if (document.activeElement === input) complete();
  } catch { /* completion is a courtesy */ }
}

/** The word before the caret, and where it begins. */
function word() {
  const before = input.value.slice(0, input.selectionStart);
  const found = /[^\s(){}]*$/.exec(before);
  const text = found[0].replace(/^[-!]/, '');
  return { text, from: before.length - text.length };
}

function options() {
  const { text } = word();
  const split = /^([^=!<>~:]+)(=|!=|~|:|>=?|<=?)(.*)$/.exec(text);
  if (split) {
    const [, name, op, start] = split;
    const key = keys.find((k) => k.key === name) || keys.find((k) => k.key.endsWith(`.${name}`));
    return (key?.values || []).filter(([v]) => v.toLowerCase().startsWith(start.replace(/^"/, '').toLowerCase()))
      .slice(0, 8).map(([v, n]) => ({ text: `${name}${op}${quote(v)} `, shown: v, beside: `${n.toLocaleString()} spans` }));
  }
  return keys.filter((k) => k.key.toLowerCase().includes(text.toLowerCase())).sort((a, b) => Number(b.key.startsWith(text)) - Number(a.key.startsWith(text)) || b.share - a.share)
    .slice(0, 8).map((k) => ({ text: `${k.key}=`, shown: k.key, about: k.different <= 4 ? k.values.map(([v]) => v).join(', ') : `${k.different} values`, beside: `on ${percent(Math.min(1, k.share))} of spans` }));
}
const recent = () => JSON.parse(local.get('recent') || '[]');
function remember(text) {
  if (text) local.set('recent', JSON.stringify([text, ...recent().filter((t) => t !== text)].slice(0, 20)));
}

function complete() {
  if (document.activeElement !== input) return;
  const found = options();
  const before = input.value ? [] : recent().slice(0, 5).map((text) => ({ text, shown: text, recent: true }));
  close();
  if (!found.length && !before.length) return;
  const chosen = { at: -1, all: [...found, ...before] };
  const row = (option, at) => el('button', { class: 'option', role: 'option', tabindex: '-1', 'aria-selected': 'false', onmousedown: (event) => { event.preventDefault(); take(chosen.all[at]); } },
    option.recent && icon('clock'), value(option.shown, 'mono'), option.about && el('span', { class: 'dim small cut' }, option.about), el('span', { class: 'grow' }), option.beside && el('span', { class: 'dimmer small' }, option.beside));
  const node = el('div', { class: 'pop', id: 'completion', role: 'listbox', at: { left: 16, top: 88, width: `${box.range.offsetLeft - 24}px` } },
    found.length > 0 && el('div', { class: 'head label' }, 'Seen in this range'), found.map(row),
    before.length > 0 && el('div', { class: 'head label' }, 'Recent'), before.map((o, i) => row(o, found.length + i)),
    el('div', { class: 'foot small' }, el('span', { class: 'grow' }), el('kbd', {}, 'tab'), 'complete', el('kbd', {}, '↵'), 'search'));
  document.getElementById('float').append(node);
  input.setAttribute('aria-expanded', 'true');
  pop = { node, chosen };
}
function close() {
  pop?.node.remove();
  pop = null;
  input?.setAttribute('aria-expanded', 'false');
}
function take(option) {
  if (option.recent) input.value = option.text;
  else {
    const { from } = word();
    input.setRangeText(option.text, from, input.selectionStart, 'end');
  }
  paint();
  complete();
  later();
}

function onKey(event) {
  const { key } = event;
  if ((key === 'ArrowDown' || key === 'ArrowUp') && pop) {
    const { chosen, node } = pop;
    chosen.at = (chosen.at + (key === 'ArrowDown' ? 1 : -1) + chosen.all.length + 1) % (chosen.all.length + 1);
    [...node.querySelectorAll('.option')].forEach((o, i) => o.setAttribute('aria-selected', String(i === chosen.at)));
  } else if (key === 'Tab' && pop && !event.shiftKey) take(pop.chosen.all[Math.max(0, pop.chosen.at)]);
  else if (key === 'Enter') {
    const chosen = pop?.chosen.all[pop.chosen.at];
    if (chosen) take(chosen);
    else {
      clearTimeout(timer);
      close();
      remember(input.value.trim());
      change({ q: input.value.trim() }, { push: true });
    }
  } else return;
  event.preventDefault();
}

export function openRanges() {
  const node = el('div', { class: 'pop', role: 'menu', at: { right: 16, top: 88, width: '180px' } }, RANGES.map((t) =>
    el('button', { class: 'option', role: 'menuitem', 'aria-selected': String(t === range()), onclick: () => { gone(); change({ t }, { push: true }); } }, rangeName(t))));
  const gone = () => node.remove();
  document.getElementById('float').append(node);
  node.firstChild.focus();
  node.addEventListener('keydown', (event) => {
    const step = { ArrowDown: 'nextSibling', ArrowUp: 'previousSibling' }[event.key];
    if (event.key === 'Escape') gone();
    else if (step) document.activeElement[step]?.focus();
    else return;
    event.stopPropagation();
    event.preventDefault();
  });
  node.addEventListener('focusout', () => setTimeout(() => node.contains(document.activeElement) || gone()));
}
