// The gRPC tour's server on @grpc/grpc-js.
// Usage: server.js HOST:PORT
const grpc = require('@grpc/grpc-js');
const { path, same } = require('./tour.js');

// The number that a request begins with.
const number = (request) => parseInt(request.toString(), 10);

const serve = {
  Echo: (call, answer) => answer(null, call.request),
  Refuse: (call, answer) => {
    const code = number(call.request);
    answer({ code, details: `refused: é ${code}` });
  },
  Sleep: (call, answer) => {
    const timer = setTimeout(() => answer(null, call.request), number(call.request));
    call.on('cancelled', () => clearTimeout(timer));
  },
  Collect: (call, answer) => {
    let messages = 0;
    call.on('data', () => { messages += 1; });
    call.on('end', () => answer(null, Buffer.from(String(messages))));
  },
  Count: (call) => {
    for (let i = 0; i < number(call.request); i += 1) call.write(Buffer.from(String(i)));
    call.end();
  },
  Chat: (call) => {
    call.on('data', (message) => call.write(message));
    call.on('end', () => call.end());
  },
};

const method = (name, requestStream, responseStream) => ({
  path: path(name),
  requestStream,
  responseStream,
  requestSerialize: same,
  requestDeserialize: same,
  responseSerialize: same,
  responseDeserialize: same,
});

const server = new grpc.Server();
server.addService({
  Echo: method('Echo', false, false),
  Refuse: method('Refuse', false, false),
  Sleep: method('Sleep', false, false),
  Collect: method('Collect', true, false),
  Count: method('Count', false, true),
  Chat: method('Chat', true, true),
}, serve);
server.bindAsync(process.argv[2], grpc.ServerCredentials.createInsecure(), (error) => {
  if (error) throw error;
});
