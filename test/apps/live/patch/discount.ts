interface Order {
  readonly total: number;
}
const rate: number = 5;
export function discount(order: Order): number {
  return order.total - rate;
}
