/** What `npm run bench` compares of policies that decide who may pass, with what is asked of each. */
import { API_KEY, type Tokens } from './access-tokens.ts'
import type { Load } from './load.ts'

export interface AccessRow {
  readonly name: string
  readonly shows: string
  /** Of the rule with the policy, here and in the peers. */
  readonly path: string
  /** What every request has, to the rule without the policy too. */
  readonly load: Pick<Load, 'headers' | 'cycled'>
  /** Processor time a request, by that of the same request to a rule without the policy, that is wanted at most. */
  readonly most?: number
  readonly peers: readonly string[]
}

export const FRESH_ROW = 'jwt-fresh'
export const CLUSTER_ROW = 'limit-cluster'

export function accessRows({ token, fresh }: Tokens): readonly AccessRow[] {
  return [
    {
      ...{ name: 'jwt', shows: 'auth.jwt: the same RS256 token again', path: '/jwt', most: 1.1 },
      ...{ load: { headers: [`Authorization: Bearer ${token}`] }, peers: ['haproxy'] },
    },
    {
      ...{ name: FRESH_ROW, shows: 'auth.jwt: an RS256 token that is not known, each time', path: '/jwt' },
      ...{ load: { cycled: { name: 'Authorization', file: fresh } }, peers: ['haproxy', 'jose'] },
    },
    {
      ...{ name: 'api-key', shows: 'auth.apiKey', path: '/key', most: 1.03 },
      ...{ load: { headers: [`X-Api-Key: ${API_KEY}`] }, peers: ['nginx', 'haproxy'] },
    },
    {
      ...{ name: 'limit', shows: 'rateLimits, Local: by the address of the client', path: '/limit', most: 1.03 },
      ...{ load: {}, peers: ['nginx', 'haproxy'] },
    },
    {
      ...{ name: CLUSTER_ROW, shows: 'rateLimits, Cluster: the same, counted in Redis', path: '/cluster', most: 1.6 },
      ...{ load: {}, peers: [] },
    },
    {
      ...{ name: 'external', shows: 'auth.external: a service is asked for each request', path: '/external' },
      ...{ load: {}, peers: ['nginx', 'caddy'] },
    },
  ]
}
