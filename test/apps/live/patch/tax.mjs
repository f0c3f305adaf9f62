const vat = 3;
const spare = 4;
export function tax(n) { return n * vat; }
export const isSpare = spare === 4;
