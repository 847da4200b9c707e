/**
 * Bytes that many slow clients would cost the thread, over all of its connections: heads that have come in part, heads
 * of open streams of HTTP/2, and bodies of streams that nobody takes at the moment. One sum, since they share one part
 * of the memory's division.
 */
let held = 0

export function heldBytes(): number {
  return held
}

/** @param by negative where they are given up */
export function countHeldBytes(by: number): void {
  held += by
}
