import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { beforeEach, describe, it } from 'node:test'
import { signOutId } from '../../src/auth/sign-outs.ts'
import type { ProviderEndpoints, SignInFailure } from '../../src/policy/sign-ins.ts'
import type { FromWorker } from '../../src/thread/messages.ts'
import { WorkerSignIns } from '../../src/worker/sign-ins.ts'

const ENDPOINTS: ProviderEndpoints = { authorization: 'https://id.example/', endSession: undefined, namesIssuer: true }
const client = { namespace: 'shop', secret: 'oidc' }
const refresh = { refreshToken: 'r', subject: 'alice' }

type Asked = Extract<FromWorker, { readonly type: 'sign-in' }>

describe('the sign-ins of a worker', () => {
  let now: number
  /** By how much the wall clock is ahead of it. */
  let ahead: number
  let sent: Asked[]
  let timers: { readonly at: number; readonly run: () => void }[]
  let told: number
  let signIns: WorkerSignIns

  beforeEach(() => {
    now = 0
    ahead = 0
    sent = []
    timers = []
    told = 0
    signIns = new WorkerSignIns({
      clock: {
        monotonic: () => now,
        wall: () => now + ahead,
        after(delay, run) {
          const timer = { at: now + delay, run }
          timers.push(timer)
          return () => void timers.splice(timers.indexOf(timer), 1)
        },
      },
      random: randomBytes,
      seed: () => new Uint8Array(32),
      shared: {
        configured: false,
        refreshOnce: (_client, _token, ask) => ask(),
        tell: async () => void told++,
        read: () => Promise.reject(new Error('nothing is read')),
      },
      send: (message) => void (message.type === 'sign-in' && sent.push(message)),
    })
  })

  const answer = (i: number, given: ProviderEndpoints | SignInFailure) =>
    signIns.accept({ type: 'sign-in-answer', id: sent[i]!.id, answer: given })
  const detailOf = async (asked: unknown) => ((await asked) as SignInFailure).detail

  it('ask for the endpoints of a provider once, and use what they know while they ask again', async () => {
    const all = Array.from({ length: 10 }, () => signIns.endpoints(client, 'https://id.example'))
    assert.equal(sent.length, 1)
    answer(0, ENDPOINTS)
    for (const one of all) assert.equal(await one, ENDPOINTS)
    assert.equal(signIns.endpoints(client, 'https://id.example'), ENDPOINTS)
    now += 61_000
    assert.equal(signIns.endpoints(client, 'https://id.example'), ENDPOINTS)
    assert.equal(signIns.endpoints(client, 'https://id.example'), ENDPOINTS)
    assert.equal(sent.length, 2)
    answer(1, { fault: 'unavailable', detail: 'it is down' })
    assert.equal(signIns.endpoints(client, 'https://id.example'), ENDPOINTS)
    // Another provider has other endpoints.
    assert.ok(signIns.endpoints(client, 'https://other.example') instanceof Promise)
  })

  it('wait for no control thread that is gone or silent', async () => {
    const gone = signIns.refresh(client, refresh)
    signIns.forgetQuestions()
    assert.match(await detailOf(gone), /has begun anew/)
    const silent = signIns.refresh(client, refresh)
    now += 15_000
    for (const { at, run } of [...timers]) if (at <= now) run()
    assert.match(await detailOf(silent), /is silent/)
    // Too late for anybody.
    answer(1, ENDPOINTS)
    assert.equal(timers.length, 0)
  })

  it('are bounded, and a namespace with many leaves room for the others', async () => {
    const all = Array.from({ length: 300 }, (_, i) => signIns.refresh({ namespace: 'loud', secret: `s${i}` }, refresh))
    assert.equal(sent.length, 256)
    assert.match(await detailOf(all.at(-1)), /too many/)
    void signIns.refresh(client, refresh)
    assert.equal(sent.length, 257)
    answer(0, { fault: 'refused', detail: '' })
    await all[0]
    void signIns.refresh({ namespace: 'loud', secret: 's' }, refresh)
    assert.equal(sent.length, 258)
  })

  it('know which sessions are over, and tell other replicas what they do not know', () => {
    const entry = { id: signOutId('sid', 'p'), before: 5, until: 1_000 }
    const of = { type: 'sign-outs', owner: 'shop', client: 'shop/oidc' } as const
    signIns.accept({ ...of, entries: [entry] })
    assert.equal(signIns.isOver(client, { ids: [entry.id], began: 5 }), true)
    assert.equal(signIns.isOver(client, { ids: [entry.id], began: 6 }), false)
    assert.equal(signIns.isOver({ ...client, secret: 'other' }, { ids: [entry.id], began: 5 }), false)
    signIns.accept({ ...of, entries: [entry], known: true })
    assert.equal(told, 1)
  })

  it('forget sessions that cannot be there any more, also where the wall clock was set back', () => {
    ahead = 1_800_000_000_000
    const of = { type: 'sign-outs', owner: 'shop', client: 'shop/oidc' } as const
    const entryOf = (name: string) => ({ id: signOutId('sid', name), before: 5, until: now + ahead + 1_000 })
    signIns.accept({ ...of, entries: [entryOf('first')] })
    ahead -= 365 * 86_400_000
    const second = entryOf('second')
    signIns.accept({ ...of, entries: [second] })
    now += 120_000
    const third = entryOf('third')
    signIns.accept({ ...of, entries: [third] })
    const isOver = ({ id }: { readonly id: string }): boolean => signIns.isOver(client, { ids: [id], began: 5 })
    assert.deepEqual([isOver(second), isOver(third)], [false, true])
  })
})
