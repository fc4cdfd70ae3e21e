// Nodes from texts. Everything captured is hostile: it becomes text, in <bdi>, with what cannot be seen made visible.
import { icon, shape } from './icons.js';

// C0, C1, DEL, zero-width, bidi controls, line separators, BOM, tags.
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|\udb40[\udc00-\udc7f]/g;
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

/** An element. Attributes are names that this file knows; `on…` are listeners, never text. */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, given] of Object.entries(attributes)) {
    if (given === undefined || given === null || given === false) continue;
    if (name.startsWith('on')) node.addEventListener(name.slice(2), given);
    else if (name === 'at') place(node, given);
    else if (ALLOWED.test(name)) node.setAttribute(name, given === true ? '' : name === 'title' || name === 'aria-label' ? visible(given) : given);
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

let slots = {};
export const setSlots = (given) => (slots = given);

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

/** A colour's value, for canvases. */
export const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

export function button(text, onclick, { name, key, className = 'button', title, pressed } = {}) {
  return el('button', { class: className, onclick, title, type: 'button', 'aria-pressed': pressed }, name && icon(name), text, key && el('kbd', {}, key));
}

export function copy(text) {
  navigator.clipboard?.writeText(text).then(() => say('Copied'), () => say('It could not be copied'));
}

/** Said to who listens instead of looking. */
export function say(text) {
  document.getElementById('say').textContent = text;
}

/** A sparkline of [n, …] in a box. */
export function spark(numbers, { width = 104, height = 20, className = 'spark' } = {}) {
  const most = Math.max(1e-9, ...numbers);
  const points = numbers.map((n, i) => `${((i / Math.max(1, numbers.length - 1)) * width).toFixed(1)} ${(height - 1 - (n / most) * (height - 3)).toFixed(1)}`);
  const line = points.join('L');
  return shape('svg', { class: className, viewBox: `0 0 ${width} ${height}`, width, height, 'aria-hidden': 'true' }, shape('path', { class: 'area', d: `M0 ${height}L${line}L${width} ${height}Z` }), shape('path', { class: 'line', d: `M${line}` }));
}
