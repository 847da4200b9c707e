/**
 * The tables of one generation, packed into shared memory by the control thread and mapped by every worker. Blocks are
 * immutable once published and shared between generations; nothing is ever reused in place, so what no generation and
 * no exchange refers to any more is freed by the garbage collector, and no pin can be forgotten.
 */
export interface PackedTables {
  /** Open-addressed table: hostname hash → block and offset of its segment. Small; new for each generation. */
  readonly root: SharedArrayBuffer
  /** VirtualHost storage. A block is kept as long as one live segment is in it. */
  readonly blocks: readonly SharedArrayBuffer[]
  /** Which bit stands for which listener is said anew in each generation: see `Snapshot.listeners`. */
  readonly listeners: readonly string[]
}
