// A truth service on Node's event loop. See tests/src/truth/services.rs for what it does.
// Usage: service.mjs SERVICE PORT [NEXT…]
import http from 'node:http';
import { setTimeout as rest } from 'node:timers/promises';

const [, , name, port, ...next] = process.argv;
const { TRUTH_HERE = '127.0.0.1', TRUTH_NEXT = '127.0.0.1' } = process.env;
const agent = new http.Agent({ keepAlive: true });

function ask(to, path) {
  return new Promise((resolve, reject) => {
    http.get({ host: TRUTH_NEXT, port: to, path, agent }, (answer) => {
      let text = '';
      answer.on('data', (piece) => { text += piece; });
      answer.on('end', () => resolve(answer.statusCode === 200 && text === 'ok\n'));
    }).on('error', reject);
  });
}

function habit(number) {
  return Buffer.from(number).reduce((sum, byte) => sum + byte, 0) % 8;
}

async function work(number) {
  const kind = habit(number);
  if (kind === 0) ask(next[0], `/later/${number}`);
  if (kind === 1) await rest(2);
  let well = true;
  for (const [at, to] of next.entries()) {
    well = await ask(to, `/call/${number}.${at}`) && well;
    if (kind === 3) await rest(1);
  }
  return well;
}

const server = http.createServer(async (request, response) => {
  const number = request.url.startsWith('/call/') && next.length ? request.url.slice('/call/'.length) : undefined;
  const well = number === undefined || await work(number);
  response.writeHead(well ? 200 : 502, { 'Content-Length': 3 });
  response.end(well ? 'ok\n' : 'no\n');
  if (number !== undefined && habit(number) === 4) ask(next[0], `/after/${number}`);
});
server.keepAliveTimeout = 600_000; // longer than any run: no call meets a connection that is just being closed
server.listen({ port: Number(port), host: TRUTH_HERE, backlog: 256 });

if (next.length) {
  (async () => {
    for (let number = 0; ; number += 1) {
      await rest(20);
      await ask(next[0], `/timer/${name}.${number}`);
    }
  })();
}
