// Who talks on this host and whether it is traced; what is under way; and what stands where no request has come yet.
import { button, copy, dialog, dot, el, icon, value } from './dom.js';
import * as format from './format.js';
import { host, open } from './state.js';

/** Ports on which something that answers in HTTP is likely. */
const LIKELY = [80, 8080, 8000, 3000, 5000, 8081, 8888, 9000];

/** The same as `spanwire ps`. */
function table() {
  const seen = (p) => [...(host.spoken[p.service] || []), p.note].filter(Boolean).join(', ') || 'nothing yet';
  return el('table', { class: 'traced' }, el('tr', { class: 'label' }, ['', 'Service', 'Process', 'Runtime', 'Listens on', 'What is seen'].map((t) => el('th', {}, t))),
    host.processes.map((p) => el('tr', {}, el('td', { class: p.is_traced ? 'good' : 'warn', title: p.is_traced ? 'traced' : 'not traced' }, icon(p.is_traced ? 'check' : 'minus')), el('td', {}, el('span', { class: 'row' }, p.is_traced && dot(p.service), value(p.service, 'strong'), p.processes > 1 && el('span', { class: 'dim' }, `×${p.processes}`))),
      el('td', { class: 'mono' }, value(p.program)), el('td', { class: 'dim' }, value(p.runtime)), el('td', { class: 'dim' }, p.ports.slice(0, 8).join(', ')), el('td', { class: p.is_traced && !p.note ? 'dim' : 'warn' }, value(seen(p))))));
}
const everything = () => [el('h2', {}, 'What is traced, and what is not'), el('p', { class: 'dim' }, 'The same: spanwire ps'), table()];
export const showTraced = () => dialog(everything());

/** Requests that have not ended yet, the oldest first, each with the trace that its calls are in. */
export function showOpen() {
  const box = dialog(el('h2', {}, 'Under way for more than 2 s'), el('p', { class: 'dim' }, 'Each becomes a span at its end.'), el('table', { class: 'traced' }, el('tr', { class: 'label' }, ['For', 'Service', 'Request', 'End', 'Pid', ''].map((t) => el('th', {}, t))),
    host.open.map((o) => el('tr', {}, el('td', {}, format.age(format.ms(o.start), format.ms(host.now))), el('td', {}, el('span', { class: 'row' }, dot(o.service), value(o.service))), el('td', {}, value(`${o.method} ${o.path}`)), el('td', { class: 'dim' }, o.kind), el('td', { class: 'dim' }, o.pid), el('td', {}, o.trace && button('Trace', () => { box.close(); open(`/trace/${o.trace}`, { span: o.span }); }))))));
}

/** In the place of an empty list: what is traced since when, and how to make a first request. */
export function empty() {
  const seconds = host.since && host.since !== '0' ? (Date.now() - format.ms(host.since)) / 1e3 : 0;
  const traced = host.processes.filter((p) => p.is_traced), n = traced.reduce((sum, p) => sum + p.processes, 0);
  const all = traced.flatMap((l) => l.ports.map((port) => ({ port, service: l.service })));
  const likely = all.find((l) => LIKELY.includes(l.port)) || all.find((l) => l.port > 1024 && l.port < 32768);
  const command = (title, name, text, below) => el('div', { class: 'card' }, el('h3', { class: 'row' }, icon(name), title), el('div', { class: 'command mono row' }, el('span', { class: 'dimmer' }, '$'), value(text), el('span', { class: 'grow' }), button('', () => copy(text), { name: 'copy', className: 'plain', title: 'Copy' })), el('p', { class: 'dim small' }, value(below)));
  return el('div', { class: 'empty' }, el('h1', {}, 'Listening. No request yet.'),
    el('p', { class: 'dim' }, `${format.many(n, 'process', 'processes')} on ${host.host || 'this host'} traced for ${Math.round(seconds)} s. The first request to any of them appears here by itself. Nothing has to be restarted.`),
    el('div', { class: 'cards' }, command('Make one now', 'terminal', `curl -s http://localhost${likely?.port === 80 ? '' : `:${likely?.port ?? 8080}`}/`, likely ? `${likely.service} listens on ${likely.port}. Any real traffic does as well.` : 'Any real traffic does as well.'),
      command('Traffic, but nothing here?', 'help', 'sudo spanwire doctor', `${format.count(host.seen.calls || 0)} socket calls seen in ${Math.round(seconds)} s, ${format.count(host.seen.requests || 0)} recognised as a request.`)),
    host.processes.length > 0 && everything());
}
