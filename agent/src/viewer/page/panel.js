// One span: what was called, over which connection, in which process, and what that cost; or a group of similar calls.
import { button, colour, copy, dot, el, fill, value } from './dom.js';
import * as format from './format.js';
import { fact } from './lens.js';
import { filter } from './search.js';
import { ask, open } from './state.js';

const CALL = /^(http|rpc|db|url|messaging|graphql|faas|error|user_agent|exception)\b/;
const CONNECTION = /^(network|client|server\.|peer\.|net\.)/;

const one = (name, us) => fact(`${name} `, format.micros(us));

export async function panel(side, trace, at, named, { close, selectSpan, signal, group }) {
  const service = trace.text('service', named);
  const outcome = trace.text('outcome', named);
  const failed = trace.failed(at);
  const isPair = named !== at;
  const mine = Symbol('shown');
  side.shown = mine;
  const details = el('div', {});
  const peer = trace.text('peer', at);
  fill(side,
    el('div', { class: 'row panelhead' }, dot(service), el('span', { class: 'dim cut' }, value(service), group && peer && [' → ', value(peer)]), el('span', { class: 'grow' }), button('', close, { name: 'close', className: 'plain', title: 'Close (Esc)' })),
    el('h2', {}, value(trace.text('operation', named))),
    group ? [alike(), calls()] : [el('p', { class: 'row wrap' }, outcome && el('span', { class: `chip ${failed ? 'error' : ''}` }, value(outcome)), el('span', { class: 'chip' }, isPair ? 'both ends seen' : `${trace.text('kind', at)} only`), (trace.lost(at) || trace.lost(named)) && el('span', { class: 'chip amber' }, 'bytes lost, end not seen')),
    causeOf(), times()], details);
  try {
    const ends = isPair ? [at, named] : [at];
    const got = await Promise.all(ends.map((end) => ask(`/view/trace/${trace.id}/span/${trace.ids[end]}`, { q: null, t: null }, signal)));
    if (side.shown === mine) describe(got);
  } catch (error) {
    if (error.name !== 'AbortError' && side.shown === mine) fill(details, el('p', { class: 'bad' }, value(error.message)));
  }

  /** What a group's calls have in common, and how long each took. */
  function alike() {
    const { members, total, overlap, usual, repeated } = group;
    const n = members.length, inTurn = overlap < 0.1;
    const all = members.map((m) => trace.duration[m]).sort((a, b) => a - b);
    const [least, most] = [all[0], all[n - 1]];
    const onPath = members.reduce((sum, m) => sum + trace.onPath(m).reduce((us, [a, b]) => us + b - a, 0), 0);
    const bins = Array.from({ length: 12 }, () => 0);
    for (const us of all) bins[Math.min(11, Math.floor(((us - least) / (most - least || 1)) * 12))] += 1;
    return [el('p', { class: 'row wrap' }, el('span', { class: 'chip amber' }, `×${n} similar`), el('span', { class: 'chip' }, inTurn ? 'one after another' : overlap > 0.9 ? 'in parallel' : 'partly in parallel'), onPath > 0 && el('span', { class: 'chip' }, `${format.percent(onPath / trace.whole)} of the critical path`)),
      repeated && el('div', { class: 'repeats' }, el('strong', {}, 'Looks like N+1'), el('br'), 'The same call with other values, and each waits for the one before.', usual !== null && [el('br'), typical()]),
      !repeated && usual !== null && el('p', { class: 'dim small usual' }, typical()),
      el('section', {}, el('h3', {}, `${n} calls`), el('p', { class: 'row small spread' }, one('total', total), one('min', least), one('p50', all[n >> 1]), one('max', most)),
        el('div', { class: `bins ${colour(service)}`, 'aria-hidden': 'true' }, bins.map((count) => el('i', { at: { height: `${(count / Math.max(...bins)) * 100}%` } }))), el('p', { class: 'row label spread' }, el('span', {}, format.micros(least)), el('span', {}, format.micros(most))))];
  }
  /** How often the typical request of the kind makes them. */
  function typical() {
    return [`The typical one of ${format.many(trace.typical.of, 'request', 'requests')} makes ${group.usual || 'none'}. `, el('button', { class: 'part strong', onclick: () => open(`/compare/${trace.typical.id}/${trace.id}`, { a: trace.typical.of }) }, 'Compare')];
  }
  function calls() {
    const slowest = [...group.members].sort((a, b) => trace.duration[b] - trace.duration[a]).slice(0, 8);
    return el('section', {}, el('h3', {}, 'Calls ', el('span', { class: 'dim' }, 'slowest first')), slowest.map((m) =>
      el('button', { class: 'extra onecall', onclick: () => selectSpan(m, true) }, el('strong', {}, format.micros(trace.duration[m])), el('span', {}, el('i', { class: `fill ${colour(service)}`, at: { width: `${(trace.duration[m] / trace.duration[slowest[0]]) * 100}%` } })), el('span', { class: 'right dim' }, `+ ${format.micros(trace.start[m])}`))));
  }

  /** The deepest failing span below a failing one. */
  function causeOf() {
    if (!failed) return null;
    let deepest = at;
    for (;;) {
      const next = trace.children[deepest].filter((c) => trace.failed(c)).pop();
      if (next === undefined) break;
      deepest = next;
    }
    if (deepest === at || deepest === named) return null;
    return el('button', { class: 'causebox', onclick: () => selectSpan(deepest) }, el('strong', {}, 'Cause: ', value(`${trace.text('operation', deepest)} ${trace.pair[deepest] < 0 ? trace.text('peer', deepest) : ''} answered ${trace.text('outcome', deepest)}`)), el('span', { class: 'grow' }), el('kbd', {}, 'e'));
  }

  function times() {
    const whole = trace.duration[at] || 1;
    const inner = trace.duration[named];
    const segments = [];
    let until = trace.start[named];
    const end = until + inner;
    for (const child of trace.children[named]) {
      const [from, to] = [Math.max(trace.start[child], until), Math.min(trace.start[child] + trace.duration[child], end)];
      if (to <= from) continue;
      segments.push(['own', from - until], ['wait', to - from]);
      until = to;
    }
    segments.push(['own', end - until]);
    const network = isPair ? Math.max(0, whole - inner) : 0;
    const before = isPair ? Math.max(0, trace.start[named] - trace.start[at]) : 0;
    const all = [['net', before], ...segments, ['net', Math.max(0, network - before)]].filter(([, us]) => us > 0);
    return el('section', {}, el('h3', {}, 'Time'), el('div', { class: `timebar ${colour(service)}` }, all.map(([kind, us]) => el('span', { class: kind, at: { flex: `${us / whole} 0 0` } }))),
      el('p', { class: 'row wrap small' }, one('total', whole), one('own', trace.own[named]), isPair && one('network', network)));
  }

  function describe(ends) {
    const attributes = new Map();
    for (const end of ends) for (const [key, v] of end.attributes) if (!attributes.has(key) || end === ends[ends.length - 1]) attributes.set(key, v);
    const first = attributes.get('spanwire.time_to_first_byte_ns');
    const statement = attributes.get('db.query.text');
    attributes.delete('db.query.text');
    const group = (test) => [...attributes].filter(([key]) => test(key));
    const known = (key) => CALL.test(key) || CONNECTION.test(key) || key.startsWith('spanwire.');
    const caller = isPair ? trace.text('service', at) : null;
    const pids = ends.map((end) => end.attributes.find(([key]) => key === 'spanwire.process.pid')?.[1]);
    fill(details,
      statement && el('section', {}, el('h3', {}, 'Statement'), el('div', { class: 'command mono statement' }, value(statement))),
      section('Call', [...group((key) => CALL.test(key)), ...(first ? [['first byte after', format.duration(first)]] : [])]),
      section('Said', group((key) => !known(key))),
      section('Connection', [...(isPair ? [['Caller', `${caller}, pid ${pids[0] ?? '?'}`], ['Callee', `${service}, pid ${pids[1] ?? '?'}`]] : []), ...group((key) => CONNECTION.test(key))]),
      section(`Events`, ends.flatMap((end) => end.events.map((e) => [`+ ${format.micros(e.after)}`, [e.name, ...e.attributes.map(([k, v]) => `${k}=${v}`)].join(' ')]))),
      section('Process', ends[ends.length - 1].process.filter(([key]) => !/^telemetry\.(sdk|distro)\.(name|version)$/.test(key))),
      section('How it is linked', [['parent found by', attributes.get('spanwire.link.rule') || (trace.parent[at] < 0 ? trace.orphan(at) || 'it has none' : 'its own word')], ...ends.flatMap((end) => end.links.map(([t]) => ['linked to', t]))]),
      el('p', { class: 'mono dimmer' }, trace.ids[at]));
  }

  function section(title, rows) {
    if (!rows.length) return null;
    return el('section', {}, el('h3', {}, title), el('dl', {}, rows.map(([key, v]) => {
      const text = typeof v === 'object' ? JSON.stringify(v) : String(v);
      const isKey = /^[a-z_]+\.[a-z_.]+$/.test(key);
      return [el('dt', { class: 'cut', title: key }, value(key)), el('dd', { class: /error|status_code/.test(key) && failed ? 'bad' : '' }, value(text, 'mono'),
        el('span', { class: 'actions' }, isKey && button('', () => { open('/traces'); filter(`${key}=${format.quote(text)}`); }, { name: 'filter', className: 'plain', title: 'Only these' }), isKey && button('', () => { open('/traces'); filter(`${key}=${format.quote(text)}`, { exclude: true }); }, { name: 'minus', className: 'plain', title: 'All but these' }), button('', () => copy(text), { name: 'copy', className: 'plain', title: 'Copy' })))];
    })));
  }
}
