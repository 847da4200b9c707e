/**
 * Formats a line of the process log as text: `01:02:03.456 INFO  control  message  key=value`, followed by an error's
 * stack.
 */

/** Members with a fixed position in the line. */
const FIXED_MEMBERS = new Set(['time', 'level', 'thread', 'message', 'error', 'err'])

/** @param record a line of the logger */
export function formatText(record: Readonly<Record<string, unknown>>): string {
  const time = String(record.time ?? '').slice(11, 23)
  const level = String(record.level ?? '').toUpperCase()
  let text = `${time} ${level.padEnd(5)} ${String(record.thread ?? '').padEnd(8)} ${escapeControls(String(record.message ?? ''))}`
  for (const [name, value] of Object.entries(record))
    if (!FIXED_MEMBERS.has(name)) text += ` ${escapeControls(name)}=${formatValue(value)}`
  return text + errorText(record.error ?? record.err)
}

function errorText(error: unknown): string {
  if (typeof error !== 'object' || error === null) return error === undefined ? '' : ` error=${formatValue(error)}`
  const { stack, message, cause } = error as Record<string, unknown>
  const lines = String(stack ?? message ?? '').split('\n')
  const text = lines.map((line) => `\n    ${escapeControls(line.trim())}`).join('')
  return cause === undefined ? text : `${text}\n    caused by:${errorText(cause)}`
}

/** Quotes values that are not a single word. */
function formatValue(value: unknown): string {
  if (typeof value !== 'string') return escapeControls(JSON.stringify(value))
  return /^[\w.:/@%+-]+$/.test(value) ? value : escapeControls(JSON.stringify(value))
}

/** Control characters would let a logged value move the cursor of a terminal or forge a line. */
function escapeControls(text: string): string {
  return text.replaceAll(/[\x00-\x1f\x7f-\x9f\u2028\u2029]/g, (char) => `\\x${char.charCodeAt(0).toString(16)}`)
}
