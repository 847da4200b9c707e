/**
 * Ranges as RFC 9110 §14 says, slowly: character by character after its grammar, numbers of any length, and every byte
 * of the representation asked whether it belongs to the response.
 */

export interface Expectation {
  readonly type: 'Whole' | 'Unsatisfiable' | 'Ranges'
  /** Of every byte: whether it was asked for. */
  readonly asked: readonly boolean[]
  /** First byte of each satisfiable range, in the order in which they were asked for. */
  readonly firsts: readonly number[]
}

interface Spec {
  readonly first: bigint | undefined
  readonly last: bigint | undefined
}

const MAX_RANGES = 32
const WHOLE: Expectation = { type: 'Whole', asked: [], firsts: [] }

export function expectRanges(value: string, length: number): Expectation {
  const specs = readSet(value)
  if (specs === undefined || specs.length === 0 || specs.length > MAX_RANGES) return WHOLE
  const asked: boolean[] = Array.from({ length }, () => false)
  const firsts: number[] = []
  for (const { first, last } of specs) {
    if (first === undefined) {
      // suffix-range: its length is in `last`.
      if (last === 0n) continue
      // All of nothing: nothing can be said of it by Content-Range.
      if (length === 0) return WHOLE
      const from = last! >= BigInt(length) ? 0 : length - Number(last)
      firsts.push(from)
      asked.fill(true, from)
      continue
    }
    if (last !== undefined && last < first) return WHOLE
    if (first >= BigInt(length)) continue
    firsts.push(Number(first))
    const to = last === undefined || last >= BigInt(length) ? length - 1 : Number(last)
    asked.fill(true, Number(first), to + 1)
  }
  return { type: firsts.length === 0 ? 'Unsatisfiable' : 'Ranges', asked, firsts }
}

/** `bytes=` and a list (RFC 9110 §5.6.1.2: a recipient takes empty elements); undefined where it is none. */
function readSet(value: string): Spec[] | undefined {
  if (value.slice(0, 6).toLowerCase() !== 'bytes=') return undefined
  const specs: Spec[] = []
  for (const element of value.slice(6).split(',')) {
    let text = element
    while (text.startsWith(' ') || text.startsWith('\t')) text = text.slice(1)
    while (text.endsWith(' ') || text.endsWith('\t')) text = text.slice(0, -1)
    if (text === '') continue
    const spec = readSpec(text)
    if (spec === undefined) return undefined
    specs.push(spec)
  }
  return specs
}

function readSpec(text: string): Spec | undefined {
  const dash = text.indexOf('-')
  if (dash === -1) return undefined
  const first = digits(text.slice(0, dash))
  const last = digits(text.slice(dash + 1))
  if (first === null || last === null || (first === undefined && last === undefined)) return undefined
  return { first, last }
}

/** @returns undefined for none, null for something else */
function digits(text: string): bigint | undefined | null {
  if (text === '') return undefined
  for (const char of text) if (char < '0' || char > '9') return null
  return BigInt(text)
}
