/**
 * RFC 9111 §§3-5 and what belongs to it, rule by rule, over real sockets: one gateway with two workers, one origin that
 * does as it is told. docs/reference/cache-rules.md lists the rules.
 */
import { before, describe } from 'node:test'
import { collapsing } from './cache/collapsing.ts'
import { credentials, manifests } from './cache/credentials.ts'
import { digests } from './cache/digests.ts'
import { directives } from './cache/directives.ts'
import { freshness } from './cache/freshness.ts'
import { byMethod, invalidation } from './cache/invalidation.ts'
import { misbehaving } from './cache/misbehaving.ts'
import { oddFields } from './cache/odd-fields.ts'
import { parts } from './cache/parts.ts'
import { POLICIES, policies } from './cache/policies.ts'
import { publishedCases } from './cache/published-cases.ts'
import { ranges } from './cache/ranges.ts'
import { CacheRig } from './cache/rig.ts'
import { ifError, whileStale } from './cache/stale.ts'
import { storing } from './cache/storing.ts'
import { cacheStatusField, targetedFields } from './cache/targeted.ts'
import { validation } from './cache/validation.ts'
import { variants } from './cache/vary.ts'
import { suiteScope } from './harness.ts'

const PARALLEL = { concurrency: 16 }

describe('the cache', () => {
  const scope = suiteScope()
  let rig: CacheRig
  const the = () => rig

  before(async () => {
    rig = await CacheRig.start(scope, POLICIES, (port) => manifests(port) + byMethod(port), {
      cache: { debugCIDRs: ['127.0.0.0/8'] },
    })
  })

  describe('what is stored (RFC 9111 §3)', PARALLEL, () => storing(the))
  describe('how long it is fresh (§4.2, §5)', PARALLEL, () => freshness(the))
  describe('what a client asks of it (§5.2.1)', PARALLEL, () => directives(the))
  describe('which of several it is (§4.1)', PARALLEL, () => variants(the))
  describe('what is validated (§4.3)', PARALLEL, () => validation(the))
  describe('what is a part (§3.3, §3.4, RFC 9110 §14)', PARALLEL, () => ranges(the))
  describe('parts that are stored (§3.3, §3.4)', PARALLEL, () => parts(the))
  describe('digests of content (RFC 9530)', PARALLEL, () => digests(the))
  describe('what is invalidated (§4.4, RFC 9875)', PARALLEL, () => invalidation(the))
  describe('what is served stale (RFC 5861 §3)', PARALLEL, () => whileStale(the))
  describe('what is served for a failure (RFC 5861 §4)', PARALLEL, () => ifError(the))
  describe('fields for this cache (RFC 9213)', PARALLEL, () => targetedFields(the))
  describe('what it says (RFC 9211)', PARALLEL, () => cacheStatusField(the))
  describe('origins that misbehave', PARALLEL, () => misbehaving(the))
  describe('odd fields', PARALLEL, () => oddFields(the))
  describe('cases of public suites', PARALLEL, () => publishedCases(the))
  describe('policies', PARALLEL, () => policies(the))
  describe('whose it is', PARALLEL, () => credentials(the))
  describe('one fetch for all', () => collapsing(the))
})
