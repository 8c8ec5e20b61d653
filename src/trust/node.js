'use strict';
// Preloaded into Node by NODE_OPTIONS: connections of HTTP clients become tunnels of the proxy in SPECTRAL_PROXY.
//
//   http.Agent, https.Agent ─┐
//   fetch, WebSocket, undici ┴─▶ tunnel() ─▶ CONNECT host:port ─▶ the request as without us
//                                   └─ no tunnel: a direct connection, as without us
//
// Only the connection changes: its origin is the one that the client chose, whatever the Host field says. If the client
// says how to connect (a lookup, a socket path, a local address), it connects itself. So does a client of the proxy.
// If there is no tunnel, because the origin is unreachable or the proxy is gone, the direct connection has the result or
// the error that the program expects. Nothing here may throw. The syntax is that of Node 6, since a syntax error would
// end any older Node.
(function () {
  const address = /^http:\/\/(?:\[([^\]]+)\]|([^:/]+)):(\d+)$/.exec(process.env.SPECTRAL_PROXY || '');
  const isNode = process.release && process.release.name === 'node' && !process.versions.bun && typeof Deno === 'undefined';
  if (!address || !isNode) return;
  const proxy = { host: address[1] || address[2], port: Number(address[3]) };
  const net = require('net');
  const tls = require('tls');
  const dns = require('dns');
  const connect = net.connect;
  const lookup = dns.lookup;

  // Returns the `host:port` to which a client would connect by itself; undefined if it says more than that.
  function authority(options, port) {
    const custom = ['socketPath', 'path', 'socket', 'fd', 'lookup', 'localAddress', 'localPort', 'family'];
    const host = String(options.host || options.hostname || 'localhost');
    const isProxy = host === proxy.host && Number(port) === proxy.port;
    // A program may also replace the lookup of every client.
    if (isProxy || custom.some(function (name) { return options[name]; }) || dns.lookup !== lookup) return undefined;
    if (net.isIP(host) === 6 && host.indexOf('%') < 0) return '[' + host + ']:' + port;
    return /^[\w.-]+$/.test(host) ? host + ':' + port : undefined;
  }

  // Calls `done` with a socket that is connected to `target` through the proxy; with undefined if there is none, or not
  // within `timeout` milliseconds.
  function tunnel(target, timeout, done) {
    const socket = connect(proxy.port, proxy.host);
    const timer = timeout && setTimeout(end, timeout);
    let head = '';
    function read() {
      for (let piece; (piece = socket.read(1)) !== null;) {
        head += piece.toString('latin1');
        if (/\r\n\r\n$/.test(head)) return end(/^HTTP\/1\.\d 200 /.test(head));
      }
    }
    function end(isOpen) {
      clearTimeout(timer);
      socket.removeListener('readable', read);
      ['error', 'end', 'close'].forEach(function (event) { socket.removeListener(event, fail); });
      if (isOpen === true) return done(socket);
      // Its error is that of the direct connection.
      socket.on('error', function () {}).destroy();
      done(undefined);
    }
    function fail() { end(false); }
    socket.on('readable', read).once('error', fail).once('end', fail).once('close', fail);
    socket.setNoDelay(true);
    socket.write('CONNECT ' + target + ' HTTP/1.1\r\nHost: ' + target + '\r\n\r\n');
  }

  // Replaces the connections of agents: each agent that has no function of its own for it.
  function replaceConnections(prototype, isTls) {
    const direct = prototype.createConnection;
    prototype.createConnection = function createConnection(options, done) {
      const agent = this;
      const isRequest = options && typeof options === 'object' && typeof done === 'function';
      const target = isRequest ? authority(options, options.port || (isTls ? 443 : 80)) : undefined;
      if (!target) return direct.apply(agent, arguments);
      const stop = reserve(agent, options);
      tunnel(target, options.timeout, function (socket) {
        const isDestroyed = stop();
        let connection;
        try {
          // The agent takes a connection either as the result or in the callback.
          if (!socket) connection = direct.call(agent, options, done);
          else if (isTls) connection = direct.call(agent, Object.assign({}, options, { socket: socket }), done);
          else connection = socket;
        } catch (error) {
          return done(error);
        }
        if (socket && connection && options.timeout) connection.setTimeout(options.timeout);
        if (socket && connection && options.keepAlive) connection.setKeepAlive(true, options.keepAliveInitialDelay);
        if (connection) done(null, connection);
        if (connection && isDestroyed) connection.destroy();
      });
    };
  }

  // Counts a connection that is not there yet: an agent would exceed its maxSockets. Returns a function that ends that,
  // and returns true if the agent was destroyed meanwhile.
  function reserve(agent, options) {
    const name = agent.getName(options);
    const place = new net.Socket();
    if (agent.sockets) (agent.sockets[name] = agent.sockets[name] || []).push(place);
    if (agent.totalSocketCount >= 0) agent.totalSocketCount += 1;
    return function () {
      const all = agent.sockets && agent.sockets[name];
      const at = all ? all.indexOf(place) : -1;
      if (at >= 0) all.splice(at, 1);
      if (all && all.length === 0) delete agent.sockets[name];
      if (agent.totalSocketCount > 0) agent.totalSocketCount -= 1;
      return place.destroyed;
    };
  }

  // The first copy of undici that is loaded, Node's own or a package, finds no global dispatcher and defines one. This
  // defines one of the same class instead, with connections of ours: the interfaces of other copies may differ.
  // A dispatcher that the program sets replaces it.
  function replaceDispatcher() {
    const keys = [Symbol.for('undici.globalDispatcher.1'), Symbol.for('undici.globalDispatcher.2')];
    const define = Object.defineProperty;
    let original, replacement;
    function defineTunnelled(target, name, descriptor) {
      if (target === globalThis && keys.indexOf(name) >= 0) {
        if (!original) {
          original = descriptor.value;
          replacement = tunnelling(original);
        }
        if (descriptor.value === original) descriptor.value = replacement;
      }
      return define(target, name, descriptor);
    }
    function get() {
      original = undefined;
      try {
        Object.defineProperty = defineTunnelled;
        Promise.resolve().then(function () {
          if (Object.defineProperty === defineTunnelled) Object.defineProperty = define;
        });
      } catch (_) {
        // Object is frozen.
      }
    }
    keys.forEach(function (key) {
      function set(value) {
        define(globalThis, key, { configurable: true, writable: true, value: value });
      }
      if (!(key in globalThis)) define(globalThis, key, { configurable: true, get: get, set: set });
    });
  }

  // Returns a dispatcher of the same class with connections of ours; the same dispatcher if its class is another one.
  function tunnelling(dispatcher) {
    try {
      const Agent = dispatcher.constructor;
      return Agent.name === 'Agent' ? new Agent({ connect: connectDispatcher }) : dispatcher;
    } catch (_) {
      return dispatcher;
    }
  }

  // Connects for undici as its own connector does.
  function connectDispatcher(options, done) {
    const isTls = options.protocol === 'https:';
    const host = options.hostname;
    const port = options.port || (isTls ? 443 : 80);
    const target = authority({ host: host, socket: options.httpSocket, localAddress: options.localAddress }, port);
    const timer = setTimeout(function () {
      const error = new Error('Connect Timeout Error (attempted address: ' + host + ':' + port + ', timeout: 10000ms)');
      finish(Object.assign(error, { name: 'ConnectTimeoutError', code: 'UND_ERR_CONNECT_TIMEOUT' }));
    }, 10000);
    let socket;
    function finish(error) {
      const callback = done;
      done = null;
      clearTimeout(timer);
      if (socket) socket.removeListener('error', finish);
      if (error && socket) socket.on('error', function () {}).destroy();
      if (callback) error ? callback(error) : callback(null, socket);
    }
    function start(tunnelled) {
      if (!done) return tunnelled && tunnelled.destroy();
      const common = { host: host, port: port, localAddress: options.localAddress };
      if (isTls) {
        const protocols = Number(process.versions.undici.split('.')[0]) >= 8 ? ['http/1.1', 'h2'] : ['http/1.1'];
        socket = tls.connect(Object.assign(common, {
          highWaterMark: 16384,
          servername: options.servername || (net.isIP(host) ? '' : host),
          ALPNProtocols: protocols,
          socket: tunnelled || options.httpSocket,
        }));
      } else {
        socket = tunnelled || net.connect(Object.assign(common, { highWaterMark: 65536 }));
      }
      socket.setKeepAlive(true, 60000);
      socket.setNoDelay(true);
      socket.once('error', finish);
      if (tunnelled === socket) finish();
      else socket.once(isTls ? 'secureConnect' : 'connect', function () { finish(); });
    }
    if (target) tunnel(target, 0, start);
    else start();
  }

  replaceConnections(require('http').Agent.prototype, false);
  replaceConnections(require('https').Agent.prototype, true);
  if (typeof globalThis === 'object' && typeof fetch === 'function') {
    replaceDispatcher();
  }
})();
