// The report's script. All captured text is shown through textContent; no captured URL becomes an address.
//
//   data blocks ─▶ rows ─▶ filter, sort ─▶ list (virtual) ─▶ details, parsed when they are opened
//
// A data block is a JSON array with one item per line. Lines are parsed one by one, and searched as text.
'use strict';
(() => {
  const ROW_PIXELS = 26;
  // Browsers limit the height of an element, Firefox to some 17 million pixels.
  const MAX_LIST_PIXELS = 8_000_000;
  const MAX_SHOWN_CHARS = 256 * 1024;
  const MAX_SHOWN_BYTES = 16 * 1024;
  const MAX_MARKED_CHARS = 2000;
  const MAX_PRINTED_ROWS = 2000;
  const MAX_COPIED = 1000;
  const MAX_IMAGE_PIXELS = 25_000_000;
  const PHASES = ['dns', 'connect', 'tls', 'send', 'wait', 'receive'];

  const $ = (id) => document.getElementById(id);

  /** Creates an element with properties and children. */
  function make(tag, properties = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) {
      if (name in element) element[name] = value;
      else element.setAttribute(name, value);
    }
    element.append(...children);
    return element;
  }

  // ---- data

  /** A script element with one JSON value per line. */
  class Block {
    constructor(element) {
      this.element = element;
    }
    get text() {
      return (this.cachedText ??= this.element.textContent);
    }
    get lower() {
      return (this.cachedLower ??= this.text.toLowerCase());
    }
    get lines() {
      return (this.cachedLines ??= this.text.split('\n'));
    }
    /** Parses the value on a line. The first and the last line have the brackets of the array. */
    value(line) {
      const json = this.lines[line + 1];
      return JSON.parse(json.endsWith(',') ? json.slice(0, -1) : json);
    }
  }

  const blocks = (kind) => Array.from(document.querySelectorAll(`script[data-kind=${kind}]`), (it) => new Block(it));
  const meta = JSON.parse(document.querySelector('script[data-kind=meta]').textContent);
  const details = blocks('details');
  const binaries = blocks('binary');

  class Row {
    constructor(values) {
      [this.id, this.start, this.method, this.url, this.status, this.type, this.sent, this.received, this.total, this.phases,
        this.cutOff, this.isWebSocket] = values;
      this.host = hostOf(this.url);
      // The places of its lines in the details.
      this.places = [];
    }
    get isFailed() {
      return this.status === 0 || this.status >= 400;
    }
    get bytes() {
      return this.sent + this.received;
    }
    /** Parses the lines of the details of one kind, without the id and the kind. */
    lines(kind) {
      const values = this.places.map(([block, line]) => details[block].value(line));
      return values.filter((it) => it[1] === kind).map((it) => it.slice(2));
    }
    /** Returns the heads and bodies, or null if the heads are left out of the report. */
    exchange() {
      const [head] = this.lines('head');
      if (!head) return null;
      const [longUrl, statusText, cutOff, requestHeaders, responseHeaders] = head;
      const [sent, sentNote, received, receivedNote] = this.lines('body')[0] ?? ['', '', '', ''];
      return {
        url: longUrl || this.url,
        statusText,
        cutOff,
        request: {headers: pairs(requestHeaders), body: sent, note: sentNote},
        response: {headers: pairs(responseHeaders), body: received, note: receivedNote},
      };
    }
    messages() {
      return this.lines('messages').flatMap((flat) => {
        const messages = [];
        for (let i = 0; i < flat.length; i += 6) {
          const [id, direction, opcode, time, payload, note] = flat.slice(i, i + 6);
          messages.push({id, isSent: direction === 'send', opcode, time: Number(time), payload, note});
        }
        return messages;
      });
    }
  }

  function hostOf(url) {
    const authority = /^[a-z]+:\/\/([^/?#]*)/i.exec(url)?.[1] ?? '';
    return authority.replace(/^.*@/, '').replace(/:\d+$/, '').toLowerCase();
  }

  function pairs(flat) {
    const all = [];
    for (let i = 0; i < flat.length; i += 2) all.push([flat[i], flat[i + 1]]);
    return all;
  }

  function header(headers, name) {
    return headers.find(([it]) => it.toLowerCase() === name)?.[1] ?? '';
  }

  /** Returns the bytes that a body stands for if it is binary: it then begins with NUL and names a line of a block. */
  function bytesOf(body) {
    if (!body.startsWith('\0')) return null;
    const [block, line] = body.slice(1).split(':').map(Number);
    return Uint8Array.from(atob(binaries[block].value(line)), (c) => c.charCodeAt(0));
  }

  const rows = [];
  for (const block of blocks('rows')) {
    for (const values of JSON.parse(block.element.textContent)) rows.push(new Row(values));
    block.element.remove();
  }
  const byId = new Map(rows.map((row) => [row.id, row]));
  for (const [row, sent, received] of meta.websockets) Object.assign(rows[row], {sent, received});
  meta.index.forEach((lines, block) => lines.forEach((row, line) => rows[row].places.push([block, line])));

  // ---- search

  const UNSAFE =
    /[<\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb]|\udb40[\udc00-\udc7f]/g;

  /** Writes text as it stands in the JSON of a data block. */
  function escaped(text) {
    const hex = (unit) => '\\u' + unit.charCodeAt(0).toString(16).padStart(4, '0');
    return JSON.stringify(text).slice(1, -1).replace(UNSAFE, (it) => Array.from({length: it.length}, (_, i) => hex(it[i])).join(''));
  }

  /** True if the text at `at` does not begin within an escape such as \n or \u003c. */
  function isWhole(json, at) {
    const isEscape = (backslash) => {
      let count = 0;
      while (json[backslash - count] === '\\') count++;
      return count % 2 === 1;
    };
    if (isEscape(at - 1)) return false;
    for (let back = 2; back <= 5; back++) {
      if (json[at - back + 1] === 'u' && json[at - back] === '\\' && isEscape(at - back)) return false;
    }
    return true;
  }

  const cachedHits = new Map();

  /** Returns the ids of the items whose details contain the text. */
  function idsWith(text) {
    const known = cachedHits.get(text);
    if (known) return known;
    const ids = new Set();
    const needle = escaped(text).toLowerCase();
    // These also stand between the strings.
    const isStructure = /^[[\],]+$/.test(text);
    for (const block of details) {
      const json = block.lower;
      for (let at = json.indexOf(needle); at >= 0; at = json.indexOf(needle, at)) {
        const start = json.lastIndexOf('\n', at) + 1;
        const end = json.indexOf('\n', at);
        const inStrings = () =>
          JSON.parse(json.slice(start, end).replace(/,$/, '')).flat().some((it) => it.includes(text));
        if (isWhole(json, at) && (!isStructure || inStrings())) {
          ids.add(json.slice(start + 2, json.indexOf('"', start + 2)));
          at = end;
        } else {
          at++;
        }
      }
    }
    if (cachedHits.size >= 16) cachedHits.clear();
    cachedHits.set(text, ids);
    return ids;
  }

  const joined = (headers) => headers.map(([name, value]) => `${name}: ${value}`).join('\n');
  const textOf = (body) => (body.startsWith('\0') ? '' : body);

  function inExchange(row, value, texts) {
    if (!idsWith(value).has(row.id)) return false;
    if (row.isWebSocket) return false;
    const exchange = row.exchange();
    return exchange !== null && texts(exchange).some((text) => text.toLowerCase().includes(value));
  }

  const TESTS = {
    url: (value) => (row) => row.url.toLowerCase().includes(value),
    host: (value) => (row) => row.host === value || row.host.endsWith('.' + value),
    method: (value) => (row) => row.method.toLowerCase() === value,
    status: (value) => (row) => (/^\dxx$/.test(value) ? String(row.status)[0] === value[0] && row.status >= 100 : String(row.status) === value),
    type: (value) => (row) => row.type.toLowerCase().includes(value),
    header: (value) => (row) => inExchange(row, value, (it) => [joined(it.request.headers), joined(it.response.headers)]),
    body: (value) => (row) => inExchange(row, value, (it) => [textOf(it.request.body), textOf(it.response.body)]),
    message: (value) => (row) =>
      row.isWebSocket && idsWith(value).has(row.id) && row.messages().some((it) => textOf(it.payload).toLowerCase().includes(value)),
    is: (value) => (row) =>
      ({failed: row.isFailed, cut: row.cutOff, websocket: row.isWebSocket})[value] === true,
  };

  /** Parses a filter into tests that all must pass. */
  function parseFilter(text) {
    const tests = [];
    for (const [, not, name, quoted, plain] of text.matchAll(/(-?)(?:([a-z]+):)?(?:"([^"]*)"|(\S+))(?=\s|$)/gi)) {
      let value = (quoted ?? plain).toLowerCase();
      let test = TESTS[Object.hasOwn(TESTS, name ?? '') ? name : ''];
      test = test?.(value);
      if (!test) {
        if (name) value = `${name}:${value}`.toLowerCase();
        const ids = idsWith(value);
        test = (row) => row.url.toLowerCase().includes(value) || ids.has(row.id);
      }
      tests.push(not ? (row) => !test(row) : test);
    }
    return tests;
  }

  // ---- list

  const COLUMNS = [
    ['Method', (row) => row.method],
    ['URL', (row) => row.url],
    ['Status', (row) => row.status],
    ['Type', (row) => row.type],
    ['Size', (row) => row.bytes],
    ['Time', (row) => row.total],
    ['Start', (row) => row.start],
  ];

  const grid = $('grid');
  let shown = rows;
  let selected = 0;
  let opened = null;
  let isPrinting = false;
  let sorting = {column: -1, isDescending: false};
  let range = {start: 0, end: 1};

  function apply() {
    const current = shown[selected];
    const tests = parseFilter($('search').value);
    shown = rows.filter((row) => tests.every((test) => test(row)));
    if (sorting.column >= 0) {
      const key = COLUMNS[sorting.column][1];
      const sign = sorting.isDescending ? -1 : 1;
      shown.sort((a, b) => (key(a) < key(b) ? -sign : key(a) > key(b) ? sign : 0));
    }
    range = {start: Infinity, end: -Infinity};
    for (const row of shown) {
      range.start = Math.min(range.start, row.start);
      range.end = Math.max(range.end, row.start + row.total);
    }
    selected = Math.max(0, shown.indexOf(current));
    grid.setAttribute('aria-rowcount', shown.length);
    $('spacer').style.height = `${Math.min(shown.length * ROW_PIXELS, MAX_LIST_PIXELS)}px`;
    const bytes = shown.reduce((sum, row) => sum + row.bytes, 0);
    $('status').textContent = `${count(shown.length)} of ${count(rows.length)} shown, ${size(bytes)}`;
    for (const button of $('counts').children) button.setAttribute('aria-pressed', hasTerm(button.dataset.term));
    reveal();
    drawChart();
  }

  const viewRows = () => Math.max(1, Math.floor((grid.clientHeight - ROW_PIXELS) / ROW_PIXELS));
  const isScaled = () => shown.length * ROW_PIXELS > MAX_LIST_PIXELS;
  const maxScroll = () => Math.max(1, grid.scrollHeight - grid.clientHeight);

  function firstVisible() {
    if (!isScaled()) return Math.floor(grid.scrollTop / ROW_PIXELS);
    return Math.round((grid.scrollTop / maxScroll()) * Math.max(0, shown.length - viewRows()));
  }

  /** Scrolls until the selected row is visible, and draws. */
  function reveal() {
    const first = firstVisible();
    if (selected < first || selected >= first + viewRows()) {
      const target = selected < first ? selected : selected - viewRows() + 1;
      grid.scrollTop = isScaled() ? (target / Math.max(1, shown.length - viewRows())) * maxScroll() : target * ROW_PIXELS;
    }
    draw();
  }

  function draw() {
    const limit = isPrinting ? MAX_PRINTED_ROWS : viewRows() + 12;
    const first = Math.max(0, Math.min(firstVisible(), shown.length - 1));
    const visible = shown.slice(first, first + limit);
    const top = isScaled() ? grid.scrollTop : first * ROW_PIXELS;
    $('rows').style.transform = `translateY(${top}px)`;
    $('rows').replaceChildren(...visible.map((row, i) => drawRow(row, first + i)));
    const isDrawn = selected >= first && selected < first + visible.length;
    if (isDrawn) grid.setAttribute('aria-activedescendant', 'row-' + shown[selected].id);
    else grid.removeAttribute('aria-activedescendant');
  }

  function drawRow(row, index) {
    const cell = (className, ...children) => make('div', {role: 'gridcell', className}, ...children);
    const status = row.isWebSocket ? 'WS' : row.status === 0 ? 'none' : String(row.status);
    const outcome = row.isFailed ? 'bad' : row.status >= 300 ? 'odd' : 'good';
    return make(
      'div',
      {role: 'row', id: 'row-' + row.id, 'data-id': row.id, 'aria-rowindex': index + 1, 'aria-selected': index === selected},
      cell('', marked(row.method.slice(0, 40))),
      make('div', {role: 'gridcell', title: row.url.slice(0, 2000)}, marked(row.url.slice(0, 500))),
      cell(row.isWebSocket ? '' : outcome, status + (row.cutOff ? ' ✂' : '')),
      cell('', marked(row.type.slice(0, 60))),
      cell('number', size(row.bytes)),
      cell('number', duration(row.total)),
      cell('bar', ...bars(row, range)),
    );
  }

  function bars(row, {start, end}) {
    const span = Math.max(1, end - start);
    let at = row.start - start;
    return PHASES.map((phase, i) => {
      const bar = make('i', {className: phase});
      bar.style.left = `${(100 * at) / span}%`;
      bar.style.width = `${(100 * row.phases[i]) / span}%`;
      at += row.phases[i];
      return row.phases[i] > 0 ? bar : '';
    });
  }

  function drawChart() {
    const buckets = 100;
    const [all, some] = [new Array(buckets).fill(0), new Array(buckets).fill(0)];
    const start = rows.reduce((min, row) => Math.min(min, row.start), Infinity);
    const span = Math.max(1, rows.reduce((max, row) => Math.max(max, row.start), start) - start);
    const bucket = (row) => Math.min(buckets - 1, Math.floor(((row.start - start) / span) * buckets));
    for (const row of rows) all[bucket(row)]++;
    for (const row of shown) some[bucket(row)]++;
    const highest = all.reduce((a, b) => Math.max(a, b), 1);
    const chart = $('chart');
    chart.setAttribute('viewBox', `0 0 ${buckets} 100`);
    chart.setAttribute('aria-label', `Requests over time: ${count(shown.length)} within ${duration(span)}, at most ${count(highest)} in ${duration(span / buckets)}`);
    const rect = (className, x, height) => {
      const it = document.createElementNS('http://www.w3.org/2000/svg', 'rect');
      const attributes = {class: className, x, y: 100 - height, width: 0.8, height};
      for (const [name, value] of Object.entries(attributes)) it.setAttribute(name, value);
      return it;
    };
    const height = (n) => (n ? Math.max(6, (100 * n) / highest) : 0);
    const parts = all.flatMap((n, x) => (n ? [rect('all', x, height(n)), rect('shown', x, height(some[x]))] : []));
    if (shown[selected]) parts.push(rect('current', bucket(shown[selected]), 100));
    chart.replaceChildren(...parts);
  }

  function select(index) {
    if (shown.length === 0) return;
    selected = Math.max(0, Math.min(index, shown.length - 1));
    reveal();
    drawChart();
    if (opened) open(shown[selected]);
  }

  // ---- text

  const number = new Intl.NumberFormat('en');
  const count = (n, noun) => number.format(n) + (noun ? ` ${noun}${n === 1 ? '' : 's'}` : '');
  const size = (bytes) => (bytes < 1000 ? `${bytes} B` : bytes < 1e6 ? `${(bytes / 1000).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`);
  const duration = (ms) => (ms < 1000 ? `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms` : ms < 60_000 ? `${(ms / 1000).toFixed(1)} s` : `${(ms / 60_000).toFixed(1)} min`);

  // Zero-width joiners are marked unless they join characters of scripts and emoji that need them.
  const INVISIBLE =
    /[\0-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|\udb40[\udc00-\udc7f]|(?<![^\0-\x7f])[\u200c\u200d]|[\u200c\u200d](?![^\0-\x7f])/gu;

  /** Returns nodes that show the text, with invisible characters and those that reorder text as their code points. */
  function marked(text) {
    const nodes = document.createDocumentFragment();
    let [end, marks] = [0, 0];
    for (const match of text.matchAll(INVISIBLE)) {
      if (++marks > MAX_MARKED_CHARS) {
        nodes.append(text.slice(end).replace(INVISIBLE, '\ufffd'));
        return nodes;
      }
      nodes.append(text.slice(end, match.index));
      const code = match[0].codePointAt(0).toString(16).toUpperCase().padStart(4, '0');
      nodes.append(make('span', {className: 'cp', 'data-cp': 'U+' + code}));
      end = match.index + match[0].length;
    }
    nodes.append(text.slice(end));
    return nodes;
  }

  /** Indents JSON without changing its tokens: parsing would lose large numbers and repeated names. */
  function formatJson(text) {
    const out = [];
    let depth = 0;
    const newLine = () => '\n' + '  '.repeat(Math.min(depth, 40));
    for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"|[[\]{},:]|[^\s[\]{},:"]+/g)) {
      if (token === '{' || token === '[') {
        depth++;
        out.push(token, newLine());
      } else if (token === '}' || token === ']') {
        depth--;
        const isEmpty = out.length >= 2 && /^[[{]$/.test(out.at(-2)) && out.at(-1).startsWith('\n');
        if (isEmpty) out.pop();
        out.push(...(isEmpty ? [token] : [newLine(), token]));
      } else if (token === ',') {
        out.push(token, newLine());
      } else {
        out.push(token === ':' ? ': ' : token);
      }
    }
    return out.join('');
  }

  function isJson(text) {
    try {
      JSON.parse(text);
      return true;
    } catch {
      return false;
    }
  }

  /** Shows the text in `element`: at first its beginning if it is long. */
  function showText(element, text, render = marked) {
    const isLong = text.length > MAX_SHOWN_CHARS;
    element.append(render(isLong ? text.slice(0, MAX_SHOWN_CHARS) : text));
    if (!isLong) return [element];
    const more = make('button', {type: 'button', textContent: `Show all ${count(text.length)} characters`});
    more.onclick = () => {
      element.replaceChildren(render(text));
      more.remove();
    };
    return [element, more];
  }

  function hexLines(bytes) {
    const lines = [];
    for (let at = 0; at < bytes.length; at += 16) {
      const line = Array.from(bytes.subarray(at, at + 16));
      const hex = line.map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
      const text = line.map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '.')).join('');
      lines.push(`${at.toString(16).padStart(8, '0')}  ${hex.padEnd(47)}  ${text}`);
    }
    return lines.join('\n');
  }

  /** Returns the media type and the size in pixels of an image that its first bytes identify. */
  function imageOf(bytes) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const text = (at, length) => String.fromCharCode(...bytes.subarray(at, at + length));
    const pixels = (read) => {
      try {
        return read();
      } catch {
        return [0, 0];
      }
    };
    if (text(0, 8) === '\x89PNG\r\n\x1a\n') return ['image/png', ...pixels(() => [view.getUint32(16), view.getUint32(20)])];
    if (/^GIF8[79]a/.test(text(0, 6))) return ['image/gif', ...pixels(() => [view.getUint16(6, true), view.getUint16(8, true)])];
    if (text(0, 3) === '\xff\xd8\xff') return ['image/jpeg', ...pixels(() => jpegPixels(view))];
    if (text(0, 4) === 'RIFF' && text(8, 4) === 'WEBP') return ['image/webp', ...pixels(() => webpPixels(view, text(12, 4)))];
    if (text(4, 4) === 'ftyp' && /^avi[fs]$/.test(text(8, 4))) {
      const at = text(0, Math.min(bytes.length, 4096)).indexOf('ispe');
      return ['image/avif', ...pixels(() => [view.getUint32(at + 8), view.getUint32(at + 12)])];
    }
    return null;
  }

  /** Reads the size in the frame header (ITU-T T.81 section B.2.2). */
  function jpegPixels(view) {
    for (let at = 2; ; at += 2 + view.getUint16(at + 2)) {
      const marker = view.getUint8(at + 1);
      const isFrame = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
      if (isFrame) return [view.getUint16(at + 7), view.getUint16(at + 5)];
    }
  }

  /** Reads the size in the first chunk (RFC 9649 section 2). */
  function webpPixels(view, chunk) {
    const uint24 = (at) => view.getUint16(at, true) | (view.getUint8(at + 2) << 16);
    if (chunk === 'VP8X') return [uint24(24) + 1, uint24(27) + 1];
    if (chunk === 'VP8 ') return [view.getUint16(26, true) & 0x3fff, view.getUint16(28, true) & 0x3fff];
    const bits = view.getUint32(21, true);
    return [(bits & 0x3fff) + 1, ((bits >> 14) & 0x3fff) + 1];
  }

  // ---- details

  const button = (text, onclick) => make('button', {type: 'button', textContent: text, onclick});
  const note = (text) => make('p', {className: 'note'}, marked(text));

  function save(bytes, name) {
    const url = URL.createObjectURL(new Blob([bytes]));
    make('a', {href: url, download: name}).click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  }

  async function copy(text, from) {
    const before = from.textContent;
    const isCopied = await navigator.clipboard?.writeText(text).then(() => true, () => false);
    from.textContent = isCopied || copySelection(text) ? 'Copied' : 'The browser refused';
    from.focus();
    setTimeout(() => (from.textContent = before), 1500);
  }

  /** Copies a selection, for places where the clipboard is missing or refused: frames, some previews. */
  function copySelection(text) {
    const area = make('textarea', {value: text, className: 'copied', 'aria-hidden': 'true'});
    document.body.append(area);
    area.select();
    const isCopied = document.execCommand('copy');
    area.remove();
    return isCopied;
  }

  const isTextType = (type) => /^text\/|json|xml|javascript|urlencoded|graphql|yaml/i.test(type);

  /** Returns the text of bytes whose headers call them text. */
  function decoded(bytes, type) {
    if (!isTextType(type)) return null;
    const charset = /charset="?([\w.:-]+)/i.exec(type)?.[1] ?? 'utf-8';
    try {
      return new TextDecoder(charset).decode(bytes);
    } catch {
      return null;
    }
  }

  /** Shows a body in the form that suits its content. */
  function bodyView(part, {body, note: remark}, headers, name) {
    if (!body && !remark) return [];
    const type = header(headers, 'content-type');
    const bytes = bytesOf(body);
    const text = bytes ? decoded(bytes, type) : body;
    const actions = make('div', {className: 'actions'});
    if (text !== null) actions.append(button('Copy body', (event) => copy(text, event.target)));
    actions.append(button('Save body', () => save(bytes ?? body, name)));
    const image = bytes && imageOf(bytes);
    const view = [];
    if (image) view.push(imageView(part, bytes, image));
    else if (bytes && /^application\/grpc/i.test(type)) view.push(...grpcView(part, bytes));
    else if (text === null) view.push(...hexView(part, bytes));
    else view.push(...textView(part, text, type));
    return [make('h3', {textContent: part === 'request-body' ? 'Request body' : 'Response body'}), ...(remark ? [note(remark)] : []), ...(body ? [actions, ...view] : [])];
  }

  function textView(part, text, type) {
    const pre = make('pre', {'data-part': part});
    if (/^text\/event-stream/i.test(type)) return showText(pre, text, eventNodes);
    if (/json/i.test(type) && text.length <= 4 * MAX_SHOWN_CHARS && isJson(text)) return showText(pre, formatJson(text));
    const shownText = showText(pre, text);
    if (/urlencoded/i.test(type)) shownText.push(formTable(text));
    return shownText;
  }

  /** Shows each server-sent event in a block of its own. */
  function eventNodes(text) {
    const nodes = document.createDocumentFragment();
    const events = text.split(/(?<=\r\n\r\n|\n\n|\r\r)/);
    events.slice(0, 1000).forEach((event) => nodes.append(make('div', {className: 'event'}, marked(event))));
    nodes.append(marked(events.slice(1000).join('')));
    return nodes;
  }

  function formTable(text) {
    const decode = (part) => {
      try {
        return decodeURIComponent(part.replaceAll('+', ' '));
      } catch {
        return part;
      }
    };
    const table = make('table', {}, make('tr', {}, make('th', {textContent: 'Name'}), make('th', {textContent: 'Value'})));
    for (const pair of text.split('&').slice(0, 500)) {
      const [name, ...value] = pair.split('=');
      table.append(make('tr', {}, make('td', {}, marked(decode(name))), make('td', {}, marked(decode(value.join('='))))));
    }
    return table;
  }

  function hexView(part, bytes) {
    const pre = make('pre', {'data-part': part, textContent: hexLines(bytes.subarray(0, MAX_SHOWN_BYTES))});
    if (bytes.length <= MAX_SHOWN_BYTES) return [pre];
    return [pre, note(`The first ${size(MAX_SHOWN_BYTES)} of ${size(bytes.length)}. Save the body for all.`)];
  }

  /** Splits length-prefixed messages (gRPC over HTTP/2, section "Length-Prefixed-Message"). */
  function grpcView(part, bytes) {
    const pre = make('pre', {'data-part': part});
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    let at = 0;
    for (let index = 1; at + 5 <= bytes.length && index <= 200; index++) {
      const length = view.getUint32(at + 1);
      const content = bytes.subarray(at + 5, Math.min(at + 5 + length, at + 5 + MAX_SHOWN_BYTES));
      const kind = bytes[at] & 0x80 ? 'Trailers' : bytes[at] & 1 ? 'Compressed message' : 'Message';
      pre.append(make('div', {className: 'event', textContent: `${kind} ${index}, ${count(length)} bytes\n${hexLines(content)}`}));
      at += 5 + length;
    }
    return at === bytes.length ? [pre] : [pre, note('The body ends within a message, or is not all shown.')];
  }

  function imageView(part, bytes, [type, width, height]) {
    const view = make('div', {'data-part': part});
    const show = () => {
      const url = URL.createObjectURL(new Blob([bytes], {type}));
      const image = make('img', {alt: `Image, ${width} by ${height} pixels`});
      image.onload = () => URL.revokeObjectURL(url);
      image.onerror = () => view.replaceChildren(note('The browser cannot decode this image.'), ...hexView(part + '-bytes', bytes));
      image.src = url;
      view.replaceChildren(image, make('p', {textContent: `${type}, ${count(width)} × ${count(height)}, ${size(bytes.length)}`}));
    };
    if (width * height <= MAX_IMAGE_PIXELS) show();
    else view.append(button(`Show image of ${count(width)} × ${count(height)} pixels`, show));
    return view;
  }

  const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

  /** Returns a command that sends the same request. */
  function curlCommand(row) {
    const exchange = row.isWebSocket ? null : row.exchange();
    if (!exchange || !/^(https?|wss?):\/\//i.test(row.url)) return `# ${row.id} cannot be replayed with curl`;
    if (/[\0]/.test(exchange.url + joined(exchange.request.headers))) return `# ${row.id} contains NUL and cannot be replayed with curl`;
    const {headers, body} = exchange.request;
    const bytes = bytesOf(body);
    const lines = [`curl --globoff --path-as-is --request ${quoted(row.method)} ${quoted(exchange.url)}`];
    for (const [name, value] of headers) {
      if (/^(content-length|transfer-encoding|connection|proxy-.*)$/i.test(name)) continue;
      lines.push(`  --header ${quoted(value ? `${name}: ${value}` : `${name};`)}`);
    }
    if (bytes) {
      const base64 = btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''));
      lines[0] = `printf %s ${quoted(base64)} | base64 -d | ${lines[0]}`;
      lines.push('  --data-binary @-');
    } else if (body) {
      lines.push(`  --data-raw ${quoted(body)}`);
    }
    return lines.join(' \\\n');
  }

  function timing(row) {
    const list = make('dl');
    const sum = row.phases.reduce((before, it) => before + it, 0);
    const drawn = bars({start: 0, phases: row.phases}, {start: 0, end: sum});
    PHASES.forEach((phase, i) => {
      const [name, time] = [make('dt', {className: `key ${phase}`, textContent: phase}), duration(row.phases[i])];
      list.append(name, make('dd', {className: 'number', textContent: time}), make('dd', {className: 'bar'}, drawn[i]));
    });
    return list;
  }

  function headView(part, first, headers) {
    const pre = make('pre', {'data-part': part}, marked(first));
    for (const [name, value] of headers) {
      pre.append('\n', make('span', {className: 'name'}, marked(name)), ': ', marked(value));
    }
    return pre;
  }

  function exchangeView(row) {
    const exchange = row.exchange();
    if (!exchange) return [note(`Left out of this report for its size. Show it with: ${meta.command} ${row.id}`)];
    const {request, response} = exchange;
    const answer = row.status === 0 ? exchange.statusText || 'no response' : `${row.status} ${exchange.statusText}`;
    return [
      ...(exchange.cutOff ? [note(exchange.cutOff)] : []),
      make('h3', {textContent: 'Request'}),
      headView('request-head', `${row.method} ${exchange.url}`, request.headers),
      ...bodyView('request-body', request, request.headers, `${row.id}_request.bin`),
      make('h3', {textContent: 'Response'}),
      headView('response-head', answer, response.headers),
      ...bodyView('response-body', response, response.headers, `${row.id}_response.bin`),
      make('h3', {textContent: `Timing: ${duration(row.total)}, started ${new Date(row.start).toISOString()}`}),
      timing(row),
    ];
  }

  function messageView(message, start) {
    const bytes = bytesOf(message.payload);
    const pre = make('pre', {'data-part': 'message'});
    const direction = message.isSent ? 'sent' : 'received';
    const parts = bytes
      ? [((pre.textContent = hexLines(bytes.subarray(0, MAX_SHOWN_BYTES))), pre)]
      : showText(pre, isJson(message.payload) ? formatJson(message.payload) : message.payload);
    const text = `${direction}, ${message.opcode}, +${duration(message.time - start)}`;
    return make('div', {className: `message ${direction}`}, make('div', {className: 'meta', textContent: text}), ...(message.note ? [note(message.note)] : []), ...parts);
  }

  function webSocketView(row) {
    const list = make('div');
    const messages = row.messages();
    const step = 200;
    let next = 0;
    const more = button('', () => showMore());
    const showMore = () => {
      for (const message of messages.slice(next, next + step)) list.append(messageView(message, row.start));
      next += step;
      more.textContent = `Show ${count(Math.min(step, messages.length - next))} more of ${count(messages.length)} messages`;
      more.hidden = next >= messages.length;
    };
    showMore();
    const omitted = row.places.length === 0 && meta.omitted.length ? [note(`Left out of this report for its size. Show it with: ${meta.command} ${row.id}`)] : [];
    return [make('h3', {textContent: 'WebSocket'}), headView('request-head', `WS ${row.url}`, []), ...omitted, make('h3', {textContent: count(messages.length, 'message')}), list, more];
  }

  function open(row) {
    const region = $('right');
    opened = row;
    region.hidden = false;
    region.setAttribute('data-id', row.id);
    region.setAttribute('aria-label', `Details of ${row.id}`);
    const actions = make('div', {className: 'actions'},
      button('Close', close),
      button('Copy as curl', (event) => copy(curlCommand(row), event.target)),
      make('a', {href: '#' + row.id, textContent: 'Link to this'}));
    region.replaceChildren(actions, make('h2', {textContent: row.id}), ...(row.isWebSocket ? webSocketView(row) : exchangeView(row)));
    region.scrollTop = 0;
    for (const pre of region.querySelectorAll('pre')) {
      if (pre.scrollHeight > pre.clientHeight) {
        pre.tabIndex = 0;
        pre.setAttribute('role', 'group');
        pre.setAttribute('aria-label', pre.dataset.part ?? 'text');
      }
    }
    if (decodeURIComponent(location.hash) !== '#' + row.id) history.replaceState(null, '', '#' + row.id);
  }

  function close() {
    opened = null;
    $('right').hidden = true;
    $('right').removeAttribute('data-id');
    history.replaceState(null, '', location.pathname);
    draw();
    grid.focus({preventScroll: true});
  }

  /** Opens the exchange that the address names, even if the filter hides it. */
  function openAddressed() {
    const row = byId.get(location.hash.slice(1));
    if (!row) return;
    if (!shown.includes(row)) {
      $('search').value = '';
      apply();
    }
    opened = row;
    select(shown.indexOf(row));
  }

  // ---- page

  function hasTerm(term) {
    return $('search').value.split(/\s+/).includes(term);
  }

  function toggleTerm(term) {
    const others = $('search').value.split(/\s+/).filter((it) => it && it !== term);
    $('search').value = (hasTerm(term) ? others : [...others, term]).join(' ');
    apply();
  }

  function drawHead() {
    $('head').replaceChildren(...COLUMNS.map(([name], column) => {
      const isSorted = sorting.column === column;
      const sort = () => {
        sorting = isSorted && sorting.isDescending ? {column: -1, isDescending: false} : {column, isDescending: isSorted};
        drawHead();
        apply();
        $('head').children[column].firstChild.focus();
      };
      const arrow = isSorted ? (sorting.isDescending ? ' ↓' : ' ↑') : '';
      const direction = isSorted ? (sorting.isDescending ? 'descending' : 'ascending') : 'none';
      return make('div', {role: 'columnheader', 'aria-sort': direction, className: column === 4 || column === 5 ? 'number' : ''}, button(name + arrow, sort));
    }));
  }

  function drawFacts() {
    const exchanges = rows.filter((row) => !row.isWebSocket);
    const hosts = new Map();
    for (const row of rows) hosts.set(row.host, (hosts.get(row.host) ?? 0) + 1);
    const start = rows.reduce((min, row) => Math.min(min, row.start), Infinity);
    const end = rows.reduce((max, row) => Math.max(max, row.start + row.total), start);
    const facts = [
      count(exchanges.length, 'exchange'),
      count(rows.length - exchanges.length, 'WebSocket'),
      count(hosts.size, 'host'),
      size(rows.reduce((sum, row) => sum + row.bytes, 0)),
      `${count(exchanges.filter((row) => row.isFailed).length)} failed`,
      `${count(rows.filter((row) => row.cutOff).length)} cut off`,
    ];
    if (rows.length) facts.push(`${new Date(start).toISOString()}, ${duration(end - start)}`);
    if (meta.redacted) facts.push('secrets replaced by redaction');
    $('title').textContent = meta.title;
    document.title = meta.title;
    $('facts').textContent = facts.join(' · ') + '. Connections that were not captured are not in a bundle: the capture’s summary lists them.';
    if (meta.omitted.length) {
      $('notes').hidden = false;
      $('notes').querySelector('summary').textContent = meta.omitted_summary;
      $('notes').querySelector('ul').append(...meta.omitted.map((text) => make('li', {}, marked(text))));
    }
    const classes = new Map();
    for (const row of rows) {
      const name = row.status < 100 || row.status > 599 ? String(row.status) : `${String(row.status)[0]}xx`;
      classes.set(name, (classes.get(name) ?? 0) + 1);
    }
    const toggle = (term, name, n) => {
      const toggled = button(`${name.slice(0, 60)} ${count(n)}`, () => toggleTerm(term));
      toggled.dataset.term = term;
      return toggled;
    };
    const statuses = [...classes].sort().slice(0, 8).map(([name, n]) => toggle(`status:${name}`, name === '0' ? 'no response' : name, n));
    const frequent = [...hosts].sort((a, b) => b[1] - a[1]).slice(0, 12);
    $('counts').replaceChildren(...statuses, ...frequent.map(([host, n]) => toggle(`host:${host}`, host, n)));
    $('legend').replaceChildren(...PHASES.map((phase) => make('span', {className: `key ${phase}`, textContent: phase})));
  }

  const MOVES = {
    j: () => selected + 1,
    k: () => selected - 1,
    ArrowDown: () => selected + 1,
    ArrowUp: () => selected - 1,
    PageDown: () => selected + viewRows(),
    PageUp: () => selected - viewRows(),
    Home: () => 0,
    End: () => shown.length - 1,
  };

  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const inSearch = event.target === $('search');
    const isLetter = event.key.length === 1;
    if (event.key === 'Escape') {
      if (inSearch) grid.focus();
      else if (opened) close();
    } else if (inSearch) {
      if (event.key === 'Enter') grid.focus();
    } else if (event.key === '/') {
      event.preventDefault();
      $('search').focus();
    } else if (Object.hasOwn(MOVES, event.key) && (isLetter || event.target === grid)) {
      event.preventDefault();
      select(MOVES[event.key]());
    } else if (event.key === 'Enter' && !event.target.closest('button, a') && shown[selected]) {
      open(shown[selected]);
    }
  });

  $('rows').addEventListener('click', (event) => {
    const row = event.target.closest('[role=row]');
    if (!row) return;
    opened = shown[row.ariaRowIndex - 1];
    select(row.ariaRowIndex - 1);
  });
  $('search').addEventListener('input', apply);
  $('help-toggle').addEventListener('click', () => {
    $('search-help').hidden = !$('search-help').hidden;
    $('help-toggle').setAttribute('aria-expanded', !$('search-help').hidden);
    draw();
  });
  $('copy-all').addEventListener('click', (event) => {
    const commands = shown.slice(0, MAX_COPIED).map(curlCommand);
    if (shown.length > MAX_COPIED) commands.push(`# ${shown.length - MAX_COPIED} more are not copied: use spectral capture export --format curl`);
    copy(commands.join('\n\n') + '\n', event.target);
  });
  grid.addEventListener('scroll', draw);
  addEventListener('resize', draw);
  addEventListener('hashchange', openAddressed);
  addEventListener('beforeprint', () => {
    // Scroll and resize events may follow before the page is printed.
    isPrinting = true;
    grid.scrollTop = 0;
    draw();
  });
  addEventListener('afterprint', () => {
    isPrinting = false;
    draw();
  });

  $('blocked').remove();
  drawFacts();
  drawHead();
  apply();
  openAddressed();
  document.documentElement.setAttribute('data-ready', '');
})();
