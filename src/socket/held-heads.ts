/** Bytes of heads that have come in part, over all connections of the thread: what many slow clients would cost it. */
let held = 0

export function heldHeads(): number {
  return held
}

/** @param by negative where they are given up */
export function countHeldHeads(by: number): void {
  held += by
}
