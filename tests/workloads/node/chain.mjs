// A link of a chain of services on Node's event loop, asking the next link with fetch or with http.request.
// Usage: chain.mjs NAME PORT NEXT_PORT http|fetch
import http from 'node:http';

const [, , name, port, next, way] = process.argv;
const agent = new http.Agent({ keepAlive: true });

function byHttp(path) {
  return new Promise((resolve, reject) => {
    http.get({ host: '127.0.0.1', port: next, path, agent }, (answer) => {
      let text = '';
      answer.on('data', (piece) => { text += piece; });
      answer.on('end', () => resolve(text));
    }).on('error', reject);
  });
}

async function byFetch(path) {
  return (await fetch(`http://127.0.0.1:${next}${path}`)).text();
}

http.createServer(async (request, response) => {
  const passed = `${name} ${await (way === 'fetch' ? byFetch : byHttp)(request.url)}`;
  response.writeHead(200, { 'Content-Length': passed.length });
  response.end(passed);
}).listen(Number(port), '127.0.0.1');
