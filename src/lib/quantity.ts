/** Parses and formats durations and byte quantities of manifests, settings and flags. */
import type { Milliseconds } from './clock.ts'

const DURATION = /^(?:(\d{1,5})d)?(?:(\d{1,5})h)?(?:(\d{1,5})m)?(?:(\d{1,7})s)?(?:(\d{1,9})ms)?$/
const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

/** Whether {@link parseDuration} accepts the text. */
export function isDuration(text: string): boolean {
  return text.length >= 2 && DURATION.test(text)
}

/**
 * Parses `1d2h3m4s5ms`: units in this order, each at most once, at least one.
 *
 * @throws {TypeError} for any other text, which the validation of manifests rejects
 */
export function parseDuration(text: string): Milliseconds {
  const match = text.length >= 2 ? DURATION.exec(text) : null
  if (match === null) throw new TypeError(`not a duration such as 30s, 250ms or 1d12h: ${JSON.stringify(text)}`)
  const [, days = 0, hours = 0, minutes = 0, seconds = 0, milliseconds = 0] = match
  return (
    Number(days) * DAY +
    Number(hours) * HOUR +
    Number(minutes) * MINUTE +
    Number(seconds) * SECOND +
    Number(milliseconds)
  )
}

/**
 * Formats a duration in its shortest form, largest unit first; `0s` for zero.
 *
 * @param span whole milliseconds, less than 100,000 days
 */
export function formatDuration(span: Milliseconds): string {
  if (!Number.isSafeInteger(span) || span < 0 || span >= 100_000 * DAY)
    throw new TypeError(`not a duration in whole milliseconds: ${span}`)
  if (span === 0) return '0s'
  let text = ''
  let rest = span
  for (const [unit, size] of [
    ['d', DAY],
    ['h', HOUR],
    ['m', MINUTE],
    ['s', SECOND],
    ['ms', 1],
  ] as const) {
    const count = Math.floor(rest / size)
    if (count > 0) text += `${count}${unit}`
    rest -= count * size
  }
  return text
}

const BYTES = /^(\d{1,12})(k|M|G|Ki|Mi|Gi)?$/
const FACTORS: Readonly<Record<string, number>> = {
  k: 1000,
  M: 1000 ** 2,
  G: 1000 ** 3,
  Ki: 1024,
  Mi: 1024 ** 2,
  Gi: 1024 ** 3,
}

/**
 * Parses a byte quantity: `10Mi`, `1Gi`, `500k`, `4096` or a whole number.
 *
 * @throws {TypeError} for any other text and above 2^53, which the validation of manifests rejects
 */
export function parseBytes(quantity: number | string): number {
  const match = BYTES.exec(String(quantity))
  const bytes = match === null ? Number.NaN : Number(match[1]) * (FACTORS[match[2] ?? ''] ?? 1)
  if (!Number.isSafeInteger(bytes))
    throw new TypeError(`not a number of bytes such as 4096, 64Ki or 10Mi: ${JSON.stringify(quantity)}`)
  return bytes
}

/** Formats bytes in the largest exact binary unit: `10Mi`, `1500`. */
export function formatBytes(bytes: number): string {
  if (!Number.isSafeInteger(bytes) || bytes < 0) throw new TypeError(`not a number of bytes: ${bytes}`)
  for (const unit of ['Gi', 'Mi', 'Ki']) {
    const factor = FACTORS[unit]!
    if (bytes >= factor && bytes % factor === 0) return `${bytes / factor}${unit}`
  }
  return String(bytes)
}
