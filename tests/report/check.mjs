#!/usr/bin/env node
// Opens a report of the capture that capture.py writes, in Chromium and in Firefox, and uses all of it.
//
//   MODULES=target/clients/js node tests/report/check.mjs REPORT.html LARGE.html [PICTURE.png]
//
// MODULES has node_modules with puppeteer-core and axe-core. LARGE.html is a report of more rows. A failed check, an error on the
// console, a request or a dialog ends the script with code 1. Times are printed, not checked.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import {createRequire} from 'node:module';
import {pathToFileURL} from 'node:url';

const require = createRequire(path.resolve(process.env.MODULES, 'x.js'));
const puppeteer = require('puppeteer-core');
const axe = fs.readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');
const [report, large, picture] = process.argv.slice(2).map((file) => path.resolve(file));

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
    ['nothing-has-this', 0], ['host:cdn.example', 1], ['host:shop.example', all - 1], ['method:post', 3], ['status:404', 1],
    ['status:4xx', 1], ['type:png', 1], ['is:failed', 2], ['is:cut', 1], ['is:websocket', 1], ['url:/v1/cart needle', 1],
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

  // Sorting: ascending, descending, as captured.
  const first = () => page.$eval('[role=row][data-id] :nth-child(1)', (it) => it.textContent);
  const sort = () => page.click('#head > :nth-child(1) button');
  await sort();
  assert.deepEqual([await first(), await page.$eval('#head > :nth-child(1)', (it) => it.getAttribute('aria-sort'))], ['GET', 'ascending']);
  await sort();
  assert.equal(await first(), 'WS');
  await sort();
  assert.equal(await page.$eval('[role=row][data-id]', (it) => it.dataset.id), 't_0001');

  // Hosts, help, a click.
  await page.click('#hosts button');
  assert.ok((await count()) < all);
  await page.click('#hosts button');
  assert.equal(await count(), all);
  await page.click('#help-toggle');
  assert.ok(await page.$eval('#search-help', (it) => !it.hidden));
  await page.click('#help-toggle');
  await page.click('[role=row][data-id=t_0003]');
  assert.equal(await opened(), 't_0003');
  await page.waitForFunction(() => document.querySelector('[data-part=response-body] img')?.naturalWidth === 24, {timeout: 10_000});

  // Bodies of every kind.
  await show('t_0002');
  assert.equal(await part('request-head'), 'GET https://api.shop.example/v1/products/42\nAccept: application/json');
  assert.equal(
    await part('response-body'),
    '{\n  "id": 12345678901234567890123,\n  "price": 1.10,\n  "tags": [\n    "new",\n    {}\n  ],\n  "id": 2\n}',
  );
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
  await show('ws_0001');
  assert.equal(await page.$$eval('[data-part=message]', (it) => it.length), 4);
  assert.match(await page.$eval('.message.sent [data-part=message]', (it) => it.textContent), /"subscribe": "stock"/);

  // Copies: the browser's clipboard is replaced.
  await page.evaluate(() => Object.defineProperty(navigator, 'clipboard', {value: {writeText: async (text) => (window.copied = text)}}));
  const copied = async (text) => {
    await page.$$eval('button', (buttons, text) => buttons.find((it) => it.textContent === text).click(), text);
    return page.evaluate(() => window.copied);
  };
  await show('t_0004');
  assert.equal(await copied('Copy body'), '{"product":42,"count":1,"note":"needle in a request"}');
  assert.match(await copied('Copy as curl'), /^curl .*--request 'POST' 'https:\/\/api\.shop\.example\/v1\/cart' \\\n.*--data-raw '\{"product"/s);
  await filtered('method:post');
  assert.equal((await copied('Copy all as curl')).match(/^curl |\| curl /gm).length, 3);
  await filtered('');

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
  assert.equal(await page.evaluate(() => window.injected), undefined);
  const markup = await page.evaluate(() => Array.from(document.querySelectorAll('*')).flatMap((it) => Array.from(it.attributes, (attribute) => attribute.name)).filter((it) => /^on/i.test(it)));
  assert.deepEqual(markup, []);
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
  assert.deepEqual(problems, []);
  console.log(`${name}: holds; ready in ${ms} ms; ${total} rows: ready in ${manyMs} ms, searched in ${searchMs} ms`);
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
