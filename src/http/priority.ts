/** The Priority field and the payload of PRIORITY_UPDATE (RFC 9218 §4, §5, §7.1). */

/** 0 goes first. */
export type Urgency = number

export const DEFAULT_URGENCY: Urgency = 3
export const URGENCIES = 8

export interface Priority {
  urgency: Urgency
  /** The response is of use in parts: it shares what there is with others of its urgency. */
  incremental: boolean
}

/** Characters that are looked at; nobody needs more for two parameters. */
const LONGEST = 256

/**
 * Members of a dictionary of structured fields (RFC 9651 §3.2), told apart by commas that stand in no string. Others
 * than `u` and `i` are extensions, and are ignored like values that are none.
 */
const MEMBER =
  /[ \t]*([a-z*][a-z0-9_.*-]*)(?:=((?:"(?:[^"\\]|\\.)*"|[^",;]*)))?((?:;(?:"(?:[^"\\]|\\.)*"|[^",])*)?)(?:,|$)/y

/** @param into keeps what the text does not state */
export function readPriority(text: string, into: Priority): void {
  if (text.length > LONGEST) return
  MEMBER.lastIndex = 0
  while (MEMBER.lastIndex < text.length) {
    const member = MEMBER.exec(text)
    // Not a dictionary: what stands behind is not looked at.
    if (member === null) return
    const value = member[2]?.trim()
    if (member[1] === 'u') {
      if (value !== undefined && /^[0-7]$/.test(value)) into.urgency = Number(value)
    } else if (member[1] === 'i') {
      if (value === undefined || value === '?1') into.incremental = true
      else if (value === '?0') into.incremental = false
    }
  }
}
