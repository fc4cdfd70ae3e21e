// Places of the map's nodes: layers by the longest way from the entry, order by two sweeps. The same input, the same picture.

/** A layer and a height for each name, and the links with the dummies that long ones go by. */
export function layers(nodes, edges) {
  const names = nodes.map((n) => n.name).sort();
  const out = new Map(names.map((n) => [n, []]));
  for (const { from, to } of edges) if (from !== to) out.get(from)?.push(to);
  for (const list of out.values()) list.sort();
  // Edges back to who is on the way here are reversed.
  const back = new Set();
  const seen = new Map();
  const called = new Set(edges.map((e) => e.to));
  const visit = (name) => {
    if (seen.has(name)) return;
    seen.set(name, 'on');
    for (const next of out.get(name)) seen.get(next) === 'on' ? back.add(`${name}>${next}`) : visit(next);
    seen.set(name, 'done');
  };
  names.filter((n) => !called.has(n)).forEach(visit);
  names.forEach(visit);
  const forward = edges.filter((e) => e.from !== e.to).map((e) => (back.has(`${e.from}>${e.to}`) ? { from: e.to, to: e.from, edge: e, reversed: true } : { from: e.from, to: e.to, edge: e }));
  const layer = new Map(names.map((n) => [n, 0]));
  for (let round = 0, moved = true; moved && round <= names.length; round++) {
    moved = false;
    for (const { from, to } of forward) {
      if (layer.get(to) < layer.get(from) + 1) {
        layer.set(to, layer.get(from) + 1);
        moved = true;
      }
    }
  }
  const columns = Array.from({ length: Math.max(0, ...layer.values()) + 1 }, () => []);
  for (const name of names) columns[layer.get(name)].push(name);
  // A long edge has a dummy in each layer that it crosses.
  const links = [];
  for (const link of forward) {
    let before = link.from;
    link.via = [];
    for (let at = layer.get(link.from) + 1; at < layer.get(link.to); at++) {
      const dummy = `\u0000${link.from}\u0000${link.to}\u0000${at}`;
      columns[at].push(dummy);
      link.via.push(dummy);
      links.push([before, dummy]);
      before = dummy;
    }
    links.push([before, link.to]);
  }
  const place = new Map();
  const number = () => columns.forEach((column) => column.forEach((name, at) => place.set(name, at - (column.length - 1) / 2)));
  number();
  const neighbours = (me, other) => { const all = Map.groupBy(links, (link) => link[me]); return (name) => (all.get(name) || []).map((link) => link[other]); };
  const lefts = neighbours(1, 0), rights = neighbours(0, 1);
  for (let sweep = 0; sweep < 4; sweep++) {
    const order = sweep % 2 ? [...columns].reverse() : columns;
    for (const column of order) {
      const side = sweep % 2 ? rights : lefts;
      const key = new Map(column.map((name) => [name, mean(side(name), place, name)]));
      column.sort((a, b) => key.get(a) - key.get(b) || (a < b ? -1 : 1));
      number();
    }
  }
  return { layer, links: forward, y: heights(columns, lefts, rights) };
}

/** The neighbours' mean; who has none stays. */
const mean = (all, of, name) => (all.length ? all.reduce((sum, n) => sum + of.get(n), 0) / all.length : of.get(name));

/** Heights: as near to the neighbours' as the order lets. Dummies need less room than nodes. */
function heights(columns, lefts, rights) {
  const room = (name) => (name.startsWith('\u0000') ? 28 : 96);
  const y = new Map();
  for (const column of columns) {
    let at = 0;
    for (const name of column) {
      y.set(name, at + room(name) / 2);
      at += room(name);
    }
    for (const name of column) y.set(name, y.get(name) - at / 2);
  }
  for (let round = 0; round < 12; round++) {
    for (const column of round % 2 ? [...columns].reverse() : columns) {
      const wanted = column.map((name) => mean([...lefts(name), ...rights(name)], y, name));
      // Pushed apart from above, then from below; the mean of both keeps the middle.
      const down = [], up = [];
      column.forEach((name, i) => (down[i] = i ? Math.max(wanted[i], down[i - 1] + (room(column[i - 1]) + room(name)) / 2) : wanted[i]));
      for (let i = column.length - 1; i >= 0; i--) up[i] = i < column.length - 1 ? Math.min(wanted[i], up[i + 1] - (room(column[i + 1]) + room(column[i])) / 2) : wanted[i];
      column.forEach((name, i) => y.set(name, (down[i] + up[i]) / 2));
    }
  }
  return y;
}
