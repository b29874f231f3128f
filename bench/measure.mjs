// Measures a filled shop; `run` makes the shop and calls this. Its settings come in the environment, see `run`.
import { spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';

import { batch, placing } from './coupons.mjs';
import { CALLS, journey } from './journey.mjs';
import { busy, cpu, cpuOfFamily, machine, memory, quiet, sleep } from './machine.mjs';
import { any, body, BY_SKU, CARTS, Client, expect, inParallel, money, product, PRODUCTS, sum } from './shop.mjs';

const here = import.meta.dirname;
const setting = (name, fallback) => process.env[`BENCH_${name}`] ?? fallback;
const [binary, scratch, work] = [setting('BINARY'), setting('SCRATCH'), setting('ONLY', 'a b c1 c2 d coupons').split(/[ ,]+/)];
const serverArguments = setting('SERVER_ARGUMENTS').split('\n').filter(Boolean);
const databasePid = setting('DATABASE_PID', '');
const [seconds, warm, rounds, starts] = ['SECONDS', 'WARM', 'ROUNDS', 'STARTS'].map(name => Number(setting(name)));
const quietWait = Number(setting('QUIET_WAIT', 0));
const checkOnly = setting('CHECK', '') === '1';
const operator = { authorization: `Bearer ${process.env.OPERATOR_KEY}` };

// What the peer did for each second of its server's processor time, and how many times that is asked of us.
const WORKS = {
  a: { what: 'list of 20 offers with their courses, and their count', peer: 34, bar: 40, connections: 32 },
  b: { what: 'one offer by SKU, with its price breakdown', peer: 317, bar: 8, connections: 32 },
  c1: { what: 'a new cart with a line in it, in one call', peer: 62, bar: 10, connections: 32 },
  c2: { what: `read a cart of 2 lines (${CARTS} carts)`, peer: 448, bar: 4, connections: 32 },
  d: { what: `checkout journey of ${CALLS.length} calls`, peer: 8.4, bar: 10, connections: 8 },
};
// The order within a round: what only reads first, so that it meets the same tables in each.
const ORDER = ['a', 'b', 'c2', 'c1', 'd'].filter(name => work.includes(name));

const running = new Set();

/** Starts the server; gives its address once it says that it listens. */
async function serve(...more) {
  const child = spawn(binary, ['serve', '--bind', '127.0.0.1:0', '--seed', 'none', ...serverArguments, ...more], { stdio: ['ignore', 'pipe', 'pipe'] });
  running.add(child);
  let said = '';
  child.stderr.on('data', text => { said = (said + text).slice(-4000); });
  const ended = new Promise(resolve => child.once('exit', resolve)).then(() => running.delete(child));
  const url = await new Promise((resolve, reject) => {
    createInterface({ input: child.stdout }).on('line', line => {
      const address = /^listening on (http:\S+)$/.exec(line);
      if (address) resolve(address[1]);
    });
    ended.then(() => reject(new Error(`the server ended before it listened:\n${said}`)));
  });
  const stop = async () => { child.kill('SIGTERM'); await ended; };
  return { pid: child.pid, graphql: `${url}/graphql`, stop, said: () => said };
}

process.on('exit', () => running.forEach(child => child.kill('SIGKILL')));
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1));

/** From the start of the process to the first answered list, and the memory five seconds later. */
async function startUp() {
  const found = [];
  for (let at = 0; at < starts; at += 1) {
    await quiet(quietWait);
    const began = performance.now();
    const server = await serve();
    const client = new Client(server.graphql, 1);
    await client.operation('list', {});
    const ms = performance.now() - began;
    const cpuSeconds = cpu(server.pid);
    client.close();
    await sleep(5000);
    found.push({ ms, cpuSeconds, idle: memory(server.pid).now });
    await server.stop();
  }
  return found;
}

/** SQL statements of each call, told by a server that counts them. */
async function statements() {
  const server = await serve('--test-clock');
  const client = new Client(server.graphql, 1);
  const counted = {};
  const of = async (name, call) => {
    const answer = await call();
    expect(typeof answer.extensions?.statements, 'number', `extensions.statements of ${name}`);
    (counted[name] ??= []).push(answer.extensions.statements);
    return answer;
  };
  // The first time of each fills what is kept for longer than a request.
  for (let time = 0; time < 3; time += 1) {
    await of('a', () => client.operation('list', {}));
    await of('b', () => client.operation('detail', { sku: product(any(PRODUCTS)).sku }));
    const { cart, secret } = (await of('c1', () => client.operation('cart-create', { sku: product(1).sku }))).data.cartCreate;
    const other = (await client.operation('detail', { sku: product(2).sku })).data.offer.id;
    await client.operation('cart-lines-set', { cart: cart.id, product: other }, secret);
    await of('c2', () => client.operation('cart-read', { cart: cart.id }, secret));
    if (work.includes('d')) await journey(client, (name, call) => of(`d: ${name}`, call));
  }
  client.close();
  await server.stop();
  return Object.fromEntries(Object.entries(counted).map(([name, list]) => [name, list.at(-1)]));
}

/** The requests of a work as wrk's script reads them. */
async function prepare(server) {
  const file = (name, lines) => {
    writeFileSync(join(scratch, `${name}.requests`), `${lines.join('\n')}\n`);
  };
  const skus = [...BY_SKU.keys()];
  // Neighbours in the file are not neighbours in the tables.
  const shuffled = skus.map((_, at) => skus[(at * 211) % skus.length]);
  file('a', [`\t${body('list', {})}`]);
  file('b', shuffled.map(sku => `\t${body('detail', { sku })}`));
  file('c1', shuffled.map(sku => `\t${body('cart-create', { sku })}`));
  const client = new Client(server.graphql, 8);
  const carts = [];
  await inParallel(CARTS, 8, async at => {
    const [one, two] = [product(1 + at), product(251 + at)];
    const { cart, secret } = (await client.operation('cart-create', { sku: one.sku })).data.cartCreate;
    const id = (await client.operation('detail', { sku: two.sku })).data.offer.id;
    await client.operation('cart-lines-set', { cart: cart.id, product: id }, secret);
    carts.push({ cart: cart.id, secret, total: sum(one.price, two.price) });
  });
  client.close();
  file('c2', carts.map(({ cart, secret }) => `${secret}\t${body('cart-read', { cart })}`));
  return carts;
}

/** Every kind of answer against what is known of the shop, at the load's number of connections. */
async function check(server, carts) {
  const client = new Client(server.graphql, 32);
  const offered = node => {
    const known = BY_SKU.get(node.sku);
    expect(
      [node.title, node.description, node.price, node.courses.map(({ key, title }) => [key, title])],
      [known.title, known.description, money(known.price), known.courses.map(({ key, title }) => [key, title])],
      node.sku,
    );
  };
  const titles = [...BY_SKU.values()].map(one => one.title).toSorted().slice(0, 20);
  await inParallel(64, 32, async at => {
    const { offers } = (await client.operation('list', {})).data;
    expect([offers.totalCount, offers.nodes.map(node => node.title)], [PRODUCTS, titles], 'the list');
    offers.nodes.forEach(offered);

    const wanted = product(1 + at * 7);
    const { offer } = (await client.operation('detail', { sku: wanted.sku })).data;
    offered(offer);
    expect(offer.priceBreakdown.at(-1).amount, money(wanted.price), 'the last step of a price');
    expect(offer.courses.map(course => course.description), wanted.courses.map(course => course.description), 'descriptions of courses');

    const { cart } = (await client.operation('cart-create', { sku: wanted.sku })).data.cartCreate;
    expect([cart.total, cart.lines.map(line => [line.quantity, line.total])], [money(wanted.price), [[1, money(wanted.price)]]], 'a new cart');

    const known = carts[at];
    const read = (await client.operation('cart-read', { cart: known.cart }, known.secret)).data.cart;
    expect([read.total, read.lines.length, read.problems], [money(known.total), 2, []], 'a cart of two lines');
    expect((await client.operation('cart-read', { cart: known.cart })).data.cart, null, 'a cart without its secret');
  });
  if (work.includes('d')) await inParallel(16, 8, () => journey(client));
  client.close();
}

/** Runs a program to its end; gives what it wrote. */
function outputOf(command, words, env = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, words, { stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, ...env } });
    running.add(child);
    let text = '';
    child.stdout.on('data', chunk => { text += chunk; });
    child.once('error', reject);
    child.once('close', code => {
      running.delete(child);
      if (code === 0) resolve(text); else reject(new Error(`${command} ended with ${code}:\n${text}`));
    });
  });
}

/** One work for so many seconds: how often, how long, how many failed. */
async function load(server, name, duration, checked = false) {
  const { connections } = WORKS[name];
  if (name === 'd') {
    const words = [join(here, 'journey.mjs'), server.graphql, '--connections', connections, '--seconds', duration];
    return JSON.parse(await outputOf(process.execPath, words.map(String)));
  }
  const words = ['-t1', `-c${connections}`, `-d${duration}s`, '--timeout', '30s', '--latency', '-s', join(here, 'load.lua'), server.graphql, '--', join(scratch, `${name}.requests`)];
  const text = await outputOf('wrk', words, checked ? { CHECK: '1' } : {});
  const field = label => Number(new RegExp(`^RESULT .*\\b${label}=([\\d.]+)`, 'm').exec(text)[1]);
  const sample = /^SAMPLE (.*)$/m.exec(text)?.[1] ?? '';
  return {
    count: field('count'), seconds: field('seconds'), p50: field('p50_ms'), p99: field('p99_ms'),
    failed: field('failed') + field('bad'), checked: field('checked'), sample,
  };
}

const COUNT_PAID = 'query { orders(filter: { statuses: [PAID] }, first: 1) { totalCount } }';

/** Waits until every paid order was fulfilled; gives how many seconds that took. */
async function fulfilled(server) {
  const client = new Client(server.graphql, 1);
  const began = performance.now();
  while ((await client.run(COUNT_PAID, {}, operator)).data.orders.totalCount > 0) {
    if (performance.now() - began > 120_000) throw new Error('paid orders are not fulfilled after two minutes');
    await sleep(200);
  }
  client.close();
  return (performance.now() - began) / 1000;
}

const failure = (name, run) => new Error(`work ${name}: ${run.failed} of ${run.count} calls failed. ${run.sample}`);

/** A measured run: the load's figures, and what everybody's processor time was meanwhile. */
async function measured(server, name, round) {
  await load(server, name, round === 1 ? warm : Math.min(warm, 3));
  if (name === 'd') await fulfilled(server);
  await quiet(quietWait);
  const reading = () => ({
    at: performance.now() / 1000, busy: busy(), server: cpu(server.pid), database: databasePid ? cpuOfFamily(databasePid) : 0, load: cpuOfFamily(process.pid),
  });
  const from = reading();
  const run = await load(server, name, seconds);
  // Access is given by jobs behind the buyer's back: their cost belongs to the journey.
  const drain = name === 'd' ? await fulfilled(server) : 0;
  const to = reading();
  if (run.failed) throw failure(name, run);
  const wall = to.at - from.at;
  const used = Object.fromEntries(['busy', 'server', 'database', 'load'].map(part => [part, to[part] - from[part]]));
  // The server is a child of this process: its time is not the load tool's.
  used.load -= used.server;
  const other = Math.max(0, used.busy - used.server - used.database - used.load) / wall;
  return {
    ...run, drain, rate: run.count / run.seconds, share: { server: used.server / wall, database: used.database / wall, load: used.load / wall, other },
    perCore: run.count / used.server, serverMicros: (used.server / run.count) * 1e6, databaseMicros: (used.database / run.count) * 1e6,
  };
}

const median = list => list.toSorted((one, two) => one - two)[Math.floor(list.length / 2)];
const spread = list => [median(list), Math.min(...list), Math.max(...list)];
const digits = value => (value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2));
const percent = share => `${(share * 100).toFixed(0)} %`;

function table(head, rows) {
  const all = [head, ...rows].map(row => row.map(String));
  const widths = head.map((_, column) => Math.max(...all.map(row => row[column].length)));
  const line = row => `| ${row.map((cell, column) => cell.padEnd(widths[column])).join(' | ')} |`;
  return [line(all[0]), `| ${widths.map(width => '-'.repeat(width)).join(' | ')} |`, ...all.slice(1).map(line)].join('\n');
}

/** The report as Markdown. */
function report({ where, build, database, started, counted, runs, peak, coupons }) {
  const parts = [`${where}. ${build} build, ${database}. ${rounds} rounds of ${seconds} s, each work after ${warm} s of warm-up; median (least to most).`, ''];
  const ofRuns = (name, of) => spread(runs[name].map(of));
  const cell = ([middle, least, most]) => `${digits(middle)} (${digits(least)} to ${digits(most)})`;
  if (ORDER.length) {
    parts.push(table(
      ['work', 'rate /s', 'p50 ms', 'p99 ms', 'server', 'database', 'load tool', 'others', 'per server CPU s', 'peer', 'times', 'bar', 'server µs', 'database µs', 'statements'],
      ORDER.map(name => {
        const { peer, bar } = WORKS[name];
        const share = part => percent(median(runs[name].map(run => run.share[part])));
        const perCore = ofRuns(name, run => run.perCore);
        const times = perCore[0] / peer;
        const inAll = name === 'd' ? CALLS.reduce((all, call) => all + counted[`d: ${call}`], 0) : counted[name];
        return [
          name, cell(ofRuns(name, run => run.rate)), digits(median(runs[name].map(run => run.p50))), digits(median(runs[name].map(run => run.p99))),
          share('server'), share('database'), share('load'), share('other'), cell(perCore), peer, times.toFixed(1), `${bar}${times >= bar ? ', met' : ', NOT met'}`,
          digits(median(runs[name].map(run => run.serverMicros))), database.startsWith('SQLite') ? '-' : digits(median(runs[name].map(run => run.databaseMicros))), inAll,
        ];
      }),
    ), '');
  }
  if (runs.d) {
    parts.push(table(['call of d', 'p50 ms', 'statements'], CALLS.map(call => [call, digits(median(runs.d.map(run => run.calls[call]))), counted[`d: ${call}`]])));
    parts.push('', `After d, the last orders were fulfilled within ${digits(Math.max(...runs.d.map(run => run.drain)))} s; that time is in d's processor time.`, '');
  }
  if (coupons) {
    const rates = kind => spread(coupons.pairs.map(pair => pair[kind]));
    const ratio = spread(coupons.pairs.map(pair => pair.with / pair.without));
    parts.push(table(['coupons', 'figure'], [
      ['orders placed /s without a coupon', cell(rates('without'))], ['orders placed /s with one of unlimited uses', cell(rates('with'))],
      [`ratio of the medians; bar 0.9`, digits(rates('with')[0] / rates('without')[0])], ['ratio within a pair of runs', cell(ratio)],
      ...coupons.batches.map(one => [`batch of ${one.count} codes, s`, `${digits(one.seconds)}; resident at most ${digits(one.before)} MiB before, ${digits(one.after)} MiB after`]),
    ]), '');
  }
  if (started.length) {
    const of = part => cell(spread(started.map(start => start[part])));
    parts.push(table(['start and memory', 'figure'], [
      ['start to first answered list, ms', of('ms')], ['processor time by then, s', of('cpuSeconds')],
      ['resident 5 s after it, MiB', of('idle')], ['resident at most, under load, MiB', digits(peak)],
    ]), '');
  }
  const noisy = ORDER.flatMap(name => runs[name].map((run, at) => [name, at + 1, run.share.other])).filter(([, , other]) => other > 0.1);
  parts.push(noisy.length
    ? `**Not quiet**: other processes used more than 10 % of a core in ${noisy.map(([name, round, other]) => `${name} round ${round} (${percent(other)})`).join(', ')}. Rates and times of these are too low and too long; processor time per request is nearer to the truth.`
    : 'Quiet: in no run did other processes use more than 10 % of a core.');
  return parts.join('\n');
}

const say = text => console.error(`bench: ${text}`);

if (!checkOnly) say(`${starts} starts, then statements of each call`);
const started = checkOnly ? [] : await startUp();
const counted = checkOnly ? {} : await statements();
const shop = await serve();
say('carts to read, and every kind of answer');
const carts = await prepare(shop);
await check(shop, carts);
for (const name of ORDER) {
  const run = await load(shop, name, checkOnly ? seconds : 3, true);
  if (run.failed) throw failure(name, run);
  say(`${name}: ${run.checked || run.count} answers under load, none of them wrong`);
}
if (!checkOnly) {
  const runs = Object.fromEntries(ORDER.map(name => [name, []]));
  for (let round = 1; round <= rounds; round += 1) {
    for (const name of ORDER) {
      const run = await measured(shop, name, round);
      runs[name].push(run);
      say(`round ${round}, ${name}: ${digits(run.rate)} /s, p50 ${digits(run.p50)} ms, p99 ${digits(run.p99)} ms, per server CPU second ${digits(run.perCore)}, others ${percent(run.share.other)}`);
    }
  }
  const peak = memory(shop.pid).peak;
  let coupons;
  if (work.includes('coupons')) {
    say('coupons: batches of codes, then orders with and without');
    const batches = [];
    for (const count of [100_000, 100_000]) batches.push(await batch(shop, count, operator));
    await quiet(quietWait);
    coupons = { batches, pairs: await placing(shop.graphql, rounds * 4, () => fulfilled(shop)) };
  }
  const found = { where: machine(), build: setting('BUILD'), database: setting('DATABASE'), started, counted, runs, peak, coupons };
  const text = report(found);
  console.log(text);
  const out = setting('OUT', '');
  if (out) {
    mkdirSync(dirname(out), { recursive: true });
    writeFileSync(out, `${JSON.stringify(found, null, 1)}\n`);
    say(`every figure of every run is in ${out}`);
  }
}
await shop.stop();
