// Functions that nothing but the scope of a module holds.
export const price = (count) => count * 2;
const tax = async (amount) => amount / 10;
function total(count) {
  return price(count) + count;
}
class Basket {
  fill(count) {
    if (count > 90) throw new RangeError("too many");
    return total(count);
  }
}
const firsts = [price, tax, total, Basket.prototype.fill];
/** Whether all is as it was at the start. */
export const isClean = () =>
  [price, tax, total, Basket.prototype.fill].every((each, at) => each === firsts[at]);
export const basket = new Basket();
export const taxed = (count) => tax(total(count));
