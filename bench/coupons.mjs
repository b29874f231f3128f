// What coupons cost: placing orders with a coupon that any number may use, against placing the same without; and making a large batch of codes.
import { memory, sleep } from './machine.mjs';
import { Client, COUPON, CURRENCY, expect, inParallel, money, product, PRODUCTS, reduced } from './shop.mjs';

const WIDTH = 8, ORDERS = 240;
const origin = `${process.pid.toString(36)}${Date.now().toString(36)}`;
let serial = 0;

/** Carts that are ready to be placed: one line and a buyer each, and the coupon if it is wanted. */
async function carts(client, coupon) {
  const made = [];
  await inParallel(ORDERS, WIDTH, async () => {
    const number = ++serial;
    const { sku, price } = product(1 + (number % PRODUCTS));
    const { cart, secret } = (await client.operation('cart-create', { sku })).data.cartCreate;
    if (coupon) await client.operation('cart-coupon-add', { cart: cart.id, code: COUPON }, secret);
    await client.operation('cart-buyer-set', { cart: cart.id, email: `bo-${origin}-${number}@shop.example` }, secret);
    made.push({ secret, total: money(coupon ? reduced(price) : price), variables: { cart: cart.id, key: `key-${origin}-${number}` } });
  });
  return made.map(one => ({ ...one, variables: { ...one.variables, total: one.total } }));
}

/** Places them all; gives how many a second. */
async function place(client, ready) {
  const began = performance.now();
  await inParallel(ready.length, WIDTH, async at => {
    const { variables, secret, total } = ready[at];
    const { order } = (await client.operation('order-place', variables, secret)).data.orderPlace;
    expect(order.total, total, 'total of the order');
  });
  return (ready.length * 1000) / (performance.now() - began);
}

/**
 * Orders placed a second, in pairs of runs that follow each other, the one with the coupon first in every other pair. Nothing else is asked of the
 * server meanwhile: `settled` waits until what is done behind the buyers' backs is done.
 */
export async function placing(graphql, pairs, settled) {
  const client = new Client(graphql, WIDTH);
  const found = [];
  // The first pair warms up and is left out.
  for (let at = 0; at <= pairs; at += 1) {
    const rate = {};
    for (const kind of at % 2 ? ['with', 'without'] : ['without', 'with']) {
      const ready = await carts(client, kind === 'with');
      await settled();
      rate[kind] = await place(client, ready);
      await settled();
    }
    if (at > 0) found.push(rate);
  }
  client.close();
  return found;
}

const CREATE = `mutation($input: CouponCreateInput!) { couponCreate(input: $input) { coupon { id } userErrors { code message } } }`;
const BATCH = `mutation($input: CouponBatchCreateInput!) { couponBatchCreate(input: $input) { batch { id } userErrors { code message } } }`;
const MADE = `query($id: ID!) { node(id: $id) { ... on CouponBatch { made doneAt } } }`;

/** Seconds from asking for a batch of `count` codes until the last is made, and the server's most resident memory before and after, in MiB. */
export async function batch(server, count, headers) {
  const client = new Client(server.graphql, 1);
  const prefix = `B${(++serial).toString(36)}${origin}-`;
  const input = { kind: 'DISCOUNT', scope: 'ITEM', amount: { amount: '5.00', currency: CURRENCY }, prefix };
  const couponId = (await client.run(CREATE, { input }, headers)).data.couponCreate.coupon.id;
  const before = memory(server.pid).peak;
  const began = performance.now();
  const { id } = (await client.run(BATCH, { input: { couponId, count } }, headers)).data.couponBatchCreate.batch;
  let node;
  do {
    await sleep(50);
    node = (await client.run(MADE, { id }, headers)).data.node;
    if (performance.now() - began > 300_000) throw new Error(`a batch of ${count} codes is not made after five minutes: ${JSON.stringify(node)}`);
  } while (!node.doneAt);
  const seconds = (performance.now() - began) / 1000;
  expect(node.made, count, 'codes of the batch');
  client.close();
  return { count, seconds, before, after: memory(server.pid).peak };
}
