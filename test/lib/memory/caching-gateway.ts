/** `cache` in a gateway in memory, before an origin that a test plays: alone, or with an archive behind its memory. */
import { PLAIN } from '../../../src/cache/purge-record.ts'
import type { ResponseArchive } from '../../../src/cache/response-archive.ts'
import type { ResponseMemory } from '../../../src/cache/response-memory.ts'
import type { Rules } from '../../compile/world.ts'
import type { Scope, ServedRequest } from '../../suite/transport-rig.ts'
import { toUp } from '../../worker/test-plane.ts'
import { type MemoryGateway, memoryGateway } from './rig.ts'

/** Of the history of purges that replicas with one archive share. */
export const HISTORY = 4_711

export class PlayedOrigin {
  readonly asked: ServedRequest[] = []
  answer = (request: ServedRequest): void =>
    request.respond(200, `body of ${request.target}`, { 'cache-control': 'max-age=60' })
  readonly serve = (request: ServedRequest): void => {
    this.asked.push(request)
    this.answer(request)
  }
}

export interface CachingOptions {
  /** The policy; default: all of it is the default. */
  readonly cache?: object
  /** Further policies of the one rule. */
  readonly policies?: object
  /** For all stores but `Memory`. */
  readonly archive?: ResponseArchive | undefined
  /** Default: one in the heap, which never runs out. */
  readonly responses?: ResponseMemory
}

/** One rule with the policy, and each request is sent once. */
export function cachingRules(cache: object = {}, policies: object = {}): Rules {
  return toUp({ retry: { attempts: 0 }, ...policies, cache } as never)
}

export function cachingGateway(
  scope: Scope,
  serve: (request: ServedRequest) => void,
  { cache, policies, archive, responses }: CachingOptions = {},
): MemoryGateway {
  const gateway = memoryGateway(scope, {
    upstreams: [serve],
    rules: cachingRules(cache, policies),
    ...(archive === undefined ? {} : { archives: { of: (store) => (store === 'Memory' ? undefined : archive) } }),
    ...(responses === undefined ? {} : { responses }),
  })
  if (archive !== undefined) gateway.purges.append({ ...PLAIN, kind: 'history', label: HISTORY })
  return gateway
}
