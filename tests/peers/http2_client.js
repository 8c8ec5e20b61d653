// Sends requests as a browser does, and prints a report as JSON.
//
//     node http2_client.js JOB
//
//     JOB is a file: {"proxy": "127.0.0.1:8080", "host": …, "port": …, "ca": …, "offer": ["h2", "http/1.1"],
//                     "at_once": true, "requests": [{"headers": {":path": "/"}, "body": "…"}]}
//     A WebSocket with "early" sends its frames before the response.
//
// Without "ca" it uses HTTP/2 in the clear, with prior knowledge. Without "proxy" it connects to the origin directly.
'use strict';
const http = require('http');
const http2 = require('http2');
const net = require('net');
const tls = require('tls');
const fs = require('fs');
const crypto = require('crypto');
const { filling } = require('./filling.js');

const job = JSON.parse(fs.readFileSync(process.argv[2]));
const seen = { protocol: null, answers: [], pushed: [], failed: null };

function dial(ready) {
  if (!job.proxy) return ready(net.connect(job.port, job.host));
  const [host, port] = job.proxy.split(':');
  const request = http.request({ host, port, method: 'CONNECT', path: `${job.host}:${job.port}` });
  request.on('connect', (answer, socket, head) => {
    if (answer.statusCode !== 200) throw new Error(`the proxy responds ${answer.statusCode}`);
    // The origin may send first.
    socket.unshift(head);
    ready(socket);
  });
  request.end();
}

function open(ready) {
  dial((socket) => {
    if (!job.ca) return ready(socket, 'h2');
    const options = { socket, servername: job.host, ca: fs.readFileSync(job.ca), ALPNProtocols: job.offer };
    const secure = tls.connect(options, () => ready(secure, secure.alpnProtocol));
    secure.on('error', failed);
  });
}

function failed(error) {
  seen.failed = seen.failed || error.code || error.message;
}

// Sends one request; resolves to its response once the stream is closed.
function send(session, wanted) {
  return new Promise((done) => {
    const answer = { hints: [], headers: null, body: '', length: 0, sha256: null, trailers: null, reset: 0 };
    const hash = crypto.createHash('sha256');
    const pieces = [];
    const isSocket = wanted.headers[':method'] === 'CONNECT';
    const hasBody = isSocket || wanted.body !== undefined || wanted.fill !== undefined;
    const stream = session.request(wanted.headers, { endStream: !hasBody, waitForTrailers: !!wanted.trailers });
    stream.on('headers', (headers) => answer.hints.push({ ...headers }));
    stream.on('trailers', (headers) => { answer.trailers = { ...headers }; });
    stream.on('error', () => {});
    stream.on('wantTrailers', () => stream.sendTrailers(wanted.trailers));
    stream.on('response', (headers) => {
      answer.headers = { ...headers };
      if (isSocket && !wanted.early) stream.write(Buffer.from(wanted.frames, 'hex'));
    });
    if (isSocket && wanted.early) stream.write(Buffer.from(wanted.frames, 'hex'));
    stream.on('data', (piece) => {
      hash.update(piece);
      answer.length += piece.length;
      if (answer.length < 100000) pieces.push(piece);
      if (answer.length >= wanted.cancel_at) stream.close(http2.constants.NGHTTP2_CANCEL);
    });
    stream.on('end', () => { if (isSocket) stream.end(); });
    stream.on('close', () => {
      answer.body = Buffer.concat(pieces).toString('latin1');
      answer.sha256 = hash.digest('hex');
      answer.reset = stream.rstCode;
      done(answer);
    });
    if (wanted.body !== undefined) stream.end(wanted.body);
    if (wanted.fill !== undefined) filling(wanted.fill).pipe(stream);
  });
}

function useHttp2(socket) {
  const scheme = job.ca ? 'https' : 'http';
  const session = http2.connect(`${scheme}://${job.host}:${job.port}`, { createConnection: () => socket });
  const pushes = [];
  session.on('error', failed);
  session.on('stream', (pushed, headers) => pushes.push(new Promise((done) => {
    const bytes = [];
    pushed.on('data', (piece) => bytes.push(piece));
    pushed.on('error', () => {});
    pushed.on('close', () => done({ path: headers[':path'], body: Buffer.concat(bytes).toString() }));
  })));
  session.once('remoteSettings', async () => {
    if (job.at_once) {
      seen.answers = await Promise.all(job.requests.map((wanted) => send(session, wanted)));
    } else {
      for (const wanted of job.requests) {
        if (!session.closed) seen.answers.push(await send(session, wanted));
      }
    }
    seen.pushed = await Promise.all(pushes);
    if (session.closed) return report();
    session.close(report);
  });
}

function useHttp1(socket) {
  const path = job.requests[0].headers[':path'];
  const headers = { host: `${job.host}:${job.port}` };
  http.request({ createConnection: () => socket, path, headers }, (response) => {
    const bytes = [];
    response.on('data', (piece) => bytes.push(piece));
    response.on('end', () => {
      seen.answers.push({ version: response.httpVersion, body: Buffer.concat(bytes).toString() });
      report();
      socket.end();
    });
  }).end();
}

function report() {
  console.log(JSON.stringify(seen));
}

open((socket, protocol) => {
  seen.protocol = protocol;
  return protocol === 'h2' ? useHttp2(socket) : useHttp1(socket);
});
