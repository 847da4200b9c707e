import assert from 'node:assert/strict'
import { it } from 'node:test'
import { ContentStore } from '../../src/policy/contents.ts'
import { systemTimers } from '../../src/thread/system-timers.ts'
import { remoteLimits } from '../../src/worker/remote-limits.ts'

it('a limit over all replicas without Redis is named once in the log, and cannot be known', async () => {
  const warnings: string[] = []
  const log = { info() {}, warn: (message: string) => void warnings.push(message) }
  const limits = remoteLimits(new ContentStore(), systemTimers, () => 0, log as Parameters<typeof remoteLimits>[3])
  limits.use(null)
  const scope = { owner: 'shop', name: 'shop/web\nmonthly' }
  const limiter = limits.limiters.open(scope, { quota: 1, per: 1_000 })
  limits.limiters.open(scope, { quota: 1, per: 1_000 })
  for (let i = 0; i < 1_000; i++) limits.limiters.open({ ...scope, name: `shop/${i}\na` }, { quota: 1, per: 1_000 })
  assert.equal(warnings.length, 100)
  assert.match(
    warnings[0]!,
    /^rateLimits of shop shop\/web: monthly has scope: Cluster, and the settings name no redis/,
  )
  await assert.rejects(limiter.take('a'), { kind: 'absent' })
})
