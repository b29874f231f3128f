// Fills an empty shop through its public API: 1,000 courses that are not sold alone, 500 libraries of two of them each, which are, and a coupon.
//   OPERATOR_KEY=... node fill.mjs URL
import { Client, COUPON, CURRENCY, inParallel, product, PRODUCTS, PERCENT } from './shop.mjs';

const COURSE = `mutation($input: CourseCreateInput!) { courseCreate(input: $input) { course { id } userErrors { code message } } }`;
const LIBRARY = `mutation($input: LibraryCreateInput!) { libraryCreate(input: $input) { library { id } userErrors { code message } } }`;
const COUPON_CREATE = `mutation($input: CouponCreateInput!) { couponCreate(input: $input) { coupon { id } userErrors { code message } } }`;

const client = new Client(process.argv[2], 8);
const headers = { authorization: `Bearer ${process.env.OPERATOR_KEY}` };
await inParallel(PRODUCTS, 8, async at => {
  const { sku, title, description, price, courses } = product(at + 1);
  const courseIds = [];
  for (const input of courses) courseIds.push((await client.run(COURSE, { input }, headers)).data.courseCreate.course.id);
  const input = { sku, title, description, courseIds, accessDays: 365, prices: [{ amount: price, currency: CURRENCY }] };
  await client.run(LIBRARY, { input }, headers);
});
const coupon = { kind: 'DISCOUNT', scope: 'ORDER', percent: String(PERCENT), codes: [COUPON] };
await client.run(COUPON_CREATE, { input: coupon }, headers);
client.close();
