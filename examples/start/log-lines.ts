/** Formats the JSON log lines of the gateway as short text. */

export type Paint = (text: string, colour: 'red' | 'green' | 'yellow' | 'dim' | 'bold') => string

const CODES = { red: 31, green: 32, yellow: 33, dim: 2, bold: 1 } as const

export function painter(colours: boolean): Paint {
  return (text, colour) => (colours ? `\u001b[${CODES[colour]}m${text}\u001b[0m` : text)
}

/** @param line of the access log or the process log; other lines are returned unchanged */
export function formatLogLine(line: string, paint: Paint): string {
  const entry = parsed(line)
  if (entry === undefined) return line
  if ('duration' in entry) return accessLine(entry, paint)
  if ('message' in entry) return processLine(entry, paint)
  return line
}

function accessLine(entry: Readonly<Record<string, unknown>>, paint: Paint): string {
  const status = Number(entry.status)
  const colour = status >= 500 || status === 0 ? 'red' : status >= 400 ? 'yellow' : 'green'
  const parts = [
    paint(timeOf(entry.time), 'dim'),
    paint(status === 0 ? '---' : String(status), colour),
    String(entry.method).padEnd(4),
    `${entry.host}${entry.path}`,
  ]
  if (text(entry.route) !== '') parts.push(paint(`rule ${entry.route}/${entry.rule}`, 'dim'))
  if (text(entry.endpoint) !== '') parts.push(`→ ${entry.endpoint}`)
  const attempts = Number(entry.attempts ?? 0)
  if (attempts > 1) parts.push(paint(`${attempts} attempts`, 'yellow'))
  if (text(entry.reason) !== '') parts.push(paint(String(entry.reason), colour))
  parts.push(paint(`${Number(entry.duration).toFixed(1)} ms`, 'dim'))
  return parts.join('  ')
}

function processLine(entry: Readonly<Record<string, unknown>>, paint: Paint): string {
  const { message, level, time, thread, ...details } = entry
  const colour = ({ warn: 'yellow', error: 'red', fatal: 'red' } as const)[String(level)]
  const parts = [paint(timeOf(time), 'dim'), `headgate ${thread}:`]
  parts.push(colour === undefined ? String(message) : paint(`${level}: ${message}`, colour))
  if (Object.keys(details).length > 0) parts.push(paint(JSON.stringify(details), 'dim'))
  return parts.join('  ')
}

function parsed(line: string): Readonly<Record<string, unknown>> | undefined {
  if (!line.startsWith('{')) return undefined
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}

function timeOf(time: unknown): string {
  const date = new Date(typeof time === 'number' || typeof time === 'string' ? time : Number.NaN)
  return Number.isNaN(date.getTime()) ? '' : date.toISOString().slice(11, 23)
}

function text(value: unknown): string {
  return value === undefined || value === null ? '' : String(value)
}
