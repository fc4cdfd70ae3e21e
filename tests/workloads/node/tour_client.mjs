// The tour's client on Node: http.request on one kept connection, or fetch.
// Usage: tour_client.mjs http|fetch HOST PORT METHOD:PATH[:BODY_LENGTH]...
import http from 'node:http';
import { createHash } from 'node:crypto';

const [, , way, host, port, ...requests] = process.argv;
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });

function byHttp(method, path, body) {
  return new Promise((resolve, reject) => {
    const headers = { 'User-Agent': 'tour/1', ...(body && { 'Content-Length': body.length }) };
    const request = http.request({ host, port, method, path, agent, headers }, (answer) => {
      const pieces = [];
      answer.on('data', (piece) => pieces.push(piece));
      answer.on('end', () => resolve([answer.statusCode, Buffer.concat(pieces)]));
    });
    request.on('error', reject);
    request.end(body);
  });
}

async function byFetch(method, path, body) {
  const answer = await fetch(`http://${host}:${port}${path}`, { method, body, headers: { 'User-Agent': 'tour/1' } });
  return [answer.status, Buffer.from(await answer.arrayBuffer())];
}

for (const request of requests) {
  const [method, path, length] = request.split(':');
  const body = length && '0123456789'.repeat(length).slice(0, length);
  const [status, content] = await (way === 'fetch' ? byFetch : byHttp)(method, path, body);
  console.log(method, path, status, content.length, createHash('sha256').update(content).digest('hex'));
}
process.exit(0);
