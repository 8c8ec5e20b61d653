#!/usr/bin/env node
// Opens a report of the capture that capture.py writes, in Chromium and in Firefox, and uses all of it.
//
//   MODULES=target/clients/js node tests/report/check.mjs REPORT.html LARGE.html [PICTURE.png]
//
// MODULES has node_modules with puppeteer-core and axe-core. LARGE.html is a report of more rows. A failed check, an error on the
// console, a request or a dialog ends the script with code 1. Times are printed, not checked.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {createRequire} from 'node:module';
import {pathToFileURL} from 'node:url';

const require = createRequire(path.resolve(process.env.MODULES, 'x.js'));
const puppeteer = require('puppeteer-core');
const axe = fs.readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');
const [report, large, picture] = process.argv.slice(2).map((file) => path.resolve(file));

// The size of HOSTILE in capture.py.
const HOSTILE_BYTES = 90;
// More than the list shows unscaled.
const SCALED_ROWS = 500_000;

const BROWSERS = {
  chrome: {executablePath: '/usr/bin/chromium', args: ['--no-sandbox']},
  firefox: {executablePath: '/usr/bin/firefox-esr'},
};

/** Opens a file in a page that fails on anything that a report must not do. */
async function openPage(browser, file, problems) {
  const page = await browser.newPage();
  await page.setViewport({width: 1280, height: 800});
  page.on('console', (it) => ['error', 'warn', 'warning'].includes(it.type()) && problems.push('console: ' + it.text()));
  page.on('pageerror', (it) => problems.push('error: ' + it.message));
  page.on('dialog', (it) => (problems.push('dialog: ' + it.message()), it.dismiss()));
  page.on('request', (it) => /^(file|blob|data):/.test(it.url()) || problems.push('request: ' + it.url()));
  const start = Date.now();
  await page.goto(pathToFileURL(file).href);
  await page.waitForSelector('html[data-ready]', {timeout: 60_000});
  return {page, ms: Date.now() - start};
}

/** Checks what is printed: all rows and then the open item, in the light colours, and no controls. */
async function checkPrint(name, page, all) {
  await page.setViewport({width: 1280, height: 800});
  const rows = () => page.$$eval('[role=row][data-id]', (it) => it.length);
  const onScreen = await rows();
  await page.evaluate(() => dispatchEvent(new Event('beforeprint')));
  // Browsers may send these between the two events of a print.
  await page.evaluate(() => (dispatchEvent(new Event('resize')), document.querySelector('[role=grid]').dispatchEvent(new Event('scroll'))));
  assert.equal(await rows(), all);
  if (name === 'chrome') {
    await page.emulateMediaType('print');
    const seen = await page.evaluate(() => {
      const box = (selector) => document.querySelector(selector).getBoundingClientRect();
      const style = (selector, property) => getComputedStyle(document.querySelector(selector)).getPropertyValue(property);
      return {
        background: style('body', 'background-color'),
        controls: ['#tools', '#counts', '.actions'].map((it) => style(it, 'display')).join(),
        isAfter: box('#right').top >= box('[role=row][data-id]:last-child').bottom,
        isWhole: ['#grid', '#right', 'main'].every((it) => style(it, 'overflow') === 'visible') && style('pre', 'max-height') === 'none',
        width: document.documentElement.scrollWidth - innerWidth,
      };
    });
    assert.deepEqual(seen, {background: 'rgb(255, 255, 255)', controls: 'none,none,none', isAfter: true, isWhole: true, width: 0});
    await page.emulateMediaType(null);
  }
  await page.evaluate(() => dispatchEvent(new Event('afterprint')));
  assert.equal(await rows(), onScreen);
  // The browser's own printing draws all rows too: more than a page, and the item on a page of its own.
  const text = Buffer.from(await page.pdf()).toString('latin1');
  const pages = text.match(/\/Type ?\/Page\b/g)?.length ?? 0;
  assert.ok(pages >= 3 || name === 'firefox', `${pages} pages`);
}

async function check(name, browser) {
  const problems = [];
  const {page, ms} = await openPage(browser, report, problems);
  const count = () => page.$eval('[role=grid]', (it) => Number(it.getAttribute('aria-rowcount')));
  const all = await count();
  const filtered = async (text) => {
    await page.$eval('#search', (it, text) => {
      it.value = text;
      it.dispatchEvent(new Event('input'));
    }, text);
    return count();
  };
  const opened = () => page.$eval('#right', (it) => it.dataset.id ?? null);
  const show = async (id) => {
    await page.evaluate((id) => (location.hash = id), id);
    await page.waitForFunction((id) => document.getElementById('right').dataset.id === id, {timeout: 10_000}, id);
  };
  const part = (name) => page.$eval(`[data-part=${name}]`, (it) => it.textContent);
  const row = async (url) => {
    await filtered('url:' + url);
    const id = await page.$eval('[role=row][data-id]', (it) => it.dataset.id);
    await filtered('');
    return id;
  };

  // Filters, each also negated.
  for (const [text, expected] of [
    ['needle in a request', 1], ['"needle in a request"', 1], ['body:needle', 1], ['header:needle', 0], ['message:subscribe', 1],
    ['nothing-has-this', 0], ['host:cdn.example', 1], ['host:shop.example', all - 8], ['method:post', 3], ['status:404', 1],
    ['status:4xx', 1], ['type:png', 2], ['is:failed', 2], ['is:cut', 1], ['is:websocket', 1], ['url:/v1/cart needle', 1],
    ['12345678901234567890123', 1], ['</script>', 2], ['[new', 0], ['\\', 0], ['u202e', 0], ['next=%2fcart', 1],
  ]) {
    assert.equal(await filtered(text), expected, text);
    if (!text.includes(' ') && !text.startsWith('"')) assert.equal(await filtered('-' + text), all - expected, '-' + text);
  }
  assert.match(await page.$eval('[role=status]', (it) => it.textContent), new RegExp(`of ${all} shown`));
  await filtered('');

  // Keyboard.
  await page.keyboard.press('/');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'search');
  await page.keyboard.press('Escape');
  await page.keyboard.press('j');
  await page.keyboard.press('Enter');
  assert.equal(await opened(), 't_0002');
  await page.keyboard.press('j');
  assert.equal(await opened(), 't_0003');
  await page.keyboard.press('k');
  assert.equal(await opened(), 't_0002');
  assert.equal(await page.$$eval('[aria-selected=true]', (rows) => rows.map((it) => it.dataset.id).join()), 't_0002');
  await page.keyboard.press('Escape');
  assert.equal(await opened(), null);
  await page.keyboard.press('End');
  assert.equal(await page.$eval('[aria-selected=true]', (it) => it.ariaRowIndex ?? it.getAttribute('aria-rowindex')), String(all));
  await page.keyboard.press('Home');

  // The chart follows the filter and the keyboard.
  const chart = () => page.$eval('#chart', (it) => ({
    shown: Array.from(it.querySelectorAll('.shown'), (bar) => bar.getAttribute('height')).join(),
    current: it.querySelector('.current').getAttribute('x'),
    label: it.getAttribute('aria-label'),
  }));
  const atFirst = await chart();
  await page.keyboard.press('End');
  const atLast = await chart();
  assert.deepEqual([atFirst.current, atLast.current > 0, atLast.shown === atFirst.shown], ['0', true, true]);
  await page.keyboard.press('Home');
  await filtered('method:post');
  const posts = await chart();
  assert.ok(posts.shown !== atFirst.shown && posts.label.startsWith('Requests over time: 3 within '));
  await filtered('');
  await page.keyboard.press('Home');
  const legend = 'dns,connect,tls,send,wait,receive';
  assert.equal(await page.$$eval('#legend span', (keys) => keys.map((it) => it.textContent).join()), legend);
  assert.equal(await page.$$eval('[role=row][data-id=t_0001] .bar i', (bars) => bars.map((it) => it.className).join()), legend);
  const facts = await page.$eval('#facts', (it) => it.textContent);
  for (const fact of [' exchanges', '1 WebSocket', '4 hosts', '2 failed', '1 cut off', 'Connections that were not captured are not in a bundle'])
    assert.ok(facts.includes(fact), `${fact} in ${facts}`);

  // Sorting: ascending, descending, as captured.
  const first = () => page.$eval('[role=row][data-id] :nth-child(1)', (it) => it.textContent);
  const sort = () => page.click('#head > :nth-child(1) button');
  await sort();
  assert.deepEqual([await first(), await page.$eval('#head > :nth-child(1)', (it) => it.getAttribute('aria-sort'))], ['GET', 'ascending']);
  await sort();
  assert.equal(await first(), 'WS');
  await sort();
  assert.equal(await page.$eval('[role=row][data-id]', (it) => it.dataset.id), 't_0001');

  // Statuses, hosts, help, a click.
  const statuses = await page.$$eval('#counts [data-term^="status:"]', (buttons) => buttons.map((it) => it.textContent));
  assert.deepEqual(statuses.map((it) => it.split(' ').slice(0, -1).join(' ')), ['no response', '1xx', '2xx', '3xx', '4xx']);
  for (const [place, text] of statuses.entries()) {
    const status = () => page.click(`#counts [data-term^="status:"]:nth-child(${place + 1})`);
    await status();
    assert.equal(await count(), Number(text.split(' ').at(-1)), text);
    await status();
  }
  await page.click('#counts [data-term^="host:"]');
  assert.ok((await count()) < all);
  await page.click('#counts [data-term^="host:"]');
  assert.equal(await count(), all);
  await page.click('#help-toggle');
  assert.ok(await page.$eval('#search-help', (it) => !it.hidden));
  await page.click('#help-toggle');
  await page.click('[role=row][data-id=t_0003]');
  assert.equal(await opened(), 't_0003');
  const image = (width) =>
    page.waitForFunction((width) => document.querySelector('[data-part=response-body] img')?.naturalWidth === width, {timeout: 10_000}, width);
  await image(24);

  // Bodies of every kind.
  await show('t_0002');
  assert.equal(await part('request-head'), 'GET https://api.shop.example/v1/products/42\nAccept: application/json');
  assert.equal(
    await part('response-body'),
    '{\n  "id": 12345678901234567890123,\n  "price": 1.10,\n  "tags": [\n    "new",\n    {}\n  ],\n  "id": 2\n}',
  );
  assert.equal(await page.$$eval('#right dl dt', (phases) => phases.map((it) => it.textContent).join()), legend);
  await show(await row('shop.example/deep'));
  // Indented to a bounded depth: the lines of 3,000 levels would take 18 MB.
  assert.ok((await part('response-body')).length < 600_000);
  await show(await row('/login'));
  assert.deepEqual(await page.$$eval('td', (cells) => cells.map((it) => it.textContent)), ['user', 'ada l', 'next', '/cart']);
  await show(await row('/v1/events'));
  assert.equal(await page.$$eval('[data-part=response-body] .event', (it) => it.length), 2);
  assert.match(await page.$eval('.note', (it) => it.textContent), /cut off/i);
  await show(await row('/shop.Cart/Get'));
  assert.match(await part('response-body'), /Message 1, 4 bytes\n0{8} {2}0a 02 68 69/);
  assert.match(await part('response-body'), /Message 2, 2 bytes/);
  await show(await row('/v1/slow'));
  assert.equal(await part('response-head'), 'connection refused');
  await show(await row('/hostile'));
  assert.match(await part('response-body'), /<\/script><script>window\.injected = 1<\/script>/);
  assert.deepEqual(await page.$$eval('[data-part=response-body] .cp', (marks) => marks.map((it) => it.dataset.cp)), ['U+202E', 'U+0007']);
  // Images by their bytes, of each format.
  for (const [name, width, text] of [
    ['gif', 24, 'image/gif, 24 × 16'], ['jpeg', 24, 'image/jpeg, 24 × 16'], ['webp', 24, 'image/webp, 24 × 16'], ['avif', 24, 'image/avif, 24 × 16'],
  ]) {
    await show(await row('images.example/' + name));
    await image(width);
    assert.ok((await part('response-body')).includes(text), name);
  }
  await show(await row('images.example/huge'));
  assert.equal(await page.$('[data-part=response-body] img'), null);
  await page.click('[data-part=response-body] button');
  // It is not what it claims to be.
  await page.waitForFunction(() => document.querySelector('[data-part=response-body] .note'), {timeout: 10_000});
  assert.match(await part('response-body-bytes'), /^00000000 {2}89 50 4e 47/);
  await show(await row('drawing.svg'));
  assert.match(await part('response-body'), /^<svg .*onload="injected = 3"\/>$/);
  assert.equal(await page.$('[data-part=response-body] svg, [data-part=response-body] img'), null);
  await show(await row('text.png'));
  assert.equal(await part('response-body'), 'not an image');

  await show('ws_0001');
  assert.equal(await page.$$eval('[data-part=message]', (it) => it.length), 4);
  assert.match(await page.$$eval('[data-part=message]', (parts) => parts[3].textContent), /^0{8} {2}00 01 02/);
  assert.match(await page.$eval('.message.sent [data-part=message]', (it) => it.textContent), /"subscribe": "stock"/);
  // The bytes of the messages: 21 and 11 of text, 40 binary ones, and the hostile text.
  await filtered('is:websocket');
  assert.equal(await page.$eval('[role=row][data-id=ws_0001] :nth-child(5)', (it) => it.textContent), `${21 + 11 + 40 + HOSTILE_BYTES} B`);
  await filtered('');

  // Copies: the browser's clipboard is replaced.
  const clipboard = (works) =>
    page.evaluate((works) => {
      const writeText = async (text) => (works ? (window.copied = text) : Promise.reject(new Error('refused')));
      Object.defineProperty(navigator, 'clipboard', {value: works === null ? undefined : {writeText}, configurable: true});
    }, works);
  await clipboard(true);
  const copied = async (text) => {
    await page.$$eval('button', (buttons, text) => buttons.find((it) => it.textContent === text).click(), text);
    return page.evaluate(() => window.copied);
  };
  await show('t_0004');
  assert.equal(await copied('Copy body'), '{"product":42,"count":1,"note":"needle in a request"}');
  assert.match(await copied('Copy as curl'), /^curl .*--request 'POST' 'https:\/\/api\.shop\.example\/v1\/cart' \\\n.*--data-raw '\{"product"/s);
  // The true bytes of a body that is not text.
  await show('t_0003');
  const saved = await page.evaluate(async () => {
    const createObjectURL = URL.createObjectURL;
    let blob;
    URL.createObjectURL = (it) => createObjectURL.call(URL, (blob = it));
    Array.from(document.querySelectorAll('button')).find((it) => it.textContent === 'Save body').click();
    URL.createObjectURL = createObjectURL;
    return Array.from(new Uint8Array(await blob.arrayBuffer()).subarray(0, 8));
  });
  assert.deepEqual(saved, [0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10]);
  await filtered('method:post');
  assert.equal((await copied('Copy all as curl')).match(/^curl |\| curl /gm).length, 3);
  await filtered('');

  // Without a clipboard, or with one that refuses, a selection is copied. The page says if nothing works.
  for (const works of [null, false]) {
    await clipboard(works);
    for (const selects of [true, false]) {
      await page.evaluate((selects) => {
        window.copied = undefined;
        document.execCommand = (command) => (selects && command === 'copy' ? ((window.copied = document.activeElement.value), true) : false);
      }, selects);
      await show('t_0003');
      await show('t_0004');
      await copied('Copy body');
      await page.waitForFunction((text) => Array.from(document.querySelectorAll('button'), (it) => it.textContent).includes(text),
        {timeout: 10_000}, selects ? 'Copied' : 'The browser refused');
      assert.equal(await page.evaluate(() => window.copied), selects ? '{"product":42,"count":1,"note":"needle in a request"}' : undefined);
      assert.equal(await page.$('textarea'), null);
    }
  }
  await page.evaluate(() => delete document.execCommand);

  // The address opens an item that the filter hides.
  await filtered('is:failed');
  await show('t_0001');
  assert.equal(await count(), all);
  assert.match(await page.$eval('#facts', (it) => it.textContent), /secrets replaced by redaction/);

  // Looks.
  for (const scheme of ['light', 'dark']) {
    await page.emulateMediaFeatures?.([{name: 'prefers-color-scheme', value: scheme}]).catch(() => {});
    for (const width of [360, 1280, 2000]) {
      await page.setViewport({width, height: 800});
      const excess = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(excess <= 0, `${width}: ${excess} too wide`);
      await page.evaluate(axe);
      const violations = await page.evaluate(async () =>
        (await window.axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa']})).violations.map((it) => `${it.id}: ${it.nodes[0].html}`));
      assert.deepEqual(violations, [], `${scheme} ${width}`);
    }
  }
  await checkPrint(name, page, all);
  assert.equal(await page.evaluate(() => window.injected), undefined);
  const markup = await page.evaluate(() => Array.from(document.querySelectorAll('*')).flatMap((it) => Array.from(it.attributes, (attribute) => attribute.name)).filter((it) => /^on/i.test(it)));
  assert.deepEqual(markup, []);
  const addresses = await page.$$eval('[href], [src]', (all) => all.map((it) => it.getAttribute('href') ?? it.getAttribute('src')));
  assert.deepEqual(addresses.filter((it) => !/^#(t|ws)_\d+$|^blob:/.test(it)), []);
  if (picture && name === 'chrome') {
    await page.emulateMediaFeatures([{name: 'prefers-color-scheme', value: 'light'}]);
    await page.setViewport({width: 940, height: 460});
    await show('t_0002');
    await page.screenshot({path: picture});
  }
  await page.close();

  // Without scripts, the page says so.
  const plain = await browser.newPage();
  await plain.setJavaScriptEnabled?.(false).catch(() => {});
  if (name === 'chrome') {
    await plain.goto(pathToFileURL(report).href);
    assert.ok(await plain.$('#blocked'));
  }
  await plain.close();

  const {page: many, ms: manyMs} = await openPage(browser, large, problems);
  const rows = await many.$$eval('[role=row][data-id]', (it) => it.length);
  assert.ok(rows > 10 && rows < 500, `${rows} rows are drawn`);
  await many.$eval('[role=grid]', (it) => (it.scrollTop = it.scrollHeight));
  const total = await many.$eval('[role=grid]', (it) => it.getAttribute('aria-rowcount'));
  await many.waitForSelector(`[role=row][aria-rowindex="${total}"]`, {timeout: 10_000});
  const searchMs = await many.$eval('#search', (it) => {
    const start = performance.now();
    it.value = 'nothing-has-this';
    it.dispatchEvent(new Event('input'));
    return Math.round(performance.now() - start);
  });
  await many.close();
  const scaledMs = await checkScaled(browser, problems);
  assert.deepEqual(problems, []);
  console.log(
    `${name}: holds; ready in ${ms} ms; ${total} rows: ready in ${manyMs} ms, searched in ${searchMs} ms; ${SCALED_ROWS} rows: ready in ${scaledMs} ms`);
}

/** Checks a list that is higher than browsers allow an element to be: its scroll position is scaled. */
async function checkScaled(browser, problems) {
  const text = fs.readFileSync(large, 'utf8');
  const data = (kind, json) => `<script type="application/json" data-kind="${kind}">${json}</script>\n`;
  const row = (n) => JSON.stringify([`t_${n}`, n, 'GET', `https://a.example/${n}`, 200, '', 0, 1, 1, [0, 0, 0, 0, 1, 0], false, false]);
  const meta = {title: 'scaled', created: '', redacted: false, command: '', omitted: [], omitted_summary: '', index: [], websockets: []};
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'report-'));
  const file = path.join(dir, 'scaled.html');
  fs.writeFileSync(file, text.slice(0, text.indexOf('<script type="application/json"')));
  for (let n = 1; n <= SCALED_ROWS; n += 10_000) fs.appendFileSync(file, data('rows', `[\n${Array.from({length: 10_000}, (_, i) => row(n + i)).join(',\n')}\n]`));
  fs.appendFileSync(file, data('meta', JSON.stringify(meta)) + text.slice(text.lastIndexOf('<script>')));
  const {page, ms} = await openPage(browser, file, problems);
  fs.rmSync(dir, {recursive: true});
  // The rows of which the whole height is visible.
  const visible = () => page.$eval('[role=grid]', (grid) => {
    const box = grid.getBoundingClientRect();
    const rows = Array.from(grid.querySelectorAll('[data-id]')).filter((it) => {
      const {top, bottom} = it.getBoundingClientRect();
      return top >= box.top && bottom <= box.bottom + 1;
    });
    return rows.map((it) => Number(it.getAttribute('aria-rowindex')));
  });
  assert.equal((await visible())[0], 1);
  await page.focus('[role=grid]');
  await page.keyboard.press('End');
  assert.equal((await visible()).at(-1), SCALED_ROWS);
  await page.keyboard.press('k');
  assert.equal(await page.$eval('[aria-selected=true]', (it) => it.dataset.id), `t_${SCALED_ROWS - 1}`);
  await page.$eval('[role=grid]', (it) => (it.scrollTop = (it.scrollHeight - it.clientHeight) / 2));
  await page.waitForFunction((middle) => {
    const first = Number(document.querySelector('#rows [data-id]').getAttribute('aria-rowindex'));
    return Math.abs(first - middle) < 100;
  }, {timeout: 10_000}, SCALED_ROWS / 2);
  await page.keyboard.press('Home');
  assert.equal((await visible())[0], 1);
  await page.close();
  return ms;
}

for (const [name, options] of Object.entries(BROWSERS)) {
  const browser = await puppeteer.launch({browser: name, headless: true, timeout: 120_000, protocolTimeout: 120_000, ...options});
  try {
    await check(name, browser);
  } catch (e) {
    console.error(`${name}: ${e.stack}`);
    process.exitCode = 1;
  } finally {
    await browser.close();
  }
}
