/** Redacts credentials in objects and texts of the process log. */

export const REDACTED = '[redacted]'

/** Names of members whose values are redacted, compared without case, `-` and `_`. */
const SECRET_NAMES = new Set([
  'accesstoken',
  'apikey',
  'authorization',
  'certificatekey',
  'clientkeydata',
  'clientsecret',
  'cookie',
  'credential',
  'credentials',
  'data',
  'idtoken',
  'jwt',
  'passphrase',
  'passwd',
  'password',
  'privatekey',
  'proxyauthorization',
  'refreshtoken',
  'secret',
  'setcookie',
  'stringdata',
  'tlskey',
  'token',
  'xapikey',
])

const MAX_DEPTH = 8
const MAX_ITEMS = 100
const MAX_TEXT = 8_192

/** A scheme with its credentials (RFC 9110 §11.4), the user part of a URL (RFC 3986 §3.2.1), a PEM private key. */
const SECRET_TEXT = [
  [/\b(Bearer|Basic|Negotiate)\s+[\w.~+/-]+=*/gi, `$1 ${REDACTED}`],
  [/(\b[a-z][a-z0-9+.-]*:\/\/)[^\s/?#@]+@/gi, `$1${REDACTED}@`],
  [/-----BEGIN ([A-Z ]*PRIVATE KEY)-----[^-]*(-----END \1-----)?/g, `[$1 redacted]`],
] as const

export function isSecretName(name: string): boolean {
  return SECRET_NAMES.has(name.replaceAll(/[-_]/g, '').toLowerCase())
}

/** Also truncates long texts, because a line must fit the ring. */
export function redactText(text: string): string {
  let shown = text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}… (${text.length} characters)` : text
  for (const [pattern, replacement] of SECRET_TEXT) shown = shown.replaceAll(pattern, replacement)
  return shown
}

/** Returns a copy for the log: without credentials and cycles, bounded in depth, width and length. */
export function redact(value: unknown, depth = 0): unknown {
  if (typeof value === 'string') return redactText(value)
  if (typeof value === 'bigint') return String(value)
  if (typeof value !== 'object' || value === null) return value
  if (depth >= MAX_DEPTH) return '[too deep]'
  if (value instanceof Error) return redactError(value, depth)
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString()
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return `[${value.byteLength} bytes]`
  if (Array.isArray(value)) return value.slice(0, MAX_ITEMS).map((item) => redact(item, depth + 1))
  if (value instanceof Map) return redact(Object.fromEntries(value), depth)
  if (value instanceof Set) return redact([...value], depth)
  const copy: Record<string, unknown> = {}
  for (const [name, member] of Object.entries(value).slice(0, MAX_ITEMS))
    copy[name] = isSecretName(name) && member !== undefined ? REDACTED : redact(member, depth + 1)
  return copy
}

function redactError(error: Error, depth: number): Record<string, unknown> {
  const shown: Record<string, unknown> = { type: error.name, message: redactText(error.message) }
  if (error.stack !== undefined) shown.stack = redactText(error.stack)
  if (error.cause !== undefined) shown.cause = redact(error.cause, depth + 1)
  for (const [name, member] of Object.entries(error))
    if (!(name in shown) && name !== 'name') shown[name] = isSecretName(name) ? REDACTED : redact(member, depth + 1)
  return shown
}
