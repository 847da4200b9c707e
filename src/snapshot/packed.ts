/**
 * The tables of one generation, packed into shared memory by the control thread and mapped by every worker. Blocks are
 * immutable once published and shared between generations; nothing is ever reused in place, so what no generation and
 * no exchange refers to any more is freed by the garbage collector, and no pin can be forgotten.
 */
export interface PackedTables {
  /**
   * Open-addressed table: hash of hostname and group of frontends → block and offset of the virtual host. Small; new
   * for each generation.
   */
  readonly root: SharedArrayBuffer
  /** VirtualHost storage. A block is kept as long as one live virtual host is in it. */
  readonly blocks: readonly SharedArrayBuffer[]
  /**
   * Names of the frontends, and which of them serve what of a divided hostname. The same buffer for all generations in
   * which nothing of that changes.
   */
  readonly frontends: SharedArrayBuffer
}
