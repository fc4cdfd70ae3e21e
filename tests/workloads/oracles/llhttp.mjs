// Node's own HTTP parser (llhttp) as an oracle: a JSON object per line in, the messages it finds out.
//
// In: {"kind": "request" | "response", "hex": bytes, "methods": [what each answer is to], "eof": whether the peer closed}.
// Out: {"messages": [[where it ends, bytes of its body], …], "refused": why it went no further, or null}.
import { createInterface } from 'node:readline';

const { HTTPParser } = process.binding('http_parser');

function read({ kind, hex, methods, eof }) {
  const bytes = Buffer.from(hex, 'hex');
  const parser = new HTTPParser();
  const type = kind === 'request' ? HTTPParser.REQUEST : HTTPParser.RESPONSE;
  parser.initialize(type, {}, 0, 0);
  const messages = [];
  let [at, body, status, refused] = [0, 0, 200, null];
  parser[HTTPParser.kOnHeaders | 0] = () => {};
  parser[HTTPParser.kOnHeadersComplete | 0] = (...told) => {
    status = told[5];
    // 1: it has no body, whatever it says.
    return methods[messages.length] === 'HEAD' ? 1 : 0;
  };
  parser[HTTPParser.kOnBody | 0] = (part) => { body += part.length; };
  parser[HTTPParser.kOnMessageComplete | 0] = () => {
    // An interim answer belongs to the final one.
    if (kind === 'request' || status >= 200) messages.push([at, body]);
    body = 0;
  };
  // A byte at a time, so that it is known where a message ends.
  for (const byte of bytes) {
    at += 1;
    const done = parser.execute(Buffer.of(byte));
    if (done instanceof Error) {
      refused = done.code;
      break;
    }
  }
  if (eof && refused === null) {
    const done = parser.finish();
    if (done instanceof Error) refused = done.code;
  }
  return { messages, refused };
}

for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(read(JSON.parse(line))));
}
