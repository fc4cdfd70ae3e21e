// The tour's client on axios or on undici's own API.
// Usage: tour_client.js axios|undici HOST PORT METHOD:PATH[:BODY_LENGTH]...
const { createHash } = require('node:crypto');

const [, , way, host, port, ...requests] = process.argv;
const base = `http://${host}:${port}`;
const headers = { 'User-Agent': 'tour/1' };

const ways = {
  axios() {
    const http = require('node:http');
    const httpAgent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    const client = require('axios').create({
      baseURL: base, headers, httpAgent, responseType: 'arraybuffer', validateStatus: null, maxRedirects: 0,
    });
    return async (method, url, data) => {
      const answer = await client.request({ method, url, data });
      return [answer.status, Buffer.from(answer.data)];
    };
  },
  undici() {
    const pool = new (require('undici').Pool)(base, { connections: 1 });
    return async (method, path, body) => {
      const answer = await pool.request({ method, path, body, headers });
      return [answer.statusCode, Buffer.from(await answer.body.arrayBuffer())];
    };
  },
};

(async () => {
  const ask = ways[way]();
  for (const request of requests) {
    const [method, path, length] = request.split(':');
    const body = length && '0123456789'.repeat(length).slice(0, length);
    const [status, content] = await ask(method, path, body);
    console.log(method, path, status, content.length, createHash('sha256').update(content).digest('hex'));
  }
  process.exit(0);
})();
