// Numbers and times as a person reads them: three significant digits, units apart from digits.

/** ns → ['1.28', 's'] */
export function parts(ns) {
  if (!(ns > 0)) return ['0', 'ms'];
  for (const [unit, size] of [['s', 1e9], ['ms', 1e6], ['µs', 1e3]]) {
    if (ns >= size * 0.9995) return [digits(ns / size), unit];
  }
  return [digits(ns), 'ns'];
}
export const duration = (ns) => parts(ns).join(' ');
export const micros = (us) => duration(us * 1e3);
export const signed = (ns) => (ns < 0 ? '−' : '+') + duration(Math.abs(ns));

export function digits(number) {
  if (number >= 999.5) return count(number);
  return number.toFixed(number >= 99.95 ? 0 : number >= 9.995 ? 1 : 2);
}

let about = '';
/** Whether sampling has left requests out: then rates are scaled, and say so. */
export const sampled = (is) => (about = is ? '~' : '');

/** Requests a second. */
export function rate(number) {
  if (!(number > 0)) return '0';
  if (number >= 99.5) return about + count(number);
  return number >= 0.005 ? about + number.toFixed(number >= 0.095 ? 1 : 2) : '<0.01';
}

export const many = (n, one, more = `${one}s`) => `${count(n)} ${n === 1 ? one : more}`;
const whole = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
export const count = (number) => whole.format(number);

export function percent(share) {
  const p = share * 100;
  if (p === 0) return '0%';
  return p >= 9.95 ? `${p.toFixed(0)}%` : p >= 0.05 ? `${p.toFixed(1)}%` : '<0.1%';
}

/** Decimal ns since 1970, as the server sends them → ms. */
export const ms = (ns) => Number(BigInt(ns) / 1000n) / 1e3;

export function age(at, now) {
  const s = Math.max(0, (now - at) / 1e3);
  if (s < 60) return `${s.toFixed(s < 9.95 ? 1 : 0)} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  return s < 86400 ? `${Math.floor(s / 3600)} h` : `${Math.floor(s / 86400)} d`;
}

export function clock(at, withMs) {
  const d = new Date(at), text = d.toTimeString().slice(0, 8);
  return withMs ? `${text}.${String(d.getMilliseconds()).padStart(3, '0')}` : text;
}
export const minute = (at) => clock(at).slice(0, 5);
export function day(at) {
  const d = new Date(at);
  return d.toDateString() === new Date().toDateString() ? 'today' : d.toLocaleDateString();
}
export const utc = (at) => `${new Date(at).toISOString()} (UTC)`;

/** Round steps 1, 2, 5 so that about `most` fit into `length`. */
export function step(length, most) {
  const rough = length / Math.max(1, most);
  const power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough * 0.999);
}

/** As `step`, for times of day, ms. */
export function timeStep(length, most) {
  const minutes = length / 6e4 / most;
  return ([1, 2, 5, 10, 15, 30, 60, 120, 180, 240, 360, 720].find((n) => n >= minutes * 0.999) || 1440) * 6e4;
}

/** A value as a query has it: in quotes where they are needed. */
export const quote = (text) => (/^[^\s(){}"',=!<>~:&|]+$/.test(text) ? text : `"${text.replace(/(["\\])/g, '\\$1')}"`);
