/** One upstream address as balancers and pools see it. Made once per identity; it outlives table changes. */
export interface Endpoint {
  /** `address:port`, IPv6 in brackets: what a person reads in the access log. */
  readonly authority: string
  readonly address: string
  readonly port: number
  /** Row in the shared endpoint table: in-flight counts and state live there, exact across workers. */
  readonly slot: number
  /** 1 … 1,000,000. */
  weight: number
  /** Draining endpoints are used only when nothing else is left. */
  state: 'ready' | 'draining'
  readonly zone?: string
  readonly hostname?: string
}

/** What a balancer reads about an endpoint without owning it. */
export interface EndpointGauge {
  /** Requests in flight on the endpoint, over all workers of the replica. */
  inFlight(slot: number): number
  /** False at once when control or an outlier detector has withdrawn it, before any new set arrives. */
  eligible(slot: number): boolean
}
