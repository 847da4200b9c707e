/** Which field says how a response is cached: the first valid targeted one, or Cache-Control (RFC 9213). */
import type { Fields } from '../message/fields.ts'
import { addDirective, noDirectives, parseCacheControl, type ResponseDirectives } from './cache-control.ts'
import { Memo } from './memo.ts'
import { dictionaryMembers, type Member } from './structured-fields.ts'

/** RFC 9213 §2.2: our own name before that of all who stand before an origin. */
export const DEFAULT_TARGETS: readonly string[] = ['headgate-cache-control', 'cdn-cache-control']

export interface ControllingDirectives {
  readonly directives: ResponseDirectives
  /** Whether a targeted field decides: then Cache-Control and Expires count for nothing. */
  readonly targeted: boolean
}

/** @param targets in lower case, the most specific first */
export function controllingDirectives(fields: Fields, targets: readonly string[]): ControllingDirectives {
  for (const name of targets) {
    if (!fields.has(name)) continue
    const lines = fields.all(name)
    const directives = lines.length === 1 ? MEMO.get(lines[0]!, parseLine) : parseLines(lines)
    if (directives !== null) return { directives, targeted: true }
  }
  return { directives: parseCacheControl(fields.all('cache-control')), targeted: false }
}

const MEMO = new Memo<ResponseDirectives | null>()

function parseLine(line: string): ResponseDirectives | null {
  return parseLines([line])
}

function parseLines(lines: readonly string[]): ResponseDirectives | null {
  const members = dictionaryMembers(lines)
  return members === undefined ? null : fromMembers(members)
}

function fromMembers(members: ReadonlyMap<string, Member>): ResponseDirectives {
  const directives = noDirectives()
  // `no-store=?0` says that it is not meant.
  for (const [name, value] of members) if (value !== false) addDirective(directives, name, argumentOf(name, value))
  return directives
}

/** An argument that no directive has: what forbids is obeyed nevertheless, a lifetime has no meaning. */
const WRONG_TYPE = '"'
const TAKES_STRING = new Set(['private', 'no-cache'])

/**
 * RFC 9213 §2.1: a directive without argument is a Boolean, field names are a String, seconds an Integer. Another type
 * is not taken for the right one.
 */
function argumentOf(name: string, value: Member): string | undefined {
  if (value === true) return undefined
  if (typeof value === 'number' && value >= 0 && !TAKES_STRING.has(name)) return String(value)
  if (typeof value === 'string' && TAKES_STRING.has(name)) return value
  return WRONG_TYPE
}
