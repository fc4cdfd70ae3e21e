// The gRPC tour's client on @grpc/grpc-js: all calls on one connection.
// Usage: client.js HOST:PORT tour [TRACEPARENT]
//        client.js HOST:PORT load CALLS AT_A_TIME
const { createHash } = require('node:crypto');
const grpc = require('@grpc/grpc-js');
const { SERVICE, path, same } = require('./tour.js');

const [, , address, scenario, ...given] = process.argv;
// A proxy of the environment must not stand between client and server.
const client = new grpc.Client(address, grpc.credentials.createInsecure(), { 'grpc.enable_http_proxy': 0 });

// The line of a call that ended. A long answer is told by its SHA-256.
function tell(method, { status = grpc.status.OK, message = '', answers = [] }, before = {}) {
  const told = answers.map((answer) => (
    answer.length <= 100 ? answer.toString() : createHash('sha256').update(answer).digest('hex')));
  const line = { ...before, method: `${SERVICE}/${method}`, status: grpc.status[status], message, answers: told };
  console.log(JSON.stringify(line));
}

const refused = ({ code, details }) => ({ status: code, message: details });

// What a call with one answer has to call back.
const once = (resolve) => (error, answer) => resolve(error ? refused(error) : { answers: [answer] });

function unary(method, request, metadata = new grpc.Metadata()) {
  return new Promise((resolve) => {
    client.makeUnaryRequest(path(method), same, same, Buffer.from(request), metadata, {}, once(resolve));
  });
}

function collect(requests) {
  return new Promise((resolve) => {
    const call = client.makeClientStreamRequest(path('Collect'), same, same, once(resolve));
    for (const request of requests) call.write(Buffer.from(request));
    call.end();
  });
}

function count(request) {
  return new Promise((resolve) => {
    const answers = [];
    client.makeServerStreamRequest(path('Count'), same, same, Buffer.from(request))
      .on('data', (answer) => answers.push(answer))
      .on('end', () => resolve({ answers }))
      .on('error', (error) => resolve(refused(error)));
  });
}

// Each request is sent when the one before has been answered.
function chat(requests) {
  return new Promise((resolve) => {
    const answers = [];
    const call = client.makeBidiStreamRequest(path('Chat'), same, same);
    const next = () => {
      if (answers.length < requests.length) call.write(Buffer.from(requests[answers.length]));
      else call.end();
    };
    call.on('data', (answer) => { answers.push(answer); next(); })
      .on('end', () => resolve({ answers }))
      .on('error', (error) => resolve(refused(error)));
    next();
  });
}

// A call that the client ends: the message is its own then, and not told.
function givenUp({ timeout, cancelledAfter }) {
  return new Promise((resolve) => {
    const options = timeout ? { deadline: Date.now() + timeout } : {};
    const call = client.makeUnaryRequest(
      path('Sleep'), same, same, Buffer.from('2000'), new grpc.Metadata(), options,
      (error) => resolve({ status: error?.code }),
    );
    if (cancelledAfter) setTimeout(() => call.cancel(), cancelledAfter);
  });
}

const messages = (length) => Array.from({ length }, (_, i) => `message ${i}`);

async function tour(traceparent) {
  tell('Echo', await unary('Echo', '0123456789'.repeat(10)));
  tell('Echo', await unary('Echo', '0123456789'.repeat(20000)));
  tell('Refuse', await unary('Refuse', '5'));
  tell('Refuse', await unary('Refuse', '13'));
  tell('Collect', await collect(messages(5)));
  tell('Count', await count('7'));
  tell('Chat', await chat(messages(3)));
  tell('Sleep', await givenUp({ timeout: 200 }));
  tell('Sleep', await givenUp({ cancelledAfter: 100 }));
  tell('Missing', await unary('Missing', ''));
  if (traceparent) {
    const metadata = new grpc.Metadata();
    metadata.set('traceparent', traceparent);
    tell('Echo', await unary('Echo', 'traced', metadata));
  }
}

async function call(number) {
  if (number % 3 === 0) tell('Echo', await unary('Echo', `call ${number}`), { number });
  else if (number % 3 === 1) tell('Refuse', await unary('Refuse', `5 call ${number}`), { number });
  else tell('Count', await count(`3 call ${number}`), { number });
}

async function load(calls, atATime) {
  let next = 0;
  const work = async () => {
    while (next < Number(calls)) {
      const number = next;
      next += 1;
      await call(number);
    }
  };
  await Promise.all(Array.from({ length: Number(atATime) }, work));
}

({ tour, load })[scenario](...given).then(() => client.close());
