/**
 * Whether the time of a comparison tells how much of a secret was right (after "Dude, is my code constant time?",
 * Reparaz and others, 2017): secrets that begin as the right one does, and random ones, are compared in turns of
 * chance, and the two sets of times have to have one mean. A comparison that stops at the first difference is measured
 * the same way and has to be found, so that the measure is known to be sharp enough.
 */
import assert from 'node:assert/strict'
import { createHmac, createSecretKey, randomBytes } from 'node:crypto'
import { describe, it } from 'node:test'
import { digestOf, parseApiKeys, writeApiKeys } from '../../src/auth/api-keys.ts'
import { fitsClientSecret, parseClientSecret, writeClientSecret } from '../../src/auth/client-secret.ts'
import { isSigned } from '../../src/auth/token-signature.ts'
import { ApiKeyMethod } from '../../src/policy/auth/api-key.ts'
import { testDeps } from '../policy/exchange.ts'

const LENGTH = 64
const INPUTS = 64
const MEASUREMENTS = 4_000
/** Comparisons a measurement: the clock is coarse. */
const CALLS = 8
/** Slowest share that is left out: turns in which something else ran. */
const OUTLIERS = 0.2
/** Welch's t. By chance it is beyond 5 once in two million; a leak of a few nanoseconds makes it tens. */
const MOST = 8
/** What is beyond the bound is measured again: chance does not repeat itself, and a leak does. */
const TRIES = 3

const random = (length: number): string => randomBytes(length).toString('base64url').slice(0, length)

interface Inputs {
  /** All but the last four characters are right. */
  readonly close: readonly string[]
  readonly far: readonly string[]
}

function inputsFor(secret: string): Inputs {
  const close = Array.from({ length: INPUTS }, () => asReceived(secret.slice(0, -4) + random(4)))
  return { close, far: Array.from({ length: INPUTS }, () => asReceived(random(secret.length))) }
}

/** Flat, as a field is read: the engine reads a text that was put together, or cut out of another, more slowly. */
function asReceived(text: string): string {
  return Buffer.from(text, 'latin1').toString('latin1')
}

/** @returns Welch's t of the times of both sets */
function differenceOf(compare: (text: string) => unknown, { close, far }: Inputs): number {
  const times: [number[], number[]] = [[], []]
  const chances = randomBytes(MEASUREMENTS * 2)
  for (let i = 0; i < MEASUREMENTS; i++) {
    const kind = (chances[2 * i]! & 1) as 0 | 1
    const text = (kind === 0 ? close : far)[chances[2 * i + 1]! % INPUTS]!
    const began = process.hrtime.bigint()
    for (let call = 0; call < CALLS; call++) compare(text)
    times[kind].push(Number(process.hrtime.bigint() - began))
  }
  const most = [...times[0], ...times[1]].sort((a, b) => a - b)[Math.floor(MEASUREMENTS * (1 - OUTLIERS))]!
  const [a, b] = times.map((all) => momentsOf(all.filter((time) => time <= most))) as [Moments, Moments]
  return Math.abs(a.mean - b.mean) / Math.sqrt(a.variance / a.count + b.variance / b.count)
}

interface Moments {
  readonly count: number
  readonly mean: number
  readonly variance: number
}

function momentsOf(values: readonly number[]): Moments {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1)
  return { count: values.length, mean, variance }
}

/** The least of some tries. */
function leastDifference(compare: (text: string) => unknown, inputs: Inputs): number {
  let least = Number.POSITIVE_INFINITY
  for (let i = 0; i < TRIES && least > MOST; i++) least = Math.min(least, differenceOf(compare, inputs))
  return least
}

describe('the time of a comparison', () => {
  it('does not tell how much of an API key is right', () => {
    const key = random(LENGTH)
    const keys = parseApiKeys([['somebody', `sha256:${digestOf(key)}`]])
    assert.ok(keys instanceof Map)
    const deps = { ...testDeps(), clock: { wall: () => 0, monotonic: () => 0 } }
    deps.contentsById.set('keys', Buffer.from(writeApiKeys(keys)))
    const method = new ApiKeyMethod({ content: 'keys', from: [{ header: 'x-api-key' }] }, deps)
    assert.ok('consumer' in method.judge(key) && 'fault' in method.judge(random(LENGTH)))
    assert.ok(leastDifference((text) => method.judge(text), inputsFor(key)) <= MOST)
  })

  it('does not tell how much of the secret of a client is right', () => {
    const secret = random(LENGTH)
    const read = parseClientSecret(writeClientSecret(secret))
    assert.ok(typeof read !== 'string')
    assert.ok(fitsClientSecret(secret, [read], 0) && !fitsClientSecret(random(LENGTH), [read], 0))
    assert.ok(leastDifference((text) => fitsClientSecret(text, [read], 0), inputsFor(secret)) <= MOST)
  })

  it('does not tell how much of the signature of a shared key is right', () => {
    const key = createSecretKey(randomBytes(64))
    const signed = `${random(40)}.${random(200)}`
    const signature = createHmac('sha512', key).update(signed).digest('base64url')
    assert.equal(isSigned(`${signed}.${signature}`, key, 'HS512'), true)
    const inputs = inputsFor(signature)
    const tokens = (texts: readonly string[]) => texts.map((text) => `${signed}.${canonical(text)}`)
    const { close, far } = { close: tokens(inputs.close), far: tokens(inputs.far) }
    assert.ok(leastDifference((token) => isSigned(token, key, 'HS512'), { close, far }) <= MOST)
  })

  it('is measured sharply enough to find a comparison that stops at the first difference', () => {
    const secret = random(LENGTH)
    const stops = (text: string): boolean => {
      for (let i = 0; i < secret.length; i++) if (text.charCodeAt(i) !== secret.charCodeAt(i)) return false
      return text.length === secret.length
    }
    let most = 0
    for (let i = 0; i < TRIES && most <= MOST; i++) most = Math.max(most, differenceOf(stops, inputsFor(secret)))
    assert.ok(most > MOST, `${most}`)
  })
})

/** Without bits that mean nothing. */
const canonical = (text: string): string => Buffer.from(text, 'base64url').toString('base64url')
