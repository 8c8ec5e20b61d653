// An HTTP/2 origin in Node. Prints its port.
//
//     node http2_origin.js                  HTTP/2 in the clear, with prior knowledge
//     node http2_origin.js KEY CERT OFFER   TLS, with the protocols "h2", "h2,http/1.1" or "http/1.1"
'use strict';
const http2 = require('http2');
const https = require('https');
const fs = require('fs');
const crypto = require('crypto');
const { filling } = require('./filling.js');

// A fixed date, so that responses can be compared.
const head = (status, more) => ({ ':status': status, date: 'Thu, 01 Jan 1970 00:00:00 GMT', ...more });

let waiting = [];

const routes = {
  hello(stream) {
    stream.respond(head(200, { 'content-type': 'text/plain', 'set-cookie': ['a=1', 'b=2'] }));
    stream.end('hello');
  },
  // Echoes the body, and sends trailers.
  echo(stream, headers) {
    const more = headers['content-type'] ? { 'content-type': headers['content-type'] } : {};
    stream.respond(head(200, more), { waitForTrailers: true });
    stream.on('trailers', (trailers) => { stream.received = trailers['x-sent'] || ''; });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'x-path': headers[':path'], 'x-received': stream.received || '' }));
    stream.pipe(stream);
  },
  // Sends the request's fields as JSON.
  fields(stream, headers) {
    stream.respond(head(200));
    stream.end(JSON.stringify(headers));
  },
  // Sends no response before `count` requests have arrived.
  together(stream, headers, count) {
    const bytes = [];
    stream.on('data', (piece) => bytes.push(piece));
    stream.on('end', () => {
      waiting.push([stream, Buffer.concat(bytes)]);
      if (waiting.length < Number(count)) return;
      for (const [each, body] of waiting.reverse()) {
        each.respond(head(200));
        each.end(body);
      }
      waiting = [];
    });
  },
  hints(stream) {
    stream.additionalHeaders({ ':status': 103, link: '</one.css>; rel=preload' });
    stream.additionalHeaders({ ':status': 103, link: '</two.css>; rel=preload' });
    stream.respond(head(200));
    stream.end('hinted');
  },
  push(stream) {
    stream.pushStream({ ':path': '/pushed.css?v=1' }, (error, pushed) => {
      pushed.respond(head(200, { 'content-type': 'text/css' }));
      pushed.end('body{}');
    });
    stream.respond(head(200));
    stream.end('<link>');
  },
  status(stream, headers, code) {
    stream.respond(head(Number(code), { 'x-kept': 'yes' }), { endStream: true });
  },
  // The response ends before the upload.
  early(stream) {
    stream.respond(head(413));
    stream.end('too much');
    stream.on('finish', () => stream.close(http2.constants.NGHTTP2_NO_ERROR));
  },
  reset(stream) {
    stream.respond(head(200));
    // close() would end the stream properly first.
    stream.write('some of it', () => stream.destroy(new Error('reset on purpose')));
  },
  refuse(stream) {
    stream.close(http2.constants.NGHTTP2_REFUSED_STREAM);
  },
  // Sends GOAWAY and finishes the stream.
  goaway(stream) {
    stream.respond(head(200));
    stream.write('before, ', () => {
      stream.session.close();
      stream.end('after');
    });
  },
  // Destroys the connection in the middle of the response.
  cut(stream) {
    stream.respond(head(200));
    stream.write('some of it', () => sockets.get(stream.session.socket.remotePort).destroy());
  },
  // A response that does not end.
  endless(stream) {
    stream.respond(head(200));
    stream.write('first');
  },
  fill(stream, headers, size) {
    stream.respond(head(200));
    filling(Number(size)).pipe(stream);
  },
  hash(stream) {
    const hash = crypto.createHash('sha256');
    stream.on('data', (piece) => hash.update(piece));
    stream.on('end', () => {
      stream.respond(head(200));
      stream.end(hash.digest('hex'));
    });
  },
  // A WebSocket (RFC 8441) that echoes each frame without its mask, and closes when the client does.
  chat(stream, headers) {
    if (headers[':protocol'] !== 'websocket') return routes.status(stream, headers, 400);
    stream.respond(head(200, { 'sec-websocket-protocol': 'chat' }));
    let received = Buffer.alloc(0);
    stream.on('data', (piece) => {
      received = Buffer.concat([received, piece]);
      while (received.length >= 6 && received.length >= 6 + (received[1] & 0x7f)) {
        const length = received[1] & 0x7f;
        const payload = received.subarray(6, 6 + length).map((byte, at) => byte ^ received[2 + (at % 4)]);
        stream.write(Buffer.concat([Buffer.from([received[0], length]), payload]));
        if (received[0] === 0x88) stream.end();
        received = received.subarray(6 + length);
      }
    });
  },
};

function serve(stream, headers) {
  stream.on('error', () => {});
  const [, name, rest] = headers[':path'].split(/[/?]/);
  (routes[name] || routes.hello)(stream, headers, rest);
}

const [key, cert, offer] = process.argv.slice(2);
const settings = { enableConnectProtocol: true, maxConcurrentStreams: 1000 };
const identity = key && { key: fs.readFileSync(key), cert: fs.readFileSync(cert) };
const create = {
  undefined: () => http2.createServer({ settings }),
  h2: () => http2.createSecureServer({ ...identity, settings }),
  'h2,http/1.1': () => http2.createSecureServer({ ...identity, settings, allowHTTP1: true }),
  'http/1.1': () => https.createServer({ ...identity, ALPNProtocols: ['http/1.1'] }),
};
const server = create[offer]();
server.on('stream', serve);
// Node does not let a session's own socket be destroyed.
const sockets = new Map();
server.on(key ? 'secureConnection' : 'connection', (socket) => sockets.set(socket.remotePort, socket));
server.on('sessionError', () => {});
// For HTTP/1.1 only: without this, Node would emit `request` for HTTP/2 streams too, and handle them.
server.removeAllListeners('newListener');
server.on('request', (request, response) => {
  response.sendDate = false;
  response.end('hello');
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
