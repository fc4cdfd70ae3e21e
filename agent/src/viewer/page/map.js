// Who calls whom: nodes at fixed places, edges as wide as they are busy, red where calls fail.
import { button, dot, el, fill, icon, place, shape, value, visible } from './dom.js';
import * as format from './format.js';
import * as search from './search.js';
import { failed, lens, sparks } from './lens.js';
import { ask, change, open, state } from './state.js';
import { layers } from './layers.js';

const [W, H, STEP] = [146, 48, 196];
const FOLDS = 40, MOST = 80;
/** Places by name, for the session: nobody moves because somebody else came. */
const places = new Map();
/** How long who has vanished is still shown, ms. */
const FADES = 6e4;

/** Gives newcomers room near where they belong, and everybody the place that they had. */
function settle(nodes, layer, y) {
  const isFree = (column, at) => [...places.values()].every(([c, other]) => c !== column || Math.abs(other - at) >= 76);
  for (const { name } of nodes.filter((n) => !places.has(n.name))) {
    const [column, wanted] = [layer.get(name), y.get(name)];
    let at = wanted;
    for (let step = 1; !isFree(column, at); step++) at = wanted + (step % 2 ? 1 : -1) * Math.ceil(step / 2) * 96;
    places.set(name, [column, at]);
  }
  for (const { name } of nodes) {
    const [column, at] = places.get(name);
    layer.set(name, column);
    y.set(name, at);
  }
}

/** The edges that lead to each. */
const callersOf = (edges) => Map.groupBy(edges, (e) => e.to);

/** Those who call nobody and are called by one only, as one node of that caller where they are several. */
function foldLeaves(nodes, edges) {
  const callers = callersOf(edges), calls = new Set(edges.map((e) => e.from));
  const isLeaf = (n) => !calls.has(n.name) && callers.get(n.name)?.length === 1;
  const leaves = Map.groupBy(nodes.filter(isLeaf), (n) => callers.get(n.name)[0].from);
  const more = [...leaves].filter(([, all]) => all.length > 1).map(([from, all]) => {
    const rate = all.reduce((sum, n) => sum + n.rate, 0), errors = all.reduce((sum, n) => sum + n.rate * n.errors, 0) / (rate || 1);
    return { from, to: `${from} +`, name: `${from} +`, kind: 'more', all: all.sort((a, b) => b.rate - a.rate), rate, errors, p50: null };
  });
  const gone = new Set(more.flatMap((m) => m.all.map((n) => n.name)));
  return { nodes: [...nodes.filter((n) => !gone.has(n.name)), ...more], edges: [...edges.filter((e) => !gone.has(e.to)), ...more] };
}

export function start(main, { signal }) {
  const picture = el('div', { class: 'mappicture', role: 'group', 'aria-label': 'Map of services' });
  const side = el('aside', { class: 'panel', hidden: true, 'aria-label': 'Selected' });
  const stage = el('div', { class: 'mapstage grow' }, picture, el('div', { class: 'mapfoot row small dim' }, 'Width: requests per second, logarithmic. A rate is written on an edge only where its target has several callers.', el('span', { class: 'edgekey' }), '1% or more fail', el('span', { class: 'grow' }),
    button('', () => zoom(1.25), { name: 'plus', title: 'Larger (+)' }), button('', () => zoom(0.8), { name: 'minus', title: 'Smaller (−)' }), button('Fit', () => fit(), { key: '0' })));
  fill(main, stage, side);
  let data = null, folds = [], scale = 1, view = [0, 0], size = [1, 1], shown = '', asked = '';
  const seen = new Map();
  const { update: ask_ } = lens({
    signal,
    key: () => ['q', 't'].map((name) => state.params.get(name)).join(' '),
    get: () => ask('/view/edges', {}, signal),
    show: (got) => {
      data = got;
      const of = (kind) => data.nodes.filter((n) => n.kind === kind).length;
      search.tell(`${of('service')} services, ${of('peer')} peers, ${data.edges.length} edges`);
      draw();
    },
  });

  /** Where there are many, peers that only one service asks are told in its node; then leaves are one. */
  function folded() {
    let { nodes, edges } = data;
    if (nodes.length <= FOLDS) return { nodes, edges };
    const callers = callersOf(edges);
    const into = new Map();
    for (const n of nodes) if (n.kind === 'peer' && callers.get(n.name)?.length === 1) into.set(n.name, callers.get(n.name)[0].from);
    nodes = nodes.filter((n) => !into.has(n.name)).map((n) => ({ ...n, folded: [...into.values()].filter((caller) => caller === n.name).length }));
    edges = edges.filter((e) => !into.has(e.to));
    return nodes.length > FOLDS ? foldLeaves(nodes, edges) : { nodes, edges };
  }

  function draw() {
    const { nodes, edges } = folded();
    folds = nodes.filter((n) => n.all);
    if (!nodes.length) return fill(picture, el('div', { class: 'sheet dim' }, 'Nothing matches in this range.'));
    if (nodes.length > MOST) return fill(picture, el('div', { class: 'sheet' }, el('p', {}, `${nodes.length} services are too many for a picture.`), button('Services', () => open('/services'))));
    const { layer, links, y } = layers(nodes, edges);
    settle(nodes, layer, y);
    const gone = vanished(nodes);
    for (const { name } of gone) {
      layer.set(name, places.get(name)[0]);
      y.set(name, places.get(name)[1]);
    }
    const all = [...y.values()];
    const [top, bottom] = [Math.min(...all) - 60, Math.max(...all) + 60];
    size = [Math.max(...layer.values()) * STEP + W + 40, bottom - top];
    const at = (name) => [20 + layer.get(name) * STEP, y.get(name) - top];
    const svg = shape('svg', { class: 'edges', width: size[0], height: size[1], 'aria-hidden': 'true' });
    const labels = [];
    const ports = portsOf(links, y);
    const callers = callersOf(edges);
    for (const link of links) {
      const { edge } = link;
      const failing = edge.errors >= 0.01;
      const x1 = at(link.from)[0] + W, x2 = at(link.to)[0];
      const y1 = at(link.from)[1] + ports.out.get(link), y2 = at(link.to)[1] + ports.in.get(link);
      const points = [[x1, y1], ...link.via.map((dummy, i) => [20 + (layer.get(link.from) + 1 + i) * STEP + W / 2, y.get(dummy) - top]), [x2 - 5, y2]];
      const d = points.slice(1).reduce((path, [px, py], i) => { const [bx, by] = points[i]; const mid = (bx + px) / 2; return `${path}C${mid} ${by} ${mid} ${py} ${px} ${py}`; }, `M${x1} ${y1}`);
      const width = 1 + 1.1 * Math.log10(1 + edge.rate);
      const isSelected = state.params.get('edge') === `${edge.from}>${edge.to}`;
      const [ax, ay, sign] = link.reversed ? [x1, y1, -1] : [x2, y2, 1];
      if (isSelected) svg.append(shape('path', { class: 'halo', d, 'stroke-width': width + 8 }));
      svg.append(shape('path', { class: `edge ${failing ? 'failing' : ''}`, d, 'stroke-width': width.toFixed(2) }), shape('path', { class: `head ${failing ? 'failing' : ''}`, d: `M${ax} ${ay}l${-7 * sign} -3.5v7Z` }));
      const hit = shape('path', { class: 'hit', d, 'stroke-width': 14 }, shape('title', {}, visible(`${edge.from} → ${edge.to}: ${format.rate(edge.rate)}/s, ${format.percent(edge.errors)} fail`)));
      hit.addEventListener('click', () => pick(edge.all ? { edge: null, node: edge.name } : { edge: `${edge.from}>${edge.to}`, node: null }));
      svg.append(hit);
      if (callers.get(edge.to).length > 1 || isSelected) {
        const [lx, ly] = points.length > 2 ? points[Math.floor(points.length / 2)] : [(x1 + x2) / 2, (y1 + y2) / 2];
        labels.push(el('span', { class: `edgelabel small ${failing ? 'bad strong' : 'dim'}`, at: { left: lx, top: ly } }, `${format.rate(edge.rate)}/s${failing ? ` ${format.percent(edge.errors)}` : ''}`));
      }
    }
    const boxes = [...nodes, ...gone].map((node) => {
      const [left, middle] = at(node.name);
      const failing = node.errors >= 0.01;
      const mark = node.kind === 'service' ? dot(node.name) : icon(node.all ? 'layers' : node.icon);
      const total = node.kind === 'clients' || !node.rate ? edges.filter((e) => e.from === node.name).reduce((sum, e) => sum + e.rate, 0) : node.rate;
      return el('button', { class: `mapnode ${node.kind} ${failing ? 'failing' : ''} ${gone.includes(node) ? 'gone' : ''}`, 'aria-pressed': String(state.params.get('node') === node.name), onclick: () => pick({ node: node.name, edge: null }), at: { left, top: middle - H / 2 }, title: node.name },
        el('span', { class: 'row' }, mark, el('strong', { class: 'cut' }, node.all ? `+${node.all.length}` : value(node.name))),
        el('span', { class: 'row small dim' }, el('span', {}, `${format.rate(total)}/s`), node.p50 !== null && el('span', { class: 'cut' }, `${failing ? '' : node.p99 === null ? 'p50 ' : 'p99 '}${format.duration(node.p99 ?? node.p50)}`), node.folded > 0 && el('span', {}, `+${node.folded} peers`), failing && el('span', { class: 'bad strong', at: { 'margin-left': 'auto' } }, format.percent(node.errors))));
    });
    fill(picture, svg, labels, boxes);
    place(picture, { width: size[0], height: size[1] });
    const key = nodes.map((n) => n.name).join(' ');
    if (key !== shown) fit();
    shown = key;
    drawSide();
  }

  /** Who was here a moment ago under the same question. */
  function vanished(nodes) {
    const now = Date.now(), question = `${state.params.get('q')} ${state.params.get('t')}`;
    if (question !== asked) seen.clear();
    asked = question;
    for (const node of nodes) seen.set(node.name, [node, now]);
    for (const [name, [, at]] of seen) if (now - at > FADES) seen.delete(name);
    return [...seen.values()].filter(([, at]) => at < now).map(([node]) => node);
  }

  /** Ports on a side in the order of the other ends. */
  function portsOf(links, y) {
    const ports = { out: new Map(), in: new Map() };
    for (const [kind, mine, theirs] of [['out', 'from', 'to'], ['in', 'to', 'from']]) {
      for (const group of Map.groupBy(links, (link) => link[mine]).values()) {
        group.sort((a, b) => y.get(a[theirs]) - y.get(b[theirs]));
        const gap = Math.min(10, (H - 12) / group.length);
        group.forEach((link, i) => ports[kind].set(link, (i - (group.length - 1) / 2) * gap));
      }
    }
    return ports;
  }

  function pick(what) {
    change(what, { redraw: false });
    draw();
  }
  const mark = (n) => { const node = data.nodes.find((d) => d.name === n); return node?.kind === 'service' ? dot(n) : icon(node?.icon); };
  const close = () => [el('span', { class: 'grow' }), button('', () => pick({ node: null, edge: null }), { name: 'close', className: 'plain', title: 'Close (Esc)' })];
  function drawSide() {
    const [name, edge] = [state.params.get('node'), state.params.get('edge')];
    const one = edge ? data.edges.find((e) => `${e.from}>${e.to}` === edge) : data.nodes.find((n) => n.name === name);
    const was = side.hidden;
    const fold = folds.find((n) => n.name === name);
    side.hidden = !one && !fold;
    if (was !== side.hidden) requestAnimationFrame(() => fit());
    if (fold) {
      return fill(side, el('h2', { class: 'row' }, icon('layers'), `${fold.all.length} called by `, value(fold.from), close()), el('section', {}, fold.all.map((n) => el('button', { class: 'factline', onclick: () => pick({ node: n.name, edge: null }) }, el('span', { class: 'row cut' }, mark(n.name), value(n.name, 'cut')), el('span', { class: 'dim right' }, `${format.rate(n.rate)}/s`), failed(n.errors)))));
    }
    if (!one) return;
    const line = (title, picture_, text, bad) => el('div', { class: 'factline' }, el('span', { class: 'dim' }, title), picture_ || el('span'), el('strong', { class: `right ${bad ? 'bad' : ''}` }, text));
    const [calls, failing] = sparks(one, 88);
    const isPeer = (n) => data.nodes.find((d) => d.name === n)?.kind === 'peer';
    const service = `service=${format.quote(one.from)}`, called = `${isPeer(edge ? one.to : one.name) ? 'peer' : 'service'}=${format.quote(edge ? one.to : one.name)}`;
    const term = !edge || one.from === 'clients' ? called : isPeer(one.to) ? `${service} ${called}` : `{${service}} {${called}}`;
    fill(side, el('h2', { class: 'row' }, edge ? [mark(one.from), value(one.from), icon('arrow'), mark(one.to), value(one.to)] : [mark(one.name), value(one.name)], close()),
      line('Requests', calls, `${format.rate(one.rate)} /s`), line('Errors', failing, format.percent(one.errors), one.errors >= 0.01),
      ['p50', 'p95', 'p99'].map((p) => one[p] !== null && line(p, null, format.duration(one[p]))), edge && one.network !== null && line('Network', null, format.duration(one.network)),
      one.reasons?.length > 0 && el('section', {}, el('h3', {}, 'Errors by reason'), one.reasons.map(([reason, n]) => el('div', { class: 'factline' }, value(reason, 'mono'), el('span'), el('strong', { class: 'bad right' }, format.count(n))))),
      one.operations?.length > 0 && el('section', {}, el('h3', {}, 'Operations'), one.operations.slice(0, 12).map((o) => el('div', { class: 'factline' }, value(o.name, 'cut'), el('span', { class: 'dim right' }, `${format.rate(o.rate)}/s`), failed(o.errors)))),
      el('p', { class: 'row' }, button('Failing traces', () => open('/traces', { q: term, sort: 'failing' })), button('Slowest', () => open('/traces', { q: term, sort: 'slowest' }))));
  }

  function apply() {
    place(picture, { transform: `translate(${view[0]}px, ${view[1]}px) scale(${scale})` });
  }
  function fit() {
    const [w, h] = [stage.clientWidth, stage.clientHeight - 40];
    scale = Math.min(1, w / size[0], h / size[1]);
    view = [(w - size[0] * scale) / 2, (h - size[1] * scale) / 2];
    apply();
  }
  function zoom(by) {
    const [x, y] = [stage.clientWidth / 2, stage.clientHeight / 2];
    view = [x - (x - view[0]) * by, y - (y - view[1]) * by];
    scale *= by;
    apply();
  }
  let drag = null;
  stage.addEventListener('pointerdown', (event) => { if (!event.target.closest('button, .hit')) drag = [event.clientX - view[0], event.clientY - view[1]]; });
  addEventListener('pointermove', (event) => { if (drag) { view = [event.clientX - drag[0], event.clientY - drag[1]]; apply(); } }, { signal });
  addEventListener('pointerup', () => (drag = null), { signal });
  addEventListener('resize', () => fit(), { signal });

  function key({ key: pressed }) {
    if (pressed === '+') zoom(1.25);
    else if (pressed === '-' || pressed === '−') zoom(0.8);
    else if (pressed === '0') fit();
    else if (pressed === 'Escape' && !side.hidden) pick({ node: null, edge: null });
    else return false;
    return true;
  }
  const update = () => ask_() || (data && draw());
  return { update, key, redraw: () => data && draw() };
}
