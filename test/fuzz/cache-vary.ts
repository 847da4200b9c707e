/**
 * Fuzzer of varied fields: `node test/fuzz/cache-vary.ts [seconds]`. Two spellings of a list match exactly when they
 * mean the same. What it finds goes into cache-vary.seeds.json, which cache-vary.test.ts runs for ever.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { KeyWriter } from '../../src/cache/key.ts'
import { writeVariant } from '../../src/cache/vary.ts'
import { Fields } from '../../src/message/fields.ts'

/** One element, and how it is spelled. */
interface Spelled {
  readonly range: string
  readonly parameters: readonly string[]
  /** Thousandths, −1: none is written. */
  readonly weight: number
  readonly upper: boolean
  readonly blanks: string
  /** Zeros behind the weight, and an empty element or a new line before this one. */
  readonly zeros: number
  readonly before: '' | ',' | '\n'
}

export interface VaryCase {
  readonly name: 'accept' | 'accept-language'
  readonly one: readonly Spelled[]
  readonly other: readonly Spelled[]
}

function spelled(ranges: readonly string[], parameters: readonly string[]): fc.Arbitrary<Spelled> {
  return fc.record({
    range: fc.constantFrom(...ranges),
    parameters: fc.subarray([...parameters]),
    weight: fc.constantFrom(-1, 1_000, 500, 501, 50, 0),
    upper: fc.boolean(),
    blanks: fc.constantFrom('', ' ', '\t '),
    zeros: fc.nat({ max: 2 }),
    before: fc.constantFrom('', '', ',', '\n'),
  })
}

const accept = spelled(['text/html', '*/*', 'a/b'], ['level=1', 'level=A', 'x="a,b;q=0"', 'x="\\""'])
const language = spelled(['de', 'en', '*', 'de-at'], [])

/** The same elements in other spellings, or other elements. */
function pairOf(name: VaryCase['name'], element: fc.Arbitrary<Spelled>): fc.Arbitrary<VaryCase> {
  const list = fc.array(element, { minLength: 1, maxLength: 4 })
  return fc.tuple(list, list, fc.boolean()).map(([one, style, again]) => ({
    name,
    one,
    other: again
      ? one.map(({ range, parameters, weight }, i) => ({ ...style[i % style.length]!, range, parameters, weight }))
      : style,
  }))
}

export const varyCase: fc.Arbitrary<VaryCase> = fc.oneof(pairOf('accept', accept), pairOf('accept-language', language))

/** Field lines of a list. */
function linesOf(list: readonly Spelled[]): string[] {
  let text = ''
  for (const [i, { range, parameters, weight, upper, blanks, zeros, before }] of list.entries()) {
    if (i > 0) text += before === '\n' ? '\n' : `${blanks},${blanks}`
    if (before === ',') text += `,${blanks}`
    text += upper ? range.toUpperCase() : range
    for (const parameter of parameters)
      text += `${blanks};${blanks}${upper ? parameter.replace(/^\w+/, (name) => name.toUpperCase()) : parameter}`
    if (weight >= 0) text += `${blanks};${blanks}${upper ? 'Q' : 'q'}=${weightOf(weight, zeros)}`
  }
  return text.split('\n')
}

function weightOf(weight: number, zeros: number): string {
  const [whole, digits] = [
    weight === 1_000 ? '1' : '0',
    weight === 1_000 ? '' : String(weight).padStart(3, '0').replace(/0+$/, ''),
  ]
  const fraction = (digits + '0'.repeat(zeros)).slice(0, 3)
  return fraction === '' ? whole : `${whole}.${fraction}`
}

/** What a list means: its elements by weight, those of one weight as they were sent. */
function meaning(list: readonly Spelled[]): string {
  const weights = [...new Set(list.map(weightNumber))].sort((a, b) => b - a)
  return JSON.stringify(
    weights.flatMap((weight) =>
      list
        .filter((element) => weightNumber(element) === weight)
        .map(({ range, parameters }) => [range, parameters, weight]),
    ),
  )
}

function weightNumber({ weight }: Spelled): number {
  return weight < 0 ? 1_000 : weight
}

const writer = new KeyWriter()

function keyOf(name: string, list: readonly Spelled[]): string {
  const fields = new Fields()
  for (const line of linesOf(list)) fields.add(name, line)
  writer.begin(new Uint8Array(0))
  writeVariant(writer, [name], fields)
  return writer.copy().toString('latin1')
}

/** Throws when two spellings match that mean something else, or do not match where they mean the same. */
export function checkVary({ name, one, other }: VaryCase): void {
  assert.equal(keyOf(name, one) === keyOf(name, other), meaning(one) === meaning(other))
}

export const seeds: readonly VaryCase[] = JSON.parse(
  readFileSync(new URL('cache-vary.seeds.json', import.meta.url), 'utf8'),
)

if (import.meta.main) {
  const seconds = Number(process.argv[2] ?? 60)
  fc.assert(fc.property(varyCase, checkVary), {
    numRuns: Number.MAX_SAFE_INTEGER,
    interruptAfterTimeLimit: seconds * 1000,
    examples: seeds.map((seed): [VaryCase] => [seed]),
  })
}
