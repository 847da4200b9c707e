/**
 * What the namespaces may take of one worker: connections to upstreams, and requests at a time, each of which holds a
 * client's connection. A Backend that leads back here in a way that nobody can know costs its namespace its own share,
 * and leaves the others theirs.
 *
 * A namespace may have three times as much as is still free. So one alone gets three quarters, two get three sevenths
 * each, and whoever comes next always finds some: a fixed share would be too little for one namespace and too much for
 * a hundred.
 */
/** What Backends may take, whatever they ask for. Infinity where nobody says less. */
export interface UpstreamLimits {
  /** Connections of one worker to all upstreams, by the process limit. */
  readonly connections: number
  /** Connections of one worker, to clients and upstreams together; absent: as many as they like. */
  readonly allConnections?: number
  /** Of all Backends of a namespace together, over all workers. */
  readonly namespaceConnections: number
  readonly maxConnections: number
  readonly maxPending: number
  readonly maxConcurrentRequests: number
}

const TIMES_FREE = 3
/**
 * Requests over HTTP/2 of a worker at a time, where its connections of clients are fewer: they hold no connection of
 * their own, and four clients may have as many as each may open (RFC 9113 §5.1.2).
 */
const LEAST_STREAMS = 4 * 1_024
/** Milliseconds after a search for an idle connection in vain in which there is no other. */
const SEARCH_AGAIN = 10

/** A Backend, as its namespace's share sees it. */
export interface ShareMember {
  /** Closes a connection that lies idle. @returns whether there was one */
  dropIdle(): boolean
}

export const UNLIMITED: UpstreamLimits = Object.freeze({
  connections: Number.POSITIVE_INFINITY,
  namespaceConnections: Number.POSITIVE_INFINITY,
  maxConnections: Number.POSITIVE_INFINITY,
  maxPending: Number.POSITIVE_INFINITY,
  maxConcurrentRequests: Number.POSITIVE_INFINITY,
})

export class UpstreamBudget {
  readonly #workers: number
  readonly #shares = new Map<string, NamespaceShare>()
  limits: UpstreamLimits = UNLIMITED
  /** Client connections of this worker. */
  clients = Number.POSITIVE_INFINITY
  /** Requests over HTTP/2 of this worker. */
  streams = Number.POSITIVE_INFINITY
  /** Open or being opened, to all upstreams. */
  open = 0
  /** Connections of clients that are open on this worker. */
  openClients: () => number = () => 0

  /** @param workers among which the ceilings of the installation are divided */
  constructor(workers: number) {
    this.#workers = workers
  }

  /** @param clients connections of clients that this worker takes */
  use(limits: UpstreamLimits, clients: number): void {
    this.limits = limits
    this.clients = clients
    this.streams = Math.max(clients, LEAST_STREAMS)
  }

  /** Connections to upstreams that may be open on this worker now. */
  get connections(): number {
    const { connections, allConnections } = this.limits
    return allConnections === undefined ? connections : Math.min(connections, allConnections - this.openClients())
  }

  /** Of one namespace, on this worker. */
  get namespaceConnections(): number {
    return Math.max(1, Math.floor(this.limits.namespaceConnections / this.#workers))
  }

  /** Puts a Backend among those of its namespace. */
  join(namespace: string, backend: ShareMember): NamespaceShare {
    let share = this.#shares.get(namespace)
    if (share === undefined) {
      const made = new NamespaceShare(this, () => {
        // A request that began with tables of before may use one that ended, when the namespace has another.
        if (this.#shares.get(namespace) === made) this.#shares.delete(namespace)
      })
      this.#shares.set(namespace, made)
      share = made
    }
    share.members.add(backend)
    return share
  }

  /** Closes a connection of anybody's that lies idle. */
  dropIdle(): boolean {
    for (const share of this.#shares.values()) if (share.dropIdle()) return true
    return false
  }
}

export class NamespaceShare {
  readonly #budget: UpstreamBudget
  readonly #ended: () => void
  readonly members = new Set<ShareMember>()
  connections = 0
  requests = 0
  /** Requests over HTTP/2, which are counted apart: many share a connection of a client. */
  streams = 0
  #searchAt = 0

  /** @param ended no Backend is left, and nothing that one of them has taken */
  constructor(budget: UpstreamBudget, ended: () => void) {
    this.#budget = budget
    this.#ended = ended
  }

  /**
   * What its Backends have taken counts for the namespace until it is given back: a tenant may delete them all and make
   * them anew.
   */
  leave(backend: ShareMember): void {
    if (this.members.delete(backend)) this.#endIfUnused()
  }

  /** Takes a place for one more connection. @param now monotonic milliseconds */
  take(now: number): boolean {
    if (!this.#mayConnect()) {
      if (now < this.#searchAt) return false
      const dropped = this.dropIdle() || (this.#budget.open >= this.#budget.connections && this.#budget.dropIdle())
      if (!dropped || !this.#mayConnect()) {
        this.#searchAt = now + SEARCH_AGAIN
        return false
      }
    }
    this.connections++
    this.#budget.open++
    return true
  }

  /** Gives back a place, exactly once for each that was taken. */
  give(): void {
    this.connections--
    this.#budget.open--
    this.#endIfUnused()
  }

  /** Takes a place for one more request. @param others requests under way on this worker */
  enter(others: number): boolean {
    if (this.requests >= TIMES_FREE * (this.#budget.clients - others)) return false
    this.requests++
    return true
  }

  /** Exactly once for each request that was let in. */
  exit(): void {
    this.requests--
    this.#endIfUnused()
  }

  /** Takes a place for one more request over HTTP/2. @param others those under way on this worker */
  enterStream(others: number): boolean {
    if (this.streams >= TIMES_FREE * (this.#budget.streams - others)) return false
    this.streams++
    return true
  }

  /** Exactly once for each that was let in. */
  exitStream(): void {
    this.streams--
    this.#endIfUnused()
  }

  dropIdle(): boolean {
    for (const member of this.members) if (member.dropIdle()) return true
    return false
  }

  #endIfUnused(): void {
    const { connections, requests, streams, members } = this
    if (connections === 0 && requests === 0 && streams === 0 && members.size === 0) this.#ended()
  }

  #mayConnect(): boolean {
    const { connections, open, namespaceConnections } = this.#budget
    return this.connections < Math.min(namespaceConnections, TIMES_FREE * (connections - open))
  }
}
