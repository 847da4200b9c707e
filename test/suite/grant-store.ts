/** What every store of token issuers promises; run on each. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Grant, GrantOwner, GrantStore, Rotated, RotationRequest } from '../../src/auth/grant-store.ts'

export const OWNER: GrantOwner = { namespace: 'shop', issuer: 'https://shop.example/oauth2' }
export const GRANT: Grant = {
  ...{ client: 'billing', subject: 'billing', assertionIssuer: '' },
  ...{ scopes: ['orders:read', 'orders:write'], audiences: ['orders'] },
}
export const DAY = 86_400_000

let families = 0
/** One that no store has yet. */
export const newFamily = (): string => `family-${process.pid}-${++families}`

export const rotation = (family: string, given: Partial<RotationRequest>): RotationRequest => ({
  ...{ family, presented: 'one', next: 'two', nonce: 'n1', life: DAY, grace: 60_000 },
  ...given,
})

/** @param stores two of them have the same records, as two workers or replicas have */
export function describeGrantStore(name: string, stores: () => readonly [GrantStore, GrantStore]): void {
  describe(`the store of token issuers ${name}`, () => {
    it('has a family as it was begun, for every replica, and under no other owner', async () => {
      const [here, there] = stores()
      const family = newFamily()
      assert.equal(await here.begin(OWNER, family, GRANT, 'one', DAY), true)
      const found = await there.find(OWNER, family)
      assert.deepEqual([found?.grant, found?.current, found?.previous], [GRANT, 'one', ''])
      assert.ok(Math.abs(found!.ends - (Date.now() + DAY)) < 3_600_000)
      assert.equal(await here.find({ ...OWNER, namespace: 'evil' }, family), undefined)
      assert.equal(await here.find({ ...OWNER, issuer: 'https://shop.example/' }, family), undefined)
      assert.equal(await here.find(OWNER, newFamily()), undefined)
    })

    it('rotates a token once, however many present it at a time', async () => {
      const [here, there] = stores()
      const family = newFamily()
      await here.begin(OWNER, family, GRANT, 'one', DAY)
      const results = await Promise.all(
        Array.from({ length: 100 }, (_, i) =>
          (i % 2 === 0 ? here : there).rotate(OWNER, rotation(family, { next: `two-${i}`, nonce: `n${i}` })),
        ),
      )
      assert.equal(results.filter(({ outcome }) => outcome === 'rotated').length, 1)
      assert.equal(results.filter(({ outcome }) => outcome === 'repeated').length, 99)
      // All of them are told of the same successor, which is the one that is good.
      const nonces = new Set(results.map((one) => (one as Rotated).nonce))
      assert.equal(nonces.size, 1)
      assert.equal((await here.find(OWNER, family))?.current, `two-${[...nonces][0]!.slice(1)}`)
    })

    it('ends a family when an older token comes, or one that was never there', async () => {
      const [here, there] = stores()
      for (const presented of ['one', 'never']) {
        const family = newFamily()
        await here.begin(OWNER, family, GRANT, 'one', DAY)
        assert.equal((await here.rotate(OWNER, rotation(family, {}))).outcome, 'rotated')
        const next = rotation(family, { presented: 'two', next: 'three', nonce: 'n2' })
        assert.equal((await there.rotate(OWNER, next)).outcome, 'rotated')
        assert.deepEqual(await here.rotate(OWNER, rotation(family, { presented })), { outcome: 'reused' })
        assert.equal(await there.find(OWNER, family), undefined)
        const last = rotation(family, { presented: 'three', next: 'four' })
        assert.deepEqual(await there.rotate(OWNER, last), { outcome: 'missing' })
      }
    })

    it('ends a family whose token comes again without a grace', async () => {
      const [here] = stores()
      const family = newFamily()
      await here.begin(OWNER, family, GRANT, 'one', DAY)
      await here.rotate(OWNER, rotation(family, {}))
      assert.equal((await here.rotate(OWNER, rotation(family, { grace: -1 }))).outcome, 'reused')
      assert.equal(await here.find(OWNER, family), undefined)
    })

    it('forgets a family that is revoked, and takes that of one that is gone', async () => {
      const [here, there] = stores()
      const family = newFamily()
      await here.begin(OWNER, family, GRANT, 'one', DAY)
      await there.revoke({ ...OWNER, namespace: 'evil' }, family)
      assert.notEqual(await here.find(OWNER, family), undefined)
      await there.revoke(OWNER, family)
      await there.revoke(OWNER, family)
      assert.equal(await here.find(OWNER, family), undefined)
    })

    it('keeps a mark once, by owner', async () => {
      const [here, there] = stores()
      const mark = newFamily()
      assert.equal(await here.isMarked(OWNER, mark), false)
      const results = await Promise.all(
        Array.from({ length: 50 }, (_, i) => (i % 2 === 0 ? here : there).mark(OWNER, mark, 'c', DAY)),
      )
      assert.equal(results.filter((one) => one === 'first').length, 1)
      assert.equal(results.filter((one) => one === 'again').length, 49)
      assert.equal(await there.isMarked(OWNER, mark), true)
      assert.equal(await there.mark({ ...OWNER, namespace: 'other' }, mark, 'c', DAY), 'first')
    })

    it('holds texts as they are', async () => {
      const [here, there] = stores()
      const family = newFamily()
      const grant = { ...GRANT, subject: `a'b"c\\d\u0000e ü 🙂 %s`, scopes: [], audiences: ['{}', ']'] }
      await here.begin(OWNER, family, grant, 'one', DAY)
      assert.deepEqual((await there.find(OWNER, family))?.grant, grant)
    })
  })
}
