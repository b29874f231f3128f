// The buyer's way from searching to the receipt, eight calls, each answer checked; run by itself it is the load of work d.
//   node journey.mjs URL --connections 8 --seconds 15
import { pathToFileURL } from 'node:url';

import { any, BY_SKU, Client, COUPON, discount, expect, FIELD, money, product, PRODUCTS, reduced, sum } from './shop.mjs';

export const CALLS = ['search', 'cartCreate', 'cartLinesSet', 'cartCouponAdd', 'cartBuyerSet', 'cart', 'orderPlace', 'order'];

const origin = `${process.pid.toString(36)}${Date.now().toString(36)}`;
let serial = 0;

/** One journey; `timed(call, answer)` is told of each call and gives the answer on. */
export async function journey(client, timed = (_, call) => call()) {
  const key = `${origin}-${++serial}`;
  const number = any(PRODUCTS);
  const one = product(number);

  const search = await timed('search', () => client.operation('list', { search: FIELD(number) }));
  expect(search.data.offers.totalCount, PRODUCTS / 10, 'hits');
  const other = search.data.offers.nodes.find(node => node.sku !== one.sku);
  const both = sum(one.price, BY_SKU.get(other.sku).price);

  const made = (await timed('cartCreate', () => client.operation('cart-create', { sku: one.sku }))).data.cartCreate;
  const { cart: { id: cart }, secret } = made;
  expect(made.cart.total, money(one.price), 'total of one line');

  const set = (await timed('cartLinesSet', () => client.operation('cart-lines-set', { cart, product: other.id }, secret))).data.cartLinesSet;
  expect([set.cart.lines.length, set.cart.total], [2, money(both)], 'total of two lines');

  const reduction = (await timed('cartCouponAdd', () => client.operation('cart-coupon-add', { cart, code: COUPON }, secret))).data.cartCouponAdd.cart;
  expect([reduction.discount, reduction.total], [money(discount(both)), money(reduced(both))], 'total with the coupon');

  await timed('cartBuyerSet', () => client.operation('cart-buyer-set', { cart, email: `ada-${key}@shop.example` }, secret));

  const read = (await timed('cart', () => client.operation('cart-read', { cart }, secret))).data.cart;
  expect([read.total, read.problems, read.readiness.ready], [money(reduced(both)), [], true], 'the cart before placing');

  const variables = { cart, total: read.total, key: `key-${key}` };
  const placed = (await timed('orderPlace', () => client.operation('order-place', variables, secret))).data.orderPlace.order;
  expect(placed.total, money(reduced(both)), 'total of the order');

  const order = (await timed('order', () => client.operation('order-read', { order: placed.id }, secret))).data.order;
  expect([order.total, order.lines.length, order.payments.length], [money(reduced(both)), 2, 1], 'the order');
  expect([order.payments[0].status, order.payments[0].amount], ['CAPTURED', money(reduced(both))], 'its payment');
  expect(order.receipt.lines.length, 2, 'lines of the receipt');
  if (!['PAID', 'FULFILLED'].includes(order.status)) throw new Error(`the order is ${order.status}`);
}

/** The value below which `part` of the sorted numbers lie. */
export const percentile = (sorted, part) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0;

/** Journeys on `width` connections for so many seconds. */
export async function load(url, width, seconds) {
  const clients = Array.from({ length: width }, () => new Client(url, 1));
  const times = [], calls = new Map(CALLS.map(call => [call, []]));
  let failed = 0, sample = '';
  const began = performance.now();
  const timed = async (name, call) => {
    const from = performance.now();
    const answer = await call();
    calls.get(name).push(performance.now() - from);
    return answer;
  };
  await Promise.all(clients.map(async client => {
    while (performance.now() - began < seconds * 1000 && failed < 20) {
      const from = performance.now();
      try {
        await journey(client, timed);
        times.push(performance.now() - from);
      } catch (error) {
        failed += 1;
        sample ||= error.message;
      }
    }
    client.close();
  }));
  const ordered = list => list.toSorted((one, two) => one - two);
  return {
    count: times.length, seconds: (performance.now() - began) / 1000, failed, sample,
    p50: percentile(ordered(times), 0.5), p99: percentile(ordered(times), 0.99),
    calls: Object.fromEntries([...calls].map(([name, list]) => [name, percentile(ordered(list), 0.5)])),
  };
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const option = name => Number(process.argv[process.argv.indexOf(`--${name}`) + 1]);
  console.log(JSON.stringify(await load(process.argv[2], option('connections'), option('seconds'))));
}
