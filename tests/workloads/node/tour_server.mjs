// The tour's server on Node's http module.
// Usage: tour_server.mjs HOST PORT
import http from 'node:http';

const big = Buffer.from('0123456789abcdef'.repeat(65536));

function fixed(response, status, body) {
  response.writeHead(status, { 'Content-Length': Buffer.byteLength(body) });
  response.end(body);
}

http.createServer((request, response) => {
  const path = request.url.split('?')[0];
  if (path === '/hello') fixed(response, 200, 'hello\n');
  else if (path === '/big') fixed(response, 200, big);
  else if (path === '/fail') fixed(response, 500, 'failed\n');
  else if (path === '/empty') response.writeHead(204).end();
  else if (path === '/cached') response.writeHead(304).end();
  else if (path === '/chunked') {
    response.writeHead(200);
    response.write('one, ');
    setImmediate(() => {
      response.write('two, ');
      response.end('three\n');
    });
  } else if (path === '/echo') {
    const pieces = [];
    request.on('data', (piece) => pieces.push(piece));
    request.on('end', () => fixed(response, 200, Buffer.concat(pieces)));
  } else fixed(response, 404, 'missing\n');
}).listen(Number(process.argv[3]), process.argv[2]);
