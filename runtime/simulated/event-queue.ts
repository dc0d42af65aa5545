/** What is to happen in simulated time: a heap by time, then by the order of asking. */

export interface QueuedWork {
  readonly dueMs: number;
  readonly order: number;
  /** Null once it was cancelled. */
  work: (() => void) | null;
}

function before(left: QueuedWork, right: QueuedWork): boolean {
  return left.dueMs < right.dueMs || (left.dueMs === right.dueMs && left.order < right.order);
}

export class EventQueue {
  readonly #heap: QueuedWork[] = [];

  push(item: QueuedWork): void {
    const heap = this.#heap;
    let at = heap.push(item) - 1;
    while (at > 0) {
      const parentAt = (at - 1) >> 1;
      const parent = heap[parentAt];
      if (parent === undefined || !before(item, parent)) break;
      heap[at] = parent;
      at = parentAt;
    }
    heap[at] = item;
  }

  /** The first that was not cancelled. */
  peek(): QueuedWork | undefined {
    for (let top = this.#heap[0]; top !== undefined; top = this.#heap[0]) {
      if (top.work !== null) return top;
      this.#removeTop();
    }
    return undefined;
  }

  shift(): QueuedWork | undefined {
    const top = this.peek();
    if (top !== undefined) this.#removeTop();
    return top;
  }

  #removeTop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let at = 0;
    for (;;) {
      const leftAt = at * 2 + 1;
      const left = heap[leftAt];
      if (left === undefined) break;
      const right = heap[leftAt + 1];
      const [child, childAt] = right !== undefined && before(right, left) ? [right, leftAt + 1] : [left, leftAt];
      if (!before(child, last)) break;
      heap[at] = child;
      at = childAt;
    }
    heap[at] = last;
  }
}
