// What server and client of the gRPC tour have in common. Messages are bytes, so nothing is generated.

const SERVICE = 'spanwire.tests.Tour';

const path = (method) => `/${SERVICE}/${method}`;

// A message as it is: what a serializer and a deserializer do.
const same = (bytes) => bytes;

module.exports = { SERVICE, path, same };
