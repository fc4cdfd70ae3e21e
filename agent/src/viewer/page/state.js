// The address is the state: everything that can be seen is a link. And the way to the server, with the token.
const TOKEN = 'spanwire.token';

/** From the printed link: taken out of the address before anything else happens. */
export function takeToken() {
  const found = /^#k=([0-9A-Za-z]+)$/.exec(location.hash);
  if (found) {
    localStorage.setItem(TOKEN, found[1]);
    history.replaceState(history.state, '', location.pathname + location.search);
  }
}
export const setToken = (text) => localStorage.setItem(TOKEN, text.replace(/^.*#k=/, '').trim());

export const state = { path: '', params: new URLSearchParams() };
let onChange = () => {};
export const listen = (f) => (onChange = f);

export function readAddress() {
  clearTimeout(writing);
  let path = location.pathname;
  const params = new URLSearchParams(location.search);
  if (path === '/' || path === '/search') {
    // Jaeger's own address of a search.
    const service = params.get('service');
    if (service && !params.get('q')) params.set('q', `service=${service}`);
    params.delete('service');
    path = '/traces';
  }
  state.path = path;
  state.params = params;
}

const address = () => {
  const search = state.params.toString();
  return state.path + (search ? `?${search}` : '');
};

/** Opens a view: the query and the range stay. */
export function open(path, changes = {}) {
  const kept = new URLSearchParams();
  for (const name of ['q', 't']) if (state.params.get(name)) kept.set(name, state.params.get(name));
  state.path = path;
  state.params = kept;
  assign(changes);
  write(true);
  onChange();
}

let writing;
/** Puts the state into the address; what does not make an entry of its own only when it has come to rest. */
function write(push) {
  clearTimeout(writing);
  if (push) history.pushState(null, '', address());
  else writing = setTimeout(() => history.replaceState(null, '', address()), 250);
}

/** Changes the state of this view. `push` where Back should come here again. */
export function change(changes, { push = false, redraw = true } = {}) {
  assign(changes);
  write(push);
  if (redraw) onChange();
}

/** What the address lists under a name, as a set; and what it lists of one. */
export const listed = (name) => new Set((state.params.get(name) || '').split(',').filter(Boolean));
export const list = (set) => [...set].slice(0, 20).join(',');

function assign(changes) {
  for (const [name, given] of Object.entries(changes)) {
    if (given === null || given === undefined || given === '') state.params.delete(name);
    else state.params.set(name, given);
  }
}

/** What the server last said of its host. */
export let host = { slots: {}, processes: [], open: [], spoken: {}, lost: {}, seen: {}, store: {} };
export const setHost = (given) => (host = given);

export const query = () => state.params.get('q') || '';
export const range = () => state.params.get('t') || '15m';
export const isLive = () => !range().includes('..');

/** A range that ends now. */
const SPAN = /^(\d+)([smhd])$/;
/** The range in ms since 1970. */
export function window_() {
  const [from, to] = range().split('..').map(Number);
  if (to > from) return { from, to };
  const [, n, unit] = SPAN.exec(range()) || [0, 15, 'm'];
  return { from: Date.now() - n * { s: 1e3, m: 6e4, h: 36e5, d: 864e5 }[unit], to: Date.now() };
}
export function rangeName(text = range()) {
  const found = SPAN.exec(text);
  return found ? `Last ${found[1]} ${found[2] === 'm' ? 'min' : found[2]}` : '';
}

/** A link that means the same tomorrow, without the token. */
export function fixedLink() {
  const params = new URLSearchParams(state.params);
  const { from, to } = window_();
  params.set('t', `${Math.floor(from)}..${Math.ceil(to)}`);
  return `${location.origin}${state.path}?${params}`;
}

export class Failed extends Error {
  constructor(status, body) {
    super(body.error || `The server answered ${status}.`);
    this.status = status;
    this.body = body;
  }
}

const get = (path, parameters, signal) => fetch(`${path}?${parameters}`, { headers: { Authorization: `Bearer ${localStorage.getItem(TOKEN) || ''}` }, signal, cache: 'no-store' });

/** Asks the server. Parameters `q` and `t` go along unless others are given. */
export async function ask(path, parameters = {}, signal) {
  const all = new URLSearchParams({ q: query(), t: range() });
  for (const [name, given] of Object.entries(parameters)) {
    if (given !== undefined && given !== null) all.set(name, given);
  }
  let answer;
  try {
    answer = await get(path, all, signal);
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Failed(0, { error: 'The agent does not answer.' });
  }
  const text = await answer.text();
  let body;
  try {
    body = JSON.parse(text);
  } catch {
    body = { error: text.trim() };
  }
  if (!answer.ok) throw new Failed(answer.status, body);
  return body;
}

/** Lines from the server until `signal` says stop or the line breaks. */
export async function stream(path, parameters, signal, onLine) {
  const all = new URLSearchParams({ q: query(), ...parameters });
  const answer = await get(path, all, signal);
  if (!answer.ok) throw new Failed(answer.status, {});
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split('\n');
    rest = lines.pop();
    for (const line of lines) if (line) onLine(JSON.parse(line));
  }
}

/** What was set on this browser only. */
export const local = {
  get: (name) => localStorage.getItem(`spanwire.${name}`),
  set: (name, given) => localStorage.setItem(`spanwire.${name}`, given),
};
