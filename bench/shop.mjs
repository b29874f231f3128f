// What every part of the benchmark shares: the contents of the shop, the operations, and a small GraphQL client.
import { readFileSync } from 'node:fs';
import http from 'node:http';

export const PRODUCTS = 500;
export const COURSES_EACH = 2;
export const CARTS = 200;
export const CURRENCY = 'USD';

const WORDS = ['calm', 'thorough', 'paced', 'brief', 'rich', 'applied', 'layered', 'current', 'plain', 'whole', 'tested', 'open', 'steady'];
const FIELDS = ['Accounting', 'Botany', 'Carpentry', 'Drawing', 'Editing', 'Finance', 'Geology', 'History', 'Italian', 'Juggling'];

const prose = (seed, words) => Array.from({ length: words }, (_, at) => WORDS[(seed * 5 + at * 7) % WORDS.length]).join(' ');

/** Product number `n` from 1: always the same, so that every answer can be checked against it. */
export function product(n) {
  const number = String(n).padStart(4, '0');
  const field = FIELDS[n % FIELDS.length];
  return {
    sku: `BENCH-${number}`,
    title: `${field} in ${COURSES_EACH} parts, no. ${number}`,
    description: `Collection ${n}: ${prose(n, 30)}.`,
    price: `${10 + (n % 90)}.${n % 2 ? '99' : '50'}`,
    courses: Array.from({ length: COURSES_EACH }, (_, part) => ({
      key: `B${number}-${part + 1}`,
      title: `${field} no. ${number}, part ${part + 1}`,
      description: `Part ${part + 1} of ${n}: ${prose(n + part, 30)}.`,
    })),
  };
}

export const FIELD = field => FIELDS[field % FIELDS.length];
export const BY_SKU = new Map(Array.from({ length: PRODUCTS }, (_, at) => [product(at + 1).sku, product(at + 1)]));

/** Whole minor units of a decimal text with two digits: sums of money are checked without fractions. */
export const minor = text => BigInt(text.replace('.', ''));
const decimal = whole => {
  const digits = whole.toString().padStart(3, '0');
  return `${digits.slice(0, -2)}.${digits.slice(-2)}`;
};
export const sum = (...amounts) => decimal(amounts.reduce((all, amount) => all + minor(amount), 0n));

/** The code of a coupon that any number of orders may use, and what it takes off a price: half a cent rounds up. */
export const COUPON = 'CALM-TEN';
export const PERCENT = 10n;
export const reduced = text => sum(text, `-${discount(text)}`);
export const discount = text => decimal((minor(text) * PERCENT + 50n) / 100n);

const documents = new Map();
/** The text of `operations/NAME.graphql`, on one line. */
export function document(name) {
  if (!documents.has(name)) {
    const text = readFileSync(new URL(`operations/${name}.graphql`, import.meta.url), 'utf8');
    documents.set(name, text.replace(/\s+/g, ' ').trim());
  }
  return documents.get(name);
}
export const body = (name, variables) => JSON.stringify({ query: document(name), variables });

/** A client that keeps `connections` connections open. */
export class Client {
  constructor(url, connections) {
    this.url = new URL(url);
    if (this.url.hostname !== '127.0.0.1') throw new Error('the benchmark loads nothing but this machine');
    this.agent = new http.Agent({ keepAlive: true, maxSockets: connections });
  }

  post(payload, headers = {}) {
    const { hostname, port, pathname } = this.url;
    return new Promise((resolve, reject) => {
      const request = http.request(
        {
          agent: this.agent, hostname, port, path: pathname, method: 'POST',
          headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload), ...headers },
        },
        answer => {
          const chunks = [];
          answer.on('data', chunk => chunks.push(chunk));
          answer.on('end', () => resolve({ status: answer.statusCode, text: Buffer.concat(chunks).toString() }));
          answer.on('error', reject);
        },
      );
      request.on('error', reject);
      request.end(payload);
    });
  }

  /** Runs a document; gives the whole answer, and fails on anything but 200 without errors and without userErrors. */
  async run(query, variables, headers) {
    const { status, text } = await this.post(JSON.stringify({ query, variables }), headers);
    const failed = why => new Error(`${why}: ${status} ${text.slice(0, 600)}`);
    let answer;
    try { answer = JSON.parse(text); } catch { throw failed('no JSON'); }
    if (status !== 200 || answer.errors || !answer.data) throw failed('an error');
    for (const part of Object.values(answer.data)) if (part?.userErrors?.length) throw failed('a refusal');
    return answer;
  }

  operation(name, variables, secret) {
    return this.run(document(name), variables, secret ? { 'cart-secret': secret } : {});
  }

  close() { this.agent.destroy(); }
}

/** Fails with what was expected, unless it is so. */
export function expect(found, wanted, what) {
  if (JSON.stringify(found) !== JSON.stringify(wanted)) throw new Error(`${what}: ${JSON.stringify(found)} instead of ${JSON.stringify(wanted)}`);
}

export const money = amount => ({ amount, currency: CURRENCY });
export const any = count => 1 + Math.floor(Math.random() * count);

/** Runs `work(i)` for i = 0 to count - 1, at most `width` at once. */
export async function inParallel(count, width, work) {
  let next = 0;
  await Promise.all(Array.from({ length: Math.min(width, count) }, async () => {
    while (next < count) await work(next++);
  }));
}
