// HTTP clients of Node: node -e THIS_FILE CLIENT[,CLIENT…] HTTP_URL HTTPS_URL
// Prints a line for each client: what the origins answered, or the error.
'use strict';
const http = require('http');
const https = require('https');
const [, names, plain, tls] = process.argv;

const moduleOf = url => (url.startsWith('https') ? https : http);

// Requests `url` with the module `http` or `https`.
function get(url, options = {}) {
  return new Promise((resolve, reject) => {
    const read = answer => {
      let text = '';
      answer.on('data', piece => (text += piece)).on('end', () => resolve(text));
    };
    moduleOf(url).get(url, options, read).on('error', reject);
  });
}

// Requests `url` through a reverse proxy that keeps the Host field of its client.
function throughReverseProxy(url) {
  const proxy = require('http-proxy').createProxyServer({ target: url });
  const server = http.createServer((request, response) => proxy.web(request, response, {}, error => response.end(error.code)));
  return new Promise(resolve => server.listen(0, '127.0.0.1', resolve))
    .then(() => get(`http://127.0.0.1:${server.address().port}/http-proxy`, { headers: { Host: 'front.example' } }))
    .finally(() => server.close());
}

// Sends many requests through an agent with two sockets, and returns how many it has afterwards.
async function limited(url) {
  const agent = new (moduleOf(url).Agent)({ maxSockets: 2, keepAlive: true });
  await Promise.all(Array.from({ length: 10 }, () => get(`${url}/limited`, { agent })));
  const sockets = Object.values(agent.freeSockets).flat().length;
  agent.destroy();
  return `${sockets} sockets`;
}

function inWorker(url) {
  const { Worker } = require('worker_threads');
  const code = `fetch('${url}/worker').then(a => a.text()).then(t => require('worker_threads').parentPort.postMessage(t))`;
  return new Promise((resolve, reject) => new Worker(code, { eval: true }).on('message', resolve).on('error', reject));
}

async function inChild(url) {
  const code = `require('http').get('${url}/child', answer => answer.pipe(process.stdout))`;
  const { stdout } = await require('util').promisify(require('child_process').execFile)(process.execPath, ['-e', code]);
  return stdout;
}

const failure = promise => promise.then(() => 'success', error => (error.cause || error).code);

const both = client => () => Promise.all([plain, tls].map(client));
const clients = {
  http: both(url => get(`${url}/http`)),
  host: () => get(`${plain}/host`, { headers: { Host: 'virtual.example' } }),
  'own-agent': both(url => get(`${url}/own-agent`, { agent: new (moduleOf(url).Agent)({ keepAlive: true }) })),
  'no-agent': both(url => get(`${url}/no-agent`, { agent: false })),
  fetch: both(async url => (await fetch(`${url}/fetch`)).text()),
  'fetch-request': both(async url => (await fetch(new Request(`${url}/fetch-request`, { headers: new Headers() }))).text()),
  'fetch-post': both(async url => (await fetch(`${url}/fetch-post`, { method: 'POST', body: 'x'.repeat(100000) })).text()),
  worker: () => inWorker(plain),
  child: () => inChild(plain),
  limited: both(limited),
  lookup: () => {
    const lookup = (_, options, done) => (options.all ? done(null, [{ address: '127.0.0.1', family: 4 }]) : done(null, '127.0.0.1', 4));
    return get(plain.replace(/127\.0\.0\.1|localhost/, 'name.example') + '/lookup', { lookup });
  },
  refused: () => Promise.all(['http', 'https'].flatMap(scheme => {
    const url = `${scheme}://127.77.77.77:3999/`;
    return [failure(get(url)), failure(fetch(url))];
  })),
  unresolved: () => Promise.all([failure(get('http://no.such.invalid/')), failure(fetch('https://no.such.invalid/'))]),
  undici: both(async url => (await require('undici').request(`${url}/undici`)).body.text()),
  // Node's own copy of undici may have another version, whose dispatcher does not fit this one.
  'undici-composed': both(async url => {
    const { getGlobalDispatcher, interceptors, request } = require('undici');
    const dispatcher = getGlobalDispatcher().compose(interceptors.redirect({ maxRedirections: 3 }));
    return (await request(`${url}/undici-composed`, { dispatcher })).body.text();
  }),
  // It asks the proxy itself, also for https URLs.
  'axios-old': both(async url => (await require('axios-old').get(`${url}/axios-old`)).data),
  axios: both(async url => (await require('axios').get(`${url}/axios`)).data),
  got: both(async url => (await import('got')).got(`${url}/got`).text()),
  'node-fetch': both(async url => (await (await import('node-fetch')).default(`${url}/node-fetch`)).text()),
  superagent: both(async url => (await require('superagent').get(`${url}/superagent`)).text),
  request: both(url => new Promise((resolve, reject) => require('request')(`${url}/request`, (error, _, body) => (error ? reject(error) : resolve(body))))),
  'http-proxy': () => throughReverseProxy(plain),
};

(async () => {
  for (const name of names.split(',')) {
    const result = await clients[name]().catch(error => `error ${(error.cause || error).code} ${error.message}`);
    console.log(name, [].concat(result).join(' | '));
  }
  process.exit();
})();
