// Nodes: from texts, and icons. Everything captured is hostile: it becomes text, in <bdi>, with what cannot be seen made visible.

// C0, C1, DEL, zero-width, bidi controls, line separators, BOM, tags.
const UNSEEN = /[\p{Cc}\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]/gu;
const LONGEST = 4096;

/** Text in which every character can be seen. */
export function visible(text) {
  return String(text).replace(UNSEEN, (c) => `⟨U+${c.codePointAt(0).toString(16).toUpperCase().padStart(4, '0')}⟩`);
}

/** A captured value: isolated, and cut when it is very long. */
export function value(text, className = '') {
  const shown = visible(text);
  const node = el('bdi', { class: className });
  if (shown.length <= LONGEST) {
    node.textContent = shown;
    return node;
  }
  const more = el('button', { class: 'chip', onclick: () => (node.textContent = shown) }, 'show all');
  node.append(shown.slice(0, LONGEST), '… ', more);
  return node;
}

const ALLOWED = /^(class|id|type|role|tabindex|title|placeholder|for|name|spellcheck|autocomplete|maxlength|colspan|disabled|hidden|aria-[a-z]+|data-[a-z]+)$/;

const known = {};
const isAllowed = (name) => (known[name] ??= ALLOWED.test(name));

/** An element. Attributes are names that this file knows; `on…` are listeners, never text. */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, given] of Object.entries(attributes)) {
    if (given === undefined || given === null || given === false) continue;
    if (name.startsWith('on')) node.addEventListener(name.slice(2), given);
    else if (name === 'at') place(node, given);
    else if (isAllowed(name)) node.setAttribute(name, given === true ? '' : name === 'title' || name === 'aria-label' ? visible(given) : given);
    else throw new Error(`attribute ${name}`);
  }
  add(node, children);
  return node;
}

function add(node, children) {
  for (const child of children) {
    if (Array.isArray(child)) add(node, child);
    else if (child === null || child === undefined || child === false) continue;
    else node.append(child instanceof Node ? child : document.createTextNode(visible(child)));
  }
}

/** Positions and sizes: numbers are px. */
export function place(node, styles) {
  for (const [name, given] of Object.entries(styles)) {
    node.style.setProperty(name, typeof given === 'number' ? `${given}px` : given);
  }
}

export function fill(node, ...children) {
  node.replaceChildren();
  add(node, children);
  return node;
}

/**
 * As `fill`, but what looks the same already stays, with the pointer or the focus on it. For what is drawn again every few
 * seconds; listeners of what stays stay too: they may go by nothing that cannot be seen.
 */
export function refill(node, ...children) {
  const before = [...node.childNodes], now = [...el('div', {}, children).childNodes];
  now.forEach((child, i) => {
    if (!before[i]) node.append(child);
    else if (!before[i].isEqualNode(child)) before[i].replaceWith(child);
  });
  before.slice(now.length).forEach((child) => child.remove());
}

const slots = {};
/** Takes what the store says; whether any is another than what its name led to. */
export function setSlots(given) {
  const changed = Object.entries(given).some(([service, is]) => slot(service) !== is);
  Object.assign(slots, given);
  return changed;
}

/** FNV-1a, as the store has it: a service's colour before the store has said so. */
function slot(service) {
  if (slots[service] !== undefined) return slots[service];
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(service)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash % 8;
}
export const colour = (service) => `c${slot(service) % 8}`;
export function dot(service) {
  const round = Math.floor(slot(service) / 8);
  return el('span', { class: `dot ${colour(service)} ${round === 1 ? 'ring' : round > 1 ? 'hollow' : ''}` });
}

const probe = document.getElementById('say');
/** A colour's value in the theme of now, for canvases. */
export function token(name) {
  place(probe, { color: `var(--${name})` });
  return getComputedStyle(probe).color;
}

/** Tells `moved` of the events between which `node` is dragged over, and `done` of the last ones; of no end where it was taken away. */
export function drag(node, done, moved) {
  let from = null, to = null;
  node.addEventListener('pointerdown', (event) => { from = to = event; node.setPointerCapture(event.pointerId); });
  node.addEventListener('pointermove', (event) => { if (from) moved?.(from, (to = event)); });
  node.addEventListener('pointercancel', () => (to = null));
  node.addEventListener('lostpointercapture', () => { done(from, to); from = null; });
}

export function button(text, onclick, { name, key, className = 'button', title, pressed } = {}) {
  return el('button', { class: className, onclick, title, type: 'button', 'aria-pressed': pressed }, name && icon(name), text, key && el('kbd', {}, key));
}

export function copy(text) {
  navigator.clipboard?.writeText(text).then(() => say('Copied'), () => say('It could not be copied'));
}

/** Hands the reader a file. */
export function save(name, type, text) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}

/** Said to who listens instead of looking. */
export function say(text) {
  document.getElementById('say').textContent = text;
}

/** A sparkline of [n, …]. */
export function spark(numbers, width = 104, className = '') {
  const height = 20;
  const most = Math.max(1e-9, ...numbers);
  const points = numbers.map((n, i) => `${((i / Math.max(1, numbers.length - 1)) * width).toFixed(1)} ${(height - 1 - (n / most) * (height - 3)).toFixed(1)}`);
  const line = points.join('L');
  return shape('svg', { class: `spark ${className}`, viewBox: `0 0 ${width} ${height}`, width, height, 'aria-hidden': 'true' }, shape('path', { class: 'area', d: `M0 ${height}L${line}L${width} ${height}Z` }), shape('path', { class: 'line', d: `M${line}` }));
}

/** A box above all, until it is closed. */
export function dialog(...content) {
  const box = el('dialog', {}, content, el('p', {}, button('Close', () => box.close())));
  box.addEventListener('close', () => box.remove());
  document.body.append(box);
  box.showModal();
  return box;
}

// Icons: 16 px boxes, drawn with currentColor. Built with createElementNS, never from markup.
const NS = 'http://www.w3.org/2000/svg';
const PATHS = {
  pulse: 'M1.5 8h3l2-5 3 10 2-5h3',
  search: 'M7 2.5a4.5 4.5 0 1 1 0 9 4.5 4.5 0 0 1 0-9ZM10.5 10.5 14 14',
  clock: 'M8 2a6 6 0 1 1 0 12A6 6 0 0 1 8 2ZM8 5v3.2l2 1.3',
  down: 'M4 6.5 8 10.5l4-4', right: 'M6 4l4 4-4 4', left: 'M10 4 6 8l4 4', close: 'M4 4l8 8M12 4l-8 8',
  check: 'M4 8.5l2.5 2.5L12 5.5', minus: 'M3.5 8h9', plus: 'M8 3.5v9M3.5 8h9',
  moon: 'M13 9.5A5.5 5.5 0 1 1 6.5 3a4.5 4.5 0 0 0 6.5 6.5Z',
  sun: 'M8 5a3 3 0 1 1 0 6 3 3 0 0 1 0-6ZM8 1.5v1.2M8 13.3v1.2M1.5 8h1.2M13.3 8h1.2M3.4 3.4l.9.9M11.7 11.7l.9.9M3.4 12.6l.9-.9M11.7 4.3l.9-.9',
  help: 'M8 2a6 6 0 1 1 0 12A6 6 0 0 1 8 2ZM6.3 6.3A1.8 1.8 0 1 1 8 8.6v.6M8 11.3v.1',
  alert: 'M8 2a6 6 0 1 1 0 12A6 6 0 0 1 8 2ZM8 5v3.5M8 11v.1',
  retry: 'M13 6.5A5.2 5.2 0 0 0 3.6 5M3 2.5V5.5h3M3 9.5A5.2 5.2 0 0 0 12.4 11M13 13.5v-3h-3',
  layers: 'M8 2l6 3-6 3-6-3 6-3ZM2 8l6 3 6-3M2 11l6 3 6-3',
  database: 'M3 4c0-1.1 2.2-2 5-2s5 .9 5 2-2.2 2-5 2-5-.9-5-2ZM3 4v8c0 1.1 2.2 2 5 2s5-.9 5-2V4M3 8c0 1.1 2.2 2 5 2s5-.9 5-2',
  cache: 'M8.5 1.5 3.5 9H8l-.5 5.5L12.5 7H8l.5-5.5Z', queue: 'M2.5 4h11M2.5 8h11M2.5 12h7',
  web: 'M8 2a6 6 0 1 1 0 12A6 6 0 0 1 8 2ZM2 8h12M8 2c2 2 2.5 4 2.5 6S10 12 8 14M8 2C6 4 5.5 6 5.5 8S6 12 8 14',
  broken: 'M1.5 8h3M11.5 8h3M6.5 4.5 5 11.5M11 4.5 9.5 11.5', compare: 'M5 13V3.5L3 5.5M11 3v9.5l2-2',
  link: 'M6.5 9.5l3-3M7 5l1.5-1.5a2.5 2.5 0 0 1 3.5 3.5L10.5 8.5M9 11l-1.5 1.5A2.5 2.5 0 0 1 4 9l1.5-1.5',
  download: 'M8 2.5v7M5 7l3 3 3-3M3 13h10', copy: 'M6 6h7v7H6ZM10 6V3H3v7h3', terminal: 'M2.5 3.5h11v9h-11ZM5 6.5 6.5 8 5 9.5M8.5 9.5h2.5',
  arrow: 'M3 8h9M9 5l3 3-3 3', filter: 'M2.5 4h11L9.5 8.5V13l-3-1.5v-3L2.5 4Z', network: 'M2.5 8h3M10.5 8h3M8 5.5a2.5 2.5 0 1 1 0 5 2.5 2.5 0 0 1 0-5Z',
};

const icons = {};
export function icon(name) {
  return (icons[name] ??= shape('svg', { class: 'icon', viewBox: '0 0 16 16', 'aria-hidden': 'true' }, shape('path', { d: PATHS[name] || PATHS.web }))).cloneNode(true);
}

/** A part of an SVG picture; numbers only. */
export function shape(tag, attributes, ...children) {
  const node = document.createElementNS(NS, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, String(value));
  node.append(...children);
  return node;
}

/** Which icon a reason has. */
export const reasonIcon = (kind) => ({
  retried: 'retry', 'timed-out': 'clock', repeats: 'layers', inside: 'clock', peer: 'clock',
  waiting: 'clock', open: 'clock', network: 'network', shares: 'clock', incomplete: 'broken',
})[kind] || 'alert';
