/**
 * A line of the process log for a person: `01:02:03.456 INFO  control  message  key=value`, an error's stack below it.
 */

/** Members that have a place of their own in the line. */
const PLACED = new Set(['time', 'level', 'thread', 'message', 'error', 'err'])

/** @param record a line as the logger makes it */
export function formatText(record: Readonly<Record<string, unknown>>): string {
  const time = String(record.time ?? '').slice(11, 23)
  const level = String(record.level ?? '').toUpperCase()
  let text = `${time} ${level.padEnd(5)} ${String(record.thread ?? '').padEnd(8)} ${printable(String(record.message ?? ''))}`
  for (const [name, value] of Object.entries(record))
    if (!PLACED.has(name)) text += ` ${printable(name)}=${show(value)}`
  return text + errorText(record.error ?? record.err)
}

function errorText(error: unknown): string {
  if (typeof error !== 'object' || error === null) return error === undefined ? '' : ` error=${show(error)}`
  const { stack, message, cause } = error as Record<string, unknown>
  const lines = String(stack ?? message ?? '').split('\n')
  const shown = lines.map((line) => `\n    ${printable(line.trim())}`).join('')
  return cause === undefined ? shown : `${shown}\n    caused by:${errorText(cause)}`
}

/** Quoted where it would not stand as one word. */
function show(value: unknown): string {
  if (typeof value !== 'string') return printable(JSON.stringify(value))
  return /^[\w.:/@%+-]+$/.test(value) ? value : printable(JSON.stringify(value))
}

/** Control characters would let a logged value move the cursor of a terminal or forge a line. */
function printable(text: string): string {
  return text.replaceAll(/[\x00-\x1f\x7f-\x9f\u2028\u2029]/g, (char) => `\\x${char.charCodeAt(0).toString(16)}`)
}
